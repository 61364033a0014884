//! The two listeners over real sockets, in front of a node that stands still at genesis.

use super::client::OwnerClient;
use super::types::{ScrubInfo, StatusInfo, StoredInfo};
use super::*;
use crate::config::ApiAddresses;
use crate::error::{CommandError, ErrorKind};
use crate::node::NodeStatus;
use futures::future::BoxFuture;
use reqwest::{Method, StatusCode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;
use watt_engine::message::DecidedBlock;
use watt_engine::{Evidence, EvidenceLog};
use watt_health::{Report, View};
use watt_ledger::genesis::GenesisAccount;
use watt_ledger::{Genesis, MemoryState, NetworkParameters, Receipt, Writes, genesis_block, rows};
use watt_light::{
    BackboneEntry, BlockName, HandOver, Header, Operation, Proposal, SignedHeartbeat, SignedNewest,
    SignedProposal, SignedTransaction, Transaction,
};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedString, BoundedVec, Hash, LedgerTime, SecretKey,
    SlotIndex, Term, Timestamp, TransactionId, TrustLevel, Window, codec,
};
use watt_trust::Circle;

/// A node that has closed no block and takes every transaction.
pub(crate) struct StillNode {
    pub(crate) genesis: Genesis,
    pub(crate) state: MemoryState,
    pub(crate) header: Header,
    /// The network identity.
    pub(crate) identity: SecretKey,
    heads: watch::Sender<Header>,
    submitted: AtomicUsize,
    stops: AtomicUsize,
}

fn alice() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

/// The node's network identity.
fn identity() -> SecretKey {
    SecretKey::from_seed([3; 32])
}

/// How many people have Alice in their circle.
const TRUSTERS: u8 = 150;

/// Alice trusts one of the many who trust her, and one who does not.
fn circles(genesis: &Genesis) -> Writes {
    let alice = AccountId::of_first_key(&alice().public());
    let mut writes = Writes::new();
    let mut trust = |from: AccountId, people: &[AccountId]| {
        let mut circle = Circle::default();
        for to in people {
            let now = LedgerTime(genesis.time.0);
            circle.add(&from, *to, TrustLevel::Close, now).unwrap();
            writes.insert(rows::truster(to, &from), Some(codec::encode(&())));
        }
        writes.insert(rows::circle(&from), Some(codec::encode(&circle)));
    };
    for n in 0..TRUSTERS {
        trust(AccountId([n; 20]), &[alice]);
    }
    trust(alice, &[AccountId([7; 20]), AccountId([200; 20])]);
    writes
}

impl StillNode {
    fn new() -> Arc<Self> {
        Arc::new(Self::at_genesis())
    }

    pub(crate) fn at_genesis() -> Self {
        let genesis = Genesis {
            name: BoundedString::new("test".to_owned()).unwrap(),
            is_main: false,
            time: Timestamp(1_700_000_000_000),
            parameters: NetworkParameters {
                slot_ms: 1_000,
                window_slots: 8,
                term_windows: 144,
                settlement_windows: 8,
                failed_window_cost: 9,
                block_transactions_max: 100,
                block_bytes_max: 1 << 20,
                certify_slots: 60,
                certify_slots_per_gb: 60,
                commit_slots: 60,
                dispute_slots: 60,
                grace_windows: watt_ledger::genesis::GRACE_WINDOWS_MAIN,
                power_unit_bytes: 1 << 20,
                standby_power_bytes: 0,
                insecure_proofs: true,
                porep_committee: 0,
                audit_windows: 0,
                restart_windows: watt_ledger::genesis::RESTART_WINDOWS_MAIN,
            },
            accounts: BoundedVec::new(vec![GenesisAccount {
                key: alice().public(),
                balance: Amount(1_250_000_000),
            }])
            .unwrap(),
            protocol: 1,
            council: BoundedVec::empty(),
            council_until: Term(0),
            trust_seeds: BoundedVec::empty(),
            backbone: BoundedVec::new(vec![BackboneEntry {
                account: AccountId::of_first_key(&alice().public()),
                key: SecretKey::from_seed([2; 32]).node_id(),
                cold_key: None,
            }])
            .unwrap(),
        };
        let outcome = genesis_block(&genesis).unwrap();
        let mut state = MemoryState::default();
        state.write(&outcome.writes);
        state.write(&circles(&genesis));
        let (heads, _) = watch::channel(outcome.header.clone());
        let (submitted, stops) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self {
            genesis,
            state,
            header: outcome.header,
            identity: identity(),
            heads,
            submitted,
            stops,
        }
    }
}

