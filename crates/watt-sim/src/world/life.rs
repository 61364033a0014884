//! Lives and links: how nodes start, stop and crash, and how connections come and go.

use super::{Due, Mutation, World};
use crate::actor::{EclipseAttacker, Twin};
use crate::node::{Down, Memory};
use crate::violation::{Promise, Violation};
use std::collections::BTreeMap;
use std::sync::Arc;
use watt_engine::journal::Entry;
use watt_engine::{Engine, EngineConfig, Event, PeerId, RestartLog};
use watt_ledger::tree::chunk;
use watt_ledger::{MemoryState, Rescue, Rescues};
use watt_light::Walk;
use watt_light::hand_over::walk;
use watt_primitives::{BlockHeight, BoundedString};
use watt_store::JournalError;

/// Milliseconds until a broken connection is dialled again.
const REDIAL_MS: u64 = 200;

/// Milliseconds between two tries while a wall stands.
const REDIAL_WALL_MS: u64 = 5_000;

/// Milliseconds after which both ends of a silent link give it up: the transport's ping.
const SILENT_MS_MAX: u64 = 20_000;

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Asked to: everything that was written is synced.
    Stop,
    /// Killed: the machine runs on, and its disk has all that was written.
    Kill,
    /// The power went out: the disk has what was synced, and of the rest any part.
    PowerCut,
}

impl World {
    /// Starts a node from its disk and lets it dial those it knows.
    pub fn start(&mut self, node: usize) {
        let entries = match self.open_journal(node) {
            Ok(entries) => entries,
            Err(error) => {
                self.note(format_args!("n{node} does not start: {error}"));
                self.nodes[node].down = Down::Halted(error.to_string());
                return;
            }
        };
        let restart = if self.mutation == Some(Mutation::ForgetLock) {
            Memory::WithoutLock
        } else {
            Memory::Whole
        };
        let network = self.network_of(node);
        let Some(walk) = self.walk_of(node) else {
            return;
        };
        let parameters = self.genesis.parameters.clone();
        let this = &mut self.nodes[node];
        let config = EngineConfig {
            network,
            parameters,
            protocol: this.protocol,
            walk,
            voting_keys: this.voting_keys(),
            voted_to: this.disk.voted_to,
            successions: this.disk.successions.clone(),
            checkpoint_gap: self.checkpoint_blocks,
            incoming: this.disk.incoming.as_ref().map(|(incoming, _)| incoming.clone()),
            seat: this.seat_config(),
            verdicts: this.disk.verdicts.clone(),
            restarts: this.disk.restarts.clone(),
            logs_scp: false,
            provider: this
                .offer
                .clone()
                .map(|offer| (offer, this.disk.vault.local_sectors())),
        };
        let height = this.disk.head.height;
        this.engine = Some(Engine::new(
            config,
            this.disk.head.clone(),
            &*this.disk.state,
            restart.keep(entries),
        ));
        this.life += 1;
        self.n_changes += 1;
        let this = &mut self.nodes[node];
        this.born = self.now;
        let life = this.life;
        self.note(format_args!("n{node} starts life {life} at height {height}"));
        self.see_checkpoint(node);
        self.handle(node, Event::Started);
        self.handle(node, Event::Looked);
        for other in self.nodes[node].wants.clone() {
            let at = self.now.plus(1);
            self.queue.push(at, Due::Dial { a: node, b: other });
        }
    }

    /// How far a node's hand-overs lead; each that it keeps must lead on.
    fn walk_of(&mut self, node: usize) -> Option<Walk> {
        let begin = self.genesis.walk().ok()?;
        let begin = begin.following(self.nodes[node].disk.plans());
        match walk(begin, &self.nodes[node].disk.hand_overs) {
            Ok(walk) => Some(walk),
            Err(error) => {
                let facts = format!("a hand-over that node {node} keeps leads nowhere: {error}");
                self.break_promise(Violation::of(Promise::OneBackbone, facts));
                None
            }
        }
    }

