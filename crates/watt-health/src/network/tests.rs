//! What is taken as a network, and what is refused.

use super::*;

fn snapshot(nodes: &[(&str, &str)]) -> String {
    let listed: Vec<String> = nodes
        .iter()
        .map(|(node, set)| format!(r#"{{"publicKey":"{node}","quorumSet":{set}}}"#))
        .collect();
    format!("[{}]", listed.join(","))
}

fn read(nodes: &[(&str, &str)]) -> Result<Network, InvalidSnapshot> {
    Network::from_snapshot(snapshot(nodes).as_bytes())
}

fn unfit(set: &str) -> UnfitSlices {
    match read(&[("a", set)]) {
        Err(InvalidSnapshot::Unfit { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read_again() {
    let text = snapshot(&[
        (
            "b",
            r#"{"threshold":2,"validators":["b","a"],"innerQuorumSets":[{"threshold":1,"validators":["c"]}],"hashKey":"x"}"#,
        ),
        ("a", r#"{"threshold":1,"validators":["a"]}"#),
        ("c", "null"),
    ]);
    let network = Network::from_snapshot(text.as_bytes()).unwrap();
    // Who declares nothing is in no quorum.
    assert_eq!(network.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        Network::from_snapshot(network.to_snapshot().as_bytes()),
        Ok(network)
    );
}

#[test]
fn own_types_are_taken_with_their_inner_sets() {
    let node = |n: u8| NodeId([n; 32]);
    let mut set = QuorumSet::flat(2, vec![node(1)]);
    set.inner = watt_primitives::BoundedVec::new(vec![QuorumSet::flat(1, vec![node(2), node(3)])]).unwrap();
    let network = Network::of(&[(node(1), set)].into()).unwrap();
    let slices = network.nodes.values().next().unwrap();
    assert_eq!(
        (slices.threshold, slices.inner_quorum_sets[0].validators.len()),
        (2, 2)
    );
    assert_eq!(network.flat(), None);
}

/// Bounds hold at the limit and not one above.
#[test]
fn bounds_are_kept() {
    let nested = |levels: usize| {
        let open = r#"{"threshold":1,"validators":[],"innerQuorumSets":["#.repeat(levels - 1);
        format!(
            "{open}{}{}",
            r#"{"threshold":1,"validators":["a"]}"#,
            "]}".repeat(levels - 1)
        )
    };
    assert!(read(&[("a", &nested(DEPTH_MAX))]).is_ok());
    assert_eq!(unfit(&nested(DEPTH_MAX + 1)), UnfitSlices::TooDeep);

    let wide = |n: usize| {
        format!(
            r#"{{"threshold":1,"validators":[{}]}}"#,
            vec![r#""a""#; n].join(",")
        )
    };
    assert!(read(&[("a", &wide(NODES_PER_SET_MAX - 1))]).is_ok());
    assert_eq!(unfit(&wide(NODES_PER_SET_MAX)), UnfitSlices::TooMany);
    assert_eq!(
        unfit(r#"{"threshold":0,"validators":["a"]}"#),
        UnfitSlices::AcceptsNothing
    );

    let many = |n: usize| {
        let slices = Slices {
            threshold: 1,
            validators: vec!["0".to_owned()],
            inner_quorum_sets: Vec::new(),
        };
        Network::checked((0..n).map(|node| (node.to_string(), slices.clone())))
    };
    assert!(many(NODES_MAX).is_ok());
    assert_eq!(many(NODES_MAX + 1), Err(InvalidSnapshot::TooMany));
    assert_eq!(many(0), Err(InvalidSnapshot::Empty));

    let listed = |n: usize| {
        Network::from_snapshot(format!("[{}]", vec![r#"{"publicKey":"a"}"#; n].join(",")).as_bytes())
    };
    assert_eq!(listed(LISTED_MAX), Err(InvalidSnapshot::Empty));
    assert_eq!(listed(LISTED_MAX + 1), Err(InvalidSnapshot::TooMany));

    let set = r#"{"threshold":1,"validators":["a"]}"#;
    assert!(read(&[(&"n".repeat(NAME_BYTES_MAX), set)]).is_ok());
    assert_eq!(
        read(&[(&"n".repeat(NAME_BYTES_MAX + 1), set)]),
        Err(InvalidSnapshot::BadName)
    );
    assert_eq!(read(&[("", set)]), Err(InvalidSnapshot::BadName));
    assert_eq!(
        read(&[("a", set), ("a", set)]),
        Err(InvalidSnapshot::Twice("a".to_owned()))
    );

    let long = vec![b' '; SNAPSHOT_BYTES_MAX + 1];
    assert_eq!(Network::from_snapshot(&long), Err(InvalidSnapshot::TooLong));
    for foreign in [
        "",
        "{}",
        "[1]",
        r#"[{"publicKey":"a","quorumSet":{"threshold":-1,"validators":[]}}]"#,
    ] {
        let read = Network::from_snapshot(foreign.as_bytes());
        assert!(
            matches!(read, Err(InvalidSnapshot::NoSnapshot(_))),
            "{foreign}: {read:?}"
        );
    }
}
