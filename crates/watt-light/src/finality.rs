//! What makes a block final, in a form that a phone checks alone (`docs/spec/light.md` §3, TC6).
//!
//! A [`DecisionProof`] shows that slot `s` decided a value: inclusion is final ("recorded"). A [`FinalityProof`] shows that
//! slot `s + 1` decided a proposal whose parent is `Header_s`: the state after `s` is final ("done"). Both need the network's
//! id and the quorum set, and nothing from whoever hands them over.

use crate::proposal::{Header, PROTOCOL_VERSION_MAX, SignedProposal, empty_value};
use crate::succession::{InvalidSuccession, Succession, Successions, Voters, are_none};
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::key::{SignatureCheck, all_hold};
use watt_primitives::{BoundedVec, Hash, NetworkId, NodeId, Signature, SlotIndex};
use watt_scp::finality::proves;
use watt_scp::{Ballot, Envelope, Pledges, QuorumSet, Statement, Value};

/// The most votes in one proof.
pub const VOTES_MAX: usize = 128;

/// The most bytes of an encoded finality proof.
pub const FINALITY_PROOF_BYTES_MAX: usize = 32 * 1024;

/// One node's word that the value is committed: its statement without what all votes have in common (slot, value, quorum
/// set), and its signature over the whole statement.
///
/// Encoded as an array of member, counters and signature: in a proof of 41 votes the names of fields would be a third of all bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "VoteArray", try_from = "VoteArray")]
pub struct Vote {
    /// Place of the key among the quorum set's nodes, all levels together, ascending without repetition; behind them those of the
    /// proof's successions.
    pub member: u16,
    /// What it says.
    pub word: Word,
    /// Over the statement, as in the envelope that it comes from.
    pub signature: Signature,
}

/// Member, counters (`CONFIRM`: ballot, prepared, c, h; `EXTERNALIZE`: commit, h), signature.
type VoteArray = (u16, BoundedVec<u32, 4>, Signature);

impl From<Vote> for VoteArray {
    fn from(vote: Vote) -> Self {
        let counters = match vote.word {
            Word::Confirm {
                ballot_counter,
                prepared_counter,
                c_counter,
                h_counter,
            } => vec![ballot_counter, prepared_counter, c_counter, h_counter],
            Word::Externalize {
                commit_counter,
                h_counter,
            } => vec![commit_counter, h_counter],
        };
        (
            vote.member,
            BoundedVec::new(counters).unwrap_or_default(),
            vote.signature,
        )
    }
}

impl TryFrom<VoteArray> for Vote {
    type Error = &'static str;

    fn try_from((member, counters, signature): VoteArray) -> Result<Self, Self::Error> {
        let word = match *counters {
            [ballot_counter, prepared_counter, c_counter, h_counter] => Word::Confirm {
                ballot_counter,
                prepared_counter,
                c_counter,
                h_counter,
            },
            [commit_counter, h_counter] => Word::Externalize {
                commit_counter,
                h_counter,
            },
            _ => return Err("a vote has two counters or four"),
        };
        Ok(Self {
            member,
            word,
            signature,
        })
    }
}

/// The two kinds of statement that accept a commit; the value is the proof's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// `CONFIRM`.
    Confirm {
        /// `b.counter`.
        ballot_counter: u32,
        /// `p.counter`.
        prepared_counter: u32,
        /// `c.counter`.
        c_counter: u32,
        /// `h.counter`.
        h_counter: u32,
    },
    /// `EXTERNALIZE`.
    Externalize {
        /// Counter of the lowest confirmed committed ballot.
        commit_counter: u32,
        /// `h.counter`.
        h_counter: u32,
    },
}

impl Word {
    fn of(pledges: &Pledges, value: &Value) -> Option<Self> {
        match pledges {
            Pledges::Confirm {
                ballot,
                prepared_counter,
                c_counter,
                h_counter,
            } if ballot.value == *value => Some(Self::Confirm {
                ballot_counter: ballot.counter,
                prepared_counter: *prepared_counter,
                c_counter: *c_counter,
                h_counter: *h_counter,
            }),
            Pledges::Externalize { commit, h_counter } if commit.value == *value => Some(Self::Externalize {
                commit_counter: commit.counter,
                h_counter: *h_counter,
            }),
            Pledges::Confirm { .. }
            | Pledges::Externalize { .. }
            | Pledges::Nominate { .. }
            | Pledges::Prepare { .. } => None,
        }
    }

    /// The lowest and the highest counter at which it accepts the commit.
    const fn accepted_commits(self) -> (u32, u32) {
        match self {
            Self::Confirm {
                c_counter, h_counter, ..
            } => (c_counter, h_counter),
            Self::Externalize { commit_counter, .. } => (commit_counter, u32::MAX),
        }
    }

