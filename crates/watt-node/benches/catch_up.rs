//! How fast a node that is behind catches up: a real node on a real disk, and four peers on loopback that have the blocks.
//!
//! Each block holds 20 transfers and was decided by three of four validators. Beside it, in the same run: the same blocks
//! checked and applied one by one in memory on one thread, without network and disk. Prints one JSON object per line;
//! `WATT_BENCH_BLOCKS` sets their number.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures time and prints"
)]

use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watt_engine::message::{BLOCKS_BYTES_MAX, DecidedBlock, Message};
use watt_ledger::Body;
use watt_ledger::genesis::GenesisAccount;
use watt_ledger::{
    Genesis, MemoryState, NetworkParameters, NoFolded, UncheckedBlock, apply_block, genesis_block,
};
use watt_light::{BackboneEntry, Header, Heartbeats, Operation, Proposal, SignedTransaction, Transaction};
use watt_net::{Bytes, Net, NetConfig, Priority};
use watt_node::config::{ApiAddresses, NodeConfig, Role};
use watt_node::runtime::pace::Taken;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedString, BoundedVec, SecretKey, SlotIndex, Term,
    Timestamp,
};
use watt_scp::{Ballot, Envelope, Pledges, Statement};

const BLOCKS_DEFAULT: u64 = 10_000;
const TRANSFERS: u64 = 20;
const ACCOUNTS: u64 = 200;
const VALIDATORS: u64 = 4;
const SERVERS: u8 = 4;
const PATIENCE: Duration = Duration::from_secs(1_800);

