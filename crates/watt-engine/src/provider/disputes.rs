//! Showing what somebody asks to see of a slot, at once and before other work: what is not shown in time is lost
//! (`docs/spec/ledger.md` 9.10).

use super::Provider;
use super::pauses::Job;
use super::view::View;
use crate::effect::Effect;
use crate::submitter::Purpose;
use std::collections::BTreeMap;
use watt_ledger::StateRead;
use watt_ledger::rows::DisputeRow;
use watt_light::transaction::witness_hash;
use watt_light::{Operation, SignedTransaction, SlotRef};

/// Groups that are read and not yet on the ledger, at a time: each is 16 KiB in memory.
const SHOWN_MAX: usize = 32;

/// What becomes of an answer.
#[derive(Clone, Debug)]
enum Stage {
    Reading,
    /// The encoded group.
    Read(Vec<u8>),
}

/// An answer under way.
#[derive(Clone, Debug)]
struct Answer {
    group: u32,
    stage: Stage,
}

/// Answers under way. The ledger says what is asked for, so nothing of this has to outlive the node.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(BTreeMap<SlotRef, Answer>);

impl Provider {
    pub(super) fn answer_disputes(
        &mut self,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<SignedTransaction>,
    ) {
        let mut open: Vec<(SlotRef, DisputeRow)> = view.disputes().collect();
        // What is due first comes first.
        open.sort_unstable_by_key(|(slot, dispute)| (dispute.answer_by, *slot));
        let is_open = |slot: &SlotRef, group: u32| {
            open.iter()
                .any(|(other, dispute)| other == slot && dispute.group == group)
        };
        self.answers.0.retain(|slot, answer| is_open(slot, answer.group));
        for (slot, dispute) in open {
            match self.answers.0.get(&slot).map(|answer| &answer.stage) {
                Some(Stage::Reading) => {}
                Some(Stage::Read(witness)) => {
                    let witness = witness.clone();
                    let operation = Operation::AnswerDispute {
                        deal: slot.deal,
                        slot: slot.slot,
                        group: dispute.group,
                        shown: witness_hash(&self.network, &witness),
                    };
                    self.submit(Purpose::Answer(slot), vec![operation], vec![witness], view, out);
                }
                None if self.answers.0.len() >= SHOWN_MAX || self.pauses.has(Job::Show(slot)) => {}
                None => self.read_group(slot, dispute.group, effects),
            }
        }
    }

    fn read_group(&mut self, slot: SlotRef, group: u32, effects: &mut Vec<Effect>) {
        let answer = Answer {
            group,
            stage: Stage::Reading,
        };
        self.answers.0.insert(slot, answer);
        effects.push(Effect::ShowGroup { slot, group });
    }

    pub(crate) fn group_shown(&mut self, slot: SlotRef, group: u32, result: Result<Vec<u8>, String>) {
        let Some(answer) = self
            .answers
            .0
            .get_mut(&slot)
            .filter(|answer| answer.group == group)
        else {
            return;
        };
        match result {
            Ok(witness) => answer.stage = Stage::Read(witness),
            Err(trouble) => {
                self.answers.0.remove(&slot);
                self.pauses.begin(Job::Show(slot));
                let SlotRef { deal, slot } = slot;
                self.trouble = Some(format!(
                    "group {group} of share {slot} of deal {deal} is asked for and can't be shown: {trouble}"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
