//! What proves a decision and what does not.

use super::*;
use crate::statement::Ballot;
use alloc::vec::Vec;
use watt_primitives::{Hash, NodeId};

const SLOT: SlotIndex = SlotIndex(4);
const VALUE: Value = Value(Hash([1; 32]));

fn says(node: u8, pledges: Pledges) -> Statement {
    Statement {
        node: NodeId([node; 32]),
        slot: SLOT,
        quorum_set: Hash([0; 32]),
        pledges,
    }
}

fn at(counter: u32) -> Ballot {
    Ballot {
        counter,
        value: VALUE,
    }
}

fn confirm(node: u8, c_counter: u32, h_counter: u32) -> Statement {
    let pledges = Pledges::Confirm {
        ballot: at(h_counter),
        prepared_counter: h_counter,
        c_counter,
        h_counter,
    };
    says(node, pledges)
}

fn externalize(node: u8, c_counter: u32) -> Statement {
    let pledges = Pledges::Externalize {
        commit: at(c_counter),
        h_counter: c_counter,
    };
    says(node, pledges)
}

fn three_of_four() -> QuorumSet {
    QuorumSet::flat(3, (1..=4).map(|n| NodeId([n; 32])).collect())
}

/// A slice whose intervals share a counter proves; EXTERNALIZE reaches to infinity. Covers: A1.
#[test]
fn a_slice_with_a_common_counter_proves() {
    let set = three_of_four();
    for statements in [
        [confirm(1, 1, 3), confirm(2, 3, 5), confirm(3, 2, 4)],
        [externalize(1, 2), confirm(2, 1, 2), externalize(3, 1)],
        [externalize(1, 7), externalize(2, 1), externalize(3, 3)],
    ] {
        assert!(proves(SLOT, &VALUE, &statements, &set), "{statements:?}");
    }
}

/// Too few nodes, the same node twice, no common counter, another slot, another value, a mere vote: no proof. Covers: A1.
#[test]
fn nothing_less_proves() {
    let set = three_of_four();
    let prepare = says(
        3,
        Pledges::Prepare {
            ballot: at(1),
            prepared: Some(at(1)),
            prepared_prime: None,
            c_counter: 1,
            h_counter: 1,
        },
    );
    let mut other_slot = externalize(3, 1);
    other_slot.slot = SlotIndex(5);
    let mut insane = confirm(3, 1, 1);
    insane.pledges = Pledges::Confirm {
        ballot: at(1),
        prepared_counter: 1,
        c_counter: 0,
        h_counter: 1,
    };
    let third: Vec<Statement> = [
        externalize(2, 1),
        externalize(9, 1),
        confirm(3, 1, 1),
        prepare,
        other_slot,
        insane,
    ]
    .to_vec();
    for third in third {
        let statements = [externalize(1, 2), externalize(2, 1), third];
        assert!(!proves(SLOT, &VALUE, &statements, &set), "{statements:?}");
    }
    let good = [externalize(1, 1), externalize(2, 1), externalize(3, 1)];
    assert!(!proves(SLOT, &Value(Hash([2; 32])), &good, &set));
    assert!(!proves(SLOT, &VALUE, &[], &set));
    assert!(proves(SLOT, &VALUE, &good, &set));
}
