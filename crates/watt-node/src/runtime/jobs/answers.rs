//! A provider's answers to windows: durable before their root is told, and the same in every life (`docs/spec/node.md` 5.6).

use super::{Jobs, Leaves};
use crate::lock::locked;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use watt_engine::effect::WindowJob;
use watt_engine::event::Responded;
use watt_primitives::{Window, codec};
use watt_proofs::Element;
use watt_proofs::post::{self, Responses};
use watt_store::{Journal, JournalError};

/// Windows that were answered last, whose answers are kept: counted, because blocks that come together may leave out any number between.
const WINDOWS_KEPT: usize = 4;

/// Records in the log before those that are not kept are deleted.
const RECORDS_MAX: usize = 64;

/// The most bytes of a record.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One window's answers.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    window: Window,
    responses: Responses,
}

/// The answers of this life and the last.
pub(super) struct Log {
    journal: Journal,
    answers: BTreeMap<Window, Responses>,
    n_records: usize,
}

impl Log {
    /// Of a journal and its records.
    pub(super) fn of((journal, records): (Journal, Vec<Vec<u8>>)) -> Self {
        let answers = records.iter().filter_map(|bytes| decode(bytes));
        Self {
            answers: answers
                .map(|answers| (answers.window, answers.responses))
                .collect(),
            n_records: records.len(),
            journal,
        }
    }

    /// What was answered to this question, with this root if one is given.
    pub(super) fn answers_to(&self, job: &WindowJob, root: Option<Element>) -> Option<Responses> {
        let responses = self.answers.get(&job.window)?;
        let is_it = responses.are_to(&job.asked()) && root.is_none_or(|root| responses.root == root);
        is_it.then(|| responses.clone())
    }

    /// Makes answers durable. After a failed write the next one begins with what the disk still has: nothing was told on its ground.
    fn append(&mut self, answers: Answers) -> Result<(), JournalError> {
        self.journal.recover()?;
        self.journal.append(&[&codec::encode(&answers)])?;
        self.n_records = self.n_records.saturating_add(1);
        self.answers.insert(answers.window, answers.responses);
        while self.answers.len() > WINDOWS_KEPT {
            self.answers.pop_first();
        }
        if self.n_records > RECORDS_MAX {
            let is_kept =
                |bytes: &[u8]| decode(bytes).is_some_and(|old| self.answers.contains_key(&old.window));
            self.journal.retain(is_kept)?;
            self.n_records = self.answers.len();
        }
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Option<Answers> {
    codec::decode(bytes, ANSWER_BYTES_MAX).ok()
}

impl Jobs {
    pub(super) fn respond(&self, job: &WindowJob) -> anyhow::Result<Responded> {
        let mut log = locked(&self.log);
        // Answered in an earlier life: the same answers, so that nothing is said twice.
        let responses = match log.answers_to(job, None) {
            Some(responses) => responses,
            None => {
                let responses = post::respond(&job.asked(), &[], &mut Leaves::new(&self.replicas));
                log.append(Answers {
                    window: job.window,
                    responses: responses.clone(),
                })?;
                responses
            }
        };
        Ok(Responded {
            response_root: responses.root,
            faults: responses.faults,
        })
    }

    pub(super) fn open_window(
        &self,
        job: &WindowJob,
        response_root: Element,
        next_beacon: Element,
    ) -> anyhow::Result<Vec<u8>> {
        let responses = locked(&self.log).answers_to(job, Some(response_root));
        let responses =
            responses.ok_or_else(|| anyhow::anyhow!("the answers to this window are not in the log"))?;
        let mut leaves = Leaves::new(&self.replicas);
        Ok(post::open(&job.asked(), &responses, next_beacon, &mut leaves)?)
    }
}

#[cfg(test)]
mod tests;
