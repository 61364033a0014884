//! Strangers who send what nobody should.

use crate::network::{Network, noise, resident_kib};
use crate::stranger::Stranger;
use crate::wait::{PATIENCE, until};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;
use watt_light::{Operation, SignedTransaction, Transaction};
use watt_net::Priority;
use watt_primitives::id::AddressKind;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedBytes, BoundedVec, NetworkId, SecretKey, codec,
};

/// Connections with noise, per port.
const CONNECTIONS: usize = 40;

/// Malformed transactions.
const TRANSACTIONS: usize = 10_000;

/// Peers that connect properly and then talk nonsense.
const BABBLERS: u8 = 20;

/// What a node may grow while it refuses, in KiB: far below what was sent to it, were it kept.
const GROWTH_KIB_MAX: u64 = 48 << 10;

/// One network that is sent noise at every door.
#[test]
fn noise_at_every_door_changes_nothing() {
    let network = Network::up(4, 1);
    let nodes = ["v1", "p1"];
    // Once without counting: the first strangers make a node allocate what it keeps anyway.
    for name in nodes {
        noise_at_every_port(&network, name);
    }
    let before = nodes.map(|name| (network.pid(name), resident_kib(network.pid(name))));
    for name in nodes {
        noise_at_every_port(&network, name);
    }
    malformed_transactions_are_refused(&network);
    peers_that_babble_are_cut_off(&network);
    network.wait_blocks("v1", 3);
    for (name, (pid, kib)) in nodes.into_iter().zip(before) {
        assert_eq!(network.pid(name), pid, "{name} has died");
        let now = resident_kib(pid);
        assert!(
            now < kib + GROWTH_KIB_MAX,
            "{name} has grown from {kib} to {now} KiB"
        );
        assert!(!network.log(name).contains("panicked"), "{name} panicked");
    }
    let target = "/api/v1/head";
    assert_eq!(
        network.http("v1", target).unwrap()["network"],
        network.id.as_str()
    );
    network.check_supply("v1");
}

/// Random bytes to each port that a node listens on, by TCP and UDP, in short and long pieces: it goes on serving, and blocks go on.
///
/// Covers: A1, B4.
fn noise_at_every_port(network: &Network, name: &str) {
    let node = network.node(name);
    for port in [node.p2p_port, node.api_port, node.owner_port] {
        for connection in 0..CONNECTIONS {
            let bytes = noise(&format!("{port} {connection}"), 1 << (connection % 17));
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
            // The node may have hung up by now, and every second stranger hangs up without listening.
            drop(stream.write_all(&bytes));
            if connection % 2 == 0 {
                drop(stream.read(&mut [0; 512]));
            }
        }
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in 0..CONNECTIONS {
        let bytes = noise(&format!("packet {packet}"), 20 + packet * 30);
        socket.send_to(&bytes, ("127.0.0.1", node.p2p_port)).unwrap();
    }
    network.wait_blocks(name, 1);
}

/// A counter of a node's `/metrics`.
fn counter(network: &Network, sample: &str) -> u64 {
    let text = network.http_text("v1", "/metrics").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

/// A transaction that would be good: it pays the client's first coin to somebody.
fn good_transaction(network: &Network) -> (Transaction, SecretKey, NetworkId) {
    let key = watt_node::keyfile::read(&network.path("net/client.key")).unwrap();
    let transaction = Transaction {
        account: AccountId::of_first_key(&key.public()),
        key_index: 0,
        key: key.public(),
        nonce: 0,
        valid_until: BlockHeight(network.height("v1") + 50),
        fee: Amount::ZERO,
        operations: BoundedVec::new(vec![Operation::Transfer {
            to: AccountId([9; 20]),
            amount: Amount(1),
            memo: BoundedBytes::default(),
        }])
        .unwrap(),
    };
    assert_eq!(transaction.account.to_address(AddressKind::Test), network.client);
    (transaction, key, NetworkId::from_hex(&network.id).unwrap())
}

/// The `n`-th malformed transaction: noise, a good one cut off or with changed bytes, or one that is signed but not allowed.
fn malformed(n: usize, good: &(Transaction, SecretKey, NetworkId)) -> Vec<u8> {
    let (transaction, key, network) = good;
    let signed: SignedTransaction = transaction.clone().sign(key, network, Vec::new()).unwrap();
    let mut bytes = codec::encode(&signed);
    let random = noise(&format!("transaction {n}"), 8);
    let at = usize::from(random[0]) * 256 + usize::from(random[1]);
    match n % 5 {
        0 => return noise(&format!("bytes {n}"), 1 + at % 5_000),
        1 => bytes.truncate(at % bytes.len()),
        2 => {
            let at = at % bytes.len();
            bytes[at] ^= random[2] | 1;
        }
        3 => bytes.extend_from_slice(&random),
        _ => {
            let mut wrong = transaction.clone();
            wrong.nonce = 1_000_000 + u64::try_from(n).unwrap();
            bytes = codec::encode(&wrong.sign(key, network, Vec::new()).unwrap());
        }
    }
    bytes
}

/// Ten thousand transactions that are noise, cut off, changed by a bit, followed by more, or signed but never allowed, and some
/// that are far too long: each is refused with a reason, counted, and none changes a balance.
///
/// Covers: A5, A6.
fn malformed_transactions_are_refused(network: &Network) {
    const REFUSED: &str = r#"watt_http_requests_total{result="refused"}"#;
    let balance = network.balance();
    let before = counter(network, REFUSED);
    let good = good_transaction(network);
    for n in 0..TRANSACTIONS {
        let status = network.post_transaction("v1", malformed(n, &good));
        assert!(
            matches!(status, Some(400 | 422)),
            "transaction {n} was answered {status:?}"
        );
    }
    for _ in 0..3 {
        let status = network.post_transaction("v1", vec![0xa3; 2 << 20]);
        // The node may hang up before it was all sent.
        assert!(matches!(status, None | Some(413)), "{status:?}");
    }
    let refused = counter(network, REFUSED) - before;
    assert!(
        refused >= u64::try_from(TRANSACTIONS).unwrap(),
        "only {refused} were counted"
    );
    network.wait_blocks("v1", 2);
    assert_eq!(network.balance(), balance);
    // The same one unharmed is taken: it was not refused for another reason.
    let (transaction, key, id) = good;
    let signed = transaction.sign(&key, &id, Vec::new()).unwrap();
    assert_eq!(network.post_transaction("v1", codec::encode(&signed)), Some(202));
    until("it is recorded", PATIENCE, || {
        balance.checked_sub(network.balance()) == Some(Amount(1))
    });
}

/// Peers that do connect as peers, and send what is no message: each is cut off and counted.
///
/// Covers: A1, B4.
fn peers_that_babble_are_cut_off(network: &Network) {
    const MALFORMED: &str = r#"watt_refused_total{reason="malformed message"}"#;
    let before = counter(network, MALFORMED);
    for babbler in 0..BABBLERS {
        network.wait_for(async {
            let mut stranger = Stranger::meet(network, "v1", babbler + 100).await;
            for n in 0..50 {
                let bytes = noise(&format!("message {babbler} {n}"), 1 + n * 97);
                if !stranger.say(bytes, Priority::Urgent).await {
                    break;
                }
            }
            stranger.wait_cut_off().await;
            stranger.leave().await;
        });
    }
    let counted = counter(network, MALFORMED) - before;
    assert!(counted >= u64::from(BABBLERS), "only {counted} were counted");
}
