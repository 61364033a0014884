//! What a person can check alone, with files that nodes of a real network gave.

use crate::network::Network;
use serde_json::Value;
use watt_node::proof_file;
use watt_primitives::NetworkId;

/// A block and an account are proven to somebody who runs no node and knows only the network's id: what is written verifies offline,
/// on another network or with any byte changed it does not, and the account's balance is the one that the network shows.
///
/// Covers: B7.
#[test]
fn proofs_are_checked_without_any_node() {
    let network = Network::up(4, 0);
    network.wait_blocks("v1", 3);
    let id = network.ask(&["chain", "head"])["network"]
        .as_str()
        .unwrap()
        .to_owned();
    let block = network.path("block.proof");
    let written = network.ask(&["chain", "proof", "2", "-o", block.to_str().unwrap()]);
    assert_eq!(written["height"], 2);
    assert_eq!(
        written["hash"],
        network.http("v3", "/api/v1/blocks/2").unwrap()["hash"]
    );

    let address = network.ask(&["account", "balance"])["address"]
        .as_str()
        .unwrap()
        .to_owned();
    let mine = network.path("mine.proof");
    network.ask(&["chain", "proof", &address, "-o", mine.to_str().unwrap()]);
    let again = network.run(&["chain", "proof", &address, "-o", mine.to_str().unwrap()]);
    assert_eq!(again.code, Some(7), "nothing is written over: {again:?}");
    let balance = network.balance();
    let genesis_id = NetworkId::from_hex(&id).unwrap();
    let bytes = std::fs::read(&mine).unwrap();
    every_changed_byte_is_caught(&bytes, &genesis_id);

    // From here on nobody answers any more.
    for name in ["v1", "v2", "v3", "v4"] {
        network.kill(name);
    }
    let verified = network.ask(&["verify", mine.to_str().unwrap(), "--network", &id]);
    assert_eq!(verified["account"]["address"], address.as_str());
    assert_eq!(verified["account"]["balance"], balance.to_string());
    assert_eq!(verified["votes"], 3);
    let verified = network.ask(&[
        "verify",
        block.to_str().unwrap(),
        mine.to_str().unwrap(),
        "--network",
        &id,
    ]);
    assert_eq!(
        (verified["height"].clone(), verified["account"].clone()),
        (Value::from(2), Value::Null)
    );
    let other = id.replace(['0', '1', '2'], "9");
    let refused = network.run(&["verify", block.to_str().unwrap(), "--network", &other]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
}

fn every_changed_byte_is_caught(bytes: &[u8], network: &NetworkId) {
    assert!(proof_file::verify(bytes, network).is_ok());
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x20;
        assert!(proof_file::verify(&changed, network).is_err(), "byte {at}");
    }
}
