use watt_net::{
    Bytes, Limits, MESSAGE_BYTES_MAX, NetConfig, Priority, Rate, SendRefused, URGENT_MESSAGE_BYTES_MAX,
};

use crate::world::{Node, QUIC, TCP, config, pair, pair_with, within};

async fn exchange(transport: &str) {
    let (mut a, mut b) = pair(transport).await;
    for priority in [Priority::Urgent, Priority::Bulk] {
        for length in [1, 1_000, 100_000] {
            let message = vec![7; length];
            a.net.send(b.peer(), message.clone().into(), priority).unwrap();
            assert_eq!(b.message().await, (a.peer(), message.clone()));
            b.net.send(a.peer(), message.clone().into(), priority).unwrap();
            assert_eq!(a.message().await, (b.peer(), message));
        }
    }
    let peers = a.net.peers();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].peer, b.peer());
    let from = a.peer();
    a.net.shutdown().await;
    b.disconnected(from).await;
    assert!(b.net.peers().is_empty());
    // Having told what was left, the events of a stopped network end.
    within("the end of a's events", async {
        while a.events.next().await.is_some() {}
    })
    .await;
}

/// Messages of both priorities pass in both directions over TCP, noise and yamux. Covers: A6, C2.
#[tokio::test]
async fn two_nodes_talk_over_tcp() {
    exchange(TCP).await;
}

/// Messages of both priorities pass in both directions over QUIC. Covers: A6, C2.
#[tokio::test]
async fn two_nodes_talk_over_quic() {
    exchange(QUIC).await;
}

/// Whoever hears that a peer is connected can send to it at once. Covers: A6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connected_peer_can_be_sent_to() {
    let (mut a, mut b) = pair(TCP).await;
    for _ in 0..200 {
        b.net.disconnect(a.peer());
        b.disconnected(a.peer()).await;
        a.disconnected(b.peer()).await;
        b.net.connect(a.address());
        a.connected(b.peer()).await;
        let sent = a.net.send(b.peer(), vec![1].into(), Priority::Urgent);
        assert_eq!(sent, Ok(()));
        b.connected(a.peer()).await;
        assert_eq!(b.message().await, (a.peer(), vec![1]));
    }
}

/// The longest message passes, one byte more is refused by the sender; nothing at all is no message. Covers: A6.
#[tokio::test]
async fn the_longest_message_passes_and_one_byte_more_does_not() {
    let (a, mut b) = pair(TCP).await;
    let longest = Bytes::from(vec![9; MESSAGE_BYTES_MAX]);
    a.net.send(b.peer(), longest.clone(), Priority::Bulk).unwrap();
    assert_eq!(b.message().await.1.len(), MESSAGE_BYTES_MAX);
    let longest_urgent = longest.slice(..URGENT_MESSAGE_BYTES_MAX);
    a.net.send(b.peer(), longest_urgent, Priority::Urgent).unwrap();
    assert_eq!(b.message().await.1.len(), URGENT_MESSAGE_BYTES_MAX);

    for (length, priority) in [
        (MESSAGE_BYTES_MAX + 1, Priority::Bulk),
        (URGENT_MESSAGE_BYTES_MAX + 1, Priority::Urgent),
        (0, Priority::Bulk),
    ] {
        let refused = a
            .net
            .send(b.peer(), vec![9; length].into(), priority)
            .unwrap_err();
        assert_eq!(
            refused,
            SendRefused::WrongLength {
                length,
                max: priority.message_bytes_max()
            }
        );
    }
}

/// An urgent message overtakes bulk ones that the peer is not allowed to send any faster. Covers: A6.
#[tokio::test]
async fn urgent_does_not_wait_behind_bulk() {
    let slow = Rate {
        bytes_per_s: 1_000,
        messages_per_s: 1,
    };
    let (mut a, b) = pair_with(
        TCP,
        Limits {
            inbound_bulk: slow,
            ..Limits::default()
        },
    )
    .await;
    for _ in 0..8 {
        b.net
            .send(a.peer(), vec![0; 2 * 1024 * 1024].into(), Priority::Bulk)
            .unwrap();
    }
    // The first body is free, the second would take half an hour.
    assert_eq!(a.message().await.1.len(), 2 * 1024 * 1024);
    for _ in 0..100 {
        b.net
            .send(a.peer(), Bytes::from_static(b"vote"), Priority::Urgent)
            .unwrap();
        assert_eq!(a.message().await.1, b"vote");
    }
    assert!(a.net.counters().inbound_throttled > 0);
}

