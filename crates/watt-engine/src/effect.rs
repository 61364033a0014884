//! Everything a node may want done. Performing an effect never calls back; the outcome is a new event.

use crate::candidates::Candidates;
use crate::checkpoint::Incoming;
use crate::engine::RestartLog;
use crate::event::{PeerId, RequestId, SealedRoots, VerifyTicket};
use crate::examiner::GivenVerdict;
use crate::journal::Entry;
use crate::mempool::{Pool, Pooled};
use crate::message::{DecidedBlock, Message};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use watt_ledger::tree::chunk::StateChunk;
use watt_ledger::{BlockOutcome, ChallengedBatch, UncheckedBlock};
use watt_light::{
    FoldedProof, HandOver, Header, Proposal, Restart, SlotRef, Succession, Verdict, WindowShape,
};
use watt_primitives::key::SignatureCheck;
use watt_primitives::terms::{Endpoint, Piece};
use watt_primitives::{
    AccountId, BlockHeight, Hash, SectorNumber, SlotIndex, Term, Timestamp, TransactionId, Window,
};
use watt_proofs::challenge::HeavyChallenges;
use watt_proofs::post::Asked;
use watt_proofs::{Element, SectorSet, Shape};
use watt_scp::Value;

/// What must not wait, and what may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Statements and requests: never behind a block body.
    Urgent,
    /// Bodies, blocks, transactions.
    Bulk,
}

/// A timer's name; setting it again moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next slot's nomination may begin.
    NextSlot,
    /// SCP's nomination round timer of `slot`.
    Nomination {
        /// Slot.
        slot: SlotIndex,
        /// A fire with an older generation is ignored.
        generation: u64,
    },
    /// SCP's ballot timer of `slot`.
    Ballot {
        /// Slot.
        slot: SlotIndex,
        /// A fire with an older generation is ignored.
        generation: u64,
    },
    /// The body of `value` should have arrived by now.
    Body {
        /// Slot.
        slot: SlotIndex,
        /// Which value's body.
        value: Value,
    },
    /// Transactions and heartbeats gathered for peers are due.
    Gossip,
    /// Re-send own latest statements; ask others when stuck; retry whatever waits.
    Tick,
}

