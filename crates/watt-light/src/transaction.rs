//! Transactions: what an account's key asks of the ledger (`docs/spec/ledger.md` §3).

use crate::heartbeat::{SignedHeartbeat, section_hash};
use crate::operation::{FoldedWindows, Operation};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::hash;
use watt_primitives::key::SignatureCheck;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedVec, Domain, Hash, NetworkId, PublicKey, SecretKey,
    Signature, TransactionId,
};

/// The most operations in one transaction.
pub const OPERATIONS_MAX: usize = 16;

/// The most bytes in one witness entry: the openings of a sector.
pub const WITNESS_BYTES_MAX: usize = 512 * 1024;

/// The most bytes of an encoded transaction with its witness.
pub const TRANSACTION_BYTES_MAX: usize = 640 * 1024;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// Who acts and pays the fee.
    pub account: AccountId,
    /// Position of `key` in the account's list; the first transaction of a fresh account uses 0.
    pub key_index: u16,
    /// The key that signs. Inside what is signed, so that a signature says by which scheme and key.
    pub key: PublicKey,
    /// This key's next number on this account, from 0.
    pub nonce: u64,
    /// Last height at which it may be included.
    pub valid_until: BlockHeight,
    /// Most that its author pays; with no backlog it may be zero.
    pub fee: Amount,
    /// Done all or none, in order.
    pub operations: BoundedVec<Operation, OPERATIONS_MAX>,
}

/// A transaction on the wire. The witness (openings of proofs) is committed by hashes inside the signed part, so it can be
/// pruned later without changing any id or root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedTransaction {
    /// What is signed.
    pub transaction: Transaction,
    /// By `transaction.key` in [`Domain::Transaction`].
    pub signature: Signature,
    /// One entry per operation that announces one, in order.
    pub witness: BoundedVec<BoundedBytes<WITNESS_BYTES_MAX>, OPERATIONS_MAX>,
}

/// A folded proof with what it has to show. As a signature it is checked from the transaction alone, before anything is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedProof {
    /// What it has to show.
    pub windows: FoldedWindows,
    /// The proof.
    pub proof: Vec<u8>,
}

/// Why a transaction is refused before the state is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    /// Bytes are no canonical transaction.
    #[error("not a transaction: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// No operation.
    #[error("a transaction needs at least one operation")]
    Empty,
    /// Witness entries and operations that announce one do not correspond.
    #[error("the witness does not match the operations")]
    Witness,
    /// The signature is not by the key over this transaction on this network.
    #[error("the signature is not valid on this network")]
    Signature,
}

impl Transaction {
    /// The transaction's name on `network`.
    #[must_use]
    pub fn id(&self, network: &NetworkId) -> TransactionId {
        Self::id_of_encoded(&codec::encode(self), network)
    }

    /// The name on `network` of the transaction with this encoding.
    #[must_use]
    pub fn id_of_encoded(encoded: &[u8], network: &NetworkId) -> TransactionId {
        TransactionId(hash::hash(Domain::Transaction, network, &[encoded]).0)
    }

    /// Signs; `witness` holds one entry per operation that announces one.
    ///
    /// # Errors
    /// [`InvalidTransaction::Witness`] if an entry is too long or there are too many.
    pub fn sign(
        self,
        key: &SecretKey,
        network: &NetworkId,
        witness: Vec<Vec<u8>>,
    ) -> Result<SignedTransaction, InvalidTransaction> {
        let witness = witness
            .into_iter()
            .map(BoundedBytes::new)
            .collect::<Result<Vec<_>, _>>()
            .and_then(BoundedVec::new)
            .map_err(|_| InvalidTransaction::Witness)?;
        let signature = key.sign(Domain::Transaction, network, &codec::encode(&self));
        Ok(SignedTransaction {
            transaction: self,
            signature,
            witness,
        })
    }
}

