//! Effects, performed in the engine's order, as `watt-node`'s loop does.

use super::run::kind_of;
use super::setup::Mutation;
use super::{Due, World};
use crate::check::Observer;
use crate::compute::Applied;
use crate::node::Down;
use crate::violation::{Checked, Promise, Violation};
use crate::world::life::Ending;
use std::collections::VecDeque;
use std::sync::Arc;
use watt_engine::journal::Entry;
use watt_engine::mempool::{self, POOL_BYTES_MAX, POOL_TRANSACTIONS_MAX};
use watt_engine::message::{DecidedBlock, Message};
use watt_engine::{Effect, Event, PeerId, Priority, run};
use watt_ledger::rows::{self, ChainRow};
use watt_ledger::state::Writes;
use watt_ledger::testing::bend;
use watt_ledger::{BlockOutcome, Body, MemoryState, NoFolded, UncheckedBlock, VerifyFolded as _};
use watt_light::SignedTransaction;
use watt_primitives::{NodeId, codec};
use watt_scp::{Ballot, Pledges, Statement, Value};

/// Milliseconds until signatures are checked.
const VERIFY_MS: u64 = 1;

/// Milliseconds until folded proofs of a transaction are verified.
const FOLDED_MS: u64 = 300;

/// Milliseconds to choose or to read a body or to decode a long message, and further ones per thousand transactions that wait, or
/// per 100 KB.
const BODY_MS: u64 = 1;

/// Milliseconds to apply a block, and further ones per hundred transactions and for the proofs.
const APPLY_MS: u64 = 3;

/// Bytes of openings that are verified in a millisecond: the largest of a sector, 413,624, take 11.6 to 17 (`docs/benchmarks.md`).
const PROVEN_BYTES_PER_MS: usize = 25_000;

/// Does `work` by the rules of a program that may be broken: what its ledger takes, its pool takes, too.
fn by_its_rules<T>(mutation: Option<Mutation>, work: impl FnOnce() -> T) -> T {
    match mutation.and_then(Mutation::rule) {
        Some(rule) => bend(rule, work),
        None => work(),
    }
}

impl World {
    /// Hands an event to a node's engine and does what comes of it.
    pub fn handle(&mut self, node: usize, event: Event) {
        let now = self.nodes[node].clocks(self.now);
        let mutation = self.mutation;
        let this = &mut self.nodes[node];
        let Some(engine) = this.engine.as_mut() else {
            return;
        };
        let mut effects = Vec::new();
        by_its_rules(mutation, || {
            engine.handle(now, event, &*this.disk.state, &mut effects);
        });
        let waiting = engine.pool_len();
        self.n_events += 1;
        if waiting > POOL_TRANSACTIONS_MAX {
            let facts = format!(
                "{waiting} transactions wait in node {node}, of at most {POOL_TRANSACTIONS_MAX} and {POOL_BYTES_MAX} bytes"
            );
            self.break_promise(Violation::of(Promise::Bounds, facts));
        }
        self.perform_all(node, effects);
    }

    pub(super) fn perform_all(&mut self, node: usize, effects: Vec<Effect>) {
        let life = self.nodes[node].life;
        let mut effects: VecDeque<Effect> = effects.into();
        while let Some(effect) = effects.pop_front() {
            if let Effect::PersistScp { entry } = effect {
                let mut entries = vec![entry.encode()];
                while let Some(Effect::PersistScp { .. }) = effects.front() {
                    if let Some(Effect::PersistScp { entry }) = effects.pop_front() {
                        entries.push(entry.encode());
                    }
                }
                self.persist(node, &entries);
            } else {
                self.perform(node, effect);
            }
            if self.nodes[node].life != life || self.violation.is_some() {
                return;
            }
        }
    }

    pub(crate) fn later(&mut self, node: usize, ms: u64, event: Event) {
        let life = self.nodes[node].life;
        let at = self.now.plus(ms);
        let event = Box::new(event);
        self.queue.push(at, Due::Event { node, life, event });
    }

