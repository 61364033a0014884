//! The provider's side of proof-of-spacetime (`docs/spec/proofs.md` §7): answer every window from what is stored, then open what
//! is sampled.

use crate::element::{ARITY, Element, F, LEAF_BYTES, leaf_elements};
use crate::octal::{Family, Tree};
use crate::params::index;
use crate::poseidon::{Poseidon, Tag};
use crate::replica::{PlacedLeaf, ReplicaTree};
use crate::sector_set::{SectorEntry, SectorSet, SetTree};
use crate::shape::Shape;
use crate::window::{self, Opening, Step, Window};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;
use ff::Field;
use serde::{Deserialize, Serialize};
use watt_primitives::SectorNumber;

/// What a window asks of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its sectors in the window.
    pub sectors: &'a SectorSet,
    /// Those that it declared faulty in its heartbeat before: the set leaves them out.
    pub left_out: &'a [SectorNumber],
    /// Its state before the window.
    pub state: Element,
    /// The beacon that the window asks with, as an element.
    pub beacon: Element,
}

impl<'a> Asked<'a> {
    /// The sectors in the set.
    fn sound(&self) -> Vec<&'a SectorEntry> {
        self.sectors.without(&self.left_out.iter().copied().collect())
    }

    /// The shape of the window.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape::of_sectors(self.sectors.len())
    }
}

/// Where a provider reads its replicas. A sector's leaves are asked for one after the other.
pub trait ReplicaRead {
    /// The kept nodes of a sector's tree, and these bytes of its replica; `None` if they can't be read.
    fn read(&mut self, sector: SectorNumber, bytes: Range<u64>) -> Option<(&ReplicaTree, Vec<u8>)>;
}

/// A provider's answers to one window. To be on disk before their root is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Responses {
    /// Sectors to declare faulty for the next window, ascending: those of which a leaf could not be read.
    pub faults: Vec<SectorNumber>,
    /// The root over all answers, which is committed; zero if all sectors are left out.
    pub root: Element,
    state: Element,
    beacon: Element,
    /// One for each position of the shape; none if all sectors are left out.
    answers: Vec<Element>,
}

impl Responses {
    /// Whether these are answers to what is asked.
    #[must_use]
    pub fn are_to(&self, asked: &Asked<'_>) -> bool {
        self.state == asked.state && self.beacon == asked.beacon
    }
}

/// A sampled leaf was there when the window was answered and is gone now, or the answers are to another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is sampled can no longer be opened from the replicas")]
pub struct LeafLost;

/// Answers a window. What can't be read is answered by zero, and its sector declared faulty: the next window leaves it out. A sector
/// that was left out is in the set again after a window in which one of its leaves could be read.
pub fn respond(asked: &Asked<'_>, declared: &[SectorNumber], replicas: &mut impl ReplicaRead) -> Responses {
    let (shape, sound) = (asked.shape(), asked.sound());
    let mut faults: BTreeSet<SectorNumber> = declared.iter().copied().collect();
    let set = SetTree::of(shape, &sound);
    let answers = set.map(|set| {
        Answers::compute(shape, asked.state, &set, asked.beacon, |at, place| {
            let sector = sector_at(&sound, at)?;
            let leaf = read(sector, place, replicas, ReplicaTree::leaf);
            if leaf.is_none() {
                faults.insert(sector.number);
            }
            leaf
        })
    });
    let root = answers.as_ref().map_or(Element::default(), Answers::root);
    let left_out = asked
        .sectors
        .iter()
        .zip(0..)
        .filter(|(sector, _)| asked.left_out.binary_search(&sector.number).is_ok());
    for (sector, at) in left_out {
        let mut poseidon = Poseidon::new();
        let challenge = poseidon.challenge(asked.state.0, Element::default().0, asked.beacon.0);
        let place = window::place(&mut poseidon, shape, challenge, at);
        if read(sector, place, replicas, ReplicaTree::leaf).is_none() {
            faults.insert(sector.number);
        }
    }
    Responses {
        faults: faults.into_iter().collect(),
        root,
        state: asked.state,
        beacon: asked.beacon,
        answers: answers.map_or_else(Vec::new, |answers| answers.tree.into_leaves()),
    }
}

