//! The ballot protocol of one slot: one function per rule, named as in the paper (`docs/spec/scp.md` §5).

use crate::node_set::{NodeIndex, NodeSet};
use crate::pledge::Pledge;
use crate::protocol::{Env, OWN, Validity};
use crate::roster::{Declarations, Declared, Roster};
use crate::statement::{Pledges, Statement};
use crate::values::{IndexedBallot, ValueIndex, Values};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Upper end for the passes of one step over the rules; each pass raises a counter or a phase that statements bound, so the
/// end is never reached. It stands here so that a mistake in that argument costs progress, never a hanging node.
const PASSES_MAX: usize = 10_000;

/// How far the slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Prepare,
    Confirm,
    Externalize,
}

/// State of the ballot protocol; fields are named as in the paper.
#[derive(Clone, Debug)]
pub(crate) struct BallotProtocol {
    phase: Phase,
    /// `b`: current ballot.
    current: Option<IndexedBallot>,
    /// `p`: highest accepted prepared.
    prepared: Option<IndexedBallot>,
    /// `p'`: highest accepted prepared and incompatible with `p`.
    prepared_prime: Option<IndexedBallot>,
    /// `h`: highest confirmed prepared (PREPARE), highest accepted commit (CONFIRM), highest confirmed commit.
    high: Option<IndexedBallot>,
    /// `c`: lowest ballot voted to commit, accepted commit, confirmed commit.
    commit: Option<IndexedBallot>,
    /// The value that own next ballots must carry: last confirmed prepared or accepted commit.
    value_lock: Option<ValueIndex>,
    /// `z`: what nomination made of its candidates.
    composite: Option<ValueIndex>,
    heard_from_quorum: bool,
    /// What each node last said, by position; at [`OWN`] own state, which is said only when the step ends.
    heard: Vec<Option<Pledge>>,
    /// The same in full, for others to be told; nothing at [`OWN`].
    statements: Vec<Option<Statement>>,
    declarations: Declarations,
    /// Own statement as last said.
    said: Option<Statement>,
    /// Whether own state may have changed since `said`.
    is_dirty: bool,
    /// Whether anything the rules look at has changed since they last ran.
    has_news: bool,
    // Working memory of the rules, kept to spare allocations.
    candidates: Vec<IndexedBallot>,
    boundaries: Vec<u32>,
    committing: Vec<ValueIndex>,
}

