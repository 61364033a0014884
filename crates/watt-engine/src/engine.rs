//! One node: dispatches events to its parts and keeps what they share, the head and the peers.

use crate::consensus::{Consensus, Context, Head};
use crate::effect::{Effect, Priority, Timer};
use crate::event::{Event, PeerId, RequestId, VerifyTicket};
use crate::journal::Entry;
use crate::mempool::{Mempool, NotPooled};
use crate::message::Message;
use crate::peers::Peers;
use crate::provider::{LocalSector, Provider, ProviderConfig, ProviderWork};
use crate::sync::Sync;
use std::collections::BTreeMap;
use watt_ledger::{NetworkParameters, StateRead};
use watt_light::{Header, SignedProposal, SignedTransaction};
use watt_primitives::{BlockHeight, NetworkId, SecretKey, SlotIndex, Timestamp, TransactionId};
use watt_scp::{Envelope, QuorumSet, TimerKind};

/// The most batches of signatures under verification at once; beyond it messages are dropped, as if the network had.
const VERIFYING_MAX: usize = 4_096;

/// The most statements for the slot after the current one that are kept until it begins.
const EARLY_MAX: usize = 512;

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
    /// The backbone's quorum set.
    pub quorum_set: QuorumSet,
    /// The voting key, if this node is (or may become) a backbone entry.
    pub voting_key: Option<SecretKey>,
    /// Height up to which an earlier life may have voted, from blocks that were stored and have to be fetched again: the node says
    /// nothing in these slots.
    pub voted_to: BlockHeight,
    /// What it offers, if it is a provider, and the sealed sectors on its disk.
    pub provider: Option<(ProviderConfig, Vec<LocalSector>)>,
}

/// What waits for its signatures to be checked.
enum Verifying {
    Statement {
        from: PeerId,
        envelope: Box<Envelope>,
        proposals: Vec<SignedProposal>,
        bytes: Vec<u8>,
    },
    Transaction {
        from: Origin,
        signed: Box<SignedTransaction>,
    },
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
    sync: Sync,
    verifying: BTreeMap<VerifyTicket, Verifying>,
    next_ticket: u64,
    /// Statements of the next slot, that arrived before this node got there.
    early: Vec<(PeerId, Vec<u8>)>,
    refused: BTreeMap<&'static str, u64>,
    provider: Option<Provider>,
    /// Until then statements of others are kept, and nothing is said.
    quiet_until: Timestamp,
    /// Tick at which the head last moved.
    ticks_since_head: u32,
}

impl Engine {
    /// A node whose stored chain ends at `head` and whose journal holds `entries`.
    #[must_use]
    pub fn new(config: EngineConfig, head: Header, entries: Vec<Entry>) -> Self {
        let head = Head::new(head);
        let block_bytes_max = config.parameters.block_bytes_max;
        let live = entries
            .into_iter()
            .filter(|entry| entry.slot() >= head.next_slot())
            .collect();
        Self {
            network: config.network,
            consensus: Consensus::new(
                &head,
                config.quorum_set,
                config.voting_key,
                config.voted_to.into(),
                block_bytes_max,
                live,
            ),
            parameters: config.parameters,
            head,
            peers: Peers::default(),
            mempool: Mempool::default(),
            sync: Sync::default(),
            verifying: BTreeMap::new(),
            next_ticket: 0,
            early: Vec::new(),
            refused: BTreeMap::new(),
            provider: config
                .provider
                .map(|(provider, local)| Provider::new(provider, config.network, local)),
            quiet_until: Timestamp(0),
            ticks_since_head: 0,
        }
    }

    /// Height of the head.
    #[must_use]
    pub const fn height(&self) -> BlockHeight {
        self.head.header.height
    }

