//! Writing a verified file as its bytes arrive, so that a crash costs at most the last few megabytes.

use super::{FOOTER_BYTES, Footer, encode_tail};
use crate::disk::{self, Disk, DiskFile, Mode, to_u64, with_suffix};
use crate::error::DiskError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watt_primitives::Hash;
use watt_primitives::slot_tree::{GROUP_BYTES, group_count, group_digest, root_of_groups};

/// After so many bytes they are made durable, and a resumed transfer begins behind them.
const SYNC_BYTES: u64 = 8 << 20;

/// Bytes that are gathered before they go to the system: a whole number of groups.
const WRITE_BYTES: usize = 16 * GROUP_BYTES;

const PART_SUFFIX: &str = ".part";
const PROGRESS_SUFFIX: &str = ".progress";
const PROGRESS_MAGIC: &[u8; 8] = b"wattpr01";

/// The smallest unit that drives write at once: a record of progress fits one, and two are written in turn.
const PROGRESS_SLOT_BYTES: usize = 512;

/// Where a file grows until it is whole.
pub(crate) fn unfinished_path(path: &Path) -> PathBuf {
    with_suffix(path, PART_SUFFIX)
}

/// What is durable of an unfinished file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    sequence: u64,
    /// Whole groups, in bytes.
    pub(crate) durable_len: u64,
    /// Length that the data will have.
    pub(crate) data_len: u64,
    groups_digest: Hash,
}

impl Progress {
    fn encode(&self, label: &[u8]) -> [u8; PROGRESS_SLOT_BYTES] {
        let mut bytes = [0; PROGRESS_SLOT_BYTES];
        bytes[..8].copy_from_slice(PROGRESS_MAGIC);
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.durable_len.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.data_len.to_be_bytes());
        bytes[32..64].copy_from_slice(self.groups_digest.as_ref());
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes[..64]).update(label);
        bytes[64..96].copy_from_slice(hasher.finalize().as_bytes());
        bytes
    }

    fn decode(bytes: &[u8], label: &[u8]) -> Option<Self> {
        let progress = Self {
            sequence: u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?),
            durable_len: u64::from_be_bytes(bytes.get(16..24)?.try_into().ok()?),
            data_len: u64::from_be_bytes(bytes.get(24..32)?.try_into().ok()?),
            groups_digest: Hash(bytes.get(32..64)?.try_into().ok()?),
        };
        let is_sound = progress.encode(label) == *bytes
            && progress.durable_len <= progress.data_len
            && progress.durable_len.is_multiple_of(to_u64(GROUP_BYTES));
        is_sound.then_some(progress)
    }

    /// The newest record of progress of the unfinished file for `path`; `None` if there is none that is whole.
    pub(crate) fn read(disk: &dyn Disk, path: &Path, label: &[u8]) -> Option<Self> {
        let file = disk.open(&with_suffix(path, PROGRESS_SUFFIX), Mode::Read).ok()?;
        let slots = disk::read_whole(&*file, file.len().ok()?.min(to_u64(2 * PROGRESS_SLOT_BYTES))).ok()?;
        slots
            .chunks_exact(PROGRESS_SLOT_BYTES)
            .filter_map(|slot| Self::decode(slot, label))
            .max_by_key(|progress| progress.sequence)
    }
}

/// A verified file that is being written.
#[derive(Debug)]
pub(crate) struct VerifiedWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    label: Vec<u8>,
    file: Arc<dyn DiskFile>,
    /// Created when there is progress to record, so that small files cost no sync for it.
    progress_file: Option<Arc<dyn DiskFile>>,
    data_len: u64,
    groups: Vec<Hash>,
    pending: Vec<u8>,
    /// Bytes handed to the system: whole groups, until the last.
    written_len: u64,
    progress: Progress,
}

