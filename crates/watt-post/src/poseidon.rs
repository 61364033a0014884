//! Poseidon with the constants of `nova-snark`, so that this hash and the circuit's are the same (`docs/spec/proofs.md` §11).
//!
//! Every use has its own tag, which goes with the number of inputs into the capacity element.

use crate::element::{ARITY, F, LEAF_BYTES, leaf_elements};
use ff::{Field, PrimeField};
use nova_snark::frontend::PoseidonConstants;
use nova_snark::frontend::gadgets::poseidon::{IOPattern, Simplex, Sponge, SpongeOp, SpongeTrait, Strength};
use std::sync::OnceLock;
use typenum::{U2, U3, U8};

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]

pub(crate) enum Tag {
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
    pub(crate) const fn domain(self) -> u32 {
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
    const fn inputs(self) -> u32 {
        match self {
            Self::Node | Self::Leaf | Self::ResponseNode => 8,
            Self::Challenge | Self::State | Self::Response => 3,
            Self::Index => 2,
        }
    }

    /// What the sponge takes in and gives.
    pub(crate) fn pattern(self) -> IOPattern {
        IOPattern(vec![SpongeOp::Absorb(self.inputs()), SpongeOp::Squeeze(1)])
    }

    /// The capacity element.
    fn capacity(self) -> F {
        F::from_u128(self.pattern().value(self.domain()))
    }
}

/// Round constants and matrices, by number of inputs.
pub(crate) struct Constants {
    pub(crate) two: PoseidonConstants<F, U2>,
    pub(crate) three: PoseidonConstants<F, U3>,
    pub(crate) eight: PoseidonConstants<F, U8>,
    capacities: [F; Tag::ALL.len()],
}

/// The constants, derived on first use.
pub(crate) fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| Constants {
        two: Sponge::<F, U2>::api_constants(Strength::Standard),
        three: Sponge::<F, U3>::api_constants(Strength::Standard),
        eight: Sponge::<F, U8>::api_constants(Strength::Standard),
        capacities: Tag::ALL.map(Tag::capacity),
    })
}

/// The hash, with its working memory: one per thread, and nothing is allocated per hash.
pub(crate) struct Poseidon {
    two: Sponge<'static, F, U2>,
    three: Sponge<'static, F, U3>,
    eight: Sponge<'static, F, U8>,
    capacities: &'static [F; Tag::ALL.len()],
}

/// The permutation over a capacity element and the inputs.
macro_rules! permute {
    ($sponge:expr, $capacity:expr, $inputs:expr) => {{
        let inputs = core::iter::once($capacity).chain($inputs);
        for (element, input) in $sponge.state.elements.iter_mut().zip(inputs) {
            *element = input;
        }
        $sponge.state.hash()
    }};
}

impl Poseidon {
    pub(crate) fn new() -> Self {
        let constants = constants();
        Self {
            two: Sponge::new_with_constants(&constants.two, Simplex),
            three: Sponge::new_with_constants(&constants.three, Simplex),
            eight: Sponge::new_with_constants(&constants.eight, Simplex),
            capacities: &constants.capacities,
        }
    }

    fn capacity(&self, tag: Tag) -> F {
        let capacities = Tag::ALL.iter().zip(self.capacities);
        capacities
            .filter(|(one, _)| **one == tag)
            .map(|(_, capacity)| *capacity)
            .next()
            .unwrap_or(F::ZERO)
    }

    pub(crate) fn eight(&mut self, tag: Tag, inputs: &[F; ARITY]) -> F {
        let capacity = self.capacity(tag);
        permute!(self.eight, capacity, inputs.iter().copied())
    }

    /// The digest of a leaf of 248 bytes.
    pub(crate) fn leaf(&mut self, leaf: &[u8; LEAF_BYTES]) -> F {
        self.eight(Tag::Leaf, &leaf_elements(leaf))
    }

    /// The challenge of a window.
    pub(crate) fn challenge(&mut self, state: F, set: F, beacon: F) -> F {
        self.three(Tag::Challenge, [state, set, beacon])
    }

    /// The state after a window.
    pub(crate) fn state(&mut self, challenge: F, responses: F, next_beacon: F) -> F {
        self.three(Tag::State, [challenge, responses, next_beacon])
    }

    /// The answer of a position.
    pub(crate) fn response(&mut self, challenge: F, position: F, leaf: F) -> F {
        self.three(Tag::Response, [challenge, position, leaf])
    }

    /// What the leaf that a position is asked for follows from.
    pub(crate) fn index(&mut self, challenge: F, position: F) -> F {
        let capacity = self.capacity(Tag::Index);
        permute!(self.two, capacity, [challenge, position])
    }

    fn three(&mut self, tag: Tag, inputs: [F; 3]) -> F {
        let capacity = self.capacity(tag);
        permute!(self.three, capacity, inputs)
    }
}
