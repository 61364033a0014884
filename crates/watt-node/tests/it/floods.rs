//! Poison and floods: blocks go on, in time.

use crate::network::Network;
use crate::stranger::Stranger;
use crate::wait::{PATIENCE, until};
use std::time::Duration;
use watt_engine::message::{DecidedBlock, Message};
use watt_light::{Operation, SignedTransaction, Transaction};
use watt_net::Priority;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedVec, Hash, NetworkId, SecretKey, SharedBytes,
    SlotIndex, codec,
};
use watt_scp::{Envelope, Pledges, Statement, Value};

/// Messages of one flood.
const MESSAGES: u64 = 10_000;

/// Bytes of a large message.
const LARGE_BYTES: usize = 1 << 20;

/// Large messages of one flood.
const LARGE_MESSAGES: usize = 100;

/// Transactions of each account in the flood of good ones.
const TRANSFERS: u64 = 240;

/// Pause before a transaction that found no room is handed in again.
const BREATH: Duration = Duration::from_millis(50);

/// Time between blocks of a devnet, in milliseconds.
const TARGET_MS: u64 = 1_000;

/// A block may take this many times its target while the node is flooded.
const SLOWDOWN_MAX: u64 = 3;

/// One network, poisoned and flooded.
#[test]
fn floods_and_poison_do_not_stop_blocks() {
    let network = Network::up(4, 0);
    a_poison_transaction_never_lands(&network);
    blocks_stay_in_time_under_floods(&network);
    network.wait_blocks("v1", 3);
    for name in ["v1", "v2", "v3", "v4"] {
        assert!(!network.log(name).contains("panicked"), "{name} panicked");
    }
    network.check_supply("v1");
}

/// An account of the devnet whose key this test knows.
struct Payer {
    key: SecretKey,
    network: NetworkId,
    nonce: u64,
}

impl Payer {
    fn of(network: &Network, key_file: &str) -> Self {
        Self {
            key: watt_node::keyfile::read(&network.path(key_file)).unwrap(),
            network: NetworkId::from_hex(&network.id).unwrap(),
            nonce: 0,
        }
    }

    /// A transfer with the next nonce.
    fn transfer(&mut self, height: u64, memo: &[u8]) -> SignedTransaction {
        let signed = self.transfer_with(self.nonce, height, memo);
        self.nonce += 1;
        signed
    }

    fn transfer_with(&self, nonce: u64, height: u64, memo: &[u8]) -> SignedTransaction {
        let transaction = Transaction {
            account: AccountId::of_first_key(&self.key.public()),
            key_index: 0,
            key: self.key.public(),
            nonce,
            valid_until: BlockHeight(height + 100),
            fee: Amount::ZERO,
            operations: BoundedVec::new(vec![Operation::Transfer {
                to: AccountId([9; 20]),
                amount: Amount(1),
                memo: BoundedBytes::new(memo.to_vec()).unwrap(),
            }])
            .unwrap(),
        };
        transaction.sign(&self.key, &self.network, Vec::new()).unwrap()
    }
}

/// A transaction that makes applying panic, planted in test builds only: every node catches it, blocks go on, others' transactions
/// land, and this one never does.
///
/// Covers: A1, A5.
fn a_poison_transaction_never_lands(network: &Network) {
    let mut poisoner = Payer::of(network, "net/nodes/v4/account.key");
    let mut payer = Payer::of(network, "net/client.key");
    let height = network.height("v1");
    let poison = poisoner.transfer(height, b"boom");
    let id = poison.transaction.id(&poisoner.network);
    assert_eq!(network.post_transaction("v1", codec::encode(&poison)), Some(202));
    let before = network.balance();
    assert_eq!(
        network.post_transaction("v1", codec::encode(&payer.transfer(height, b""))),
        Some(202)
    );
    until("the other transaction is recorded", PATIENCE, || {
        before.checked_sub(network.balance()) == Some(Amount(1))
    });
    network.wait_blocks("v1", 5);
    let tried = network.log("v1").contains("a proposed block failed its trial");
    assert!(tried, "the poison was never tried");
    let found = network.http("v1", &format!("/api/v1/transactions/{id}"));
    assert!(
        found.is_none_or(|found| found["height"].is_null()),
        "the poison landed"
    );
}

