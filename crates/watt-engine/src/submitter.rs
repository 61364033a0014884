//! A node's own transactions: one chain of nonces, each sent for a purpose, sent again if it did not land.

use crate::mempool::Place;
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::StateRead;
use watt_ledger::query;
use watt_light::{Operation, SignedTransaction, SlotRef, Transaction};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedVec, NetworkId, NodeId, SecretKey, SectorNumber, Term,
    TransactionId, Window,
};

/// Blocks after which an own transaction that did not land is given up and made anew.
const PATIENCE_BLOCKS: u64 = 12;

/// The same of one that is no duty: in full blocks it waits for those that pay more, and what comes after it waits with it.
const PATIENCE_BLOCKS_NO_DUTY: u64 = 4;

/// Which of the account's keys signs: its first.
pub(crate) const OWN_KEY: u16 = 0;

/// Blocks to wait before a purpose is tried again after its transaction landed and failed.
const PAUSE_BLOCKS: u64 = 3;

/// What a transaction is for: while one is on its way, no second is sent for the same purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Pledge,
    Claim,
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

impl Purpose {
    const fn patience(self) -> u64 {
        match self {
            Self::Pledge | Self::Claim => PATIENCE_BLOCKS_NO_DUTY,
            Self::PreCommit(_)
            | Self::Commit(_)
            | Self::Audit(_)
            | Self::Prove(_)
            | Self::Settle(_)
            | Self::Answer(_)
            | Self::RegisterKeys
            | Self::Attend(_)
            | Self::Report(_)
            | Self::Succeed(..) => PATIENCE_BLOCKS,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    id: TransactionId,
    nonce: u64,
    valid_until: BlockHeight,
    /// Not before this height is the purpose tried again.
    retry_at: BlockHeight,
    /// Whether it may still land.
    is_waiting: bool,
}

/// Signs and keeps count.
pub(crate) struct Submitter {
    key: SecretKey,
    account: AccountId,
    network: NetworkId,
    /// The next that the ledger takes.
    chain_nonce: u64,
    sent: BTreeMap<Purpose, Sent>,
}

impl Submitter {
    pub(crate) fn new(key: SecretKey, network: NetworkId) -> Self {
        let account = AccountId::of_first_key(&key.public());
        Self {
            key,
            account,
            network,
            chain_nonce: 0,
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
        self.chain_nonce = account
            .and_then(|row| row.keys.first().map(|key| key.nonce))
            .unwrap_or(0);
        let chain_nonce = self.chain_nonce;
        self.sent.retain(|_, sent| {
            let place = Place {
                key: (self.account, OWN_KEY),
                nonce: sent.nonce,
                id: sent.id,
            };
            sent.is_waiting = sent.nonce >= chain_nonce && sent.valid_until > head && is_pooled(&place);
            sent.is_waiting || sent.retry_at > head
        });
    }

    /// The lowest nonce that no transaction on its way has: a gap that one of them left would keep back all behind it.
    fn next_nonce(&self) -> u64 {
        let waiting = self.sent.values().filter(|sent| sent.is_waiting);
        let taken: BTreeSet<u64> = waiting.map(|sent| sent.nonce).collect();
        let mut free = (self.chain_nonce..).filter(|nonce| !taken.contains(nonce));
        free.next().unwrap_or(self.chain_nonce)
    }

    /// Whether nothing is on its way that can still land.
    pub(crate) fn is_idle(&self) -> bool {
        !self.sent.values().any(|sent| sent.is_waiting)
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
        let patience = purposes.iter().map(|purpose| purpose.patience()).min()?;
        let transaction = Transaction {
            account: self.account,
            key_index: OWN_KEY,
            key: self.key.public(),
            nonce: self.next_nonce(),
            valid_until: head.plus(patience),
            fee: Amount::ZERO,
            operations: BoundedVec::new(operations).ok()?,
        };
        let (id, nonce, valid_until) = (
            transaction.id(&self.network),
            transaction.nonce,
            transaction.valid_until,
        );
        let signed = transaction.sign(&self.key, &self.network, witness).ok()?;
        let sent = Sent {
            id,
            nonce,
            valid_until,
            retry_at: head.plus(PAUSE_BLOCKS),
            is_waiting: true,
        };
        self.sent.extend(purposes.iter().map(|purpose| (*purpose, sent)));
        Some(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_ledger::MemoryState;

    /// A nonce that a transaction left when it expired goes to the next one that is made, whatever is on its way behind it: without it
    /// none of them could land. Covers: A7, D3.
    #[test]
    fn a_gap_is_filled() {
        let key = SecretKey::from_seed([1; 32]);
        let mut submitter = Submitter::new(key, NetworkId::derive(watt_primitives::Hash([7; 32])));
        let chain = MemoryState::default();
        let claim = || {
            vec![Operation::Claim {
                slots: BoundedVec::empty(),
            }]
        };
        let make = |submitter: &mut Submitter, purpose, head| {
            let head = BlockHeight(head);
            submitter.settle(&chain, head, |_| true);
            let made = submitter.make(purpose, claim(), Vec::new(), head);
            made.map(|signed| signed.transaction.nonce)
        };
        let (prove, answer) = (Purpose::Prove(Window(1)), Purpose::Attend(Window(1)));
        assert_eq!(make(&mut submitter, prove, 100), Some(0));
        assert_eq!(make(&mut submitter, answer, 106), Some(1));
        assert_eq!(make(&mut submitter, prove, 106), None, "on its way");
        assert_eq!(make(&mut submitter, prove, 112), Some(0));
        assert_eq!(make(&mut submitter, answer, 118), Some(1));
        assert!(!submitter.is_idle());
    }

    /// What is no duty waits for a few blocks only. Covers: A7.
    #[test]
    fn what_is_no_duty_makes_way() {
        let key = SecretKey::from_seed([1; 32]);
        let mut submitter = Submitter::new(key, NetworkId::derive(watt_primitives::Hash([7; 32])));
        let mut valid_for = |purpose| {
            let made = submitter.make(purpose, Vec::new(), Vec::new(), BlockHeight(100));
            made.unwrap().transaction.valid_until.0 - 100
        };
        assert_eq!((valid_for(Purpose::Claim), valid_for(Purpose::Pledge)), (4, 4));
        assert_eq!(valid_for(Purpose::Prove(Window(1))), 12);
    }
}
