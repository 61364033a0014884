//! One slot: nomination and ballots side by side, what is said about them, and the two timers.

use crate::ballot::{BallotProtocol, Phase};
use crate::node_set::{NodeIndex, NodeSet};
use crate::nomination::Nomination;
use crate::pledge::Pledge;
use crate::protocol::{Config, Env, Oracle, Output, Record, TimerKind, Validity};
use crate::roster::{Declared, Roster, SetIndex};
use crate::statement::{Pledges, Statement, Value};
use crate::values::{ValueIndex, Values};
use alloc::vec::Vec;
use watt_primitives::{Hash, SlotIndex};

#[cfg(any(test, feature = "testing"))]
mod inspect;

/// A timer as the caller was last told.
#[derive(Clone, Copy, Debug)]
struct Timer {
    generation: u64,
    /// Nomination round or ballot counter; `None` if it does not run.
    round: Option<u32>,
}

impl Timer {
    const NEW: Self = Self {
        generation: 0,
        round: None,
    };

    /// Makes the caller's timer what it should be.
    fn follow(&mut self, wanted: Option<u32>, slot: SlotIndex, kind: TimerKind, out: &mut Vec<Output>) {
        if self.round == wanted {
            return;
        }
        self.round = wanted;
        self.generation = self.generation.saturating_add(1);
        out.push(match wanted {
            Some(round) => Output::SetTimer {
                slot,
                kind,
                round,
                generation: self.generation,
            },
            None => Output::CancelTimer { slot, kind },
        });
    }

    /// Whether this is the timer that runs; it does not any more.
    fn fire(&mut self, generation: u64) -> bool {
        generation == self.generation && self.round.take().is_some()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    index: SlotIndex,
    values: Values,
    nomination: Nomination,
    ballot: BallotProtocol,
    nomination_timer: Timer,
    ballot_timer: Timer,
    /// Nothing is said because something said before may be forgotten.
    is_silent: bool,
    /// Whether the caller was told of the decision.
    is_externalized: bool,
    /// Nodes whose contradiction has been reported.
    accused: NodeSet,
    /// The value lock of the last record.
    recorded_lock: Option<ValueIndex>,
}

impl Slot {
    pub(crate) const fn new(index: SlotIndex) -> Self {
        Self {
            index,
            values: Values::new(index),
            nomination: Nomination::new(),
            ballot: BallotProtocol::new(),
            nomination_timer: Timer::NEW,
            ballot_timer: Timer::NEW,
            is_silent: false,
            is_externalized: false,
            accused: NodeSet::EMPTY,
            recorded_lock: None,
        }
    }

    // --- questions ---

    pub(crate) fn latest(&self) -> impl Iterator<Item = &Statement> {
        self.nomination.statements().chain(self.ballot.statements())
    }

    pub(crate) fn own(&self) -> impl Iterator<Item = &Statement> {
        self.nomination.said().into_iter().chain(self.ballot.said())
    }

    pub(crate) fn externalized(&self) -> Option<Value> {
        self.ballot.externalized().map(|value| self.values.get(value))
    }

    pub(crate) fn heard_from_quorum(&self) -> bool {
        self.ballot.heard_from_quorum() || self.ballot.phase() == Phase::Externalize
    }

    /// Whether nothing would be lost with the slot that peers could not tell again.
    pub(crate) fn is_untouched(&self) -> bool {
        let has_spoken = self.nomination.said().is_some() || self.ballot.said().is_some();
        !has_spoken && !self.is_silent && !self.nomination.is_running() && !self.is_externalized
    }

    pub(crate) fn uses_set(&self, set: SetIndex) -> bool {
        self.nomination.declarations().uses(set) || self.ballot.declarations().uses(set)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check_invariants(&self) -> Result<(), &'static str> {
        self.ballot.check_invariants(&self.values)
    }

    // --- inputs ---

    pub(crate) fn nominate(&mut self, value: Value, previous: Value, env: Env<'_>, out: &mut Vec<Output>) {
        let env = self.with_voice(env);
        if env.votes && self.ballot.phase() != Phase::Externalize {
            if let Some(index) = self.values.find(&value) {
                self.values.refresh(index, env.oracle);
            }
            self.nomination.start(value, previous, env, &mut self.values);
        }
        self.settle(env, out);
    }

