//! Windows settled by folded proofs: each is logged as soon as its sample is known and folded when there is time; one proof of all
//! windows of a period is handed in when the ledger takes it (`docs/spec/node.md` §5).

use super::pauses::Job;
use super::view::View;
use super::{Provider, Settle, WINDOWS_REMEMBERED};
use crate::effect::{Effect, FoldJob};
use crate::submitter::Purpose;
use std::collections::BTreeSet;
use watt_ledger::StateRead;
use watt_light::transaction::witness_hash;
use watt_light::{FoldedWindows, Operation, SignedTransaction};
use watt_primitives::Window;

/// How far folding is, for an owner who wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldingWork {
    /// The windows that a proof is being made of, or was handed in of.
    pub settling: Option<FoldJob>,
    /// Whether that proof is made.
    pub is_proven: bool,
    /// What became of the period before, since this program started.
    pub last: Option<SettledPeriod>,
}

/// What became of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledPeriod {
    /// Its first window.
    pub first: Window,
    /// Its last window.
    pub last: Window,
    /// Windows in which the provider was present.
    pub n_windows: u32,
    /// How it ended.
    pub end: PeriodEnd,
}

/// How a period ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodEnd {
    /// So many good windows were shown.
    Settled {
        /// How many.
        n_good: u32,
    },
    /// It was settled by what an earlier life of this program had handed in.
    SettledBefore,
    /// Nothing was shown in time.
    Lapsed,
}

/// What a provider that settles by folded proofs has asked for and not seen yet.
#[derive(Debug, Default)]
pub(super) struct Folding {
    /// Windows handed to the log.
    logged: BTreeSet<Window>,
    /// Those of them that are not there yet.
    logging: BTreeSet<Window>,
    /// What was folded ahead last.
    ahead: Option<FoldJob>,
    settling: Option<Settling>,
    last: Option<SettledPeriod>,
}

/// A period that is due.
#[derive(Debug)]
struct Settling {
    job: FoldJob,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    UnderWay,
    Made(FoldedWindows, Vec<u8>),
    /// It could not be made in this window.
    Failed(Window),
}

impl Folding {
    pub(super) fn work(&self) -> FoldingWork {
        FoldingWork {
            settling: self.settling.as_ref().map(|settling| settling.job.clone()),
            is_proven: matches!(
                self.settling,
                Some(Settling {
                    proof: Proof::Made(..),
                    ..
                })
            ),
            last: self.last,
        }
    }

    /// What was due is settled by now, or has lapsed.
    fn end(&mut self, proven_to: Option<Window>) {
        let Some(Settling { job, proof }) = self.settling.take() else {
            return;
        };
        let end = match proof {
            _ if proven_to < Some(job.last) => PeriodEnd::Lapsed,
            Proof::Made(windows, _) => PeriodEnd::Settled {
                n_good: windows.n_good,
            },
            Proof::UnderWay | Proof::Failed(_) => PeriodEnd::SettledBefore,
        };
        self.last = Some(SettledPeriod {
            first: job.first,
            last: job.last,
            n_windows: job.n_windows,
            end,
        });
    }
}

impl Provider {
    /// Logs answered windows, if this provider folds; whether the log has them all, so that what their steps are made from may go.
    pub(super) fn log_windows(&mut self, view: &View<'_, impl StateRead>, effects: &mut Vec<Effect>) -> bool {
        if self.config.settle != Settle::Folded {
            return true;
        }
        let mut has_all = true;
        for answered in view.answered() {
            let window = answered.window;
            if !self.pauses.has(Job::Log(window)) && self.folding.logged.insert(window) {
                self.folding.logging.insert(window);
                let job = view.window_job(window).map(Box::new);
                effects.push(Effect::LogWindow {
                    answered: Box::new(answered),
                    job,
                });
            }
            has_all &= self.folding.logged.contains(&window) && !self.folding.logging.contains(&window);
        }
        while self.folding.logged.len() > WINDOWS_REMEMBERED {
            self.folding.logged.pop_first();
        }
        has_all
    }

    /// Folds what was logged, and settles a period that is over.
    pub(super) fn fold_windows(
        &mut self,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<SignedTransaction>,
    ) {
        let waiting = view.waiting();
        if let Some(newest) = waiting.iter().map(|waiting| &waiting.job).next_back()
            && self.folding.ahead.as_ref() != Some(newest)
        {
            self.folding.ahead = Some(newest.clone());
            effects.push(Effect::FoldAhead(Box::new(newest.clone())));
        }
        let due = waiting
            .into_iter()
            .find(|waiting| waiting.is_due)
            .map(|due| due.job);
        let settled = self.folding.settling.as_ref().map(|settling| &settling.job);
        if due.as_ref() != settled {
            self.folding
                .end(view.provider.as_ref().and_then(|row| row.last_proven));
        }
        let Some(due) = due else { return };
        let is_again = |proof: &Proof| matches!(proof, Proof::Failed(window) if *window < view.window);
        match &self.folding.settling {
            Some(Settling {
                proof: Proof::Made(windows, proof),
                ..
            }) => {
                let (windows, proof) = (*windows, proof.clone());
                self.settle(due.first, windows, proof, view, out);
            }
            Some(settling) if !is_again(&settling.proof) => {}
            Some(_) | None => {
                effects.push(Effect::FoldWindows(Box::new(due.clone())));
                self.folding.settling = Some(Settling {
                    job: due,
                    proof: Proof::UnderWay,
                });
            }
        }
    }

    fn settle(
        &mut self,
        first: Window,
        windows: FoldedWindows,
        proof: Vec<u8>,
        view: &View<'_, impl StateRead>,
        out: &mut Vec<SignedTransaction>,
    ) {
        let operation = Operation::SettleWindows {
            windows,
            proof: witness_hash(&self.network, &proof),
        };
        self.submit(Purpose::Settle(first), vec![operation], vec![proof], view, out);
    }

    pub(crate) fn window_logged(&mut self, window: Window, result: Result<(), String>) {
        self.folding.logging.remove(&window);
        if let Err(trouble) = result {
            self.folding.logged.remove(&window);
            self.pauses.begin(Job::Log(window));
            self.trouble = Some(format!(
                "window {window} could not be logged, without which its period can't be settled: {trouble}"
            ));
        }
    }

    pub(crate) fn windows_folded(
        &mut self,
        first: Window,
        now: Window,
        result: Result<(FoldedWindows, Vec<u8>), String>,
    ) {
        let Some(settling) = self
            .folding
            .settling
            .as_mut()
            .filter(|settling| settling.job.first == first)
        else {
            return;
        };
        settling.proof = match result {
            Ok((windows, proof)) => Proof::Made(windows, proof),
            Err(trouble) => {
                let Window(to) = settling.job.last;
                self.trouble = Some(format!("windows {first} to {to} can't be settled: {trouble}"));
                Proof::Failed(now)
            }
        };
    }
}

#[cfg(test)]
pub(super) mod tests;
