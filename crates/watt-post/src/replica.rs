//! What a window asks a provider for: leaves of its replicas, and the tree over its sectors (`docs/spec/proofs.md` §11).

use crate::shape::Shape;
use watt_proofs::Element;
use watt_proofs::element::LEAF_BYTES;
use watt_proofs::octal::{Family, Tree};
use watt_proofs::poseidon::Tag;

/// Where leaves of replicas come from.
pub trait LeafRead: Sync {
    /// Leaf `leaf` of the replica of sector `sector`, counted in the order of the set; `None` if it can't be read.
    fn leaf(&self, sector: u32, leaf: u32) -> Option<[u8; LEAF_BYTES]>;
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
        Some(Self {
            n_sectors,
            n_positions: shape.positions(),
            tree: Tree::build(Tag::Node, shape.set_levels(), roots.to_vec()),
        })
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Element {
        self.tree.root()
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