    const fn pledges(self, value: Value) -> Pledges {
        match self {
            Self::Confirm {
                ballot_counter,
                prepared_counter,
                c_counter,
                h_counter,
            } => Pledges::Confirm {
                ballot: Ballot {
                    counter: ballot_counter,
                    value,
                },
                prepared_counter,
                c_counter,
                h_counter,
            },
            Self::Externalize {
                commit_counter,
                h_counter,
            } => Pledges::Externalize {
                commit: Ballot {
                    counter: commit_counter,
                    value,
                },
                h_counter,
            },
        }
    }
}

/// Shows that a slot decided a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionProof {
    /// Which slot.
    pub slot: SlotIndex,
    /// What it decided.
    pub value: Value,
    /// Votes that together decide, ascending by member.
    pub votes: BoundedVec<Vote, VOTES_MAX>,
    /// By which keys voted that are not in the quorum set, ascending by account and generation; left out if there are none.
    #[serde(default, skip_serializing_if = "are_none")]
    pub successions: Successions,
}

/// Why votes don't show that a slot decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDecision {
    /// A vote's place is beyond the quorum set's nodes.
    #[error("vote of member {member}, but the quorum set has {members}")]
    UnknownMember {
        /// Place named.
        member: u16,
        /// Nodes in the quorum set.
        members: usize,
    },
    /// Votes are not ascending by member: one is doubled or misplaced.
    #[error("vote {index} is not in order")]
    Unordered {
        /// Place of the vote in the list.
        index: usize,
    },
    /// All votes together don't decide the value.
    #[error("{votes} votes do not decide slot {slot}")]
    NotDecided {
        /// The slot.
        slot: SlotIndex,
        /// Votes given.
        votes: usize,
    },
    /// A succession is none.
    #[error(transparent)]
    Succession(#[from] InvalidSuccession),
    /// A vote's signature is not by its node over this statement on this network.
    #[error("a vote's signature is not valid on this network")]
    VoteSignature,
}

