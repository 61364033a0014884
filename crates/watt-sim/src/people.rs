//! People who pay one another, and one who floods.

use crate::luck::{Luck, Purpose};
use crate::scenario;
use crate::storage::{FIRST_CLIENT, FORGER, Forgers};
use crate::world::{COUNCIL, World, key_of};
use std::collections::BTreeMap;
use watt_engine::{Event, RequestId};
use watt_ledger::rows::COUNCIL_QUORUM;
use watt_ledger::{query, rows};
use watt_light::state_proof::tree_key;
use watt_light::{Operation, SignedTransaction, Transaction};
use watt_primitives::{AccountId, Amount, BlockHeight, BoundedBytes, BoundedVec, Hash, SecretKey, Term};

/// Blocks within which a transaction must be included.
pub const PATIENCE_BLOCKS: u64 = 12;

/// First bits of its key in the state tree that are the same of every account somebody ground.
const GROUND_BITS: u32 = 12;

/// Number of the person who floods.
const SPAMMER: usize = 0;

/// All people.
pub struct People {
    /// The run's seed.
    pub seed: u64,
    /// Transactions per second of the one who floods.
    pub spam_per_s: u64,
    /// Payments per second to accounts whose place in the state tree somebody chose.
    pub ground_per_s: u64,
    /// Proofs that do not hold per second, all forgers together.
    pub forged_per_s: u64,
    /// Whoever sends such.
    forgers: Forgers,
    /// How many names were tried for such accounts.
    n_ground: u64,
    transfers_per_s: u32,
    through_followers: bool,
    n_people: usize,
    luck: Luck,
    /// What each key that ever signed goes on with.
    next: BTreeMap<Signer, Plan>,
}

