//! Many windows settled by one folded proof (`docs/spec/proofs.md` §10). The proof itself was checked before the block.

use super::Actor;
use super::failures::{Credit, Failed};
use super::periods::{Division, Waiting, waiting};
use crate::duty::place_in_term;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, Period, PeriodsRow, PowerRow, ProviderRow, SectorRow};
use watt_light::FoldedWindows;
use watt_primitives::{AccountId, SectorNumber, Window};

/// What is settled: one window that was opened, or the windows of a period.
pub(super) struct Settled {
    /// The first window; a sector that was in its set counts.
    pub(super) first: Window,
    /// The last window.
    pub(super) last: Window,
    /// Proven time, in milliseconds.
    pub(super) proven_ms: u64,
    /// Windows proven that were not void.
    pub(super) n_counted: u64,
    /// Windows proven that were.
    pub(super) n_void: u64,
    /// Bytes proven, added up over the windows.
    pub(super) byte_windows: u64,
}

impl Ledger<'_> {
    pub(super) fn settle_windows(&mut self, actor: &Actor, windows: &FoldedWindows) -> Result<Done, Refused> {
        let id = &actor.account;
        let provider = self.provider(id).ok_or(Refused::NotAProvider)?;
        let current = self.window();
        let Waiting { mut row, mut failed } = waiting(&self.rows, &self.rules, id, &provider, current);
        let division = Division::of(&self.rules, id);
        let due: Vec<&Period> = division
            .with_due(&row.waiting)
            .filter(|(_, due_from)| *due_from <= current)
            .map(|(period, _)| period)
            .collect();
        if due.is_empty() {
            return Err(Refused::NothingToSettle);
        }
        let mut due = due.into_iter();
        let period = due
            .find(|period| period.shown(windows.n_good) == *windows)
            .cloned();
        let period = period.ok_or(Refused::OtherWindows)?;
        let (n_windows, n_good) = (windows.n_windows, windows.n_good);
        if n_good == 0 || n_good > n_windows {
            return Err(Refused::OtherWindows);
        }
        // What is older and was not settled is given up: time is proven in its order.
        let (newer, older): (Vec<Period>, Vec<Period>) = row
            .waiting
            .into_inner()
            .into_iter()
            .filter(|other| *other != period)
            .partition(|other| other.first > period.last);
        row.waiting = newer.try_into().unwrap_or_default();
        self.rows.write(rows::periods(id), &row);
        failed = failed
            .plus(Failed::all(older.iter()))
            .plus(Failed::of(&period, n_good));
        self.count_failed(id, failed);

        let part = |all: u64| all.saturating_sub(part_lost(all, n_good, n_windows));
        let n_counted = n_good.min(n_windows.saturating_sub(period.n_void));
        let settled = Settled {
            first: period.first,
            last: period.last,
            proven_ms: part(period.ms),
            n_counted: u64::from(n_counted),
            n_void: u64::from(n_good.saturating_sub(n_counted)),
            byte_windows: part(period.byte_windows),
        };
        let credit = self.pay_in(id, &settled)?;
        for (sector, ms) in period.faulty.iter() {
            if *ms >= period.ms {
                self.note_unpaid(id, *sector, settled.last, provider.last_proven);
            }
            let ms = ms.saturating_sub(part_lost(*ms, n_good, n_windows));
            self.leave_out(id, *sector, credit.part_of(ms));
        }
        Ok(Done::WindowsSettled {
            first: settled.first,
            last: settled.last,
            n_windows,
            n_good,
            proven_ms: settled.proven_ms,
            withheld_ms: credit.withheld_ms,
        })
    }

    /// Adds what was proven, less what the provider owes, to its time and to the power of whoever runs it.
    pub(super) fn pay_in(&mut self, id: &AccountId, settled: &Settled) -> Result<Credit, Refused> {
        self.start_sectors(id, settled.first)?;
        let mut provider = self.provider(id).ok_or(Refused::NotAProvider)?;
        let credit = Credit::to(&mut provider, settled.proven_ms);
        provider.windows_proven = provider.windows_proven.saturating_add(settled.n_counted);
        provider.void_windows_proven = provider.void_windows_proven.saturating_add(settled.n_void);
        provider.last_proven = Some(settled.last);
        provider.last_proven_at = self.now();
        let key = rows::power(&provider.person);
        self.write_provider(id, &provider);
        let (term, _) = place_in_term(&self.rules, settled.last);
        let mut row: PowerRow = self.rows.read(&key).unwrap_or_default();
        row.add(term, credit.part_of(settled.byte_windows));
        self.rows.write(key, &row);
        Ok(credit)
    }

    /// Sectors that are in a proven window for the first time begin to count here.
    fn start_sectors(&mut self, id: &AccountId, window: Window) -> Result<(), Refused> {
        let mut provider = self.provider(id).ok_or(Refused::NotAProvider)?;
        let mut waiting = Vec::new();
        for number in provider.starting.iter().copied() {
            let key = rows::sector(id, number);
            let Some(mut sector) = self.rows.read::<SectorRow>(&key) else {
                continue;
            };
            if sector.is_in_set(window) {
                sector.proven_ms_start = Some(provider.proven_ms);
                self.rows.write(key, &sector);
            } else {
                waiting.push(number);
            }
        }
        provider.starting = waiting.try_into().map_err(|_| Refused::Invariant)?;
        self.write_provider(id, &provider);
        Ok(())
    }

    /// Nobody pays a sector for time in which it was declared faulty.
    pub(super) fn leave_out(&mut self, id: &AccountId, number: SectorNumber, ms: u64) {
        let key = rows::sector(id, number);
        let sector: Option<SectorRow> = self.rows.read(&key);
        if let Some(mut sector) = sector.filter(|sector| sector.proven_ms_start.is_some()) {
            sector.faulty_ms = sector.faulty_ms.saturating_add(ms);
            self.rows.write(key, &sector);
        }
    }

    /// Notes that windows up to `to` were proven without a sector, after `before`, which was the newest that was proven until then.
    pub(super) fn note_unpaid(
        &mut self,
        id: &AccountId,
        number: SectorNumber,
        to: Window,
        before: Option<Window>,
    ) {
        let key = rows::sector(id, number);
        if let Some(mut sector) = self.rows.read::<SectorRow>(&key) {
            sector.note_unpaid(to, before);
            self.rows.write(key, &sector);
        }
    }

    /// Gives up what waits from before `window`, which is settled now: time is proven in its order.
    pub(super) fn give_up_before(&mut self, id: &AccountId, provider: &ProviderRow, window: Window) {
        let Waiting { row, failed } = waiting(&self.rows, &self.rules, id, provider, self.window());
        self.count_failed(id, failed.plus(Failed::all(row.waiting.iter())));
        if row != PeriodsRow::default() {
            let row = PeriodsRow {
                taken_to: Some(window),
                ..PeriodsRow::default()
            };
            self.rows.write(rows::periods(id), &row);
        }
    }

    /// Notes which windows wait now. Nothing is noted of a provider of whom nothing waits.
    pub(super) fn note_waiting(&mut self, id: &AccountId, provider: &ProviderRow) {
        let Waiting { row, failed } = waiting(&self.rows, &self.rules, id, provider, self.window());
        self.count_failed(id, failed);
        let kept_from = provider.last_heartbeat.map(Window::previous);
        if row.waiting.is_empty() && row.taken_to < kept_from {
            self.rows.remove(rows::periods(id));
        } else if self.rows.read(&rows::periods(id)) != Some(row.clone()) {
            self.rows.write(rows::periods(id), &row);
        }
    }
}

/// The part of `all` that failed windows cost, rounded up.
fn part_lost(all: u64, n_good: u32, n_windows: u32) -> u64 {
    let n_lost = u128::from(n_windows.saturating_sub(n_good));
    let lost = u128::from(all)
        .saturating_mul(n_lost)
        .div_ceil(u128::from(n_windows.max(1)));
    u64::try_from(lost).unwrap_or(all)
}
