use watt_net::{NetConfig, StartError, start};

use crate::world::{Node, QUIC, TCP, config, pair, within};

/// A second node on a port learns which port it is and what to do, over TCP (whose port libp2p would share) and QUIC.
#[tokio::test]
async fn a_taken_port_is_named() {
    for transport in [TCP, QUIC] {
        let first = Node::start(config(1, &[transport])).await;
        let mut address = first.address();
        address.pop();
        let second = NetConfig {
            listen: vec![address.clone()],
            ..config(2, &[])
        };
        let error = start(second).await.map(drop).unwrap_err();
        assert!(
            matches!(&error, StartError::AddressTaken { address: named } if *named == address),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains("choose another port"),
            "{text}"
        );
    }
}

/// Addresses that can't work are refused at the start, with the form that would.
#[tokio::test]
async fn unusable_addresses_are_refused_at_once() {
    let listen = start(config(1, &["/ip4/127.0.0.1/tcp/0/ws"]))
        .await
        .map(drop)
        .unwrap_err();
    assert!(listen.to_string().contains("/ip4/<ip>/tcp/<port>"), "{listen}");
    let nobody = NetConfig {
        bootstrap: vec!["/ip4/127.0.0.1/tcp/4001".parse().unwrap()],
        ..config(1, &[])
    };
    let bootstrap = start(nobody).await.map(drop).unwrap_err();
    assert!(bootstrap.to_string().contains("/p2p/<peer>"), "{bootstrap}");
    let elsewhere = start(config(1, &["/ip4/192.0.2.1/tcp/0"]))
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(elsewhere, StartError::CannotListen { .. }),
        "{elsewhere}"
    );
}

/// A port is free again as soon as its node has stopped, even one that had connections.
#[tokio::test]
async fn a_port_is_free_after_shutdown() {
    for transport in [TCP, QUIC] {
        let (first, _friend) = pair(transport).await;
        let mut address = first.address();
        address.pop();
        first.net.shutdown().await;
        let second = Node::start(NetConfig {
            listen: vec![address.clone()],
            ..config(1, &[])
        })
        .await;
        assert!(second.address().to_string().starts_with(&address.to_string()));
    }
}

/// A node that drops its handles, or stops listening to events, leaves the network.
#[tokio::test]
async fn dropping_either_end_stops_the_network() {
    let (mut a, b) = pair(TCP).await;
    let (from, Node { net, mut events }) = (b.peer(), b);
    drop(net);
    a.disconnected(from).await;
    within("the end of b's events", async {
        while events.next().await.is_some() {}
    })
    .await;

    let (mut a, b) = pair(TCP).await;
    let (from, Node { net, events }) = (b.peer(), b);
    drop(events);
    a.disconnected(from).await;
    within("the end of b's network", net.shutdown()).await;
}
