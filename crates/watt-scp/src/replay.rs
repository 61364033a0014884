//! Logs of inputs: what went into an [`Scp`] and what its oracle answered meanwhile, so that the same outputs come out again,
//! on any machine, from the bytes alone (`docs/spec/scp.md` §10).

use crate::protocol::{Input, Oracle, Output, Record, Scp, TimerKind, Validity};
use crate::quorum_set::QuorumSet;
use crate::statement::{Statement, Value};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use serde::{Deserialize, Serialize};
use watt_primitives::codec::{self, InvalidEncoding, zero_or_one};
use watt_primitives::{Hash, NodeId, SlotIndex};

#[cfg(any(test, feature = "testing"))]
pub mod facts;
pub mod log;

/// An [`Input`] that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LoggedInput {
    /// [`Input::Nominate`].
    Nominate {
        /// Slot.
        slot: SlotIndex,
        /// Own proposal.
        value: Value,
        /// Value of the slot before.
        previous: Value,
    },
    /// [`Input::Receive`].
    Receive {
        /// Slot.
        slot: SlotIndex,
        /// As received.
        statements: Vec<Statement>,
    },
    /// [`Input::Timer`].
    Timer {
        /// Slot.
        slot: SlotIndex,
        /// Which.
        kind: TimerKind,
        /// As set.
        generation: u64,
    },
    /// [`Input::ValidityChanged`].
    ValidityChanged {
        /// Slot.
        slot: SlotIndex,
        /// Value.
        value: Value,
    },
    /// [`Input::BodyTimeout`].
    BodyTimeout {
        /// Slot.
        slot: SlotIndex,
        /// Value.
        value: Value,
    },
    /// [`Input::QuorumSetKnown`].
    QuorumSetKnown {
        /// Hash.
        hash: Hash,
    },
    /// [`Input::Restore`].
    Restore(Box<Record>),
    /// [`Input::Purge`].
    Purge {
        /// The lowest slot to keep.
        below: SlotIndex,
    },
}

impl LoggedInput {
    /// A copy of `input`.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Self {
        match *input {
            Input::Nominate {
                slot,
                value,
                previous,
            } => Self::Nominate {
                slot,
                value,
                previous,
            },
            Input::Receive { slot, statements } => Self::Receive {
                slot,
                statements: statements.to_vec(),
            },
            Input::Timer {
                slot,
                kind,
                generation,
            } => Self::Timer {
                slot,
                kind,
                generation,
            },
            Input::ValidityChanged { slot, value } => Self::ValidityChanged { slot, value },
            Input::BodyTimeout { slot, value } => Self::BodyTimeout { slot, value },
            Input::QuorumSetKnown { hash } => Self::QuorumSetKnown { hash },
            Input::Restore(record) => Self::Restore(Box::new(record.clone())),
            Input::Purge { below } => Self::Purge { below },
        }
    }

    /// The input again.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Nominate {
                slot,
                value,
                previous,
            } => Input::Nominate {
                slot: *slot,
                value: *value,
                previous: *previous,
            },
            Self::Receive { slot, statements } => Input::Receive {
                slot: *slot,
                statements,
            },
            Self::Timer {
                slot,
                kind,
                generation,
            } => Input::Timer {
                slot: *slot,
                kind: *kind,
                generation: *generation,
            },
            Self::ValidityChanged { slot, value } => Input::ValidityChanged {
                slot: *slot,
                value: *value,
            },
            Self::BodyTimeout { slot, value } => Input::BodyTimeout {
                slot: *slot,
                value: *value,
            },
            Self::QuorumSetKnown { hash } => Input::QuorumSetKnown { hash: *hash },
            Self::Restore(record) => Input::Restore(record),
            Self::Purge { below } => Input::Purge { below: *below },
        }
    }

    /// Its name in the encoding.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nominate { .. } => "nominate",
            Self::Receive { .. } => "receive",
            Self::Timer { .. } => "timer",
            Self::ValidityChanged { .. } => "validity-changed",
            Self::BodyTimeout { .. } => "body-timeout",
            Self::QuorumSetKnown { .. } => "quorum-set-known",
            Self::Restore(_) => "restore",
            Self::Purge { .. } => "purge",
        }
    }

    /// The one slot that it is about, if it is about one.
    #[must_use]
    pub fn slot(&self) -> Option<SlotIndex> {
        match self {
            Self::Nominate { slot, .. }
            | Self::Receive { slot, .. }
            | Self::Timer { slot, .. }
            | Self::ValidityChanged { slot, .. }
            | Self::BodyTimeout { slot, .. } => Some(*slot),
            Self::Restore(record) => Some(record.slot),
            Self::QuorumSetKnown { .. } | Self::Purge { .. } => None,
        }
    }
}

/// One question to the oracle and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Answer {
    Validity(SlotIndex, Value, Validity),
    Combine(
        SlotIndex,
        Vec<Value>,
        #[serde(with = "zero_or_one")] Option<Value>,
    ),
    QuorumSet(Hash, #[serde(with = "zero_or_one")] Option<QuorumSet>),
    Weight(NodeId, u64),
    Fallback(SlotIndex, Value, #[serde(with = "zero_or_one")] Option<Value>),
}

/// One step of a node: an input, and what the oracle answered in the order it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    input: LoggedInput,
    answers: Vec<Answer>,
}

