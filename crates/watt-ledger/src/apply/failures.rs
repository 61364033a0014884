//! What it costs to answer a window and not to prove it (`docs/spec/proofs.md` 10.14).

use crate::ledger::Ledger;
use crate::rows::{Period, ProviderRow, RulesRow};
use watt_primitives::AccountId;

/// Windows that were answered and are not proven any more: void ones and those that had nothing to prove left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failed {
    windows: u64,
    /// How long they took, in milliseconds of ledger time.
    ms: u64,
}

impl Failed {
    /// Those of a period of which so many windows were good. Which ones were is not known, so the void ones are taken for the bad ones
    /// first, and the others for as long as they are on the average.
    pub(crate) fn of(period: &Period, n_good: u32) -> Self {
        let windows = period.n_asked.saturating_sub(n_good);
        let ms = u128::from(period.asked_ms)
            .saturating_mul(u128::from(windows))
            .checked_div(u128::from(period.n_asked))
            .unwrap_or(0);
        Self {
            windows: u64::from(windows),
            ms: u64::try_from(ms).unwrap_or(u64::MAX),
        }
    }

    /// Those of periods of which nothing is proven.
    pub(crate) fn all<'a>(periods: impl Iterator<Item = &'a Period>) -> Self {
        periods.fold(Self::default(), |all, period| all.plus(Self::of(period, 0)))
    }

    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            windows: self.windows.saturating_add(other.windows),
            ms: self.ms.saturating_add(other.ms),
        }
    }

    /// Counts them to a provider, and has it owe what they cost: no more than a period's worth in all.
    pub(crate) fn count_to(self, provider: &mut ProviderRow, rules: &RulesRow) {
        let parameters = &rules.parameters;
        let period_ms = parameters
            .settlement_windows
            .saturating_mul(parameters.window_slots)
            .saturating_mul(parameters.slot_ms);
        let cost_ms = self.ms.saturating_mul(parameters.failed_window_cost.into());
        let owed_ms = provider.owed_ms.saturating_add(cost_ms).min(period_ms);
        provider.windows_failed = provider.windows_failed.saturating_add(self.windows);
        provider.owed_ms = owed_ms.max(provider.owed_ms);
    }
}

impl Ledger<'_> {
    pub(super) fn count_failed(&mut self, id: &AccountId, failed: Failed) {
        if failed == Failed::default() {
            return;
        }
        if let Some(mut provider) = self.provider(id) {
            failed.count_to(&mut provider, &self.rules);
            self.write_provider(id, &provider);
        }
    }
}

/// Proven time, and how much of it is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Credit {
    proven_ms: u64,
    /// What of it pays for windows that failed.
    pub(super) withheld_ms: u64,
}

impl Credit {
    /// Adds proven time to a provider's, less what it owes.
    pub(super) fn to(provider: &mut ProviderRow, proven_ms: u64) -> Self {
        let withheld_ms = proven_ms.min(provider.owed_ms);
        provider.owed_ms = provider.owed_ms.saturating_sub(withheld_ms);
        provider.withheld_ms = provider.withheld_ms.saturating_add(withheld_ms);
        let credited_ms = proven_ms.saturating_sub(withheld_ms);
        provider.proven_ms = provider.proven_ms.saturating_add(credited_ms);
        Self {
            proven_ms,
            withheld_ms,
        }
    }

    /// The part of `all`, a count over the time that was proven, that belongs to the part that was not withheld; rounded down.
    pub(super) fn part_of(&self, all: u64) -> u64 {
        if self.withheld_ms == 0 {
            return all;
        }
        let credited_ms = self.proven_ms.saturating_sub(self.withheld_ms);
        let part = u128::from(all)
            .saturating_mul(u128::from(credited_ms))
            .checked_div(u128::from(self.proven_ms))
            .unwrap_or(0);
        u64::try_from(part).unwrap_or(all)
    }
}
