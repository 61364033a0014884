//! Providers that misbehave, each a named type.

use super::account_of;
use crate::people::submit;
use crate::world::{World, key_of};
use serde::{Deserialize, Serialize};
use watt_ledger::query;
use watt_light::{Operation, SignedTransaction, Transaction};
use watt_primitives::{AccountId, Amount, BlockHeight, BoundedVec};

/// How a provider misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trade {
    /// Keeps no replica: makes its labels again each time it is asked, which takes its [`Means`](super::Means) their time.
    LazyProvider,
    /// Keeps nothing at all: makes its labels again each time it is asked, and has somebody else send the data.
    Outsourcer,
    /// Keeps and proves, but gives nothing to those who read.
    ReadWithholder,
    /// Hands in each of its proofs again, at once and a window later, and claims again.
    GreedyProvider,
    /// Keeps its proofs back until it is too late for them.
    LateProver,
    /// Seals, and shows the openings to nobody.
    OpeningsWithholder,
    /// Commits to bytes drawn by lot in place of the replica, and answers with what it likes.
    Forger,
    /// Does as a forger, and has the committee when its sectors come in: its members say that they hold without looking. Who is asked
    /// again later is not its own.
    Captor,
    /// One of several providers of one person: commits to the replica of the first of them in place of one of its own.
    RootCopier,
    /// One of several providers of one person: has its sectors let in as the rules say, then keeps no replica but that of the first of
    /// them, and answers from it.
    ReplicaSharer,
}

impl Trade {
    /// Its name in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LazyProvider => "lazy-provider",
            Self::Outsourcer => "outsourcer",
            Self::ReadWithholder => "read-withholder",
            Self::GreedyProvider => "greedy-provider",
            Self::LateProver => "late-prover",
            Self::OpeningsWithholder => "openings-withholder",
            Self::Forger => "forger",
            Self::Captor => "captor",
            Self::RootCopier => "root-copier",
            Self::ReplicaSharer => "replica-sharer",
        }
    }

    /// Whether whoever reads gets something from it.
    #[must_use]
    pub const fn gives_to_readers(self) -> bool {
        match self {
            Self::Outsourcer | Self::ReadWithholder => false,
            Self::LazyProvider
            | Self::GreedyProvider
            | Self::LateProver
            | Self::OpeningsWithholder
            | Self::Forger
            | Self::Captor
            | Self::RootCopier
            | Self::ReplicaSharer => true,
        }
    }

    /// Whether a committee gets to see the openings of its sectors.
    #[must_use]
    pub const fn shows_openings(self) -> bool {
        match self {
            Self::OpeningsWithholder => false,
            Self::LazyProvider
            | Self::Outsourcer
            | Self::ReadWithholder
            | Self::GreedyProvider
            | Self::LateProver
            | Self::Forger
            | Self::Captor
            | Self::RootCopier
            | Self::ReplicaSharer => true,
        }
    }

    /// Whether it commits to garbage in place of replicas.
    #[must_use]
    pub const fn forges(self) -> bool {
        match self {
            Self::Forger | Self::Captor => true,
            Self::LazyProvider
            | Self::Outsourcer
            | Self::ReadWithholder
            | Self::GreedyProvider
            | Self::LateProver
            | Self::OpeningsWithholder
            | Self::RootCopier
            | Self::ReplicaSharer => false,
        }
    }

    /// Whether there is one replica for all of its kind: that of the first.
    #[must_use]
    pub const fn is_one_person(self) -> bool {
        match self {
            Self::RootCopier | Self::ReplicaSharer => true,
            Self::LazyProvider
            | Self::Outsourcer
            | Self::ReadWithholder
            | Self::GreedyProvider
            | Self::LateProver
            | Self::OpeningsWithholder
            | Self::Forger
            | Self::Captor => false,
        }
    }

    /// Whether it has its data at hand when a window asks.
    #[must_use]
    pub const fn has_data(self) -> bool {
        match self {
            Self::Outsourcer => false,
            Self::LazyProvider
            | Self::ReadWithholder
            | Self::GreedyProvider
            | Self::LateProver
            | Self::OpeningsWithholder
            | Self::Forger
            | Self::Captor
            | Self::RootCopier
            | Self::ReplicaSharer => true,
        }
    }

    /// Whether it has its replicas at hand when a window asks.
    #[must_use]
    pub const fn has_replica(self) -> bool {
        match self {
            Self::LazyProvider | Self::Outsourcer => false,
            Self::ReadWithholder
            | Self::GreedyProvider
            | Self::LateProver
            | Self::OpeningsWithholder
            | Self::Forger
            | Self::Captor
            | Self::RootCopier
            | Self::ReplicaSharer => true,
        }
    }
}

/// A greedy provider's memory.
#[derive(Default)]
pub struct Greed {
    looked_to: BlockHeight,
    proofs: Vec<(BlockHeight, SignedTransaction)>,
}

impl Greed {
    /// Looks at the new blocks for own proofs, and hands in again what it finds and what it found a window ago.
    pub fn act(&mut self, world: &mut World, node: usize, number: usize) {
        let account = account_of("provider", number);
        let disk = &world.nodes[node].disk;
        let window_slots = world.genesis.parameters.window_slots;
        for stored in &disk.blocks {
            let height = stored.header.height;
            if height <= self.looked_to {
                continue;
            }
            let is_proof = |signed: &&SignedTransaction| {
                let operations = &signed.transaction.operations;
                let proves = operations
                    .iter()
                    .any(|one| matches!(one, Operation::ProveWindow { .. }));
                proves && signed.transaction.account == account
            };
            let own = stored.block.transactions.iter().filter(is_proof);
            self.proofs.extend(own.map(|signed| (height, signed.clone())));
        }
        self.looked_to = disk.head.height;
        let head = self.looked_to;
        let again: Vec<SignedTransaction> = self
            .proofs
            .iter()
            .filter(|(at, _)| *at == head || at.plus(window_slots) == head)
            .map(|(_, signed)| signed.clone())
            .collect();
        self.proofs.retain(|(at, _)| at.plus(2 * window_slots) > head);
        for signed in again {
            repeat(world, node, number, account, &signed);
        }
    }
}

/// Hands the same operations in again, under the next number, or the one after it if an own claim has taken that.
fn repeat(world: &mut World, node: usize, number: usize, account: AccountId, signed: &SignedTransaction) {
    let key = key_of("provider", number);
    let row = query::account(&*world.nodes[node].disk.state, &account);
    let next = row
        .and_then(|row| row.keys.first().map(|key| key.nonce))
        .unwrap_or(0);
    for nonce in [next, next.saturating_add(1)] {
        let transaction = Transaction {
            account,
            key_index: 0,
            key: key.public(),
            nonce,
            valid_until: world.height().plus(6),
            fee: Amount::ZERO,
            operations: BoundedVec::new(signed.transaction.operations.to_vec()).unwrap_or_default(),
        };
        let witness = signed.witness.iter().map(|entry| entry.to_vec()).collect();
        if let Ok(again) = transaction.sign(&key, &world.network, witness) {
            submit(world, node, again);
        }
    }
}
