//! Effects, performed in the engine's order, as `watt-node`'s loop does.

use super::run::kind_of;
use super::{Due, Mutation, World};
use crate::compute::Applied;
use crate::node::{Committing, Down, Stored};
use crate::violation::{Promise, Violation};
use crate::world::life::Ending;
use std::collections::VecDeque;
use std::sync::Arc;
use watt_engine::event::ApplyFailure;
use watt_engine::journal::Entry;
use watt_engine::mempool::{POOL_BYTES_MAX, POOL_TRANSACTIONS_MAX};
use watt_engine::message::{BLOCKS_PER_MESSAGE_MAX, DecidedBlock, MESSAGE_BYTES_MAX, Message};
use watt_engine::{Effect, Event, PeerId, Priority};
use watt_ledger::rows::{self, ChainRow};
use watt_ledger::state::Writes;
use watt_ledger::{BlockOutcome, MemoryState, UncheckedBlock};
use watt_primitives::{BlockHeight, BoundedVec, codec};
use watt_scp::{Ballot, Pledges, Value};

/// Bytes of blocks in one answer, as in `watt-node`.
const BLOCKS_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 64 * 1024;

/// Blocks between two clean-ups of the journal, as in `watt-node`.
const JOURNAL_KEPT_BLOCKS: u64 = 64;

/// Which node's state rots, and after which block, in a program broken on purpose.
const ROTTEN_NODE: usize = 0;
const ROTTEN_AT: BlockHeight = BlockHeight(6);

/// Milliseconds until signatures are checked.
const VERIFY_MS: u64 = 1;

/// Milliseconds to apply a block, and further ones per hundred transactions.
const APPLY_MS: u64 = 3;

