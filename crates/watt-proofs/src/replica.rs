//! The prover's tree over a replica (`docs/spec/proofs.md` §5): its upper nodes are kept beside the replica, and the lower ones
//! computed again from the block that is asked for.

use crate::element::{Element, LEAF_BYTES};
use crate::octal::{Family, REPLICA_LEVELS, Tree, leaf_digests};
use crate::params::{index, number};
use crate::poseidon::Tag;
use alloc::vec::Vec;
use core::ops::Range;
use serde::{Deserialize, Serialize};
use watt_primitives::Hash;

/// Levels below a kept node. Opening a leaf takes the hashes of one block: 73 of them.
const BLOCK_LEVELS: u32 = 2;

/// Leaves of a block: kept are the nodes from the blocks' roots up and a digest of each block's bytes, which is one byte for 230
/// of the replica.
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

/// The upper nodes of a replica's tree, and what each block's bytes were: 4.7 KB per unit. Can be built again from the replica at
/// any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaTree {
    upper: Tree,
    /// BLAKE3 of each block: whether a block has changed since it was sealed is seen without hashing it as a tree, so that a
    /// window takes one hash for a leaf.
    blocks: Vec<Hash>,
}

impl ReplicaTree {
    /// The tree over `replica`; a last block of fewer bytes is left out.
    #[must_use]
    pub fn build(replica: &[u8]) -> Self {
        let blocks = replica.as_chunks::<BLOCK_BYTES>().0.iter();
        let roots = blocks.clone().map(|block| block_tree(block).root());
        Self {
            upper: Tree::build(Tag::Node, REPLICA_LEVELS - BLOCK_LEVELS, roots.collect()),
            blocks: blocks.map(|block| Hash::of_content(block)).collect(),
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

    /// Which bytes of the replica [`Self::leaf`] and [`Self::open_place`] need for a leaf: 15.5 KiB around it.
    #[must_use]
    pub fn block_range(leaf_index: u32) -> Range<u64> {
        let first = u64::from(leaf_index) / number(BLOCK_LEAVES) * number(BLOCK_BYTES);
        first..first + number(BLOCK_BYTES)
    }

    /// The leaf at one of all 262,144 places, from the replica's bytes in [`Self::block_range`] of the leaf that the place holds,
    /// which is its number modulo that of the leaves; `None` if `block` is no such block, or has changed since it was sealed.
    #[must_use]
    pub fn leaf(&self, place: u32, block: &[u8]) -> Option<[u8; LEAF_BYTES]> {
        let leaf_index = index(place).checked_rem(self.n_leaves())?;
        let sealed = self.blocks.get(leaf_index / BLOCK_LEAVES)?;
        let leaves = block.as_chunks::<LEAF_BYTES>().0;
        let leaf = leaves.get(leaf_index % BLOCK_LEAVES)?;
        (Hash::of_content(block) == *sealed).then_some(*leaf)
    }

    /// The same leaf, opened as circuits do.
    #[must_use]
    pub fn open_place(&self, place: u32, block: &[u8]) -> Option<PlacedLeaf> {
        let leaf = self.leaf(place, block)?;
        let lower = block_tree(block.try_into().ok()?);
        let shift = 3 * BLOCK_LEVELS;
        let mut path = lower.path(place & !(u32::MAX << shift));
        path.extend(self.upper.path(place >> shift));
        Some(PlacedLeaf { leaf, path })
    }
}

fn block_tree(block: &[u8; BLOCK_BYTES]) -> Tree {
    Tree::build(Tag::Node, BLOCK_LEVELS, leaf_digests(block))
}

#[cfg(test)]
mod tests;
