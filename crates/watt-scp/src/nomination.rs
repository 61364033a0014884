//! The nomination protocol of one slot (`docs/spec/scp.md` §4).

use crate::leader::Draw;
use crate::node_set::{NodeIndex, NodeSet, place_of};
use crate::protocol::{Env, OWN, Validity};
use crate::roster::{Declarations, Declared};
use crate::statement::{Pledges, Statement, VALUES_PER_STATEMENT_MAX, Value};
use crate::values::{ValueIndex, Values};
use alloc::vec::Vec;
use watt_primitives::{BoundedVec, NodeId};

mod accept;
#[cfg(any(test, feature = "testing"))]
mod inspect;

/// How many leaderless rounds are skipped at once before a real timeout is waited for.
const EMPTY_ROUNDS_MAX: u32 = 1000;

/// The most values of one leader that a node takes over: a lying leader must not fill the votes of the others, who may
/// name [`VALUES_PER_STATEMENT_MAX`] in all.
const ADOPTED_PER_LEADER_MAX: u8 = 4;

/// What is heard of one value.
#[derive(Clone, Debug)]
struct Tally {
    /// Nodes that vote for it or accept it.
    voted: NodeSet,
    accepted: NodeSet,
    is_voted: bool,
    is_accepted: bool,
    is_candidate: bool,
}

impl Tally {
    const NONE: Self = Self {
        voted: NodeSet::EMPTY,
        accepted: NodeSet::EMPTY,
        is_voted: false,
        is_accepted: false,
        is_candidate: false,
    };
}

