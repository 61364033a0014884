//! Octal trees that are filled by repetition (`docs/spec/proofs.md` §11).

use crate::element::{ARITY, F, LEAF_BYTES};
use crate::index;
use crate::poseidon::{Poseidon, Tag};
use ff::Field;
use rayon::prelude::*;

/// Nodes that one thread hashes before it looks for more work.
const NODES_PER_TURN: usize = 512;

/// A tree with `8^levels` places, place `p` holding leaf `p mod n` of the `n` given. Repetition goes on above the leaves, so
/// only one period of each level is computed and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// One period of each level, leaves first, the root last.
    periods: Vec<Vec<F>>,
}

/// The children of a node.
pub(crate) type Family = [F; ARITY];

impl Tree {
    /// The tree over `leaves`, of which `8^levels` count at most; without any it is a tree of zeros.
    pub(crate) fn build(tag: Tag, levels: u32, leaves: Vec<F>) -> Self {
        let mut periods = vec![leaves];
        for level in (0..levels).rev() {
            let below: &[F] = periods.last().map_or(&[], Vec::as_slice);
            let width = ARITY.saturating_pow(level);
            let period = (below.len() / common_divisor(below.len(), ARITY)).clamp(1, width);
            let node = |poseidon: &mut Poseidon, at: usize| poseidon.eight(tag, &family(below, at));
            let nodes = (0..period)
                .into_par_iter()
                .with_min_len(NODES_PER_TURN)
                .map_init(Poseidon::new, node)
                .collect();
            periods.push(nodes);
        }
        Self { periods }
    }

    /// The root.
    pub(crate) fn root(&self) -> F {
        self.periods
            .last()
            .and_then(|top| top.first())
            .copied()
            .unwrap_or(F::ZERO)
    }

    /// The families on the way from a place up to the root, lowest first; each holds what the one below hashes to.
    pub(crate) fn path(&self, place: u32) -> Vec<Family> {
        let below_root = self.periods.len().saturating_sub(1);
        let levels = self.periods.iter().take(below_root);
        let shifts = (1u32..).map(|level| level.saturating_mul(ARITY.ilog2()));
        levels
            .zip(shifts)
            .map(|(period, shift)| family(period, index(place.checked_shr(shift).unwrap_or(0))))
            .collect()
    }
}

/// The digests of all leaves of a replica.
pub(crate) fn leaf_digests(replica: &[u8]) -> Vec<F> {
    replica
        .as_chunks::<LEAF_BYTES>()
        .0
        .par_iter()
        .with_min_len(NODES_PER_TURN)
        .map_init(Poseidon::new, Poseidon::leaf)
        .collect()
}

/// The children of node `at` of the level above `period`.
fn family(period: &[F], at: usize) -> Family {
    let first = at.saturating_mul(ARITY);
    core::array::from_fn(|child| {
        let place = first.saturating_add(child).checked_rem(period.len()).unwrap_or(0);
        period.get(place).copied().unwrap_or(F::ZERO)
    })
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a.max(1)
    } else {
        common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests;
