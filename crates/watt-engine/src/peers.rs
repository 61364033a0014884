//! Who is connected and what they told of themselves.

use crate::event::PeerId;
use crate::quota::{Bucket, MESSAGES, TRANSACTIONS, UPLOAD};
use std::collections::{BTreeMap, BTreeSet};
use watt_primitives::{BlockHeight, NodeId, Timestamp};

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Head it last told of; `None` before its hello.
    pub(crate) height: Option<BlockHeight>,
    /// Whether its hello has come.
    pub(crate) is_greeted: bool,
    /// Whether it takes part in agreement.
    pub(crate) wants_statements: bool,
    /// Entries whose statements it has from others.
    pub(crate) squelched: BTreeSet<NodeId>,
    /// Long messages of it that are being decoded beside the loop.
    pub(crate) n_decoding: u8,
    /// Bucket for statements and requests.
    pub(crate) urgent: Bucket,
    /// Bucket for transactions, bodies and blocks.
    pub(crate) bulk: Bucket,
    /// Bucket for each transaction of a message.
    pub(crate) transactions: Bucket,
    /// Bucket for bytes sent because it asked.
    pub(crate) upload: Bucket,
}

/// All connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(BTreeMap<PeerId, Peer>);

impl Peers {
    pub(crate) fn connected(&mut self, id: PeerId, now: Timestamp) {
        self.0.insert(
            id,
            Peer {
                height: None,
                is_greeted: false,
                wants_statements: false,
                squelched: BTreeSet::new(),
                n_decoding: 0,
                urgent: Bucket::full(MESSAGES, now),
                bulk: Bucket::full(MESSAGES, now),
                transactions: Bucket::full(TRANSACTIONS, now),
                upload: Bucket::full(UPLOAD, now),
            },
        );
    }

    pub(crate) fn disconnected(&mut self, id: PeerId) {
        self.0.remove(&id);
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.0.get_mut(&id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.0.keys().copied()
    }

    /// Peers that take part in agreement, without `except`.
    pub(crate) fn agreeing(&self, except: Option<PeerId>) -> impl Iterator<Item = PeerId> + '_ {
        self.0
            .iter()
            .filter(move |(id, peer)| peer.wants_statements && Some(**id) != except)
            .map(|(id, _)| *id)
    }

    /// `n` of those, from the one at `turn` on, around and around.
    pub(crate) fn in_turn(&self, turn: usize, n: usize) -> Vec<PeerId> {
        let all: Vec<PeerId> = self.agreeing(None).collect();
        let first = turn.checked_rem(all.len()).unwrap_or(0);
        all.iter()
            .cycle()
            .skip(first)
            .take(n.min(all.len()))
            .copied()
            .collect()
    }

    /// Of those the ones that want statements of `node` from here.
    pub(crate) fn relayed_to(&self, node: NodeId, except: PeerId) -> impl Iterator<Item = PeerId> + '_ {
        self.agreeing(Some(except))
            .filter(move |id| self.0.get(id).is_some_and(|peer| !peer.squelched.contains(&node)))
    }

    /// Peers to whom transactions are passed on, without `except`: those that take part in agreement, and if there are none all
    /// that have said hello, who may know some that do.
    pub(crate) fn towards_agreement(&self, except: Option<PeerId>) -> Vec<PeerId> {
        let is_any_agreeing = self.agreeing(None).next().is_some();
        self.0
            .iter()
            .filter(|(_, peer)| peer.wants_statements || (!is_any_agreeing && peer.height.is_some()))
            .map(|(id, _)| *id)
            .filter(|id| Some(*id) != except)
            .collect()
    }

    pub(crate) fn has(&self, id: PeerId) -> bool {
        self.0.contains_key(&id)
    }

    /// Peers that told of a head of at least `height`, with what they told.
    pub(crate) fn at_least(&self, height: BlockHeight) -> Vec<(BlockHeight, PeerId)> {
        self.0
            .iter()
            .filter_map(|(id, peer)| peer.height.filter(|h| *h >= height).map(|h| (h, *id)))
            .collect()
    }

    /// The highest head any peer told of.
    pub(crate) fn height_max(&self) -> BlockHeight {
        self.0
            .values()
            .filter_map(|peer| peer.height)
            .max()
            .unwrap_or_default()
    }
}
