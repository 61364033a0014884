//! Speed and size of the protocol, a whole network in one thread; one JSON object per line.
#![allow(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, divides, and prints"
)]

use std::fs;
use std::time::Instant;
use watt_scp::Scp;
use watt_scp::naive::Naive;
use watt_scp::testing::{Protocol, Throughput, throughput};

mod delivery;
mod memory;

/// Network sizes, each with slots per run, and slots of one run of the naive implementation where it comes to an end.
const CASES: [(usize, u64, Option<u64>); 4] = [
    (4, 3000, Some(60)),
    (10, 600, Some(1)),
    (25, 80, None),
    (100, 3, None),
];

/// Runs per case; the median counts.
const RUNS: usize = 5;

fn main() {
    for (n, n_slots, n_slots_naive) in CASES {
        let mut rates: Vec<f64> = (0..RUNS).filter_map(|_| slots_per_s::<Scp>(n, n_slots)).collect();
        rates.sort_by(f64::total_cmp);
        let Some(median) = rates.get(rates.len() / 2) else {
            continue;
        };
        let naive = n_slots_naive.and_then(|n_slots| slots_per_s::<Naive>(n, n_slots));
        let beside = naive.map(|naive| format!(r#","baseline":{naive:.2},"ratio":{:.2}"#, median / naive));
        println!(
            r#"{{"bench":"scp","case":"n={n}","metric":"slots_per_s","value":{median:.2},"unit":"slots/s"{}}}"#,
            beside.unwrap_or_default()
        );
    }
    delivery::run();
    memory::run();
}

fn slots_per_s<P: Protocol>(n: usize, n_slots: u64) -> Option<f64> {
    let wall = Instant::now();
    let before = cpu_seconds();
    let done: Throughput = throughput::<P>(n, n_slots);
    let seconds = match (before, cpu_seconds()) {
        (Some(before), Some(after)) => after - before,
        (None, _) | (_, None) => wall.elapsed().as_secs_f64(),
    };
    let slots = f64::from(u32::try_from(done.n_slots).ok()?);
    (done.n_slots == n_slots && seconds > 0.0).then(|| slots / seconds)
}

/// CPU time of this thread from the scheduler's own nanosecond count, where there is one.
fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    let microseconds = u32::try_from(nanoseconds / 1000).ok()?;
    Some(f64::from(microseconds) / 1e6)
}
