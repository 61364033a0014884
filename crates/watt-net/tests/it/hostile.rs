use std::net::SocketAddr;

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, UdpSocket},
};
use watt_net::{Bytes, Event, MESSAGE_BYTES_MAX, Multiaddr, Priority, URGENT_MESSAGE_BYTES_MAX};

use crate::{
    foreign::Foreigner,
    world::{Node, Noise, QUIC, TCP, config, within},
};

fn socket(address: &Multiaddr) -> SocketAddr {
    let text = address.to_string();
    let mut parts = text.split('/').skip(2);
    let (ip, port) = (parts.next().unwrap(), parts.nth(1).unwrap());
    format!("{ip}:{port}").parse().unwrap()
}

/// Noise thrown at the ports of a node neither stops it nor its conversation with others. Covers: A6.
#[tokio::test]
async fn noise_on_the_ports_is_harmless() {
    let mut noise = Noise(7);
    let mut node = Node::start(config(1, &[TCP, QUIC])).await;
    let addresses = node.net.listen_addresses();
    let (tcp, udp) = (socket(&addresses[0]), socket(&addresses[1]));
    let thrower = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for round in 0..200_usize {
        let mut line = TcpStream::connect(tcp).await.unwrap();
        // Some begin like real ones: with the header that agrees on the protocol.
        if round.is_multiple_of(2) {
            line.write_all(b"\x13/multistream/1.0.0\n\x07/noise\n")
                .await
                .unwrap();
        }
        // The node may close at any moment.
        drop(line.write_all(&noise.bytes(round * 7)).await);
        let mut datagram = noise.bytes(1 + round * 6);
        if round.is_multiple_of(2) {
            // The fixed bits of a QUIC version 1 initial packet.
            datagram[0] |= 0xC0;
            datagram.splice(1..1, [0, 0, 0, 1]);
        }
        drop(thrower.send_to(&datagram, udp).await);
    }
    let mut friends = Vec::new();
    for (seed, address) in (2..).zip(addresses) {
        let mut friend = Node::start(config(seed, &[])).await;
        friend.net.connect(address);
        friend.connected(node.peer()).await;
        node.connected(friend.peer()).await;
        friend
            .net
            .send(node.peer(), Bytes::from_static(b"still there?"), Priority::Urgent)
            .unwrap();
        assert_eq!(node.message().await.1, b"still there?");
        friends.push(friend);
    }
    assert!(node.net.counters().connections_refused > 0);
}

/// A frame one byte too long, or empty, costs its sender the connection, before its body is read. Covers: A6.
#[tokio::test]
async fn a_malformed_frame_disconnects() {
    for (protocol, length) in [
        ("/watt/message/1", URGENT_MESSAGE_BYTES_MAX + 1),
        ("/watt/bulk/1", MESSAGE_BYTES_MAX + 1),
        ("/watt/bulk/1", u32::MAX as usize),
        ("/watt/message/1", 0),
    ] {
        let mut node = Node::start(config(1, &[TCP])).await;
        let mut foreigner = Foreigner::connect(&node.address()).await;
        node.connected(foreigner.peer).await;
        let mut stream = foreigner.open(protocol).await.unwrap();
        stream
            .write_all(&u32::try_from(length).unwrap().to_be_bytes())
            .await
            .unwrap();
        stream.flush().await.unwrap();
        node.disconnected(foreigner.peer).await;
        assert_eq!(node.net.counters().frames_malformed, 1, "{protocol} {length}");
    }
}

/// A peer that announces a long frame and sends nothing holds neither memory nor the others. Covers: A6.
#[tokio::test]
async fn an_unfinished_frame_harms_nobody() {
    let mut node = Node::start(config(1, &[TCP])).await;
    let mut foreigner = Foreigner::connect(&node.address()).await;
    node.connected(foreigner.peer).await;
    let mut stream = foreigner.open("/watt/bulk/1").await.unwrap();
    stream.write_all(&4_000_000_u32.to_be_bytes()).await.unwrap();
    stream.write_all(b"and nothing more").await.unwrap();
    stream.flush().await.unwrap();
    let mut friend = Node::start(config(2, &[])).await;
    friend.net.connect(node.address());
    friend.connected(node.peer()).await;
    node.connected(friend.peer()).await;
    friend
        .net
        .send(node.peer(), Bytes::from_static(b"hello"), Priority::Bulk)
        .unwrap();
    assert_eq!(node.message().await.1, b"hello");
    // The same peer may even begin anew: its newer stream replaces the older.
    let mut newer = foreigner.open("/watt/bulk/1").await.unwrap();
    newer.write_all(b"\0\0\0\x02ok").await.unwrap();
    newer.flush().await.unwrap();
    assert_eq!(node.message().await, (foreigner.peer, b"ok".to_vec()));
}

/// A peer that floods is slowed down, not cut off, and all its messages arrive. Covers: A6.
#[tokio::test]
async fn a_flood_is_slowed_down() {
    let mut node = Node::start(config(1, &[TCP])).await;
    let mut foreigner = Foreigner::connect(&node.address()).await;
    node.connected(foreigner.peer).await;
    let mut stream = foreigner.open("/watt/message/1").await.unwrap();
    // One burst is a second's worth, 2,000; the rest waits.
    let flood = tokio::spawn(async move {
        for _ in 0..2_500 {
            stream.write_all(b"\0\0\0\x01x").await.unwrap();
        }
        stream.flush().await.unwrap();
        stream
    });
    for _ in 0..2_500 {
        assert_eq!(node.message().await.1, b"x");
    }
    drop(flood.await.unwrap());
    assert!(node.net.counters().inbound_throttled > 0);
}

/// A peer that opens message streams without end loses them, and the node goes on. Covers: A6.
#[tokio::test]
async fn streams_without_end_are_refused() {
    let mut node = Node::start(config(1, &[TCP])).await;
    let mut foreigner = Foreigner::connect(&node.address()).await;
    node.connected(foreigner.peer).await;
    let mut streams = Vec::new();
    within("a refused stream", async {
        while node.net.counters().streams_refused == 0 {
            streams.push(foreigner.open("/watt/message/1").await.unwrap());
        }
    })
    .await;
    let mut friend = Node::start(config(2, &[])).await;
    friend.net.connect(node.address());
    friend.connected(node.peer()).await;
    friend
        .net
        .send(node.peer(), Bytes::from_static(b"hello"), Priority::Urgent)
        .unwrap();
    loop {
        if let Event::Message { from, .. } = node.next().await {
            assert_eq!(from, friend.peer());
            break;
        }
    }
}

/// A peer of another network, which offers none of our protocols, is let go.
#[tokio::test]
async fn a_peer_without_our_protocols_is_let_go() {
    let mut node = Node::start(config(1, &[QUIC])).await;
    let mut foreigner = Foreigner::connect_deaf(&node.address()).await;
    node.connected(foreigner.peer).await;
    node.disconnected(foreigner.peer).await;
    assert!(node.net.counters().peers_foreign > 0);
    let gone = foreigner.open("/watt/message/1").await;
    assert!(gone.is_err() || gone.unwrap().read(&mut [0; 1]).await.is_ok_and(|n| n == 0));
}
