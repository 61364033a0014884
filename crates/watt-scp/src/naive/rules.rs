//! Words of the paper, each as its definition reads: slices, blocking sets, quorums, sanity and order of statements.

use crate::quorum_set::QuorumSet;
use crate::statement::{Ballot, Pledges, Value};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use watt_primitives::NodeId;

/// Every node of the set, outer levels first, with repetitions.
pub(super) fn all_nodes(set: &QuorumSet) -> Vec<NodeId> {
    let mut nodes = set.nodes.to_vec();
    nodes.extend(set.inner.iter().flat_map(all_nodes));
    nodes
}

/// §2.2
pub(super) fn is_sane_set(set: &QuorumSet) -> bool {
    let nodes = all_nodes(set);
    let distinct: BTreeSet<&NodeId> = nodes.iter().collect();
    thresholds_fit(set)
        && n_levels(set) <= 4
        && distinct.len() == nodes.len()
        && (1..=1000).contains(&nodes.len())
}

fn thresholds_fit(set: &QuorumSet) -> bool {
    let n_members = set.nodes.iter().count().saturating_add(set.inner.iter().count());
    let threshold = usize::try_from(set.threshold).unwrap_or(usize::MAX);
    (1..=n_members).contains(&threshold) && set.inner.iter().all(thresholds_fit)
}

fn n_levels(set: &QuorumSet) -> usize {
    set.inner
        .iter()
        .map(n_levels)
        .max()
        .unwrap_or(0)
        .saturating_add(1)
}

/// Whether `nodes` contain a slice of `set` (§2.1).
pub(super) fn has_slice(set: &QuorumSet, nodes: &BTreeSet<NodeId>) -> bool {
    let n_nodes = set.nodes.iter().filter(|node| nodes.contains(*node)).count();
    let n_inner = set.inner.iter().filter(|inner| has_slice(inner, nodes)).count();
    u32::try_from(n_nodes.saturating_add(n_inner)).is_ok_and(|n| n >= set.threshold)
}

/// The first slice of `set` within `nodes`: nodes as listed, `first` before all, then inner sets as listed.
pub(super) fn first_slice(set: &QuorumSet, nodes: &BTreeSet<NodeId>, first: NodeId) -> BTreeSet<NodeId> {
    let mut members: Vec<BTreeSet<NodeId>> = Vec::new();
    let (own, others): (Vec<NodeId>, Vec<NodeId>) = set.nodes.iter().partition(|node| **node == first);
    for node in own.into_iter().chain(others) {
        if nodes.contains(&node) {
            members.push(BTreeSet::from([node]));
        }
    }
    for inner in set.inner.iter().filter(|inner| has_slice(inner, nodes)) {
        members.push(first_slice(inner, nodes, first));
    }
    let threshold = usize::try_from(set.threshold).unwrap_or(usize::MAX);
    members.into_iter().take(threshold).flatten().collect()
}

/// Whether `nodes` meet every slice of `set`: without them there is none left.
pub(super) fn blocks(nodes: &BTreeSet<NodeId>, set: &QuorumSet) -> bool {
    let rest = all_nodes(set)
        .into_iter()
        .filter(|node| !nodes.contains(node))
        .collect();
    !has_slice(set, &rest)
}

/// Whether some of these nodes are a quorum, each having a slice of its own set among them, and `own` has a slice there
/// too: every combination is tried, the largest first.
pub(super) fn has_quorum(sets: &BTreeMap<NodeId, QuorumSet>, own: &QuorumSet) -> bool {
    if !has_slice(own, &sets.keys().copied().collect()) {
        return false;
    }
    let n_combinations = 1u64
        .checked_shl(u32::try_from(sets.len()).unwrap_or(u32::MAX))
        .unwrap_or(0);
    (0..n_combinations).rev().any(|combination| {
        let is_chosen = |position: usize| u32::try_from(position).is_ok_and(|p| (combination >> p) & 1 == 1);
        let chosen = sets
            .keys()
            .enumerate()
            .filter(|(position, _)| is_chosen(*position));
        let quorum: BTreeSet<NodeId> = chosen.map(|(_, node)| *node).collect();
        let has_own_slice = |node| sets.get(node).is_some_and(|set| has_slice(set, &quorum));
        has_slice(own, &quorum) && quorum.iter().all(has_own_slice)
    })
}

