//! The loop: one event at a time into the engine, its effects performed in order. Long work runs elsewhere and comes back as an
//! event.

use super::apply::{try_block, try_decided, verdicts};
use super::checkpoints::Checkpoints;
use super::committee::Member;
use super::jobs::Jobs;
use super::pace::{Histogram, Pace, own_time};
use super::storage::Storage;
use super::transfer_server;
use crate::error::{CommandError, ErrorKind};
use crate::node::{NodeHandle, NodeStatus, Shared};
use crate::scp_log::Recorder;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use watt_engine::event::{ApplyFailure, VerifyTicket};
use watt_engine::mempool::{self, Spent};
use watt_engine::message::{DecidedBlock, Message};
use watt_engine::{
    Clocks, Effect, Engine, Event, EvidenceLog, NotRecoverable, NotRestartable, PeerId, Priority, RequestId,
    Timer,
};
use watt_ledger::{Body, InvalidBlock, VerifyFolded as _, query};
use watt_light::{BlockName, Header, SignedTransaction, WindowShape};
use watt_net::{Bytes, Net};
use watt_primitives::key::SignatureCheck;
use watt_primitives::{NodeId, SlotIndex, Timestamp, TransactionId};
use watt_store::{Snapshot, StateDb};

mod hearing;
mod restart;
mod upload;

pub(crate) use restart::RestartAsk;

/// How long a block may take to apply before it is refused, whatever it is.
const APPLY_PATIENCE: Duration = Duration::from_secs(3);

/// Blocks from one look at whether somebody folds windows to the next.
const FOLDED_LOOK_BLOCKS: u64 = 8;

/// How far sealing stands back behind other work on the machine: everything else first, yet never starved.
#[cfg(target_os = "linux")]
const BACKGROUND_NICE: i32 = 15;

/// What comes to the loop from inside the program.
pub(crate) enum Command {
    /// Work that was asked for is done.
    Event(Box<Event>),
    /// Blocks are stored.
    Stored {
        blocks: Arc<Vec<DecidedBlock>>,
        spent: Spent,
        header: Box<Header>,
        snapshot: Box<Snapshot>,
    },
    /// A state from peers is in place.
    Adopted {
        state: Box<StateDb>,
        header: Box<Header>,
        snapshot: Box<Snapshot>,
    },
    /// A transaction from the API.
    Submit {
        transaction: Box<SignedTransaction>,
        answer: oneshot::Sender<Result<TransactionId, String>>,
    },
    /// What the nodes of the owner's circle named when they were asked about the height that is wanted.
    Circle {
        nodes: Vec<NodeId>,
        words: Vec<(NodeId, BlockName)>,
    },
    /// The owner lets the node go on in a slot in which it is silent.
    Recover {
        answer: oneshot::Sender<Result<SlotIndex, NotRecoverable>>,
    },
    /// The owner shows a plan to restart the network, or accepts the one that the node looks at.
    Restart {
        ask: RestartAsk,
        answer: oneshot::Sender<Result<(), NotRestartable>>,
    },
    /// The disk failed, or something else after which going on would be unsafe.
    Fail(CommandError),
    /// End.
    Stop,
}

/// The node's state while it runs.
pub(crate) struct NodeLoop {
    engine: Engine,
    storage: Storage,
    recorder: Option<Recorder>,
    jobs: Option<Jobs>,
    net: Net,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// One sector of others is looked at at a time.
    looking: Arc<tokio::sync::Mutex<()>>,
    peers: BTreeMap<watt_net::PeerId, PeerId>,
    names: BTreeMap<PeerId, watt_net::PeerId>,
    next_peer: u64,
    /// In steady time.
    timers: BTreeMap<Timer, Timestamp>,
    replies: BTreeMap<RequestId, oneshot::Sender<Result<TransactionId, String>>>,
    next_request: u64,
    /// When steady time began.
    beginning: Instant,
    failure: Option<CommandError>,
    /// Whether this life ends because the network was restarted: the next one follows.
    begins_anew: bool,
    /// Evidence of earlier lives, and how much of this one's is kept with it.
    evidence: (EvidenceLog, u64),
    checkpoints: Checkpoints,
    /// Whether this life got ready for folded proofs.
    has_expected_folded: bool,
    signers: hearing::Signers,
    steps: Histogram,
    /// The same without turns of other programs.
    own_steps: Histogram,
    persists: Histogram,
}

