//! How long one delivery takes: one `step(Receive)` of one statement, everything that comes of it included.
//!
//! A delivery is shorter than a question about the thread's CPU time, so each is timed by the monotonic clock: turns of other
//! programs count in, and what is shown is never less than the CPU time.

use std::cell::RefCell;
use std::time::Instant;
use watt_primitives::SlotIndex;
use watt_scp::testing::{MapOracle, Protocol, throughput};
use watt_scp::{Config, Input, Output, Scp, Value};

/// Nodes of the network.
const N: usize = 61;

/// Slots of the run; a slot is some thirty thousand deliveries.
const SLOTS: u64 = 10;

thread_local! {
    /// Nanoseconds of each delivery.
    static TOOK: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Notes how long each delivery took.
struct Timed(Scp);

impl Protocol for Timed {
    fn begin(config: Config) -> Self {
        Self(Scp::new(config))
    }

    fn take(&mut self, input: Input<'_>, oracle: &MapOracle, out: &mut Vec<Output>) {
        let is_delivery = matches!(input, Input::Receive { .. });
        let before = Instant::now();
        self.0.step(input, oracle, out);
        let took = before.elapsed();
        if is_delivery {
            let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            TOOK.with_borrow_mut(|all| all.push(nanoseconds));
        }
    }

    fn decided(&self, slot: SlotIndex) -> Option<Value> {
        self.0.externalized(slot)
    }
}

pub(crate) fn run() {
    if throughput::<Timed>(N, SLOTS).n_slots != SLOTS {
        return;
    }
    let mut all = TOOK.take();
    all.sort_unstable();
    for (metric, permille) in [
        ("delivery_p50_us", 500),
        ("delivery_p99_us", 990),
        ("delivery_p999_us", 999),
    ] {
        if let Some(nanoseconds) = all.get(all.len().saturating_sub(1) * permille / 1000)
            && let Ok(nanoseconds) = u32::try_from(*nanoseconds)
        {
            let microseconds = f64::from(nanoseconds) / 1000.0;
            println!(
                r#"{{"bench":"scp","case":"n={N}","metric":"{metric}","value":{microseconds:.2},"unit":"us"}}"#
            );
        }
    }
}
