//! Whether a node is correctly connected, as its owner is told.

use crate::network::{Network, Said, texts};
use crate::wait::{PATIENCE, until_some};
use serde_json::{Value, json};

/// Four validators and a follower: all is well, then one is killed, then another.
///
/// Covers: A4.
#[test]
fn a_node_says_whether_it_is_correctly_connected() {
    let network = Network::up(4, 1);
    let v1 = health_when(&network, "v1", |health| {
        health["verdict"] == "connected" && health["heard"] == 4
    });
    let begins = |health: &Value, text: &str| health["sentence"].as_str().unwrap().starts_with(text);
    assert!(
        begins(
            &v1,
            "Connected: 4 of 4 validators were heard in the last minute. The network stops if 2 fail, and could be split by 2 that lie."
        ),
        "{v1}"
    );
    assert_eq!((&v1["quorum"], &v1["intersects"]), (&json!(3), &json!(true)));
    // Whoever follows hears no statements, and knows who signed the blocks.
    let p1 = health_when(&network, "p1", |health| health["verdict"] == "connected");
    assert!(p1["sentence"].as_str().unwrap().contains("signed blocks"), "{p1}");

    network.kill("v4");
    let one_less = health_when(&network, "v1", |health| health["heard"] == 3);
    assert_eq!(one_less["verdict"], "connected", "{one_less}");
    assert_eq!(
        (&one_less["stops_after"], &one_less["splits_after"]),
        (&json!(1), &json!(2))
    );
    let silent = format!("(not {})", &network.node("v4").voting_key[..8]);
    let said = text(&network, "v1", 0);
    assert!(
        said.contains(&silent) && said.contains("stops if 1 more fails"),
        "{said}"
    );

    network.kill("v3");
    for node in ["v1", "v2"] {
        let still = health_when(&network, node, |health| {
            health["reason"] == "stands-still" && health["heard"] == 2
        });
        assert_eq!(
            (&still["has_slice"], &still["stops_after"]),
            (&json!(false), &json!(0))
        );
        let said = text(&network, node, 4);
        assert!(
            said.starts_with("Not connected: the network stands still") && said.contains("and 3 are needed"),
            "{said}"
        );
        assert!(said.contains("\n  next: "), "{said}");
    }

    // No block, no signers: how many validators are left it can't know.
    health_when(&network, "p1", |health| health["reason"] == "stands-still");

    network.start("v3");
    for node in ["v1", "p1"] {
        health_when(&network, node, |health| health["verdict"] == "connected");
    }
    of_snapshots(&network);
}

/// What a node says of itself once `is_so`.
fn health_when(network: &Network, node: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until_some(&format!("the health of {node}"), PATIENCE, || {
        let health = network.run(&["node", "health", node, "--json"]).json();
        is_so(&health).then_some(health)
    })
}

fn text(network: &Network, node: &str, code: i32) -> String {
    let said = network.run(&["node", "health", node]);
    assert_eq!((said.code, said.err.as_str()), (Some(code), ""), "{said:?}");
    String::from_utf8(said.out).unwrap()
}

/// The quorum sets of any network are searched by a process of its own, which is killed at the deadline with what it found kept.
fn of_snapshots(network: &Network) {
    let analyze = |name: &str, snapshot: &Value, deadline: &str| -> Said {
        let path = network.path(name);
        std::fs::write(&path, snapshot.to_string()).unwrap();
        let path = path.to_str().unwrap();
        network.run(&[
            "node",
            "health",
            "--snapshot",
            path,
            "--deadline",
            deadline,
            "--json",
        ])
    };
    // Four groups of three, three of them, of each two: all is found.
    let whole = analyze("small.json", &groups(4, 3), "60");
    let found = whole.json();
    assert_eq!(
        (whole.code, &found["complete"]),
        (Some(0), &json!(true)),
        "{found}"
    );
    assert_eq!(found["intersection"]["answer"], "yes");
    assert_eq!(
        (&found["blocking"]["smallest"], &found["splitting"]["smallest"]),
        (&json!(4), &json!(2))
    );

    // 19 groups of three: what nobody can find in seconds is not guessed.
    let large = analyze("large.json", &groups(19, 13), "5");
    let found = large.json();
    assert!(matches!(large.code, Some(0 | 9)), "{large:?}");
    assert_eq!(
        (&found["complete"], &found["splitting"]),
        (&json!(false), &Value::Null)
    );

    let circle = |node: &str, people: [&str; 3]| json!({"publicKey": node, "quorumSet": {"threshold": 2, "validators": people}});
    let friends = json!([
        circle("anna", ["anna", "ben", "cleo"]),
        circle("ben", ["anna", "ben", "cleo"]),
        circle("dora", ["dora", "emil", "cleo"]),
        circle("emil", ["dora", "emil", "cleo"]),
    ]);
    let fork = analyze("friends.json", &friends, "60");
    let found = fork.json();
    assert_eq!(
        (fork.code, &found["intersection"]["answer"]),
        (Some(8), &json!("no")),
        "{found}"
    );
    let mut quorums = [0, 1].map(|at| texts(&found["intersection"]["quorums"][at]));
    quorums.sort();
    assert_eq!(quorums, [["anna", "ben"], ["dora", "emil"]]);

    for bad in [json!([]), json!({"nodes": 1}), json!([{"publicKey": "a"}])] {
        assert_eq!(analyze("bad.json", &bad, "60").code, Some(2));
    }
}

/// `n` groups of three, `threshold` of them, of each two.
fn groups(n: usize, threshold: usize) -> Value {
    let name = |group: usize, node: usize| format!("g{group:02}n{node}");
    let inner: Vec<Value> = (0..n)
        .map(|group| json!({"threshold": 2, "validators": [name(group, 0), name(group, 1), name(group, 2)]}))
        .collect();
    let nodes = (0..n * 3).map(|node| {
        let set = json!({"threshold": threshold, "validators": [], "innerQuorumSets": inner});
        json!({"publicKey": name(node / 3, node % 3), "quorumSet": set})
    });
    nodes.collect()
}
