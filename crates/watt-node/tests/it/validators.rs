//! Validators that die, alone and together.

use crate::network::Network;
use crate::wait::{PATIENCE, until, until_calm, vary};
use serde_json::Value;
use std::time::Duration;

/// How often one validator is killed in a row.
const KILLS: u64 = 20;

/// Block times without a block, after which the chain counts as standing.
const STANDSTILL: Duration = Duration::from_secs(6);

/// How soon blocks must close again when there is a quorum again.
const RESUME: Duration = Duration::from_secs(10);

/// One network whose validators are killed.
#[test]
fn validators_die_and_come_back() {
    let network = Network::up(4, 10);
    one_is_killed_twenty_times_in_a_row(&network);
    without_a_quorum_reads_go_on(&network);
}

/// SIGKILL at twenty different moments, some while the node is still starting: each time it comes back and catches up, the others
/// never wait for it, at every height all four have the same block, and nobody saw it say two things.
///
/// Covers: A1, A6.
fn one_is_killed_twenty_times_in_a_row(network: &Network) {
    let from = network.height("v1");
    for kill in 0..KILLS {
        // From right after the start to somewhere in the middle of a block.
        vary(Duration::from_millis(kill * 83 % 1_100));
        network.kill("v2");
        network.start("v2");
        if kill % 3 == 2 {
            continue; // The next kill hits it while it starts or catches up.
        }
        network.wait_node_ready("v2");
        let others = network.height("v1");
        until("v2 has caught up", PATIENCE, || network.height("v2") >= others);
    }
    network.wait_node_ready("v2");
    network.wait_blocks("v2", 2);
    let to = network.height("v2");
    assert!(
        network.height("v1") > from + KILLS / 2,
        "the others waited for it"
    );
    // Its vote counts again: without another one the network goes on only if it votes.
    network.kill("v3");
    network.wait_blocks("v1", 3);
    network.start_ready("v3");
    until("v3 has caught up", PATIENCE, || network.height("v3") >= to);

    let validators = ["v1", "v2", "v3", "v4"];
    for height in 1..=to {
        check_agreement(network, &validators, height);
    }
    for name in validators {
        let log = network.log(name);
        for sign in ["another program signs", "contradicted itself", "panicked"] {
            assert!(!log.contains(sign), "{name} logged: {sign}");
        }
    }
}

/// At `height` every one of `nodes` has the same block.
fn check_agreement(network: &Network, nodes: &[&str], height: u64) {
    let hash = |node: &str| -> Value {
        let block = network.http(node, &format!("/api/v1/blocks/{height}"));
        block.unwrap_or_else(|| panic!("{node} has no block {height}"))["hash"].clone()
    };
    let first = hash(nodes[0]);
    for node in &nodes[1..] {
        assert_eq!(
            hash(node),
            first,
            "{node} has another block {height} than {}",
            nodes[0]
        );
    }
}

/// Two of four are gone: no block closes, and every file can still be read; the first one back is enough for blocks to resume
/// within ten seconds, and the last one catches up.
///
/// Covers: A1, A6, C1.
fn without_a_quorum_reads_go_on(network: &Network) {
    let (path, bytes) = network.file("notes.txt", 1_500_000);
    let put = network.put(&path);
    let link = put["link"].as_str().unwrap();
    // The two that a client asks first.
    network.kill("v1");
    network.kill("v2");
    let halted = until_calm("blocks stop", STANDSTILL, || {
        (network.height("v3"), network.height("v4"))
    });
    assert!(halted.0 > 0 && halted.1 > 0, "the two others went down as well");

    let (fetched, _) = network.get(link);
    assert!(fetched == bytes, "the file came back changed");
    assert_eq!(network.status(link)["shares_alive"], 10);
    assert_eq!(
        (network.height("v3"), network.height("v4")),
        halted,
        "a block closed without a quorum"
    );

    network.start("v1");
    until("blocks resume", RESUME, || {
        network.height("v3") > halted.0.max(halted.1)
    });
    network.start_ready("v2");
    let height = network.height("v3");
    until("v2 has caught up", PATIENCE, || network.height("v2") >= height);
    network.wait_blocks("v2", 2);
    for height in halted.0.min(halted.1)..=height {
        check_agreement(network, &["v1", "v2", "v3", "v4"], height);
    }
    network.check_supply("v1");
}
