//! Get: which rows a range needs, and plaintext from them (`docs/spec/storage.md` §3.6).
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::cipher::{Cipher, DamagedRecord, FileKey, RECORD_BYTES, RecordCipher, WrongKey};
use crate::header::Header;
use crate::layout::{StreamLen, to_u64, to_usize};
use crate::manifest::{FileInfo, InvalidInfo, Manifest};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use watt_primitives::{Cid, Hash};
use zeroize::Zeroize;

/// Why a file cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The headers are not those that the manifest lists.
    #[error("bundle {bundle}: the manifest names header {expected}")]
    OtherHeader {
        /// Position in the file.
        bundle: usize,
        /// CID listed.
        expected: Cid,
    },
    /// More or fewer headers than bundles.
    #[error("{found} headers for {expected} bundles")]
    HeaderCount {
        /// Headers given.
        found: usize,
        /// Bundles listed.
        expected: usize,
    },
    /// The manifest and the header disagree on the bundle's length.
    #[error("bundle {bundle} holds {found} bytes, the manifest says {expected}")]
    BundleLength {
        /// Position in the file.
        bundle: usize,
        /// Bytes by the header.
        found: u64,
        /// Bytes by the manifest.
        expected: u64,
    },
    /// Bundles of one file are sealed in one way.
    #[error("bundle {bundle} is sealed with another cipher than the first")]
    MixedCiphers {
        /// Position in the file.
        bundle: usize,
    },
    /// The key is not the one the headers commit to.
    #[error(transparent)]
    WrongKey(#[from] WrongKey),
    /// The sealed part of the manifest is not usable.
    #[error(transparent)]
    Info(#[from] InvalidInfo),
}

/// Why a read stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The record's tag does not fit.
    #[error(transparent)]
    Damaged(#[from] DamagedRecord),
    /// A row came that is not the next one, or has another length.
    #[error("a row of {found} bytes came where one of {expected} bytes is due")]
    RowLength {
        /// Bytes given.
        found: usize,
        /// Bytes due.
        expected: u64,
    },
    /// All needed rows have come already.
    #[error("the range is complete; no row is due")]
    NoRowDue,
    /// Every cell was what its root commits to, and yet the whole is not what the header commits to: the uploader lied.
    #[error("bundle {bundle}: the ciphertext is not what its header commits to; the bundle was made wrongly")]
    OtherPayload {
        /// Position in the file.
        bundle: usize,
    },
    /// The read ended before its rows.
    #[error("the read ended before its last row")]
    Unfinished,
}

/// Rows of one bundle that a read needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsNeeded {
    /// Position of the bundle in the file.
    pub bundle: usize,
    /// Its rows.
    pub rows: Range<u64>,
}

/// A file that can be read: headers and key fit the manifest.
#[derive(Debug)]
pub struct FileReader {
    info: FileInfo,
    bundles: Arc<[Bundle]>,
    stream: StreamLen,
    cipher: RecordCipher,
}

#[derive(Debug)]
struct Bundle {
    header: Header,
    offset: u64,
}

