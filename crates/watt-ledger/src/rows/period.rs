//! Windows that wait to be settled together.

use serde::{Deserialize, Serialize};
use watt_light::heartbeat::FAULTS_MAX;
use watt_light::{FoldedWindows, WindowShape};
use watt_primitives::codec::zero_or_one;
use watt_primitives::{BoundedVec, Hash, SectorNumber, Window};
use watt_proofs::Element;

/// The most periods of a provider that wait: the running one and two that it may settle, as a change of shape cuts a period.
pub const PERIODS_MAX: usize = 3;

/// A provider's windows that were answered and not proven one by one, period by period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodsRow {
    /// The newest window that was settled, has lapsed or lies in a period.
    #[serde(with = "zero_or_one")]
    pub taken_to: Option<Window>,
    /// The periods that wait, oldest first.
    pub waiting: BoundedVec<Period, PERIODS_MAX>,
}

/// Windows that one folded proof may settle (`docs/spec/proofs.md` §10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Its number; a change of shape cuts a period into several of one number.
    pub number: u64,
    /// The shape of all its windows.
    pub shape: WindowShape,
    /// The first window in which the provider was present.
    pub first: Window,
    /// The last.
    pub last: Window,
    /// The provider's state before the first.
    pub from: Element,
    /// Its state after the last.
    pub to: Element,
    /// Windows in which it was present.
    pub n_windows: u32,
    /// How many of them were void.
    pub n_void: u32,
    /// How many of them were not, and had something to prove: those that fail unless they are proven.
    pub n_asked: u32,
    /// How long they took together, in milliseconds of ledger time.
    pub ms: u64,
    /// How long those that fail unless they are proven took.
    pub asked_ms: u64,
    /// Bytes in the set and not declared faulty, added up over the windows.
    pub byte_windows: u64,
    /// For how long sectors were declared faulty, in milliseconds, in the order of their numbers.
    pub faulty: BoundedVec<(SectorNumber, u64), FAULTS_MAX>,
}

impl Period {
    /// What a proof of it shows, if it says that so many windows were good.
    #[must_use]
    pub fn shown(&self, n_good: u32) -> FoldedWindows {
        FoldedWindows {
            shape: self.shape,
            from: Hash(self.from.to_bytes()),
            to: Hash(self.to.to_bytes()),
            n_windows: self.n_windows,
            n_good,
        }
    }

    /// Windows of it that were not void.
    #[must_use]
    pub fn n_counted(&self) -> u64 {
        u64::from(self.n_windows.saturating_sub(self.n_void))
    }

    /// For how long of it a sector was declared faulty, in milliseconds.
    #[must_use]
    pub fn faulty_ms(&self, sector: SectorNumber) -> u64 {
        let found = self.faulty.iter().find(|(number, _)| *number == sector);
        found.map_or(0, |(_, ms)| *ms)
    }

    /// Notes that these sectors were declared faulty for so long. More sectors than a provider can have are not noted.
    pub fn add_faulty(&mut self, sectors: impl Iterator<Item = SectorNumber>, ms: u64) {
        let mut all = core::mem::take(&mut self.faulty).into_inner();
        for sector in sectors {
            match all.binary_search_by_key(&sector, |(number, _)| *number) {
                Ok(at) => {
                    if let Some((_, before)) = all.get_mut(at) {
                        *before = before.saturating_add(ms);
                    }
                }
                Err(at) if all.len() < FAULTS_MAX => all.insert(at, (sector, ms)),
                Err(_) => {}
            }
        }
        self.faulty = all.try_into().unwrap_or_default();
    }
}
