//! Blocks as they arrive and blocks that were checked (`docs/spec/ledger.md` §4).

use crate::folded::{FOLDED_PER_BLOCK_MAX, VerifyFolded};
use crate::refused::Refused;
use crate::restart::RefusedRestart;
use std::sync::Arc;
use watt_light::heartbeat::{are_in_order, section_hash};
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_light::transaction::{TRANSACTION_BYTES_MAX, body_root_of};
use watt_light::{
    FoldedProof, Heartbeats, Proposal, ProviderNumber, SignedHeartbeat, SignedProposal, SignedTransaction,
    Transaction,
};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::key::{SignatureCheck, all_hold};
use watt_primitives::{BlockHeight, BoundedVec, Hash, NetworkId, Timestamp, TransactionId};

/// The most transactions a body may have on any network.
pub const BODY_TRANSACTIONS_MAX: usize = 10_000;

/// The most bytes of an encoded body on any network: with everything that goes with it, what one message between nodes carries
/// (`docs/spec/node.md` §2).
pub const BODY_BYTES_MAX: usize = (4 << 20) - (256 << 10);

/// A decided or suggested block, not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncheckedBlock {
    /// What consensus agrees on.
    pub proposal: SignedProposal,
    /// Whether the fallback `E(V)` is meant: same slot, parent and time, no body.
    pub is_empty: bool,
    /// The body's transactions; none for the fallback.
    pub transactions: Vec<SignedTransaction>,
    /// The body's heartbeats; none for the fallback.
    pub heartbeats: Heartbeats,
}

/// A block whose body is the one its proposal names, and whose signatures hold but those of its heartbeats. What it does to a state is
/// [`crate::apply_block`]'s to say, and so is whether the heartbeats are signed: by which keys, only the state below tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    proposal: SignedProposal,
    is_empty: bool,
    transactions: Vec<SignedTransaction>,
    ids: Vec<TransactionId>,
    heartbeats: Heartbeats,
}

/// What has to hold before a block is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Signatures of the proposal and its transactions.
    pub signatures: Vec<SignatureCheck>,
    /// Folded proofs of its transactions.
    pub folded: Vec<FoldedProof>,
}

