//! Sealed replicas of a provider's sectors: whole on the disk or not there (`docs/spec/store.md` §8).

use crate::disk::{self, Disk, to_u64};
use crate::error::DiskError;
use crate::open_files::OpenFiles;
use crate::verified_file::{
    DATA_BYTES_MAX, Footer, VerifiedFile, VerifiedFileError, VerifiedWriter, discard_unfinished,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use watt_primitives::{Hash, SectorNumber};

/// Bytes of one replica.
pub const REPLICA_BYTES_MAX: u64 = DATA_BYTES_MAX;

/// Bytes of a replica's cached tree and of its info together.
pub const REPLICA_EXTRA_BYTES_MAX: usize = 48 << 20;

/// Why a replica can't be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The disk would not keep its reserve. Everything stored stays as it is.
    #[error(
        "no space for a replica of {needed_bytes} bytes in {}: the disk has {available_bytes} bytes free of which {free_bytes_min} \
         stay free", path.display()
    )]
    NoSpace {
        /// The folder of the replicas.
        path: PathBuf,
        /// Bytes of the replica.
        needed_bytes: u64,
        /// Bytes free on the disk.
        available_bytes: u64,
        /// Bytes that always stay free.
        free_bytes_min: u64,
    },
    /// It is stored already: a sector number is used once.
    #[error("the replica of sector {sector} is stored already")]
    Exists {
        /// Which sector.
        sector: SectorNumber,
    },
    /// It is not stored.
    #[error("no replica of sector {sector} is stored here")]
    Unknown {
        /// Which sector.
        sector: SectorNumber,
    },
    /// Longer than the store takes.
    #[error("the replica of sector {sector} has {len} bytes, where at most {len_max} are taken")]
    TooLong {
        /// Which sector.
        sector: SectorNumber,
        /// Bytes of the replica, or of tree and info.
        len: u64,
        /// Bytes allowed.
        len_max: u64,
    },
    /// More or fewer bytes than were announced.
    #[error("the replica of sector {sector} was announced with {expected} bytes, and {found} came")]
    WrongLength {
        /// Which sector.
        sector: SectorNumber,
        /// Bytes announced.
        expected: u64,
        /// Bytes written.
        found: u64,
    },
    /// The bytes asked for are not as they were stored: a fault to be declared.
    #[error("the replica of sector {sector} is damaged on this disk near byte {offset}")]
    DamagedAt {
        /// Which sector.
        sector: SectorNumber,
        /// Where the damaged 16 KiB begin.
        offset: u64,
    },
    /// Tree or info are not as they were stored.
    #[error("the replica of sector {sector} is damaged on this disk as a whole")]
    Damaged {
        /// Which sector.
        sector: SectorNumber,
    },
}

impl ReplicaError {
    fn of_file(sector: SectorNumber) -> impl Fn(VerifiedFileError) -> Self {
        move |error| match error {
            VerifiedFileError::Disk(error) => Self::Disk(error),
            VerifiedFileError::DamagedTail { .. } => Self::Damaged { sector },
            VerifiedFileError::DamagedGroup { group, .. } => Self::DamagedAt {
                sector,
                offset: group * to_u64(watt_primitives::slot_tree::GROUP_BYTES),
            },
        }
    }
}

/// The sealed replicas of one provider. Shared by reference.
#[derive(Debug)]
pub struct ReplicaStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    free_bytes_min: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Replicas and their lengths; `None` for one whose end is damaged.
    replicas: BTreeMap<SectorNumber, Option<u64>>,
    open: OpenFiles<SectorNumber>,
}

impl ReplicaStore {
    /// Opens the replicas in folder `dir`, creating it if there is none. Half-written ones are removed. `free_bytes_min` bytes always stay
    /// free on the disk.
    ///
    /// # Errors
    /// [`ReplicaError::Disk`].
    pub fn open(dir: &Path, free_bytes_min: u64) -> Result<Self, ReplicaError> {
        Self::open_on(disk::system(), dir, free_bytes_min)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        free_bytes_min: u64,
    ) -> Result<Self, ReplicaError> {
        let names = disk::clean_dir(&*disk, dir)?;
        let mut state = State::default();
        for name in &names {
            if let Some(sector) = parse_name(name) {
                let len = match Footer::read(&*disk, &dir.join(name), &label(sector)) {
                    Ok(footer) => Some(footer.data_len),
                    Err(VerifiedFileError::Disk(error)) => return Err(error.into()),
                    Err(_) => None,
                };
                state.replicas.insert(sector, len);
            } else if let Some(sector) = name.strip_suffix(PART_SUFFIX).and_then(parse_name) {
                discard_unfinished(&*disk, &dir.join(file_name(sector)))?;
            }
        }
        Ok(Self {
            disk,
            dir: dir.to_path_buf(),
            free_bytes_min,
            state: Mutex::new(state),
        })
    }

