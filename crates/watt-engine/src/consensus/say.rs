//! What this node says: its record first, then the statement, with the proposals behind it and its own body.

use super::{Consensus, Context, Head, values_of};
use crate::effect::{Effect, Priority};
use crate::journal::Entry;
use crate::message::{HAVE_MAX, Message};
use std::sync::Arc;
use watt_ledger::Body;
use watt_light::Proposal;
use watt_primitives::{BoundedVec, SharedBytes};
use watt_scp::{Envelope, Input, Pledges, Record, Statement, Value};

impl Consensus {
    /// Makes the record durable, and before it the value it votes to commit.
    pub(super) fn persist(&mut self, record: Record, context: &mut Context<'_>) {
        if let Some(entry) = self.unstored_commit(&record) {
            context.effects.push(Effect::PersistScp { entry });
        }
        let entry = Entry::Record {
            slot: self.slot,
            record: Box::new(record),
        };
        context.effects.push(Effect::PersistScp { entry });
    }

    /// The proposal and body that `record` votes to commit, the first time it does.
    pub(super) fn unstored_commit(&mut self, record: &Record) -> Option<Entry> {
        let voted = commit_value(record)?;
        if self.stored.contains(&voted) {
            return None;
        }
        let (value, is_fallback) = self.candidates.resolve(&voted)?;
        let proposal = Box::new(self.candidates.get(&value)?.signed.clone());
        let body = if is_fallback {
            Arc::default()
        } else {
            Arc::clone(self.body(&value)?)
        };
        self.stored.insert(voted);
        Some(Entry::Body {
            proposal,
            body: SharedBytes::new(body).ok()?,
        })
    }

    /// Signs and floods an own statement, unless this node may have voted here in a life it forgot.
    pub(super) fn say(&mut self, statement: Statement, context: &mut Context<'_>) {
        if statement.slot <= self.muted_to {
            return;
        }
        let Some(envelope) = self.sign(statement.clone()) else {
            return;
        };
        self.has_spoken = true;
        self.push_own_body(&statement, context);
        self.envelopes.insert(statement, envelope.clone());
        let message = self.with_proposals(envelope);
        context.flood(&message, Priority::Urgent, None);
    }

    /// The first time the own proposal is named: makes it durable, then sends its body along.
    pub(super) fn push_own_body(&mut self, statement: &Statement, context: &mut Context<'_>) {
        let Some(value) = self
            .own
            .take_if(|own| values_of(&statement.pledges).contains(own))
        else {
            return;
        };
        let candidate = self.candidates.get(&value);
        let (Some(candidate), Some(bytes)) = (candidate, self.body(&value)) else {
            return;
        };
        let bodies = (
            SharedBytes::new(Arc::clone(bytes)),
            SharedBytes::new(Arc::clone(bytes)),
        );
        let (Ok(kept), Ok(body)) = bodies else { return };
        let entry = Entry::Body {
            proposal: Box::new(candidate.signed.clone()),
            body: kept,
        };
        context.effects.push(Effect::PersistScp { entry });
        context.effects.push(Effect::Encode {
            to: context.peers.agreeing(None).collect(),
            message: Box::new(Message::Body { value, body }),
        });
        self.stored.insert(value);
    }

    /// The envelope with the proposals behind it that are known here.
    pub(crate) fn with_proposals(&self, envelope: Envelope) -> Message {
        let values = values_of(&envelope.statement.pledges);
        let mut proposals = self.candidates.behind(values.iter());
        proposals.truncate(32);
        Message::Statement {
            envelope: Box::new(envelope),
            proposals: BoundedVec::new(proposals).unwrap_or_default(),
        }
    }

    /// Begins the slot, with an own proposal of `body` unless there is one.
    pub(crate) fn begin(&mut self, head: &Head, body: Body, context: &mut Context<'_>) {
        if !self.may_begin() {
            return;
        }
        self.has_begun = true;
        let Some(value) = self.own_proposal().or_else(|| self.propose(head, body, context)) else {
            return;
        };
        let previous = Value(head.header.value);
        self.step(
            Input::Nominate {
                slot: self.slot,
                value,
                previous,
            },
            context,
        );
    }

    /// Makes the own proposal of this slot.
    fn propose(&mut self, head: &Head, body: Body, context: &mut Context<'_>) -> Option<Value> {
        let key = self.key.as_ref()?;
        let (body_root, n_transactions, body_bytes) = body.description();
        let proposal = Proposal {
            network: self.network,
            slot: self.slot,
            version: self.candidates.version(),
            parent: head.hash,
            close_time: context.wall.max(head.header.close_time.next()),
            body_root,
            n_transactions,
            body_bytes,
            proposer: key.node_id(),
        };
        let signed = proposal.sign(key);
        let seat = self.own_entry();
        let value = self.candidates.admit(signed, seat, context.wall, None).ok()?;
        self.try_body(value, body, context);
        self.own = Some(value);
        Some(value)
    }

    /// The newest own statements of the slot, to send again.
    pub(crate) fn own_statements(&self) -> Vec<Message> {
        let latest = self.scp.latest(self.slot);
        let own = latest
            .filter(|statement| self.is_own(&statement.node))
            .filter_map(|statement| self.envelopes.get(statement));
        own.map(|envelope| self.with_proposals(envelope.clone()))
            .collect()
    }

    /// The newest statements of the slot but those that the asker has, to answer it.
    pub(crate) fn statements_but(&self, have: &[u64]) -> Vec<Message> {
        let missing = self
            .latest()
            .filter(|envelope| !have.contains(&short_id(envelope)));
        missing
            .map(|envelope| self.with_proposals(envelope.clone()))
            .collect()
    }

    /// Asks for the newest statements that are not here, or whose proposals are not.
    pub(crate) fn ask_statements(&self) -> Message {
        let is_whole = |envelope: &&Envelope| {
            let values = values_of(&envelope.statement.pledges);
            values
                .iter()
                .all(|value| self.candidates.resolve(value).is_some())
        };
        let have = self.latest().filter(is_whole).map(short_id);
        Message::GetStatements {
            slot: self.slot,
            have: BoundedVec::new(have.take(HAVE_MAX).collect()).unwrap_or_default(),
        }
    }

    fn latest(&self) -> impl Iterator<Item = &Envelope> {
        self.scp
            .latest(self.slot)
            .filter_map(|statement| self.envelopes.get(statement))
    }
}

/// A statement by the first bytes of its signature.
fn short_id(envelope: &Envelope) -> u64 {
    let first = envelope.signature.0.first_chunk().copied();
    first.map_or(0, u64::from_be_bytes)
}

/// The value that a record votes to commit, if it does.
pub(super) fn commit_value(record: &Record) -> Option<Value> {
    match &record.ballot.as_ref()?.pledges {
        Pledges::Prepare {
            ballot, c_counter, ..
        } => (*c_counter > 0).then_some(ballot.value),
        Pledges::Confirm { ballot, .. } => Some(ballot.value),
        Pledges::Externalize { commit, .. } => Some(commit.value),
        Pledges::Nominate { .. } => None,
    }
}
