//! A circle of four whose nodes answer over real sockets.

use super::*;
use crate::api::CircleState;
use crate::api::tests::StillNode;
use crate::runtime::transfer_server;
use std::sync::Mutex;
use watt_ledger::Writes;
use watt_ledger::rows::{self, ProviderRow};
use watt_net::{Event, Limits, NetConfig};
use watt_primitives::terms::Endpoint;
use watt_primitives::{BoundedString, BoundedVec, LedgerTime, SecretKey, TrustLevel, codec};
use watt_trust::Circle;

const OWNER: AccountId = AccountId([77; 20]);

/// The block that all see, unless they were deceived.
const HEIGHT: BlockHeight = BlockHeight(8);

fn friend(n: u8) -> AccountId {
    AccountId([n; 20])
}

async fn network_node(seed: u8, listen: &[&str]) -> (Net, watt_net::Events) {
    let config = NetConfig {
        identity_seed: [seed; 32],
        listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
        bootstrap: Vec::new(),
        limits: Limits::default(),
    };
    watt_net::start(config).await.unwrap()
}

/// A friend's node: it sees a block of this height whose header has this state root.
async fn node_of(n: u8, state_root: Hash) -> Net {
    let (net, mut events) = network_node(n, &["/ip4/127.0.0.1/tcp/0"]).await;
    let mut node = StillNode::at_genesis();
    (node.header.height, node.header.state_root) = (HEIGHT, state_root);
    node.identity = SecretKey::from_seed([n; 32]);
    let node: Arc<dyn NodeView> = Arc::new(node);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Transfer { stream, .. } = event {
                tokio::spawn(transfer_server::serve(stream, Arc::clone(&node), None));
            }
        }
    });
    net
}

/// A node whose owner trusts four people, each of whom has a node at these addresses, and one who has none.
fn watched(nodes: &[&Net]) -> StillNode {
    let mut node = StillNode::at_genesis();
    node.header.height = HEIGHT;
    let mut circle = Circle::default();
    let mut writes = Writes::new();
    let time = node.genesis.time.0;
    for n in 1..=5 {
        // Two new people a week.
        let now = LedgerTime(time.saturating_sub(u64::from(5 - n) * 7 * 86_400_000));
        circle.add(&OWNER, friend(n), TrustLevel::Close, now).unwrap();
    }
    writes.insert(rows::circle(&OWNER), Some(codec::encode(&circle)));
    for (n, net) in (1..).zip(nodes) {
        let addresses = net.listen_addresses();
        let addresses = addresses
            .iter()
            .map(|address| BoundedString::new(address.to_string()).unwrap());
        let row = ProviderRow {
            endpoint: Endpoint {
                peer_id: BoundedString::new(net.local_peer().to_string()).unwrap(),
                addresses: BoundedVec::new(addresses.collect()).unwrap(),
            },
            capacity_bytes: 1,
            ..ProviderRow::new(friend(n), BlockHeight(1))
        };
        writes.insert(rows::provider(&friend(n)), Some(codec::encode(&row)));
    }
    node.state.write(&writes);
    node
}

/// What the node of `OWNER` shows after a round of questions.
async fn shown(node: StillNode, witnesses: &mut Witnesses<AccountId>) -> CircleInfo {
    round(node, witnesses, None).await
}

async fn round(
    node: StillNode,
    witnesses: &mut Witnesses<AccountId>,
    tell: Option<(mpsc::Sender<Command>, BlockHeight)>,
) -> CircleInfo {
    let (net, mut events) = network_node(99, &[]).await;
    let deaf = tokio::spawn(async move { while events.next().await.is_some() {} });
    let said = Arc::new(Mutex::new(None));
    let shown = Arc::clone(&said);
    let watch = Watch {
        owner: OWNER,
        node: Arc::new(node),
        net: net.clone(),
        show: Box::new(move |info| *shown.lock().unwrap() = Some(info)),
        wanted: watch::channel(tell.as_ref().map(|(_, height)| *height)).1,
        tell: tell.map(|(tell, _)| tell),
    };
    watch.round(witnesses, 5_000).await;
    net.shutdown().await;
    deaf.abort();
    let info = said.lock().unwrap().take();
    info.unwrap()
}

/// A node whose quorum set has the circle in it tells its loop who they are and what they named, each with its own identity.
///
/// Covers: A3.
#[tokio::test(flavor = "multi_thread")]
async fn the_loop_is_told_what_the_circle_named() {
    let same = StillNode::at_genesis().header.state_root;
    let nets = [
        node_of(1, same).await,
        node_of(2, same).await,
        node_of(3, same).await,
        node_of(4, same).await,
    ];
    let (tell, mut told) = mpsc::channel(1);
    let mut witnesses = Witnesses::default();
    round(watched(&nets.each_ref()), &mut witnesses, Some((tell, HEIGHT))).await;
    let Some(Command::Circle { nodes, words }) = told.recv().await else {
        panic!("the loop was told nothing");
    };
    let keys: BTreeSet<NodeId> = (1..=4).map(|n| SecretKey::from_seed([n; 32]).node_id()).collect();
    assert_eq!(nodes.into_iter().collect::<BTreeSet<_>>(), keys);
    assert_eq!(words.iter().map(|(node, _)| *node).collect::<BTreeSet<_>>(), keys);
    assert!(words.iter().all(|(_, block)| block.height == HEIGHT), "{words:?}");
}

/// Two of four make it confirmed, and not one; whose node names another block is an alarm; who can't be reached is waited for.
///
/// Covers: A3, B7.
#[tokio::test(flavor = "multi_thread")]
async fn four_people_confirm_what_a_node_sees() {
    let same = StillNode::at_genesis().header.state_root;
    let nets = [
        node_of(1, same).await,
        node_of(2, same).await,
        node_of(3, same).await,
        node_of(4, same).await,
    ];
    let mut witnesses = Witnesses::default();
    let info = shown(watched(&nets.each_ref()), &mut witnesses).await;
    assert_eq!(
        (info.state, info.people, info.with_nodes),
        (CircleState::Confirms, 5, 4),
        "{info:?}"
    );
    assert_eq!(
        (info.needed, info.confirming, info.confirmed_height),
        (Some(2), 4, Some(HEIGHT.0))
    );

    // Three of them are asleep.
    let [awake, asleep @ ..] = nets;
    let peers = asleep.each_ref().map(Net::local_peer);
    let asleep_at = watched(&[&awake, &asleep[0], &asleep[1], &asleep[2]]);
    for net in asleep {
        net.shutdown().await;
    }
    let mut witnesses = Witnesses::default();
    let info = shown(asleep_at, &mut witnesses).await;
    assert_eq!(
        info.sentence, "waiting for your circle (1 of 2 needed)",
        "{peers:?}"
    );
    assert_eq!((info.state, info.confirmed_height), (CircleState::Waiting, None));

    // One of four sees something else.
    let nets = [
        node_of(5, same).await,
        node_of(6, same).await,
        node_of(7, same).await,
        node_of(8, Hash([66; 32])).await,
    ];
    let mut witnesses = Witnesses::default();
    let info = shown(watched(&nets.each_ref()), &mut witnesses).await;
    assert_eq!(
        (info.state, info.confirming),
        (CircleState::Contradicts, 3),
        "{info:?}"
    );
    assert_eq!(info.contradicting.len(), 1);

    // With three nodes nobody is asked.
    let mut witnesses = Witnesses::default();
    let info = shown(watched(&[&nets[0], &nets[1], &nets[2]]), &mut witnesses).await;
    assert_eq!(
        (info.state, info.needed, info.confirming),
        (CircleState::NotAsked, None, 0)
    );
}
