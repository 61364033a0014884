//! A validator that lies: it holds a real voting key, speaks the real protocol over real sockets, and tells the others contradictory
//! things.

use crate::network::Network;
use crate::weather::Weather;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use watt_engine::message::Message;
use watt_ledger::Genesis;
use watt_ledger::genesis::GENESIS_BYTES_MAX;
use watt_light::{Proposal, SignedProposal};
use watt_net::{Event, Events, Limits, Net, NetConfig, PeerId, Priority};
use watt_primitives::{BlockHeight, BoundedVec, Hash, NetworkId, SecretKey, SharedBytes, SlotIndex, codec};
use watt_scp::{Ballot, Envelope, Pledges, Statement, Value};

/// Tells a liar to stop, and how far it got.
pub(crate) struct Leash {
    /// Slots in which it has lied.
    pub(crate) slots: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Leash {
    /// From now on the liar says nothing.
    pub(crate) fn silence(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

/// The liar in the place of one validator.
struct Liar {
    net: Net,
    events: Events,
    network: NetworkId,
    key: SecretKey,
    quorum_set: Hash,
    peers: Vec<PeerId>,
    told: SlotIndex,
    /// Statements of the slot that were passed on.
    passed: BTreeSet<Statement>,
    slots: Arc<AtomicU64>,
}

/// Kills the node called `name`; a liar with its keys and its place in the network lies in every slot from now on.
pub(crate) fn usurp(network: &Network, weather: &Weather, name: &str) -> Leash {
    network.kill(name);
    let dir = network.node_dir(name);
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
    let genesis = std::fs::read(network.path("net/genesis.cbor")).unwrap();
    let genesis: Genesis = codec::decode(&genesis, GENESIS_BYTES_MAX).unwrap();
    let leash = Leash {
        slots: Arc::default(),
        is_over: Arc::default(),
    };
    let (slots, is_over) = (Arc::clone(&leash.slots), Arc::clone(&leash.is_over));
    weather.spawn(async move {
        let (net, events) = watt_net::start(config).await.unwrap();
        let liar = Liar {
            net,
            events,
            network: genesis.network(),
            quorum_set: genesis.quorum_set().hash(&genesis.network()),
            key,
            peers: Vec::new(),
            told: SlotIndex(0),
            passed: BTreeSet::new(),
            slots,
        };
        liar.live(&is_over).await;
    });
    leash
}

impl Liar {
    async fn live(mut self, is_over: &AtomicBool) {
        while let Some(event) = self.events.next().await {
            if is_over.load(Ordering::SeqCst) {
                break;
            }
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
        self.net.shutdown().await;
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
            self.slots.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Proposes twice, and tells one half of the others that it votes for, prepares and commits one proposal, the other half the same
    /// of the other.
    fn lie(&self, like: &Proposal) {
        let (left, right) = self.peers.split_at(self.peers.len() / 2);
        for (later_ms, half) in [(1, left), (2, right)] {
            let (body_root, n_transactions, body_bytes) =
                watt_ledger::Body::new(&self.network, Vec::new()).description();
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
            let body = SharedBytes::new(watt_ledger::block::encode_body(&[]).into()).unwrap();
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