impl DecisionProof {
    /// A smallest proof among `envelopes` (already checked) that `slot` decided `value`; `None` if they don't show it.
    /// Envelopes of other slots, values, kinds and quorum sets are passed over, and those of keys that neither are in the quorum set
    /// nor succeed one by `successions` (already checked).
    #[must_use]
    pub fn from_envelopes<'a>(
        network: &NetworkId,
        voters: impl Into<Voters<'a>>,
        slot: SlotIndex,
        value: Value,
        envelopes: &[Envelope],
        successions: &[Succession],
    ) -> Option<Self> {
        let voters = voters.into();
        let quorum_set = voters.quorum_set();
        let set_hash = quorum_set.hash(network);
        let mut used: Vec<Succession> = successions
            .iter()
            .filter(|succession| {
                envelopes
                    .iter()
                    .any(|envelope| envelope.statement.node == succession.key)
            })
            .cloned()
            .collect();
        used.sort();
        used.dedup_by_key(|succession| succession.place());
        let by_place = voters.by_place(&used).ok()?;
        let mut votes: Vec<Vote> = envelopes
            .iter()
            .filter(|envelope| {
                let statement = &envelope.statement;
                statement.slot == slot && statement.quorum_set == set_hash && statement.pledges.is_sane()
            })
            .filter_map(|envelope| {
                let signs = envelope.statement.node;
                let member = by_place.iter().position(|voter| voter.signs == signs)?;
                Some(Vote {
                    member: u16::try_from(member).ok()?,
                    word: Word::of(&envelope.statement.pledges, &value)?,
                    signature: envelope.signature,
                })
            })
            .collect();
        // Of two words of one seat the later in the protocol counts: its range is the larger.
        let seat = |vote: &Vote| by_place.get(usize::from(vote.member)).map(|voter| voter.seat);
        votes.sort_by_key(|vote| (seat(vote), matches!(vote.word, Word::Confirm { .. })));
        votes.dedup_by_key(|vote| seat(vote));
        votes.sort_by_key(|vote| vote.member);
        let decides = |votes: &[Vote]| {
            let statements: Option<Vec<Statement>> = votes
                .iter()
                .map(|vote| Some(vote.statement(slot, value, set_hash, seat(vote)?)))
                .collect();
            statements.is_some_and(|statements| proves(slot, &value, &statements, quorum_set))
        };
        // One counter must lie in every range; if any does, the lower end of some range does.
        let mut votes = votes.iter().find_map(|vote| {
            let counter = vote.word.accepted_commits().0;
            let agreeing: Vec<Vote> = votes
                .iter()
                .filter(|other| {
                    let (low, high) = other.word.accepted_commits();
                    (low..=high).contains(&counter)
                })
                .copied()
                .collect();
            decides(&agreeing).then_some(agreeing)
        })?;
        for index in (0..votes.len()).rev() {
            let mut fewer = votes.clone();
            fewer.remove(index);
            if decides(&fewer) {
                votes = fewer;
            }
        }
        Some(Self {
            slot,
            value,
            votes: BoundedVec::new(votes).ok()?,
            successions: BoundedVec::new(used).ok()?,
        })
    }

    /// Checks that `voters` decided this value in this slot on `network`.
    ///
    /// # Errors
    /// See [`InvalidDecision`].
    pub fn verify<'a>(
        &self,
        network: &NetworkId,
        voters: impl Into<Voters<'a>>,
    ) -> Result<(), InvalidDecision> {
        if all_hold(&self.signature_checks(network, voters)?) {
            Ok(())
        } else {
            Err(InvalidDecision::VoteSignature)
        }
    }

    /// Checks everything but the signatures and returns those as claims, for one batch with others.
    ///
    /// # Errors
    /// See [`InvalidDecision`].
    pub fn signature_checks<'a>(
        &self,
        network: &NetworkId,
        voters: impl Into<Voters<'a>>,
    ) -> Result<Vec<SignatureCheck>, InvalidDecision> {
        let voters = voters.into();
        let (envelopes, seats) = self.votes_of(network, &voters)?;
        let statements: Vec<Statement> = envelopes
            .iter()
            .zip(seats)
            .map(|(envelope, seat)| Statement {
                node: seat,
                ..envelope.statement.clone()
            })
            .collect();
        if !proves(self.slot, &self.value, &statements, voters.quorum_set()) {
            return Err(InvalidDecision::NotDecided {
                slot: self.slot,
                votes: statements.len(),
            });
        }
        let of_votes = envelopes.iter().map(|envelope| envelope.signature_check(network));
        let of_successions = self
            .successions
            .iter()
            .flat_map(|succession| succession.signature_checks(network));
        Ok(of_votes.chain(of_successions).collect())
    }

    /// The envelopes that the votes come from.
    ///
    /// # Errors
    /// [`InvalidDecision::UnknownMember`], [`InvalidDecision::Unordered`], [`InvalidDecision::Succession`].
    pub fn envelopes<'a>(
        &self,
        network: &NetworkId,
        voters: impl Into<Voters<'a>>,
    ) -> Result<Vec<Envelope>, InvalidDecision> {
        Ok(self.votes_of(network, &voters.into())?.0)
    }

    /// The keys in the quorum set for which votes are here.
    ///
    /// # Errors
    /// Those of [`Self::envelopes`].
    pub fn seats<'a>(
        &self,
        network: &NetworkId,
        voters: impl Into<Voters<'a>>,
    ) -> Result<Vec<NodeId>, InvalidDecision> {
        Ok(self.votes_of(network, &voters.into())?.1)
    }

    /// The envelopes that the votes come from, and the key in the quorum set for which each counts.
    fn votes_of(
        &self,
        network: &NetworkId,
        voters: &Voters<'_>,
    ) -> Result<(Vec<Envelope>, Vec<NodeId>), InvalidDecision> {
        let set_hash = voters.quorum_set().hash(network);
        let by_place = voters.by_place(&self.successions)?;
        let mut previous: Option<u16> = None;
        let (mut envelopes, mut seats) = (Vec::with_capacity(self.votes.len()), Vec::new());
        for (index, vote) in self.votes.iter().enumerate() {
            if previous.is_some_and(|previous| previous >= vote.member) {
                return Err(InvalidDecision::Unordered { index });
            }
            previous = Some(vote.member);
            let voter = by_place
                .get(usize::from(vote.member))
                .ok_or(InvalidDecision::UnknownMember {
                    member: vote.member,
                    members: by_place.len(),
                })?;
            envelopes.push(Envelope {
                statement: vote.statement(self.slot, self.value, set_hash, voter.signs),
                signature: vote.signature,
            });
            seats.push(voter.seat);
        }
        Ok((envelopes, seats))
    }
}

impl Vote {
    const fn statement(&self, slot: SlotIndex, value: Value, quorum_set: Hash, node: NodeId) -> Statement {
        Statement {
            node,
            slot,
            quorum_set,
            pledges: self.word.pledges(value),
        }
    }
}

/// Shows that a header, and with it the state after its block, is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalityProof {
    /// The header that becomes final, of height `s`.
    pub header: Header,
    /// The proposal of slot `s + 1`, whose parent is the header.
    pub proposal: SignedProposal,
    /// That slot `s + 1` decided the proposal, or the fallback with the same parent.
    pub decision: DecisionProof,
}

