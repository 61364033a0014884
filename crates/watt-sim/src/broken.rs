//! Programs broken on purpose: each must be caught by a seed, and the same seed must hold for the program as it is.

use crate::director::{Director, Report};
use crate::scenario;
use crate::trace::Sink;
use crate::violation::Promise;
use crate::world::Mutation;

/// A way to break the program, and where it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is broken.
    pub mutation: Mutation,
    /// The scenario in which it shows.
    pub scenario: &'static str,
    /// The promise that it breaks.
    pub promise: Promise,
}

/// All of them.
pub const ALL: [Broken; 6] = [
    Broken {
        name: "skip-persist",
        mutation: Mutation::SkipPersist,
        scenario: "quiet-day",
        promise: Promise::PersistedBeforeSent,
    },
    Broken {
        name: "late-proof",
        mutation: Mutation::LateProof,
        scenario: "late-provers",
        promise: Promise::ExactPay,
    },
    Broken {
        name: "window-twice",
        mutation: Mutation::WindowTwice,
        scenario: "greedy-providers",
        promise: Promise::ExactPay,
    },
    Broken {
        name: "forget-lock",
        mutation: Mutation::ForgetLock,
        scenario: "crash-at-every-persist",
        promise: Promise::NoContradiction,
    },
    Broken {
        name: "wrong-state-root",
        mutation: Mutation::WrongStateRoot,
        scenario: "quiet-day",
        promise: Promise::Agreement,
    },
    Broken {
        name: "late-answer",
        mutation: Mutation::LateAnswer,
        scenario: "lazy-providers",
        promise: Promise::NoFreeRide,
    },
];

/// The most seeds that are tried.
const SEEDS_MAX: u64 = 50;

/// Tries seeds until one catches the broken program.
///
/// # Errors
/// None shows the expected promise broken, or the program as it is breaks one, too.
pub fn catch(broken: &Broken) -> Result<Report, String> {
    let scenario = scenario::find(broken.scenario)?;
    for seed in 1..=SEEDS_MAX {
        let report = Director::new(&scenario, seed, Some(broken.mutation), Sink::None)?.run(None);
        // What is broken breaks other promises, too; the seed is wanted that shows this one.
        if report.violation.as_ref().map(|violation| violation.promise) != Some(broken.promise) {
            continue;
        }
        let sound = Director::new(&scenario, seed, None, Sink::None)?.run(None);
        return match sound.violation {
            None => Ok(report),
            Some(violation) => Err(format!(
                "the program as it is breaks a promise: {violation}; {}",
                report.replay()
            )),
        };
    }
    Err(format!(
        "{}: {SEEDS_MAX} seeds of {} did not catch it",
        broken.name, broken.scenario
    ))
}
