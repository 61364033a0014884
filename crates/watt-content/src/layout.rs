//! Every length of a stored file: padding, records, bundles, rows (`docs/spec/storage.md` §2).
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::cipher::{RECORD_BYTES, SEALED_RECORD_BYTES, TAG_BYTES};
use core::ops::Range;
use watt_primitives::class::Class;

/// The longest file, in bytes of plaintext: 8 TiB. Every sum of lengths below it fits a `u64` with room to spare.
pub const FILE_BYTES_MAX: u64 = 1 << 43;

/// The smallest step to which a file is padded, in bytes.
pub const PADDING_STEP_MIN: u64 = 4 * 1024;

/// The most bundles in one file: a manifest of them stays below 1 MiB, which peers exchange as one block.
pub const BUNDLES_MAX: usize = 8 * 1024;

/// Length after padding with zeros, in bytes: the next multiple of the largest power of two that is at most
/// `max(4 KiB, len / 50)`, and at least one step (§2.2).
///
/// The step is a power of two because a step of exactly 2 % would itself tell the length: only 50 or 51 steps fit, so the
/// padded length divided by 50 gives the true one to within 50 bytes.
#[must_use]
pub const fn padded_len(len: u64) -> u64 {
    let share = len / 50;
    let step = if share < PADDING_STEP_MIN {
        PADDING_STEP_MIN
    } else {
        1 << share.ilog2()
    };
    let steps = len.div_ceil(step);
    let padded = steps.saturating_mul(step);
    if padded == 0 { step } else { padded }
}

/// Lengths of one STREAM of sealed records over a padded file (§3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLen {
    padded: u64,
}

impl StreamLen {
    /// The stream of a file with `len` bytes of plaintext; `None` above [`FILE_BYTES_MAX`].
    #[must_use]
    pub const fn of_file(len: u64) -> Option<Self> {
        if len > FILE_BYTES_MAX {
            return None;
        }
        Some(Self {
            padded: padded_len(len),
        })
    }

    /// The stream that has `sealed` bytes of ciphertext; `None` if no file gives that length.
    #[must_use]
    pub const fn of_sealed(sealed: u64) -> Option<Self> {
        let records = sealed.div_ceil(SEALED_RECORD_BYTES);
        let padded = sealed.saturating_sub(records.saturating_mul(TAG_BYTES));
        let stream = Self { padded };
        // Encoding again catches a last record of tag alone, or of less.
        let is_possible = padded > 0 && padded.is_multiple_of(PADDING_STEP_MIN) && stream.sealed() == sealed;
        if is_possible && padded <= padded_len(FILE_BYTES_MAX) {
            Some(stream)
        } else {
            None
        }
    }

    /// Plaintext bytes with padding.
    #[must_use]
    pub const fn padded(self) -> u64 {
        self.padded
    }

    /// Number of records; never zero.
    #[must_use]
    pub const fn records(self) -> u64 {
        self.padded.div_ceil(RECORD_BYTES)
    }

    /// Ciphertext bytes: padded plaintext and one tag per record.
    #[must_use]
    pub const fn sealed(self) -> u64 {
        self.padded
            .saturating_add(self.records().saturating_mul(TAG_BYTES))
    }

    /// Whether `record` is the last one.
    #[must_use]
    pub const fn is_last(self, record: u64) -> bool {
        record.saturating_add(1) == self.records()
    }

    /// Plaintext range of `record`, padding included.
    #[must_use]
    pub fn record_plain(self, record: u64) -> Range<u64> {
        let start = record.saturating_mul(RECORD_BYTES).min(self.padded);
        start..start.saturating_add(RECORD_BYTES).min(self.padded)
    }

    /// Ciphertext range of `record`.
    #[must_use]
    pub fn record_sealed(self, record: u64) -> Range<u64> {
        let start = record.saturating_mul(SEALED_RECORD_BYTES).min(self.sealed());
        start..start.saturating_add(SEALED_RECORD_BYTES).min(self.sealed())
    }
}

/// How a file of a known length is cut into bundles and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePlan {
    class: Class,
    len: u64,
    stream: StreamLen,
    bundle_bytes: u64,
}

