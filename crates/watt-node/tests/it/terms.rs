//! A backbone that changes keys with every term, as it is on real nodes.

use crate::network::Network;
use crate::wait::{PATIENCE, until, until_some};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Windows of a term, of eight blocks each.
const TERM_WINDOWS: u64 = 4;
const TERM_BLOCKS: u64 = TERM_WINDOWS * 8;

/// Two terms take more than a minute, on a machine with other networks longer.
const TERMS_PATIENCE: Duration = Duration::from_secs(PATIENCE.as_secs() * 3);

/// Nobody touches anything: validators register keys and onions for the terms to come, vote with another key in each term, attend their
/// windows, and go on when one of them is killed across a boundary. What was decided with keys that nobody votes with any more is
/// proven to somebody who knows only the network's id.
///
/// Covers: A2, A4, B7.
#[test]
fn validators_vote_with_new_keys_in_every_term() {
    let windows = TERM_WINDOWS.to_string();
    let network = Network::up_with(4, 0, &["--term-windows", &windows]);
    let genesis_keys: BTreeSet<String> = network.nodes.iter().map(|node| node.voting_key.clone()).collect();
    let first = in_term(&network, 1);
    // Across the next boundary one is missing, and finds its key when it comes back.
    network.kill("v4");
    let second = in_term(&network, 2);
    network.start_ready("v4");
    let third = in_term(&network, 3);
    let of = |seats: &Value| -> BTreeSet<String> {
        let voters = seats["voters"].as_array().unwrap();
        voters
            .iter()
            .map(|voter| voter["node"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = [genesis_keys, of(&first), of(&second), of(&third)];
    for (term, keys) in all.iter().enumerate() {
        assert_eq!(keys.len(), 4, "term {term}");
        for earlier in all.iter().take(term) {
            assert!(keys.is_disjoint(earlier), "a key of term {term} voted before");
        }
    }
    let people = |seats: &Value| -> BTreeSet<String> {
        let voters = seats["voters"].as_array().unwrap();
        voters
            .iter()
            .map(|voter| voter["address"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(people(&first), people(&third));
    until("v4 is there again", PATIENCE, || all_attend(&network));

    let id = network.ask(&["chain", "head"])["network"]
        .as_str()
        .unwrap()
        .to_owned();
    let old = network.path("old.proof");
    let height = TERM_BLOCKS.to_string();
    network.ask(&["chain", "proof", &height, "-o", old.to_str().unwrap()]);
    let verified = network.ask(&["verify", old.to_str().unwrap(), "--network", &id]);
    assert_eq!(verified["height"], TERM_BLOCKS);
    let new = network.path("new.proof");
    let height = (3 * TERM_BLOCKS).to_string();
    network.ask(&["chain", "proof", &height, "-o", new.to_str().unwrap()]);
    let verified = network.ask(&["verify", new.to_str().unwrap(), "--network", &id]);
    assert_eq!(verified["height"], 3 * TERM_BLOCKS);
    network.check_supply("v1");
}

/// The seats a few blocks into `term`.
fn in_term(network: &Network, term: u64) -> Value {
    until_some("the term begins", TERMS_PATIENCE, || {
        let seats = network.http("v1", "/api/v1/seats")?;
        (seats["term"] == term && network.height("v1") > term * TERM_BLOCKS + 2).then_some(seats)
    })
}

/// Whether everybody who votes was there in the running term.
fn all_attend(network: &Network) -> bool {
    let seats = network.http("v1", "/api/v1/seats").unwrap_or_default();
    let voters = seats["voters"].as_array();
    voters.is_some_and(|voters| voters.iter().all(|voter| voter["attended"].as_u64() > Some(0)))
}