impl BallotProtocol {
    pub(crate) const fn new() -> Self {
        Self {
            phase: Phase::Prepare,
            current: None,
            prepared: None,
            prepared_prime: None,
            high: None,
            commit: None,
            value_lock: None,
            composite: None,
            heard_from_quorum: false,
            heard: Vec::new(),
            statements: Vec::new(),
            declarations: Declarations::new(),
            said: None,
            is_dirty: false,
            has_news: false,
            candidates: Vec::new(),
            boundaries: Vec::new(),
            committing: Vec::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn heard_from_quorum(&self) -> bool {
        self.heard_from_quorum
    }

    pub(crate) fn value_lock(&self) -> Option<ValueIndex> {
        self.value_lock
    }

    pub(crate) fn set_value_lock(&mut self, value: ValueIndex) {
        self.value_lock = Some(value);
    }

    pub(crate) fn said(&self) -> Option<&Statement> {
        self.said.as_ref()
    }

    /// The value decided, once it is.
    pub(crate) fn externalized(&self) -> Option<ValueIndex> {
        match self.phase {
            Phase::Prepare | Phase::Confirm => None,
            Phase::Externalize => self.commit.map(|commit| commit.value),
        }
    }

    /// The ballot timer that should run: the counter, once a quorum has reached it.
    pub(crate) fn timer_round(&self) -> Option<u32> {
        match self.phase {
            Phase::Prepare | Phase::Confirm if self.heard_from_quorum => self.current.map(|b| b.counter),
            Phase::Prepare | Phase::Confirm | Phase::Externalize => None,
        }
    }

    pub(crate) fn statement_of(&self, node: NodeIndex) -> Option<&Statement> {
        if node == OWN {
            return self.said.as_ref();
        }
        self.statements.get(node.position())?.as_ref()
    }

    pub(crate) fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.said.iter().chain(self.statements.iter().flatten())
    }

    pub(crate) fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    pub(crate) fn declare(&mut self, node: NodeIndex, declared: Declared) {
        self.declarations.declare(node, declared);
        self.has_news = true;
    }

    /// The oracle judges a value differently now.
    pub(crate) fn note_news(&mut self) {
        self.has_news = true;
    }

    /// Own state no longer counts: what was said before is not known any more.
    pub(crate) fn withdraw(&mut self) {
        if let Some(own) = self.heard.first_mut() {
            *own = None;
        }
        self.has_news = true;
    }

    /// Notes what another node says; the rules run later, once for a whole batch.
    pub(crate) fn record(
        &mut self,
        node: NodeIndex,
        statement: &Statement,
        pledge: Pledge,
        declared: Declared,
    ) {
        let is_other_value = |decided: ValueIndex| decided != pledge.value();
        if self.externalized().is_some_and(is_other_value) {
            return;
        }
        let is_final = match pledge {
            Pledge::Prepare { .. } | Pledge::Confirm { .. } => false,
            Pledge::Externalize { .. } => true,
        };
        let declared = if is_final { Declared::Itself } else { declared };
        self.declarations.declare(node, declared);
        place(&mut self.heard, node, pledge);
        place(&mut self.statements, node, statement.clone());
        self.has_news = true;
    }

    /// Starts with nomination's composite, unless a ballot has begun (`docs/spec/scp.md` §5.7).
    pub(crate) fn set_composite(&mut self, composite: ValueIndex, env: Env<'_>, values: &mut Values) {
        self.composite = Some(composite);
        if self.current.is_none() {
            self.bump_state(1, env, values);
        }
    }

    /// The ballot timer ran out: on to the next counter.
    pub(crate) fn timer_fired(&mut self, env: Env<'_>, values: &mut Values) {
        let next = self.current.and_then(|current| current.counter.checked_add(1));
        if let Some(counter) = next {
            self.bump_state(counter, env, values);
        }
    }

    /// Applies the rules in the paper's order until none of them has anything left to do.
    pub(crate) fn advance(&mut self, env: Env<'_>, values: &mut Values) {
        if !core::mem::take(&mut self.has_news) {
            return;
        }
        for _ in 0..PASSES_MAX {
            if self.phase == Phase::Externalize {
                break;
            }
            let has_moved = self.attempt_accept_prepared(env, values)
                | self.attempt_confirm_prepared(env, values)
                | self.attempt_vote_commit(env, values)
                | self.attempt_accept_commit(env, values)
                | self.attempt_confirm_commit(env, values);
            // Bumping comes only when everything else is done.
            if !has_moved && !self.attempt_bump(env, values) && !self.attempt_abandon_value(env, values) {
                break;
            }
        }
        self.check_heard_from_quorum(env);
        self.has_news = false;
    }

    /// Own statement, if it is newer than what was said.
    pub(crate) fn take_statement(&mut self, env: Env<'_>, values: &Values) -> Option<Statement> {
        if !core::mem::take(&mut self.is_dirty) {
            return None;
        }
        let statement = Statement {
            node: env.config.node,
            slot: values.slot(),
            quorum_set: env.quorum_set_hash,
            pledges: self.pledges(values)?,
        };
        let is_newer = |said: &Statement| statement.pledges.is_newer_than(&said.pledges);
        if !self.said.as_ref().is_none_or(is_newer) {
            return None;
        }
        self.said = Some(statement.clone());
        Some(statement)
    }

    /// Goes on from an own statement said before (`docs/spec/scp.md` §6.3).
    pub(crate) fn restore(&mut self, statement: &Statement, pledge: Pledge, env: Env<'_>) {
        let ballot = |counter: u32, value| Some(IndexedBallot { counter, value });
        let some = |counter: u32, value| (counter != 0).then_some(IndexedBallot { counter, value });
        let value = pledge.value();
        match pledge {
            Pledge::Prepare {
                ballot: current,
                prepared,
                prepared_prime,
                c_counter,
                h_counter,
            } => {
                self.phase = Phase::Prepare;
                self.current = Some(current);
                self.prepared = prepared;
                self.prepared_prime = prepared_prime;
                self.high = some(h_counter, value);
                self.commit = some(c_counter, value);
                self.value_lock = self.high.map(|high| high.value).or(self.value_lock);
            }
            Pledge::Confirm {
                ballot: current,
                prepared_counter,
                c_counter,
                h_counter,
            } => {
                self.phase = Phase::Confirm;
                self.current = Some(current);
                self.prepared = ballot(prepared_counter.max(h_counter), value);
                self.prepared_prime = None;
                self.high = ballot(h_counter, value);
                self.commit = ballot(c_counter, value);
                self.value_lock = Some(value);
            }
            Pledge::Externalize { commit, h_counter } => {
                self.phase = Phase::Externalize;
                self.current = ballot(u32::MAX, value);
                self.prepared = ballot(u32::MAX, value);
                self.prepared_prime = None;
                self.high = ballot(h_counter, value);
                self.commit = Some(commit);
                self.value_lock = Some(value);
            }
        }
        self.heard_from_quorum = false;
        self.said = Some(statement.clone());
        self.speak_to_self(env);
        self.is_dirty = false;
    }

    // --- the rules ---

    /// Paper §5 step 1: accept `prepare(ballot)` for the highest ballot that can be.
    fn attempt_accept_prepared(&mut self, env: Env<'_>, values: &Values) -> bool {
        if self.phase == Phase::Externalize {
            return false;
        }
        let candidates = self.prepare_candidates(values);
        let acceptable = candidates.iter().copied().find(|ballot| {
            self.would_raise_prepared(*ballot, values)
                && self.federated_accept(
                    env.roster,
                    true,
                    |pledge| pledge.votes_prepare(*ballot),
                    |pledge| pledge.accepts_prepared(*ballot),
                )
        });
        self.candidates = candidates;
        acceptable.is_some_and(|ballot| self.set_accept_prepared(ballot, env, values))
    }

    fn would_raise_prepared(&self, ballot: IndexedBallot, values: &Values) -> bool {
        let is_compatible_raise = |prepared: IndexedBallot| prepared.is_within(ballot);
        let may_confirm = self.phase != Phase::Confirm || self.prepared.is_some_and(is_compatible_raise);
        let is_at_most = |prime| values.compare(ballot, prime) != Ordering::Greater;
        let is_covered = self.prepared.is_some_and(|prepared| ballot.is_within(prepared))
            || self.prepared_prime.is_some_and(is_at_most);
        may_confirm && !is_covered
    }

    fn set_accept_prepared(&mut self, ballot: IndexedBallot, env: Env<'_>, values: &Values) -> bool {
        let mut has_moved = self.set_prepared(ballot, values);
        // Accepting a higher incompatible ballot as prepared is accepting that `c..h` are aborted.
        if let (Some(_), Some(high)) = (self.commit, self.high)
            && self.is_aborted(high, values)
        {
            self.commit = None;
            has_moved = true;
        }
        if has_moved {
            self.speak_to_self(env);
        }
        has_moved
    }

    /// Keeps `p` and `p'` the two highest accepted prepared ballots that are incompatible with each other.
    fn set_prepared(&mut self, ballot: IndexedBallot, values: &Values) -> bool {
        let Some(prepared) = self.prepared else {
            self.prepared = Some(ballot);
            return true;
        };
        match values.compare(prepared, ballot) {
            Ordering::Less => {
                if prepared.value != ballot.value {
                    self.prepared_prime = Some(prepared);
                }
                self.prepared = Some(ballot);
                true
            }
            Ordering::Greater => {
                let raises = |prime| values.compare(prime, ballot) == Ordering::Less;
                let is_next = prepared.value != ballot.value && self.prepared_prime.is_none_or(raises);
                if is_next {
                    self.prepared_prime = Some(ballot);
                }
                is_next
            }
            Ordering::Equal => false,
        }
    }

    /// Whether `p` or `p'` is higher than `ballot` and incompatible with it.
    fn is_aborted(&self, ballot: IndexedBallot, values: &Values) -> bool {
        let both = [self.prepared, self.prepared_prime];
        both.into_iter()
            .flatten()
            .any(|prepared| values.is_below_incompatible(ballot, prepared))
    }

    /// Paper §5 steps 2 and 3: confirm `prepare(h)` for the highest ballot that can be, and vote to commit from `b` to it.
    fn attempt_confirm_prepared(&mut self, env: Env<'_>, values: &Values) -> bool {
        if self.phase != Phase::Prepare || self.prepared.is_none() {
            return false;
        }
        let candidates = self.prepare_candidates(values);
        let may_raise_high = |ballot: &IndexedBallot| {
            self.high
                .is_none_or(|high| values.compare(high, *ballot) == Ordering::Less)
        };
        let new_high = candidates
            .iter()
            .copied()
            .take_while(may_raise_high)
            .find(|ballot| self.federated_ratify(env.roster, |pledge| pledge.accepts_prepared(*ballot)));
        let lowest = new_high.and_then(|high| {
            let mut compatible = candidates.iter().rev().filter(|ballot| ballot.is_within(high));
            compatible.next().copied()
        });
        self.candidates = candidates;
        let (Some(new_high), Some(lowest)) = (new_high, lowest) else {
            return false;
        };
        let new_commit = self.commit_vote(new_high, lowest, values);
        self.set_confirm_prepared(new_commit, new_high, env, values)
    }

    /// `c`: the lowest ballot with `b ≤ c ≲ h`, if this node may vote to commit at all.
    fn commit_vote(
        &self,
        high: IndexedBallot,
        lowest: IndexedBallot,
        values: &Values,
    ) -> Option<IndexedBallot> {
        // The body has to be durable and applicable here before this node's word helps to commit it (§5.5).
        let may_vote = self.commit.is_none()
            && values.validity(high.value) == Validity::Full
            && !self.is_aborted(high, values);
        let from = self.current.unwrap_or(lowest);
        (may_vote && from.is_within(high)).then_some(from)
    }

    fn set_confirm_prepared(
        &mut self,
        new_commit: Option<IndexedBallot>,
        new_high: IndexedBallot,
        env: Env<'_>,
        values: &Values,
    ) -> bool {
        let mut has_moved = false;
        self.value_lock = Some(new_high.value);
        // `h` and `c` are about the current ballot's value only.
        if self.current.is_none_or(|current| current.value == new_high.value) {
            has_moved |= self.high != Some(new_high);
            self.high = Some(new_high);
            if new_commit.is_some() {
                self.commit = new_commit;
                has_moved = true;
            }
        }
        has_moved |= self.raise_current(new_high, values);
        if has_moved {
            self.speak_to_self(env);
        }
        has_moved
    }

    /// Paper §5 step 3, late: the body came after `h` was confirmed prepared.
    fn attempt_vote_commit(&mut self, env: Env<'_>, values: &Values) -> bool {
        if self.phase != Phase::Prepare || self.high != self.current {
            return false;
        }
        let vote = self.high.and_then(|high| self.commit_vote(high, high, values));
        if vote.is_some() {
            self.commit = vote;
            self.speak_to_self(env);
        }
        vote.is_some()
    }

    /// Paper §5 step 4: accept `commit` for the widest interval of ballots that can be.
    fn attempt_accept_commit(&mut self, env: Env<'_>, values: &Values) -> bool {
        if self.phase == Phase::Externalize {
            return false;
        }
        let committing = self.committing_values();
        let acceptable = committing
            .iter()
            .find_map(|value| Some((*value, self.acceptable_commit(*value, env, values)?)));
        self.committing = committing;
        acceptable.is_some_and(|(value, (low, high))| {
            let at = |counter| IndexedBallot { counter, value };
            self.set_accept_commit(at(low), at(high), env, values)
        })
    }

    /// The counters for which commit of `value` can newly be accepted.
    fn acceptable_commit(&mut self, value: ValueIndex, env: Env<'_>, values: &Values) -> Option<(u32, u32)> {
        let (is_confirming, may_raise_from) = match (self.phase, self.high) {
            (Phase::Confirm, Some(high)) if high.value == value => (true, high.counter),
            (Phase::Confirm | Phase::Externalize, _) => return None,
            (Phase::Prepare, _) => (false, 0),
        };
        // Without the body this node follows nodes that have accepted, but is not one of those whose votes make a quorum.
        let may_join_quorum = is_confirming || values.validity(value) == Validity::Full;
        let interval = self.widest_interval(value, |this, low, high| {
            this.federated_accept(
                env.roster,
                may_join_quorum,
                |pledge| pledge.votes_commit(value, low, high),
                |pledge| pledge.accepts_commit(value, low, high),
            )
        });
        interval.filter(|(_, high)| *high > may_raise_from)
    }

    fn set_accept_commit(
        &mut self,
        low: IndexedBallot,
        high: IndexedBallot,
        env: Env<'_>,
        values: &Values,
    ) -> bool {
        self.value_lock = Some(high.value);
        if self.phase == Phase::Confirm && self.commit == Some(low) && self.high == Some(high) {
            return false;
        }
        self.commit = Some(low);
        self.high = Some(high);
        if self.phase == Phase::Prepare {
            self.phase = Phase::Confirm;
            // The one place where `b` may go down: CONFIRM is newer than any PREPARE.
            if self.current.is_none_or(|current| !high.is_within(current)) {
                self.set_current(high);
            }
        }
        // Accepting commit includes accepting prepared.
        if self.prepared.is_none_or(|prepared| !high.is_within(prepared)) {
            self.prepared = Some(high);
        }
        self.prepared_prime = None;
        self.raise_current(high, values);
        self.speak_to_self(env);
        true
    }

    /// Paper §5 step 5: confirm `commit` for the widest interval of ballots that can be; the slot is then decided.
    fn attempt_confirm_commit(&mut self, env: Env<'_>, values: &Values) -> bool {
        let (Phase::Confirm, Some(commit)) = (self.phase, self.commit) else {
            return false;
        };
        let value = commit.value;
        let interval = self.widest_interval(value, |this, low, high| {
            this.federated_ratify(env.roster, |pledge| pledge.accepts_commit(value, low, high))
        });
        let Some((low, high)) = interval else { return false };
        let high = IndexedBallot { counter: high, value };
        self.commit = Some(IndexedBallot { counter: low, value });
        self.high = Some(high);
        self.raise_current(high, values);
        self.phase = Phase::Externalize;
        self.speak_to_self(env);
        true
    }

    /// Paper §5 step 9: when a v-blocking set is ahead, go to the lowest counter at which none is.
    fn attempt_bump(&mut self, env: Env<'_>, values: &mut Values) -> bool {
        let counter = self.current.map_or(0, |current| current.counter);
        if self.phase == Phase::Externalize || !self.is_blocking_set_above(counter, env.roster) {
            return false;
        }
        let mut counters = core::mem::take(&mut self.boundaries);
        counters.clear();
        let heard = self.heard.iter().flatten().map(Pledge::counter);
        counters.extend(heard.filter(|ahead| *ahead > counter));
        counters.sort_unstable();
        counters.dedup();
        let lowest = counters
            .iter()
            .copied()
            .find(|ahead| !self.is_blocking_set_above(*ahead, env.roster));
        self.boundaries = counters;
        lowest.is_some_and(|lowest| self.bump_state(lowest, env, values))
    }

    fn is_blocking_set_above(&self, counter: u32, roster: &Roster) -> bool {
        let ahead = self.nodes_where(|pledge| pledge.counter() > counter);
        roster.own_set().is_blocked_by(&ahead)
    }

    /// A value whose body is overdue or bad is left at once, unless this node has voted to commit it (§5.5).
    fn attempt_abandon_value(&mut self, env: Env<'_>, values: &mut Values) -> bool {
        let (Phase::Prepare, None, Some(current)) = (self.phase, self.commit, self.current) else {
            return false;
        };
        if !values.is_given_up(current.value) || self.ballot_value(env, values) == Some(current.value) {
            return false;
        }
        let next = current.counter.checked_add(1);
        next.is_some_and(|counter| self.bump_state(counter, env, values))
    }

    /// Moves to `⟨counter, z⟩`, never down and never away from a commit.
    fn bump_state(&mut self, counter: u32, env: Env<'_>, values: &mut Values) -> bool {
        let Some(value) = self.ballot_value(env, values) else {
            return false;
        };
        let ballot = IndexedBallot { counter, value };
        let leaves_commit = self.commit.is_some_and(|commit| commit.value != value);
        let is_raise = |current| values.compare(current, ballot) == Ordering::Less;
        if self.phase == Phase::Externalize || leaves_commit || !self.current.is_none_or(is_raise) {
            return false;
        }
        self.set_current(ballot);
        self.speak_to_self(env);
        self.check_heard_from_quorum(env);
        true
    }

    /// `z`: the value of the next ballot (§5.6).
    fn ballot_value(&self, env: Env<'_>, values: &mut Values) -> Option<ValueIndex> {
        if let Some(commit) = self.commit {
            return Some(commit.value);
        }
        let current = self.current.map(|current| current.value);
        let value = self.value_lock.or(self.composite).or(current)?;
        let instead = env.oracle.fallback(values.slot(), &values.get(value));
        let Some(instead) = instead.and_then(|instead| values.intern_own(&instead, env.oracle)) else {
            return Some(value);
        };
        let is_locked = self.value_lock == Some(value) && values.validity(value) == Validity::Full;
        let leaves = values.is_given_up(value) || (!is_locked && self.is_blocked_at(instead, env.roster));
        Some(if leaves { instead } else { value })
    }

    /// Whether a v-blocking set stands for `value`.
    fn is_blocked_at(&self, value: ValueIndex, roster: &Roster) -> bool {
        let there = self.nodes_where(|pledge| pledge.value() == value);
        roster.own_set().is_blocked_by(&there)
    }

    /// Paper §5 step 8: `b` follows `h` upwards.
    fn raise_current(&mut self, ballot: IndexedBallot, values: &Values) -> bool {
        let is_raise = |current| values.compare(current, ballot) == Ordering::Less;
        let raises = self.current.is_none_or(is_raise);
        if raises {
            self.set_current(ballot);
        }
        raises
    }

    fn set_current(&mut self, ballot: IndexedBallot) {
        if self
            .current
            .is_none_or(|current| current.counter != ballot.counter)
        {
            self.heard_from_quorum = false;
        }
        self.current = Some(ballot);
        // `h` is always compatible with `b`, and `c` with `h`.
        if self.high.is_some_and(|high| high.value != ballot.value) {
            self.high = None;
            self.commit = None;
        }
    }

    /// The timer rule: a ballot may time out only once a quorum has reached its counter (§5.4).
    fn check_heard_from_quorum(&mut self, env: Env<'_>) {
        let Some(current) = self.current else { return };
        let there = self.nodes_where(|pledge| match pledge {
            Pledge::Prepare { ballot, .. } => ballot.counter >= current.counter,
            Pledge::Confirm { .. } | Pledge::Externalize { .. } => true,
        });
        self.heard_from_quorum = self.declarations.has_quorum_in(&there, env.roster);
    }

    // --- federated voting ---

    /// Accept: a v-blocking set accepts, or a quorum votes or accepts.
    fn federated_accept(
        &self,
        roster: &Roster,
        may_join_quorum: bool,
        votes: impl Fn(&Pledge) -> bool,
        accepts: impl Fn(&Pledge) -> bool,
    ) -> bool {
        let accepting = self.nodes_where(&accepts);
        if roster.own_set().is_blocked_by(&accepting) {
            return true;
        }
        if !may_join_quorum {
            return false;
        }
        let mut voting = self.nodes_where(votes);
        voting.unite(&accepting);
        self.declarations.has_quorum_in(&voting, roster)
    }

    /// Confirm: a quorum accepts.
    fn federated_ratify(&self, roster: &Roster, accepts: impl Fn(&Pledge) -> bool) -> bool {
        self.declarations
            .has_quorum_in(&self.nodes_where(accepts), roster)
    }

    fn nodes_where(&self, holds: impl Fn(&Pledge) -> bool) -> NodeSet {
        let mut nodes = NodeSet::EMPTY;
        for (position, heard) in self.heard.iter().enumerate() {
            if let Some(pledge) = heard
                && holds(pledge)
                && let Some(node) = NodeIndex::new(position)
            {
                nodes.insert(node);
            }
        }
        nodes
    }

    /// Every ballot that somebody votes for or accepts as prepared, highest first.
    fn prepare_candidates(&mut self, values: &Values) -> Vec<IndexedBallot> {
        let mut candidates = core::mem::take(&mut self.candidates);
        candidates.clear();
        for pledge in self.heard.iter().flatten() {
            pledge.visit_prepare_ballots(|ballot| {
                if ballot.counter != 0 && !candidates.contains(&ballot) {
                    candidates.push(ballot);
                }
            });
        }
        candidates.sort_unstable_by(|a, b| values.compare(*b, *a));
        candidates
    }

    /// The values that somebody votes for or accepts as committed.
    fn committing_values(&mut self) -> Vec<ValueIndex> {
        let mut committing = core::mem::take(&mut self.committing);
        committing.clear();
        for pledge in self.heard.iter().flatten() {
            if pledge.speaks_of_commit() && !committing.contains(&pledge.value()) {
                committing.push(pledge.value());
            }
        }
        committing
    }

    /// The interval `low..=high` with the highest `high`, then the lowest `low`, over the counters at which anything can
    /// change, for which `holds`.
    fn widest_interval(
        &mut self,
        value: ValueIndex,
        holds: impl Fn(&Self, u32, u32) -> bool,
    ) -> Option<(u32, u32)> {
        let mut boundaries = core::mem::take(&mut self.boundaries);
        boundaries.clear();
        for pledge in self.heard.iter().flatten() {
            pledge.visit_commit_boundaries(value, |counter| {
                if !boundaries.contains(&counter) {
                    boundaries.push(counter);
                }
            });
        }
        boundaries.sort_unstable_by(|a, b| b.cmp(a));
        let mut interval: Option<(u32, u32)> = None;
        for counter in &boundaries {
            let wider = interval.map_or((*counter, *counter), |(_, high)| (*counter, high));
            if holds(self, wider.0, wider.1) {
                interval = Some(wider);
            } else if interval.is_some() {
                break;
            }
        }
        self.boundaries = boundaries;
        interval
    }

    // --- own statement ---

    /// Makes own state count in own federated checks, as every other node's statement does.
    fn speak_to_self(&mut self, env: Env<'_>) {
        self.is_dirty = true;
        self.has_news = true;
        if !env.votes {
            return;
        }
        if let Some(pledge) = self.own_pledge() {
            let declared = match self.phase {
                // The own set is always the first compiled.
                Phase::Prepare | Phase::Confirm => env.roster.own_declared(),
                Phase::Externalize => Declared::Itself,
            };
            self.declarations.declare(OWN, declared);
            place(&mut self.heard, OWN, pledge);
        }
    }

    fn own_pledge(&self) -> Option<Pledge> {
        let counter_of = |ballot: Option<IndexedBallot>| ballot.map_or(0, |ballot| ballot.counter);
        match self.phase {
            Phase::Prepare => {
                // Accepted prepared before any own ballot: known to this node's own checks, not yet sayable.
                let unborn = self.prepared.map(|p| IndexedBallot {
                    counter: 0,
                    value: p.value,
                });
                Some(Pledge::Prepare {
                    ballot: self.current.or(unborn)?,
                    prepared: self.prepared,
                    prepared_prime: self.prepared_prime,
                    c_counter: counter_of(self.commit),
                    h_counter: counter_of(self.high),
                })
            }
            Phase::Confirm => Some(Pledge::Confirm {
                ballot: self.current?,
                prepared_counter: counter_of(self.prepared),
                c_counter: counter_of(self.commit),
                h_counter: counter_of(self.high),
            }),
            Phase::Externalize => Some(Pledge::Externalize {
                commit: self.commit?,
                h_counter: counter_of(self.high),
            }),
        }
    }

    fn pledges(&self, values: &Values) -> Option<Pledges> {
        self.current?;
        Some(match self.own_pledge()? {
            Pledge::Prepare {
                ballot,
                prepared,
                prepared_prime,
                c_counter,
                h_counter,
            } => Pledges::Prepare {
                ballot: values.ballot(ballot),
                prepared: prepared.map(|prepared| values.ballot(prepared)),
                prepared_prime: prepared_prime.map(|prime| values.ballot(prime)),
                c_counter,
                h_counter,
            },
            Pledge::Confirm {
                ballot,
                prepared_counter,
                c_counter,
                h_counter,
            } => Pledges::Confirm {
                ballot: values.ballot(ballot),
                prepared_counter,
                c_counter,
                h_counter,
            },
            Pledge::Externalize { commit, h_counter } => Pledges::Externalize {
                commit: values.ballot(commit),
                h_counter,
            },
        })
    }

    /// Statements of one own slice that together prove the decision, own statement included; none while a node that came
    /// back from its journal has not heard enough of the others.
    pub(crate) fn finality_statements(&mut self, roster: &Roster) -> Option<Vec<Statement>> {
        let value = self.externalized()?;
        let accepting = |this: &Self, low: u32, high: u32| {
            this.nodes_where(|pledge| pledge.accepts_commit(value, low, high))
        };
        let (_, counter) = self.widest_interval(value, |this, low, high| {
            roster.own_set().has_slice_in(&accepting(this, low, high))
        })?;
        let accepting = accepting(self, counter, counter);
        let mut slice = NodeSet::EMPTY;
        roster.own_set().add_slice_in(&accepting, roster, &mut slice);
        if accepting.contains(OWN) {
            slice.insert(OWN);
        }
        let members = roster.indexes().filter(|node| slice.contains(*node));
        Some(
            members
                .filter_map(|node| self.statement_of(node))
                .cloned()
                .collect(),
        )
    }

    /// The invariants of §5.8.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check_invariants(&self, values: &Values) -> Result<(), &'static str> {
        let check = |holds: bool, sentence| if holds { Ok(()) } else { Err(sentence) };
        let (b, p, h, c) = (self.current, self.prepared, self.high, self.commit);
        check(b.is_none_or(|b| b.counter >= 1), "b counts from 1")?;
        if let Some(prime) = self.prepared_prime {
            let is_below = p.is_some_and(|p| values.is_below_incompatible(prime, p));
            check(is_below, "p' is below p and incompatible")?;
        }
        if let Some(h) = h {
            check(b.is_some_and(|b| h.is_within(b)), "h is within b")?;
            check(p.is_some(), "h implies p")?;
        }
        if let Some(c) = c {
            check(h.is_some_and(|h| c.is_within(h)), "c is within h")?;
        }
        match self.phase {
            Phase::Prepare => Ok(()),
            Phase::Confirm | Phase::Externalize => check(c.is_some(), "commit accepted implies c"),
        }
    }
}

fn place<T>(list: &mut Vec<Option<T>>, node: NodeIndex, element: T) {
    if list.len() <= node.position() {
        list.resize_with(node.position().saturating_add(1), || None);
    }
    if let Some(place) = list.get_mut(node.position()) {
        *place = Some(element);
    }
}
