//! A provider's slots: received in a stream, durable before they are acknowledged, checked at each read
//! (`docs/spec/store.md` §7).

use crate::disk::{self, Disk, to_u64};
use crate::error::DiskError;
use crate::group_sync::GroupSync;
use crate::open_files::OpenFiles;
use crate::verified_file::{
    DATA_BYTES_MAX, Footer, Progress, VerifiedFile, VerifiedFileError, VerifiedWriter, discard_unfinished,
    unfinished_path,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use watt_primitives::{DealId, Hash, SectorNumber, SlotIndexInDeal};

mod cold;
mod error;
pub use cold::ColdPiece;
use cold::{Stub, remove_if_there};
pub use error::PieceError;

/// Bytes of one slot.
pub const PIECE_BYTES_MAX: u64 = DATA_BYTES_MAX;

/// Bytes of a piece's metadata blocks together.
pub const METADATA_BYTES_MAX: usize = 8 << 20;

/// The name of a piece: one slot of one deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceKey {
    /// The deal.
    pub deal: DealId,
    /// The slot of the deal's bundle.
    pub slot: SlotIndexInDeal,
}

impl fmt::Display for PieceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:03}", self.deal, self.slot.0)
    }
}

impl PieceKey {
    fn parse(text: &str) -> Option<Self> {
        let (deal, slot) = text.split_once('-')?;
        let key = Self {
            deal: DealId::from_hex(deal)?,
            slot: SlotIndexInDeal(slot.parse().ok()?),
        };
        (key.to_string() == text).then_some(key)
    }

    fn label(&self) -> Vec<u8> {
        let mut label = b"piece".to_vec();
        label.extend_from_slice(self.deal.as_ref());
        label.push(self.slot.0);
        label
    }
}

/// How much a provider gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes of pieces that are held, each counted once, wherever its bytes lie.
    pub quota_bytes: u64,
    /// Bytes that always stay free on the disk.
    pub free_bytes_min: u64,
}

/// What is known of a piece without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceInfo {
    /// Bytes of data.
    pub len: u64,
    /// Plain BLAKE3 of the data.
    pub root: Hash,
}

/// Bytes used and left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceUse {
    /// Bytes of finished pieces, of unfinished ones at their final size, and of copies.
    pub used_bytes: u64,
    /// Bytes of the quota that are still free; copies give way.
    pub left_bytes: u64,
    /// Bytes of whole pieces that lie here as they came.
    pub hot_bytes: u64,
    /// Bytes of pieces that lie in sealed replicas.
    pub cold_bytes: u64,
    /// Bytes of copies of the latter.
    pub cached_bytes: u64,
}

/// The slots that a provider holds. Shared by clones; reads and transfers run side by side.
#[derive(Clone, Debug)]
pub struct PieceStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    space: Space,
    sync: GroupSync,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whole pieces whose bytes are here: all that are not cold, and copies of some that are.
    pieces: BTreeMap<PieceKey, PieceInfo>,
    /// Pieces whose bytes lie in sealed replicas.
    cold: BTreeMap<PieceKey, ColdPiece>,
    /// Pieces that lie in sealed replicas, too or alone, as far as was said in this life.
    sealed: BTreeMap<PieceKey, SectorNumber>,
    /// Of these, those of which a copy is here; the one that was read last stands first.
    cached: VecDeque<PieceKey>,
    /// Pieces whose end is not readable.
    damaged: BTreeMap<PieceKey, u64>,
    /// Transfers that broke off: length announced, bytes durable.
    unfinished: BTreeMap<PieceKey, (u64, u64)>,
    /// Transfers under way: bytes that are still to be written.
    writing: BTreeMap<PieceKey, Transfer>,
    open: OpenFiles<PieceKey>,
}

#[derive(Clone, Copy, Debug)]
struct Transfer {
    len: u64,
    to_write: u64,
}

