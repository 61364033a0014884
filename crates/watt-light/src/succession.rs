//! A lost voting key is replaced by the seat's cold key, without a block (`docs/spec/ledger.md` §16, TC1): a network that stands
//! still because keys are lost can't decide anything about them.
//!
//! A successor votes *for the seat*: whatever keys speak for it, it counts once.

use crate::backbone::{Backbone, SEATS_MAX};
use crate::duty::cold_key_hash;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::key::SignatureCheck;
use watt_primitives::{
    AccountId, BoundedVec, Domain, NetworkId, NodeId, PublicKey, SecretKey, Signature, SlotIndex, Term, codec,
};
use watt_scp::finality::proves;
use watt_scp::{Envelope, QuorumSet, Statement, Value};

/// The most successions of one seat in one term: a cold key that replaces a voting key over and over can't keep others busy for ever.
pub const GENERATIONS_MAX: u8 = 8;

/// The most successions of one term.
pub const SUCCESSIONS_MAX: usize = SEATS_MAX * 8;

/// The most bytes of an encoded succession.
pub const SUCCESSION_BYTES_MAX: usize = 512;

/// Successions with which votes of one proof were signed.
pub type Successions = BoundedVec<Succession, SEATS_MAX>;

/// Another key votes for a seat in one term, in place of the one in the backbone and of all successors of lower generation.
///
/// Encoded as the list of its fields: proofs carry it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub struct Succession {
    /// In which term.
    pub term: Term,
    /// Whose seat it is.
    pub account: AccountId,
    /// From 1; the highest is the one that votes.
    pub generation: u8,
    /// The key that votes from now on.
    pub key: NodeId,
    /// The seat's cold key, whose hash stands in the backbone.
    pub cold_key: PublicKey,
    /// By `key`: nobody names a key that belongs to others.
    pub possession: Signature,
    /// By `cold_key`.
    pub signature: Signature,
}

type Fields = (Term, AccountId, u8, NodeId, PublicKey, Signature, Signature);

impl From<Fields> for Succession {
    fn from((term, account, generation, key, cold_key, possession, signature): Fields) -> Self {
        Self {
            term,
            account,
            generation,
            key,
            cold_key,
            possession,
            signature,
        }
    }
}

impl From<Succession> for Fields {
    fn from(succession: Succession) -> Self {
        (
            succession.term,
            succession.account,
            succession.generation,
            succession.key,
            succession.cold_key,
            succession.possession,
            succession.signature,
        )
    }
}

/// What both keys sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// In which term.
    pub term: Term,
    /// Whose seat it is.
    pub account: AccountId,
    /// From 1.
    pub generation: u8,
    /// The key that shall vote.
    pub key: NodeId,
}

impl Claim {
    /// The signature of one of the two keys.
    #[must_use]
    pub fn sign(&self, key: &SecretKey, network: &NetworkId) -> Signature {
        key.sign(Domain::Succession, network, &codec::encode(self))
    }
}

/// Why a succession is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSuccession {
    /// The quorum set is not known as a backbone's, or as another term's.
    #[error("a succession of another term")]
    OtherTerm,
    /// The account has no seat in this term, or committed to another cold key, or to none.
    #[error("a succession by a key that is not the cold key of a seat of this term")]
    NotCold,
    /// Generation 0, or above [`GENERATIONS_MAX`].
    #[error("a succession of generation {0}; there are 1 to {GENERATIONS_MAX}")]
    Generation(u8),
    /// The new key is unsafe, or votes for a seat already.
    #[error("the new key can't be used")]
    Key,
    /// Successions are not ascending.
    #[error("successions are not in order")]
    Unordered,
}

impl Succession {
    /// The succession that both keys agree on.
    #[must_use]
    pub fn sign(claim: Claim, key: &SecretKey, cold_key: &SecretKey, network: &NetworkId) -> Self {
        Self::new(claim, claim.sign(key, network), cold_key, network)
    }

    /// The succession on which the new key agreed already.
    #[must_use]
    pub fn new(claim: Claim, possession: Signature, cold_key: &SecretKey, network: &NetworkId) -> Self {
        Self {
            term: claim.term,
            account: claim.account,
            generation: claim.generation,
            key: claim.key,
            cold_key: cold_key.public(),
            possession,
            signature: claim.sign(cold_key, network),
        }
    }

    /// Seat and generation: there is one succession of each in a term.
    #[must_use]
    pub const fn place(&self) -> (AccountId, u8) {
        (self.account, self.generation)
    }

    /// What both keys signed.
    #[must_use]
    pub const fn claim(&self) -> Claim {
        Claim {
            term: self.term,
            account: self.account,
            generation: self.generation,
            key: self.key,
        }
    }

