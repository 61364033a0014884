//! Networks of seven and thirteen validators in bad weather: they agree always, and go on whenever a quorum is connected.

use crate::liar::usurp;
use crate::network::Network;
use crate::wait::{PATIENCE, until, until_calm, until_some};
use crate::weather::{Conditions, Weather};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Blocks that must close in each weather.
const BLOCKS: u64 = 4;

/// Slots in which the liar lies.
const LIES: u64 = 8;

/// Without a block for so long, the chain counts as standing.
const STANDSTILL: Duration = Duration::from_secs(6);

fn names(network: &Network) -> Vec<String> {
    network.nodes.iter().map(|node| node.name.clone()).collect()
}

/// At every height up to that of the lowest, all have the same block.
fn check_agreement(network: &Network, names: &[String]) {
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
fn all_go_on(network: &Network, names: &[String], n_blocks: u64) {
    let target = names.iter().map(|name| network.height(name)).max().unwrap() + n_blocks;
    for name in names {
        until(&format!("{name} is at block {target}"), PATIENCE, || {
            network.height(name) >= target
        });
    }
}

fn check_logs(network: &Network) {
    for name in names(network) {
        let log = network.log(&name);
        for sign in ["another program signs", "panicked", "can't go on"] {
            assert!(!log.contains(sign), "{name} logged: {sign}");
        }
    }
}

/// Seven validators: long links, lossy links, and one that lies.
#[test]
fn seven_validators_in_bad_weather_and_one_that_lies() {
    let network = Network::up(7, 0);
    let weather = Weather::over(&network);
    links_are_long_and_lossy(&network, &weather);
    one_lies(&network, &weather);
    check_logs(&network);
    network.check_supply("v1");
}

/// 50, 150 and 300 ms each way, so that an answer takes up to 600, and 5 % of the datagrams lost, also both at once: all seven close
/// blocks.
///
/// Covers: A1, A6.
fn links_are_long_and_lossy(network: &Network, weather: &Weather) {
    let all = names(network);
    for (delay_ms, loss_permille) in [(50, 0), (150, 0), (300, 0), (50, 50), (300, 50)] {
        weather.set(Conditions {
            delay: Duration::from_millis(delay_ms),
            loss_permille,
        });
        all_go_on(network, &all, BLOCKS);
    }
    weather.set(Conditions {
        delay: Duration::from_millis(50),
        loss_permille: 0,
    });
    check_agreement(network, &all);
}

/// One of seven proposes twice in every slot, tells one half of the others that it commits to one proposal and the other half to the
/// other, and passes on what the others say without the proposals behind it. Blocks go on, all honest ones agree, and every one of
/// them names the culprit and nobody else, with both signatures, also after it was killed. With its lies ended, the culprit's node
/// is taken back.
///
/// Covers: A1.
fn one_lies(network: &Network, weather: &Weather) {
    let honest = &names(network)[..6];
    let culprit = network.node("v7").voting_key.clone();
    let leash = usurp(network, weather, "v7");
    until("it has lied", PATIENCE, || {
        leash.slots.load(Ordering::SeqCst) >= LIES
    });
    all_go_on(network, honest, BLOCKS);
    for name in honest {
        until(&format!("{name} has evidence of both kinds"), PATIENCE, || {
            kinds(network, name) == BTreeSet::from(["two-commits".to_owned(), "two-proposals".to_owned()])
        });
    }
    leash.silence();
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

/// Thirteen validators: the network falls apart in two ways, heals, and is restarted one by one.
#[test]
fn thirteen_validators_come_apart_and_together() {
    let network = Network::up(13, 0);
    let weather = Weather::over(&network);
    weather.set(Conditions {
        delay: Duration::from_millis(20),
        loss_permille: 0,
    });
    let all = names(&network);
    all_go_on(&network, &all, 2);
    six_and_seven_both_stop(&network, &weather);
    nine_go_on_without_four(&network, &weather);
    one_after_the_other_restarts(&network);
    check_agreement(&network, &all);
    check_logs(&network);
    network.check_supply("v1");
}

/// A quorum of thirteen is nine: of a network cut into six and seven no side closes a block. When it heals, all agree and go on.
///
/// Covers: A1.
fn six_and_seven_both_stop(network: &Network, weather: &Weather) {
    let all = names(network);
    let heights = || -> Vec<u64> { all.iter().map(|name| network.height(name)).collect() };
    weather.cut(&all[..6], &all[6..]);
    let at_cut = heights().into_iter().max().unwrap();
    let standing = until_calm("both sides stop", STANDSTILL, heights);
    // The slot that was under way may have been decided; one that nobody had begun can't be.
    let highest = standing.into_iter().max().unwrap();
    assert!(
        highest <= at_cut + 1,
        "from {at_cut} to {highest} without a quorum"
    );
    weather.heal();
    all_go_on(network, &all, 2);
    check_agreement(network, &all);
}

/// Nine of thirteen are a quorum and go on; the four others stop, and catch up when they are back.
///
/// Covers: A1, A6.
fn nine_go_on_without_four(network: &Network, weather: &Weather) {
    let all = names(network);
    let (nine, four) = all.split_at(9);
    weather.cut(nine, four);
    let at_cut = all.iter().map(|name| network.height(name)).max().unwrap();
    all_go_on(network, nine, BLOCKS);
    for name in four {
        assert!(
            network.height(name) <= at_cut + 1,
            "{name} went on without a quorum"
        );
    }
    weather.heal();
    all_go_on(network, &all, 2);
}

/// All thirteen are killed and started again, one after the other: the others never stop.
///
/// Covers: A1, A6.
fn one_after_the_other_restarts(network: &Network) {
    let all = names(network);
    for (position, name) in all.iter().enumerate() {
        let other = &all[(position + 1) % all.len()];
        network.kill(name);
        network.wait_blocks(other, 1);
        network.start_ready(name);
    }
    all_go_on(network, &all, 2);
}
