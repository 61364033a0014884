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
