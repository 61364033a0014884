//! Slices, blocking sets and quorums over explicit sets of nodes: for proofs, monitoring and tests, not for the hot path.

use crate::quorum_set::QuorumSet;
use alloc::collections::{BTreeMap, BTreeSet};
use watt_primitives::NodeId;

/// Whether `nodes` contain a slice of `quorum_set`.
#[must_use]
pub fn has_slice_in(quorum_set: &QuorumSet, nodes: &BTreeSet<NodeId>) -> bool {
    let n_nodes = quorum_set
        .nodes
        .iter()
        .filter(|node| nodes.contains(*node))
        .count();
    let n_inner = quorum_set
        .inner
        .iter()
        .filter(|inner| has_slice_in(inner, nodes))
        .count();
    is_reached(quorum_set.threshold, n_nodes.saturating_add(n_inner))
}

/// Whether `nodes` are v-blocking for a node with `quorum_set`: every slice contains one of them.
#[must_use]
pub fn is_v_blocking(quorum_set: &QuorumSet, nodes: &BTreeSet<NodeId>) -> bool {
    let n_nodes = quorum_set
        .nodes
        .iter()
        .filter(|node| !nodes.contains(*node))
        .count();
    let n_inner = quorum_set
        .inner
        .iter()
        .filter(|inner| !is_v_blocking(inner, nodes))
        .count();
    !is_reached(quorum_set.threshold, n_nodes.saturating_add(n_inner))
}

/// The greatest quorum within `nodes`, given everybody's quorum set; empty if there is none.
#[must_use]
pub fn greatest_quorum_in(
    nodes: &BTreeSet<NodeId>,
    quorum_sets: &BTreeMap<NodeId, QuorumSet>,
) -> BTreeSet<NodeId> {
    let mut left = nodes.clone();
    loop {
        let has_slice = |node: &NodeId| {
            let set = quorum_sets.get(node);
            set.is_some_and(|set| has_slice_in(set, &left))
        };
        let kept: BTreeSet<NodeId> = left.iter().filter(|node| has_slice(node)).copied().collect();
        if kept.len() == left.len() {
            return kept;
        }
        left = kept;
    }
}

/// Whether `nodes` are a quorum: not empty, and each of them has a slice among them.
#[must_use]
pub fn is_quorum(nodes: &BTreeSet<NodeId>, quorum_sets: &BTreeMap<NodeId, QuorumSet>) -> bool {
    !nodes.is_empty() && greatest_quorum_in(nodes, quorum_sets).len() == nodes.len()
}

fn is_reached(threshold: u32, count: usize) -> bool {
    usize::try_from(threshold).is_ok_and(|threshold| count >= threshold)
}

#[cfg(test)]
mod tests;
