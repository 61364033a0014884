//! What who keeps no replica has to answer with in its place: a share of a core, and a link.

use super::Trade;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Milliseconds of a window of a main network, whose ratio of windows to work every world has.
const MAIN_WINDOW_MS: u64 = 540_000;

/// Milliseconds of a core to make all labels of a sector of 64 MiB again, without the tree over its replica: `unseal` takes 8,400 to
/// 9,500 (`docs/benchmarks.md`, machine B).
const LABELS_MS: u64 = 9_000;

/// Bytes fetched for each sector by who has no data either: the group that the leaf asked for lies in.
const FETCHED_BYTES: u64 = 16 << 10;

/// With what labels are made again and data is fetched, each time that a window asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Means {
    /// Thousandths of a core: 1 to 1,000,000.
    pub core_permille: u64,
    /// Kilobytes per second of its link: 1 to 10,000,000.
    pub link_kb_s: u64,
    /// Milliseconds until what it asks somebody for begins to come.
    pub round_trip_ms: u64,
}

impl Default for Means {
    fn default() -> Self {
        Self {
            core_permille: 1_000,
            link_kb_s: 1_000,
            round_trip_ms: 50,
        }
    }
}

impl Means {
    /// Milliseconds until so many sectors can be answered for, in a world with windows of `window_ms`: as large a part of a window as
    /// on a main network. Data is fetched while labels are made. Nothing else ever waits for the core: kinder to an attacker than any
    /// real one.
    #[must_use]
    pub fn ready_ms(&self, trade: Trade, n_sectors: u64, window_ms: u64) -> u64 {
        let labels_ms = if trade.has_replica() {
            0
        } else {
            n_sectors
                .saturating_mul(LABELS_MS * 1_000)
                .div_ceil(self.core_permille.max(1))
        };
        let fetching_ms = if trade.has_data() {
            0
        } else {
            let ms = n_sectors
                .saturating_mul(FETCHED_BYTES)
                .div_ceil(self.link_kb_s.max(1));
            self.round_trip_ms.saturating_add(ms)
        };
        let main_ms = labels_ms.max(fetching_ms);
        main_ms.saturating_mul(window_ms).div_ceil(MAIN_WINDOW_MS)
    }
}
