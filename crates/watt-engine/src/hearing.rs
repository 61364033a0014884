//! Which validators were heard lately: for whoever watches, never for agreement.

use std::collections::BTreeMap;
use watt_primitives::{NodeId, SlotIndex, Timestamp};
use watt_scp::Statement;

/// The most validators that are remembered; beyond it whoever was silent longest is forgotten.
pub const HEARD_MAX: usize = 256;

/// The last that was heard of a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The slot of its newest statement.
    pub slot: SlotIndex,
    /// When it came, or came again.
    pub at: Timestamp,
}

/// The last word of every validator that was heard since the start.
///
/// A statement that is known already counts too: in a network that stands still nobody says anything new, and those who live repeat
/// themselves. A peer that repeats the words of a validator that is gone makes it look alive until the slot ends.
#[derive(Clone, Debug, Default)]
pub struct Hearing {
    words: BTreeMap<NodeId, Word>,
}

impl Hearing {
    /// A statement of an entry came, checked or known.
    pub(crate) fn note(&mut self, statement: &Statement, at: Timestamp) {
        let word = self.words.entry(statement.node).or_insert(Word {
            slot: statement.slot,
            at,
        });
        word.slot = word.slot.max(statement.slot);
        word.at = word.at.max(at);
        if self.words.len() > HEARD_MAX {
            let longest = self.words.iter().min_by_key(|(_, word)| word.at);
            if let Some(node) = longest.map(|(node, _)| *node) {
                self.words.remove(&node);
            }
        }
    }

    /// Every validator that was heard, with its last word.
    pub fn words(&self) -> impl Iterator<Item = (NodeId, Word)> {
        self.words.iter().map(|(node, word)| (*node, *word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_primitives::Hash;
    use watt_scp::Pledges;

    fn statement(node: u32, slot: u64) -> Statement {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&node.to_be_bytes());
        Statement {
            node: NodeId(id),
            slot: SlotIndex(slot),
            quorum_set: Hash([0; 32]),
            pledges: Pledges::Nominate {
                votes: watt_primitives::BoundedVec::empty(),
                accepted: watt_primitives::BoundedVec::empty(),
            },
        }
    }

    #[test]
    fn the_newest_word_counts() {
        let mut hearing = Hearing::default();
        hearing.note(&statement(1, 5), Timestamp(50));
        hearing.note(&statement(1, 4), Timestamp(60));
        let words: Vec<Word> = hearing.words().map(|(_, word)| word).collect();
        let expected = Word {
            slot: SlotIndex(5),
            at: Timestamp(60),
        };
        assert_eq!(words, [expected]);
    }

    /// Terms come and go; what is remembered does not grow.
    #[test]
    fn the_longest_silent_are_forgotten() {
        let mut hearing = Hearing::default();
        for node in 0..300 {
            hearing.note(&statement(node, 1), Timestamp(u64::from(node)));
        }
        assert_eq!(hearing.words().count(), HEARD_MAX);
        assert!(hearing.words().all(|(_, word)| word.at >= Timestamp(44)));
    }
}
