//! Paying for proven time.

use super::Actor;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, DealStage, SlotRow};
use watt_light::SlotRef;
use watt_primitives::Amount;

impl Ledger<'_> {
    pub(super) fn claim(&mut self, actor: &Actor, slots: &[SlotRef]) -> Result<Done, Refused> {
        let mut amount = Amount::ZERO;
        for SlotRef { deal, slot } in slots {
            let row = self.deal(deal)?;
            match row.stage {
                DealStage::Active { .. } | DealStage::Ending { .. } => {}
                DealStage::Open { .. } | DealStage::Matched { .. } | DealStage::Ended { .. } => {
                    return Err(Refused::WrongStage { deal: *deal });
                }
            }
            let key = rows::slot(deal, *slot);
            let mut held: SlotRow = self.rows.read(&key).ok_or(Refused::UnknownSlot { slot: *slot })?;
            if held.provider != actor.account {
                return Err(Refused::NotTheHolder {
                    slot: *slot,
                    provider: held.provider,
                });
            }
            let movement = held.funds.pay_proven(self.proven_ms_of(&held));
            held.last_claim = Some(self.window());
            self.rows.write(key, &held);
            amount = Amount(amount.0.saturating_add(movement.amount.0));
            self.carry_out(movement, &held.provider, &row.client)?;
        }
        Ok(Done::Claimed { amount })
    }
}
