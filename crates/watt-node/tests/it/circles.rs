//! Whom people say they trust, with the commands of the program.

use crate::network::Network;
use serde_json::Value;

/// Two people come into a circle, the third has to wait, one is taken out; every node tells the same, and the headers carry the
/// root of the ranks.
///
/// Covers: B2.
pub(crate) fn grow_and_shrink(network: &Network) {
    let (first, second, third) = (
        &network.node("v1").account,
        &network.node("p1").account,
        &network.node("p2").account,
    );
    let added = network.ask(&["trust", "add", first, "--level", "close"]);
    assert_eq!(added["to"], first.as_str());
    let added = network.ask(&["trust", "add", second]);
    let said = network.run(&["trust", "add", third]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("at most 2 new people"), "{said:?}");

    let members = |trust: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let circle = trust["circle"].as_array().unwrap().iter();
        let mut members: Vec<_> = circle
            .map(|one| (text(&one["address"]), text(&one["level"])))
            .collect();
        members.sort();
        members
    };
    let mut both =
        [(first, "close"), (second, "in-person")].map(|(who, level)| (who.clone(), level.to_owned()));
    both.sort();
    assert_eq!(members(&network.ask(&["trust", "list"])), both);
    let trusters = network.ask(&["trust", "list", first]);
    assert_eq!(trusters["trusted_by"][0]["address"], network.client.as_str());
    assert_eq!(trusters["trusted_by"][0]["level"], "close");

    // Another node comes to the same block and says the same.
    let height = added["height"].as_u64().unwrap();
    crate::wait::until("another node has the block", crate::wait::PATIENCE, || {
        network.height("p3") >= height
    });
    let path = format!("/api/v1/accounts/{}/trust", network.client);
    assert_eq!(members(&network.http("p3", &path).unwrap()), both);

    network.ask(&["trust", "remove", first]);
    assert_eq!(
        members(&network.ask(&["trust", "list"])),
        both.iter()
            .filter(|(who, _)| who != first)
            .cloned()
            .collect::<Vec<_>>()
    );
    let said = network.run(&["trust", "remove", first]);
    assert!(
        said.code == Some(1) && said.err.contains("not in the circle"),
        "{said:?}"
    );

    let root = network.ask(&["chain", "head"])["rank_root"].clone();
    assert_eq!(root.as_str().unwrap().len(), 64);
    assert_ne!(
        root,
        "0".repeat(64),
        "those who run the network are ranked from the start"
    );
}

/// Whoever is in the circle and runs a node is asked first, others are drawn; the same ones the next time.
///
/// Covers: B7.
pub(crate) fn lead_to_nodes(network: &Network) {
    let near = &network.node("p1").account;
    let suggested = network.ask(&["peers", "suggest"]);
    let peers = suggested["peers"].as_array().unwrap();
    assert_eq!(
        (&peers[0]["operator"], &peers[0]["depth"]),
        (&near.as_str().into(), &1.into())
    );
    let operators: std::collections::BTreeSet<_> =
        peers.iter().map(|peer| peer["operator"].to_string()).collect();
    assert_eq!((peers.len(), operators.len()), (9, 9), "{suggested}");
    // Nobody vouches for the others on so young a network.
    assert!(
        peers[1..].iter().all(|peer| peer["reason"] == "unranked"),
        "{suggested}"
    );
    assert_eq!(network.ask(&["peers", "suggest"]), suggested);
}

/// Three people take somebody into their circles, who can offer then to hold a seat, sees how that stands, and takes it back; with
/// fewer than three it is refused.
///
/// Covers: A2.
pub(crate) fn stand_for_a_seat(network: &Network) {
    let people = ["ann", "ben", "cleo"];
    let addresses = people.map(|name| {
        let made = network.ask(&["account", "new", name]);
        made["address"].as_str().unwrap().to_owned()
    });
    for address in &addresses {
        network.ask(&["account", "send", address, "1"]);
    }
    let stand: Vec<&str> = [["seat", "stand"].as_slice(), &people].concat();
    for person in &people[1..] {
        network.ask(&["trust", "add", &network.client, "--account", person]);
    }
    let said = network.run(&stand);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("take you into their circles"), "{said:?}");

    network.ask(&["trust", "add", &network.client, "--account", people[0]]);
    let offered = network.ask(&stand);
    let standing = &offered["seat"]["standing"];
    assert_eq!(
        (&standing["since"], &standing["shadow_terms"]),
        (&0.into(), &0.into())
    );
    let vouchers = offered["seat"]["vouchers"].as_array().unwrap();
    assert!(
        vouchers.iter().all(|one| one["counts_from"].is_u64()) && vouchers.len() == 3,
        "{offered}"
    );
    let seats = network.ask(&["seat", "list"]);
    assert_eq!(seats["standing"][0]["address"], network.client.as_str());
    assert_eq!(
        seats["voters"].as_array().unwrap().len(),
        seats["seats"].as_array().unwrap().len()
    );

    let back = network.ask(&["seat", "leave"]);
    assert_eq!(back["seat"]["summary"], "holds no seat and stands for none");
    let said = network.run(&["seat", "leave"]);
    assert!(
        said.code == Some(1) && said.err.contains("nothing to take back"),
        "{said:?}"
    );
    let told = network.ask(&["seat", "report"]);
    assert_eq!(told["reported"].as_array().unwrap().len(), 0, "{told}");
}
