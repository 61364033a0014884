//! What the loop of a validator takes while its blocks are full: a step of the engine, and from a record of consensus to the first
//! message that may leave after it. One validator on a real disk, with a peer that wants its statements, handed more transfers than
//! its blocks hold, until all are in blocks. Prints one JSON object per line; `WATT_BENCH_BLOCKS` sets how many blocks they fill.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures time and prints"
)]

use futures::StreamExt as _;
use serde_json::json;
use std::time::Duration;
use watt_engine::message::Message;
use watt_ledger::genesis::GenesisAccount;
use watt_ledger::{Genesis, NetworkParameters};
use watt_light::{BackboneEntry, Operation, SignedTransaction, Transaction};
use watt_net::{Bytes, Net, NetConfig, Priority};
use watt_node::config::{ApiAddresses, NodeConfig, Role};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedString, BoundedVec, NetworkId, SecretKey, Term,
    Timestamp,
};

const BLOCKS_DEFAULT: u64 = 20;
const BLOCK_TRANSACTIONS: u32 = 5_000;
const ACCOUNTS: u64 = 1_000;
/// Transactions handed in and not yet answered.
const AT_ONCE: usize = 512;
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let n_blocks = std::env::var("WATT_BENCH_BLOCKS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(BLOCKS_DEFAULT);
    let genesis = genesis();
    let network = genesis.network();
    let n_transfers = n_blocks * u64::from(BLOCK_TRANSACTIONS);
    let transfers: Vec<_> = (0..n_transfers).map(|n| transfer(&network, n)).collect();
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    runtime.block_on(measure(genesis, transfers));
}

fn key(seed: u64) -> SecretKey {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    SecretKey::from_seed(bytes)
}

fn genesis() -> Genesis {
    let account = |n| GenesisAccount {
        key: key(n).public(),
        balance: Amount(1_000_000_000_000),
    };
    Genesis {
        name: BoundedString::new("bench".into()).unwrap(),
        is_main: false,
        time: Timestamp(1_700_000_000_000),
        // A devnet's.
        parameters: NetworkParameters {
            slot_ms: 1_000,
            window_slots: 8,
            term_windows: 144,
            settlement_windows: 8,
            failed_window_cost: 9,
            block_transactions_max: BLOCK_TRANSACTIONS,
            block_bytes_max: 3 << 20,
            certify_slots: 120,
            certify_slots_per_gb: 240,
            commit_slots: 120,
            dispute_slots: 60,
            grace_windows: watt_ledger::genesis::GRACE_WINDOWS_MAIN,
            power_unit_bytes: 1 << 20,
            standby_power_bytes: 0,
            insecure_proofs: true,
            porep_committee: 0,
            audit_windows: 0,
            restart_windows: watt_ledger::genesis::RESTART_WINDOWS_MAIN,
        },
        accounts: BoundedVec::new((0..ACCOUNTS).map(account).collect()).unwrap(),
        protocol: 1,
        council: BoundedVec::empty(),
        council_until: Term(0),
        trust_seeds: BoundedVec::empty(),
        backbone: BoundedVec::new(vec![BackboneEntry {
            account: AccountId::of_first_key(&key(0).public()),
            key: key(u64::MAX).node_id(),
            cold_key: None,
        }])
        .unwrap(),
    }
}

fn transfer(network: &NetworkId, n: u64) -> SignedTransaction {
    let from = key(n % ACCOUNTS);
    let operation = Operation::Transfer {
        to: AccountId::of_first_key(&key((n * 7 + 1) % ACCOUNTS).public()),
        amount: Amount(1),
        memo: BoundedBytes::new(Vec::new()).unwrap(),
    };
    let transaction = Transaction {
        account: AccountId::of_first_key(&from.public()),
        key_index: 0,
        key: from.public(),
        nonce: n / ACCOUNTS,
        valid_until: BlockHeight(600),
        fee: Amount::ZERO,
        operations: BoundedVec::new(vec![operation]).unwrap(),
    };
    transaction.sign(&from, network, Vec::new()).unwrap()
}

async fn measure(genesis: Genesis, transfers: Vec<SignedTransaction>) {
    let n_transfers = transfers.len();
    let peer = listener(genesis.network()).await;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = NodeConfig {
        data_dir: dir.path().to_owned(),
        was_moved: false,
        restarts: Vec::new(),
        genesis,
        role: Role::Validator {
            key: Box::new(key(u64::MAX)),
        },
        seat_account_key: None,
        owner: None,
        circle_in_quorum: false,
        network_key: None,
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        bootstrap: peer.listen_addresses().iter().map(ToString::to_string).collect(),
        checkpoint_blocks: 720,
        protocol: 1,
        rescues: watt_ledger::Rescues::of_program(),
        record_scp: None,
        api: ApiAddresses {
            public: "127.0.0.1:0".parse().unwrap(),
            owner: "127.0.0.1:0".parse().unwrap(),
            owner_hosts: Vec::new(),
        },
        provider: None,
    };
    let node = watt_node::runtime::start(config)
        .await
        .expect("a new node starts");
    let node = &node;
    let taken = futures::stream::iter(transfers)
        .map(|signed| async move {
            // The pool is bounded: who is refused tries again.
            while node.submit(signed.clone()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>();
    tokio::time::timeout(PATIENCE, taken)
        .await
        .expect("all are taken");
    // The last of them wait for their blocks, all but one of which are full.
    let settled = async {
        while node.status().pool_transactions > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, settled)
        .await
        .expect("all are in blocks");
    let status = node.status();
    assert!(status.peers > 0, "somebody hears the statements");
    let case = format!("{n_transfers} transfers in {} blocks", status.height);
    let pace = status.pace;
    for (what, taken) in [
        ("step", pace.step),
        ("step_own", pace.step_own),
        ("persist_to_send", pace.persist_to_send),
    ] {
        println!(
            "{}",
            json!({"bench": "pace", "case": case, "metric": format!("{what}_n"), "value": taken.n, "unit": ""})
        );
        for (quantile, us) in [
            ("p50", taken.p50_us),
            ("p99", taken.p99_us),
            ("max", taken.max_us),
        ] {
            let (metric, value) = (format!("{what}_{quantile}_ms"), us as f64 / 1_000.0);
            println!(
                "{}",
                json!({"bench": "pace", "case": case, "metric": metric, "value": value, "unit": "ms"})
            );
        }
    }
    node.stop();
    node.stopped().await.expect("the node ends well");
    peer.shutdown().await;
}

/// A peer that wants statements and says nothing else.
async fn listener(network: NetworkId) -> Net {
    let config = NetConfig {
        identity_seed: [200; 32],
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        bootstrap: Vec::new(),
        limits: watt_net::Limits::default(),
    };
    let (net, mut events) = watt_net::start(config).await.expect("loopback listens");
    let saying = net.clone();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let watt_net::Event::Connected(peer) = event {
                let hello = Message::Hello {
                    network,
                    height: BlockHeight(0),
                    wants_statements: true,
                };
                saying
                    .send(peer, Bytes::from(hello.encode()), Priority::Urgent)
                    .expect("it is connected");
            }
        }
    });
    net
}
