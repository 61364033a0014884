//! Providers that keep shares sealed alone: half the disk, and a wait for who reads.

use crate::network::{Network, amount, texts};
use crate::storing::{flip, replicas_of, wait_proven};
use crate::wait::{PATIENCE, until};
use serde_json::Value;
use watt_primitives::Amount;

/// Names of a provider's shares on the disk: those whose bytes lie there as they came, and those that lie in a replica.
fn shares(network: &Network, node: &str) -> (Vec<String>, Vec<String>) {
    let folder = network.node_dir(node).join("data/pieces");
    let files = std::fs::read_dir(folder).unwrap();
    let names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let of = |suffix: &str| {
        let stems = names.iter().filter_map(|name| name.strip_suffix(suffix));
        stems.map(str::to_owned).collect()
    };
    (of(".piece"), of(".cold"))
}

fn is_cold(network: &Network, node: &str) -> bool {
    let (here, cold) = shares(network, node);
    here.is_empty() && !cold.is_empty()
}

/// Changes `provider.hot` of a node that is down.
fn set_hot(network: &Network, node: &str, is_hot: bool) {
    let path = network.node_dir(node).join("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let line = |is_hot: bool| format!("\nhot = {is_hot}\n");
    assert!(config.contains(&line(!is_hot)), "{config}");
    std::fs::write(&path, config.replace(&line(!is_hot), &line(is_hot))).unwrap();
}

/// All ten holders let go of what they received once their sectors are active, one of them killed while they do; the file comes back
/// from the replicas alone, also past a replica that has rotted; its holder says what is lost; told to keep shares hot, a provider has
/// its share back as it came; and given up, nothing of the file is left on any disk.
///
/// Covers: C1, C5, D1, D2.
#[test]
fn a_file_comes_back_from_sealed_replicas_alone() {
    let network = Network::up(4, 10);
    let providers: Vec<String> = (1..=10).map(|n| format!("p{n}")).collect();
    for node in &providers {
        network.kill(node);
        set_hot(&network, node, false);
        network.start(node);
    }
    providers.iter().for_each(|node| network.wait_node_ready(node));

    let (path, bytes) = network.file("archive.tar", 5 << 20);
    let put = network.put(&path);
    let link = put["link"].as_str().unwrap();
    until("the first shares lie in replicas", PATIENCE, || {
        providers.iter().any(|node| !shares(&network, node).1.is_empty())
    });
    let (first, second) = (&providers[0], &providers[1]);
    network.kill(first);
    network.start_ready(first);
    wait_proven(&network, link);
    until("all shares lie in replicas alone", PATIENCE, || {
        providers.iter().all(|node| is_cold(&network, node))
    });
    let stored = |node: &str| network.ask(&["provider", "status", node])["stored"].clone();
    let said = stored(second);
    assert!(said["cold_bytes"].as_u64().unwrap() > 0, "{said}");
    assert_eq!(
        (&said["hot_bytes"], &said["cached_bytes"]),
        (&0.into(), &0.into())
    );
    network.kill(second);
    network.start_ready(second);
    // A look at the shares leaves them where they are.
    wait_proven(&network, link);
    assert!(providers.iter().all(|node| is_cold(&network, node)));

    // The first data share rots: nobody here can put it right.
    let status = network.status(link);
    let holder = status["shares"][0]["holder"].as_str().unwrap();
    let rotten = network.node_of(holder).name.clone();
    flip(&replicas_of(&network, &rotten)[0], 0);
    let said = network.ask(&["provider", "scrub", &rotten]);
    assert_eq!(said["repaired_groups"], 0, "{said}");
    let lost = texts(&said["lost"]);
    assert!(
        lost.len() == 1 && lost[0].contains("1 groups of 16 KiB are damaged and there is no other copy here"),
        "{said}"
    );
    let (fetched, get) = network.get(link);
    assert!(fetched == bytes, "the file came back changed");
    let healthy = |list: &Value| texts(list).iter().all(|provider| provider == holder);
    assert!(healthy(&get["corrupt"]) && healthy(&get["unreachable"]), "{get}");
    let cached = |node: &&String| stored(node)["cached_bytes"].as_u64().unwrap() > 0;
    assert!(
        providers.iter().filter(cached).count() >= 4,
        "a read leaves copies"
    );
    // A copy outlives its program, or is made again.
    providers.iter().take(4).for_each(|node| network.kill(node));
    providers
        .iter()
        .take(4)
        .for_each(|node| network.start_ready(node));
    assert!(network.get(link).0 == bytes, "the file came back changed");

    let warm = providers.iter().find(|node| **node != rotten).unwrap();
    network.kill(warm);
    set_hot(&network, warm, true);
    network.start_ready(warm);
    until("a provider has its share as it came", PATIENCE, || {
        let (here, cold) = shares(&network, warm);
        !here.is_empty() && cold.is_empty()
    });
    assert!(network.get(link).0 == bytes, "the file came back changed");

    let rm = network.ask(&["rm", link]);
    assert!(amount(&rm["refunded"]) > Amount::ZERO, "{rm}");
    until("nothing of the file is left", PATIENCE, || {
        providers.iter().all(|node| {
            let (here, cold) = shares(&network, node);
            here.is_empty() && cold.is_empty() && replicas_of(&network, node).is_empty()
        })
    });
}
