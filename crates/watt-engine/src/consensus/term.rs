//! One instance of SCP per term, with that term's quorum set and this node's key of it (`docs/spec/node.md` §10).

use super::Consensus;
use crate::backbones::{Backbones, Deciders};
use std::sync::Arc;
use watt_primitives::{Hash, NetworkId, NodeId, SecretKey, SlotIndex, Term};
use watt_scp::replay::log;
use watt_scp::{Config, QuorumSet, Scp};

impl Consensus {
    /// Whether this node has a seat in this slot.
    pub(crate) fn has_seat(&self) -> bool {
        self.key
            .as_ref()
            .is_some_and(|key| self.deciders.has(&key.node_id()))
    }

    /// From now on this node votes with `key` in `term`, unless that has begun.
    pub(crate) fn add_key(&mut self, term: Term, key: SecretKey) {
        if term > self.deciders.term {
            self.keys.add(term, key);
            self.listens = true;
        }
    }

    /// Whether the key votes in `slot`, this one or the next.
    pub(crate) fn is_entry(&self, node: &NodeId, slot: SlotIndex) -> bool {
        if slot == self.slot {
            self.deciders.has(node)
        } else {
            let is_next = slot == self.slot.next();
            is_next
                && self
                    .next_deciders
                    .as_ref()
                    .is_some_and(|deciders| deciders.has(node))
        }
    }

    /// Takes the entries of an earlier life about this term.
    pub(super) fn restore_term(&mut self) {
        let term = self.deciders.term;
        let (now, later) = std::mem::take(&mut self.of_later_terms)
            .into_iter()
            .filter(|(of, _)| *of >= term)
            .partition(|(of, _)| *of == term);
        self.of_later_terms = later;
        for (_, entry) in now {
            self.restore(entry);
        }
    }

    /// A term has ended: the instance of the next one begins.
    pub(super) fn begin_term(&mut self, deciders: Arc<Deciders>) {
        self.keys.forget_before(deciders.term);
        self.key = self.keys.of(deciders.term).cloned();
        let config = config_of(&deciders, self.key.as_ref(), self.network);
        if let Some(log) = &mut self.log {
            log.push(log::Entry::Life(config.clone()));
        }
        (self.scp, self.deciders) = (Scp::new(config), deciders);
        self.restored.clear();
        self.restore_term();
        tracing::info!(
            term = self.deciders.term.0,
            entries = self.deciders.quorum_set.nodes.len(),
            has_seat = self.has_seat(),
            "a term begins"
        );
    }
}

/// Who decides `slot`, the one above the head: the state always says it. If it does not, it is no ledger, and nobody does.
pub(super) fn deciders_of(slot: SlotIndex, backbones: &Backbones) -> Arc<Deciders> {
    let nobody = || {
        Arc::new(Deciders {
            term: backbones.terms().of_height(slot.into()),
            quorum_set: QuorumSet::flat(1, Vec::new()),
            hash: Hash::ZERO,
        })
    };
    backbones.of_slot(slot).cloned().unwrap_or_else(nobody)
}

pub(super) fn config_of(deciders: &Deciders, key: Option<&SecretKey>, network: NetworkId) -> Config {
    let node = key.map_or(NodeId([0; 32]), SecretKey::node_id);
    Config {
        node,
        network,
        quorum_set: deciders.quorum_set.clone(),
        votes: key.is_some() && deciders.has(&node),
    }
}