/// A role and a number: who signs.
type Signer = (&'static str, usize);

/// The numbers of a key.
#[derive(Clone, Copy)]
struct Plan {
    /// The next that is not on its way.
    next: u64,
    /// The next on the chain, when last looked at.
    seen: u64,
    /// The height after which what is on its way is given up, unless some of it lands before.
    until: BlockHeight,
}

impl People {
    /// People of a network that has this many accounts.
    #[must_use]
    pub fn new(habits: scenario::People, seed: u64) -> Self {
        Self {
            seed,
            spam_per_s: 0,
            ground_per_s: 0,
            forged_per_s: 0,
            forgers: Forgers::new(habits.forgers),
            n_ground: 0,
            transfers_per_s: habits.transfers_per_s,
            through_followers: habits.through_followers,
            n_people: FIRST_CLIENT,
            luck: Luck::new(seed, Purpose::Clients),
            next: BTreeMap::new(),
        }
    }

    /// What people do in one second.
    pub fn act(&mut self, world: &mut World) {
        for _ in 0..self.transfers_per_s {
            let from = 1 + self.luck.index(self.n_people - 1);
            self.transfer(world, from);
        }
        for _ in 0..self.spam_per_s {
            self.transfer(world, SPAMMER);
        }
        for number in 0..self.ground_per_s {
            let to = self.grind();
            let from = usize::try_from(number).unwrap_or(0) % (self.n_people - 1);
            self.pay(world, 1 + from, to);
        }
        for _ in 0..self.forged_per_s {
            self.forge_proof(world);
        }
    }

    /// An account that lies among others of its kind in the state tree: found by trying names.
    fn grind(&mut self) -> AccountId {
        loop {
            self.n_ground += 1;
            let name = Hash::of_content(&self.n_ground.to_be_bytes());
            let account = AccountId(*name.0.first_chunk().unwrap_or(&[0; 20]));
            let place = tree_key(&rows::account(&account));
            if u16::from_be_bytes([place.0[0], place.0[1]]) >> (16 - GROUND_BITS) == 0 {
                return account;
            }
        }
    }

    fn transfer(&mut self, world: &mut World, from: usize) {
        let to = self.luck.index(self.n_people);
        let to = AccountId::of_first_key(&key_of("person", to).public());
        self.pay(world, from, to);
    }

    fn pay(&mut self, world: &mut World, from: usize, to: AccountId) {
        let amount = Amount(1 + self.luck.below(1_000_000));
        let operation = Operation::Transfer {
            to,
            amount,
            memo: BoundedBytes::new(Vec::new()).unwrap_or_default(),
        };
        let first = if self.through_followers {
            world.n_validators()
        } else {
            0
        };
        let up: Vec<usize> = (first..world.nodes.len())
            .filter(|node| world.nodes[*node].is_up())
            .collect();
        if up.is_empty() {
            return;
        }
        let node = up[self.luck.index(up.len())];
        if let Some(signed) = self.sign(world, from, vec![operation]) {
            submit(world, node, signed);
        }
    }

    /// The next forger in turn hands in what brings it on: a proof that does not hold, if one of its sectors is asked for.
    fn forge_proof(&mut self, world: &mut World) {
        let up: Vec<usize> = (0..world.nodes.len())
            .filter(|node| world.nodes[*node].is_up())
            .collect();
        let Some((number, operation, witness)) = self.forgers.next(world).filter(|_| !up.is_empty()) else {
            return;
        };
        let node = up[self.luck.index(up.len())];
        if let Some(signed) = self.sign_as(world, (FORGER, number), vec![operation], witness) {
            submit(world, node, signed);
        }
    }

    /// One hands in a payment whose memo makes the ledger of test builds panic, or be slow.
    pub fn poison(&mut self, world: &mut World, memo: &[u8]) {
        let operation = Operation::Transfer {
            to: AccountId::of_first_key(&key_of("person", 1).public()),
            amount: Amount(1),
            memo: BoundedBytes::new(memo.to_vec()).unwrap_or_default(),
        };
        let Some(signed) = self.sign(world, SPAMMER, vec![operation]) else {
            return;
        };
        for node in 0..world.nodes.len() {
            submit(world, node, signed.clone());
        }
    }

    /// As many members of the council as it takes want the rules to have this version.
    pub fn decide(&mut self, world: &mut World, version: u32) {
        for member in COUNCIL.take(COUNCIL_QUORUM) {
            let operation = Operation::ApproveUpgrade {
                version,
                not_before: Term(0),
            };
            if let Some(signed) = self.sign(world, member, vec![operation]) {
                for node in 0..world.nodes.len() {
                    submit(world, node, signed.clone());
                }
            }
        }
    }

    /// Signs with the next number that is not on its way.
    pub fn sign(
        &mut self,
        world: &World,
        person: usize,
        operations: Vec<Operation>,
    ) -> Option<SignedTransaction> {
        self.sign_as(world, ("person", person), operations, Vec::new())
    }

    /// Signs as anybody, with witnesses.
    fn sign_as(
        &mut self,
        world: &World,
        signer: Signer,
        operations: Vec<Operation>,
        witness: Vec<Vec<u8>>,
    ) -> Option<SignedTransaction> {
        let key: SecretKey = key_of(signer.0, signer.1);
        let account = AccountId::of_first_key(&key.public());
        let state = world.state();
        let head = world.height();
        let on_chain = query::account(&*state, &account)
            .and_then(|row| row.keys.first().map(|key| key.nonce))
            .unwrap_or(0);
        let valid_until = head.plus(PATIENCE_BLOCKS);
        let known = self.next.get(&signer).copied();
        let mut plan = known.unwrap_or(Plan {
            next: on_chain,
            seen: on_chain,
            until: valid_until,
        });
        if on_chain > plan.seen {
            (plan.seen, plan.until) = (on_chain, valid_until);
        }
        // Nothing has landed for so long that the first on its way can't land any more: all is begun anew.
        if plan.until < head {
            (plan.next, plan.until) = (on_chain, valid_until);
        }
        let nonce = plan.next.max(on_chain);
        plan.next = nonce + 1;
        self.next.insert(signer, plan);
        let transaction = Transaction {
            account,
            key_index: 0,
            key: key.public(),
            nonce,
            valid_until,
            fee: Amount::ZERO,
            operations: BoundedVec::new(operations).ok()?,
        };
        transaction.sign(&key, &world.network, witness).ok()
    }
}

/// Hands a transaction to a node, as its owner or a client does through the API.
pub fn submit(world: &mut World, node: usize, transaction: SignedTransaction) {
    world.handle(
        node,
        Event::Submitted {
            transaction: Box::new(transaction),
            reply_to: RequestId(0),
        },
    );
}
