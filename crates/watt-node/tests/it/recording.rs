//! Recorded consensus: what the validators of a real network did comes out again.

use crate::network::Network;
use serde_json::Value;
use std::path::Path;

/// Every validator of a network records, one of them is killed and started again, another one killed at the end. Each log
/// replays bit for bit, the restart included; a torn end is said; damage, other files and missing ones are refused.
///
/// Covers: A1.
#[test]
fn what_validators_record_replays() {
    let network = Network::up_with(4, 0, &["--record-scp"]);
    network.wait_blocks("v1", 3);
    network.kill("v2");
    network.wait_blocks("v1", 2);
    network.start_ready("v2");
    network.wait_blocks("v2", 3);
    network.kill("v3");
    for name in ["v1", "v2", "v4"] {
        network.stop(name);
    }
    for name in ["v1", "v2", "v3", "v4"] {
        let done = replay(&network, &network.node_dir(name).join("scp.log"));
        let number = |key: &str| done[key].as_u64().unwrap();
        assert_eq!(done["identical"], true);
        assert_eq!(number("restarts"), u64::from(name == "v2"), "{name}: {done}");
        // What was killed may have been behind, before and after, and takes those blocks from others.
        let decided_min = if name == "v2" { 2 } else { 5 };
        assert!(number("decided") >= decided_min, "{name}: {done}");
        assert!(
            number("steps") > number("slots") && number("outputs") > 0,
            "{name}: {done}"
        );
        if name == "v1" || name == "v4" {
            assert_eq!(number("torn_bytes"), 0, "it ended in order");
        }
    }
    bad_files_are_refused(&network);
}

fn replay(network: &Network, log: &Path) -> Value {
    network.ask(&["scp", "replay", log.to_str().unwrap()])
}

fn bad_files_are_refused(network: &Network) {
    let log = network.node_dir("v1").join("scp.log");
    let good = std::fs::read(&log).unwrap();
    let whole = replay(network, &log);

    let path = network.path("other.log");
    std::fs::write(&path, &good[..good.len() - 5]).unwrap();
    let torn = replay(network, &path);
    assert_eq!(
        torn["steps"].as_u64().unwrap(),
        whole["steps"].as_u64().unwrap() - 1
    );
    assert!(torn["torn_bytes"].as_u64().unwrap() > 0);

    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    refused(network, &path, 8, "the log is damaged at byte ");
    std::fs::write(&path, "something else").unwrap();
    refused(network, &path, 8, "this is no log of SCP inputs");
    refused(network, &network.path("missing.log"), 3, "can't read the log");
}

fn refused(network: &Network, log: &Path, code: i32, sentence: &str) {
    let said = network.run(&["scp", "replay", log.to_str().unwrap()]);
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(
        said.err.contains(sentence) && said.err.contains("next: "),
        "{said:?}"
    );
}
