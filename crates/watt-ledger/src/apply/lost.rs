//! Slots and sectors that are lost: paid to the last proof, the rest returned, and given up (`docs/spec/ledger.md` 9.11, 9.12).

use super::grace::{Idle, least_grace, slots_in};
use crate::ledger::Ledger;
use crate::receipt::Event;
use crate::refused::Refused;
use crate::rows::{self, Loss, LostSlot, SectorRow, SlotRow};
use watt_primitives::{AccountId, DealId, SectorNumber, SlotIndexInDeal, Window};

impl Ledger<'_> {
    /// Gives a slot up; a bug in the rules leaves it as it was.
    pub(super) fn lose_slot(&mut self, deal: &DealId, slot: SlotIndexInDeal, why: Loss) {
        let savepoint = self.savepoint();
        match self.give_up_slot(deal, slot, why) {
            Ok(event) => self.events.push(event),
            Err(_) => self.roll_back(savepoint),
        }
    }

    fn give_up_slot(&mut self, deal: &DealId, slot: SlotIndexInDeal, why: Loss) -> Result<Event, Refused> {
        let mut row = self.deal(deal)?;
        let mut held: SlotRow = self.held_slot(deal, slot)?;
        self.drop_dispute(deal, slot, &mut held)?;
        let movement = held.funds.pay_proven(self.proven_ms_of(&held));
        self.carry_out(movement, &held.provider, &row.client)?;
        let refund = held.funds.refund();
        self.carry_out(refund, &held.provider, &row.client)?;
        let lost = LostSlot {
            slot,
            provider: held.provider,
            why,
            height: self.height(),
            paid: held.funds.paid,
            refunded: held.funds.refunded,
        };
        row.lost.push(lost).map_err(|_| Refused::Invariant)?;
        self.rows.write(rows::deal(deal), &row);
        self.rows
            .write(rows::indexed_lost_slot(&held.provider, deal, slot), &());
        if let Some(mut provider) = self.provider(&held.provider) {
            provider.slots_lost = provider.slots_lost.saturating_add(1);
            self.write_provider(&held.provider, &provider);
        }
        self.release_slot(deal, slot, &held);
        Ok(Event::SlotLost {
            deal: *deal,
            slot,
            client: row.client,
            provider: held.provider,
            why,
            refunded: held.funds.refunded,
        })
    }

    /// From when on a sector that begins with the window `from` is looked at.
    pub(super) fn watch_sector(&mut self, provider: &AccountId, number: SectorNumber, from: Window) {
        let slots = slots_in(&self.rows, provider, number);
        if let Some(grace) = least_grace(&self.rows, &self.rules, provider, &slots) {
            self.look_at_sector_in(provider, number, from.plus(grace.saturating_add(1)));
        }
    }

    pub(super) fn look_at_sector_in(&mut self, provider: &AccountId, number: SectorNumber, window: Window) {
        let height = self.first_height_of(window);
        self.rows
            .write(rows::sector_due_at_height(height, provider, number), &());
    }

    /// Gives up what of a sector was not proven for its whole grace, and looks again when the next may be.
    pub(super) fn look_at_sector(&mut self, id: &AccountId, number: SectorNumber, sector: &SectorRow) {
        let Some(provider) = self.provider(id) else { return };
        let current = self.window();
        self.note_silence(id, current);
        let idle = Idle::of(&self.rows, &self.rules, id, &provider, (number, sector), current);
        let grace = self.rules.parameters.grace_windows;
        let (lost, kept): (Vec<_>, Vec<_>) = slots_in(&self.rows, id, number)
            .into_iter()
            .partition(|(_, _, held)| grace.of(held.device) <= idle.windows);
        let was_empty = lost.is_empty() && kept.is_empty();
        for (deal, slot, _) in &lost {
            self.lose_slot(deal, *slot, Loss::NotProven {});
        }
        if was_empty && grace.of(provider.device) <= idle.windows {
            self.end_sector(id, number, sector.clone());
            self.events.push(Event::SectorLost {
                provider: *id,
                sector: number,
                why: Loss::NotProven {},
            });
        } else if was_empty || !kept.is_empty() {
            let least = least_grace(&self.rows, &self.rules, id, &kept).unwrap_or(1);
            self.look_at_sector_in(id, number, current.plus(idle.look_again(least)));
        }
    }

    /// Gives up a whole sector.
    pub(super) fn lose_sector(&mut self, id: &AccountId, number: SectorNumber, why: Loss) {
        for (deal, slot, _) in slots_in(&self.rows, id, number) {
            self.lose_slot(&deal, slot, why);
        }
        // With its last slot it has ended; one that had none has not.
        if let Some(sector) = self.rows.read::<SectorRow>(&rows::sector(id, number)) {
            self.end_sector(id, number, sector);
        }
        self.events.push(Event::SectorLost {
            provider: *id,
            sector: number,
            why,
        });
    }

    /// Who was not heard of for the longest grace is expected no more: else those who are gone would make all windows void for ever, and
    /// nothing of theirs would ever be lost.
    fn note_silence(&mut self, id: &AccountId, current: Window) {
        let Some(mut provider) = self.provider(id) else {
            return;
        };
        let heard = provider.last_heartbeat.max(provider.due_from);
        let silent_for = heard.map_or(0, |heard| current.0.saturating_sub(heard.0));
        if !provider.is_silent && silent_for > self.rules.parameters.grace_windows.phone {
            provider.is_silent = true;
            self.supply.n_providing = self.supply.n_providing.saturating_sub(1);
            self.write_provider(id, &provider);
        }
    }
}
