//! Paying, and what a daily key may spend.

use super::Actor;
use crate::ledger::{Ledger, PROTOCOL_WALLET, Purse};
use crate::receipt::Done;
use crate::refused::Refused;
use watt_light::KeyRole;
use watt_primitives::time::DAY_MS;
use watt_primitives::{AccountId, Amount, BoundedBytes};

/// What a [`KeyRole::Daily`] key may spend in a day of ledger time (TC8).
pub const DAILY_LIMIT: Amount = Amount(100 * watt_primitives::amount::UNITS_PER_WATT);

impl Ledger<'_> {
    pub(super) fn transfer(
        &mut self,
        actor: &Actor,
        to: &AccountId,
        amount: Amount,
        memo: &BoundedBytes<64>,
    ) -> Result<Done, Refused> {
        #[cfg(feature = "testing")]
        crate::testing::obey(memo);
        #[cfg(not(feature = "testing"))]
        let _ = memo;
        if *to == PROTOCOL_WALLET {
            return Err(Refused::ToProtocolWallet);
        }
        self.spend(actor, amount)?;
        self.move_money(Purse::Account(actor.account), Purse::Account(*to), amount)?;
        Ok(Done::Transferred {})
    }

    /// Counts `amount` against the day's limit of the acting key, if it has one.
    pub(super) fn spend(&mut self, actor: &Actor, amount: Amount) -> Result<(), Refused> {
        if actor.role != KeyRole::Daily {
            return Ok(());
        }
        let day = self.now().0 / DAY_MS;
        let mut row = self.account(&actor.account).ok_or(Refused::UnknownKey)?;
        let key = row.live_key(actor.key_index).ok_or(Refused::UnknownKey)?;
        let spent = if key.spending.day == day {
            key.spending.amount
        } else {
            Amount::ZERO
        };
        let after = spent
            .checked_add(amount)
            .filter(|after| *after <= DAILY_LIMIT)
            .ok_or(Refused::DailyLimit {
                limit: DAILY_LIMIT,
                spent,
            })?;
        row.change_key(actor.key_index, |key| {
            key.spending.day = day;
            key.spending.amount = after;
        });
        self.write_account(&actor.account, row);
        Ok(())
    }
}
