//! One node: dispatches events to its parts and keeps what they share, the head and the peers.

use crate::backbones::{Backbones, Deciders, VotingKeys};
use crate::checkpoint::{Checkpoint, Incoming};
use crate::consensus::{Consensus, Context, Head};
use crate::effect::{Effect, Priority};
use crate::event::{Clocks, Event, PeerId, RequestId, VerifyTicket};
use crate::evidence::EvidenceLog;
use crate::examiner::{Examined, Examiner, GivenVerdict};
use crate::gossip::Gossip;
use crate::hearing::Hearing;
use crate::heartbeats::HeartbeatPool;
use crate::journal::Entry;
use crate::mempool::Mempool;
use crate::message::Message;
use crate::peers::Peers;
use crate::provider::{LocalSector, Provider, ProviderConfig, ProviderWork};
use crate::quota::{Bucket, UPLOAD_ALL};
use crate::seat::{Seat, SeatConfig};
use crate::sources::Sources;
use crate::sync::Sync;
use crate::way::Way;
use folded::FoldedChecks;
use std::collections::BTreeMap;
use watt_ledger::{NetworkParameters, StateRead};
use watt_light::{Header, SignedHeartbeat, SignedProposal, SignedTransaction, Succession, Walk};
use watt_primitives::{
    BlockHeight, NetworkId, NodeId, PublicKey, SecretKey, SlotIndex, Term, Timestamp, Window,
};
use watt_scp::{Envelope, QuorumSet, Statement};

mod circle;
mod folded;
mod pool;
mod receive;
mod recovery;
mod restart;
mod time;
mod way;

pub use recovery::{NotRecoverable, RECOVER_WINDOWS};
pub use restart::{LookedAt, NotRestartable, Refuted, RestartLog};

/// The most signatures of one sender's statements under verification at once; beyond it messages are dropped, as if the network
/// had. Senders have places of their own, so that nobody can take those of others (TC36).
const VERIFYING_STATEMENTS_MAX: usize = 256;

/// The same for transactions.
const VERIFYING_TRANSACTIONS_MAX: usize = 1_024;

/// Bytes up to which a message is decoded in the loop: about a millisecond of transactions.
const DECODED_IN_LOOP_MAX: usize = 64 * 1024;

/// The most longer messages of one peer that are decoded beside it at once; beyond it messages are dropped.
const DECODING_MAX: u8 = 4;

/// The most statements of one entry that are kept until their slot begins; beyond it the lowest makes way. By then their signatures
/// were checked, so that no peer can take the places of others.
const EARLY_PER_NODE_MAX: usize = 16;

/// Time without a new head after which everybody may pass on everything again, in milliseconds: sources that are slow, or lie, are
/// left.
const STALL_MS: u64 = 5_000;

/// Ticks without a new head from which on own statements are said again at every such tick; before, at each power of two.
const RESAY_TICKS: u32 = 8;

/// Peers that are asked for their statements at a tick without a new head, in turn: all answers together must fit a bad link.
const ASKED_PER_TICK: usize = 3;

/// Blocks after which own transactions that still wait are said again.
const RESEND_EVERY: u64 = 4;

/// How long a node that has just started only listens, in milliseconds: peers tell it first what it may have said in a life it
/// forgot (TC3).
const START_QUIET_MS: u64 = 1_000;

/// What a node starts with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Which network.
    pub network: NetworkId,
    /// Its numbers.
    pub parameters: NetworkParameters,
    /// The highest version of the rules that this program knows, or is to know in a test of an upgrade:
    /// [`PROTOCOL_VERSION_MAX`](watt_light::proposal::PROTOCOL_VERSION_MAX).
    pub protocol: u32,
    /// How far the hand-overs lead that are stored here: from the genesis document's [`Walk`](watt_ledger::Genesis::walk), at the
    /// term after the last one of them.
    pub walk: Walk,
    /// The keys with which it votes in terms in which it has a seat.
    pub voting_keys: VotingKeys,
    /// Other keys that vote for seats in place of lost ones, as an earlier life learned of them or the owner handed them in; their
    /// signatures hold.
    pub successions: Vec<Succession>,
    /// Height up to which an earlier life may have voted, from blocks that were stored and have to be fetched again: the node says
    /// nothing in these slots.
    pub voted_to: BlockHeight,
    /// How many blocks peers must be ahead of a node that has none for it to start from a checkpoint of theirs.
    pub checkpoint_gap: u64,
    /// A checkpoint that an earlier life began to fetch.
    pub incoming: Option<Incoming>,
    /// What it offers, if it is a provider, and the sealed sectors on its disk.
    pub provider: Option<(ProviderConfig, Vec<LocalSector>)>,
    /// The seat whose duties it does, if its owner has one or wants one.
    pub seat: Option<SeatConfig>,
    /// Verdicts on sectors that earlier lives gave.
    pub verdicts: Vec<GivenVerdict>,
    /// What earlier lives kept about plans to restart.
    pub restarts: RestartLog,
    /// Whether all that goes into SCP and comes out is kept for [`Engine::take_scp_log`].
    pub logs_scp: bool,
}

