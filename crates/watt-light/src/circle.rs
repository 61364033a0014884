//! The people whom a person trusts as witnesses (`docs/spec/light.md` §9): how many of them must know a block before it counts as confirmed,
//! and what they have said.
//!
//! It can only make somebody wait: nothing is believed because of it that the backbone did not decide (the test
//! `circles_only_make_a_node_wait`).

use crate::freshness::BlockName;
use alloc::collections::{BTreeMap, BTreeSet};
use watt_primitives::{BlockHeight, Hash, NodeId};
use watt_scp::QuorumSet;

/// The fewest people with nodes who are asked to confirm; fewer are too easily all asleep, or all bought.
pub const WITNESSES_MIN: usize = 4;

/// How many of `n` people must confirm, a third rounded up; `None` if so few are not asked.
///
/// The threshold is low because whoever can keep it from being reached can keep a person waiting.
#[must_use]
pub const fn needed_of(n: usize) -> Option<usize> {
    if n < WITNESSES_MIN {
        None
    } else {
        Some(n.div_ceil(3))
    }
}

/// The circle's part of a follower's quorum set, `t_c` of these nodes, one of each person: with the backbone's, `Q_B`, the whole set is
/// `2 of [Q_B, t_c of the circle]`. `None` if the people are too few to be asked: then it is `Q_B`.
#[must_use]
pub fn quorum_set_of(nodes: &[NodeId]) -> Option<QuorumSet> {
    let needed = u32::try_from(needed_of(nodes.len())?).ok()?;
    Some(QuorumSet::flat(needed, nodes.to_vec()))
}

/// What one person's node said last, compared with what is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// The same block as here.
    Same(BlockHeight),
    /// Another block of this height.
    Other(BlockName),
}

/// What the people of a circle said, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnesses<P> {
    /// Those who run nodes.
    people: BTreeSet<P>,
    said: BTreeMap<P, Said>,
}

impl<P> Default for Witnesses<P> {
    fn default() -> Self {
        Self {
            people: BTreeSet::new(),
            said: BTreeMap::new(),
        }
    }
}

impl<P: Copy + Ord> Witnesses<P> {
    /// From now on these people run nodes; what others said is forgotten.
    pub fn set_people(&mut self, people: BTreeSet<P>) {
        self.said.retain(|person, _| people.contains(person));
        self.people = people;
    }

    /// A person's node named a block, and here the header of its height has the hash `own`, if there is one. A node that names what
    /// follows on the block here is right again, whatever it named before.
    pub fn hear(&mut self, person: P, block: BlockName, own: Option<Hash>) {
        if !self.people.contains(&person) {
            return;
        }
        let said = match own {
            None => return,
            Some(hash) if hash == block.hash => {
                let before = match self.said.get(&person) {
                    Some(Said::Same(height)) => *height,
                    // Below what it contradicts everybody agrees.
                    Some(Said::Other(other)) if block.height < other.height => return,
                    Some(Said::Other(_)) | None => block.height,
                };
                Said::Same(block.height.max(before))
            }
            Some(_) => Said::Other(block),
        };
        self.said.insert(person, said);
    }

    /// How many people run nodes.
    #[must_use]
    pub fn n_people(&self) -> usize {
        self.people.len()
    }

    /// How many of them must confirm; `None` if they are too few to be asked.
    #[must_use]
    pub fn needed(&self) -> Option<usize> {
        needed_of(self.people.len())
    }

    /// How many confirm the block of this height that is known here, and with it all below.
    #[must_use]
    pub fn confirming(&self, height: BlockHeight) -> usize {
        self.heights().filter(|confirmed| *confirmed >= height).count()
    }

    /// The height up to which as many as needed confirm; `None` if they are too few to be asked, or have not said so much yet.
    #[must_use]
    pub fn confirmed(&self) -> Option<BlockHeight> {
        let needed = self.needed()?;
        let mut heights: alloc::vec::Vec<BlockHeight> = self.heights().collect();
        heights.sort_unstable_by(|one, other| other.cmp(one));
        heights.get(needed.checked_sub(1)?).copied()
    }

