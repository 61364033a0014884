//! What honest validators say: nothing that was not durable before, nothing that contradicts what they said, in any life.

use crate::violation::{Checked, Promise, Violation};
use std::collections::BTreeMap;
use watt_engine::Deciders;
use watt_primitives::{Hash, NetworkId, NodeId, SlotIndex};
use watt_scp::{Config, Input, Oracle, Output, Pledges, QuorumSet, Record, Scp, Statement, Validity, Value};

/// What one node has said and recorded, per slot.
#[derive(Debug, Default)]
pub struct Speech {
    recorded: BTreeMap<SlotIndex, Record>,
    said: BTreeMap<SlotIndex, Said>,
}

#[derive(Debug, Default)]
struct Said {
    nomination: Option<Pledges>,
    ballot: Option<Pledges>,
}

impl Speech {
    /// A record became durable.
    ///
    /// # Errors
    /// It holds less than an earlier one: the node has forgotten what it is bound to.
    pub fn recorded(&mut self, node: usize, record: Record) -> Checked {
        if let Some(before) = self.recorded.get(&record.slot) {
            let pairs = [
                (&before.nomination, &record.nomination),
                (&before.ballot, &record.ballot),
            ];
            for (before, now) in pairs {
                let (before, now) = (
                    before.as_ref().map(|said| &said.pledges),
                    now.as_ref().map(|said| &said.pledges),
                );
                let is_kept = before
                    .is_none_or(|before| now.is_some_and(|now| now == before || now.is_newer_than(before)));
                if !is_kept {
                    return Err(Violation::of(
                        Promise::NoContradiction,
                        format_args!(
                            "node {node} is about to say {now:?} in slot {}, after {before:?}",
                            record.slot
                        ),
                    ));
                }
            }
        }
        self.recorded.insert(record.slot, record);
        Ok(())
    }

    /// The node says `statement`.
    ///
    /// # Errors
    /// It is not covered by a durable record, or contradicts what the node said before.
    pub fn says(&mut self, node: usize, statement: &Statement) -> Checked {
        let slot = statement.slot;
        let covered = self.recorded.get(&slot).and_then(|record| {
            if statement.pledges.is_nomination() {
                record.nomination.as_ref()
            } else {
                record.ballot.as_ref()
            }
        });
        let is_covered = covered.is_some_and(|recorded| {
            recorded == statement || recorded.pledges.is_newer_than(&statement.pledges)
        });
        if !is_covered {
            let pledges = &statement.pledges;
            return Err(Violation::of(
                Promise::PersistedBeforeSent,
                format_args!("node {node} says {pledges:?} in slot {slot}, its journal holds {covered:?}"),
            ));
        }
        let said = self.said.entry(slot).or_default();
        let before = if statement.pledges.is_nomination() {
            &mut said.nomination
        } else {
            &mut said.ballot
        };
        let is_consistent = before
            .as_ref()
            .is_none_or(|before| may_follow(before, &statement.pledges));
        if !is_consistent {
            let (before, now) = (before.as_ref(), &statement.pledges);
            return Err(Violation::of(
                Promise::NoContradiction,
                format_args!("node {node} says {now:?} in slot {slot} after {before:?}"),
            ));
        }
        let is_news = before
            .as_ref()
            .is_none_or(|before| statement.pledges.is_newer_than(before));
        if is_news {
            *before = Some(statement.pledges.clone());
        }
        Ok(())
    }

    /// The node has lost its records and knows it.
    pub fn records_are_lost(&mut self) {
        self.recorded.clear();
    }

    /// Slots below are over.
    pub fn forget_below(&mut self, slot: SlotIndex) {
        self.recorded.retain(|of, _| *of >= slot);
        self.said.retain(|of, _| *of >= slot);
    }
}

/// Whether an honest node that said `before` may say `now`: the same again, something it had said earlier (what an answer to a
/// question may still carry), or more; and what it is bound to commit never changes.
fn may_follow(before: &Pledges, now: &Pledges) -> bool {
    let is_ordered = now == before || now.is_newer_than(before) || before.is_newer_than(now);
    let is_bound = match (before.committed_value(), now.committed_value()) {
        (Some(before), Some(now)) => before == now,
        (None | Some(_), None) | (None, Some(_)) => true,
    };
    is_ordered && is_bound
}

/// A member that only listens and looks for proof of misconduct: none may be found against the honest.
pub struct Observer {
    scp: Scp,
    answers: Answers,
}

struct Answers {
    quorum_set: QuorumSet,
    hash: Hash,
}

impl Oracle for Answers {
    fn validity(&self, _: SlotIndex, _: &Value) -> Validity {
        Validity::Full
    }

    fn combine(&self, _: SlotIndex, values: &[Value]) -> Option<Value> {
        values.iter().max().copied()
    }

    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet> {
        (*hash == self.hash).then_some(&self.quorum_set)
    }

    fn weight(&self, node: NodeId) -> u64 {
        if self.quorum_set.nodes.contains(&node) {
            u64::MAX
        } else {
            0
        }
    }

    fn fallback(&self, _: SlotIndex, _: &Value) -> Option<Value> {
        None
    }
}

impl Observer {
    /// Listens to the slots of one term.
    #[must_use]
    pub fn new(network: NetworkId, deciders: &Deciders) -> Self {
        let quorum_set = deciders.quorum_set.clone();
        let config = Config {
            node: NodeId([0; 32]),
            network,
            quorum_set: quorum_set.clone(),
            votes: false,
        };
        let hash = deciders.hash;
        Self {
            scp: Scp::new(config),
            answers: Answers { quorum_set, hash },
        }
    }

    /// Hears what an honest node says.
    ///
    /// # Errors
    /// [`Promise::HonestUnpunished`] if that could be held against it.
    pub fn hears(&mut self, node: usize, statement: &Statement) -> Checked {
        let input = Input::Receive {
            slot: statement.slot,
            statements: std::slice::from_ref(statement),
        };
        let mut outputs = Vec::new();
        self.scp.step(input, &self.answers, &mut outputs);
        for output in outputs {
            if let Output::Evidence(a, b) = output {
                return Err(Violation::of(
                    Promise::HonestUnpunished,
                    format_args!("there is evidence against honest node {node}: {a:?} and {b:?}"),
                ));
            }
        }
        Ok(())
    }

    /// Slots below are over.
    pub fn forget_below(&mut self, slot: SlotIndex) {
        let mut outputs = Vec::new();
        self.scp
            .step(Input::Purge { below: slot }, &self.answers, &mut outputs);
    }
}