impl NodeView for StillNode {
    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            refused: [("malformed".to_owned(), 3)].into(),
            ..NodeStatus::default()
        }
    }

    fn state(&self) -> HeadState {
        let state = self.state.clone();
        HeadState::new(move |question| {
            question(&state);
            Ok(())
        })
    }

    fn head(&self) -> Header {
        self.header.clone()
    }

    fn block(&self, _height: BlockHeight) -> anyhow::Result<Option<(DecidedBlock, Header)>> {
        Ok(None)
    }

    fn newest(&self, nonce: &Hash, _at: Option<BlockHeight>) -> anyhow::Result<SignedNewest> {
        let block = BlockName {
            height: self.header.height,
            hash: self.header.hash(),
        };
        let network = self.genesis.network();
        Ok(SignedNewest::sign(&network, block, nonce, &self.identity))
    }

    fn hand_overs(&self, _term: Term) -> Vec<HandOver> {
        Vec::new()
    }

    fn hand_overs_from(&self, _first: Term, _n: usize) -> Vec<HandOver> {
        Vec::new()
    }

    fn transaction(&self, _id: TransactionId) -> anyhow::Result<Option<(BlockHeight, u32, Receipt)>> {
        Ok(None)
    }

    fn submit(&self, transaction: SignedTransaction) -> BoxFuture<'static, Result<TransactionId, String>> {
        self.submitted.fetch_add(1, Ordering::SeqCst);
        let id = transaction.transaction.id(&self.genesis.network());
        Box::pin(async move { Ok(id) })
    }

    fn submit_heartbeat(
        &self,
        window: Window,
        heartbeat: SignedHeartbeat,
    ) -> BoxFuture<'static, Result<(), String>> {
        let admitted = watt_ledger::admit_heartbeat(&self.state, window, &heartbeat);
        let admitted = admitted.map(drop).map_err(|why| why.to_string());
        Box::pin(async move { admitted })
    }

    fn evidence(&self) -> Arc<EvidenceLog> {
        let liar = SecretKey::from_seed([2; 32]);
        let proposal = |close_time| Proposal {
            network: self.genesis.network(),
            slot: SlotIndex(1),
            version: 1,
            parent: self.header.hash(),
            close_time,
            body_root: Hash::ZERO,
            n_transactions: 0,
            body_bytes: 0,
            proposer: liar.node_id(),
        };
        let two = [Timestamp(1), Timestamp(2)].map(|close_time| proposal(close_time).sign(&liar));
        let mut log = EvidenceLog::default();
        assert!(log.note(Evidence::Proposals(Box::new(two))));
        Arc::new(log)
    }

    fn health(&self) -> Report {
        let own = SecretKey::from_seed([2; 32]).node_id();
        Report::of(&View {
            now_ms: self.genesis.time.0 + 1_000,
            slot_ms: self.genesis.parameters.slot_ms,
            quorum_set: self.genesis.quorum_set(),
            own: Some(own),
            hears: true,
            heard: BTreeMap::new(),
            accused: BTreeSet::new(),
            height: 7,
            closed_ms: self.genesis.time.0,
            behind: 0,
            unknown_version: None,
            peers: 0,
        })
    }

    fn circle(&self) -> Option<CircleInfo> {
        None
    }

    fn subscribe(&self) -> watch::Receiver<Header> {
        self.heads.subscribe()
    }

    fn provider(&self) -> Option<ProviderStatus> {
        let account = AccountId::of_first_key(&alice().public());
        Some(ProviderStatus {
            account,
            summary: "waiting for shares".to_owned(),
            work: Vec::new(),
            scrub: ScrubInfo::default(),
            folding: None,
            stored: StoredInfo::default(),
        })
    }

    fn scrub(&self) -> Option<ScrubInfo> {
        Some(ScrubInfo {
            asks: 1,
            ..ScrubInfo::default()
        })
    }

    fn recover(&self) -> BoxFuture<'static, Result<SlotIndex, String>> {
        Box::pin(std::future::ready(Ok(SlotIndex(7))))
    }

    fn network(&self) -> watt_primitives::NetworkId {
        self.genesis.network()
    }

    fn restart_log(&self) -> watt_engine::RestartLog {
        watt_engine::RestartLog::default()
    }

    fn restarts(&self) -> Vec<watt_light::Restart> {
        Vec::new()
    }

    fn ask_restart(
        &self,
        _: crate::runtime::node_loop::RestartAsk,
    ) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(std::future::ready(Err("no plan to look at".to_owned())))
    }

    fn begins_anew(&self) -> bool {
        false
    }

    fn stop(&self) {
        self.stops.fetch_add(1, Ordering::SeqCst);
    }

    fn stopped(&self) -> BoxFuture<'static, Result<(), CommandError>> {
        Box::pin(async { Ok(()) })
    }
}

