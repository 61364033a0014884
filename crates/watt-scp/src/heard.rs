//! What all nodes last said in ballots, and federated voting over it.

use crate::node_set::{NodeIndex, NodeSet};
use crate::pledge::Pledge;
use crate::roster::{Declarations, Declared, Roster};
use crate::values::{IndexedBallot, ValueIndex, Values};
use alloc::vec::Vec;

/// Nodes grouped by what they say: there are few different pledges at any time, however many nodes, so every rule looks at
/// a few groups instead of at every node.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    groups: Vec<(Pledge, NodeSet)>,
    declarations: Declarations,
}

impl Heard {
    pub(crate) const fn new() -> Self {
        Self {
            groups: Vec::new(),
            declarations: Declarations::new(),
        }
    }

    pub(crate) fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    pub(crate) fn declare(&mut self, node: NodeIndex, declared: Declared) {
        self.declarations.declare(node, declared);
    }

    /// `node` now says `pledge` and nothing else.
    pub(crate) fn record(&mut self, node: NodeIndex, pledge: Pledge, declared: Declared) {
        self.declarations.declare(node, declared);
        self.forget(node);
        if let Some((_, nodes)) = self.groups.iter_mut().find(|(said, _)| *said == pledge) {
            nodes.insert(node);
        } else {
            let mut nodes = NodeSet::EMPTY;
            nodes.insert(node);
            self.groups.push((pledge, nodes));
        }
    }

    /// `node` counts no longer.
    pub(crate) fn forget(&mut self, node: NodeIndex) {
        let with_node = |(_, nodes): &(Pledge, NodeSet)| nodes.contains(node);
        let Some(position) = self.groups.iter().position(with_node) else {
            return;
        };
        if let Some((_, nodes)) = self.groups.get_mut(position) {
            nodes.remove(node);
            if nodes.is_empty() {
                self.groups.swap_remove(position);
            }
        }
    }

    /// Each different pledge, in no particular order that two nodes would share.
    pub(crate) fn pledges(&self) -> impl Iterator<Item = &Pledge> {
        self.groups.iter().map(|(pledge, _)| pledge)
    }

    pub(crate) fn nodes_where(&self, holds: impl Fn(&Pledge) -> bool) -> NodeSet {
        let mut found = NodeSet::EMPTY;
        for (pledge, nodes) in &self.groups {
            if holds(pledge) {
                found.unite(nodes);
            }
        }
        found
    }

    /// Accept: a v-blocking set accepts, or a quorum votes or accepts.
    pub(crate) fn federated_accept(
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
    pub(crate) fn federated_ratify(&self, roster: &Roster, accepts: impl Fn(&Pledge) -> bool) -> bool {
        self.declarations
            .has_quorum_in(&self.nodes_where(accepts), roster)
    }

    /// Whether a v-blocking set is above `counter`.
    pub(crate) fn is_blocking_set_above(&self, counter: u32, roster: &Roster) -> bool {
        let ahead = self.nodes_where(|pledge| pledge.counter() > counter);
        roster.own_set().is_blocked_by(&ahead)
    }

    /// Lists every ballot that somebody votes for or accepts as prepared, highest first.
    pub(crate) fn list_prepare_candidates(&self, values: &Values, candidates: &mut Vec<IndexedBallot>) {
        candidates.clear();
        for pledge in self.pledges() {
            pledge.visit_prepare_ballots(|ballot| {
                if ballot.counter != 0 && !candidates.contains(&ballot) {
                    candidates.push(ballot);
                }
            });
        }
        candidates.sort_unstable_by(|a, b| values.compare(*b, *a));
    }

    /// The lowest ballot, compatible with `ballot`, that somebody votes for or accepts as prepared; at most `ballot`.
    pub(crate) fn lowest_named(&self, ballot: IndexedBallot) -> IndexedBallot {
        let mut lowest = ballot;
        for pledge in self.pledges() {
            pledge.visit_prepare_ballots(|named| {
                if named.counter != 0 && named.is_within(lowest) {
                    lowest = named;
                }
            });
        }
        lowest
    }

    /// Lists the values that somebody votes for or accepts as committed, ascending.
    pub(crate) fn list_committing(&self, values: &Values, committing: &mut Vec<ValueIndex>) {
        committing.clear();
        for pledge in self.pledges() {
            if pledge.speaks_of_commit() && !committing.contains(&pledge.value()) {
                committing.push(pledge.value());
            }
        }
        committing.sort_unstable_by_key(|value| values.get(*value));
    }

    /// The interval `low..=high` with the highest `high`, then the lowest `low`, for which `holds`, over the counters at
    /// which anything is said to change about committing `value`. `boundaries` is working memory.
    pub(crate) fn widest_interval(
        &self,
        value: ValueIndex,
        boundaries: &mut Vec<u32>,
        holds: impl Fn(u32, u32) -> bool,
    ) -> Option<(u32, u32)> {
        boundaries.clear();
        for pledge in self.pledges() {
            pledge.visit_commit_boundaries(value, |counter| {
                if !boundaries.contains(&counter) {
                    boundaries.push(counter);
                }
            });
        }
        boundaries.sort_unstable_by(|a, b| b.cmp(a));
        let mut interval: Option<(u32, u32)> = None;
        for counter in boundaries {
            let (low, high) = interval.map_or((*counter, *counter), |(_, high)| (*counter, high));
            if holds(low, high) {
                interval = Some((low, high));
            } else if interval.is_some() {
                break;
            }
        }
        interval
    }
}