impl NodeLoop {
    pub(crate) fn new(
        engine: Engine,
        storage: Storage,
        checkpoint_blocks: u64,
        jobs: Option<Jobs>,
        net: Net,
        shared: Arc<Shared>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        let earlier = storage.evidence();
        shared.show_evidence(earlier.clone());
        let mut checkpoints = Checkpoints::new(checkpoint_blocks);
        checkpoints.see(storage.head(), &storage.snapshot());
        Self {
            engine,
            storage,
            recorder: None,
            jobs,
            net,
            shared,
            commands,
            looking: Arc::default(),
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            next_peer: 0,
            timers: BTreeMap::new(),
            replies: BTreeMap::new(),
            next_request: 0,
            beginning: Instant::now(),
            failure: None,
            begins_anew: false,
            has_expected_folded: false,
            evidence: (earlier, 0),
            checkpoints,
            signers: hearing::Signers::default(),
            steps: Histogram::default(),
            own_steps: Histogram::default(),
            persists: Histogram::default(),
        }
    }

    /// The same loop, writing down what goes into consensus and comes out.
    pub(crate) fn recording(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Runs until told to end, or until going on would be unsafe.
    pub(crate) async fn run(
        mut self,
        mut net_events: watt_net::Events,
        mut commands: mpsc::Receiver<Command>,
    ) {
        self.handle(Event::Started);
        self.handle(Event::Looked);
        while self.failure.is_none() && !self.begins_anew {
            self.show();
            self.show_hearing();
            self.shared.show_wanted(self.engine.wants_circle());
            let next_timer = self.timers.values().min().copied();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None | Some(Command::Stop) => break,
                    Some(command) => self.commanded(command),
                },
                event = net_events.next() => match event {
                    None => break,
                    Some(event) => self.heard(event),
                },
                () = sleep_until(next_timer, steady(self.beginning)) => self.fire_timers(),
            }
        }
        let ended = self.failure.take();
        if let Some(error) = &ended {
            tracing::error!(error = %error, "the node can't go on");
        }
        if self.begins_anew {
            self.shared.begin_anew();
        }
        let Self {
            storage,
            recorder,
            net,
            shared,
            jobs,
            ..
        } = self;
        net.shutdown().await;
        drop(jobs);
        // The folder's lock is given back before anybody is told that the node has ended.
        let closing = tokio::task::spawn_blocking(move || {
            drop(recorder);
            storage.flush();
            drop(storage);
        });
        drop(closing.await);
        shared.end(ended);
    }

    fn show(&self) {
        let header = self.storage.head();
        let height = header.height.0;
        let status = NodeStatus {
            height,
            header: header.hash().to_string(),
            close_time: header.close_time.0,
            peers: self.peers.len(),
            is_validator: self.engine.has_seat(),
            examined: self.engine.examined(),
            behind: Some(self.engine.height_of_peers().0)
                .filter(|known| *known > height + 1)
                .unwrap_or(0),
            pool_transactions: self.engine.pool_len(),
            refused: self
                .engine
                .refused()
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
            rules_version_known: self.engine.protocol(),
            unknown_version: self.engine.unknown_version(),
            pace: Pace {
                step: self.steps.taken(),
                step_own: self.own_steps.taken(),
                persist_to_send: self.persists.taken(),
            },
        };
        self.shared.show(status, self.engine.provider_work());
    }

    fn commanded(&mut self, command: Command) {
        match command {
            Command::Event(event) => self.handle(*event),
            Command::Stored {
                blocks,
                spent,
                header,
                snapshot,
            } => {
                if let Err(error) = self.storage.advance(header.as_ref().clone(), *snapshot) {
                    self.fail(&error);
                    return;
                }
                self.note_signers(&blocks);
                self.show_head(&header);
                tracing::debug!(
                    height = header.height.0,
                    n_blocks = blocks.len(),
                    n_transactions = blocks.iter().map(|block| block.transactions.len()).sum::<usize>(),
                    "blocks committed"
                );
                self.expect_folded(&header);
                self.handle(Event::Committed { header, spent });
            }
            Command::Adopted {
                state,
                header,
                snapshot,
            } => {
                if let Err(error) = self.storage.adopt(*state, header.as_ref().clone(), *snapshot) {
                    self.failure = Some(error);
                    return;
                }
                self.show_head(&header);
                let spent = Spent::new();
                self.handle(Event::Committed { header, spent });
            }
            Command::Submit { transaction, answer } => {
                let reply_to = RequestId(self.next_request);
                self.next_request += 1;
                self.replies.insert(reply_to, answer);
                self.handle(Event::Submitted {
                    transaction,
                    reply_to,
                });
            }
            Command::Circle { nodes, words } => {
                let mut effects = Vec::new();
                let clocks = self.clocks();
                self.engine.hear_circle(clocks, nodes, &words, &mut effects);
                self.perform_all(effects);
            }
            Command::Recover { answer } => {
                let mut effects = Vec::new();
                let clocks = self.clocks();
                let outcome = self.engine.recover(clocks, &mut effects);
                self.perform_all(effects);
                if answer.send(outcome).is_err() {
                    tracing::debug!("whoever asked to recover is gone");
                }
            }
            Command::Restart { ask, answer } => {
                let outcome = self.asked_to_restart(ask);
                if answer.send(outcome).is_err() {
                    tracing::debug!("whoever asked about a restart is gone");
                }
            }
            Command::Fail(error) => self.failure = Some(error),
            Command::Stop => {}
        }
    }

    fn show_head(&mut self, header: &Header) {
        let snapshot = self.storage.snapshot();
        self.checkpoints.see(header, &snapshot);
        self.shared.show_head(header.clone(), snapshot);
    }

    fn heard(&mut self, event: watt_net::Event) {
        match event {
            watt_net::Event::Connected(peer) => {
                let id = PeerId(self.next_peer);
                self.next_peer += 1;
                self.peers.insert(peer, id);
                self.names.insert(id, peer);
                self.handle(Event::Connected(id));
            }
            watt_net::Event::Disconnected(peer) => {
                if let Some(id) = self.peers.remove(&peer) {
                    self.names.remove(&id);
                    self.handle(Event::Disconnected(id));
                }
            }
            watt_net::Event::Message { from, bytes } => {
                if let Some(from) = self.peers.get(&from).copied() {
                    self.handle(Event::Received {
                        from,
                        bytes: bytes.into(),
                    });
                }
            }
            watt_net::Event::Transfer { stream, .. } => {
                let node = NodeHandle::new(Arc::clone(&self.shared), self.commands.clone());
                let jobs = self.jobs.as_ref();
                let provider = jobs.map(|jobs| jobs.server(Arc::clone(&self.shared), self.commands.clone()));
                tokio::spawn(transfer_server::serve(stream, Arc::new(node), provider));
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = steady(self.beginning);
        let due: Vec<Timer> = self
            .timers
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(timer, _)| *timer)
            .collect();
        for timer in due {
            self.timers.remove(&timer);
            self.handle(Event::TimerFired(timer));
        }
    }

    fn clocks(&self) -> Clocks {
        Clocks {
            steady: steady(self.beginning),
            wall: wall(),
        }
    }

    fn handle(&mut self, event: Event) {
        if let Some(why) = self.storage.folded().unable() {
            self.failure = Some(cannot_verify(why));
            return;
        }
        let now = self.clocks();
        let mut effects = Vec::new();
        let state = self.storage.snapshot();
        let engine = &mut self.engine;
        let (began, own_began) = (Instant::now(), own_time());
        let handled = state.read(|rows| engine.handle(now, event, rows, &mut effects));
        self.steps.add(began.elapsed());
        if let (Some(began), Some(ended)) = (own_began, own_time()) {
            self.own_steps.add(ended.saturating_sub(began));
        }
        match handled {
            Ok(()) => {
                self.perform_all(effects);
                self.keep_evidence();
            }
            // Whatever was concluded from damaged rows is not done.
            Err(error) => self.fail(&error),
        }
        self.record_scp();
    }

    fn record_scp(&mut self) {
        let entries = self.engine.take_scp_log();
        let is_failed = |recorder: &mut Recorder| !entries.is_empty() && !recorder.record(entries);
        if let Some(recorder) = self.recorder.take_if(is_failed) {
            tracing::warn!(
                "SCP's inputs are no longer recorded: the disk does not keep up, or takes no more"
            );
            self.engine.end_scp_log();
            // It ends by writing what waits, which nobody waits for.
            drop(tokio::task::spawn_blocking(move || drop(recorder)));
        }
    }

    /// Shows and stores what was found against validators, when there is more of it.
    fn keep_evidence(&mut self) {
        let found = self.engine.evidence();
        let (earlier, kept) = &mut self.evidence;
        if found.total() == *kept {
            return;
        }
        *kept = found.total();
        let log = earlier.clone().with(found);
        // It can be collected again, so a disk that refuses does not stop the node here.
        if let Err(error) = tokio::task::block_in_place(|| self.storage.keep_evidence(&log)) {
            tracing::warn!(%error, "evidence against a validator could not be stored");
        }
        self.shared.show_evidence(log);
    }

    fn perform_all(&mut self, effects: Vec<Effect>) {
        let mut effects: VecDeque<Effect> = effects.into();
        let mut checks: Vec<(VerifyTicket, Vec<SignatureCheck>)> = Vec::new();
        let mut unsent_since = None;
        while let Some(effect) = effects.pop_front() {
            if let Effect::PersistScp { entry } = effect {
                let mut entries = vec![entry];
                while let Some(Effect::PersistScp { .. }) = effects.front() {
                    if let Some(Effect::PersistScp { entry }) = effects.pop_front() {
                        entries.push(entry);
                    }
                }
                unsent_since = unsent_since.or_else(|| Some(Instant::now()));
                // Nothing after it may happen before it is durable, so the loop waits.
                if let Err(error) = tokio::task::block_in_place(|| self.storage.persist(&entries)) {
                    self.fail(&error);
                    return;
                }
            } else if let Effect::Verify {
                ticket,
                checks: claims,
            } = effect
            {
                checks.push((ticket, claims));
            } else {
                let is_sent = matches!(effect, Effect::Send { .. });
                self.perform(effect);
                if let Some(since) = unsent_since.take_if(|_| is_sent) {
                    self.persists.add(since.elapsed());
                }
            }
        }
        if !checks.is_empty() {
            self.verify(checks);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send {
                to,
                message,
                priority,
            } => self.send(to, message, priority),
            Effect::Disconnect(peer) => {
                if let Some(peer) = self.names.get(&peer) {
                    tracing::warn!(%peer, "leaving a peer that sent what no honest node sends");
                    self.net.disconnect(*peer);
                }
            }
            Effect::SetTimer { timer, at } => {
                self.timers.insert(timer, at);
            }
            Effect::Decode { from, bytes } => self.work(async move {
                let n_bytes = bytes.len();
                // What can't be decoded is no message, whatever the reason.
                let decoding = tokio::task::spawn_blocking(move || Message::decode(&bytes));
                let message = decoding
                    .await
                    .unwrap_or_else(|_| Message::decode(&[]))
                    .map(Box::new);
                Command::Event(Box::new(Event::Decoded {
                    from,
                    n_bytes,
                    message,
                }))
            }),
            Effect::Encode { to, message } => {
                let (net, names) = (self.net.clone(), &self.names);
                let peers: Vec<_> = to.iter().filter_map(|to| names.get(to)).copied().collect();
                drop(tokio::task::spawn_blocking(move || {
                    let message = Bytes::from(message.encode());
                    for peer in peers {
                        if let Err(refused) = net.send(peer, message.clone(), watt_net::Priority::Bulk) {
                            tracing::debug!(%refused, "a message was not sent");
                        }
                    }
                }));
            }
            Effect::MakeVotingKeys { terms } => {
                let keys = self.storage.seat_keys();
                self.try_work(move || {
                    let made = keys.make(&terms)?;
                    Ok(Command::Event(Box::new(Event::VotingKeysMade(made))))
                });
            }
            Effect::ForgetVotingKeys { before } => {
                let keys = self.storage.seat_keys();
                self.try_work(move || {
                    keys.forget(before)?;
                    Ok(Command::Event(Box::new(Event::Looked)))
                });
            }
            Effect::Discard(over) => drop(tokio::task::spawn_blocking(move || drop(over))),
            Effect::VerifyFolded { ticket, proofs } => {
                let folded = self.storage.folded();
                self.work(async move {
                    let verifying = tokio::task::spawn_blocking(move || folded.first_bad(&proofs).is_none());
                    let holds = verifying.await.unwrap_or(false);
                    Command::Event(Box::new(Event::FoldedVerified { ticket, holds }))
                });
            }
            Effect::FillBody { slot, waiting } => {
                let (state, network) = (self.storage.snapshot(), self.storage.head().network);
                self.work(async move {
                    let filling = tokio::task::spawn_blocking(move || {
                        state.read(|rows| mempool::fill(rows, &network, &waiting))
                    });
                    let filled = match filling.await {
                        Ok(Ok(filled)) => Some(Box::new(filled)),
                        Ok(Err(damaged)) => return Command::Fail(unsafe_to_go_on(&damaged)),
                        Err(_) => None,
                    };
                    Command::Event(Box::new(Event::BodyFilled { slot, filled }))
                });
            }
            Effect::ReadBody {
                from,
                value,
                proposal,
                bytes,
            } => self.work(async move {
                let reading = tokio::task::spawn_blocking(move || Body::read(bytes, &proposal));
                let body = reading
                    .await
                    .unwrap_or(Err(InvalidBlock::OtherBody))
                    .map(Box::new);
                Command::Event(Box::new(Event::BodyRead { from, value, body }))
            }),
            Effect::Apply { value, block } => {
                let (state, rescues) = (self.storage.snapshot(), self.storage.rescues());
                let folded = self.storage.folded();
                self.work(async move {
                    let proofs = block
                        .transactions
                        .iter()
                        .flat_map(SignedTransaction::folded_proofs);
                    let shapes: BTreeSet<WindowShape> = proofs.map(|proof| proof.windows.shape).collect();
                    if !shapes.is_empty() {
                        // Making parameters is no part of the block's time.
                        let folded = folded.clone();
                        drop(tokio::task::spawn_blocking(move || folded.prepare(&shapes)).await);
                    }
                    let trial = tokio::task::spawn_blocking(move || {
                        state.read(|rows| try_block(rows, (*block).clone(), Some(&folded), &rescues))
                    });
                    let result = match tokio::time::timeout(APPLY_PATIENCE, trial).await {
                        Ok(Ok(Ok(result))) => result,
                        Ok(Ok(Err(damaged))) => return Command::Fail(unsafe_to_go_on(&damaged)),
                        Ok(Err(_)) => Err(ApplyFailure::Panicked { culprit: None }),
                        Err(_) => Err(ApplyFailure::TooSlow),
                    };
                    Command::Event(Box::new(Event::Applied { value, result }))
                });
            }
            Effect::ApplyDecided { first, blocks } => {
                let (state, rescues) = (self.storage.snapshot(), self.storage.rescues());
                let folded = self.storage.folded();
                self.work(async move {
                    let trial = tokio::task::spawn_blocking(move || {
                        state.read(|rows| try_decided(rows, &blocks, &rescues, &folded))
                    });
                    let (outcomes, failure) = match trial.await {
                        Ok(Ok(good)) => good,
                        Ok(Err(damaged)) => return Command::Fail(unsafe_to_go_on(&damaged)),
                        Err(_) => (Vec::new(), Some(ApplyFailure::Panicked { culprit: None })),
                    };
                    Command::Event(Box::new(Event::DecidedApplied {
                        first,
                        outcomes,
                        failure,
                    }))
                });
            }
            Effect::Commit { blocks, outcomes } => {
                let committer = self.storage.committer();
                self.try_work(move || {
                    let (header, snapshot) = committer.commit(&blocks, &outcomes)?;
                    let spent = mempool::spent(blocks.iter().flat_map(|block| block.transactions.iter()));
                    Ok(Command::Stored {
                        blocks,
                        spent,
                        header: Box::new(header),
                        snapshot: Box::new(snapshot),
                    })
                });
            }
            Effect::SendBlocks { to, from, count } => self.send_blocks(to, from, count),
            Effect::SendCheckpoint { to } => self.send_checkpoint(to),
            Effect::SendHandOvers { to, from } => self.send_hand_overs(to, from),
            Effect::KeepRestarts(log) => {
                if let Err(error) = self.storage.restarts().keep_log(&log) {
                    self.failure = Some(error);
                }
                self.shared.show_restarts(*log);
            }
            Effect::FollowRestart(restart) => match self.storage.restarts().follow(*restart) {
                Ok(()) => self.begins_anew = true,
                Err(error) => self.failure = Some(error),
            },
            Effect::KeepSuccessions(successions) => {
                if let Err(error) = self.storage.keep_successions(&successions) {
                    self.fail(&error);
                }
            }
            Effect::KeepHandOvers { first, hand_overs } => {
                if let Err(error) = self.storage.hand_overs().keep(first, &hand_overs) {
                    self.fail(&error);
                }
            }
            Effect::SendState { to, height, at } => self.send_state(to, height, at),
            Effect::TakeChunk { at, chunk, then } => {
                let receiver = self.storage.receiver();
                self.try_work(move || {
                    let is_good = receiver.take(&at, &chunk, &then)?;
                    Ok(Command::Event(Box::new(Event::ChunkTaken { is_good })))
                });
            }
            Effect::AdoptState(header) => {
                let receiver = self.storage.receiver();
                self.try_work(move || {
                    let (state, snapshot) = receiver.finish(&header)?;
                    Ok(Command::Adopted {
                        state: Box::new(state),
                        header,
                        snapshot: Box::new(snapshot),
                    })
                });
            }
            Effect::Reply { to, outcome } => {
                if let Some(answer) = self.replies.remove(&to) {
                    drop(answer.send(outcome));
                }
            }
            Effect::KeepVerdicts(verdicts) => {
                if let Err(error) = self.storage.keep_verdicts(&verdicts) {
                    self.fail(&error);
                }
            }
            Effect::Examine(job) => {
                let member = self.member();
                self.work(async move { Command::Event(Box::new(member.examine(*job).await)) });
            }
            Effect::HandVerdict(job) => {
                let member = self.member();
                self.work(async move { Command::Event(Box::new(member.hand_back(*job).await)) });
            }
            Effect::Seal(_)
            | Effect::OpenBatch(_)
            | Effect::HideOpenings { .. }
            | Effect::ShowGroup { .. }
            | Effect::Respond(_)
            | Effect::OpenWindow { .. }
            | Effect::LogWindow { .. }
            | Effect::FoldAhead(_)
            | Effect::FoldWindows(_)
            | Effect::RemoveSector { .. } => self.provide(effect),
            Effect::Halt(sentence) => {
                let hint = "start it again once that is settled; nothing that was acknowledged is lost";
                self.failure = Some(CommandError::new(ErrorKind::Conflict, sentence, hint));
            }
            // Taken out before: persisting and verifying are done for many at once.
            Effect::PersistScp { .. } | Effect::Verify { .. } => {}
        }
    }

    /// This node, as a member of committees.
    fn member(&self) -> Member {
        Member {
            network: self.storage.head().network,
            net: self.net.clone(),
            jobs: self.jobs.clone(),
            state: self.storage.snapshot(),
            commands: self.commands.clone(),
            looking: Arc::clone(&self.looking),
        }
    }

    fn provide(&mut self, effect: Effect) {
        let Some(jobs) = self.jobs.clone() else { return };
        self.work(async move {
            let event = if matches!(effect, Effect::Seal(_) | Effect::OpenBatch(_)) {
                background(move || jobs.perform(effect)).await
            } else {
                tokio::task::spawn_blocking(move || jobs.perform(effect))
                    .await
                    .ok()
            };
            match event {
                Some(event) => Command::Event(Box::new(event)),
                None => Command::Fail(unsafe_to_go_on(&"work on the disk stopped unexpectedly")),
            }
        });
    }

    /// Gets ready to verify folded proofs when somebody folds windows, before the first proof is there: it is some seconds of work.
    fn expect_folded(&mut self, header: &Header) {
        let is_time = header.height.0.is_multiple_of(FOLDED_LOOK_BLOCKS);
        if !is_time || self.has_expected_folded {
            return;
        }
        let shapes = self.storage.snapshot().read(|rows| query::folded_shapes(rows));
        let Ok(shapes) = shapes else { return };
        if shapes.is_empty() {
            return;
        }
        self.has_expected_folded = true;
        let folded = self.storage.folded();
        let thread = std::thread::Builder::new().name("fold-params".to_owned());
        let started = thread.spawn(move || {
            yield_to_others();
            folded.prepare(&shapes);
        });
        if let Err(error) = started {
            tracing::debug!(%error, "parameters of folded proofs are made when the first one comes");
        }
    }

    /// Runs `work` beside the loop; its outcome comes back as a command.
    fn work(&self, work: impl Future<Output = Command> + Send + 'static) {
        let commands = self.commands.clone();
        tokio::spawn(async move {
            let outcome = work.await;
            drop(commands.send(outcome).await);
        });
    }

    /// Runs work on the disk beside the loop; if it fails the node stops.
    fn try_work(&self, work: impl FnOnce() -> Result<Command, CommandError> + Send + 'static) {
        self.work(async move {
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(done)) => done,
                Ok(Err(error)) => Command::Fail(error),
                Err(error) => Command::Fail(unsafe_to_go_on(&error)),
            }
        });
    }

    fn verify(&self, batches: Vec<(VerifyTicket, Vec<SignatureCheck>)>) {
        let commands = self.commands.clone();
        tokio::spawn(async move {
            let checked = tokio::task::spawn_blocking(move || {
                let (tickets, claims): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
                tickets.into_iter().zip(verdicts(&claims)).collect::<Vec<_>>()
            });
            for (ticket, holds) in checked.await.unwrap_or_default() {
                drop(
                    commands
                        .send(Command::Event(Box::new(Event::Verified { ticket, holds })))
                        .await,
                );
            }
        });
    }

    fn send(&self, to: PeerId, message: Arc<[u8]>, priority: Priority) {
        let Some(peer) = self.names.get(&to) else { return };
        let priority = match priority {
            Priority::Urgent => watt_net::Priority::Urgent,
            Priority::Bulk => watt_net::Priority::Bulk,
        };
        if let Err(refused) = self.net.send(*peer, Bytes::from_owner(message), priority) {
            tracing::debug!(%refused, "a message was not sent");
        }
    }

    fn fail(&mut self, error: &dyn std::fmt::Display) {
        self.failure = Some(unsafe_to_go_on(error));
    }
}

