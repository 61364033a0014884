//! Standing offers.

use super::Actor;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, AskRow};
use watt_market::order::check_ask;
use watt_primitives::AccountId;
use watt_primitives::terms::AskTerms;

impl Ledger<'_> {
    pub(super) fn place_ask(&mut self, actor: &Actor, terms: &AskTerms) -> Result<Done, Refused> {
        self.provider(&actor.account).ok_or(Refused::NotAProvider)?;
        check_ask(terms)?;
        let row = AskRow {
            terms: terms.clone(),
            since: self.height(),
        };
        self.rows.write(rows::ask(&actor.account), &row);
        Ok(Done::AskPlaced {})
    }

    /// Makes a standing offer as young as this block: what it weighs has changed, so it waits for the next window's draw.
    pub(super) fn renew_ask(&mut self, provider: &AccountId) {
        let key = rows::ask(provider);
        if let Some(mut row) = self.rows.read::<AskRow>(&key) {
            row.since = self.height();
            self.rows.write(key, &row);
        }
    }

    pub(super) fn withdraw_ask(&mut self, actor: &Actor) -> Result<Done, Refused> {
        let key = rows::ask(&actor.account);
        if !self.rows.has(&key) {
            return Err(Refused::NoAsk);
        }
        self.rows.remove(key);
        Ok(Done::AskWithdrawn {})
    }
}
