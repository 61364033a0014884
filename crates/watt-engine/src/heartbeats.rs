//! Heartbeats that wait for a block: one of each provider, of the running window (`docs/spec/node.md` §7, TS9).

use crate::message::{HEARTBEATS_PER_MESSAGE_MAX, Message};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watt_ledger::{HeartbeatAdmission, Refused, StateRead, admit_heartbeat};
use watt_light::{ProviderNumber, SignedHeartbeat};
use watt_primitives::{BoundedVec, Window, codec};

/// The most bytes of heartbeats that wait: of 150,000 providers that declare nothing.
pub const HEARTBEAT_POOL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A heartbeat that waits; its signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PooledHeartbeat {
    pub(crate) heartbeat: SignedHeartbeat,
    pub(crate) admission: HeartbeatAdmission,
}

/// Why the pool does not take a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPooled {
    /// The ledger's rules refuse it now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// One of this provider is here already, and the first counts.
    #[error("a heartbeat of this provider is already waiting")]
    Known,
    /// No room, or none are taken in this window.
    #[error("too many heartbeats are waiting")]
    Full,
}

/// The pool.
#[derive(Debug, Default)]
pub(crate) struct HeartbeatPool {
    /// All of what follows is of this window.
    window: Window,
    waiting: BTreeMap<ProviderNumber, Arc<PooledHeartbeat>>,
    bytes: usize,
    /// Those that can count no more; they stay, so that they are not taken and passed on again.
    stale: BTreeSet<ProviderNumber>,
    /// Those handed in here, or made here.
    local: BTreeSet<ProviderNumber>,
    /// A trial with heartbeats failed in a way that says nothing of transactions: none are proposed in this window any more.
    is_barred: bool,
}

impl HeartbeatPool {
    /// Forgets all of other windows than the one that the next block lies in.
    pub(crate) fn settle(&mut self, window: Window) {
        if self.window != window {
            *self = Self {
                window,
                ..Self::default()
            };
        }
    }

    /// Everything that can be said before the signature is checked.
    ///
    /// # Errors
    /// See [`NotPooled`].
    pub(crate) fn would_take(
        &self,
        window: Window,
        heartbeat: &SignedHeartbeat,
        chain: &impl StateRead,
    ) -> Result<HeartbeatAdmission, NotPooled> {
        if window == self.window && self.waiting.contains_key(&heartbeat.provider) {
            return Err(NotPooled::Known);
        }
        if self.bytes >= HEARTBEAT_POOL_BYTES_MAX {
            return Err(NotPooled::Full);
        }
        Ok(admit_heartbeat(chain, window, heartbeat)?)
    }

    /// Adds one that [`Self::would_take`] takes and whose signature holds.
    pub(crate) fn add(&mut self, heartbeat: SignedHeartbeat, admission: HeartbeatAdmission, is_local: bool) {
        self.settle(admission.window);
        self.bytes = self.bytes.saturating_add(codec::encode(&heartbeat).len());
        if is_local {
            self.local.insert(heartbeat.provider);
        }
        let number = heartbeat.provider;
        let pooled = PooledHeartbeat { heartbeat, admission };
        self.waiting.insert(number, Arc::new(pooled));
    }

    /// What waits for a block, ascending by number.
    pub(crate) fn waiting(&self) -> Vec<Arc<PooledHeartbeat>> {
        let waiting = self.waiting.iter().filter(|_| !self.is_barred);
        let waiting = waiting.filter(|(number, _)| !self.stale.contains(number));
        waiting.map(|(_, pooled)| Arc::clone(pooled)).collect()
    }

    /// These can count no more.
    pub(crate) fn forget(&mut self, stale: &[Arc<PooledHeartbeat>]) {
        let of_window = stale.iter().filter(|one| one.admission.window == self.window);
        self.stale.extend(of_window.map(|one| one.heartbeat.provider));
    }

    /// Proposes none of this window any more.
    pub(crate) const fn bar(&mut self) {
        self.is_barred = true;
    }

    /// Those handed in or made here that still wait, to be said again: whoever heard them first may have forgotten.
    pub(crate) fn local(&self) -> Option<Message> {
        let local = self.local.iter().filter(|number| !self.stale.contains(number));
        let local = local.filter_map(|number| self.waiting.get(number));
        message(
            self.window,
            local
                .map(|pooled| pooled.heartbeat.clone())
                .take(HEARTBEATS_PER_MESSAGE_MAX)
                .collect(),
        )
    }
}

/// A message with these heartbeats of one window, if there are any, as many as it holds.
pub(crate) fn message(window: Window, heartbeats: Vec<SignedHeartbeat>) -> Option<Message> {
    let heartbeats = BoundedVec::new(heartbeats).ok().filter(|all| !all.is_empty())?;
    Some(Message::Heartbeats { window, heartbeats })
}
