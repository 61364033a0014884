//! Committing to a sealed sector before its challenge exists (TS1, TS2), and with which others it is asked.

use super::Actor;
use crate::beacon::Beacon;
use crate::duty::beacon_windows_kept;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{
    self, BatchRow, DealRow, DealStage, PieceTableRow, ProviderRow, SectorRow, SectorStage, SlotRow,
};
use watt_light::BATCH_MAX;
use watt_primitives::terms::{PIECES_MAX, Piece};
use watt_primitives::{AccountId, BoundedVec, DealId, Hash, SectorNumber, SlotIndexInDeal, Window};
use watt_proofs::sector_set::SECTORS_MAX;
use watt_proofs::{Element, PieceTable, SectorSize};

pub(super) struct NewSector<'a> {
    pub(super) sector: SectorNumber,
    pub(super) units: u16,
    pub(super) seal_window: Window,
    pub(super) pieces: &'a BoundedVec<Piece, PIECES_MAX>,
    pub(super) comm_c: Hash,
    pub(super) comm_r: Hash,
}

impl Ledger<'_> {
    pub(super) fn pre_commit(&mut self, actor: &Actor, new: &NewSector<'_>) -> Result<Done, Refused> {
        let (provider_id, sector) = (&actor.account, new.sector);
        self.expire_late_batches(provider_id, new.pieces);
        let mut provider = self.provider(provider_id).ok_or(Refused::NotAProvider)?;
        let (table, comm_r) = self.check_new_sector(actor, new)?;
        let is_full = usize::try_from(provider.n_sectors).map_or(true, |n| n >= SECTORS_MAX);
        if is_full {
            return Err(Refused::TooManySectors);
        }
        let mut n_slots = 0u32;
        for piece in new.pieces {
            if let Piece::Slot {
                deal,
                slot,
                root,
                len,
                ..
            } = piece
            {
                self.take_slot(actor, sector, (*deal, *slot), *root, *len)?;
                n_slots = n_slots.saturating_add(1);
            }
        }
        let seal_seed = self.seal_seed(actor, sector, new.seal_window)?;
        let comm_d = table.comm_d(self.network());
        let (number, batch) = self.join_batch(provider_id, &provider, sector)?;
        let row = SectorRow {
            units: new.units,
            comm_d,
            comm_c: new.comm_c,
            comm_r,
            seal_seed,
            stage: SectorStage::PreCommitted { batch: number },
            n_slots,
            proven_ms_start: None,
            faulty_ms: 0,
            last_fault: None,
            unpaid: None,
        };
        self.rows.write(rows::sector(provider_id, sector), &row);
        self.rows.write(rows::used_sector(provider_id, sector), &());
        let table_row = PieceTableRow(new.pieces.clone());
        self.rows
            .write(rows::piece_table(provider_id, sector), &table_row);
        provider.batch = Some(number);
        provider.n_sectors = provider.n_sectors.saturating_add(1);
        self.write_provider(provider_id, &provider);
        Ok(Done::PreCommitted {
            sector,
            batch: number,
            challenge_window: batch.challenge_window,
            deadline: batch.deadline,
        })
    }

    /// Puts a sector into the provider's batch of this window, or begins the next one. Nobody chooses: what is in a batch is said by
    /// the order of the ledger, and is final before anybody knows what it is asked.
    fn join_batch(
        &mut self,
        id: &AccountId,
        provider: &ProviderRow,
        sector: SectorNumber,
    ) -> Result<(SectorNumber, BatchRow), Refused> {
        // Its beacon is made of layers that nobody reveals before this window is over.
        let challenge_window = self.window().next();
        let deadline = self.height().plus(self.rules.parameters.commit_slots);
        let open = provider.batch.and_then(|number| {
            let row: BatchRow = self.rows.read(&rows::batch(id, number))?;
            let has_room = row.sectors.len() < self.batch_max() && row.challenge_window == challenge_window;
            has_room.then_some((number, row))
        });
        let (number, mut row) = open.unwrap_or_else(|| {
            let row = BatchRow {
                sectors: BoundedVec::empty(),
                challenge_window,
                deadline,
            };
            (sector, row)
        });
        // Each sector has its time, so the newest says how long the batch has.
        let due = |row: &BatchRow| rows::batch_due_at_height(row.deadline.next(), id, number);
        self.rows.remove(due(&row));
        row.deadline = deadline;
        row.sectors.push(sector).map_err(|_| Refused::Invariant)?;
        self.rows.write(due(&row), &());
        self.rows.write(rows::batch(id, number), &row);
        Ok((number, row))
    }

    /// The most sectors of a batch: where openings go into a block, it has room for those of one.
    const fn batch_max(&self) -> usize {
        if self.rules.parameters.porep_committee == 0 {
            1
        } else {
            BATCH_MAX
        }
    }

    fn check_new_sector(&self, actor: &Actor, new: &NewSector<'_>) -> Result<(PieceTable, Element), Refused> {
        if self.rows.has(&rows::used_sector(&actor.account, new.sector)) {
            return Err(Refused::SectorUsed { sector: new.sector });
        }
        let size = SectorSize::new(&self.proof_params(), u32::from(new.units))
            .map_err(|_| Refused::SectorSize { units: new.units })?;
        let comm_r = Element::from_bytes(new.comm_r.0).ok_or(Refused::NotAReplica)?;
        // Others may have pre-committed to it: it travels in clear, and a replica opens only under the name of its owner.
        if self.rows.has(&rows::used_replica(&comm_r)) {
            return Err(Refused::ReplicaUsed);
        }
        let table = PieceTable::check(size, new.pieces.to_vec()).map_err(|_| Refused::PieceTable)?;
        Ok((table, comm_r))
    }

    fn seal_seed(&self, actor: &Actor, sector: SectorNumber, window: Window) -> Result<Hash, Refused> {
        let unknown = Refused::SealWindow { window };
        if window.0.saturating_add(beacon_windows_kept(&self.rules)) <= self.window().0 {
            return Err(unknown);
        }
        let beacon = Beacon::asking(&self.rows, self.network(), window).ok_or(unknown)?;
        let seed = watt_proofs::challenge::seal_seed(self.network(), beacon.value(), &actor.account, sector);
        Ok(seed)
    }

    /// Lets go of slots that lie in a batch which is late, however many others fall due before it.
    fn expire_late_batches(&mut self, provider: &AccountId, pieces: &[Piece]) {
        for piece in pieces {
            let Piece::Slot { deal, slot, .. } = piece else {
                continue;
            };
            let held: Option<SlotRow> = self.rows.read(&rows::slot(deal, *slot));
            let number = held
                .filter(|held| held.provider == *provider)
                .and_then(|held| held.sector);
            let sector: Option<SectorRow> =
                number.and_then(|number| self.rows.read(&rows::sector(provider, number)));
            let Some(SectorStage::PreCommitted { batch }) = sector.map(|sector| sector.stage) else {
                continue;
            };
            let row: Option<BatchRow> = self.rows.read(&rows::batch(provider, batch));
            if let Some(row) = row.filter(|row| row.deadline < self.height()) {
                let due = rows::batch_due_at_height(row.deadline.next(), provider, batch);
                self.rows.remove(due);
                self.expire_batch(provider, batch);
            }
        }
    }

    /// Ties a slot to the sector, if it is a certified slot of this provider with this content and in no other sector.
    fn take_slot(
        &mut self,
        actor: &Actor,
        sector: SectorNumber,
        (deal, slot): (DealId, SlotIndexInDeal),
        root: Hash,
        len: u64,
    ) -> Result<(), Refused> {
        let not_held = Refused::PieceNotHeld { deal, slot };
        let row: DealRow = self.rows.read(&rows::deal(&deal)).ok_or(not_held)?;
        let is_certified = match row.stage {
            DealStage::Active { .. } => true,
            DealStage::Open { .. }
            | DealStage::Matched { .. }
            | DealStage::Ending { .. }
            | DealStage::Ended { .. } => false,
        };
        let key = rows::slot(&deal, slot);
        let mut held: SlotRow = self.rows.read(&key).ok_or(not_held)?;
        let is_content =
            row.terms.slot_roots.get(usize::from(slot.0)) == Some(&root) && row.terms.slot_bytes == len;
        if !is_certified || !is_content || held.provider != actor.account {
            return Err(not_held);
        }
        if let Some(sector) = held.sector {
            return Err(Refused::PieceTaken { deal, slot, sector });
        }
        held.sector = Some(sector);
        self.rows.write(key, &held);
        Ok(())
    }
}
