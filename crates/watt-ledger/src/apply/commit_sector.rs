//! Answering a sector's challenge: from the next window on it is proven and paid.

use super::Actor;
use crate::beacon::Beacon;
use crate::committee::{ChallengedSector, Committee, Question};
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, PieceTableRow, SectorRow, SectorStage};
use watt_primitives::SectorNumber;

impl Ledger<'_> {
    pub(super) fn commit_sector(
        &mut self,
        actor: &Actor,
        sector: SectorNumber,
        witness: &[u8],
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
        let question = Question::of(&self.rows, &actor.account, sector, &row).ok_or(Refused::Invariant)?;
        self.check_shown(actor, sector, &row, question, &beacon, witness)?;

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
        self.add_lot(&actor.account, sector);
        if is_over {
            self.end_sector(&actor.account, sector, row);
        }
        Ok(Done::SectorCommitted { sector, from })
    }

    /// The openings hold: as the block shows, or as enough of the sector's committee say.
    pub(super) fn check_shown(
        &self,
        actor: &Actor,
        sector: SectorNumber,
        row: &SectorRow,
        question: Question,
        beacon: &Beacon,
        witness: &[u8],
    ) -> Result<(), Refused> {
        let key = (&actor.account, sector);
        let challenged = ChallengedSector::of(&self.rows, &self.rules, key, row, question, beacon)
            .ok_or(Refused::Invariant)?;
        if self.rules.parameters.porep_committee == 0 {
            return challenged.verify(witness).map_err(|_| Refused::Porep { sector });
        }
        let window = question.window;
        let committee = Committee::draw(&self.rows, &self.rules, beacon, &actor.account, sector, &question)
            .ok_or(Refused::ChallengeUnknown { sector, window })?;
        challenged.check_verdicts(&committee, witness)
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
