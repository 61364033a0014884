//! A file whose every 16 KiB are checked when they are read: slots and replicas (`docs/spec/store.md` §6).
//!
//! Data first, so that a position in it is a position in the file; then the outboard (one digest per group), opaque blocks
//! of bytes, and a footer that ties all of it to the file's label.

use crate::disk::{Disk, DiskFile, Mode, to_u64};
use crate::error::DiskError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watt_primitives::Hash;
use watt_primitives::slot_tree::{GROUP_BYTES, group_count, group_digest, group_len, root_of_groups};

mod writer;
pub(crate) use writer::{Progress, VerifiedWriter, discard as discard_unfinished, unfinished_path};

const FOOTER_BYTES: usize = 128;
const FOOTER_MAGIC: &[u8; 8] = b"wattvf01";

/// Bytes of a file's data.
pub(crate) const DATA_BYTES_MAX: u64 = 1 << 30;

/// Bytes of a file's outboard and blocks.
pub(crate) const TAIL_BYTES_MAX: u64 = 64 << 20;

/// What is wrong with a verified file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifiedFileError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Footer, outboard or blocks are not as written.
    #[error("the end of {} is damaged", path.display())]
    DamagedTail { path: PathBuf },
    /// A group of the data is not as written.
    #[error("{} is damaged in group {group} of its data", path.display())]
    DamagedGroup { path: PathBuf, group: u64 },
}

/// A whole file, open for verified reading.
#[derive(Debug)]
pub(crate) struct VerifiedFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    footer: Footer,
    groups: Vec<Hash>,
    blocks: Vec<Vec<u8>>,
}

/// The last bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) data_len: u64,
    pub(crate) tail_len: u64,
    /// Plain BLAKE3 of the data.
    pub(crate) root: Hash,
    tail_digest: Hash,
}

impl Footer {
    fn encode(&self, label: &[u8]) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..8].copy_from_slice(FOOTER_MAGIC);
        bytes[8..16].copy_from_slice(&self.data_len.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.tail_len.to_be_bytes());
        bytes[24..56].copy_from_slice(self.root.as_ref());
        bytes[56..88].copy_from_slice(self.tail_digest.as_ref());
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes[..88]).update(label);
        bytes[88..120].copy_from_slice(hasher.finalize().as_bytes());
        bytes
    }

    fn decode(bytes: &[u8; FOOTER_BYTES], label: &[u8]) -> Option<Self> {
        let footer = Self {
            data_len: u64::from_be_bytes(bytes[8..16].try_into().ok()?),
            tail_len: u64::from_be_bytes(bytes[16..24].try_into().ok()?),
            root: Hash(bytes[24..56].try_into().ok()?),
            tail_digest: Hash(bytes[56..88].try_into().ok()?),
        };
        let is_whole = footer.encode(label) == *bytes;
        (is_whole && footer.data_len <= DATA_BYTES_MAX && footer.tail_len <= TAIL_BYTES_MAX).then_some(footer)
    }

    /// Reads the footer alone.
    pub(crate) fn read(disk: &dyn Disk, path: &Path, label: &[u8]) -> Result<Self, VerifiedFileError> {
        let file = disk
            .open(path, Mode::Read)
            .map_err(DiskError::failed("open", path))?;
        Self::read_from(&*file, path, label)
    }

    fn read_from(file: &dyn DiskFile, path: &Path, label: &[u8]) -> Result<Self, VerifiedFileError> {
        let damaged = || VerifiedFileError::DamagedTail {
            path: path.to_path_buf(),
        };
        let failed = |error| VerifiedFileError::Disk(DiskError::failed("read the end of", path)(error));
        let len = file.len().map_err(failed)?;
        let at = len.checked_sub(to_u64(FOOTER_BYTES)).ok_or_else(damaged)?;
        let mut bytes = [0; FOOTER_BYTES];
        file.read_at(at, &mut bytes).map_err(failed)?;
        let footer = Self::decode(&bytes, label).ok_or_else(damaged)?;
        if footer.data_len + footer.tail_len != at {
            return Err(damaged());
        }
        Ok(footer)
    }
}

impl VerifiedFile {
    pub(crate) fn open(disk: &dyn Disk, path: &Path, label: &[u8]) -> Result<Self, VerifiedFileError> {
        let file = disk
            .open(path, Mode::Read)
            .map_err(DiskError::failed("open", path))?;
        let footer = Footer::read_from(&*file, path, label)?;
        let damaged = || VerifiedFileError::DamagedTail {
            path: path.to_path_buf(),
        };
        let mut tail = vec![0; usize::try_from(footer.tail_len).map_err(|_| damaged())?];
        file.read_at(footer.data_len, &mut tail)
            .map_err(DiskError::failed("read the end of", path))?;
        let (groups, blocks) = (Hash::of_content(&tail) == footer.tail_digest)
            .then(|| decode_tail(&tail, footer.data_len))
            .flatten()
            .ok_or_else(damaged)?;
        if root_of_groups(&groups) != footer.root {
            return Err(damaged());
        }
        Ok(Self {
            path: path.to_path_buf(),
            file,
            footer,
            groups,
            blocks,
        })
    }