/// The served node, the addresses of its listeners and its owner's token.
struct Served {
    node: Arc<StillNode>,
    public: String,
    owner: String,
    owner_port: u16,
    token: OwnerToken,
    http: reqwest::Client,
    _servers: ApiServers,
}

impl Served {
    async fn start() -> Self {
        let node = StillNode::new();
        let any = "127.0.0.1:0".parse().unwrap();
        let addresses = ApiAddresses {
            public: any,
            owner: any,
            owner_hosts: vec!["my-node.home".to_owned()],
        };
        let listeners = ApiListeners::open(&addresses).await.unwrap();
        let (public, owner) = (
            listeners.public_address().unwrap(),
            listeners.owner_address().unwrap(),
        );
        let token = OwnerToken::generate().unwrap();
        let view: Arc<dyn NodeView> = node.clone();
        let servers = serve(listeners, &view, token.clone()).unwrap();
        Self {
            node,
            public: format!("http://{public}"),
            owner: format!("http://{owner}"),
            owner_port: owner.port(),
            token,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            _servers: servers,
        }
    }

    fn owner_request(&self, route: OwnerRoute) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.owner, route.path());
        if route.is_action() {
            self.http
                .request(Method::POST, url)
                .header("content-type", "application/json")
                .body("{}")
        } else {
            self.http.request(Method::GET, url)
        }
    }

    fn client(&self) -> ApiClient {
        ApiClient::new(std::slice::from_ref(&self.public), "start it").unwrap()
    }
}

async fn status_of(request: reqwest::RequestBuilder) -> (u16, serde_json::Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    assert!(
        response.headers().get("access-control-allow-origin").is_none(),
        "the owner's listener has no CORS"
    );
    (status, response.json().await.unwrap_or_default())
}

/// No owner route answers without the token, under a foreign host name (DNS rebinding) or to a foreign page (CSRF), and a
/// refused call does nothing.
#[tokio::test]
async fn every_owner_route_is_for_the_owner_only() {
    let served = Served::start().await;
    let token = served.token.secret().to_owned();
    for route in OwnerRoute::ALL {
        let with_token = || served.owner_request(route).bearer_auth(&token);
        let refused = [
            (401, "unauthorized", served.owner_request(route)),
            (
                401,
                "unauthorized",
                served.owner_request(route).bearer_auth("wrong"),
            ),
            (401, "unauthorized", served.owner_request(route).bearer_auth("")),
            (403, "forbidden", with_token().header("host", "evil.example")),
            (
                403,
                "forbidden",
                with_token().header("host", format!("evil.example:{}", served.owner_port)),
            ),
            (403, "forbidden", with_token().header("host", "127.0.0.1:1")),
            (
                403,
                "forbidden",
                with_token().header("origin", "https://evil.example"),
            ),
            (403, "forbidden", with_token().header("origin", "null")),
            (403, "forbidden", with_token().header("origin", &served.public)),
        ];
        for (status, code, request) in refused {
            let (found, problem) = status_of(request).await;
            assert_eq!(
                (found, problem["code"].as_str()),
                (status, Some(code)),
                "{}",
                route.path()
            );
        }
        let stops = served.node.stops.load(Ordering::SeqCst);
        assert_eq!(stops, 0, "{}", route.path());
    }
    for route in OwnerRoute::ALL {
        let own = format!("localhost:{}", served.owner_port);
        for host in [own, format!("my-node.home:{}", served.owner_port)] {
            let request = served
                .owner_request(route)
                .bearer_auth(&token)
                .header("host", host);
            // Some are let in and then told that they said too little.
            let wants_more = [
                OwnerRoute::RestartDraft,
                OwnerRoute::RestartLookAt,
                OwnerRoute::RestartAccept,
            ]
            .contains(&route);
            let wanted = if wants_more { 400 } else { 200 };
            assert_eq!(status_of(request).await.0, wanted, "{}", route.path());
        }
    }
    assert_eq!(served.node.stops.load(Ordering::SeqCst), 2);
}

