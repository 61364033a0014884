//! One flat set for all: the numbers are arithmetic.

use crate::analysis::{Analysis, Intersection, Sets};
use crate::network::Network;
use serde::{Deserialize, Serialize};
use watt_scp::QuorumSet;

/// `threshold` of `members`, declared by everybody: any `threshold` of them are a quorum, and nothing less is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flat {
    members: u32,
    threshold: u32,
}

impl Flat {
    /// `threshold` of `members`; none if that can't be met or is met by nobody.
    #[must_use]
    pub const fn new(threshold: u32, members: u32) -> Option<Self> {
        if threshold == 0 || threshold > members {
            return None;
        }
        Some(Self { members, threshold })
    }

    /// The set that every node of a network declares, if it is flat.
    #[must_use]
    pub fn of_set(set: &QuorumSet) -> Option<Self> {
        let set = set.normalized();
        let members = u32::try_from(set.nodes.len()).ok()?;
        if set.inner.is_empty() && set.is_sane() {
            Self::new(set.threshold, members)
        } else {
            None
        }
    }

    /// How many members there are.
    #[must_use]
    pub const fn members(self) -> u32 {
        self.members
    }

    /// How many make a quorum.
    #[must_use]
    pub const fn threshold(self) -> u32 {
        self.threshold
    }

    /// How many members must fail before the others can't agree: `k - t + 1`.
    #[must_use]
    pub const fn blocking(self) -> u32 {
        self.members.saturating_sub(self.threshold).saturating_add(1)
    }

    /// How many members must lie before two groups can agree on different things: `2t - k`, none if they can without.
    #[must_use]
    pub const fn splitting(self) -> u32 {
        self.threshold.saturating_mul(2).saturating_sub(self.members)
    }

    /// Whether any two quorums have a member in common.
    #[must_use]
    pub const fn intersects(self) -> bool {
        self.splitting() > 0
    }

    /// The whole analysis of `network`, if all its nodes declare one flat set.
    #[must_use]
    pub fn analyze(network: &Network) -> Option<Analysis> {
        let set = network.flat()?;
        let names = &set.validators;
        let flat = Self::new(
            u32::try_from(set.threshold).ok()?,
            u32::try_from(names.len()).ok()?,
        )?;
        let some = |n: u32| -> Vec<String> { names.iter().take(size(n)).cloned().collect() };
        let intersection = if flat.intersects() {
            Intersection::Yes
        } else {
            let others = names.iter().skip(size(flat.threshold)).take(size(flat.threshold));
            Intersection::No {
                quorums: [some(flat.threshold), others.cloned().collect()],
            }
        };
        let sets = |n: u32| Sets {
            smallest: size(n),
            example: some(n),
            count: choose(flat.members, n),
        };
        Some(Analysis {
            intersection,
            blocking: Some(sets(flat.blocking())),
            splitting: Some(sets(flat.splitting())),
            top_tier: Some(names.clone()),
        })
    }
}

fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Ways to choose `n` of `k`, at most `u64::MAX`.
fn choose(k: u32, n: u32) -> u64 {
    let n = n.min(k.saturating_sub(n));
    let mut ways: u128 = 1;
    for i in 0..u128::from(n) {
        // Divides without rest: a product of i + 1 consecutive numbers.
        ways = ways.saturating_mul(u128::from(k) - i) / (i + 1);
        if ways > u128::from(u64::MAX) {
            return u64::MAX;
        }
    }
    u64::try_from(ways).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
