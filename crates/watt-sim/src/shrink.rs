//! Makes a failing run smaller: fewer faults, fewer nodes, less traffic, a nearer end, as long as the same promise breaks.
//!
//! The same scenario, seed and number of runs give the same result: every candidate is a whole run of its own, and the first that
//! still fails is taken.

mod cuts;

use crate::director::{Director, Report};
use crate::scenario::Scenario;
use crate::trace::Sink;
use crate::violation::Promise;
use crate::world::Mutation;
use std::ops::ControlFlow;

/// What became of a failing run.
pub struct Shrunk {
    /// The smallest scenario found that still fails.
    pub scenario: Scenario,
    /// Its run.
    pub report: Report,
    /// Runs that it took.
    pub n_runs: u32,
    /// Whether nothing smaller was left to try.
    pub is_smallest: bool,
}

/// A candidate that still fails, told to whoever waits.
pub struct Progress<'a> {
    /// Runs so far.
    pub n_runs: u32,
    /// What was cut.
    pub cut: &'static str,
    /// What is left.
    pub scenario: &'a Scenario,
}

/// How much goes wrong in a scenario by itself: steps, and who misbehaves.
#[must_use]
pub fn n_faults(scenario: &Scenario) -> usize {
    let actors: usize = scenario.actors.iter().map(|cast| cast.count).sum();
    let trades: usize = scenario.trades.iter().map(|cast| cast.count).sum();
    scenario.steps.len() + actors + trades
}

struct Shrinker<'a> {
    seed: u64,
    mutation: Option<Mutation>,
    promise: Promise,
    n_runs: u32,
    runs_max: u32,
    /// Those that did not fail.
    tried: Vec<Scenario>,
    tell: &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
}

/// Whether to go on.
enum Pass {
    /// Something was cut.
    Cut,
    /// Nothing could be.
    Nothing,
    /// The runs are used up, or whoever waits has enough.
    End,
}

/// Makes a failing run smaller, in at most `runs_max` runs. `tell` hears of every cut and may end it.
///
/// # Errors
/// The run does not fail, or can't begin.
pub fn shrink(
    scenario: &Scenario,
    seed: u64,
    mutation: Option<Mutation>,
    runs_max: u32,
    tell: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Shrunk, String> {
    let report = Director::new(scenario, seed, mutation, Sink::None)?.run(None);
    let Some(violation) = &report.violation else {
        return Err(format!(
            "seed {seed} of {} breaks no promise: there is nothing to make smaller",
            scenario.name
        ));
    };
    let mut shrinker = Shrinker {
        seed,
        mutation,
        promise: violation.promise,
        n_runs: 1,
        runs_max,
        tried: Vec::new(),
        tell,
    };
    let mut best = (scenario.clone(), report);
    let is_smallest = loop {
        match shrinker.pass(&mut best) {
            Pass::Cut => {}
            Pass::Nothing => break true,
            Pass::End => break false,
        }
    };
    let (scenario, report) = best;
    Ok(Shrunk {
        scenario,
        report,
        n_runs: shrinker.n_runs,
        is_smallest,
    })
}

impl Shrinker<'_> {
    /// Every kind of cut, each as often as it helps.
    fn pass(&mut self, best: &mut (Scenario, Report)) -> Pass {
        let mut pass = Pass::Nothing;
        for (cut, candidates) in cuts::ALL {
            let mut from = 0;
            loop {
                let all = candidates(&best.0, &best.1);
                let Some(candidate) = all.into_iter().nth(from) else {
                    break;
                };
                from += 1;
                if candidate == best.0 || self.tried.contains(&candidate) || !candidate.is_well_formed() {
                    continue;
                }
                if self.n_runs >= self.runs_max {
                    return Pass::End;
                }
                let Some(report) = self.fails(&candidate) else {
                    self.tried.push(candidate);
                    continue;
                };
                *best = (candidate, report);
                pass = Pass::Cut;
                from = 0;
                let progress = Progress {
                    n_runs: self.n_runs,
                    cut,
                    scenario: &best.0,
                };
                if (self.tell)(progress).is_break() {
                    return Pass::End;
                }
            }
        }
        pass
    }

    /// The candidate's run, if it breaks the same promise.
    fn fails(&mut self, candidate: &Scenario) -> Option<Report> {
        self.n_runs += 1;
        let director = Director::new(candidate, self.seed, self.mutation, Sink::None).ok()?;
        let report = director.run(None);
        let broken = report.violation.as_ref().map(|violation| violation.promise);
        (broken == Some(self.promise)).then_some(report)
    }
}
