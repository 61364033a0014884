//! Whether what somebody sees of the ledger is so, and new: nodes of a real network, and programs that lie to whoever asks.

use crate::network::Network;
use crate::wait::{PATIENCE, until};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use watt_ledger::Genesis;
use watt_ledger::rows::AccountRow;
use watt_light::freshness::{FRESH_MS_MAX, Light, Proven, Reason};
use watt_light::{
    Backbone, BackboneEntry, BlockName, DecisionProof, FinalityProof, Header, Proposal, RestartPlan, Shown,
    SignedNewest,
};
use watt_node::api::ApiClient;
use watt_node::freshness::{Check, Place, Question, Source, check};
use watt_node::keyfile;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedVec, Hash, NetworkId, NodeId, SecretKey, SlotIndex,
    Timestamp, codec,
};
use watt_scp::{Ballot, Envelope, Pledges, QuorumSet, Statement};

/// The block about which lies are told.
const HEIGHT: BlockHeight = BlockHeight(2);

/// What somebody with one node of their own, and nodes of others at hand, is told while all is well, while nine hostile nodes are all
/// that they reach, and when most of the backbone signs two blocks of one height.
///
/// Covers: B7, B8.
#[test]
fn green_amber_and_red() {
    let network = Network::up(4, 1);
    network.wait_blocks("v1", 4);
    green_by_the_own_node_and_over_the_network(&network);
    a_circle_of_nobody_keeps_nobody_waiting(&network);
    nine_hostile_nodes_show_nothing_that_is_not_so(&network);
    others_are_asked_if_the_own_node_is_not_enough(&network);
    two_proofs_are_red_and_their_signers_are_reported(&network);
}

/// One's own node alone makes it green, with the proven balance; so do others that are dialled at the addresses that they gave.
fn green_by_the_own_node_and_over_the_network(network: &Network) {
    let checked = network.ask(&["peers", "check"]);
    assert_eq!(
        (&checked["light"], &checked["reason"]),
        (&"green".into(), &"fresh".into())
    );
    assert_eq!(checked["balance"]["balance"], network.balance().to_string());
    assert_eq!(checked["sources"].as_array().unwrap().len(), 1, "{checked}");

    let node = network.node("v2");
    let dialled = format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", node.p2p_port, node.peer_id);
    let checked = network.ask(&["peers", "check", &dialled, &network.node("v3").api()]);
    assert_eq!(
        (&checked["light"], &checked["agreeing"]),
        (&"green".into(), &2.into()),
        "{checked}"
    );
    let sources = checked["sources"].as_array().unwrap();
    assert!(
        sources.iter().all(|source| source["is_proven"] == true),
        "{checked}"
    );
    assert_eq!(checked["balance"]["balance"], network.balance().to_string());

    // Another identity than the one that answers is no answer.
    let other = format!(
        "/ip4/127.0.0.1/tcp/{}/p2p/{}",
        node.p2p_port,
        network.node("v1").peer_id
    );
    let said = network.run(&["peers", "check", &other, "--json"]);
    assert_eq!(
        (said.code, &said.json()["reason"]),
        (Some(4), &"no-answer".into()),
        "{said:?}"
    );
}

/// With nobody to ask nothing waits, and the node says so.
fn a_circle_of_nobody_keeps_nobody_waiting(network: &Network) {
    until("the node has looked at its owner's circle", PATIENCE, || {
        let status = network.ask(&["node", "status", "p1"]);
        status["circle"]["state"] == "not-asked"
    });
    let health = network.http("p1", "/api/v1/health").unwrap();
    assert_eq!(
        (&health["circle"]["people"], &health["circle"]["needed"]),
        (&0.into(), &Value::Null)
    );
    let to = &network.node("p1").account;
    let sent = network.ask(&["account", "send", to, "1", "--wait"]);
    assert_eq!(sent["known"], "done", "{sent}");
    let said = network.run(&["node", "status", "v1"]);
    let text = String::from_utf8(said.out).unwrap();
    assert!(
        text.contains("nothing waits") && !text.contains("quorum"),
        "{text}"
    );
}

