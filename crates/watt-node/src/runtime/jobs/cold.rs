//! Shares whose bytes lie in a sealed replica alone: they go there when the ledger counts on the replica, and are given back when
//! somebody asks for them (`docs/spec/store.md` §8).
//!
//! Whatever moves bytes between pieces and replicas holds `Jobs::copies`: what one of them saw stays true until it is done.

use super::scrub::Key;
use super::{INFO_BYTES_MAX, Jobs, LocalSector, SealInfo, SealJob};
use crate::error::CommandError;
use crate::lock::locked;
use crate::node::Shared;
use crate::runtime::node_loop::yield_to_others;
use crate::runtime::storage::trouble;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, Weak};
use std::time::{Duration, Instant};
use watt_engine::transfer::Refusal;
use watt_ledger::query;
use watt_ledger::rows::SectorStage;
use watt_primitives::terms::Piece;
use watt_primitives::{DealId, SectorNumber, SlotIndexInDeal, codec};
use watt_proofs::{Element, ReplicaTree};
use watt_store::{ColdPiece, PieceKey, PieceStore, ReplicaError, ReplicaStore};

/// Pause between two looks at what the ledger says of the sectors on this disk.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// Looks from one to the next for shares that nobody pays for: ten minutes.
const SWEEP_LOOKS: u64 = 120;

/// How long a sector that could not be given back is refused before it is tried again.
const FAILED_FOR: Duration = Duration::from_secs(60);

/// Bytes that are given back at once.
const COPY_BYTES: usize = 1 << 20;

/// How long giving back a sector takes, before it is known.
const TAKES_AT_FIRST: Duration = Duration::from_secs(2);

/// What is being given back, and what could not be.
#[derive(Debug)]
pub(super) struct Unsealing {
    running: Option<(SectorNumber, Instant)>,
    failed: BTreeMap<SectorNumber, Instant>,
    /// How long the last one took.
    takes: Duration,
}

impl Default for Unsealing {
    fn default() -> Self {
        Self {
            running: None,
            failed: BTreeMap::new(),
            takes: TAKES_AT_FIRST,
        }
    }
}

impl Unsealing {
    /// What is left of the one that runs, at least a second.
    fn left(&self) -> Duration {
        let begun = self.running.map(|(_, begun)| begun.elapsed());
        let left = self.takes.saturating_sub(begun.unwrap_or_default());
        left.max(Duration::from_secs(1))
    }
}

/// Ends an unsealing, whatever came of it.
struct Running<'a> {
    jobs: &'a Jobs,
    sector: SectorNumber,
    is_done: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut unsealing = locked(&self.jobs.unsealing);
        if let Some((_, begun)) = unsealing.running.take()
            && self.is_done
        {
            unsealing.takes = begun.elapsed();
        }
        if self.is_done {
            unsealing.failed.remove(&self.sector);
        } else {
            unsealing.failed.insert(self.sector, Instant::now());
        }
    }
}

/// Where the owner wants shares to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// As they came, and in the replica.
    Hot,
    /// In the replica alone, once the ledger counts on it.
    Cold,
}

