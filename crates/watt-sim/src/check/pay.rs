//! What every slot should have been paid, from the windows that were proven, kept in a second set of books.

use crate::violation::{Checked, Promise, Violation};
use std::collections::{BTreeMap, BTreeSet};
use watt_engine::message::DecidedBlock;
use watt_ledger::query;
use watt_ledger::rows::{DealRow, DealStage, SectorRow, SlotRow};
use watt_ledger::{BlockOutcome, Done, Event, MemoryState, NetworkParameters, Outcome, StateRead};
use watt_light::{Operation, SlotRef};
use watt_market::deal::pay;
use watt_primitives::{
    AccountId, Amount, BlockHeight, DealId, LedgerTime, SectorNumber, SlotIndexInDeal, Window, codec,
};

/// A second set of books.
pub struct PayCheck {
    window_slots: u64,
    /// Ledger time of the newest block of each window.
    ends: BTreeMap<Window, LedgerTime>,
    proven: BTreeSet<(AccountId, Window)>,
    /// Windows that had something to prove, were answered, and are not proven yet.
    answered: BTreeMap<AccountId, BTreeSet<Window>>,
    /// What a failed window costs besides its own time, as a multiple of it.
    failed_window_cost: u64,
    /// The most that a provider owes, in milliseconds.
    owed_ms_max: u64,
    /// Milliseconds that each provider owes for windows that failed.
    owed_ms: BTreeMap<AccountId, u64>,
    /// Milliseconds proven with each sector.
    credit_ms: BTreeMap<(AccountId, SectorNumber), u64>,
}

impl PayCheck {
    /// Books that begin at block 0.
    #[must_use]
    pub fn new(parameters: &NetworkParameters, genesis_state: &MemoryState) -> Self {
        let at = query::head(genesis_state).map_or(LedgerTime(0), |head| head.ledger_time);
        Self {
            window_slots: parameters.window_slots,
            ends: BTreeMap::from([(Window(0), at)]),
            proven: BTreeSet::new(),
            answered: BTreeMap::new(),
            failed_window_cost: parameters.failed_window_cost.into(),
            owed_ms_max: parameters.settlement_windows * parameters.window_slots * parameters.slot_ms,
            owed_ms: BTreeMap::new(),
            credit_ms: BTreeMap::new(),
        }
    }

    const fn window_of(&self, height: BlockHeight) -> Window {
        Window(height.0 / self.window_slots)
    }

    /// Milliseconds of ledger time in a window that is over.
    fn length_ms(&self, window: Window) -> u64 {
        let end = |window: Window| self.ends.get(&window).map_or(0, |at| at.0);
        // The first window begins with block 0; every other one with the last block before it.
        let start = if window.0 == 0 {
            self.ends.first_key_value().map_or(0, |(_, at)| at.0)
        } else {
            end(window.previous())
        };
        end(window).saturating_sub(start)
    }

    /// Follows a block.
    ///
    /// # Errors
    /// [`Promise::ExactPay`].
    pub fn block(
        &mut self,
        below: &MemoryState,
        state: &MemoryState,
        block: &DecidedBlock,
        outcome: &BlockOutcome,
    ) -> Checked {
        let height = outcome.header.height;
        self.check_lost(below, state, outcome)?;
        let mut claimed = BTreeSet::new();
        for (signed, receipt) in block.transactions.iter().zip(&outcome.receipts) {
            let Outcome::Done(done) = &receipt.outcome else {
                continue;
            };
            for (operation, done) in signed.transaction.operations.iter().zip(done.iter()) {
                if let Done::WindowProven {
                    window,
                    proven_ms,
                    withheld_ms,
                } = done
                {
                    let ms = (*proven_ms, *withheld_ms);
                    self.window_proven(below, &receipt.account, *window, ms, height)?;
                }
                if let Operation::Claim { slots } = operation {
                    claimed.extend(slots.iter().copied());
                }
            }
        }
        for heartbeat in block.heartbeats.iter() {
            let window = self.window_of(height);
            let Some(provider) = query::provider_of(state, heartbeat.provider) else {
                continue;
            };
            let row = query::heartbeat(state, &provider, window);
            if row.is_some_and(|row| row.left_out.len() < usize::from(row.n_sectors)) {
                self.answered.entry(provider).or_default().insert(window);
            }
        }
        if let Some(head) = query::head(state) {
            self.ends.insert(self.window_of(height), head.ledger_time);
        }
        self.check_slots(state, &claimed)?;
        self.check_ended(below, state, outcome)
    }

    fn window_proven(
        &mut self,
        below: &MemoryState,
        provider: &AccountId,
        window: Window,
        (proven_ms, withheld_ms): (u64, u64),
        height: BlockHeight,
    ) -> Checked {
        let wrong = |facts: String| Err(Violation::of(Promise::ExactPay, facts));
        let current = self.window_of(height);
        if window.next() != current {
            return wrong(format!(
                "the proof of window {window} by {provider} was accepted in window {current}"
            ));
        }
        if !self.proven.insert((*provider, window)) {
            return wrong(format!("window {window} of {provider} counts twice"));
        }
        let length_ms = self.length_ms(window);
        if proven_ms != length_ms {
            return wrong(format!(
                "window {window} took {length_ms} ms and counts for {proven_ms} ms"
            ));
        }
        let withheld = self.withheld(below, provider, window, length_ms);
        if withheld_ms != withheld {
            return wrong(format!(
                "{withheld} ms of window {window} are to be withheld from {provider}, and {withheld_ms} ms are"
            ));
        }
        let heartbeat = query::provider_window(below, provider, window).and_then(|window| window.heartbeat);
        let faults = heartbeat.map(|row| row.faults.into_inner()).unwrap_or_default();
        for (number, row) in query::sectors(below, provider) {
            let row: SectorRow = row;
            if row.is_in_set(window) && !faults.contains(&number) {
                *self.credit_ms.entry((*provider, number)).or_default() += length_ms - withheld;
            }
        }
        Ok(())
    }

