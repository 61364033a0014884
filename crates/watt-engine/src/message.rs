//! All bytes between nodes: one closed set of messages, decoded once, bounded (`docs/spec/node.md` §2).

use serde::{Deserialize, Serialize};
use watt_ledger::UncheckedBlock;
use watt_ledger::block::{BODY_BYTES_MAX, BODY_TRANSACTIONS_MAX};
use watt_ledger::tree::chunk::StateChunk;
use watt_light::backbone::SEATS_MAX;
use watt_light::proposal::empty_value;
use watt_light::succession::{Successions, are_none};
use watt_light::transaction::body_root;
use watt_light::{
    DecisionProof, FinalityProof, HandOver, Header, Heartbeats, SignedHeartbeat, SignedProposal,
    SignedTransaction, Succession, Voters,
};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::key::{SignatureCheck, all_hold};
use watt_primitives::{
    BlockHeight, BoundedVec, Hash, NetworkId, NodeId, SharedBytes, SlotIndex, Term, Window,
};
use watt_scp::{Envelope, Value};

/// The most bytes of an encoded message; the transport's frame limit.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A largest body still fits in a message, whether with its value or as a block with its proposal and 128 envelopes: no genesis
/// allows what could be agreed on but not told.
const _: () = assert!(BODY_BYTES_MAX + 128 * ENVELOPE_BYTES + PROPOSAL_BYTES <= MESSAGE_BYTES_MAX);

/// More than an envelope of consensus that proves a decision takes.
const ENVELOPE_BYTES: usize = 1024;

/// More than a signed proposal and the names around it take.
const PROPOSAL_BYTES: usize = 64 * 1024;

/// The most blocks in one answer.
pub const BLOCKS_PER_MESSAGE_MAX: usize = 256;

/// Bytes of blocks in one answer, unless its only block is longer: what a node decodes in a few milliseconds (TC35).
pub const BLOCKS_BYTES_MAX: usize = 512 * 1024;

/// The most transactions in one message.
pub const TRANSACTIONS_PER_MESSAGE_MAX: usize = 256;

/// The most heartbeats in one message.
pub const HEARTBEATS_PER_MESSAGE_MAX: usize = 256;

/// Bytes of transactions in one message, unless its only one is longer.
pub const TRANSACTIONS_BYTES_MAX: usize = 256 * 1024;

/// The most hand-overs in one answer: 512 KiB at most, 232 KB with the largest backbone, and 656 signatures to check.
pub const HAND_OVERS_PER_MESSAGE_MAX: usize = 16;

/// The most statements that an asker can say it has: of 128 entries one of nomination and one of ballots.
pub const HAVE_MAX: usize = 256;

/// The most entries that a peer can be asked not to pass on.
pub const SQUELCHED_MAX: usize = 128;

/// The most successions in one message: the newest one of each seat.
pub const SUCCESSIONS_PER_MESSAGE_MAX: usize = SEATS_MAX;

/// What one node says to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    /// First on every connection, and again when the head moves on nodes that only follow.
    Hello {
        /// Which network; another one is disconnected.
        network: NetworkId,
        /// The sender's head.
        height: BlockHeight,
        /// Whether the sender wants SCP statements (validators and candidates do; followers take decided blocks).
        wants_statements: bool,
    },
    /// An SCP statement, with the proposals behind every value that it names.
    Statement {
        /// The statement.
        envelope: Box<Envelope>,
        /// Proposals whose `V` or `E(V)` it names.
        proposals: BoundedVec<SignedProposal, 32>,
    },
    /// Asks for the newest statements of a slot that the sender does not have.
    GetStatements {
        /// Which.
        slot: SlotIndex,
        /// Those it has, each by the first 8 bytes of its signature.
        have: BoundedVec<u64, HAVE_MAX>,
    },
    /// Asks for the body behind a value.
    GetBody {
        /// `V`.
        value: Value,
    },
    /// The body behind a value.
    Body {
        /// `V`.
        value: Value,
        /// Its encoding, read only by who waits for it, beside the loop (TC35).
        body: SharedBytes<MESSAGE_BYTES_MAX>,
    },
    /// Transactions for the pool.
    Transactions {
        /// Each stands for itself.
        transactions: BoundedVec<SignedTransaction, TRANSACTIONS_PER_MESSAGE_MAX>,
    },
    /// Heartbeats for the pool.
    Heartbeats {
        /// The window of all of them.
        window: Window,
        /// Each stands for itself.
        heartbeats: BoundedVec<SignedHeartbeat, HEARTBEATS_PER_MESSAGE_MAX>,
    },
    /// The sender's head is now this; ask if you want the block.
    NewBlock {
        /// Height.
        height: BlockHeight,
        /// Hash of its header.
        header: Hash,
    },
    /// Asks for decided blocks.
    GetBlocks {
        /// First height.
        from: BlockHeight,
        /// At most this many.
        count: u32,
    },
    /// Asks for the newest state that the receiver serves.
    GetCheckpoint,
    /// The newest state that the sender serves.
    Checkpoint {
        /// That its header is final; none if the sender serves no state.
        proof: Option<Box<FinalityProof>>,
    },
    /// Asks for a part of the state after a block.
    GetState {
        /// The block.
        height: BlockHeight,
        /// A tree key in the part.
        at: Hash,
    },
    /// A part of the state after a block.
    State {
        /// The block.
        height: BlockHeight,
        /// The tree key that was asked about.
        at: Hash,
        /// The part around it; none if the sender does not serve this state any more.
        chunk: Option<Box<StateChunk>>,
    },
    /// Asks how backbones came to be those that they are.
    GetHandOvers {
        /// The first term whose hand-over is asked for.
        from: Term,
    },
    /// Hand-overs of consecutive terms; none if the sender has none of the first.
    HandOvers {
        /// The term of the first one.
        from: Term,
        /// The hand-overs.
        hand_overs: BoundedVec<HandOver, HAND_OVERS_PER_MESSAGE_MAX>,
    },
    /// Decided blocks with the statements that prove it, consecutive from the height asked for.
    Blocks {
        /// The blocks.
        blocks: BoundedVec<DecidedBlock, BLOCKS_PER_MESSAGE_MAX>,
    },
    /// Other keys vote for seats in place of lost ones.
    Successions {
        /// Of any terms that are not over.
        successions: BoundedVec<Succession, SUCCESSIONS_PER_MESSAGE_MAX>,
    },
    /// The sender has enough sources of the statements of these entries; in place of what it said before.
    Squelch {
        /// Whose statements the receiver need not pass on.
        nodes: BoundedVec<NodeId, SQUELCHED_MAX>,
    },
}

