//! Quorum sets: nested thresholds that stand for all the quorum slices a node accepts (SOSP 2019 §3).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::hash::{self, Domain};
use watt_primitives::{BoundedVec, Hash, NetworkId, NodeId, codec};

/// The most members at one level.
pub const MEMBERS_MAX: usize = 100;

/// The most levels, the outermost included (`docs/spec/scp.md` §2.2).
pub const DEPTH_MAX: usize = 4;

/// The most nodes in one quorum set, all levels together (`docs/spec/scp.md` §2.2).
pub const NODES_PER_SET_MAX: usize = 1000;

/// `threshold` of the members, each a node or an inner set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuorumSet {
    /// How many members make a slice.
    pub threshold: u32,
    /// Nodes at this level.
    pub nodes: BoundedVec<NodeId, MEMBERS_MAX>,
    /// Inner sets at this level.
    pub inner: BoundedVec<Self, MEMBERS_MAX>,
}

impl QuorumSet {
    /// `threshold` of `nodes`, flat, sorted.
    #[must_use]
    pub fn flat(threshold: u32, mut nodes: Vec<NodeId>) -> Self {
        nodes.sort_unstable();
        nodes.truncate(MEMBERS_MAX);
        Self {
            threshold,
            nodes: BoundedVec::new(nodes).unwrap_or_default(),
            inner: BoundedVec::empty(),
        }
    }

    /// The set's name in statements.
    #[must_use]
    pub fn hash(&self, network: &NetworkId) -> Hash {
        hash::hash(Domain::QuorumSet, network, &[&codec::encode(self)])
    }

    /// Number of members at this level: nodes and inner sets.
    #[must_use]
    pub fn n_members(&self) -> usize {
        self.nodes.len().saturating_add(self.inner.len())
    }

    /// Whether the set may be used: every threshold is between 1 and the number of members, no node occurs twice, at most
    /// [`DEPTH_MAX`] levels and [`NODES_PER_SET_MAX`] nodes.
    #[must_use]
    pub fn is_sane(&self) -> bool {
        let mut seen = BTreeSet::new();
        self.is_level_sane(DEPTH_MAX, &mut seen) && !seen.is_empty()
    }

    fn is_level_sane(&self, levels_left: usize, seen: &mut BTreeSet<NodeId>) -> bool {
        let Some(levels_below) = levels_left.checked_sub(1) else {
            return false;
        };
        let is_threshold_reachable =
            self.threshold >= 1 && usize::try_from(self.threshold).is_ok_and(|t| t <= self.n_members());
        is_threshold_reachable
            && self.nodes.iter().all(|node| seen.insert(*node))
            && seen.len() <= NODES_PER_SET_MAX
            && self
                .inner
                .iter()
                .all(|inner| inner.is_level_sane(levels_below, seen))
    }

    /// The same slices in one canonical form: an inner set of one member is replaced by that member, members are sorted.
    ///
    /// Levels below [`DEPTH_MAX`] are left as they are; such a set is not sane anyway.
    #[must_use]
    pub fn normalized(&self) -> Self {
        self.normalized_to(DEPTH_MAX)
    }

    fn normalized_to(&self, levels_left: usize) -> Self {
        let Some(levels_below) = levels_left.checked_sub(1) else {
            return self.clone();
        };
        let mut nodes = self.nodes.to_vec();
        let mut inner_sets = Vec::new();
        for inner in &self.inner {
            let mut inner = inner.normalized_to(levels_below);
            if inner.threshold == 1 && inner.n_members() == 1 {
                if let Some(node) = inner.nodes.first() {
                    nodes.push(*node);
                    continue;
                }
                if let Some(only) = inner.inner.first().cloned() {
                    inner = only;
                }
            }
            inner_sets.push(inner);
        }
        nodes.sort_unstable();
        inner_sets.sort_unstable();
        if self.threshold == 1 && nodes.is_empty() && inner_sets.len() == 1 {
            return inner_sets.pop().unwrap_or_else(|| self.clone());
        }
        match (BoundedVec::new(nodes), BoundedVec::new(inner_sets)) {
            (Ok(nodes), Ok(inner)) => Self {
                threshold: self.threshold,
                nodes,
                inner,
            },
            // More nodes than one level may hold: keep the nesting that made them fit.
            (Err(_), _) | (_, Err(_)) => self.clone(),
        }
    }

    /// Calls `visit` for every node, level by level from the outside.
    pub fn for_each_node(&self, visit: &mut impl FnMut(&NodeId)) {
        for node in &self.nodes {
            visit(node);
        }
        for inner in &self.inner {
            inner.for_each_node(visit);
        }
    }
}

#[cfg(test)]
mod tests;
