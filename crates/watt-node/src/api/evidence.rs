//! Which validators contradicted themselves: what `GET /api/v1/evidence` and `watt chain evidence` say.

use super::types::node_hex;
use serde::{Deserialize, Serialize};
use watt_engine::{Evidence, EvidenceLog};
use watt_primitives::NodeId;

/// All that is known against validators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceInfo {
    /// Every node with evidence against it.
    pub nodes: Vec<AccusedInfo>,
    /// The newest pieces of each node, the oldest first.
    pub evidence: Vec<EvidencePiece>,
}

/// A node with evidence against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccusedInfo {
    /// Its entry in the backbone.
    #[serde(with = "node_hex")]
    pub node: NodeId,
    /// Pieces in all, also those that are no longer kept.
    pub total: u64,
}

/// Two contradictory things with one node's signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidencePiece {
    /// `two-proposals` or `two-commits`.
    pub kind: String,
    /// The slot of both.
    pub slot: u64,
    /// Who signed both.
    #[serde(with = "node_hex")]
    pub node: NodeId,
    /// The two values, as hexadecimal.
    pub values: [String; 2],
    /// Canonical encodings of the two signed proposals or envelopes, as hexadecimal.
    pub signed: [String; 2],
}

impl EvidenceInfo {
    /// What `log` holds.
    #[must_use]
    pub fn of(log: &EvidenceLog) -> Self {
        Self {
            nodes: log
                .nodes()
                .map(|(node, total)| AccusedInfo { node, total })
                .collect(),
            evidence: log.newest().map(EvidencePiece::of).collect(),
        }
    }
}

impl EvidencePiece {
    fn of(evidence: &Evidence) -> Self {
        Self {
            kind: evidence.kind().to_owned(),
            slot: evidence.slot().0,
            node: evidence.node(),
            values: evidence.values().map(|value| value.0.to_string()),
            signed: evidence.encoded().map(|bytes| hexadecimal(&bytes)),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
