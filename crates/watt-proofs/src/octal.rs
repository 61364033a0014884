//! Octal trees that are filled by repetition, and one opening for several of their leaves (`docs/spec/proofs.md` §5).

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::element::{ARITY, Element, F, LEAF_BYTES};
use crate::params::index;
use crate::poseidon::{Poseidon, Tag};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use ff::Field;
use serde::{Deserialize, Serialize};

/// Levels of the tree over a replica: `8^6` leaves are 64 units, and smaller replicas fill it by repetition.
pub const REPLICA_LEVELS: u32 = 6;

/// Binary digits of a node's place among its siblings.
const CHILD_BITS: u32 = ARITY.ilog2();

/// The children of a node.
pub type Family = [F; ARITY];

/// A tree with `8^levels` places, place `p` holding leaf `p mod n` of the `n` given. Repetition goes on above the leaves, so
/// only one period of each level is computed and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree {
    /// One period of each level, leaves first, the root last.
    periods: Vec<Vec<Element>>,
}

impl Tree {
    /// The tree over `leaves`, of which `8^levels` count at most; without any it is a tree of zeros.
    #[must_use]
    pub fn build(tag: Tag, levels: u32, leaves: Vec<Element>) -> Self {
        let mut poseidon = Poseidon::new();
        let mut periods = alloc::vec![leaves];
        for level in (0..levels).rev() {
            let below: &[Element] = periods.last().map_or(&[], Vec::as_slice);
            let nodes = (0..period_above(below.len(), level))
                .map(|at| Element(poseidon.eight(tag, &family(below, at))))
                .collect();
            periods.push(nodes);
        }
        Self { periods }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Element {
        let top = self.periods.last().and_then(|top| top.first());
        top.copied().unwrap_or_default()
    }

    /// Leaves of which the tree was built.
    #[must_use]
    pub fn n_leaves(&self) -> usize {
        self.periods.first().map_or(0, Vec::len)
    }

    /// The leaves of which the tree was built.
    pub(crate) fn into_leaves(self) -> Vec<Element> {
        self.periods.into_iter().next().unwrap_or_default()
    }

    /// Hashes that building a tree over so many leaves takes.
    #[must_use]
    pub fn n_hashes(levels: u32, n_leaves: usize) -> usize {
        let mut period = n_leaves;
        let nodes = (0..levels).rev().map(|level| {
            period = period_above(period, level);
            period
        });
        nodes.fold(0, usize::saturating_add)
    }

    /// Node `at` of the first period of a level, counted from the leaves.
    pub(crate) fn node(&self, level: u32, at: usize) -> Option<Element> {
        self.periods.get(index(level))?.get(at).copied()
    }

    /// The siblings that prove leaves `indices` (distinct); `None` if there is no such leaf.
    pub(crate) fn siblings(&self, indices: &[usize]) -> Option<Vec<Element>> {
        let levels = u32::try_from(self.periods.len().saturating_sub(1)).ok()?;
        needed(levels, self.n_leaves(), indices)
            .into_iter()
            .map(|(level, at)| self.node(level, at))
            .collect()
    }

    /// The families on the way from a place up to the root, lowest first; each holds what the one below hashes to.
    #[must_use]
    pub fn path(&self, place: u32) -> Vec<Family> {
        let below_root = self.periods.len().saturating_sub(1);
        let levels = self.periods.iter().take(below_root);
        let shifts = (1u32..).map(|level| level.saturating_mul(CHILD_BITS));
        levels
            .zip(shifts)
            .map(|(period, shift)| family(period, index(place.checked_shr(shift).unwrap_or(0))))
            .collect()
    }
}

/// The digests of all leaves in whole leaves of bytes.
#[must_use]
pub fn leaf_digests(bytes: &[u8]) -> Vec<Element> {
    let mut poseidon = Poseidon::new();
    let leaves = bytes.as_chunks::<LEAF_BYTES>().0.iter();
    leaves.map(|leaf| Element(poseidon.leaf(leaf))).collect()
}

/// Distinct nodes at the level above one with `period` of them; `levels_above` are left up to the root.
fn period_above(period: usize, levels_above: u32) -> usize {
    let width = ARITY.saturating_pow(levels_above);
    (period >> period.trailing_zeros().min(CHILD_BITS)).clamp(1, width)
}

/// The places of the children of node `at` of the level above `period`, in its first period.
fn children(period: usize, at: usize) -> [usize; ARITY] {
    let first = at.saturating_mul(ARITY);
    core::array::from_fn(|child| first.saturating_add(child).checked_rem(period).unwrap_or(0))
}

fn family(period: &[Element], at: usize) -> Family {
    children(period.len(), at).map(|child| period.get(child).map_or(F::ZERO, |node| node.0))
}

/// One level on the way from known nodes up.
struct Climb {
    /// Nodes of the level above that are computed.
    parents: Vec<usize>,
    /// Nodes that this takes and that aren't known, ascending.
    siblings: Vec<usize>,
    /// Period of the level above.
    above: usize,
}

impl Climb {
    /// From nodes that `is_known` in a level of this period. Where the period isn't a multiple of eight, nodes of the level
    /// above share children: there all of them are computed, so that an opening shows the whole repetition.
    fn new<'a>(known: impl Iterator<Item = &'a usize> + Clone, period: usize, levels_above: u32) -> Self {
        let above = period_above(period, levels_above);
        let parents: Vec<usize> = if period.is_multiple_of(ARITY) {
            let parents: BTreeSet<usize> = known.clone().map(|node| node >> CHILD_BITS).collect();
            parents.into_iter().collect()
        } else {
            (0..above).collect()
        };
        let mut siblings: BTreeSet<usize> = parents
            .iter()
            .flat_map(|parent| children(period, *parent))
            .collect();
        for node in known {
            siblings.remove(node);
        }
        Self {
            parents,
            siblings: siblings.into_iter().collect(),
            above,
        }
    }
}