/// Brings what lies on the disk to what the owner wants, sector by sector, behind all other work, until the node ends.
pub(crate) fn keep(jobs: Jobs, node: Weak<Shared>, kept: Kept) -> std::io::Result<()> {
    let work = move || {
        yield_to_others();
        let mut settled = BTreeSet::new();
        for look in 0_u64.. {
            std::thread::sleep(LOOK_PAUSE);
            if look.is_multiple_of(SWEEP_LOOKS) {
                let Some(node) = node.upgrade() else { return };
                if let Err(error) = node.snapshot().read(|rows| jobs.sweep(rows)) {
                    tracing::warn!(%error, "shares of deals that are over stay for now");
                }
            } else if node.strong_count() == 0 {
                return;
            }
            let sectors: BTreeSet<_> = jobs
                .replicas
                .list()
                .into_iter()
                .map(|(sector, _)| sector)
                .collect();
            settled.retain(|sector| sectors.contains(sector));
            for sector in sectors.difference(&settled.clone()) {
                let Some(node) = node.upgrade() else { return };
                match jobs.settle(*sector, &node, kept) {
                    Ok(true) => drop(settled.insert(*sector)),
                    Ok(false) => {}
                    Err(error) => {
                        let error = format!("{error:#}");
                        tracing::warn!(
                            sector = sector.0,
                            error,
                            "the shares of a sector stay where they are until the node starts again"
                        );
                        settled.insert(*sector);
                    }
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("copies".to_owned())
        .spawn(work)
        .map(drop)
}

impl Jobs {
    pub(super) fn hold_copies(&self) -> MutexGuard<'_, ()> {
        locked(&self.copies)
    }

    /// What was sealed into a replica.
    pub(super) fn sealed_job(&self, sector: SectorNumber) -> anyhow::Result<SealJob> {
        let info = self.replicas.info(sector)?;
        Ok(codec::decode::<SealInfo>(&info, INFO_BYTES_MAX)?.job)
    }

    /// Does for one sector what the owner wants; says whether that is the end of it.
    fn settle(&self, sector: SectorNumber, node: &Shared, kept: Kept) -> anyhow::Result<bool> {
        let _copies = self.hold_copies();
        match kept {
            Kept::Hot => self.bring_back(sector).map(|()| true),
            Kept::Cold => {
                // Read with the lock held: a sector that ends from now on finds its shares where this leaves them.
                let row = node
                    .snapshot()
                    .read(|rows| query::sector(rows, &self.account, sector))?;
                match row.map(|row| (row.stage, row.comm_r)) {
                    Some((SectorStage::Active { .. }, comm_r)) => {
                        self.chill(sector, &comm_r)?;
                        Ok(true)
                    }
                    // Until then it may have to be sealed again.
                    Some((SectorStage::PreCommitted { .. } | SectorStage::Ended { .. }, _)) | None => {
                        Ok(false)
                    }
                }
            }
        }
    }

    /// Removes the pieces of a sector whose replica is whole and the one that the ledger knows.
    pub(super) fn chill(&self, sector: SectorNumber, comm_r: &Element) -> anyhow::Result<()> {
        let table = self.table(&self.sealed_job(sector)?)?;
        let hot: Vec<(DealId, SlotIndexInDeal)> = slots(table.pieces())
            .map(|(deal, slot, ..)| (deal, slot))
            .filter(|(deal, slot)| {
                self.pieces.is_readable(*deal, *slot) && self.pieces.cold(*deal, *slot).is_none()
            })
            .collect();
        if hot.is_empty() {
            return Ok(());
        }
        let len = usize::try_from(table.size().payload_bytes())?;
        let replica = self.replicas.read(sector, 0, len)?;
        if ReplicaTree::build(&replica).root() != *comm_r {
            anyhow::bail!("its replica is not the one that the ledger knows");
        }
        drop(replica);
        for (deal, slot) in hot {
            self.pieces.chill(deal, slot, sector)?;
        }
        Ok(())
    }

    /// Makes pieces again of the cold shares of a sector.
    pub(super) fn bring_back(&self, sector: SectorNumber) -> anyhow::Result<()> {
        self.unseal(sector)?;
        for key in self.cold_in(sector) {
            self.pieces.warm(key.deal, key.slot)?;
        }
        Ok(())
    }

    /// Makes pieces again of shares that are to be sealed once more: their old sector ended before they did. Says if one is not here.
    pub(super) fn bring_back_all(&self, job: &SealJob) -> anyhow::Result<()> {
        let _copies = self.hold_copies();
        let cold = slots(&job.pieces).filter_map(|(deal, slot, ..)| self.pieces.cold(deal, slot));
        let sectors: BTreeSet<SectorNumber> = cold.map(|piece| piece.sector).collect();
        for sector in sectors {
            self.bring_back(sector)?;
        }
        // Said before the labels are made, and not after.
        match slots(&job.pieces).find(|(deal, slot, ..)| !self.pieces.is_readable(*deal, *slot)) {
            Some((deal, slot, ..)) => anyhow::bail!("share {} of deal {deal} is not on this disk", slot.0),
            None => Ok(()),
        }
    }

    /// Cold shares that lie in a sector.
    pub(super) fn cold_in(&self, sector: SectorNumber) -> Vec<PieceKey> {
        let cold = self.pieces.list_cold().into_iter();
        cold.filter(|(_, piece)| piece.sector == sector)
            .map(|(key, _)| key)
            .collect()
    }

    /// Writes copies of the cold shares of a sector that have none, each checked with its root. One that can't be given back leaves the
    /// others.
    fn unseal(&self, sector: SectorNumber) -> anyhow::Result<()> {
        let mut wanted = self.cold_in(sector);
        wanted.retain(|key| !self.pieces.is_readable(key.deal, key.slot));
        if wanted.is_empty() {
            return Ok(());
        }
        let job = self.sealed_job(sector)?;
        let table = self.table(&job)?;
        let mut key = Key::of(self, &job, &table);
        let mut outcome = Ok(());
        for (deal, slot, offset, len) in slots(table.pieces()) {
            if !wanted.contains(&PieceKey { deal, slot }) {
                continue;
            }
            if let Err(error) =
                self.copy_back(sector, (deal, slot), offset..offset.saturating_add(len), &mut key)
            {
                outcome = Err(error);
            }
        }
        outcome
    }

    fn copy_back(
        &self,
        sector: SectorNumber,
        (deal, slot): (DealId, SlotIndexInDeal),
        range: std::ops::Range<u64>,
        key: &mut Key<'_>,
    ) -> anyhow::Result<()> {
        let mut writer = self.pieces.begin_copy(deal, slot)?;
        let mut at = range.start;
        while at < range.end {
            let n = usize::try_from(range.end - at)?.min(COPY_BYTES);
            let mut bytes = self.replicas.read(sector, at, n)?;
            key.apply(at, &mut bytes)?;
            writer.write(&bytes)?;
            at = at.saturating_add(u64::try_from(n)?);
        }
        Ok(writer.finish_copy()?)
    }

    /// How long it takes until a cold share of `sector` can be read, if somebody asks for it.
    pub(crate) fn wait_for(&self, sector: SectorNumber) -> Duration {
        let unsealing = locked(&self.unsealing);
        match unsealing.running {
            Some((running, _)) if running != sector => unsealing.left().saturating_add(unsealing.takes),
            Some(_) | None => unsealing.left(),
        }
    }

    /// Begins to give the cold shares of `sector` back, one sector at a time: who asks for another while one is under way asks again.
    /// Returns after how long to ask again.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] if they can't be given back, [`Refusal::Trouble`].
    pub(crate) fn ask_for(&self, sector: SectorNumber) -> Result<Duration, Refusal> {
        let mut unsealing = locked(&self.unsealing);
        if unsealing.running.is_none() {
            if unsealing
                .failed
                .get(&sector)
                .is_some_and(|failed| failed.elapsed() < FAILED_FOR)
            {
                return Err(Refusal::Damaged);
            }
            unsealing.running = Some((sector, Instant::now()));
            let jobs = self.clone();
            let spawned = std::thread::Builder::new()
                .name("unseal".to_owned())
                .spawn(move || jobs.serve_cold(sector));
            if spawned.is_err() {
                unsealing.running = None;
                return Err(Refusal::Trouble);
            }
        }
        drop(unsealing);
        Ok(self.wait_for(sector))
    }

    fn serve_cold(&self, sector: SectorNumber) {
        yield_to_others();
        let mut running = Running {
            jobs: self,
            sector,
            is_done: false,
        };
        let _copies = self.hold_copies();
        let wanted = self.cold_in(sector).into_iter();
        let len = wanted.filter_map(|key| {
            let piece = self.pieces.cold(key.deal, key.slot)?;
            (!self.pieces.is_readable(key.deal, key.slot)).then_some(piece.info.len)
        });
        let outcome = self
            .pieces
            .make_room(len.sum())
            .map_err(anyhow::Error::from)
            .and_then(|()| self.unseal(sector));
        match outcome {
            Ok(()) => running.is_done = true,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(
                    sector = sector.0,
                    error,
                    "a share can't be given back from its replica"
                );
            }
        }
    }

    /// Puts what is said to lie in replicas in order when the node starts: what has a copy here and no replica is a piece again, and
    /// what has neither is gone.
    pub(super) fn reconcile(&self) -> Result<(), watt_store::PieceError> {
        let there: BTreeSet<_> = self
            .replicas
            .list()
            .into_iter()
            .map(|(sector, _)| sector)
            .collect();
        for (PieceKey { deal, slot }, piece) in self.pieces.list_cold() {
            if there.contains(&piece.sector) {
                continue;
            }
            if self.pieces.is_readable(deal, slot) {
                self.pieces.warm(deal, slot)?;
            } else {
                tracing::warn!(
                    sector = piece.sector.0,
                    %deal,
                    slot = slot.0,
                    "a share lay in a replica that is gone; clients still read their files from other providers"
                );
                self.pieces.remove(deal, slot)?;
            }
        }
        Ok(())
    }
}

/// The sectors whose replicas are here. What is damaged is let go (`forget_damaged`), and nothing else: a disk that can't be read now says
/// nothing about what is on it.
///
/// # Errors
/// Of notes that are whole and in a format that this program does not know.
pub(super) fn local_sectors(
    pieces: &PieceStore,
    replicas: &ReplicaStore,
) -> Result<Vec<LocalSector>, CommandError> {
    let mut local = Vec::new();
    for (sector, _) in replicas.list() {
        match replicas.info(sector) {
            Ok(notes) => {
                let SealInfo { job, roots } = codec::decode(&notes, INFO_BYTES_MAX).map_err(|error| {
                    trouble(&format!(
                        "the notes of the sealed sector {sector} are whole, and this program can't read them ({error}): another \
                         version wrote them"
                    ))
                })?;
                pieces.set_sealed(sector, keys(&job.pieces));
                local.push(LocalSector { job, roots });
            }
            Err(ReplicaError::Damaged { .. }) => {
                forget_damaged(pieces, replicas, sector).map_err(|error| trouble(&error))?;
            }
            // It may be one bad block of the disk: what else is here is not given up for it.
            Err(error) => tracing::error!(
                sector = sector.0,
                %error,
                "a sealed sector can't be opened now; it stays, and is looked at again when the node starts"
            ),
        }
    }
    Ok(local)
}

/// Removes a replica whose end is damaged; but not one in which shares lie alone: most of it is sound, and nothing else has them here.
fn forget_damaged(
    pieces: &PieceStore,
    replicas: &ReplicaStore,
    sector: SectorNumber,
) -> Result<(), ReplicaError> {
    let lies_here = |(key, piece): &(PieceKey, ColdPiece)| {
        piece.sector == sector && !pieces.is_readable(key.deal, key.slot)
    };
    if pieces.list_cold().iter().any(lies_here) {
        tracing::warn!(
            sector = sector.0,
            "the notes of a sealed sector are damaged, and shares lie in it alone: it stays, but can't be proven or read; clients still \
             read their files from other providers"
        );
        return Ok(());
    }
    tracing::warn!(
        sector = sector.0,
        "a sealed sector on disk is damaged and removed. If the ledger has it as active, it is faulty from now on, and lost when its \
         grace ends; else its data is sealed again"
    );
    replicas.remove(sector)
}

/// The shares in a sector.
pub(super) fn keys(pieces: &[Piece]) -> impl Iterator<Item = PieceKey> {
    slots(pieces).map(|(deal, slot, ..)| PieceKey { deal, slot })
}

/// Deal, slot, place in the payload and length of each share of a sector.
pub(super) fn slots(pieces: &[Piece]) -> impl Iterator<Item = (DealId, SlotIndexInDeal, u64, u64)> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Slot {
            deal,
            slot,
            offset,
            len,
            ..
        } => Some((*deal, *slot, *offset, *len)),
        Piece::Filler { .. } => None,
    })
}

#[cfg(test)]
pub(super) mod tests;