impl State {
    fn used_bytes(&self) -> u64 {
        let finished: u64 = self.pieces.values().map(|info| info.len).sum();
        let cold = self.cold_bytes();
        let damaged: u64 = self.damaged.values().sum();
        let unfinished: u64 = self.unfinished.values().map(|(len, _)| len).sum();
        let writing: u64 = self.writing.values().map(|transfer| transfer.len).sum();
        finished + cold + damaged + unfinished + writing
    }

    /// Bytes that the replicas will take of pieces that lie in none yet, of those under way too.
    fn unsealed_bytes(&self) -> u64 {
        let here = self.pieces.iter().map(|(key, info)| (key, info.len));
        let coming = self.writing.iter().map(|(key, transfer)| (key, transfer.len));
        here.chain(coming)
            .filter(|(key, _)| !self.sealed.contains_key(key) && !self.cold.contains_key(key))
            .map(|(_, len)| len)
            .sum()
    }

    fn cold_bytes(&self) -> u64 {
        self.cold.values().map(|piece| piece.info.len).sum()
    }

    fn cached_bytes(&self) -> u64 {
        let cached = self.cached.iter().filter_map(|key| self.pieces.get(key));
        cached.map(|info| info.len).sum()
    }

    /// Notes that a piece is read.
    fn touch(&mut self, key: PieceKey) {
        if let Some(at) = self.cached.iter().position(|cached| *cached == key) {
            self.cached.remove(at);
            self.cached.push_front(key);
        }
    }
}

impl PieceStore {
    /// Opens the pieces in folder `dir`, creating it if there is none.
    ///
    /// Transfers that a crash broke off are kept with what was durable of them: [`PieceStore::unfinished`].
    ///
    /// # Errors
    /// [`PieceError::Disk`].
    pub fn open(dir: &Path, space: Space) -> Result<Self, PieceError> {
        Self::open_on(disk::system(), dir, space)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, dir: &Path, space: Space) -> Result<Self, PieceError> {
        let names = disk::clean_dir(&*disk, dir)?;
        let mut state = State::default();
        let mut spoilt = Vec::new();
        for name in &names {
            if let Some(key) = name.strip_suffix(STUB_SUFFIX).and_then(PieceKey::parse) {
                match Stub::read(&*disk, &dir.join(name), key)? {
                    Some(stub) => drop(state.cold.insert(key, stub.piece)),
                    None => spoilt.push((key, dir.join(name))),
                }
            }
        }
        for name in &names {
            if let Some(key) = name.strip_suffix(PIECE_SUFFIX).and_then(PieceKey::parse) {
                load_piece(&*disk, &dir.join(name), key, &mut state)?;
            }
        }
        for (key, path) in spoilt {
            if state.pieces.contains_key(&key) {
                // Nothing is lost: the bytes are here with all that belongs to them.
                remove_if_there(&*disk, &path)?;
            } else {
                tracing::warn!(%key, "what was kept of a piece in a sealed replica is damaged");
                state.damaged.entry(key).or_insert(0);
            }
        }
        state.cached = (state.cold.keys().copied())
            .filter(|key| state.pieces.contains_key(key))
            .collect();
        let mut left_over = BTreeSet::new();
        for name in &names {
            let unfinished = [PART_SUFFIX, PIECE_SUFFIX_PROGRESS]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            left_over.extend(unfinished.and_then(PieceKey::parse));
        }
        for key in left_over {
            load_unfinished(&*disk, dir, key, &mut state)?;
        }
        Ok(Self(Arc::new(Shared {
            sync: GroupSync::new(Arc::clone(&disk), dir),
            disk,
            dir: dir.to_path_buf(),
            space,
            state: Mutex::new(state),
        })))
    }

