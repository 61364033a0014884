//! What somebody shows about the ledger, to be checked alone (`docs/spec/light.md` §6): the way to the backbone that decided, that a
//! block is final, and what an entry of the state is after it.

use crate::backbone::Backbone;
use crate::duty::Evidence;
use crate::finality::{FinalityProof, InvalidFinality};
use crate::hand_over::{HandOver, InvalidHandOver, Walk, walk};
use crate::restart::{Plans, are_none, network_after};
use crate::state_proof::{InvalidStateProof, StateProof};
use crate::succession::Voters;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::{BoundedBytes, BoundedVec, NetworkId, NodeId};
use watt_scp::Envelope;

/// The most bytes of an entry's key.
pub const ENTRY_KEY_BYTES_MAX: usize = 1024;

/// The most bytes of an entry's value.
pub const ENTRY_VALUE_BYTES_MAX: usize = 1 << 20;

/// The most hand-overs: one a day for more than eleven years.
pub const HAND_OVERS_MAX: usize = 4096;

/// That a block is final, and perhaps what one entry of the state is after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// The plans of the network's restarts, in their order; left out if there are none.
    #[serde(default, skip_serializing_if = "are_none")]
    pub plans: Plans,
    /// One for every term before the one in which the block was made final, from term 0 on.
    pub hand_overs: BoundedVec<HandOver, HAND_OVERS_MAX>,
    /// That its header is final.
    pub finality: FinalityProof,
    /// An entry of the state after it.
    pub entry: Option<ShownEntry>,
}

/// An entry of the state, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownEntry {
    /// Its key (`docs/spec/ledger.md` §1).
    pub key: BoundedBytes<ENTRY_KEY_BYTES_MAX>,
    /// Its value; none if no entry stands under the key.
    pub value: Option<BoundedBytes<ENTRY_VALUE_BYTES_MAX>>,
    /// That this is so under the header's state root.
    pub proof: StateProof,
}

/// Why what is shown is not so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShown {
    /// The way to its backbone leads nowhere.
    #[error("the way from the first backbone breaks off: {0}")]
    Way(#[from] InvalidHandOver),
    /// The way leads to another term than the one in which the block was made final.
    #[error("the way leads to term {found}, the block was made final in term {wanted}")]
    Term {
        /// Where it leads.
        found: u64,
        /// Where it should.
        wanted: u64,
    },
    /// The block is not shown to be final.
    #[error(transparent)]
    Finality(#[from] InvalidFinality),
    /// The entry is not shown to be in its state.
    #[error(transparent)]
    Entry(#[from] InvalidStateProof),
}

impl Shown {
    /// The network of which this is shown, `first` being what its genesis names; `None` if its plans do not follow one another.
    ///
    /// Whoever knows this id knows the plans: it is made of them.
    #[must_use]
    pub fn network(&self, first: NetworkId) -> Option<NetworkId> {
        network_after(first, self.plans.iter())
    }

    fn over_plans(&self, begin: Walk) -> Walk {
        begin.following(self.plans.iter().cloned())
    }

    /// Checks everything with where the walk begins, which the genesis document says, and the plans, whose network [`Self::network`] names;
    /// returns the backbone that made the block final.
    ///
    /// # Errors
    /// See [`InvalidShown`].
    pub fn verify(&self, begin: Walk) -> Result<Backbone, InvalidShown> {
        let reached = walk(self.over_plans(begin), &self.hand_overs)?;
        let wanted = reached.terms().of_height(self.finality.header.height.next());
        if reached.term() != wanted {
            return Err(InvalidShown::Term {
                found: reached.term().0,
                wanted: wanted.0,
            });
        }
        let quorum_set = reached.backbone().quorum_set();
        let voters = Voters::of_term(reached.term(), reached.backbone(), &quorum_set);
        let header = self.finality.verify(reached.network(), voters)?;
        if let Some(entry) = &self.entry {
            let value = entry.value.as_deref();
            entry.proof.verify(&header.state_root, &entry.key, value)?;
        }
        Ok(reached.backbone().clone())
    }

    /// Who voted for both, if this and `other`, which both hold, can't both be: they show different headers of one height, or somewhere on
    /// their ways a backbone hands over to two. `None` if they do not contradict each other; nobody is named where a backbone agreed to
    /// two at different heights, since no two of its votes contradict each other by themselves.
    #[must_use]
    pub fn contradictors(&self, other: &Self, begin: Walk) -> Option<Vec<NodeId>> {
        self.contradictions(other, begin, |one, other, network, voters| {
            contradictors(one, other, network, voters)
        })
    }

    /// What proves of each of them who signed both with one key that they did, as the ledger takes it; of [`Self::contradictors`].
    #[must_use]
    pub fn evidence(&self, other: &Self, begin: Walk) -> Option<Vec<Evidence>> {
        self.contradictions(other, begin, evidence)
    }

    /// What `of` tells of the first two proofs that contradict each other.
    fn contradictions<T>(
        &self,
        other: &Self,
        begin: Walk,
        of: impl Fn(&FinalityProof, &FinalityProof, &NetworkId, Voters<'_>) -> Vec<T>,
    ) -> Option<Vec<T>> {
        let mut walk = self.over_plans(begin);
        let mut is_split = false;
        for (one, another) in self.hand_overs.iter().zip(&other.hand_overs) {
            let quorum_set = walk.backbone().quorum_set();
            let voters = Voters::of_term(walk.term(), walk.backbone(), &quorum_set);
            let found = of(&one.finality, &another.finality, walk.network(), voters);
            if !found.is_empty() {
                return Some(found);
            }
            is_split = one.backbone != another.backbone;
            if is_split || walk.step(one).is_err() {
                break;
            }
        }
        if is_split {
            return Some(Vec::new());
        }
        let quorum_set = walk.backbone().quorum_set();
        let voters = Voters::of_term(walk.term(), walk.backbone(), &quorum_set);
        let found = of(&self.finality, &other.finality, walk.network(), voters);
        (!found.is_empty()).then_some(found)
    }
}

/// The seats whose votes are in both, if two proofs that hold for these voters are about one height and different headers: with fewer
/// liars than the network bears there are no such proofs. Nobody if they do not contradict each other.
#[must_use]
pub fn contradictors<'a>(
    one: &FinalityProof,
    other: &FinalityProof,
    network: &NetworkId,
    voters: impl Into<Voters<'a>>,
) -> Vec<NodeId> {
    if one.header.height != other.header.height || one.header == other.header {
        return Vec::new();
    }
    let voters = voters.into();
    let seats = |proof: &FinalityProof| proof.decision.seats(network, voters).unwrap_or_default();
    let others = seats(other);
    seats(one)
        .into_iter()
        .filter(|node| others.contains(node))
        .collect()
}

/// The same as evidence: two statements of one slot of each key that signed in both, with different values.
fn evidence(
    one: &FinalityProof,
    other: &FinalityProof,
    network: &NetworkId,
    voters: Voters<'_>,
) -> Vec<Evidence> {
    if contradictors(one, other, network, voters).is_empty() {
        return Vec::new();
    }
    let envelopes = |proof: &FinalityProof| proof.decision.envelopes(network, voters).unwrap_or_default();
    let others = envelopes(other);
    envelopes(one)
        .into_iter()
        .filter_map(|one| {
            let is_same = |other: &&Envelope| other.statement.node == one.statement.node;
            let other = others.iter().find(is_same)?.clone();
            Some(Evidence::Statements { one, other })
        })
        .collect()
}

#[cfg(test)]
mod tests;
