//! What this node says: its record first, then the statement, with the proposals behind it and its own body.

use super::{Consensus, Context, Head, values_of};
use crate::effect::{Effect, Priority};
use crate::journal::Entry;
use crate::message::{HAVE_MAX, Message};
use watt_ledger::block::describe_body;
use watt_light::{Proposal, SignedTransaction};
use watt_primitives::BoundedVec;
use watt_scp::{Envelope, Input, Pledges, Record, Statement, Value};

impl Consensus {
    /// Makes the record durable, and before it the value it votes to commit.
    pub(super) fn persist(&mut self, record: Record, context: &mut Context<'_>) {
        if let Some(entry) = self.unstored_commit(&record) {
            context.effects.push(Effect::PersistScp {
                slot: self.slot,
                entry: entry.encode(),
            });
        }
        let entry = Entry::Record {
            slot: self.slot,
            record: Box::new(record),
        };
        context.effects.push(Effect::PersistScp {
            slot: self.slot,
            entry: entry.encode(),
        });
    }

    /// The proposal and body that `record` votes to commit, the first time it does.
    pub(super) fn unstored_commit(&mut self, record: &Record) -> Option<Entry> {
        let voted = commit_value(record)?;
        if self.stored.contains(&voted) {
            return None;
        }
        let (value, is_fallback) = self.candidates.resolve(&voted)?;
        let proposal = Box::new(self.candidates.get(&value)?.signed.clone());
        let transactions = if is_fallback {
            Vec::new()
        } else {
            self.body(&value)?.to_vec()
        };
        self.stored.insert(voted);
        Some(Entry::Body {
            proposal,
            transactions,
        })
    }

    /// Signs and floods an own statement, unless this node may have voted here in a life it forgot.
    pub(super) fn say(&mut self, statement: Statement, context: &mut Context<'_>) {
        let Some(key) = &self.key else { return };
        if statement.slot <= self.muted_to {
            return;
        }
        let envelope = Envelope::sign(statement.clone(), key, &self.network);
        self.has_spoken = true;
        self.push_own_body(&statement, context);
        self.envelopes.insert(statement, envelope.clone());
        let message = self.with_proposals(envelope);
        context.flood(&message, Priority::Urgent, None);
    }

    /// The first time the own proposal is named: makes it durable, then sends its body along.
    pub(super) fn push_own_body(&mut self, statement: &Statement, context: &mut Context<'_>) {
        let names_own =
            |own: &(Value, Vec<SignedTransaction>)| values_of(&statement.pledges).contains(&own.0);
        let Some((value, transactions)) = self.own.take_if(|own| names_own(own)) else {
            return;
        };
        if let Some(candidate) = self.candidates.get(&value) {
            let proposal = Box::new(candidate.signed.clone());
            let entry = Entry::Body {
                proposal,
                transactions: transactions.clone(),
            };
            context.effects.push(Effect::PersistScp {
                slot: self.slot,
                entry: entry.encode(),
            });
            self.stored.insert(value);
        }
        if let Ok(transactions) = BoundedVec::new(transactions) {
            context.flood(&Message::Body { value, transactions }, Priority::Bulk, None);
        }
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

    /// Begins the slot with an own proposal over `transactions`.
    pub(crate) fn begin(
        &mut self,
        head: &Head,
        transactions: Vec<SignedTransaction>,
        context: &mut Context<'_>,
    ) {
        let Some(key) = &self.key else { return };
        if self.has_begun || self.slot <= self.muted_to || !self.has_seat() {
            return;
        }
        self.has_begun = true;
        // One proposal per slot, for ever: an earlier life may have made it.
        let made = self.candidates.of_proposer(&key.node_id());
        let Some(value) = made.or_else(|| self.propose(head, transactions, context)) else {
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
    pub(super) fn propose(
        &mut self,
        head: &Head,
        transactions: Vec<SignedTransaction>,
        context: &mut Context<'_>,
    ) -> Option<Value> {
        let key = self.key.as_ref()?;
        let (body_root, n_transactions, body_bytes) = describe_body(&self.network, &transactions);
        let proposal = Proposal {
            network: self.network,
            slot: self.slot,
            version: watt_light::proposal::PROTOCOL_VERSION,
            parent: head.hash,
            close_time: context.now.max(head.header.close_time.next()),
            body_root,
            n_transactions,
            body_bytes,
            upgrades: BoundedVec::empty(),
            proposer: key.node_id(),
        };
        let signed = proposal.sign(key);
        let value = self.candidates.admit(signed, true, context.now, None).ok()?;
        self.take_body(value, transactions.clone(), context);
        self.own = Some((value, transactions));
        Some(value)
    }

    /// The newest own statements of the slot, to send again.
    pub(crate) fn own_statements(&self) -> Vec<Message> {
        let own = self
            .latest()
            .filter(|envelope| self.is_own(&envelope.statement.node));
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
fn commit_value(record: &Record) -> Option<Value> {
    match &record.ballot.as_ref()?.pledges {
        Pledges::Prepare {
            ballot, c_counter, ..
        } => (*c_counter > 0).then_some(ballot.value),
        Pledges::Confirm { ballot, .. } => Some(ballot.value),
        Pledges::Externalize { commit, .. } => Some(commit.value),
        Pledges::Nominate { .. } => None,
    }
}
