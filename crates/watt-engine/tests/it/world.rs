//! A small deterministic world for engines: virtual time, a seeded network, disks that remember only what was persisted.
//!
//! The engines and the ledger are the real ones; only time, delivery and durability are played.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watt_engine::checkpoint::Incoming;
use watt_engine::event::{ApplyFailure, PeerId};
use watt_engine::journal::Entry;
use watt_engine::mempool::{self, Spent};
use watt_engine::message::{DecidedBlock, Message};
use watt_engine::seat::{SeatConfig, TermSecrets};
use watt_engine::{
    Backbones, Clocks, Effect, Engine, EngineConfig, Event, NotRecoverable, Timer, VotingKeys, run,
};
use watt_ledger::state::Writes;
use watt_ledger::testing::elect_in_advance;
use watt_ledger::tree::{self, chunk};
use watt_ledger::{
    BlockOutcome, Body, Genesis, MemoryState, NetworkParameters, UncheckedBlock, VerifyFolded, apply_block,
    genesis,
};
use watt_light::duty::cold_key_hash;
use watt_light::hand_over::walk;
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_light::{
    Backbone, BackboneEntry, BlockName, FoldedProof, HandOver, Header, SignedTransaction, Succession,
};
use watt_primitives::{
    AccountId, BlockHeight, BoundedVec, Hash, NetworkId, NodeId, SecretKey, SlotIndex, Term, Timestamp,
};
use watt_scp::Statement;
use watt_scp::replay::log;

mod serving;
pub use serving::{Serving, Withholding};

/// What a validator's disk holds: everything that survives a crash.
#[derive(Clone, Default)]
pub struct Disk {
    journal: Vec<Vec<u8>>,
    pub blocks: Vec<(DecidedBlock, Header)>,
    /// Heights whose blocks can't be read any more.
    pub rotten: BTreeSet<u64>,
    /// Height up to which an earlier life may have voted.
    pub voted_to: BlockHeight,
    pub state: MemoryState,
    /// One per term, from term 0 on.
    pub hand_overs: Vec<HandOver>,
    /// Other keys that vote for seats.
    pub successions: Vec<Succession>,
    /// Secrets of the seat's terms.
    pub secrets: Vec<TermSecrets>,
    /// A state that is coming in, and what of it is here.
    pub incoming: Option<(Incoming, MemoryState)>,
    /// The header that the blocks stand on: genesis, or a checkpoint.
    base: Option<Header>,
    /// The state that is served, and its header.
    checkpoint: Option<(Header, MemoryState)>,
}

impl Disk {
    fn base_height(&self) -> u64 {
        self.base.as_ref().map_or(0, |header| header.height.0)
    }
}

struct Node {
    engine: Option<Engine>,
    disk: Disk,
    key: Option<SecretKey>,
    timers: BTreeMap<Timer, Timestamp>,
    /// A life's number: what was meant for an earlier life is dropped.
    life: u64,
    /// What went into SCP and came out, in all its lives.
    scp_log: Vec<log::Entry>,
}

/// Something that will happen.
enum Due {
    Deliver {
        from: usize,
        to: usize,
        life: u64,
        bytes: Vec<u8>,
    },
    Event {
        to: usize,
        life: u64,
        event: Event,
    },
}

/// A folded proof is what it says of itself.
pub struct Scripted;

impl VerifyFolded for Scripted {
    fn first_bad(&self, proofs: &[FoldedProof]) -> Option<usize> {
        proofs.iter().position(|proof| proof.proof != b"good")
    }
}

/// Odds and delays of the network, in thousandths and milliseconds.
#[derive(Clone, Copy)]
pub struct Weather {
    pub delay_ms: (u64, u64),
    pub loss_permille: u64,
}

pub const FAIR: Weather = Weather {
    delay_ms: (1, 20),
    loss_permille: 0,
};
pub const ROUGH: Weather = Weather {
    delay_ms: (5, 400),
    loss_permille: 50,
};

/// A trial that takes longer fails, as `watt-node` has it.
const TRIAL_MS_MAX: u64 = 3_000;