/// The siblings that prove leaves `indices` (distinct, below `n_leaves`), as (level, node in its first period): level by level
/// from the leaves, from left to right, each once, and none that follows from what was known before. No leaf takes none.
pub(crate) fn needed(levels: u32, n_leaves: usize, indices: &[usize]) -> Vec<(u32, usize)> {
    let (mut known, mut period) = (indices.to_vec(), n_leaves);
    let mut siblings = Vec::new();
    if indices.is_empty() {
        return siblings;
    }
    for level in 0..levels {
        let levels_above = levels.saturating_sub(level).saturating_sub(1);
        let climb = Climb::new(known.iter(), period, levels_above);
        siblings.extend(climb.siblings.into_iter().map(|node| (level, node)));
        (known, period) = (climb.parents, climb.above);
    }
    siblings
}

/// The root that `leaves` (at least one) of `n_leaves` have with these siblings; `None` if there is no such leaf, one is there
/// twice, or siblings are missing or left over.
pub(crate) fn batch_root(
    levels: u32,
    n_leaves: usize,
    leaves: &[(usize, Element)],
    siblings: &[Element],
) -> Option<Element> {
    let mut known: BTreeMap<usize, Element> = leaves.iter().copied().collect();
    if known.len() != leaves.len() || *known.last_key_value()?.0 >= n_leaves {
        return None;
    }
    let (mut period, mut siblings, mut poseidon) = (n_leaves, siblings.iter(), Poseidon::new());
    for levels_above in (0..levels).rev() {
        let climb = Climb::new(known.keys(), period, levels_above);
        for node in climb.siblings {
            known.insert(node, *siblings.next()?);
        }
        let mut above = BTreeMap::new();
        for parent in climb.parents {
            let mut family = [F::ZERO; ARITY];
            for (to, child) in family.iter_mut().zip(children(period, parent)) {
                *to = known.get(&child)?.0;
            }
            above.insert(parent, Element(poseidon.eight(Tag::Node, &family)));
        }
        (known, period) = (above, climb.above);
    }
    let root = known.first_key_value().map(|(_, root)| *root);
    root.filter(|_| siblings.next().is_none())
}

#[cfg(test)]
mod tests;