    fn perform(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Send {
                to,
                message,
                priority,
            } => self.send(node, to, message.to_vec(), priority),
            Effect::Encode { to, message } => {
                let message = message.encode();
                to.into_iter()
                    .for_each(|to| self.send(node, to, message.clone(), Priority::Bulk));
            }
            Effect::Disconnect(link) => self.disconnect(node, link),
            Effect::SetTimer { timer, at } => {
                let at = self.nodes[node].world_time(at).max(self.now);
                let life = self.nodes[node].life;
                self.nodes[node].timers.insert(timer, at.0);
                self.queue.push(at, Due::Timer { node, life, timer });
            }
            Effect::Verify { ticket, checks } => {
                let holds = self.compute.verify(&checks);
                self.later(node, VERIFY_MS, Event::Verified { ticket, holds });
            }
            Effect::VerifyFolded { ticket, proofs } => {
                let holds = NoFolded.first_bad(&proofs).is_none();
                self.later(node, FOLDED_MS, Event::FoldedVerified { ticket, holds });
            }
            Effect::Decode { from, bytes } => {
                let (n_bytes, message) = (bytes.len(), Message::decode(&bytes).map(Box::new));
                let ms = BODY_MS + u64::try_from(n_bytes / 100_000).unwrap_or(0);
                self.later(
                    node,
                    ms,
                    Event::Decoded {
                        from,
                        n_bytes,
                        message,
                    },
                );
            }
            Effect::Discard(over) => drop(over),
            Effect::MakeVotingKeys { terms } => self.make_voting_keys(node, &terms),
            Effect::ForgetVotingKeys { before } => {
                let secrets = &mut self.nodes[node].disk.secrets;
                secrets.retain(|secrets| secrets.term >= before);
            }
            Effect::FillBody { slot, waiting } => {
                let state = Arc::clone(&self.nodes[node].disk.state);
                let network = self.network_of(node);
                let filled = by_its_rules(self.mutation, || mempool::fill(&*state, &network, &waiting));
                let filled = Some(Box::new(filled));
                let ms = BODY_MS + u64::try_from(waiting.transactions.len() / 1_000).unwrap_or(0);
                self.later(node, ms, Event::BodyFilled { slot, filled });
            }
            Effect::ReadBody {
                from,
                value,
                proposal,
                bytes,
            } => {
                let ms = BODY_MS + u64::try_from(bytes.len() / 100_000).unwrap_or(0);
                let body = Body::read(bytes, &proposal).map(Box::new);
                self.later(node, ms, Event::BodyRead { from, value, body });
            }
            Effect::Apply { value, block } => {
                let result = self.try_block(node, &block);
                let ms = APPLY_MS + work_ms(&block.transactions);
                self.later(node, ms, Event::Applied { value, result });
            }
            Effect::ApplyDecided { first, blocks } => {
                let (outcomes, failure) = self.try_decided(node, &blocks);
                let n_blocks = u64::try_from(blocks.len()).unwrap_or(0);
                let works: u64 = blocks.iter().map(|block| work_ms(&block.transactions)).sum();
                let ms = APPLY_MS + n_blocks + works;
                self.later(
                    node,
                    ms,
                    Event::DecidedApplied {
                        first,
                        outcomes,
                        failure,
                    },
                );
            }
            Effect::Commit { blocks, outcomes } => self.commit(node, &blocks, outcomes),
            Effect::SendBlocks { to, from, count } => self.send_blocks(node, to, from, count),
            Effect::SendCheckpoint { to } => self.send_checkpoint(node, to),
            Effect::SendHandOvers { to, from } => self.send_hand_overs(node, to, from),
            Effect::KeepHandOvers { first, hand_overs } => self.keep_hand_overs(node, first, hand_overs),
            Effect::KeepSuccessions(successions) => self.nodes[node].disk.successions = successions,
            Effect::KeepRestarts(log) => self.nodes[node].disk.restarts = *log,
            Effect::FollowRestart(restart) => self.follow(node, *restart),
            Effect::SendState { to, height, at } => self.send_state(node, to, height, at),
            Effect::TakeChunk { at, chunk, then } => self.take_chunk(node, at, &chunk, *then),
            Effect::AdoptState(header) => self.adopt(node, *header),
            Effect::Reply { outcome, .. } => {
                if let Err(why) = &outcome {
                    self.trace
                        .note(self.now, format_args!("n{node} refuses a transaction: {why}"));
                }
                self.replies.push((node, outcome));
            }
            Effect::Halt(sentence) => {
                let is_excused = self.nodes[node].can_not_go_on(&self.compute);
                self.halt(node, sentence, is_excused);
            }
            Effect::KeepVerdicts(verdicts) => self.nodes[node].disk.verdicts = verdicts,
            Effect::Examine(job) => self.examine(node, &job),
            Effect::HandVerdict(job) => self.hand_back(node, &job),
            Effect::Seal(_)
            | Effect::OpenBatch(_)
            | Effect::HideOpenings { .. }
            | Effect::ShowGroup { .. }
            | Effect::Respond(_)
            | Effect::OpenWindow { .. }
            | Effect::LogWindow { .. }
            | Effect::FoldAhead(_)
            | Effect::FoldWindows(_)
            | Effect::RemoveSector { .. } => self.provide(node, effect),
            // Taken out before: persisting is done for many at once.
            Effect::PersistScp { .. } => {}
        }
    }

    fn try_block(&mut self, node: usize, block: &UncheckedBlock) -> Applied {
        let disk = &self.nodes[node].disk;
        let (head, state) = (disk.head_hash, Arc::clone(&disk.state));
        let holds = self.nodes[node].holds_rescue;
        if self.nodes[node].has_own_state {
            self.compute.really_apply(&state, block, holds)
        } else {
            self.compute.apply(&head, &state, block, holds)
        }
    }

    fn try_decided(&mut self, node: usize, blocks: &[DecidedBlock]) -> run::Good<Arc<BlockOutcome>> {
        let disk = &self.nodes[node].disk;
        let (head, state) = (disk.head_hash, Arc::clone(&disk.state));
        let holds = self.nodes[node].holds_rescue;
        if self.nodes[node].has_own_state {
            self.compute.really_apply_decided(&state, blocks, holds)
        } else {
            self.compute.apply_decided(head, &state, blocks, holds)
        }
    }

    /// A bit of a node's state turns, and the program that is broken on purpose does not look.
    pub(super) fn rot_state(&mut self, node: usize) {
        let state = &self.nodes[node].disk.state;
        let Some(mut row) = rows::read::<ChainRow>(&**state, rows::CHAIN) else {
            return;
        };
        row.halted_ms ^= 1;
        let mut rotten = MemoryState::clone(state);
        rotten.write(&Writes::from([(rows::CHAIN.to_vec(), Some(codec::encode(&row)))]));
        self.nodes[node].disk.state = Arc::new(rotten);
        self.nodes[node].has_own_state = true;
    }

    fn persist(&mut self, node: usize, entries: &[Vec<u8>]) {
        let this = &mut self.nodes[node];
        this.n_persists += 1;
        let crashes = this.crash_at_persist.is_some_and(|at| this.n_persists >= at);
        let fate = if crashes { self.disk_luck.below(3) } else { 2 };
        if crashes {
            this.crash_at_persist = None;
            if fate < 2 {
                // In the middle of the write, or of the sync behind it.
                this.disk.drive.fail_after(fate);
            }
        }
        let bytes: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let Some(journal) = this.journal.as_mut() else {
            return;
        };
        let outcome = journal.append(&bytes);
        match outcome {
            Ok(()) if !crashes => self.remember(node, entries),
            Ok(()) => {
                self.remember(node, entries);
                self.end(node, Ending::PowerCut);
            }
            Err(error) => {
                self.note(format_args!("n{node} persists in vain: {error}"));
                let is_power = self.nodes[node].disk.drive.has_failed();
                self.end(node, Ending::PowerCut);
                if !is_power {
                    self.nodes[node].down = Down::Halted(error.to_string());
                }
            }
        }
    }

    /// Notes what is durable now; the notes outlive every crash.
    pub(super) fn remember(&mut self, node: usize, entries: &[Vec<u8>]) {
        for bytes in entries {
            if let Ok(Entry::Record { record, .. }) = codec::decode_own(bytes)
                && self.nodes[node].is_honest()
            {
                let checked = self.nodes[node].speech.recorded(node, *record);
                if let Err(violation) = checked {
                    self.break_promise(violation);
                }
            }
        }
    }

    pub(crate) fn send(&mut self, node: usize, link: PeerId, message: Vec<u8>, priority: Priority) {
        let Some(to) = self.net.other(node, link) else {
            return;
        };
        if self.nodes[node].is_honest() {
            self.check_speech(node, &message);
        }
        match self.nodes[node].actor.as_mut() {
            Some(actor) => {
                for bytes in actor.outgoing(to, message) {
                    self.put_on_link(node, to, link, bytes, priority);
                }
            }
            None => self.put_on_link(node, to, link, message, priority),
        }
    }

    fn put_on_link(&mut self, node: usize, to: usize, link: PeerId, bytes: Vec<u8>, priority: Priority) {
        let [first, copy] = self.net.send(self.now, node, link, bytes.len(), priority);
        if let Some(at) = copy {
            let bytes = bytes.clone();
            self.queue.push(at, Due::Deliver { link, to, bytes });
        }
        if let Some(at) = first {
            self.queue.push(at, Due::Deliver { link, to, bytes });
        }
    }

    /// An honest node says something: was it durable, and does it fit to what it said before?
    fn check_speech(&mut self, node: usize, message: &[u8]) {
        if kind_of(message) != "statement" || !self.nodes[node].may_vote() {
            return;
        }
        let is_synced = !self.nodes[node].disk.drive.has_unsynced();
        if is_synced && self.last_said.0 == node && self.last_said.1 == message {
            return;
        }
        let hash = *blake3::hash(message).as_bytes();
        let known = self.looked_at.get(&hash).copied();
        // Relayed words are their speaker's; own ones are looked at once, when they are said first.
        if known.is_some() && (known != Some(Some(node)) || is_synced) {
            self.last_said.0 = node;
            self.last_said.1.clear();
            self.last_said.1.extend_from_slice(message);
            return;
        }
        let Ok(Message::Statement { envelope, proposals }) = Message::decode(message) else {
            return;
        };
        let speaker = self.by_key.get(&envelope.statement.node).copied();
        self.looked_at.insert(hash, speaker);
        if speaker != Some(node) {
            return;
        }
        let statement = &envelope.statement;
        self.compute
            .was_signed(&envelope.signature_check(&self.network_of(node)));
        let own = proposals
            .iter()
            .filter(|signed| signed.proposal.proposer == statement.node);
        own.for_each(|signed| self.compute.was_signed(&signed.signature_check()));
        self.trace.note(
            self.now,
            format_args!(
                "n{node} says {} in slot {}",
                short(&statement.pledges),
                statement.slot
            ),
        );
        let checked = self.check_backbone(node, statement);
        let checked = if checked.is_err() {
            checked
        } else if !is_synced {
            let pledges = &statement.pledges;
            Err(Violation::of(
                Promise::PersistedBeforeSent,
                format_args!(
                    "node {node} says {pledges:?} in slot {} while its record is not synced",
                    statement.slot
                ),
            ))
        } else {
            // What is recorded is the seat's word, whichever key signs it.
            let of_seat = Statement {
                node: self.seat_of(node, statement),
                ..statement.clone()
            };
            let said = self.nodes[node].speech.says(node, &of_seat);
            let is_forgetful = self.nodes[node].is_forgetful;
            said.and_then(|()| {
                if is_forgetful {
                    Ok(())
                } else {
                    self.observe(node, statement.node, &of_seat)
                }
            })
        };
        if let Err(violation) = checked {
            self.break_promise(violation);
        }
    }

    /// A statement is about one slot, and so about one backbone: its own.
    fn check_backbone(&self, node: usize, statement: &Statement) -> Checked {
        let term = self.genesis.parameters.terms().of_height(statement.slot.into());
        let is_of_term = self
            .deciders
            .get(&(self.network_of(node), term))
            .is_some_and(|deciders| deciders.hash == statement.quorum_set && deciders.has(&statement.node));
        if is_of_term {
            return Ok(());
        }
        let facts = format!(
            "node {node} speaks in slot {} with a seat or a quorum set that is not of term {term}",
            statement.slot
        );
        Err(Violation::of(Promise::OneBackbone, facts))
    }

    /// The key in the backbone for whose seat this was said.
    fn seat_of(&self, node: usize, statement: &Statement) -> NodeId {
        let term = self.genesis.parameters.terms().of_height(statement.slot.into());
        let deciders = self.deciders.get(&(self.network_of(node), term));
        let seat = deciders.and_then(|deciders| deciders.seat_ever_of(&statement.node));
        seat.unwrap_or(statement.node)
    }

    /// Somebody who looks for evidence hears what the key `signs` said for a seat.
    fn observe(&mut self, node: usize, signs: NodeId, of_seat: &Statement) -> Checked {
        let term = self.genesis.parameters.terms().of_height(of_seat.slot.into());
        let network = self.network_of(node);
        let Some(deciders) = self.deciders.get(&(network, term)) else {
            return Ok(());
        };
        let successor = (signs != of_seat.node).then_some(signs);
        let observer = self
            .observers
            .entry((term, network, successor))
            .or_insert_with(|| Observer::new(network, deciders));
        observer.hears(node, of_seat)
    }

    fn disconnect(&mut self, node: usize, link: PeerId) {
        if let Some(other) = self.net.other(node, link)
            && self.nodes[node].is_honest()
            && self.nodes[other].is_honest()
            && self.network_of(node) == self.network_of(other)
        {
            let facts = format!("honest node {node} disconnects honest node {other}");
            self.break_promise(Violation::of(Promise::HonestUnpunished, facts));
        }
        self.drop_link(link, 1);
    }
}