/// Why a log does not replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLog {
    /// Not the canonical bytes of a [`Step`].
    #[error("a step of the log: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// The node asked what it had not asked when the log was written: other rules, or another state to begin with.
    #[error("the oracle is asked something at {position} that the log does not answer")]
    OtherQuestion {
        /// Answers used before.
        position: usize,
    },
}

impl Step {
    /// Takes one input as [`Scp::step`] does and notes everything that went in.
    pub fn record(scp: &mut Scp, input: Input<'_>, oracle: &impl Oracle, out: &mut Vec<Output>) -> Self {
        let noted = LoggedInput::of(&input);
        let noting = Noting {
            oracle,
            answers: RefCell::new(Vec::new()),
        };
        scp.step(input, &noting, out);
        Self {
            input: noted,
            answers: noting.answers.into_inner(),
        }
    }

    /// Gives the noted input and answers to a node in the state that the recorded one was in.
    ///
    /// # Errors
    /// [`InvalidLog::OtherQuestion`] if the node does something else; it has taken the input all the same.
    pub fn replay(&self, scp: &mut Scp, out: &mut Vec<Output>) -> Result<(), InvalidLog> {
        let telling = Telling {
            answers: &self.answers,
            position: Cell::new(0),
            has_strayed: Cell::new(false),
        };
        scp.step(self.input.input(), &telling, out);
        let position = telling.position.get();
        if telling.has_strayed.get() || position != self.answers.len() {
            return Err(InvalidLog::OtherQuestion { position });
        }
        Ok(())
    }

    /// What went in.
    #[must_use]
    pub const fn input(&self) -> &LoggedInput {
        &self.input
    }

    /// Canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one step of at most `len_max` bytes.
    ///
    /// # Errors
    /// [`InvalidLog::Encoding`].
    pub fn decode(bytes: &[u8], len_max: usize) -> Result<Self, InvalidLog> {
        Ok(codec::decode(bytes, len_max)?)
    }
}

/// Passes questions on and notes the answers.
struct Noting<'a, O> {
    oracle: &'a O,
    answers: RefCell<Vec<Answer>>,
}

impl<O> Noting<'_, O> {
    fn note(&self, answer: Answer) {
        self.answers.borrow_mut().push(answer);
    }
}

impl<O: Oracle> Oracle for Noting<'_, O> {
    fn validity(&self, slot: SlotIndex, value: &Value) -> Validity {
        let validity = self.oracle.validity(slot, value);
        self.note(Answer::Validity(slot, *value, validity));
        validity
    }

    fn combine(&self, slot: SlotIndex, candidates: &[Value]) -> Option<Value> {
        let composite = self.oracle.combine(slot, candidates);
        self.note(Answer::Combine(slot, candidates.to_vec(), composite));
        composite
    }

    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet> {
        let set = self.oracle.quorum_set(hash);
        self.note(Answer::QuorumSet(*hash, set.cloned()));
        set
    }

    fn weight(&self, node: NodeId) -> u64 {
        let weight = self.oracle.weight(node);
        self.note(Answer::Weight(node, weight));
        weight
    }

    fn fallback(&self, slot: SlotIndex, value: &Value) -> Option<Value> {
        let fallback = self.oracle.fallback(slot, value);
        self.note(Answer::Fallback(slot, *value, fallback));
        fallback
    }
}

/// Answers from the log, in its order; a question that is not the next one gets the answer that does least.
struct Telling<'a> {
    answers: &'a [Answer],
    position: Cell<usize>,
    has_strayed: Cell<bool>,
}

impl<'a> Telling<'a> {
    fn next<T>(&self, matching: impl FnOnce(&'a Answer) -> Option<T>) -> Option<T> {
        let answer = self.answers.get(self.position.get()).and_then(matching);
        if answer.is_some() && !self.has_strayed.get() {
            self.position.set(self.position.get().saturating_add(1));
            return answer;
        }
        self.has_strayed.set(true);
        None
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer to another question is no answer, whichever it is"
)]
impl Oracle for Telling<'_> {
    fn validity(&self, slot: SlotIndex, value: &Value) -> Validity {
        let answer = self.next(|answer| match answer {
            Answer::Validity(s, v, validity) if (s, v) == (&slot, value) => Some(*validity),
            _ => None,
        });
        answer.unwrap_or(Validity::Invalid)
    }

    fn combine(&self, slot: SlotIndex, candidates: &[Value]) -> Option<Value> {
        let answer = self.next(|answer| match answer {
            Answer::Combine(s, c, composite) if *s == slot && c == candidates => Some(*composite),
            _ => None,
        });
        answer.flatten()
    }

    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet> {
        let answer = self.next(|answer| match answer {
            Answer::QuorumSet(h, set) if h == hash => Some(set.as_ref()),
            _ => None,
        });
        answer.flatten()
    }

    fn weight(&self, node: NodeId) -> u64 {
        let answer = self.next(|answer| match answer {
            Answer::Weight(n, weight) if *n == node => Some(*weight),
            _ => None,
        });
        answer.unwrap_or(0)
    }

    fn fallback(&self, slot: SlotIndex, value: &Value) -> Option<Value> {
        let answer = self.next(|answer| match answer {
            Answer::Fallback(s, v, fallback) if (s, v) == (&slot, value) => Some(*fallback),
            _ => None,
        });
        answer.flatten()
    }
}
