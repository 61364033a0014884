use watt_net::{Event, NetConfig, Priority};

use crate::world::{Node, QUIC, TCP, config, within};

/// A bootstrap peer that stops and comes back is found again, without being asked.
#[tokio::test]
async fn a_restarted_peer_is_found_again() {
    for transport in [TCP, QUIC] {
        let mut server = Node::start(config(1, &[transport])).await;
        let address = server.address();
        let mut listen = address.clone();
        listen.pop();
        let wanted = NetConfig {
            bootstrap: vec![address.clone()],
            ..config(2, &[])
        };
        let mut client = Node::start(wanted).await;
        for round in 0..3_u8 {
            client.connected(server.peer()).await;
            server.connected(client.peer()).await;
            client
                .net
                .send(server.peer(), vec![round; 3].into(), Priority::Urgent)
                .unwrap();
            assert_eq!(server.message().await.1, vec![round; 3]);
            server.net.shutdown().await;
            client.disconnected(watt_net::peer_id([1; 32])).await;
            server = Node::start(NetConfig {
                listen: vec![listen.clone()],
                ..config(1, &[])
            })
            .await;
        }
    }
}

/// A bootstrap peer that is not there yet is dialled until it is.
#[tokio::test]
async fn a_late_peer_is_found() {
    let early = Node::start(config(1, &[TCP])).await;
    let address = early.address();
    let mut listen = address.clone();
    listen.pop();
    early.net.shutdown().await;
    let mut client = Node::start(NetConfig {
        bootstrap: vec![address],
        ..config(2, &[])
    })
    .await;
    within("some failed dials", async {
        while client.net.counters().dials_failed < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let server = Node::start(NetConfig {
        listen: vec![listen],
        ..config(1, &[])
    })
    .await;
    client.connected(server.peer()).await;
}

/// Nodes that all have the same bootstrap list, their own address in it, form a full mesh.
#[tokio::test]
async fn a_shared_bootstrap_list_makes_a_mesh() {
    let mut nodes = Vec::new();
    let mut bootstrap = Vec::new();
    for seed in 1..=5 {
        let node = Node::start(config(seed, &[TCP])).await;
        bootstrap.push(node.address());
        node.net.shutdown().await;
    }
    for (seed, address) in (1..=5).zip(&bootstrap) {
        let mut listen = address.clone();
        listen.pop();
        let config = NetConfig {
            listen: vec![listen],
            bootstrap: bootstrap.clone(),
            ..config(seed, &[])
        };
        nodes.push(Node::start(config).await);
    }
    for node in &mut nodes {
        for _ in 0..4 {
            let event = node.next().await;
            assert!(matches!(event, Event::Connected(_)), "{event:?}");
        }
        assert_eq!(node.net.peers().len(), 4);
    }
}

/// A name is looked up each time it is dialled.
#[tokio::test]
async fn names_are_resolved() {
    let server = Node::start(config(1, &[TCP])).await;
    let by_name = server
        .address()
        .to_string()
        .replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let wanted = NetConfig {
        bootstrap: vec![by_name.parse().unwrap()],
        ..config(2, &[])
    };
    let mut client = Node::start(wanted).await;
    client.connected(server.peer()).await;
}
