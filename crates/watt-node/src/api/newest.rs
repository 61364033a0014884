//! Which block a node says is the newest, signed, as the API shows it (`docs/spec/light.md` §8).

use super::public::decode_hex;
use super::types::{hash_hex, node_hex};
use serde::{Deserialize, Serialize};
use watt_light::{BlockName, SignedNewest};
use watt_primitives::{BlockHeight, Hash, NodeId, Signature};

/// A node's word: this is the newest block that is final here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestInfo {
    /// Its height.
    pub height: u64,
    /// Hash of its header.
    #[serde(with = "hash_hex")]
    pub hash: Hash,
    /// What was sent along, so that an old answer is none.
    #[serde(with = "hash_hex")]
    pub nonce: Hash,
    /// Public key of the node's network identity, which its peer id names.
    #[serde(with = "node_hex")]
    pub node: NodeId,
    /// Its signature over height, hash and nonce: 128 hexadecimal digits.
    pub signature: String,
}

impl NewestInfo {
    /// A word as the API writes it.
    pub(super) fn of(word: &SignedNewest, nonce: Hash) -> Self {
        let digits = word.signature.0.iter().map(|byte| format!("{byte:02x}"));
        Self {
            height: word.block.height.0,
            hash: word.block.hash,
            nonce,
            node: word.node,
            signature: digits.collect(),
        }
    }

    /// The word, unchecked; `None` if its signature is none.
    #[must_use]
    pub fn word(&self) -> Option<SignedNewest> {
        let signature = decode_hex(&self.signature)?;
        Some(SignedNewest {
            block: BlockName {
                height: BlockHeight(self.height),
                hash: self.hash,
            },
            node: self.node,
            signature: Signature(signature.try_into().ok()?),
        })
    }
}