    /// Begins to receive a piece of `len` bytes, or goes on where an earlier transfer broke off:
    /// [`PieceWriter::resume_at`] says from which byte on.
    ///
    /// # Errors
    /// [`PieceError::NoSpace`], [`PieceError::Exists`], [`PieceError::Busy`], [`PieceError::TooLong`],
    /// [`PieceError::Disk`].
    pub fn begin(&self, deal: DealId, slot: SlotIndexInDeal, len: u64) -> Result<PieceWriter, PieceError> {
        let key = PieceKey { deal, slot };
        if len > PIECE_BYTES_MAX {
            return Err(PieceError::TooLong {
                key,
                len,
                len_max: PIECE_BYTES_MAX,
            });
        }
        let shared = &self.0;
        let resumed = {
            let mut state = shared.lock();
            if state.pieces.contains_key(&key) || state.cold.contains_key(&key) {
                return Err(PieceError::Exists { key });
            }
            if state.writing.contains_key(&key) {
                return Err(PieceError::Busy { key });
            }
            let resumed = state.unfinished.get(&key).copied();
            while let Err(full) = shared.check_space(&state, len, resumed) {
                // Copies give way.
                if !(matches!(full, PieceError::NoSpace { .. }) && shared.evict_oldest(&mut state)?) {
                    return Err(full);
                }
            }
            state.unfinished.remove(&key);
            state.writing.insert(key, Transfer { len, to_write: len });
            resumed
        };
        let path = shared.path(key);
        match VerifiedWriter::begin(Arc::clone(&shared.disk), &path, &key.label(), len) {
            Ok(writer) => {
                shared.set_to_write(key, len - writer.durable_len());
                Ok(PieceWriter {
                    shared: Arc::clone(shared),
                    key,
                    resume_at: writer.durable_len(),
                    writer,
                    is_over: false,
                })
            }
            Err(error) => {
                let mut state = shared.lock();
                state.writing.remove(&key);
                if let Some(resumed) = resumed {
                    state.unfinished.insert(key, resumed);
                }
                Err(shared.space_error(&state, len, error))
            }
        }
    }

    /// Up to `len` bytes from `offset`, fewer only at the end; all checked against the root.
    ///
    /// # Errors
    /// [`PieceError::Unknown`], [`PieceError::Cold`], [`PieceError::DamagedGroup`], [`PieceError::Damaged`], [`PieceError::Disk`].
    pub fn read(
        &self,
        deal: DealId,
        slot: SlotIndexInDeal,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, PieceError> {
        self.reader(deal, slot)?.read(offset, len)
    }

    /// Opens a piece for reads that go on though its copy is removed meanwhile.
    ///
    /// # Errors
    /// [`PieceError::Unknown`], [`PieceError::Cold`], [`PieceError::Damaged`], [`PieceError::Disk`].
    pub fn reader(&self, deal: DealId, slot: SlotIndexInDeal) -> Result<PieceReader, PieceError> {
        let key = PieceKey { deal, slot };
        let file = self.0.open_piece(key)?;
        Ok(PieceReader { key, file })
    }

    /// The digest of each 16 KiB group, which merge to the root; of cold pieces too.
    ///
    /// # Errors
    /// [`PieceError::Unknown`], [`PieceError::Damaged`], [`PieceError::Disk`].
    pub fn outboard(&self, deal: DealId, slot: SlotIndexInDeal) -> Result<Vec<Hash>, PieceError> {
        let key = PieceKey { deal, slot };
        match self.0.open_piece(key) {
            Err(PieceError::Cold { .. }) => Ok(self.0.stub(key)?.groups),
            file => Ok(file?.groups().to_vec()),
        }
    }

    /// The metadata blocks, as they were given to [`PieceWriter::finish`]; of cold pieces too.
    ///
    /// # Errors
    /// [`PieceError::Unknown`], [`PieceError::Damaged`], [`PieceError::Disk`].
    pub fn metadata(&self, deal: DealId, slot: SlotIndexInDeal) -> Result<Vec<Vec<u8>>, PieceError> {
        let key = PieceKey { deal, slot };
        match self.0.open_piece(key) {
            Err(PieceError::Cold { .. }) => Ok(self.0.stub(key)?.blocks),
            file => Ok(file?.blocks().to_vec()),
        }
    }

    /// Length and root, of cold pieces too; `None` if the piece is not stored whole.
    #[must_use]
    pub fn info(&self, deal: DealId, slot: SlotIndexInDeal) -> Option<PieceInfo> {
        let (key, state) = (PieceKey { deal, slot }, self.0.lock());
        let cold = state.cold.get(&key).map(|piece| piece.info);
        cold.or_else(|| state.pieces.get(&key).copied())
    }

    /// All whole pieces, cold ones too, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(PieceKey, PieceInfo)> {
        let state = self.0.lock();
        let mut all = state.pieces.clone();
        all.extend(state.cold.iter().map(|(key, piece)| (*key, piece.info)));
        all.into_iter().collect()
    }

