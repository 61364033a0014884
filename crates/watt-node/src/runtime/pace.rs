//! How long the loop takes, in buckets: a step of the engine, and making a record durable before what it allows is sent.

use serde::Serialize;
use std::time::Duration;

/// Buckets of each doubling of time: a value is read with an error of at most a quarter.
const PER_DOUBLING: usize = 4;

/// Doublings from one microsecond up: the last bucket is above an hour.
const DOUBLINGS: usize = 32;

/// How often something took how long.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: [u64; PER_DOUBLING * DOUBLINGS],
    n: u64,
    max_us: u64,
}

/// What is told of a [`Histogram`], in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// How often.
    pub n: u64,
    /// Half of them took at most this.
    pub p50_us: u64,
    /// 99 of 100 took at most this.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// What the loop took since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pace {
    /// One event in the engine (TC35).
    pub step: Taken,
    /// The same by the processor's time, without the turns of other programs; none where the system does not tell it.
    pub step_own: Taken,
    /// From a record of consensus to the first message that may leave after it (TC34).
    pub persist_to_send: Taken,
}

/// Time that the processor has given this thread.
#[cfg(target_os = "linux")]
pub(crate) fn own_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(Duration::new(
        time.tv_sec.try_into().ok()?,
        time.tv_nsec.try_into().ok()?,
    ))
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn own_time() -> Option<Duration> {
    None
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; PER_DOUBLING * DOUBLINGS],
            n: 0,
            max_us: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, taken: Duration) {
        let us = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(us)) {
            *count += 1;
        }
        self.n += 1;
        self.max_us = self.max_us.max(us);
    }

    pub(crate) fn taken(&self) -> Taken {
        Taken {
            n: self.n,
            p50_us: self.at_most(500),
            p99_us: self.at_most(990),
            max_us: self.max_us,
        }
    }

    /// Upper end of the bucket in which the value stands that `permille` of all do not exceed.
    fn at_most(&self, permille: u64) -> u64 {
        let rank = (self.n * permille).div_ceil(1000);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return end(bucket).min(self.max_us);
            }
        }
        self.max_us
    }
}

fn bucket(us: u64) -> usize {
    if us < 4 {
        return usize::try_from(us).unwrap_or(0);
    }
    let doublings = us.ilog2();
    let quarter = (us >> (doublings - 2)) & 3;
    let at = usize::try_from(u64::from(doublings) * 4 + quarter).unwrap_or(usize::MAX);
    at.min(PER_DOUBLING * DOUBLINGS - 1)
}

/// The largest value of a bucket.
fn end(bucket: usize) -> u64 {
    let at = u64::try_from(bucket).unwrap_or(u64::MAX);
    if at < 4 {
        return at;
    }
    let (doublings, quarter) = (at / 4, at % 4);
    ((4 + quarter + 1) << (doublings - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_quarter() {
        let mut histogram = Histogram::default();
        for us in 1..=1_000 {
            histogram.add(Duration::from_micros(us));
        }
        let taken = histogram.taken();
        assert_eq!((taken.n, taken.max_us), (1_000, 1_000));
        assert!((500..=625).contains(&taken.p50_us), "{taken:?}");
        assert!((990..=1_000).contains(&taken.p99_us), "{taken:?}");
    }

    #[test]
    fn every_value_lies_in_the_bucket_that_ends_above_it() {
        for us in (0..5_000).chain([1 << 20, (1 << 31) - 1]) {
            let at = bucket(us);
            assert!(us <= end(at), "{us}");
            assert!(at == 0 || at == 8 || us > end(at - 1), "{us}");
        }
        assert_eq!(bucket(u64::MAX), PER_DOUBLING * DOUBLINGS - 1);
    }
}