    fn heights(&self) -> impl Iterator<Item = BlockHeight> + '_ {
        self.said.values().filter_map(|said| match said {
            Said::Same(height) => Some(*height),
            Said::Other(_) => None,
        })
    }

    /// Who names another block of a height than is known here: they or this node were deceived.
    pub fn contradicting(&self) -> impl Iterator<Item = (P, BlockName)> + '_ {
        self.said.iter().filter_map(|(person, said)| match said {
            Said::Other(block) => Some((*person, *block)),
            Said::Same(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet as Set;
    use alloc::vec::Vec;
    use watt_primitives::BoundedVec;
    use watt_scp::fbas::{greatest_quorum_in, is_quorum};

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    /// `2 of [Q_B, t_c of the circle]`.
    fn with_circle(backbone: &QuorumSet, circle: &[NodeId]) -> QuorumSet {
        let Some(circle) = quorum_set_of(circle) else {
            return backbone.clone();
        };
        QuorumSet {
            threshold: 2,
            nodes: BoundedVec::empty(),
            inner: BoundedVec::new([backbone.clone(), circle].into()).unwrap_or_default(),
        }
    }

    /// Whatever people trust each other, sleep or collude: a quorum of followers holds a slice of the backbone, so any two of them meet
    /// in it; and the backbone goes on without any follower. Seven validators, five of them decide; ten followers, whose circles are
    /// every window of five among them; every set of followers.
    ///
    /// Covers: A1, A3.
    #[test]
    fn circles_only_make_a_node_wait() {
        let backbone: Vec<NodeId> = (1..=7).map(node).collect();
        let followers: Vec<NodeId> = (11..=20).map(node).collect();
        let of_backbone = QuorumSet::flat(5, backbone.clone());
        let mut sets: BTreeMap<NodeId, QuorumSet> =
            backbone.iter().map(|one| (*one, of_backbone.clone())).collect();
        for (at, one) in followers.iter().enumerate() {
            let circle: Vec<NodeId> = followers
                .iter()
                .cycle()
                .skip(at.saturating_add(1))
                .take(5)
                .copied()
                .collect();
            let set = with_circle(&of_backbone, &circle);
            assert!(set.is_sane());
            sets.insert(*one, set);
        }
        let decided: Set<NodeId> = backbone.iter().take(5).copied().collect();
        assert!(is_quorum(&decided, &sets), "no follower is needed");
        for mask in 0_u32..1 << followers.len() {
            let awake: Set<NodeId> = (0..)
                .zip(&followers)
                .filter(|(at, _)| mask >> at & 1 == 1)
                .map(|(_, one)| *one)
                .collect();
            let mut all: Set<NodeId> = awake.union(&decided).copied().collect();
            let agreed = greatest_quorum_in(&all, &sets);
            assert!(decided.is_subset(&agreed), "the backbone waits for nobody");
            assert!(
                awake.len() < followers.len() || agreed == all,
                "nobody waits while all are awake"
            );
            // Without one of the five nobody agrees on anything, however many people collude.
            all.remove(&node(1));
            assert!(greatest_quorum_in(&all, &sets).is_empty());
        }
    }

    fn block(height: u64, hash: u8) -> BlockName {
        BlockName {
            height: BlockHeight(height),
            hash: Hash([hash; 32]),
        }
    }

    fn witnesses(n: u8) -> Witnesses<u8> {
        let mut witnesses = Witnesses::default();
        witnesses.set_people((1..=n).collect());
        witnesses
    }

    /// A third, rounded up, of four and more. Covers: A3.
    #[test]
    fn a_third_of_at_least_four_confirm() {
        let needed: alloc::vec::Vec<_> = (0..=7).map(needed_of).collect();
        assert_eq!(
            needed,
            [None, None, None, None, Some(2), Some(2), Some(2), Some(3)]
        );
    }

    /// A block is confirmed when enough people know it or what follows on it; one alone confirms nothing. Covers: A3.
    #[test]
    fn a_block_is_confirmed_with_all_below() {
        let mut four = witnesses(4);
        four.hear(1, block(9, 1), Some(Hash([1; 32])));
        assert_eq!((four.confirmed(), four.confirming(BlockHeight(9))), (None, 1));
        four.hear(2, block(7, 1), Some(Hash([1; 32])));
        assert_eq!(four.confirmed(), Some(BlockHeight(7)));
        four.hear(2, block(5, 1), Some(Hash([1; 32])));
        assert_eq!(
            four.confirmed(),
            Some(BlockHeight(7)),
            "an older answer takes nothing back"
        );
        four.hear(3, block(99, 1), None);
        four.hear(9, block(9, 1), Some(Hash([1; 32])));
        assert_eq!(
            four.confirming(BlockHeight(8)),
            1,
            "what is not known here, and strangers"
        );
    }

    /// With fewer than four nothing is confirmed and nothing waits. Covers: A3.
    #[test]
    fn fewer_than_four_are_not_asked() {
        let mut three = witnesses(3);
        for person in 1..=3 {
            three.hear(person, block(9, 1), Some(Hash([1; 32])));
        }
        assert_eq!((three.needed(), three.confirmed()), (None, None));
    }

    /// Whoever names another block is told of until they name what follows on the one here. Covers: A3.
    #[test]
    fn another_block_is_an_alarm_until_it_is_taken_back() {
        let mut four = witnesses(4);
        four.hear(1, block(5, 1), Some(Hash([1; 32])));
        four.hear(1, block(6, 2), Some(Hash([1; 32])));
        assert_eq!(four.confirming(BlockHeight(5)), 0);
        let alarms: alloc::vec::Vec<_> = four.contradicting().collect();
        assert_eq!(alarms, [(1, block(6, 2))]);
        four.hear(1, block(5, 1), Some(Hash([1; 32])));
        assert_eq!(four.contradicting().count(), 1, "below the fork all agree");
        four.hear(1, block(7, 1), Some(Hash([1; 32])));
        assert_eq!(four.contradicting().count(), 0);
        four.hear(2, block(6, 2), Some(Hash([1; 32])));
        four.set_people([1, 3, 4, 5].into());
        assert_eq!(
            four.contradicting().count(),
            0,
            "who left the circle counts no more"
        );
    }
}
