//! Windows roll over by themselves (`docs/spec/ledger.md` §7).

use crate::ledger::Ledger;
use crate::receipt::Event;
use crate::rows::{self, WindowRow};
use watt_primitives::Window;

/// Windows that are remembered.
pub const WINDOWS_KEPT: u64 = 4096;

impl Ledger<'_> {
    /// Closes the window before and opens this one, if this block is its first.
    pub(crate) fn roll_window(&mut self) {
        let window = self.window();
        if self.height() != self.first_height_of(window) {
            return;
        }
        let start = self.close_window(window.previous());
        let row = WindowRow {
            window,
            start: start.unwrap_or(self.now()),
            end: self.now(),
            halted_ms_before: self.chain.halted_ms,
            n_expected: self.supply.n_providing,
            n_heartbeats: 0,
            n_proven: 0,
            is_closed: false,
            is_void: false,
            n_counted: 0,
        };
        self.rows.write(rows::window(window), &row);
        if let Some(forgotten) = window.0.checked_sub(WINDOWS_KEPT) {
            self.rows.remove(rows::window(Window(forgotten)));
        }
    }

    /// Void for all if fewer than two thirds of the expected heartbeats came, or if the network stood still in it (TC23):
    /// nobody is at fault for missing it. Whoever proves it all the same is paid.
    fn close_window(&mut self, window: Window) -> Option<watt_primitives::LedgerTime> {
        let mut row: WindowRow = self.rows.read(&rows::window(window))?;
        if row.is_closed || row.window == self.window() {
            return None;
        }
        let is_quiet = row.n_heartbeats.saturating_mul(3) < row.n_expected.saturating_mul(2);
        let has_halted = self.chain.halted_ms > row.halted_ms_before;
        row.is_closed = true;
        row.is_void = is_quiet || has_halted;
        if !row.is_void {
            self.chain.windows_counted = self.chain.windows_counted.saturating_add(1);
        }
        row.n_counted = self.chain.windows_counted;
        self.rows.write(rows::window(window), &row);
        self.events.push(Event::WindowClosed {
            window,
            n_expected: row.n_expected,
            n_heartbeats: row.n_heartbeats,
            is_void: row.is_void,
        });
        Some(row.end)
    }

    /// Moves the running window's end to this block.
    pub(crate) fn note_window_time(&mut self) {
        let (window, now) = (self.window(), self.now());
        self.change_window(window, |row| row.end = now);
    }

    pub(super) fn change_window(&mut self, window: Window, change: impl FnOnce(&mut WindowRow)) {
        let key = rows::window(window);
        if let Some(mut row) = self.rows.read::<WindowRow>(&key) {
            change(&mut row);
            self.rows.write(key, &row);
        }
    }
}