/// The step of an answered window, once the next beacon is known: what folding it needs.
///
/// # Errors
/// [`LeafLost`] if a replica was damaged since.
pub fn step(
    asked: &Asked<'_>,
    responses: &Responses,
    next_beacon: Element,
    replicas: &mut impl ReplicaRead,
) -> Result<Step, LeafLost> {
    let (shape, sound) = (asked.shape(), asked.sound());
    let set = SetTree::of(shape, &sound).ok_or(LeafLost)?;
    let leaves = responses.answers.clone();
    let answers = Answers::restore(shape, asked.state, &set, asked.beacon, leaves);
    let step = answers.step(next_beacon, &set, |at, place| {
        read(sector_at(&sound, at)?, place, replicas, ReplicaTree::open_place)
    });
    if step.is_good { Ok(step) } else { Err(LeafLost) }
}

/// Opens what is sampled in an answered window: the step without what the ledger knows itself.
///
/// # Errors
/// [`LeafLost`] if a replica was damaged since.
pub fn open(
    asked: &Asked<'_>,
    responses: &Responses,
    next_beacon: Element,
    replicas: &mut impl ReplicaRead,
) -> Result<Vec<u8>, LeafLost> {
    let step = step(asked, responses, next_beacon, replicas)?;
    Ok(step.to_openings(asked.shape(), asked.state))
}

fn sector_at<'a>(sound: &[&'a SectorEntry], at: u32) -> Option<&'a SectorEntry> {
    sound.get(index(at)).copied()
}

/// Reads what `open` takes from the block around the leaf at a place, if the kept nodes are the sector's.
fn read<T>(
    sector: &SectorEntry,
    place: u32,
    replicas: &mut impl ReplicaRead,
    open: impl FnOnce(&ReplicaTree, u32, &[u8]) -> Option<T>,
) -> Option<T> {
    let leaf = place.checked_rem(sector.size.leaves())?;
    let (tree, block) = replicas.read(sector.number, ReplicaTree::block_range(leaf))?;
    (tree.root() == sector.comm_r).then(|| open(tree, place, &block))?
}

/// All answers of a provider in a window: the timely part of the work.
#[derive(Clone, Debug)]
pub struct Answers {
    shape: Shape,
    state: Element,
    set: Element,
    beacon: Element,
    tree: Tree,
}

impl Answers {
    /// Answers for every position of `set` in the window that `beacon` opened, and for no other set. `leaf` reads the leaf at
    /// a place of the tree of a sector, counted in the order of the set, one sector after the other; one that can't be read is
    /// answered by zero, which fails if it is sampled.
    #[must_use]
    pub fn compute(
        shape: Shape,
        state: Element,
        set: &SetTree,
        beacon: Element,
        mut leaf: impl FnMut(u32, u32) -> Option<[u8; LEAF_BYTES]>,
    ) -> Self {
        let mut poseidon = Poseidon::new();
        let challenge = poseidon.challenge(state.0, set.root().0, beacon.0);
        let mut answers = alloc::vec![Element::default(); index(shape.positions())];
        for sector in 0..set.n_sectors() {
            let positions = (sector..shape.positions()).step_by(index(set.n_sectors()));
            let places = answers
                .iter_mut()
                .skip(index(sector))
                .step_by(index(set.n_sectors()));
            for (position, answer) in positions.zip(places) {
                let place = window::place(&mut poseidon, shape, challenge, position);
                *answer = Element(leaf(sector, place).map_or(F::ZERO, |leaf| {
                    let digest = poseidon.leaf(&leaf);
                    poseidon.response(challenge, window::number(position), digest)
                }));
            }
        }
        Self::restore(shape, state, set, beacon, answers)
    }

    /// Answers that were computed before.
    fn restore(shape: Shape, state: Element, set: &SetTree, beacon: Element, answers: Vec<Element>) -> Self {
        Self {
            shape,
            state,
            set: set.root(),
            beacon,
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

    /// The record from which the window is folded, at any later time. `open` opens a place of the tree of a sector, counted in
    /// the order of the set ([`ReplicaTree::open_place`]). When something can't be opened the step declares that it failed.
    #[must_use]
    pub fn step(
        &self,
        next_beacon: Element,
        set: &SetTree,
        mut open: impl FnMut(u32, u32) -> Option<PlacedLeaf>,
    ) -> Step {
        let window = self.window(next_beacon);
        let openings: Option<Vec<Opening>> = window::samples(self.shape, self.state, &window)
            .into_iter()
            .map(|(position, place)| {
                let placed = open(set.sector_at(position), place)?;
                Some(Opening {
                    leaf: leaf_elements(&placed.leaf).map(Element),
                    leaf_path: elements(&placed.path),
                    set_path: elements(&set.path(position)),
                    answer_path: elements(&self.tree.path(position)),
                })
            })
            .collect();
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

fn elements(path: &[Family]) -> Vec<[Element; ARITY]> {
    path.iter().map(|family| family.map(Element)).collect()
}
