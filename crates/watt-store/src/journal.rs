//! A small log that is durable before anything leaves: SCP's own records, a provider's heartbeats (`docs/spec/store.md` §4).
//!
//! It shares nothing with the state's database, so that no vote waits behind a large commit.

use crate::disk::{self, Disk, DiskFile, Mode, clean_dir, folder_of, to_u64};
use crate::error::DiskError;
use crate::frame::{self, FILE_HEADER_BYTES, FileHeader, frame_len};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes by which the file grows; a few hundred slots of statements, so growing is rare.
///
/// Small in tests, so that they cross it.
const GROWTH_BYTES: usize = if cfg!(test) { 4096 } else { 1 << 20 };

/// Bytes of records that one append may carry.
pub const APPEND_BYTES_MAX: usize = 16 << 20;

/// Largest file that is still a journal; whoever writes one has to call [`Journal::retain`] long before.
const FILE_BYTES_MAX: u64 = 1 << 30;

const KIND: frame::Kind = *b"jrnl";
const NAME_PREFIX: &str = "journal-";

/// Why a journal does not open or does not take records.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A record that had been durable can no longer be read. Going on could make the node contradict itself.
    #[error(
        "the journal {} is damaged at byte {offset}: records that this node relied on are lost; \
         let it catch up as a new node, or restore the disk", path.display()
    )]
    Damaged {
        /// The journal's file.
        path: PathBuf,
        /// First byte that is not as it was written.
        offset: u64,
    },
    /// An earlier write failed; what is on the disk is unknown until the journal is opened again, or [recovers](Journal::recover).
    #[error("an earlier write to the journal {} failed; it takes nothing more until the node restarts", path.display())]
    Stopped {
        /// The journal's file.
        path: PathBuf,
    },
    /// More than [`APPEND_BYTES_MAX`] at once.
    #[error("{len} bytes of records at once, where a journal takes at most {APPEND_BYTES_MAX}")]
    TooLong {
        /// Bytes offered.
        len: usize,
    },
}

/// An append-only list of opaque records, durable when [`Journal::append`] returns.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    header: FileHeader,
    file: Arc<dyn DiskFile>,
    /// Where the next frame goes.
    end: usize,
    /// Length of the file, zeros included.
    file_len: usize,
    torn_bytes: usize,
    is_stopped: bool,
}

