//! `--shrink`: a failing run made smaller, printed as a file that can be kept.

use super::{Options, chosen};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use watt_sim::shrink::{Shrunk, n_faults, shrink};
use watt_sim::world::Mutation;

/// Runs that are made unless it is said.
pub(super) const RUNS_MAX: u32 = 300;

/// Prints the smallest scenario found that breaks the same promise, and the line that replays it; what is cut meanwhile goes to
/// the other stream.
pub(super) fn run(options: &Options) -> Result<bool, String> {
    let scenario = chosen(options, options.seed)?;
    let (started, budget) = (Instant::now(), options.budget_s.map(Duration::from_secs));
    let mut tell = |progress: watt_sim::shrink::Progress<'_>| {
        let left = progress.scenario;
        eprintln!(
            "run {} of {}, {:.0} s: cut {}; left: {} faults, {} validators, {} followers, {} providers, {} transfers/s, {} files",
            progress.n_runs,
            options.runs,
            started.elapsed().as_secs_f64(),
            progress.cut,
            n_faults(left),
            left.network.validators,
            left.network.followers,
            left.network.providers(),
            left.people.transfers_per_s,
            left.storage.files
        );
        if budget.is_some_and(|budget| started.elapsed() > budget) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let shrunk = shrink(&scenario, options.seed, options.mutation, options.runs, &mut tell)?;
    let what = if shrunk.is_smallest {
        "nothing smaller fails"
    } else {
        "the budget is used up, smaller ones may fail"
    };
    eprintln!("{} runs; {what}", shrunk.n_runs);
    print!("{}", file(shrunk, options)?);
    Ok(true)
}

/// The scenario as a file, with its seed, and the line that replays it.
fn file(shrunk: Shrunk, options: &Options) -> Result<String, String> {
    let Shrunk {
        mut scenario, report, ..
    } = shrunk;
    let broken = report
        .violation
        .map_or_else(String::new, |violation| violation.promise.name().to_owned());
    scenario.about = format!(
        "Made smaller from seed {} of {}: breaks {broken}.",
        options.seed, scenario.name
    );
    scenario.regressions = vec![options.seed];
    let name = options.mutation.and_then(|mutation| {
        let found = Mutation::ALL.iter().find(|(_, known)| *known == mutation);
        found.map(|(name, _)| *name)
    });
    let breaking = name.map_or_else(String::new, |name| format!(" --break {name}"));
    let text = scenario.to_text().map_err(|error| error.to_string())?;
    Ok(format!(
        "# cargo xtask sim --seed {} --file THIS.toml{breaking}\n{text}",
        options.seed
    ))
}
