//! How fresh what was shown is (`docs/spec/light.md` §8, TC25): what nodes say is the newest, and what to make of several answers.
//!
//! Whether something is so a proof says alone; answers only tell how new it is, and whether somebody withholds news.

use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};
use watt_primitives::codec;
use watt_primitives::hash::Domain;
use watt_primitives::key::{SignatureCheck, signing_bytes};
use watt_primitives::{BlockHeight, Hash, NetworkId, NodeId, SecretKey, Signature, Timestamp};

use crate::finality::FinalityProof;

/// How old the newest proven slot may be to be fresh, in milliseconds.
pub const FRESH_MS_MAX: u64 = 60_000;

/// How far a proven slot may lie ahead of the asker's clock before that clock is doubted, in milliseconds.
pub const AHEAD_MS_MAX: u64 = 10_000;

/// How many nodes are asked if one's own does not answer well enough.
pub const SOURCES_MAX: usize = 9;

/// How many independent sources must agree, where there are several.
pub const AGREEING_MIN: usize = 2;

/// A block by height and hash of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockName {
    /// Height.
    pub height: BlockHeight,
    /// Hash of its header.
    pub hash: Hash,
}

/// What is signed: the block, for whoever chose the nonce, so that an old answer is none.
#[derive(Serialize)]
struct Said<'a> {
    height: BlockHeight,
    hash: &'a Hash,
    nonce: &'a Hash,
}

/// A node's word: this is the newest block that is final here, up to the height that was asked about. It may be passed on by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedNewest {
    /// The block.
    pub block: BlockName,
    /// The network identity that says so; not a voting key.
    pub node: NodeId,
    /// Over block and nonce, in the domain `newest`.
    pub signature: Signature,
}

impl SignedNewest {
    /// Says it with a node's network identity.
    #[must_use]
    pub fn sign(network: &NetworkId, block: BlockName, nonce: &Hash, identity: &SecretKey) -> Self {
        let signature = identity.sign(Domain::Newest, network, &said(&block, nonce));
        Self {
            block,
            node: identity.node_id(),
            signature,
        }
    }

    /// Whether `node` said it, to the question with this nonce.
    #[must_use]
    pub fn is_of(&self, network: &NetworkId, nonce: &Hash, node: &NodeId) -> bool {
        let check = SignatureCheck {
            key: (*node).into(),
            message: signing_bytes(Domain::Newest, network, &said(&self.block, nonce)),
            signature: self.signature,
        };
        self.node == *node && check.holds()
    }
}

fn said(block: &BlockName, nonce: &Hash) -> alloc::vec::Vec<u8> {
    codec::encode(&Said {
        height: block.height,
        hash: &block.hash,
        nonce,
    })
}

/// A block that a valid proof shows to be final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Which.
    pub block: BlockName,
    /// Close time of the slot that made it final: when the network was last seen to agree.
    pub at: Timestamp,
}

impl Proven {
    /// What a proof shows that was verified.
    #[must_use]
    pub fn by(verified: &FinalityProof) -> Self {
        Self {
            block: BlockName {
                height: verified.header.height,
                hash: verified.header.hash(),
            },
            at: verified.proposal.proposal.close_time,
        }
    }
}

/// What a source answered; its signature was checked, and its proof if it gave one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<S> {
    /// Whose it is: of equal ones one counts.
    pub source: S,
    /// What it says is the newest.
    pub newest: BlockName,
    /// What it proved, if that held.
    pub proven: Option<Proven>,
}

/// Whether two proofs that hold contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proofs {
    /// All of them can be.
    Agree,
    /// Two can't both be: more of the backbone lies than the network bears.
    Contradict,
}

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Light {
    /// Proven, new, and seen by enough sources.
    Green,
    /// What is proven is so, and there may be news.
    Amber,
    /// Believe nothing.
    Red,
}

/// What decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// All is well.
    Fresh,
    /// Two proofs that hold contradict each other.
    Contradiction,
    /// Nobody answered.
    NoAnswer,
    /// Nobody proved anything.
    NoProof,
    /// The proven slot lies ahead of the asker's clock.
    ClockBehind,
    /// The newest proven slot is old.
    Old,
    /// Too few independent sources agree.
    FewSources,
}

/// What answers come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What to show.
    pub light: Light,
    /// Why.
    pub reason: Reason,
    /// The newest block that was proven.
    pub newest: Option<Proven>,
    /// How old its slot is, in milliseconds.
    pub age_ms: u64,
    /// Independent sources that agree: they name a block that was proven, and is fresh.
    pub agreeing: usize,
}

/// What to make of answers, given at `now` by the asker's clock, if `needed` independent sources must agree.
///
/// No number of answers makes anything true or untrue: without a proof nothing is shown, and against one nothing counts but another.
#[must_use]
pub fn judge<S: Copy + Ord>(
    answers: &[Answer<S>],
    proofs: Proofs,
    needed: usize,
    now: Timestamp,
) -> Judgement {
    let age_of = |proven: &Proven| now.0.saturating_sub(proven.at.0);
    let all_proven = || answers.iter().filter_map(|answer| answer.proven);
    let newest = all_proven().max_by_key(|proven| (proven.block.height, proven.at));
    let fresh: BTreeSet<BlockName> = all_proven()
        .filter(|proven| age_of(proven) < FRESH_MS_MAX)
        .map(|proven| proven.block)
        .collect();
    let agreeing: BTreeSet<S> = answers
        .iter()
        .filter(|answer| fresh.contains(&answer.newest))
        .map(|answer| answer.source)
        .collect();
    let age_ms = newest.as_ref().map_or(0, age_of);
    let (light, reason) = if proofs == Proofs::Contradict {
        (Light::Red, Reason::Contradiction)
    } else if answers.is_empty() {
        (Light::Amber, Reason::NoAnswer)
    } else if let Some(newest) = &newest {
        if newest.at.0 > now.plus(AHEAD_MS_MAX).0 {
            (Light::Amber, Reason::ClockBehind)
        } else if age_ms >= FRESH_MS_MAX {
            (Light::Amber, Reason::Old)
        } else if agreeing.len() < needed {
            (Light::Amber, Reason::FewSources)
        } else {
            (Light::Green, Reason::Fresh)
        }
    } else {
        (Light::Amber, Reason::NoProof)
    };
    Judgement {
        light,
        reason,
        newest,
        age_ms,
        agreeing: agreeing.len(),
    }
}

#[cfg(test)]
mod tests;