impl Journal {
    /// Opens the journal in folder `dir`, creating it if there is none, and returns its records in the order of writing.
    ///
    /// What a crash left half-written at the end was never durable and is dropped.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if a record is missing before others, [`JournalError::Disk`].
    pub fn open(dir: &Path) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        Self::open_on(disk::system(), dir)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        let names = clean_dir(&*disk, dir)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| parse_name(name)).collect();
        numbers.sort_unstable();
        let Some(newest) = numbers.pop() else {
            return Ok((Self::create(disk, dir, 1, &[])?, Vec::new()));
        };
        // A file gets its name only when it is whole, so all older ones were replaced by the newest.
        for old in numbers {
            let path = dir.join(file_name(old));
            disk.remove(&path)
                .map_err(DiskError::failed("remove the replaced", &path))?;
        }
        let path = dir.join(file_name(newest));
        let (mut journal, records) = Self::load(disk, path)?;
        journal.end_durably()?;
        Ok((journal, records))
    }

    fn load(disk: Arc<dyn Disk>, path: PathBuf) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        let read = || {
            let file = disk.open(&path, Mode::Write)?;
            let len = file.len()?;
            if len > FILE_BYTES_MAX {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            let bytes = disk::read_whole(&*file, len)?;
            Ok((file, bytes))
        };
        let (file, bytes) = read().map_err(DiskError::failed("open the journal", &path))?;
        let damaged = |offset: usize| JournalError::Damaged {
            path: path.clone(),
            offset: to_u64(offset),
        };
        let header = FileHeader::decode(&bytes, KIND).ok_or_else(|| damaged(0))?;
        let scan = frame::scan(&header, &bytes);
        // Each append is one frame and is synced before the next begins: only the last can be torn.
        if let Some(gap) = scan.gaps.first() {
            return Err(damaged(gap.start));
        }
        let mut records = Vec::new();
        for (offset, payload) in &scan.frames {
            split_records(&bytes[payload.clone()], &mut records).ok_or_else(|| damaged(*offset))?;
        }
        let journal = Self {
            disk,
            header,
            file,
            end: scan.end,
            file_len: bytes.len(),
            torn_bytes: scan.torn_bytes,
            is_stopped: false,
            path,
        };
        Ok((journal, records))
    }

    /// Wipes a torn tail, and syncs: after a kill the records may have been read from memory only.
    fn end_durably(&mut self) -> Result<(), JournalError> {
        let wipe = || {
            if self.torn_bytes > 0 {
                self.file.write_at(to_u64(self.end), &vec![0; self.torn_bytes])?;
            }
            self.file.sync()
        };
        wipe().map_err(DiskError::not_durable("close the torn end of", &self.path))?;
        if self.torn_bytes > 0 {
            tracing::warn!(n_bytes = self.torn_bytes, path = %self.path.display(), "dropped a half-written record");
        }
        Ok(())
    }

    fn create(disk: Arc<dyn Disk>, dir: &Path, number: u64, records: &[&[u8]]) -> Result<Self, JournalError> {
        let path = dir.join(file_name(number));
        let header = FileHeader::new(KIND, number).map_err(DiskError::failed("draw a salt for", &path))?;
        let mut frames = Vec::new();
        // One frame per record here, since a batch is bounded and what is kept need not be.
        for record in records {
            push_batch(&header, &mut frames, FILE_HEADER_BYTES, &[record]);
        }
        let end = FILE_HEADER_BYTES + frames.len();
        let file_len = end + GROWTH_BYTES;
        let file = frame::create(&*disk, &path, &header, &frames, file_len)?;
        Ok(Self {
            disk,
            path,
            header,
            file,
            end,
            file_len,
            torn_bytes: 0,
            is_stopped: false,
        })
    }

    /// Adds `records`; when this returns they survive any crash, all or, if it fails, perhaps none.
    ///
    /// # Errors
    /// After any but [`JournalError::TooLong`] the journal takes nothing more: the node must stop, or [`Journal::recover`] it.
    pub fn append(&mut self, records: &[&[u8]]) -> Result<(), JournalError> {
        self.check_running()?;
        let payload_len = batch_len(records);
        if payload_len > APPEND_BYTES_MAX {
            return Err(JournalError::TooLong { len: payload_len });
        }
        if records.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(frame_len(payload_len));
        push_batch(&self.header, &mut bytes, self.end, records);
        self.is_stopped = true;
        self.grow_to(self.end + bytes.len())?;
        self.file
            .write_at(to_u64(self.end), &bytes)
            .and_then(|()| self.file.sync())
            .map_err(DiskError::not_durable("append to the journal", &self.path))?;
        self.end += bytes.len();
        self.is_stopped = false;
        Ok(())
    }

    fn grow_to(&mut self, len: usize) -> Result<(), JournalError> {
        if len <= self.file_len {
            return Ok(());
        }
        let zeros = vec![0; len - self.file_len + GROWTH_BYTES];
        self.file
            .write_at(to_u64(self.file_len), &zeros)
            .and_then(|()| self.file.sync())
            .map_err(DiskError::not_durable("grow the journal", &self.path))?;
        self.file_len += zeros.len();
        Ok(())
    }

    /// Forgets the records for which `keep` says no, durably, and gives their space back.
    ///
    /// Takes a few syncs and the time to write what stays: for a quiet moment, every few hundred slots.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if a record can no longer be read; [`JournalError::Disk`]. The old records are all kept.
    pub fn retain(&mut self, keep: impl FnMut(&[u8]) -> bool) -> Result<(), JournalError> {
        self.check_running()?;
        self.rewrite(keep)
    }

    /// Takes records again if a write failed; if none did, there is nothing to do. What can be read is written to a new file, because what
    /// the disk has of the old one is unknown. The records of the append that failed are among it, or not: nothing may have been said on
    /// their ground.
    ///
    /// # Errors
    /// As [`Journal::retain`]; then it takes nothing, and may be tried again.
    pub fn recover(&mut self) -> Result<(), JournalError> {
        if self.is_stopped {
            self.rewrite(|_| true)?;
        }
        Ok(())
    }

    /// Writes the records that are kept to the next file.
    fn rewrite(&mut self, mut keep: impl FnMut(&[u8]) -> bool) -> Result<(), JournalError> {
        let (_, records) = Self::load(Arc::clone(&self.disk), self.path.clone())?;
        let kept: Vec<&[u8]> = records
            .iter()
            .map(Vec::as_slice)
            .filter(|record| keep(record))
            .collect();
        let dir = folder_of(&self.path).to_path_buf();
        // From here on a failure leaves open which of the two files is the journal after a crash.
        self.is_stopped = true;
        let successor = Self::create(Arc::clone(&self.disk), &dir, self.header.number + 1, &kept)?;
        let old = std::mem::replace(self, successor);
        if let Err(error) = self.disk.remove(&old.path) {
            // Harmless: the newest number counts, and the next open tries again.
            tracing::warn!(%error, path = %old.path.display(), "could not remove a replaced journal");
        }
        Ok(())
    }

    fn check_running(&self) -> Result<(), JournalError> {
        if self.is_stopped {
            return Err(JournalError::Stopped {
                path: self.path.clone(),
            });
        }
        Ok(())
    }
}

fn batch_len(records: &[&[u8]]) -> usize {
    records.iter().map(|record| 4 + record.len()).sum()
}

/// Appends to `out` a frame with `records`, where `out` begins at offset `base` of the file.
fn push_batch(header: &FileHeader, out: &mut Vec<u8>, base: usize, records: &[&[u8]]) {
    let mut payload = Vec::with_capacity(batch_len(records));
    for record in records {
        let len = u32::try_from(record.len()).expect("a batch is bounded by its callers");
        payload.extend_from_slice(&len.to_be_bytes());
        payload.extend_from_slice(record);
    }
    header.push_frame(out, base + out.len(), &[&payload]);
}

fn split_records(mut payload: &[u8], records: &mut Vec<Vec<u8>>) -> Option<()> {
    while !payload.is_empty() {
        let (len, rest) = payload.split_at_checked(4)?;
        let len = usize::try_from(u32::from_be_bytes(len.try_into().ok()?)).ok()?;
        let (record, rest) = rest.split_at_checked(len)?;
        records.push(record.to_vec());
        payload = rest;
    }
    Some(())
}

fn file_name(number: u64) -> String {
    format!("{NAME_PREFIX}{number:016}.log")
}

fn parse_name(name: &str) -> Option<u64> {
    let number = name
        .strip_prefix(NAME_PREFIX)?
        .strip_suffix(".log")?
        .parse()
        .ok()?;
    (file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests;
