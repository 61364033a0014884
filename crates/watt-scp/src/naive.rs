//! A second implementation of `docs/spec/scp.md`, as plain as can be: sets of ids, every quorum tried by brute force,
//! everything worked out anew at every step. It is what [`crate::Scp`] is compared with, and shares nothing with it but the
//! types that go in and come out.
//!
//! The bounds of §8 are left out, except the four values of one leader: what is compared stays below them.

use crate::protocol::{Config, Input, Oracle, Output, Record, TimerKind, Validity};
use crate::quorum_set::QuorumSet;
use crate::statement::{Pledges, Statement, Value};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use watt_primitives::{Hash, NodeId, SlotIndex};

mod ballot;
mod nomination;
mod rules;

use ballot::{Ballots, Phase};
use nomination::Nominations;
use rules::{is_newer, is_sane_statement};

/// One node, written from the paper.
#[derive(Clone, Debug)]
pub struct Naive {
    config: Config,
    own_hash: Hash,
    /// Nodes that occur in a set met so far (§2.9).
    known: BTreeSet<NodeId>,
    /// Sets that statements name and the oracle did not know.
    missing: BTreeSet<Hash>,
    slots: BTreeMap<SlotIndex, NaiveSlot>,
    lowest: SlotIndex,
}

/// What a slot's rules may look at.
#[derive(Clone, Copy)]
struct World<'a> {
    config: &'a Config,
    own_hash: Hash,
    oracle: &'a dyn Oracle,
    slot: SlotIndex,
    /// Whether own state counts and is said.
    has_voice: bool,
}

impl World<'_> {
    fn validity(&self, value: &Value) -> Validity {
        self.oracle.validity(self.slot, value)
    }

    /// The set a statement declares; `None` if it is not known or not sane (§2.6 to §2.8).
    fn declared(&self, statement: &Statement) -> Option<QuorumSet> {
        match statement.pledges {
            Pledges::Externalize { .. } => Some(QuorumSet::flat(1, [statement.node].to_vec())),
            Pledges::Nominate { .. } | Pledges::Prepare { .. } | Pledges::Confirm { .. } => {
                let set = if statement.quorum_set == self.own_hash {
                    Some(&self.config.quorum_set)
                } else {
                    self.oracle.quorum_set(&statement.quorum_set)
                };
                set.filter(|set| rules::is_sane_set(set)).cloned()
            }
        }
    }

    /// Whether those of `statements` for which `holds` are v-blocking for this node.
    fn blocks(&self, statements: &[Statement], holds: impl Fn(&Statement) -> bool) -> bool {
        let nodes = statements.iter().filter(|s| holds(s)).map(|s| s.node).collect();
        rules::is_sane_set(&self.config.quorum_set) && rules::blocks(&nodes, &self.config.quorum_set)
    }

    /// Whether those of `statements` for which `holds` contain a quorum that has a slice of this node.
    fn has_quorum(&self, statements: &[Statement], holds: impl Fn(&Statement) -> bool) -> bool {
        let chosen = statements.iter().filter(|s| holds(s));
        let with_sets: BTreeMap<NodeId, QuorumSet> = chosen
            .filter_map(|s| self.declared(s).map(|set| (s.node, set)))
            .collect();
        rules::is_sane_set(&self.config.quorum_set) && rules::has_quorum(&with_sets, &self.config.quorum_set)
    }

    /// Accept: a v-blocking set accepts, or a quorum votes or accepts.
    fn may_accept(
        &self,
        statements: &[Statement],
        votes: impl Fn(&Statement) -> bool,
        accepts: impl Fn(&Statement) -> bool,
    ) -> bool {
        self.blocks(statements, &accepts) || self.has_quorum(statements, |s| votes(s) || accepts(s))
    }
}

/// A timer as the caller was last told.
#[derive(Clone, Debug, Default)]
struct Clock {
    generation: u64,
    round: Option<u32>,
}

#[derive(Clone, Debug, Default)]
struct NaiveSlot {
    nominations: Nominations,
    ballots: Ballots,
    clocks: BTreeMap<TimerKind, Clock>,
    is_silent: bool,
    is_announced: bool,
    accused: BTreeSet<NodeId>,
    recorded_lock: Option<Value>,
    /// Values met in the slot, and whether their bodies are overdue.
    met: BTreeMap<Value, bool>,
}

