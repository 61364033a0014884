//! Programs broken on purpose are caught, each by a seed, and the same seed holds for the program as it is.

use watt_sim::broken::{ALL, catch};

fn caught(name: &str) {
    let broken = ALL.iter().find(|broken| broken.name == name).unwrap();
    let report = catch(broken).unwrap();
    assert_eq!(
        report.violation.as_ref().map(|violation| violation.promise),
        Some(broken.promise)
    );
    assert!(report.replay().starts_with("cargo xtask sim --seed "));
}

#[test]
fn skipping_persist_before_send_is_caught() {
    caught("skip-persist");
}

#[test]
fn accepting_a_proof_late_is_caught() {
    caught("late-proof");
}

#[test]
fn paying_a_window_twice_is_caught() {
    caught("window-twice");
}

#[test]
fn forgetting_a_lock_on_restart_is_caught() {
    caught("forget-lock");
}

/// Covers: D2.
#[test]
fn counting_an_answer_that_comes_late_is_caught() {
    caught("late-answer");
}

#[test]
fn accepting_a_wrong_state_root_is_caught() {
    caught("wrong-state-root");
}
