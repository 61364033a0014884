//! Security circles (`docs/spec/trust.md` §1).

use super::Actor;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, AccountKind};
use std::collections::BTreeSet;
use watt_primitives::{AccountId, TrustLevel};
use watt_trust::Circle;

impl Ledger<'_> {
    pub(super) fn add_trust(
        &mut self,
        actor: &Actor,
        to: &AccountId,
        level: TrustLevel,
    ) -> Result<Done, Refused> {
        let account = self.account(to);
        if account.is_none_or(|row| row.kind != AccountKind::Keyed) {
            return Err(Refused::UnknownPerson { account: *to });
        }
        let before = self.circle(&actor.account);
        let mut after = before.clone();
        let edge = after.add(&actor.account, *to, level, self.now())?;
        self.write_circle(&actor.account, &before, &after);
        Ok(Done::TrustAdded {
            expires_at: edge.expires_at,
        })
    }

    pub(super) fn remove_trust(&mut self, actor: &Actor, to: &AccountId) -> Result<Done, Refused> {
        let before = self.circle(&actor.account);
        let mut after = before.clone();
        after.remove(to, self.now())?;
        self.write_circle(&actor.account, &before, &after);
        Ok(Done::TrustRemoved {})
    }

    fn circle(&self, person: &AccountId) -> Circle {
        self.rows.read(&rows::circle(person)).unwrap_or_default()
    }

    /// Writes the circle, and who is in it into the index of those who are trusted.
    fn write_circle(&mut self, person: &AccountId, before: &Circle, after: &Circle) {
        let members =
            |circle: &Circle| -> BTreeSet<AccountId> { circle.edges.iter().map(|edge| edge.to).collect() };
        let (gone, come) = (members(before), members(after));
        for member in gone.difference(&come) {
            self.rows.remove(rows::truster(member, person));
        }
        for member in come.difference(&gone) {
            self.rows.write(rows::truster(member, person), &());
        }
        if after.is_empty() {
            self.rows.remove(rows::circle(person));
        } else {
            self.rows.write(rows::circle(person), after);
        }
    }
}
