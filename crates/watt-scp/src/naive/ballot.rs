//! Ballots (§5), with the letters of the paper.

use super::World;
use super::rules::{all_nodes, first_slice, has_slice, stands_for};
use crate::protocol::Validity;
use crate::statement::{Ballot, Pledges, Statement, Value};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use watt_primitives::NodeId;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Prepare,
    Confirm,
    Externalize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ballots {
    pub(super) phase: Phase,
    b: Option<Ballot>,
    p: Option<Ballot>,
    p_prime: Option<Ballot>,
    h: Option<Ballot>,
    pub(super) c: Option<Ballot>,
    pub(super) lock: Option<Value>,
    composite: Option<Value>,
    /// The others' newest.
    pub(super) latest: BTreeMap<NodeId, Statement>,
    pub(super) said: Option<Statement>,
}

type Met = BTreeMap<Value, bool>;

/// `a ≲ b`
fn within(a: Ballot, b: Ballot) -> bool {
    a.value == b.value && a.counter <= b.counter
}

/// `a` is lower than `b` and incompatible with it.
fn is_aborted_by(a: Ballot, b: Ballot) -> bool {
    a < b && a.value != b.value
}

fn counter_of(s: &Statement) -> u32 {
    match s.pledges {
        Pledges::Nominate { .. } => 0,
        Pledges::Prepare { ballot, .. } | Pledges::Confirm { ballot, .. } => ballot.counter,
        Pledges::Externalize { .. } => u32::MAX,
    }
}

fn votes_prepare(s: &Statement, ballot: Ballot) -> bool {
    match s.pledges {
        Pledges::Nominate { .. } => false,
        Pledges::Prepare { ballot: b, .. } => within(ballot, b),
        Pledges::Confirm { .. } | Pledges::Externalize { .. } => stands_for(&s.pledges) == Some(ballot.value),
    }
}

fn accepts_prepared(s: &Statement, ballot: Ballot) -> bool {
    match s.pledges {
        Pledges::Nominate { .. } => false,
        Pledges::Prepare {
            prepared,
            prepared_prime,
            ..
        } => [prepared, prepared_prime]
            .into_iter()
            .flatten()
            .any(|p| within(ballot, p)),
        Pledges::Confirm {
            ballot: b,
            prepared_counter,
            ..
        } => b.value == ballot.value && ballot.counter <= prepared_counter,
        Pledges::Externalize { commit, .. } => commit.value == ballot.value,
    }
}

/// The counters at which the speaker votes to commit `value`.
fn votes_commit(s: &Statement, value: Value) -> Option<(u32, u32)> {
    match s.pledges {
        Pledges::Nominate { .. } => None,
        Pledges::Prepare {
            ballot,
            c_counter,
            h_counter,
            ..
        } => (ballot.value == value && c_counter > 0).then_some((c_counter, h_counter)),
        Pledges::Confirm {
            ballot, c_counter, ..
        } => (ballot.value == value).then_some((c_counter, u32::MAX)),
        Pledges::Externalize { commit, .. } => (commit.value == value).then_some((commit.counter, u32::MAX)),
    }
}

/// The counters at which the speaker accepts commit of `value`.
fn accepts_commit(s: &Statement, value: Value) -> Option<(u32, u32)> {
    match s.pledges {
        Pledges::Nominate { .. } | Pledges::Prepare { .. } => None,
        Pledges::Confirm {
            ballot,
            c_counter,
            h_counter,
            ..
        } => (ballot.value == value).then_some((c_counter, h_counter)),
        Pledges::Externalize { commit, .. } => (commit.value == value).then_some((commit.counter, u32::MAX)),
    }
}

fn covers(interval: Option<(u32, u32)>, low: u32, high: u32) -> bool {
    interval.is_some_and(|(from, to)| from <= low && high <= to)
}