fn main() {
    let n_blocks = std::env::var("WATT_BENCH_BLOCKS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(BLOCKS_DEFAULT);
    let chain = Chain::grow(n_blocks);
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    let (taken, step) = runtime.block_on(catch_up(&chain));
    let case = format!("{n_blocks} blocks of {TRANSFERS} transfers");
    let per_s = |time: Duration| n_blocks as f64 / time.as_secs_f64();
    let real_s = (n_blocks * chain.genesis.parameters.slot_ms) as f64 / 1_000.0;
    let (value, baseline) = (per_s(taken), per_s(chain.applying));
    let common = |metric: &str, value: f64, unit: &str| json!({"bench": "catch-up", "case": case, "metric": metric, "value": value, "unit": unit});
    let mut blocks = common("blocks_per_s", value, "1/s");
    blocks["baseline"] = json!(baseline);
    blocks["ratio"] = json!(value / baseline);
    println!("{blocks}");
    println!("{}", common("times_real_time", real_s / taken.as_secs_f64(), "x"));
    println!("{}", common("step_p99_ms", step.p99_us as f64 / 1_000.0, "ms"));
    println!("{}", common("step_max_ms", step.max_us as f64 / 1_000.0, "ms"));
}

/// Blocks that a network decided.
struct Chain {
    genesis: Genesis,
    blocks: Arc<Vec<DecidedBlock>>,
    head: Header,
    /// What checking and applying them one by one took.
    applying: Duration,
}

fn key(seed: u64) -> SecretKey {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    SecretKey::from_seed(bytes)
}

fn account(n: u64) -> SecretKey {
    key(1_000 + n)
}

fn seat(n: u64) -> BackboneEntry {
    BackboneEntry {
        account: AccountId::of_first_key(&account(n).public()),
        key: key(n).node_id(),
        cold_key: None,
    }
}

fn genesis() -> Genesis {
    let account = |n| GenesisAccount {
        key: account(n).public(),
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
            block_transactions_max: 5_000,
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
        backbone: BoundedVec::new((0..VALIDATORS).map(seat).collect()).unwrap(),
    }
}

impl Chain {
    fn grow(n_blocks: u64) -> Self {
        let genesis = genesis();
        let first = genesis_block(&genesis).unwrap();
        let mut state = MemoryState::default();
        state.write(&first.writes);
        let (mut head, mut blocks, mut applying) = (first.header, Vec::new(), Duration::ZERO);
        for _ in 0..n_blocks {
            let block = decided(&genesis, &head, transfers(&genesis, head.height));
            let began = Instant::now();
            assert!(block.is_decided(&genesis.quorum_set()));
            let unchecked: UncheckedBlock = block.to_block();
            let outcome = apply_block(&state, &unchecked.check(&head.network, &NoFolded).unwrap()).unwrap();
            applying += began.elapsed();
            state.write(&outcome.writes);
            head = outcome.header;
            blocks.push(block);
        }
        Self {
            genesis,
            blocks: Arc::new(blocks),
            head,
            applying,
        }
    }
}

/// The transfers of the block above `below`: accounts take turns.
fn transfers(genesis: &Genesis, below: BlockHeight) -> Vec<SignedTransaction> {
    let first = below.0 * TRANSFERS;
    let transfer = |n: u64| {
        let from = account(n % ACCOUNTS);
        let to = AccountId::of_first_key(&account((n * 7 + 1) % ACCOUNTS).public());
        let operation = Operation::Transfer {
            to,
            amount: Amount(1),
            memo: BoundedBytes::new(Vec::new()).unwrap(),
        };
        let transaction = Transaction {
            account: AccountId::of_first_key(&from.public()),
            key_index: 0,
            key: from.public(),
            nonce: n / ACCOUNTS,
            valid_until: BlockHeight(below.0 + 100),
            fee: Amount::ZERO,
            operations: BoundedVec::new(vec![operation]).unwrap(),
        };
        transaction.sign(&from, &genesis.network(), Vec::new()).unwrap()
    };
    (first..first + TRANSFERS).map(transfer).collect()
}

fn decided(genesis: &Genesis, head: &Header, transactions: Vec<SignedTransaction>) -> DecidedBlock {
    let (network, quorum_set) = (genesis.network(), genesis.quorum_set());
    let (body_root, n_transactions, body_bytes) =
        Body::new(&network, transactions.to_vec(), Heartbeats::empty()).description();
    let slot = SlotIndex(head.height.0 + 1);
    let proposal = Proposal {
        network,
        slot,
        version: 1,
        parent: head.hash(),
        close_time: head.close_time.plus(genesis.parameters.slot_ms),
        body_root,
        n_transactions,
        body_bytes,
        proposer: key(slot.0 % VALIDATORS).node_id(),
    };
    let value = proposal.value();
    let says = |n: u64| {
        let statement = Statement {
            node: key(n).node_id(),
            slot,
            quorum_set: quorum_set.hash(&network),
            pledges: Pledges::Externalize {
                commit: Ballot { counter: 1, value },
                h_counter: 1,
            },
        };
        Envelope::sign(statement, &key(n), &network)
    };
    DecidedBlock {
        proposal: proposal.sign(&key(slot.0 % VALIDATORS)),
        is_empty: false,
        transactions: BoundedVec::new(transactions).unwrap(),
        heartbeats: Heartbeats::empty(),
        decision: BoundedVec::new((0..3).map(says).collect()).unwrap(),
        successions: BoundedVec::empty(),
    }
}

/// From the start of an empty node to the moment at which it shows the last block; and what its steps took meanwhile.
async fn catch_up(chain: &Chain) -> (Duration, Taken) {
    let servers: Vec<Net> = futures::future::join_all((0..SERVERS).map(|n| serve(chain, n))).await;
    let bootstrap = servers
        .iter()
        .flat_map(Net::listen_addresses)
        .map(|address| address.to_string())
        .collect();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = NodeConfig {
        data_dir: dir.path().to_owned(),
        was_moved: false,
        restarts: Vec::new(),
        genesis: chain.genesis.clone(),
        role: Role::Follower,
        seat_account_key: None,
        owner: None,
        circle_in_quorum: false,
        network_key: None,
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        bootstrap,
        // All blocks are fetched: these peers serve no state.
        checkpoint_blocks: u64::MAX,
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
    let began = Instant::now();
    let node = watt_node::runtime::start(config)
        .await
        .expect("a new node starts");
    let mut heads = node.subscribe();
    let reached = heads.wait_for(|header| header.height >= chain.head.height);
    let header = tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("the node catches up")
        .expect("the node runs")
        .clone();
    let taken = began.elapsed();
    assert_eq!(header, chain.head);
    let step = node.status().pace.step;
    node.stop();
    node.stopped().await.expect("the node ends well");
    for server in servers {
        server.shutdown().await;
    }
    (taken, step)
}

/// A peer that has all blocks and answers as a node does.
async fn serve(chain: &Chain, seed: u8) -> Net {
    let config = NetConfig {
        identity_seed: [200 + seed; 32],
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        bootstrap: Vec::new(),
        limits: watt_net::Limits::default(),
    };
    let (net, mut events) = watt_net::start(config).await.expect("loopback listens");
    let (blocks, network, height) = (Arc::clone(&chain.blocks), chain.head.network, chain.head.height);
    let answering = net.clone();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let (to, message, priority) = match event {
                watt_net::Event::Connected(peer) => {
                    let hello = Message::Hello {
                        network,
                        height,
                        wants_statements: false,
                    };
                    (peer, hello, Priority::Urgent)
                }
                watt_net::Event::Message { from, bytes } => match Message::decode(&bytes) {
                    Ok(Message::GetBlocks { from: first, count }) => {
                        (from, answer(&blocks, first, count), Priority::Bulk)
                    }
                    Ok(_) | Err(_) => continue,
                },
                watt_net::Event::Disconnected(_) | watt_net::Event::Transfer { .. } => continue,
            };
            answering
                .send(to, Bytes::from(message.encode()), priority)
                .expect("the node takes what it asked for");
        }
    });
    net
}

fn answer(blocks: &[DecidedBlock], first: BlockHeight, count: u32) -> Message {
    let skip = usize::try_from(first.0 - 1).unwrap();
    let mut bytes = 0;
    let fits = |block: &&DecidedBlock| {
        bytes += watt_primitives::codec::encode(*block).len();
        bytes <= BLOCKS_BYTES_MAX
    };
    let chosen = blocks.iter().skip(skip).take(count as usize).take_while(fits);
    Message::Blocks {
        blocks: BoundedVec::new(chosen.cloned().collect()).unwrap(),
    }
}
