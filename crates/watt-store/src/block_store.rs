//! The blocks, append-only and checksummed, each with the proof that it was decided (`docs/spec/store.md` §5).
//!
//! This log is the truth that the state is computed from. What it holds is opaque bytes under a height.

use crate::disk::{self, Disk, DiskFile, Mode, clean_dir, to_u64};
use crate::error::DiskError;
use crate::frame::{self, FILE_HEADER_BYTES, FileHeader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use watt_primitives::BlockHeight;

mod index;
use index::{Index, Place, SegmentIndex};

/// A segment that has reached this many bytes is closed and the next one begun.
const SEGMENT_BYTES: usize = 32 << 20;

/// Bytes of a block and its proof together.
pub const BLOCK_BYTES_MAX: usize = 30 << 20;

/// Kind byte, height, length of the block.
const RECORD_HEADER_BYTES: usize = 1 + 8 + 4;

const KIND: frame::Kind = *b"blks";

/// Why blocks can't be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlockStoreError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What stands there is not what was written. Another node's copy of this block heals it: [`BlockStore::repair`].
    #[error("block {height} in {} is damaged on this disk; fetch it again from other nodes", path.display())]
    Damaged {
        /// Which block.
        height: BlockHeight,
        /// The folder of the block log.
        path: PathBuf,
    },
    /// A segment's header is unreadable or its records contradict each other.
    #[error("the block log's file {} is damaged as a whole; remove it to fetch its blocks again", path.display())]
    DamagedSegment {
        /// The file.
        path: PathBuf,
    },
    /// Blocks are appended in order, without a gap.
    #[error("block {found} can't follow: the next block of this log is {expected}")]
    OutOfOrder {
        /// The height that comes next.
        expected: BlockHeight,
        /// The height offered.
        found: BlockHeight,
    },
    /// Repair is for damaged blocks only: what is intact never changes.
    #[error("block {height} is not damaged, so it is not replaced")]
    NotDamaged {
        /// Which block.
        height: BlockHeight,
    },
    /// More than [`BLOCK_BYTES_MAX`].
    #[error("block {height} with its proof has {len} bytes, where at most {BLOCK_BYTES_MAX} fit")]
    TooLong {
        /// Which block.
        height: BlockHeight,
        /// Its bytes.
        len: usize,
    },
    /// An earlier write failed; what is on the disk is unknown until the store is opened again.
    #[error("an earlier write to the block log in {} failed; it takes no more blocks until the node restarts", path.display())]
    Stopped {
        /// The folder of the block log.
        path: PathBuf,
    },
}

/// A block as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its height.
    pub height: BlockHeight,
    /// The block's bytes.
    pub block: Vec<u8>,
    /// The bytes that prove the decision.
    pub proof: Vec<u8>,
}

/// The block log of one node. Shared by reference: reads go on while a block is being appended.
#[derive(Debug)]
pub struct BlockStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: usize,
    index: RwLock<Index>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    open: Option<OpenSegment>,
    is_stopped: bool,
}

#[derive(Debug)]
struct OpenSegment {
    number: u32,
    header: FileHeader,
    file: Arc<dyn DiskFile>,
    end: usize,
    index: SegmentIndex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// The block after the last.
    Next,
    /// Another copy of a block that had rotted.
    Replacement,
}