/// Every ballot that a statement votes for or accepts as prepared.
fn named_ballots(s: &Statement) -> Vec<Ballot> {
    let of = |counter, value| Ballot { counter, value };
    match s.pledges {
        Pledges::Nominate { .. } => Vec::new(),
        Pledges::Prepare {
            ballot,
            prepared,
            prepared_prime,
            ..
        } => [Some(ballot), prepared, prepared_prime]
            .into_iter()
            .flatten()
            .collect(),
        Pledges::Confirm {
            ballot,
            prepared_counter,
            ..
        } => [of(prepared_counter, ballot.value), of(u32::MAX, ballot.value)].to_vec(),
        Pledges::Externalize { commit, .. } => [of(u32::MAX, commit.value)].to_vec(),
    }
}

/// The counters at which anything said about committing `value` changes.
fn boundaries(statements: &[Statement], value: Value) -> BTreeSet<u32> {
    let mut counters = BTreeSet::new();
    for s in statements.iter().filter(|s| votes_commit(s, value).is_some()) {
        match s.pledges {
            Pledges::Nominate { .. } => {}
            Pledges::Prepare {
                c_counter, h_counter, ..
            } => counters.extend([c_counter, h_counter]),
            Pledges::Confirm {
                c_counter, h_counter, ..
            } => counters.extend([c_counter, h_counter]),
            Pledges::Externalize { commit, h_counter } => {
                counters.extend([commit.counter, h_counter, u32::MAX]);
            }
        }
    }
    counters
}

/// The highest counter for which `holds`, and the lowest from which it holds up to there.
fn widest(counters: &BTreeSet<u32>, holds: impl Fn(u32, u32) -> bool) -> Option<(u32, u32)> {
    let high = counters
        .iter()
        .rev()
        .find(|counter| holds(**counter, **counter))?;
    let low = counters
        .iter()
        .find(|low| **low <= *high && holds(**low, *high))?;
    Some((*low, *high))
}

impl Ballots {
    /// Every node's newest statement; own state too, while it counts.
    fn statements(&self, world: World<'_>) -> Vec<Statement> {
        let own = self.own_state(world).filter(|_| world.has_voice);
        self.latest.values().cloned().chain(own).collect()
    }

    /// Own state as a statement; before the first ballot it says only what is accepted prepared.
    fn own_state(&self, world: World<'_>) -> Option<Statement> {
        let before_first = self.p.map(|p| Ballot {
            counter: 0,
            value: p.value,
        });
        let b = self.b.or(before_first)?;
        let counter = |ballot: Option<Ballot>| ballot.map_or(0, |ballot| ballot.counter);
        let pledges = match self.phase {
            Phase::Prepare => Pledges::Prepare {
                ballot: b,
                prepared: self.p,
                prepared_prime: self.p_prime,
                c_counter: counter(self.c),
                h_counter: counter(self.h),
            },
            Phase::Confirm => Pledges::Confirm {
                ballot: b,
                prepared_counter: counter(self.p),
                c_counter: counter(self.c),
                h_counter: counter(self.h),
            },
            Phase::Externalize => Pledges::Externalize {
                commit: self.c?,
                h_counter: counter(self.h),
            },
        };
        Some(Statement {
            node: world.config.node,
            slot: world.slot,
            quorum_set: world.own_hash,
            pledges,
        })
    }

    /// What this node would say.
    pub(super) fn own_statement(&self, world: World<'_>) -> Option<Statement> {
        self.b?;
        self.own_state(world)
    }

    /// §5.7
    pub(super) fn set_composite(&mut self, composite: Value, world: World<'_>, met: &mut Met) {
        self.composite = Some(composite);
        if self.b.is_none() {
            self.bump_to(1, world, met);
        }
    }

    pub(super) fn timer_fired(&mut self, world: World<'_>, met: &mut Met) {
        if let Some(next) = self.b.and_then(|b| b.counter.checked_add(1)) {
            self.bump_to(next, world, met);
        }
    }

