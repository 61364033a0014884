//! Plaintext of one bundle in, its ciphertext rows out; shared by both passes of the encoder.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::cipher::{Cipher, FileKey, RecordCipher, SEALED_RECORD_BYTES};
use crate::encoder::EncodeError;
use crate::layout::{BundlePlan, FilePlan, to_u64, to_usize};
use alloc::vec;
use alloc::vec::Vec;
use zeroize::Zeroize;

/// Fills records, seals them, and cuts the ciphertext into rows.
///
/// Holds one record and one row. Behind the file's last byte it makes the padding itself.
#[derive(Debug)]
pub(crate) struct RowStream {
    plan: FilePlan,
    bundle: BundlePlan,
    cipher: RecordCipher,
    /// Plaintext bytes still to come.
    plain_left: u64,
    /// The record being filled (plaintext), or the one being drained (ciphertext).
    record: Vec<u8>,
    record_index: u64,
    /// First byte of the sealed record that is not in a row yet; `None` while it is being filled.
    drained: Option<usize>,
    row: Vec<u8>,
    row_filled: usize,
    row_index: u64,
    /// Ciphertext bytes of this bundle not in a row yet.
    sealed_left: u64,
}

/// A row of ciphertext.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadyRow<'a> {
    /// Its number in the bundle.
    pub(crate) index: u64,
    /// Whole cells: ciphertext, then zeros if it is the last.
    pub(crate) bytes: &'a [u8],
    /// The ciphertext.
    pub(crate) sealed: &'a [u8],
}

impl RowStream {
    pub(crate) fn new(plan: &FilePlan, bundle: BundlePlan, cipher: Cipher, key: &FileKey) -> Self {
        let record_index = bundle.sealed.start / SEALED_RECORD_BYTES;
        Self {
            plan: *plan,
            cipher: RecordCipher::new(cipher, key),
            plain_left: bundle.plain.end.saturating_sub(bundle.plain.start),
            record: Vec::with_capacity(to_usize(SEALED_RECORD_BYTES)),
            record_index,
            drained: None,
            row: vec![0; to_usize(plan.class().row_bytes())],
            row_filled: 0,
            row_index: 0,
            sealed_left: bundle.sealed.end.saturating_sub(bundle.sealed.start),
            bundle,
        }
    }

    /// Plaintext bytes still to come.
    pub(crate) const fn plain_left(&self) -> u64 {
        self.plain_left
    }

    /// Takes plaintext until a row is complete; returns how many bytes it took.
    pub(crate) fn push(&mut self, plain: &[u8]) -> Result<usize, EncodeError> {
        let mut rest = plain;
        loop {
            if self.is_row_ready() || self.sealed_left == 0 {
                break;
            }
            if self.drain() {
                continue;
            }
            let (record, filled) = self.record_gap();
            if filled {
                self.seal(record);
                continue;
            }
            let before = rest.len();
            rest = self.fill(rest, record);
            if rest.len() == before {
                break;
            }
        }
        if self.plain_left == 0 && !rest.is_empty() && !self.is_row_ready() {
            return Err(self.too_long());
        }
        Ok(plain.len().saturating_sub(rest.len()))
    }

    /// More plaintext came than the file had when it was planned.
    pub(crate) const fn too_long(&self) -> EncodeError {
        EncodeError::TooLong { len: self.plan.len() }
    }

    /// The complete row, if there is one.
    pub(crate) fn row(&mut self) -> Result<Option<ReadyRow<'_>>, EncodeError> {
        // Padding needs no input.
        self.push(&[])?;
        if self.is_row_ready() {
            Ok(Some(ReadyRow {
                index: self.row_index,
                bytes: &self.row,
                sealed: self.row.get(..self.row_filled).unwrap_or_default(),
            }))
        } else {
            Ok(None)
        }
    }

    /// Begins the next row.
    pub(crate) fn next_row(&mut self) {
        self.row.fill(0);
        self.row_filled = 0;
        self.row_index = self.row_index.saturating_add(1);
    }

    /// Whether every row was made.
    pub(crate) fn is_finished(&self) -> bool {
        self.row_index == self.bundle.rows
    }

    fn is_row_ready(&self) -> bool {
        self.row_filled == self.row.len() || (self.sealed_left == 0 && self.row_filled > 0)
    }

    /// Plaintext length of the current record, and whether all of it that is not padding has come.
    fn record_gap(&self) -> (usize, bool) {
        let range = self.plan.stream().record_plain(self.record_index);
        let real = range.end.min(self.plan.len()).saturating_sub(range.start);
        let len = to_usize(range.end.saturating_sub(range.start));
        (len, to_u64(self.record.len()) >= real)
    }

    fn fill<'a>(&mut self, plain: &'a [u8], record_len: usize) -> &'a [u8] {
        let room = record_len.saturating_sub(self.record.len());
        let take = room.min(to_usize(self.plain_left)).min(plain.len());
        let (now, rest) = plain.split_at_checked(take).unwrap_or((plain, &[]));
        self.record.extend_from_slice(now);
        self.plain_left = self.plain_left.saturating_sub(to_u64(now.len()));
        rest
    }

    fn seal(&mut self, record_len: usize) {
        self.record.resize(record_len, 0);
        let is_last = self.plan.stream().is_last(self.record_index);
        self.cipher.seal(self.record_index, is_last, &mut self.record);
        // A bundle may begin within a record: the part before it belongs to the bundle before.
        let start = self.plan.stream().record_sealed(self.record_index).start;
        self.drained = Some(to_usize(self.bundle.sealed.start.saturating_sub(start)));
    }

    /// Moves ciphertext into the row; whether it moved any.
    fn drain(&mut self) -> bool {
        let Some(drained) = self.drained else {
            return false;
        };
        let sealed = self.record.get(drained..).unwrap_or_default();
        let room = self.row.get_mut(self.row_filled..).unwrap_or_default();
        let len = sealed.len().min(room.len()).min(to_usize(self.sealed_left));
        for (to, from) in room.chunks_mut(len.max(1)).zip(sealed.chunks(len.max(1))).take(1) {
            to.copy_from_slice(from);
        }
        self.row_filled = self.row_filled.saturating_add(len);
        self.sealed_left = self.sealed_left.saturating_sub(to_u64(len));
        let drained = drained.saturating_add(len);
        if drained == self.record.len() || self.sealed_left == 0 {
            self.record.clear();
            self.drained = None;
            self.record_index = self.record_index.saturating_add(1);
        } else {
            self.drained = Some(drained);
        }
        len > 0
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        self.record.zeroize();
    }
}
