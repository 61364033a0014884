//! Becoming a provider.

use super::Actor;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, ProviderRow};
use watt_primitives::AccountId;
use watt_primitives::terms::{Device, Endpoint};

impl Ledger<'_> {
    pub(super) fn pledge(
        &mut self,
        actor: &Actor,
        capacity_bytes: u64,
        endpoint: &Endpoint,
        person: &AccountId,
        device: Device,
    ) -> Result<Done, Refused> {
        let mut row = match self.provider(&actor.account) {
            Some(row) => row,
            None => ProviderRow::new(actor.account, self.height()),
        };
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
        row.device = device;
        self.write_provider(&actor.account, &row);
        Ok(Done::Pledged {})
    }

    pub(crate) fn provider(&self, id: &AccountId) -> Option<ProviderRow> {
        self.rows.read(&rows::provider(id))
    }

    pub(crate) fn write_provider(&mut self, id: &AccountId, row: &ProviderRow) {
        self.rows.write(rows::provider(id), row);
    }
}