    /// How much of a window that is proven now pays for those that failed: all that were answered before it, and did count.
    fn withheld(&mut self, below: &MemoryState, provider: &AccountId, window: Window, length_ms: u64) -> u64 {
        let mut before = self.answered.remove(provider).unwrap_or_default();
        let later = before.split_off(&window.next());
        self.answered.insert(*provider, later);
        before.remove(&window);
        let counts = |window: &Window| query::window(below, *window).is_some_and(|row| !row.is_void);
        let failed = before.into_iter().filter(counts);
        let failed_ms: u64 = failed.map(|window| self.length_ms(window)).sum();
        let owed = self.owed_ms.entry(*provider).or_default();
        *owed = (*owed + failed_ms * self.failed_window_cost).min(self.owed_ms_max);
        let withheld = length_ms.min(*owed);
        *owed -= withheld;
        withheld
    }

    /// What a slot has earned by the books.
    fn earned(&self, row: &SlotRow) -> Amount {
        let ms = row
            .sector
            .and_then(|sector| self.credit_ms.get(&(row.provider, sector)))
            .copied()
            .unwrap_or(0);
        pay(row.funds.price, row.funds.slot_bytes, ms.min(row.funds.term_ms)).unwrap_or(row.funds.share)
    }

    fn check_slots(&self, state: &MemoryState, claimed: &BTreeSet<SlotRef>) -> Checked {
        for (key, row) in state.scan(b"Es", None, usize::MAX) {
            let Some((deal, slot)) = slot_of(&key) else {
                continue;
            };
            let Ok(row) = codec::decode_own::<SlotRow>(&row) else {
                return Err(Violation::of(Promise::ExactPay, "a slot's row can't be read"));
            };
            let (earned, paid) = (self.earned(&row), row.funds.paid.proven);
            let is_due = claimed.contains(&SlotRef { deal, slot });
            if paid > earned || (is_due && paid != earned) {
                return Err(Violation::of(
                    Promise::ExactPay,
                    format_args!("slot {slot} of deal {deal} was paid {paid} and has earned {earned}"),
                ));
            }
        }
        Ok(())
    }

    /// Slots that were lost at the beginning of this block were paid what they had earned until then.
    fn check_lost(&self, below: &MemoryState, state: &MemoryState, outcome: &BlockOutcome) -> Checked {
        for event in &outcome.events {
            let Event::SlotLost { deal, slot, .. } = event else {
                continue;
            };
            let before = query::slot(below, deal, *slot);
            let earned = before.map_or(Amount::ZERO, |before| self.earned(&before.row));
            let after = query::deal(state, deal).map(|deal| deal.row.lost);
            let lost = after
                .iter()
                .flat_map(|lost| lost.iter())
                .find(|lost| lost.slot == *slot);
            let paid = lost.map_or(Amount::ZERO, |lost| lost.paid.proven);
            if paid != earned {
                return Err(Violation::of(
                    Promise::ExactPay,
                    format_args!(
                        "slot {slot} of deal {deal} was lost, was paid {paid} and had earned {earned}"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Deals that ended in this block were paid what all their slots had earned.
    fn check_ended(&self, below: &MemoryState, state: &MemoryState, outcome: &BlockOutcome) -> Checked {
        let written = outcome.writes.iter().filter(|(key, _)| key.starts_with(b"Ed"));
        for (key, _) in written {
            let Some(deal) = key.get(2..).and_then(|id| Some(DealId(*id.first_chunk()?))) else {
                continue;
            };
            let (Some(before), Some(after)) = (query::deal(below, &deal), query::deal(state, &deal)) else {
                continue;
            };
            let DealRow { stage, lost, .. } = &after.row;
            let was_ended = matches!(before.row.stage, DealStage::Ended { .. });
            let (DealStage::Ended { paid, .. }, false) = (stage, was_ended) else {
                continue;
            };
            let is_lost = |slot: &&query::Slot| lost.iter().any(|lost| lost.slot == slot.index);
            let kept = before.slots.iter().filter(|slot| !is_lost(slot));
            let earned: u64 = kept.map(|slot| self.earned(&slot.row).0).sum();
            let of_lost: u64 = lost.iter().map(|lost| lost.paid.proven.0).sum();
            let earned = earned + of_lost;
            if paid.proven.0 != earned {
                return Err(Violation::of(
                    Promise::ExactPay,
                    format_args!(
                        "deal {deal} ended having paid {} for proofs that earned {earned}",
                        paid.proven
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn slot_of(key: &[u8]) -> Option<(DealId, SlotIndexInDeal)> {
    let (deal, rest) = key.get(2..)?.split_first_chunk()?;
    Some((DealId(*deal), SlotIndexInDeal(*rest.first()?)))
}