    fn open_journal(&mut self, node: usize) -> Result<Vec<Entry>, JournalError> {
        let this = &mut self.nodes[node];
        if !this.may_vote() {
            return Ok(Vec::new());
        }
        let (journal, records) = this.disk.drive.open_journal()?;
        this.journal = Some(journal);
        // Whatever survived is durable now, acknowledged or not; of each slot the newest record counts.
        let mut newest = BTreeMap::new();
        for bytes in &records {
            if let Ok(Entry::Record { slot, .. }) = Entry::decode(bytes) {
                newest.insert(slot, bytes.clone());
            }
        }
        let newest: Vec<Vec<u8>> = newest.into_values().collect();
        self.remember(node, &newest);
        Ok(records
            .iter()
            .filter_map(|bytes| Entry::decode(bytes).ok())
            .collect())
    }

    /// Ends a node's life. Those connected to it notice at once, or after a power cut when their pings stay unanswered.
    pub fn end(&mut self, node: usize, ending: Ending) {
        if !self.nodes[node].is_up() {
            return;
        }
        self.note(format_args!("n{node} ends: {ending:?}"));
        self.n_changes += 1;
        let drive_seed = match ending {
            Ending::Stop | Ending::Kill => 0,
            Ending::PowerCut => 1 + self.disk_luck.below(u64::MAX - 1),
        };
        // Blocks whose write was not acknowledged may be there or not, and so may a state on its way to its place.
        let n_committing = self.nodes[node]
            .committing
            .as_ref()
            .map_or(1, |committing| committing.stored.len());
        let n_kept = match ending {
            Ending::PowerCut => self.disk_luck.index(n_committing + 1),
            Ending::Stop | Ending::Kill => n_committing,
        };
        let this = &mut self.nodes[node];
        this.engine = None;
        this.journal = None;
        this.timers.clear();
        this.served.clear();
        this.life += 1;
        this.down = Down::Stopped;
        if this.disk.drive.has_failed() || this.may_vote() {
            this.disk.drive.come_back(drive_seed);
        }
        if let Some(committing) = this.committing.take() {
            self.put_blocks(node, committing, n_kept);
        }
        if n_kept > 0 {
            self.put_state(node);
        }
        self.nodes[node].adopting = None;
        let silence_ms = match ending {
            Ending::Stop | Ending::Kill => 5,
            Ending::PowerCut => SILENT_MS_MAX,
        };
        for link in self.net.links_of(node) {
            self.drop_link(link, silence_ms);
        }
    }

    /// Lets `node` be stopped at `at`.
    pub fn end_at(&mut self, at: watt_primitives::Timestamp, node: usize) {
        self.queue.push(at, Due::End { node });
    }

    /// The node stops and its owner has to act.
    pub fn halt(&mut self, node: usize, sentence: String, is_excused: bool) {
        self.end(node, Ending::Kill);
        if self.nodes[node].is_honest() && !is_excused {
            let facts = format!("honest node {node} stopped by itself: {sentence}");
            self.break_promise(Violation::of(Promise::NoHalt, facts));
        }
        self.nodes[node].down = Down::Halted(sentence);
    }

    /// Somebody publishes a rescue release: above the newest block, rules have this version. There is one in a world.
    pub fn rescue(&mut self, version: u32) {
        let newest = self.nodes.iter().max_by_key(|node| node.height());
        let Some(newest) = newest.filter(|_| self.compute.rescues == Rescues::default()) else {
            return;
        };
        let rescue = Rescue {
            base: newest.height(),
            header: newest.disk.head_hash,
            version,
            reason: BoundedString::new("the first block of a term can't be executed".to_owned())
                .unwrap_or_default(),
        };
        let header = rescue.header;
        match Rescues::default().with(rescue) {
            Ok(rescues) => {
                self.compute.rescues = rescues;
                self.note(format_args!("a rescue above {header}: version {version}"));
            }
            Err(why) => self.note(format_args!("no rescue: {why}")),
        }
    }

    /// The node leaves for good, with all it holds. Whoever kept a connection with it looks for somebody else: the next node that is
    /// still there, as an address book would give one.
    pub fn leave(&mut self, node: usize) {
        self.end(node, Ending::PowerCut);
        self.nodes[node].down = Down::Gone;
        self.bereave(node);
    }