pub struct World {
    pub genesis: Genesis,
    pub network: NetworkId,
    pub now: Timestamp,
    pub weather: Weather,
    nodes: Vec<Node>,
    cut: BTreeSet<(usize, usize)>,
    due: BTreeMap<(Timestamp, u64), Due>,
    next: u64,
    luck: u64,
    /// Every header ever committed, by height: agreement is checked at each commit.
    agreed: BTreeMap<BlockHeight, Hash>,
    pub halts: Vec<(usize, String)>,
    /// Who hung up on whom.
    pub hang_ups: Vec<(usize, usize)>,
    /// How long trials of blocks take at a node, in milliseconds, if longer than usual.
    pub slow: BTreeMap<usize, u64>,
    /// Statements sent, each as often as to somebody.
    pub statements: usize,
    /// Different ones among them.
    pub said: BTreeSet<Statement>,
    /// Bytes sent.
    pub bytes: usize,
    /// Who verified folded proofs, and how many at once.
    pub folded_verified: Vec<(usize, usize)>,
    /// What was sent to nodes that are not up.
    pub overheard: Vec<Vec<u8>>,
    serving: BTreeMap<usize, Serving>,
    pub withholding: BTreeMap<usize, Withholding>,
    /// Nodes that leave heartbeats out of their proposals.
    pub censors: BTreeSet<usize>,
    /// Blocks between two states that are served, and how far behind a fresh node asks for one.
    pub checkpoint_gap: u64,
    /// Chunks served, by whom.
    pub chunks: Vec<usize>,
    /// Chunks that were stored: where, and at which tree key.
    pub taken: Vec<(usize, Hash)>,
    /// Requests for blocks that were answered or should have been: who asked whom.
    pub requests: Vec<(usize, usize)>,
    pub replies: Vec<Result<watt_primitives::TransactionId, String>>,
    /// Memo that makes applying fail as if it panicked.
    pub poison: Option<&'static [u8]>,
    /// A peer with the fastest links, who passes every statement on at once, without the proposals behind it.
    pub stripper: Option<usize>,
    genesis_header: Header,
    /// Keys of nodes in terms from 1 on.
    keys: Vec<(usize, Term, SecretKey)>,
    /// Whether validators do the duties of their seats.
    pub are_dutiful: bool,
    /// The highest version of the rules that a node's program knows from its next start on, if not the newest.
    pub protocols: BTreeMap<usize, u32>,
    /// Followers that wait for their owner's circle, when they start.
    pub circled: BTreeSet<usize>,
}

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// The key with which `seed` votes in `term`.
pub fn key_in(seed: u8, term: Term) -> SecretKey {
    let mut bytes = [seed; 32];
    bytes[0] ^= u8::try_from(term.0).unwrap();
    SecretKey::from_seed(bytes)
}

/// The seat of the account with key `seed` in `term`.
pub fn seat_in(seed: u8, term: Term) -> BackboneEntry {
    BackboneEntry {
        key: key_in(seed, term).node_id(),
        ..seat(seed)
    }
}

/// The seat of the account with this key, which votes with it as well.
pub fn seat(seed: u8) -> BackboneEntry {
    BackboneEntry {
        account: AccountId::of_first_key(&key(seed).public()),
        key: key(seed).node_id(),
        cold_key: Some(cold_key_hash(&cold(seed).public())),
    }
}

/// The cold key of the seat of `seed`.
pub fn cold(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32].map(|byte| byte ^ 0xff))
}

pub fn parameters() -> NetworkParameters {
    NetworkParameters {
        slot_ms: 1_000,
        window_slots: 8,
        term_windows: 144,
        settlement_windows: 4,
        failed_window_cost: 9,
        block_transactions_max: 500,
        block_bytes_max: 2 << 20,
        certify_slots: 60,
        certify_slots_per_gb: 60,
        commit_slots: 60,
        dispute_slots: 60,
        grace_windows: watt_ledger::genesis::GRACE_WINDOWS_MAIN,
        power_unit_bytes: 1 << 20,
        standby_power_bytes: 0,
        insecure_proofs: true,
        porep_committee: 0,
        audit_windows: 0,
        restart_windows: watt_ledger::genesis::RESTART_WINDOWS_MAIN,
    }
}

impl World {
    /// `n_validators` that vote and `n_followers` that follow, all connected to all.
    pub fn new(n_validators: u8, n_followers: u8, seed: u64) -> Self {
        Self::with_terms(n_validators, n_followers, seed, 144, &[])
    }

