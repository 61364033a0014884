//! One validator of seven that lies, in a process of its own: this program once more, with the words `lie FOLDER GENESIS`.
//!
//! It is a test without libtest's harness, because what lies has to be a program, and must be none that is released: it is linked
//! from the same crates as the node, holds a real voting key, and speaks the real protocol. Reading order: `liar`, then the story.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, and these drive processes, which takes a clock"
)]
#![allow(
    dead_code,
    reason = "what drives a devnet is shared with the other stories, which use more of it"
)]

#[path = "../it/agreement.rs"]
mod agreement;
mod liar;
#[path = "../it/network.rs"]
mod network;
#[path = "../it/wait.rs"]
mod wait;
#[path = "../it/weather.rs"]
mod weather;

use agreement::{all_go_on, check_agreement, check_logs, names};
use liar::Liar;
use network::Network;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use wait::{PATIENCE, until};
use weather::{Conditions, Weather};

/// As libtest would name it.
const NAME: &str = "seven_validators_of_whom_one_lies";

/// Blocks that must close beside the liar.
const BLOCKS: u64 = 4;

/// Slots in which it must have lied.
const LIES: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["lie", dir, genesis] => liar::live(dir.as_ref(), genesis.as_ref()),
        words if words.contains(&"--list") => println!("{NAME}: test"),
        words => {
            // Only what libtest would run for these words.
            let mut filters = words.iter().filter(|word| !word.starts_with('-')).peekable();
            let is_meant = filters.peek().is_none() || filters.any(|filter| NAME.contains(filter));
            if is_meant {
                seven_validators_of_whom_one_lies();
            }
            println!("test result: ok. {} passed; 0 failed", u8::from(is_meant));
        }
    }
}

/// Seven validators over links of 50 ms, of which one lies.
fn seven_validators_of_whom_one_lies() {
    let network = Network::up(7, 0);
    let weather = Weather::over(&network);
    weather.set(Conditions {
        delay: Duration::from_millis(50),
        loss_permille: 0,
    });
    one_lies(&network);
    check_logs(&network);
    network.check_supply("v1");
}

/// One of seven proposes twice in every slot, tells one half of the others that it commits to one proposal and the other half to the
/// other, and passes on what the others say without the proposals behind it. Blocks go on, all honest ones agree, and every one of
/// them names the culprit and nobody else, with both signatures, also after it was killed. With its lies ended, the culprit's node
/// is taken back.
///
/// Covers: A1.
fn one_lies(network: &Network) {
    let honest = &names(network)[..6];
    let culprit = network.node("v7").voting_key.clone();
    let liar = Liar::in_place_of(network, "v7");
    until("it has lied", PATIENCE, || liar.n_slots() >= LIES);
    all_go_on(network, honest, BLOCKS);
    for name in honest {
        until(&format!("{name} has evidence of both kinds"), PATIENCE, || {
            kinds(network, name) == BTreeSet::from(["two-commits".to_owned(), "two-proposals".to_owned()])
        });
    }
    drop(liar);
    network.kill("v1");
    network.start_ready("v1");
    for name in honest {
        let evidence = network.http(name, "/api/v1/evidence").unwrap();
        let accused: Vec<&Value> = evidence["nodes"].as_array().unwrap().iter().collect();
        assert_eq!(accused.len(), 1, "{name}: {accused:?}");
        assert_eq!(accused[0]["node"], culprit.as_str(), "{name}");
        for piece in evidence["evidence"].as_array().unwrap() {
            assert_eq!(piece["node"], culprit.as_str(), "{name}");
            assert_ne!(piece["signed"][0], piece["signed"][1], "{name}");
        }
    }
    let said = network.ask(&["chain", "evidence"]);
    assert_eq!(said["nodes"][0]["node"], culprit.as_str());
    let metrics = network.http_text("v1", "/metrics").unwrap();
    assert!(
        metrics.contains(&format!("watt_consensus_evidence_total{{node=\"{culprit}\"}}")),
        "{metrics}"
    );
    network.start_ready("v7");
    all_go_on(network, &names(network), 2);
    check_agreement(network, &names(network));
}

/// Kinds of evidence that a node has.
fn kinds(network: &Network, name: &str) -> BTreeSet<String> {
    let evidence = network.http(name, "/api/v1/evidence").unwrap_or_default();
    let pieces = evidence["evidence"].as_array().cloned().unwrap_or_default();
    pieces
        .iter()
        .filter_map(|piece| piece["kind"].as_str().map(str::to_owned))
        .collect()
}