    /// Whether this node takes part in agreement.
    #[must_use]
    pub const fn is_validator(&self) -> bool {
        self.consensus.is_validator()
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

    /// Handles one event at `now`; `chain` shows the state of the head. What must be done is appended to `effects`.
    pub fn handle(
        &mut self,
        now: Timestamp,
        event: Event,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            Event::Started => self.started(now, effects),
            Event::Connected(peer) => self.connected(peer, now, effects),
            Event::Disconnected(peer) => self.peers.disconnected(peer),
            Event::Received { from, bytes } => self.received(from, bytes, now, chain, effects),
            Event::TimerFired(timer) => self.timer_fired(timer, now, chain, effects),
            Event::Submitted {
                transaction,
                reply_to,
            } => {
                self.offered(Origin::Local(reply_to), *transaction, chain, effects);
            }
            Event::Verified { ticket, holds } => self.verified(ticket, &holds, now, chain, effects),
            Event::Applied { value, result } => {
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                for culprit in self.consensus.tried(value, result, &mut context) {
                    self.mempool.quarantine(culprit, self.head.header.height);
                }
            }
            Event::DecidedApplied { height, from, result } => {
                let is_free = !self.consensus.is_committing();
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                if self.sync.applied(height, from, result, is_free, &mut context) {
                    self.consensus.set_committing();
                }
            }
            Event::Committed { header, included } => {
                self.committed(*header, &included, now, chain, effects);
                self.provide(chain, effects);
            }
            Event::Looked => self.provide(chain, effects),
            Event::Sealed { sector, result } => {
                self.with_provider(chain, effects, |provider| provider.sealed(sector, result));
            }
            Event::PorepOpened { sector, result } => {
                self.with_provider(chain, effects, |provider| provider.porep_opened(sector, result));
            }
            Event::Responded { window, result } => {
                self.with_provider(chain, effects, |provider| provider.responded(window, result));
            }
            Event::WindowOpened { window, result } => {
                self.with_provider(chain, effects, |provider| provider.window_opened(window, result));
            }
        }
    }

