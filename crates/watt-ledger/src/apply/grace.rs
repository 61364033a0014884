//! For how long nothing of a sector was proven (`docs/spec/ledger.md` 9.12).

use super::periods::{Division, waiting};
use super::window::WINDOWS_KEPT;
use crate::rows::{
    self, ChainRow, Period, PieceTableRow, ProviderRow, RulesRow, SectorRow, SlotRow, WindowRow,
};
use crate::state::StateRead;
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, DealId, SectorNumber, SlotIndexInDeal, Window};

/// How long a sector was not proven, and when that may change by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    /// Windows since the newest that was proven with it: void ones, those that can still be opened, and those that wait for a folded
    /// proof left out.
    pub(crate) windows: u64,
    /// In how many windows something that waits lapses, if anything does.
    lapses_in: Option<u64>,
}

impl Idle {
    pub(crate) fn of(
        state: &(impl StateRead + ?Sized),
        rules: &RulesRow,
        id: &AccountId,
        provider: &ProviderRow,
        (number, sector): (SectorNumber, &SectorRow),
        current: Window,
    ) -> Self {
        let last_good = sector.last_good(provider.last_proven).unwrap_or(current);
        // The window before this one can still be opened.
        let judged = counted_to(state, Window(current.0.saturating_sub(2)), current);
        let missed = judged.saturating_sub(counted_to(state, last_good, current));
        let may_be_good = |period: &&Period| {
            let faulty_ms = period.faulty.iter().find(|(faulty, _)| *faulty == number);
            period.last > last_good && faulty_ms.is_none_or(|(_, ms)| *ms < period.ms)
        };
        let waiting = waiting(state, rules, id, provider, current).row.waiting;
        let waits = waiting.iter().filter(may_be_good);
        let n_waiting = waits.clone().map(Period::n_counted).fold(0, u64::saturating_add);
        let division = Division::of(rules, id);
        let lapses = waits.map(|period| division.lapses_at(period.number)).min();
        Self {
            windows: missed.saturating_sub(n_waiting),
            lapses_in: lapses.map(|lapses| lapses.0.saturating_sub(current.0)),
        }
    }

    /// In how many windows to look again at what has a grace of so many.
    pub(crate) fn look_again(&self, grace: u64) -> u64 {
        let grows = grace.saturating_sub(self.windows);
        self.lapses_in.map_or(grows, |lapses| grows.min(lapses)).max(1)
    }
}

/// Windows that counted up to and with `window`, as far as they are remembered.
fn counted_to(state: &(impl StateRead + ?Sized), window: Window, current: Window) -> u64 {
    let oldest = Window(current.0.saturating_sub(WINDOWS_KEPT.saturating_sub(1)));
    let row: Option<WindowRow> = rows::read(state, &rows::window(window.max(oldest)));
    match row {
        Some(row) if row.is_closed => row.n_counted,
        Some(_) | None => rows::read::<ChainRow>(state, rows::CHAIN).map_or(0, |row| row.windows_counted),
    }
}

/// The slots of running deals in a sector.
pub(crate) fn slots_in(
    state: &(impl StateRead + ?Sized),
    provider: &AccountId,
    number: SectorNumber,
) -> Vec<(DealId, SlotIndexInDeal, SlotRow)> {
    let pieces: Option<PieceTableRow> = rows::read(state, &rows::piece_table(provider, number));
    let slots = pieces
        .iter()
        .flat_map(|table| table.0.iter())
        .filter_map(|piece| {
            let Piece::Slot { deal, slot, .. } = piece else {
                return None;
            };
            let held: SlotRow = rows::read(state, &rows::slot(deal, *slot))?;
            (held.sector == Some(number) && held.provider == *provider).then_some((*deal, *slot, held))
        });
    slots.collect()
}

/// The shortest grace of these slots, or the provider's own if there are none.
pub(crate) fn least_grace(
    state: &(impl StateRead + ?Sized),
    rules: &RulesRow,
    provider: &AccountId,
    slots: &[(DealId, SlotIndexInDeal, SlotRow)],
) -> Option<u64> {
    let grace = rules.parameters.grace_windows;
    let of_slots = slots.iter().map(|(_, _, held)| grace.of(held.device)).min();
    of_slots.or_else(|| {
        let row: ProviderRow = rows::read(state, &rows::provider(provider))?;
        Some(grace.of(row.device))
    })
}
