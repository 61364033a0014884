//! One proving window as the ledger sees it, and what shows that it was answered from what is stored (`docs/spec/proofs.md` §7).

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::element::{ARITY, Element, F, low_bits};
use crate::openings;
use crate::params::index;
use crate::poseidon::{Poseidon, Tag};
use crate::shape::Shape;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::hash::{Domain, hash};
use watt_primitives::{AccountId, Hash, NetworkId};

/// The state of a provider that hasn't answered any window yet. It binds all later states, and so all proofs, to the network
/// and the provider.
#[must_use]
pub fn initial_state(network: &NetworkId, provider: &AccountId) -> Element {
    Element::of_hash(&hash(
        Domain::PostState,
        network,
        &[b"initial", provider.as_ref()],
    ))
}

/// A beacon value as an element.
#[must_use]
pub fn beacon_element(network: &NetworkId, beacon: &Hash) -> Element {
    Element::of_hash(&hash(Domain::Beacon, network, &[b"element", beacon.as_ref()]))
}

/// What the ledger knows of a window in which a provider was present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Root of the tree over the sectors not declared faulty ([`crate::SetTree`]), as the ledger builds it.
    pub set: Element,
    /// The beacon that opened the window.
    pub beacon: Element,
    /// Root over all answers, committed to before the next beacon existed.
    pub answers: Element,
    /// The beacon that closed the window.
    pub next_beacon: Element,
}

impl Window {
    /// The provider's state after this window, from its state before it: two hashes.
    #[must_use]
    pub fn next_state(&self, state: Element) -> Element {
        let mut poseidon = Poseidon::new();
        let challenge = poseidon.challenge(state.0, self.set.0, self.beacon.0);
        Element(poseidon.state(challenge, self.answers.0, self.next_beacon.0))
    }
}

/// What is sampled in a window that began in `state`, in the order of the sample: positions, each with the place of the leaf that
/// it was asked for. A position may come up twice.
#[must_use]
pub fn samples(shape: Shape, state: Element, window: &Window) -> Vec<(u32, u32)> {
    let mut poseidon = Poseidon::new();
    let challenge = poseidon.challenge(state.0, window.set.0, window.beacon.0);
    let next_state = poseidon.state(challenge, window.answers.0, window.next_beacon.0);
    let bits = shape.position_bits();
    (0..shape.samples())
        .map(|sample| {
            let position = low_bits(&next_state, sample.saturating_mul(bits), bits);
            (position, place(&mut poseidon, shape, challenge, position))
        })
        .collect()
}

/// The place of the leaf that a position is asked for.
pub(crate) fn place(poseidon: &mut Poseidon, shape: Shape, challenge: F, position: u32) -> u32 {
    low_bits(&poseidon.index(challenge, number(position)), 0, shape.leaf_bits())
}

pub(crate) fn number(position: u32) -> F {
    F::from(u64::from(position))
}

/// One window with everything that shows that it was answered from what is stored; what folding it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The window.
    pub window: Window,
    /// Whether all sampled positions are opened. A step that isn't good can be folded too: the proof then says how many
    /// were.
    pub is_good: bool,
    /// What was sampled, in the order of the sample.
    pub openings: Vec<Opening>,
}

impl Step {
    /// A step that says of itself that it failed.
    #[must_use]
    pub fn failed(shape: Shape, window: Window) -> Self {
        Self {
            window,
            is_good: false,
            openings: alloc::vec![Opening::empty(shape); index(shape.samples())],
        }
    }

    /// What the ledger does not know itself of a good step that was taken from `state`: the openings that
    /// [`crate::verify::window`] takes.
    #[must_use]
    pub fn to_openings(&self, shape: Shape, state: Element) -> Vec<u8> {
        openings::of_step(shape, state, self)
    }

