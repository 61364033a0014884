//! One bundle's rows from verified cells: reading and repair (`docs/spec/storage.md` §2.5, §4.3).
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::encoder::code_of;
use crate::erasure::{Code, CodeError, Mixing};
use crate::header::{Header, InvalidSlotRoots, SlotRoots};
use crate::layout::to_usize;
use crate::outboard::{InvalidOutboard, Outboard, WrongCell};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use watt_primitives::slot_tree::verify_group;
use watt_primitives::{Cid, Hash};

/// Rebuilds rows of one bundle from any `k` cells, each checked before use.
#[derive(Debug)]
pub struct BundleDecoder {
    header: Header,
    cid: Cid,
    roots: SlotRoots,
    outboards: BTreeMap<u8, Outboard>,
    code: Code,
    /// The last prepared map: holders, and so index sets, rarely change from row to row.
    mixing: Option<Mixing>,
}

/// A cell that is what its slot's root commits to. Only [`BundleDecoder`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedCell<'a> {
    bundle: Cid,
    slot: u8,
    row: u64,
    bytes: &'a [u8],
}

impl VerifiedCell<'_> {
    /// Its slot.
    #[must_use]
    pub const fn slot(&self) -> u8 {
        self.slot
    }

    /// Its row.
    #[must_use]
    pub const fn row(&self) -> u64 {
        self.row
    }
}

/// Why a cell is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCell {
    /// The bundle commits to no such slot.
    #[error("the bundle has no slot {slot}")]
    NoSlot {
        /// The slot.
        slot: u8,
    },
    /// The slot's cell digests are not known yet.
    #[error("the cell digests of slot {slot} are not known")]
    NoOutboard {
        /// The slot.
        slot: u8,
    },
    /// Whoever sent it sent something else than the slot's cell.
    #[error("slot {slot}: {source}")]
    Wrong {
        /// The slot.
        slot: u8,
        /// Which cell.
        source: WrongCell,
    },
}

/// Why a list of cell digests is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedOutboard {
    /// The bundle commits to no such slot.
    #[error("the bundle has no slot {slot}")]
    NoSlot {
        /// The slot.
        slot: u8,
    },
    /// The list is not the slot's.
    #[error("slot {slot}: {source}")]
    Invalid {
        /// The slot.
        slot: u8,
        /// What is wrong.
        source: InvalidOutboard,
    },
}

/// Why a row cannot be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Too few different cells of this row.
    #[error("row {row}: {have} cells where {need} are needed")]
    NotEnough {
        /// The row.
        row: u64,
        /// Different cells given.
        have: usize,
        /// Cells needed.
        need: usize,
    },
    /// A cell of another row or another bundle among them.
    #[error("row {row}: a cell of slot {slot} belongs to another row or bundle")]
    Foreign {
        /// The row asked for.
        row: u64,
        /// The slot of the foreign cell.
        slot: u8,
    },
    /// The cells are what their roots commit to and yet lie on no polynomial, or the last row is not filled with zeros: the
    /// uploader lied, no holder did (TS37).
    #[error("row {row}: the cells are no codeword at slot {slot}; the bundle was made wrongly")]
    Inconsistent {
        /// The row.
        row: u64,
        /// The slot whose rebuilt cell is not the committed one.
        slot: u8,
    },
    /// The cells cannot be coded.
    #[error(transparent)]
    Code(#[from] CodeError),
}

impl BundleDecoder {
    /// Begins with a bundle's header and its slot roots.
    ///
    /// # Errors
    /// [`InvalidSlotRoots`] if the roots are not the header's.
    pub fn new(header: Header, roots: SlotRoots) -> Result<Self, InvalidSlotRoots> {
        roots.check(&header)?;
        let code = code_of(header.class()).map_err(|_| InvalidSlotRoots::Other)?;
        Ok(Self {
            cid: header.cid(),
            header,
            roots,
            outboards: BTreeMap::new(),
            code,
            mixing: None,
        })
    }

    /// The bundle's header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The bundle's slot roots.
    #[must_use]
    pub const fn slot_roots(&self) -> &SlotRoots {
        &self.roots
    }

    /// Takes the cell digests of `slot` if they are those that its root commits to.
    ///
    /// # Errors
    /// See [`RefusedOutboard`].
    pub fn add_outboard(&mut self, slot: u8, cells: Vec<Hash>) -> Result<(), RefusedOutboard> {
        let root = self.roots.get(slot).ok_or(RefusedOutboard::NoSlot { slot })?;
        let outboard = Outboard::check(root, self.header.rows(), cells)
            .map_err(|source| RefusedOutboard::Invalid { slot, source })?;
        self.outboards.insert(slot, outboard);
        Ok(())
    }

    /// Whether the cell digests of `slot` are known.
    #[must_use]
    pub fn has_outboard(&self, slot: u8) -> bool {
        self.outboards.contains_key(&slot)
    }

