//! Sets of nodes as bits: what makes a federated check a handful of machine instructions.

use alloc::vec::Vec;

/// The most nodes one `Scp` tells apart: a full quorum set of 1000, this node, and some room.
pub(crate) const NODES_MAX: usize = 1024;

const WORDS: usize = NODES_MAX / 64;

/// A node's number in the roster; this node is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeIndex(u16);

impl NodeIndex {
    /// This node.
    pub(crate) const OWN: Self = Self(0);

    /// `position` as an index, if it is in range.
    pub(crate) fn new(position: usize) -> Option<Self> {
        if position < NODES_MAX {
            u16::try_from(position).ok().map(Self)
        } else {
            None
        }
    }

    /// Position in per-node lists.
    pub(crate) fn position(self) -> usize {
        usize::from(self.0)
    }

    fn word(self) -> usize {
        self.position() >> 6
    }

    fn bit(self) -> u64 {
        1u64.wrapping_shl(u32::from(self.0))
    }
}

/// The place of `node` in a list by node position, which grows once, to as many places as there are nodes.
pub(crate) fn place_of<T>(
    node: NodeIndex,
    n_nodes: usize,
    list: &mut Vec<Option<T>>,
) -> Option<&mut Option<T>> {
    let len = n_nodes.max(node.position().saturating_add(1));
    if list.len() <= node.position() {
        list.reserve_exact(len.saturating_sub(list.len()));
        list.resize_with(len, || None);
    }
    list.get_mut(node.position())
}

/// A set of nodes. Words at or above `width` are zero, so small networks pay for one word only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeSet {
    words: [u64; WORDS],
    width: usize,
}

impl NodeSet {
    pub(crate) const EMPTY: Self = Self {
        words: [0; WORDS],
        width: 0,
    };

    pub(crate) fn insert(&mut self, node: NodeIndex) {
        if let Some(word) = self.words.get_mut(node.word()) {
            *word |= node.bit();
            self.width = self.width.max(node.word().saturating_add(1));
        }
    }

    pub(crate) fn remove(&mut self, node: NodeIndex) {
        if let Some(word) = self.words.get_mut(node.word()) {
            *word &= !node.bit();
        }
    }

    pub(crate) fn contains(&self, node: NodeIndex) -> bool {
        self.words
            .get(node.word())
            .is_some_and(|word| word & node.bit() != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().take(self.width).all(|word| *word == 0)
    }

    /// How many nodes are in both sets.
    pub(crate) fn count_common(&self, other: &Self) -> u32 {
        let pairs = self.words.iter().zip(&other.words);
        pairs
            .take(self.width.min(other.width))
            .fold(0, |count, (a, b)| count.saturating_add((a & b).count_ones()))
    }

    /// How many nodes are in the set.
    pub(crate) fn count(&self) -> u32 {
        self.count_common(self)
    }

    /// Whether the sets have a node in common.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let pairs = self.words.iter().zip(&other.words);
        pairs.take(self.width.min(other.width)).any(|(a, b)| a & b != 0)
    }

    /// Removes the nodes of `other`.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (word, gone) in self.words.iter_mut().zip(&other.words).take(other.width) {
            *word &= !gone;
        }
    }

    /// Adds the nodes of `other`.
    pub(crate) fn unite(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words).take(other.width) {
            *word |= more;
        }
        self.width = self.width.max(other.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(positions: &[usize]) -> NodeSet {
        let mut nodes = NodeSet::EMPTY;
        for position in positions {
            nodes.insert(NodeIndex::new(*position).unwrap());
        }
        nodes
    }

    /// Sets behave as sets across word borders. Covers: A1.
    #[test]
    fn members_across_words_are_counted_united_and_removed() {
        let mut nodes = set(&[0, 63, 64, 1023]);
        assert_eq!(nodes.count(), 4);
        assert_eq!(nodes.count_common(&set(&[63, 64, 65])), 2);
        assert!(nodes.contains(NodeIndex::new(1023).unwrap()));
        assert!(NodeIndex::new(1024).is_none());
        nodes.subtract(&set(&[0, 1023]));
        assert_eq!(nodes.count(), 2);
        nodes.unite(&set(&[5]));
        assert!(nodes.meets(&set(&[5, 900])));
        nodes.remove(NodeIndex::new(5).unwrap());
        assert!(!nodes.meets(&set(&[5, 900])));
        nodes.subtract(&set(&[63, 64]));
        assert!(nodes.is_empty());
    }
}