    /// The same with terms of so many windows of 8 slots, and who has the seats of terms from 1 on, each with a key of its own. The
    /// last of them stay; without any, all validators keep seats and keys.
    pub fn with_terms(
        n_validators: u8,
        n_followers: u8,
        seed: u64,
        term_windows: u64,
        seats: &[&[u8]],
    ) -> Self {
        let account = |seed: u8| watt_ledger::genesis::GenesisAccount {
            key: key(seed).public(),
            balance: watt_primitives::Amount::from_watt(1_000).unwrap(),
        };
        let genesis = Genesis {
            name: watt_primitives::BoundedString::new("world".to_owned()).unwrap(),
            is_main: false,
            time: Timestamp(1_700_000_000_000),
            parameters: NetworkParameters {
                term_windows,
                ..parameters()
            },
            accounts: BoundedVec::new((1..=n_validators).chain(100..110).map(account).collect()).unwrap(),
            protocol: 1,
            council: BoundedVec::new((100..107).map(|seed| seat(seed).account).collect()).unwrap(),
            council_until: Term(1_000),
            trust_seeds: BoundedVec::empty(),
            backbone: BoundedVec::new((1..=n_validators).map(seat).collect()).unwrap(),
        };
        let mut first = genesis::genesis_block(&genesis).unwrap();
        let elected: Vec<(Term, Backbone)> = (1..)
            .zip(seats)
            .map(|(term, seats)| {
                let entries = seats.iter().map(|number| seat_in(*number, Term(term)));
                (Term(term), Backbone::new(entries.collect()).unwrap())
            })
            .collect();
        if !elected.is_empty() {
            first = elect_in_advance(&first, &elected);
        }
        let mut state = MemoryState::default();
        state.write(&first.writes);
        state.write(&chunk::index(&first.writes).collect());
        let disk = Disk {
            journal: Vec::new(),
            blocks: Vec::new(),
            state,
            ..Disk::default()
        };
        let validators = (1..=n_validators).map(|seed| Some(key(seed)));
        let followers = (0..n_followers).map(|_| None);
        let nodes = validators
            .chain(followers)
            .map(|key| Node {
                engine: None,
                disk: disk.clone(),
                key,
                timers: BTreeMap::new(),
                life: 0,
                scp_log: Vec::new(),
            })
            .collect();
        let mut world = Self {
            network: genesis.network(),
            now: Timestamp(genesis.time.0 + 1),
            genesis,
            weather: FAIR,
            nodes,
            cut: BTreeSet::new(),
            due: BTreeMap::new(),
            next: 0,
            luck: seed,
            agreed: BTreeMap::from([(BlockHeight(0), first.header.hash())]),
            halts: Vec::new(),
            hang_ups: Vec::new(),
            slow: BTreeMap::new(),
            statements: 0,
            said: BTreeSet::new(),
            bytes: 0,
            folded_verified: Vec::new(),
            overheard: Vec::new(),
            serving: BTreeMap::new(),
            withholding: BTreeMap::new(),
            censors: BTreeSet::new(),
            checkpoint_gap: 720,
            chunks: Vec::new(),
            taken: Vec::new(),
            requests: Vec::new(),
            replies: Vec::new(),
            poison: None,
            stripper: None,
            genesis_header: first.header,
            are_dutiful: false,
            protocols: BTreeMap::new(),
            circled: BTreeSet::new(),
            keys: (1..)
                .zip(seats)
                .flat_map(|(term, seats)| seats.iter().map(move |seed| (*seed, Term(term))))
                .map(|(seed, term)| (usize::from(seed) - 1, term, key_in(seed, term)))
                .collect(),
        };
        (0..world.nodes.len()).for_each(|node| world.start(node));
        world
    }

