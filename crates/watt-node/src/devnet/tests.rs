//! Plans of devnets: made once, kept, never mixed with anything else.

use super::*;
use crate::config::{ConfigFile, Environment, Home, NodeConfig, Overrides, Role, Settings};
use crate::error::ErrorKind;
use watt_primitives::Timestamp;

const SMALL: DevnetSize = DevnetSize {
    validators: 4,
    providers: 2,
};
const RULES: DevnetRules = DevnetRules {
    term_windows: None,
    secure_proofs: false,
};
const NOW: Timestamp = Timestamp(1_700_000_000_000);

#[test]
fn every_node_of_a_plan_has_a_configuration_that_loads() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::load_or_create(&folder.path().join("net"), Some(SMALL), RULES, NOW).unwrap();
    let genesis = plan.genesis().unwrap();
    // The client's, each node's, each seat's, and the council's.
    assert_eq!((genesis.backbone.len(), genesis.accounts.len()), (4, 7 + 4 + 7));
    for (number, address) in (1..).zip(&plan.council) {
        let name = format!("c{number}");
        let path = Plan::council_key(plan.dir(), &name).unwrap();
        let member = crate::wallet::Account::read(&name, &path).unwrap();
        assert!(genesis.council.contains(&member.id));
        assert_eq!(plan.names().get(address), Some(&name));
    }
    assert_eq!(
        (plan.council.len(), Plan::council_key(plan.dir(), "c8")),
        (7, None)
    );
    assert_eq!(genesis.network().to_string(), plan.network);
    let home = Home::under(folder.path().join("home"));
    let peers: std::collections::BTreeSet<&str> =
        plan.nodes.iter().map(|node| node.peer_id.as_str()).collect();
    assert_eq!(peers.len(), plan.nodes.len());
    for node in &plan.nodes {
        let path = plan.node_dir(&node.name).join("config.toml");
        assert!(ConfigFile::read(&path).unwrap().is_some());
        let settings =
            Settings::resolve(&Overrides::default(), &Environment::default(), &home, Some(&path)).unwrap();
        let is_provider = node.role == NodeRole::Provider;
        let config = NodeConfig::load(&settings, is_provider).unwrap();
        assert_eq!(
            matches!(config.role, Role::Validator { .. }),
            !is_provider,
            "{}",
            node.name
        );
        assert_eq!(config.provider.is_some(), is_provider);
        assert_eq!(config.seat_account_key.is_some(), !is_provider);
        assert_eq!(config.data_dir, plan.node_dir(&node.name).join("data"));
        assert_eq!(config.api.public.port(), node.api_port);
        assert!(
            config
                .listen
                .iter()
                .all(|address| address.contains("/ip4/127.0.0.1/")),
            "loopback only"
        );
        assert!(config.bootstrap.iter().all(|address| address.contains("/p2p/")));
        assert_eq!(config.bootstrap.len(), if is_provider { 4 } else { 3 });
    }
}

#[test]
fn a_devnet_is_found_again_with_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let made = Plan::load_or_create(&dir, Some(SMALL), RULES, NOW).unwrap();
    let again = Plan::load_or_create(&dir, None, RULES, Timestamp(NOW.0 + 5)).unwrap();
    assert_eq!(made, again);
    let other = DevnetSize {
        validators: 1,
        providers: 2,
    };
    assert_eq!(
        Plan::load_or_create(&dir, Some(other), RULES, NOW)
            .unwrap_err()
            .kind,
        ErrorKind::Conflict
    );
    assert_eq!(
        Plan::load_or_create(&dir, None, terms(4), NOW).unwrap_err().kind,
        ErrorKind::Conflict
    );
    let short = Plan::load_or_create(&folder.path().join("short"), Some(SMALL), terms(4), NOW).unwrap();
    assert_eq!(short.genesis().unwrap().parameters.term_windows, 4);
    let none = Plan::load_or_create(&folder.path().join("none"), Some(SMALL), terms(1), NOW);
    assert_eq!(none.unwrap_err().kind, ErrorKind::Usage);
}

fn terms(windows: u64) -> DevnetRules {
    DevnetRules {
        term_windows: Some(windows),
        ..RULES
    }
}

/// A devnet can have the proofs of a main network, from its beginning on; it keeps what it began with. Covers: D1.
#[test]
fn a_devnet_may_have_secure_proofs() {
    let secure = DevnetRules {
        secure_proofs: true,
        ..RULES
    };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let made = Plan::load_or_create(&dir, Some(SMALL), secure, NOW).unwrap();
    assert!(!made.genesis().unwrap().parameters.insecure_proofs);
    assert_eq!(Plan::load_or_create(&dir, None, RULES, NOW).unwrap(), made);
    let small = folder.path().join("small");
    Plan::load_or_create(&small, Some(SMALL), RULES, NOW).unwrap();
    let other = Plan::load_or_create(&small, None, secure, NOW);
    assert_eq!(other.unwrap_err().kind, ErrorKind::Conflict);
}