    /// Notes one statement; [`Self::settle`] follows once the whole batch is noted.
    pub(crate) fn record(
        &mut self,
        statement: &Statement,
        config: &Config,
        roster: &mut Roster,
        oracle: &dyn Oracle,
        out: &mut Vec<Output>,
    ) {
        if statement.node == config.node {
            self.record_own(statement, out);
            return;
        }
        let Some(node) = roster.index(&statement.node) else {
            return;
        };
        let held = if statement.pledges.is_nomination() {
            self.nomination.statement_of(node)
        } else {
            self.ballot.statement_of(node)
        };
        if let Some(held) = held {
            let is_newer = statement.pledges.is_newer_than(&held.pledges);
            if contradicts(held, statement) && !self.accused.contains(node) {
                out.push(Output::Evidence(held.clone(), statement.clone()));
                self.accused.insert(node);
            }
            if !is_newer {
                return;
            }
        }
        let declared = self.declared_by(statement, roster, oracle, out);
        let n_known = self.values.len();
        if statement.pledges.is_nomination() {
            self.record_nomination(node, roster.len(), statement, declared, oracle);
        } else {
            let values = &mut self.values;
            let pledge = Pledge::of(&statement.pledges, |value| {
                values.intern_from(node, roster.len(), value, oracle)
            });
            if let Some(pledge) = pledge {
                self.ballot
                    .record(node, roster.len(), statement, pledge, declared);
            }
        }
        for index in self.values.indexes_from(n_known) {
            if self.values.validity(index) != Validity::Invalid {
                self.nomination.recount(index, &self.values.get(index));
            }
        }
    }

    pub(crate) fn resolve_quorum_set(
        &mut self,
        hash: &Hash,
        roster: &mut Roster,
        oracle: &dyn Oracle,
    ) -> bool {
        // A set that nobody here waits for is not met by being known.
        let is_waiting = roster.indexes().any(|node| {
            let names = |statement: &Statement| statement.quorum_set == *hash;
            let in_nomination = self.nomination.declarations().is_unknown(node)
                && self.nomination.statement_of(node).is_some_and(names);
            let in_ballots = self.ballot.declarations().is_unknown(node)
                && self.ballot.statement_of(node).is_some_and(names);
            in_nomination || in_ballots
        });
        if !is_waiting {
            return false;
        }
        let declared = roster.resolve(hash, oracle);
        if declared == Declared::Unknown {
            return false;
        }
        for node in roster.indexes() {
            let names = |statement: &Statement| statement.quorum_set == *hash;
            if self.nomination.declarations().is_unknown(node)
                && self.nomination.statement_of(node).is_some_and(names)
            {
                self.nomination.declare(node, declared);
            }
            if self.ballot.declarations().is_unknown(node)
                && self.ballot.statement_of(node).is_some_and(names)
            {
                self.ballot.declare(node, declared);
            }
        }
        true
    }

    pub(crate) fn timer_fired(
        &mut self,
        kind: TimerKind,
        generation: u64,
        env: Env<'_>,
        out: &mut Vec<Output>,
    ) {
        let env = self.with_voice(env);
        match kind {
            TimerKind::Nomination => {
                if self.nomination_timer.fire(generation) {
                    self.nomination.timer_fired(env, &mut self.values);
                }
            }
            TimerKind::Ballot => {
                if self.ballot_timer.fire(generation) {
                    self.ballot.timer_fired(env, &mut self.values);
                }
            }
        }
        self.settle(env, out);
    }

    pub(crate) fn validity_changed(&mut self, value: &Value, env: Env<'_>, out: &mut Vec<Output>) {
        let env = self.with_voice(env);
        if let Some(index) = self.values.find(value) {
            self.values.refresh(index, env.oracle);
            self.nomination.recount(index, value);
            self.ballot.note_news();
        } else {
            self.admit_nominated(value, env);
            self.nomination.reread(value);
            self.nomination.note_news();
        }
        self.combine_candidates(env);
        self.settle(env, out);
    }

