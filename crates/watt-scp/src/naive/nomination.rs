//! Nomination (§4).

use super::World;
use crate::protocol::Validity;
use crate::statement::{Pledges, Statement, Value};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use watt_primitives::hash::{Domain, hash};
use watt_primitives::{BoundedVec, NodeId};

#[derive(Clone, Debug, Default)]
pub(super) struct Nominations {
    pub(super) is_running: bool,
    pub(super) round: u32,
    proposal: Option<Value>,
    previous: Option<Value>,
    leaders: BTreeSet<NodeId>,
    votes: BTreeSet<Value>,
    accepted: BTreeSet<Value>,
    pub(super) candidates: BTreeSet<Value>,
    /// The others' newest.
    pub(super) latest: BTreeMap<NodeId, Statement>,
    pub(super) said: Option<Statement>,
    /// Nodes whose newest statement may yet give a value.
    pub(super) unread: BTreeSet<NodeId>,
    n_adopted: BTreeMap<NodeId, u32>,
}

fn votes_of(statement: &Statement) -> Vec<Value> {
    match &statement.pledges {
        Pledges::Nominate { votes, .. } => votes.to_vec(),
        Pledges::Prepare { .. } | Pledges::Confirm { .. } | Pledges::Externalize { .. } => Vec::new(),
    }
}

fn accepted_of(statement: &Statement) -> Vec<Value> {
    match &statement.pledges {
        Pledges::Nominate { accepted, .. } => accepted.to_vec(),
        Pledges::Prepare { .. } | Pledges::Confirm { .. } | Pledges::Externalize { .. } => Vec::new(),
    }
}

fn names(statement: &Statement, value: &Value) -> bool {
    votes_of(statement).contains(value) || accepted_of(statement).contains(value)
}

/// The value, or what is nominated in its place.
fn standing(value: &Value, world: World<'_>) -> Option<Value> {
    if world.validity(value) != Validity::Invalid {
        return Some(*value);
    }
    let fallback = world.oracle.fallback(world.slot, value);
    fallback.filter(|fallback| world.validity(fallback) != Validity::Invalid)
}

impl Nominations {
    pub(super) fn names(&self, value: &Value) -> bool {
        self.latest
            .values()
            .chain(&self.said)
            .any(|statement| names(statement, value))
    }

    /// Leaders that name a value about which the oracle has changed its mind are looked at again.
    pub(super) fn validity_changed(&mut self, value: &Value) {
        let named_by = self.latest.values().filter(|statement| names(statement, value));
        self.unread.extend(named_by.map(|statement| statement.node));
    }

    pub(super) fn timer_round(&self) -> Option<u32> {
        (self.is_running && self.candidates.is_empty()).then_some(self.round)
    }

    pub(super) fn start(
        &mut self,
        proposal: Value,
        previous: Value,
        world: World<'_>,
        met: &mut BTreeMap<Value, bool>,
    ) {
        self.proposal = Some(proposal);
        if self.is_running || !self.candidates.is_empty() {
            return;
        }
        self.is_running = true;
        self.previous = Some(previous);
        let resumed = self.round.clamp(1, 1000);
        self.round = 0;
        while self.round < resumed {
            self.begin_round(world, met);
        }
    }

    pub(super) fn timer_fired(&mut self, world: World<'_>, met: &mut BTreeMap<Value, bool>) {
        if self.timer_round().is_some() {
            self.begin_round(world, met);
        }
    }

    fn begin_round(&mut self, world: World<'_>, met: &mut BTreeMap<Value, bool>) {
        self.round = self.round.saturating_add(1);
        self.elect(world);
        self.unread.extend(self.leaders.iter().copied());
        self.adopt(world, met);
        let leads = self.leaders.contains(&world.config.node);
        let all_are_invalid = self
            .votes
            .iter()
            .all(|vote| world.validity(vote) == Validity::Invalid);
        if let Some(proposal) = self.proposal.filter(|_| leads && all_are_invalid) {
            met.entry(proposal).or_default();
            if let Some(value) = standing(&proposal, world) {
                met.entry(value).or_default();
                self.votes.insert(value);
            }
        }
    }

    /// §4.3, §4.4
    fn elect(&mut self, world: World<'_>) {
        let mut nodes = BTreeSet::from([world.config.node]);
        if super::rules::is_sane_set(&world.config.quorum_set) {
            nodes.extend(super::rules::all_nodes(&world.config.quorum_set));
        }
        nodes.retain(|node| world.oracle.weight(*node) > 0);
        if nodes.is_subset(&self.leaders) {
            return;
        }
        for _ in 0..1000 {
            let is_neighbor =
                |node: &&NodeId| self.draw(1, node.as_ref(), world) <= world.oracle.weight(**node);
            let rank = |node: &NodeId| self.draw(2, node.as_ref(), world);
            let neighbors: Vec<NodeId> = nodes.iter().filter(is_neighbor).copied().collect();
            let highest = neighbors.iter().map(rank).max();
            let led: BTreeSet<NodeId> = neighbors
                .iter()
                .filter(|node| Some(rank(node)) == highest)
                .copied()
                .collect();
            let is_news = !led.is_subset(&self.leaders);
            self.leaders.extend(led);
            if is_news {
                return;
            }
            self.round = self.round.saturating_add(1);
        }
    }