    /// §5.4
    pub(super) fn timer_round(&self, world: World<'_>) -> Option<u32> {
        let b = self.b.filter(|_| self.phase != Phase::Externalize)?;
        let is_there = |s: &Statement| match s.pledges {
            Pledges::Nominate { .. } => false,
            Pledges::Prepare { ballot, .. } => ballot.counter >= b.counter,
            Pledges::Confirm { .. } | Pledges::Externalize { .. } => true,
        };
        world
            .has_quorum(&self.statements(world), is_there)
            .then_some(b.counter)
    }

    /// §5.2
    pub(super) fn advance(&mut self, world: World<'_>, met: &mut Met) {
        while self.phase != Phase::Externalize {
            let before = self.clone();
            self.accept_prepared(world);
            self.confirm_prepared(world);
            self.vote_commit(world);
            self.accept_commit(world);
            self.confirm_commit(world);
            if *self == before {
                self.bump(world, met);
            }
            if *self == before {
                self.abandon(world, met);
            }
            if *self == before {
                return;
            }
        }
    }

    fn accept_prepared(&mut self, world: World<'_>) {
        let statements = self.statements(world);
        let named: BTreeSet<Ballot> = statements
            .iter()
            .flat_map(named_ballots)
            .filter(|b| b.counter > 0)
            .collect();
        for ballot in named.into_iter().rev() {
            if self.phase == Phase::Confirm && self.p.is_none_or(|p| p.value != ballot.value) {
                continue;
            }
            let (p, p_prime) = self.with_accepted(ballot);
            let raises = (p, p_prime) != (self.p, self.p_prime);
            let is_accepted = || {
                world.may_accept(
                    &statements,
                    |s| votes_prepare(s, ballot),
                    |s| accepts_prepared(s, ballot),
                )
            };
            if raises && is_accepted() {
                (self.p, self.p_prime) = (p, p_prime);
                if let Some(h) = self.h
                    && [p, p_prime].into_iter().flatten().any(|p| is_aborted_by(h, p))
                {
                    self.c = None;
                }
                return;
            }
        }
    }

    /// `p` and `p'` if `ballot` too were accepted prepared: the highest, and the highest incompatible with that.
    fn with_accepted(&self, ballot: Ballot) -> (Option<Ballot>, Option<Ballot>) {
        let all = [self.p, self.p_prime, Some(ballot)];
        let p = all.into_iter().flatten().max();
        let others = all
            .into_iter()
            .flatten()
            .filter(|b| p.is_some_and(|p| p.value != b.value));
        (p, others.max())
    }

    fn confirm_prepared(&mut self, world: World<'_>) {
        if self.phase != Phase::Prepare || self.p.is_none() {
            return;
        }
        let statements = self.statements(world);
        let named: BTreeSet<Ballot> = statements
            .iter()
            .flat_map(named_ballots)
            .filter(|b| b.counter > 0)
            .collect();
        let confirmed = named.iter().rev().find(|ballot| {
            self.h.is_none_or(|h| h < **ballot)
                && world.has_quorum(&statements, |s| accepts_prepared(s, **ballot))
        });
        let Some(new_h) = confirmed.copied() else { return };
        self.lock = Some(new_h.value);
        if self.b.is_none_or(|b| b.value == new_h.value) {
            self.h = Some(new_h);
            // Who has no ballot yet votes from the lowest that anybody names.
            let lowest = named.iter().find(|ballot| within(**ballot, new_h));
            self.vote_commit_from(self.b.or(lowest.copied()), world);
        }
        if self.b.is_none_or(|b| b < new_h) {
            self.set_b(new_h);
        }
    }

    fn vote_commit(&mut self, world: World<'_>) {
        self.vote_commit_from(self.b, world);
    }

