//! Clients and providers that die in the middle of their work.

use crate::network::{Network, Running, amount, texts};
use crate::storing::wait_proven;
use crate::wait::{PATIENCE, until};
use serde_json::Value;
use std::path::Path;
use watt_primitives::Amount;

/// One network, whose client and providers are killed while they work.
#[test]
fn clients_and_providers_die_at_work() {
    let network = Network::up(4, 10);
    an_interrupted_put_goes_on_and_is_paid_once(&network);
    killed_providers_lose_nothing_they_acknowledged(&network);
}

/// Finished and unfinished shares in the folders of all providers.
fn n_pieces(network: &Network) -> usize {
    let providers = network.nodes.iter().filter(|node| node.name.starts_with('p'));
    let files = |name: &str| std::fs::read_dir(network.node_dir(name).join("data/pieces"));
    providers
        .map(|node| files(&node.name).map_or(0, Iterator::count))
        .sum()
}

/// Deals of the client, of all files and in every stage.
fn deals(network: &Network) -> Vec<Value> {
    let path = format!("/api/v1/deals?client={}", network.client);
    let page = network.http("v1", &path).unwrap();
    assert!(page["next"].is_null(), "more deals than expected");
    page["deals"].as_array().unwrap().clone()
}

/// How many bids the journals of unfinished puts hold.
fn n_journals(network: &Network) -> usize {
    let folder = network.path("home/client").join(&network.id[..16]).join("puts");
    let puts = std::fs::read_dir(folder).into_iter().flatten().flatten();
    puts.filter(|put| put.path().join("progress.cbor").exists())
        .count()
}

/// Starts a put and kills it as soon as `is_time`; it must not have finished before.
fn cut_off(network: &Network, path: &Path, what: &str, mut is_time: impl FnMut() -> bool) {
    let mut put: Running = network.spawn(&["put", path.to_str().unwrap()]);
    until(what, PATIENCE, || is_time() || put.has_ended());
    if put.has_ended() {
        panic!("the put was over before {what}: {:?}", put.end("put"));
    }
    put.kill();
}

/// `watt put` is killed three times: when its bid is written down, when the deal stands, when the first shares arrive. The fourth
/// run goes on with the same key and the same deals: paid once, readable, nothing left unfinished.
///
/// Covers: A5, C1, C3, E4.
fn an_interrupted_put_goes_on_and_is_paid_once(network: &Network) {
    let before = network.balance();
    let (path, bytes) = network.file("film.mkv", 24 << 20);
    cut_off(network, &path, "the bid is written down", || {
        n_journals(network) > 0
    });
    cut_off(network, &path, "the deal stands", || !deals(network).is_empty());
    cut_off(network, &path, "shares arrive", || n_pieces(network) > 0);
    let files = network.ask(&["ls"])["files"].clone();
    assert_eq!(files[0]["state"], "unfinished", "{files}");

    let put = network.put(&path);
    let link = put["link"].as_str().unwrap();
    assert_eq!(put["resumed"], true);
    let standing = deals(network);
    let ids: Vec<&str> = standing.iter().map(|deal| deal["id"].as_str().unwrap()).collect();
    let mut expected = texts(&put["deals"]);
    expected.sort();
    assert_eq!(ids.len(), expected.len(), "a bid was placed twice: {standing:?}");
    assert!(expected.iter().all(|deal| ids.contains(&deal.as_str())));
    let escrowed = Amount::checked_sum(standing.iter().map(|deal| amount(&deal["escrow"])));
    assert_eq!(escrowed, Some(amount(&put["escrowed"])));
    assert_eq!(
        before.checked_sub(network.balance()),
        escrowed,
        "something was paid twice"
    );

    let (fetched, _) = network.get(link);
    assert!(fetched == bytes, "the file came back changed");
    let files = network.ask(&["ls"])["files"].clone();
    assert_eq!(files.as_array().unwrap().len(), 1, "{files}");
    assert_eq!(files[0]["state"], "stored");
    // Another put of the same file is another file: nothing is left to go on with.
    assert_eq!(n_journals(network), 0);
    network.check_supply("v1");
}

