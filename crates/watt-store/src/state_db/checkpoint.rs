//! The whole state in a file of its own, so that a rebuild is bounded and does not trust the damaged file.

use super::snapshot::{Snapshot, decode_head, encode_head};
use super::{Head, StateError};
use crate::disk::{self, Disk, Mode, UNFINISHED_SUFFIX, to_u64, with_suffix};
use crate::error::DiskError;
use crate::frame::{self, FILE_HEADER_BYTES, FileHeader, frame_len};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use watt_primitives::BlockHeight;

const KIND: frame::Kind = *b"ckpt";

/// Bytes of rows in one frame.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes gathered before they go to the system.
const BUFFER_BYTES: usize = 1 << 20;

const FRAME_HEAD: u8 = 0;
const FRAME_ROWS: u8 = 1;
const FRAME_END: u8 = 2;

/// A checkpoint being written in the background; stopped and awaited when dropped.
#[derive(Debug)]
pub(super) struct Exporter {
    thread: Option<JoinHandle<()>>,
    must_stop: Arc<AtomicBool>,
}

impl Exporter {
    pub(super) fn start(disk: Arc<dyn Disk>, dir: PathBuf, snapshot: Snapshot, n_checkpoints: usize) -> Self {
        let must_stop = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&must_stop);
        let run = move || {
            let result = export(&*disk, &dir, &snapshot, n_checkpoints, &|| {
                stop.load(Ordering::Relaxed)
            });
            if let Err(error) = result {
                // Older checkpoints stand; a rebuild would take longer.
                tracing::warn!(%error, "could not write a checkpoint of the state");
            }
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(run)
            .inspect_err(|error| tracing::warn!(%error, "could not begin a checkpoint of the state"))
            .ok();
        Self { thread, must_stop }
    }

    pub(super) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.must_stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that wrote a checkpoint panicked");
        }
    }
}

/// Writes the checkpoint of `snapshot` and removes all but the newest `n_checkpoints`.
pub(super) fn export(
    disk: &dyn Disk,
    dir: &Path,
    snapshot: &Snapshot,
    n_checkpoints: usize,
    must_stop: &dyn Fn() -> bool,
) -> Result<(), StateError> {
    let Some(head) = snapshot.head() else {
        return Ok(());
    };
    let path = path(dir, head.height);
    let unfinished = with_suffix(&path, UNFINISHED_SUFFIX);
    let mut writer = Writer::begin(disk, &unfinished, head)?;
    let mut is_stopped = false;
    snapshot.for_each(|key, value| {
        is_stopped = is_stopped || must_stop();
        if is_stopped {
            return Ok(());
        }
        Ok(writer.add_row(key, value)?)
    })?;
    if is_stopped {
        return Ok(disk
            .remove(&unfinished)
            .map_err(DiskError::failed("remove the unfinished", &unfinished))?);
    }
    writer.finish()?;
    disk.rename(&unfinished, &path)
        .and_then(|()| disk.sync_dir(dir))
        .map_err(DiskError::not_durable("put in place", &path))?;
    super::open::forget_rebuilds(disk, dir)?;
    for old in list(disk, dir)?.into_iter().skip(n_checkpoints.max(1)) {
        remove(disk, dir, old)?;
    }
    Ok(())
}

/// Heights of the checkpoints in `dir`, the newest first.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<BlockHeight>, DiskError> {
    let names = disk.list(dir).map_err(DiskError::failed("list", dir))?;
    let mut heights: Vec<_> = names.iter().filter_map(|name| parse_name(name)).collect();
    heights.sort_unstable();
    heights.reverse();
    Ok(heights)
}

pub(super) fn remove(disk: &dyn Disk, dir: &Path, height: BlockHeight) -> Result<(), DiskError> {
    let path = path(dir, height);
    disk.remove(&path)
        .map_err(DiskError::failed("remove the old checkpoint", &path))
}

struct Writer {
    file: Arc<dyn disk::DiskFile>,
    path: PathBuf,
    header: FileHeader,
    /// Where `buffer` begins in the file.
    offset: usize,
    buffer: Vec<u8>,
    chunk: Vec<u8>,
    n_rows: u64,
}