impl BlockStore {
    /// Opens the block log in folder `dir`, creating it if there is none.
    ///
    /// What a crash left half-written at the end was never promised and is dropped.
    ///
    /// # Errors
    /// [`BlockStoreError::Disk`], [`BlockStoreError::DamagedSegment`].
    pub fn open(dir: &Path) -> Result<Self, BlockStoreError> {
        Self::open_on(disk::system(), dir, SEGMENT_BYTES)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        segment_bytes: usize,
    ) -> Result<Self, BlockStoreError> {
        let names = clean_dir(&*disk, dir)?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| parse_name(name)).collect();
        numbers.sort_unstable();
        let newest = numbers.pop();
        let mut index = Index::default();
        for number in numbers {
            let segment = match index::load(&*disk, dir, number)? {
                Some(segment) => segment,
                None => {
                    let open = OpenSegment::load(&*disk, dir, number, false)?;
                    tracing::warn!(number, "rebuilt the index of a block segment");
                    index::save(&*disk, dir, number, &open.index)?;
                    open.index
                }
            };
            index
                .add_segment(number, &segment)
                .ok_or_else(|| damaged_segment(dir, number))?;
        }
        let open = newest
            .map(|number| OpenSegment::load(&*disk, dir, number, true))
            .transpose()?;
        if let Some(open) = &open {
            index
                .add_segment(open.number, &open.index)
                .ok_or_else(|| damaged_segment(dir, open.number))?;
        }
        Ok(Self {
            disk,
            dir: dir.to_path_buf(),
            segment_bytes,
            index: RwLock::new(index),
            writer: Mutex::new(Writer {
                open,
                is_stopped: false,
            }),
        })
    }

    /// Height of the newest block; `None` if there is none.
    #[must_use]
    pub fn head(&self) -> Option<BlockHeight> {
        self.read_index().head().map(BlockHeight)
    }

    /// Height of the oldest block; `None` if there is none.
    #[must_use]
    pub fn first(&self) -> Option<BlockHeight> {
        self.read_index().first().map(BlockHeight)
    }

    /// The block at `height`; `None` if the log has no such height.
    ///
    /// # Errors
    /// [`BlockStoreError::Damaged`] if it was there and is not intact; damaged bytes are never returned.
    pub fn get(&self, height: BlockHeight) -> Result<Option<StoredBlock>, BlockStoreError> {
        let damaged = || BlockStoreError::Damaged {
            height,
            path: self.dir.clone(),
        };
        let (place, header) = {
            let index = self.read_index();
            match index.place(height.0) {
                None => return Ok(None),
                Some(Place::Damaged) => return Err(damaged()),
                Some(Place::At { segment, offset }) => {
                    ((segment, offset), index.header(segment).ok_or_else(damaged)?)
                }
            }
        };
        let path = segment_path(&self.dir, place.0);
        let read = || {
            let file = self.disk.open(&path, Mode::Read)?;
            header.read_frame(&*file, u64::from(place.1))
        };
        let payload = read()
            .map_err(DiskError::failed("read a block from", &path))?
            .ok_or_else(damaged)?;
        let (_, found) = decode_record(&payload).ok_or_else(damaged)?;
        if found.height != height {
            return Err(damaged());
        }
        Ok(Some(found))
    }

    /// Adds the next block with the proof of its decision; when this returns it survives any crash.
    ///
    /// The first block of an empty log may have any height.
    ///
    /// # Errors
    /// [`BlockStoreError::OutOfOrder`], [`BlockStoreError::TooLong`]; after [`BlockStoreError::Disk`] the node must stop.
    pub fn append(&self, height: BlockHeight, block: &[u8], proof: &[u8]) -> Result<(), BlockStoreError> {
        self.append_batch(&[(height, block, proof)])
    }

    /// Adds several blocks in order with one sync, as when catching up: `(height, block, proof)`.
    ///
    /// # Errors
    /// As [`BlockStore::append`].
    pub fn append_batch(&self, blocks: &[(BlockHeight, &[u8], &[u8])]) -> Result<(), BlockStoreError> {
        let mut writer = self.lock_writer()?;
        let mut expected = self.head().map(BlockHeight::next);
        for (height, block, proof) in blocks {
            check_len(*height, block, proof)?;
            match expected {
                Some(expected) if expected != *height => {
                    return Err(BlockStoreError::OutOfOrder {
                        expected,
                        found: *height,
                    });
                }
                _ => expected = Some(height.next()),
            }
        }
        self.write(&mut writer, RecordKind::Next, blocks)
    }

    /// Puts an intact copy in the place of a damaged block; the caller has checked that it is the right one.
    ///
    /// # Errors
    /// [`BlockStoreError::NotDamaged`], [`BlockStoreError::TooLong`]; after [`BlockStoreError::Disk`] the node must stop.
    pub fn repair(&self, height: BlockHeight, block: &[u8], proof: &[u8]) -> Result<(), BlockStoreError> {
        check_len(height, block, proof)?;
        match self.get(height) {
            Err(BlockStoreError::Damaged { .. }) => {}
            Ok(_) => return Err(BlockStoreError::NotDamaged { height }),
            Err(error) => return Err(error),
        }
        let mut writer = self.lock_writer()?;
        self.write(&mut writer, RecordKind::Replacement, &[(height, block, proof)])
    }

    fn write(
        &self,
        writer: &mut Writer,
        kind: RecordKind,
        blocks: &[(BlockHeight, &[u8], &[u8])],
    ) -> Result<(), BlockStoreError> {
        writer.is_stopped = true;
        let mut rest = blocks;
        while !rest.is_empty() {
            let open = self.segment_with_room(writer)?;
            let (mut bytes, mut added, mut n_taken) = (Vec::new(), SegmentIndex::new(open.header), 0);
            for (height, block, proof) in rest {
                let at = open.end + bytes.len();
                if n_taken > 0 && at >= self.segment_bytes {
                    break;
                }
                let head = encode_record_header(kind, *height, block.len());
                open.header.push_frame(&mut bytes, at, &[&head, block, proof]);
                added.push(kind, height.0, at);
                n_taken += 1;
            }
            let path = segment_path(&self.dir, open.number);
            open.file
                .write_at(to_u64(open.end), &bytes)
                .and_then(|()| open.file.sync())
                .map_err(DiskError::not_durable("append a block to", &path))?;
            open.end += bytes.len();
            open.index.extend(&added);
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            index
                .add_segment(open.number, &added)
                .expect("the order was checked before writing");
            rest = rest.get(n_taken..).unwrap_or_default();
        }
        writer.is_stopped = false;
        Ok(())
    }

    fn segment_with_room<'a>(&self, writer: &'a mut Writer) -> Result<&'a mut OpenSegment, BlockStoreError> {
        let has_room = writer
            .open
            .as_ref()
            .is_some_and(|open| open.end < self.segment_bytes);
        if !has_room {
            let number = writer.open.as_ref().map_or(1, |open| open.number + 1);
            if let Some(full) = &writer.open {
                index::save(&*self.disk, &self.dir, full.number, &full.index)?;
            }
            writer.open = Some(OpenSegment::create(&*self.disk, &self.dir, number)?);
        }
        Ok(writer.open.as_mut().expect("created on the lines above"))
    }

    fn read_index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writer(&self) -> Result<MutexGuard<'_, Writer>, BlockStoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_stopped {
            return Err(BlockStoreError::Stopped {
                path: self.dir.clone(),
            });
        }
        Ok(writer)
    }
}

