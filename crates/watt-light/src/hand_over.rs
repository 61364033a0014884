//! From one backbone to the next (`docs/spec/light.md` §7): each term's backbone vouches for the one of the term after, so whoever
//! knows the first one and a hand-over of every term since knows the newest (TC37).

use crate::backbone::{Backbone, InvalidBackbone, Terms, backbone_key};
use crate::finality::{FinalityProof, InvalidFinality};
use crate::restart::RestartPlan;
use crate::state_proof::{InvalidStateProof, StateProof};
use crate::succession::Voters;
use alloc::collections::VecDeque;
use serde::{Deserialize, Serialize};
use watt_primitives::{BlockHeight, NetworkId, Term, codec};

/// The most bytes of an encoded hand-over in a state of up to 2^32 entries.
pub const HAND_OVER_BYTES_MAX: usize = 32 * 1024;

/// That a term's backbone agreed to the one of the term after: it made final a header from which on that one can't change any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// That the header is final.
    pub finality: FinalityProof,
    /// The backbone of the term after.
    pub backbone: Backbone,
    /// That it stands in the state after the header's block.
    pub proof: StateProof,
}

/// Why a hand-over leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHandOver {
    /// The header lies in another term, or before the next backbone was final.
    #[error("block {height} can't hand over from term {term}")]
    Height {
        /// The header's height.
        height: u64,
        /// The term that the walk has reached.
        term: u64,
    },
    /// The header is not shown to be final by the term's own backbone.
    #[error(transparent)]
    Finality(#[from] InvalidFinality),
    /// The entries make no backbone.
    #[error(transparent)]
    Backbone(#[from] InvalidBackbone),
    /// The next backbone is not shown to be in the state.
    #[error(transparent)]
    Entry(#[from] InvalidStateProof),
}

/// How far somebody has come from the backbone of genesis: to one term and its backbone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    network: NetworkId,
    terms: Terms,
    term: Term,
    backbone: Backbone,
    /// The plans of the restarts on the way that are still ahead.
    plans: VecDeque<RestartPlan>,
    /// The first height of the network as it was restarted last; 0 if it never was.
    first: BlockHeight,
}

impl Walk {
    /// Nobody has walked yet: term 0 and its backbone, from the genesis document.
    #[must_use]
    pub const fn begin(network: NetworkId, terms: Terms, backbone: Backbone) -> Self {
        Self {
            network,
            terms,
            term: Term(0),
            backbone,
            plans: VecDeque::new(),
            first: BlockHeight(0),
        }
    }

    /// The same walk over the restarts by these plans, in their order, which somebody trusts: where one begins, its backbone is that of
    /// the term.
    #[must_use]
    pub fn following(mut self, plans: impl IntoIterator<Item = RestartPlan>) -> Self {
        self.plans.extend(plans);
        self.follow();
        self
    }

    /// The same walk at `term`, of which somebody knows the backbone without having to be shown: as the term before handed over to it.
    #[must_use]
    pub fn at(mut self, term: Term, backbone: Backbone) -> Self {
        while let Some(plan) = self.plans.pop_front_if(|next| next.term(&self.terms) < term) {
            self.network = plan.network_after();
            self.first = plan.first_height();
        }
        (self.term, self.backbone) = (term, backbone);
        self.follow();
        self
    }

    /// Takes the restarts of the term that is reached.
    fn follow(&mut self) {
        while let Some(plan) = self
            .plans
            .pop_front_if(|next| next.network == self.network && next.term(&self.terms) == self.term)
        {
            self.network = plan.network_after();
            self.first = plan.first_height();
            self.backbone = plan.backbone;
        }
    }

    /// The first height of the network as it was restarted last; 0 if it never was.
    #[must_use]
    pub const fn first_height(&self) -> BlockHeight {
        self.first
    }

    /// The first height whose header can hand over from `term`, which is the one that is reached or a later one.
    #[must_use]
    pub fn hands_over_from(&self, term: Term) -> BlockHeight {
        self.terms.final_from(term.next()).max(self.first)
    }

    /// The term from which a header of this height hands over, if it does: that of the height above, which makes it final. If a restart
    /// left its term one height, that is decided by the same people in the term after.
    #[must_use]
    pub fn term_handing_over(&self, height: BlockHeight) -> Term {
        if height == self.first && height > BlockHeight(0) {
            return self.terms.of_height(height);
        }
        self.terms.of_height(height.next())
    }

    /// Whose blocks these are.
    #[must_use]
    pub const fn network(&self) -> &NetworkId {
        &self.network
    }

    /// The term that is reached.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.term
    }

    /// Its backbone.
    #[must_use]
    pub const fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// How heights divide into terms.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Goes on to the next term if the running one's backbone hands over to it; else stays.
    ///
    /// # Errors
    /// See [`InvalidHandOver`].
    pub fn step(&mut self, hand_over: &HandOver) -> Result<(), InvalidHandOver> {
        let (height, next) = (hand_over.finality.header.height, self.term.next());
        let is_decided_here = self.term_handing_over(height) == self.term;
        if !is_decided_here || height < self.hands_over_from(self.term) {
            return Err(InvalidHandOver::Height {
                height: height.0,
                term: self.term.0,
            });
        }
        let quorum_set = self.backbone.quorum_set();
        let voters = Voters::of_term(self.term, &self.backbone, &quorum_set);
        let header = hand_over.finality.verify(&self.network, voters)?;
        let value = codec::encode(&hand_over.backbone);
        let backbone = Backbone::decode(&value)?;
        let key = backbone_key(next);
        hand_over.proof.verify(&header.state_root, &key, Some(&value))?;
        (self.term, self.backbone) = (next, backbone);
        self.follow();
        Ok(())
    }
}

/// Walks from the backbone of genesis over every hand-over, in order from term 0 on.
///
/// # Errors
/// The first hand-over that leads nowhere.
pub fn walk<'a>(
    begin: Walk,
    hand_overs: impl IntoIterator<Item = &'a HandOver>,
) -> Result<Walk, InvalidHandOver> {
    let mut walk = begin;
    for hand_over in hand_overs {
        walk.step(hand_over)?;
    }
    Ok(walk)
}

#[cfg(test)]
mod tests;