    /// Pieces that were stored and whose end is not readable any more: to be declared as faults.
    #[must_use]
    pub fn damaged(&self) -> Vec<PieceKey> {
        self.0.lock().damaged.keys().copied().collect()
    }

    /// Transfers that broke off, with the bytes that need not be sent again.
    #[must_use]
    pub fn unfinished(&self) -> Vec<(PieceKey, u64)> {
        let state = self.0.lock();
        state
            .unfinished
            .iter()
            .map(|(key, (_, durable))| (*key, *durable))
            .collect()
    }

    /// Removes a piece, whole, damaged or unfinished; one that is not there is fine.
    ///
    /// # Errors
    /// [`PieceError::Busy`] while it is being received, [`PieceError::Disk`].
    pub fn remove(&self, deal: DealId, slot: SlotIndexInDeal) -> Result<(), PieceError> {
        let key = PieceKey { deal, slot };
        let shared = &self.0;
        let mut state = shared.lock();
        if state.writing.contains_key(&key) {
            return Err(PieceError::Busy { key });
        }
        let path = shared.path(key);
        if state.pieces.contains_key(&key) || state.damaged.contains_key(&key) {
            remove_if_there(&*shared.disk, &path)?;
        }
        if state.cold.contains_key(&key) || state.damaged.contains_key(&key) {
            remove_if_there(&*shared.disk, &shared.stub_path(key))?;
        }
        if state.unfinished.contains_key(&key) {
            discard_unfinished(&*shared.disk, &path)?;
        }
        state.pieces.remove(&key);
        state.cold.remove(&key);
        state.cached.retain(|cached| *cached != key);
        state.damaged.remove(&key);
        state.unfinished.remove(&key);
        state.open.forget(key);
        Ok(())
    }

    /// Reads a whole piece and returns the 16 KiB groups that are not as they were stored.
    ///
    /// # Errors
    /// [`PieceError::Unknown`], [`PieceError::Damaged`], [`PieceError::Disk`].
    pub fn damaged_groups(&self, deal: DealId, slot: SlotIndexInDeal) -> Result<Vec<u64>, PieceError> {
        let key = PieceKey { deal, slot };
        self.0
            .open_piece(key)?
            .damaged_groups()
            .map_err(PieceError::of_file(key))
    }

    /// Writes the right bytes over a damaged group, durably.
    ///
    /// # Errors
    /// [`PieceError::WrongGroup`] if they are not the right ones, [`PieceError::Unknown`], [`PieceError::Damaged`],
    /// [`PieceError::Disk`].
    pub fn repair_group(
        &self,
        deal: DealId,
        slot: SlotIndexInDeal,
        group: u64,
        bytes: &[u8],
    ) -> Result<(), PieceError> {
        let key = PieceKey { deal, slot };
        self.0
            .open_piece(key)?
            .rewrite_group(&*self.0.disk, group, bytes)
            .map_err(PieceError::of_file(key))?
            .ok_or(PieceError::WrongGroup { key, group })
    }

    /// Says that pieces lie in the replica of `sector`: no space is kept for another. Kept in memory alone.
    pub fn set_sealed(&self, sector: SectorNumber, keys: impl IntoIterator<Item = PieceKey>) {
        let keys = keys.into_iter().map(|key| (key, sector));
        self.0.lock().sealed.extend(keys);
    }

