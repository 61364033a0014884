//! Blocks and states on disks: what is committed, served to others, and taken in from them.

use super::{Due, Mutation, World};
use crate::node::{Committing, Node, Stored};
use crate::violation::{Promise, Violation};
use std::sync::Arc;
use watt_engine::checkpoint::Incoming;
use watt_engine::journal::Entry;
use watt_engine::mempool::{self, Spent};
use watt_engine::message::{
    BLOCKS_BYTES_MAX, BLOCKS_PER_MESSAGE_MAX, DecidedBlock, HAND_OVERS_PER_MESSAGE_MAX, Message,
};
use watt_engine::{Backbones, Event, PeerId, Priority};
use watt_ledger::tree;
use watt_ledger::tree::chunk::{self, StateChunk};
use watt_ledger::{BlockOutcome, MemoryState};
use watt_light::{HandOver, Header};
use watt_primitives::{BlockHeight, BoundedVec, Hash, Term, codec};

/// Blocks between two clean-ups of the journal, as in `watt-node`.
const JOURNAL_KEPT_BLOCKS: u64 = 64;

/// States that a node serves, as in `watt-node`: the newest, and the one before it for whoever is still fetching it.
const SERVED: usize = 2;

/// Which node's state rots, and after which block, in a program broken on purpose.
const ROTTEN_NODE: usize = 0;
const ROTTEN_AT: BlockHeight = BlockHeight(6);

/// Milliseconds until something was read for a peer.
const READ_MS: u64 = 1;

/// Milliseconds until a part of a state is checked and stored.
const TAKE_MS: u64 = 4;

/// Milliseconds until a state that came in is in its place.
const ADOPT_MS: u64 = 40;

impl World {
    pub(super) fn commit(&mut self, node: usize, blocks: &[DecidedBlock], outcomes: Vec<Arc<BlockOutcome>>) {
        let stored = blocks.iter().zip(&outcomes);
        let stored = stored
            .map(|(block, outcome)| self.shared(block, &outcome.header))
            .collect();
        self.nodes[node].committing = Some(Committing { stored, outcomes });
        let life = self.nodes[node].life;
        let at = self.now.plus(1 + self.disk_luck.below(8));
        self.queue.push(at, Due::Stored { node, life });
    }

    /// The one copy of this block that all nodes have.
    fn shared(&mut self, block: &DecidedBlock, header: &Header) -> Arc<Stored> {
        let of_height = self.stored.entry(header.height).or_default();
        let is_same = |stored: &&Arc<Stored>| stored.header == *header && stored.block == *block;
        if let Some(stored) = of_height.iter().find(is_same) {
            return Arc::clone(stored);
        }
        let stored = Arc::new(Stored {
            block: block.clone(),
            header: header.clone(),
            hash: header.hash(),
            bytes: codec::encode(block).len(),
        });
        of_height.push(Arc::clone(&stored));
        stored
    }

    /// Blocks are on the disk.
    pub(super) fn store(&mut self, node: usize) {
        let Some(committing) = self.nodes[node].committing.take() else {
            return;
        };
        let before = self.nodes[node].height().0;
        let n_blocks = committing.stored.len();
        let blocks = committing.stored.clone();
        if !self.put_blocks(node, committing, n_blocks) {
            return;
        }
        let header = self.nodes[node].disk.head.clone();
        let height = header.height.0;
        if before / JOURNAL_KEPT_BLOCKS < height / JOURNAL_KEPT_BLOCKS
            && let Some(journal) = self.nodes[node].journal.as_mut()
        {
            let is_live = |bytes: &[u8]| Entry::decode(bytes).is_ok_and(|entry| entry.slot().0 > height);
            if let Err(error) = journal.retain(is_live) {
                let facts = format!("the journal of node {node} can't be cleaned up: {error}");
                self.halt(node, facts, true);
                return;
            }
        }
        self.see_checkpoint(node);
        let spent = mempool::spent(blocks.iter().flat_map(|stored| stored.block.transactions.iter()));
        let header = Box::new(header);
        self.handle(node, Event::Committed { header, spent });
        self.forget();
    }

    /// Puts the first `n` of these blocks at the end of a node's log; whether every promise that blocks can break holds.
    pub(super) fn put_blocks(&mut self, node: usize, committing: Committing, n: usize) -> bool {
        let Committing { stored, outcomes } = committing;
        stored
            .iter()
            .zip(&outcomes)
            .take(n)
            .all(|(stored, outcome)| self.put_block(node, stored, outcome))
    }

