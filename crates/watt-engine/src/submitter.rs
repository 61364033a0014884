//! A node's own transactions: one chain of nonces, each sent for a purpose, sent again if it did not land.

use crate::mempool::Place;
use std::collections::BTreeMap;
use watt_ledger::StateRead;
use watt_ledger::query;
use watt_light::{Operation, SignedTransaction, SlotRef, Transaction};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedVec, NetworkId, NodeId, SecretKey, SectorNumber, Term,
    TransactionId, Window,
};

/// Blocks after which an own transaction that did not land is given up and made anew.
const PATIENCE_BLOCKS: u64 = 12;

/// Which of the account's keys signs: its first.
pub(crate) const OWN_KEY: u16 = 0;

/// Blocks to wait before a purpose is tried again after its transaction landed and failed.
const PAUSE_BLOCKS: u64 = 3;

/// What a transaction is for: while one is on its way, no second is sent for the same purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Pledge,
    PreCommit(SectorNumber),
    /// Of the batch that begins with this sector.
    Commit(SectorNumber),
    Audit(SectorNumber),
    Prove(Window),
    Settle(Window),
    Answer(SlotRef),
    RegisterKeys,
    Attend(Window),
    Report(NodeId),
    Succeed(Term, u8),
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    id: TransactionId,
    nonce: u64,
    valid_until: BlockHeight,
    /// Not before this height is the purpose tried again.
    retry_at: BlockHeight,
}

/// Signs and keeps count.
pub(crate) struct Submitter {
    key: SecretKey,
    account: AccountId,
    network: NetworkId,
    next_nonce: u64,
    sent: BTreeMap<Purpose, Sent>,
}

impl Submitter {
    pub(crate) fn new(key: SecretKey, network: NetworkId) -> Self {
        let account = AccountId::of_first_key(&key.public());
        Self {
            key,
            account,
            network,
            next_nonce: 0,
            sent: BTreeMap::new(),
        }
    }

    /// Looks at the new head: what landed is done, what can't land any more may be sent anew.
    pub(crate) fn settle(
        &mut self,
        chain: &impl StateRead,
        head: BlockHeight,
        is_pooled: impl Fn(&Place) -> bool,
    ) {
        let account = query::account(chain, &self.account);
        let chain_nonce = account
            .and_then(|row| row.keys.first().map(|key| key.nonce))
            .unwrap_or(0);
        self.sent.retain(|_, sent| {
            let place = Place {
                key: (self.account, OWN_KEY),
                nonce: sent.nonce,
                id: sent.id,
            };
            let is_waiting = sent.nonce >= chain_nonce && sent.valid_until > head && is_pooled(&place);
            is_waiting || sent.retry_at > head
        });
        let highest = self.sent.values().filter(|sent| sent.nonce >= chain_nonce);
        self.next_nonce = highest
            .map(|sent| sent.nonce.saturating_add(1))
            .max()
            .unwrap_or(chain_nonce);
    }

    pub(crate) fn is_on_its_way(&self, purpose: Purpose) -> bool {
        self.sent.contains_key(&purpose)
    }

    /// Signs a transaction for `purpose`, unless one is on its way.
    pub(crate) fn make(
        &mut self,
        purpose: Purpose,
        operations: Vec<Operation>,
        witness: Vec<Vec<u8>>,
        head: BlockHeight,
    ) -> Option<SignedTransaction> {
        self.make_for(&[purpose], operations, witness, head)
    }

    /// Signs one transaction for several purposes, unless one is on its way for any of them.
    pub(crate) fn make_for(
        &mut self,
        purposes: &[Purpose],
        operations: Vec<Operation>,
        witness: Vec<Vec<u8>>,
        head: BlockHeight,
    ) -> Option<SignedTransaction> {
        if purposes.iter().any(|purpose| self.is_on_its_way(*purpose)) {
            return None;
        }
        let transaction = Transaction {
            account: self.account,
            key_index: OWN_KEY,
            key: self.key.public(),
            nonce: self.next_nonce,
            valid_until: head.plus(PATIENCE_BLOCKS),
            fee: Amount::ZERO,
            operations: BoundedVec::new(operations).ok()?,
        };
        let (id, nonce, valid_until) = (
            transaction.id(&self.network),
            transaction.nonce,
            transaction.valid_until,
        );
        let signed = transaction.sign(&self.key, &self.network, witness).ok()?;
        self.next_nonce = self.next_nonce.saturating_add(1);
        let sent = Sent {
            id,
            nonce,
            valid_until,
            retry_at: head.plus(PAUSE_BLOCKS),
        };
        self.sent.extend(purposes.iter().map(|purpose| (*purpose, sent)));
        Some(signed)
    }
}