    /// Says that the replica of `sector` is gone.
    pub fn forget_sealed(&self, sector: SectorNumber) {
        self.0.lock().sealed.retain(|_, lies_in| *lies_in != sector);
    }

    /// Whether a piece lies in a sealed replica, too or alone, as far as was said in this life.
    #[must_use]
    pub fn is_sealed(&self, deal: DealId, slot: SlotIndexInDeal) -> bool {
        self.0.lock().sealed.contains_key(&PieceKey { deal, slot })
    }

    /// Bytes of the quota that are used and left.
    #[must_use]
    pub fn space_use(&self) -> SpaceUse {
        let state = self.0.lock();
        let (used_bytes, cached_bytes) = (state.used_bytes(), state.cached_bytes());
        let here: u64 = state.pieces.values().map(|info| info.len).sum();
        let held = used_bytes.saturating_sub(cached_bytes);
        SpaceUse {
            used_bytes,
            left_bytes: self.0.space.quota_bytes.saturating_sub(held),
            hot_bytes: here.saturating_sub(cached_bytes),
            cold_bytes: state.cold_bytes(),
            cached_bytes,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: PieceKey) -> PathBuf {
        self.dir.join(format!("{key}{PIECE_SUFFIX}"))
    }

    fn stub_path(&self, key: PieceKey) -> PathBuf {
        self.dir.join(format!("{key}{STUB_SUFFIX}"))
    }

    fn set_to_write(&self, key: PieceKey, to_write: u64) {
        if let Some(transfer) = self.lock().writing.get_mut(&key) {
            transfer.to_write = to_write;
        }
    }

    /// Whether a piece of `len` bytes and its replica fit; `resumed` (length, durable) are counted and partly written already.
    fn check_space(&self, state: &State, len: u64, resumed: Option<(u64, u64)>) -> Result<(), PieceError> {
        let (counted, written) = resumed.unwrap_or((0, 0));
        let quota_left_bytes =
            (self.space.quota_bytes.saturating_add(counted)).saturating_sub(state.used_bytes());
        let available_bytes = self
            .available_bytes(state)?
            .saturating_sub(state.unsealed_bytes());
        let to_write = len.saturating_sub(written).saturating_add(len);
        if len <= quota_left_bytes && self.leaves_enough(to_write, available_bytes) {
            return Ok(());
        }
        Err(self.no_space(len, len, quota_left_bytes, available_bytes))
    }

    /// Whether the disk has a place for a copy of `len` bytes, whatever the quota says.
    fn check_disk(&self, state: &State, len: u64) -> Result<(), PieceError> {
        let available_bytes = self.available_bytes(state)?;
        if self.leaves_enough(len, available_bytes) {
            return Ok(());
        }
        let quota_left_bytes = self.space.quota_bytes.saturating_sub(state.used_bytes());
        Err(self.no_space(len, 0, quota_left_bytes, available_bytes))
    }

    const fn leaves_enough(&self, to_write: u64, available_bytes: u64) -> bool {
        to_write.saturating_add(self.space.free_bytes_min) <= available_bytes
    }

    /// Bytes free on the disk that no transfer still needs.
    fn available_bytes(&self, state: &State) -> Result<u64, PieceError> {
        let promised: u64 = state.writing.values().map(|transfer| transfer.to_write).sum();
        let available_bytes = self
            .disk
            .available_bytes(&self.dir)
            .map_err(DiskError::failed("ask for the free space of", &self.dir))?;
        Ok(available_bytes.saturating_sub(promised))
    }

    fn no_space(
        &self,
        needed_bytes: u64,
        replica_bytes: u64,
        quota_left_bytes: u64,
        available_bytes: u64,
    ) -> PieceError {
        PieceError::NoSpace {
            path: self.dir.clone(),
            needed_bytes,
            replica_bytes,
            quota_left_bytes,
            available_bytes,
            free_bytes_min: self.space.free_bytes_min,
        }
    }

    /// A full disk in the middle of a transfer is not a broken disk: it is told with the same numbers.
    fn space_error(&self, state: &State, len: u64, error: DiskError) -> PieceError {
        if !error.is_disk_full() {
            return error.into();
        }
        let quota_left_bytes = self.space.quota_bytes.saturating_sub(state.used_bytes());
        let available_bytes = self.disk.available_bytes(&self.dir).unwrap_or(0);
        self.no_space(len, 0, quota_left_bytes, available_bytes)
    }

    fn open_piece(&self, key: PieceKey) -> Result<Arc<VerifiedFile>, PieceError> {
        {
            let mut state = self.lock();
            state.touch(key);
            if let Some(file) = state.open.get(key) {
                return Ok(file);
            }
            if state.damaged.contains_key(&key) {
                return Err(PieceError::Damaged { key });
            }
            if !state.pieces.contains_key(&key) {
                let is_cold = state.cold.contains_key(&key);
                return Err(if is_cold {
                    PieceError::Cold { key }
                } else {
                    PieceError::Unknown { key }
                });
            }
        }
        let file = VerifiedFile::open(&*self.disk, &self.path(key), &key.label())
            .map_err(PieceError::of_file(key))?;
        let file = Arc::new(file);
        let mut state = self.lock();
        if state.pieces.contains_key(&key) {
            state.open.insert(key, Arc::clone(&file));
        }
        Ok(file)
    }
}

/// A piece that is being read.
#[derive(Debug)]
pub struct PieceReader {
    key: PieceKey,
    file: Arc<VerifiedFile>,
}

impl PieceReader {
    /// Up to `len` bytes from `offset`, fewer only at the end; all checked against the root.
    ///
    /// # Errors
    /// [`PieceError::DamagedGroup`], [`PieceError::Disk`].
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, PieceError> {
        self.file.read(offset, len).map_err(PieceError::of_file(self.key))
    }
}

/// A piece that is being received. Dropped unfinished, it keeps what is durable for a later [`PieceStore::begin`].
#[derive(Debug)]
pub struct PieceWriter {
    shared: Arc<Shared>,
    key: PieceKey,
    resume_at: u64,
    writer: VerifiedWriter,
    /// Finished or discarded: nothing is left to resume.
    is_over: bool,
}

impl PieceWriter {
    /// The byte that the first [`PieceWriter::write`] begins at: what lies before is on the disk and checked.
    #[must_use]
    pub const fn resume_at(&self) -> u64 {
        self.resume_at
    }

