//! What a seat of the backbone signs and commits to beside blocks (`docs/spec/ledger.md` §13, §14): voting keys for one term each,
//! hash onions of which the beacon is made, and the cold key from which a seat can be taken back.

use crate::proposal::SignedProposal;
use serde::{Deserialize, Serialize};
use watt_primitives::hash::{self, Domain, DomainHasher};
use watt_primitives::key::SignatureCheck;
use watt_primitives::{AccountId, Hash, NetworkId, NodeId, PublicKey, SecretKey, Signature, SlotIndex, Term};
use watt_primitives::{codec, codec::InvalidEncoding};
use watt_scp::{Envelope, Pledges, Value};

/// The most terms ahead for which somebody can have a voting key.
pub const KEYS_AHEAD_MAX: usize = 14;

/// A voting key for one term, with proof that whoever registers it has it, and the onion for that term's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewVotingKey {
    /// The key; must be registrable and never registered by anybody.
    pub key: NodeId,
    /// The outermost layer of the hash onion for that term (see [`Onion`]).
    pub onion: Hash,
    /// By `key` over account and term, in [`Domain::VotingKey`].
    pub possession: Signature,
}

/// What a voting key signs when it is registered.
#[derive(Serialize)]
struct Possession<'a> {
    account: &'a AccountId,
    term: Term,
    onion: &'a Hash,
}

impl NewVotingKey {
    /// Signs for `account` and `term`.
    #[must_use]
    pub fn sign(key: &SecretKey, account: &AccountId, term: Term, onion: Hash, network: &NetworkId) -> Self {
        let onion_ref = &onion;
        let message = codec::encode(&Possession {
            account,
            term,
            onion: onion_ref,
        });
        Self {
            key: key.node_id(),
            possession: key.sign(Domain::VotingKey, network, &message),
            onion,
        }
    }

    /// The claim that whoever registers it for `account` and `term` has the key.
    #[must_use]
    pub fn signature_check(&self, account: &AccountId, term: Term, network: &NetworkId) -> SignatureCheck {
        let message = codec::encode(&Possession {
            account,
            term,
            onion: &self.onion,
        });
        SignatureCheck::new(
            self.key.into(),
            Domain::VotingKey,
            network,
            &message,
            self.possession,
        )
    }
}

/// A hash onion: as many layers as a term has windows, the outermost known to all, one taken off per window.
///
/// Whoever keeps the seed makes every layer from it; nobody else can tell a layer before it is shown.
#[derive(Clone, Debug)]
pub struct Onion {
    network: NetworkId,
    seed: Hash,
    n_windows: u64,
}

impl Onion {
    /// The onion of a secret `seed` for a term of `n_windows` windows.
    #[must_use]
    pub const fn new(network: NetworkId, seed: Hash, n_windows: u64) -> Self {
        Self {
            network,
            seed,
            n_windows,
        }
    }

    /// What is registered.
    #[must_use]
    pub fn outermost(&self) -> Hash {
        wrap(&self.network, self.seed, self.n_windows)
    }

    /// What is revealed of the term's window number `at`, counted from 0; the seed itself of the last one and all after.
    #[must_use]
    pub fn layer(&self, at: u64) -> Hash {
        let below = self.n_windows.saturating_sub(at.saturating_add(1));
        wrap(&self.network, self.seed, below)
    }
}

/// Puts `layers` layers around `inner`.
#[must_use]
pub fn wrap(network: &NetworkId, inner: Hash, layers: u64) -> Hash {
    (0..layers).fold(inner, |layer, _| {
        hash::hash(Domain::Onion, network, &[layer.as_ref()])
    })
}

/// What is registered of a seat's cold key, so that the key itself is seen by nobody before it is used. It names no network: it may
/// stand in the genesis document, from which the network's id is made.
#[must_use]
pub fn cold_key_hash(key: &PublicKey) -> Hash {
    DomainHasher::without_network(Domain::ColdKey)
        .part(&key.to_bytes())
        .finish()
}

/// Two signed things that no correct node signs both: proof that whoever holds the key is faulty (TC27).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Evidence {
    /// Two CONFIRM or EXTERNALIZE statements of one slot with different values.
    Statements {
        /// One of them.
        one: Envelope,
        /// The other.
        other: Envelope,
    },
    /// Two proposals of one slot.
    Proposals {
        /// One of them.
        one: SignedProposal,
        /// The other.
        other: SignedProposal,
    },
}

/// Why something is no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvidence {
    /// Not of one key and one slot, or not of this network.
    #[error("the two are not of one key and one slot of this network")]
    Apart,
    /// A correct node may have signed both.
    #[error("the two don't contradict each other")]
    NoContradiction,
    /// A signature does not hold.
    #[error("a signature does not hold")]
    Signature,
}

/// Whom evidence is against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// The key that signed both.
    pub key: NodeId,
    /// The slot of both.
    pub slot: SlotIndex,
}

impl Evidence {
    /// Decodes evidence of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`InvalidEncoding`].
    pub fn decode(bytes: &[u8], bytes_max: usize) -> Result<Self, InvalidEncoding> {
        codec::decode(bytes, bytes_max)
    }

    /// The key that one of the two names; whether it signed both, [`Self::verify`] says.
    #[must_use]
    pub const fn key(&self) -> NodeId {
        match self {
            Self::Statements { one, .. } => one.statement.node,
            Self::Proposals { one, .. } => one.proposal.proposer,
        }
    }

    /// Whom it is against, if it is evidence at all.
    ///
    /// # Errors
    /// The first rule broken; signatures last.
    pub fn verify(&self, network: &NetworkId) -> Result<Culprit, InvalidEvidence> {
        let (culprit, checks) = match self {
            Self::Statements { one, other } => {
                let (said, also) = (&one.statement, &other.statement);
                if (said.node, said.slot) != (also.node, also.slot) {
                    return Err(InvalidEvidence::Apart);
                }
                let values = accepted(&said.pledges).zip(accepted(&also.pledges));
                if values.is_none_or(|(value, other)| value == other) {
                    return Err(InvalidEvidence::NoContradiction);
                }
                let culprit = Culprit {
                    key: said.node,
                    slot: said.slot,
                };
                let checks = [one.signature_check(network), other.signature_check(network)];
                (culprit, checks)
            }
            Self::Proposals { one, other } => {
                let (said, also) = (&one.proposal, &other.proposal);
                let is_here = said.network == *network && also.network == *network;
                if !is_here || (said.proposer, said.slot) != (also.proposer, also.slot) {
                    return Err(InvalidEvidence::Apart);
                }
                if said == also {
                    return Err(InvalidEvidence::NoContradiction);
                }
                let culprit = Culprit {
                    key: said.proposer,
                    slot: said.slot,
                };
                (culprit, [one.signature_check(), other.signature_check()])
            }
        };
        if checks.iter().all(SignatureCheck::holds) {
            Ok(culprit)
        } else {
            Err(InvalidEvidence::Signature)
        }
    }
}

/// The value whose commit a statement says was accepted: from then on a correct node names no other in that slot. Whatever was said
/// before may have changed for good reasons.
fn accepted(pledges: &Pledges) -> Option<Value> {
    if !pledges.is_sane() {
        return None;
    }
    match pledges {
        Pledges::Nominate { .. } | Pledges::Prepare { .. } => None,
        Pledges::Confirm { ballot, .. } => Some(ballot.value),
        Pledges::Externalize { commit, .. } => Some(commit.value),
    }
}

#[cfg(test)]
mod tests;
