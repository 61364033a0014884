//! Answering a sector's challenge: from the next window on it is proven and paid.

use super::Actor;
use crate::beacon::Beacon;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, PieceTableRow, SectorRow, SectorStage};
use watt_primitives::SectorNumber;
use watt_proofs::verify::{self, PorepStatement};
use watt_proofs::{PieceTable, SectorSize};

impl Ledger<'_> {
    pub(super) fn commit_sector(
        &mut self,
        actor: &Actor,
        sector: SectorNumber,
        openings: &[u8],
    ) -> Result<Done, Refused> {
        let key = rows::sector(&actor.account, sector);
        let mut row: SectorRow = self.rows.read(&key).ok_or(Refused::NotPreCommitted { sector })?;
        let SectorStage::PreCommitted {
            challenge_window,
            deadline,
        } = row.stage
        else {
            return Err(Refused::NotPreCommitted { sector });
        };
        if self.height() > deadline {
            return Err(Refused::CommitLate { sector, deadline });
        }
        let unknown = Refused::ChallengeUnknown {
            sector,
            window: challenge_window,
        };
        let beacon = Beacon::asking(&self.rows, self.network(), challenge_window).ok_or(unknown)?;
        self.verify_porep(actor, sector, &row, &beacon, openings)?;

        let from = self.window().next();
        row.stage = SectorStage::Active { from };
        let is_over = row.n_slots == 0 && self.had_slots(actor, sector);
        self.rows.write(key, &row);
        let due = rows::sector_due_at_height(deadline.next(), &actor.account, sector);
        self.rows.remove(due);
        let mut provider = self.provider(&actor.account).ok_or(Refused::NotAProvider)?;
        if provider.n_active == 0 {
            self.supply.n_providing = self.supply.n_providing.saturating_add(1);
            provider.due_from = Some(from);
        }
        provider.n_active = provider.n_active.saturating_add(1);
        provider
            .starting
            .push(sector)
            .map_err(|_| Refused::TooManySectors)?;
        self.write_provider(&actor.account, &provider);
        self.watch_sector(&actor.account, sector, from);
        if is_over {
            self.end_sector(&actor.account, sector, row);
        }
        Ok(Done::SectorCommitted { sector, from })
    }

    fn verify_porep(
        &self,
        actor: &Actor,
        sector: SectorNumber,
        row: &SectorRow,
        beacon: &Beacon,
        openings: &[u8],
    ) -> Result<(), Refused> {
        let (network, params) = (self.network(), self.proof_params());
        let size = SectorSize::new(&params, u32::from(row.units)).map_err(|_| Refused::Invariant)?;
        let pieces: PieceTableRow = self
            .rows
            .read(&rows::piece_table(&actor.account, sector))
            .ok_or(Refused::Invariant)?;
        let table = PieceTable::check(size, pieces.0.into_inner()).map_err(|_| Refused::Invariant)?;
        let challenge_seed = watt_proofs::challenge::porep_seed(
            network,
            beacon.value(),
            &actor.account,
            sector,
            &row.comm_c,
            &row.comm_r,
        );
        let statement = PorepStatement {
            network,
            provider: &actor.account,
            sector,
            pieces: &table,
            comm_c: row.comm_c,
            comm_r: row.comm_r,
            seal_seed: row.seal_seed,
            challenge_seed,
        };
        verify::porep(&params, &statement, openings).map_err(|_| Refused::Porep { sector })
    }

    /// Whether the sector was sealed with slots, all of whose deals may be over by now.
    fn had_slots(&self, actor: &Actor, sector: SectorNumber) -> bool {
        let pieces: Option<PieceTableRow> = self.rows.read(&rows::piece_table(&actor.account, sector));
        pieces.is_some_and(|table| {
            table.0.iter().any(|piece| match piece {
                watt_primitives::terms::Piece::Slot { .. } => true,
                watt_primitives::terms::Piece::Filler { .. } => false,
            })
        })
    }
}