/// The part of a finality proof that no change of rules moves: enough to tell "too new for me" from "forged".
#[derive(Deserialize)]
struct Frozen {
    header: FrozenHeader,
}

#[derive(Deserialize)]
struct FrozenHeader {
    version: u32,
    network: NetworkId,
}

/// Why a finality proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFinality {
    /// Bytes are no finality proof.
    #[error("not a finality proof: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// It is about another network.
    #[error("the proof is for another network")]
    OtherNetwork,
    /// Made under rules that this program does not know.
    #[error("the network runs version {version}: this program is too old, update it")]
    UnknownVersion {
        /// Version of the header or the proposal.
        version: u32,
    },
    /// The header names another quorum set as the one that decides the next slot.
    #[error("the header hands over to another backbone than the one trusted here")]
    OtherBackbone,
    /// The proposal is not for the slot after the header.
    #[error("the proposal is for slot {proposal}, the header has height {header}")]
    NotNext {
        /// Slot of the proposal.
        proposal: SlotIndex,
        /// Height of the header.
        header: SlotIndex,
    },
    /// The proposal does not build on this header: header or state root are forged.
    #[error("the proposal's parent is not this header")]
    OtherParent,
    /// The decision is about another slot than the proposal.
    #[error("the decision is about slot {decision}, the proposal about {proposal}")]
    OtherSlot {
        /// Slot decided.
        decision: SlotIndex,
        /// Slot proposed.
        proposal: SlotIndex,
    },
    /// The decided value is neither the proposal nor its fallback.
    #[error("another value than this proposal was decided")]
    OtherValue,
    /// The votes do not decide.
    #[error(transparent)]
    Decision(#[from] InvalidDecision),
    /// The proposal's signature or a vote's is not valid on this network.
    #[error("a signature is not valid on this network")]
    Signature,
}

impl FinalityProof {
    /// Reads a proof, telling one from a newer network apart from one that is no proof at all.
    ///
    /// # Errors
    /// [`InvalidFinality::Encoding`], [`InvalidFinality::UnknownVersion`].
    pub fn decode(bytes: &[u8], network: &NetworkId) -> Result<Self, InvalidFinality> {
        codec::decode(bytes, FINALITY_PROOF_BYTES_MAX).map_err(|error| {
            codec::peek::<Frozen>(bytes, FINALITY_PROOF_BYTES_MAX)
                .map(|frozen| frozen.header)
                .filter(|header| header.network == *network && header.version > PROTOCOL_VERSION_MAX)
                .map_or(InvalidFinality::Encoding(error), |header| {
                    InvalidFinality::UnknownVersion {
                        version: header.version,
                    }
                })
        })
    }

    /// Checks the proof with nothing but the network's id and who decides slot `s + 1`, and returns the header that is final.
    ///
    /// # Errors
    /// See [`InvalidFinality`].
    pub fn verify<'a>(
        &self,
        network: &NetworkId,
        voters: impl Into<Voters<'a>>,
    ) -> Result<&Header, InvalidFinality> {
        let voters = voters.into();
        self.check_links(network, voters.quorum_set())?;
        let mut checks = self.decision.signature_checks(network, voters)?;
        checks.push(self.proposal.signature_check());
        if all_hold(&checks) {
            Ok(&self.header)
        } else {
            Err(InvalidFinality::Signature)
        }
    }

    /// Checks that header, proposal and decision are about each other.
    fn check_links(&self, network: &NetworkId, quorum_set: &QuorumSet) -> Result<(), InvalidFinality> {
        let (header, proposal, decision) = (&self.header, &self.proposal.proposal, &self.decision);
        if header.network != *network || proposal.network != *network {
            return Err(InvalidFinality::OtherNetwork);
        }
        let version = header.version.max(proposal.version);
        if version > PROTOCOL_VERSION_MAX {
            return Err(InvalidFinality::UnknownVersion { version });
        }
        if header.next_backbone != quorum_set.hash(network) {
            return Err(InvalidFinality::OtherBackbone);
        }
        let height = SlotIndex::from(header.height);
        if height.0.checked_add(1) != Some(proposal.slot.0) {
            return Err(InvalidFinality::NotNext {
                proposal: proposal.slot,
                header: height,
            });
        }
        if proposal.parent != header.hash() {
            return Err(InvalidFinality::OtherParent);
        }
        if decision.slot != proposal.slot {
            return Err(InvalidFinality::OtherSlot {
                decision: decision.slot,
                proposal: proposal.slot,
            });
        }
        let value = proposal.value();
        if decision.value != value && decision.value != empty_value(network, &value) {
            return Err(InvalidFinality::OtherValue);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
