//! Adding and removing keys. A key's position and nonce stay for ever, so nothing it signed can be replayed (TC17).

use super::Actor;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{ACCOUNT_KEYS_MAX, AccountKey, DaySpending};
use watt_light::KeyRole;
use watt_primitives::{BoundedVec, PublicKey};

impl Ledger<'_> {
    pub(super) fn add_key(&mut self, actor: &Actor, key: PublicKey, role: KeyRole) -> Result<Done, Refused> {
        if !key.is_registrable() {
            return Err(Refused::UnsafeKey);
        }
        let mut row = self.account(&actor.account).ok_or(Refused::UnknownKey)?;
        if row.keys.iter().any(|held| held.key == key) {
            return Err(Refused::KeyKnown);
        }
        if row.keys.len() >= ACCOUNT_KEYS_MAX {
            return Err(Refused::TooManyKeys);
        }
        let key_index = u16::try_from(row.keys.len()).map_err(|_| Refused::TooManyKeys)?;
        let mut keys = std::mem::take(&mut row.keys).into_inner();
        keys.push(AccountKey {
            key,
            role,
            is_removed: false,
            nonce: 0,
            spending: DaySpending::default(),
        });
        row.keys = BoundedVec::new(keys).map_err(|_| Refused::TooManyKeys)?;
        self.write_account(&actor.account, row);
        Ok(Done::KeyAdded { key_index })
    }

    pub(super) fn remove_key(&mut self, actor: &Actor, key_index: u16) -> Result<Done, Refused> {
        let mut row = self.account(&actor.account).ok_or(Refused::UnknownKey)?;
        row.live_key(key_index).ok_or(Refused::UnknownKey)?;
        row.change_key(key_index, |key| key.is_removed = true);
        let has_owner = row
            .keys
            .iter()
            .any(|key| key.role == KeyRole::Owner && !key.is_removed);
        if !has_owner {
            return Err(Refused::LastOwner);
        }
        self.write_account(&actor.account, row);
        self.has_removed_keys = true;
        Ok(Done::KeyRemoved {})
    }
}