    /// `H(tag, round, subject)` of §4.3.
    fn draw(&self, tag: u8, subject: &[u8], world: World<'_>) -> u64 {
        let previous = self.previous.unwrap_or(Value(watt_primitives::Hash::ZERO));
        let parts: [&[u8]; 5] = [
            &world.slot.0.to_be_bytes(),
            previous.0.as_ref(),
            &[tag],
            &self.round.to_be_bytes(),
            subject,
        ];
        let digest = hash(Domain::Leader, &world.config.network, &parts);
        digest
            .0
            .iter()
            .take(8)
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    /// Every node's newest statement; own state too, while it counts.
    fn statements(&self, world: World<'_>) -> Vec<Statement> {
        let own = self.own_statement(world).filter(|_| world.has_voice);
        self.latest.values().cloned().chain(own).collect()
    }

    /// Runs the rules until nothing changes. Answers whether there are new candidates.
    pub(super) fn advance(&mut self, world: World<'_>, met: &mut BTreeMap<Value, bool>) -> bool {
        let n_before = self.candidates.len();
        while self.is_running {
            let statements = self.statements(world);
            let named: BTreeSet<Value> = statements
                .iter()
                .flat_map(|s| votes_of(s).into_iter().chain(accepted_of(s)))
                .collect();
            for value in named.iter().chain(&self.votes.clone()) {
                let votes = |s: &Statement| votes_of(s).contains(value);
                let accepts = |s: &Statement| accepted_of(s).contains(value);
                let may_accept = if world.validity(value) == Validity::Invalid {
                    world.blocks(&statements, accepts) && standing(value, world).is_some()
                } else {
                    world.may_accept(&statements, votes, accepts)
                };
                if may_accept {
                    met.entry(*value).or_default();
                    self.votes.insert(*value);
                    self.accepted.insert(*value);
                }
            }
            let statements = self.statements(world);
            for value in &self.accepted {
                if world.has_quorum(&statements, |s| accepted_of(s).contains(value)) {
                    self.candidates.insert(*value);
                }
            }
            if !self.adopt(world, met) {
                break;
            }
        }
        self.candidates.len() > n_before
    }

    /// §4.5: one value of each leader that has said something new, leaders in the order of the own set.
    fn adopt(&mut self, world: World<'_>, met: &mut BTreeMap<Value, bool>) -> bool {
        let unread = core::mem::take(&mut self.unread);
        if !self.candidates.is_empty() {
            return false;
        }
        let mut has_adopted = false;
        let k = super::rules::all_nodes(&world.config.quorum_set).len();
        // ⌊32 / (f + 2)⌋, from 1 to 4
        let n_leaders = (k.saturating_sub(1) / 3).saturating_add(2);
        let fits = |share: &usize| share.saturating_mul(n_leaders) <= 32;
        let adopted_max = u32::try_from((1..=4).rev().find(fits).unwrap_or(1)).unwrap_or(1);
        for node in super::rules::all_nodes(&world.config.quorum_set) {
            let n_adopted = self.n_adopted.get(&node).copied().unwrap_or(0);
            if !unread.contains(&node) || !self.leaders.contains(&node) || n_adopted >= adopted_max {
                continue;
            }
            let Some(statement) = self.latest.get(&node) else {
                continue;
            };
            let valid = |list: Vec<Value>| -> Vec<Value> {
                list.iter().filter_map(|value| standing(value, world)).collect()
            };
            let accepted = valid(accepted_of(statement));
            let pool = if accepted.is_empty() {
                valid(votes_of(statement))
            } else {
                accepted
            };
            let new = pool.into_iter().filter(|value| !self.votes.contains(value));
            if let Some(best) = new.max_by_key(|value| self.draw(3, value.0.as_ref(), world)) {
                met.entry(best).or_default();
                self.votes.insert(best);
                self.n_adopted.insert(node, n_adopted.saturating_add(1));
                has_adopted = true;
            }
        }
        has_adopted
    }

    /// What this node would say.
    pub(super) fn own_statement(&self, world: World<'_>) -> Option<Statement> {
        if self.votes.is_empty() {
            return None;
        }
        Some(Statement {
            node: world.config.node,
            slot: world.slot,
            quorum_set: world.own_hash,
            pledges: Pledges::Nominate {
                votes: BoundedVec::new(self.votes.iter().copied().collect()).ok()?,
                accepted: BoundedVec::new(self.accepted.iter().copied().collect()).ok()?,
            },
        })
    }

    pub(super) fn restore(&mut self, statement: &Statement) {
        self.votes.extend(votes_of(statement));
        self.votes.extend(accepted_of(statement));
        self.accepted.extend(accepted_of(statement));
        self.said = Some(statement.clone());
    }
}
