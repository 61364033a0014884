//! Checksummed frames in append-only files (`docs/spec/store.md` §3).
//!
//! A file begins with a header that holds a random salt. Each frame's digest covers the salt and its own offset, so no bytes
//! that a peer can choose, and no remains of an older file, ever look like a frame.

use crate::disk::{Disk, DiskFile, Mode, UNFINISHED_SUFFIX, folder_of, to_u64, with_suffix};
use crate::error::DiskError;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a file's header.
pub(crate) const FILE_HEADER_BYTES: usize = 64;

/// Bytes before a frame's payload: magic, length, digest.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;

/// Longest payload. Longer than any block or batch of statements may be, so that a rotten length is seen as such.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

const FILE_MAGIC: &[u8; 8] = b"wattlog1";
const FRAME_MAGIC: &[u8; 4] = b"wFrm";
const FRAME_ALIGN: usize = 8;
const DIGEST_BYTES: usize = 16;

/// What a file of frames is for; a file of another kind does not open.
pub(crate) type Kind = [u8; 4];

/// The header of a file of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) kind: Kind,
    /// Number of this file among those of its kind in its folder.
    pub(crate) number: u64,
    pub(crate) salt: [u8; 16],
}

impl FileHeader {
    /// A header with a fresh salt.
    pub(crate) fn new(kind: Kind, number: u64) -> io::Result<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        Ok(Self { kind, number, salt })
    }

    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(FILE_MAGIC);
        bytes[8..12].copy_from_slice(&self.kind);
        bytes[12..20].copy_from_slice(&self.number.to_be_bytes());
        bytes[20..36].copy_from_slice(&self.salt);
        let digest = blake3::hash(&bytes[..36]);
        bytes[36..52].copy_from_slice(&digest.as_bytes()[..DIGEST_BYTES]);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], kind: Kind) -> Option<Self> {
        let bytes = bytes.get(..FILE_HEADER_BYTES)?;
        let header = Self {
            kind,
            number: u64::from_be_bytes(bytes[12..20].try_into().ok()?),
            salt: bytes[20..36].try_into().ok()?,
        };
        (header.encode() == bytes).then_some(header)
    }

    fn digest(&self, offset: usize, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.salt).update(&to_u64(offset).to_be_bytes());
        for part in parts {
            hasher.update(part);
        }
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..DIGEST_BYTES]);
        digest
    }

    /// Appends to `out` the frame whose payload is `parts` one after the other and which will stand at `offset`.
    pub(crate) fn push_frame(&self, out: &mut Vec<u8>, offset: usize, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        assert!(
            len <= PAYLOAD_BYTES_MAX,
            "frame of {len} bytes: callers bound their records"
        );
        let len = u32::try_from(len).expect("bounded on the line above");
        out.extend_from_slice(FRAME_MAGIC);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&self.digest(offset, parts));
        for part in parts {
            out.extend_from_slice(part);
        }
        out.resize(out.len().next_multiple_of(FRAME_ALIGN), 0);
    }

    /// Where the payload of the frame at `offset` lies in `bytes`, the whole file; `None` if there is no intact frame.
    fn frame_at(&self, bytes: &[u8], offset: usize) -> Option<Range<usize>> {
        let head = bytes.get(offset..offset.checked_add(FRAME_HEADER_BYTES)?)?;
        let len = payload_len(head)?;
        let payload = offset + FRAME_HEADER_BYTES..offset + FRAME_HEADER_BYTES + len;
        let found = bytes.get(payload.clone())?;
        (self.digest(offset, &[found]) == head[8..]).then_some(payload)
    }

    /// Reads one frame of an open file; `None` if it is not intact.
    pub(crate) fn read_frame(&self, file: &dyn DiskFile, offset: u64) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; FRAME_HEADER_BYTES];
        let rotten = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(None),
            _ => Err(error),
        };
        if let Err(error) = file.read_at(offset, &mut head) {
            return rotten(error);
        }
        let Some(len) = payload_len(&head) else {
            return Ok(None);
        };
        let mut payload = vec![0; len];
        if let Err(error) = file.read_at(offset + to_u64(FRAME_HEADER_BYTES), &mut payload) {
            return rotten(error);
        }
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        Ok((self.digest(at, &[&payload]) == head[8..]).then_some(payload))
    }
}

/// Bytes that a frame with a payload of `payload_len` takes.
pub(crate) const fn frame_len(payload_len: usize) -> usize {
    (FRAME_HEADER_BYTES + payload_len).next_multiple_of(FRAME_ALIGN)
}

fn payload_len(head: &[u8]) -> Option<usize> {
    let (magic, rest) = head.split_at_checked(4)?;
    let len = usize::try_from(u32::from_be_bytes(rest.get(..4)?.try_into().ok()?)).ok()?;
    (magic == FRAME_MAGIC && len <= PAYLOAD_BYTES_MAX).then_some(len)
}

/// The frames found in a file.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Offset of each intact frame and where its payload lies.
    pub(crate) frames: Vec<(usize, Range<usize>)>,
    /// Bytes between intact frames that are no frame: what stood there has rotted, or was torn out of a batch.
    pub(crate) gaps: Vec<Range<usize>>,
    /// Where the next frame goes: after the last intact one.
    pub(crate) end: usize,
    /// Bytes after `end` that are not zero: a torn write.
    pub(crate) torn_bytes: usize,
}

/// Finds all intact frames in `bytes`, a whole file.
pub(crate) fn scan(header: &FileHeader, bytes: &[u8]) -> Scan {
    let mut found = Scan {
        end: FILE_HEADER_BYTES,
        ..Scan::default()
    };
    let mut at = FILE_HEADER_BYTES;
    while at + FRAME_HEADER_BYTES <= bytes.len() {
        let Some(payload) = header.frame_at(bytes, at) else {
            // Only a damaged file gets here before its end: look for the next frame at each place where one may begin.
            at += FRAME_ALIGN;
            continue;
        };
        if at > found.end {
            found.gaps.push(found.end..at);
        }
        at = payload.end.next_multiple_of(FRAME_ALIGN);
        found.end = at;
        found.frames.push((payload.start - FRAME_HEADER_BYTES, payload));
    }
    let tail = bytes.get(found.end..).unwrap_or_default();
    found.torn_bytes = tail
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    found
}

/// Creates a file of frames under its final name, durably: header, `frames`, then zeros up to `len_min`.
pub(crate) fn create(
    disk: &dyn Disk,
    path: &Path,
    header: &FileHeader,
    frames: &[u8],
    len_min: usize,
) -> Result<Arc<dyn DiskFile>, DiskError> {
    let unfinished = with_suffix(path, UNFINISHED_SUFFIX);
    let mut bytes = Vec::with_capacity(len_min.max(FILE_HEADER_BYTES + frames.len()));
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(frames);
    // Real zeros and not a hole: appending inside them changes no metadata, so a sync is one write.
    bytes.resize(bytes.len().max(len_min), 0);
    let create = || {
        let file = disk.open(&unfinished, Mode::Create)?;
        file.write_at(0, &bytes)?;
        file.sync()?;
        disk.rename(&unfinished, path)?;
        disk.sync_dir(folder_of(path))?;
        Ok(file)
    };
    create().map_err(DiskError::not_durable("create", path))
}

#[cfg(test)]
mod tests;