    fn count(&mut self, reason: &'static str) {
        let count = self.refused.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    fn started(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.quiet_until = now.plus(START_QUIET_MS);
        self.consensus.resume(&mut Context {
            now,
            peers: &self.peers,
            effects,
        });
        effects.push(Effect::SetTimer {
            timer: Timer::Tick,
            at: now.plus(self.parameters.slot_ms),
        });
        self.schedule_slot(now, effects);
    }

    fn schedule_slot(&self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.consensus.is_validator() {
            let due = self.head.header.close_time.plus(self.parameters.slot_ms);
            let at = due.max(now).max(self.quiet_until);
            effects.push(Effect::SetTimer {
                timer: Timer::NextSlot,
                at,
            });
        }
    }

    fn hello(&self) -> Message {
        Message::Hello {
            network: self.network,
            height: self.head.header.height,
            wants_statements: self.consensus.is_validator(),
        }
    }

    fn connected(&mut self, peer: PeerId, now: Timestamp, effects: &mut Vec<Effect>) {
        self.peers.connected(peer, now);
        let hello = self.hello();
        Context {
            now,
            peers: &self.peers,
            effects,
        }
        .send(peer, &hello, Priority::Urgent);
    }

    fn received(
        &mut self,
        from: PeerId,
        bytes: Vec<u8>,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        // Which bucket pays is known only after decoding; decoding is bounded by the transport's own quota.
        let Ok(message) = Message::decode(&bytes) else {
            self.count("malformed message");
            effects.push(Effect::Disconnect(from));
            return;
        };
        let bucket = match &message {
            Message::Transaction(_) | Message::Body { .. } | Message::Blocks { .. } => &mut peer.bulk,
            Message::Hello { .. }
            | Message::Statement { .. }
            | Message::GetStatements { .. }
            | Message::GetBody { .. }
            | Message::NewBlock { .. }
            | Message::GetBlocks { .. } => &mut peer.urgent,
        };
        if !bucket.take(now) {
            self.count("over quota");
            return;
        }
        match message {
            Message::Hello {
                network,
                height,
                wants_statements,
            } => {
                if network != self.network {
                    self.count("other network");
                    effects.push(Effect::Disconnect(from));
                    return;
                }
                peer.height = Some(height);
                peer.wants_statements = wants_statements;
                self.greeted(from, height, wants_statements, now, effects);
            }
            Message::Statement { envelope, proposals } => {
                self.stated(from, envelope, proposals.into_inner(), bytes, now, effects);
            }
            Message::GetStatements { slot } => self.asked_statements(from, slot, now, effects),
            Message::GetBody { value } => {
                if let Some(body) = self.consensus.body(&value)
                    && let Ok(transactions) = body.to_vec().try_into()
                {
                    let mut context = Context {
                        now,
                        peers: &self.peers,
                        effects,
                    };
                    context.send(from, &Message::Body { value, transactions }, Priority::Bulk);
                }
            }
            Message::Body { value, transactions } => {
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                if !self
                    .consensus
                    .take_body(value, transactions.into_inner(), &mut context)
                {
                    self.count("unwanted body");
                }
            }
            Message::Transaction(signed) => self.offered(Origin::Peer(from), *signed, chain, effects),
            Message::NewBlock { height, .. } => {
                peer.height = peer.height.max(Some(height));
                self.catch_up(now, effects);
            }
            Message::GetBlocks { from: first, count } => {
                effects.push(Effect::SendBlocks {
                    to: from,
                    from: first,
                    count,
                });
            }
            Message::Blocks { blocks } => {
                let (head, is_free) = (self.head.clone(), !self.consensus.is_committing());
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                if !self
                    .sync
                    .received(from, blocks.into_inner(), &head, is_free, &mut context)
                {
                    self.count("unasked blocks");
                }
            }
        }
    }

    fn greeted(
        &mut self,
        from: PeerId,
        height: BlockHeight,
        wants_statements: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if wants_statements {
            let mut context = Context {
                now,
                peers: &self.peers,
                effects,
            };
            for signed in self.mempool.local() {
                context.send(
                    from,
                    &Message::Transaction(Box::new(signed.clone())),
                    Priority::Bulk,
                );
            }
        }
        if wants_statements && height == self.head.header.height {
            let mut context = Context {
                now,
                peers: &self.peers,
                effects,
            };
            for message in self.consensus.statements(false) {
                context.send(from, &message, Priority::Urgent);
            }
        }
        self.catch_up(now, effects);
    }

    fn asked_statements(&mut self, from: PeerId, slot: SlotIndex, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut context = Context {
            now,
            peers: &self.peers,
            effects,
        };
        if slot == self.consensus.slot() {
            for message in self.consensus.statements(false) {
                context.send(from, &message, Priority::Urgent);
            }
        } else if slot < self.consensus.slot() {
            let message = Message::NewBlock {
                height: self.head.header.height,
                header: self.head.hash,
            };
            context.send(from, &message, Priority::Urgent);
        }
    }

    /// A statement came: everything that is cheap to check is checked before its signature.
    fn stated(
        &mut self,
        from: PeerId,
        envelope: Box<Envelope>,
        proposals: Vec<SignedProposal>,
        bytes: Vec<u8>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let statement = &envelope.statement;
        if !self.consensus.is_validator() {
            return;
        }
        if !self.consensus.is_entry(&statement.node) {
            self.count("statement of a stranger");
            return;
        }
        // While quiet, only what this node itself may have said counts.
        let is_kept = now < self.quiet_until && !self.consensus.is_mine(&statement.node);
        let is_early = statement.slot == self.consensus.slot().next();
        let is_current = statement.slot == self.consensus.slot();
        if is_early || (is_current && is_kept) {
            if self.early.len() < EARLY_MAX {
                self.early.push((from, bytes));
            }
            return;
        }
        if !is_current || self.consensus.knows(statement) {
            return;
        }
        let fresh: Vec<SignedProposal> = proposals
            .into_iter()
            .filter(|signed| {
                self.consensus.is_entry(&signed.proposal.proposer) && !self.consensus.has_proposal(signed)
            })
            .collect();
        let checks = std::iter::once(envelope.signature_check(&self.network))
            .chain(fresh.iter().map(SignedProposal::signature_check))
            .collect();
        let pending = Verifying::Statement {
            from,
            envelope,
            proposals: fresh,
            bytes,
        };
        self.verify(pending, checks, effects);
    }

    fn verify(
        &mut self,
        pending: Verifying,
        checks: Vec<watt_primitives::key::SignatureCheck>,
        effects: &mut Vec<Effect>,
    ) {
        if self.verifying.len() >= VERIFYING_MAX {
            self.count("too busy");
            return;
        }
        let ticket = VerifyTicket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.verifying.insert(ticket, pending);
        effects.push(Effect::Verify { ticket, checks });
    }

    fn verified(
        &mut self,
        ticket: VerifyTicket,
        holds: &[bool],
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.verifying.remove(&ticket) else {
            return;
        };
        let all_hold = holds.iter().all(|holds| *holds);
        match pending {
            Verifying::Statement {
                from,
                envelope,
                proposals,
                bytes,
            } => {
                if !all_hold {
                    self.count("bad statement signature");
                    effects.push(Effect::Disconnect(from));
                    return;
                }
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                if self.consensus.receive(from, *envelope, proposals, &mut context) {
                    for to in self.peers.agreeing(Some(from)) {
                        effects.push(Effect::Send {
                            to,
                            message: bytes.clone(),
                            priority: Priority::Urgent,
                        });
                    }
                }
            }
            Verifying::Transaction { from, signed } => {
                if all_hold {
                    self.pooled(from, *signed, now, chain, effects);
                } else {
                    self.count("bad transaction signature");
                    reply(
                        from,
                        Err("the signature is not valid on this network".to_owned()),
                        effects,
                    );
                }
            }
        }
    }

    /// A transaction is offered: everything that is cheap to check is checked before its signature.
    fn offered(
        &mut self,
        from: Origin,
        signed: SignedTransaction,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(invalid) = signed.check_shape(&self.network) {
            self.count("refused transaction");
            reply(from, Err(invalid.to_string()), effects);
            return;
        }
        match self.mempool.would_take(&signed, &self.network, chain) {
            Ok(_) => {
                let checks = vec![signed.signature_check(&self.network)];
                self.verify(
                    Verifying::Transaction {
                        from,
                        signed: Box::new(signed),
                    },
                    checks,
                    effects,
                );
            }
            // Handed in again it lands once: whoever is not sure whether it arrived can rely on that.
            Err(NotPooled::Known) => reply(from, Ok(signed.transaction.id(&self.network)), effects),
            Err(not) => {
                self.count("refused transaction");
                reply(from, Err(not.to_string()), effects);
            }
        }
    }

    fn pooled(
        &mut self,
        from: Origin,
        signed: SignedTransaction,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        // Asked again: the head may have moved while the signature was checked.
        let admission = match self.mempool.would_take(&signed, &self.network, chain) {
            Ok(admission) => admission,
            Err(NotPooled::Known) => {
                reply(from, Ok(signed.transaction.id(&self.network)), effects);
                return;
            }
            Err(not) => {
                reply(from, Err(not.to_string()), effects);
                return;
            }
        };
        let id = admission.id;
        let except = match from {
            Origin::Peer(peer) => Some(peer),
            Origin::Local(_) | Origin::Own => None,
        };
        let message = Message::Transaction(Box::new(signed.clone()));
        let is_local = except.is_none();
        self.mempool.add(admission, signed, is_local);
        Context {
            now,
            peers: &self.peers,
            effects,
        }
        .flood(&message, Priority::Bulk, except);
        reply(from, Ok(id), effects);
    }

    fn timer_fired(
        &mut self,
        timer: Timer,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        match timer {
            Timer::NextSlot => {
                self.hear_early(now, effects);
                if !self.consensus.has_begun() && !self.consensus.is_committing() {
                    let transactions = self.mempool.select(chain);
                    let mut context = Context {
                        now,
                        peers: &self.peers,
                        effects,
                    };
                    self.consensus.begin(&self.head, transactions, &mut context);
                }
            }
            Timer::Nomination { slot, generation } => {
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                self.consensus
                    .timer_fired(slot, TimerKind::Nomination, generation, &mut context);
            }
            Timer::Ballot { slot, generation } => {
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                self.consensus
                    .timer_fired(slot, TimerKind::Ballot, generation, &mut context);
            }
            Timer::Body { slot, value } => {
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                self.consensus.body_due(slot, value, &mut context);
            }
            Timer::Tick => self.tick(now, effects),
        }
    }

    /// Nothing relies on a message having arrived: own words are said again, and when stuck, others are asked.
    fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        effects.push(Effect::SetTimer {
            timer: Timer::Tick,
            at: now.plus(self.parameters.slot_ms),
        });
        self.ticks_since_head = self.ticks_since_head.saturating_add(1);
        if self.ticks_since_head < 2 {
            return;
        }
        let hello = self.hello();
        let slot = self.consensus.slot();
        let mut context = Context {
            now,
            peers: &self.peers,
            effects,
        };
        for message in self.consensus.statements(true) {
            context.flood(&message, Priority::Urgent, None);
        }
        for peer in self.peers.all() {
            context.send(peer, &hello, Priority::Urgent);
        }
        if self.consensus.is_validator() && self.ticks_since_head >= 3 {
            context.flood(&Message::GetStatements { slot }, Priority::Urgent, None);
        }
        self.catch_up(now, effects);
    }