/// §3.3
pub(super) fn is_sane_statement(pledges: &Pledges) -> bool {
    match pledges {
        Pledges::Nominate { votes, accepted } => {
            let is_set = |list: &[Value]| {
                let sorted: BTreeSet<&Value> = list.iter().collect();
                sorted.into_iter().eq(list)
            };
            !(votes.is_empty() && accepted.is_empty()) && is_set(votes) && is_set(accepted)
        }
        Pledges::Prepare {
            ballot: b,
            prepared: p,
            prepared_prime: prime,
            c_counter: c,
            h_counter: h,
        } => {
            let is_prime_fine = match (p, prime) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(p), Some(prime)) => prime.counter >= 1 && prime < p && prime.value != p.value,
            };
            b.counter >= 1
                && p.is_none_or(|p| p.counter >= 1)
                && is_prime_fine
                && (*h == 0 || p.is_some_and(|p| *h <= p.counter))
                && (*c == 0 || (c <= h && *h <= b.counter))
        }
        Pledges::Confirm {
            ballot: b,
            prepared_counter: _,
            c_counter: c,
            h_counter: h,
        } => 1 <= *c && c <= h && *h <= b.counter,
        Pledges::Externalize {
            commit: c,
            h_counter: h,
        } => 1 <= c.counter && c.counter <= *h,
    }
}

/// §3.4
pub(super) fn is_newer(new: &Pledges, old: &Pledges) -> bool {
    match (new, old) {
        (
            Pledges::Nominate { votes, accepted },
            Pledges::Nominate {
                votes: old_votes,
                accepted: old_accepted,
            },
        ) => {
            let contains = |new: &[Value], old: &[Value]| old.iter().all(|value| new.contains(value));
            contains(votes, old_votes)
                && contains(accepted, old_accepted)
                && (votes, accepted) != (old_votes, old_accepted)
        }
        (Pledges::Nominate { .. }, _) | (_, Pledges::Nominate { .. }) => false,
        (
            Pledges::Prepare { .. } | Pledges::Confirm { .. } | Pledges::Externalize { .. },
            Pledges::Prepare { .. } | Pledges::Confirm { .. } | Pledges::Externalize { .. },
        ) => age(new) > age(old),
    }
}

/// What ballot statements are ordered by: kind, then fields; "none" is a ballot below all.
fn age(pledges: &Pledges) -> (u8, Vec<Option<Ballot>>, Vec<u32>) {
    match pledges {
        Pledges::Nominate { .. } => (0, Vec::new(), Vec::new()),
        Pledges::Prepare {
            ballot,
            prepared,
            prepared_prime,
            c_counter,
            h_counter,
        } => (
            1,
            [Some(*ballot), *prepared, *prepared_prime].to_vec(),
            [*h_counter, *c_counter].to_vec(),
        ),
        Pledges::Confirm {
            ballot,
            prepared_counter,
            c_counter: _,
            h_counter,
        } => (
            2,
            [Some(*ballot)].to_vec(),
            [*prepared_counter, *h_counter].to_vec(),
        ),
        Pledges::Externalize { .. } => (3, Vec::new(), Vec::new()),
    }
}

/// The value a ballot statement is about.
pub(super) fn stands_for(pledges: &Pledges) -> Option<Value> {
    match pledges {
        Pledges::Nominate { .. } => None,
        Pledges::Prepare { ballot, .. } | Pledges::Confirm { ballot, .. } => Some(ballot.value),
        Pledges::Externalize { commit, .. } => Some(commit.value),
    }
}

/// Whether it needs nobody else (§2.7).
pub(super) fn is_final(pledges: &Pledges) -> bool {
    match pledges {
        Pledges::Externalize { .. } => true,
        Pledges::Nominate { .. } | Pledges::Prepare { .. } | Pledges::Confirm { .. } => false,
    }
}

/// The value whose commit the speaker accepts (§7.3).
pub(super) fn bound_to(pledges: &Pledges) -> Option<Value> {
    match pledges {
        Pledges::Nominate { .. } | Pledges::Prepare { .. } => None,
        Pledges::Confirm { .. } | Pledges::Externalize { .. } => stands_for(pledges),
    }
}

/// Every value a statement names.
pub(super) fn values_of(pledges: &Pledges) -> Vec<Value> {
    match pledges {
        Pledges::Nominate { votes, accepted } => votes.iter().chain(accepted).copied().collect(),
        Pledges::Prepare {
            ballot,
            prepared,
            prepared_prime,
            ..
        } => {
            let all = [Some(*ballot), *prepared, *prepared_prime];
            all.into_iter().flatten().map(|ballot| ballot.value).collect()
        }
        Pledges::Confirm { .. } | Pledges::Externalize { .. } => stands_for(pledges).into_iter().collect(),
    }
}
