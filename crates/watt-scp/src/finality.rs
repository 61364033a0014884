<<<<<<< HEAD
//! Finality proofs: statements that together show a slot decided (`docs/spec/scp.md` §7).

use crate::fbas::has_slice_in;
use crate::quorum_set::{NODES_PER_SET_MAX, QuorumSet};
use crate::statement::{Pledges, Statement, Value};
use alloc::collections::BTreeSet;
use watt_primitives::SlotIndex;

/// Whether `statements` prove that `slot` decided `value`, for whoever trusts `quorum_set`.
///
/// True iff all of them are sane CONFIRM or EXTERNALIZE statements of that slot and value, one counter lies in every
/// statement's `[c, h]` (EXTERNALIZE: `[c, ∞]`), and their nodes contain a slice of the set. Where every backbone node
/// declares `quorum_set`, such a slice is a quorum that accepted one commit. Signatures are the caller's to check.
#[must_use]
pub fn proves(slot: SlotIndex, value: &Value, statements: &[Statement], quorum_set: &QuorumSet) -> bool {
    if statements.len() > NODES_PER_SET_MAX || !quorum_set.is_sane() {
        return false;
    }
    let (mut lowest, mut highest) = (1, u32::MAX);
    let mut nodes = BTreeSet::new();
    for statement in statements {
        let Some((low, high)) = accepted_commits(&statement.pledges, value) else {
            return false;
        };
        if statement.slot != slot || !statement.pledges.is_sane() {
            return false;
        }
        lowest = low.max(lowest);
        highest = high.min(highest);
        nodes.insert(statement.node);
    }
    lowest <= highest && has_slice_in(quorum_set, &nodes)
}

/// The counters at which the speaker accepts commit of `value`.
fn accepted_commits(pledges: &Pledges, value: &Value) -> Option<(u32, u32)> {
    match pledges {
        Pledges::Nominate { .. } | Pledges::Prepare { .. } => None,
        Pledges::Confirm {
            ballot,
            c_counter,
            h_counter,
            prepared_counter: _,
        } => (ballot.value == *value).then_some((*c_counter, *h_counter)),
        Pledges::Externalize { commit, h_counter: _ } => {
            (commit.value == *value).then_some((commit.counter, u32::MAX))
        }
    }
}

#[cfg(test)]
mod tests;
=======
//! What a set of statements proves to somebody who was not there.

use crate::quorum_set::QuorumSet;
use crate::statement::{Pledges, Statement, Value};
use alloc::collections::BTreeSet;
use watt_primitives::{NodeId, SlotIndex};

/// Whether `statements` show that `slot` decided `value`: some counter lies in the accepted-commit range of statements by a
/// slice of `quorum_set`.
#[must_use]
pub fn proves(slot: SlotIndex, value: &Value, statements: &[Statement], quorum_set: &QuorumSet) -> bool {
    let mut seen = BTreeSet::new();
    let mut ranges = alloc::vec::Vec::new();
    for statement in statements {
        let (from, to) = match &statement.pledges {
            Pledges::Confirm {
                ballot,
                c_counter,
                h_counter,
                ..
            } if ballot.value == *value => (*c_counter, *h_counter),
            Pledges::Externalize { commit, .. } if commit.value == *value => (commit.counter, u32::MAX),
            Pledges::Confirm { .. }
            | Pledges::Externalize { .. }
            | Pledges::Nominate { .. }
            | Pledges::Prepare { .. } => return false,
        };
        if statement.slot != slot || !seen.insert(statement.node) {
            return false;
        }
        ranges.push((statement.node, from, to));
    }
    ranges.iter().any(|(_, counter, _)| {
        let nodes: BTreeSet<NodeId> = ranges
            .iter()
            .filter(|(_, from, to)| *counter > 0 && (from..=to).contains(&counter))
            .map(|(node, _, _)| *node)
            .collect();
        has_slice(quorum_set, &nodes)
    })
}

fn has_slice(set: &QuorumSet, nodes: &BTreeSet<NodeId>) -> bool {
    let here = set.nodes.iter().filter(|node| nodes.contains(node)).count();
    let inner = set.inner.iter().filter(|inner| has_slice(inner, nodes)).count();
    usize::try_from(set.threshold).is_ok_and(|threshold| here.saturating_add(inner) >= threshold)
}
>>>>>>> light
