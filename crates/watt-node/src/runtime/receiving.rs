//! Which slots are being received. Of two transfers of one slot the newer counts: a client that was killed comes back at once,
//! while its old connection may look alive for half a minute.

use crate::lock::locked;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use watt_primitives::{DealId, SlotIndexInDeal};

/// Deal and slot.
type Key = (DealId, SlotIndexInDeal);

/// The newest transfer of each slot.
#[derive(Debug, Default)]
pub(crate) struct Receiving(Mutex<BTreeMap<Key, Arc<Notify>>>);

/// A transfer's right to write, until it is dropped or superseded.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    all: &'a Receiving,
    key: Key,
    superseded: Arc<Notify>,
}

impl Receiving {
    /// Begins a transfer, and tells an older one of the same slot to end.
    pub(crate) fn begin(&self, key: Key) -> Turn<'_> {
        let superseded = Arc::new(Notify::new());
        let mut all = locked(&self.0);
        if let Some(older) = all.insert(key, Arc::clone(&superseded)) {
            older.notify_one();
        }
        Turn {
            all: self,
            key,
            superseded,
        }
    }
}

impl Turn<'_> {
    /// Returns when a newer transfer of the slot has begun.
    pub(crate) async fn is_over(&self) {
        self.superseded.notified().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut all = locked(&self.all.0);
        if all
            .get(&self.key)
            .is_some_and(|newest| Arc::ptr_eq(newest, &self.superseded))
        {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn slot(n: u8) -> Key {
        (DealId([7; 32]), SlotIndexInDeal(n))
    }

    /// A client that comes back is served at once; its dead transfer ends, other slots go on, and nothing is left behind.
    ///
    /// Covers: C1.
    #[test]
    fn the_newest_transfer_of_a_slot_counts() {
        let all = Receiving::default();
        let (dead, other) = (all.begin(slot(0)), all.begin(slot(1)));
        assert_eq!(dead.is_over().now_or_never(), None);
        let back = all.begin(slot(0));
        assert_eq!(dead.is_over().now_or_never(), Some(()));
        // The end of the old one does not take the new one's place away.
        drop(dead);
        assert_eq!(back.is_over().now_or_never(), None);
        let again = all.begin(slot(0));
        assert_eq!(back.is_over().now_or_never(), Some(()));
        assert_eq!(other.is_over().now_or_never(), None);
        drop((again, back, other));
        assert!(all.0.lock().unwrap().is_empty());
    }
}