    /// Whoever kept a connection with `node` looks for somebody else.
    pub(super) fn bereave(&mut self, node: usize) {
        let n = self.nodes.len();
        for bereft in 0..n {
            if !self.nodes[bereft].wants.contains(&node) || self.surrounded.contains(&bereft) {
                continue;
            }
            self.nodes[bereft].wants.retain(|peer| *peer != node);
            let others = (1..n).map(|further| (bereft + further) % n);
            let mut free = others.filter(|other| {
                let is_lost = self.nodes[*other].is_lost();
                !is_lost && !self.surrounded.contains(other) && !self.nodes[bereft].wants.contains(other)
            });
            if let Some(other) = free.next() {
                self.nodes[bereft].wants.push(other);
                self.nodes[other].wants.push(bereft);
                let at = self.now.plus(REDIAL_WALL_MS);
                let (a, b) = (bereft, other);
                self.queue.push(at, Due::Dial { a, b });
            }
        }
    }

    /// Breaks a link; its ends notice after `silence_ms` and dial again.
    pub(super) fn drop_link(&mut self, link: PeerId, silence_ms: u64) {
        let Some([a, b]) = self.net.break_link(link) else {
            return;
        };
        for node in [a, b] {
            let at = self.now.plus(silence_ms);
            self.queue.push(at, Due::Lost { node, link });
        }
        let at = self.now.plus(silence_ms + REDIAL_MS);
        self.queue.push(at, Due::Dial { a, b });
    }

    pub(super) fn dial(&mut self, a: usize, b: usize) {
        let wants = self.nodes[a].wants.contains(&b);
        if !wants || !self.nodes[a].is_up() || !self.nodes[b].is_up() {
            // Whoever is down dials when it starts.
            return;
        }
        if self.net.is_blocked(a, b) || self.net.is_blocked(b, a) {
            let at = self.now.plus(REDIAL_WALL_MS);
            self.queue.push(at, Due::Dial { a, b });
            return;
        }
        if let Some(link) = self.net.connect(a, b) {
            self.note(format_args!("n{a} and n{b} connect as {}", link.0));
            self.handle(a, Event::Connected(link));
            // The first one's greeting may have ended the connection already.
            if self.net.ends(link).is_some() {
                self.handle(b, Event::Connected(link));
            }
        }
    }

    /// Walls were put up or moved: links across them fall silent and are given up after a while.
    pub fn walls_changed(&mut self) {
        for link in self.net.cut_links() {
            let at = self.now.plus(SILENT_MS_MAX);
            self.queue.push(at, Due::GiveUp { link });
        }
    }

    /// The newest `n` blocks of a stopped node's log can't be read any more: its state is made anew below them, and it must
    /// say nothing in their slots.
    pub fn lose_blocks(&mut self, node: usize, n: u64) {
        let this = &mut self.nodes[node];
        this.disk.voted_to = this.disk.voted_to.max(this.disk.head.height);
        let n_left = this
            .disk
            .blocks
            .len()
            .saturating_sub(usize::try_from(n).unwrap_or(usize::MAX));
        this.disk.blocks.truncate(n_left);
        self.replay(node);
    }

    /// Makes a node's state anew from what its log stands on: each block must give the header that was stored beside it.
    pub fn replay(&mut self, node: usize) {
        let (mut head, ground) = self.nodes[node].disk.ground.clone();
        let mut state = MemoryState::clone(&ground);
        let holds = self.nodes[node].holds_rescue;
        for stored in self.nodes[node].disk.blocks.clone() {
            match self.compute.really_apply(&state, &stored.block.to_block(), holds) {
                Ok(outcome) if outcome.header == stored.header => {
                    state.write(&outcome.writes);
                    state.write(&chunk::index(&outcome.writes).collect());
                    head = outcome.header.clone();
                }
                other => {
                    let height = stored.header.height;
                    let facts = format!(
                        "replaying block {height} of node {node} gave {:?}",
                        other.map(|o| o.header.hash())
                    );
                    self.break_promise(Violation::of(Promise::StateRoot, facts));
                    return;
                }
            }
        }
        let this = &mut self.nodes[node];
        this.disk.head_hash = head.hash();
        this.disk.head = head;
        this.disk.state = Arc::new(state);
    }