/// Nine hostile nodes, whatever they say: an old proof is old a minute later and what it shows was so; what they make up is not shown.
fn nine_hostile_nodes_show_nothing_that_is_not_so(network: &Network) {
    let real = ApiClient::new(&[network.node("v1").api()], "").unwrap();
    let genesis = network.wait_for(real.genesis()).unwrap();
    let account = AccountId::parse_address(&network.client, watt_primitives::id::AddressKind::Test).unwrap();
    let shown = network.wait_for(real.shown_account(&account)).unwrap();
    let proven = Proven::by(&shown.finality);
    let later = Timestamp(proven.at.0 + FRESH_MS_MAX);
    let ask = |tale: Tale, now| network.wait_for(asked_of_nine(&genesis, account, &tale, now));

    let replayed = ask(
        Tale {
            says: proven.block,
            block: shown.clone(),
            account: shown.clone(),
        },
        later,
    );
    assert_eq!((replayed.light, replayed.reason), (Light::Amber, Reason::Old));
    let balance = replayed.balance.unwrap();
    assert_eq!(
        (balance.balance, balance.height),
        (network.balance(), proven.block.height.0)
    );

    // The same, and the account is rich.
    let mut rich = shown.clone();
    let entry = rich.entry.as_mut().unwrap();
    let row: AccountRow = codec::decode(entry.value.as_ref().unwrap(), 1 << 20).unwrap();
    let row = AccountRow {
        balance: Amount(row.balance.0 * 2),
        ..row
    };
    entry.value = Some(BoundedBytes::new(codec::encode(&row)).unwrap());
    let lied = ask(
        Tale {
            says: proven.block,
            block: shown.clone(),
            account: rich.clone(),
        },
        later,
    );
    assert_eq!(lied.light, Light::Amber);
    assert!(lied.balance.is_none(), "{lied:?}");

    // A block far ahead, in which the account is rich, and which nobody signed.
    let mut forged = rich;
    forged.finality.header.height = BlockHeight(proven.block.height.0 + 1_000);
    let says = Proven::by(&forged.finality).block;
    let forged = ask(
        Tale {
            says,
            block: forged.clone(),
            account: forged,
        },
        proven.at,
    );
    assert_eq!((forged.light, forged.reason), (Light::Amber, Reason::NoProof));
    assert!(forged.balance.is_none() && forged.height.is_none(), "{forged:?}");

    // People whom nobody knows restarted the network: what they show holds by itself, and is of another network.
    let restarted = restarted_by_strangers(&genesis, &shown);
    assert!(restarted.verify(genesis.walk().unwrap()).is_ok());
    let twice = Shown {
        plans: BoundedVec::new(vec![restarted.plans[0].clone(); 2]).unwrap(),
        ..restarted.clone()
    };
    for (made_up, trouble) in [
        (restarted, "its proof is of the network"),
        (twice, "do not follow"),
    ] {
        let says = Proven::by(&made_up.finality).block;
        let tale = Tale {
            says,
            block: made_up.clone(),
            account: made_up,
        };
        let told = ask(tale, proven.at);
        assert_eq!((told.light, told.reason), (Light::Amber, Reason::NoProof));
        assert!(told.balance.is_none() && told.height.is_none(), "{told:?}");
        let troubles = told.sources.iter().filter_map(|source| source.trouble.as_deref());
        assert!(
            troubles.into_iter().all(|text| text.contains(trouble)),
            "{told:?}"
        );
    }

    // One honest node among them is enough to be shown what is new, and not to be green.
    network.wait_blocks("v1", 2);
    let tale = Tale {
        says: proven.block,
        block: shown.clone(),
        account: shown,
    };
    let one = network.wait_for(async {
        let doubles = nine(&genesis, &tale).await;
        let honest = Source {
            name: "honest".to_owned(),
            place: Place::Http(real.clone()),
            is_own: false,
        };
        let sources: Vec<Source> = doubles.into_iter().chain([honest]).collect();
        let newest = real.head().await.unwrap().close_time;
        check_at(&genesis, account, &sources, Timestamp(newest + FRESH_MS_MAX)).await
    });
    assert!(one.height.unwrap() > proven.block.height.0, "{one:?}");
    assert_eq!(one.light, Light::Amber);
}