/// Why a block is refused: one variant per rule, in the order they are checked. Nothing changes then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// The body is not an encoded list of transactions and heartbeats.
    #[error("the body is no transactions and heartbeats: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// Made for another network.
    #[error("the block is for another network")]
    OtherNetwork,
    /// The restart that this node follows from here on does not hold.
    #[error("the plan with which this node begins again does not hold: {0}")]
    Restart(#[from] RefusedRestart),
    /// Made under rules that this program doesn't have.
    #[error(
        "the block follows rules of version {found}, this program knows 1 to {PROTOCOL_VERSION_MAX}; update it"
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// Made under other rules than those in force.
    #[error("the block follows rules of version {found}, those of {expected} are in force")]
    OtherVersion {
        /// Version found.
        found: u32,
        /// What the state below it says.
        expected: u32,
    },
    /// The fallback has no body.
    #[error("a block without body has transactions or heartbeats")]
    EmptyWithBody,
    /// A transaction is malformed.
    #[error("transaction {index} is malformed")]
    Malformed {
        /// Its place.
        index: u32,
    },
    /// A provider has two heartbeats, or they do not ascend.
    #[error("the heartbeats do not ascend by the numbers of their providers, each once")]
    HeartbeatOrder,
    /// The proposal names another body.
    #[error("the body is not the one the proposal names")]
    OtherBody,
    /// A signature does not hold.
    #[error("a signature in the block does not hold")]
    Signature,
    /// A folded proof does not show what it has to.
    #[error("a folded proof in the block does not hold")]
    FoldedProof,
    /// Not the next height.
    #[error("the block is for height {found}, the next is {expected}")]
    Height {
        /// Height found.
        found: BlockHeight,
        /// Height expected.
        expected: BlockHeight,
    },
    /// Not on top of this chain.
    #[error("the block is on top of another header")]
    Parent,
    /// Time stands still or goes back.
    #[error("the block closes at {found}, not after {parent}")]
    CloseTime {
        /// Close time found.
        found: Timestamp,
        /// Close time of the block before.
        parent: Timestamp,
    },
    /// More transactions than the network allows.
    #[error("{found} transactions where at most {max} are allowed")]
    TooManyTransactions {
        /// Found.
        found: u32,
        /// Allowed.
        max: u32,
    },
    /// More bytes than the network allows.
    #[error("a body of {found} bytes where at most {max} are allowed")]
    TooManyBytes {
        /// Found.
        found: u32,
        /// Allowed.
        max: u32,
    },
    /// More proofs than can be verified in time.
    #[error("{found} proofs where at most {max} are allowed")]
    TooManyProofs {
        /// Found.
        found: usize,
        /// Allowed.
        max: usize,
    },
    /// A heartbeat of nobody, or not signed by its provider for this window on this network.
    #[error("the heartbeat of provider number {provider} is not signed by such a provider for this window")]
    Heartbeat {
        /// The number.
        provider: ProviderNumber,
    },
    /// A transaction that may not be in this block.
    #[error("transaction {index} may not be in this block: {why}")]
    Transaction {
        /// Its place.
        index: u32,
        /// Why.
        why: Refused,
    },
    /// The state below is no WATT ledger.
    #[error("the state below has no chain")]
    NoChain,
    /// Money would appear or vanish: a bug in the rules.
    #[error("the block would make or destroy money")]
    Supply,
    /// The tree of the state below is damaged.
    #[error(transparent)]
    Tree(#[from] crate::tree::DamagedTree),
}

/// Encodes a body as its proposal counts it.
#[must_use]
pub fn encode_body(transactions: &[SignedTransaction], heartbeats: &[SignedHeartbeat]) -> Vec<u8> {
    codec::encode(&(transactions, heartbeats))
}

/// Decodes a body of at most `bytes_max` bytes.
///
/// # Errors
/// [`InvalidEncoding`].
pub fn decode_body(
    bytes: &[u8],
    bytes_max: usize,
) -> Result<(Vec<SignedTransaction>, Heartbeats), InvalidEncoding> {
    let (transactions, heartbeats): (BoundedVec<SignedTransaction, BODY_TRANSACTIONS_MAX>, Heartbeats) =
        codec::decode(bytes, bytes_max.min(BODY_BYTES_MAX))?;
    Ok((transactions.into_inner(), heartbeats))
}

/// A body with everything that is said and asked of it. Making one of thousands of transactions takes many milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// In block order.
    pub transactions: Vec<SignedTransaction>,
    /// Ascending by provider.
    pub heartbeats: Heartbeats,
    /// Names of the transactions.
    pub ids: Vec<TransactionId>,
    /// The encoding.
    pub bytes: Arc<[u8]>,
    /// What a proposal says of it.
    pub root: Hash,
}

impl Body {
    /// The body of these transactions and heartbeats.
    #[must_use]
    pub fn new(network: &NetworkId, transactions: Vec<SignedTransaction>, heartbeats: Heartbeats) -> Self {
        let bytes = encode_body(&transactions, &heartbeats);
        Self::of_parts(network, transactions, heartbeats, bytes.into())
    }

    /// The body without anything.
    #[must_use]
    pub fn empty(network: &NetworkId) -> Self {
        Self::new(network, Vec::new(), Heartbeats::empty())
    }

    /// Reads the body that `proposal` names.
    ///
    /// # Errors
    /// [`InvalidBlock::Encoding`], [`InvalidBlock::OtherBody`].
    pub fn read(bytes: Arc<[u8]>, proposal: &Proposal) -> Result<Self, InvalidBlock> {
        let (transactions, heartbeats) = decode_body(&bytes, bytes.len())?;
        let body = Self::of_parts(&proposal.network, transactions, heartbeats, bytes);
        let named = (proposal.body_root, proposal.n_transactions, proposal.body_bytes);
        if body.description() == named {
            Ok(body)
        } else {
            Err(InvalidBlock::OtherBody)
        }
    }