/// Milliseconds that the transactions of a block take, and their proofs.
fn work_ms(transactions: &[SignedTransaction]) -> u64 {
    let witnesses = transactions.iter().flat_map(|signed| signed.witness.iter());
    let n_bytes: usize = witnesses.map(|witness| witness.len()).sum();
    u64::try_from(transactions.len() / 100 + n_bytes / PROVEN_BYTES_PER_MS).unwrap_or(0)
}

/// What is said, short enough for a line.
fn short(pledges: &Pledges) -> String {
    let value = |value: &Value| value.0.to_string().chars().take(6).collect::<String>();
    let ballot = |of: &Ballot| format!("{}.{}", of.counter, value(&of.value));
    let maybe = |of: &Option<Ballot>| of.as_ref().map_or_else(|| "-".to_owned(), ballot);
    match pledges {
        Pledges::Nominate { votes, accepted } => {
            let list = |values: &[Value]| values.iter().map(value).collect::<Vec<_>>().join(",");
            format!("nominate [{}] [{}]", list(votes), list(accepted))
        }
        Pledges::Prepare {
            ballot: b,
            prepared,
            prepared_prime,
            c_counter,
            h_counter,
        } => format!(
            "prepare b {} p {} p' {} c {c_counter} h {h_counter}",
            ballot(b),
            maybe(prepared),
            maybe(prepared_prime)
        ),
        Pledges::Confirm {
            ballot: b,
            prepared_counter,
            c_counter,
            h_counter,
        } => format!(
            "confirm b {} p {prepared_counter} c {c_counter} h {h_counter}",
            ballot(b)
        ),
        Pledges::Externalize { commit, h_counter } => format!("externalize {} h {h_counter}", ballot(commit)),
    }
}
