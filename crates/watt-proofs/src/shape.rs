//! How large a window is (`docs/spec/proofs.md` §7): it fixes what is asked, and the circuit of the recursive proof.

use crate::element::ARITY;
use crate::octal::REPLICA_LEVELS;

/// The dimensions of a window. A recursive proof of one shape is none of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Levels of the tree over a replica: it has `8^leaf_levels` places for leaves.
    leaf_levels: u32,
    /// Levels of the tree over a provider's sectors: it has `8^set_levels` positions.
    set_levels: u32,
    /// Positions sampled in each window.
    samples: u32,
}

impl Shape {
    /// For up to 4096 sectors.
    pub const LARGE: Self = Self {
        leaf_levels: REPLICA_LEVELS,
        set_levels: 4,
        samples: 3,
    };

    /// For up to 64 sectors: answering all positions takes a 64th of the work.
    pub const SMALL: Self = Self {
        leaf_levels: REPLICA_LEVELS,
        set_levels: 2,
        samples: 4,
    };

    /// A shape for tests of circuits, which no number of sectors has: nothing it proves is worth anything.
    pub const TINY: Self = Self {
        leaf_levels: 1,
        set_levels: 1,
        samples: 1,
    };

    /// The shape of a provider with so many sectors, declared faulty or not.
    #[must_use]
    pub const fn of_sectors(n_sectors: usize) -> Self {
        if n_sectors <= 1 << (Self::SMALL.set_levels * ARITY.ilog2()) {
            Self::SMALL
        } else {
            Self::LARGE
        }
    }

    /// Levels of the tree over a replica.
    #[must_use]
    pub const fn leaf_levels(self) -> u32 {
        self.leaf_levels
    }

    /// Levels of the tree over a provider's sectors.
    #[must_use]
    pub const fn set_levels(self) -> u32 {
        self.set_levels
    }

    /// Positions sampled in each window.
    #[must_use]
    pub const fn samples(self) -> u32 {
        self.samples
    }

    /// Positions of sectors.
    #[must_use]
    pub const fn positions(self) -> u32 {
        width(self.set_levels)
    }

    /// Places for leaves in a replica's tree.
    #[must_use]
    pub const fn leaves(self) -> u32 {
        width(self.leaf_levels)
    }

    /// Bits of a position.
    #[must_use]
    pub const fn position_bits(self) -> u32 {
        self.set_levels.saturating_mul(ARITY.ilog2())
    }

    /// Bits of a leaf's place.
    #[must_use]
    pub const fn leaf_bits(self) -> u32 {
        self.leaf_levels.saturating_mul(ARITY.ilog2())
    }
}

/// Nodes at the bottom of a tree of this many levels.
const fn width(levels: u32) -> u32 {
    1 << levels.saturating_mul(ARITY.ilog2())
}
