//! One proving window: what is asked, what is answered, what is sampled (`docs/spec/proofs.md` §11).

use crate::index;
use crate::replica::{LeafRead, SetTree};
use crate::shape::Shape;
use ff::Field;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use watt_primitives::hash::{Domain, hash};
use watt_primitives::{AccountId, Hash, NetworkId};
use watt_proofs::PlacedLeaf;
use watt_proofs::element::{Element, F, leaf_elements, low_bits};
use watt_proofs::octal::{Family, Tree};
use watt_proofs::poseidon::{Poseidon, Tag};

/// Positions that one thread answers before it looks for more work.
const POSITIONS_PER_TURN: usize = 64;

/// The state of a provider that hasn't answered any window yet. It binds all later states, and so all proofs, to the network
/// and the provider.
#[must_use]
pub fn initial_state(network: &NetworkId, provider: &AccountId) -> Element {
    Element::of_hash(&hash(Domain::PostState, network, &[b"folded", provider.as_ref()]))
}

/// A beacon value as an element.
#[must_use]
pub fn beacon_element(network: &NetworkId, beacon: &Hash) -> Element {
    Element::of_hash(&hash(Domain::Beacon, network, &[b"folded", beacon.as_ref()]))
}

/// What the ledger knows of a window in which a provider was present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Root of the tree over the sectors not declared faulty, as the ledger builds it.
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

/// Which positions are sampled in the window that ended in this state.
pub(crate) fn sampled(shape: Shape, next_state: F) -> Vec<u32> {
    let bits = shape.position_bits();
    (0..shape.samples())
        .map(|at| low_bits(&next_state, at.saturating_mul(bits), bits))
        .collect()
}

/// All answers of a provider in a window: the timely part of the work.
#[derive(Clone, Debug)]
pub struct Answers {
    shape: Shape,
    state: Element,
    set: Element,
    beacon: Element,
    challenge: F,
    tree: Tree,
}

impl Answers {
    /// Answers for every position of `set` in the window that `beacon` opened, and for no other set. A leaf that can't be
    /// read is answered by zero, which fails if it is sampled.
    ///
    /// `leaves_of` is the number of leaves of a sector's replica.
    #[must_use]
    pub fn compute(
        shape: Shape,
        state: Element,
        set: &SetTree,
        beacon: Element,
        leaves_of: &(dyn Fn(u32) -> u32 + Sync),
        read: &dyn LeafRead,
    ) -> Self {
        let root = set.root();
        let challenge = Poseidon::new().challenge(state.0, root.0, beacon.0);
        let answer = |poseidon: &mut Poseidon, position: u32| {
            let sector = set.sector_at(position);
            let place = place(poseidon, shape, challenge, position);
            let leaf = read.leaf(sector, place.checked_rem(leaves_of(sector)).unwrap_or(0));
            Element(leaf.map_or(F::ZERO, |leaf| {
                let digest = poseidon.leaf(&leaf);
                poseidon.response(challenge, number(position), digest)
            }))
        };
        let answers = (0..shape.positions())
            .into_par_iter()
            .with_min_len(POSITIONS_PER_TURN)
            .map_init(Poseidon::new, answer)
            .collect();
        Self {
            shape,
            state,
            set: root,
            beacon,
            challenge,
            tree: Tree::build(Tag::ResponseNode, shape.set_levels(), answers),
        }
    }

    /// The root over all answers: what the heartbeat commits to.
    #[must_use]
    pub fn root(&self) -> Element {
        self.tree.root()
    }

    /// The window, once the next beacon is known.
    #[must_use]
    pub fn window(&self, next_beacon: Element) -> Window {
        Window {
            set: self.set,
            beacon: self.beacon,
            answers: self.root(),
            next_beacon,
        }
    }

    /// What is sampled once the next beacon is known: positions with the place of the leaf that each was asked for.
    #[must_use]
    pub fn sample(&self, next_beacon: Element) -> Vec<(u32, u32)> {
        let mut poseidon = Poseidon::new();
        let next_state = self.window(next_beacon).next_state(self.state);
        let place = |position| {
            (
                position,
                place(&mut poseidon, self.shape, self.challenge, position),
            )
        };
        sampled(self.shape, next_state.0).into_iter().map(place).collect()
    }

    /// The record from which the window is folded, at any later time. `open` opens a place of the replica's tree of a
    /// sector, counted in the order of the set ([`watt_proofs::ReplicaTree::open_place`]). When something can't be opened the
    /// step declares that it failed.
    #[must_use]
    pub fn step(
        &self,
        next_beacon: Element,
        set: &SetTree,
        open: &dyn Fn(u32, u32) -> Option<PlacedLeaf>,
    ) -> Step {
        let open = |(position, place): (u32, u32)| {
            let placed = open(set.sector_at(position), place)?;
            Some(Opening {
                leaf: leaf_elements(&placed.leaf).map(Element),
                leaf_path: elements(&placed.path),
                set_path: elements(&set.path(position)),
                answer_path: elements(&self.tree.path(position)),
            })
        };
        let openings: Option<Vec<Opening>> = self.sample(next_beacon).into_iter().map(open).collect();
        let window = self.window(next_beacon);
        openings.map_or_else(
            || Step::failed(self.shape, window),
            |openings| Step {
                window,
                is_good: true,
                openings,
            },
        )
    }
}

/// The place of the leaf that a position is asked for.
fn place(poseidon: &mut Poseidon, shape: Shape, challenge: F, position: u32) -> u32 {
    low_bits(&poseidon.index(challenge, number(position)), 0, shape.leaf_bits())
}

fn number(position: u32) -> F {
    F::from(u64::from(position))
}

fn elements(path: &[Family]) -> Vec<[Element; 8]> {
    path.iter().map(|family| family.map(Element)).collect()
}

/// One window with everything that folding it needs: 12 KB in the provider's log.
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
            openings: vec![Opening::empty(shape); index(shape.samples())],
        }
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
    pub leaf: [Element; 8],
    /// From the leaf to its replica's root.
    pub leaf_path: Vec<[Element; 8]>,
    /// From the replica's root to the set's.
    pub set_path: Vec<[Element; 8]>,
    /// From the answer to the root of answers.
    pub answer_path: Vec<[Element; 8]>,
}

impl Opening {
    fn empty(shape: Shape) -> Self {
        let nothing = [Element::default(); 8];
        let path = |levels| vec![nothing; index(levels)];
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
        let positions = sampled(shape, self.window.next_state(state).0);
        for (sample, (opening, position)) in self.openings.iter().zip(positions).enumerate() {
            let place = place(&mut poseidon, shape, challenge, position);
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
fn climb(poseidon: &mut Poseidon, tag: Tag, node: F, place: u32, path: &[[Element; 8]]) -> F {
    let shifts = (0u32..).map(|level| level.saturating_mul(3));
    path.iter().zip(shifts).fold(node, |node, (family, shift)| {
        let on_way = index(place.checked_shr(shift).unwrap_or(0) % 8);
        let mut children = family.map(|element| element.0);
        for child in children.iter_mut().skip(on_way).take(1) {
            *child = node;
        }
        poseidon.eight(tag, &children)
    })
}

#[cfg(test)]
mod tests;
