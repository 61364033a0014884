//! From whom the statements of an entry are wanted: a few peers are enough, the others are asked not to pass them on.
//!
//! In a network in which everybody knows everybody each statement would come once from its own node and once from every other
//! peer. The first who bring an entry's statements are its sources here; whoever brings the same again is squelched for that entry
//! (the XRP Ledger's word for it). Sources change by themselves when another peer is first, when one leaves, when the head stands
//! still, and every few minutes.

use crate::consensus::Context;
use crate::effect::Priority;
use crate::event::PeerId;
use crate::message::{Message, SQUELCHED_MAX};
use std::collections::{BTreeMap, BTreeSet};
use watt_primitives::{BoundedVec, NodeId, Timestamp};

/// Peers from whom the statements of one entry are wanted.
pub(crate) const SOURCES: usize = 3;

/// How long sources are kept before all peers may show again how fast they are, in milliseconds.
const RENEW_MS: u64 = 300_000;

/// Sources of every entry, and what peers are asked not to pass on.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    of: BTreeMap<NodeId, Vec<PeerId>>,
    squelched: BTreeMap<PeerId, BTreeSet<NodeId>>,
    /// Peers that have to be told.
    changed: BTreeSet<PeerId>,
    /// Whether all have to be: what they were told before may have been lost.
    is_renewed: bool,
    renewed: Timestamp,
}

impl Sources {
    /// `from` was the first to bring a statement of `node`.
    pub(crate) fn came_first(&mut self, node: NodeId, from: PeerId) {
        let sources = self.of.entry(node).or_default();
        if !sources.contains(&from) {
            sources.truncate(SOURCES.saturating_sub(1));
            sources.insert(0, from);
        }
    }

    /// `from` brought a statement of `node` that was known already.
    pub(crate) fn came_again(&mut self, node: NodeId, from: PeerId) {
        let sources = self.of.entry(node).or_default();
        if sources.contains(&from) {
            return;
        }
        if sources.len() < SOURCES {
            sources.push(from);
        } else if self.squelched.entry(from).or_default().insert(node) {
            self.changed.insert(from);
        }
    }

    /// The peer is gone: the entries whose source it was need another.
    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        self.squelched.remove(&peer);
        self.changed.remove(&peer);
        let mut orphans = BTreeSet::new();
        for (node, sources) in &mut self.of {
            if sources.contains(&peer) {
                sources.retain(|source| *source != peer);
                orphans.insert(*node);
            }
        }
        for (peer, squelched) in &mut self.squelched {
            let n_before = squelched.len();
            squelched.retain(|node| !orphans.contains(node));
            if squelched.len() < n_before {
                self.changed.insert(*peer);
            }
        }
    }

    /// Everybody may pass on everything again.
    pub(crate) fn renew(&mut self, now: Timestamp) {
        self.renewed = now;
        self.of.clear();
        self.squelched.clear();
        self.is_renewed = true;
    }

    /// Tells peers what has changed for them, all at once.
    pub(crate) fn tell(&mut self, context: &mut Context<'_>) {
        if context.now.0.saturating_sub(self.renewed.0) >= RENEW_MS {
            self.renew(context.now);
        }
        if std::mem::take(&mut self.is_renewed) {
            self.changed.extend(context.peers.agreeing(None));
        }
        for peer in std::mem::take(&mut self.changed) {
            let squelched = self.squelched.get(&peer);
            let nodes = squelched.into_iter().flatten().copied();
            let nodes = BoundedVec::new(nodes.take(SQUELCHED_MAX).collect()).unwrap_or_default();
            context.send(peer, &Message::Squelch { nodes }, Priority::Urgent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;
    use crate::peers::Peers;
    use std::collections::BTreeMap;

    const NODE: NodeId = NodeId([1; 32]);

    /// What each peer is told now.
    fn told(sources: &mut Sources, now: u64) -> BTreeMap<u64, usize> {
        let mut peers = Peers::default();
        for peer in (1..=5).map(PeerId) {
            peers.connected(peer, Timestamp(0));
            peers.get_mut(peer).unwrap().wants_statements = true;
        }
        let mut effects = Vec::new();
        sources.tell(&mut Context {
            wall: Timestamp(0),
            now: Timestamp(now),
            peers: &peers,
            effects: &mut effects,
        });
        let squelched = |effect| {
            let Effect::Send { to, message, .. } = effect else {
                return None;
            };
            match Message::decode(&message) {
                Ok(Message::Squelch { nodes }) => Some((to.0, nodes.len())),
                Ok(_) | Err(_) => None,
            }
        };
        effects.into_iter().filter_map(squelched).collect()
    }

    fn five_bring_it(sources: &mut Sources) {
        sources.came_first(NODE, PeerId(1));
        for peer in 2..=5 {
            sources.came_again(NODE, PeerId(peer));
            sources.came_again(NODE, PeerId(peer));
        }
    }

    #[test]
    fn whoever_brings_what_three_have_brought_is_squelched_once() {
        let mut sources = Sources::default();
        five_bring_it(&mut sources);
        assert_eq!(told(&mut sources, 1), BTreeMap::from([(4, 1), (5, 1)]));
        assert_eq!(told(&mut sources, 2), BTreeMap::new());
    }

    #[test]
    fn a_source_that_leaves_frees_the_others() {
        let mut sources = Sources::default();
        five_bring_it(&mut sources);
        told(&mut sources, 1);
        sources.disconnected(PeerId(4));
        assert_eq!(told(&mut sources, 2), BTreeMap::new(), "4 was no source");
        sources.disconnected(PeerId(2));
        assert_eq!(told(&mut sources, 3), BTreeMap::from([(5, 0)]));
        sources.came_again(NODE, PeerId(5));
        sources.came_again(NODE, PeerId(6));
        assert_eq!(
            told(&mut sources, 4),
            BTreeMap::from([(6, 1)]),
            "5 is a source now"
        );
    }

    #[test]
    fn time_frees_everybody_and_all_are_told() {
        let mut sources = Sources::default();
        five_bring_it(&mut sources);
        told(&mut sources, 1);
        assert_eq!(told(&mut sources, RENEW_MS - 1), BTreeMap::new());
        let all: BTreeMap<u64, usize> = (1..=5).map(|peer| (peer, 0)).collect();
        assert_eq!(
            told(&mut sources, RENEW_MS),
            all,
            "what they were told before may be lost"
        );
    }

    /// Who is first although it was no source takes a source's place.
    #[test]
    fn whoever_is_faster_becomes_a_source() {
        let mut sources = Sources::default();
        five_bring_it(&mut sources);
        told(&mut sources, 1);
        sources.came_first(NODE, PeerId(7));
        sources.came_again(NODE, PeerId(7));
        sources.came_again(NODE, PeerId(3));
        assert_eq!(told(&mut sources, 2), BTreeMap::from([(3, 1)]));
    }
}
