//! What proves that a validator lied: two things that it signed and that no correct node signs both.

use std::collections::{BTreeMap, VecDeque};
use watt_light::SignedProposal;
use watt_primitives::{NetworkId, NodeId, SlotIndex, codec};
use watt_scp::Envelope;

/// The newest pieces of evidence kept of one node; the number of nodes is bounded by the backbone.
pub const KEPT_PER_NODE_MAX: usize = 8;

/// Two contradictory things with the signatures of one node, in the order in which they came here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two proposals in one slot (`docs/spec/node.md` 3.5).
    Proposals(Box<[SignedProposal; 2]>),
    /// Two statements of one slot that accept the commit of different values (`docs/spec/scp.md` 7.3).
    Commits(Box<[Envelope; 2]>),
}

impl Evidence {
    /// Whose signatures these are.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Proposals(two) => two[0].proposal.proposer,
            Self::Commits(two) => two[0].statement.node,
        }
    }

    /// In which slot.
    #[must_use]
    pub const fn slot(&self) -> SlotIndex {
        match self {
            Self::Proposals(two) => two[0].proposal.slot,
            Self::Commits(two) => two[0].statement.slot,
        }
    }

    /// `two proposals` or `two commits`.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Proposals(_) => "two proposals",
            Self::Commits(_) => "two commits",
        }
    }

    /// Canonical encodings of the two: [`SignedProposal`]s or [`Envelope`]s.
    #[must_use]
    pub fn encoded(&self) -> [Vec<u8>; 2] {
        match self {
            Self::Proposals(two) => two.each_ref().map(codec::encode),
            Self::Commits(two) => two.each_ref().map(codec::encode),
        }
    }

    /// Whether both signatures hold on `network`.
    #[must_use]
    pub fn holds(&self, network: &NetworkId) -> bool {
        match self {
            Self::Proposals(two) => two
                .iter()
                .all(|signed| signed.proposal.network == *network && signed.signature_check().holds()),
            Self::Commits(two) => two
                .iter()
                .all(|envelope| envelope.signature_check(network).holds()),
        }
    }
}

/// Evidence since the start of the node: all of it counted, the newest of each node kept.
#[derive(Clone, Debug, Default)]
pub struct EvidenceLog(BTreeMap<NodeId, (u64, VecDeque<Evidence>)>);

impl EvidenceLog {
    pub(crate) fn note(&mut self, evidence: Evidence) {
        let (total, newest) = self.0.entry(evidence.node()).or_default();
        *total = total.saturating_add(1);
        if newest.len() >= KEPT_PER_NODE_MAX {
            newest.pop_front();
        }
        newest.push_back(evidence);
    }

    /// Every node with evidence against it, and how many pieces there were.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.0.iter().map(|(node, (total, _))| (*node, *total))
    }

    /// What is kept, by node, the oldest first.
    pub fn newest(&self) -> impl Iterator<Item = &Evidence> + '_ {
        self.0.values().flat_map(|(_, newest)| newest)
    }
}
