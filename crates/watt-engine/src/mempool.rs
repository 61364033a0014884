//! Transactions that wait for a block: one pending chain per key, bounded, highest fee first (A8).

use crate::heartbeats::PooledHeartbeat;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use watt_ledger::check::admit_unverified;
use watt_ledger::select::{self, Candidate, HeartbeatCandidate};
use watt_ledger::{Admission, Body, Refused, StateRead};
use watt_light::{SignedTransaction, Transaction};
use watt_primitives::{AccountId, BlockHeight, NetworkId, TransactionId};

/// The most transactions that wait.
pub const POOL_TRANSACTIONS_MAX: usize = 20_000;

/// The most bytes that wait.
pub const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most transactions of one key that wait.
pub const POOL_PER_KEY_MAX: usize = 256;

/// The most transactions said again at once.
const RESENT_MAX: usize = 64;

/// Blocks for which a transaction that broke a trial is kept out of every own proposal.
const QUARANTINE_BLOCKS: u64 = 720;

/// The most quarantined ids remembered.
const QUARANTINE_MAX: usize = 4_096;

/// How many waiting transactions are looked at after a block, at least, for those that expired: all of a full pool within five blocks, in a
/// fraction of a step's time (TC35).
const LOOKED_AT_ONCE: usize = 4_096;

/// One key of one account: its transactions form a chain by nonce.
pub(crate) type KeyOfAccount = (AccountId, u16);

/// Which transaction, and where it waits if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) key: KeyOfAccount,
    pub(crate) nonce: u64,
    pub(crate) id: TransactionId,
}

impl Place {
    pub(crate) const fn of(transaction: &Transaction, id: TransactionId) -> Self {
        Self {
            key: (transaction.account, transaction.key_index),
            nonce: transaction.nonce,
            id,
        }
    }
}

/// The highest nonce that blocks used of each key: what is in them takes everything up to it along.
pub type Spent = BTreeMap<KeyOfAccount, u64>;

/// What the transactions of these blocks used up.
#[must_use]
pub fn spent<'a>(transactions: impl IntoIterator<Item = &'a SignedTransaction>) -> Spent {
    let mut spent = Spent::new();
    for signed in transactions {
        let Transaction {
            account,
            key_index,
            nonce,
            ..
        } = &signed.transaction;
        let highest = spent.entry((*account, *key_index)).or_default();
        *highest = (*highest).max(*nonce);
    }
    spent
}

/// A transaction that waits.
#[derive(Debug)]
pub struct Pooled {
    admission: Admission,
    transaction: SignedTransaction,
    /// Whether it was handed in here: then this node sees to it that it gets through.
    is_local: bool,
}

/// Why the pool does not take a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPooled {
    /// The ledger's rules refuse it now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Already here.
    #[error("this transaction is already waiting to be recorded")]
    Known,
    /// Another one with this nonce waits.
    #[error(
        "another transaction with nonce {nonce} of this key is already waiting; wait for it or use the next nonce"
    )]
    NonceTaken {
        /// The nonce.
        nonce: u64,
    },
    /// No room.
    #[error("too many transactions are waiting; try again in a few seconds, or offer a fee")]
    Full,
    /// It made a trial block fail.
    #[error(
        "this transaction failed in an unexpected way and is not accepted again for a while; please report it"
    )]
    Quarantined,
}

/// What [`fill`] chose, and what it found to be possible no more.
#[derive(Debug)]
pub struct Filled {
    pub(crate) body: Body,
    pub(crate) stale: Vec<Place>,
    pub(crate) stale_heartbeats: Vec<Arc<PooledHeartbeat>>,
}

/// What [`fill`] chooses from.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Transactions.
    pub transactions: Vec<Arc<Pooled>>,
    /// Heartbeats, ascending by provider.
    pub heartbeats: Vec<Arc<PooledHeartbeat>>,
}