    /// Checks a cell against its slot's digests.
    ///
    /// # Errors
    /// See [`InvalidCell`]; [`InvalidCell::Wrong`] is the sender's fault.
    pub fn verify_cell<'a>(
        &self,
        slot: u8,
        row: u64,
        bytes: &'a [u8],
    ) -> Result<VerifiedCell<'a>, InvalidCell> {
        self.roots.get(slot).ok_or(InvalidCell::NoSlot { slot })?;
        let outboard = self
            .outboards
            .get(&slot)
            .ok_or(InvalidCell::NoOutboard { slot })?;
        outboard
            .verify_cell(row, bytes)
            .map_err(|source| InvalidCell::Wrong { slot, source })?;
        Ok(self.verified(slot, row, bytes))
    }

    /// Checks a cell that came with its own path to the slot's root, so that no digests are needed.
    ///
    /// # Errors
    /// See [`InvalidCell`]; [`InvalidCell::Wrong`] is the sender's fault.
    pub fn verify_cell_by_path<'a>(
        &self,
        slot: u8,
        row: u64,
        bytes: &'a [u8],
        path: &[Hash],
    ) -> Result<VerifiedCell<'a>, InvalidCell> {
        let root = self.roots.get(slot).ok_or(InvalidCell::NoSlot { slot })?;
        if verify_group(root, self.header.slot_bytes(), row, bytes, path) {
            Ok(self.verified(slot, row, bytes))
        } else {
            let source = WrongCell { row };
            Err(InvalidCell::Wrong { slot, source })
        }
    }

    const fn verified<'a>(&self, slot: u8, row: u64, bytes: &'a [u8]) -> VerifiedCell<'a> {
        VerifiedCell {
            bundle: self.cid,
            slot,
            row,
            bytes,
        }
    }

    /// Rebuilds the ciphertext of `row` from any `k` of its cells and appends it to `sealed`, without the zeros that fill
    /// the last row. Where the digests of a missing data slot are known, the rebuilt cell is compared with them.
    ///
    /// # Errors
    /// See [`RowError`]; after one `sealed` may hold a part of the row.
    pub fn decode_row(
        &mut self,
        row: u64,
        cells: &[VerifiedCell<'_>],
        sealed: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let used = self.choose(row, cells)?;
        let data: Vec<u8> = (0..self.header.class().k()).collect();
        let missing: Vec<u8> = data
            .iter()
            .copied()
            .filter(|slot| !used.contains_key(slot))
            .collect();
        let rebuilt = self.rebuild(row, &used, &missing)?;
        let rebuilt: BTreeMap<u8, Vec<u8>> = missing.into_iter().zip(rebuilt).collect();
        let mut left = to_usize(self.header.row_len(row));
        for slot in &data {
            let whole = used
                .get(slot)
                .copied()
                .or_else(|| rebuilt.get(slot).map(Vec::as_slice));
            let whole = whole.unwrap_or_default();
            let (cell, fill) = whole.split_at_checked(left).unwrap_or((whole, &[]));
            if fill.iter().any(|byte| *byte != 0) {
                return Err(RowError::Inconsistent { row, slot: *slot });
            }
            sealed.extend_from_slice(cell);
            left = left.saturating_sub(cell.len());
        }
        Ok(())
    }

    /// Rebuilds the cell of `slot` in `row` from any `k` cells: the work of a repair. When all rows are made the slot's
    /// root must be the committed one, which [`BundleDecoder::slot_roots`] holds.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn rebuild_cell(
        &mut self,
        row: u64,
        cells: &[VerifiedCell<'_>],
        slot: u8,
    ) -> Result<Vec<u8>, RowError> {
        let used = self.choose(row, cells)?;
        let mut rebuilt = self.rebuild(row, &used, &[slot])?;
        Ok(rebuilt.pop().unwrap_or_default())
    }

    /// The `k` cells with the lowest indices, so that data cells, which need no work, come first.
    fn choose<'a>(&self, row: u64, cells: &[VerifiedCell<'a>]) -> Result<BTreeMap<u8, &'a [u8]>, RowError> {
        if let Some(foreign) = cells
            .iter()
            .find(|cell| cell.row != row || cell.bundle != self.cid)
        {
            let slot = foreign.slot;
            return Err(RowError::Foreign { row, slot });
        }
        let all: BTreeMap<u8, &'a [u8]> = cells.iter().map(|cell| (cell.slot, cell.bytes)).collect();
        let need = self.code.k();
        if all.len() < need {
            return Err(RowError::NotEnough {
                row,
                have: all.len(),
                need,
            });
        }
        Ok(all.into_iter().take(need).collect())
    }

    fn rebuild(
        &mut self,
        row: u64,
        used: &BTreeMap<u8, &[u8]>,
        wanted: &[u8],
    ) -> Result<Vec<Vec<u8>>, RowError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let from: Vec<u8> = used.keys().copied().collect();
        let mixing = match self.mixing.take() {
            Some(mixing) if mixing.from() == from && mixing.to() == wanted => mixing,
            Some(_) | None => self.code.mixing(&from, wanted)?,
        };
        let inputs: Vec<&[u8]> = used.values().copied().collect();
        let mut rebuilt = vec![vec![0; to_usize(self.header.class().cell_bytes())]; wanted.len()];
        let mut outputs: Vec<&mut [u8]> = rebuilt.iter_mut().map(Vec::as_mut_slice).collect();
        mixing.apply(&inputs, &mut outputs)?;
        self.mixing = Some(mixing);
        for (slot, cell) in wanted.iter().zip(&rebuilt) {
            let known = self.outboards.get(slot);
            if known.is_some_and(|outboard| outboard.verify_cell(row, cell).is_err()) {
                return Err(RowError::Inconsistent { row, slot: *slot });
            }
        }
        Ok(rebuilt)
    }
}
