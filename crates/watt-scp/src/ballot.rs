//! The ballot protocol of one slot: one function per rule, named as in the paper (`docs/spec/scp.md` §5).

use crate::heard::Heard;
use crate::node_set::{NodeIndex, place_of};
use crate::pledge::Pledge;
use crate::protocol::{Env, OWN, Validity};
use crate::roster::{Declarations, Declared, Roster};
use crate::statement::Statement;
use crate::values::{IndexedBallot, ValueIndex, Values};
use alloc::vec::Vec;
use core::cmp::Ordering;

#[cfg(any(test, feature = "testing"))]
mod inspect;
mod own;

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
    /// What each node last said; of this node its state, which is said only when the step ends.
    heard: Heard,
    /// The others' statements in full, by node position, for whoever asks.
    statements: Vec<Option<Statement>>,
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
            heard: Heard::new(),
            statements: Vec::new(),
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
        self.heard.declarations()
    }

    pub(crate) fn declare(&mut self, node: NodeIndex, declared: Declared) {
        self.heard.declare(node, declared);
        self.has_news = true;
    }

    /// The oracle judges a value differently now.
    pub(crate) fn note_news(&mut self) {
        self.has_news = true;
    }

    /// Own state no longer counts: what was said before is not known any more.
    pub(crate) fn withdraw(&mut self) {
        self.heard.forget(OWN);
        self.has_news = true;
    }

    /// Notes what another node says; the rules run later, once for a whole batch.
    pub(crate) fn record(
        &mut self,
        node: NodeIndex,
        n_nodes: usize,
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
        self.heard.record(node, pledge, declared);
        if let Some(place) = place_of(node, n_nodes, &mut self.statements) {
            *place = Some(statement.clone());
        }
        self.has_news = true;
    }

    /// Starts with nomination's composite, unless a ballot has begun (`docs/spec/scp.md` §5.7).
    pub(crate) fn set_composite(&mut self, composite: ValueIndex, env: Env<'_>, values: &mut Values) {
        self.composite = Some(composite);
        self.has_news = true;
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
            let mut candidates = core::mem::take(&mut self.candidates);
            self.heard.list_prepare_candidates(values, &mut candidates);
            let has_moved = self.attempt_accept_prepared(&candidates, env, values)
                | self.attempt_confirm_prepared(&candidates, env, values)
                | self.attempt_vote_commit(env, values)
                | self.attempt_accept_commit(env, values)
                | self.attempt_confirm_commit(env, values);
            self.candidates = candidates;
            // Bumping comes only when everything else is done.
            if !has_moved && !self.attempt_bump(env, values) && !self.attempt_abandon_value(env, values) {
                break;
            }
        }
        self.check_heard_from_quorum(env);
        self.has_news = false;
    }

    // --- the rules ---

    /// Paper §5 step 1: accept `prepare(ballot)` for the highest ballot that can be.
    fn attempt_accept_prepared(
        &mut self,
        candidates: &[IndexedBallot],
        env: Env<'_>,
        values: &Values,
    ) -> bool {
        let mut raising = candidates.iter().copied();
        let acceptable = raising.find(|ballot| {
            self.would_raise_prepared(*ballot, values)
                && self.heard.federated_accept(
                    env.roster,
                    true,
                    |pledge| pledge.votes_prepare(*ballot),
                    |pledge| pledge.accepts_prepared(*ballot),
                )
        });
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
    fn attempt_confirm_prepared(
        &mut self,
        candidates: &[IndexedBallot],
        env: Env<'_>,
        values: &Values,
    ) -> bool {
        if self.phase != Phase::Prepare || self.prepared.is_none() {
            return false;
        }
        let may_raise_high = |ballot: &IndexedBallot| {
            self.high
                .is_none_or(|high| values.compare(high, *ballot) == Ordering::Less)
        };
        let accepted_by_quorum = |ballot: &IndexedBallot| {
            self.heard
                .federated_ratify(env.roster, |pledge| pledge.accepts_prepared(*ballot))
        };
        let mut raising = candidates.iter().copied().take_while(may_raise_high);
        let Some(new_high) = raising.find(accepted_by_quorum) else {
            return false;
        };
        let from = self.current.unwrap_or_else(|| self.heard.lowest_named(new_high));
        let new_commit = self.commit_vote(new_high, from, values);
        self.set_confirm_prepared(new_commit, new_high, env, values)
    }

    /// `c`: `from`, if this node may vote to commit from there to `high`.
    fn commit_vote(
        &self,
        high: IndexedBallot,
        from: IndexedBallot,
        values: &Values,
    ) -> Option<IndexedBallot> {
        // The body has to be durable and applicable here before this node's word helps to commit it (§5.5).
        let may_vote = self.commit.is_none()
            && values.validity(high.value) == Validity::Full
            && !self.is_aborted(high, values);
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
        let mut committing = core::mem::take(&mut self.committing);
        self.heard.list_committing(values, &mut committing);
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
        let heard = &self.heard;
        let interval = heard.widest_interval(value, &mut self.boundaries, |low, high| {
            heard.federated_accept(
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
        // Accepting commit includes accepting prepared; what was accepted prepared of this value before stays so.
        let accepted = [self.prepared, self.prepared_prime].into_iter().flatten();
        let same_value = accepted.filter(|prepared| high.is_within(*prepared));
        self.prepared = same_value.max_by_key(|prepared| prepared.counter).or(Some(high));
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
        let heard = &self.heard;
        let interval = heard.widest_interval(value, &mut self.boundaries, |low, high| {
            heard.federated_ratify(env.roster, |pledge| pledge.accepts_commit(value, low, high))
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
        if self.phase == Phase::Externalize || !self.heard.is_blocking_set_above(counter, env.roster) {
            return false;
        }
        let mut ahead = core::mem::take(&mut self.boundaries);
        ahead.clear();
        ahead.extend(self.heard.pledges().map(Pledge::counter).filter(|c| *c > counter));
        ahead.sort_unstable();
        let mut ascending = ahead.iter().copied();
        let lowest = ascending.find(|c| !self.heard.is_blocking_set_above(*c, env.roster));
        self.boundaries = ahead;
        lowest.is_some_and(|lowest| self.bump_state(lowest, env, values))
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
        let there = self.heard.nodes_where(|pledge| pledge.value() == value);
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
        let there = self.heard.nodes_where(|pledge| match pledge {
            Pledge::Prepare { ballot, .. } => ballot.counter >= current.counter,
            Pledge::Confirm { .. } | Pledge::Externalize { .. } => true,
        });
        self.heard_from_quorum = self.heard.declarations().has_quorum_in(&there, env.roster);
    }
}