    fn vote_commit_from(&mut self, from: Option<Ballot>, world: World<'_>) {
        if let (Phase::Prepare, None, Some(from), Some(h)) = (self.phase, self.c, from, self.h)
            && within(from, h)
            && world.validity(&h.value) == Validity::Full
            && ![self.p, self.p_prime]
                .into_iter()
                .flatten()
                .any(|p| is_aborted_by(h, p))
        {
            self.c = Some(from);
        }
    }

    fn accept_commit(&mut self, world: World<'_>) {
        if self.phase == Phase::Externalize {
            return;
        }
        let statements = self.statements(world);
        let values: BTreeSet<Value> = statements.iter().filter_map(|s| stands_for(&s.pledges)).collect();
        for value in values {
            let is_confirming = self.phase == Phase::Confirm;
            if is_confirming && self.h.is_none_or(|h| h.value != value) {
                continue;
            }
            let may_join = is_confirming || world.validity(&value) == Validity::Full;
            let holds = |low, high| {
                let accepts = |s: &Statement| covers(accepts_commit(s, value), low, high);
                let votes = |s: &Statement| covers(votes_commit(s, value), low, high);
                world.blocks(&statements, accepts)
                    || (may_join && world.has_quorum(&statements, |s| votes(s) || accepts(s)))
            };
            let Some((low, high)) = widest(&boundaries(&statements, value), holds) else {
                continue;
            };
            if is_confirming && self.h.is_some_and(|h| high <= h.counter) {
                continue;
            }
            let (low, high) = (Ballot { counter: low, value }, Ballot { counter: high, value });
            self.lock = Some(value);
            let prepared = [self.p, self.p_prime, Some(high)];
            self.p = prepared.into_iter().flatten().filter(|p| p.value == value).max();
            self.p_prime = None;
            (self.c, self.h) = (Some(low), Some(high));
            if self.b.is_none_or(|b| !within(high, b)) {
                self.b = Some(high);
            }
            self.phase = Phase::Confirm;
            return;
        }
    }

    fn confirm_commit(&mut self, world: World<'_>) {
        let (Phase::Confirm, Some(c)) = (self.phase, self.c) else {
            return;
        };
        let statements = self.statements(world);
        let holds =
            |low, high| world.has_quorum(&statements, |s| covers(accepts_commit(s, c.value), low, high));
        if let Some((low, high)) = widest(&boundaries(&statements, c.value), holds) {
            let of = |counter| Ballot {
                counter,
                value: c.value,
            };
            (self.c, self.h) = (Some(of(low)), Some(of(high)));
            self.b = self.b.max(self.h);
            self.phase = Phase::Externalize;
        }
    }

    fn bump(&mut self, world: World<'_>, met: &mut Met) {
        let statements = self.statements(world);
        let counter = self.b.map_or(0, |b| b.counter);
        let is_blocking_above = |n: u32| world.blocks(&statements, |s| counter_of(s) > n);
        if !is_blocking_above(counter) {
            return;
        }
        let ahead: BTreeSet<u32> = statements
            .iter()
            .map(counter_of)
            .filter(|n| *n > counter)
            .collect();
        if let Some(lowest) = ahead.into_iter().find(|n| !is_blocking_above(*n)) {
            self.bump_to(lowest, world, met);
        }
    }

    /// §5.5
    fn abandon(&mut self, world: World<'_>, met: &mut Met) {
        if let (Phase::Prepare, None, Some(b)) = (self.phase, self.c, self.b)
            && is_given_up(&b.value, world, met)
            && self.next_value(world, met) != Some(b.value)
            && let Some(next) = b.counter.checked_add(1)
        {
            self.bump_to(next, world, met);
        }
    }

    fn bump_to(&mut self, counter: u32, world: World<'_>, met: &mut Met) {
        if self.phase == Phase::Externalize {
            return;
        }
        if let Some(value) = self.next_value(world, met) {
            let ballot = Ballot { counter, value };
            if self.b.is_none_or(|b| b < ballot) {
                self.set_b(ballot);
            }
        }
    }

