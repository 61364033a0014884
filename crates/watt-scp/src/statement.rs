//! What a node says: statements and their signed carrier, envelopes.

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
