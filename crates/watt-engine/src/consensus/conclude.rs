//! From trials and a decision to a block that is stored.

use super::{Consensus, Context};
use crate::candidates::Body;
use crate::effect::Effect;
use crate::event::ApplyFailure;
use crate::message::DecidedBlock;
use std::sync::Arc;
use watt_ledger::{BlockOutcome, UncheckedBlock};
use watt_primitives::{BoundedVec, NetworkId, TransactionId};
use watt_scp::{Envelope, Input, Statement, Value};

impl Consensus {
    /// A trial is over. Returns transactions to quarantine.
    pub(crate) fn tried(
        &mut self,
        value: Value,
        result: Result<Arc<BlockOutcome>, ApplyFailure>,
        context: &mut Context<'_>,
    ) -> Vec<TransactionId> {
        if self
            .decision
            .as_ref()
            .is_some_and(|decision| decision.value == value)
            && self
                .candidates
                .resolve(&value)
                .is_some_and(|(_, is_fallback)| is_fallback)
        {
            if let Ok(outcome) = result {
                self.commit(value, outcome, context);
            }
            return Vec::new();
        }
        let network = self.network;
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return Vec::new();
        };
        let Body::Trying(block) = &candidate.body else {
            return Vec::new();
        };
        let block = Arc::clone(block);
        let mut culprits = Vec::new();
        match result {
            Ok(outcome) => candidate.body = Body::Good(block, outcome),
            Err(failure) => {
                tracing::warn!(slot = self.slot.0, %failure, "a proposed block failed its trial");
                culprits = culprits_of(&block, &failure, &network);
                candidate.body = Body::Bad(failure);
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
            };
            context.effects.push(Effect::Apply {
                value,
                block: Arc::new(block),
            });
            return;
        }
        match &candidate.body {
            Body::Good(_, outcome) => {
                let outcome = Arc::clone(outcome);
                self.commit(value, outcome, context);
            }
            // The trial's end concludes.
            Body::Trying(_) => {}
            Body::Missing => {
                self.candidates.accept(&proposed);
                self.await_body(proposed, context);
                self.ask_body(proposed, context);
            }
            // Others have tried it in time: the block comes from them, and is then applied however long it takes.
            Body::Bad(ApplyFailure::TooSlow) => {}
            Body::Bad(failure) => {
                let sentence = format!(
                    "block {} was agreed on by the network but cannot be executed here ({failure}); update this program",
                    self.slot
                );
                context.effects.push(Effect::Halt(sentence));
            }
        }
    }

    pub(super) fn commit(&mut self, value: Value, outcome: Arc<BlockOutcome>, context: &mut Context<'_>) {
        let Some(decision) = self.decision.take_if(|decision| decision.value == value) else {
            return;
        };
        let Some((proposed, is_empty)) = self.candidates.resolve(&value) else {
            return;
        };
        let Some(candidate) = self.candidates.get(&proposed) else {
            return;
        };
        let transactions = match &candidate.body {
            Body::Good(block, _) if !is_empty => block.transactions.clone(),
            Body::Good(..) | Body::Trying(_) | Body::Missing | Body::Bad(_) => Vec::new(),
        };
        let envelopes: Vec<Envelope> = decision
            .statements
            .iter()
            .filter_map(|statement| self.envelopes.get(statement).cloned())
            .collect();
        let said: Vec<Statement> = envelopes
            .iter()
            .map(|envelope| envelope.statement.clone())
            .collect();
        if !watt_scp::finality::proves(self.slot, &value, &said, &self.deciders.quorum_set) {
            // Own statements count here that were never said (muted): a peer that has the proof sends the block.
            tracing::debug!(
                slot = self.slot.0,
                "decided, but not provably; waiting for a peer's proof"
            );
            return;
        }
        let (Ok(transactions), Ok(decision)) = (BoundedVec::new(transactions), BoundedVec::new(envelopes))
        else {
            return;
        };
        self.is_committing = true;
        let block = DecidedBlock {
            proposal: candidate.signed.clone(),
            is_empty,
            transactions,
            decision,
        };
        context.effects.push(Effect::Commit {
            blocks: Arc::new(vec![block]),
            outcomes: vec![outcome],
        });
    }
}

/// Whom to keep out of own proposals after a failed trial: the culprit if it is known, else everyone in the block.
fn culprits_of(block: &UncheckedBlock, failure: &ApplyFailure, network: &NetworkId) -> Vec<TransactionId> {
    let ids = || {
        block
            .transactions
            .iter()
            .map(|signed| signed.transaction.id(network))
    };
    match failure {
        ApplyFailure::Panicked { culprit: Some(at) } => ids().skip(*at).take(1).collect(),
        ApplyFailure::Panicked { culprit: None } | ApplyFailure::TooSlow => ids().collect(),
        ApplyFailure::Invalid(_) | ApplyFailure::Undecided => Vec::new(),
    }
}
