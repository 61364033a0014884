//! Asks the nodes of the people whom this node's owner trusts which block they see (`docs/spec/light.md` §9), after agreement and beside
//! it: nothing that the node does for others waits for it.

use super::node_loop::Command;
use crate::api::NodeView;
use crate::api::circle::{CircleInfo, CircleView};
use crate::client::wire::{Wire, WireError};
use crate::keyfile;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use watt_ledger::{StateRead, query};
use watt_light::BlockName;
use watt_light::circle::Witnesses;
use watt_net::{Multiaddr, Net, PeerId};
use watt_primitives::id::AddressKind;
use watt_primitives::{AccountId, BlockHeight, Hash, NetworkId, NodeId};

/// The longest pause between two rounds of questions, and the shortest, in milliseconds; else a slot.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 1_000..=5_000;

/// How long one person's node has to answer, in milliseconds.
const PATIENCE_MS: u64 = 5_000;

/// A person's node, where the ledger says it is.
#[derive(Clone, Debug)]
struct Place {
    peer: PeerId,
    /// What it signs with, as its peer id says.
    key: NodeId,
    addresses: Vec<Multiaddr>,
}

/// The people of a circle.
#[derive(Debug, Default)]
struct People {
    /// All of them.
    n_people: usize,
    /// Those whose nodes can be asked.
    nodes: BTreeMap<AccountId, Place>,
    /// Those who hold seats: what they sign stands under the blocks.
    seated: BTreeSet<AccountId>,
}

impl People {
    /// The circle of `owner` in a state.
    fn of(state: &impl StateRead, owner: &AccountId) -> Self {
        let Some(head) = query::head(state) else {
            return Self::default();
        };
        let seats = query::deciders(state);
        let mut people = Self::default();
        for edge in query::circle(state, owner).live(head.ledger_time) {
            let person = edge.to;
            people.n_people = people.n_people.saturating_add(1);
            let place = query::provider(state, &person).and_then(|provider| {
                let endpoint = provider.row.endpoint;
                let addresses = endpoint.addresses.iter();
                let peer: PeerId = endpoint.peer_id.as_str().parse().ok()?;
                Some(Place {
                    peer,
                    key: NodeId(watt_net::public_key(&peer)?),
                    addresses: addresses.filter_map(|text| text.as_str().parse().ok()).collect(),
                })
            });
            people.nodes.extend(place.map(|place| (person, place)));
            if seats
                .as_ref()
                .is_some_and(|seats| seats.of_account(&person).is_some())
            {
                people.seated.insert(person);
            }
        }
        people
    }

    fn all(&self) -> BTreeSet<AccountId> {
        self.nodes.keys().chain(&self.seated).copied().collect()
    }
}

/// Asks for as long as the node runs.
pub(crate) struct Watch {
    pub(crate) owner: AccountId,
    pub(crate) node: Arc<dyn NodeView>,
    pub(crate) net: Net,
    /// Shows what was said.
    pub(crate) show: Box<dyn Fn(CircleInfo) + Send + Sync>,
    /// The height about which the node's loop wants to hear of the circle.
    pub(crate) wanted: watch::Receiver<Option<BlockHeight>>,
    /// Whom to tell then: none unless the circle is a part of the node's quorum set.
    pub(crate) tell: Option<mpsc::Sender<Command>>,
}

impl Watch {
    pub(crate) async fn run(self) {
        let slot_ms = self.node.genesis().parameters.slot_ms;
        let pause = Duration::from_millis(slot_ms.clamp(*PAUSE_MS.start(), *PAUSE_MS.end()));
        let mut witnesses = Witnesses::default();
        let mut wanted = self.wanted.clone();
        let mut ended = std::pin::pin!(self.node.stopped());
        loop {
            wanted.mark_unchanged();
            tokio::select! {
                _ = &mut ended => return,
                () = self.round(&mut witnesses, slot_ms) => {}
            }
            // Blocks that begin to wait for the circle do not wait for the pause, too.
            tokio::select! {
                _ = &mut ended => return,
                () = tokio::time::sleep(pause) => {}
                Ok(()) = wanted.changed(), if self.tell.is_some() => {}
            }
        }
    }

