//! What committees of the backbone look at: sectors of a window together, and live ones again.

use crate::network::{Network, texts};
use crate::storing::wait_proven;
use crate::wait::{PATIENCE, until, until_some};
use serde_json::Value;
use std::collections::BTreeSet;

/// Files that are stored at once in one round.
const AT_ONCE: usize = 3;

/// Reads blocks in order, each once.
struct Reader<'a> {
    network: &'a Network,
    height: u64,
}

impl Reader<'_> {
    /// What the ledger says of transactions that did this since the last call, each with who did it.
    fn applied(&mut self, operation: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while self.height < self.network.height("v1") {
            self.height += 1;
            let block = self
                .network
                .http("v1", &format!("/api/v1/blocks/{}", self.height))
                .unwrap();
            let all = block["transactions"].as_array().unwrap();
            let did = |one: &&Value| texts(&one["operations"]).iter().any(|one| one == operation);
            for one in all.iter().filter(did) {
                let id = one["id"].as_str().unwrap();
                let info = self.network.http("v1", &format!("/api/v1/transactions/{id}"));
                let info = info.unwrap();
                if info["outcome"] == "applied" {
                    let account = info["account"].as_str().unwrap().to_owned();
                    found.push((account, texts(&info["done"]).concat()));
                }
            }
        }
        found
    }
}

/// A provider that takes several shares within a window seals each by itself, and one committee lets all of them in together. Later each
/// live sector is asked again, before another committee, and goes on being proven when that has looked at it.
///
/// Covers: D1, D3.
#[test]
fn sectors_are_asked_together_and_again() {
    let network = Network::up(4, 10);
    let mut chain = Reader {
        network: &network,
        height: 0,
    };
    let mut links = Vec::new();
    let together = until_some("sectors are let in together", PATIENCE, || {
        let names = (0..AT_ONCE).map(|n| format!("{}.txt", links.len() + n));
        let files: Vec<_> = names.map(|name| network.file(&name, 300_000).0).collect();
        let puts: Vec<_> = files
            .iter()
            .map(|file| network.spawn(&["put", file.to_str().unwrap(), "--json"]))
            .collect();
        for put in puts {
            let said = put.end("put");
            assert_eq!(said.code, Some(0), "{said:?}");
            links.push(said.json()["link"].as_str().unwrap().to_owned());
        }
        links.iter().for_each(|link| wait_proven(&network, link));
        let all = chain.applied("commit-sectors").into_iter();
        all.map(|(_, done)| done)
            .find(|done| done.contains("sectors that were asked together"))
    });
    assert!(together.contains("are proven, from window"), "{together}");

    let mut again = Vec::new();
    until("live sectors are looked at again", PATIENCE, || {
        again.extend(chain.applied("answer-audit"));
        again.len() >= 2
    });
    for (_, done) in &again {
        assert!(done.ends_with("was looked at again, and holds"), "{done}");
    }
    let asked: BTreeSet<&str> = again.iter().map(|(account, _)| account.as_str()).collect();
    for account in asked {
        let report = network.ask(&["provider", "status", &network.node_of(account).name]);
        assert_eq!(report["ledger"]["slots_lost"], 0, "{report}");
        assert_eq!(report["ledger"]["proofs_failed"], 0, "{report}");
    }
    links.iter().for_each(|link| wait_proven(&network, link));
    network.check_supply("v3");
}