/// What one node nominates.
#[derive(Clone, Debug)]
struct Heard {
    statement: Statement,
    /// How many of its values were taken over because it leads.
    n_adopted: u8,
    /// Whether it accepts a value that had no number when this was said.
    has_unmet: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Nomination {
    is_running: bool,
    /// Round reached, from 1; 0 before nomination.
    round: u32,
    proposal: Option<Value>,
    previous: Option<Value>,
    leaders: NodeSet,
    /// By value number; values known from ballots only have no entry.
    tallies: Vec<Tally>,
    n_votes: usize,
    has_candidate: bool,
    /// By node position; nothing at [`OWN`].
    heard: Vec<Option<Heard>>,
    /// Nodes whose newest nomination has not been looked at as a leader's yet.
    unread: NodeSet,
    declarations: Declarations,
    /// Own statement as last said.
    said: Option<Statement>,
    is_dirty: bool,
    /// Whether anything the rules look at has changed since they last ran.
    has_news: bool,
}

impl Nomination {
    pub(crate) const fn new() -> Self {
        Self {
            is_running: false,
            round: 0,
            proposal: None,
            previous: None,
            leaders: NodeSet::EMPTY,
            tallies: Vec::new(),
            n_votes: 0,
            has_candidate: false,
            heard: Vec::new(),
            unread: NodeSet::EMPTY,
            declarations: Declarations::new(),
            said: None,
            is_dirty: false,
            has_news: false,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running
    }

    pub(crate) fn round(&self) -> u32 {
        self.round
    }

    pub(crate) fn said(&self) -> Option<&Statement> {
        self.said.as_ref()
    }

    pub(crate) fn stop(&mut self) {
        self.is_running = false;
    }

    pub(crate) fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    pub(crate) fn declare(&mut self, node: NodeIndex, declared: Declared) {
        self.declarations.declare(node, declared);
        self.has_news = true;
    }

    /// Own votes no longer count: what was said before is not known any more.
    pub(crate) fn withdraw(&mut self) {
        for tally in &mut self.tallies {
            tally.voted.remove(OWN);
            tally.accepted.remove(OWN);
        }
        self.has_news = true;
    }

    /// The nomination timer that should run: the round, until there is a candidate.
    pub(crate) fn timer_round(&self) -> Option<u32> {
        (self.is_running && !self.has_candidate).then_some(self.round)
    }

    pub(crate) fn statement_of(&self, node: NodeIndex) -> Option<&Statement> {
        if node == OWN {
            return self.said.as_ref();
        }
        let heard = self.heard.get(node.position())?.as_ref();
        heard.map(|heard| &heard.statement)
    }

    pub(crate) fn statements(&self) -> impl Iterator<Item = &Statement> {
        let others = self.heard.iter().flatten();
        self.said.iter().chain(others.map(|heard| &heard.statement))
    }

    /// Notes what another node nominates; the rules run later, once for a whole batch.
    pub(crate) fn record(
        &mut self,
        node: NodeIndex,
        n_nodes: usize,
        statement: &Statement,
        declared: Declared,
    ) {
        self.declarations.declare(node, declared);
        if let Some(place) = place_of(node, n_nodes, &mut self.heard) {
            let n_adopted = place.as_ref().map_or(0, |heard| heard.n_adopted);
            let statement = statement.clone();
            *place = Some(Heard {
                statement,
                n_adopted,
                has_unmet: false,
            });
        }
        self.unread.insert(node);
        self.has_news = true;
    }

    /// The newest nomination of `node` accepts a value that is invalid here, or for which there was no room.
    pub(crate) fn note_unmet(&mut self, node: NodeIndex) {
        if let Some(heard) = self.heard.get_mut(node.position()).and_then(Option::as_mut) {
            heard.has_unmet = true;
        }
    }

    /// Counts `node` for a value it names.
    pub(crate) fn count(&mut self, node: NodeIndex, value: ValueIndex, is_accepted: bool) {
        self.has_news = true;
        let tally = self.tally_mut(value);
        tally.voted.insert(node);
        if is_accepted {
            tally.accepted.insert(node);
        }
    }

    /// Counts everybody heard so far for a value that was invalid when they named it, or for which there was no room, and
    /// lets the leaders among them be looked at again.
    pub(crate) fn recount(&mut self, index: ValueIndex, value: &Value) {
        self.count_heard(index, value);
        self.reread(value);
    }

    fn count_heard(&mut self, index: ValueIndex, value: &Value) {
        for position in 0..self.heard.len() {
            let heard = self.heard.get(position).and_then(Option::as_ref);
            let Some(Pledges::Nominate { votes, accepted }) = heard.map(|heard| &heard.statement.pledges)
            else {
                continue;
            };
            let is_accepted = accepted.binary_search(value).is_ok();
            if (is_accepted || votes.binary_search(value).is_ok())
                && let Some(node) = NodeIndex::new(position)
            {
                self.count(node, index, is_accepted);
            }
        }
    }

    /// The oracle has changed its mind about a value without a number, which may be another's fallback.
    pub(crate) fn note_news(&mut self) {
        self.has_news = true;
    }

    /// Lets the leaders that name `value` be looked at again: it, or its fallback, may be worth a vote now.
    pub(crate) fn reread(&mut self, value: &Value) {
        for position in 0..self.heard.len() {
            let heard = self.heard.get(position).and_then(Option::as_ref);
            if heard.is_some_and(|heard| heard.statement.pledges.nominates(value))
                && let Some(node) = NodeIndex::new(position)
            {
                self.unread.insert(node);
                self.has_news = true;
            }
        }
    }

    /// The slot begins, or goes on after a restart in the round reached before.
    pub(crate) fn start(&mut self, proposal: Value, previous: Value, env: Env<'_>, values: &mut Values) {
        self.proposal = Some(proposal);
        if self.is_running || self.has_candidate {
            return;
        }
        self.is_running = true;
        self.previous = Some(previous);
        let resumed = self.round.clamp(1, EMPTY_ROUNDS_MAX);
        self.round = 0;
        while self.round < resumed {
            self.begin_round(env, values);
        }
    }

    /// A round brought no candidate in time.
    pub(crate) fn timer_fired(&mut self, env: Env<'_>, values: &mut Values) {
        if self.timer_round().is_some() {
            self.begin_round(env, values);
        }
    }

    /// One more round: a new leader, and what the leaders so far say.
    fn begin_round(&mut self, env: Env<'_>, values: &mut Values) {
        self.has_news = true;
        self.round = self.round.saturating_add(1);
        self.elect_leaders(env, values);
        self.unread.unite(&self.leaders);
        self.adopt_from_leaders(env, values);
        if self.leaders.contains(OWN)
            && !self.has_valid_vote(values)
            && let Some(proposal) = self.proposal
            && values.intern_own(&proposal, env.oracle).is_some()
            && let Some(value) = standing(&proposal, env, values)
        {
            self.vote_for(&value, env, values);
        }
    }

    fn has_valid_vote(&self, values: &Values) -> bool {
        let mut voted = values.indexes().filter(|index| self.is_voted(*index));
        voted.any(|index| values.validity(index) != Validity::Invalid)
    }

    /// Votes for a value that may be new here; says whether there was room for it.
    fn vote_for(&mut self, value: &Value, env: Env<'_>, values: &mut Values) -> bool {
        let has_room = self.n_votes < VALUES_PER_STATEMENT_MAX;
        let is_new = values.find(value).is_none();
        let index = has_room.then(|| values.intern_own(value, env.oracle)).flatten();
        if let Some(index) = index {
            if is_new {
                self.count_heard(index, value);
            }
            self.vote(index, env);
        }
        index.is_some()
    }

    /// Leaders accumulate. A round in which nobody new leads is not waited for, as no new value could come of it.
    fn elect_leaders(&mut self, env: Env<'_>, values: &Values) {
        let Some(previous) = self.previous else { return };
        let eligible = eligible_leaders(env);
        if eligible.iter().all(|leader| self.leaders.contains(leader.node)) {
            return;
        }
        for _ in 0..EMPTY_ROUNDS_MAX {
            let draw = Draw {
                network: &env.config.network,
                slot: values.slot(),
                previous,
                round: self.round,
            };
            let n_before = self.leaders.count();
            self.leaders.unite(&winners(&eligible, &draw));
            if self.leaders.count() > n_before {
                return;
            }
            self.round = self.round.saturating_add(1);
        }
    }

    /// Applies the rules until none has anything left to do. Answers whether there are new candidates.
    pub(crate) fn advance(&mut self, env: Env<'_>, values: &mut Values) -> bool {
        if !self.is_running || !core::mem::take(&mut self.has_news) {
            return false;
        }
        let mut has_new_candidate = false;
        loop {
            self.accept_nominated(env, values);
            has_new_candidate |= self.confirm_nominated(env);
            if !self.adopt_from_leaders(env, values) {
                return has_new_candidate;
            }
        }
    }

    /// Confirm what a quorum accepts: candidates.
    fn confirm_nominated(&mut self, env: Env<'_>) -> bool {
        let mut has_new = false;
        for tally in &mut self.tallies {
            if tally.is_accepted
                && !tally.is_candidate
                && self.declarations.has_quorum_in(&tally.accepted, env.roster)
            {
                tally.is_candidate = true;
                has_new = true;
            }
        }
        self.has_candidate |= has_new;
        has_new
    }

    /// Takes one new value from each leader that has said something new, until there is a candidate: nothing is introduced
    /// after that, or votes would never end.
    fn adopt_from_leaders(&mut self, env: Env<'_>, values: &mut Values) -> bool {
        let unread = core::mem::replace(&mut self.unread, NodeSet::EMPTY);
        if self.has_candidate {
            return false;
        }
        let mut has_adopted = false;
        for position in 0..self.heard.len() {
            let Some(node) = NodeIndex::new(position) else {
                break;
            };
            if unread.contains(node)
                && self.leaders.contains(node)
                && let Some(value) = self.best_value_of(node, env, values)
                && self.vote_for(&value, env, values)
            {
                if let Some(heard) = self.heard.get_mut(position).and_then(Option::as_mut) {
                    heard.n_adopted = heard.n_adopted.saturating_add(1);
                }
                has_adopted = true;
            }
        }
        has_adopted
    }

    /// The leader's highest-ranking value that this node does not vote for yet: among those it accepts, or among its votes if
    /// it accepts none. The fallback stands for a value that is invalid here.
    fn best_value_of(&self, leader: NodeIndex, env: Env<'_>, values: &Values) -> Option<Value> {
        let heard = self.heard.get(leader.position())?.as_ref()?;
        if heard.n_adopted >= adopted_per_leader_max(env) {
            return None;
        }
        let Pledges::Nominate { votes, accepted } = &heard.statement.pledges else {
            return None;
        };
        let draw = Draw {
            network: &env.config.network,
            slot: values.slot(),
            previous: self.previous?,
            round: self.round,
        };
        let standing = |list: &[Value]| -> Vec<Value> {
            list.iter()
                .filter_map(|value| standing(value, env, values))
                .collect()
        };
        let mut eligible = standing(accepted);
        if eligible.is_empty() {
            eligible = standing(votes);
        }
        eligible.retain(|value| !values.find(value).is_some_and(|index| self.is_voted(index)));
        if eligible.len() <= 1 {
            return eligible.first().copied();
        }
        eligible.into_iter().max_by_key(|value| draw.value_rank(value))
    }

    /// The candidates, ascending.
    pub(crate) fn candidates(&self, values: &Values) -> Vec<Value> {
        self.sorted(values, |tally| tally.is_candidate)
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
            pledges: Pledges::Nominate {
                votes: BoundedVec::new(self.sorted(values, |tally| tally.is_voted)).ok()?,
                accepted: BoundedVec::new(self.sorted(values, |tally| tally.is_accepted)).ok()?,
            },
        };
        let is_newer = |said: &Statement| statement.pledges.is_newer_than(&said.pledges);
        if !statement.pledges.is_sane() || !self.said.as_ref().is_none_or(is_newer) {
            return None;
        }
        self.said = Some(statement.clone());
        Some(statement)
    }

