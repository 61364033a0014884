//! Which windows of a provider wait to be settled by one folded proof (`docs/spec/proofs.md` §10).
//!
//! Windows are settled in their order. A heartbeat joins a period when its window can't be proven by itself any more; that is worked
//! out when somebody asks, from the rows and the heartbeats that are kept.

use super::failures::Failed;
use super::heartbeat::answered_window;
use crate::rows::{self, HeartbeatRow, PERIODS_MAX, Period, PeriodsRow, ProviderRow, RulesRow, WindowRow};
use crate::state::StateRead;
use watt_light::WindowShape;
use watt_primitives::hash::{Domain, DomainHasher};
use watt_primitives::{AccountId, Window};
use watt_proofs::{Element, Shape};

/// The shape of a window, as it is said of folded ones.
fn shape_of(heartbeat: &HeartbeatRow) -> WindowShape {
    if heartbeat.shape() == Shape::SMALL {
        WindowShape::Small
    } else {
        WindowShape::Large
    }
}

/// How a provider's windows divide into periods: each has a beginning of its own, so that they come due evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Division {
    windows: u64,
    offset: u64,
}

impl Division {
    pub(crate) fn of(rules: &RulesRow, provider: &AccountId) -> Self {
        let windows = rules.parameters.settlement_windows.max(1);
        let digest = DomainHasher::without_network(Domain::PostState)
            .part(b"period")
            .part(provider.as_ref())
            .finish();
        Self {
            windows,
            offset: digest.below(windows),
        }
    }

    /// The period that a window lies in.
    pub(crate) fn number(&self, window: Window) -> u64 {
        let shifted = window.0.saturating_add(self.offset);
        shifted.checked_div(self.windows).unwrap_or(0)
    }

    /// What waits, oldest first, with the first window in which it can be settled: when its period is over, or before, when something
    /// newer waits, since it does not grow any more then.
    pub(crate) fn with_due<'a>(&self, waiting: &'a [Period]) -> impl Iterator<Item = (&'a Period, Window)> {
        let newer = waiting
            .iter()
            .skip(1)
            .map(|newer| Some(newer.first))
            .chain([None]);
        let division = *self;
        waiting.iter().zip(newer).map(move |(period, newer)| {
            let over = division.due_from(period.number);
            // By then the window of another shape can't be proven by itself any more.
            let cut = newer.map(|first| first.plus(2));
            (period, cut.map_or(over, |cut| cut.min(over)))
        })
    }

    /// The first window after a period in which it can be settled: its last one has joined by then whatever becomes of it.
    fn due_from(&self, number: u64) -> Window {
        let next = number.saturating_add(1).saturating_mul(self.windows);
        Window(next.saturating_sub(self.offset)).next()
    }

    /// The first window in which it can't any more.
    pub(crate) fn lapses_at(&self, number: u64) -> Window {
        self.due_from(number.saturating_add(1))
    }

    /// How often it is looked whether a period is settled, in windows.
    pub(crate) const fn look_again(&self) -> u64 {
        let part = self.windows / 12;
        if part == 0 { 1 } else { part }
    }
}

/// What waits of a provider, and what does not any more.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// What waits.
    pub(crate) row: PeriodsRow,
    /// What has lapsed or given way since the provider's row was written. Whoever writes what waits counts it there.
    pub(crate) failed: Failed,
}

/// What waits of a provider in `current`, the window of the next change.
pub(crate) fn waiting(
    state: &(impl StateRead + ?Sized),
    rules: &RulesRow,
    id: &AccountId,
    provider: &ProviderRow,
    current: Window,
) -> Waiting {
    let division = Division::of(rules, id);
    let mut row: PeriodsRow = rows::read(state, &rows::periods(id)).unwrap_or_default();
    let mut failed = Failed::default();
    for window in provider
        .last_heartbeat
        .into_iter()
        .flat_map(|last| [last.previous(), last])
    {
        let can_be_proven = window.next() >= current;
        if can_be_proven || row.taken_to.is_some_and(|taken| window <= taken) {
            continue;
        }
        let heartbeat: Option<HeartbeatRow> = rows::read(state, &rows::heartbeat(id, window));
        let Some(heartbeat) = heartbeat.filter(|heartbeat| !heartbeat.is_proven) else {
            continue;
        };
        if let Some(oldest) = join(state, rules, &division, &mut row, window, &heartbeat) {
            failed = failed.plus(Failed::of(&oldest, 0));
        }
    }
    let has_time = |period: &Period| current < division.lapses_at(period.number);
    let (waiting, lapsed): (Vec<Period>, Vec<Period>) =
        row.waiting.into_inner().into_iter().partition(has_time);
    row.waiting = waiting.try_into().unwrap_or_default();
    failed = failed.plus(Failed::all(lapsed.iter()));
    Waiting { row, failed }
}

/// Adds a window to the newest period, or begins another one; the oldest, which is returned, gives way if there are too many.
fn join(
    state: &(impl StateRead + ?Sized),
    rules: &RulesRow,
    division: &Division,
    row: &mut PeriodsRow,
    window: Window,
    heartbeat: &HeartbeatRow,
) -> Option<Period> {
    let (ms, is_void) = rows::read::<WindowRow>(state, &rows::window(window))
        .map_or((0, true), |row| (row.length_ms(), row.is_void));
    let (number, shape) = (division.number(window), shape_of(heartbeat));
    let mut all = core::mem::take(&mut row.waiting).into_inner();
    let goes_on =
        |period: &Period| (period.number, period.shape, period.to) == (number, shape, heartbeat.state);
    let mut gives_way = None;
    if !all.last().is_some_and(goes_on) {
        if all.len() >= PERIODS_MAX {
            gives_way = Some(all.remove(0));
        }
        all.push(Period {
            number,
            shape,
            first: window,
            last: window,
            from: heartbeat.state,
            to: heartbeat.state,
            n_windows: 0,
            n_void: 0,
            n_asked: 0,
            ms: 0,
            asked_ms: 0,
            byte_windows: 0,
            faulty: watt_primitives::BoundedVec::empty(),
        });
    }
    if let Some(period) = all.last_mut() {
        period.last = window;
        period.to = answered_window(state, &rules.network, window, heartbeat).next_state(heartbeat.state);
        period.n_windows = period.n_windows.saturating_add(1);
        period.n_void = period.n_void.saturating_add(u32::from(is_void));
        period.ms = period.ms.saturating_add(ms);
        if !is_void && heartbeat.set != Element::default() {
            period.n_asked = period.n_asked.saturating_add(1);
            period.asked_ms = period.asked_ms.saturating_add(ms);
        }
        period.byte_windows = period.byte_windows.saturating_add(heartbeat.bytes);
        period.add_faulty(heartbeat.unpaid(), ms);
    }
    row.taken_to = Some(window);
    row.waiting = all.try_into().unwrap_or_default();
    gives_way
}

#[cfg(test)]
mod tests;