impl World {
    /// Hands an event to a node's engine and does what comes of it.
    pub fn handle(&mut self, node: usize, event: Event) {
        let now = self.nodes[node].clock(self.now);
        let this = &mut self.nodes[node];
        let Some(engine) = this.engine.as_mut() else {
            return;
        };
        let mut effects = Vec::new();
        engine.handle(now, event, &*this.disk.state, &mut effects);
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

    fn perform_all(&mut self, node: usize, effects: Vec<Effect>) {
        let life = self.nodes[node].life;
        let mut effects: VecDeque<Effect> = effects.into();
        while let Some(effect) = effects.pop_front() {
            if let Effect::PersistScp { entry, .. } = effect {
                let mut entries = vec![entry];
                while let Some(Effect::PersistScp { .. }) = effects.front() {
                    if let Some(Effect::PersistScp { entry, .. }) = effects.pop_front() {
                        entries.push(entry);
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
            } => self.send(node, to, message, priority),
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
            Effect::Apply { value, block } => {
                let result = self.try_block(node, &block);
                let ms = APPLY_MS + u64::try_from(block.transactions.len() / 100).unwrap_or(0);
                self.later(node, ms, Event::Applied { value, result });
            }
            Effect::ApplyDecided { from, block } => {
                let height = BlockHeight::from(block.proposal.proposal.slot);
                let result = if self.compute.is_decided(&block) {
                    self.try_block(node, &block.to_block())
                } else {
                    Err(ApplyFailure::Undecided)
                };
                let ms = APPLY_MS + u64::try_from(block.transactions.len() / 100).unwrap_or(0);
                self.later(node, ms, Event::DecidedApplied { height, from, result });
            }
            Effect::Commit { block, outcome } => self.commit(node, *block, outcome),
            Effect::SendBlocks { to, from, count } => self.send_blocks(node, to, from, count),
            Effect::Reply { outcome, .. } => {
                if let Err(why) = &outcome {
                    self.trace
                        .note(self.now, format_args!("n{node} refuses a transaction: {why}"));
                }
                self.replies.push((node, outcome));
            }
            Effect::Halt(sentence) => self.halt(node, sentence, false),
            Effect::Seal(_)
            | Effect::OpenPorep { .. }
            | Effect::Respond(_)
            | Effect::OpenWindow { .. }
            | Effect::RemoveSector { .. } => self.provide(node, effect),
            // Taken out before: persisting is done for many at once.
            Effect::PersistScp { .. } => {}
        }
    }

    fn try_block(&mut self, node: usize, block: &UncheckedBlock) -> Applied {
        let disk = &self.nodes[node].disk;
        let (head, state) = (disk.head.hash(), Arc::clone(&disk.state));
        if self.nodes[node].has_own_state {
            self.compute.really_apply(&state, block)
        } else {
            self.compute.apply(&head, &state, block)
        }
    }

    /// A bit of a node's state turns, and the program that is broken on purpose does not look.
    fn rot_state(&mut self, node: usize) {
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
            if let Ok(Entry::Record { record, .. }) = Entry::decode(bytes)
                && self.nodes[node].is_honest()
            {
                let checked = self.nodes[node].speech.recorded(node, *record);
                if let Err(violation) = checked {
                    self.break_promise(violation);
                }
            }
        }
    }

    fn send(&mut self, node: usize, link: PeerId, message: Vec<u8>, priority: Priority) {
        let Some(to) = self.net.other(node, link) else {
            return;
        };
        if self.nodes[node].is_honest() {
            self.check_speech(node, &message);
        }
        let messages = match self.nodes[node].actor.as_mut() {
            Some(actor) => actor.outgoing(to, message),
            None => vec![message],
        };
        for bytes in messages {
            for at in self.net.send(self.now, node, link, bytes.len(), priority) {
                let bytes = bytes.clone();
                self.queue.push(at, Due::Deliver { link, to, bytes });
            }
        }
    }

    /// An honest node says something: was it durable, and does it fit to what it said before?
    fn check_speech(&mut self, node: usize, message: &[u8]) {
        if kind_of(message) != "statement" || self.nodes[node].key.is_none() {
            return;
        }
        let hash = *blake3::hash(message).as_bytes();
        let known = self.looked_at.get(&hash).copied();
        // Relayed words are their speaker's; own ones are looked at once, when they are said first.
        if known.is_some() && (known != Some(Some(node)) || !self.nodes[node].disk.drive.has_unsynced()) {
            return;
        }
        let Ok(Message::Statement { envelope, .. }) = Message::decode(message) else {
            return;
        };
        let speaker = self.by_key.get(&envelope.statement.node).copied();
        self.looked_at.insert(hash, speaker);
        if speaker != Some(node) {
            return;
        }
        let statement = &envelope.statement;
        self.trace.note(
            self.now,
            format_args!(
                "n{node} says {} in slot {}",
                short(&statement.pledges),
                statement.slot
            ),
        );
        let checked = if self.nodes[node].disk.drive.has_unsynced() {
            let pledges = &statement.pledges;
            Err(Violation::of(
                Promise::PersistedBeforeSent,
                format_args!(
                    "node {node} says {pledges:?} in slot {} while its record is not synced",
                    statement.slot
                ),
            ))
        } else {
            let said = self.nodes[node].speech.says(node, statement);
            let is_forgetful = self.nodes[node].is_forgetful;
            said.and_then(|()| {
                if is_forgetful {
                    Ok(())
                } else {
                    self.observer.hears(node, statement)
                }
            })
        };
        if let Err(violation) = checked {
            self.break_promise(violation);
        }
    }

    fn disconnect(&mut self, node: usize, link: PeerId) {
        if let Some(other) = self.net.other(node, link)
            && self.nodes[node].is_honest()
            && self.nodes[other].is_honest()
        {
            let facts = format!("honest node {node} disconnects honest node {other}");
            self.break_promise(Violation::of(Promise::HonestUnpunished, facts));
        }
        self.drop_link(link, 1);
    }

    fn commit(&mut self, node: usize, block: DecidedBlock, outcome: Arc<BlockOutcome>) {
        let header = outcome.header.clone();
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&codec::encode(&block))
            .update(header.hash().as_ref());
        let stored = self
            .stored
            .entry(*hasher.finalize().as_bytes())
            .or_insert_with(|| Arc::new(Stored { block, header }));
        let stored = Arc::clone(stored);
        self.nodes[node].committing = Some(Committing { stored, outcome });
        let life = self.nodes[node].life;
        let at = self.now.plus(1 + self.disk_luck.below(8));
        self.queue.push(at, Due::Stored { node, life });
    }

    /// The block is on the disk.
    pub(super) fn store(&mut self, node: usize) {
        let Some(committing) = self.nodes[node].committing.take() else {
            return;
        };
        let stored = Arc::clone(&committing.stored);
        if !self.put_block(node, committing) {
            return;
        }
        let height = stored.header.height.0;
        if height.is_multiple_of(JOURNAL_KEPT_BLOCKS)
            && let Some(journal) = self.nodes[node].journal.as_mut()
        {
            let is_live = |bytes: &[u8]| Entry::decode(bytes).is_ok_and(|entry| entry.slot().0 > height);
            if let Err(error) = journal.retain(is_live) {
                let facts = format!("the journal of node {node} can't be cleaned up: {error}");
                self.halt(node, facts, true);
                return;
            }
        }
        self.handle(
            node,
            Event::Committed {
                header: Box::new(stored.header.clone()),
                included: stored.block.transactions.to_vec(),
            },
        );
        self.stored.retain(|_, stored| Arc::strong_count(stored) > 1);
        self.forget();
    }

    /// Puts a block at the end of a node's log and checks every promise that a block can break.
    pub(super) fn put_block(&mut self, node: usize, committing: Committing) -> bool {
        let Committing { stored, outcome } = committing;
        let (height, hash) = (stored.header.height, stored.header.hash());
        let below = Arc::clone(&self.nodes[node].disk.state);
        let state = if self.nodes[node].has_own_state {
            let mut own = MemoryState::clone(&below);
            own.write(&outcome.writes);
            Arc::new(own)
        } else {
            self.compute.state_after(&below, &outcome)
        };
        self.note(format_args!("n{node} commits {height} {hash}"));
        let is_honest = self.nodes[node].is_honest();
        let place = usize::try_from(height.0).unwrap_or(usize::MAX);
        if is_honest && place != self.nodes[node].disk.blocks.len() + 1 {
            let facts = format!("node {node} commits block {height} out of order");
            self.break_promise(Violation::of(Promise::Agreement, facts));
            return false;
        }
        if is_honest && !self.compute.is_decided(&stored.block) {
            let facts = format!("node {node} commits block {height} whose decision is not proven");
            self.break_promise(Violation::of(Promise::Agreement, facts));
            return false;
        }
        let this = &mut self.nodes[node];
        this.disk.state = Arc::clone(&state);
        this.disk.head = stored.header.clone();
        this.disk.blocks.push(Arc::clone(&stored));
        if is_honest {
            let checked = self
                .chain
                .committed(node, &below, &state, &stored.block, &outcome);
            if let Err(violation) = checked {
                self.break_promise(violation);
                return false;
            }
        }
        if self.mutation == Some(Mutation::WrongStateRoot) && node == ROTTEN_NODE && height == ROTTEN_AT {
            self.rot_state(node);
        }
        true
    }

    fn send_blocks(&mut self, node: usize, to: PeerId, from: BlockHeight, count: u32) {
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(BLOCKS_PER_MESSAGE_MAX);
        let first = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let disk = &self.nodes[node].disk;
        let readable = disk
            .blocks
            .iter()
            .skip(first)
            .take(count)
            .take_while(|stored| !disk.rotten.contains(&stored.header.height.0));
        let (mut found, mut bytes) = (Vec::new(), 0usize);
        for stored in readable {
            bytes += codec::encode(&stored.block).len();
            if bytes > BLOCKS_BYTES_MAX && !found.is_empty() {
                break;
            }
            found.push(stored.block.clone());
        }
        if let Ok(blocks) = BoundedVec::new(found) {
            let message = Message::Blocks { blocks }.encode();
            self.send(node, to, message, Priority::Bulk);
        }
    }
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