impl Naive {
    /// A node that has said nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut known = BTreeSet::from([config.node]);
        if rules::is_sane_set(&config.quorum_set) {
            known.extend(rules::all_nodes(&config.quorum_set));
        }
        Self {
            own_hash: config.quorum_set.hash(&config.network),
            config,
            known,
            missing: BTreeSet::new(),
            slots: BTreeMap::new(),
            lowest: SlotIndex(0),
        }
    }

    /// As [`crate::Scp::step`].
    pub fn step(&mut self, input: Input<'_>, oracle: &dyn Oracle, out: &mut Vec<Output>) {
        match input {
            Input::Nominate {
                slot,
                value,
                previous,
            } => self.act(slot, Begins::IfMissing, oracle, |held, world| {
                if world.has_voice && held.ballots.phase != Phase::Externalize {
                    held.nominations.start(value, previous, world, &mut held.met);
                }
                held.settle(world, out);
            }),
            Input::Receive { slot, statements } => self.receive(slot, statements, oracle, out),
            Input::Timer {
                slot,
                kind,
                generation,
            } => self.act(slot, Begins::Never, oracle, |held, world| {
                held.timer(kind, generation, world);
                held.settle(world, out);
            }),
            Input::ValidityChanged { slot, value } => {
                self.act(slot, Begins::Never, oracle, |held, world| {
                    held.nominations.validity_changed(&value);
                    if held.nominations.names(&value) && world.validity(&value) != Validity::Invalid {
                        held.met.entry(value).or_default();
                    }
                    held.compose(world);
                    held.settle(world, out);
                });
            }
            Input::BodyTimeout { slot, value } => self.act(slot, Begins::Never, oracle, |held, world| {
                if let Some(is_overdue) = held.met.get_mut(&value) {
                    *is_overdue = true;
                    held.settle(world, out);
                }
            }),
            Input::QuorumSetKnown { hash } => self.set_known(&hash, oracle, out),
            Input::Restore(record) => self.act(record.slot, Begins::IfMissing, oracle, |held, world| {
                held.restore(record, world, out);
            }),
            Input::Purge { below } => {
                self.lowest = self.lowest.max(below);
                for (slot, held) in &mut self.slots {
                    if *slot < below {
                        held.follow_clock(TimerKind::Nomination, None, *slot, out);
                        held.follow_clock(TimerKind::Ballot, None, *slot, out);
                    }
                }
                self.slots.retain(|slot, _| *slot >= below);
            }
        }
    }

    /// As [`crate::Scp::latest`], in no particular order.
    pub fn latest(&self, slot: SlotIndex) -> impl Iterator<Item = &Statement> {
        self.slots.get(&slot).into_iter().flat_map(|held| {
            let nominations = held.nominations.latest.values().chain(&held.nominations.said);
            nominations
                .chain(held.ballots.latest.values())
                .chain(&held.ballots.said)
        })
    }

    /// As [`crate::Scp::externalized`].
    #[must_use]
    pub fn externalized(&self, slot: SlotIndex) -> Option<Value> {
        let ballots = &self.slots.get(&slot)?.ballots;
        ballots
            .c
            .filter(|_| ballots.phase == Phase::Externalize)
            .map(|c| c.value)
    }

    fn act(
        &mut self,
        slot: SlotIndex,
        begins: Begins,
        oracle: &dyn Oracle,
        act: impl FnOnce(&mut NaiveSlot, World<'_>),
    ) {
        if slot < self.lowest {
            return;
        }
        match begins {
            Begins::IfMissing => drop(self.slots.entry(slot).or_default()),
            Begins::Never => {}
        }
        if let Some(held) = self.slots.get_mut(&slot) {
            let has_voice = self.config.votes && !held.is_silent;
            let (config, own_hash) = (&self.config, self.own_hash);
            act(
                held,
                World {
                    config,
                    own_hash,
                    oracle,
                    slot,
                    has_voice,
                },
            );
        }
    }

    fn receive(
        &mut self,
        slot: SlotIndex,
        statements: &[Statement],
        oracle: &dyn Oracle,
        out: &mut Vec<Output>,
    ) {
        self.act(slot, Begins::IfMissing, oracle, |_, _| {});
        for statement in statements {
            if statement.slot != slot || !is_sane_statement(&statement.pledges) {
                continue;
            }
            if statement.node != self.config.node && !self.known.contains(&statement.node) {
                continue;
            }
            let mut is_noted = false;
            self.act(slot, Begins::Never, oracle, |held, world| {
                is_noted = held.note(statement, world, out);
            });
            if is_noted {
                self.meet_set(statement, oracle, out);
            }
        }
        self.act(slot, Begins::Never, oracle, |held, world| {
            held.settle(world.heard_by(held), out);
        });
    }

    /// The set of a statement that counts is met: its nodes are heard from now on; one that is not known is asked for.
    fn meet_set(&mut self, statement: &Statement, oracle: &dyn Oracle, out: &mut Vec<Output>) {
        let hash = statement.quorum_set;
        if rules::is_final(&statement.pledges) || hash == self.own_hash {
            return;
        }
        match oracle.quorum_set(&hash) {
            Some(set) if rules::is_sane_set(set) => self.known.extend(rules::all_nodes(set)),
            Some(_) => {}
            None => {
                self.missing.insert(hash);
                if !out.contains(&Output::NeedQuorumSet(hash)) {
                    out.push(Output::NeedQuorumSet(hash));
                }
            }
        }
    }

    fn set_known(&mut self, hash: &Hash, oracle: &dyn Oracle, out: &mut Vec<Output>) {
        let Some(set) = oracle.quorum_set(hash).filter(|set| rules::is_sane_set(set)) else {
            return;
        };
        if !self.missing.remove(hash) {
            return;
        }
        let slots: Vec<SlotIndex> = self.slots.keys().copied().collect();
        for slot in slots {
            let is_named = self
                .latest(slot)
                .any(|s| s.quorum_set == *hash && !rules::is_final(&s.pledges));
            if is_named {
                self.known.extend(rules::all_nodes(set));
                self.act(slot, Begins::Never, oracle, |held, world| held.settle(world, out));
            }
        }
    }
}