    /// A stopped node's SCP journal is gone and it does not know: from now on it may contradict what it said.
    pub fn forget_journal(&mut self, node: usize) {
        let lying = self.mutation == Some(Mutation::SkipPersist);
        let this = &mut self.nodes[node];
        this.disk.drive = watt_store::testing::TestDisk::new();
        this.disk.drive.set_lying(lying);
        this.speech = crate::check::Speech::default();
        this.is_forgetful = true;
        self.chain.seats.excuse(node);
    }

    /// Copies a validator's folder, key included, to another machine; both run from now on, and neither knows.
    pub fn clone_folder(&mut self, of: usize, to: usize) {
        self.end(to, Ending::Stop);
        let drive = self.nodes[of].disk.drive.copy();
        drive.come_back(0);
        let (key, blocks) = (self.nodes[of].key.clone(), self.nodes[of].disk.blocks.clone());
        let (seat, secrets) = (self.nodes[of].seat.clone(), self.nodes[of].disk.secrets.clone());
        self.chain.seats.excuse(of);
        let (head, state) = (
            self.nodes[of].disk.head.clone(),
            Arc::clone(&self.nodes[of].disk.state),
        );
        let ground = self.nodes[of].disk.ground.clone();
        self.nodes[of].actor = Some(Box::new(Twin));
        let twin = &mut self.nodes[to];
        twin.actor = Some(Box::new(Twin));
        (twin.key, twin.seat) = (key, seat);
        twin.disk.secrets = secrets;
        twin.disk.drive = drive;
        (twin.disk.ground, twin.disk.blocks) = (ground, blocks);
        twin.disk.head_hash = head.hash();
        twin.disk.head = head;
        twin.disk.state = state;
        let at = self.now.plus(500);
        self.start_at(at, to);
    }

    /// Leaves a follower with links to attackers only.
    pub fn surround(&mut self, victim: usize, attackers: &[usize]) {
        for other in 0..self.nodes.len() {
            let is_attacker = attackers.contains(&other);
            if is_attacker {
                self.nodes[other].actor = Some(Box::new(EclipseAttacker));
            }
            self.nodes[other]
                .wants
                .retain(|peer| *peer != victim || is_attacker);
        }
        self.nodes[victim].wants = attackers.to_vec();
        for attacker in attackers {
            if !self.nodes[*attacker].wants.contains(&victim) {
                self.nodes[*attacker].wants.push(victim);
            }
        }
        for link in self.net.links_of(victim) {
            self.drop_link(link, 1);
        }
        for attacker in attackers {
            let at = self.now.plus(10);
            self.queue.push(
                at,
                Due::Dial {
                    a: victim,
                    b: *attacker,
                },
            );
        }
        self.surrounded.push(victim);
    }

    /// Those who were surrounded get a link to node 0.
    pub fn free_surrounded(&mut self) {
        for victim in std::mem::take(&mut self.surrounded) {
            self.nodes[victim].wants.push(0);
            self.nodes[0].wants.push(victim);
            let at = self.now.plus(1);
            self.queue.push(at, Due::Dial { a: victim, b: 0 });
        }
    }

    /// Everything on a stopped node's disk but its keys is gone; what it may have voted for is unknown up to `voted_to`. Whoever sets it
    /// up again names the restarts of the network, as they name its genesis.
    pub fn wipe(&mut self, node: usize, voted_to: BlockHeight) {
        let followed = self.followed();
        let lying = self.mutation == Some(Mutation::SkipPersist);
        let this = &mut self.nodes[node];
        this.disk.blocks.clear();
        this.disk.ground = (self.genesis_header.clone(), Arc::clone(&self.genesis_state));
        this.disk.incoming = None;
        this.disk.hand_overs.clear();
        this.disk.restarts = RestartLog::default();
        this.disk.followed = followed;
        this.disk.drive = watt_store::testing::TestDisk::new();
        this.disk.drive.set_lying(lying);
        this.disk.voted_to = voted_to;
        this.speech.records_are_lost();
        if matches!(this.down, Down::Halted(_)) {
            this.down = Down::Stopped;
        }
        this.disk.head = self.genesis_header.clone();
        this.disk.head_hash = this.disk.head.hash();
        this.disk.state = Arc::clone(&self.genesis_state);
        self.mark_restarts(node);
    }
}