/// What waits for its signatures or proofs to be checked.
enum Verifying {
    Statement {
        from: PeerId,
        envelope: Box<Envelope>,
        proposals: Vec<SignedProposal>,
    },
    Successions {
        from: PeerId,
        successions: Vec<Succession>,
    },
    Transactions {
        from: Origin,
        transactions: Vec<SignedTransaction>,
    },
    Heartbeats {
        from: Origin,
        window: Window,
        /// Each with the key that has to have signed it.
        heartbeats: Vec<(SignedHeartbeat, PublicKey)>,
    },
    /// The signature of this one holds, its folded proofs are looked at.
    Folded {
        from: Origin,
        transaction: Box<SignedTransaction>,
    },
}

/// A statement that waits for its slot; its signatures hold.
struct Early {
    from: PeerId,
    envelope: Envelope,
    proposals: Vec<SignedProposal>,
}

/// Whose signatures are under verification, and of what.
type VerifyingOf = (Option<PeerId>, Kind);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Statement,
    Transaction,
}

impl Early {
    /// Whether this proposal is there, however it is signed.
    fn has(&self, signed: &SignedProposal) -> bool {
        self.proposals
            .iter()
            .any(|known| known.proposal == signed.proposal)
    }
}

impl Verifying {
    const fn of(&self) -> VerifyingOf {
        match self {
            Self::Statement { from, .. } | Self::Successions { from, .. } => (Some(*from), Kind::Statement),
            Self::Transactions { from, .. } | Self::Heartbeats { from, .. } | Self::Folded { from, .. } => {
                (from.peer(), Kind::Transaction)
            }
        }
    }
}

impl Origin {
    const fn peer(self) -> Option<PeerId> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::Local(_) | Self::Own => None,
        }
    }
}

/// Where a transaction came from.
#[derive(Clone, Copy)]
enum Origin {
    Peer(PeerId),
    Local(RequestId),
    Own,
}

/// A whole node as one state machine.
pub struct Engine {
    network: NetworkId,
    parameters: NetworkParameters,
    head: Head,
    peers: Peers,
    consensus: Consensus,
    mempool: Mempool,
    heartbeats: HeartbeatPool,
    sync: Sync,
    checkpoint: Checkpoint,
    backbones: Backbones,
    way: Way,
    gossip: Gossip,
    /// What all peers together may have because they asked.
    upload: Bucket,
    verifying: BTreeMap<VerifyTicket, Verifying>,
    /// Signatures in it, and what proofs count as.
    n_verifying: BTreeMap<VerifyingOf, usize>,
    next_ticket: u64,
    folded: FoldedChecks,
    /// Statements of the next slot, that arrived before this node got there, or while it was quiet.
    early: BTreeMap<Statement, Early>,
    sources: Sources,
    hearing: Hearing,
    refused: BTreeMap<&'static str, u64>,
    provider: Option<Provider>,
    seat: Option<Seat>,
    examiner: Examiner,
    /// Until then statements of others are kept, and nothing is said.
    quiet_until: Timestamp,
    /// Where this node votes with a successor's key: slots up to this one may have been voted in by the lost one, so that it listens
    /// first.
    listens_to: Option<SlotIndex>,
    /// The slot whose own body is being chosen.
    filling: Option<SlotIndex>,
    /// What the wall clock showed at the event that is handled.
    wall: Timestamp,
    /// Tick at which the head last moved.
    ticks_since_head: u32,
    /// Plans to restart the network.
    restarts: RestartLog,
    /// Up to when the time is counted for which a plan was looked at, in steady time.
    looked_since: Timestamp,
    /// How much of that time is kept.
    kept_ms: u64,
}

