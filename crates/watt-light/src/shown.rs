//! What somebody shows about the ledger, to be checked alone (`docs/spec/light.md` §6): that a block is final, and what an entry
//! of the state is after it.

use crate::finality::{FinalityProof, InvalidFinality};
use crate::proposal::Header;
use crate::state_proof::{InvalidStateProof, StateProof};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::{BoundedBytes, NetworkId, NodeId};
use watt_scp::QuorumSet;

/// The most bytes of an entry's key.
pub const ENTRY_KEY_BYTES_MAX: usize = 1024;

/// The most bytes of an entry's value.
pub const ENTRY_VALUE_BYTES_MAX: usize = 1 << 20;

/// That a block is final, and perhaps what one entry of the state is after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// That its header is final.
    pub finality: FinalityProof,
    /// An entry of the state after it.
    pub entry: Option<ShownEntry>,
}

/// An entry of the state, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownEntry {
    /// Its key (`docs/spec/ledger.md` §1).
    pub key: BoundedBytes<ENTRY_KEY_BYTES_MAX>,
    /// Its value; none if no entry stands under the key.
    pub value: Option<BoundedBytes<ENTRY_VALUE_BYTES_MAX>>,
    /// That this is so under the header's state root.
    pub proof: StateProof,
}

/// Why what is shown is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShown {
    /// The block is not shown to be final.
    #[error(transparent)]
    Finality(#[from] InvalidFinality),
    /// The entry is not shown to be in its state.
    #[error(transparent)]
    Entry(#[from] InvalidStateProof),
}

impl Shown {
    /// Checks everything with nothing but the network's id and the quorum set that decides the block after; returns the header
    /// that is final.
    ///
    /// # Errors
    /// See [`InvalidShown`].
    pub fn verify(&self, network: &NetworkId, quorum_set: &QuorumSet) -> Result<&Header, InvalidShown> {
        let header = self.finality.verify(network, quorum_set)?;
        if let Some(entry) = &self.entry {
            let value = entry.value.as_deref();
            entry.proof.verify(&header.state_root, &entry.key, value)?;
        }
        Ok(header)
    }
}

/// Who voted for both, if two proofs that hold (under `quorum_set`) are about one height and different headers: with fewer liars than
/// the network bears there are no such proofs. Nobody if they do not contradict each other.
#[must_use]
pub fn contradictors(
    one: &FinalityProof,
    other: &FinalityProof,
    network: &NetworkId,
    quorum_set: &QuorumSet,
) -> Vec<NodeId> {
    if one.header.height != other.header.height || one.header == other.header {
        return Vec::new();
    }
    let voters = |proof: &FinalityProof| -> Vec<NodeId> {
        let envelopes = proof.decision.envelopes(network, quorum_set).unwrap_or_default();
        envelopes.iter().map(|envelope| envelope.statement.node).collect()
    };
    let others = voters(other);
    voters(one)
        .into_iter()
        .filter(|node| others.contains(node))
        .collect()
}

#[cfg(test)]
mod tests;