    /// The key in the backbone of `term` for whose seat this one votes.
    ///
    /// # Errors
    /// Everything that is wrong with it but its signatures.
    pub fn seat(&self, term: Term, backbone: &Backbone) -> Result<NodeId, InvalidSuccession> {
        if self.term != term {
            return Err(InvalidSuccession::OtherTerm);
        }
        if !(1..=GENERATIONS_MAX).contains(&self.generation) {
            return Err(InvalidSuccession::Generation(self.generation));
        }
        let seat = backbone.of_account(&self.account);
        let seat = seat.filter(|seat| seat.cold_key == Some(cold_key_hash(&self.cold_key)));
        let seat = seat.ok_or(InvalidSuccession::NotCold)?;
        if backbone.of_key(&self.key).is_some() || !PublicKey::from(self.key).is_registrable() {
            return Err(InvalidSuccession::Key);
        }
        Ok(seat.key)
    }

    /// The claims that both keys signed it.
    #[must_use]
    pub fn signature_checks(&self, network: &NetworkId) -> [SignatureCheck; 2] {
        let message = codec::encode(&self.claim());
        let check =
            |key, signature| SignatureCheck::new(key, Domain::Succession, network, &message, signature);
        [
            check(self.key.into(), self.possession),
            check(self.cold_key, self.signature),
        ]
    }
}

/// Who may have voted in a proof: a quorum set, and if it is that of a term's backbone, those who succeed its keys.
#[derive(Clone, Copy, Debug)]
pub struct Voters<'a> {
    quorum_set: &'a QuorumSet,
    seats: Option<(Term, &'a Backbone)>,
}

impl<'a> From<&'a QuorumSet> for Voters<'a> {
    /// Nobody succeeds anybody.
    fn from(quorum_set: &'a QuorumSet) -> Self {
        Self {
            quorum_set,
            seats: None,
        }
    }
}

/// A key by its place in a proof: those of the quorum set, ascending, then those of the proof's successions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Voter {
    /// The key that signs.
    pub(crate) signs: NodeId,
    /// The key in the quorum set for which it counts.
    pub(crate) seat: NodeId,
}

impl<'a> Voters<'a> {
    /// Those of `term`, whose backbone has this quorum set.
    #[must_use]
    pub const fn of_term(term: Term, backbone: &'a Backbone, quorum_set: &'a QuorumSet) -> Self {
        Self {
            quorum_set,
            seats: Some((term, backbone)),
        }
    }

    /// Their quorum set.
    #[must_use]
    pub const fn quorum_set(&self) -> &'a QuorumSet {
        self.quorum_set
    }

    /// The signatures on which it rests that these envelopes show that `slot` decided `value`, those of `successions` included; `None`
    /// if they show nothing, whoever signed them.
    #[must_use]
    pub fn decision_claims(
        &self,
        network: &NetworkId,
        slot: SlotIndex,
        value: &Value,
        envelopes: &[Envelope],
        successions: &[Succession],
    ) -> Option<Vec<SignatureCheck>> {
        let successors: BTreeMap<NodeId, NodeId> = self
            .by_place(successions)
            .ok()?
            .into_iter()
            .map(|voter| (voter.signs, voter.seat))
            .collect();
        let statements: Vec<Statement> = envelopes
            .iter()
            .map(|envelope| {
                let said = &envelope.statement;
                Statement {
                    node: successors.get(&said.node).copied().unwrap_or(said.node),
                    ..said.clone()
                }
            })
            .collect();
        let of_successions = || {
            let checks = successions.iter().map(|one| one.signature_checks(network));
            checks.flatten()
        };
        proves(slot, value, &statements, self.quorum_set).then(|| {
            let of_votes = envelopes.iter().map(|one| one.signature_check(network));
            of_votes.chain(of_successions()).collect()
        })
    }

    /// All of them, by their places, if these successions are the proof's; their signatures are left to check.
    pub(crate) fn by_place(&self, successions: &[Succession]) -> Result<Vec<Voter>, InvalidSuccession> {
        let places = || successions.iter().map(Succession::place);
        if !places().zip(places().skip(1)).all(|(one, next)| one < next) {
            return Err(InvalidSuccession::Unordered);
        }
        let members = members(self.quorum_set);
        let mut voters: Vec<Voter> = members
            .into_iter()
            .map(|node| Voter {
                signs: node,
                seat: node,
            })
            .collect();
        for succession in successions {
            let (term, backbone) = self.seats.ok_or(InvalidSuccession::OtherTerm)?;
            voters.push(Voter {
                signs: succession.key,
                seat: succession.seat(term, backbone)?,
            });
        }
        Ok(voters)
    }
}

/// All nodes of a quorum set, ascending, each once.
fn members(quorum_set: &QuorumSet) -> Vec<NodeId> {
    let mut nodes = Vec::new();
    quorum_set.for_each_node(&mut |node| nodes.push(*node));
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Whether there are none: most proofs need none, and leave the list out.
pub fn are_none(successions: &Successions) -> bool {
    successions.is_empty()
}

#[cfg(test)]
mod tests;