impl Engine {
    /// A node whose stored chain ends at `head`, after which its state is `chain`, and whose journal holds `entries`.
    #[must_use]
    pub fn new(config: EngineConfig, head: Header, chain: &impl StateRead, entries: Vec<Entry>) -> Self {
        let (head, protocol) = (Head::new(head), config.protocol);
        let mut backbones = Backbones::known_to(protocol, chain);
        for succession in config.successions {
            backbones.expect(succession);
        }
        let mut way = Way::new(config.walk);
        way.see_state(&head, chain);
        let block_bytes_max = config.parameters.block_bytes_max;
        let provider = config
            .provider
            .map(|(provider, local)| Provider::new(provider, config.network, &config.parameters, local));
        let live = entries
            .into_iter()
            .filter(|entry| entry.slot() >= head.next_slot())
            .collect();
        Self {
            network: config.network,
            consensus: Consensus::new(
                &head,
                &backbones,
                config.voting_keys,
                config.voted_to.into(),
                block_bytes_max,
                live,
                config.logs_scp,
            ),
            parameters: config.parameters,
            head,
            peers: Peers::default(),
            mempool: Mempool::default(),
            heartbeats: HeartbeatPool::default(),
            sync: Sync::default(),
            checkpoint: Checkpoint::new(config.checkpoint_gap, protocol, config.incoming),
            backbones,
            way,
            gossip: Gossip::default(),
            upload: Bucket::full(UPLOAD_ALL, Timestamp(0)),
            verifying: BTreeMap::new(),
            n_verifying: BTreeMap::new(),
            next_ticket: 0,
            folded: FoldedChecks::default(),
            early: BTreeMap::new(),
            sources: Sources::default(),
            hearing: Hearing::default(),
            refused: BTreeMap::new(),
            provider,
            seat: config.seat.map(|seat| Seat::new(seat, config.network, protocol)),
            examiner: Examiner::new(config.network, config.verdicts),
            quiet_until: Timestamp(0),
            listens_to: None,
            filling: None,
            wall: Timestamp(0),
            ticks_since_head: 0,
            restarts: config.restarts,
            looked_since: Timestamp(0),
            kept_ms: 0,
        }
    }

    /// Height of the head.
    #[must_use]
    pub const fn height(&self) -> BlockHeight {
        self.head.header.height
    }

    /// Whether this node was given voting keys: it listens to agreement, whether or not it has a seat now.
    #[must_use]
    pub const fn is_validator(&self) -> bool {
        self.consensus.is_validator()
    }

    /// Whether this node has a seat in the slot it works on.
    #[must_use]
    pub fn has_seat(&self) -> bool {
        self.consensus.has_seat()
    }

    /// Who decides, as far as the state of the head says it for good.
    #[must_use]
    pub const fn backbones(&self) -> &Backbones {
        &self.backbones
    }

    /// The highest version of the rules that this program knows.
    #[must_use]
    pub const fn protocol(&self) -> u32 {
        self.backbones.protocol()
    }

    /// The version of the rules that the slot above the head follows, if this program does not know it. The node then takes part in
    /// nothing any more, follows no further, and serves what it has, until it runs a newer program.
    #[must_use]
    pub fn unknown_version(&self) -> Option<u32> {
        self.backbones.unknown_version()
    }

    /// From now on this node votes with `key` in `term`; ignored for a term that has begun. Keys of terms that are over are
    /// forgotten here by themselves.
    pub fn add_voting_key(&mut self, term: Term, key: SecretKey) {
        self.consensus.add_key(term, key);
    }

    /// Transactions that wait.
    #[must_use]
    pub fn pool_len(&self) -> usize {
        self.mempool.len()
    }

    /// The highest head any peer told of.
    #[must_use]
    pub fn height_of_peers(&self) -> BlockHeight {
        self.peers.height_max()
    }

    /// What was refused since the start, by reason.
    #[must_use]
    pub const fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// What went into SCP and came out since the last call, from the beginning of this life on; nothing unless
    /// [`EngineConfig::logs_scp`]. To be called after every event, since it grows.
    pub fn take_scp_log(&mut self) -> Vec<watt_scp::replay::log::Entry> {
        self.consensus.take_log()
    }

