//! A peer that speaks the protocol, and need not mean well.

use crate::network::Network;
use crate::wait::PATIENCE;
use std::time::Duration;
use watt_engine::message::Message;
use watt_net::{Event, Events, Limits, Multiaddr, Net, NetConfig, PeerId, Priority, SendRefused};

/// How long it waits for room in its own queue to the node.
const BREATH: Duration = Duration::from_millis(5);

/// How long a dial may take before it is tried again.
const REDIAL: Duration = Duration::from_secs(2);

/// A connection to one node of a devnet.
pub(crate) struct Stranger {
    net: Net,
    events: Events,
    address: Multiaddr,
    peer: PeerId,
}

impl Stranger {
    /// Connects to `name` as a peer of an identity of its own.
    pub(crate) async fn meet(network: &Network, name: &str, seed: u8) -> Self {
        let node = network.node(name);
        let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", node.p2p_port, node.peer_id);
        let config = NetConfig {
            identity_seed: [seed; 32],
            listen: Vec::new(),
            bootstrap: Vec::new(),
            limits: Limits::default(),
        };
        let (net, mut events) = watt_net::start(config).await.unwrap();
        let address: Multiaddr = address.parse().unwrap();
        let peer = reach(&net, &mut events, &address).await;
        Self {
            net,
            events,
            address,
            peer,
        }
    }

    /// Sends bytes; whenever the node has hung up, connects again.
    pub(crate) async fn insist(&mut self, bytes: Vec<u8>, priority: Priority) {
        while !self.say(bytes.clone(), priority).await {
            reach(&self.net, &mut self.events, &self.address).await;
        }
    }

    /// Sends bytes, waiting for room; false once the node has hung up.
    pub(crate) async fn say(&mut self, bytes: Vec<u8>, priority: Priority) -> bool {
        loop {
            match self.net.send(self.peer, bytes.clone().into(), priority) {
                Ok(()) => return true,
                Err(SendRefused::NotConnected(_)) => return false,
                Err(SendRefused::QueueFull(_)) => {
                    drop(tokio::time::timeout(BREATH, self.events.next()).await);
                }
                Err(refused) => panic!("{refused}"),
            }
        }
    }

    /// Waits for a message that `pick` takes something from.
    pub(crate) async fn hear<T>(&mut self, mut pick: impl FnMut(Message) -> Option<T>) -> T {
        let heard = async {
            loop {
                if let Some(Event::Message { bytes, .. }) = self.events.next().await
                    && let Some(picked) = Message::decode(&bytes).ok().and_then(&mut pick)
                {
                    return picked;
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.unwrap()
    }

    /// Waits until the node has hung up.
    pub(crate) async fn wait_cut_off(&mut self) {
        let cut_off = async {
            loop {
                if let Some(Event::Disconnected(_)) = self.events.next().await {
                    return;
                }
            }
        };
        let cut_off = tokio::time::timeout(PATIENCE, cut_off).await;
        assert!(cut_off.is_ok(), "never cut off: {:?}", self.net.counters());
    }

    pub(crate) async fn leave(self) {
        self.net.shutdown().await;
    }
}

/// Dials until connected.
async fn reach(net: &Net, events: &mut Events, address: &Multiaddr) -> PeerId {
    let connected = async {
        loop {
            net.connect(address.clone());
            let event = tokio::time::timeout(REDIAL, events.next()).await;
            if let Ok(Some(Event::Connected(peer))) = event {
                return peer;
            }
        }
    };
    let reached = tokio::time::timeout(PATIENCE, connected).await;
    reached.unwrap_or_else(|_| panic!("the node is not to be reached: {:?}", net.counters()))
}
