//! Ending deals: by their client, by anyone once the term is over, by themselves.

use super::Actor;
use super::certify::slots_of;
use super::periods::{Division, waiting};
use crate::ledger::{Ledger, Purse};
use crate::receipt::{Done, Event};
use crate::refused::Refused;
use crate::rows::{
    self, DealEnd, DealRow, DealStage, HeartbeatRow, Period, SectorRow, SectorStage, SlotRow, WindowRow,
};
use watt_market::Paid;
use watt_primitives::{AccountId, Amount, BoundedVec, DealId, SectorNumber, SlotIndexInDeal, Window};

/// What ending a deal came to.
#[derive(Clone, Copy)]
struct Totals {
    paid: Paid,
    refunded: Amount,
}

impl Totals {
    fn add(&mut self, paid: &Paid, refunded: Amount) {
        self.paid = self.paid.plus(paid);
        self.refunded = Amount(self.refunded.0.saturating_add(refunded.0));
    }
}

impl Ledger<'_> {
    pub(super) fn terminate(&mut self, actor: &Actor, deal: &DealId) -> Result<Done, Refused> {
        let row = self.deal(deal)?;
        if row.client != actor.account {
            return Err(Refused::NotTheClient);
        }
        match row.stage {
            DealStage::Matched { deadline, .. } => {
                self.rows.remove(rows::deal_due_at_height(deadline.next(), deal));
            }
            DealStage::Active { ends_at, .. } => self.rows.remove(rows::deal_due_at_time(ends_at, deal)),
            DealStage::Open { .. } | DealStage::Ending { .. } | DealStage::Ended { .. } => {
                return Err(Refused::WrongStage { deal: *deal });
            }
        }
        self.end_deal(deal, row, DealEnd::Terminated)
    }

    pub(super) fn settle(&mut self, deal: &DealId) -> Result<Done, Refused> {
        let row = self.deal(deal)?;
        let how = match row.stage {
            DealStage::Matched { deadline, .. } => {
                if self.height() <= deadline {
                    return Err(Refused::TooEarly {
                        height: deadline.next(),
                    });
                }
                self.rows.remove(rows::deal_due_at_height(deadline.next(), deal));
                DealEnd::NotCertified
            }
            DealStage::Ending {
                last, settle_height, ..
            } => {
                let is_waiting = self.holders_wait(deal, &row, last).is_some();
                if self.height() < settle_height || is_waiting {
                    return Err(Refused::TooEarly {
                        height: settle_height,
                    });
                }
                self.rows.remove(rows::deal_due_at_height(settle_height, deal));
                DealEnd::TermOver
            }
            DealStage::Open { .. } | DealStage::Active { .. } | DealStage::Ended { .. } => {
                return Err(Refused::WrongStage { deal: *deal });
            }
        };
        self.end_deal(deal, row, how)
    }

    pub(super) fn deal(&self, deal: &DealId) -> Result<DealRow, Refused> {
        self.rows
            .read(&rows::deal(deal))
            .ok_or(Refused::UnknownDeal { deal: *deal })
    }

    /// Ends a deal without a transaction asking for it; a bug in the rules leaves it as it was.
    pub(super) fn end_deal_by_itself(&mut self, deal: &DealId, row: DealRow, how: DealEnd) {
        let (client, savepoint) = (row.client, self.savepoint());
        match self.end_deal(deal, row, how) {
            Ok(Done::DealEnded { paid, refunded, .. }) => self.events.push(Event::DealEnded {
                deal: *deal,
                client,
                how,
                paid,
                refunded,
            }),
            Ok(_) | Err(_) => self.roll_back(savepoint),
        }
    }

    fn end_deal(&mut self, deal: &DealId, mut row: DealRow, how: DealEnd) -> Result<Done, Refused> {
        let mut totals = Totals {
            paid: Paid::default(),
            refunded: Amount::ZERO,
        };
        if let DealStage::Open { .. } = row.stage {
            self.move_money(Purse::Escrow, Purse::Account(row.client), row.escrow)?;
            totals.refunded = row.escrow;
        } else {
            for lost in &row.lost {
                totals.add(&lost.paid, lost.refunded);
            }
            for slot in slots_of(&row) {
                self.end_slot(deal, &row, slot, how, &mut totals)?;
            }
        }
        match row.stage {
            DealStage::Open { .. } | DealStage::Matched { .. } => self.close_bid_of(&row.client),
            DealStage::Active { .. } | DealStage::Ending { .. } | DealStage::Ended { .. } => {}
        }
        let of_manifest = rows::deals_of_manifest(&row.terms.manifest);
        self.rows.remove(rows::indexed_deal(&of_manifest, deal));
        row.terms.slot_roots = BoundedVec::empty();
        // Slots given back at the certificate are in the escrow's difference, not among the slots that are left.
        let Totals { paid, refunded } = totals;
        row.stage = DealStage::Ended {
            how,
            height: self.height(),
            paid,
            refunded: row.escrow.saturating_sub(paid.total()).max(refunded),
        };
        self.rows.write(rows::deal(deal), &row);
        Ok(Done::DealEnded {
            deal: *deal,
            paid,
            refunded: row.escrow.saturating_sub(paid.total()).max(refunded),
        })
    }

    fn end_slot(
        &mut self,
        deal: &DealId,
        row: &DealRow,
        slot: SlotIndexInDeal,
        how: DealEnd,
        totals: &mut Totals,
    ) -> Result<(), Refused> {
        let Some(mut held) = self.rows.read::<SlotRow>(&rows::slot(deal, slot)) else {
            return Ok(());
        };
        self.drop_dispute(deal, slot, &mut held)?;
        let movement = match row.stage {
            DealStage::Matched { at, .. } => {
                let elapsed_ms = self.now().0.saturating_sub(at.0);
                held.funds.pay_reservation(elapsed_ms, row.reservation_ms_max)
            }
            DealStage::Open { .. }
            | DealStage::Active { .. }
            | DealStage::Ending { .. }
            | DealStage::Ended { .. } => held.funds.pay_proven(self.proven_ms_of(&held)),
        };
        self.carry_out(movement, &held.provider, &row.client)?;
        if let (DealEnd::Terminated, DealStage::Active { ends_at, .. }) = (how, &row.stage)
            && self.is_in_active_sector(&held)
        {
            // Windows that are answered and not settled yet count as if they were ahead: their proof comes too late for this deal.
            let remaining_ms = ends_at.0.saturating_sub(self.now().0);
            let waiting_ms = self.waiting_ms_of(&held);
            let movement = held
                .funds
                .pay_termination(remaining_ms.saturating_add(waiting_ms));
            self.carry_out(movement, &held.provider, &row.client)?;
        }
        let refund = held.funds.refund();
        self.carry_out(refund, &held.provider, &row.client)?;
        totals.add(&held.funds.paid, refund.amount);
        self.release_slot(deal, slot, &held);
        Ok(())
    }

    /// Proven time of the sector that holds this slot, in milliseconds.
    pub(super) fn proven_ms_of(&self, held: &SlotRow) -> u64 {
        let sector = held
            .sector
            .and_then(|number| self.rows.read::<SectorRow>(&rows::sector(&held.provider, number)));
        let provider = self.provider(&held.provider);
        match (sector, provider) {
            (Some(sector), Some(provider)) => sector.proven_ms(provider.proven_ms),
            (Some(_) | None, Some(_) | None) => 0,
        }
    }

    /// In how many windows to look again, if a holder has answered windows up to `last` that a folded proof may still settle.
    pub(super) fn holders_wait(&self, deal: &DealId, row: &DealRow, last: Window) -> Option<u64> {
        let waits = slots_of(row).filter_map(|slot| {
            let held = self.rows.read::<SlotRow>(&rows::slot(deal, slot))?;
            held.sector?;
            let waiting = self.waiting_of(&held.provider);
            let is_of_term = waiting.iter().any(|period| period.first <= last);
            is_of_term.then(|| Division::of(&self.rules, &held.provider).look_again())
        });
        waits.min()
    }

    /// Time of the windows that were answered with the sector of this slot and are not settled yet, in milliseconds: those that wait for
    /// a folded proof, and those that can still be opened. What it was declared faulty in, or was left out of, nobody would pay.
    fn waiting_ms_of(&self, held: &SlotRow) -> u64 {
        let (id, current) = (&held.provider, self.window());
        let key = held.sector.map(|number| (number, rows::sector(id, number)));
        let Some((number, sector)) =
            key.and_then(|(number, key)| Some((number, self.rows.read::<SectorRow>(&key)?)))
        else {
            return 0;
        };
        let periods = self.waiting_of(id);
        let folded = periods
            .iter()
            .filter(|period| sector.is_in_set(period.first))
            .map(|period| period.ms.saturating_sub(period.faulty_ms(number)));
        let to_open = [current.previous(), current].into_iter().filter(|window| {
            let row: Option<HeartbeatRow> = self.rows.read(&rows::heartbeat(id, *window));
            let is_paid = |row: &HeartbeatRow| !row.is_proven && row.unpaid().all(|unpaid| unpaid != number);
            sector.is_in_set(*window) && row.as_ref().is_some_and(is_paid)
        });
        let length_ms = |window| {
            let row: Option<WindowRow> = self.rows.read(&rows::window(window));
            row.map_or(0, |row| row.length_ms())
        };
        folded.chain(to_open.map(length_ms)).fold(0, u64::saturating_add)
    }

    fn waiting_of(&self, id: &AccountId) -> Vec<Period> {
        self.provider(id).map_or_else(Vec::new, |provider| {
            waiting(&self.rows, &self.rules, id, &provider, self.window())
                .row
                .waiting
                .into_inner()
        })
    }

    pub(super) fn is_in_active_sector(&self, held: &SlotRow) -> bool {
        held.sector
            .and_then(|number| self.rows.read::<SectorRow>(&rows::sector(&held.provider, number)))
            .is_some_and(|sector| match sector.stage {
                SectorStage::Active { .. } => true,
                SectorStage::PreCommitted { .. } | SectorStage::Ended { .. } => false,
            })
    }

    /// Removes a slot whose money is settled: the space is free, and a sector without slots ends.
    pub(super) fn release_slot(&mut self, deal: &DealId, slot: SlotIndexInDeal, held: &SlotRow) {
        self.rows.remove(rows::slot(deal, slot));
        self.rows.remove(rows::indexed_slot(&held.provider, deal, slot));
        if let Some(mut provider) = self.provider(&held.provider) {
            provider.used_bytes = provider.used_bytes.saturating_sub(held.funds.slot_bytes);
            self.write_provider(&held.provider, &provider);
        }
        if let Some(number) = held.sector {
            self.leave_sector(&held.provider, number);
        }
    }

    fn leave_sector(&mut self, provider: &AccountId, number: SectorNumber) {
        let key = rows::sector(provider, number);
        let Some(mut sector) = self.rows.read::<SectorRow>(&key) else {
            return;
        };
        sector.n_slots = sector.n_slots.saturating_sub(1);
        let is_over = sector.n_slots == 0;
        self.rows.write(key, &sector);
        if is_over {
            self.end_sector(provider, number, sector);
        }
    }
}