/// Everything a node may want done, in the order in which it must be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send to one peer; lost if it is gone or its queue is full.
    Send {
        /// Whom.
        to: PeerId,
        /// Encoded message.
        message: Arc<[u8]>,
        /// Lane.
        priority: Priority,
    },
    /// Keep these successions durably, in place of those kept before; they are given back when the node starts again.
    KeepSuccessions(Vec<Succession>),
    /// Keep these verdicts durably, in place of those kept before; they are given back when the node starts again.
    KeepVerdicts(Vec<GivenVerdict>),
    /// Keep this about plans to restart the network durably, in place of what was kept before; it is given back when the node starts
    /// again.
    KeepRestarts(Box<RestartLog>),
    /// The network is restarted: this life ends, and the next one follows this restart from its base on, with an empty journal.
    FollowRestart(Box<Restart>),
    /// Break the connection: the peer sent what no honest node sends.
    Disconnect(PeerId),
    /// Fire `timer` at `at`, replacing an earlier setting of the same timer.
    SetTimer {
        /// Which.
        timer: Timer,
        /// When.
        at: Timestamp,
    },
    /// Make this SCP record durable before any later effect is performed: SCP forbids saying what one may forget.
    PersistScp {
        /// What is kept is its encoding, which may be long; entries of slots up to the head are history.
        entry: Entry,
    },
    /// Encode a long message with [`Message::encode`], off the main loop, and send it to these peers in the bulk lane; lost if they are
    /// gone or their queues are full.
    Encode {
        /// Whom.
        to: Vec<PeerId>,
        /// The message.
        message: Box<Message>,
    },
    /// Decode a long message with [`Message::decode`](crate::message::Message::decode), off the main loop.
    Decode {
        /// Who sent it.
        from: PeerId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Check signatures, in a batch, off the main loop.
    Verify {
        /// Names the batch in the answer.
        ticket: VerifyTicket,
        /// The claims.
        checks: Vec<SignatureCheck>,
    },
    /// Verify the folded proofs of one transaction, off the main loop; [`Event::FoldedVerified`](crate::Event::FoldedVerified) ends it.
    VerifyFolded {
        /// Names the transaction in the answer.
        ticket: VerifyTicket,
        /// The proofs, with what they have to show.
        proofs: Vec<FoldedProof>,
    },
    /// Choose the body of the own proposal for `slot` among what waits, on the state of the present head, with
    /// [`mempool::fill`](crate::mempool::fill), off the main loop.
    FillBody {
        /// Slot.
        slot: SlotIndex,
        /// What waits.
        waiting: Pool,
    },
    /// Read what came as the body of a proposal, with [`Body::read`](watt_ledger::Body::read), off the main loop.
    ReadBody {
        /// Who sent it; none if it comes from the journal.
        from: Option<PeerId>,
        /// The proposal's value.
        value: Value,
        /// The proposal.
        proposal: Box<Proposal>,
        /// What came.
        bytes: Arc<[u8]>,
    },
    /// Try the block on the state of the present head, off the main loop, catching panics.
    Apply {
        /// The value it is the body of.
        value: Value,
        /// The block.
        block: Arc<UncheckedBlock>,
    },
    /// Check that consecutive blocks received from peers were decided, check their signatures, and apply them one after the
    /// other on the state of the present head, off the main loop ([`crate::run`]).
    ApplyDecided {
        /// Height of the first, one above the head.
        first: BlockHeight,
        /// The blocks with their proofs.
        blocks: Arc<Vec<DecidedBlock>>,
    },
    /// Store consecutive blocks, their proofs and the state change durably enough (`docs/spec/store.md`), then make the new
    /// state the one that `chain` shows.
    Commit {
        /// The blocks with their proofs.
        blocks: Arc<Vec<DecidedBlock>>,
        /// What applying each gave: as many as there are blocks.
        outcomes: Vec<Arc<BlockOutcome>>,
    },
    /// Send stored blocks `from..` to a peer: at most `count`, and as many as fit
    /// [`BLOCKS_BYTES_MAX`](crate::message::BLOCKS_BYTES_MAX) but at least one; none if it is not there.
    /// [`Event::Uploaded`](crate::Event::Uploaded) ends it.
    SendBlocks {
        /// Whom.
        to: PeerId,
        /// First height.
        from: BlockHeight,
        /// At most this many.
        count: u32,
    },
    /// Tell a peer of the newest state that is served here ([`Message::Checkpoint`](crate::message::Message::Checkpoint)).
    /// [`Event::Uploaded`](crate::Event::Uploaded) ends it.
    SendCheckpoint {
        /// Whom.
        to: PeerId,
    },
    /// Send a peer the hand-overs that are kept here, from one term on, as many as there are without a gap and fit
    /// [`HAND_OVERS_PER_MESSAGE_MAX`](crate::message::HAND_OVERS_PER_MESSAGE_MAX).
    /// [`Event::Uploaded`](crate::Event::Uploaded) ends it.
    SendHandOvers {
        /// Whom.
        to: PeerId,
        /// The first term.
        from: Term,
    },
    /// Keep hand-overs of consecutive terms for ever, to be shown to others; durable before any later start from a checkpoint.
    KeepHandOvers {
        /// The term of the first one.
        first: Term,
        /// The hand-overs.
        hand_overs: Vec<HandOver>,
    },
    /// Send a peer a part of a state that is served here ([`Message::State`](crate::message::Message::State)).
    /// [`Event::Uploaded`](crate::Event::Uploaded) ends it.
    SendState {
        /// Whom.
        to: PeerId,
        /// After which block.
        height: BlockHeight,
        /// A tree key in it.
        at: Hash,
    },
    /// Check a part of a state that is coming in against the root in `then.header`, and store its entries together with `then`,
    /// beside the state that `chain` shows; an unfinished one of another header is forgotten. Off the main loop;
    /// [`Event::ChunkTaken`](crate::Event::ChunkTaken) ends it.
    TakeChunk {
        /// The tree key that was asked about.
        at: Hash,
        /// The part.
        chunk: Box<StateChunk>,
        /// What is missing when it is stored.
        then: Box<Incoming>,
    },
    /// Make the state that came in completely the one that `chain` shows, durably;
    /// [`Event::Committed`](crate::Event::Committed) ends it.
    AdoptState(Box<Header>),
    /// Answer a local request about a transaction.
    Reply {
        /// Which request.
        to: RequestId,
        /// Taken into the pool, or why not, in one sentence with a next step.
        outcome: Result<TransactionId, String>,
    },
    /// Pack and seal a sector, off the main loop.
    Seal(Box<SealJob>),
    /// Open the challenges of sealed sectors that are asked together, one after the other, off the main loop.
    OpenBatch(Box<OpenJob>),
    /// Stop showing the openings of a batch to its committee, and let go of them.
    HideOpenings {
        /// Number of its first sector.
        batch: SectorNumber,
    },
    /// Ask a provider for the openings of a batch and look at them, off the main loop and behind everything else.
    /// [`Event::Examined`](crate::Event::Examined) ends it, in bounded time.
    Examine(Box<ExamineJob>),
    /// Hand a verdict back to the provider. [`Event::VerdictHanded`](crate::Event::VerdictHanded) ends it, in bounded time.
    HandVerdict(Box<HandVerdictJob>),
    /// Answer a window: read a leaf for each position, make the answers durable, and give `R_w`.
    Respond(Box<WindowJob>),
    /// Open the sampled responses of a window from its durable log.
    OpenWindow {
        /// What was answered.
        job: Box<WindowJob>,
        /// `R_w` that was sent.
        response_root: Element,
        /// What the next window asks with: it draws the sample.
        next_beacon: Element,
    },
    /// Log an answered window durably, before anything of the provider changes: the step that folds it, made from its durable
    /// answers, or a failed one where leaves or answers are lost.
    LogWindow {
        /// The window, as the ledger has it.
        answered: Box<AnsweredWindow>,
        /// What was answered, as far as the ledger still knows.
        job: Option<Box<WindowJob>>,
    },
    /// Fold what is logged of these windows, when there is time; nothing is told of it.
    FoldAhead(Box<FoldJob>),
    /// Fold these windows, and make the proof that settles them.
    FoldWindows(Box<FoldJob>),
    /// Read a group of a slot, from where it lies, and encode it with what shows that it is the slot's
    /// ([`ShownGroup`](watt_light::operation::ShownGroup)); [`Event::GroupShown`](crate::Event::GroupShown) ends it.
    ShowGroup {
        /// Which slot.
        slot: SlotRef,
        /// Which group of it.
        group: u32,
    },
    /// Delete a sector's replica, and the data of these pieces, whose deals are over.
    RemoveSector {
        /// Which.
        sector: SectorNumber,
        /// Data that nobody pays for any more.
        pieces: Vec<Piece>,
    },
    /// Make the secrets of these terms of the seat, each with a new random voting key and onion, and store them durably;
    /// [`Event::VotingKeysMade`](crate::Event::VotingKeysMade) ends it.
    MakeVotingKeys {
        /// Which.
        terms: Vec<Term>,
    },
    /// Delete the secrets of the seat's terms before this one (TC28).
    ForgetVotingKeys {
        /// The first that stays.
        before: Term,
    },
    /// Free the memory of what is over: thousands of transactions, so off the main loop.
    Discard(Box<Discarded>),
    /// Stop the node with this sentence: going on would be unsafe.
    Halt(String),
}