/// Accounts of the holders of shares that are `state`.
fn holders_in(status: &Value, state: &str) -> Vec<String> {
    let shares = status["shares"].as_array().unwrap().iter();
    let there = shares.filter(|share| share["state"] == state);
    there
        .map(|share| share["holder"].as_str().unwrap().to_owned())
        .collect()
}

fn kill_and_start(network: &Network, names: &[String]) {
    for name in names {
        network.kill(name);
    }
    for name in names {
        network.start(name);
    }
}

/// Providers are killed when they have just taken a share, when they seal it, and when they prove it: whatever the ledger says
/// that they hold they still hold, and it goes on to be proven; the file is whole.
///
/// Covers: C1, C5, D1, D3.
fn killed_providers_lose_nothing_they_acknowledged(network: &Network) {
    let (path, bytes) = network.file("archive.zip", 8 << 20);
    // Between a share's acceptance and its certificate.
    let has_piece = |name: &str, n: usize| {
        let pieces = std::fs::read_dir(network.node_dir(name).join("data/pieces"))
            .into_iter()
            .flatten()
            .flatten();
        pieces
            .filter(|file| file.path().extension().is_some_and(|kind| kind == "piece"))
            .count()
            >= n
    };
    let n_before = |name: &str| {
        let folder = network.node_dir(name).join("data/pieces");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    };
    let providers: Vec<(String, usize)> = (1..=10)
        .map(|n| format!("p{n}"))
        .map(|name| (name.clone(), n_before(&name)))
        .collect();
    let put = network.spawn(&["put", path.to_str().unwrap(), "--json"]);
    let mut victims = Vec::new();
    until("three providers have taken their share", PATIENCE, || {
        victims = providers
            .iter()
            .filter(|(name, n)| has_piece(name, n + 1))
            .map(|(name, _)| name.clone())
            .collect();
        victims.len() >= 3
    });
    victims.truncate(3);
    kill_and_start(network, &victims);
    let said = put.end("put archive.zip");
    assert_eq!(said.code, Some(0), "{said:?}");
    let put = said.json();
    let link = put["link"].as_str().unwrap();
    for name in &victims {
        network.wait_node_ready(name);
    }
    let status = network.status(link);
    assert_eq!(
        status["shares_alive"], 10,
        "an acknowledged share was lost: {status}"
    );

    // While they seal: those whose replica is committed to, and some that have not come so far.
    let mut sealing = Vec::new();
    until("somebody seals", PATIENCE, || {
        let status = network.status(link);
        sealing = holders_in(&status, "sealing");
        sealing.extend(holders_in(&status, "accepted"));
        !holders_in(&status, "sealing").is_empty() || holders_in(&status, "proving").len() == 10
    });
    let victims: Vec<String> = sealing
        .iter()
        .take(4)
        .map(|holder| network.node_of(holder).name.clone())
        .collect();
    kill_and_start(network, &victims);
    wait_proven(network, link);

    // While they prove: gone for some blocks, then back; each of them proves a later window.
    let window = |status: &Value| -> Vec<u64> {
        let shares = status["shares"].as_array().unwrap().iter();
        shares
            .map(|share| share["last_proven_window"].as_u64().unwrap())
            .collect()
    };
    let before = window(&network.status(link));
    let victims = ["p2", "p5", "p9"].map(str::to_owned);
    for name in &victims {
        network.kill(name);
    }
    network.wait_blocks("v1", 3);
    for name in &victims {
        network.start(name);
    }
    until("each share is proven anew", PATIENCE, || {
        let status = network.status(link);
        let now = window(&status);
        holders_in(&status, "proving").len() == 10
            && now.iter().zip(&before).all(|(now, before)| now > before)
    });
    let (fetched, get) = network.get(link);
    assert!(fetched == bytes, "the file came back changed");
    assert_eq!(texts(&get["corrupt"]).len(), 0, "{get}");
    network.check_supply("v1");
    for node in &network.nodes {
        assert!(
            !network.log(&node.name).contains("panicked"),
            "{} panicked",
            node.name
        );
    }
}
