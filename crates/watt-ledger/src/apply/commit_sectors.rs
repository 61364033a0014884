//! Answering for a batch: from the next window on its sectors are proven and paid, all of them or none.

use super::Actor;
use crate::beacon::Beacon;
use crate::committee::{ChallengedBatch, Committee, Question};
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, BatchRow, PieceTableRow, SectorRow, SectorStage, UseOfReplica};
use crate::state::StateRead;
use watt_light::ShownTo;
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, BlockHeight, SectorNumber, Window};
use watt_proofs::Element;

impl Ledger<'_> {
    pub(super) fn commit_sectors(
        &mut self,
        actor: &Actor,
        batch: SectorNumber,
        witness: &[u8],
    ) -> Result<Done, Refused> {
        let row = waiting_batch(&self.rows, &actor.account, batch, self.height())?;
        let deadline = row.deadline;
        let shown_to = match self.rules.parameters.porep_committee {
            0 => ShownTo::Everybody,
            _ => ShownTo::Committee,
        };
        self.check_shown(actor, batch, shown_to, witness)?;

        self.rows.remove(rows::batch(&actor.account, batch));
        self.rows
            .remove(rows::batch_due_at_height(deadline.next(), &actor.account, batch));
        let from = self.window().next();
        for sector in &row.sectors {
            self.begin_sector(actor, *sector, from)?;
        }
        Ok(Done::SectorsCommitted {
            batch,
            n_sectors: u8::try_from(row.sectors.len()).map_err(|_| Refused::Invariant)?,
            from,
        })
    }

    /// A sector is proven; if all its deals were over meanwhile, it ends at once.
    fn begin_sector(&mut self, actor: &Actor, sector: SectorNumber, from: Window) -> Result<(), Refused> {
        let key = rows::sector(&actor.account, sector);
        let mut row: SectorRow = self.rows.read(&key).ok_or(Refused::Invariant)?;
        self.claim_replica(&row.comm_r, actor.account, sector)?;
        row.stage = SectorStage::Active { from };
        let is_over = row.n_slots == 0 && self.had_slots(actor, sector);
        self.rows.write(key, &row);
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
        Ok(())
    }

    /// A replica belongs to the first sector that was accepted with it.
    fn claim_replica(
        &mut self,
        comm_r: &Element,
        provider: AccountId,
        sector: SectorNumber,
    ) -> Result<(), Refused> {
        let key = rows::used_replica(comm_r);
        if self.rows.has(&key) {
            return Err(Refused::ReplicaUsed);
        }
        self.rows.write(key, &UseOfReplica { provider, sector });
        Ok(())
    }

    /// What a batch, or a live sector that is asked again, is asked: the openings hold, as the block shows, or as enough of the committee
    /// say.
    pub(super) fn check_shown(
        &self,
        actor: &Actor,
        batch: SectorNumber,
        shown_to: ShownTo,
        witness: &[u8],
    ) -> Result<(), Refused> {
        let key = (&actor.account, batch);
        let (question, sectors) =
            Question::of(&self.rows, &actor.account, batch).ok_or(Refused::Invariant)?;
        let window = question.window;
        let unknown = Refused::ChallengeUnknown { batch, window };
        let beacon = Beacon::asking(&self.rows, self.network(), window).ok_or(unknown)?;
        let challenged = ChallengedBatch::of(&self.rows, &self.rules, key, question, &sectors, &beacon)
            .ok_or(Refused::Invariant)?;
        if shown_to == ShownTo::Everybody {
            return challenged.verify(witness).map_err(|_| Refused::Porep { batch });
        }
        let committee = Committee::draw(&self.rows, &self.rules, &beacon, &actor.account, batch, &question)
            .ok_or(unknown)?;
        challenged.check_verdicts(&committee, witness)
    }

    /// Whether the sector was sealed with slots, all of whose deals may be over by now.
    fn had_slots(&self, actor: &Actor, sector: SectorNumber) -> bool {
        let pieces: Option<PieceTableRow> = self.rows.read(&rows::piece_table(&actor.account, sector));
        pieces.is_some_and(|table| {
            table.0.iter().any(|piece| match piece {
                Piece::Slot { .. } => true,
                Piece::Filler { .. } => false,
            })
        })
    }
}

/// The batch of this provider, if it can be answered for in the block at `height`.
pub(crate) fn waiting_batch(
    state: &(impl StateRead + ?Sized),
    provider: &AccountId,
    batch: SectorNumber,
    height: BlockHeight,
) -> Result<BatchRow, Refused> {
    let row: Option<BatchRow> = rows::read(state, &rows::batch(provider, batch));
    let row = row.ok_or(Refused::NotPreCommitted { batch })?;
    let deadline = row.deadline;
    if height > deadline {
        return Err(Refused::CommitLate { batch, deadline });
    }
    Ok(row)
}