/// A file that cannot be stored because of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a file of {len} bytes is too large: at most {len_max} bytes fit one file of this class")]
pub struct TooLarge {
    /// Length of the file in bytes.
    pub len: u64,
    /// Largest length in bytes.
    pub len_max: u64,
}

/// One bundle of a file: which ciphertext it holds and which plaintext makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundlePlan {
    /// Position in the file, from 0.
    pub index: usize,
    /// Ciphertext bytes of the file that this bundle holds.
    pub sealed: Range<u64>,
    /// Number of rows; the last may be padded with zeros to whole cells.
    pub rows: u64,
    /// Plaintext bytes to feed to a pass over this bundle: whole records, so neighbours share at most one record. Empty
    /// for a bundle of padding only.
    pub plain: Range<u64>,
}

impl FilePlan {
    /// Plans a file of `len` bytes in `class`.
    ///
    /// # Errors
    /// [`TooLarge`] above [`FILE_BYTES_MAX`] or [`BUNDLES_MAX`] bundles.
    pub fn new(class: Class, len: u64) -> Result<Self, TooLarge> {
        Self::with_rows_max(class, class.rows_max(), len)
    }

    /// As [`FilePlan::new`], with bundles of at most `rows_max` rows.
    pub(crate) fn with_rows_max(class: Class, rows_max: u64, len: u64) -> Result<Self, TooLarge> {
        let bundle_bytes = class.row_bytes().saturating_mul(rows_max.max(1));
        let bundles_max = u64::try_from(BUNDLES_MAX).unwrap_or(u64::MAX);
        let sealed_max = bundle_bytes.saturating_mul(bundles_max);
        // Padding and tags together add less than a twentieth above the smallest step.
        let len_max = FILE_BYTES_MAX.min((sealed_max / 20).saturating_mul(19));
        match StreamLen::of_file(len) {
            Some(stream) if len <= len_max => Ok(Self {
                class,
                len,
                stream,
                bundle_bytes,
            }),
            Some(_) | None => Err(TooLarge { len, len_max }),
        }
    }

    /// Encoding class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// True length of the file in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes. It is stored all the same, as one step of padding.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lengths of the file's ciphertext.
    #[must_use]
    pub const fn stream(&self) -> StreamLen {
        self.stream
    }

    /// Number of bundles; at least one.
    #[must_use]
    pub fn bundle_count(&self) -> usize {
        let count = self.stream.sealed().div_ceil(self.bundle_bytes.max(1));
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Bundle `index`; `None` behind the last.
    #[must_use]
    pub fn bundle(&self, index: usize) -> Option<BundlePlan> {
        let start = u64::try_from(index).ok()?.checked_mul(self.bundle_bytes)?;
        let end = start.checked_add(self.bundle_bytes)?.min(self.stream.sealed());
        if start >= end {
            return None;
        }
        let last_byte = end.saturating_sub(1);
        let first = self.stream.record_plain(start.checked_div(SEALED_RECORD_BYTES)?);
        let last = self
            .stream
            .record_plain(last_byte.checked_div(SEALED_RECORD_BYTES)?);
        Some(BundlePlan {
            index,
            sealed: start..end,
            rows: rows_of(self.class, end.saturating_sub(start)),
            plain: first.start.min(self.len)..last.end.min(self.len),
        })
    }

    /// All bundles in order.
    pub fn bundles(&self) -> impl Iterator<Item = BundlePlan> {
        let plan = *self;
        (0..self.bundle_count()).filter_map(move |index| plan.bundle(index))
    }

    /// Bytes that providers will hold for this file in all `n` slots of all bundles.
    #[must_use]
    pub fn placed_bytes(&self) -> u64 {
        let rows = self
            .bundles()
            .fold(0u64, |sum, bundle| sum.saturating_add(bundle.rows));
        let per_row = self.class.cell_bytes().saturating_mul(u64::from(self.class.n()));
        rows.saturating_mul(per_row)
    }
}

/// Rows that `len` ciphertext bytes fill, the last one perhaps partly.
#[must_use]
pub const fn rows_of(class: Class, len: u64) -> u64 {
    len.div_ceil(class.row_bytes())
}

/// A length that was made from one that fits memory.
pub(crate) fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// Length of something in memory.
pub(crate) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