/// The own node proves nothing: others are asked, whose addresses stand on the ledger and which no HTTP reaches.
fn others_are_asked_if_the_own_node_is_not_enough(network: &Network) {
    until("a node's address is on the ledger", PATIENCE, || {
        let known = network.http("v1", "/api/v1/nodes").unwrap_or_default();
        known["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty())
    });
    let real = ApiClient::new(&[network.node("v1").api()], "").unwrap();
    let genesis = network.wait_for(real.genesis()).unwrap();
    let mut forged = network.wait_for(real.shown_block(HEIGHT)).unwrap();
    forged.finality.header.state_root = Hash([66; 32]);
    let tale = Tale {
        says: Proven::by(&forged.finality).block,
        block: forged.clone(),
        account: forged,
    };
    let double = Double {
        behind: Some(network.node("v1").api()),
        ..Double::new(&genesis, 1, tale)
    };
    let own = network.wait_for(serve(Arc::new(double)));
    let checked = network.ask(&["peers", "check", "--api", &own]);
    let sources = checked["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 2, "{checked}");
    assert_eq!(sources[0]["is_proven"], false, "{checked}");
    assert!(
        sources[1]["source"]
            .as_str()
            .unwrap()
            .contains(&network.node("p1").account)
    );
    assert_eq!(
        (&checked["light"], &checked["agreeing"]),
        (&"green".into(), &1.into()),
        "{checked}"
    );
    assert_eq!(checked["balance"]["balance"], network.balance().to_string());
}

/// Three of the four voting keys sign another block of a height that the network has: whoever sees both proofs stops believing, keeps
/// them, and hands in who signed both.
fn two_proofs_are_red_and_their_signers_are_reported(network: &Network) {
    let real = ApiClient::new(&[network.node("v1").api()], "").unwrap();
    let genesis = network.wait_for(real.genesis()).unwrap();
    let shown = network.wait_for(real.shown_block(HEIGHT)).unwrap();
    let fork = fork_of(network, &genesis, &shown);
    assert!(fork.verify(genesis.walk().unwrap()).is_ok());
    let says = Proven::by(&fork.finality).block;
    let tale = Tale {
        says,
        block: fork.clone(),
        account: fork,
    };
    let double = network.wait_for(serve(Arc::new(Double::new(&genesis, 1, tale))));
    let said = network.run(&["peers", "check", &network.node("v2").api(), &double, "--json"]);
    let checked = said.json();
    assert_eq!(
        (said.code, &checked["light"]),
        (Some(8), &"red".into()),
        "{checked}"
    );
    assert!(checked["balance"].is_null(), "{checked}");
    let files = crate::network::texts(&checked["evidence"]);
    let [one, other] = files.as_slice() else {
        panic!("{checked}")
    };

    let said = network.run(&["verify", one, other, "--network", &network.id]);
    assert!(
        said.code == Some(8) && said.err.contains("contradict each other"),
        "{said:?}"
    );
    let reported = network.ask(&["seat", "report", one, other]);
    let n_reported = reported["reported"].as_array().unwrap().len();
    assert!((2..=3).contains(&n_reported), "{reported}");
    let said = network.run(&["seat", "report", one, one]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

/// Another block of the same height, signed by three of the four.
fn fork_of(network: &Network, genesis: &Genesis, shown: &Shown) -> Shown {
    let key = |name: &str| keyfile::read(&network.node_dir(name).join("voting.key")).unwrap();
    let keys: Vec<SecretKey> = ["v1", "v2", "v3"].map(key).into();
    let header = Header {
        state_root: Hash([66; 32]),
        ..shown.finality.header.clone()
    };
    Shown {
        plans: BoundedVec::empty(),
        hand_overs: BoundedVec::empty(),
        finality: made_final(header, shown, &genesis.quorum_set(), &keys),
        entry: None,
    }
}

/// The same network as strangers go on with it, by a plan that they made and signed.
fn restarted_by_strangers(genesis: &Genesis, shown: &Shown) -> Shown {
    let (key, base) = (SecretKey::from_seed([66; 32]), shown.finality.header.clone());
    let entry = BackboneEntry {
        account: AccountId::of_first_key(&key.public()),
        key: key.node_id(),
        cold_key: None,
    };
    let plan = RestartPlan {
        network: genesis.network(),
        restart_no: 1,
        backbone: Backbone::new(vec![entry]).unwrap(),
        reason: Default::default(),
        base,
    };
    let quorum_set = plan.backbone.quorum_set();
    let header = Header {
        network: plan.network_after(),
        height: plan.first_height(),
        next_backbone: quorum_set.hash(&plan.network_after()),
        ..plan.base.clone()
    };
    Shown {
        finality: made_final(header, shown, &quorum_set, &[key]),
        plans: BoundedVec::new(vec![plan]).unwrap(),
        hand_overs: BoundedVec::empty(),
        entry: None,
    }
}

/// What these keys make of a header.
fn made_final(header: Header, shown: &Shown, quorum_set: &QuorumSet, keys: &[SecretKey]) -> FinalityProof {
    let id = header.network;
    let proposal = Proposal {
        network: id,
        slot: SlotIndex::from(header.height.next()),
        parent: header.hash(),
        proposer: keys[0].node_id(),
        ..shown.finality.proposal.proposal.clone()
    };
    let proposal = proposal.sign(&keys[0]);
    let (slot, value) = (proposal.proposal.slot, proposal.proposal.value());
    let envelope = |key: &SecretKey| {
        let statement = Statement {
            node: key.node_id(),
            slot,
            quorum_set: quorum_set.hash(&id),
            pledges: Pledges::Externalize {
                commit: Ballot { counter: 1, value },
                h_counter: 1,
            },
        };
        Envelope::sign(statement, key, &id)
    };
    let envelopes: Vec<Envelope> = keys.iter().map(envelope).collect();
    let decision = DecisionProof::from_envelopes(&id, quorum_set, slot, value, &envelopes, &[]).unwrap();
    FinalityProof {
        header,
        proposal,
        decision,
    }
}

/// What a double tells.
#[derive(Clone)]
struct Tale {
    says: BlockName,
    block: Shown,
    account: Shown,
}

/// A node's public listener that tells a tale, with an identity of its own.
struct Double {
    network: NetworkId,
    identity: SecretKey,
    tale: Tale,
    /// A real node that answers everything else.
    behind: Option<String>,
}

impl Double {
    fn new(genesis: &Genesis, seed: u8, tale: Tale) -> Self {
        let (network, identity) = (genesis.network(), SecretKey::from_seed([seed; 32]));
        Self {
            network,
            identity,
            tale,
            behind: None,
        }
    }
}

/// Serves it at an address of its own for as long as the test runs.
async fn serve(double: Arc<Double>) -> String {
    let routes = Router::new()
        .route("/api/v1/newest", get(newest))
        .route("/api/v1/proofs/blocks/{height}", get(block))
        .route("/api/v1/proofs/accounts/{address}", get(account))
        .fallback(other)
        .with_state(double);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

async fn newest(
    State(double): State<Arc<Double>>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    let nonce = Hash::from_hex(&asked["nonce"]).unwrap();
    let word = SignedNewest::sign(&double.network, double.tale.says, &nonce, &double.identity);
    let signature: String = word
        .signature
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Json(json!({
        "height": word.block.height.0,
        "hash": word.block.hash.to_string(),
        "nonce": nonce.to_string(),
        "node": word.node.to_string(),
        "signature": signature,
    }))
}

async fn block(State(double): State<Arc<Double>>, Path(_): Path<String>) -> Response {
    cbor(&double.tale.block)
}

async fn other(State(double): State<Arc<Double>>, uri: Uri) -> Response {
    let Some(real) = &double.behind else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("{real}{uri}")).send().await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    (status, answer.bytes().await.unwrap()).into_response()
}

async fn account(State(double): State<Arc<Double>>, Path(_): Path<String>) -> Response {
    cbor(&double.tale.account)
}

fn cbor(shown: &Shown) -> Response {
    let media = [(header::CONTENT_TYPE, "application/cbor")];
    (StatusCode::OK, media, codec::encode(shown)).into_response()
}

/// Nine doubles that tell the same.
async fn nine(genesis: &Genesis, tale: &Tale) -> Vec<Source> {
    let mut sources = Vec::new();
    for seed in 1..=9 {
        let base = serve(Arc::new(Double::new(genesis, seed, tale.clone()))).await;
        let api = ApiClient::new(std::slice::from_ref(&base), "").unwrap();
        sources.push(Source {
            name: base,
            place: Place::Http(api),
            is_own: false,
        });
    }
    sources
}

async fn asked_of_nine(genesis: &Genesis, account: AccountId, tale: &Tale, now: Timestamp) -> Check {
    check_at(genesis, account, &nine(genesis, tale).await, now).await
}

async fn check_at(genesis: &Genesis, account: AccountId, sources: &[Source], now: Timestamp) -> Check {
    let (operators, dir) = (BTreeMap::<NodeId, AccountId>::new(), tempfile::tempdir().unwrap());
    let question = Question {
        genesis,
        network: genesis.network(),
        operators: &operators,
        is_devnet: false,
        account: Some(account),
        evidence_dir: dir.path(),
    };
    check(&question, sources, || now).await.unwrap()
}