    /// Begins to write the replica of `sector`, which will have `len` bytes.
    ///
    /// # Errors
    /// [`ReplicaError::NoSpace`], [`ReplicaError::Exists`], [`ReplicaError::TooLong`], [`ReplicaError::Disk`].
    pub fn begin(&self, sector: SectorNumber, len: u64) -> Result<ReplicaWriter<'_>, ReplicaError> {
        if len > REPLICA_BYTES_MAX {
            return Err(ReplicaError::TooLong {
                sector,
                len,
                len_max: REPLICA_BYTES_MAX,
            });
        }
        if matches!(self.lock().replicas.get(&sector), Some(Some(_))) {
            return Err(ReplicaError::Exists { sector });
        }
        let path = self.path(sector);
        // Sealing is repeated from its start after a crash, so nothing is resumed.
        discard_unfinished(&*self.disk, &path)?;
        self.check_space(len)?;
        let writer = VerifiedWriter::begin(Arc::clone(&self.disk), &path, &label(sector), len)?;
        Ok(ReplicaWriter {
            store: self,
            sector,
            writer,
            is_over: false,
        })
    }

    fn check_space(&self, needed_bytes: u64) -> Result<(), ReplicaError> {
        let available_bytes = self
            .disk
            .available_bytes(&self.dir)
            .map_err(DiskError::failed("ask for the free space of", &self.dir))?;
        if needed_bytes.saturating_add(self.free_bytes_min) <= available_bytes {
            return Ok(());
        }
        Err(ReplicaError::NoSpace {
            path: self.dir.clone(),
            needed_bytes,
            available_bytes,
            free_bytes_min: self.free_bytes_min,
        })
    }

    /// `len` bytes of the replica from `offset`, as a proof needs them; checked, so a fault is seen here and not by others.
    ///
    /// # Errors
    /// [`ReplicaError::WrongLength`] if the replica ends before, [`ReplicaError::DamagedAt`], [`ReplicaError::Damaged`],
    /// [`ReplicaError::Unknown`], [`ReplicaError::Disk`].
    pub fn read(&self, sector: SectorNumber, offset: u64, len: usize) -> Result<Vec<u8>, ReplicaError> {
        let bytes = self
            .open_replica(sector)?
            .read(offset, len)
            .map_err(ReplicaError::of_file(sector))?;
        if bytes.len() != len {
            return Err(ReplicaError::WrongLength {
                sector,
                expected: to_u64(len),
                found: to_u64(bytes.len()),
            });
        }
        Ok(bytes)
    }

    /// The cached upper part of the replica's tree.
    ///
    /// # Errors
    /// [`ReplicaError::Damaged`], [`ReplicaError::Unknown`], [`ReplicaError::Disk`].
    pub fn upper_tree(&self, sector: SectorNumber) -> Result<Vec<u8>, ReplicaError> {
        self.block(sector, 0)
    }

    /// The opaque info that was stored with the replica.
    ///
    /// # Errors
    /// [`ReplicaError::Damaged`], [`ReplicaError::Unknown`], [`ReplicaError::Disk`].
    pub fn info(&self, sector: SectorNumber) -> Result<Vec<u8>, ReplicaError> {
        self.block(sector, 1)
    }

    fn block(&self, sector: SectorNumber, index: usize) -> Result<Vec<u8>, ReplicaError> {
        let file = self.open_replica(sector)?;
        file.blocks()
            .get(index)
            .cloned()
            .ok_or(ReplicaError::Damaged { sector })
    }

    /// All replicas with their length in bytes; `None` for one that is damaged as a whole.
    #[must_use]
    pub fn list(&self) -> Vec<(SectorNumber, Option<u64>)> {
        let state = self.lock();
        state
            .replicas
            .iter()
            .map(|(sector, len)| (*sector, *len))
            .collect()
    }

    /// Reads a whole replica and returns where each 16 KiB that are not as they were stored begin.
    ///
    /// # Errors
    /// [`ReplicaError::Damaged`], [`ReplicaError::Unknown`], [`ReplicaError::Disk`].
    pub fn damaged_offsets(&self, sector: SectorNumber) -> Result<Vec<u64>, ReplicaError> {
        let groups = self
            .open_replica(sector)?
            .damaged_groups()
            .map_err(ReplicaError::of_file(sector))?;
        let group_bytes = to_u64(watt_primitives::slot_tree::GROUP_BYTES);
        Ok(groups.into_iter().map(|group| group * group_bytes).collect())
    }

    /// Writes the right bytes over the damaged 16 KiB that begin at `offset`, durably. Says whether they are the right ones; others
    /// are not written.
    ///
    /// # Errors
    /// [`ReplicaError::Damaged`], [`ReplicaError::Unknown`], [`ReplicaError::Disk`].
    pub fn repair(&self, sector: SectorNumber, offset: u64, bytes: &[u8]) -> Result<bool, ReplicaError> {
        let group_bytes = to_u64(watt_primitives::slot_tree::GROUP_BYTES);
        if !offset.is_multiple_of(group_bytes) {
            return Ok(false);
        }
        let written = self
            .open_replica(sector)?
            .rewrite_group(&*self.disk, offset / group_bytes, bytes)
            .map_err(ReplicaError::of_file(sector))?;
        Ok(written.is_some())
    }

    /// Removes a replica; one that is not there is fine.
    ///
    /// # Errors
    /// [`ReplicaError::Disk`].
    pub fn remove(&self, sector: SectorNumber) -> Result<(), ReplicaError> {
        let mut state = self.lock();
        if state.replicas.contains_key(&sector) {
            let path = self.path(sector);
            self.disk
                .remove(&path)
                .map_err(DiskError::failed("remove", &path))?;
        }
        state.replicas.remove(&sector);
        state.open.forget(sector);
        Ok(())
    }

    fn open_replica(&self, sector: SectorNumber) -> Result<Arc<VerifiedFile>, ReplicaError> {
        {
            let mut state = self.lock();
            if let Some(file) = state.open.get(sector) {
                return Ok(file);
            }
            match state.replicas.get(&sector) {
                None => return Err(ReplicaError::Unknown { sector }),
                Some(None) => return Err(ReplicaError::Damaged { sector }),
                Some(Some(_)) => {}
            }
        }
        let file = VerifiedFile::open(&*self.disk, &self.path(sector), &label(sector))
            .map_err(ReplicaError::of_file(sector))?;
        let file = Arc::new(file);
        let mut state = self.lock();
        if state.replicas.contains_key(&sector) {
            state.open.insert(sector, Arc::clone(&file));
        }
        Ok(file)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, sector: SectorNumber) -> PathBuf {
        self.dir.join(file_name(sector))
    }
}