#[test]
fn ports_are_drawn_once_each_and_anew_when_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::load_or_create(&folder.path().join("net"), Some(SMALL), RULES, NOW).unwrap();
    let all = |plan: &Plan| -> Vec<u16> {
        plan.nodes
            .iter()
            .flat_map(|node| [node.p2p_port, node.api_port, node.owner_port])
            .collect()
    };
    let before = all(&plan);
    let distinct: std::collections::BTreeSet<u16> = before.iter().copied().collect();
    assert_eq!(distinct.len(), 18);
    let taken = std::net::TcpListener::bind(("127.0.0.1", before[0])).unwrap();
    plan.prepare(false).unwrap();
    assert!(!all(&plan).contains(&before[0]));
    drop(taken);
}

/// Recording is for validators, and for one start.
#[test]
fn validators_record_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let mut plan = Plan::load_or_create(&dir, Some(SMALL), RULES, NOW).unwrap();
    let records = |plan: &Plan| -> Vec<bool> {
        let text = |name: &str| std::fs::read_to_string(plan.node_dir(name).join("config.toml")).unwrap();
        let is_recording = |text: String| text.contains("record_scp = \"scp.log\"");
        plan.nodes
            .iter()
            .map(|node| is_recording(text(&node.name)))
            .collect()
    };
    plan.record_scp();
    plan.prepare(false).unwrap();
    assert_eq!(records(&plan), [true, true, true, true, false, false]);
    let mut again = Plan::load(&dir).unwrap();
    again.prepare(false).unwrap();
    assert_eq!(records(&again), [false; 6]);
}

#[test]
fn a_folder_with_other_things_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.tex"), "years of work").unwrap();
    assert_eq!(
        Plan::load_or_create(folder.path(), None, RULES, NOW)
            .unwrap_err()
            .kind,
        ErrorKind::Conflict
    );
    assert_eq!(Plan::forget(folder.path()).unwrap_err().kind, ErrorKind::Conflict);
    assert!(folder.path().join("thesis.tex").exists());
}

#[test]
fn forgetting_removes_all_of_a_devnet() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let before = Plan::load_or_create(&dir, Some(SMALL), RULES, NOW).unwrap();
    Plan::forget(&dir).unwrap();
    let after = Plan::load_or_create(&dir, Some(SMALL), RULES, NOW).unwrap();
    assert_ne!(before.network, after.network);
}

#[test]
fn one_devnet_has_one_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Devnet::open(folder.path(), Some(SMALL), RULES, false, "watt".into());
    let first = open().unwrap();
    assert_eq!(open().unwrap_err().kind, ErrorKind::Conflict);
    drop(first);
    open().unwrap();
}

#[test]
fn impossible_sizes_are_refused() {
    for (validators, providers) in [(0, 1), (14, 1), (4, 65)] {
        let error = DevnetSize {
            validators,
            providers,
        }
        .check()
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage);
    }
    assert_eq!(DevnetSize::DEFAULT.check(), Ok(DevnetSize::DEFAULT));
}

/// The supervisor's listener obeys its owner only; a node that does not run can't be killed.
#[tokio::test]
async fn supervisor_answers_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let devnet =
        std::sync::Arc::new(Devnet::open(folder.path(), Some(SMALL), RULES, false, "watt".into()).unwrap());
    let server = ControlServer::start(std::sync::Arc::clone(&devnet))
        .await
        .unwrap();
    let client = ControlClient::new(&server.url, server.token.clone()).unwrap();
    let status = client.status().await.unwrap();
    assert_eq!(status.nodes.len(), 6);
    assert!(status.nodes.iter().all(|node| node.state == NodeState::Stopped));
    assert_eq!(
        client.act("v1", "kill").await.unwrap_err().kind,
        ErrorKind::Conflict
    );
    assert_eq!(
        client.act("v9", "start").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(
        client.act("../x", "kill").await.unwrap_err().kind,
        ErrorKind::Usage
    );
    let stranger = ControlClient::new(
        &server.url,
        crate::api::OwnerToken::from_secret("guess".to_owned()),
    )
    .unwrap();
    assert_eq!(stranger.stop().await.unwrap_err().kind, ErrorKind::NotAllowed);
    client.stop().await.unwrap();
    server.stop_requested().await;
}
