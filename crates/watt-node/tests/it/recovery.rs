//! From more dead disks than may fail to blocks again, with the commands of the guide.

use crate::network::Network;
use crate::wait::{PATIENCE, until, until_calm};
use std::path::Path;
use std::time::Duration;
use watt_node::keyfile;
use watt_primitives::AccountId;
use watt_primitives::id::AddressKind;

/// Block times without a block, after which the chain counts as standing.
const STANDSTILL: Duration = Duration::from_secs(8);

/// Two of four disks are gone, with the voting keys on them. One cold key is enough: a new key votes for the seat, from an empty folder,
/// and blocks close again; a phone can check them. Then a node forgets the slot in which the network stands, and is let go on.
///
/// Covers: A1.
#[test]
fn dead_disks_and_lost_memory_are_recovered_from() {
    let network = Network::up(4, 0);
    let stood_at = lose_two_disks(&network);
    take_over(&network, "v4");
    network.start("v4");
    until("blocks resume", PATIENCE, || network.height("v1") > stood_at + 3);
    until("v4 has caught up", PATIENCE, || {
        network.height("v4") > stood_at + 3
    });
    network.wait_blocks("v2", 2);
    check_offline(&network, stood_at + 2);
    who_forgot_goes_on(&network);
    network.check_supply("v1");
}

/// The height at which the rest stands still.
fn lose_two_disks(network: &Network) -> u64 {
    network.wait_blocks("v1", 3);
    for name in ["v3", "v4"] {
        network.kill(name);
        std::fs::remove_dir_all(network.node_dir(name).join("data")).unwrap();
        std::fs::remove_file(network.node_dir(name).join("voting.key")).unwrap();
    }
    let halted = until_calm("blocks stop", STANDSTILL, || {
        (network.height("v1"), network.height("v2"))
    });
    halted.0.max(halted.1)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the owner of `name` does with the cold key.
fn take_over(network: &Network, name: &str) {
    let dir = network.node_dir(name);
    let (genesis, data) = (network.path("net/genesis.cbor"), dir.join("data"));
    let (request, succession) = (network.path("request"), network.path("succession"));
    let seat = keyfile::read(&dir.join("seat.key")).unwrap();
    let seat = AccountId::of_first_key(&seat.public()).to_address(AddressKind::Test);
    let node = ["--genesis", text(&genesis), "--data-dir", text(&data)];
    let of_node = |arguments: &[&str]| network.run(&[arguments, &node[..]].concat());

    let made = of_node(&[
        "seat",
        "succession",
        "request",
        "--seat",
        &seat,
        "--term",
        "0",
        "-o",
        text(&request),
    ]);
    assert_eq!(made.code, Some(0), "{made:?}");
    // Any other key's signature is of no use.
    let wrong = network.path("wrong.key");
    let other = network.path("other");
    network.ask(&["seat", "cold-key", "new", text(&wrong)]);
    network.ask(&[
        "seat",
        "succession",
        "sign",
        text(&request),
        "--cold-key",
        text(&wrong),
        "-o",
        text(&other),
    ]);
    let cold_key = dir.join("cold.key");
    let signed = network.ask(&[
        "seat",
        "succession",
        "sign",
        text(&request),
        "--cold-key",
        text(&cold_key),
        "-o",
        text(&succession),
    ]);
    assert_eq!(signed["term"], 0);
    // A damaged one is not taken.
    let mut bytes = std::fs::read(&succession).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = network.path("damaged");
    std::fs::write(&damaged, bytes).unwrap();
    let refused = of_node(&["seat", "succession", "take", text(&damaged)]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    let taken = of_node(&["seat", "succession", "take", text(&succession)]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    // The lost key is no longer in the configuration.
    let path = dir.join("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let lines = config.lines().filter(|line| !line.starts_with("validator_key"));
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

/// A block that the successor voted for is shown to be final to somebody who has nothing but the network's id.
fn check_offline(network: &Network, height: u64) {
    let proof = network.path("block.proof");
    network.ask(&["chain", "proof", &height.to_string(), "-o", text(&proof)]);
    let verified = network.ask(&["verify", text(&proof), "--network", &network.id]);
    assert_eq!(verified["height"], height, "{verified}");
}

/// With v3 gone all others are needed. v4 is down when v2, which has spoken in the slot, loses its journal: it is silent, and the
/// network stands still with three nodes that run, until its owner lets it go on.
fn who_forgot_goes_on(network: &Network) {
    network.kill("v4");
    let stood = until_calm("blocks stop", STANDSTILL, || network.height("v1"));
    network.kill("v2");
    std::fs::remove_dir_all(network.node_dir("v2").join("data/scp")).unwrap();
    network.start("v2");
    network.start("v4");
    until("v2 knows that it forgot", PATIENCE, || {
        network.log("v2").contains("a forgotten own statement was met")
    });
    let early = network.run(&["node", "recover", "v2"]);
    assert_eq!(early.code, Some(7), "an hour has not passed: {early:?}");
    assert!(early.err.contains("has stood still for"), "{early:?}");
    let not_silent = network.run(&["node", "recover", "v1"]);
    assert!(not_silent.err.contains("is not silent"), "{not_silent:?}");
    until("v2 may go on", PATIENCE, || {
        network.run(&["node", "recover", "v2"]).code == Some(0)
    });
    until("blocks resume", PATIENCE, || network.height("v1") > stood + 3);
    until("v2 follows", PATIENCE, || network.height("v2") > stood + 3);
}