/// A replica that is being written. Dropped unfinished, what was written is removed.
#[derive(Debug)]
pub struct ReplicaWriter<'a> {
    store: &'a ReplicaStore,
    sector: SectorNumber,
    writer: VerifiedWriter,
    /// It has its name.
    is_over: bool,
}

impl Drop for ReplicaWriter<'_> {
    fn drop(&mut self) {
        if !self.is_over
            && let Err(error) = self.writer.discard_all()
        {
            tracing::warn!(%error, sector = self.sector.0, "part of a sealed sector stays until the next start");
        }
    }
}

impl ReplicaWriter<'_> {
    /// Adds the next bytes.
    ///
    /// # Errors
    /// [`ReplicaError::WrongLength`] if more come than were announced, [`ReplicaError::Disk`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ReplicaError> {
        self.check_len(self.writer.len() + to_u64(bytes.len()), |found, expected| {
            found <= expected
        })?;
        Ok(self.writer.write(bytes)?)
    }

    /// Ends the replica with the cached upper part of its tree and opaque `info`; when this returns, it survives any crash.
    /// Returns the plain BLAKE3 of the replica's bytes.
    ///
    /// # Errors
    /// [`ReplicaError::WrongLength`], [`ReplicaError::TooLong`], [`ReplicaError::Disk`].
    pub fn finish(mut self, upper_tree: &[u8], info: &[u8]) -> Result<Hash, ReplicaError> {
        let sector = self.sector;
        self.check_len(self.writer.len(), |found, expected| found == expected)?;
        let extra_len = upper_tree.len().saturating_add(info.len());
        if extra_len > REPLICA_EXTRA_BYTES_MAX {
            return Err(ReplicaError::TooLong {
                sector,
                len: to_u64(extra_len),
                len_max: to_u64(REPLICA_EXTRA_BYTES_MAX),
            });
        }
        let root = self.writer.close_data()?;
        let len = self.writer.data_len();
        self.writer.finish(&[upper_tree, info])?;
        self.is_over = true;
        let store = self.store;
        store
            .disk
            .sync_dir(&store.dir)
            .map_err(DiskError::not_durable("sync the replicas in", &store.dir))?;
        let mut state = store.lock();
        state.replicas.insert(sector, Some(len));
        state.open.forget(sector);
        Ok(root)
    }

    fn check_len(&self, found: u64, is_right: impl Fn(u64, u64) -> bool) -> Result<(), ReplicaError> {
        let expected = self.writer.data_len();
        if is_right(found, expected) {
            return Ok(());
        }
        Err(ReplicaError::WrongLength {
            sector: self.sector,
            expected,
            found,
        })
    }
}

const PART_SUFFIX: &str = ".part";

fn label(sector: SectorNumber) -> Vec<u8> {
    [b"replica".as_slice(), &sector.0.to_be_bytes()].concat()
}

fn file_name(sector: SectorNumber) -> String {
    format!("{:020}.replica", sector.0)
}

fn parse_name(name: &str) -> Option<SectorNumber> {
    let sector = SectorNumber(name.strip_suffix(".replica")?.parse().ok()?);
    (file_name(sector) == name).then_some(sector)
}

#[cfg(test)]
mod tests;