impl OpenSegment {
    fn create(disk: &dyn Disk, dir: &Path, number: u32) -> Result<Self, BlockStoreError> {
        let path = segment_path(dir, number);
        let header =
            FileHeader::new(KIND, u64::from(number)).map_err(DiskError::failed("draw a salt for", &path))?;
        let file = frame::create(disk, &path, &header, &[], FILE_HEADER_BYTES)?;
        Ok(Self {
            number,
            header,
            file,
            end: FILE_HEADER_BYTES,
            index: SegmentIndex::new(header),
        })
    }

    /// Reads a whole segment; the newest one loses its torn end and is synced, because a kill may have left it unsynced.
    fn load(disk: &dyn Disk, dir: &Path, number: u32, is_newest: bool) -> Result<Self, BlockStoreError> {
        let path = segment_path(dir, number);
        let read = || {
            let file = disk.open(&path, Mode::Write)?;
            let bytes = disk::read_whole(&*file, file.len()?)?;
            Ok((file, bytes))
        };
        let (file, bytes) = read().map_err(DiskError::failed("open the block log", &path))?;
        let header = FileHeader::decode(&bytes, KIND).ok_or_else(|| damaged_segment(dir, number))?;
        let scan = frame::scan(&header, &bytes);
        let mut index = SegmentIndex::new(header);
        for (offset, payload) in &scan.frames {
            let (kind, height) =
                record_head(&bytes[payload.clone()]).ok_or_else(|| damaged_segment(dir, number))?;
            index.push(kind, height, *offset);
        }
        if is_newest {
            if scan.torn_bytes > 0 {
                tracing::warn!(n_bytes = scan.torn_bytes, path = %path.display(), "dropped a half-written block");
            }
            file.set_len(to_u64(scan.end))
                .and_then(|()| file.sync())
                .map_err(DiskError::not_durable("close the torn end of", &path))?;
        }
        Ok(Self {
            number,
            header,
            file,
            end: scan.end,
            index,
        })
    }
}

fn check_len(height: BlockHeight, block: &[u8], proof: &[u8]) -> Result<(), BlockStoreError> {
    let len = block.len().saturating_add(proof.len());
    if len > BLOCK_BYTES_MAX {
        return Err(BlockStoreError::TooLong { height, len });
    }
    Ok(())
}

fn encode_record_header(
    kind: RecordKind,
    height: BlockHeight,
    block_len: usize,
) -> [u8; RECORD_HEADER_BYTES] {
    let mut head = [0; RECORD_HEADER_BYTES];
    head[0] = match kind {
        RecordKind::Next => 0,
        RecordKind::Replacement => 1,
    };
    head[1..9].copy_from_slice(&height.0.to_be_bytes());
    let block_len = u32::try_from(block_len).expect("bounded by BLOCK_BYTES_MAX");
    head[9..].copy_from_slice(&block_len.to_be_bytes());
    head
}

fn record_head(payload: &[u8]) -> Option<(RecordKind, u64)> {
    let kind = match payload.first()? {
        0 => RecordKind::Next,
        1 => RecordKind::Replacement,
        _ => return None,
    };
    Some((kind, u64::from_be_bytes(payload.get(1..9)?.try_into().ok()?)))
}

fn decode_record(payload: &[u8]) -> Option<(RecordKind, StoredBlock)> {
    let (kind, height) = record_head(payload)?;
    let (head, rest) = payload.split_at_checked(RECORD_HEADER_BYTES)?;
    let block_len = u32::from_be_bytes(head.get(9..)?.try_into().ok()?);
    let (block, proof) = rest.split_at_checked(usize::try_from(block_len).ok()?)?;
    let stored = StoredBlock {
        height: BlockHeight(height),
        block: block.to_vec(),
        proof: proof.to_vec(),
    };
    Some((kind, stored))
}

fn damaged_segment(dir: &Path, number: u32) -> BlockStoreError {
    BlockStoreError::DamagedSegment {
        path: segment_path(dir, number),
    }
}

fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(file_name(number))
}

fn file_name(number: u32) -> String {
    format!("blocks-{number:010}.log")
}

fn parse_name(name: &str) -> Option<u32> {
    let number = name.strip_prefix("blocks-")?.strip_suffix(".log")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests;