    /// Bytes taken so far, with those of earlier transfers.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.writer.len()
    }

    /// Whether nothing came yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the next bytes. Nothing may be acknowledged before [`PieceWriter::finish`].
    ///
    /// # Errors
    /// [`PieceError::WrongLength`] if more come than were announced; [`PieceError::NoSpace`], [`PieceError::Disk`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PieceError> {
        let key = self.key;
        let writer = &mut self.writer;
        let (expected, found) = (writer.data_len(), writer.len() + to_u64(bytes.len()));
        if found > expected {
            return Err(PieceError::WrongLength { key, expected, found });
        }
        let result = writer.write(bytes);
        let to_write = expected - writer.len();
        self.shared.set_to_write(key, to_write);
        result.map_err(|error| self.shared.space_error(&self.shared.lock(), to_write, error))
    }

    /// Makes what came durable, so that a broken transfer goes on from here; returns how many bytes that is.
    ///
    /// # Errors
    /// [`PieceError::NoSpace`], [`PieceError::Disk`].
    pub fn save_progress(&mut self) -> Result<u64, PieceError> {
        let writer = &mut self.writer;
        let to_write = writer.data_len() - writer.len();
        match writer.save_progress() {
            Ok(()) => Ok(writer.durable_len()),
            Err(error) => Err(self.shared.space_error(&self.shared.lock(), to_write, error)),
        }
    }

    /// Ends the piece: checks its root, adds opaque `metadata` blocks; when this returns, all of it survives any crash and
    /// may be acknowledged.
    ///
    /// # Errors
    /// [`PieceError::WrongLength`] (what came is kept), [`PieceError::WrongRoot`] (it is removed),
    /// [`PieceError::TooLong`], [`PieceError::NoSpace`], [`PieceError::Disk`].
    pub fn finish(mut self, root: &Hash, metadata: &[&[u8]]) -> Result<(), PieceError> {
        let key = self.key;
        let metadata_len: usize = metadata.iter().map(|block| block.len()).sum();
        if metadata_len > METADATA_BYTES_MAX {
            return Err(PieceError::TooLong {
                key,
                len: to_u64(metadata_len),
                len_max: to_u64(METADATA_BYTES_MAX),
            });
        }
        let writer = &mut self.writer;
        let len = writer.data_len();
        if writer.len() != len {
            return Err(PieceError::WrongLength {
                key,
                expected: len,
                found: writer.len(),
            });
        }
        let shared = Arc::clone(&self.shared);
        let space_error = |error| shared.space_error(&shared.lock(), len, error);
        let found = writer.close_data().map_err(space_error)?;
        if found != *root {
            self.writer.discard_all()?;
            self.is_over = true;
            return Err(PieceError::WrongRoot {
                key,
                expected: *root,
                found,
            });
        }
        writer.finish(metadata).map_err(space_error)?;
        shared
            .sync
            .sync()
            .map_err(DiskError::not_durable("sync the pieces in", &shared.dir))?;
        self.is_over = true;
        let mut state = shared.lock();
        state.damaged.remove(&key);
        state.pieces.insert(key, PieceInfo { len, root: *root });
        if state.cold.contains_key(&key) {
            state.cached.push_front(key);
        }
        Ok(())
    }

    /// Gives up and removes what came.
    ///
    /// # Errors
    /// [`PieceError::Disk`].
    pub fn discard(mut self) -> Result<(), PieceError> {
        self.writer.discard_all()?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for PieceWriter {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.writing.remove(&self.key);
        if !self.is_over {
            let transfer = (self.writer.data_len(), self.writer.durable_len());
            state.unfinished.insert(self.key, transfer);
        }
    }
}