    /// Keeps no more for [`Self::take_scp_log`].
    pub fn end_scp_log(&mut self) {
        self.consensus.end_log();
    }

    /// Which validators contradicted themselves since the start, with the proofs.
    #[must_use]
    pub const fn evidence(&self) -> &EvidenceLog {
        self.consensus.evidence()
    }

    /// Which validators were heard lately, in steady time; a follower listens to none.
    #[must_use]
    pub const fn hearing(&self) -> &Hearing {
        &self.hearing
    }

    /// The quorum set that every validator declares in the slot that it works on.
    #[must_use]
    pub fn quorum_set(&self) -> &QuorumSet {
        self.consensus.quorum_set()
    }

    /// This node's own entry, if it votes.
    #[must_use]
    pub fn own_entry(&self) -> Option<NodeId> {
        self.consensus.own_entry()
    }

    /// Handles one event at `now`; `chain` shows the state of the head. What must be done is appended to `effects`, whose timers are
    /// in steady time.
    pub fn handle(&mut self, now: Clocks, event: Event, chain: &impl StateRead, effects: &mut Vec<Effect>) {
        let Clocks { steady: now, wall } = now;
        self.wall = wall;
        let n_before = effects.len();
        match event {
            Event::Started => self.started(now, chain, effects),
            Event::Connected(peer) => self.connected(peer, now, effects),
            Event::Disconnected(peer) => {
                self.peers.disconnected(peer);
                self.sources.disconnected(peer);
                self.sync.disconnected(peer);
                self.checkpoint.disconnected(peer);
                self.way.disconnected(peer);
            }
            Event::Received { from, bytes } => self.received(from, bytes, now, chain, effects),
            Event::Decoded {
                from,
                n_bytes,
                message,
            } => {
                self.decoded_beside(from);
                self.decoded(from, n_bytes, message, now, chain, effects);
            }
            Event::TimerFired(timer) => self.timer_fired(timer, now, effects),
            Event::Submitted {
                transaction,
                reply_to,
            } => {
                self.offered(Origin::Local(reply_to), vec![*transaction], chain, effects);
            }
            Event::HeartbeatSubmitted { window, heartbeat } => {
                let offered = vec![*heartbeat];
                self.offered_heartbeats(Origin::Own, window, offered, chain, effects);
            }
            Event::Verified { ticket, holds } => self.verified(ticket, &holds, now, chain, effects),
            Event::FoldedVerified { ticket, holds } => {
                self.folded_verified(ticket, holds, now, chain, effects);
            }
            Event::BodyFilled { slot, filled } => self.body_filled(slot, filled, now, effects),
            Event::BodyRead { from, value, body } => self.body_read(from, value, body, now, effects),
            Event::Applied { value, result } => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                let culprits = self.consensus.tried(value, result, &mut context);
                if culprits.are_heartbeats {
                    self.heartbeats.bar();
                }
                for culprit in culprits.transactions {
                    self.mempool.quarantine(&culprit, self.head.header.height);
                }
            }
            Event::DecidedApplied {
                first,
                outcomes,
                failure,
            } => self.decided_applied(first, outcomes, failure, now, effects),
            Event::Committed { header, spent } => {
                self.committed(*header, &spent, now, chain, effects);
                self.provide(chain, effects);
                self.do_duties(chain, effects);
                self.examine(chain, effects);
            }
            Event::Uploaded { to, bytes } => self.uploaded(to, bytes),
            Event::ChunkTaken { is_good } => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                self.checkpoint.taken(is_good, &mut context);
            }
            Event::Looked => {
                self.provide(chain, effects);
                self.do_duties(chain, effects);
                self.examine(chain, effects);
            }
            Event::VotingKeysMade(secrets) => {
                for secrets in &secrets {
                    self.add_voting_key(secrets.term, secrets.voting_key.clone());
                }
                if let Some(seat) = &mut self.seat {
                    seat.made(secrets);
                }
            }
            Event::Sealed { sector, result } => {
                self.with_provider(chain, effects, |provider| provider.sealed(sector, result));
            }
            Event::BatchOpened { batch, result } => {
                self.with_provider(chain, effects, |provider| provider.batch_opened(batch, result));
            }
            Event::VerdictGiven {
                batch,
                openings,
                verdict,
            } => {
                self.with_provider(chain, effects, |provider| {
                    provider.verdict_given(batch, openings, verdict);
                });
            }
            Event::Examined {
                provider,
                batch,
                result,
            } => {
                let (keys, head) = (self.consensus.keys(), self.head.header.height);
                self.examiner
                    .examined(chain, keys, head, (provider, batch), result, effects);
            }
            Event::VerdictHanded {
                provider,
                batch,
                is_taken,
            } => {
                let (keys, head) = (self.consensus.keys(), self.head.header.height);
                self.examiner
                    .handed_back(chain, keys, head, (provider, batch), is_taken, effects);
            }
            Event::Responded { window, result } => {
                self.with_provider(chain, effects, |provider| provider.responded(window, result));
            }
            Event::WindowOpened { window, result } => {
                self.with_provider(chain, effects, |provider| provider.window_opened(window, result));
            }
            Event::GroupShown { slot, group, result } => {
                self.with_provider(chain, effects, |provider| {
                    provider.group_shown(slot, group, result);
                });
            }
            Event::WindowLogged { window, result } => {
                self.with_provider(chain, effects, |provider| provider.window_logged(window, result));
            }
            Event::WindowsFolded { first, result } => {
                let now_in = self.window();
                self.with_provider(chain, effects, |provider| {
                    provider.windows_folded(first, now_in, result);
                });
            }
        }
        self.hand_over(n_before, now, effects);
    }

    fn count(&mut self, reason: &'static str) {
        let count = self.refused.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    fn hello(&self) -> Message {
        Message::Hello {
            network: self.network,
            height: self.head.header.height,
            wants_statements: self.consensus.is_validator() && self.unknown_version().is_none(),
        }
    }

    fn connected(&mut self, peer: PeerId, now: Timestamp, effects: &mut Vec<Effect>) {
        self.peers.connected(peer, now);
        let hello = self.hello();
        Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        }
        .send(peer, &hello, Priority::Urgent);
    }

    fn with_provider(
        &mut self,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Provider),
    ) {
        if let Some(provider) = &mut self.provider {
            act(provider);
            self.provide(chain, effects);
        }
    }

    /// Lets the provider look at the head, and hands its transactions in.
    fn provide(&mut self, chain: &impl StateRead, effects: &mut Vec<Effect>) {
        if self.unknown_version().is_some() {
            return;
        }
        let Some(provider) = &mut self.provider else {
            return;
        };
        let mempool = &self.mempool;
        let said = provider.look(
            chain,
            self.head.header.height,
            |place| mempool.has(place),
            effects,
        );
        for signed in said.transactions {
            self.offered(Origin::Own, vec![signed], chain, effects);
        }
        if let Some((window, heartbeat)) = said.heartbeat.filter(|(window, _)| *window == self.next_window())
        {
            self.offered_heartbeats(Origin::Own, window, vec![heartbeat], chain, effects);
        }
    }

    /// Does what a seat asks for after the newest block.
    fn do_duties(&mut self, chain: &impl StateRead, effects: &mut Vec<Effect>) {
        if self.unknown_version().is_some() {
            return;
        }
        let Some(seat) = &mut self.seat else { return };
        let mempool = &self.mempool;
        let (head, evidence) = (self.head.header.height, self.consensus.evidence());
        let known = self.backbones.all().flat_map(Deciders::newest_successions);
        let transactions = seat.look(chain, head, evidence, known, |place| mempool.has(place), effects);
        for signed in transactions {
            self.offered(Origin::Own, vec![signed], chain, effects);
        }
    }

    /// Looks at batches that wait for this node's verdict.
    fn examine(&mut self, chain: &impl StateRead, effects: &mut Vec<Effect>) {
        let has_committees = self.parameters.porep_committee > 0;
        if has_committees && self.is_validator() && self.unknown_version().is_none() {
            let (keys, head) = (self.consensus.keys(), self.head.header.height);
            self.examiner.look(chain, keys, head, effects);
        }
    }

    /// What this node did since it started for the committees that it is in.
    #[must_use]
    pub const fn examined(&self) -> Examined {
        self.examiner.done()
    }

    /// What the provider is doing, if this node is one.
    #[must_use]
    pub fn provider_work(&self) -> Option<ProviderWork> {
        self.provider.as_ref().map(Provider::work)
    }
}
