//! What consensus agrees on and what the ledger makes of it (TC6): proposal, value `V`, fallback `E(V)`, header.
//!
//! `V_s = H(Proposal_s)`; the state after block `s` is committed by `Header_s`, whose hash is the `parent` of `Proposal_{s+1}`.
//! So agreement on slot `s` makes inclusion final ("recorded"), agreement on `s + 1` makes the state final ("done").

use serde::{Deserialize, Serialize};
use watt_primitives::codec;
use watt_primitives::hash;
use watt_primitives::key::SignatureCheck;
use watt_primitives::{
    BlockHeight, Domain, Hash, NetworkId, NodeId, SecretKey, Signature, SlotIndex, Timestamp,
};
use watt_scp::Value;

/// The highest version of the rules that this program knows (`docs/spec/upgrades.md`): it knows all from 1 on. Which one a block
/// follows the state below it says; a change of rules is a `match` on that.
pub const PROTOCOL_VERSION_MAX: u32 = 2;

/// The most bytes of an encoded signed proposal.
pub const PROPOSAL_BYTES_MAX: usize = 2048;

/// One entry's suggestion for a slot. Small enough to travel inside nomination; only the body is fetched separately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Which network.
    pub network: NetworkId,
    /// Which slot.
    pub slot: SlotIndex,
    /// Rules that the block follows: those that the state below it says.
    pub version: u32,
    /// Hash of the header before.
    pub parent: Hash,
    /// When the block closes, in milliseconds since the Unix epoch.
    pub close_time: Timestamp,
    /// Merkle root over the body's transactions and the hash of its heartbeats.
    pub body_root: Hash,
    /// Transactions in the body.
    pub n_transactions: u32,
    /// Bytes of the encoded body.
    pub body_bytes: u32,
    /// Who suggests.
    pub proposer: NodeId,
}

impl Proposal {
    /// `V = H(Proposal)`.
    #[must_use]
    pub fn value(&self) -> Value {
        Value(hash::hash(
            Domain::Proposal,
            &self.network,
            &[&codec::encode(self)],
        ))
    }

    /// Signs.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> SignedProposal {
        let signature = key.sign(Domain::Proposal, &self.network, &codec::encode(&self));
        SignedProposal {
            proposal: self,
            signature,
        }
    }
}

/// The fallback value `E(V)`: the same slot, parent and close time with an empty body, for when `V`'s body is missing or bad.
#[must_use]
pub fn empty_value(network: &NetworkId, value: &Value) -> Value {
    Value(hash::hash(Domain::EmptyProposal, network, &[value.0.as_ref()]))
}

/// A proposal with its proposer's signature: one per entry and slot, a second is evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedProposal {
    /// What is suggested.
    pub proposal: Proposal,
    /// By `proposal.proposer` in [`Domain::Proposal`].
    pub signature: Signature,
}

impl SignedProposal {
    /// The claim to check before the proposal may be voted for.
    #[must_use]
    pub fn signature_check(&self) -> SignatureCheck {
        let (proposal, message) = (&self.proposal, codec::encode(&self.proposal));
        SignatureCheck::new(
            proposal.proposer.into(),
            Domain::Proposal,
            &proposal.network,
            &message,
            self.signature,
        )
    }
}

/// What everyone computes after applying block `height`. The first four fields are frozen for ever, so that an old client
/// can say "update me" instead of "fake".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Rules in force.
    pub version: u32,
    /// Which network.
    pub network: NetworkId,
    /// Hash of the header before; zero for genesis.
    pub parent: Hash,
    /// `V` of the proposal (also when the fallback `E(V)` was decided); zero for genesis.
    pub value: Hash,
    /// Height.
    pub height: BlockHeight,
    /// Whether `E(V)` was decided: the body is empty.
    pub is_empty: bool,
    /// Close time of the proposal.
    pub close_time: Timestamp,
    /// Root of the state after this block.
    pub state_root: Hash,
    /// Merkle root over the receipts.
    pub receipts_root: Hash,
    /// Root of the ranks with which the running term began; zero in a network without seeds of trust.
    pub rank_root: Hash,
    /// Hash of the quorum set that decides the next slot.
    pub next_backbone: Hash,
    /// Root of the Merkle mountain range over all headers before this one.
    pub history_root: Hash,
}

impl Header {
    /// The header's hash: `parent` of the next proposal.
    #[must_use]
    pub fn hash(&self) -> Hash {
        hash::hash(Domain::Header, &self.network, &[&codec::encode(self)])
    }
}
