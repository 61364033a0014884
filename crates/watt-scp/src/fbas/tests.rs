//! Slices, blocking sets and quorums on small sets that can be checked by hand.

use super::*;
use alloc::vec::Vec;
use watt_primitives::BoundedVec;

fn id(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn nodes(numbers: &[u8]) -> BTreeSet<NodeId> {
    numbers.iter().copied().map(id).collect()
}

fn flat(threshold: u32, numbers: &[u8]) -> QuorumSet {
    QuorumSet::flat(threshold, numbers.iter().copied().map(id).collect())
}

fn nested(threshold: u32, numbers: &[u8], inner: Vec<QuorumSet>) -> QuorumSet {
    QuorumSet {
        inner: BoundedVec::new(inner).unwrap(),
        ..flat(threshold, numbers)
    }
}

/// 3 of 4: three are a slice, two block. Covers: A2.
#[test]
fn flat_thresholds() {
    let set = flat(3, &[1, 2, 3, 4]);
    assert!(has_slice_in(&set, &nodes(&[1, 2, 4, 9])));
    assert!(!has_slice_in(&set, &nodes(&[1, 2, 9])));
    assert!(is_v_blocking(&set, &nodes(&[1, 4])));
    assert!(!is_v_blocking(&set, &nodes(&[1, 9])));
    assert!(!is_v_blocking(&set, &nodes(&[])));
}

/// An inner set counts once, when it is satisfied; it is blocked by what blocks it inside. Covers: A2.
#[test]
fn nested_thresholds() {
    let groups = [flat(2, &[4, 5, 6]), flat(2, &[7, 8, 9])].to_vec();
    let set = nested(3, &[1, 2], groups);
    assert!(has_slice_in(&set, &nodes(&[1, 2, 4, 6])));
    assert!(has_slice_in(&set, &nodes(&[1, 4, 5, 7, 8])));
    assert!(!has_slice_in(&set, &nodes(&[1, 2, 4, 7])));
    assert!(is_v_blocking(&set, &nodes(&[1, 2])));
    assert!(is_v_blocking(&set, &nodes(&[1, 4, 5])));
    assert!(!is_v_blocking(&set, &nodes(&[1, 4, 7])));
}

/// A quorum is found by removing nodes without a slice until none is left to remove. Covers: A2.
#[test]
fn the_greatest_quorum_is_a_fixpoint() {
    let mut sets = BTreeMap::new();
    for n in [1, 2, 3] {
        sets.insert(id(n), flat(2, &[1, 2, 3]));
    }
    sets.insert(id(4), flat(2, &[4, 5]));
    sets.insert(id(5), flat(2, &[5, 6]));
    let all = nodes(&[1, 2, 3, 4, 5]);
    assert_eq!(greatest_quorum_in(&all, &sets), nodes(&[1, 2, 3]));
    assert!(is_quorum(&nodes(&[1, 3]), &sets));
    assert!(!is_quorum(&nodes(&[1, 4]), &sets));
    assert!(!is_quorum(&nodes(&[]), &sets));
}