    pub(crate) fn body_timeout(&mut self, value: &Value, env: Env<'_>, out: &mut Vec<Output>) {
        if let Some(index) = self.values.find(value) {
            self.values.refresh(index, env.oracle);
            self.values.set_body_overdue(index);
            self.ballot.note_news();
            self.settle(env, out);
        }
    }

    /// Takes up what this node said before; says nothing by itself (§6.3).
    pub(crate) fn restore(&mut self, record: &Record, env: Env<'_>, out: &mut Vec<Output>) {
        let statements = || record.nomination.iter().chain(&record.ballot);
        let is_ours = statements().all(|statement| {
            statement.node == env.config.node && statement.slot == self.index && statement.pledges.is_sane()
        });
        let kinds_fit = record
            .nomination
            .as_ref()
            .is_none_or(|s| s.pledges.is_nomination())
            && record.ballot.as_ref().is_none_or(|s| !s.pledges.is_nomination());
        if !is_ours || !kinds_fit {
            self.is_silent = true;
            out.push(Output::RecordRefused(self.index));
            return;
        }
        self.is_silent = false;
        let env = self.with_voice(env);
        let is_new = |statement: &&Statement, said: Option<&Statement>| {
            said.is_none_or(|said| statement.pledges.is_newer_than(&said.pledges))
        };
        let nomination = record.nomination.as_ref();
        let nomination = nomination.filter(|statement| is_new(statement, self.nomination.said()));
        self.nomination
            .restore(nomination, record.round, env, &mut self.values);
        let ballot = record.ballot.as_ref();
        if let Some(statement) = ballot.filter(|statement| is_new(statement, self.ballot.said())) {
            let values = &mut self.values;
            if let Some(pledge) = Pledge::of(&statement.pledges, |value| values.intern_own(value, env.oracle))
            {
                self.ballot.restore(statement, pledge);
            }
        }
        self.nomination.regain_voice(env);
        self.ballot.speak_to_self(env);
        let lock = record.value_lock.as_ref();
        if self.ballot.phase() == Phase::Prepare
            && let Some(lock) = lock.and_then(|value| self.values.intern_own(value, env.oracle))
        {
            self.ballot.set_value_lock(lock);
        }
        self.recorded_lock = self.ballot.value_lock();
    }

    pub(crate) fn cancel_timers(&mut self, out: &mut Vec<Output>) {
        self.nomination_timer
            .follow(None, self.index, TimerKind::Nomination, out);
        self.ballot_timer.follow(None, self.index, TimerKind::Ballot, out);
    }

    /// Applies the rules and says what came of it, once.
    pub(crate) fn settle(&mut self, env: Env<'_>, out: &mut Vec<Output>) {
        let env = self.with_voice(env);
        if self.nomination.advance(env, &mut self.values) {
            self.combine_candidates(env);
        }
        self.ballot.advance(env, &mut self.values);
        let has_decided = self.ballot.phase() == Phase::Externalize;
        if has_decided {
            self.nomination.stop();
        }
        self.say(env, out);
        let nomination_round = self.nomination.timer_round();
        self.nomination_timer
            .follow(nomination_round, self.index, TimerKind::Nomination, out);
        let ballot_round = self.ballot.timer_round();
        self.ballot_timer
            .follow(ballot_round, self.index, TimerKind::Ballot, out);
        if has_decided
            && !self.is_externalized
            && let Some(value) = self.externalized()
            && let Some(statements) = self.ballot.finality_statements(env.roster)
        {
            self.is_externalized = true;
            out.push(Output::Externalized {
                slot: self.index,
                value,
                statements,
            });
        }
    }

    // --- steps ---