    fn put_block(&mut self, node: usize, stored: &Arc<Stored>, outcome: &BlockOutcome) -> bool {
        let (height, hash) = (stored.header.height, stored.hash);
        let below = Arc::clone(&self.nodes[node].disk.state);
        let state = if self.nodes[node].has_own_state {
            let mut own = MemoryState::clone(&below);
            own.write(&outcome.writes);
            Arc::new(own)
        } else {
            self.compute.state_after(hash, &below, outcome)
        };
        self.n_commits += 1;
        self.n_changes += 1;
        self.note(format_args!("n{node} commits {height} {hash}"));
        let is_honest = self.nodes[node].is_honest();
        if is_honest && height != self.nodes[node].disk.head.height.next() {
            let facts = format!("node {node} commits block {height} out of order");
            self.break_promise(Violation::of(Promise::Agreement, facts));
            return false;
        }
        if stored.header.version > self.nodes[node].protocol {
            let version = stored.header.version;
            let facts = format!(
                "node {node} commits block {height}, by rules of version {version} that it does not know"
            );
            self.break_promise(Violation::of(Promise::KnownRules, facts));
            return false;
        }
        if is_honest && !self.compute.is_decided(&below, &stored.block) {
            let facts = format!("node {node} commits block {height} whose decision is not proven");
            self.break_promise(Violation::of(Promise::Agreement, facts));
            return false;
        }
        if is_honest {
            self.see_backbone(&stored.header, &state);
        }
        let this = &mut self.nodes[node];
        this.disk.state = Arc::clone(&state);
        this.disk.head = stored.header.clone();
        this.disk.head_hash = hash;
        this.disk.blocks.push(Arc::clone(stored));
        self.mark_restarts(node);
        let this = &mut self.nodes[node];
        // What was fetched again is whole again.
        this.disk.rotten.remove(&height.0);
        if is_honest {
            let before = self.chain.height();
            let checked = self
                .chain
                .committed(node, self.now, &below, &state, &stored.block, outcome);
            if self.chain.height() > before {
                self.newest_at = self.now;
                self.note_losses(outcome);
            }
            if let Err(violation) = checked {
                self.break_promise(violation);
                return false;
            }
        }
        self.see_voters();
        if self.mutation == Some(Mutation::WrongStateRoot) && node == ROTTEN_NODE && height == ROTTEN_AT {
            self.rot_state(node);
        }
        true
    }

    fn note_losses(&mut self, outcome: &BlockOutcome) {
        for receipt in &outcome.receipts {
            if let watt_ledger::Outcome::Failed { why, penalty, .. } = &receipt.outcome {
                let account = receipt.account;
                self.note(format_args!("{account} fails and pays {penalty}: {why}"));
            }
        }
        for event in &outcome.events {
            if let watt_ledger::Event::SectorLost { provider, sector, .. } = event {
                self.note(format_args!("{provider} loses sector {sector}"));
            }
        }
    }

    /// The head moved, or a life begins: serves its state if a checkpoint lies between it and the newest that is served.
    pub(super) fn see_checkpoint(&mut self, node: usize) {
        let every = self.checkpoint_blocks.max(1);
        let this = &mut self.nodes[node];
        let newest = this.served.back().map_or(0, |(newest, _)| newest.height.0);
        if this.height().0 / every > newest / every {
            let head = (this.disk.head.clone(), Arc::clone(&this.disk.state));
            this.served.push_back(head);
            while this.served.len() > SERVED {
                this.served.pop_front();
            }
        }
    }

    /// Sends what a peer asked for, and ends the effect that asked for it.
    fn upload(&mut self, node: usize, to: PeerId, message: &Message) {
        let message = message.encode();
        let bytes = message.len();
        self.send(node, to, message, Priority::Bulk);
        self.later(node, READ_MS, Event::Uploaded { to, bytes });
    }

    pub(super) fn send_blocks(&mut self, node: usize, to: PeerId, from: BlockHeight, count: u32) {
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(BLOCKS_PER_MESSAGE_MAX);
        let (mut found, mut bytes, mut height) = (Vec::new(), 0usize, from);
        while found.len() < count
            && let Some(stored) = self.nodes[node].disk.readable(height)
        {
            bytes += stored.bytes;
            if bytes > BLOCKS_BYTES_MAX && !found.is_empty() {
                break;
            }
            found.push(stored.block.clone());
            height = height.next();
        }
        let blocks = BoundedVec::new(found).unwrap_or_default();
        self.upload(node, to, &Message::Blocks { blocks });
    }

    pub(super) fn send_checkpoint(&mut self, node: usize, to: PeerId) {
        let Node { served, disk, .. } = &self.nodes[node];
        let prove = |(header, state): &(Header, Arc<MemoryState>)| {
            let backbones = Backbones::in_state(&**state);
            let deciders = backbones.of_slot(header.height.next().into())?;
            let above = disk.readable(header.height.next())?;
            above.block.proves(header.clone(), deciders.voters())
        };
        let proof = served.iter().rev().find_map(prove).map(Box::new);
        self.upload(node, to, &Message::Checkpoint { proof });
    }