/// Runs long computation on a thread of its own that yields to everything else on the machine, as far as the system allows:
/// lending space must not make a person's computer slow. `None` if it panicked.
pub(crate) async fn background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, outcome) = oneshot::channel();
    let spawned = std::thread::Builder::new()
        .name("seal".to_owned())
        .spawn(move || {
            yield_to_others();
            drop(done.send(work()));
        });
    match spawned {
        Ok(_) => outcome.await.ok(),
        Err(_) => None,
    }
}

/// Lets this thread run behind everything else, where the system can.
pub(crate) fn yield_to_others() {
    // On Linux a nice value belongs to a thread, elsewhere to the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(BACKGROUND_NICE) {
        tracing::debug!(%error, "background work runs at normal priority");
    }
}

fn unsafe_to_go_on(error: &dyn std::fmt::Display) -> CommandError {
    let hint = "the node stopped so that nothing wrong is said; look at the disk, then start it again";
    CommandError::new(ErrorKind::Other, error.to_string(), hint)
}

fn cannot_verify(why: &str) -> CommandError {
    let sentence =
        format!("this machine can't verify folded proofs ({why}), so it can't tell which blocks are good");
    let hint = "the node stopped so that nothing wrong is said; start it again with 512 MiB of memory to spare, or update the program";
    CommandError::new(ErrorKind::Other, sentence, hint)
}

/// Milliseconds since `beginning`, by a clock that nobody sets.
fn steady(beginning: Instant) -> Timestamp {
    Timestamp(u64::try_from(beginning.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Milliseconds since the Unix epoch, by the clock that its owner sets.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

async fn sleep_until(at: Option<Timestamp>, now: Timestamp) {
    match at {
        Some(at) => tokio::time::sleep(Duration::from_millis(at.0.saturating_sub(now.0))).await,
        None => std::future::pending().await,
    }
}
