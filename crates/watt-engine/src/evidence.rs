//! What proves that a validator lied: two things that it signed and that no correct node signs both.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use watt_light::SignedProposal;
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::{NetworkId, NodeId, SlotIndex};
use watt_scp::{Envelope, Pledges, Value};

/// The newest pieces of evidence kept of one node.
pub const KEPT_PER_NODE_MAX: usize = 8;

/// The most nodes of which evidence is kept; a backbone has fewer.
pub const NODES_MAX: usize = 128;

/// The most bytes of a log as it is stored.
pub const LOG_BYTES_MAX: usize = 4 << 20;

/// Two contradictory things with the signatures of one node, in the order in which they came here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

    /// `two-proposals` or `two-commits`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Proposals(_) => "two-proposals",
            Self::Commits(_) => "two-commits",
        }
    }

    /// The values that contradict each other.
    #[must_use]
    pub fn values(&self) -> [Value; 2] {
        match self {
            Self::Proposals(two) => two.each_ref().map(|signed| signed.proposal.value()),
            Self::Commits(two) => two
                .each_ref()
                .map(|envelope| committed(&envelope.statement.pledges)),
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

    /// As the ledger takes it (`docs/spec/ledger.md` 13.7).
    #[must_use]
    pub fn for_ledger(&self) -> watt_light::Evidence {
        match self {
            Self::Proposals(two) => {
                let [one, other] = two.as_ref().clone();
                watt_light::Evidence::Proposals { one, other }
            }
            Self::Commits(two) => {
                let [one, other] = two.as_ref().clone();
                watt_light::Evidence::Statements { one, other }
            }
        }
    }

    /// Whether it proves what it says on `network`: one node, one slot, two values, and both signatures hold.
    #[must_use]
    pub fn holds(&self, network: &NetworkId) -> bool {
        let [one, other] = self.values();
        let is_of_one = match self {
            Self::Proposals(two) => {
                let [a, b] = two.each_ref().map(|signed| &signed.proposal);
                (a.proposer, a.slot, a.network) == (b.proposer, b.slot, *network) && b.network == *network
            }
            Self::Commits(two) => {
                let [a, b] = two.each_ref().map(|envelope| &envelope.statement);
                let speak_of_commit = [a, b].into_iter().all(|statement| is_commit(&statement.pledges));
                (a.node, a.slot) == (b.node, b.slot) && speak_of_commit
            }
        };
        let are_signed = || match self {
            Self::Proposals(two) => two.iter().all(|signed| signed.signature_check().holds()),
            Self::Commits(two) => two
                .iter()
                .all(|envelope| envelope.signature_check(network).holds()),
        };
        one != other && is_of_one && are_signed()
    }
}

const fn is_commit(pledges: &Pledges) -> bool {
    match pledges {
        Pledges::Confirm { .. } | Pledges::Externalize { .. } => true,
        Pledges::Nominate { .. } | Pledges::Prepare { .. } => false,
    }
}

/// The value whose commit the pledges accept; zero if they speak of none.
const fn committed(pledges: &Pledges) -> Value {
    match pledges {
        Pledges::Confirm { ballot, .. } => ballot.value,
        Pledges::Externalize { commit, .. } => commit.value,
        Pledges::Nominate { .. } | Pledges::Prepare { .. } => Value(watt_primitives::Hash::ZERO),
    }
}

/// The evidence against one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Against {
    total: u64,
    /// The oldest first.
    newest: Vec<Evidence>,
}

/// Evidence by node: all of it counted, the newest of each node kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceLog(BTreeMap<NodeId, Against>);

impl EvidenceLog {
    /// Takes a piece in; false if there is one of this node, slot and kind already.
    pub fn note(&mut self, evidence: Evidence) -> bool {
        let node = evidence.node();
        if self.0.len() >= NODES_MAX && !self.0.contains_key(&node) {
            return false;
        }
        let against = self.0.entry(node).or_insert(Against {
            total: 0,
            newest: Vec::new(),
        });
        let is_same = |kept: &Evidence| (kept.slot(), kept.kind()) == (evidence.slot(), evidence.kind());
        if against.newest.iter().any(is_same) {
            return false;
        }
        against.total = against.total.saturating_add(1);
        if against.newest.len() >= KEPT_PER_NODE_MAX {
            against.newest.remove(0);
        }
        against.newest.push(evidence);
        true
    }

    /// This log, which was kept by an earlier life, with what `since` has found since then.
    #[must_use]
    pub fn with(mut self, since: &Self) -> Self {
        for (node, against) in &since.0 {
            for evidence in &against.newest {
                self.note(evidence.clone());
            }
            let forgotten = against
                .total
                .saturating_sub(u64::try_from(against.newest.len()).unwrap_or(u64::MAX));
            if let Some(known) = self.0.get_mut(node) {
                known.total = known.total.saturating_add(forgotten);
            }
        }
        self
    }

    /// Pieces in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.nodes().fold(0, |sum, (_, total)| sum.saturating_add(total))
    }

    /// Every node with evidence against it, and how many pieces there were.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.0.iter().map(|(node, against)| (*node, against.total))
    }

    /// What is kept, by node, the oldest first.
    pub fn newest(&self) -> impl Iterator<Item = &Evidence> + '_ {
        self.0.values().flat_map(|against| &against.newest)
    }

    /// The log's bytes, to be stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let all: Vec<&Against> = self.0.values().collect();
        codec::encode(&all)
    }

    /// Reads a stored log.
    ///
    /// # Errors
    /// Not the canonical encoding of a log within bounds. Evidence is taken as it was stored: [`Evidence::holds`] checks it.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEncoding> {
        let all: Vec<Against> = codec::decode(bytes, LOG_BYTES_MAX)?;
        let mut log = Self::default();
        for against in all.into_iter().take(NODES_MAX) {
            let Some(node) = against.newest.first().map(Evidence::node) else {
                continue;
            };
            for evidence in against.newest {
                log.note(evidence);
            }
            if let Some(known) = log.0.get_mut(&node) {
                known.total = known.total.max(against.total);
            }
        }
        Ok(log)
    }
}
