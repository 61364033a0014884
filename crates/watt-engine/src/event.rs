//! Everything that can happen to a node.

use crate::effect::Timer;
use crate::examiner::NotExamined;
use crate::mempool::{Filled, Spent};
use crate::message::Message;
use crate::seat::TermSecrets;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use watt_ledger::{BlockOutcome, Body, InvalidBlock};
use watt_light::{FoldedWindows, Header, SignedHeartbeat, SignedTransaction, SlotRef, Verdict};
use watt_primitives::codec::InvalidEncoding;
use watt_primitives::{AccountId, BlockHeight, Hash, SectorNumber, SlotIndex, Timestamp, Window};
use watt_proofs::Element;
use watt_scp::Value;

/// A connected peer, numbered by the shell; the number is not reused while the engine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// A local request that waits for its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Names a batch of signatures, or the folded proofs of a transaction, under verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerifyTicket(pub u64);

/// What a node's two clocks show at an event (`docs/spec/node.md` §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Milliseconds from any beginning; never goes back and never jumps. Timers, patience and quotas go by it.
    pub steady: Timestamp,
    /// Milliseconds since the Unix epoch; may be set, forwards and back. Close times are told and judged by it.
    pub wall: Timestamp,
}

/// Everything that can happen to a node. Time comes in beside it.
#[derive(Debug)]
pub enum Event {
    /// The node starts: timers may be set, peers may connect.
    Started,
    /// The provider may look at the head again: at the start, and when work is done.
    Looked,
    /// A connection is up.
    Connected(PeerId),
    /// A connection is gone.
    Disconnected(PeerId),
    /// A peer sent bytes.
    Received {
        /// Who.
        from: PeerId,
        /// A message, not yet decoded.
        bytes: Vec<u8>,
    },
    /// [`Effect::Decode`](crate::Effect::Decode) is done.
    Decoded {
        /// Who sent it.
        from: PeerId,
        /// Its length.
        n_bytes: usize,
        /// The message, or why it is none.
        message: Result<Box<Message>, InvalidEncoding>,
    },
    /// A timer that was set, fired.
    TimerFired(Timer),
    /// The owner (or a client through the API) hands in a signed transaction.
    Submitted {
        /// The transaction.
        transaction: Box<SignedTransaction>,
        /// Whom to answer.
        reply_to: RequestId,
    },
    /// A heartbeat is handed in here, with the window that it is for.
    HeartbeatSubmitted {
        /// Which window.
        window: Window,
        /// The heartbeat.
        heartbeat: Box<SignedHeartbeat>,
    },
    /// [`Effect::Verify`](crate::Effect::Verify) is done: one verdict per claim.
    Verified {
        /// Which batch.
        ticket: VerifyTicket,
        /// Whether each claim holds.
        holds: Vec<bool>,
    },
    /// [`Effect::VerifyFolded`](crate::Effect::VerifyFolded) is done.
    FoldedVerified {
        /// Which transaction's proofs.
        ticket: VerifyTicket,
        /// Whether all of them hold.
        holds: bool,
    },
    /// [`Effect::FillBody`](crate::Effect::FillBody) is done.
    BodyFilled {
        /// For which slot.
        slot: SlotIndex,
        /// What was chosen; `None` if that failed, and the node proposes a block without body.
        filled: Option<Box<Filled>>,
    },
    /// [`Effect::ReadBody`](crate::Effect::ReadBody) is done.
    BodyRead {
        /// Who sent it.
        from: Option<PeerId>,
        /// Of which value.
        value: Value,
        /// The body, or why it is not the one that the proposal names.
        body: Result<Box<Body>, InvalidBlock>,
    },
    /// [`Effect::Apply`](crate::Effect::Apply) is done.
    Applied {
        /// The value that was tried.
        value: Value,
        /// Its outcome on the state below, or why it must not be agreed to.
        result: Result<Arc<BlockOutcome>, ApplyFailure>,
    },
    /// [`Effect::ApplyDecided`](crate::Effect::ApplyDecided) is done: blocks that others decided were checked and applied.
    DecidedApplied {
        /// Height of the first.
        first: BlockHeight,
        /// Outcomes of those that are good, from the first on.
        outcomes: Vec<Arc<BlockOutcome>>,
        /// What is wrong with the block after them; `None` if all are good.
        failure: Option<ApplyFailure>,
    },
    /// [`Effect::Commit`](crate::Effect::Commit) is done: blocks and state are stored, and `chain` shows the new state.
    Committed {
        /// The new head.
        header: Box<Header>,
        /// What the transactions of all these blocks used up.
        spent: Spent,
    },
    /// [`Effect::TakeChunk`](crate::Effect::TakeChunk) is done.
    ChunkTaken {
        /// Whether it was part of the state; if not, nothing was stored.
        is_good: bool,
    },
    /// [`Effect::SendBlocks`](crate::Effect::SendBlocks), [`Effect::SendCheckpoint`](crate::Effect::SendCheckpoint),
    /// [`Effect::SendHandOvers`](crate::Effect::SendHandOvers) or
    /// [`Effect::SendState`](crate::Effect::SendState) is done.
    Uploaded {
        /// To whom.
        to: PeerId,
        /// Bytes of the message.
        bytes: usize,
    },
    /// [`Effect::MakeVotingKeys`](crate::Effect::MakeVotingKeys) is done.
    VotingKeysMade(Vec<TermSecrets>),
    /// [`Effect::Seal`](crate::Effect::Seal) is done.
    Sealed {
        /// Which sector.
        sector: SectorNumber,
        /// Its roots, or why it failed in one sentence.
        result: Result<SealedRoots, String>,
    },
    /// [`Effect::OpenBatch`](crate::Effect::OpenBatch) is done.
    BatchOpened {
        /// Number of its first sector.
        batch: SectorNumber,
        /// Encoded [`BatchOpenings`](watt_light::BatchOpenings).
        result: Result<Vec<u8>, String>,
    },
    /// [`Effect::Examine`](crate::Effect::Examine) is done.
    Examined {
        /// Whose batch.
        provider: AccountId,
        /// Number of its first sector.
        batch: SectorNumber,
        /// Hash of the openings if they hold.
        result: Result<Hash, NotExamined>,
    },
    /// [`Effect::HandVerdict`](crate::Effect::HandVerdict) is done.
    VerdictHanded {
        /// Whose batch.
        provider: AccountId,
        /// Number of its first sector.
        batch: SectorNumber,
        /// Whether the provider took it.
        is_taken: bool,
    },
    /// A member of a committee gave this provider a verdict, which [`check_verdict`](crate::examiner::check_verdict) let pass.
    VerdictGiven {
        /// On which batch: the number of its first sector.
        batch: SectorNumber,
        /// Hash of the openings.
        openings: Hash,
        /// The verdict.
        verdict: Verdict,
    },
    /// [`Effect::Respond`](crate::Effect::Respond) is done and its log is durable.
    Responded {
        /// Which window.
        window: Window,
        /// `R_w` and the sectors whose leaf could not be read.
        result: Result<Responded, String>,
    },
    /// [`Effect::OpenWindow`](crate::Effect::OpenWindow) is done.
    WindowOpened {
        /// Which window.
        window: Window,
        /// Encoded openings.
        result: Result<Vec<u8>, String>,
    },
    /// [`Effect::ShowGroup`](crate::Effect::ShowGroup) is done.
    GroupShown {
        /// Of which slot.
        slot: SlotRef,
        /// Which group.
        group: u32,
        /// The encoded [`ShownGroup`](watt_light::operation::ShownGroup).
        result: Result<Vec<u8>, String>,
    },
    /// [`Effect::LogWindow`](crate::Effect::LogWindow) is done.
    WindowLogged {
        /// Which window.
        window: Window,
        /// Whether its step is durable.
        result: Result<(), String>,
    },
    /// [`Effect::FoldWindows`](crate::Effect::FoldWindows) is done.
    WindowsFolded {
        /// The first of them.
        first: Window,
        /// What is shown, and the proof.
        result: Result<(FoldedWindows, Vec<u8>), String>,
    },
}

/// What sealing gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedRoots {
    /// Root over the label columns.
    pub comm_c: Hash,
    /// Root over the replica's leaves.
    pub comm_r: Element,
}

/// What answering a window gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responded {
    /// `R_w`.
    pub response_root: Element,
    /// Sectors that could not be read and were answered as declared faults, ascending.
    pub faults: Vec<SectorNumber>,
}

/// Why a block must not be agreed to, or not be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyFailure {
    /// A rule of the ledger refuses it.
    #[error("the block breaks a rule: {0}")]
    Invalid(String),
    /// Executing it panicked; the culprit is the transaction at this place, if it could be found.
    #[error("executing the block failed at transaction {culprit:?}")]
    Panicked {
        /// Place in the body.
        culprit: Option<usize>,
    },
    /// It took longer than a block may take.
    #[error("executing the block took too long")]
    TooSlow,
    /// The statements that should prove its agreement do not.
    #[error("the block is not proven to be decided")]
    Undecided,
    /// It is proven to be decided, and can't be executed here: no fault of whoever sent it.
    #[error("the network agreed on the block, and it cannot be executed here: {0}")]
    NotHere(String),
}