impl VerifiedWriter {
    /// Begins the file that will be `path`, or goes on where a crash or a lost connection left it.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        path: &Path,
        label: &[u8],
        data_len: u64,
    ) -> Result<Self, DiskError> {
        let part = unfinished_path(path);
        if let Some(writer) = Self::resume(&disk, path, label, data_len)? {
            return Ok(writer);
        }
        let file = disk
            .open(&part, Mode::Create)
            .map_err(DiskError::failed("create", &part))?;
        Ok(Self {
            disk,
            path: path.to_path_buf(),
            label: label.to_vec(),
            file,
            progress_file: None,
            data_len,
            groups: Vec::new(),
            pending: Vec::with_capacity(WRITE_BYTES),
            written_len: 0,
            progress: Progress {
                sequence: 0,
                durable_len: 0,
                data_len,
                groups_digest: groups_digest(&[]),
            },
        })
    }

    fn resume(
        disk: &Arc<dyn Disk>,
        path: &Path,
        label: &[u8],
        data_len: u64,
    ) -> Result<Option<Self>, DiskError> {
        let part = unfinished_path(path);
        let Some(progress) =
            Progress::read(&**disk, path, label).filter(|progress| progress.data_len == data_len)
        else {
            return Ok(None);
        };
        let open = || -> io::Result<_> {
            let file = disk.open(&part, Mode::Write)?;
            let groups = read_groups(&*file, progress.durable_len, data_len)?;
            Ok((file, groups))
        };
        let (file, groups) = match open() {
            Ok(opened) => opened,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(DiskError::failed("resume", &part)(error)),
        };
        let progress_path = with_suffix(path, PROGRESS_SUFFIX);
        let progress_file = disk
            .open(&progress_path, Mode::Write)
            .map_err(DiskError::failed("open", &progress_path))?;
        if groups_digest(&groups) != progress.groups_digest {
            tracing::warn!(path = %part.display(), "an unfinished file has rotted; it begins anew");
            return Ok(None);
        }
        Ok(Some(Self {
            disk: Arc::clone(disk),
            path: path.to_path_buf(),
            label: label.to_vec(),
            file,
            progress_file: Some(progress_file),
            data_len,
            groups,
            pending: Vec::with_capacity(WRITE_BYTES),
            written_len: progress.durable_len,
            progress,
        }))
    }

    /// Bytes taken so far; the next ones stand here.
    pub(crate) fn len(&self) -> u64 {
        self.written_len + to_u64(self.pending.len())
    }

    pub(crate) const fn data_len(&self) -> u64 {
        self.data_len
    }

    pub(crate) const fn durable_len(&self) -> u64 {
        self.progress.durable_len
    }

    /// Adds bytes at the end; the caller has checked that they fit.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), DiskError> {
        debug_assert!(
            self.len() + to_u64(bytes.len()) <= self.data_len,
            "the stores check"
        );
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(WRITE_BYTES - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == WRITE_BYTES {
                self.flush(WRITE_BYTES)?;
            }
        }
        if self.written_len - self.progress.durable_len >= SYNC_BYTES {
            self.save_progress()?;
        }
        Ok(())
    }

    /// Hands the first `len` pending bytes to the system: whole groups, or all that is left at the end.
    fn flush(&mut self, len: usize) -> Result<(), DiskError> {
        let now = self.pending.get(..len).unwrap_or_default();
        let n_groups = group_count(self.data_len);
        for cell in now.chunks(GROUP_BYTES) {
            let digest = group_digest(to_u64(self.groups.len()), n_groups, cell);
            self.groups.push(digest);
        }
        self.file
            .write_at(self.written_len, now)
            .map_err(DiskError::failed("write to", &unfinished_path(&self.path)))?;
        self.written_len += to_u64(now.len());
        self.pending.drain(..len);
        Ok(())
    }

    /// Makes all whole groups durable, so that a transfer that breaks off goes on from here.
    pub(crate) fn save_progress(&mut self) -> Result<(), DiskError> {
        let whole = self.pending.len() - self.pending.len() % GROUP_BYTES;
        if whole > 0 {
            self.flush(whole)?;
        }
        if self.written_len == self.progress.durable_len
            || !self.written_len.is_multiple_of(to_u64(GROUP_BYTES))
        {
            return Ok(());
        }
        let next = Progress {
            sequence: self.progress.sequence + 1,
            durable_len: self.written_len,
            data_len: self.data_len,
            groups_digest: groups_digest(&self.groups),
        };
        let slot = if next.sequence.is_multiple_of(2) {
            0
        } else {
            PROGRESS_SLOT_BYTES
        };
        let save = || {
            self.file.sync()?;
            if let Some(file) = &self.progress_file {
                file.write_at(to_u64(slot), &next.encode(&self.label))?;
                return file.sync().map(|()| None);
            }
            let file = self
                .disk
                .open(&with_suffix(&self.path, PROGRESS_SUFFIX), Mode::Create)?;
            file.write_at(to_u64(slot), &next.encode(&self.label))?;
            file.sync()?;
            self.disk.sync_dir(disk::folder_of(&self.path))?;
            Ok(Some(file))
        };
        let created = save().map_err(DiskError::not_durable("save progress of", &self.path))?;
        self.progress_file = created.or_else(|| self.progress_file.take());
        self.progress = next;
        Ok(())
    }

    /// Hashes what is left and returns the root of the whole; call when all bytes are there.
    pub(crate) fn close_data(&mut self) -> Result<Hash, DiskError> {
        debug_assert_eq!(self.len(), self.data_len, "the stores check");
        if !self.pending.is_empty() || self.groups.is_empty() {
            if self.data_len == 0 {
                self.groups.push(Hash::of_content(&[]));
            } else {
                self.flush(self.pending.len())?;
            }
        }
        Ok(root_of_groups(&self.groups))
    }

    /// Writes outboard, `blocks` and footer and gives the file its name. Durable once the folder is synced, by the caller.
    pub(crate) fn finish(&mut self, blocks: &[&[u8]]) -> Result<(), DiskError> {
        let root = self.close_data()?;
        let mut tail = encode_tail(&self.groups, blocks);
        let footer = Footer {
            data_len: self.data_len,
            tail_len: to_u64(tail.len()),
            root,
            tail_digest: Hash::of_content(&tail),
        };
        tail.extend_from_slice(&footer.encode(&self.label));
        debug_assert!(tail.len() >= FOOTER_BYTES);
        let finish = || {
            self.file.write_at(self.data_len, &tail)?;
            // A longer life of this unfinished file may have left bytes behind the footer.
            self.file.set_len(self.data_len + to_u64(tail.len()))?;
            self.file.sync()?;
            self.disk.rename(&unfinished_path(&self.path), &self.path)
        };
        finish().map_err(DiskError::not_durable("finish", &self.path))?;
        if self.progress_file.is_some()
            && let Err(error) = self.disk.remove(&with_suffix(&self.path, PROGRESS_SUFFIX))
        {
            // The next opening removes it.
            tracing::debug!(%error, "a record of progress stays behind");
        }
        Ok(())
    }

    /// Gives up and removes what was written.
    pub(crate) fn discard_all(&self) -> Result<(), DiskError> {
        discard(&*self.disk, &self.path)
    }
}

/// Removes the unfinished file for `path`, if there is one.
pub(crate) fn discard(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    for path in [with_suffix(path, PROGRESS_SUFFIX), unfinished_path(path)] {
        match disk.remove(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DiskError::failed("remove", &path)(error)),
        }
    }
    Ok(())
}

fn groups_digest(groups: &[Hash]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for group in groups {
        hasher.update(group.as_ref());
    }
    Hash(hasher.finalize().into())
}

fn read_groups(file: &dyn DiskFile, len: u64, data_len: u64) -> io::Result<Vec<Hash>> {
    let n_groups = group_count(data_len);
    let mut cell = vec![0; GROUP_BYTES];
    (0..len / to_u64(GROUP_BYTES))
        .map(|group| {
            file.read_at(group * to_u64(GROUP_BYTES), &mut cell)?;
            Ok(group_digest(group, n_groups, &cell))
        })
        .collect()
}
