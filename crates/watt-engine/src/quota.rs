//! How much of each peer's traffic is looked at: a token bucket per peer and kind, spent before any signature is checked
//! (TC36).

use watt_primitives::Timestamp;

/// Messages of one kind a peer may send in a burst.
const BURST: u64 = 600;

/// Messages of one kind a peer may send per second, sustained.
const PER_SECOND: u64 = 300;

/// A bucket that refills with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Thousandths of a message left.
    millis: u64,
    refilled: Timestamp,
}

impl Bucket {
    pub(crate) const fn full(now: Timestamp) -> Self {
        Self {
            millis: BURST.saturating_mul(1000),
            refilled: now,
        }
    }

    /// Takes one message's worth; `false` when the bucket is empty.
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        let elapsed_ms = now.0.saturating_sub(self.refilled.0);
        self.millis = self
            .millis
            .saturating_add(elapsed_ms.saturating_mul(PER_SECOND))
            .min(BURST.saturating_mul(1000));
        self.refilled = now.max(self.refilled);
        let has_one = self.millis >= 1000;
        if has_one {
            self.millis = self.millis.saturating_sub(1000);
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_the_sustained_rate() {
        let mut bucket = Bucket::full(Timestamp(0));
        assert!((0..BURST).all(|_| bucket.take(Timestamp(0))));
        assert!(!bucket.take(Timestamp(0)), "limit + 1");
        assert!((0..PER_SECOND).all(|_| bucket.take(Timestamp(1000))));
        assert!(!bucket.take(Timestamp(1000)));
        assert!(
            !bucket.take(Timestamp(500)),
            "a clock that steps back refills nothing"
        );
    }
}