    pub(super) fn send_hand_overs(&mut self, node: usize, to: PeerId, from: Term) {
        let kept = self.nodes[node].disk.hand_overs.iter();
        let first = usize::try_from(from.0).unwrap_or(usize::MAX);
        let page = kept.skip(first).take(HAND_OVERS_PER_MESSAGE_MAX).cloned();
        let hand_overs = BoundedVec::new(page.collect()).unwrap_or_default();
        self.upload(node, to, &Message::HandOvers { from, hand_overs });
    }

    pub(super) fn keep_hand_overs(&mut self, node: usize, first: Term, hand_overs: Vec<HandOver>) {
        let kept = &mut self.nodes[node].disk.hand_overs;
        let is_next = u64::try_from(kept.len()) == Ok(first.0);
        kept.extend(hand_overs);
        if !is_next {
            let facts = format!("node {node} keeps a hand-over of term {first} out of order");
            self.break_promise(Violation::of(Promise::OneBackbone, facts));
        }
    }

    /// A state says for good who decides the next term.
    fn see_backbone(&mut self, header: &Header, state: &MemoryState) {
        let terms = self.genesis.parameters.terms();
        let next = terms.of_height(header.height).next();
        let place = (header.network, next);
        if header.height >= terms.final_from(next) && !self.deciders.contains_key(&place) {
            let backbones = Backbones::in_state(state);
            if let Some(deciders) = backbones.of_term(next) {
                self.deciders.insert(place, Arc::clone(deciders));
            }
        }
    }

    pub(super) fn send_state(&mut self, node: usize, to: PeerId, height: BlockHeight, at: Hash) {
        let mut served = self.nodes[node].served.iter();
        let served = served.find(|(header, _)| header.height == height);
        let chunk = served.and_then(|(_, state)| chunk::chunk(&**state, &at).ok().flatten());
        let chunk = chunk.map(Box::new);
        self.upload(node, to, &Message::State { height, at, chunk });
    }

    pub(super) fn take_chunk(&mut self, node: usize, at: Hash, chunk: &StateChunk, then: Incoming) {
        let is_good =
            chunk.verify(&then.header.state_root, &at).is_ok() && self.keep_chunk(node, chunk, then);
        self.later(node, TAKE_MS, Event::ChunkTaken { is_good });
    }

    fn keep_chunk(&mut self, node: usize, chunk: &StateChunk, then: Incoming) -> bool {
        let disk = &mut self.nodes[node].disk;
        let held = disk.incoming.take();
        let held = held.filter(|(incoming, _)| incoming.header == then.header);
        let mut state = held.map(|(_, state)| state).unwrap_or_default();
        let entries = chunk.writes();
        let Ok(update) = tree::update(&state, &entries) else {
            return false;
        };
        state.write(&entries);
        state.write(&update.rows);
        state.write(&chunk::beside(&entries));
        disk.incoming = Some((then, state));
        true
    }

    pub(super) fn adopt(&mut self, node: usize, header: Header) {
        self.nodes[node].adopting = Some(header);
        let life = self.nodes[node].life;
        let at = self.now.plus(ADOPT_MS);
        self.queue.push(at, Due::Adopted { node, life });
    }

    /// A state that came in takes the place of the one that is there.
    pub(super) fn adopted(&mut self, node: usize) {
        if let Some(header) = self.put_state(node) {
            self.see_checkpoint(node);
            let (header, spent) = (Box::new(header), Spent::new());
            self.handle(node, Event::Committed { header, spent });
        }
    }

    pub(super) fn put_state(&mut self, node: usize) -> Option<Header> {
        let header = self.nodes[node].adopting.take()?;
        let disk = &mut self.nodes[node].disk;
        let (incoming, mut state) = disk.incoming.take()?;
        state.write(&chunk::finish(&header));
        let (height, hash) = (header.height, header.hash());
        let is_whole = incoming.header == header && incoming.is_complete();
        let is_its = is_whole && tree::root(&state).ok() == Some(header.state_root);
        self.note(format_args!("n{node} starts from the state of {height} {hash}"));
        let agreed = self.chain.header_at(height);
        let state = self.compute.same_state(&header, state);
        let facts = match (&state, agreed) {
            (Some(_), agreed) if is_its && agreed == Some(hash) => None,
            (None, _) => Some("other rows than everybody's"),
            (_, None) => Some("a height that nobody has a block of"),
            (_, Some(_)) if is_its => Some("another header than was agreed on"),
            (_, Some(_)) => Some("another root than its header's"),
        };
        if let Some(wrong) = facts {
            let facts = format!("the state of {height} that node {node} takes from peers has {wrong}");
            self.break_promise(Violation::of(Promise::StateRoot, facts));
            return None;
        }
        let state = state?;
        self.n_changes += 1;
        let disk = &mut self.nodes[node].disk;
        disk.ground = (header.clone(), Arc::clone(&state));
        disk.blocks.clear();
        (disk.head, disk.head_hash, disk.state) = (header.clone(), hash, state);
        self.mark_restarts(node);
        Some(header)
    }
}
