//! A committee's work: members ask providers for the openings of batches and hand verdicts back, as `watt-node`'s `committee` does.

use super::Trade;
use crate::world::World;
use watt_engine::effect::{ExamineJob, HandVerdictJob};
use watt_engine::examiner::{check_verdict, look_at};
use watt_engine::{Event, NotExamined};
use watt_ledger::Asking;
use watt_primitives::AccountId;

/// Milliseconds until openings are here and looked at, or a verdict is handed back.
const WIRE_MS: u64 = 200;

/// Milliseconds until it is clear that a provider does not answer.
const PATIENCE_MS: u64 = 3_000;

impl World {
    /// The node of a provider that can be reached.
    fn reach(&self, provider: &AccountId) -> Option<usize> {
        self.provider_node(provider).filter(|at| self.nodes[*at].is_up())
    }

    /// A member asks for the openings of a batch and looks at them.
    pub(crate) fn examine(&mut self, node: usize, job: &ExamineJob) {
        let (provider, batch) = (job.batch.provider, job.batch.batch);
        let shown = self.reach(&provider).and_then(|at| {
            let (trade, vault) = (self.nodes[at].trade, &self.nodes[at].disk.vault);
            let shows = trade.is_none_or(Trade::shows_openings);
            let is_captured = trade == Some(Trade::Captor) && job.batch.question.asking == Asking::ToCommit;
            let shown = vault.shown.get(&batch).filter(|_| shows);
            shown.map(|openings| (openings, is_captured))
        });
        let (ms, result) = match shown {
            Some((openings, true)) => {
                let seen = watt_light::transaction::witness_hash(&self.network_of(node), openings);
                (WIRE_MS, Ok(seen))
            }
            Some((openings, false)) => (WIRE_MS, look_at(&job.batch, &self.network_of(node), openings)),
            None => {
                let why = NotExamined::NotShown("nobody answers".to_owned());
                (PATIENCE_MS, Err(why))
            }
        };
        let outcome = match &result {
            Ok(_) => "they hold".to_owned(),
            Err(why) => why.to_string(),
        };
        self.trace.note(
            self.now,
            format_args!(
                "n{node} asks {provider} for the openings of {} sectors from {batch} on: {outcome}",
                job.batch.sectors.len()
            ),
        );
        self.later(
            node,
            ms,
            Event::Examined {
                provider,
                batch,
                result,
            },
        );
    }

    /// A member hands a verdict back; the provider looks at it by its own ledger.
    pub(crate) fn hand_back(&mut self, node: usize, job: &HandVerdictJob) {
        let HandVerdictJob {
            provider,
            batch,
            openings,
            verdict,
            ..
        } = *job;
        let taker = self.reach(&provider).filter(|at| {
            let state = &*self.nodes[*at].disk.state;
            check_verdict(state, &provider, batch, openings, &verdict).is_ok()
        });
        if let Some(at) = taker {
            self.later(
                at,
                WIRE_MS,
                Event::VerdictGiven {
                    batch,
                    openings,
                    verdict,
                },
            );
        }
        let (ms, is_taken) = match taker {
            Some(_) => (WIRE_MS, true),
            None => (PATIENCE_MS, false),
        };
        self.later(
            node,
            ms,
            Event::VerdictHanded {
                provider,
                batch,
                is_taken,
            },
        );
    }
}
