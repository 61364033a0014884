//! Who is connected and what they told of themselves.

use crate::event::PeerId;
use crate::quota::Bucket;
use std::collections::BTreeMap;
use watt_primitives::{BlockHeight, Timestamp};

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Head it last told of; `None` before its hello.
    pub(crate) height: Option<BlockHeight>,
    /// Whether it takes part in agreement.
    pub(crate) wants_statements: bool,
    /// Bucket for statements and requests.
    pub(crate) urgent: Bucket,
    /// Bucket for transactions, bodies and blocks.
    pub(crate) bulk: Bucket,
}

/// All connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers(BTreeMap<PeerId, Peer>);

impl Peers {
    pub(crate) fn connected(&mut self, id: PeerId, now: Timestamp) {
        let bucket = Bucket::full(now);
        self.0.insert(
            id,
            Peer {
                height: None,
                wants_statements: false,
                urgent: bucket,
                bulk: bucket,
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

    /// Peers whose head is at least `height`, highest first.
    pub(crate) fn at_least(&self, height: BlockHeight) -> Vec<PeerId> {
        let mut ahead: Vec<_> = self
            .0
            .iter()
            .filter_map(|(id, peer)| peer.height.filter(|h| *h >= height).map(|h| (h, *id)))
            .collect();
        ahead.sort_unstable_by(|a, b| b.cmp(a));
        ahead.into_iter().map(|(_, id)| id).collect()
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