/// Whether an input makes a slot that is not held.
#[derive(Clone, Copy)]
enum Begins {
    IfMissing,
    Never,
}

impl World<'_> {
    /// The voice anew, after statements that may have silenced the slot.
    fn heard_by(self, held: &NaiveSlot) -> Self {
        Self {
            has_voice: self.config.votes && !held.is_silent,
            ..self
        }
    }
}

impl NaiveSlot {
    /// Takes one statement if it is newer. Answers whether it is.
    fn note(&mut self, statement: &Statement, world: World<'_>, out: &mut Vec<Output>) -> bool {
        let is_nomination = statement.pledges.is_nomination();
        let (latest, said) = if is_nomination {
            (&mut self.nominations.latest, &self.nominations.said)
        } else {
            (&mut self.ballots.latest, &self.ballots.said)
        };
        if statement.node == world.config.node {
            let is_older =
                |said: &Statement| said == statement || is_newer(&said.pledges, &statement.pledges);
            if !said.as_ref().is_some_and(is_older) && !self.is_silent {
                self.is_silent = true;
                out.push(Output::Amnesia(statement.clone()));
            }
            return false;
        }
        let held = latest.get(&statement.node);
        if let Some(held) = held {
            let bound = (
                rules::bound_to(&held.pledges),
                rules::bound_to(&statement.pledges),
            );
            if let (Some(a), Some(b)) = bound
                && a != b
                && self.accused.insert(statement.node)
            {
                out.push(Output::Evidence(held.clone(), statement.clone()));
            }
        }
        if held.is_some_and(|held| !is_newer(&statement.pledges, &held.pledges)) {
            return false;
        }
        for value in rules::values_of(&statement.pledges) {
            if !is_nomination || world.validity(&value) != Validity::Invalid {
                self.met.entry(value).or_default();
            }
        }
        let is_other = |decided: Value| rules::stands_for(&statement.pledges) != Some(decided);
        let is_decided = self.ballots.phase == Phase::Externalize;
        if is_nomination {
            self.nominations.unread.insert(statement.node);
        } else if is_decided && self.ballots.c.is_some_and(|c| is_other(c.value)) {
            return true;
        }
        latest.insert(statement.node, statement.clone());
        true
    }

    fn timer(&mut self, kind: TimerKind, generation: u64, world: World<'_>) {
        let clock = self.clocks.entry(kind).or_default();
        if clock.generation != generation || clock.round.take().is_none() {
            return;
        }
        match kind {
            TimerKind::Nomination => self.nominations.timer_fired(world, &mut self.met),
            TimerKind::Ballot => self.ballots.timer_fired(world, &mut self.met),
        }
    }

    /// §4.9
    fn compose(&mut self, world: World<'_>) {
        let candidates: Vec<Value> = self.nominations.candidates.iter().copied().collect();
        if candidates.is_empty() || self.ballots.phase != Phase::Prepare {
            return;
        }
        if let Some(composite) = world.oracle.combine(world.slot, &candidates) {
            self.met.entry(composite).or_default();
            self.ballots.set_composite(composite, world, &mut self.met);
        }
    }

