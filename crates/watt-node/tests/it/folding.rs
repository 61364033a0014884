//! A provider that settles many windows by one proof, among others that settle each by itself.

use crate::network::{Network, amount};
use crate::wait::{PATIENCE, until, until_some};
use serde_json::Value;
use watt_primitives::Amount;

/// Who folds: the last.
const FOLDS: &str = "p10";

/// One network, with one provider that folds.
#[test]
fn many_windows_are_settled_by_one_proof() {
    let network = Network::up_with(4, 10, &["--folding", "1"]);
    a_killed_provider_settles_all_the_same(&network);
}

fn report(network: &Network) -> Value {
    network.ask(&["provider", "status", FOLDS])
}

/// A provider answers its windows, folds them, is killed in the middle of a period, and settles that period by a proof that every node
/// accepts and that is paid as proofs of single windows are.
///
/// Covers: C1, D2, D3, D4.
fn a_killed_provider_settles_all_the_same(network: &Network) {
    let (path, bytes) = network.file("year.tar", 2 << 20);
    let put = network.put(&path);
    let link = put["link"].as_str().unwrap();
    // On a machine that is busy with other work a period may lapse while it is folded; the next one is as good.
    let killed_and_settled = || {
        let waiting = until_some("windows are folded", PATIENCE, || {
            let mut waiting = report(network)["folding"]["waiting"].take();
            let all = waiting.as_array_mut().unwrap();
            all.iter_mut()
                .find(|waiting| waiting["n_folded"].as_u64() >= Some(2))
                .map(Value::take)
        });
        network.kill(FOLDS);
        network.start_ready(FOLDS);
        let settled = until_some("windows are settled", PATIENCE, || {
            let last = report(network)["folding"]["last"].take();
            last["n_good"].is_u64().then_some(last)
        });
        (waiting, settled)
    };
    let mut lives = (0..3).map(|_| killed_and_settled());
    let (waiting, settled) = lives
        .find(|(waiting, settled)| settled["first"] == waiting["first"])
        .expect("a period in which the provider was killed is settled");
    assert!(settled["last"].as_u64() >= waiting["last"].as_u64(), "{settled}");
    assert_eq!(settled["n_good"], settled["n_windows"], "{settled}");

    let after = report(network);
    assert_eq!(after["ledger"]["proofs_failed"], 0, "{after}");
    assert_eq!(after["ledger"]["last_proven_window"], settled["last"], "{after}");
    until("its share is paid", PATIENCE, || {
        amount(&report(network)["earned"]) > Amount::ZERO
    });
    let height = network.height("v1");
    for node in &network.nodes {
        until("every node goes on", PATIENCE, || {
            network.height(&node.name) > height
        });
        let status = network.node_status(&node.name).unwrap();
        assert!(status["refused"]["bad folded proof"].is_null(), "{status}");
    }
    network.check_supply("v2");
    let (fetched, _) = network.get(link);
    assert!(fetched == bytes, "the file came back changed");
}
