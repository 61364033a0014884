//! Everything that is stored is read now and then, and what the disk has changed is put right (`docs/spec/store.md` §8).
//!
//! A share that is kept hot lies on the disk twice, as it came and in a sealed replica, and each byte of either is given back by the
//! other with the sector's key. So what one copy has lost the other repairs, here, before a client or a window asks for it. Of a cold
//! share there is the replica alone: what it has lost is said.

use super::Jobs;
use super::labelling::Purpose;
use crate::api::types::{ScrubInfo, StoredInfo};
use crate::lock::locked;
use crate::runtime::payload::Payload;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use watt_engine::effect::SealJob;
use watt_primitives::slot_tree::GROUP_BYTES;
use watt_primitives::terms::Piece;
use watt_primitives::{DealId, SectorNumber, SlotIndexInDeal};
use watt_proofs::seal::{self, PayloadRead};
use watt_proofs::{PieceTable, ReplicaId};
use watt_store::{PieceError, PieceStore, ReplicaError};

/// Name of the sector that was read last, among the small values.
const SCRUBBED: &str = "scrubbed";

/// Sentences about what can't be put right that are kept.
const LOST_SHOWN_MAX: usize = 16;

/// A hold on the thread that scrubs; it ends with the last of them.
#[derive(Clone)]
pub(crate) struct Scrub {
    asked: Sender<()>,
    info: Arc<Mutex<ScrubInfo>>,
    pieces: PieceStore,
}

impl Scrub {
    /// Begins to read everything within each `interval`.
    pub(crate) fn start(jobs: Jobs, interval: Duration) -> std::io::Result<Self> {
        let (asked, asks) = mpsc::channel();
        let info = Arc::new(Mutex::new(ScrubInfo::default()));
        let pieces = jobs.pieces.clone();
        let scrubber = Scrubber {
            jobs,
            interval,
            asks,
            info: Arc::clone(&info),
            lost: BTreeMap::new(),
        };
        std::thread::Builder::new()
            .name("scrub".to_owned())
            .spawn(move || {
                crate::runtime::node_loop::yield_to_others();
                scrubber.run();
            })?;
        Ok(Self { asked, info, pieces })
    }

    /// Asks for everything to be read from now on, without pauses. It was when `answered` is `asks` of what this returns.
    pub(crate) fn ask(&self) -> ScrubInfo {
        let mut info = locked(&self.info);
        info.asks = info.asks.saturating_add(1);
        if self.asked.send(()).is_err() {
            tracing::warn!("nothing is scrubbed any more: its thread has ended");
        }
        info.clone()
    }

    pub(crate) fn info(&self) -> ScrubInfo {
        locked(&self.info).clone()
    }

    /// Where the shares lie that are read.
    pub(crate) fn stored(&self) -> StoredInfo {
        let space = self.pieces.space_use();
        StoredInfo {
            hot_bytes: space.hot_bytes,
            cold_bytes: space.cold_bytes,
            cached_bytes: space.cached_bytes,
        }
    }
}

struct Scrubber {
    jobs: Jobs,
    interval: Duration,
    asks: Receiver<()>,
    info: Arc<Mutex<ScrubInfo>>,
    /// What could not be put right of each sector when it was read last.
    lost: BTreeMap<SectorNumber, String>,
}

/// What comes after a pause.
enum Next {
    GoOn,
    /// Somebody wants everything to be read from now on.
    Anew,
    /// The node ends.
    End,
}

impl Scrubber {
    fn run(mut self) {
        let mut is_asked = false;
        loop {
            let begun = Instant::now();
            let next = match self.pass(is_asked) {
                Next::GoOn => self.pause(self.interval.saturating_sub(begun.elapsed())),
                next @ (Next::Anew | Next::End) => next,
            };
            is_asked = match next {
                Next::GoOn => false,
                Next::Anew => true,
                Next::End => return,
            };
        }
    }