    fn with_voice<'a>(&self, env: Env<'a>) -> Env<'a> {
        Env {
            votes: env.votes && !self.is_silent,
            ..env
        }
    }

    fn record_nomination(
        &mut self,
        node: NodeIndex,
        n_nodes: usize,
        statement: &Statement,
        declared: Declared,
        oracle: &dyn Oracle,
    ) {
        let Pledges::Nominate { votes, accepted } = &statement.pledges else {
            return;
        };
        self.nomination.record(node, n_nodes, statement, declared);
        for value in votes {
            if let Some(index) = self.values.intern_nominated(node, n_nodes, value, oracle) {
                self.nomination.count(node, index, false);
            }
        }
        for value in accepted {
            match self.values.intern_nominated(node, n_nodes, value, oracle) {
                Some(index) => self.nomination.count(node, index, true),
                None => self.nomination.note_unmet(node),
            }
        }
    }

    /// Own statements come back from peers; one that is newer than what we hold means that we have forgotten it (§6.4).
    fn record_own(&mut self, statement: &Statement, out: &mut Vec<Output>) {
        let said = if statement.pledges.is_nomination() {
            self.nomination.said()
        } else {
            self.ballot.said()
        };
        let is_known =
            said.is_some_and(|said| said == statement || said.pledges.is_newer_than(&statement.pledges));
        if !is_known && !self.is_silent {
            self.is_silent = true;
            self.nomination.withdraw();
            self.ballot.withdraw();
            out.push(Output::Amnesia(statement.clone()));
        }
    }

    fn declared_by(
        &self,
        statement: &Statement,
        roster: &mut Roster,
        oracle: &dyn Oracle,
        out: &mut Vec<Output>,
    ) -> Declared {
        match statement.pledges {
            Pledges::Externalize { .. } => Declared::Itself,
            Pledges::Nominate { .. } | Pledges::Prepare { .. } | Pledges::Confirm { .. } => {
                let declared = roster.resolve(&statement.quorum_set, oracle);
                let need = Output::NeedQuorumSet(statement.quorum_set);
                let is_missing =
                    declared == Declared::Unknown && oracle.quorum_set(&statement.quorum_set).is_none();
                if is_missing && !out.contains(&need) {
                    out.push(need);
                }
                declared
            }
        }
    }

    /// A nominated value that was invalid when it was named is not any more.
    fn admit_nominated(&mut self, value: &Value, env: Env<'_>) {
        let is_named = |statement: &&Statement| statement.pledges.nominates(value);
        let namer = self.nomination.statements().find(is_named);
        let Some(node) = namer.and_then(|statement| env.roster.index(&statement.node)) else {
            return;
        };
        let index = self
            .values
            .intern_nominated(node, env.roster.len(), value, env.oracle);
        if let Some(index) = index {
            self.nomination.recount(index, value);
        }
    }

    fn combine_candidates(&mut self, env: Env<'_>) {
        let candidates = self.nomination.candidates(&self.values);
        if candidates.is_empty() || self.ballot.phase() != Phase::Prepare {
            return;
        }
        let composite = env.oracle.combine(self.index, &candidates);
        if let Some(index) = composite.and_then(|value| self.values.intern_own(&value, env.oracle)) {
            self.ballot.set_composite(index, env, &mut self.values);
        }
    }

    /// Persists and sends what is new, in this order, both protocols in one record.
    fn say(&mut self, env: Env<'_>, out: &mut Vec<Output>) {
        if !env.votes {
            return;
        }
        let nomination = self.nomination.take_statement(env, &self.values);
        let ballot = self.ballot.take_statement(env, &self.values);
        let lock = self.ballot.value_lock();
        if nomination.is_none() && ballot.is_none() && lock == self.recorded_lock {
            return;
        }
        self.recorded_lock = lock;
        out.push(Output::Persist(Record {
            slot: self.index,
            nomination: self.nomination.said().cloned(),
            ballot: self.ballot.said().cloned(),
            value_lock: lock.map(|value| self.values.get(value)),
            round: self.nomination.round(),
            is_nominating: self.nomination.is_running(),
        }));
        out.extend(nomination.map(Output::Send));
        out.extend(ballot.map(Output::Send));
    }
}

/// Whether no correct node makes both statements: after accepting a commit it never names another value (§7).
fn contradicts(a: &Statement, b: &Statement) -> bool {
    match (a.pledges.committed_value(), b.pledges.committed_value()) {
        (Some(a), Some(b)) => a != b,
        (None, _) | (_, None) => false,
    }
}