    /// Goes on from an own statement said before; the rules run again once nomination is started.
    pub(crate) fn restore(
        &mut self,
        statement: Option<&Statement>,
        round: u32,
        env: Env<'_>,
        values: &mut Values,
    ) {
        self.round = self.round.max(round);
        let Some(statement) = statement else { return };
        if let Pledges::Nominate { votes, accepted } = &statement.pledges {
            for value in votes.iter().chain(accepted) {
                if let Some(index) = values.intern_own(value, env.oracle) {
                    self.vote(index, env);
                }
            }
            for value in accepted {
                if let Some(index) = values.find(value) {
                    self.tally_mut(index).is_accepted = true;
                }
            }
        }
        self.said = Some(statement.clone());
    }

    /// Own votes count, those too that were cast while they did not.
    pub(crate) fn regain_voice(&mut self, env: Env<'_>) {
        if !env.votes || self.n_votes == 0 {
            return;
        }
        self.declarations.declare(OWN, env.roster.own_declared());
        for tally in self.tallies.iter_mut().filter(|tally| tally.is_voted) {
            tally.voted.insert(OWN);
            if tally.is_accepted {
                tally.accepted.insert(OWN);
            }
        }
        self.is_dirty = true;
        self.has_news = true;
    }

    fn is_voted(&self, value: ValueIndex) -> bool {
        self.tallies
            .get(value.position())
            .is_some_and(|tally| tally.is_voted)
    }

