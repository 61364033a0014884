//! Who could answer for a window when: nobody is paid for one that it could answer only after it was over.

use crate::violation::{Checked, Promise, Violation};
use std::collections::BTreeMap;
use watt_ledger::{BlockOutcome, Done, Outcome};
use watt_primitives::{AccountId, Timestamp, Window};

/// When those who keep no replica have their answers, and when windows are over.
pub struct AnswerCheck {
    window_slots: u64,
    ready: BTreeMap<(AccountId, Window), Timestamp>,
    /// When somebody stored the newest block of each window.
    over: BTreeMap<Window, Timestamp>,
}

impl AnswerCheck {
    /// Nothing asked yet.
    #[must_use]
    pub const fn new(window_slots: u64) -> Self {
        Self {
            window_slots,
            ready: BTreeMap::new(),
            over: BTreeMap::new(),
        }
    }

    /// A provider has its answers to this window at `at`, and not before.
    pub fn ready(&mut self, provider: AccountId, window: Window, at: Timestamp) {
        self.ready.insert((provider, window), at);
    }

    /// Follows a block that somebody stores at `now`.
    ///
    /// # Errors
    /// [`Promise::NoFreeRide`].
    pub fn block(&mut self, now: Timestamp, outcome: &BlockOutcome) -> Checked {
        let running = Window(outcome.header.height.0 / self.window_slots);
        self.over.insert(running, now);
        for receipt in &outcome.receipts {
            let Outcome::Done(done) = &receipt.outcome else {
                continue;
            };
            for done in done {
                if let Done::WindowProven { window, .. } = done {
                    self.proven(receipt.account, *window)?;
                }
            }
        }
        Ok(())
    }

    fn proven(&self, provider: AccountId, window: Window) -> Checked {
        let times = self.ready.get(&(provider, window)).zip(self.over.get(&window));
        match times {
            Some((ready, over)) if ready > over => {
                let late_ms = ready.0 - over.0;
                Err(Violation::of(
                    Promise::NoFreeRide,
                    format_args!(
                        "window {window} of {provider} is proven, whose answers were there {late_ms} ms after it was over"
                    ),
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}
