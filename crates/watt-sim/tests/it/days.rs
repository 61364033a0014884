//! Days on which something must have happened, not only that no promise was broken.

use watt_sim::director::{Director, Report};
use watt_sim::scenario;
use watt_sim::trace::Sink;

fn day(name: &str) -> (Report, Vec<String>) {
    let scenario = scenario::find(name).unwrap();
    let director = Director::new(&scenario, 1, None, Sink::Kept(Vec::new())).unwrap();
    let (report, lines) = director.run_kept(None);
    assert_eq!(report.violation, None, "{}", report.replay());
    (report, lines)
}

/// Readers whom some holders give nothing go to others, and have the file.
#[test]
fn readers_go_elsewhere() {
    let (report, _) = day("read-withholders");
    assert!(report.n_refused > 0 && report.n_read > 0);
}

/// Nodes that lost everything start from the state of a checkpoint, not from genesis, while blocks are full.
///
/// Covers: A1.
#[test]
fn fresh_nodes_start_from_a_checkpoint_under_load() {
    let (report, lines) = day("state-sync-at-full-load");
    let adopted = lines
        .iter()
        .filter(|line| line.contains(" starts from the state of "));
    assert_eq!(adopted.count(), 3);
    // Of 50 places in each block; whom the slots draw as leaders moves it between 37 and 43.
    assert!(report.n_transactions > 35 * report.height, "blocks were not full");
}

/// A state that power cuts interrupt twice is fetched to the end.
///
/// Covers: A1.
#[test]
fn a_checkpoint_is_fetched_across_power_cuts() {
    let (_, lines) = day("checkpoint-interrupted");
    let adopted = lines
        .iter()
        .filter(|line| line.contains(" starts from the state of "));
    assert_eq!(adopted.count(), 4);
    assert!(
        lines
            .iter()
            .filter(|line| line.contains(" ends: PowerCut"))
            .count()
            >= 4
    );
}
