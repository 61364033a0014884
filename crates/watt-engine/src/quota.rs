//! How much each peer may cost: token buckets, spent before any signature is checked or anything is sent (TC36).

use watt_primitives::Timestamp;

/// How fast a bucket refills, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_second: i64,
    burst: i64,
}

/// Messages of one lane that a peer may send.
pub(crate) const MESSAGES: Rate = Rate {
    per_second: 300,
    burst: 600,
};

/// Transactions that a peer may offer, whatever messages they come in.
pub(crate) const TRANSACTIONS: Rate = Rate {
    per_second: 5_000,
    burst: 10_000,
};

/// Bytes that a peer may have sent to it because it asked: a short question must not buy a long answer without end.
pub(crate) const UPLOAD: Rate = Rate {
    per_second: 8 << 20,
    burst: 32 << 20,
};

/// The same for all peers together.
pub(crate) const UPLOAD_ALL: Rate = Rate {
    per_second: 32 << 20,
    burst: 128 << 20,
};

/// A bucket that refills with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    /// Thousandths of what is left; below zero is debt.
    millis: i64,
    refilled: Timestamp,
}

impl Bucket {
    pub(crate) const fn full(rate: Rate, now: Timestamp) -> Self {
        Self {
            rate,
            millis: Self::limit(rate),
            refilled: now,
        }
    }

    const fn limit(rate: Rate) -> i64 {
        rate.burst.saturating_mul(1_000)
    }

    fn refill(&mut self, now: Timestamp) {
        let elapsed_ms = i64::try_from(now.0.saturating_sub(self.refilled.0)).unwrap_or(i64::MAX);
        self.millis = self
            .millis
            .saturating_add(elapsed_ms.saturating_mul(self.rate.per_second))
            .min(Self::limit(self.rate));
        self.refilled = now.max(self.refilled);
    }

    /// Takes one; `false` when the bucket is empty.
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        let has_one = self.millis >= 1_000;
        if has_one {
            self.charge(1);
        }
        has_one
    }

    /// Whether there is anything left.
    pub(crate) fn has_any(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        self.millis > 0
    }

    /// Takes `n`, also what is not there: it is a debt that time pays back.
    pub(crate) fn charge(&mut self, n: usize) {
        self.millis = self.millis.saturating_sub(thousandths(n));
    }

    /// Gives back `n` that were charged and not used.
    pub(crate) fn refund(&mut self, n: usize) {
        self.millis = self
            .millis
            .saturating_add(thousandths(n))
            .min(Self::limit(self.rate));
    }
}

fn thousandths(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_the_sustained_rate() {
        let mut bucket = Bucket::full(MESSAGES, Timestamp(0));
        assert!((0..MESSAGES.burst).all(|_| bucket.take(Timestamp(0))));
        assert!(!bucket.take(Timestamp(0)), "limit + 1");
        assert!((0..MESSAGES.per_second).all(|_| bucket.take(Timestamp(1000))));
        assert!(!bucket.take(Timestamp(1000)));
        assert!(
            !bucket.take(Timestamp(500)),
            "a clock that steps back refills nothing"
        );
    }

    #[test]
    fn a_debt_is_paid_by_time_alone() {
        let mut bucket = Bucket::full(UPLOAD, Timestamp(0));
        let burst = usize::try_from(UPLOAD.burst).unwrap();
        bucket.charge(burst + (8 << 20));
        assert!(!bucket.has_any(Timestamp(1_000)), "one second pays the debt");
        assert!(bucket.has_any(Timestamp(1_001)), "and the next millisecond buys");
        bucket.refund(2 * burst);
        bucket.charge(burst);
        assert!(
            !bucket.has_any(Timestamp(1_001)),
            "a refund never fills above the burst"
        );
    }
}
