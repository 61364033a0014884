//! Trees over what a provider stores: one over each replica, and one over its sectors (`docs/spec/proofs.md` §11).

use crate::element::{Element, F, LEAF_BYTES};
use crate::index;
use crate::poseidon::Tag;
use crate::shape::Shape;
use crate::tree::{Family, Tree, leaf_digests};
use core::ops::Range;

/// Levels below a kept node: a tree of a replica keeps its nodes from there up and computes the rest again from 512 leaves.
const BLOCK_LEVELS: u32 = 3;

/// Where leaves of replicas come from.
pub trait LeafRead: Sync {
    /// Leaf `leaf` of the replica of sector `sector`, counted in the order of the set; `None` if it can't be read.
    fn leaf(&self, sector: u32, leaf: u32) -> Option<[u8; LEAF_BYTES]>;
}

/// The upper nodes of a replica's tree: 16 KiB for 64 MiB. Can be built again from the replica at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaTree {
    block_leaves: u32,
    tree: Tree,
}

impl ReplicaTree {
    /// The tree over `replica`; `None` if it isn't a number of whole blocks that the shape has places for, at least one.
    #[must_use]
    pub fn build(shape: Shape, replica: &[u8]) -> Option<Self> {
        let block_leaves = block_leaves(shape);
        let block_bytes = index(block_leaves).checked_mul(LEAF_BYTES)?;
        let n_blocks = replica.len().checked_div(block_bytes)?;
        let is_whole = n_blocks.checked_mul(block_bytes)? == replica.len();
        let n_blocks = u32::try_from(n_blocks).ok().filter(|n| is_whole && *n > 0)?;
        if n_blocks > shape.leaves().checked_div(block_leaves)? {
            return None;
        }
        let blocks = replica
            .chunks_exact(block_bytes)
            .map(|block| block_tree(shape, block).root());
        Some(Self {
            block_leaves,
            tree: Tree::build(Tag::Node, upper_levels(shape), blocks.collect()),
        })
    }

    /// The root, which the ledger keeps for each sector.
    #[must_use]
    pub fn root(&self) -> Element {
        Element(self.tree.root())
    }

    /// Which bytes of the replica [`Self::open`] needs for a leaf.
    #[must_use]
    pub fn block_range(shape: Shape, leaf: u32) -> Range<u64> {
        let block_leaves = block_leaves(shape);
        let block_bytes = u64::from(block_leaves).saturating_mul(u64::try_from(LEAF_BYTES).unwrap_or(0));
        let first = u64::from(leaf.checked_div(block_leaves).unwrap_or(0)).saturating_mul(block_bytes);
        first..first.saturating_add(block_bytes)
    }

    /// The way from the leaf at `place` of `8^leaf_levels` up to the root, from the replica's bytes in
    /// [`Self::block_range`] of that leaf; `None` if they are no such block, or have changed.
    pub(crate) fn path(&self, shape: Shape, place: u32, block: &[u8]) -> Option<Vec<Family>> {
        let (upper, within) = (
            place.checked_div(self.block_leaves)?,
            place.checked_rem(self.block_leaves)?,
        );
        let block_tree = block_tree(shape, block);
        let mut path = block_tree.path(within);
        path.extend(self.tree.path(upper));
        let first_upper = path.get(index(shape.leaf_levels().min(BLOCK_LEVELS)));
        let kept = first_upper.map_or(self.tree.root(), |family| {
            family.get(index(upper % 8)).copied().unwrap_or_default()
        });
        let is_intact =
            block.len() == index(self.block_leaves).checked_mul(LEAF_BYTES)? && block_tree.root() == kept;
        is_intact.then_some(path)
    }
}

fn block_tree(shape: Shape, block: &[u8]) -> Tree {
    Tree::build(
        Tag::Node,
        shape.leaf_levels().min(BLOCK_LEVELS),
        leaf_digests(block),
    )
}

const fn upper_levels(shape: Shape) -> u32 {
    shape.leaf_levels().saturating_sub(BLOCK_LEVELS)
}

const fn block_leaves(shape: Shape) -> u32 {
    let levels = if shape.leaf_levels() < BLOCK_LEVELS {
        shape.leaf_levels()
    } else {
        BLOCK_LEVELS
    };
    8u32.saturating_pow(levels)
}

/// The tree over a provider's sectors that aren't declared faulty, each at every position that it falls on by repetition.
/// The ledger builds it from the roots that it keeps, in the order in which it lists the sectors; no provider gives one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetTree {
    n_sectors: u32,
    n_positions: u32,
    tree: Tree,
}

impl SetTree {
    /// The tree over the roots of these replicas; `None` without any, or if the shape has fewer positions.
    ///
    /// Takes about one hash per seven positions in the worst case, and a few when the number of sectors is small.
    #[must_use]
    pub fn build(shape: Shape, roots: &[Element]) -> Option<Self> {
        let n_sectors = u32::try_from(roots.len()).ok()?;
        if n_sectors == 0 || n_sectors > shape.positions() {
            return None;
        }
        let leaves: Vec<F> = roots.iter().map(|root| root.0).collect();
        Some(Self {
            n_sectors,
            n_positions: shape.positions(),
            tree: Tree::build(Tag::Node, shape.set_levels(), leaves),
        })
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Element {
        Element(self.tree.root())
    }

    /// The sector at a position, counted in the order of the set.
    #[must_use]
    pub fn sector_at(&self, position: u32) -> u32 {
        position.checked_rem(self.n_sectors).unwrap_or(0)
    }

    /// Positions: all of the shape's, whatever the number of sectors.
    #[must_use]
    pub const fn n_positions(&self) -> u32 {
        self.n_positions
    }

    /// The way from a position up to the root.
    pub(crate) fn path(&self, position: u32) -> Vec<Family> {
        self.tree.path(position)
    }
}
