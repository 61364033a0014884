//! The same seed is the same run.

use watt_sim::director::Director;
use watt_sim::scenario::{self, Scenario};
use watt_sim::trace::Sink;

fn lines(scenario: &Scenario, seed: u64) -> Vec<String> {
    let director = Director::new(scenario, seed, None, Sink::Kept(Vec::new())).unwrap();
    director.run_kept(None).1
}

/// Two runs of one seed give the same lines, with faults, power cuts, restarts and spam in them; another seed gives others.
#[test]
fn a_seed_is_a_run() {
    for seed in 1..4 {
        let scenario = scenario::swarm(seed);
        assert_eq!(
            scenario,
            scenario::swarm(seed),
            "the faults are drawn from the seed"
        );
        let (first, second) = (lines(&scenario, seed), lines(&scenario, seed));
        let differ = first.iter().zip(&second).position(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.len(), second.len());
        assert_ne!(first, lines(&scenario, seed + 100));
    }
}

/// Storage, too, with its real seals and proofs, is a function of the seed.
#[test]
fn storage_is_a_function_of_the_seed() {
    let mut scenario = scenario::find("quiet-market").unwrap();
    scenario.storage.files = 1;
    scenario.goal.height = 30;
    assert_eq!(lines(&scenario, 5), lines(&scenario, 5));
}

/// A run that is cut short is the beginning of the whole one: what a violation prints replays it.
#[test]
fn a_shorter_run_is_the_beginning_of_the_longer_one() {
    let scenario = scenario::swarm(2);
    let director = || Director::new(&scenario, 2, None, Sink::Kept(Vec::new())).unwrap();
    let (_, short) = director().run_kept(Some("height=6".parse().unwrap()));
    let (_, long) = director().run_kept(None);
    assert!(short.len() < long.len());
    assert_eq!(short, long[..short.len()]);
}
