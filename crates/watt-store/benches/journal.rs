//! How long an append to the journal takes while the state commits 5,000 rows at a time beside it (SCP must not wait for
//! the ledger), and how long one such commit takes. Prints one JSON object per line.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures time and prints"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use watt_ledger::state::Writes;
use watt_primitives::{BlockHeight, Hash};
use watt_store::{Journal, StateConfig, StateDb};

const N_ACCOUNTS: u64 = 200_000;
const ROWS_PER_BLOCK: u64 = 5_000;
const N_APPENDS: usize = 1_000;
const STATEMENT: [u8; 400] = [7; 400];

fn main() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    report("append, idle", measure(&temp.path().join("idle"), N_APPENDS));
    let (state, _) =
        StateDb::open(&temp.path().join("state"), StateConfig::default()).expect("a new state opens");
    let mut height = 0;
    for first in (0..N_ACCOUNTS).step_by(50_000) {
        commit(&state, &mut height, first..first + 50_000);
    }
    let is_over = AtomicBool::new(false);
    let mut commits = Vec::new();
    let appends = std::thread::scope(|scope| {
        let appender = scope.spawn(|| {
            let times = measure(&temp.path().join("busy"), N_APPENDS);
            is_over.store(true, Ordering::Relaxed);
            times
        });
        let mut first = 0;
        while !is_over.load(Ordering::Relaxed) {
            let began = Instant::now();
            commit(&state, &mut height, first..first + ROWS_PER_BLOCK);
            commits.push(began.elapsed());
            first = (first + 7 * ROWS_PER_BLOCK) % (N_ACCOUNTS - ROWS_PER_BLOCK);
        }
        appender.join().expect("the appender does not panic")
    });
    report("append", appends);
    report("commit 5,000 rows", commits);
}

fn measure(dir: &std::path::Path, n: usize) -> Vec<Duration> {
    let (mut journal, _) = Journal::open(dir).expect("a new journal opens");
    (0..n)
        .map(|_| {
            let began = Instant::now();
            journal.append(&[&STATEMENT]).expect("the disk has room");
            let taken = began.elapsed();
            // A slot has a few statements and then waits; without a pause this measures only a queue of syncs.
            std::thread::sleep(Duration::from_millis(5));
            taken
        })
        .collect()
}

fn commit(state: &StateDb, height: &mut u64, accounts: std::ops::Range<u64>) {
    let writes: Writes = accounts
        .map(|account| {
            let key = Hash::of_content(&account.to_be_bytes()).0.to_vec();
            let mut row = vec![0; 100];
            row[..8].copy_from_slice(&height.to_be_bytes());
            (key, Some(row))
        })
        .collect();
    state
        .commit(BlockHeight(*height), b"header", &writes)
        .expect("the disk has room");
    *height += 1;
}

fn report(case: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for (metric, per_mille) in [("p50_ms", 500), ("p99_ms", 990), ("max_ms", 1000)] {
        let at = (times.len() * per_mille / 1000).min(times.len() - 1);
        let value = times[at].as_secs_f64() * 1000.0;
        println!(
            "{}",
            serde_json::json!({"bench": "journal", "case": case, "metric": metric, "value": value, "unit": "ms"})
        );
    }
}