impl FileReader {
    /// Opens the file of `manifest` with the headers of its bundles in file order. Nothing is decrypted before every
    /// header's key commitment was checked.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn new(manifest: &Manifest, headers: Vec<Header>, key: &FileKey) -> Result<Self, OpenError> {
        let listed = manifest.bundles();
        if headers.len() != listed.len() {
            return Err(OpenError::HeaderCount {
                found: headers.len(),
                expected: listed.len(),
            });
        }
        let cipher = headers.first().map_or(Cipher::ChaCha20Poly1305, Header::cipher);
        for (bundle, (header, entry)) in headers.iter().zip(listed).enumerate() {
            if header.cid() != entry.header {
                let expected = entry.header;
                return Err(OpenError::OtherHeader { bundle, expected });
            }
            let (found, expected) = (header.sealed_len(), entry.len);
            if found != expected {
                return Err(OpenError::BundleLength {
                    bundle,
                    found,
                    expected,
                });
            }
            if header.cipher() != cipher {
                return Err(OpenError::MixedCiphers { bundle });
            }
            header.check_key(key)?;
        }
        let info = manifest.open(key)?;
        let offsets = listed.iter().map(|entry| entry.offset);
        let bundles = headers
            .into_iter()
            .zip(offsets)
            .map(|(header, offset)| Bundle { header, offset });
        Ok(Self {
            info,
            bundles: bundles.collect(),
            stream: manifest.stream(),
            cipher: RecordCipher::new(cipher, key),
        })
    }

    /// Name, true length, time.
    #[must_use]
    pub const fn info(&self) -> &FileInfo {
        &self.info
    }

    /// Header of the bundle at position `bundle`.
    #[must_use]
    pub fn header(&self, bundle: usize) -> Option<&Header> {
        self.bundles.get(bundle).map(|bundle| &bundle.header)
    }

    /// Rows needed to read `len` bytes of the file from `offset`, in order. Behind the file's end nothing is needed.
    #[must_use]
    pub fn rows_for_range(&self, offset: u64, len: u64) -> Vec<RowsNeeded> {
        self.rows_of_records(self.records_of(&self.clip(offset, len)))
    }

    /// Reads a range, clipped to the file.
    #[must_use]
    pub fn range(&self, offset: u64, len: u64) -> RangeReader {
        let plain = self.clip(offset, len);
        let records = self.records_of(&plain);
        self.reader(plain, records)
    }

    /// Reads the whole file, padding included, so that every bundle is compared with its header.
    #[must_use]
    pub fn whole(&self) -> RangeReader {
        self.reader(0..self.info.len, 0..self.stream.records())
    }

    fn reader(&self, plain: Range<u64>, records: Range<u64>) -> RangeReader {
        let rows = self.rows_of_records(records.clone());
        let skip = rows.first().map_or(0, |first| {
            let bundle = self.bundles.get(first.bundle);
            let row_start = bundle.map_or(0, |bundle| bundle.row_start(first.rows.start));
            self.stream
                .record_sealed(records.start)
                .start
                .saturating_sub(row_start)
        });
        let mut reader = RangeReader {
            bundles: Arc::clone(&self.bundles),
            stream: self.stream,
            cipher: self.cipher.clone(),
            plain,
            records,
            rows,
            at: 0,
            skip: to_usize(skip),
            sealed: Vec::new(),
            payload: None,
        };
        reader.begin_bundle();
        reader
    }

    fn clip(&self, offset: u64, len: u64) -> Range<u64> {
        let start = offset.min(self.info.len);
        start..offset.saturating_add(len).min(self.info.len)
    }

    fn records_of(&self, plain: &Range<u64>) -> Range<u64> {
        if plain.is_empty() {
            return 0..0;
        }
        plain.start / RECORD_BYTES..plain.end.div_ceil(RECORD_BYTES)
    }

    fn rows_of_records(&self, records: Range<u64>) -> Vec<RowsNeeded> {
        if records.is_empty() {
            return Vec::new();
        }
        let start = self.stream.record_sealed(records.start).start;
        let end = self.stream.record_sealed(records.end.saturating_sub(1)).end;
        let overlapping = self.bundles.iter().enumerate().filter_map(|(bundle, entry)| {
            let rows = entry.rows_covering(start, end)?;
            Some(RowsNeeded { bundle, rows })
        });
        overlapping.collect()
    }
}

impl Bundle {
    /// The file's ciphertext byte with which `row` begins.
    fn row_start(&self, row: u64) -> u64 {
        self.offset
            .saturating_add(row.saturating_mul(self.header.class().row_bytes()))
    }

    /// Rows that hold ciphertext bytes `start..end` of the file; `None` if the bundle holds none of them.
    fn rows_covering(&self, start: u64, end: u64) -> Option<Range<u64>> {
        let row_bytes = self.header.class().row_bytes();
        let first = start.saturating_sub(self.offset);
        let last = end.saturating_sub(self.offset).min(self.header.sealed_len());
        if first >= last {
            return None;
        }
        Some(first.checked_div(row_bytes)?..last.div_ceil(row_bytes))
    }
}

