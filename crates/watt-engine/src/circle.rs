//! The circle as a second part of a follower's quorum set, `2 of [Q_B, t_c of the circle]` (`docs/spec/node.md` 8.10, ADR 20): a block
//! that the backbone decided is stored only if as many people of the circle as needed have the same.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use watt_light::BlockName;
use watt_light::circle::{needed_of, quorum_set_of};
use watt_primitives::{BlockHeight, Hash, NodeId};
use watt_scp::fbas::has_slice_in;

/// The most nodes that a circle can have; what is above is left out.
pub const NODES_MAX: usize = 16;

/// Whose word about blocks this node waits for.
#[derive(Clone, Debug, Default)]
pub(crate) enum Trusted {
    /// Nobody's: the quorum set is the backbone's.
    #[default]
    Off,
    /// The circle's, which is not known yet: nothing is stored before it is.
    Awaited,
    /// That of these nodes, one of each person; with too few of them nobody's.
    Of(Vec<NodeId>),
}

/// The circle of a follower, and which blocks its nodes named.
#[derive(Debug, Default)]
pub(crate) struct Circle {
    trusted: Trusted,
    /// The last block that each named.
    words: BTreeMap<NodeId, BlockName>,
    /// The height about which words are wanted.
    wanted: Option<BlockHeight>,
}

/// How far a run of blocks that wait may be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// As far as they go.
    All,
    /// Up to this height, which enough people named.
    To(BlockHeight),
    /// Not at all: words are wanted first.
    Nowhere,
}

impl Circle {
    /// From now on blocks wait for it.
    pub(crate) fn turn_on(&mut self) {
        self.trusted = Trusted::Awaited;
    }

    /// The height about which words of the circle are wanted.
    pub(crate) const fn wanted(&self) -> Option<BlockHeight> {
        self.wanted
    }

    /// The circle has these nodes, which named these blocks.
    pub(crate) fn hear(&mut self, nodes: Vec<NodeId>, words: &[(NodeId, BlockName)]) {
        if matches!(self.trusted, Trusted::Off) {
            return;
        }
        self.words.retain(|node, _| nodes.contains(node));
        let known = words.iter().filter(|(node, _)| nodes.contains(node));
        self.words.extend(known.copied());
        let mut nodes = nodes;
        nodes.sort_unstable();
        nodes.dedup();
        nodes.truncate(NODES_MAX);
        self.trusted = Trusted::Of(nodes);
    }

    /// How many must name a block; `None` if nobody is waited for.
    fn needed(&self) -> Option<usize> {
        match &self.trusted {
            Trusted::Off => None,
            Trusted::Awaited => Some(usize::MAX),
            Trusted::Of(nodes) => needed_of(nodes.len()),
        }
    }

    /// No block waits.
    pub(crate) const fn rest(&mut self) {
        self.wanted = None;
    }

    /// How far blocks of these heights may be checked.
    pub(crate) fn reach(&mut self, heights: RangeInclusive<BlockHeight>) -> Reach {
        self.wanted = None;
        let Some(needed) = self.needed() else {
            return Reach::All;
        };
        let mut named: Vec<BlockName> = self.words.values().copied().collect();
        named.sort_unstable_by(|one, other| other.cmp(one));
        let count = |block: &BlockName| named.iter().filter(|other| *other == block).count();
        let both = named
            .iter()
            .find(|block| heights.contains(&block.height) && count(block) >= needed);
        if let Some(block) = both {
            return Reach::To(block.height);
        }
        // As many as needed have blocks up to this height: all of them are asked about one that all have.
        let common = needed.checked_sub(1).and_then(|last| named.get(last));
        let common = common.map(|block| block.height);
        let common = common.filter(|height| heights.contains(height));
        self.wanted = Some(common.unwrap_or(*heights.end()));
        Reach::Nowhere
    }

    /// What they named up to this height did not fit what came: they are asked again.
    pub(crate) fn ask_again(&mut self, up_to: BlockHeight) {
        self.words.retain(|_, block| block.height > up_to);
    }