/// A form post of another page can't even look like a call: only JSON is taken.
#[tokio::test]
async fn owner_actions_take_json_only() {
    let served = Served::start().await;
    let url = format!("{}{}", served.owner, OwnerRoute::Stop.path());
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let request = served
            .http
            .post(&url)
            .bearer_auth(served.token.secret())
            .header("content-type", media)
            .body("{}");
        assert_eq!(status_of(request).await.0, 415, "{media}");
    }
    assert_eq!(served.node.stops.load(Ordering::SeqCst), 0);
}

/// Whatever is not a route of the owner is refused the same way, so that nobody can find out what is there.
#[tokio::test]
async fn unknown_owner_paths_need_the_token_too() {
    let served = Served::start().await;
    let request = served.http.get(format!("{}/owner/v1/keys", served.owner));
    assert_eq!(status_of(request).await.0, 401);
    let request = served
        .http
        .get(format!("{}/owner/v1/keys", served.owner))
        .bearer_auth(served.token.secret());
    assert_eq!(status_of(request).await.0, 404);
}

/// The public listener has none of the owner's routes, and its answers may be read by any page.
#[tokio::test]
async fn public_listener_reads_for_everyone_and_knows_nothing_of_the_owner() {
    let served = Served::start().await;
    for route in OwnerRoute::ALL {
        let response = served
            .http
            .get(format!("{}{}", served.public, route.path()))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{}", route.path());
    }
    for route in PublicRoute::ALL {
        let path = route
            .path()
            .replace("{height}", "0")
            .replace("{id}", &"0".repeat(64))
            .replace("{address}", "x");
        let response = served
            .http
            .get(format!("{}{path}", served.public))
            .send()
            .await
            .unwrap();
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn client_reads_genesis_head_account_and_status() {
    let served = Served::start().await;
    let api = served.client();
    let genesis = api.genesis().await.unwrap();
    assert_eq!(genesis, served.node.genesis);
    let head = api.head().await.unwrap();
    assert_eq!((head.height, head.hash), (0, served.node.header.hash()));
    let alice = AccountId::of_first_key(&alice().public());
    let account = api.account(&alice).await.unwrap();
    assert_eq!(account.balance, Amount(1_250_000_000));
    assert_eq!(
        account
            .keys
            .iter()
            .map(|key| (key.index, key.nonce, key.role.as_str()))
            .collect::<Vec<_>>(),
        [(0, 0, "owner")]
    );
    let status = api.status().await.unwrap();
    assert_eq!(status.supply.total, status.supply.in_accounts);
    assert!(!status.ready.is_ready);
    assert_eq!(api.providers().await.unwrap(), []);
    assert_eq!(api.deals(DealsFilter::Client(alice)).await.unwrap(), []);
}

/// A circle is shown with who trusts back, and everybody who trusts its owner, page by page. Covers: B2.
#[tokio::test]
async fn a_circle_is_shown_both_ways() {
    let served = Served::start().await;
    let api = served.client();
    let alice = AccountId::of_first_key(&alice().public());
    let trust = api.trust(&alice).await.unwrap();
    let circle: Vec<_> = trust
        .circle
        .iter()
        .map(|one| (one.level, one.is_mutual))
        .collect();
    assert_eq!(circle, [(TrustLevel::Close, true), (TrustLevel::Close, false)]);
    let trusters: std::collections::BTreeSet<_> = trust.trusted_by.iter().map(|one| &one.address).collect();
    assert_eq!(trusters.len(), usize::from(TRUSTERS));
    assert_eq!(trust.next, None);

    let nobody = api.trust(&AccountId([9; 20])).await.unwrap();
    assert_eq!((nobody.circle.len(), nobody.trusted_by.len()), (1, 0));
    let url = format!(
        "{}/api/v1/accounts/{}/trust?after=x",
        served.public, trust.address
    );
    let refused = served.http.get(url).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

/// Who votes and holds a seat is told, with what is missing; who has none is told how to come by one. Covers: A2.
#[tokio::test]
async fn seats_are_told_with_what_to_do_next() {
    let served = Served::start().await;
    let api = served.client();
    let alice = AccountId::of_first_key(&alice().public());
    let seats = api.seats().await.unwrap();
    assert_eq!(
        (seats.term, seats.first_height, seats.next_height),
        (0, 0, 8 * 144)
    );
    let [voter] = seats.voters.as_slice() else {
        panic!("one votes: {seats:?}");
    };
    assert_eq!(voter.node, SecretKey::from_seed([2; 32]).node_id());
    let [seat] = seats.seats.as_slice() else {
        panic!("one holds a seat: {seats:?}");
    };
    assert_eq!(
        (&seat.holder, seat.since, seat.is_leaving),
        (&voter.address, 0, false)
    );
    assert_eq!((seats.plan.len(), seats.standing.len()), (0, 0));

    let hers = api.seat(&alice).await.unwrap();
    assert!(hers.is_voting && hers.seat.is_some(), "{hers:?}");
    assert_eq!((hers.keys.len(), hers.keys_missing.first()), (0, Some(&1)));
    assert!(hers.summary.starts_with("holds a seat since term 0"), "{hers:?}");
    assert!(hers.next.unwrap().contains("node.seat_account_key"));

    let nobody = api.seat(&AccountId([9; 20])).await.unwrap();
    assert!(!nobody.is_voting && nobody.keys_missing.is_empty(), "{nobody:?}");
    assert_eq!(nobody.summary, "holds no seat and stands for none");
    assert!(nobody.next.unwrap().contains("watt seat stand"));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_with_a_next_step() {
    let served = Served::start().await;
    let api = served.client();
    let nobody = AccountId([9; 20]);
    let errors = [
        api.block(BlockHeight(7)).await.unwrap_err(),
        api.transaction(TransactionId([9; 32])).await.unwrap_err(),
        api.account(&nobody).await.unwrap_err(),
        api.deal(watt_primitives::DealId([9; 32])).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        assert!(!error.hint.is_empty(), "{error}");
    }
}

fn transfer(network: &watt_primitives::NetworkId) -> SignedTransaction {
    let key = alice();
    let pay = Operation::Transfer {
        to: AccountId([5; 20]),
        amount: Amount(1),
        memo: BoundedBytes::default(),
    };
    let transaction = Transaction {
        account: AccountId::of_first_key(&key.public()),
        key_index: 0,
        key: key.public(),
        nonce: 0,
        valid_until: BlockHeight(10),
        fee: Amount::ZERO,
        operations: BoundedVec::new(vec![pay]).unwrap(),
    };
    transaction.sign(&key, network, Vec::new()).unwrap()
}

/// A transaction comes in as CBOR or as hexadecimal in JSON; anything else is refused before it reaches the node.
#[tokio::test]
async fn transactions_come_in_by_one_door() {
    let served = Served::start().await;
    let signed = transfer(&served.node.genesis.network());
    let id = signed.transaction.id(&served.node.genesis.network());
    assert_eq!(served.client().submit(&signed).await.unwrap().id, id);

    let url = format!("{}/api/v1/transactions", served.public);
    let bytes = codec::encode(&signed);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = serde_json::json!({ "transaction": digits });
    let response = served.http.post(&url).json(&json).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(served.node.submitted.load(Ordering::SeqCst), 2);

    let post = |media: &str, body: Vec<u8>| {
        served
            .http
            .post(&url)
            .header("content-type", media.to_owned())
            .body(body)
            .send()
    };
    for (status, media, body) in [
        (400, "application/cbor", b"nonsense".to_vec()),
        (400, "application/json", b"{\"transaction\": \"xyz\"}".to_vec()),
        (400, "application/json", b"{\"transactions\": \"00\"}".to_vec()),
        (415, "text/plain", bytes.clone()),
        (413, "application/cbor", vec![0; limits::BODY_BYTES_MAX + 1]),
    ] {
        let response = post(media, body).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{media}");
    }
    assert_eq!(served.node.submitted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn new_heads_arrive_as_events() {
    let served = Served::start().await;
    let mut response = served
        .http
        .get(format!("{}/api/v1/events", served.public))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let first = response.chunk().await.unwrap().unwrap();
    assert!(
        String::from_utf8_lossy(&first).contains("event: head"),
        "{first:?}"
    );
    served
        .node
        .heads
        .send_modify(|header| header.height = BlockHeight(1));
    let second = response.chunk().await.unwrap().unwrap();
    assert!(
        String::from_utf8_lossy(&second).contains("\"height\":1"),
        "{second:?}"
    );
}

#[tokio::test]
async fn metrics_count_what_was_refused() {
    let served = Served::start().await;
    let url = |path: &str| format!("{}{path}", served.public);
    served.http.get(url("/nothing")).send().await.unwrap();
    let text = served
        .http
        .get(url("/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        text.contains("watt_refused_total{reason=\"malformed\"} 3"),
        "{text}"
    );
    assert!(
        text.contains("watt_http_requests_total{result=\"refused\"} 1"),
        "{text}"
    );
    assert!(text.contains("watt_consensus_evidence_total{node="), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    assert_eq!(
        served.http.get(url("/livez")).send().await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(
        served.http.get(url("/readyz")).send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

/// The rules are shown with who decides about them; a node that stopped before rules that its program does not know says so.
/// Covers: A11.
#[tokio::test]
async fn rules_are_shown_and_old_programs_say_so() {
    let served = Served::start().await;
    let api = ApiClient::new(std::slice::from_ref(&served.public), "start it").unwrap();
    let upgrades = api.upgrades().await.unwrap();
    assert_eq!((upgrades.version, upgrades.term, upgrades.planned), (1, 0, None));
    assert_eq!((upgrades.has_council, upgrades.council.len()), (false, 0));
    assert_eq!((upgrades.programs.len(), upgrades.ready_needed), (1, 1));
    assert_eq!(upgrades.programs[0].knows, None);
    assert_eq!(api.status().await.unwrap().rules_version, 1);

    let genesis = StillNode::new().genesis.clone();
    let stopped = NodeStatus {
        height: 31,
        peers: 3,
        unknown_version: Some(2),
        ..NodeStatus::default()
    };
    let readiness = super::facts::readiness(&genesis, &stopped);
    assert!(!readiness.is_ready);
    assert_eq!(
        readiness.reason,
        "stopped before version 2 of the rules, which this program does not know: update it"
    );
}

/// When the first node is dead the next one answers, and when all are, the error says what to do.
#[tokio::test]
async fn client_goes_on_to_the_next_node() {
    let served = Served::start().await;
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let api = ApiClient::new(&[dead.clone(), served.public.clone()], "start it").unwrap();
    assert_eq!(api.head().await.unwrap().height, 0);
    assert_eq!(api.base(), served.public);

    let api = ApiClient::new(&[dead], "start it with `watt devnet up`").unwrap();
    let error = api.head().await.unwrap_err();
    assert_eq!(
        (error.kind, error.hint.as_str()),
        (ErrorKind::Temporary, "start it with `watt devnet up`")
    );
    assert!(error.message.starts_with("no node answers at http://127.0.0.1:"));
}

#[tokio::test]
async fn owner_client_carries_the_token() {
    let served = Served::start().await;
    let client = OwnerClient::new(&served.owner, served.token.clone()).unwrap();
    let report: types::ProviderReport = client.get(OwnerRoute::Provider.path()).await.unwrap();
    assert_eq!(report.summary, "waiting for shares");
    let stranger = OwnerClient::new(&served.owner, OwnerToken::from_secret("0".repeat(64))).unwrap();
    let error = stranger
        .get::<StatusInfo>(OwnerRoute::Status.path())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAllowed);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let addresses = ApiAddresses {
        public: address,
        owner: "127.0.0.1:0".parse().unwrap(),
        owner_hosts: Vec::new(),
    };
    let error = ApiListeners::open(&addresses).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AddressTaken);
    assert_eq!(
        error.message,
        format!("can't listen on {address} (api.public): the port is taken")
    );
    assert!(error.hint.contains("api.public"));
}

#[test]
fn addresses_of_nodes_are_checked_in_one_line() {
    for base in [
        "",
        "127.0.0.1:1",
        "ftp://x",
        "https://x",
        "http://x/api",
        "http://x?y",
    ] {
        let error = ApiClient::new(&[base.to_owned()], "").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage, "{base}");
        assert!(!error.message.contains('\n'));
    }
}

#[test]
fn the_token_is_never_printed_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owner.token");
    let token = OwnerToken::load_or_create(&path).unwrap();
    assert_eq!(OwnerToken::load_or_create(&path).unwrap(), token);
    assert!(!format!("{token:?}").contains(token.secret()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

/// Evidence comes with both signed things in full, so that anybody can check it, also after it was stored and read again.
///
/// Covers: A1.
#[tokio::test]
async fn evidence_can_be_checked_by_whoever_asks() {
    let served = Served::start().await;
    let answer = served
        .http
        .get(format!("{}/api/v1/evidence", served.public))
        .send();
    let info: EvidenceInfo = answer.await.unwrap().json().await.unwrap();
    let log = served.node.evidence();
    assert_eq!(
        info,
        EvidenceInfo::of(&EvidenceLog::decode(&log.encode()).unwrap())
    );
    let liar = SecretKey::from_seed([2; 32]).node_id();
    assert_eq!(info.nodes, [AccusedInfo { node: liar, total: 1 }]);
    let signed: Vec<SignedProposal> = info.evidence[0]
        .signed
        .iter()
        .map(|hex| codec::decode(&public::decode_hex(hex).unwrap(), 4_096).unwrap())
        .collect();
    let two: [SignedProposal; 2] = signed.try_into().unwrap();
    let evidence = Evidence::Proposals(Box::new(two));
    assert!(evidence.holds(&served.node.genesis.network()));
    assert_eq!((evidence.node(), evidence.slot()), (liar, SlotIndex(1)));
}

/// The health of a node is told to whoever asks, as the command prints it with `--json`.
///
/// Covers: A4.
#[tokio::test]
async fn health_is_told_to_whoever_asks() {
    let served = Served::start().await;
    let answer = served.http.get(format!("{}/api/v1/health", served.public)).send();
    let report: Report = answer.await.unwrap().json().await.unwrap();
    assert_eq!(report, served.node.health());
    assert_eq!(
        report.sentence,
        "Connected: 1 of 1 validator was heard in the last minute. The network stops if 1 fails, and could be split by 1 that lies."
    );
}

/// A node says which block is the newest with its network identity, for this question and no other; without a nonce it says nothing.
///
/// Covers: B7.
#[tokio::test]
async fn the_newest_block_is_said_with_the_nodes_identity() {
    let served = Served::start().await;
    let (network, nonce) = (served.node.genesis.network(), Hash([5; 32]));
    let said = served.client().newest(&nonce).await.unwrap();
    assert_eq!((said.height, said.nonce), (0, nonce));
    let word = said.word().unwrap();
    let node = identity().node_id();
    assert!(word.is_of(&network, &nonce, &node));
    assert!(!word.is_of(&network, &Hash([6; 32]), &node));
    for query in ["", "?nonce=1", "?nonce=&at=3", "?at=3"] {
        let answer = served.http.get(format!("{}/api/v1/newest{query}", served.public));
        let (status, problem) = (answer.send().await.unwrap().status().as_u16(), query);
        assert_eq!(status, 400, "{problem}");
    }
}