/// One read of a file: ciphertext rows in, in order; plaintext out, each record checked.
///
/// It holds less than a row and a record.
#[derive(Debug)]
pub struct RangeReader {
    bundles: Arc<[Bundle]>,
    stream: StreamLen,
    cipher: RecordCipher,
    /// Plaintext bytes wanted.
    plain: Range<u64>,
    /// Records not opened yet.
    records: Range<u64>,
    /// Rows not read yet; the first entry is at `at`.
    rows: Vec<RowsNeeded>,
    at: usize,
    /// Bytes at the begin of the first row that belong to a record before the first.
    skip: usize,
    /// Ciphertext of records not complete yet.
    sealed: Vec<u8>,
    /// Hash of the current bundle so far, if all of it is read.
    payload: Option<blake3::Hasher>,
}

impl RangeReader {
    /// The row that is due next: bundle and row. `None` when the read is complete.
    #[must_use]
    pub fn next_row(&self) -> Option<(usize, u64)> {
        let needed = self.rows.get(self.at)?;
        Some((needed.bundle, needed.rows.start))
    }

    /// Takes the ciphertext of the row that is due and appends the plaintext that it completes.
    ///
    /// # Errors
    /// See [`ReadError`]; after one the read is over.
    pub fn push_row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<(), ReadError> {
        let (bundle, index) = self.next_row().ok_or(ReadError::NoRowDue)?;
        let expected = self
            .bundles
            .get(bundle)
            .map_or(0, |bundle| bundle.header.row_len(index));
        if to_u64(row.len()) != expected {
            let found = row.len();
            return Err(ReadError::RowLength { found, expected });
        }
        if let Some(payload) = &mut self.payload {
            payload.update(row);
        }
        self.end_row(bundle)?;
        self.sealed
            .extend_from_slice(row.get(self.skip..).unwrap_or_default());
        self.skip = 0;
        self.open_records(out)
    }

    /// Ends the read.
    ///
    /// # Errors
    /// [`ReadError::Unfinished`] if rows are still due.
    pub fn finish(self) -> Result<(), ReadError> {
        match self.next_row() {
            None => Ok(()),
            Some(_) => Err(ReadError::Unfinished),
        }
    }

    fn end_row(&mut self, bundle: usize) -> Result<(), ReadError> {
        let Some(needed) = self.rows.get_mut(self.at) else {
            return Ok(());
        };
        needed.rows.start = needed.rows.start.saturating_add(1);
        if !needed.rows.is_empty() {
            return Ok(());
        }
        if let (Some(payload), Some(entry)) = (self.payload.take(), self.bundles.get(bundle))
            && Hash(payload.finalize().into()) != *entry.header.payload()
        {
            return Err(ReadError::OtherPayload { bundle });
        }
        self.at = self.at.saturating_add(1);
        self.begin_bundle();
        Ok(())
    }

    fn begin_bundle(&mut self) {
        let entry = self.rows.get(self.at);
        let is_whole = entry.is_some_and(|needed| {
            let bundle = self.bundles.get(needed.bundle);
            bundle.is_some_and(|bundle| needed.rows == (0..bundle.header.rows()))
        });
        self.payload = is_whole.then(blake3::Hasher::new);
    }

    fn open_records(&mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let mut at = 0usize;
        let mut record = Vec::new();
        while !self.records.is_empty() {
            let index = self.records.start;
            let range = self.stream.record_sealed(index);
            let end = at.saturating_add(to_usize(range.end.saturating_sub(range.start)));
            let Some(sealed) = self.sealed.get(at..end) else {
                break;
            };
            record.clear();
            record.extend_from_slice(sealed);
            self.cipher.open(index, self.stream.is_last(index), &mut record)?;
            out.extend_from_slice(self.wanted(index, &record));
            at = end;
            self.records.start = index.saturating_add(1);
        }
        record.zeroize();
        self.sealed.drain(..at.min(self.sealed.len()));
        Ok(())
    }

    /// The part of an opened record that was asked for: the range's ends and the padding are cut off.
    fn wanted<'a>(&self, index: u64, record: &'a [u8]) -> &'a [u8] {
        let start = self.stream.record_plain(index).start;
        let from = to_usize(self.plain.start.saturating_sub(start)).min(record.len());
        let to = to_usize(self.plain.end.saturating_sub(start)).min(record.len());
        record.get(from..to).unwrap_or_default()
    }
}
