//! What a log's oracle said, for an implementation that asks in another order than the recorded one.

use super::{Answer, Step};
use crate::protocol::{Oracle, Validity};
use crate::quorum_set::QuorumSet;
use crate::statement::Value;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::Cell;
use watt_primitives::{Hash, NodeId, SlotIndex};

/// Everything that the oracle has said up to a step, the newest answer to each question.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    validity: BTreeMap<(SlotIndex, Value), Validity>,
    composites: BTreeMap<(SlotIndex, Vec<Value>), Option<Value>>,
    sets: BTreeMap<Hash, Option<QuorumSet>>,
    weights: BTreeMap<NodeId, u64>,
    fallbacks: BTreeMap<(SlotIndex, Value), Option<Value>>,
    n_unknown: Cell<usize>,
}

impl Facts {
    /// Learns what was answered in `step`.
    pub fn learn(&mut self, step: &Step) {
        for answer in &step.answers {
            match answer.clone() {
                Answer::Validity(slot, value, validity) => {
                    self.validity.insert((slot, value), validity);
                }
                Answer::Combine(slot, candidates, composite) => {
                    self.composites.insert((slot, candidates), composite);
                }
                Answer::QuorumSet(hash, set) => {
                    self.sets.insert(hash, set);
                }
                Answer::Weight(node, weight) => {
                    self.weights.insert(node, weight);
                }
                Answer::Fallback(slot, value, fallback) => {
                    self.fallbacks.insert((slot, value), fallback);
                }
            }
        }
    }

    /// Questions that the log has no answer to; they got the one that does least.
    #[must_use]
    pub const fn n_unknown(&self) -> usize {
        self.n_unknown.get()
    }

    fn known<T>(&self, answer: Option<T>) -> Option<T> {
        if answer.is_none() {
            self.n_unknown.set(self.n_unknown.get().saturating_add(1));
        }
        answer
    }
}

impl Oracle for Facts {
    fn validity(&self, slot: SlotIndex, value: &Value) -> Validity {
        let answer = self.validity.get(&(slot, *value)).copied();
        self.known(answer).unwrap_or(Validity::Invalid)
    }

    fn combine(&self, slot: SlotIndex, candidates: &[Value]) -> Option<Value> {
        let answer = self.composites.get(&(slot, candidates.to_vec())).copied();
        self.known(answer).flatten()
    }

    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet> {
        self.known(self.sets.get(hash)).and_then(Option::as_ref)
    }

    fn weight(&self, node: NodeId) -> u64 {
        self.known(self.weights.get(&node).copied()).unwrap_or(0)
    }

    fn fallback(&self, slot: SlotIndex, value: &Value) -> Option<Value> {
        let answer = self.fallbacks.get(&(slot, *value)).copied();
        self.known(answer).flatten()
    }
}
