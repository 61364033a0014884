//! What a node says: statements and their signed carrier, envelopes.

use core::cmp::Ordering;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::{self, zero_or_one};
use watt_primitives::key::SignatureCheck;
use watt_primitives::{BoundedVec, Domain, Hash, NetworkId, NodeId, SecretKey, Signature, SlotIndex};

/// The most values one nomination may name in one list.
pub const VALUES_PER_STATEMENT_MAX: usize = 32;

/// The most bytes an encoded envelope may have.
pub const ENVELOPE_BYTES_MAX: usize = 4096;

/// What is agreed on: an opaque 32-byte name. Its order is the order of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(pub Hash);

/// `⟨counter, value⟩`, ordered by counter, then value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ballot {
    /// Counter, from 1.
    pub counter: u32,
    /// Value.
    pub value: Value,
}

/// One node's word on one slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Who says it.
    pub node: NodeId,
    /// About which slot.
    pub slot: SlotIndex,
    /// Hash of the quorum set the node declares.
    pub quorum_set: Hash,
    /// What it says.
    pub pledges: Pledges,
}

/// The four kinds of statement (draft-mazieres-dinrg-scp-05 §3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Pledges {
    /// Nomination: values voted for and accepted, each list sorted and without repetition.
    #[serde(rename = "nominate")]
    Nominate {
        /// Voted to nominate.
        votes: BoundedVec<Value, VALUES_PER_STATEMENT_MAX>,
        /// Accepted as nominated.
        accepted: BoundedVec<Value, VALUES_PER_STATEMENT_MAX>,
    },
    /// Votes to prepare `ballot`; counters 0 mean "none".
    #[serde(rename = "prepare")]
    Prepare {
        /// `b`: current ballot.
        ballot: Ballot,
        /// `p`: highest accepted prepared.
        #[serde(with = "zero_or_one")]
        prepared: Option<Ballot>,
        /// `p'`: highest accepted prepared that is incompatible with `p`.
        #[serde(with = "zero_or_one")]
        prepared_prime: Option<Ballot>,
        /// `c.counter`: lowest ballot voted to commit.
        c_counter: u32,
        /// `h.counter`: highest confirmed prepared.
        h_counter: u32,
    },
    /// Accepts commit of `⟨c..h, ballot.value⟩`.
    #[serde(rename = "confirm")]
    Confirm {
        /// `b`.
        ballot: Ballot,
        /// `p.counter`.
        prepared_counter: u32,
        /// `c.counter`.
        c_counter: u32,
        /// `h.counter`.
        h_counter: u32,
    },
    /// Confirmed commit: the slot is decided.
    #[serde(rename = "externalize")]
    Externalize {
        /// Lowest confirmed committed ballot.
        commit: Ballot,
        /// `h.counter`.
        h_counter: u32,
    },
}

impl Ballot {
    /// Whether both ballots are for the same value.
    #[must_use]
    pub fn is_compatible(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Pledges {
    /// Whether this is a nomination; everything else belongs to the ballot protocol.
    #[must_use]
    pub const fn is_nomination(&self) -> bool {
        match self {
            Self::Nominate { .. } => true,
            Self::Prepare { .. } | Self::Confirm { .. } | Self::Externalize { .. } => false,
        }
    }

    /// Whether this nominates `value`, by a vote or accepted.
    pub(crate) fn nominates(&self, value: &Value) -> bool {
        match self {
            Self::Nominate { votes, accepted } => {
                votes.binary_search(value).is_ok() || accepted.binary_search(value).is_ok()
            }
            Self::Prepare { .. } | Self::Confirm { .. } | Self::Externalize { .. } => false,
        }
    }

    /// NOMINATE < PREPARE < CONFIRM < EXTERNALIZE.
    const fn rank(&self) -> u8 {
        match self {
            Self::Nominate { .. } => 0,
            Self::Prepare { .. } => 1,
            Self::Confirm { .. } => 2,
            Self::Externalize { .. } => 3,
        }
    }

    /// Whether a correct node could say this (`docs/spec/scp.md` §3.3).
    #[must_use]
    pub fn is_sane(&self) -> bool {
        match self {
            Self::Nominate { votes, accepted } => {
                let is_empty = votes.is_empty() && accepted.is_empty();
                !is_empty && is_strictly_ascending(votes) && is_strictly_ascending(accepted)
            }
            Self::Prepare {
                ballot,
                prepared,
                prepared_prime,
                c_counter,
                h_counter,
            } => {
                let prime_is_below = match (prepared_prime, prepared) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(prime), Some(prepared)) => {
                        prime.counter >= 1 && prime < prepared && !prime.is_compatible(prepared)
                    }
                };
                let h_is_prepared = *h_counter == 0 || prepared.is_some_and(|p| *h_counter <= p.counter);
                let c_is_in_order =
                    *c_counter == 0 || (c_counter <= h_counter && *h_counter <= ballot.counter);
                ballot.counter >= 1
                    && prepared.is_none_or(|prepared| prepared.counter >= 1)
                    && prime_is_below
                    && h_is_prepared
                    && c_is_in_order
            }
            Self::Confirm {
                ballot,
                c_counter,
                h_counter,
                prepared_counter: _,
            } => *c_counter >= 1 && c_counter <= h_counter && *h_counter <= ballot.counter,
            Self::Externalize { commit, h_counter } => commit.counter >= 1 && commit.counter <= *h_counter,
        }
    }

