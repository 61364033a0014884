//! A token bucket that says how long to wait instead of saying no.

use std::time::Duration;

use tokio::time::Instant;

const NANOS_PER_S: u64 = 1_000_000_000;

/// How much may come at once, as time at the sustained rate.
const BURST: Duration = Duration::from_secs(1);

/// Admits `per_s` units per second, one second's worth at once.
///
/// Kept as the moment at which everything admitted so far would have come at the sustained rate. A single admission larger
/// than the burst is possible and is paid for afterwards, so a 4 MiB frame passes even a slow gate.
#[derive(Debug)]
pub(crate) struct Gate {
    per_s: u64,
    paid_until: Instant,
}

impl Gate {
    pub(crate) fn new(per_s: u64, now: Instant) -> Self {
        // A rate of zero would be a wait without end; the slowest gate admits one unit per second.
        Self {
            per_s: per_s.max(1),
            paid_until: now,
        }
    }

    /// Charges `units` and says how long to wait before admitting them.
    pub(crate) fn charge(&mut self, units: u64, now: Instant) -> Duration {
        let nanos = units
            .saturating_mul(NANOS_PER_S)
            .checked_div(self.per_s)
            .unwrap_or(u64::MAX);
        let start = self.paid_until.max(now);
        let wait = start.saturating_duration_since(now).saturating_sub(BURST);
        // On overflow (rates of a few bytes per century) the gate simply stays where it is.
        self.paid_until = start.checked_add(Duration::from_nanos(nanos)).unwrap_or(start);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second's worth passes at once, then the sustained rate rules, and a pause refills. Covers: A6.
    #[test]
    fn burst_then_rate_then_refill() {
        let t0 = Instant::now();
        let mut gate = Gate::new(10, t0);
        for _ in 0..11 {
            assert_eq!(gate.charge(1, t0), Duration::ZERO, "within the burst");
        }
        assert_eq!(gate.charge(1, t0), Duration::from_millis(100));
        assert_eq!(gate.charge(1, t0), Duration::from_millis(200));
        let later = t0 + Duration::from_secs(5);
        assert_eq!(
            gate.charge(1, later),
            Duration::ZERO,
            "the debt is paid by waiting"
        );
    }

    /// A frame larger than the burst passes and is paid for by those after it. Covers: A6.
    #[test]
    fn a_large_frame_is_paid_afterwards() {
        let t0 = Instant::now();
        let mut gate = Gate::new(1_000, t0);
        assert_eq!(gate.charge(4_000, t0), Duration::ZERO);
        assert_eq!(gate.charge(1, t0), Duration::from_secs(3));
    }

    /// Extreme rates and sizes neither overflow nor divide by zero.
    #[test]
    fn extremes_do_not_overflow() {
        let t0 = Instant::now();
        let mut gate = Gate::new(0, t0);
        for _ in 0..10 {
            gate.charge(u64::MAX, t0);
        }
    }
}