    fn settle(&mut self, world: World<'_>, out: &mut Vec<Output>) {
        if self.nominations.advance(world, &mut self.met) {
            self.compose(world);
        }
        self.ballots.advance(world, &mut self.met);
        if self.ballots.phase == Phase::Externalize {
            self.nominations.is_running = false;
        }
        self.say(world, out);
        let round = self.nominations.timer_round();
        self.follow_clock(TimerKind::Nomination, round, world.slot, out);
        let round = self.ballots.timer_round(world);
        self.follow_clock(TimerKind::Ballot, round, world.slot, out);
        if self.ballots.phase == Phase::Externalize
            && !self.is_announced
            && let Some(c) = self.ballots.c
            && let Some(statements) = self.ballots.proof(world)
        {
            self.is_announced = true;
            out.push(Output::Externalized {
                slot: world.slot,
                value: c.value,
                statements,
            });
        }
    }

    fn say(&mut self, world: World<'_>, out: &mut Vec<Output>) {
        if !world.has_voice {
            return;
        }
        let is_news = |new: &Statement, said: &Option<Statement>| {
            let is_newer = |said: &Statement| is_newer(&new.pledges, &said.pledges);
            is_sane_statement(&new.pledges) && said.as_ref().is_none_or(is_newer)
        };
        let nomination = self.nominations.own_statement(world);
        let nomination = nomination.filter(|new| is_news(new, &self.nominations.said));
        let ballot = self.ballots.own_statement(world);
        let ballot = ballot.filter(|new| is_news(new, &self.ballots.said));
        if nomination.is_none() && ballot.is_none() && self.recorded_lock == self.ballots.lock {
            return;
        }
        self.nominations.said = nomination.clone().or(self.nominations.said.take());
        self.ballots.said = ballot.clone().or(self.ballots.said.take());
        self.recorded_lock = self.ballots.lock;
        out.push(Output::Persist(Record {
            slot: world.slot,
            nomination: self.nominations.said.clone(),
            ballot: self.ballots.said.clone(),
            value_lock: self.ballots.lock,
            round: self.nominations.round,
            is_nominating: self.nominations.is_running,
        }));
        out.extend(nomination.map(Output::Send));
        out.extend(ballot.map(Output::Send));
    }

    fn follow_clock(&mut self, kind: TimerKind, round: Option<u32>, slot: SlotIndex, out: &mut Vec<Output>) {
        let clock = self.clocks.entry(kind).or_default();
        if clock.round == round {
            return;
        }
        clock.round = round;
        clock.generation = clock.generation.saturating_add(1);
        let generation = clock.generation;
        out.push(match round {
            Some(round) => Output::SetTimer {
                slot,
                kind,
                round,
                generation,
            },
            None => Output::CancelTimer { slot, kind },
        });
    }

    /// §6.3, §6.5
    fn restore(&mut self, record: &Record, world: World<'_>, out: &mut Vec<Output>) {
        let fits = |statement: &Option<Statement>, is_nomination: bool| {
            statement.as_ref().is_none_or(|statement| {
                statement.node == world.config.node
                    && statement.slot == world.slot
                    && statement.pledges.is_nomination() == is_nomination
                    && is_sane_statement(&statement.pledges)
            })
        };
        if !fits(&record.nomination, true) || !fits(&record.ballot, false) {
            self.is_silent = true;
            out.push(Output::RecordRefused(world.slot));
            return;
        }
        self.is_silent = false;
        let is_new = |new: &&Statement, said: &Option<Statement>| {
            said.as_ref()
                .is_none_or(|said| is_newer(&new.pledges, &said.pledges))
        };
        self.nominations.round = self.nominations.round.max(record.round);
        let nomination = record.nomination.as_ref();
        if let Some(statement) = nomination.filter(|new| is_new(new, &self.nominations.said)) {
            self.nominations.restore(statement);
            for value in rules::values_of(&statement.pledges) {
                self.met.entry(value).or_default();
            }
        }
        let ballot = record.ballot.as_ref();
        if let Some(statement) = ballot.filter(|new| is_new(new, &self.ballots.said)) {
            self.ballots.restore(statement);
            for value in rules::values_of(&statement.pledges) {
                self.met.entry(value).or_default();
            }
        }
        if let (Phase::Prepare, Some(lock)) = (self.ballots.phase, record.value_lock) {
            self.ballots.lock = Some(lock);
            self.met.entry(lock).or_default();
        }
        self.recorded_lock = self.ballots.lock;
    }
}