    fn pause(&self, pause: Duration) -> Next {
        match self.asks.recv_timeout(pause) {
            Ok(()) => Next::Anew,
            Err(RecvTimeoutError::Timeout) => Next::GoOn,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// Reads everything once, at once or so that it takes the interval. Begins behind the sector that was read last, in this life or an
    /// earlier one: else a machine that is shut down every day would read the first sectors for ever.
    fn pass(&mut self, is_asked: bool) -> Next {
        let mut sectors = self.jobs.stored();
        let total: u64 = sectors.iter().map(|(_, bytes)| *bytes).sum();
        self.lost
            .retain(|lost, _| sectors.iter().any(|(sector, _)| sector == lost));
        let read_last = self.jobs.scrubbed();
        let n_read = sectors.partition_point(|(sector, _)| Some(*sector) <= read_last);
        sectors.rotate_left(n_read);
        let asks = {
            let mut info = locked(&self.info);
            info.is_running = true;
            (info.checked_bytes, info.total_bytes) = (0, total);
            info.asks
        };
        for (sector, bytes) in sectors {
            let found = self.jobs.scrub(sector);
            self.jobs.note_scrubbed(sector);
            match found.lost {
                Some(lost) => drop(self.lost.insert(sector, lost)),
                None => drop(self.lost.remove(&sector)),
            }
            {
                let mut info = locked(&self.info);
                info.checked_bytes = info.checked_bytes.saturating_add(bytes);
                info.repaired_groups = info.repaired_groups.saturating_add(found.repaired);
                info.lost = self.lost.values().take(LOST_SHOWN_MAX).cloned().collect();
            }
            let pause = if is_asked {
                Duration::ZERO
            } else {
                share(self.interval, bytes, total)
            };
            match self.pause(pause) {
                Next::GoOn => {}
                next @ (Next::Anew | Next::End) => return next,
            }
        }
        let mut info = locked(&self.info);
        info.is_running = false;
        info.answered = asks;
        info.finished_at = Some(crate::runtime::node_loop::wall().0);
        info.lost = self.lost.values().take(LOST_SHOWN_MAX).cloned().collect();
        Next::GoOn
    }
}

/// `part / total` of a duration.
fn share(interval: Duration, part: u64, total: u64) -> Duration {
    let ms = interval
        .as_millis()
        .saturating_mul(u128::from(part))
        .checked_div(u128::from(total));
    Duration::from_millis(ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0))
}

/// What came of one sector.
#[derive(Default)]
pub(super) struct Found {
    pub(super) repaired: u64,
    /// What can't be put right, in a sentence.
    pub(super) lost: Option<String>,
}

/// Where a sector's two copies are not as they were stored, by groups of 16 KiB of the payload.
#[derive(Default)]
struct Damage {
    replica: BTreeSet<u64>,
    slots: BTreeMap<u64, SlotGroup>,
}

/// A group of a share.
struct SlotGroup {
    deal: DealId,
    slot: SlotIndexInDeal,
    group: u64,
    len: usize,
}

impl Jobs {
    /// Sealed sectors with the bytes that there are of them: both copies', but for shares that have one.
    fn stored(&self) -> Vec<(SectorNumber, u64)> {
        let mut once: BTreeMap<SectorNumber, u64> = BTreeMap::new();
        for (key, piece) in self.pieces.list_cold() {
            if !self.pieces.is_readable(key.deal, key.slot) {
                let bytes = once.entry(piece.sector).or_default();
                *bytes = bytes.saturating_add(piece.info.len);
            }
        }
        let listed = self.replicas.list().into_iter();
        listed
            .map(|(sector, len)| {
                let twice = len.unwrap_or(0).saturating_mul(2);
                let once = once.get(&sector).copied().unwrap_or(0);
                (sector, twice.saturating_sub(once))
            })
            .collect()
    }

    /// The sector that was read last. One that can't be told is said and counts as none: all are read from the first on.
    fn scrubbed(&self) -> Option<SectorNumber> {
        let stored = self.values.get(SCRUBBED).unwrap_or_else(|error| {
            tracing::warn!(%error, "how far stored data was read can't be told; it is read from its beginning");
            None
        });
        Some(SectorNumber(u64::from_be_bytes(stored?.try_into().ok()?)))
    }

    fn note_scrubbed(&self, sector: SectorNumber) {
        if let Err(error) = self.values.put(SCRUBBED, &sector.0.to_be_bytes()) {
            tracing::warn!(%error, "how far stored data was read could not be noted");
        }
    }

    pub(super) fn scrub(&self, sector: SectorNumber) -> Found {
        let mut found = Found::default();
        if let Err(error) = self.try_scrub(sector, &mut found) {
            found.lost = Some(format!("sector {sector}: {error:#}"));
        }
        if let Some(lost) = &found.lost {
            tracing::warn!(lost, "stored data can't be put right here");
        }
        if found.repaired > 0 {
            tracing::info!(
                sector = sector.0,
                groups = found.repaired,
                "stored data was put right"
            );
        }
        found
    }

