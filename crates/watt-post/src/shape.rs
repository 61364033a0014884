//! How large the statement is: it fixes the circuit.

use watt_proofs::element::{ARITY, Element};

/// The statement's dimensions. Each shape has its own parameters, and proofs of one are none of another.
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
    /// For up to 4096 sectors of 64 MiB.
    pub const LARGE: Self = Self {
        leaf_levels: 6,
        set_levels: 4,
        samples: 3,
    };

    /// For up to 64 sectors of 64 MiB: answering all positions takes a 64th of the work.
    pub const SMALL: Self = Self {
        leaf_levels: 6,
        set_levels: 2,
        samples: 4,
    };

    /// A shape for tests of this crate: nothing it proves is worth anything.
    #[cfg(test)]
    pub(crate) const TINY: Self = Self {
        leaf_levels: 1,
        set_levels: 1,
        samples: 1,
    };

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

    /// What the parameters of this shape have to be named, so that kept ones can be trusted; `None` for a shape that isn't
    /// used.
    #[must_use]
    pub fn params_digest(self) -> Option<Element> {
        match self {
            Self::LARGE => Element::from_bytes(LARGE_DIGEST),
            Self::SMALL => Element::from_bytes(SMALL_DIGEST),
            _ => None,
        }
    }

    /// Bits of a position.
    pub(crate) const fn position_bits(self) -> u32 {
        self.set_levels.saturating_mul(ARITY.ilog2())
    }

    /// Bits of a leaf's place.
    pub(crate) const fn leaf_bits(self) -> u32 {
        self.leaf_levels.saturating_mul(ARITY.ilog2())
    }
}

/// Nodes at the bottom of a tree of this many levels.
const fn width(levels: u32) -> u32 {
    1 << levels.saturating_mul(ARITY.ilog2())
}

/// Digests of the parameters of the two shapes.
const LARGE_DIGEST: [u8; 32] = [
    209, 251, 1, 246, 39, 251, 82, 80, 192, 196, 165, 120, 198, 12, 101, 134, 215, 5, 214, 128, 198, 23, 167,
    49, 114, 158, 253, 99, 226, 116, 112, 2,
];
const SMALL_DIGEST: [u8; 32] = [
    214, 149, 119, 51, 240, 68, 118, 111, 109, 86, 15, 234, 188, 250, 183, 91, 250, 203, 19, 192, 119, 180,
    144, 83, 164, 65, 32, 112, 175, 189, 198, 1,
];