    pub(crate) fn groups(&self) -> &[Hash] {
        &self.groups
    }

    pub(crate) fn blocks(&self) -> &[Vec<u8>] {
        &self.blocks
    }

    /// Up to `len` bytes from `offset`, fewer only at the end of the data; none of them unchecked.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, VerifiedFileError> {
        let end = offset.saturating_add(to_u64(len)).min(self.footer.data_len);
        if offset >= end {
            return Ok(Vec::new());
        }
        let group_bytes = to_u64(GROUP_BYTES);
        let first_group = offset / group_bytes;
        let start = first_group * group_bytes;
        let stop = end.next_multiple_of(group_bytes).min(self.footer.data_len);
        let mut bytes = self.read_raw(start, stop - start)?;
        for (group, cell) in (first_group..).zip(bytes.chunks(GROUP_BYTES)) {
            self.check_group(group, cell)?;
        }
        let skip = usize::try_from(offset - start).expect("less than a group");
        let keep = usize::try_from(end - offset).expect("at most the length that was asked for");
        bytes.truncate(skip + keep);
        bytes.drain(..skip);
        Ok(bytes)
    }

    /// Reads all of the data and returns which groups are not as written.
    pub(crate) fn damaged_groups(&self) -> Result<Vec<u64>, VerifiedFileError> {
        let mut damaged = Vec::new();
        for group in 0..group_count(self.footer.data_len) {
            let cell = self.read_raw(
                group * to_u64(GROUP_BYTES),
                group_len(self.footer.data_len, group),
            );
            match cell.and_then(|cell| self.check_group(group, &cell)) {
                Ok(()) => {}
                Err(VerifiedFileError::Disk(error)) => {
                    // A sector that the drive can't read is as lost as one with wrong bytes.
                    tracing::warn!(%error, group, "a group can't be read");
                    damaged.push(group);
                }
                Err(_) => damaged.push(group),
            }
        }
        Ok(damaged)
    }

    /// Writes `cell` over group `group` if it is what belongs there; durable on return. `None` if it is something else.
    pub(crate) fn rewrite_group(
        &self,
        disk: &dyn Disk,
        group: u64,
        cell: &[u8],
    ) -> Result<Option<()>, VerifiedFileError> {
        let fits = group < group_count(self.footer.data_len)
            && to_u64(cell.len()) == group_len(self.footer.data_len, group)
            && self.check_group(group, cell).is_ok();
        if !fits {
            return Ok(None);
        }
        disk.open(&self.path, Mode::Write)
            .and_then(|file| {
                file.write_at(group * to_u64(GROUP_BYTES), cell)?;
                file.sync()
            })
            .map_err(DiskError::not_durable("repair", &self.path))?;
        Ok(Some(()))
    }

    fn read_raw(&self, offset: u64, len: u64) -> Result<Vec<u8>, VerifiedFileError> {
        let mut bytes = vec![0; usize::try_from(len).expect("bounded by DATA_BYTES_MAX")];
        self.file
            .read_at(offset, &mut bytes)
            .map_err(DiskError::failed("read", &self.path))?;
        Ok(bytes)
    }

    fn check_group(&self, group: u64, cell: &[u8]) -> Result<(), VerifiedFileError> {
        let expected = usize::try_from(group).ok().and_then(|at| self.groups.get(at));
        if expected == Some(&group_digest(group, group_count(self.footer.data_len), cell)) {
            return Ok(());
        }
        Err(VerifiedFileError::DamagedGroup {
            path: self.path.clone(),
            group,
        })
    }
}

/// Outboard, then the number of blocks and each with its length.
pub(crate) fn encode_tail(groups: &[Hash], blocks: &[&[u8]]) -> Vec<u8> {
    let mut tail = Vec::with_capacity(groups.len() * Hash::LEN);
    for group in groups {
        tail.extend_from_slice(group.as_ref());
    }
    for block in blocks {
        let len = u32::try_from(block.len()).expect("bounded by TAIL_BYTES_MAX, checked by the stores");
        tail.extend_from_slice(&len.to_be_bytes());
        tail.extend_from_slice(block);
    }
    tail
}

pub(crate) fn decode_tail(tail: &[u8], data_len: u64) -> Option<(Vec<Hash>, Vec<Vec<u8>>)> {
    let outboard_len = usize::try_from(group_count(data_len))
        .ok()?
        .checked_mul(Hash::LEN)?;
    let (outboard, mut rest) = tail.split_at_checked(outboard_len)?;
    let groups = outboard
        .chunks_exact(Hash::LEN)
        .map(|digest| digest.try_into().map(Hash))
        .collect::<Result<_, _>>()
        .ok()?;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let (len, after) = rest.split_at_checked(4)?;
        let len = usize::try_from(u32::from_be_bytes(len.try_into().ok()?)).ok()?;
        let (block, after) = after.split_at_checked(len)?;
        blocks.push(block.to_vec());
        rest = after;
    }
    Some((groups, blocks))
}