impl Writer {
    fn begin(disk: &dyn Disk, path: &Path, head: &Head) -> Result<Self, DiskError> {
        let begin = || {
            let header = FileHeader::new(KIND, head.height.0)?;
            let file = disk.open(path, Mode::Create)?;
            Ok((header, file))
        };
        let (header, file) = begin().map_err(DiskError::failed("create the checkpoint", path))?;
        let mut writer = Self {
            file,
            path: path.to_path_buf(),
            header,
            offset: 0,
            buffer: header.encode().to_vec(),
            chunk: Vec::new(),
            n_rows: 0,
        };
        writer.push(FRAME_HEAD, &encode_head(head))?;
        Ok(writer)
    }

    fn add_row(&mut self, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        for bytes in [key, value] {
            let len = u32::try_from(bytes.len()).expect("rows are bounded by ROW_BYTES_MAX");
            self.chunk.extend_from_slice(&len.to_be_bytes());
        }
        self.chunk.extend_from_slice(key);
        self.chunk.extend_from_slice(value);
        self.n_rows += 1;
        if self.chunk.len() >= CHUNK_BYTES {
            self.close_chunk()?;
        }
        Ok(())
    }

    fn close_chunk(&mut self) -> Result<(), DiskError> {
        let chunk = std::mem::take(&mut self.chunk);
        self.push(FRAME_ROWS, &chunk)
    }

    fn push(&mut self, kind: u8, payload: &[u8]) -> Result<(), DiskError> {
        let at = self.offset + self.buffer.len();
        self.header.push_frame(&mut self.buffer, at, &[&[kind], payload]);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.file
            .write_at(to_u64(self.offset), &self.buffer)
            .map_err(DiskError::failed("write the checkpoint", &self.path))?;
        self.offset += self.buffer.len();
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(), DiskError> {
        if !self.chunk.is_empty() {
            self.close_chunk()?;
        }
        self.push(FRAME_END, &self.n_rows.to_be_bytes())?;
        self.flush()?;
        self.file
            .sync()
            .map_err(DiskError::not_durable("write the checkpoint", &self.path))
    }
}

/// Reads the checkpoint of `height`, giving each row to `each`, and returns its head; `None` if it is not whole.
pub(super) fn load<E: From<DiskError>>(
    disk: &dyn Disk,
    dir: &Path,
    height: BlockHeight,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<Option<Head>, E> {
    let path = path(dir, height);
    let failed = |error| E::from(DiskError::failed("read the checkpoint", &path)(error));
    let file = disk.open(&path, Mode::Read).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    let start = disk::read_whole(&*file, len.min(to_u64(FILE_HEADER_BYTES))).map_err(failed)?;
    let Some(header) = FileHeader::decode(&start, KIND) else {
        return Ok(None);
    };
    let (mut offset, mut head, mut n_rows) = (to_u64(FILE_HEADER_BYTES), None, 0u64);
    loop {
        let Some(payload) = header.read_frame(&*file, offset).map_err(failed)? else {
            return Ok(None);
        };
        offset += to_u64(frame_len(payload.len()));
        match (payload.split_first(), &head) {
            (Some((&FRAME_HEAD, bytes)), None) => {
                head = decode_head(bytes).filter(|head| head.height == height);
                if head.is_none() {
                    return Ok(None);
                }
            }
            (Some((&FRAME_ROWS, rows)), Some(_)) => {
                let mut rest = rows;
                while !rest.is_empty() {
                    let Some((key, value, after)) = split_row(rest) else {
                        return Ok(None);
                    };
                    each(key, value)?;
                    n_rows += 1;
                    rest = after;
                }
            }
            (Some((&FRAME_END, count)), Some(_)) if *count == n_rows.to_be_bytes() => return Ok(head),
            _ => return Ok(None),
        }
    }
}

fn split_row(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (lens, rest) = bytes.split_at_checked(8)?;
    let (key_len, value_len) = lens.split_at(4);
    let key_len = usize::try_from(u32::from_be_bytes(key_len.try_into().ok()?)).ok()?;
    let value_len = usize::try_from(u32::from_be_bytes(value_len.try_into().ok()?)).ok()?;
    let (key, rest) = rest.split_at_checked(key_len)?;
    let (value, rest) = rest.split_at_checked(value_len)?;
    Some((key, value, rest))
}

fn path(dir: &Path, height: BlockHeight) -> PathBuf {
    dir.join(file_name(height))
}

fn file_name(height: BlockHeight) -> String {
    format!("checkpoint-{:016}.rows", height.0)
}

fn parse_name(name: &str) -> Option<BlockHeight> {
    let height = name
        .strip_prefix("checkpoint-")?
        .strip_suffix(".rows")?
        .parse()
        .ok()?;
    (file_name(BlockHeight(height)) == name).then_some(BlockHeight(height))
}