    /// §5.6
    fn next_value(&self, world: World<'_>, met: &mut Met) -> Option<Value> {
        if let Some(c) = self.c {
            return Some(c.value);
        }
        let z = self.lock.or(self.composite).or(self.b.map(|b| b.value))?;
        let Some(fallback) = world.oracle.fallback(world.slot, &z) else {
            return Some(z);
        };
        met.entry(fallback).or_default();
        let is_pulled = world.blocks(&self.statements(world), |s| {
            stands_for(&s.pledges) == Some(fallback)
        });
        let is_held = self.lock == Some(z) && world.validity(&z) == Validity::Full;
        let leaves = is_given_up(&z, world, met) || (is_pulled && !is_held);
        Some(if leaves { fallback } else { z })
    }

    fn set_b(&mut self, ballot: Ballot) {
        self.b = Some(ballot);
        if self.h.is_some_and(|h| h.value != ballot.value) {
            (self.h, self.c) = (None, None);
        }
    }

    /// §7.1: the statements of this node and of the first slice that prove the decision, at the highest counter possible.
    pub(super) fn proof(&self, world: World<'_>) -> Option<Vec<Statement>> {
        let value = self.c?.value;
        let own_set = &world.config.quorum_set;
        let statements = self.statements(world);
        let accepting = |low, high| -> BTreeSet<NodeId> {
            let chosen = statements
                .iter()
                .filter(|s| covers(accepts_commit(s, value), low, high));
            chosen.map(|s| s.node).collect()
        };
        let holds = |low, high| has_slice(own_set, &accepting(low, high));
        let (_, counter) = widest(&boundaries(&statements, value), holds)?;
        let accepting = accepting(counter, counter);
        let own = world.config.node;
        let mut slice = first_slice(own_set, &accepting, own);
        slice.extend(accepting.get(&own));
        let mut order = [own].to_vec();
        order.extend(all_nodes(own_set).into_iter().filter(|node| *node != own));
        let said = |node: &NodeId| {
            if *node == own {
                self.said.clone()
            } else {
                self.latest.get(node).cloned()
            }
        };
        Some(
            order
                .iter()
                .filter(|node| slice.contains(*node))
                .filter_map(said)
                .collect(),
        )
    }

    pub(super) fn restore(&mut self, statement: &Statement) {
        let of = |counter: u32, value| (counter > 0).then_some(Ballot { counter, value });
        self.said = Some(statement.clone());
        match statement.pledges {
            Pledges::Nominate { .. } => {}
            Pledges::Prepare {
                ballot,
                prepared,
                prepared_prime,
                c_counter,
                h_counter,
            } => {
                self.phase = Phase::Prepare;
                (self.b, self.p, self.p_prime) = (Some(ballot), prepared, prepared_prime);
                (self.h, self.c) = (of(h_counter, ballot.value), of(c_counter, ballot.value));
                self.lock = self.h.map(|h| h.value).or(self.lock);
            }
            Pledges::Confirm {
                ballot,
                prepared_counter,
                c_counter,
                h_counter,
            } => {
                self.phase = Phase::Confirm;
                (self.b, self.p_prime) = (Some(ballot), None);
                self.p = of(prepared_counter.max(h_counter), ballot.value);
                (self.h, self.c) = (of(h_counter, ballot.value), of(c_counter, ballot.value));
                self.lock = Some(ballot.value);
            }
            Pledges::Externalize { commit, h_counter } => {
                self.phase = Phase::Externalize;
                (self.b, self.p_prime) = (of(u32::MAX, commit.value), None);
                self.p = self.b;
                (self.h, self.c) = (of(h_counter, commit.value), Some(commit));
                self.lock = Some(commit.value);
            }
        }
    }
}

/// §5.5
fn is_given_up(value: &Value, world: World<'_>, met: &Met) -> bool {
    match world.validity(value) {
        Validity::Invalid => true,
        Validity::Structural => met.get(value).copied().unwrap_or(false),
        Validity::Full => false,
    }
}
