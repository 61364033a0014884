//! Becoming a provider.

use super::Actor;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, ProviderRow};
use watt_light::ProviderNumber;
use watt_primitives::AccountId;
use watt_primitives::terms::{Device, Endpoint};

impl Ledger<'_> {
    pub(super) fn pledge(
        &mut self,
        actor: &Actor,
        capacity_bytes: u64,
        endpoint: &Endpoint,
        person: &AccountId,
        (heartbeat_key, device): (Option<u16>, Device),
    ) -> Result<Done, Refused> {
        let mut row = match self.provider(&actor.account) {
            Some(row) => row,
            None => self.new_provider(actor.account)?,
        };
        let heartbeat_key = heartbeat_key.unwrap_or(actor.key_index);
        let signer = self.account(&actor.account);
        if signer.is_none_or(|account| account.live_key(heartbeat_key).is_none()) {
            return Err(Refused::UnknownKey);
        }
        if capacity_bytes < row.used_bytes {
            return Err(Refused::CapacityInUse {
                capacity_bytes,
                used_bytes: row.used_bytes,
            });
        }
        if row.capacity_bytes != capacity_bytes || row.device != device {
            self.renew_ask(&actor.account);
        }
        row.capacity_bytes = capacity_bytes;
        row.endpoint = endpoint.clone();
        row.person = *person;
        row.heartbeat_key = heartbeat_key;
        row.device = device;
        self.write_provider(&actor.account, &row);
        Ok(Done::Pledged {})
    }

    /// A provider with the next number.
    fn new_provider(&mut self, account: AccountId) -> Result<ProviderRow, Refused> {
        let number = ProviderNumber(self.supply.n_providers);
        self.supply.n_providers = number.0.checked_add(1).ok_or(Refused::Invariant)?;
        self.rows.write(rows::provider_number(number), &account);
        Ok(ProviderRow {
            number,
            ..ProviderRow::new(account, self.height())
        })
    }

    pub(crate) fn provider(&self, id: &AccountId) -> Option<ProviderRow> {
        self.rows.read(&rows::provider(id))
    }

    pub(crate) fn write_provider(&mut self, id: &AccountId, row: &ProviderRow) {
        self.rows.write(rows::provider(id), row);
    }
}
