//! The prover's tree over a replica (`docs/spec/proofs.md` §5): its upper nodes are kept beside the replica, and the lower ones
//! computed again from the block that is asked for.

use crate::element::{Element, LEAF_BYTES};
use crate::octal::{Family, REPLICA_LEVELS, Tree, leaf_digests, needed};
use crate::params::{index, number};
use crate::poseidon::Tag;
use crate::post::LeafOpening;
use alloc::vec::Vec;
use core::ops::Range;
use serde::{Deserialize, Serialize};

/// Levels below a kept node. An answer to a window takes the hashes of one block: 73 of them, some milliseconds.
const BLOCK_LEVELS: u32 = 2;

/// Leaves of a block: a tree keeps its nodes from the blocks' roots up, which is one byte for 400 of the replica.
const BLOCK_LEAVES: usize = 1 << (3 * BLOCK_LEVELS);

const BLOCK_BYTES: usize = BLOCK_LEAVES * LEAF_BYTES;

/// A leaf at one of all places of its replica's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedLeaf {
    /// The leaf's bytes.
    pub leaf: [u8; LEAF_BYTES],
    /// The children of each node on the way up to the root, lowest first.
    pub path: Vec<Family>,
}

/// The upper nodes of a replica's tree: 2.5 KB per unit. Can be built again from the replica at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaTree {
    upper: Tree,
}

impl ReplicaTree {
    /// The tree over `replica`; a last block of fewer bytes is left out.
    #[must_use]
    pub fn build(replica: &[u8]) -> Self {
        let roots = replica
            .as_chunks::<BLOCK_BYTES>()
            .0
            .iter()
            .map(|block| block_tree(block).root());
        Self {
            upper: Tree::build(Tag::Node, REPLICA_LEVELS - BLOCK_LEVELS, roots.collect()),
        }
    }

    /// The root `comm_r`.
    #[must_use]
    pub fn root(&self) -> Element {
        self.upper.root()
    }

    /// Leaves of the replica.
    fn n_leaves(&self) -> usize {
        self.upper.n_leaves() * BLOCK_LEAVES
    }

    /// Which bytes of the replica [`Self::open`] needs for a leaf: 15.5 KiB around it.
    #[must_use]
    pub fn block_range(leaf_index: u32) -> Range<u64> {
        let first = u64::from(leaf_index) / number(BLOCK_LEAVES) * number(BLOCK_BYTES);
        first..first + number(BLOCK_BYTES)
    }

    /// Opens a leaf from the replica's bytes in [`Self::block_range`]; `None` if `block` is no such block, or has changed
    /// since it was sealed.
    #[must_use]
    pub fn open(&self, leaf_index: u32, block: &[u8]) -> Option<LeafOpening> {
        let leaf_index = index(leaf_index);
        let lower = self.intact(leaf_index / BLOCK_LEAVES, block)?;
        let node = |(level, at): (u32, usize)| match BLOCK_LEVELS.checked_sub(level) {
            Some(below @ 1..) => lower.node(level, at & !(usize::MAX << (3 * below))),
            Some(0) | None => self.upper.node(level - BLOCK_LEVELS, at),
        };
        let siblings = needed(REPLICA_LEVELS, self.n_leaves(), &[leaf_index]);
        let path = siblings.into_iter().map(node).collect::<Option<_>>()?;
        let leaf = *block.as_chunks::<LEAF_BYTES>().0.get(leaf_index % BLOCK_LEAVES)?;
        Some(LeafOpening { leaf, path })
    }

    /// Opens one of all 262,144 places as circuits do, from the replica's bytes in [`Self::block_range`] of the leaf that it
    /// holds, which is its number modulo that of the leaves; `None` if they are no such block, or have changed.
    #[must_use]
    pub fn open_place(&self, place: u32, block: &[u8]) -> Option<PlacedLeaf> {
        let leaf_index = index(place).checked_rem(self.n_leaves())?;
        let lower = self.intact(leaf_index / BLOCK_LEAVES, block)?;
        let leaf = *block.as_chunks::<LEAF_BYTES>().0.get(leaf_index % BLOCK_LEAVES)?;
        let shift = 3 * BLOCK_LEVELS;
        let mut path = lower.path(place & !(u32::MAX << shift));
        path.extend(self.upper.path(place >> shift));
        Some(PlacedLeaf { leaf, path })
    }

    /// The tree of block `at`, if its bytes are the ones over which the kept nodes were built.
    fn intact(&self, at: usize, block: &[u8]) -> Option<Tree> {
        let block: &[u8; BLOCK_BYTES] = block.try_into().ok()?;
        let tree = block_tree(block);
        (self.upper.node(0, at) == Some(tree.root())).then_some(tree)
    }
}

fn block_tree(block: &[u8; BLOCK_BYTES]) -> Tree {
    Tree::build(Tag::Node, BLOCK_LEVELS, leaf_digests(block))
}

#[cfg(test)]
mod tests;
