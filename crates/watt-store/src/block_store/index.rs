//! Where each block lies: one line per block in memory, one small file per closed segment on disk.

use super::{KIND, RecordKind};
use crate::disk::{self, Disk, Mode};
use crate::error::DiskError;
use crate::frame::{self, FILE_HEADER_BYTES, FileHeader};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const INDEX_KIND: frame::Kind = *b"bidx";

/// Bytes of a line in an index file: kind, height, offset.
const LINE_BYTES: usize = 1 + 8 + 4;

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At {
        segment: u32,
        offset: u32,
    },
    /// It was written once and is not intact.
    Damaged,
}

/// What one segment holds, in the order of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    header: FileHeader,
    lines: Vec<(RecordKind, u64, u32)>,
}

impl SegmentIndex {
    pub(super) const fn new(header: FileHeader) -> Self {
        Self {
            header,
            lines: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, kind: RecordKind, height: u64, offset: usize) {
        let offset = u32::try_from(offset).expect("a segment and its last block are far below 4 GiB");
        self.lines.push((kind, height, offset));
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.lines.extend_from_slice(&other.lines);
    }
}

/// All blocks of a node.
#[derive(Debug, Default)]
pub(super) struct Index {
    first: Option<u64>,
    places: Vec<Place>,
    headers: BTreeMap<u32, FileHeader>,
}

impl Index {
    pub(super) const fn first(&self) -> Option<u64> {
        self.first
    }

    pub(super) fn head(&self) -> Option<u64> {
        Some(self.first? + disk::to_u64(self.places.len()) - 1)
    }

    pub(super) fn place(&self, height: u64) -> Option<Place> {
        let at = usize::try_from(height.checked_sub(self.first?)?).ok()?;
        self.places.get(at).copied()
    }

    pub(super) fn header(&self, segment: u32) -> Option<FileHeader> {
        self.headers.get(&segment).copied()
    }

    /// Adds what a segment holds; `None` if it contradicts what is known.
    pub(super) fn add_segment(&mut self, segment: u32, index: &SegmentIndex) -> Option<()> {
        self.headers.insert(segment, index.header);
        for (kind, height, offset) in &index.lines {
            let place = Place::At {
                segment,
                offset: *offset,
            };
            let first = *self.first.get_or_insert(*height);
            let at = usize::try_from(height.checked_sub(first)?).ok()?;
            match kind {
                RecordKind::Next if at < self.places.len() => return None,
                RecordKind::Next => {
                    // What stood between was lost to rot, or to a crash in the middle of a batch.
                    if at - self.places.len() > frame::PAYLOAD_BYTES_MAX {
                        return None;
                    }
                    self.places.resize(at, Place::Damaged);
                    self.places.push(place);
                }
                RecordKind::Replacement => *self.places.get_mut(at)? = place,
            }
        }
        Some(())
    }
}

/// Writes the index of a closed segment.
pub(super) fn save(disk: &dyn Disk, dir: &Path, number: u32, index: &SegmentIndex) -> Result<(), DiskError> {
    let path = path(dir, number);
    let header = FileHeader::new(INDEX_KIND, u64::from(number))
        .map_err(DiskError::failed("draw a salt for", &path))?;
    let mut payload = index.header.encode().to_vec();
    for (kind, height, offset) in &index.lines {
        payload.push(u8::from(*kind == RecordKind::Replacement));
        payload.extend_from_slice(&height.to_be_bytes());
        payload.extend_from_slice(&offset.to_be_bytes());
    }
    let mut frames = Vec::new();
    header.push_frame(&mut frames, FILE_HEADER_BYTES, &[&payload]);
    frame::create(disk, &path, &header, &frames, 0)?;
    Ok(())
}

/// Reads the index of a closed segment; `None` if it must be rebuilt.
pub(super) fn load(disk: &dyn Disk, dir: &Path, number: u32) -> Result<Option<SegmentIndex>, DiskError> {
    let path = path(dir, number);
    let read = || -> std::io::Result<_> {
        let file = disk.open(&path, Mode::Read)?;
        let bytes = disk::read_whole(&*file, file.len()?)?;
        let segment = disk.open(&super::segment_path(dir, number), Mode::Read)?;
        let segment_header =
            disk::read_whole(&*segment, disk::to_u64(FILE_HEADER_BYTES).min(segment.len()?))?;
        Ok((bytes, segment_header))
    };
    let (bytes, segment_header) = match read() {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskError::failed("read the index", &path)(error)),
    };
    // An index speaks only for the very file it was made from.
    let index = decode(&bytes, number).filter(|index| index.header.encode() == *segment_header);
    if index.is_none() {
        tracing::warn!(path = %path.display(), "the index of a block segment is damaged");
    }
    Ok(index)
}

fn decode(bytes: &[u8], number: u32) -> Option<SegmentIndex> {
    let header = FileHeader::decode(bytes, INDEX_KIND).filter(|header| header.number == u64::from(number))?;
    let scan = frame::scan(&header, bytes);
    let [(_, payload)] = scan.frames.as_slice() else {
        return None;
    };
    let (segment_header, lines) = bytes.get(payload.clone())?.split_at_checked(FILE_HEADER_BYTES)?;
    let header =
        FileHeader::decode(segment_header, KIND).filter(|header| header.number == u64::from(number))?;
    let mut index = SegmentIndex {
        header,
        lines: Vec::with_capacity(lines.len() / LINE_BYTES),
    };
    for line in lines.chunks_exact(LINE_BYTES) {
        let kind = match line.first()? {
            0 => RecordKind::Next,
            1 => RecordKind::Replacement,
            _ => return None,
        };
        let height = u64::from_be_bytes(line.get(1..9)?.try_into().ok()?);
        let offset = u32::from_be_bytes(line.get(9..)?.try_into().ok()?);
        index.lines.push((kind, height, offset));
    }
    Some(index)
}

fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("blocks-{number:010}.index"))
}
