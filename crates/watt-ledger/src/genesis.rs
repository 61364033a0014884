//! The genesis document: what a network starts with, and whose hash names it.

use serde::{Deserialize, Serialize};
use watt_primitives::hash::DomainHasher;
use watt_primitives::{
    Amount, BoundedString, BoundedVec, Domain, Hash, NetworkId, NodeId, PublicKey, Timestamp, codec,
};
use watt_scp::QuorumSet;

/// The most bytes of an encoded genesis document.
pub const GENESIS_BYTES_MAX: usize = 1 << 20;

/// Numbers that rules depend on, fixed per network. They are state, never configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkParameters {
    /// Target time between blocks, in milliseconds.
    pub slot_ms: u64,
    /// Slots in a proving window.
    pub window_slots: u64,
    /// Most transactions in a block.
    pub block_transactions_max: u32,
    /// Most bytes of a block's encoded body.
    pub block_bytes_max: u32,
    /// Slots within which a certificate must follow a match, for any size.
    pub certify_slots: u64,
    /// Further slots for each 10⁹ bytes of all slots together.
    pub certify_slots_per_gb: u64,
    /// Slots a pre-committed sector has to answer its challenge.
    pub commit_slots: u64,
    /// Whether sealing uses small, openly insecure parameters; refused on a main network.
    pub insecure_proofs: bool,
}

/// An account that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Its first key, as owner.
    pub key: PublicKey,
    /// Its first balance.
    pub balance: Amount,
}

/// What a network starts with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Name for people, for example `devnet`.
    pub name: BoundedString<32>,
    /// Whether this is the main network: addresses are `watt1…` and insecure parameters are refused.
    pub is_main: bool,
    /// Close time of block 0.
    pub time: Timestamp,
    /// Rules' numbers.
    pub parameters: NetworkParameters,
    /// First accounts.
    pub accounts: BoundedVec<GenesisAccount, 4096>,
    /// First backbone: the voting keys, in every quorum set (flat `2f + 1` of `3f + 1`).
    pub backbone: BoundedVec<NodeId, 61>,
}

impl Genesis {
    /// The document's hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        DomainHasher::without_network(Domain::Genesis)
            .part(&codec::encode(self))
            .finish()
    }

    /// The network that starts here, never restarted.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        NetworkId::derive(self.hash(), 0)
    }

    /// The quorum set of the first backbone: `k - f` of `k` with `f = (k - 1) / 3`.
    #[must_use]
    pub fn quorum_set(&self) -> QuorumSet {
        let k = u32::try_from(self.backbone.len()).unwrap_or(u32::MAX);
        let faulty = k.saturating_sub(1).checked_div(3).unwrap_or(0);
        QuorumSet::flat(k.saturating_sub(faulty), self.backbone.to_vec())
    }
}