    fn random(&mut self, below: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.luck = self.luck.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.luck;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn schedule(&mut self, delay_ms: u64, due: Due) {
        self.next += 1;
        self.due.insert((self.now.plus(delay_ms), self.next), due);
    }

    pub fn height(&self, node: usize) -> u64 {
        let disk = &self.nodes[node].disk;
        disk.base_height() + disk.blocks.len() as u64
    }

    /// The state after the node's newest block.
    pub fn state(&self, node: usize) -> &MemoryState {
        &self.nodes[node].disk.state
    }

    /// Puts rows into every node's state, beside its tree: as if they had been there from the beginning.
    pub fn write_everywhere(&mut self, rows: &Writes) {
        for node in &mut self.nodes {
            node.disk.state.write(rows);
        }
    }

    pub fn is_up(&self, node: usize) -> bool {
        self.nodes[node].engine.is_some()
    }

    pub fn engine(&self, node: usize) -> &Engine {
        self.nodes[node].engine.as_ref().expect("the node is up")
    }

    /// The log file that the node would have written.
    pub fn scp_log(&self, node: usize) -> Vec<u8> {
        let mut framer = log::Framer::default();
        let frames = self.nodes[node]
            .scp_log
            .iter()
            .map(|entry| framer.frame(entry).unwrap());
        log::MAGIC.into_iter().chain(frames.flatten()).collect()
    }

    pub fn disk(&self, node: usize) -> &Disk {
        &self.nodes[node].disk
    }

    /// The hand-overs of a stopped node from term `n` on are gone.
    pub fn forget_hand_overs(&mut self, node: usize, n: usize) {
        self.nodes[node].disk.hand_overs.truncate(n);
    }

    /// From now on the node can't read its block at `height`.
    pub fn rot(&mut self, node: usize, height: u64) {
        self.nodes[node].disk.rotten.insert(height);
    }

    /// Puts an earlier disk back: a restored backup.
    pub fn restore_disk(&mut self, node: usize, disk: Disk) {
        assert!(!self.is_up(node));
        for (_, header) in &disk.blocks {
            self.agreed.insert(header.height, header.hash());
        }
        self.nodes[node].disk = disk;
    }

    /// Forgets all that a node said; its blocks stay.
    pub fn forget_journal(&mut self, node: usize) {
        assert!(!self.is_up(node));
        self.nodes[node].disk.journal.clear();
    }

    /// From its next start on the node votes with `key`, in place of a lost one.
    pub fn take_over(&mut self, node: usize, key: SecretKey, succession: Succession) {
        assert!(!self.is_up(node));
        self.nodes[node].key = Some(key);
        self.nodes[node].disk.successions.push(succession);
    }

    /// The owner lets a silent node go on.
    pub fn recover(&mut self, node: usize) -> Result<SlotIndex, NotRecoverable> {
        let this = &mut self.nodes[node];
        let engine = this.engine.as_mut().expect("the node is up");
        let mut effects = Vec::new();
        let clocks = Clocks {
            steady: self.now,
            wall: self.now,
        };
        let outcome = engine.recover(clocks, &mut effects);
        this.scp_log.extend(engine.take_scp_log());
        for effect in effects {
            self.perform(node, effect);
        }
        outcome
    }

    /// Starts a node from its disk and connects it to all others that are up.
    pub fn start(&mut self, node: usize) {
        let (network, genesis) = (self.network, &self.genesis);
        let this = &mut self.nodes[node];
        let head = this
            .disk
            .blocks
            .last()
            .map(|(_, header)| header)
            .or(this.disk.base.as_ref())
            .unwrap_or(&self.genesis_header)
            .clone();
        let entries = this
            .disk
            .journal
            .iter()
            .map(|entry| Entry::decode(entry).unwrap())
            .collect();
        let config = EngineConfig {
            voted_to: this.disk.voted_to,
            successions: this.disk.successions.clone(),
            network,
            parameters: genesis.parameters.clone(),
            protocol: self.protocols.get(&node).copied().unwrap_or(PROTOCOL_VERSION_MAX),
            walk: walk(genesis.walk().unwrap(), &this.disk.hand_overs).unwrap(),
            voting_keys: this.key.clone().map_or_else(VotingKeys::none, |key| {
                let mut keys = VotingKeys::fixed(key);
                let of_terms = self.keys.iter().filter(|(of, ..)| *of == node);
                of_terms.for_each(|(_, term, key)| keys.add(*term, key.clone()));
                let secrets = this.disk.secrets.iter();
                secrets.for_each(|secrets| keys.add(secrets.term, secrets.voting_key.clone()));
                keys
            }),
            checkpoint_gap: self.checkpoint_gap,
            incoming: this.disk.incoming.as_ref().map(|(incoming, _)| incoming.clone()),
            provider: None,
            seat: this
                .key
                .clone()
                .filter(|_| self.are_dutiful)
                .map(|account_key| SeatConfig {
                    account_key,
                    secrets: this.disk.secrets.clone(),
                }),
            verdicts: Vec::new(),
            restarts: watt_engine::RestartLog::default(),
            logs_scp: true,
        };
        let mut engine = Engine::new(config, head, &this.disk.state, entries);
        if self.circled.contains(&node) {
            engine.follow_with_circle();
        }
        this.engine = Some(engine);
        this.life += 1;
        self.handle(node, Event::Started);
        for other in 0..self.nodes.len() {
            if other != node && self.is_up(other) {
                self.handle(node, Event::Connected(PeerId(other as u64)));
                self.handle(other, Event::Connected(PeerId(node as u64)));
            }
        }
    }

    /// Kills a node: everything but its disk is gone.
    pub fn kill(&mut self, node: usize) {
        let this = &mut self.nodes[node];
        this.engine = None;
        this.timers.clear();
        this.life += 1;
        for other in 0..self.nodes.len() {
            if other != node && self.is_up(other) {
                self.handle(other, Event::Disconnected(PeerId(node as u64)));
            }
        }
    }

    /// Ends a node's engine without a word: to the others it stays connected, and whoever drives the test speaks for it.
    pub fn usurp(&mut self, node: usize) {
        let this = &mut self.nodes[node];
        this.engine = None;
        this.timers.clear();
    }

    /// Header of the node's head.
    pub fn head(&self, node: usize) -> &Header {
        let newest = self.nodes[node].disk.blocks.last();
        newest.map_or(&self.genesis_header, |(_, header)| header)
    }

    /// Cuts the network between two groups.
    pub fn partition(&mut self, left: &[usize], right: &[usize]) {
        for a in left {
            for b in right {
                self.cut.insert((*a, *b));
                self.cut.insert((*b, *a));
            }
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn submit(&mut self, node: usize, transaction: SignedTransaction) {
        let reply_to = watt_engine::RequestId(0);
        self.handle(
            node,
            Event::Submitted {
                transaction: Box::new(transaction),
                reply_to,
            },
        );
    }

    /// A peer that is none of the nodes connects to one of them.
    pub fn meet(&mut self, stranger: usize, node: usize) {
        assert!(stranger >= self.nodes.len());
        self.handle(node, Event::Connected(PeerId(stranger as u64)));
    }

    /// Hands `node` raw bytes as if peer `from` had sent them.
    pub fn inject(&mut self, from: usize, node: usize, bytes: Vec<u8>) {
        self.handle(
            node,
            Event::Received {
                from: PeerId(from as u64),
                bytes,
            },
        );
    }

    /// What the nodes of a follower's circle say, to the node.
    pub fn tell_circle(&mut self, node: usize, nodes: Vec<NodeId>, words: &[(NodeId, BlockName)]) {
        let clocks = Clocks {
            steady: self.now,
            wall: self.now,
        };
        let mut effects = Vec::new();
        if let Some(engine) = self.nodes[node].engine.as_mut() {
            engine.hear_circle(clocks, nodes, words, &mut effects);
        }
        for effect in effects {
            self.perform(node, effect);
        }
    }

    /// The header of a block that a node has.
    pub fn header(&self, node: usize, height: BlockHeight) -> Option<&Header> {
        let disk = &self.nodes[node].disk;
        let at = height.0.checked_sub(disk.base_height() + 1)?;
        let (_, header) = disk.blocks.get(usize::try_from(at).ok()?)?;
        Some(header)
    }

    pub fn handle(&mut self, node: usize, event: Event) {
        let this = &mut self.nodes[node];
        let Some(engine) = this.engine.as_mut() else {
            return;
        };
        let mut effects = Vec::new();
        let clocks = Clocks {
            steady: self.now,
            wall: self.now,
        };
        engine.handle(clocks, event, &this.disk.state, &mut effects);
        this.scp_log.extend(engine.take_scp_log());
        for effect in effects {
            self.perform(node, effect);
        }
    }

    fn perform(&mut self, node: usize, effect: Effect) {
        let life = self.nodes[node].life;
        let soon = |event| Due::Event {
            to: node,
            life,
            event,
        };
        match effect {
            // Strangers hear nothing.
            Effect::Send { to, .. } | Effect::Disconnect(to) if to.0 as usize >= self.nodes.len() => {}
            Effect::Send { to, message, .. } => {
                let to = to.0 as usize;
                self.strip(to, &message);
                self.bytes += message.len();
                if let Ok(Message::Statement { envelope, .. }) = Message::decode(&message) {
                    self.statements += 1;
                    self.said.insert(envelope.statement);
                }
                if !self.is_up(to) {
                    self.overheard.push(message.to_vec());
                }
                let is_body = || matches!(Message::decode(&message), Ok(Message::Body { .. }));
                let is_withheld =
                    self.withholding.get(&node).is_some_and(|from| from.is_from(to)) && is_body();
                if !is_withheld {
                    self.deliver(node, to, message.to_vec(), 0);
                }
            }
            Effect::Disconnect(peer) => {
                // A broken connection is dialled again at once.
                let (here, there) = (PeerId(node as u64), peer.0 as usize);
                self.hang_ups.push((node, there));
                self.handle(node, Event::Disconnected(peer));
                self.handle(there, Event::Disconnected(here));
                self.handle(node, Event::Connected(peer));
                self.handle(there, Event::Connected(here));
            }
            Effect::SetTimer { timer, at } => {
                self.nodes[node].timers.insert(timer, at);
            }
            Effect::PersistScp { entry } => self.nodes[node].disk.journal.push(entry.encode()),
            Effect::Encode { to, message } => {
                let (message, priority): (Arc<[u8]>, _) =
                    (message.encode().into(), watt_engine::Priority::Bulk);
                for to in to {
                    let message = Arc::clone(&message);
                    self.perform(
                        node,
                        Effect::Send {
                            to,
                            message,
                            priority,
                        },
                    );
                }
            }
            Effect::Verify { ticket, checks } => {
                let holds = checks.iter().map(|check| check.holds()).collect();
                self.schedule(1, soon(Event::Verified { ticket, holds }));
            }
            Effect::VerifyFolded { ticket, proofs } => {
                self.folded_verified.push((node, proofs.len()));
                let holds = Scripted.first_bad(&proofs).is_none();
                self.schedule(5, soon(Event::FoldedVerified { ticket, holds }));
            }
            Effect::Decode { from, bytes } => {
                let (n_bytes, message) = (bytes.len(), Message::decode(&bytes).map(Box::new));
                self.schedule(
                    1,
                    soon(Event::Decoded {
                        from,
                        n_bytes,
                        message,
                    }),
                );
            }
            Effect::Discard(over) => drop(over),
            Effect::FillBody { slot, mut waiting } => {
                if self.censors.contains(&node) {
                    waiting.heartbeats.clear();
                }
                let state = &self.nodes[node].disk.state;
                let filled = Some(Box::new(mempool::fill(state, &self.network, &waiting)));
                self.schedule(1, soon(Event::BodyFilled { slot, filled }));
            }
            Effect::ReadBody {
                from,
                value,
                proposal,
                bytes,
            } => {
                let body = Body::read(bytes, &proposal).map(Box::new);
                self.schedule(1, soon(Event::BodyRead { from, value, body }));
            }
            Effect::Apply { value, block } => {
                let result = self.apply(node, &block);
                let takes_ms = self.slow.get(&node).copied().unwrap_or(3);
                let is_late = takes_ms > TRIAL_MS_MAX;
                let result = if is_late {
                    Err(ApplyFailure::TooSlow)
                } else {
                    result
                };
                self.schedule(takes_ms.min(TRIAL_MS_MAX), soon(Event::Applied { value, result }));
            }
            Effect::ApplyDecided { first, blocks } => {
                let (outcomes, failure) = self.apply_decided(node, &blocks);
                let event = Event::DecidedApplied {
                    first,
                    outcomes,
                    failure,
                };
                self.schedule(3, soon(event));
            }
            Effect::Commit { blocks, outcomes } => self.commit(node, &blocks, &outcomes),
            Effect::SendBlocks { to, from, count } => self.serve(node, to, from, count),
            Effect::SendCheckpoint { to } => self.serve_checkpoint(node, to),
            Effect::SendHandOvers { to, from } => self.serve_hand_overs(node, to, from),
            Effect::KeepHandOvers { first, hand_overs } => {
                let kept = &mut self.nodes[node].disk.hand_overs;
                assert_eq!(first.0, kept.len() as u64, "one after the other");
                kept.extend(hand_overs);
            }
            Effect::KeepSuccessions(successions) => self.nodes[node].disk.successions = successions,
            Effect::KeepRestarts(_) | Effect::FollowRestart(_) => {
                unreachable!("nobody plans a restart in this world")
            }
            Effect::SendState { to, height, at } => self.serve_state(node, to, height, at),
            Effect::TakeChunk { at, chunk, then } => {
                let is_good = self.take_chunk(node, at, &chunk, *then);
                self.schedule(3, soon(Event::ChunkTaken { is_good }));
            }
            Effect::AdoptState(header) => {
                let disk = &mut self.nodes[node].disk;
                let (incoming, mut state) = disk.incoming.take().unwrap();
                state.write(&chunk::finish(&header));
                assert_eq!(incoming.header, *header);
                assert_eq!(tree::root(&state).unwrap(), header.state_root);
                assert_eq!(self.agreed.get(&header.height), Some(&header.hash()));
                (disk.state, disk.base) = (state, Some(*header.clone()));
                let spent = Spent::new();
                self.schedule(3, soon(Event::Committed { header, spent }));
            }
            Effect::Reply { outcome, .. } => self.replies.push(outcome),
            Effect::Halt(sentence) => {
                self.halts.push((node, sentence));
                self.kill(node);
            }
            Effect::Seal(_)
            | Effect::OpenBatch(_)
            | Effect::HideOpenings { .. }
            | Effect::KeepVerdicts(_)
            | Effect::Examine(_)
            | Effect::HandVerdict(_)
            | Effect::ShowGroup { .. }
            | Effect::Respond(_)
            | Effect::OpenWindow { .. }
            | Effect::LogWindow { .. }
            | Effect::FoldAhead(_)
            | Effect::FoldWindows(_)
            | Effect::RemoveSector { .. } => unreachable!("no provider lives in this world"),
            Effect::MakeVotingKeys { terms } => {
                let made: Vec<TermSecrets> = terms.iter().map(|term| self.secrets_of(node, *term)).collect();
                self.nodes[node].disk.secrets.extend(made.iter().cloned());
                self.schedule(2, soon(Event::VotingKeysMade(made)));
            }
            Effect::ForgetVotingKeys { before } => {
                let secrets = &mut self.nodes[node].disk.secrets;
                secrets.retain(|secrets| secrets.term >= before);
            }
        }
    }

    fn secrets_of(&mut self, node: usize, term: Term) -> TermSecrets {
        let mut secret = || {
            Hash::of_content(
                &[node as u64, term.0, self.random(u64::MAX)]
                    .map(u64::to_be_bytes)
                    .concat(),
            )
        };
        TermSecrets {
            term,
            voting_key: SecretKey::from_seed(secret().0),
            onion_seed: secret(),
        }
    }

    fn strip(&mut self, to: usize, message: &[u8]) {
        let Some(from) = self.stripper.filter(|stripper| *stripper != to) else {
            return;
        };
        if let Ok(Message::Statement { envelope, .. }) = Message::decode(message) {
            let proposals = BoundedVec::empty();
            let bytes = Message::Statement { envelope, proposals }.encode();
            let life = self.nodes[to].life;
            self.schedule(
                0,
                Due::Deliver {
                    from,
                    to,
                    life,
                    bytes,
                },
            );
        }
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: Vec<u8>, late_ms: u64) {
        let (low, high) = self.weather.delay_ms;
        let delay = late_ms + low + self.random(high - low + 1);
        let is_lost = self.random(1000) < self.weather.loss_permille || self.cut.contains(&(from, to));
        if !is_lost {
            let life = self.nodes[to].life;
            self.schedule(
                delay,
                Due::Deliver {
                    from,
                    to,
                    life,
                    bytes,
                },
            );
        }
    }

    fn apply(&self, node: usize, block: &UncheckedBlock) -> Result<Arc<BlockOutcome>, ApplyFailure> {
        let is_poison = |signed: &SignedTransaction| {
            signed.transaction.operations.iter().any(|operation| {
                matches!(operation, watt_light::Operation::Transfer { memo, .. } if Some(&**memo) == self.poison)
            })
        };
        if let Some(culprit) = block.transactions.iter().position(is_poison) {
            return Err(ApplyFailure::Panicked {
                culprit: Some(culprit),
            });
        }
        block
            .clone()
            .check(&self.network, &Scripted)
            .and_then(|block| apply_block(&self.nodes[node].disk.state, &block))
            .map(Arc::new)
            .map_err(|invalid| ApplyFailure::Invalid(invalid.to_string()))
    }

    fn apply_decided(&self, node: usize, blocks: &[DecidedBlock]) -> run::Good<Arc<BlockOutcome>> {
        let (good, unchecked) = run::check(
            blocks,
            &Backbones::in_state(&self.nodes[node].disk.state),
            &Scripted,
        );
        let (outcomes, failed) = run::apply(&self.nodes[node].disk.state, &good, |state, block| {
            apply_block(state, block).map_err(|invalid| ApplyFailure::Invalid(invalid.to_string()))
        });
        (outcomes, failed.or(unchecked))
    }

    fn commit(&mut self, node: usize, blocks: &[DecidedBlock], outcomes: &[Arc<BlockOutcome>]) {
        assert_eq!(blocks.len(), outcomes.len(), "every block has its outcome");
        for (block, outcome) in blocks.iter().zip(outcomes) {
            self.store(node, block.clone(), outcome);
        }
        let spent = mempool::spent(blocks.iter().flat_map(|block| block.transactions.iter()));
        let header = Box::new(outcomes.last().unwrap().header.clone());
        let life = self.nodes[node].life;
        self.schedule(
            2,
            Due::Event {
                to: node,
                life,
                event: Event::Committed { header, spent },
            },
        );
    }

    fn store(&mut self, node: usize, block: DecidedBlock, outcome: &BlockOutcome) {
        let header = outcome.header.clone();
        let hash = header.hash();
        let agreed = *self.agreed.entry(header.height).or_insert(hash);
        let backbones = Backbones::in_state(&self.nodes[node].disk.state);
        let deciders = backbones.of_slot(block.proposal.proposal.slot).unwrap();
        assert_eq!(agreed, hash, "two different blocks at height {}", header.height);
        assert!(
            block.is_decided(deciders.voters()),
            "a committed block proves its decision"
        );
        let this = &mut self.nodes[node];
        assert_eq!(
            header.height.0,
            this.disk.base_height() + this.disk.blocks.len() as u64 + 1,
            "blocks are committed in order"
        );
        this.disk.state.write(&outcome.writes);
        this.disk.state.write(&chunk::index(&outcome.writes).collect());
        if header.height.0.is_multiple_of(self.checkpoint_gap) {
            this.disk.checkpoint = Some((header.clone(), this.disk.state.clone()));
        }
        this.disk.blocks.push((block, header));
    }

    /// Lets time pass up to `ms` from now.
    pub fn run_for(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        self.run_until(end, |_| false);
    }

    /// Runs until `done` says so or `end` comes; returns whether it was done.
    pub fn run_until(&mut self, end: Timestamp, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let next_timer = self
                .nodes
                .iter()
                .enumerate()
                .flat_map(|(node, this)| this.timers.iter().map(move |(timer, at)| (*at, node, *timer)))
                .min();
            let next_due = self.due.keys().next().copied();
            let timer_first = match (next_timer, next_due) {
                (Some((at, ..)), Some((due, _))) => at <= due,
                (Some(_), None) => true,
                (None, _) => false,
            };
            let at = if timer_first {
                next_timer.map(|next| next.0)
            } else {
                next_due.map(|next| next.0)
            };
            let Some(at) = at.filter(|at| *at <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(at);
            if timer_first && let Some((_, node, timer)) = next_timer {
                self.nodes[node].timers.remove(&timer);
                self.handle(node, Event::TimerFired(timer));
            } else if let Some((_, due)) = self.due.pop_first() {
                self.happen(due);
            }
        }
        true
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Deliver {
                from,
                to,
                life,
                bytes,
            } => {
                if self.nodes[to].life == life {
                    self.handle(
                        to,
                        Event::Received {
                            from: PeerId(from as u64),
                            bytes,
                        },
                    );
                }
            }
            Due::Event { to, life, event } => {
                if self.nodes[to].life == life {
                    self.handle(to, event);
                }
            }
        }
    }

    /// Runs until every node of `nodes` has reached `height`, within `ms`.
    pub fn reach(&mut self, nodes: &[usize], height: u64, ms: u64) -> bool {
        let end = self.now.plus(ms);
        let nodes = nodes.to_vec();
        self.run_until(end, move |world| {
            nodes.iter().all(|node| world.height(*node) >= height)
        })
    }
}