    /// Asks for blocks if a peer is ahead. Who agrees himself is usually about to know the next block, and waits for a tick.
    fn catch_up(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let gap = self
            .peers
            .height_max()
            .0
            .saturating_sub(self.head.header.height.0);
        let is_waiting =
            self.consensus.is_validator() && self.ticks_since_head < 2 && now >= self.quiet_until;
        let is_behind = gap > 1 || (gap == 1 && !is_waiting);
        if is_behind && !self.consensus.is_committing() {
            let mut context = Context {
                now,
                peers: &self.peers,
                effects,
            };
            self.sync.ask(&self.head, &mut context);
        }
    }

    fn committed(
        &mut self,
        header: Header,
        included: &[SignedTransaction],
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        self.head = Head::new(header);
        self.ticks_since_head = 0;
        self.mempool.settle(included, chain, self.head.header.height);
        self.consensus.advance(&self.head);
        let announcement = Message::NewBlock {
            height: self.head.header.height,
            header: self.head.hash,
        };
        let mut context = Context {
            now,
            peers: &self.peers,
            effects,
        };
        for peer in self.peers.all() {
            context.send(peer, &announcement, Priority::Urgent);
        }
        // Said again every few blocks: a message may be lost, and so may whoever got it.
        if self.head.header.height.0.is_multiple_of(RESEND_EVERY) {
            for signed in self.mempool.local() {
                context.flood(
                    &Message::Transaction(Box::new(signed.clone())),
                    Priority::Bulk,
                    None,
                );
            }
        }
        let is_syncing = self.sync.continue_from(&self.head, &mut context);
        if !is_syncing {
            self.schedule_slot(now, effects);
            self.catch_up(now, effects);
        }
        self.hear_early(now, effects);
    }

    /// Looks at the statements that came too early, or while this node was quiet.
    fn hear_early(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for (from, bytes) in std::mem::take(&mut self.early) {
            if let Ok(Message::Statement { envelope, proposals }) = Message::decode(&bytes) {
                self.stated(from, envelope, proposals.into_inner(), bytes, now, effects);
            }
        }
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
        let Some(provider) = &mut self.provider else {
            return;
        };
        let mempool = &self.mempool;
        let transactions = provider.look(chain, self.head.header.height, |id| mempool.has(id), effects);
        for signed in transactions {
            self.offered(Origin::Own, signed, chain, effects);
        }
    }

    /// What the provider is doing, if this node is one.
    #[must_use]
    pub fn provider_work(&self) -> Option<ProviderWork> {
        self.provider.as_ref().map(Provider::work)
    }
}

fn reply(from: Origin, outcome: Result<TransactionId, String>, effects: &mut Vec<Effect>) {
    match from {
        Origin::Local(to) => effects.push(Effect::Reply { to, outcome }),
        Origin::Peer(_) | Origin::Own => {}
    }
}