    fn of_parts(
        network: &NetworkId,
        transactions: Vec<SignedTransaction>,
        heartbeats: Heartbeats,
        bytes: Arc<[u8]>,
    ) -> Self {
        let ids: Vec<TransactionId> = transactions
            .iter()
            .map(|signed| signed.transaction.id(network))
            .collect();
        let leaves = transactions
            .iter()
            .zip(&ids)
            .map(|(signed, id)| signed.body_leaf_of(id, network));
        Self {
            root: body_root_of(leaves, section_hash(network, &heartbeats)),
            transactions,
            heartbeats,
            ids,
            bytes,
        }
    }

    /// What a proposal says of it: root, number of transactions, bytes.
    #[must_use]
    pub fn description(&self) -> (Hash, u32, u32) {
        (
            self.root,
            u32::try_from(self.transactions.len()).unwrap_or(u32::MAX),
            u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
        )
    }
}

impl UncheckedBlock {
    /// Checks everything that needs no state, with all signatures in one batch, and all folded proofs by `folded`.
    ///
    /// # Errors
    /// See [`InvalidBlock`].
    pub fn check(self, network: &NetworkId, folded: &impl VerifyFolded) -> Result<Block, InvalidBlock> {
        self.check_except(network, folded, |_| false)
    }

    /// As [`Self::check`], but leaves out the signatures of transactions that this node has verified before.
    ///
    /// `is_verified` has to compare the **whole** signed transaction: the id alone does not cover the signature, and nodes that
    /// skip a wrong one would disagree with nodes that don't.
    ///
    /// # Errors
    /// See [`InvalidBlock`].
    pub fn check_except(
        self,
        network: &NetworkId,
        folded: &impl VerifyFolded,
        is_verified: impl Fn(&SignedTransaction) -> bool,
    ) -> Result<Block, InvalidBlock> {
        let (block, claims) = self.claims_except(network, is_verified)?;
        if !all_hold(&claims.signatures) {
            return Err(InvalidBlock::Signature);
        }
        if folded.first_bad(&claims.folded).is_some() {
            return Err(InvalidBlock::FoldedProof);
        }
        Ok(block)
    }

    /// Checks everything that needs no state but signatures and folded proofs, and returns those as claims, for one batch with
    /// others. The block must not be applied before all of them were found to hold.
    ///
    /// # Errors
    /// See [`InvalidBlock`].
    pub fn claims(self, network: &NetworkId) -> Result<(Block, Claims), InvalidBlock> {
        self.claims_except(network, |_| false)
    }

    fn claims_except(
        self,
        network: &NetworkId,
        is_verified: impl Fn(&SignedTransaction) -> bool,
    ) -> Result<(Block, Claims), InvalidBlock> {
        let proposal = &self.proposal.proposal;
        if proposal.network != *network {
            return Err(InvalidBlock::OtherNetwork);
        }
        if !(1..=PROTOCOL_VERSION_MAX).contains(&proposal.version) {
            return Err(InvalidBlock::Version {
                found: proposal.version,
            });
        }
        let (ids, mut signatures) = self.check_body(network, is_verified)?;
        signatures.push(self.proposal.signature_check());
        let folded: Vec<FoldedProof> = self
            .transactions
            .iter()
            .flat_map(SignedTransaction::folded_proofs)
            .collect();
        if folded.len() > FOLDED_PER_BLOCK_MAX {
            return Err(InvalidBlock::TooManyProofs {
                found: folded.len(),
                max: FOLDED_PER_BLOCK_MAX,
            });
        }
        let block = Block {
            proposal: self.proposal,
            is_empty: self.is_empty,
            transactions: self.transactions,
            ids,
            heartbeats: self.heartbeats,
        };
        Ok((block, Claims { signatures, folded }))
    }

