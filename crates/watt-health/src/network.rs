//! Nodes with their quorum sets: from this network's own types, or from a snapshot of any network.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use watt_primitives::NodeId;
use watt_scp::QuorumSet;
use watt_scp::quorum_set::{DEPTH_MAX, NODES_PER_SET_MAX};

/// The most bytes of a snapshot: Stellar's public network of 2025 with every detail has two million.
pub const SNAPSHOT_BYTES_MAX: usize = 8 << 20;

/// The most nodes with a quorum set.
pub const NODES_MAX: usize = 1_000;

/// The most nodes of a snapshot, with those that declare no quorum set.
pub const LISTED_MAX: usize = 20_000;

/// The most bytes of a node's name.
pub const NAME_BYTES_MAX: usize = 100;

/// A quorum set whose nodes have names: `threshold` of `validators` and `inner_quorum_sets`, as stellarbeat writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slices {
    /// How many members make a slice.
    pub threshold: u64,
    /// Names of nodes.
    pub validators: Vec<String>,
    /// Inner sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inner_quorum_sets: Vec<Self>,
}

impl From<&QuorumSet> for Slices {
    fn from(set: &QuorumSet) -> Self {
        Self {
            threshold: u64::from(set.threshold),
            validators: set.nodes.iter().map(ToString::to_string).collect(),
            inner_quorum_sets: set.inner.iter().map(Self::from).collect(),
        }
    }
}

impl Slices {
    fn sort(&mut self) {
        self.validators.sort_unstable();
        self.inner_quorum_sets.iter_mut().for_each(Self::sort);
        self.inner_quorum_sets.sort_unstable();
    }

    /// Counts the nodes, all levels together, and finds what makes the set unfit.
    fn check(&self, levels_left: usize, n_nodes: &mut usize) -> Result<(), UnfitSlices> {
        let levels_below = levels_left.checked_sub(1).ok_or(UnfitSlices::TooDeep)?;
        if self.threshold == 0 {
            return Err(UnfitSlices::AcceptsNothing);
        }
        *n_nodes = n_nodes.saturating_add(self.validators.len()).saturating_add(1);
        if *n_nodes > NODES_PER_SET_MAX {
            return Err(UnfitSlices::TooMany);
        }
        self.inner_quorum_sets
            .iter()
            .try_for_each(|inner| inner.check(levels_below, n_nodes))
    }
}

/// What makes a quorum set unfit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSlices {
    /// More levels than [`DEPTH_MAX`].
    #[error("it has more than {DEPTH_MAX} levels")]
    TooDeep,
    /// More nodes and inner sets than [`NODES_PER_SET_MAX`].
    #[error("it has more than {NODES_PER_SET_MAX} nodes and inner sets")]
    TooMany,
    /// A threshold of zero, which is met by nobody at all.
    #[error("it has a threshold of 0")]
    AcceptsNothing,
}

/// Why a snapshot is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSnapshot {
    /// Longer than [`SNAPSHOT_BYTES_MAX`].
    #[error("it is longer than {} MiB", SNAPSHOT_BYTES_MAX >> 20)]
    TooLong,
    /// No list of nodes.
    #[error("it is no JSON list of nodes with `publicKey` and `quorumSet`: {0}")]
    NoSnapshot(String),
    /// More nodes than [`LISTED_MAX`], or than [`NODES_MAX`] with a quorum set.
    #[error("it has more than {NODES_MAX} nodes with a quorum set, or more than {LISTED_MAX} in all")]
    TooMany,
    /// No node has a quorum set.
    #[error("no node in it has a quorum set")]
    Empty,
    /// A name without bytes, or with more than [`NAME_BYTES_MAX`].
    #[error("a node's name is empty or longer than {NAME_BYTES_MAX} bytes")]
    BadName,
    /// Two nodes with one name.
    #[error("the node {0} is in it twice")]
    Twice(String),
    /// A quorum set that can't be.
    #[error("the quorum set of {node} can't be: {why}")]
    Unfit {
        /// Whose set.
        node: String,
        /// Why.
        why: UnfitSlices,
    },
}

