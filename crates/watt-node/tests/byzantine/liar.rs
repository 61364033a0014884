//! A validator that lies: it holds a real voting key, speaks the real protocol over real sockets, and tells the others contradictory
//! things.

use crate::network::Network;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use watt_engine::message::Message;
use watt_ledger::Genesis;
use watt_ledger::genesis::GENESIS_BYTES_MAX;
use watt_light::{Proposal, SignedProposal};
use watt_net::{Event, Events, Limits, Net, NetConfig, PeerId, Priority};
use watt_primitives::{BlockHeight, BoundedVec, Hash, NetworkId, SecretKey, SharedBytes, SlotIndex, codec};
use watt_scp::{Ballot, Envelope, Pledges, Statement, Value};

/// The process that lies, as the story sees it; it ends with this value.
pub(crate) struct Liar {
    process: Child,
    /// What it says of itself: a line for each slot.
    said: PathBuf,
}

impl Liar {
    /// Kills the node called `name`; a liar with its keys and its place in the network lies in every slot from now on.
    pub(crate) fn in_place_of(network: &Network, name: &str) -> Self {
        network.kill(name);
        let said = network.path("liar.out");
        let process = Command::new(std::env::current_exe().unwrap())
            .arg("lie")
            .arg(network.node_dir(name))
            .arg(network.path("net/genesis.cbor"))
            .stdin(Stdio::piped())
            .stdout(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self { process, said }
    }

    /// Slots in which it has lied.
    pub(crate) fn n_slots(&self) -> usize {
        std::fs::read_to_string(&self.said).unwrap().lines().count()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The process: lies in the place of the node whose folder this is, until whoever started it is gone.
pub(crate) fn live(dir: &Path, genesis: &Path) {
    std::thread::spawn(|| {
        // Its standard input ends with whoever started it, however that ends.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        std::process::exit(0);
    });
    let key = watt_node::keyfile::read(&dir.join("voting.key")).unwrap();
    let identity_seed = *watt_node::keyfile::read_seed(&dir.join("network.key"))
        .unwrap()
        .expose();
    let config: toml::Table = std::fs::read_to_string(dir.join("config.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let bootstrap = config["node"]["bootstrap"].as_array().unwrap();
    let config = NetConfig {
        identity_seed,
        listen: Vec::new(),
        bootstrap: bootstrap
            .iter()
            .map(|address| address.as_str().unwrap().parse().unwrap())
            .collect(),
        limits: Limits::default(),
    };
    let genesis: Genesis = codec::decode(&std::fs::read(genesis).unwrap(), GENESIS_BYTES_MAX).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let (net, events) = watt_net::start(config).await.unwrap();
        let lying = Lying {
            net,
            events,
            network: genesis.network(),
            quorum_set: genesis.quorum_set().hash(&genesis.network()),
            key,
            peers: Vec::new(),
            told: SlotIndex(0),
            passed: BTreeSet::new(),
        };
        lying.live().await;
    });
}

/// The liar itself.
struct Lying {
    net: Net,
    events: Events,
    network: NetworkId,
    key: SecretKey,
    quorum_set: Hash,
    peers: Vec<PeerId>,
    told: SlotIndex,
    /// Statements of the slot that were passed on.
    passed: BTreeSet<Statement>,
}

impl Lying {
    async fn live(mut self) {
        while let Some(event) = self.events.next().await {
            match event {
                Event::Connected(peer) => {
                    self.peers.push(peer);
                    let hello = Message::Hello {
                        network: self.network,
                        height: BlockHeight(0),
                        wants_statements: true,
                    };
                    self.say(&hello, &[peer]);
                }
                Event::Disconnected(peer) => self.peers.retain(|other| *other != peer),
                Event::Message { bytes, .. } => {
                    if let Ok(Message::Statement { envelope, proposals }) = Message::decode(&bytes) {
                        self.heard(*envelope, proposals.into_inner());
                    }
                }
                Event::Transfer { .. } => {}
            }
        }
    }

    /// Passes a statement on without the proposals behind it; and lies, once in each slot.
    fn heard(&mut self, envelope: Envelope, proposals: Vec<SignedProposal>) {
        let slot = envelope.statement.slot;
        if !self.passed.insert(envelope.statement.clone()) {
            return;
        }
        let stripped = Message::Statement {
            envelope: Box::new(envelope),
            proposals: BoundedVec::empty(),
        };
        self.say(&stripped, &self.peers);
        let known = proposals.into_iter().find(|known| known.proposal.slot == slot);
        if let Some(known) = known.filter(|_| slot > self.told) {
            self.told = slot;
            self.passed.retain(|statement| statement.slot >= slot);
            self.lie(&known.proposal);
            println!("lied in slot {slot}");
        }
    }

    /// Proposes twice, and tells one half of the others that it votes for, prepares and commits one proposal, the other half the same
    /// of the other.
    fn lie(&self, like: &Proposal) {
        let (left, right) = self.peers.split_at(self.peers.len() / 2);
        for (later_ms, half) in [(1, left), (2, right)] {
            let (body_root, n_transactions, body_bytes) =
                watt_ledger::Body::empty(&self.network).description();
            let proposal = Proposal {
                close_time: like.close_time.plus(later_ms),
                body_root,
                n_transactions,
                body_bytes,
                proposer: self.key.node_id(),
                ..like.clone()
            };
            let value = proposal.value();
            let signed = proposal.sign(&self.key);
            for pledges in lies_about(value) {
                let statement = Statement {
                    node: self.key.node_id(),
                    slot: like.slot,
                    quorum_set: self.quorum_set,
                    pledges,
                };
                let message = Message::Statement {
                    envelope: Box::new(Envelope::sign(statement, &self.key, &self.network)),
                    proposals: BoundedVec::new(vec![signed.clone()]).unwrap(),
                };
                self.say(&message, half);
            }
            let body = SharedBytes::new(watt_ledger::block::encode_body(&[], &[]).into()).unwrap();
            self.say(&Message::Body { value, body }, half);
        }
    }

    fn say(&self, message: &Message, to: &[PeerId]) {
        let priority = if matches!(message, Message::Body { .. }) {
            Priority::Bulk
        } else {
            Priority::Urgent
        };
        for peer in to {
            // A peer that is gone, or has no room, does not hear it.
            let _ = self.net.send(*peer, message.encode().into(), priority);
        }
    }
}

/// Everything that can be said for one value: nominated, prepared, committed.
fn lies_about(value: Value) -> [Pledges; 3] {
    let values = || BoundedVec::new(vec![value]).unwrap();
    let ballot = Ballot { counter: 1, value };
    [
        Pledges::Nominate {
            votes: values(),
            accepted: values(),
        },
        Pledges::Prepare {
            ballot,
            prepared: Some(ballot),
            prepared_prime: None,
            c_counter: 0,
            h_counter: 0,
        },
        Pledges::Confirm {
            ballot,
            prepared_counter: 1,
            c_counter: 1,
            h_counter: 1,
        },
    ]
}
