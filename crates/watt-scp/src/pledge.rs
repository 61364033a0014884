//! A ballot statement in short: what the rules ask of it, with values as numbers.

use crate::statement::{Ballot, Pledges, Value};
use crate::values::{IndexedBallot, ValueIndex};

/// A ballot statement, ready for predicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pledge {
    Prepare {
        /// Counter 0 while this node itself has no ballot yet.
        ballot: IndexedBallot,
        prepared: Option<IndexedBallot>,
        prepared_prime: Option<IndexedBallot>,
        c_counter: u32,
        h_counter: u32,
    },
    Confirm {
        ballot: IndexedBallot,
        prepared_counter: u32,
        c_counter: u32,
        h_counter: u32,
    },
    Externalize {
        commit: IndexedBallot,
        h_counter: u32,
    },
}

impl Pledge {
    /// Replaces values by numbers; `None` for a nomination or if a value has no number.
    pub(crate) fn of(pledges: &Pledges, mut index: impl FnMut(&Value) -> Option<ValueIndex>) -> Option<Self> {
        let mut indexed = |ballot: &Ballot| {
            Some(IndexedBallot {
                counter: ballot.counter,
                value: index(&ballot.value)?,
            })
        };
        match pledges {
            Pledges::Nominate { .. } => None,
            Pledges::Prepare {
                ballot,
                prepared,
                prepared_prime,
                c_counter,
                h_counter,
            } => Some(Self::Prepare {
                ballot: indexed(ballot)?,
                prepared: match prepared {
                    Some(prepared) => Some(indexed(prepared)?),
                    None => None,
                },
                prepared_prime: match prepared_prime {
                    Some(prime) => Some(indexed(prime)?),
                    None => None,
                },
                c_counter: *c_counter,
                h_counter: *h_counter,
            }),
            Pledges::Confirm {
                ballot,
                prepared_counter,
                c_counter,
                h_counter,
            } => Some(Self::Confirm {
                ballot: indexed(ballot)?,
                prepared_counter: *prepared_counter,
                c_counter: *c_counter,
                h_counter: *h_counter,
            }),
            Pledges::Externalize { commit, h_counter } => Some(Self::Externalize {
                commit: indexed(commit)?,
                h_counter: *h_counter,
            }),
        }
    }

    /// The ballot counter; EXTERNALIZE has reached every counter (`docs/spec/scp.md` §5.1).
    pub(crate) fn counter(&self) -> u32 {
        match self {
            Self::Prepare { ballot, .. } | Self::Confirm { ballot, .. } => ballot.counter,
            Self::Externalize { .. } => u32::MAX,
        }
    }

    /// The value the speaker stands for.
    pub(crate) fn value(&self) -> ValueIndex {
        match self {
            Self::Prepare { ballot, .. } | Self::Confirm { ballot, .. } => ballot.value,
            Self::Externalize { commit, .. } => commit.value,
        }
    }

    /// Votes for (or accepts) `prepare(ballot)`.
    pub(crate) fn votes_prepare(&self, ballot: IndexedBallot) -> bool {
        match self {
            Self::Prepare { ballot: voted, .. } => ballot.is_within(*voted),
            // CONFIRM votes for prepare(⟨∞, value⟩).
            Self::Confirm { ballot: voted, .. } => ballot.value == voted.value,
            Self::Externalize { commit, .. } => ballot.value == commit.value,
        }
    }

    /// Accepts `prepare(ballot)`.
    pub(crate) fn accepts_prepared(&self, ballot: IndexedBallot) -> bool {
        match self {
            Self::Prepare {
                prepared,
                prepared_prime,
                ..
            } => {
                prepared.is_some_and(|prepared| ballot.is_within(prepared))
                    || prepared_prime.is_some_and(|prime| ballot.is_within(prime))
            }
            Self::Confirm {
                ballot: voted,
                prepared_counter,
                ..
            } => ballot.value == voted.value && ballot.counter <= *prepared_counter,
            Self::Externalize { commit, .. } => ballot.value == commit.value,
        }
    }

    /// Votes for (or accepts) commit of every `⟨n, value⟩` with n in `low..=high`.
    pub(crate) fn votes_commit(&self, value: ValueIndex, low: u32, high: u32) -> bool {
        match self {
            Self::Prepare {
                ballot,
                c_counter,
                h_counter,
                ..
            } => ballot.value == value && *c_counter != 0 && *c_counter <= low && high <= *h_counter,
            // CONFIRM votes for commit from c to ∞.
            Self::Confirm {
                ballot, c_counter, ..
            } => ballot.value == value && *c_counter <= low,
            Self::Externalize { commit, .. } => commit.value == value && commit.counter <= low,
        }
    }

    /// Accepts commit of every `⟨n, value⟩` with n in `low..=high`.
    pub(crate) fn accepts_commit(&self, value: ValueIndex, low: u32, high: u32) -> bool {
        match self {
            Self::Prepare { .. } => false,
            Self::Confirm {
                ballot,
                c_counter,
                h_counter,
                ..
            } => ballot.value == value && *c_counter <= low && high <= *h_counter,
            Self::Externalize { commit, .. } => commit.value == value && commit.counter <= low,
        }
    }

    /// Calls `visit` with each counter at which what the speaker says about committing `value` changes.
    pub(crate) fn visit_commit_boundaries(&self, value: ValueIndex, mut visit: impl FnMut(u32)) {
        if self.value() != value {
            return;
        }
        match self {
            Self::Prepare {
                c_counter, h_counter, ..
            } => {
                if *c_counter != 0 {
                    visit(*c_counter);
                    visit(*h_counter);
                }
            }
            Self::Confirm {
                c_counter, h_counter, ..
            } => {
                visit(*c_counter);
                visit(*h_counter);
            }
            Self::Externalize { commit, h_counter } => {
                visit(commit.counter);
                visit(*h_counter);
                visit(u32::MAX);
            }
        }
    }

    /// Whether the speaker votes for or accepts a commit at all.
    pub(crate) fn speaks_of_commit(&self) -> bool {
        match self {
            Self::Prepare { c_counter, .. } => *c_counter != 0,
            Self::Confirm { .. } | Self::Externalize { .. } => true,
        }
    }

    /// Calls `visit` with each ballot the speaker votes for or accepts as prepared, ∞ written as `u32::MAX`.
    pub(crate) fn visit_prepare_ballots(&self, mut visit: impl FnMut(IndexedBallot)) {
        match self {
            Self::Prepare {
                ballot,
                prepared,
                prepared_prime,
                ..
            } => {
                visit(*ballot);
                if let Some(prepared) = prepared {
                    visit(*prepared);
                }
                if let Some(prime) = prepared_prime {
                    visit(*prime);
                }
            }
            Self::Confirm {
                ballot,
                prepared_counter,
                ..
            } => {
                for counter in [*prepared_counter, u32::MAX] {
                    visit(IndexedBallot {
                        counter,
                        value: ballot.value,
                    });
                }
            }
            Self::Externalize { commit, .. } => visit(IndexedBallot {
                counter: u32::MAX,
                value: commit.value,
            }),
        }
    }
}