    /// Whether a decided block may be stored: the circle's part of the quorum set. The backbone's was checked with its proof.
    pub(crate) fn accepts(&self, height: BlockHeight, hash: Hash) -> bool {
        let nodes = match &self.trusted {
            Trusted::Off => return true,
            Trusted::Awaited => return false,
            Trusted::Of(nodes) => nodes,
        };
        let named = BlockName { height, hash };
        let same = self.words.iter().filter(|(_, block)| **block == named);
        let same = same.map(|(node, _)| *node).collect();
        quorum_set_of(nodes).is_none_or(|set| has_slice_in(&set, &same))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn named(n: u8, height: u64, hash: u8) -> (NodeId, BlockName) {
        let block = BlockName {
            height: BlockHeight(height),
            hash: Hash([hash; 32]),
        };
        (node(n), block)
    }

    fn circle(n_nodes: u8, words: &[(NodeId, BlockName)]) -> Circle {
        let mut circle = Circle::default();
        circle.turn_on();
        circle.hear((1..=n_nodes).map(node).collect(), words);
        circle
    }

    fn reach(circle: &mut Circle, first: u64, last: u64) -> Reach {
        circle.reach(BlockHeight(first)..=BlockHeight(last))
    }

    /// Off, or with fewer than four people, nothing waits; before the circle is known everything does. Covers: A3.
    #[test]
    fn who_waits_for_whom() {
        let mut off = Circle::default();
        off.hear((1..=5).map(node).collect(), &[]);
        assert_eq!(reach(&mut off, 1, 9), Reach::All);
        assert!(off.accepts(BlockHeight(9), Hash([1; 32])));
        let mut few = circle(3, &[]);
        assert_eq!((reach(&mut few, 1, 9), few.wanted()), (Reach::All, None));
        assert!(few.accepts(BlockHeight(9), Hash([1; 32])));
        let mut awaited = Circle::default();
        awaited.turn_on();
        assert_eq!(reach(&mut awaited, 1, 9), Reach::Nowhere);
        assert_eq!(awaited.wanted(), Some(BlockHeight(9)));
        assert!(!awaited.accepts(BlockHeight(9), Hash([1; 32])));
    }

    /// A block is taken when two of four name it and not when one does, or two name others. Covers: A3.
    #[test]
    fn as_many_as_needed_must_name_the_same() {
        let hash = Hash([1; 32]);
        let mut one = circle(4, &[named(1, 9, 1)]);
        assert_eq!(
            (reach(&mut one, 5, 9), one.wanted()),
            (Reach::Nowhere, Some(BlockHeight(9)))
        );
        assert!(!one.accepts(BlockHeight(9), hash));
        let mut two = circle(4, &[named(1, 9, 1), named(4, 9, 1)]);
        assert_eq!(reach(&mut two, 5, 20), Reach::To(BlockHeight(9)));
        assert!(two.accepts(BlockHeight(9), hash) && !two.accepts(BlockHeight(8), hash));
        let mut others = circle(4, &[named(1, 9, 1), named(4, 9, 2)]);
        assert_eq!(reach(&mut others, 5, 20), Reach::Nowhere);
        assert!(!others.accepts(BlockHeight(9), hash));
        let strangers = circle(4, &[named(1, 9, 1), named(9, 9, 1)]);
        assert!(!strangers.accepts(BlockHeight(9), hash));
        assert_eq!(
            reach(&mut two, 10, 20),
            Reach::Nowhere,
            "they said nothing about these"
        );
    }

    /// People who are not equally far are asked about what both have. Covers: A3.
    #[test]
    fn who_lags_is_asked_about_what_they_have() {
        let mut apart = circle(4, &[named(1, 30, 1), named(2, 12, 1), named(3, 7, 1)]);
        assert_eq!(reach(&mut apart, 5, 40), Reach::Nowhere);
        assert_eq!(apart.wanted(), Some(BlockHeight(12)));
        assert_eq!(reach(&mut apart, 20, 40), Reach::Nowhere);
        assert_eq!(apart.wanted(), Some(BlockHeight(40)));
    }
}
