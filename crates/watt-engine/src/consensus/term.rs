//! One instance of SCP per term, with that term's quorum set and this node's key of it (`docs/spec/node.md` §10).

use super::Consensus;
use super::Context;
use crate::backbones::{Backbones, Deciders};
use crate::effect::Effect;
use std::sync::Arc;
use watt_primitives::{NetworkId, NodeId, SecretKey, SlotIndex, Term};
use watt_scp::replay::log;
use watt_scp::{Config, QuorumSet, Scp, Statement};

impl Consensus {
    /// Whether this node has a seat in this slot.
    pub(crate) fn has_seat(&self) -> bool {
        self.own_entry().is_some()
    }

    /// Who decides this slot.
    pub(crate) fn quorum_set(&self) -> &QuorumSet {
        &self.deciders.quorum_set
    }

    /// The key in the quorum set for which this node votes in this slot, if it has a seat.
    pub(crate) fn own_entry(&self) -> Option<NodeId> {
        self.deciders.seat_of(&self.key.as_ref()?.node_id())
    }

    /// From now on this node votes with `key` in `term`, unless that has begun.
    pub(crate) fn add_key(&mut self, term: Term, key: SecretKey) {
        if term > self.deciders.term {
            self.keys.add(term, key);
            self.listens = true;
        }
    }

    /// Who decides `slot`, this one or the next.
    fn deciders_at(&self, slot: SlotIndex) -> Option<&Deciders> {
        if slot == self.slot {
            Some(&self.deciders)
        } else {
            self.next_deciders.as_deref().filter(|_| slot == self.slot.next())
        }
    }

    /// What a statement about this slot or the next says, in the name of the seat for which its speaker votes; `None` for strangers.
    pub(crate) fn heard_as(&self, statement: &Statement) -> Option<Statement> {
        let seat = self.deciders_at(statement.slot)?.seat_of(&statement.node)?;
        Some(Statement {
            node: seat,
            ..statement.clone()
        })
    }

    /// The seat of whoever proposes for `slot`, even if its key was succeeded since.
    pub(crate) fn seat_of_proposer(&self, proposer: &NodeId, slot: SlotIndex) -> Option<NodeId> {
        self.deciders_at(slot)?.seat_ever_of(proposer)
    }

    /// Others vote for seats from now on. A node whose own key is succeeded must say nothing more with it: it stops.
    pub(crate) fn succeeded(&mut self, backbones: &Backbones, context: &mut Context<'_>) {
        let had_seat = self.has_seat();
        if let Some(deciders) = backbones.of_slot(self.slot) {
            self.deciders = Arc::clone(deciders);
        }
        self.next_deciders = backbones.of_slot(self.slot.next()).cloned();
        if had_seat && !self.has_seat() {
            let sentence = "this node's voting key was replaced by its seat's cold key: another one votes for the seat now; give this node the new key, or none";
            context.effects.push(Effect::Halt(sentence.to_owned()));
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
        self.key = self.keys.of(&deciders).cloned();
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
        Arc::new(Deciders::nobody(
            backbones.terms().of_height(slot.into()),
            backbones.network(),
        ))
    };
    backbones.of_slot(slot).cloned().unwrap_or_else(nobody)
}

pub(super) fn config_of(deciders: &Deciders, key: Option<&SecretKey>, network: NetworkId) -> Config {
    let seat = key.and_then(|key| deciders.seat_of(&key.node_id()));
    let node = seat.or_else(|| key.map(SecretKey::node_id));
    Config {
        node: node.unwrap_or(NodeId([0; 32])),
        network,
        quorum_set: deciders.quorum_set.clone(),
        votes: seat.is_some(),
    }
}
