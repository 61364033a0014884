//! Sanity and the canonical form.
#![allow(clippy::indexing_slicing, reason = "tests fail by panicking")]

use super::*;
use alloc::vec;

fn id(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn ids(numbers: &[u8]) -> Vec<NodeId> {
    numbers.iter().copied().map(id).collect()
}

fn set(threshold: u32, nodes: &[u8], inner: Vec<QuorumSet>) -> QuorumSet {
    QuorumSet {
        threshold,
        nodes: BoundedVec::new(ids(nodes)).unwrap(),
        inner: BoundedVec::new(inner).unwrap(),
    }
}

fn nested(depth: usize) -> QuorumSet {
    let leaf = set(1, &[u8::try_from(depth).unwrap()], vec![]);
    (1..depth).rev().fold(leaf, |inner, level| {
        set(1, &[u8::try_from(level).unwrap()], vec![inner])
    })
}

/// Thresholds must be reachable and not empty, nodes unique over all levels, depth and size bounded. Covers: A2.
#[test]
fn only_usable_sets_are_sane() {
    for (is_sane, case) in [
        (true, set(1, &[1], vec![])),
        (true, set(3, &[1, 2], vec![set(1, &[3, 4], vec![])])),
        (false, set(0, &[1], vec![])),
        (false, set(2, &[1], vec![])),
        (false, set(1, &[], vec![])),
        (false, set(1, &[1, 1], vec![])),
        (false, set(1, &[1], vec![set(1, &[1], vec![])])),
        (false, set(1, &[1], vec![set(0, &[2], vec![])])),
        (false, set(1, &[1], vec![set(1, &[], vec![])])),
        (true, nested(4)),
        (false, nested(5)),
    ] {
        assert_eq!(case.is_sane(), is_sane, "{case:?}");
    }
}

/// At most 1000 nodes in all, however they are nested. Covers: A2.
#[test]
fn the_number_of_nodes_is_bounded() {
    let wide = |n_groups: u16, per_group: u16| {
        let groups = (0..n_groups).map(|group| {
            let members = (0..per_group).map(|member| {
                let mut bytes = [0; 32];
                bytes[..2].copy_from_slice(&group.to_be_bytes());
                bytes[2..4].copy_from_slice(&member.to_be_bytes());
                NodeId(bytes)
            });
            QuorumSet::flat(1, members.collect())
        });
        set(1, &[], groups.collect())
    };
    assert!(wide(10, 100).is_sane());
    assert!(!wide(11, 100).is_sane());
}

/// Order and needless nesting do not give a set a second name. Covers: A2.
#[test]
fn sets_with_the_same_slices_have_one_canonical_form() {
    let plain = set(2, &[1, 2], vec![set(2, &[3, 4, 5], vec![])]);
    let shuffled = set(2, &[2], vec![set(2, &[5, 3, 4], vec![]), set(1, &[1], vec![])]);
    let wrapped = set(1, &[], vec![shuffled.clone()]);
    assert_eq!(shuffled.normalized(), plain);
    assert_eq!(wrapped.normalized(), plain);
    assert_eq!(plain.normalized(), plain);
    assert_ne!(
        shuffled.hash(&NetworkId::new([1; 32])),
        plain.hash(&NetworkId::new([1; 32]))
    );
    assert_ne!(
        plain.hash(&NetworkId::new([1; 32])),
        plain.hash(&NetworkId::new([2; 32]))
    );
}

/// The wire form reads back, and unknown fields are refused. Covers: A2.
#[test]
fn a_set_survives_its_encoding() {
    let set = set(2, &[1, 2], vec![set(1, &[3], vec![])]);
    let bytes = codec::encode(&set);
    assert_eq!(codec::decode::<QuorumSet>(&bytes, 1000).unwrap(), set);
}