/// A block with the statements that prove its agreement: what is stored, and what catches another node up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedBlock {
    /// What was agreed on.
    pub proposal: SignedProposal,
    /// Whether the fallback `E(V)` was decided: then there are no transactions and no heartbeats.
    pub is_empty: bool,
    /// The body's transactions.
    pub transactions: BoundedVec<SignedTransaction, BODY_TRANSACTIONS_MAX>,
    /// The body's heartbeats.
    pub heartbeats: Heartbeats,
    /// CONFIRM and EXTERNALIZE statements of a quorum slice.
    pub decision: BoundedVec<Envelope, 128>,
    /// By which keys some of them are that are not in the backbone, ascending by account and generation; left out if there are none.
    #[serde(default, skip_serializing_if = "are_none")]
    pub successions: Successions,
}

impl DecidedBlock {
    /// Whether the statements prove that these voters decided this block, signatures included, and the body is the one agreed on.
    #[must_use]
    pub fn is_decided<'a>(&self, voters: impl Into<Voters<'a>>) -> bool {
        let proposal = &self.proposal.proposal;
        let is_the_body = if self.is_empty {
            self.transactions.is_empty() && self.heartbeats.is_empty()
        } else {
            body_root(&proposal.network, &self.transactions, &self.heartbeats) == proposal.body_root
        };
        is_the_body
            && self
                .decision_claims(voters)
                .is_some_and(|claims| all_hold(&claims))
    }

    /// The signatures on which it rests that these voters decided this value, for one batch with others; `None` if the statements prove
    /// nothing, whoever signed them.
    #[must_use]
    pub fn decision_claims<'a>(&self, voters: impl Into<Voters<'a>>) -> Option<Vec<SignatureCheck>> {
        let proposal = &self.proposal.proposal;
        voters.into().decision_claims(
            &proposal.network,
            proposal.slot,
            &self.value(),
            &self.decision,
            &self.successions,
        )
    }

    /// That `header`, on which this block stands, is final; `None` if the block stands on another or proves nothing.
    #[must_use]
    pub fn proves<'a>(&self, header: Header, voters: impl Into<Voters<'a>>) -> Option<FinalityProof> {
        let proposal = &self.proposal.proposal;
        let value = self.value();
        let decision = DecisionProof::from_envelopes(
            &proposal.network,
            voters,
            proposal.slot,
            value,
            &self.decision,
            &self.successions,
        )?;
        // What a restart begins with is decided, and its header made final by those who agreed to begin there.
        let is_proven = proposal.parent == header.hash() && proposal.network == header.network;
        is_proven.then(|| FinalityProof {
            header,
            proposal: self.proposal.clone(),
            decision,
        })
    }

    /// What was decided.
    fn value(&self) -> Value {
        let proposal = &self.proposal.proposal;
        let proposed = proposal.value();
        if self.is_empty {
            empty_value(&proposal.network, &proposed)
        } else {
            proposed
        }
    }

    /// The block to apply.
    #[must_use]
    pub fn to_block(&self) -> UncheckedBlock {
        UncheckedBlock {
            proposal: self.proposal.clone(),
            is_empty: self.is_empty,
            transactions: self.transactions.to_vec(),
            heartbeats: self.heartbeats.clone(),
        }
    }
}

impl Message {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Whether these bytes call themselves a message of the bulk lane, from their beginning alone: what a peer may send is counted
    /// before anything is decoded (TC36).
    #[must_use]
    pub fn is_bulk(bytes: &[u8]) -> bool {
        // A map of one entry whose key, a text shorter than 24 bytes, names the kind of message (RFC 8949 §3.1).
        let kind = match bytes {
            [0xa1, length @ 0x60..=0x77, rest @ ..] => rest.get(..usize::from(length & 0x1f)),
            _ => None,
        };
        let bulk = [
            "transactions",
            "heartbeats",
            "body",
            "blocks",
            "checkpoint",
            "hand-overs",
            "state",
        ];
        kind.is_some_and(|kind| bulk.iter().any(|name| name.as_bytes() == kind))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Anything but the canonical encoding of a message within bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEncoding> {
        codec::decode(bytes, MESSAGE_BYTES_MAX)
    }
}
