//! Rules change under a running network of processes, with the commands of the guide.

use crate::network::Network;
use crate::wait::{PATIENCE, until, until_calm};
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

/// Block times without a block, after which the chain counts as standing.
const STANDSTILL: Duration = Duration::from_secs(5);

/// A network stands still; its people write down from which block on rules are other ones, and those who vote go on by them. Everybody
/// sees why, and a node whose owner does not agree stops and says so. Covers: A11.
#[test]
fn a_network_is_rescued() {
    let network = Network::up(4, 1);
    network.wait_blocks("v1", 3);
    network.stop("p1");
    network.kill("v1");
    network.kill("v2");
    let stands = |name: &str| until_calm("blocks stop", STANDSTILL, || network.height(name));
    stands("v4");
    network.kill("v3");
    // Whatever one of those who were killed had stored besides, v4 has it now.
    for name in ["v1", "v2"] {
        network.start(name);
        stands("v4");
        network.kill(name);
    }
    let (base, header) = {
        let head = network.http("v4", "/api/v1/head").unwrap();
        (network.height("v4"), head["hash"].as_str().unwrap().to_owned())
    };
    network.kill("v4");

    let reason = "nobody can execute the next block";
    let release = network.path("rescue.toml");
    let text = format!("base = {base}\nheader = \"{header}\"\nversion = 2\nreason = \"{reason}\"\n");
    std::fs::write(&release, text).unwrap();
    for name in ["v1", "v2", "v3", "v4"] {
        let path = network.node_dir(name).join("config.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let line = format!("[node]\nrescue = \"{}\"\n", release.display());
        std::fs::write(&path, config.replacen("[node]\n", &line, 1)).unwrap();
        network.start(name);
    }
    until("blocks go on", PATIENCE, || network.height("v4") > base + 3);
    let status = network.ask(&["upgrade", "status"]);
    assert_eq!(
        (&status["version"], &status["rescue"]["before"]),
        (&2.into(), &1.into())
    );
    assert_eq!(status["rescue"]["height"], base + 1);
    assert_eq!(status["rescue"]["reason"], reason);
    let told = String::from_utf8(network.run(&["upgrade", "status"]).out).unwrap();
    assert!(
        told.contains("nobody decided it") && told.contains(reason),
        "{told}"
    );
    let block = network
        .http("v1", &format!("/api/v1/blocks/{}", base + 1))
        .unwrap();
    assert_eq!(block["version"], 2, "{block}");

    network.start("p1");
    until("p1 has stopped", PATIENCE, || {
        network.log("p1").contains("cannot be executed here")
    });
    network.check_supply("v1");
}
