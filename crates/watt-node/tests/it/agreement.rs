//! What must hold of validators in any weather: they have the same blocks, and get further ones.

use crate::network::Network;
use crate::wait::{PATIENCE, until, until_some};
use std::collections::BTreeSet;

/// All nodes.
pub(crate) fn names(network: &Network) -> Vec<String> {
    network.nodes.iter().map(|node| node.name.clone()).collect()
}

/// At every height up to that of the lowest, all have the same block.
pub(crate) fn check_agreement(network: &Network, names: &[String]) {
    let lowest = names.iter().map(|name| network.height(name)).min().unwrap();
    assert!(lowest > 0, "a node does not answer");
    for height in 1..=lowest {
        let hashes: BTreeSet<String> = names
            .iter()
            .map(|name| {
                // A busy machine may let a request time out.
                let block = until_some(&format!("{name} tells block {height}"), PATIENCE, || {
                    network.http(name, &format!("/api/v1/blocks/{height}"))
                });
                block["hash"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(hashes.len(), 1, "different blocks at height {height}");
    }
}

/// Every one of `names` gets to where the highest is now, and `n_blocks` further.
pub(crate) fn all_go_on(network: &Network, names: &[String], n_blocks: u64) {
    let target = names.iter().map(|name| network.height(name)).max().unwrap() + n_blocks;
    for name in names {
        until(&format!("{name} is at block {target}"), PATIENCE, || {
            network.height(name) >= target
        });
    }
}

/// Nobody met what no honest network makes.
pub(crate) fn check_logs(network: &Network) {
    for name in names(network) {
        let log = network.log(&name);
        for sign in ["another program signs", "panicked", "can't go on"] {
            assert!(!log.contains(sign), "{name} logged: {sign}");
        }
    }
}