/// A message for everybody reaches everybody but the one it came from. Covers: A6.
#[tokio::test]
async fn broadcast_spares_the_sender() {
    let mut hub = Node::start(config(1, &[TCP])).await;
    let mut leaves = Vec::new();
    for seed in 2..6 {
        let mut leaf = Node::start(config(seed, &[])).await;
        leaf.net.connect(hub.address());
        leaf.connected(hub.peer()).await;
        hub.connected(leaf.peer()).await;
        leaves.push(leaf);
    }
    let spared = leaves[0].peer();
    let reached = hub
        .net
        .broadcast(Some(spared), &Bytes::from_static(b"block"), Priority::Bulk)
        .unwrap();
    assert_eq!(reached, 3);
    for leaf in &mut leaves[1..] {
        assert_eq!(leaf.message().await.1, b"block");
    }
    hub.net
        .send(spared, Bytes::from_static(b"only you"), Priority::Bulk)
        .unwrap();
    assert_eq!(
        leaves[0].message().await.1,
        b"only you",
        "the block was not sent to it before"
    );
}

/// Nodes that dial each other at the same moment end up connected, whatever became of the two dials.
#[tokio::test]
async fn mutual_dials_are_harmless() {
    for transport in [TCP, QUIC] {
        let mut a = Node::start(config(1, &[transport])).await;
        let mut b = Node::start(config(2, &[transport])).await;
        a.net.connect(b.address());
        b.net.connect(a.address());
        a.connected(b.peer()).await;
        b.connected(a.peer()).await;
        for i in 0..100_u8 {
            a.net
                .send(b.peer(), vec![i; 10].into(), Priority::Urgent)
                .unwrap();
            assert_eq!(b.message().await.1, vec![i; 10]);
            b.net
                .send(a.peer(), vec![i; 10].into(), Priority::Urgent)
                .unwrap();
            assert_eq!(a.message().await.1, vec![i; 10]);
        }
    }
}

/// A peer that does not read fills its queue; what does not fit is dropped and counted, and costs no memory. Covers: A6.
#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let mut a = Node::start(config(1, &[TCP])).await;
    let limits = Limits {
        outbox_messages_max: 4,
        ..Limits::default()
    };
    let mut b = Node::start(NetConfig {
        limits,
        ..config(2, &[])
    })
    .await;
    b.net.connect(a.address());
    b.connected(a.peer()).await;
    a.connected(b.peer()).await;
    // Nobody takes a's events: a reads up to its bounds, then b's stream waits, then b's queue fills.
    let mut taken = 0_u64;
    let refused = loop {
        match b
            .net
            .send(a.peer(), vec![0; MESSAGE_BYTES_MAX].into(), Priority::Bulk)
        {
            Ok(()) => taken += 1,
            Err(refused) => {
                // A queue may be full for a moment only; it is full for good when nothing moves any more.
                let before = b.net.counters().messages_sent;
                let moved = tokio::time::timeout(std::time::Duration::from_secs(2), async {
                    while b.net.counters().messages_sent == before {
                        tokio::task::yield_now().await;
                    }
                });
                if moved.await.is_err() {
                    break refused;
                }
            }
        }
        assert!(taken < 1_000, "the queue never fills");
    };
    assert_eq!(refused, SendRefused::QueueFull(a.peer()));
    assert!(b.net.counters().dropped_queue_full > 0);
    assert!(b.net.peers()[0].waiting_bytes > 0);
    // What was taken arrives once a listens again: nothing was lost by waiting.
    for _ in 0..taken {
        assert_eq!(a.message().await.1.len(), MESSAGE_BYTES_MAX);
    }
}

/// A message to somebody who is not there is refused at once.
#[tokio::test]
async fn nobody_there() {
    let node = Node::start(config(1, &[])).await;
    let stranger = watt_net::peer_id([9; 32]);
    let refused = node
        .net
        .send(stranger, Bytes::from_static(b"?"), Priority::Urgent)
        .unwrap_err();
    assert_eq!(refused, SendRefused::NotConnected(stranger));
}

/// What was queued before a shutdown still arrives. Covers: A6.
#[tokio::test]
async fn shutdown_sends_what_is_queued() {
    for transport in [TCP, QUIC] {
        let (mut a, b) = pair(transport).await;
        for _ in 0..20 {
            b.net
                .send(a.peer(), vec![1; 200_000].into(), Priority::Bulk)
                .unwrap();
        }
        let from = b.peer();
        let shut = tokio::spawn(b.net.shutdown());
        for _ in 0..20 {
            assert_eq!(a.message().await.1.len(), 200_000);
        }
        a.disconnected(from).await;
        within("the shutdown", shut).await.unwrap();
    }
}
