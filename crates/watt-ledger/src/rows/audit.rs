//! Live sectors that are asked again (`docs/spec/ledger.md` 9.15).

use serde::{Deserialize, Serialize};
use watt_primitives::{AccountId, BlockHeight, SectorNumber, Window};

/// How many lots there are; they are numbered from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LotsRow {
    /// Now.
    pub n: u64,
    /// The newest window in which their number changed.
    pub changed: Window,
    /// How many there were when that window began.
    pub n_before: u64,
}

impl LotsRow {
    /// How many there were when `window`, the running one, began.
    #[must_use]
    pub fn at_beginning_of(&self, window: Window) -> u64 {
        if self.changed == window {
            self.n_before
        } else {
            self.n
        }
    }
}

/// Whose a lot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LotRow {
    /// Whose sector.
    pub provider: AccountId,
    /// Which.
    pub sector: SectorNumber,
}

/// A live sector is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRow {
    /// The window that asks; another one once the committee of the first is forgotten.
    pub window: Window,
    /// Height at which it was drawn.
    pub since: BlockHeight,
    /// Windows that had counted by then: void ones since give the provider more time.
    pub counted_before: u64,
    /// Slots to answer, void windows left out.
    pub answer_slots: u64,
    /// Last height for the answer, as far as is known.
    pub answer_by: BlockHeight,
    /// Height at which it is looked at.
    pub due: BlockHeight,
}

impl AuditRow {
    /// From when on a block takes the openings themselves: when half of the time is over. Members of a committee who are away, or who
    /// want the sector lost, can't have it lost.
    #[must_use]
    pub fn shown_to_everybody_from(&self) -> BlockHeight {
        self.since.plus(self.answer_slots / 2)
    }
}