/// Chooses a body for the block above `chain`: the ledger's own order of choice.
#[must_use]
pub fn fill(chain: &impl StateRead, network: &NetworkId, pool: &Pool) -> Filled {
    let heartbeats: Vec<HeartbeatCandidate<'_>> = pool
        .heartbeats
        .iter()
        .map(|pooled| HeartbeatCandidate {
            heartbeat: &pooled.heartbeat,
            admission: &pooled.admission,
        })
        .collect();
    let heartbeats = select::fill_heartbeats(chain, &heartbeats);
    let eligible: Vec<Candidate<'_>> = pool
        .transactions
        .iter()
        .map(|pooled| Candidate {
            transaction: &pooled.transaction,
            admission: &pooled.admission,
        })
        .collect();
    let chosen = select::fill_block(chain, &eligible, &heartbeats.block);
    let at = |places: &[usize]| -> Vec<Candidate<'_>> {
        places
            .iter()
            .filter_map(|at| eligible.get(*at))
            .copied()
            .collect()
    };
    let transactions = at(&chosen.block)
        .iter()
        .map(|candidate| candidate.transaction.clone())
        .collect();
    let stale_heartbeats = heartbeats.stale.iter();
    Filled {
        body: Body::new(network, transactions, heartbeats.block),
        stale: at(&chosen.stale)
            .iter()
            .map(|candidate| Place::of(&candidate.transaction.transaction, candidate.admission.id))
            .collect(),
        stale_heartbeats: stale_heartbeats
            .filter_map(|at| pool.heartbeats.get(*at))
            .map(Arc::clone)
            .collect(),
    }
}

/// A transaction in its key's chain.
#[derive(Debug)]
struct Waiting {
    /// Last height at which a block may hold it: here, so that looking through all costs little.
    valid_until: BlockHeight,
    pooled: Arc<Pooled>,
}

/// The pool.
#[derive(Debug, Default)]
pub(crate) struct Mempool {
    chains: BTreeMap<KeyOfAccount, BTreeMap<u64, Waiting>>,
    /// Those in `chains`.
    len: usize,
    bytes: usize,
    /// Up to which key it was last looked for what has expired.
    looked_to: Option<KeyOfAccount>,
    quarantined: BTreeMap<TransactionId, BlockHeight>,
}

impl Mempool {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn has(&self, place: &Place) -> bool {
        let of_key = self.chains.get(&place.key);
        of_key
            .and_then(|of_key| of_key.get(&place.nonce))
            .is_some_and(|one| one.pooled.admission.id == place.id)
    }

    /// Everything that can be said before the signature is checked.
    ///
    /// # Errors
    /// See [`NotPooled`].
    pub(crate) fn would_take(
        &self,
        transaction: &SignedTransaction,
        network: &NetworkId,
        chain: &impl StateRead,
    ) -> Result<Admission, NotPooled> {
        let id = transaction.transaction.id(network);
        let place = Place::of(&transaction.transaction, id);
        if self.has(&place) {
            return Err(NotPooled::Known);
        }
        if self.quarantined.contains_key(&id) {
            return Err(NotPooled::Quarantined);
        }
        let admission = admit_unverified(chain, transaction)?;
        let nonce = place.nonce;
        if let Some(of_key) = self.chains.get(&place.key) {
            if of_key.contains_key(&nonce) {
                return Err(NotPooled::NonceTaken { nonce });
            }
            if of_key.len() >= POOL_PER_KEY_MAX {
                return Err(NotPooled::Full);
            }
        }
        if self.len >= POOL_TRANSACTIONS_MAX || self.bytes >= POOL_BYTES_MAX {
            return Err(NotPooled::Full);
        }
        Ok(admission)
    }

    /// Adds a transaction that [`Self::would_take`] takes and whose signature holds.
    pub(crate) fn add(&mut self, admission: Admission, transaction: SignedTransaction, is_local: bool) {
        let (key, nonce) = (admission.lane, admission.nonce);
        self.bytes = self.bytes.saturating_add(admission.bytes);
        self.len = self.len.saturating_add(1);
        self.chains.entry(key).or_default().insert(
            nonce,
            Waiting {
                valid_until: transaction.transaction.valid_until,
                pooled: Arc::new(Pooled {
                    admission,
                    transaction,
                    is_local,
                }),
            },
        );
    }