    /// Whether a node that last said `old` may now be heard saying `self`.
    ///
    /// Nominations grow as sets. Ballot statements are ordered by kind, then PREPARE by `(b, p, p', h, c)`, CONFIRM by
    /// `(b, p, h)`; there is one EXTERNALIZE (`docs/spec/scp.md` §3.4). `c` takes part because a body may arrive, and with
    /// it the vote to commit, after `h` was said.
    #[must_use]
    pub fn is_newer_than(&self, old: &Self) -> bool {
        match (old, self) {
            (
                Self::Nominate {
                    votes: old_votes,
                    accepted: old_accepted,
                },
                Self::Nominate { votes, accepted },
            ) => {
                let grows = votes.len() > old_votes.len() || accepted.len() > old_accepted.len();
                grows && is_subset(old_votes, votes) && is_subset(old_accepted, accepted)
            }
            (
                Self::Prepare {
                    ballot: old_b,
                    prepared: old_p,
                    prepared_prime: old_prime,
                    c_counter: old_c,
                    h_counter: old_h,
                },
                Self::Prepare {
                    ballot,
                    prepared,
                    prepared_prime,
                    c_counter,
                    h_counter,
                },
            ) => {
                let old = (old_b, old_p, old_prime, old_h, old_c);
                (ballot, prepared, prepared_prime, h_counter, c_counter) > old
            }
            (
                Self::Confirm {
                    ballot: old_b,
                    prepared_counter: old_p,
                    h_counter: old_h,
                    c_counter: _,
                },
                Self::Confirm {
                    ballot,
                    prepared_counter,
                    h_counter,
                    c_counter: _,
                },
            ) => (ballot, prepared_counter, h_counter) > (old_b, old_p, old_h),
            (Self::Nominate { .. }, _) | (_, Self::Nominate { .. }) => false,
            (
                Self::Prepare { .. } | Self::Confirm { .. } | Self::Externalize { .. },
                Self::Prepare { .. } | Self::Confirm { .. } | Self::Externalize { .. },
            ) => self.rank() > old.rank(),
        }
    }

    /// The value that the speaker has confirmed prepared, as far as this tells.
    pub(crate) const fn locked_value(&self) -> Option<Value> {
        match self {
            Self::Prepare {
                ballot, h_counter, ..
            } if *h_counter > 0 => Some(ballot.value),
            Self::Nominate { .. } | Self::Prepare { .. } => None,
            Self::Confirm { .. } | Self::Externalize { .. } => self.committed_value(),
        }
    }

    /// The value to whose commit the speaker is bound for ever, if any.
    #[must_use]
    pub const fn committed_value(&self) -> Option<Value> {
        match self {
            Self::Nominate { .. } | Self::Prepare { .. } => None,
            Self::Confirm { ballot, .. } => Some(ballot.value),
            Self::Externalize { commit, .. } => Some(commit.value),
        }
    }
}

fn is_strictly_ascending(values: &[Value]) -> bool {
    values.windows(2).all(|pair| match pair {
        [a, b] => a < b,
        _ => true,
    })
}

/// Whether every one of `part` is in `whole`; both ascending.
fn is_subset(part: &[Value], whole: &[Value]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|value| {
        rest.by_ref()
            .find_map(|other| match other.cmp(value) {
                Ordering::Less => None,
                Ordering::Equal => Some(true),
                Ordering::Greater => Some(false),
            })
            .unwrap_or(false)
    })
}

/// A statement with its node's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// What is said.
    pub statement: Statement,
    /// Ed25519 by `statement.node` over the statement's encoding in [`Domain::Statement`].
    pub signature: Signature,
}

impl Envelope {
    /// Signs `statement`.
    #[must_use]
    pub fn sign(statement: Statement, key: &SecretKey, network: &NetworkId) -> Self {
        let signature = key.sign(Domain::Statement, network, &codec::encode(&statement));
        Self { statement, signature }
    }

    /// The claim to check before the statement may be believed.
    #[must_use]
    pub fn signature_check(&self, network: &NetworkId) -> SignatureCheck {
        let message = codec::encode(&self.statement);
        SignatureCheck::new(
            self.statement.node.into(),
            Domain::Statement,
            network,
            &message,
            self.signature,
        )
    }
}

#[cfg(test)]
mod tests;
