//! Poseidon over the field of the proofs (`docs/spec/proofs.md` §5): a hash that circuits compute with few constraints. It is
//! the one of `nova-snark` 0.76.0 at its standard strength; `watt-post` tests that both agree.
//!
//! Every use has its own tag, which goes with the number of inputs into the capacity element.
//!
//! Source: Grassi et al., *Poseidon* (USENIX Security 2021, ePrint 2019/458).

mod limbs;
mod permutation;

use crate::element::{ARITY, F, LEAF_BYTES, leaf_elements};
use ff::{Field, PrimeField};
use permutation::Permutation;
use std::sync::OnceLock;

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Eight nodes of a tree over data.
    Node,
    /// Eight elements of data.
    Leaf,
    /// State, set and beacon: the challenge of a window.
    Challenge,
    /// Challenge, responses and next beacon: the next state.
    State,
    /// Challenge and position: which leaf is asked for.
    Index,
    /// Challenge, position and leaf: the answer.
    Response,
    /// Eight nodes of the tree over answers.
    ResponseNode,
}

impl Tag {
    const ALL: [Self; 7] = [
        Self::Node,
        Self::Leaf,
        Self::Challenge,
        Self::State,
        Self::Index,
        Self::Response,
        Self::ResponseNode,
    ];

    /// The number in proofs.
    #[must_use]
    pub const fn domain(self) -> u32 {
        match self {
            Self::Node => 1,
            Self::Leaf => 2,
            Self::Challenge => 3,
            Self::State => 4,
            Self::Index => 7,
            Self::Response => 8,
            Self::ResponseNode => 9,
        }
    }

    /// How many elements are hashed under this tag.
    #[must_use]
    pub const fn inputs(self) -> u32 {
        match self {
            Self::Node | Self::Leaf | Self::ResponseNode => 8,
            Self::Challenge | Self::State | Self::Response => 3,
            Self::Index => 2,
        }
    }

    /// The capacity element: the value of "take in so many, give one" under this domain, as a polynomial modulo 2^128.
    fn capacity(self) -> F {
        const BASE: u128 = 159u128.wrapping_neg();
        const TAKES_IN: u128 = 1 << 31;
        let values = [
            TAKES_IN.wrapping_add(u128::from(self.inputs())),
            1,
            u128::from(self.domain()),
        ];
        let horner = |sum: u128, value: &u128| sum.wrapping_add(*value).wrapping_mul(BASE);
        F::from_u128(values.iter().rev().fold(0, horner))
    }
}

/// Round constants and matrices, by number of inputs.
struct Constants {
    two: Permutation<3>,
    three: Permutation<4>,
    eight: Permutation<9>,
    capacities: [F; Tag::ALL.len()],
}

/// The constants, derived on first use: some milliseconds of work.
fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| Constants {
        two: Permutation::derive(55),
        three: Permutation::derive(56),
        eight: Permutation::derive(57),
        capacities: Tag::ALL.map(Tag::capacity),
    })
}

/// The hash: one per thread, so that it may keep working memory. Nothing is allocated per hash.
pub struct Poseidon {
    constants: &'static Constants,
}

impl Default for Poseidon {
    fn default() -> Self {
        Self::new()
    }
}

impl Poseidon {
    /// With the constants, which are derived on first use.
    #[must_use]
    pub fn new() -> Self {
        Self {
            constants: constants(),
        }
    }

    fn capacity(&self, tag: Tag) -> F {
        let capacities = Tag::ALL.iter().zip(self.constants.capacities);
        capacities
            .filter(|(one, _)| **one == tag)
            .map(|(_, capacity)| capacity)
            .next()
            .unwrap_or(F::ZERO)
    }

    /// The digest of eight elements under a tag of eight inputs.
    pub fn eight(&mut self, tag: Tag, inputs: &[F; ARITY]) -> F {
        let [a, b, c, d, e, f, g, h] = *inputs;
        self.constants
            .eight
            .hash(&[self.capacity(tag), a, b, c, d, e, f, g, h])
    }

    /// The digest of a leaf of 248 bytes.
    pub fn leaf(&mut self, leaf: &[u8; LEAF_BYTES]) -> F {
        self.eight(Tag::Leaf, &leaf_elements(leaf))
    }

    /// The challenge of a window.
    pub fn challenge(&mut self, state: F, set: F, beacon: F) -> F {
        self.three(Tag::Challenge, [state, set, beacon])
    }

    /// The state after a window.
    pub fn state(&mut self, challenge: F, responses: F, next_beacon: F) -> F {
        self.three(Tag::State, [challenge, responses, next_beacon])
    }

    /// The answer of a position.
    pub fn response(&mut self, challenge: F, position: F, leaf: F) -> F {
        self.three(Tag::Response, [challenge, position, leaf])
    }

    /// What the leaf that a position is asked for follows from.
    pub fn index(&mut self, challenge: F, position: F) -> F {
        self.constants
            .two
            .hash(&[self.capacity(Tag::Index), challenge, position])
    }

    fn three(&mut self, tag: Tag, [a, b, c]: [F; 3]) -> F {
        self.constants.three.hash(&[self.capacity(tag), a, b, c])
    }
}
