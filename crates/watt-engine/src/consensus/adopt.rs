//! Taking over what peers hold of this node's own words, where it forgot them or another key said them for its seat
//! (`docs/spec/node.md` §11; TC1, TC3).

use super::{Consensus, Context, commit_value};
use crate::effect::{Effect, Priority};
use crate::journal::Entry;
use std::collections::BTreeSet;
use watt_primitives::{NodeId, SlotIndex};
use watt_scp::{Envelope, Input, Record, Statement, Value};

/// Why this node can't take its own words over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdopted {
    /// Too few seats were heard in this slot: they and this one are no slice.
    TooFew {
        /// Seats heard, this one included.
        heard: usize,
        /// Needed.
        needed: usize,
    },
    /// The block for whose commit it voted is not here.
    NoBody,
}

impl Consensus {
    /// Whether this node votes with another key than the one in the backbone.
    pub(crate) fn is_successor(&self) -> bool {
        let node = self.key.as_ref().map(watt_primitives::SecretKey::node_id);
        node.is_some() && self.has_seat() && node != self.own_entry()
    }

    /// Whether this node was given the key, for whatever term.
    pub(crate) fn has_key(&self, node: &NodeId) -> bool {
        self.keys.has(node)
    }

    /// Whether it votes with this key now.
    pub(super) fn signs_as(&self, node: &NodeId) -> bool {
        self.key.as_ref().is_some_and(|key| key.node_id() == *node)
    }

    /// This node may have spoken in `slot`, in a life that it forgot.
    pub(super) fn forgot(&mut self, slot: SlotIndex) {
        self.muted_to = self.muted_to.max(slot);
        self.forgot_to = self.forgot_to.max(slot);
    }

    /// Whether others hold words in this slot that this node signed and does not know.
    pub(crate) fn forgot_itself(&self) -> bool {
        let is_known = |statement: &Statement| {
            self.scp
                .own(self.slot)
                .any(|said| said == statement || said.pledges.is_newer_than(&statement.pledges))
        };
        let is_forgotten = |(statement, envelope): (&Statement, &Envelope)| {
            self.signs_as(&envelope.statement.node) && !is_known(statement)
        };
        self.slot <= self.forgot_to || self.envelopes.iter().any(is_forgotten)
    }

    /// Whether it has a seat and is silent in this slot, since it may have forgotten what it said.
    pub(crate) fn is_muted(&self) -> bool {
        self.has_seat() && self.slot <= self.muted_to
    }

    /// Whether a slice is heard in this slot: the seats whose words are here or in `also`, and this one, whose voice is about to count.
    pub(crate) fn hears_a_slice(&self, also: impl Iterator<Item = NodeId>) -> Result<(), NotAdopted> {
        let said = self.envelopes.keys().map(|statement| statement.node);
        let heard: BTreeSet<NodeId> = said.chain(also).chain(self.own_entry()).collect();
        let set = self.quorum_set();
        let needed = usize::try_from(set.threshold).unwrap_or(usize::MAX);
        if watt_scp::fbas::has_slice_in(set, &heard) {
            Ok(())
        } else {
            let heard = heard.len();
            Err(NotAdopted::TooFew { heard, needed })
        }
    }

    /// Takes over the newest of the seat's words that are here, signs them with this node's key, and goes on from them: from now on
    /// it speaks in this slot. Where nobody holds any, it speaks as if it never had.
    pub(crate) fn adopt(&mut self, context: &mut Context<'_>) -> Result<(), NotAdopted> {
        let Some(own) = self.own_entry() else {
            return Ok(());
        };
        let said: Vec<Statement> = self
            .envelopes
            .keys()
            .filter(|statement| statement.node == own)
            .cloned()
            .collect();
        if let Some(record) = Record::adopted(self.slot, &said) {
            self.keep_adopted(&record, context)?;
            tracing::warn!(
                slot = self.slot.0,
                "this node goes on from the words of its seat that others hold"
            );
            for output in self.step_scp(Input::Restore(&record)) {
                self.perform(output, context);
            }
            self.sign_own();
        }
        (self.muted_to, self.adopted_in) = (self.slot.previous(), Some(self.slot));
        for message in self.own_statements() {
            context.flood(&message, Priority::Urgent, None);
        }
        Ok(())
    }

    /// Makes the record durable, after the block that it votes to commit; without it if it may be gone with what this seat forgot.
    fn keep_adopted(&mut self, record: &Record, context: &mut Context<'_>) -> Result<(), NotAdopted> {
        if let Some(voted) = commit_value(record).filter(|voted| !self.stored.contains(voted)) {
            if let Some(body) = self.unstored_commit(record) {
                context.effects.push(Effect::PersistScp { entry: body });
            } else if !self.was_asked_of_all(&voted, context) {
                if let Some((value, _)) = self.candidates.resolve(&voted) {
                    self.candidates.accept(&value);
                    self.await_body(value, context);
                    self.ask_body(value, None, context);
                }
                return Err(NotAdopted::NoBody);
            }
        }
        let entry = Entry::Record {
            slot: self.slot,
            record: Box::new(record.clone()),
        };
        context.effects.push(Effect::PersistScp { entry });
        Ok(())
    }

    /// Whether every peer that is here was asked for the body behind `value`, and none is giving it.
    fn was_asked_of_all(&self, value: &Value, context: &Context<'_>) -> bool {
        let known = self.candidates.resolve(value);
        let candidate = known.and_then(|(value, _)| self.candidates.get(&value));
        let n_peers = context.peers.agreeing(None).count();
        candidate.is_some_and(|candidate| {
            let n_asked = usize::try_from(candidate.asked).unwrap_or(usize::MAX);
            candidate.reading.is_empty() && n_asked > n_peers
        })
    }
}
