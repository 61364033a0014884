//! Copies of messages with statements: every entry relays every statement, so that most are copies, known here without
//! decoding them.

use std::collections::BTreeSet;
use watt_primitives::Hash;

/// The most messages remembered of each kind.
const REMEMBERED_MAX: usize = 4_096;

/// Hashes of messages of which a further copy changes nothing.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Those that were dealt with.
    done: BTreeSet<Hash>,
    /// The same below the head: copies are still on their way when it moves.
    done_before: BTreeSet<Hash>,
    /// Those that wait for their slot.
    waiting: BTreeSet<Hash>,
}

impl Copies {
    pub(super) fn has(&self, hash: &Hash) -> bool {
        [&self.done, &self.done_before, &self.waiting]
            .iter()
            .any(|hashes| hashes.contains(hash))
    }

    /// Nothing is left to be done about this message.
    pub(super) fn done(&mut self, hash: Hash) {
        insert(&mut self.done, hash);
    }

    /// This message waits.
    pub(super) fn waits(&mut self, hash: Hash) {
        insert(&mut self.waiting, hash);
    }

    /// What waited is looked at now, and may be dropped.
    pub(super) fn wait_is_over(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn head_moved(&mut self) {
        self.done_before = std::mem::take(&mut self.done);
    }
}

fn insert(hashes: &mut BTreeSet<Hash>, hash: Hash) {
    if hashes.len() < REMEMBERED_MAX {
        hashes.insert(hash);
    }
}