/// What is kept of a piece whose bytes lie in a sealed replica.
const STUB_SUFFIX: &str = ".cold";
const PIECE_SUFFIX: &str = ".piece";
const PART_SUFFIX: &str = ".piece.part";
const PIECE_SUFFIX_PROGRESS: &str = ".piece.progress";

fn load_piece(disk: &dyn Disk, path: &Path, key: PieceKey, state: &mut State) -> Result<(), PieceError> {
    match Footer::read(disk, path, &key.label()) {
        Ok(footer) => {
            let info = PieceInfo {
                len: footer.data_len,
                root: footer.root,
            };
            state.pieces.insert(key, info);
        }
        Err(VerifiedFileError::Disk(error)) => return Err(error.into()),
        // A copy: its bytes are given back once more.
        Err(_) if state.cold.contains_key(&key) => remove_if_there(disk, path)?,
        Err(_) => {
            // Never removed silently: the provider declares the fault, and decides.
            tracing::warn!(%key, "a stored piece is damaged");
            let len = disk
                .open(path, disk::Mode::Read)
                .and_then(|file| file.len())
                .map_err(DiskError::failed("open", path))?;
            state.damaged.insert(key, len);
        }
    }
    Ok(())
}

fn load_unfinished(disk: &dyn Disk, dir: &Path, key: PieceKey, state: &mut State) -> Result<(), PieceError> {
    let path = dir.join(format!("{key}{PIECE_SUFFIX}"));
    let progress = Progress::read(disk, &path, &key.label());
    let has_part = disk.open(&unfinished_path(&path), disk::Mode::Read).is_ok();
    match progress {
        Some(progress) if has_part && !state.pieces.contains_key(&key) && !state.cold.contains_key(&key) => {
            state
                .unfinished
                .insert(key, (progress.data_len, progress.durable_len));
        }
        // Nothing durable in it, a copy, or the piece was finished before the crash.
        _ => discard_unfinished(disk, &path)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