    fn try_scrub(&self, sector: SectorNumber, found: &mut Found) -> anyhow::Result<()> {
        let _copies = self.hold_copies();
        if let Err(ReplicaError::Unknown { .. }) = self.replicas.info(sector) {
            // It went meanwhile: its shares are over.
            return Ok(());
        }
        let job = self.sealed_job(sector)?;
        let table = self.table(&job)?;
        let damage = self.damage(sector, &table)?;
        let mut key = Key::of(self, &job, &table);
        let is_twice = |group: &u64| damage.replica.contains(group) && damage.slots.contains_key(group);
        let mut n_lost = damage.replica.iter().filter(|group| is_twice(group)).count();
        for (group, place) in damage.slots.iter().filter(|(group, _)| !is_twice(group)) {
            let mut bytes = self.replicas.read(sector, offset(*group), place.len)?;
            key.apply(offset(*group), &mut bytes)?;
            self.pieces
                .repair_group(place.deal, place.slot, place.group, &bytes)?;
            found.repaired += 1;
        }
        for group in damage.replica.iter().filter(|group| !is_twice(group)) {
            let left = table.size().payload_bytes().saturating_sub(offset(*group));
            let mut bytes = vec![0; usize::try_from(left)?.min(GROUP_BYTES)];
            // Where a share is over or cold, there is no piece.
            let is_there = Payload::new(&self.pieces, &table)
                .read(offset(*group), &mut bytes)
                .is_continue();
            let is_put_right = is_there && {
                key.apply(offset(*group), &mut bytes)?;
                self.replicas.repair(sector, offset(*group), &bytes)?
            };
            if is_put_right {
                found.repaired += 1;
            } else {
                n_lost += 1;
            }
        }
        if n_lost > 0 {
            found.lost = Some(format!(
                "sector {sector}: {n_lost} groups of 16 KiB are damaged and there is no other copy here; clients still read \
                 their files from other providers"
            ));
        }
        Ok(())
    }

    fn damage(&self, sector: SectorNumber, table: &PieceTable) -> anyhow::Result<Damage> {
        let group_bytes = offset(1);
        let offsets = self.replicas.damaged_offsets(sector)?;
        let mut damage = Damage {
            replica: offsets.into_iter().map(|offset| offset / group_bytes).collect(),
            slots: BTreeMap::new(),
        };
        for piece in table.pieces() {
            let Piece::Slot {
                deal,
                slot,
                offset: first,
                len,
                ..
            } = piece
            else {
                continue;
            };
            let groups = match self.pieces.damaged_groups(*deal, *slot) {
                // A share whose deal is over is not kept, and a cold one lies in the replica alone.
                Err(PieceError::Unknown { .. } | PieceError::Cold { .. }) => continue,
                groups => groups?,
            };
            for group in groups {
                let left = len.saturating_sub(offset(group));
                let place = SlotGroup {
                    deal: *deal,
                    slot: *slot,
                    group,
                    len: usize::try_from(left)?.min(GROUP_BYTES),
                };
                damage.slots.insert(first / group_bytes + group, place);
            }
        }
        Ok(damage)
    }

    /// What the two copies of a sector differ by.
    fn key(&self, job: &SealJob, table: &PieceTable) -> anyhow::Result<Vec<u8>> {
        let comm_d = table.comm_d(&self.network);
        let replica_id = ReplicaId::derive(&self.network, &self.account, job.sector, &comm_d, &job.seal_seed);
        Ok(self.labelling.run(job.sector, Purpose::Unseal, |progress| {
            seal::key(&self.params, table.size(), &replica_id, progress)
        })?)
    }
}

/// First byte of a group.
fn offset(group: u64) -> u64 {
    group.saturating_mul(GROUP_BYTES as u64)
}

/// What the two copies of a sector differ by; made when it is first needed.
pub(super) struct Key<'a> {
    jobs: &'a Jobs,
    job: &'a SealJob,
    table: &'a PieceTable,
    made: Option<Vec<u8>>,
}

impl<'a> Key<'a> {
    pub(super) const fn of(jobs: &'a Jobs, job: &'a SealJob, table: &'a PieceTable) -> Self {
        let made = None;
        Self {
            jobs,
            job,
            table,
            made,
        }
    }

    /// Turns the bytes of one copy from `offset` on into those of the other.
    pub(super) fn apply(&mut self, offset: u64, bytes: &mut [u8]) -> anyhow::Result<()> {
        let made = match self.made.take() {
            Some(made) => made,
            None => self.jobs.key(self.job, self.table)?,
        };
        let from = usize::try_from(offset)?;
        let key = made.get(from..).and_then(|rest| rest.get(..bytes.len()));
        let key = key.ok_or_else(|| anyhow::anyhow!("a share lies outside its sector"))?;
        for (byte, key) in bytes.iter_mut().zip(key) {
            *byte ^= key;
        }
        self.made = Some(made);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
