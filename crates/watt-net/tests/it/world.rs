//! Nodes for the scenarios, and how to wait for what they report.

use std::{future::Future, time::Duration};

use watt_net::{Event, Events, Limits, Multiaddr, Net, NetConfig, PeerId, TransferStream, start};

/// Far longer than anything takes, even on a busy machine: reaching it is a failure, never a way to wait.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Waits for what must happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"))
}

pub(crate) fn config(seed: u8, listen: &[&str]) -> NetConfig {
    NetConfig {
        identity_seed: [seed; 32],
        listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
        bootstrap: Vec::new(),
        limits: Limits::default(),
    }
}

/// A running node.
pub(crate) struct Node {
    pub(crate) net: Net,
    pub(crate) events: Events,
}

impl Node {
    pub(crate) async fn start(config: NetConfig) -> Self {
        let (net, events) = start(config).await.unwrap();
        Self { net, events }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.net.local_peer()
    }

    pub(crate) fn address(&self) -> Multiaddr {
        self.net.listen_addresses().first().unwrap().clone()
    }

    pub(crate) async fn next(&mut self) -> Event {
        within("an event", self.events.next())
            .await
            .expect("the network stopped")
    }

    /// The next event must be this connection.
    pub(crate) async fn connected(&mut self, to: PeerId) {
        let event = self.next().await;
        assert!(matches!(event, Event::Connected(peer) if peer == to), "{event:?}");
    }

    /// The next event must be the end of this connection.
    pub(crate) async fn disconnected(&mut self, from: PeerId) {
        let event = self.next().await;
        assert!(
            matches!(event, Event::Disconnected(peer) if peer == from),
            "{event:?}"
        );
    }

    /// The next event must be a message.
    pub(crate) async fn message(&mut self) -> (PeerId, Vec<u8>) {
        match self.next().await {
            Event::Message { from, bytes } => (from, bytes.to_vec()),
            other => panic!("no message: {other:?}"),
        }
    }

    /// The next event must be a transfer.
    pub(crate) async fn transfer(&mut self) -> TransferStream {
        match self.next().await {
            Event::Transfer { stream, .. } => stream,
            other => panic!("no transfer: {other:?}"),
        }
    }
}

/// Two nodes; the second, with the given limits, has dialled the first.
pub(crate) async fn pair_with(transport: &str, limits: Limits) -> (Node, Node) {
    let mut a = Node::start(NetConfig {
        limits,
        ..config(1, &[transport])
    })
    .await;
    let mut b = Node::start(config(2, &[])).await;
    b.net.connect(a.address());
    b.connected(a.peer()).await;
    a.connected(b.peer()).await;
    (a, b)
}

pub(crate) async fn pair(transport: &str) -> (Node, Node) {
    pair_with(transport, Limits::default()).await
}

/// Reproducible noise (SplitMix64).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed.to_le_bytes()[4]
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.byte()).collect()
    }
}