/// Transactions, statements that nobody signed, large bodies that nobody asked for, forged blocks: thousands of each at once. What
/// is bad is counted, what is good lands, and blocks close in less than three times their target.
///
/// Covers: A1, A5, A6.
fn blocks_stay_in_time_under_floods(network: &Network) {
    let from = network.height("v2");
    network.wait_for(async {
        tokio::join!(
            forged_statements(network, from),
            large_bodies(network),
            forged_blocks(network),
            good_transactions(network, from),
        );
    });
    let to = network.height("v2");
    assert!(to > from, "no block closed during the flood");
    let closed = |height: u64| {
        let block = network.http("v2", &format!("/api/v1/blocks/{height}")).unwrap();
        block["close_time"].as_u64().unwrap()
    };
    let mean = (closed(to) - closed(from)) / (to - from);
    assert!(
        mean < SLOWDOWN_MAX * TARGET_MS,
        "a block took {mean} ms in the mean, the target is {TARGET_MS} ms"
    );
    let text = network.http_text("v1", "/metrics").unwrap();
    for reason in [
        "bad statement signature",
        "over quota",
        "unasked blocks",
        "unwanted body",
    ] {
        let sample = format!(r#"watt_refused_total{{reason="{reason}"}}"#);
        assert!(text.contains(&sample), "nothing was counted as {reason}: {text}");
    }
    // What was good lands: each of these accounts has paid.
    network.wait_blocks("v1", 2);
    let paid = network
        .http("v1", &format!("/api/v1/accounts/{}", network.node("v1").account))
        .unwrap();
    assert_eq!(paid["keys"][0]["nonce"].as_u64(), Some(TRANSFERS), "{paid}");
}

/// Statements in the names of validators, which they never signed.
async fn forged_statements(network: &Network, from: u64) {
    let id = NetworkId::from_hex(&network.id).unwrap();
    let forger = SecretKey::from_seed([7; 32]);
    let victim = watt_node::keyfile::read(&network.node_dir("v2").join("voting.key")).unwrap();
    let statement = |signer: &SecretKey, slot, value| Statement {
        node: signer.node_id(),
        slot: SlotIndex(slot),
        quorum_set: Hash::ZERO,
        pledges: Pledges::Nominate {
            votes: BoundedVec::new(vec![value]).unwrap(),
            accepted: BoundedVec::empty(),
        },
    };
    let mut stranger = Stranger::meet(network, "v1", 31).await;
    for n in 0..MESSAGES {
        let (slot, value) = (from + 1 + n % 40, Value(Hash::of_content(&n.to_be_bytes())));
        let envelope = Envelope {
            statement: statement(&victim, slot, value),
            ..Envelope::sign(statement(&forger, slot, value), &forger, &id)
        };
        let message = Message::Statement {
            envelope: Box::new(envelope),
            proposals: BoundedVec::empty(),
        };
        stranger.insist(message.encode(), Priority::Urgent).await;
    }
    stranger.leave().await;
}

/// Bodies of a mebibyte that no value stands for.
async fn large_bodies(network: &Network) {
    let payer = Payer::of(network, "net/nodes/v3/account.key");
    let one = payer.transfer_with(0, 1, &[0; 32]);
    let n_transactions = LARGE_BYTES / codec::encode(&one).len();
    let body =
        SharedBytes::new(watt_ledger::block::encode_body(&vec![one; n_transactions], &[]).into()).unwrap();
    let mut stranger = Stranger::meet(network, "v1", 32).await;
    for n in 0..LARGE_MESSAGES {
        let message = Message::Body {
            value: Value(Hash::of_content(&n.to_be_bytes())),
            body: body.clone(),
        };
        stranger.insist(message.encode(), Priority::Bulk).await;
    }
    stranger.leave().await;
}

/// Real blocks under other heights and with other bodies.
async fn forged_blocks(network: &Network) {
    let mut stranger = Stranger::meet(network, "v1", 33).await;
    let ask = Message::GetBlocks {
        from: BlockHeight(1),
        count: 3,
    };
    assert!(stranger.say(ask.encode(), Priority::Urgent).await);
    let real = stranger
        .hear(|message| match message {
            Message::Blocks { blocks } => Some(blocks.into_inner()),
            _ => None,
        })
        .await;
    for n in 0..MESSAGES {
        let forged: Vec<DecidedBlock> = real
            .iter()
            .cloned()
            .map(|mut block| {
                block.proposal.proposal.slot = SlotIndex(block.proposal.proposal.slot.0 + n);
                block.is_empty = !block.is_empty;
                block
            })
            .collect();
        let message = Message::Blocks {
            blocks: BoundedVec::new(forged).unwrap(),
        };
        stranger.insist(message.encode(), Priority::Bulk).await;
    }
    stranger.leave().await;
}

/// Transfers of several accounts, as many as a node lets wait.
async fn good_transactions(network: &Network, from: u64) {
    for name in ["v1", "v2", "v3"] {
        let mut payer = Payer::of(network, &format!("net/nodes/{name}/account.key"));
        for _ in 0..TRANSFERS {
            let bytes = codec::encode(&payer.transfer(from, b"flood"));
            // Refused while too many of this key wait.
            while network.submit("v1", bytes.clone()).await != Some(202) {
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}