/// What is over.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "held until they are dropped")]
pub struct Discarded {
    pub(crate) candidates: Candidates,
    pub(crate) transactions: Vec<Arc<Pooled>>,
}

/// A sector to seal, and everything its bytes depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealJob {
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's number for it.
    pub sector: SectorNumber,
    /// Sealed size in units of 1 MiB.
    pub units: u16,
    /// What lies where in the payload.
    pub pieces: Vec<Piece>,
    /// Window whose question is the seal seed.
    pub seal_window: Window,
    /// Makes this replica distinct from all others.
    pub seal_seed: Hash,
}

/// Sealed sectors to open together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenJob {
    /// Number of the first.
    pub batch: SectorNumber,
    /// In their order.
    pub sectors: Vec<AskedSector>,
    /// At how many nodes all labels of each are asked.
    pub heavy: HeavyChallenges,
}

/// A sealed sector that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedSector {
    /// What was sealed.
    pub job: SealJob,
    /// What came of it.
    pub roots: SealedRoots,
    /// Challenge seed.
    pub seed: Hash,
}

/// A batch to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExamineJob {
    /// Where its provider is reached.
    pub endpoint: Endpoint,
    /// Whose and which it is, and what its openings have to show.
    pub batch: ChallengedBatch,
}

/// A verdict to hand back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandVerdictJob {
    /// Where the provider is reached.
    pub endpoint: Endpoint,
    /// Whose batch.
    pub provider: AccountId,
    /// Number of its first sector.
    pub batch: SectorNumber,
    /// Hash of the openings that held.
    pub openings: Hash,
    /// The verdict.
    pub verdict: Verdict,
}

/// An answered window, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredWindow {
    /// Which window.
    pub window: Window,
    /// Its shape.
    pub shape: Shape,
    /// `s_w`: the provider's state before it.
    pub state: Element,
    /// What moves the state on.
    pub shown: watt_proofs::window::Window,
}

/// Windows that one folded proof settles, as the ledger has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldJob {
    /// The shape of all of them.
    pub shape: WindowShape,
    /// The first in which the provider was present.
    pub first: Window,
    /// The last.
    pub last: Window,
    /// State before the first.
    pub from: Element,
    /// State after the last.
    pub to: Element,
    /// Windows in which the provider was present.
    pub n_windows: u32,
}

/// A window to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowJob {
    /// Which window.
    pub window: Window,
    /// The provider's sectors in it.
    pub sectors: SectorSet,
    /// Those that the set leaves out, because the heartbeat before declared them faulty.
    pub left_out: Vec<SectorNumber>,
    /// `s_w`: the provider's state before it.
    pub state: Element,
    /// What the window asks with.
    pub beacon: Element,
}

impl WindowJob {
    /// What the window asks.
    #[must_use]
    pub const fn asked(&self) -> Asked<'_> {
        Asked {
            sectors: &self.sectors,
            left_out: self.left_out.as_slice(),
            state: self.state,
            beacon: self.beacon,
        }
    }
}
