//! From trials and a decision to a block that is stored.

use super::{Consensus, Context};
use crate::candidates::{BodyState, ReadBody, Trial};
use crate::effect::Effect;
use crate::event::ApplyFailure;
use crate::mempool::Place;
use crate::message::DecidedBlock;
use std::sync::Arc;
use watt_ledger::{BlockOutcome, UncheckedBlock};
use watt_light::Heartbeats;
use watt_primitives::{BlockHeight, BoundedVec};
use watt_scp::{Envelope, Input, Statement, Value};

impl Consensus {
    /// A trial is over. Returns what to keep out of own proposals.
    pub(crate) fn tried(
        &mut self,
        value: Value,
        result: Result<Arc<BlockOutcome>, ApplyFailure>,
        context: &mut Context<'_>,
    ) -> Culprits {
        if self
            .decision
            .as_ref()
            .is_some_and(|decision| decision.value == value)
            && self
                .candidates
                .resolve(&value)
                .is_some_and(|(_, is_fallback)| is_fallback)
        {
            match result {
                Ok(outcome) => self.commit(value, outcome, context),
                // The block comes from others, and is then applied however long it takes.
                Err(ApplyFailure::TooSlow) => {}
                Err(failure) => context
                    .effects
                    .push(Effect::Halt(cannot_execute(self.slot.into(), &failure))),
            }
            return Culprits::default();
        }
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return Culprits::default();
        };
        let BodyState::Read(body) = &mut candidate.body else {
            return Culprits::default();
        };
        if !matches!(body.trial, Trial::Running) {
            return Culprits::default();
        }
        let mut culprits = Culprits::default();
        match result {
            Ok(outcome) => body.trial = Trial::Good(outcome),
            Err(failure) => {
                tracing::warn!(slot = self.slot.0, %failure, "a proposed block failed its trial");
                culprits = culprits_of(body, &failure);
                body.trial = Trial::Bad(failure);
            }
        }
        self.step(
            Input::ValidityChanged {
                slot: self.slot,
                value,
            },
            context,
        );
        self.conclude(context);
        culprits
    }

    /// If the slot is decided and its outcome is known, commits; else gets on with what is missing.
    pub(super) fn conclude(&mut self, context: &mut Context<'_>) {
        let Some(decision) = &self.decision else { return };
        let value = decision.value;
        if self.is_committing {
            return;
        }
        let Some((proposed, is_fallback)) = self.candidates.resolve(&value) else {
            return;
        };
        let Some(candidate) = self.candidates.get(&proposed) else {
            return;
        };
        if is_fallback {
            let block = UncheckedBlock {
                proposal: candidate.signed.clone(),
                is_empty: true,
                transactions: Vec::new(),
                heartbeats: Heartbeats::empty(),
            };
            context.effects.push(Effect::Apply {
                value,
                block: Arc::new(block),
            });
            return;
        }
        let body = match &candidate.body {
            BodyState::Read(body) => body,
            BodyState::Missing => {
                self.candidates.accept(&proposed);
                self.await_body(proposed, context);
                self.ask_body(proposed, None, context);
                return;
            }
        };
        match &body.trial {
            Trial::Good(outcome) => {
                let outcome = Arc::clone(outcome);
                self.commit(value, outcome, context);
            }
            // The trial's end concludes.
            Trial::Running => {}
            // Others have tried it in time: the block comes from them, and is then applied however long it takes.
            Trial::Bad(ApplyFailure::TooSlow) => {}
            Trial::Bad(failure) => {
                let sentence = cannot_execute(self.slot.into(), failure);
                context.effects.push(Effect::Halt(sentence));
            }
        }
    }

    /// Stores what was decided, unless a peer's block is being stored in its place: the fallback's trial may end in between.
    pub(super) fn commit(&mut self, value: Value, outcome: Arc<BlockOutcome>, context: &mut Context<'_>) {
        if self.is_committing {
            return;
        }
        let Some(decision) = self.decision.take_if(|decision| decision.value == value) else {
            return;
        };
        let Some((proposed, is_empty)) = self.candidates.resolve(&value) else {
            return;
        };
        let (said, envelopes): (Vec<Statement>, Vec<Envelope>) = decision
            .statements
            .iter()
            .filter_map(|statement| Some((statement.clone(), self.envelopes.get(statement)?.clone())))
            .unzip();
        let successions = self.deciders.successions_of(&envelopes);
        if !watt_scp::finality::proves(self.slot, &value, &said, &self.deciders.quorum_set) {
            // Own statements count here that were never said (muted): a peer that has the proof sends the block.
            tracing::debug!(
                slot = self.slot.0,
                "decided, but not provably; waiting for a peer's proof"
            );
            return;
        }
        let Some(candidate) = self.candidates.get_mut(&proposed) else {
            return;
        };
        // Its trial is over, so nobody else holds the block, and its thousands of transactions are not copied.
        let block = match &mut candidate.body {
            BodyState::Read(body) if !is_empty => body.block.take().map(Arc::unwrap_or_clone),
            BodyState::Read(_) | BodyState::Missing => None,
        };
        let (transactions, heartbeats) =
            block.map_or_else(Default::default, |block| (block.transactions, block.heartbeats));
        let (Ok(transactions), Ok(decision), Ok(successions)) = (
            BoundedVec::new(transactions),
            BoundedVec::new(envelopes),
            BoundedVec::new(successions),
        ) else {
            return;
        };
        self.is_committing = true;
        let block = DecidedBlock {
            proposal: candidate.signed.clone(),
            is_empty,
            transactions,
            heartbeats,
            decision,
            successions,
        };
        context.effects.push(Effect::Commit {
            blocks: Arc::new(vec![block]),
            outcomes: vec![outcome],
        });
    }
}

/// What the owner is told when this program can't follow the network.
pub(crate) fn cannot_execute(height: BlockHeight, why: &impl core::fmt::Display) -> String {
    format!(
        "block {height} was agreed on by the network but cannot be executed here ({why}); update this program"
    )
}

/// What to keep out of own proposals after a failed trial.
#[derive(Debug, Default)]
pub(crate) struct Culprits {
    pub(crate) transactions: Vec<Place>,
    /// Whether it may have been the heartbeats.
    pub(crate) are_heartbeats: bool,
}

/// The culprit if it is known, else everything in the block.
fn culprits_of(body: &ReadBody, failure: &ApplyFailure) -> Culprits {
    let transactions = body.block.iter().flat_map(|block| &block.transactions);
    let places = transactions
        .zip(&body.ids)
        .map(|(signed, id)| Place::of(&signed.transaction, *id));
    match failure {
        ApplyFailure::Panicked { culprit: Some(at) } => Culprits {
            transactions: places.skip(*at).take(1).collect(),
            are_heartbeats: false,
        },
        ApplyFailure::Panicked { culprit: None } | ApplyFailure::TooSlow => Culprits {
            transactions: places.collect(),
            are_heartbeats: body.block.iter().any(|block| !block.heartbeats.is_empty()),
        },
        ApplyFailure::Invalid(_) | ApplyFailure::Undecided | ApplyFailure::NotHere(_) => Culprits::default(),
    }
}