    /// That the body is the proposal's and well-formed; returns names of its transactions and the signatures to verify. Each
    /// transaction is encoded once here for name, leaf and signature together: that is most of a block's cost beside the
    /// signatures.
    fn check_body(
        &self,
        network: &NetworkId,
        is_verified: impl Fn(&SignedTransaction) -> bool,
    ) -> Result<(Vec<TransactionId>, Vec<SignatureCheck>), InvalidBlock> {
        if self.is_empty {
            return if self.transactions.is_empty() && self.heartbeats.is_empty() {
                Ok((Vec::new(), Vec::new()))
            } else {
                Err(InvalidBlock::EmptyWithBody)
            };
        }
        if !are_in_order(&self.heartbeats) {
            return Err(InvalidBlock::HeartbeatOrder);
        }
        let proposal = &self.proposal.proposal;
        let n = self.transactions.len();
        let (mut ids, mut leaves, mut checks) = (Vec::with_capacity(n), Vec::with_capacity(n), Vec::new());
        for (index, signed) in (0u32..).zip(&self.transactions) {
            let is_too_long =
                !signed.witness.is_empty() && codec::encode(signed).len() > TRANSACTION_BYTES_MAX;
            if is_too_long || signed.check_shape(network).is_err() {
                return Err(InvalidBlock::Malformed { index });
            }
            let encoded = codec::encode(&signed.transaction);
            let id = Transaction::id_of_encoded(&encoded, network);
            leaves.push(signed.body_leaf_of(&id, network));
            ids.push(id);
            if !is_verified(signed) {
                checks.push(signed.signature_check_of(&encoded, network));
            }
        }
        let bytes = encode_body(&self.transactions, &self.heartbeats).len();
        let root = body_root_of(leaves, section_hash(network, &self.heartbeats));
        let is_named = root == proposal.body_root
            && u32::try_from(n) == Ok(proposal.n_transactions)
            && u32::try_from(bytes) == Ok(proposal.body_bytes);
        if is_named {
            Ok((ids, checks))
        } else {
            Err(InvalidBlock::OtherBody)
        }
    }
}

impl Block {
    /// What consensus agreed on.
    #[must_use]
    pub const fn proposal(&self) -> &Proposal {
        &self.proposal.proposal
    }

    /// The proposal with its signature.
    #[must_use]
    pub const fn signed_proposal(&self) -> &SignedProposal {
        &self.proposal
    }

    /// Whether the fallback was decided.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Names of the body's transactions, in order.
    #[must_use]
    pub fn ids(&self) -> &[TransactionId] {
        &self.ids
    }

    /// The body.
    #[must_use]
    pub fn transactions(&self) -> &[SignedTransaction] {
        &self.transactions
    }

    /// The body's heartbeats, ascending by provider.
    #[must_use]
    pub fn heartbeats(&self) -> &[SignedHeartbeat] {
        &self.heartbeats
    }

    /// The same block with only its first `n` transactions, and all heartbeats: no block of the chain, but how the one that can't be executed is
    /// found (TC7).
    #[must_use]
    pub fn prefix(&self, n: usize) -> Self {
        Self {
            proposal: self.proposal.clone(),
            is_empty: self.is_empty,
            transactions: self.transactions.iter().take(n).cloned().collect(),
            ids: self.ids.iter().take(n).copied().collect(),
            heartbeats: self.heartbeats.clone(),
        }
    }

    /// The same block without its body: what is applied when the fallback was decided.
    #[must_use]
    pub fn into_fallback(self) -> Self {
        Self {
            proposal: self.proposal,
            is_empty: true,
            transactions: Vec::new(),
            ids: Vec::new(),
            heartbeats: Heartbeats::empty(),
        }
    }
}
