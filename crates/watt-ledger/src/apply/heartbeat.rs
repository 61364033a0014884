//! Committing to a window's responses before the sample exists. The first heartbeat of a provider in a window counts (TS3).

use super::Actor;
use super::sectors::{all_sectors, sector_set};
use crate::beacon::Beacon;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, HeartbeatRow, ProviderRow, SectorRow, WindowRow};
use watt_light::operation::FAULTS_MAX;
use watt_primitives::{AccountId, BoundedVec, Hash, SectorNumber, Window};
use watt_proofs::SectorSet;
use watt_proofs::challenge::ProvingWindow;

impl Ledger<'_> {
    pub(super) fn heartbeat(
        &mut self,
        actor: &Actor,
        window: Window,
        response_root: Hash,
        faults: &BoundedVec<SectorNumber, FAULTS_MAX>,
    ) -> Result<Done, Refused> {
        let provider_id = &actor.account;
        self.provider(provider_id).ok_or(Refused::NotAProvider)?;
        let current = self.window();
        if window != current {
            return Err(Refused::WrongWindow { window, current });
        }
        let beacon =
            Beacon::asking(&self.rows, self.network(), window).ok_or(Refused::WindowNotOpen { window })?;
        let key = rows::heartbeat(provider_id, window);
        if self.rows.has(&key) {
            return Err(Refused::HeartbeatTwice { window });
        }
        let sectors = all_sectors(&self.rows, provider_id);
        let set = sector_set(&self.proof_params(), &sectors, window).ok_or(Refused::NoSectors { window })?;
        check_faults(&set, faults)?;
        self.forget_ended_sectors(provider_id, &sectors);
        self.mark_faults(provider_id, window, faults);

        let mut provider = self.provider(provider_id).ok_or(Refused::NotAProvider)?;
        let row = HeartbeatRow {
            response_root,
            post_state: provider.post_state,
            faults: faults.clone(),
            is_proven: false,
        };
        let asked = ProvingWindow::new(self.network(), &set, &provider.post_state, beacon.value());
        provider.post_state = asked.next_state(&response_root);
        self.forget_heartbeats(provider_id, &provider, window);
        self.note_counted_before(&mut provider);
        provider.last_heartbeat = Some(window);
        self.rows.write(key, &row);
        self.write_provider(provider_id, &provider);
        self.change_window(window, |row| {
            row.n_heartbeats = row.n_heartbeats.saturating_add(1);
        });
        Ok(Done::HeartbeatRecorded { window })
    }

    fn mark_faults(&mut self, provider: &AccountId, window: Window, faults: &[SectorNumber]) {
        for number in faults {
            let key = rows::sector(provider, *number);
            if let Some(mut sector) = self.rows.read::<SectorRow>(&key) {
                sector.last_fault = Some(window);
                self.rows.write(key, &sector);
            }
        }
    }

    /// Only the heartbeats of this window and the one before are of use.
    fn forget_heartbeats(&mut self, id: &AccountId, provider: &ProviderRow, window: Window) {
        let Some(last) = provider.last_heartbeat else {
            return;
        };
        if last != last.previous() {
            self.rows.remove(rows::heartbeat(id, last.previous()));
        }
        if last.next() < window {
            self.rows.remove(rows::heartbeat(id, last));
        }
    }

    /// Remembers how many windows had counted before the provider's first one.
    fn note_counted_before(&self, provider: &mut ProviderRow) {
        if let (Some(from), None) = (provider.due_from, provider.counted_before) {
            let before: Option<WindowRow> = self.rows.read(&rows::window(from.previous()));
            provider.counted_before = Some(before.map_or(self.chain.windows_counted, |row| row.n_counted));
        }
    }
}

fn check_faults(set: &SectorSet, faults: &[SectorNumber]) -> Result<(), Refused> {
    let mut known = set.iter().map(|(_, sector)| sector.number);
    // Both lists ascend, so each declared number is found further on in the set, or not at all.
    let is_subsequence = faults.iter().all(|fault| known.any(|number| number == *fault));
    if is_subsequence {
        Ok(())
    } else {
        Err(Refused::Faults)
    }
}