/// The hash by which an operation announces its witness.
#[must_use]
pub fn witness_hash(network: &NetworkId, witness: &[u8]) -> Hash {
    hash::hash(Domain::Witness, network, &[witness])
}

impl SignedTransaction {
    /// Decodes and checks everything that needs neither state nor signature arithmetic.
    ///
    /// # Errors
    /// See [`InvalidTransaction`].
    pub fn decode(bytes: &[u8], network: &NetworkId) -> Result<Self, InvalidTransaction> {
        let signed: Self = codec::decode(bytes, TRANSACTION_BYTES_MAX)?;
        signed.check_shape(network)?;
        Ok(signed)
    }

    /// Checks that there is an operation and that the witness is the one announced.
    ///
    /// # Errors
    /// [`InvalidTransaction::Empty`], [`InvalidTransaction::Witness`].
    pub fn check_shape(&self, network: &NetworkId) -> Result<(), InvalidTransaction> {
        if self.transaction.operations.is_empty() {
            return Err(InvalidTransaction::Empty);
        }
        let announced = self.transaction.operations.iter().filter_map(Operation::witness);
        let given: Vec<Hash> = self
            .witness
            .iter()
            .map(|entry| witness_hash(network, entry))
            .collect();
        if announced.eq(given.iter()) {
            Ok(())
        } else {
            Err(InvalidTransaction::Witness)
        }
    }

    /// The folded proofs to check before anything is believed, in the order of their operations.
    pub fn folded_proofs(&self) -> impl Iterator<Item = FoldedProof> {
        let announced = self
            .transaction
            .operations
            .iter()
            .filter(|operation| operation.witness().is_some());
        announced
            .zip(self.witness.iter())
            .filter_map(|(operation, witness)| {
                let Operation::SettleWindows { windows, .. } = operation else {
                    return None;
                };
                Some(FoldedProof {
                    windows: *windows,
                    proof: witness.to_vec(),
                })
            })
    }

    /// The claim to check before anything is believed.
    #[must_use]
    pub fn signature_check(&self, network: &NetworkId) -> SignatureCheck {
        self.signature_check_of(&codec::encode(&self.transaction), network)
    }

    /// As [`Self::signature_check`], for who has the signed part's encoding at hand.
    #[must_use]
    pub fn signature_check_of(&self, encoded: &[u8], network: &NetworkId) -> SignatureCheck {
        let key = self.transaction.key;
        SignatureCheck::new(key, Domain::Transaction, network, encoded, self.signature)
    }

    /// Leaf of the block's body root: id, signature and witness hashes, so that a pruned witness leaves the root intact.
    #[must_use]
    pub fn body_leaf(&self, network: &NetworkId) -> Hash {
        self.body_leaf_of(&self.transaction.id(network), network)
    }

    /// As [`Self::body_leaf`], for who has the transaction's id at hand.
    #[must_use]
    pub fn body_leaf_of(&self, id: &TransactionId, network: &NetworkId) -> Hash {
        hash::hash(Domain::BodyLeaf, network, &[id.as_ref(), &self.signature.0])
    }
}

/// The body root: over the leaves of the transactions in their order, and the hash of the heartbeats as the last leaf.
#[must_use]
pub fn body_root(
    network: &NetworkId,
    transactions: &[SignedTransaction],
    heartbeats: &[SignedHeartbeat],
) -> Hash {
    let leaves = transactions
        .iter()
        .map(|transaction| transaction.body_leaf(network));
    body_root_of(leaves, section_hash(network, heartbeats))
}

/// As [`body_root`], for who has the leaves, or nothing but the hash of heartbeats that were pruned.
#[must_use]
pub fn body_root_of(leaves: impl IntoIterator<Item = Hash>, heartbeats: Hash) -> Hash {
    let leaves: Vec<Hash> = leaves.into_iter().chain([heartbeats]).collect();
    watt_primitives::merkle::root(&leaves)
}