    /// Asks everybody once, and shows what they said.
    async fn round(&self, witnesses: &mut Witnesses<AccountId>, slot_ms: u64) {
        let (state, owner) = (self.node.state(), self.owner);
        let people = tokio::task::spawn_blocking(move || state.read(|rows| People::of(rows, &owner)));
        let Ok(Ok(people)) = people.await else { return };
        witnesses.set_people(people.all());
        let newest = self.node.head().height.previous();
        let wanted = self.tell.as_ref().and(*self.wanted.borrow());
        let mut words = Vec::new();
        if witnesses.needed().is_some() {
            for (person, block) in self.signed(&people).await {
                let own = self.own_hash(block.height).await;
                witnesses.hear(person, block, own);
            }
            let heights: Vec<BlockHeight> = [newest].into_iter().chain(wanted).collect();
            let network = self.node.network();
            let asked = people.nodes.iter().map(|(person, place)| {
                let heights = &heights;
                async move { (*person, place, ask(&self.net, network, place, heights).await) }
            });
            for (person, place, blocks) in join_all(asked).await {
                match blocks.as_deref() {
                    Ok([block, rest @ ..]) => {
                        let own = self.own_hash(block.height).await;
                        witnesses.hear(person, *block, own);
                        words.extend(rest.iter().map(|block| (place.key, *block)));
                    }
                    Ok([]) => {}
                    Err(error) => tracing::debug!(%person, %error, "no word of somebody in the circle"),
                }
            }
        }
        if let Some(tell) = &self.tell {
            let nodes = people.nodes.values().map(|place| place.key).collect();
            // A loop that has ended wants to hear nothing.
            drop(tell.send(Command::Circle { nodes, words }).await);
        }
        let kind = if self.node.genesis().is_main {
            AddressKind::Main
        } else {
            AddressKind::Test
        };
        (self.show)(CircleInfo::of(&CircleView {
            kind,
            people: people.n_people,
            witnesses,
            newest,
            slot_ms,
        }));
    }

    /// What the people with seats signed under the newest block: that it, and so the one below, was decided.
    async fn signed(&self, people: &People) -> Vec<(AccountId, BlockName)> {
        let head = self.node.head();
        let (seated, node) = (people.seated.clone(), Arc::clone(&self.node));
        let find = move || {
            let (block, _) = node.block(head.height).ok().flatten()?;
            let term = node.genesis().parameters.terms().of_height(head.height);
            let backbone = node.state().read(|rows| query::backbone_of_term(rows, term));
            let backbone = backbone.ok().flatten()?;
            let below = BlockName {
                height: head.height.previous(),
                hash: head.parent,
            };
            let holder = |key: &NodeId| {
                let successor = || block.successions.iter().find(|one| one.key == *key);
                let entry = backbone.of_key(key).map(|entry| entry.account);
                entry.or_else(|| successor().map(|one| one.account))
            };
            let signers = block
                .decision
                .iter()
                .filter_map(|one| holder(&one.statement.node));
            let ours = signers.filter(|person| seated.contains(person));
            Some(ours.map(|person| (person, below)).collect())
        };
        let found: Result<Option<Vec<_>>, _> = tokio::task::spawn_blocking(find).await;
        found.ok().flatten().unwrap_or_default()
    }

    /// The hash of the final block of this height here.
    async fn own_hash(&self, height: BlockHeight) -> Option<Hash> {
        let node = Arc::clone(&self.node);
        let own = tokio::task::spawn_blocking(move || node.newest(&Hash::ZERO, Some(height)));
        let own = own.await.ok()?.ok()?;
        (own.block.height == height).then_some(own.block.hash)
    }
}

/// What a node names when it is asked about each of these heights.
async fn ask(
    net: &Net,
    network: NetworkId,
    place: &Place,
    heights: &[BlockHeight],
) -> Result<Vec<BlockName>, WireError> {
    let asking = async {
        let mut wire = Wire::reach(net, network, place.peer, &place.addresses).await?;
        let mut blocks = Vec::new();
        for at in heights {
            let luck = keyfile::random_bytes().map_err(|error| std::io::Error::other(error.message))?;
            let nonce = Hash(luck);
            let word = wire.newest(nonce, Some(*at)).await?;
            if !word.is_of(&network, &nonce, &place.key) {
                return Err(WireError::BadSignature);
            }
            blocks.push(word.block);
        }
        Ok(blocks)
    };
    tokio::time::timeout(Duration::from_millis(PATIENCE_MS), asking)
        .await
        .unwrap_or_else(|_| Err(WireError::Broken(std::io::ErrorKind::TimedOut.into())))
}

#[cfg(test)]
mod tests;