    fn vote(&mut self, value: ValueIndex, env: Env<'_>) {
        let votes = env.votes;
        let tally = self.tally_mut(value);
        if tally.is_voted {
            return;
        }
        tally.is_voted = true;
        if votes {
            tally.voted.insert(OWN);
            self.declarations.declare(OWN, env.roster.own_declared());
        }
        self.n_votes = self.n_votes.saturating_add(1);
        self.is_dirty = true;
    }

    fn sorted(&self, values: &Values, is_wanted: impl Fn(&Tally) -> bool) -> Vec<Value> {
        let indexes = values.indexes().zip(&self.tallies);
        let wanted = indexes.filter(|(_, tally)| is_wanted(tally));
        let mut list: Vec<Value> = wanted.map(|(index, _)| values.get(index)).collect();
        list.sort_unstable();
        list
    }

    fn tally_mut(&mut self, value: ValueIndex) -> &mut Tally {
        if self.tallies.len() <= value.position() {
            self.tallies
                .resize(value.position().saturating_add(1), Tally::NONE);
        }
        let last = self.tallies.len().saturating_sub(1);
        let position = value.position().min(last);
        self.tallies
            .get_mut(position)
            .expect("the list was made to reach this position above")
    }
}

/// How many values of one leader are taken over: if as many lie as may fail, and lead first, room is left for an honest one and a
/// value of one's own.
fn adopted_per_leader_max(env: Env<'_>) -> u8 {
    let mut n_nodes: usize = 0;
    env.config
        .quorum_set
        .for_each_node(&mut |_| n_nodes = n_nodes.saturating_add(1));
    let n_leaders = (n_nodes.saturating_sub(1) / 3).saturating_add(2);
    let share = VALUES_PER_STATEMENT_MAX.checked_div(n_leaders).unwrap_or(1);
    u8::try_from(share)
        .unwrap_or(u8::MAX)
        .clamp(1, ADOPTED_PER_LEADER_MAX)
}

/// What may be voted for where somebody names `value`: itself, or its fallback if it is invalid (`docs/spec/scp.md` §4.5).
fn standing(value: &Value, env: Env<'_>, values: &Values) -> Option<Value> {
    let validity = |value: &Value| match values.find(value) {
        Some(index) => values.validity(index),
        None => env.oracle.validity(values.slot(), value),
    };
    if validity(value) == Validity::Invalid {
        let fallback = env.oracle.fallback(values.slot(), value);
        return fallback.filter(|fallback| validity(fallback) != Validity::Invalid);
    }
    // Valid and without a number: there was no room for it.
    values.find(value).map(|_| *value)
}

/// A node that may lead.
struct Eligible {
    node: NodeIndex,
    id: NodeId,
    weight: u64,
}

/// Nodes of the own quorum set, and this node, as far as they have any weight.
fn eligible_leaders(env: Env<'_>) -> Vec<Eligible> {
    let mut ids = Vec::new();
    ids.push(env.config.node);
    env.config.quorum_set.for_each_node(&mut |id| {
        if *id != env.config.node {
            ids.push(*id);
        }
    });
    let with_weight = ids.into_iter().filter_map(|id| {
        let node = env.roster.index(&id)?;
        let weight = env.oracle.weight(id);
        (weight > 0).then_some(Eligible { node, id, weight })
    });
    with_weight.collect()
}

/// The neighbours of highest priority; nobody if there is no neighbour.
fn winners(eligible: &[Eligible], draw: &Draw<'_>) -> NodeSet {
    let mut top = 0;
    let mut leaders = NodeSet::EMPTY;
    for leader in eligible {
        let priority = draw.priority(&leader.id, leader.weight);
        if priority > top {
            top = priority;
            leaders = NodeSet::EMPTY;
        }
        if priority == top && priority > 0 {
            leaders.insert(leader.node);
        }
    }
    leaders
}
