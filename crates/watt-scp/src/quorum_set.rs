//! Quorum sets: nested thresholds that stand for all the quorum slices a node accepts (SOSP 2019 §3).

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::hash::{self, Domain};
use watt_primitives::{BoundedVec, Hash, NetworkId, NodeId, codec};

/// The most members at one level.
pub const MEMBERS_MAX: usize = 100;

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
}
