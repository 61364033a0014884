//! A node that comes late.

use crate::network::Network;
use crate::wait::{PATIENCE, until, vary};
use std::time::Duration;

/// Blocks between two states that the nodes of a devnet serve.
const CHECKPOINT_BLOCKS: u64 = 32;

/// How often the late node is killed while it starts.
const KILLS: u64 = 6;

/// A node that has nothing joins a network that is far ahead: it takes the state of a proven block from its peers, goes on after
/// SIGKILL at different moments, and has the same blocks and state root as the others from then on, but not those below (TC22).
///
/// Covers: A1, A6.
#[test]
fn a_node_that_comes_late_starts_from_a_checkpoint() {
    let network = Network::up(4, 1);
    network.kill("p1");
    std::fs::remove_dir_all(network.node_dir("p1").join("data")).unwrap();
    until("the others serve a state", PATIENCE, || {
        network.height("v1") > CHECKPOINT_BLOCKS + 2
    });
    for kill in 0..KILLS {
        network.start("p1");
        vary(Duration::from_millis(200 + kill * 230));
        network.kill("p1");
    }
    network.start_ready("p1");
    network.wait_blocks("p1", 3);
    let log = network.log("p1");
    assert!(log.contains("starting from a checkpoint"), "{log}");
    assert!(log.contains("the state that came in is in place"), "{log}");
    let height = network.height("p1");
    // The hash is over the root of the state; whose signatures prove it differs from node to node.
    let hash_at = |node: &str| {
        let block = network.http(node, &format!("/api/v1/blocks/{height}"))?;
        Some(block["hash"].as_str()?.to_owned())
    };
    until("both have the block", PATIENCE, || hash_at("v1").is_some());
    assert!(hash_at("p1").is_some());
    assert_eq!(hash_at("p1"), hash_at("v1"));
    assert!(
        network.http("p1", "/api/v1/blocks/1").is_none(),
        "it fetched the blocks below"
    );
    network.check_supply("p1");
}
