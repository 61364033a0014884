//! What can be found out about a network, one finding after the other, the most important and quickest first.

use crate::flat::Flat;
use crate::network::Network;
use fbas_analyzer::{Fbas, NodeIdSetVecResult};
use serde::{Deserialize, Serialize};

/// Whether any two quorums have a node in common. If not, the network may agree on two things at once, without anybody lying.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Intersection {
    /// Any two have.
    Yes,
    /// These two have not.
    No {
        /// Two quorums without a common node.
        quorums: [Vec<String>; 2],
    },
    /// There is no quorum at all: the network can agree on nothing.
    NoQuorum,
    /// Not known in the time given.
    #[default]
    NotKnown,
}

/// All minimal sets of one sort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sets {
    /// Nodes in the smallest; 0 also if there is none.
    pub smallest: usize,
    /// One of the smallest.
    pub example: Vec<String>,
    /// How many minimal sets there are; 0 if nothing of this sort can happen, as a split where all nodes must agree.
    pub count: u64,
}

/// One thing that was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// Whether quorums intersect.
    Intersection(Intersection),
    /// The sets of nodes whose failure stops the network.
    Blocking(Sets),
    /// The sets of nodes whose lies can split it.
    Splitting(Sets),
    /// The nodes that matter to whether it goes on: those in a minimal blocking set.
    TopTier {
        /// Their names.
        nodes: Vec<String>,
    },
}

/// What is known of a network; what is `None`, or [`Intersection::NotKnown`], is not known in the time given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// Whether quorums intersect.
    pub intersection: Intersection,
    /// The sets of nodes whose failure stops the network.
    pub blocking: Option<Sets>,
    /// The sets of nodes whose lies can split it.
    pub splitting: Option<Sets>,
    /// The nodes in a minimal blocking set.
    pub top_tier: Option<Vec<String>>,
}

impl Analysis {
    /// What is found by arithmetic; none if the network needs a search.
    #[must_use]
    pub fn at_once(network: &Network) -> Option<Self> {
        Flat::analyze(network)
    }

    /// Adds what was found.
    pub fn add(&mut self, finding: Finding) {
        match finding {
            Finding::Intersection(intersection) => self.intersection = intersection,
            Finding::Blocking(sets) => self.blocking = Some(sets),
            Finding::Splitting(sets) => self.splitting = Some(sets),
            Finding::TopTier { nodes } => self.top_tier = Some(nodes),
        }
    }

    /// Whether everything that was asked is known.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.blocking.is_some()
            && self.splitting.is_some()
            && self.top_tier.is_some()
            && !matches!(self.intersection, Intersection::NotKnown)
    }
}

/// Searches `network` and tells each finding as soon as there is one; may take for ever, and much memory.
///
/// The order is: intersection, blocking sets, top tier, splitting sets.
pub fn search(network: &Network, mut found: impl FnMut(Finding)) {
    let names: Vec<&str> = network.names().collect();
    // The library reads its own types from JSON only, and panics on what it can't read; a network that was checked is readable.
    let fbas = Fbas::from_json_str(&network.to_snapshot());
    let analysis = fbas_analyzer::Analysis::new(&fbas);
    let called = |nodes: &[usize]| -> Vec<String> {
        let name = |node: &usize| names.get(*node).map(|name| (*name).to_owned());
        nodes.iter().filter_map(name).collect()
    };
    if analysis.satisfiable_nodes().is_empty() {
        found(Finding::Intersection(Intersection::NoQuorum));
        return;
    }
    // Not `has_quorum_intersection`, which lists all minimal quorums first.
    let (_, disjoint) = analysis.has_quorum_intersection_via_alternative_check();
    let quorums = disjoint.map(NodeIdSetVecResult::into_vec_vec).unwrap_or_default();
    found(Finding::Intersection(match quorums.as_slice() {
        [one, other, ..] => Intersection::No {
            quorums: [called(one), called(other)],
        },
        [] | [_] => Intersection::Yes,
    }));
    let sets = |result: &NodeIdSetVecResult| {
        // Sorted by size.
        let example = result
            .clone()
            .into_vec_vec()
            .into_iter()
            .next()
            .unwrap_or_default();
        Sets {
            smallest: example.len(),
            example: called(&example),
            count: u64::try_from(result.len()).unwrap_or(u64::MAX),
        }
    };
    let blocking = analysis.minimal_blocking_sets();
    found(Finding::Blocking(sets(&blocking)));
    let top_tier: Vec<usize> = blocking.involved_nodes().into_iter().collect();
    found(Finding::TopTier {
        nodes: called(&top_tier),
    });
    found(Finding::Splitting(sets(&analysis.minimal_splitting_sets())));
}

#[cfg(test)]
mod tests;
