//! What must survive a crash before a statement leaves: SCP's record, and the proposal and body it votes to commit
//! (`docs/spec/node.md` §4; C 6.2 rule 3: a value must be durable before its commit is voted for).

use serde::{Deserialize, Serialize};
use watt_light::SignedProposal;
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::{SharedBytes, SlotIndex};
use watt_scp::Record;

/// The most bytes of one entry: a body and some.
pub const ENTRY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One entry of the SCP journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// What this node is about to say.
    Record {
        /// Slot.
        slot: SlotIndex,
        /// SCP's record.
        record: Box<Record>,
    },
    /// A proposal and its body that this node is about to vote to commit.
    Body {
        /// The proposal.
        proposal: Box<SignedProposal>,
        /// Its encoding; nothing if the fallback was voted for.
        body: SharedBytes<ENTRY_BYTES_MAX>,
    },
}

impl Entry {
    /// The slot it is about: entries of slots up to the head are history.
    #[must_use]
    pub fn slot(&self) -> SlotIndex {
        match self {
            Self::Record { slot, .. } => *slot,
            Self::Body { proposal, .. } => proposal.proposal.slot,
        }
    }

    /// The entry's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads an entry back.
    ///
    /// # Errors
    /// Anything but an entry: the journal is damaged beyond what its checksums catch.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEncoding> {
        codec::decode(bytes, ENTRY_BYTES_MAX)
    }
}
