//! A failing run is made smaller, the same way each time.

use std::ops::ControlFlow;
use watt_sim::broken::ALL;
use watt_sim::director::Director;
use watt_sim::net::WeatherName;
use watt_sim::scenario::{self, Act, Group, Scenario, Step};
use watt_sim::shrink::{Progress, Shrunk, n_faults, shrink};
use watt_sim::trace::Sink;
use watt_sim::world::Mutation;

/// Runs that a test may take to make one smaller.
const RUNS: u32 = 14;

/// Seeds of which one must fail.
const SEEDS: u64 = 20;

fn step(second: u64, act: Act, who: Group) -> Step {
    Step {
        height: None,
        second: Some(second),
        times: None,
        every: None,
        act,
        who,
        count: Some(1),
        permille: None,
        seconds: Some(3),
        amount: None,
        weather: None,
    }
}

/// The scenario in which a broken program shows, with faults in it that have nothing to do with it.
fn noisy(name: &str) -> Scenario {
    let mut scenario = scenario::find(name).unwrap();
    scenario.network.weather = WeatherName::Rough;
    scenario.network.followers += 2;
    scenario.people.transfers_per_s += 1;
    scenario.goal.transactions = 0;
    scenario.steps.extend([
        step(3, Act::Stop, Group::Followers),
        step(5, Act::Partition, Group::Validators),
        step(7, Act::Heal, Group::All),
        step(9, Act::PowerCut, Group::Validators),
    ]);
    scenario
}

fn go_on(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn smaller(scenario: &Scenario, seed: u64, mutation: Mutation, runs: u32) -> Shrunk {
    shrink(scenario, seed, Some(mutation), runs, &mut go_on).unwrap()
}

fn shrinks(name: &str) {
    let broken = ALL.iter().find(|broken| broken.name == name).unwrap();
    let scenario = noisy(broken.scenario);
    let run = |scenario: &Scenario, seed: u64| {
        let director = Director::new(scenario, seed, Some(broken.mutation), Sink::None).unwrap();
        director.run(None).violation.map(|violation| violation.promise)
    };
    let fails = |seed: &u64| run(&scenario, *seed) == Some(broken.promise);
    // Every fault that is left out moves all that comes after it, so a seed's failure may need all of them to be met again.
    let is_smaller = |(_, shrunk): &(u64, Shrunk)| n_faults(&shrunk.scenario) < n_faults(&scenario);
    let (seed, shrunk) = (1..=SEEDS)
        .filter(fails)
        .map(|seed| (seed, smaller(&scenario, seed, broken.mutation, RUNS)))
        .find(is_smaller)
        .expect("a seed that fails, and does with fewer faults");
    let promise = |shrunk: &Shrunk| {
        shrunk
            .report
            .violation
            .as_ref()
            .map(|violation| violation.promise)
    };
    assert_eq!(promise(&shrunk), Some(broken.promise));
    assert!(shrunk.n_runs <= RUNS);
    // What is printed is that scenario, and fails by itself.
    let text = shrunk.scenario.to_text().unwrap();
    let read = Scenario::parse(&shrunk.scenario.name, &text).unwrap();
    assert_eq!(read, shrunk.scenario, "{text}");
    assert_eq!(run(&read, seed), Some(broken.promise));
}

/// A program that does not persist fails without any fault around it.
#[test]
fn skipping_persist_before_send_needs_little() {
    shrinks("skip-persist");
}

/// One that takes late proofs needs a late prover.
#[test]
fn accepting_a_proof_late_needs_little() {
    shrinks("late-proof");
}

/// One that pays twice needs somebody greedy.
#[test]
fn paying_a_window_twice_needs_little() {
    shrinks("window-twice");
}

/// One that forgets its lock needs restarts.
#[test]
fn forgetting_a_lock_on_restart_needs_little() {
    shrinks("forget-lock");
}

/// One that goes on from a wrong state needs nothing.
#[test]
fn accepting_a_wrong_state_root_needs_little() {
    shrinks("wrong-state-root");
}

/// The same runs give the same scenario; fewer runs give its forerunner; who waits may end it after any cut.
#[test]
fn shrinking_is_a_function_of_its_input() {
    let scenario = noisy("quiet-day");
    let first = smaller(&scenario, 1, Mutation::SkipPersist, 30);
    let second = smaller(&scenario, 1, Mutation::SkipPersist, 30);
    assert_eq!(first.scenario, second.scenario);
    assert_eq!(
        (first.n_runs, first.report.trace),
        (second.n_runs, second.report.trace)
    );
    let none = smaller(&scenario, 1, Mutation::SkipPersist, 1);
    assert_eq!((none.scenario, none.is_smallest), (scenario.clone(), false));
    let mut n_cuts = 0;
    let mut end = |_: Progress<'_>| {
        n_cuts += 1;
        ControlFlow::Break(())
    };
    let ended = shrink(&scenario, 1, Some(Mutation::SkipPersist), 30, &mut end).unwrap();
    assert_eq!((n_cuts, ended.is_smallest), (1, false));
}

/// A run that breaks nothing is not made smaller.
#[test]
fn what_does_not_fail_is_refused() {
    let mut scenario = scenario::find("quiet-day").unwrap();
    scenario.goal.height = 3;
    let refused = shrink(&scenario, 1, None, 10, &mut go_on).err().unwrap();
    assert!(refused.contains("breaks no promise"), "{refused}");
}

/// Every scenario that comes with the program, and what the swarm draws, is the same after it was written and read.
#[test]
fn a_scenario_is_written_as_it_is_read() {
    let swarm = (1..50).map(scenario::swarm);
    for scenario in scenario::all().unwrap().into_iter().chain(swarm) {
        let text = scenario.to_text().unwrap();
        assert_eq!(
            Scenario::parse(&scenario.name, &text).unwrap(),
            scenario,
            "{text}"
        );
    }
}
