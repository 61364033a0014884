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