    /// Whether the numbers of openings and of their parts are the shape's.
    #[must_use]
    pub fn has_shape(&self, shape: Shape) -> bool {
        self.openings.len() == index(shape.samples())
            && self.openings.iter().all(|opening| {
                opening.leaf_path.len() == index(shape.leaf_levels())
                    && opening.set_path.len() == index(shape.set_levels())
                    && opening.answer_path.len() == index(shape.set_levels())
            })
    }
}

/// A sampled leaf, and the ways from it to the set's root and from its answer to the root of answers. Each way is the
/// children of each node on it, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The leaf's elements.
    pub leaf: [Element; ARITY],
    /// From the leaf to its replica's root.
    pub leaf_path: Vec<[Element; ARITY]>,
    /// From the replica's root to the set's.
    pub set_path: Vec<[Element; ARITY]>,
    /// From the answer to the root of answers.
    pub answer_path: Vec<[Element; ARITY]>,
}

impl Opening {
    pub(crate) fn empty(shape: Shape) -> Self {
        let nothing = [Element::default(); 8];
        let path = |levels| alloc::vec![nothing; index(levels)];
        Self {
            leaf: nothing,
            leaf_path: path(shape.leaf_levels()),
            set_path: path(shape.set_levels()),
            answer_path: path(shape.set_levels()),
        }
    }
}

/// What is wrong with a step that calls itself good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongStep {
    /// Numbers of openings or of their parts that aren't the shape's.
    #[error("the openings are not those of this shape")]
    Shape,
    /// The leaf and its way don't lead to the set's root at the place that is asked for.
    #[error("sample {sample}: the leaf asked for is not under the set's root")]
    NotStored {
        /// Which sample.
        sample: usize,
    },
    /// The answer that follows from the leaf isn't under the root of answers.
    #[error("sample {sample}: the leaf is not the one that was answered with")]
    NotAnswered {
        /// Which sample.
        sample: usize,
    },
}

impl Step {
    /// Whether the step, taken from `state`, is what it says: the same that its proof will show.
    ///
    /// # Errors
    /// See [`WrongStep`].
    pub fn check(&self, shape: Shape, state: Element) -> Result<(), WrongStep> {
        if !self.has_shape(shape) {
            return Err(WrongStep::Shape);
        }
        if !self.is_good {
            return Ok(());
        }
        let mut poseidon = Poseidon::new();
        let challenge = poseidon.challenge(state.0, self.window.set.0, self.window.beacon.0);
        let samples = samples(shape, state, &self.window);
        for (sample, (opening, (position, place))) in self.openings.iter().zip(samples).enumerate() {
            let digest = poseidon.eight(Tag::Leaf, &opening.leaf.map(|element| element.0));
            let replica = climb(&mut poseidon, Tag::Node, digest, place, &opening.leaf_path);
            let set = climb(&mut poseidon, Tag::Node, replica, position, &opening.set_path);
            if set != self.window.set.0 {
                return Err(WrongStep::NotStored { sample });
            }
            let answer = poseidon.response(challenge, number(position), digest);
            let answers = climb(
                &mut poseidon,
                Tag::ResponseNode,
                answer,
                position,
                &opening.answer_path,
            );
            if answers != self.window.answers.0 {
                return Err(WrongStep::NotAnswered { sample });
            }
        }
        Ok(())
    }
}

/// The root above `node`, which takes its place among the children of each node on the way.
fn climb(poseidon: &mut Poseidon, tag: Tag, node: F, place: u32, path: &[[Element; ARITY]]) -> F {
    path.iter()
        .zip(ways_up(place))
        .fold(node, |node, (family, on_way)| {
            let mut children = family.map(|element| element.0);
            for child in children.iter_mut().skip(on_way).take(1) {
                *child = node;
            }
            poseidon.eight(tag, &children)
        })
}

/// Which child of each node on the way up from a place is on the way, lowest first.
pub(crate) fn ways_up(place: u32) -> impl Iterator<Item = usize> {
    let bits = ARITY.ilog2();
    (0u32..).map(move |level| {
        let above = place.checked_shr(level.saturating_mul(bits)).unwrap_or(0);
        index(above) % ARITY
    })
}
