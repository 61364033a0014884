//! Opening the sampled responses of the window before: what a provider is paid for.

use super::Actor;
use super::heartbeat::answered_window;
use super::settle_windows::Settled;
use crate::beacon::Beacon;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, HeartbeatRow, WindowRow};
use crate::state::StateRead;
#[cfg(feature = "testing")]
use crate::testing::{Rule, is_bent};
use watt_primitives::{AccountId, Window};
use watt_proofs::{Element, verify};

impl Ledger<'_> {
    pub(super) fn prove_window(
        &mut self,
        actor: &Actor,
        window: Window,
        openings: &[u8],
    ) -> Result<Done, Refused> {
        let id = &actor.account;
        let mut heartbeat = unproven(&self.rows, id, window, self.window())?;
        self.verify_window(window, &heartbeat, openings)?;

        let provider = self.provider(id).ok_or(Refused::NotAProvider)?;
        self.give_up_before(id, &provider, window);
        heartbeat.is_proven = true;
        self.rows.write(rows::heartbeat(id, window), &heartbeat);
        let row: WindowRow = self.rows.read(&rows::window(window)).ok_or(Refused::Invariant)?;
        let proven_ms = row.length_ms();
        let settled = Settled {
            first: window,
            last: window,
            proven_ms,
            n_counted: u64::from(!row.is_void),
            n_void: u64::from(row.is_void),
            byte_windows: heartbeat.bytes,
        };
        let credit = self.pay_in(id, &settled)?;
        for sector in heartbeat.unpaid().collect::<Vec<_>>() {
            self.leave_out(id, sector, credit.part_of(proven_ms));
            self.note_unpaid(id, sector, window, provider.last_proven);
        }
        self.change_window(window, |row| row.n_proven = row.n_proven.saturating_add(1));
        Ok(Done::WindowProven {
            window,
            proven_ms,
            withheld_ms: credit.withheld_ms,
        })
    }

    /// Checks the openings against the ledger's own row: nothing of the window is the provider's word.
    fn verify_window(
        &self,
        window: Window,
        heartbeat: &HeartbeatRow,
        openings: &[u8],
    ) -> Result<(), Refused> {
        let (network, next) = (self.network(), window.next());
        Beacon::asking(&self.rows, network, next).ok_or(Refused::WindowNotOpen { window: next })?;
        let answered = answered_window(&self.rows, network, window, heartbeat);
        verify::window(heartbeat.shape(), heartbeat.state, &answered, openings)
            .map_err(|_| Refused::WindowProof { window })
    }
}

/// The heartbeat of provider `id` for `window`, if there is something to open of it in `current`.
pub(crate) fn unproven(
    state: &(impl StateRead + ?Sized),
    id: &AccountId,
    window: Window,
    current: Window,
) -> Result<HeartbeatRow, Refused> {
    let is_untimely = window.next() != current;
    #[cfg(feature = "testing")]
    let is_untimely = is_untimely && !is_bent(Rule::LateProof);
    if is_untimely {
        return Err(Refused::WrongWindow { window, current });
    }
    let row: Option<HeartbeatRow> = rows::read(state, &rows::heartbeat(id, window));
    let heartbeat = row.ok_or(Refused::NoHeartbeat { window })?;
    let was_proven = heartbeat.is_proven;
    #[cfg(feature = "testing")]
    let was_proven = was_proven && !is_bent(Rule::WindowTwice);
    if was_proven {
        return Err(Refused::ProvenTwice { window });
    }
    if heartbeat.set == Element::default() {
        return Err(Refused::AllFaulty { window });
    }
    Ok(heartbeat)
}
