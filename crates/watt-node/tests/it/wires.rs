//! Real TCP on wires that lose packets.
//!
//! The whole devnet, its user and this test run in a network namespace of their own, in which the kernel drops packets between the
//! nodes: these meet lost segments, timeouts and retransmissions of the kernel's TCP, as on the internet. A namespace without a name
//! is in nobody's way and is gone with its last process, however that ends. It takes Linux with user namespaces, `unshare`, `ip` and
//! `nft`; where they are missing the same story is told over the relays of `weather`, and that is said.

use crate::agreement::{all_go_on, check_agreement, check_logs, names};
use crate::network::Network;
use crate::weather::{Conditions, Weather};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set inside the namespace: the file that the story leaves when it is told.
const INSIDE: &str = "WATT_TEST_NAMESPACE";

const NAME: &str = "wires::seven_validators_agree_while_tcp_loses_packets";

/// Packets lost in thousand.
const LOST_PERMILLE: u64 = 50;

/// Blocks that must close on bad wires, before and after a restart.
const BLOCKS: u64 = 8;

/// Packets that must have been lost in the end, so that it was no fair weather.
const LOST_MIN: u64 = 100;

/// Makes a namespace whose loopback carries packets of an ordinary size, and runs the words after it there. Its processes end when the
/// first of them does.
const ENTER: [&str; 10] = [
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    "ip link set lo up mtu 1500 && { ip link set lo gso_max_segs 1 || :; } && exec \"$@\"",
    "sh",
];

/// Seven validators whose packets get lost, one of twenty: they agree and go on, also when one is killed and has to catch up.
///
/// Covers: A1, A6.
#[test]
fn seven_validators_agree_while_tcp_loses_packets() {
    if let Some(told) = std::env::var_os(INSIDE) {
        let network = Network::up(7, 0);
        let before = n_lost();
        assert_eq!(before, 0, "nothing is lost yet");
        lose(&network);
        agree_and_go_on(&network);
        assert!(n_lost() >= LOST_MIN, "only {} packets were lost", n_lost());
        std::fs::write(told, b"").unwrap();
    } else if let Err(why) = probe() {
        // Past the capture of passing tests: nobody shall think that this machine showed more than it did.
        drop(writeln!(
            std::io::stderr(),
            "{NAME}: no network namespace with nft here ({why}); over relays that lose datagrams instead"
        ));
        let network = Network::up(7, 0);
        let weather = Weather::over(&network);
        weather.set(Conditions {
            delay: Duration::ZERO,
            loss_permille: LOST_PERMILLE,
        });
        agree_and_go_on(&network);
    } else {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        let status = Command::new("unshare")
            .args(ENTER)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(INSIDE, &told)
            .status()
            .unwrap();
        assert!(status.success(), "inside the namespace it failed: {status}");
        assert!(told.exists(), "inside the namespace nothing was told");
    }
}

fn agree_and_go_on(network: &Network) {
    let all = names(network);
    all_go_on(network, &all, BLOCKS);
    network.kill("v7");
    network.wait_blocks("v1", BLOCKS);
    network.start_ready("v7");
    all_go_on(network, &all, BLOCKS);
    check_agreement(network, &all);
    check_logs(network);
    network.check_supply("v1");
}

/// Whether a namespace can be made here in which packets can be dropped; else why not.
fn probe() -> Result<(), String> {
    let output = Command::new("unshare")
        .args(ENTER)
        .args(["nft", &rules(&[1])])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))
    }
}

/// What drops packets between the nodes that listen at these ports, of either direction, and everything that is not TCP. What users
/// say to nodes gets through.
fn rules(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports = ports.join(", ");
    let rule = |what: &str| format!("add rule inet wires input {what}; ");
    [
        "add table inet wires; ".to_owned(),
        "add chain inet wires input { type filter hook input priority 0; }; ".to_owned(),
        rule("meta l4proto udp drop"),
        rule(&format!(
            "tcp dport {{ {ports} }} numgen random mod 1000 < {LOST_PERMILLE} counter drop"
        )),
        rule(&format!(
            "tcp sport {{ {ports} }} numgen random mod 1000 < {LOST_PERMILLE} counter drop"
        )),
    ]
    .concat()
}

/// From now on wires between nodes are bad.
fn lose(network: &Network) {
    let ports: Vec<u16> = network.nodes.iter().map(|node| node.p2p_port).collect();
    let status = Command::new("nft").arg(rules(&ports)).status().unwrap();
    assert!(status.success(), "nft takes no rules: {status}");
}

/// Packets that were dropped so far.
fn n_lost() -> u64 {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    let rules = String::from_utf8(output.stdout).unwrap();
    let counts = rules.split("counter packets ").skip(1);
    counts
        .map(|rest| rest.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}
