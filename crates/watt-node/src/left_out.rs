//! Whether those who propose leave a transaction out: what the person sees of quiet censorship (TC38, `docs/spec/node.md` 7.8).

use std::collections::BTreeSet;
use watt_primitives::NodeId;

/// Blocks with room after which it is said who leaves a transaction out. If one proposer in three does, so many in a row do it once in
/// half a million times.
pub(crate) const PATIENCE_BLOCKS: u64 = 12;

/// The blocks since a transaction was handed in, none of which it is in.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    n_blocks: u64,
    n_with_room: u64,
    proposers: BTreeSet<NodeId>,
}

impl LeftOut {
    /// One more, by `proposer`; whether there was room in it for another transaction.
    pub(crate) fn add(&mut self, proposer: NodeId, had_room: bool) {
        self.n_blocks = self.n_blocks.saturating_add(1);
        if had_room {
            self.n_with_room = self.n_with_room.saturating_add(1);
            self.proposers.insert(proposer);
        }
    }

    /// In words; nothing while it is too early to say, or blocks were full.
    pub(crate) fn sentence(&self) -> Option<String> {
        let (n_blocks, n_with_room, n_proposers) = (self.n_blocks, self.n_with_room, self.proposers.len());
        (n_with_room >= PATIENCE_BLOCKS).then(|| {
            format!(
                "{n_with_room} of the last {n_blocks} blocks had room for it, and their proposers, {n_proposers} in all, left it out"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_primitives::SecretKey;

    /// Whoever waits is told by how many a transaction was left out, once that can't be chance, and never while blocks are full.
    /// Covers: A5.
    #[test]
    fn who_leaves_a_transaction_out_is_seen() {
        let proposer = |n: u8| SecretKey::from_seed([n; 32]).node_id();
        let mut full = LeftOut::default();
        (0..100).for_each(|_| full.add(proposer(1), false));
        assert_eq!(full.sentence(), None, "who offers more has precedence");
        let mut quiet = LeftOut::default();
        quiet.add(proposer(9), false);
        for n in 0..11 {
            quiet.add(proposer(n % 3), true);
        }
        assert_eq!(quiet.sentence(), None, "too early");
        quiet.add(proposer(0), true);
        let expected = "12 of the last 13 blocks had room for it, and their proposers, 3 in all, left it out";
        assert_eq!(quiet.sentence().as_deref(), Some(expected));
    }
}
