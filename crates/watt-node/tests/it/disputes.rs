//! Shares that a client asks for on the ledger.

use crate::network::{Network, amount, texts};
use crate::storing::{replicas_of, wait_proven};
use crate::wait::{PATIENCE, until};
use serde_json::Value;
use watt_primitives::Amount;

fn share_of<'a>(status: &'a Value, holder: &str) -> Option<&'a Value> {
    let shares = status["shares"].as_array().unwrap();
    shares.iter().find(|share| share["holder"] == holder)
}

/// A holder that is down when its client asks for its share answers by itself once it is up again, from its replica where the share as it
/// came is gone, and keeps the share. One that has thrown the share away proves nothing of it, says nothing, and loses it: the client's
/// money comes back, and all others go on.
///
/// Covers: C5, E4.
#[test]
fn a_share_is_shown_or_lost() {
    let network = Network::up(4, 10);
    let (path, bytes) = network.file("papers.tar", 3 << 20);
    let put = network.put(&path);
    let link = put["link"].as_str().unwrap();
    wait_proven(&network, link);
    let status = network.ask(&["status", link, "--check"]);
    assert!(
        status["shares"]
            .as_array()
            .unwrap()
            .iter()
            .all(|share| share["answer"] == "given"),
        "{status}"
    );
    let holder = |slot: usize| status["shares"][slot]["holder"].as_str().unwrap().to_owned();
    let (honest, thief) = (holder(2), holder(5));
    let (honest_node, thief_node) = (
        network.node_of(&honest).name.clone(),
        network.node_of(&thief).name.clone(),
    );
    network.kill(&honest_node);
    network.kill(&thief_node);
    let deal = status["shares"][2]["deal"].as_str().unwrap();
    let deal = network.http("v1", &format!("/api/v1/deals/{deal}")).unwrap();
    let share_bytes = usize::try_from(deal["slot_bytes"].as_u64().unwrap()).unwrap();
    // The one has its replica alone left, the other nothing.
    let pieces = |node: &str| network.node_dir(node).join("data/pieces");
    for node in [&honest_node, &thief_node] {
        for file in std::fs::read_dir(pieces(node)).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|kind| kind == "piece") {
                damage(&file, share_bytes);
            }
        }
    }
    replicas_of(&network, &thief_node)
        .iter()
        .for_each(|replica| damage(replica, usize::MAX));

    let asked = network.ask(&["status", link, "--dispute"]);
    let mut disputed: Vec<&str> = asked["disputed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["holder"].as_str().unwrap())
        .collect();
    disputed.sort_unstable();
    let mut expected = [honest.as_str(), thief.as_str()];
    expected.sort_unstable();
    assert_eq!(disputed, expected, "{asked}");
    assert!(
        share_of(&asked, &honest).unwrap()["dispute"]["answer_by"].is_u64(),
        "{asked}"
    );
    let again = network.ask(&["status", link, "--dispute"]);
    assert_eq!(
        again["disputed"].as_array().unwrap().len(),
        0,
        "asked already: {again}"
    );

    network.start(&honest_node);
    network.start(&thief_node);
    network.wait_node_ready(&honest_node);
    until("the share is shown", PATIENCE, || {
        share_of(&network.status(link), &honest).is_some_and(|share| share["dispute"].is_null())
    });
    until("the other is lost", PATIENCE, || {
        network.status(link)["lost"].as_array().unwrap().len() == 1
    });
    let status = network.status(link);
    assert!(share_of(&status, &honest).is_some(), "{status}");
    assert!(share_of(&status, &thief).is_none(), "{status}");
    let lost = &status["lost"][0];
    assert_eq!(
        (&lost["provider"], &lost["why"]),
        (&thief.into(), &"dispute-unanswered".into())
    );
    assert!(amount(&lost["refunded"]) > Amount::ZERO, "{lost}");
    let report = network.ask(&["provider", "status", &thief_node]);
    assert_eq!(report["ledger"]["slots_lost"], 1, "{report}");
    assert_eq!(texts(&report["proving"]["lost_shares"]).len(), 1, "{report}");
    assert!(network.get(link).0 == bytes, "the file came back changed");
    network.check_supply("v1");
}

/// Every group of the first `n_bytes` of a file is another than it was.
fn damage(path: &std::path::Path, n_bytes: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let n_bytes = n_bytes.min(bytes.len());
    for group in bytes[..n_bytes].chunks_mut(16 << 10) {
        group[0] ^= 1;
    }
    std::fs::write(path, bytes).unwrap();
}