    /// What waits, for [`fill`]; what is quarantined does not.
    pub(crate) fn waiting(&self) -> Vec<Arc<Pooled>> {
        let waiting = self.chains.values().flat_map(BTreeMap::values);
        waiting.map(|one| Arc::clone(&one.pooled)).collect()
    }

    /// Forgets what [`fill`] found to be possible no more.
    pub(crate) fn forget(&mut self, stale: &[Place]) {
        stale.iter().for_each(|place| self.remove(place));
    }

    /// Transactions handed in here that still wait, to be said again: whoever heard them first may have forgotten.
    pub(crate) fn local(&self) -> impl Iterator<Item = &SignedTransaction> {
        let waiting = self.chains.values().flat_map(BTreeMap::values);
        waiting
            .filter(|one| one.pooled.is_local)
            .take(RESENT_MAX)
            .map(|one| &one.pooled.transaction)
    }

    /// Keeps a transaction out of own proposals for a while: it made a trial fail.
    pub(crate) fn quarantine(&mut self, culprit: &Place, head: BlockHeight) {
        self.remove(culprit);
        if self.quarantined.len() < QUARANTINE_MAX {
            self.quarantined.insert(culprit.id, head.plus(QUARANTINE_BLOCKS));
        }
    }

    /// Forgets what the new head makes impossible: included and overtaken transactions, and by and by those that expired. Returns
    /// those that it had, for whoever has the time to free them.
    pub(crate) fn settle(&mut self, spent: &Spent, head: BlockHeight) -> Vec<Arc<Pooled>> {
        self.quarantined.retain(|_, until| *until > head);
        let mut forgotten = Vec::new();
        for (key, nonce) in spent {
            self.remove_to(*key, *nonce, &mut forgotten);
        }
        for place in self.expired(head) {
            self.remove(&place);
        }
        forgotten
    }

    /// What has expired among the next [`LOOKED_AT_ONCE`] that wait: no block may hold it, so there is no hurry.
    fn expired(&mut self, head: BlockHeight) -> Vec<Place> {
        let from = self.looked_to.take().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut expired, mut n_looked_at) = (Vec::new(), 0_usize);
        for (key, of_key) in self.chains.range((from, Bound::Unbounded)) {
            if n_looked_at >= LOOKED_AT_ONCE {
                break;
            }
            n_looked_at = n_looked_at.saturating_add(of_key.len());
            self.looked_to = Some(*key);
            let of_key = of_key.iter().filter(|(_, one)| one.valid_until <= head);
            expired.extend(of_key.map(|(nonce, one)| Place {
                key: *key,
                nonce: *nonce,
                id: one.pooled.admission.id,
            }));
        }
        if n_looked_at < LOOKED_AT_ONCE {
            self.looked_to = None;
        }
        expired
    }

    /// Moves all of a key up to `nonce` to `removed`.
    fn remove_to(&mut self, key: KeyOfAccount, nonce: u64, removed: &mut Vec<Arc<Pooled>>) {
        let Some(of_key) = self.chains.get_mut(&key) else {
            return;
        };
        while let Some(first) = of_key.first_entry().filter(|first| *first.key() <= nonce) {
            let pooled = first.remove().pooled;
            self.bytes = self.bytes.saturating_sub(pooled.admission.bytes);
            self.len = self.len.saturating_sub(1);
            removed.push(pooled);
        }
        if of_key.is_empty() {
            self.chains.remove(&key);
        }
    }

    fn remove(&mut self, place: &Place) {
        if !self.has(place) {
            return;
        }
        let Some(of_key) = self.chains.get_mut(&place.key) else {
            return;
        };
        if let Some(one) = of_key.remove(&place.nonce) {
            self.bytes = self.bytes.saturating_sub(one.pooled.admission.bytes);
            self.len = self.len.saturating_sub(1);
        }
        if of_key.is_empty() {
            self.chains.remove(&place.key);
        }
    }
}

#[cfg(test)]
mod tests;