/// A node as it stands in a snapshot; what else stands there is not looked at.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    public_key: String,
    #[serde(default)]
    quorum_set: Option<Slices>,
}

/// Nodes and what each of them declares, checked. A node that declares nothing can be in no quorum, and is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    nodes: BTreeMap<String, Slices>,
}

impl Network {
    /// The network of these nodes and quorum sets.
    ///
    /// # Errors
    /// Too many nodes, none, or a set that is not sane.
    pub fn of(quorum_sets: &BTreeMap<NodeId, QuorumSet>) -> Result<Self, InvalidSnapshot> {
        let nodes = quorum_sets.iter();
        Self::checked(nodes.map(|(node, set)| (node.to_string(), Slices::from(set))))
    }

    /// The network of these names and quorum sets.
    ///
    /// # Errors
    /// Too many nodes, none, one twice, or a set that can't be.
    pub fn checked(listed: impl IntoIterator<Item = (String, Slices)>) -> Result<Self, InvalidSnapshot> {
        let mut nodes = BTreeMap::new();
        for (node, mut slices) in listed {
            if nodes.len() >= NODES_MAX {
                return Err(InvalidSnapshot::TooMany);
            }
            if node.is_empty() || node.len() > NAME_BYTES_MAX {
                return Err(InvalidSnapshot::BadName);
            }
            if let Err(why) = slices.check(DEPTH_MAX, &mut 0) {
                return Err(InvalidSnapshot::Unfit { node, why });
            }
            slices.sort();
            if nodes.insert(node.clone(), slices).is_some() {
                return Err(InvalidSnapshot::Twice(node));
            }
        }
        if nodes.is_empty() {
            return Err(InvalidSnapshot::Empty);
        }
        Ok(Self { nodes })
    }

    /// Reads a snapshot: a JSON list of nodes with `publicKey` and `quorumSet` (`threshold`, `validators`, `innerQuorumSets`).
    ///
    /// # Errors
    /// It is none, or above a bound.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, InvalidSnapshot> {
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(InvalidSnapshot::TooLong);
        }
        let listed: Vec<Listed> =
            serde_json::from_slice(bytes).map_err(|error| InvalidSnapshot::NoSnapshot(error.to_string()))?;
        if listed.len() > LISTED_MAX {
            return Err(InvalidSnapshot::TooMany);
        }
        let declared = |node: Listed| Some((node.public_key, node.quorum_set?));
        Self::checked(listed.into_iter().filter_map(declared))
    }

    /// The snapshot that [`Self::from_snapshot`] reads.
    #[must_use]
    pub fn to_snapshot(&self) -> String {
        let listed: Vec<Listed> = self
            .nodes
            .iter()
            .map(|(node, slices)| Listed {
                public_key: node.clone(),
                quorum_set: Some(slices.clone()),
            })
            .collect();
        serde_json::to_string(&listed).unwrap_or_default()
    }

    /// How many nodes declare a quorum set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none; never of a network that was checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The names of the nodes, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// The nodes with what they declare, sorted by name.
    pub fn slices(&self) -> impl Iterator<Item = (&str, &Slices)> {
        self.nodes.iter().map(|(node, slices)| (node.as_str(), slices))
    }

    /// The set that every node declares, if it is one for all, flat, of distinct nodes that are all here, and can be met.
    pub(crate) fn flat(&self) -> Option<&Slices> {
        let mut declared = self.nodes.values();
        let first = declared.next()?;
        let members: BTreeSet<&String> = first.validators.iter().collect();
        let is_flat = first.inner_quorum_sets.is_empty()
            && members.len() == first.validators.len()
            && members.iter().all(|node| self.nodes.contains_key(*node))
            && usize::try_from(first.threshold).is_ok_and(|threshold| threshold <= members.len());
        (is_flat && declared.all(|slices| slices == first)).then_some(first)
    }
}

#[cfg(test)]
mod tests;
