//! The weather between validators: every link of a devnet goes through a relay of this test, which delays, loses and cuts.
//!
//! Nodes speak QUIC here, so what is delayed or lost is a datagram, as on the internet, and the node's own QUIC has to cope: a lost
//! one is really gone. Each ordered pair has a relay of its own, whose address the dialling node has in its configuration in place
//! of the other's. Nothing but loopback is needed.

use crate::network::{Network, Node};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Datagrams that wait in one relay; beyond it they are lost, as in a router.
const QUEUE_MAX: usize = 4_096;

/// How datagrams fare now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    /// One way, so an answer takes twice as long.
    pub(crate) delay: Duration,
    /// Datagrams lost in each direction, in thousandths.
    pub(crate) loss_permille: u64,
}

/// What all relays look at.
struct Air {
    conditions: Conditions,
    cut: BTreeSet<(String, String)>,
}

/// Relays on every link; they end with this value.
pub(crate) struct Weather {
    air: Arc<Mutex<Air>>,
    runtime: Runtime,
}

/// Which way a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From who dialled.
    Out,
    /// Back.
    Back,
}

impl Weather {
    /// Puts relays on all links between the validators of `network`, and starts these anew with the relays' addresses.
    pub(crate) fn over(network: &Network) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let air = Arc::new(Mutex::new(Air {
            conditions: Conditions {
                delay: Duration::ZERO,
                loss_permille: 0,
            },
            cut: BTreeSet::new(),
        }));
        let weather = Self { air, runtime };
        for node in &network.nodes {
            network.kill(&node.name);
        }
        for from in &network.nodes {
            let path = network.node_dir(&from.name).join("config.toml");
            let mut config = std::fs::read_to_string(&path).unwrap();
            for to in network.nodes.iter().filter(|to| to.name != from.name) {
                let direct = format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", to.p2p_port, to.peer_id);
                assert!(
                    config.contains(&direct),
                    "{} does not dial {}",
                    from.name,
                    to.name
                );
                config = config.replace(&direct, &weather.relay(from, to));
            }
            std::fs::write(&path, config).unwrap();
        }
        for node in &network.nodes {
            network.start(&node.name);
        }
        for node in &network.nodes {
            network.wait_node_ready(&node.name);
        }
        weather
    }

    pub(crate) fn set(&self, conditions: Conditions) {
        self.air.lock().unwrap().conditions = conditions;
    }

    /// From now on no datagram passes between the two groups.
    pub(crate) fn cut(&self, left: &[String], right: &[String]) {
        let pairs = left
            .iter()
            .flat_map(|a| right.iter().flat_map(move |b| [(a, b), (b, a)]));
        let cut = pairs.map(|(a, b)| (a.clone(), b.clone())).collect();
        self.air.lock().unwrap().cut = cut;
    }

    pub(crate) fn heal(&self) {
        self.air.lock().unwrap().cut.clear();
    }

    /// Starts a relay from one node to another; the address to dial.
    fn relay(&self, from: &Node, to: &Node) -> String {
        let target = SocketAddr::from(([127, 0, 0, 1], to.p2p_port));
        let (front, back) = self.runtime.block_on(async {
            let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            (UdpSocket::bind("127.0.0.1:0").await.unwrap(), back)
        });
        let port = front.local_addr().unwrap().port();
        let relay = Relay {
            front,
            back,
            target,
            link: (from.name.clone(), to.name.clone()),
            air: Arc::clone(&self.air),
            dialler: None,
            waiting: VecDeque::new(),
            luck: u64::from(port),
        };
        drop(self.runtime.spawn(relay.run()));
        format!("/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/{}", to.peer_id)
    }
}

struct Relay {
    /// Where the dialling node sends to.
    front: UdpSocket,
    /// From where the dialled node hears it.
    back: UdpSocket,
    target: SocketAddr,
    link: (String, String),
    air: Arc<Mutex<Air>>,
    /// The dialling node's address, once it is known.
    dialler: Option<SocketAddr>,
    waiting: VecDeque<(Instant, Way, Vec<u8>)>,
    luck: u64,
}

impl Relay {
    async fn run(mut self) {
        let (mut out, mut back) = (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
        loop {
            let due = self.waiting.front().map(|(due, ..)| *due);
            tokio::select! {
                // An error is the echo of an earlier datagram to a node that is down.
                heard = self.front.recv_from(&mut out) => if let Ok((n_bytes, from)) = heard {
                    self.dialler = Some(from);
                    self.take(Way::Out, &out[..n_bytes]);
                },
                heard = self.back.recv_from(&mut back) => if let Ok((n_bytes, from)) = heard
                    && from == self.target
                {
                    self.take(Way::Back, &back[..n_bytes]);
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.pass().await,
            }
        }
    }

    fn take(&mut self, way: Way, datagram: &[u8]) {
        let conditions = self.air.lock().unwrap().conditions;
        let is_lost = self.random() % 1_000 < conditions.loss_permille;
        if !is_lost && self.waiting.len() < QUEUE_MAX {
            let due = Instant::now() + conditions.delay;
            self.waiting.push_back((due, way, datagram.to_vec()));
        }
    }

    /// Sends what is due, unless the link is cut.
    async fn pass(&mut self) {
        while let Some((_, way, datagram)) = self.waiting.pop_front_if(|(due, ..)| *due <= Instant::now()) {
            let is_cut = self.air.lock().unwrap().cut.contains(&self.link);
            let to = match way {
                Way::Out => Some((&self.back, self.target)),
                Way::Back => self.dialler.map(|dialler| (&self.front, dialler)),
            };
            if let Some((socket, to)) = to.filter(|_| !is_cut) {
                // Whoever can't be reached just now has lost it.
                drop(socket.send_to(&datagram, to).await);
            }
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): the same weather in every run, as far as the nodes do the same.
    fn random(&mut self) -> u64 {
        self.luck = self.luck.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.luck;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
