//! Real networks, networks that fork, and networks that can't agree at all.

use super::*;
use crate::network::Slices;
use std::collections::BTreeSet;
use watt_scp::fbas::is_quorum;

const STELLAR_2018: &str = include_str!("../../tests/data/stellar-2018-05-10.json");
const STELLAR_2019: &str = include_str!("../../tests/data/stellar-2019-09-17.json");
const MOBILECOIN: &str = include_str!("../../tests/data/mobilecoin-2021-10-22.json");
const STELLAR_2025: &str = include_str!("../../tests/data/stellar-2025-07-20.json");

/// What `search` finds in its first `findings` findings; later ones may take for ever, so it is stopped by a panic, as the shell stops
/// it by killing its process.
fn found(network: &Network, findings: usize) -> Analysis {
    let mut analysis = Analysis::default();
    let mut left = findings;
    let search = std::panic::AssertUnwindSafe(|| {
        search(network, |finding| {
            analysis.add(finding);
            left -= 1;
            if left == 0 {
                std::panic::resume_unwind(Box::new("enough"));
            }
        });
    });
    let _stopped = std::panic::catch_unwind(search);
    analysis
}

fn read(snapshot: &str) -> Network {
    Network::from_snapshot(snapshot.as_bytes()).unwrap()
}

fn shape(sets: &Option<Sets>) -> (u64, usize) {
    let sets = sets.as_ref().unwrap();
    assert_eq!(sets.example.len(), sets.smallest);
    (sets.count, sets.smallest)
}

/// In four snapshots of real networks any two quorums intersect, and their blocking sets are as many and as small as was measured.
/// Covers: A4.
#[test]
fn real_networks_hold_together() {
    let networks = [
        (STELLAR_2018, 48, (3, 2)),
        (STELLAR_2019, 75, (174, 4)),
        (MOBILECOIN, 10, (120, 3)),
        (STELLAR_2025, 92, (945, 6)),
    ];
    for (snapshot, n_nodes, blocking) in networks {
        let network = read(snapshot);
        assert_eq!(network.len(), n_nodes);
        assert_eq!(
            Analysis::at_once(&network),
            None,
            "these are no flat sets for all"
        );
        let analysis = found(&network, 3);
        assert_eq!(analysis.intersection, Intersection::Yes);
        assert_eq!(shape(&analysis.blocking), blocking);
        assert!(!analysis.is_complete());
    }
}

/// Ten nodes that each name 7 of the 9 others: any 6 liars split them.
#[test]
fn small_networks_are_known_completely() {
    let analysis = found(&read(MOBILECOIN), 4);
    assert_eq!(shape(&analysis.splitting), (210, 6));
    assert_eq!(analysis.top_tier.as_ref().map(Vec::len), Some(10));
    assert!(analysis.is_complete());
}

/// Stellar's way of 2025: seven organisations of three nodes. Three liars are enough, though 6 must fail to stop it.
#[test]
fn grouped_people_are_split_by_few() {
    let group = |org: usize| Slices {
        threshold: 2,
        validators: (0..3).map(|n| format!("o{org}n{n}")).collect(),
        inner_quorum_sets: Vec::new(),
    };
    let slices = Slices {
        threshold: 5,
        validators: Vec::new(),
        inner_quorum_sets: (0..7).map(group).collect(),
    };
    let names = (0..7).flat_map(|org| (0..3).map(move |n| format!("o{org}n{n}")));
    let network = Network::checked(names.map(|name| (name, slices.clone()))).unwrap();
    let analysis = found(&network, 4);
    assert_eq!(analysis.intersection, Intersection::Yes);
    assert_eq!(shape(&analysis.blocking), (945, 6));
    assert_eq!(shape(&analysis.splitting), (945, 3));
}

/// Circles of friends used as slices: two groups can each agree alone, and both are named, as quorums without a common node.
/// Covers: A4.
#[test]
fn circles_of_friends_fork() {
    let circle = |people: &[&str]| Slices {
        threshold: 2,
        validators: people.iter().map(|name| (*name).to_owned()).collect(),
        inner_quorum_sets: Vec::new(),
    };
    let network = Network::checked([
        ("anna".to_owned(), circle(&["anna", "ben", "cleo"])),
        ("ben".to_owned(), circle(&["anna", "ben", "cleo"])),
        ("cleo".to_owned(), circle(&["ben", "cleo", "dora"])),
        ("dora".to_owned(), circle(&["dora", "emil", "fay"])),
        ("emil".to_owned(), circle(&["dora", "emil", "fay"])),
        ("fay".to_owned(), circle(&["emil", "fay", "anna"])),
    ])
    .unwrap();
    let analysis = found(&network, 4);
    let Intersection::No { quorums } = &analysis.intersection else {
        panic!("{analysis:?}");
    };
    check_disjoint(&network, quorums);
    // Nobody has to lie.
    assert_eq!(shape(&analysis.splitting).1, 0);
}

/// Both are quorums by the protocol's own rules, and share nobody.
fn check_disjoint(network: &Network, quorums: &[Vec<String>; 2]) {
    use watt_primitives::NodeId;
    let names: Vec<&str> = network.names().collect();
    let id = |name: &str| {
        let at = names.iter().position(|known| *known == name).unwrap();
        NodeId([u8::try_from(at).unwrap(); 32])
    };
    let sets = network.slices().map(|(name, slices)| {
        let nodes = slices.validators.iter().map(|node| id(node)).collect();
        let threshold = u32::try_from(slices.threshold).unwrap();
        (id(name), watt_scp::QuorumSet::flat(threshold, nodes))
    });
    let sets = sets.collect();
    let [one, other]: [BTreeSet<NodeId>; 2] = quorums
        .each_ref()
        .map(|quorum| quorum.iter().map(|node| id(node)).collect());
    assert!(is_quorum(&one, &sets) && is_quorum(&other, &sets));
    assert!(one.is_disjoint(&other));
}

/// Everybody waits for somebody who is not there.
#[test]
fn a_network_without_a_quorum_is_said() {
    let network = read(r#"[{"publicKey":"a","quorumSet":{"threshold":2,"validators":["a","gone"]}}]"#);
    assert_eq!(found(&network, 4).intersection, Intersection::NoQuorum);
    let absurd =
        read(r#"[{"publicKey":"a","quorumSet":{"threshold":18446744073709551615,"validators":["a"]}}]"#);
    assert_eq!(found(&absurd, 4).intersection, Intersection::NoQuorum);
}
