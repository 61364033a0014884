//! Rules change under a running network of processes, with the commands of the guide.

use crate::network::Network;
use crate::wait::{PATIENCE, until};
use std::time::Duration;

/// Two terms of 32 blocks, and one more if somebody attended too late to be counted.
const SWITCH: Duration = Duration::from_secs(400);

/// What `p1` is told to know under `[node]`.
const OLD: &str = "highest_protocol = 1\n";

/// Five of the council decide, the term after the next begins under version 2, and a node with an old program stops before it, says so
/// wherever it is asked, and goes on when it is updated. Covers: A11.
#[test]
fn a_network_changes_its_rules() {
    let network = Network::up_with(4, 1, &["--term-windows", "4"]);
    let path = network.node_dir("p1").join("config.toml");
    let new = std::fs::read_to_string(&path).unwrap();
    network.stop("p1");
    std::fs::write(&path, new.replacen("[node]\n", &format!("[node]\n{OLD}"), 1)).unwrap();
    network.start_ready("p1");

    let stranger = network.run(&["upgrade", "approve", "2"]);
    assert!(stranger.err.contains("not in the council"), "{stranger:?}");
    for number in 1..=5 {
        let member = format!("c{number}");
        let said = network.ask(&["upgrade", "approve", "2", "--account", &member]);
        let is_decided = said["upgrades"]["planned"]["version"] == 2;
        assert_eq!(is_decided, number == 5, "{said}");
    }
    let status = network.ask(&["upgrade", "status"]);
    assert_eq!(status["version"], 1);
    assert_eq!(status["decisions"][0]["by"].as_array().map(Vec::len), Some(5));
    until("version 2 is in force", SWITCH, || {
        network
            .http("v1", "/api/v1/upgrades")
            .is_some_and(|upgrades| upgrades["version"] == 2)
    });
    let status = network.ask(&["upgrade", "status"]);
    let decision = &status["decisions"][0];
    assert_eq!(decision["version"], 2, "{status}");
    until("blocks name it", PATIENCE, || {
        network
            .http("v1", "/api/v1/head")
            .is_some_and(|head| head["version"] == 2)
    });

    until("p1 has stopped", PATIENCE, || {
        network
            .http("p1", "/api/v1/upgrades")
            .is_some_and(|upgrades| upgrades["version"] == 2 && upgrades["known"] == 1)
    });
    let stopped = network.height("p1");
    assert_eq!((stopped + 1) % 32, 0, "the last block of a term");
    let health = network.run(&["node", "health", "p1", "--json"]);
    assert_eq!(health.code, Some(4), "{health:?}");
    assert_eq!(health.json()["reason"], "old-program");
    assert!(
        network
            .log("p1")
            .contains("rules that this program does not know")
    );
    let block = network.http("p1", &format!("/api/v1/blocks/{stopped}"));
    assert!(block.is_some(), "it serves what it has");
    network.wait_blocks("v1", 3);
    assert_eq!(network.height("p1"), stopped);

    network.stop("p1");
    std::fs::write(&path, new).unwrap();
    network.start_ready("p1");
    until("p1 goes on", PATIENCE, || network.height("p1") > stopped + 3);
    network.check_supply("v1");
}
