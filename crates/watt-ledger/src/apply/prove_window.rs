//! Opening the sampled responses of the window before: what a provider is paid for.

use super::Actor;
use super::heartbeat::answered_window;
use super::sectors::{all_sectors, sector_set};
use crate::beacon::Beacon;
use crate::duty::place_in_term;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, HeartbeatRow, PowerRow, SectorRow, WindowRow};
#[cfg(feature = "testing")]
use crate::testing::{Rule, is_bent};
use watt_primitives::{AccountId, SectorNumber, Window};
use watt_proofs::{SectorSet, Shape, verify};

impl Ledger<'_> {
    pub(super) fn prove_window(
        &mut self,
        actor: &Actor,
        window: Window,
        openings: &[u8],
    ) -> Result<Done, Refused> {
        let (id, current) = (&actor.account, self.window());
        let is_untimely = window.next() != current;
        #[cfg(feature = "testing")]
        let is_untimely = is_untimely && !is_bent(Rule::LateProof);
        if is_untimely {
            return Err(Refused::WrongWindow { window, current });
        }
        let key = rows::heartbeat(id, window);
        let mut heartbeat: HeartbeatRow = self.rows.read(&key).ok_or(Refused::NoHeartbeat { window })?;
        let was_proven = heartbeat.is_proven;
        #[cfg(feature = "testing")]
        let was_proven = was_proven && !is_bent(Rule::WindowTwice);
        if was_proven {
            return Err(Refused::ProvenTwice { window });
        }
        let sectors = all_sectors(&self.rows, id);
        let set = sector_set(&self.proof_params(), &sectors, window).ok_or(Refused::NoSectors { window })?;
        if heartbeat.faults.len() >= set.len() {
            return Err(Refused::AllFaulty { window });
        }
        self.verify_window(Shape::of_sectors(set.len()), window, &heartbeat, openings)?;

        heartbeat.is_proven = true;
        self.rows.write(key, &heartbeat);
        let row: WindowRow = self.rows.read(&rows::window(window)).ok_or(Refused::Invariant)?;
        let proven_ms = row.length_ms();
        self.start_sectors(id, window)?;
        self.count_proven(id, &row)?;
        self.count_power(id, window, &set, &heartbeat.faults);
        self.leave_out_faulty(id, &heartbeat.faults, proven_ms);
        self.change_window(window, |row| row.n_proven = row.n_proven.saturating_add(1));
        Ok(Done::WindowProven { window, proven_ms })
    }

    /// Checks the openings against the ledger's own row: nothing of the window is the provider's word.
    fn verify_window(
        &self,
        shape: Shape,
        window: Window,
        heartbeat: &HeartbeatRow,
        openings: &[u8],
    ) -> Result<(), Refused> {
        let (network, next) = (self.network(), window.next());
        Beacon::asking(&self.rows, network, next).ok_or(Refused::WindowNotOpen { window: next })?;
        let answered = answered_window(&self.rows, network, window, heartbeat);
        verify::window(shape, heartbeat.state, &answered, openings)
            .map_err(|_| Refused::WindowProof { window })
    }

    /// Sectors that are in a proven window for the first time begin to count here.
    fn start_sectors(&mut self, id: &AccountId, window: Window) -> Result<(), Refused> {
        let mut provider = self.provider(id).ok_or(Refused::NotAProvider)?;
        let mut waiting = Vec::new();
        for number in provider.starting.iter().copied() {
            let key = rows::sector(id, number);
            let Some(mut sector) = self.rows.read::<SectorRow>(&key) else {
                continue;
            };
            if sector.is_in_set(window) {
                sector.proven_ms_start = Some(provider.proven_ms);
                self.rows.write(key, &sector);
            } else {
                waiting.push(number);
            }
        }
        provider.starting = waiting.try_into().map_err(|_| Refused::Invariant)?;
        self.write_provider(id, &provider);
        Ok(())
    }

    fn count_proven(&mut self, id: &AccountId, window: &WindowRow) -> Result<(), Refused> {
        let mut provider = self.provider(id).ok_or(Refused::NotAProvider)?;
        provider.proven_ms = provider.proven_ms.saturating_add(window.length_ms());
        if window.is_void {
            provider.void_windows_proven = provider.void_windows_proven.saturating_add(1);
        } else {
            provider.windows_proven = provider.windows_proven.saturating_add(1);
        }
        provider.last_proven = Some(window.window);
        provider.last_proven_at = self.now();
        self.write_provider(id, &provider);
        Ok(())
    }

    /// What was proven is the power of whoever runs the provider.
    fn count_power(&mut self, id: &AccountId, window: Window, set: &SectorSet, faults: &[SectorNumber]) {
        let proven = set
            .iter()
            .filter(|sector| faults.binary_search(&sector.number).is_err());
        let bytes: u64 = proven.map(|sector| sector.size.sealed_bytes()).sum();
        let Some(provider) = self.provider(id) else {
            return;
        };
        let (term, _) = place_in_term(&self.rules, window);
        let key = rows::power(&provider.person);
        let mut row: PowerRow = self.rows.read(&key).unwrap_or_default();
        row.add(term, bytes);
        self.rows.write(key, &row);
    }

    fn leave_out_faulty(&mut self, id: &AccountId, faults: &[SectorNumber], ms: u64) {
        for number in faults {
            let key = rows::sector(id, *number);
            if let Some(mut sector) = self.rows.read::<SectorRow>(&key) {
                sector.faulty_ms = sector.faulty_ms.saturating_add(ms);
                self.rows.write(key, &sector);
            }
        }
    }
}
