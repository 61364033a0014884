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
