//! Put: two passes over the same file, one bundle at a time (`docs/spec/storage.md` §2.4).
//!
//! The first pass finds the roots of all slots, with which the network is asked for space; the second makes the cells that
//! are sent. Memory is one row and the cell digests, whatever the size of the file. Both passes work on one bundle, so
//! that bundles can be worked on in parallel and a put resumes at any of them: whoever drives a pass feeds it exactly
//! [`BundlePlan::plain`](crate::BundlePlan).

use crate::cipher::{Cipher, FileKey};
use crate::erasure::{Code, CodeError, Mixing};
use crate::header::{Header, InvalidHeader, SlotRoots};
use crate::layout::{FilePlan, to_usize};
use crate::outboard::Outboard;
use crate::row_stream::{ReadyRow, RowStream};
use alloc::vec;
use alloc::vec::Vec;
use watt_primitives::class::Class;
use watt_primitives::slot_tree::group_digest;
use watt_primitives::terms::BundleTerms;
use watt_primitives::{BoundedVec, Cid, Hash};

/// Why a file could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The plan has no such bundle.
    #[error("the file has no bundle {bundle}")]
    NoBundle {
        /// Bundle asked for.
        bundle: usize,
    },
    /// The class has no such slot, or it is asked for twice.
    #[error("slot {slot} cannot be asked for")]
    NoSlot {
        /// Slot asked for.
        slot: u8,
    },
    /// More plaintext came than planned: the file grew.
    #[error("the file has changed: more than {len} bytes came")]
    TooLong {
        /// Planned length in bytes.
        len: u64,
    },
    /// The plaintext ended early: the file shrank.
    #[error("the file has changed: {missing} bytes are missing")]
    TooShort {
        /// Bytes still expected.
        missing: u64,
    },
    /// The file differs from what the first pass saw. Nothing of this row may leave the machine: two plaintexts would
    /// be sealed under one key.
    #[error("the file has changed between the two passes: row {row} differs")]
    Changed {
        /// The row.
        row: u64,
    },
    /// The digests of the first pass are not those of this bundle.
    #[error("the digests of {found} data slots are given, {expected} are needed")]
    Outboards {
        /// Outboards given that fit.
        found: usize,
        /// Data slots of the class.
        expected: usize,
    },
    /// The class's code does not work; a defect of this program.
    #[error("row: {0}")]
    Code(#[from] CodeError),
    /// The class's numbers do not make a header; a defect of this program.
    #[error(transparent)]
    Header(#[from] InvalidHeader),
}

/// Makes the cells of a row: the data cells as they are, others by the code.
#[derive(Debug)]
struct RowCoder {
    cell_bytes: usize,
    k: usize,
    mixing: Mixing,
    parity: Vec<Vec<u8>>,
}

impl RowCoder {
    /// Prepares making the parity slots among `slots`.
    fn new(class: Class, slots: &[u8]) -> Result<Self, EncodeError> {
        let code = code_of(class)?;
        let data: Vec<u8> = (0..class.k()).collect();
        let parity: Vec<u8> = slots.iter().copied().filter(|slot| *slot >= class.k()).collect();
        let cell_bytes = to_usize(class.cell_bytes());
        Ok(Self {
            cell_bytes,
            k: code.k(),
            mixing: code.mixing(&data, &parity)?,
            parity: vec![vec![0; cell_bytes]; parity.len()],
        })
    }

    fn encode(&mut self, row: &[u8]) -> Result<(), EncodeError> {
        let data: Vec<&[u8]> = row.chunks_exact(self.cell_bytes).collect();
        let mut outputs: Vec<&mut [u8]> = self.parity.iter_mut().map(Vec::as_mut_slice).collect();
        Ok(self.mixing.apply(&data, &mut outputs)?)
    }

    /// Cell of `slot` in the row that was encoded last.
    fn cell<'a>(&'a self, row: &'a [u8], slot: u8) -> Option<&'a [u8]> {
        if usize::from(slot) < self.k {
            return row.chunks_exact(self.cell_bytes).nth(usize::from(slot));
        }
        let position = self.mixing.to().iter().position(|index| *index == slot)?;
        self.parity.get(position).map(Vec::as_slice)
    }
}

pub(crate) fn code_of(class: Class) -> Result<Code, CodeError> {
    Code::new(class.k()).ok_or(CodeError::NotEnough { have: 0, need: 0 })
}

/// First pass over a bundle: everything that a bid needs.
#[derive(Debug)]
pub struct RootsPass {
    plan: FilePlan,
    key_commitment: Hash,
    cipher: Cipher,
    rows: u64,
    sealed_len: u64,
    stream: RowStream,
    coder: RowCoder,
    payload: blake3::Hasher,
    cells: Vec<Vec<Hash>>,
}

/// What a bundle commits to, as found by the first pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRoots {
    /// The bundle's header.
    pub header: Header,
    /// Roots of all `n + spare` slots.
    pub slot_roots: SlotRoots,
    /// Cell digests of all `n + spare` slots, in index order: the data slots' are the second pass's input, and each
    /// holder may be told its own.
    pub outboards: Vec<Outboard>,
}

impl BundleRoots {
    /// What the network is asked to store, for a file with this manifest.
    #[must_use]
    pub fn terms(&self, manifest: Cid) -> BundleTerms {
        let placed = usize::from(self.header.class().n());
        let roots = self.slot_roots.as_slice().iter().copied().take(placed).collect();
        BundleTerms {
            class: self.header.class(),
            header: self.header.cid(),
            manifest,
            slot_bytes: self.header.slot_bytes(),
            slot_roots: BoundedVec::new(roots).unwrap_or_default(),
        }
    }
}

impl RootsPass {
    /// Begins the first pass over `bundle`.
    ///
    /// # Errors
    /// [`EncodeError::NoBundle`].
    pub fn new(plan: &FilePlan, bundle: usize, key: &FileKey) -> Result<Self, EncodeError> {
        let bundle = plan.bundle(bundle).ok_or(EncodeError::NoBundle { bundle })?;
        let class = plan.class();
        let cipher = Cipher::ChaCha20Poly1305;
        let slots: Vec<u8> = (0..class.n().saturating_add(class.spare())).collect();
        Ok(Self {
            plan: *plan,
            key_commitment: key.commitment(),
            cipher,
            rows: bundle.rows,
            sealed_len: bundle.sealed.end.saturating_sub(bundle.sealed.start),
            coder: RowCoder::new(class, &slots)?,
            payload: blake3::Hasher::new(),
            cells: slots
                .iter()
                .map(|_| Vec::with_capacity(to_usize(bundle.rows)))
                .collect(),
            stream: RowStream::new(plan, bundle, cipher, key),
        })
    }

    /// Takes the next plaintext of the bundle, any number of bytes.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn push(&mut self, plain: &[u8]) -> Result<(), EncodeError> {
        let mut rest = plain;
        while !rest.is_empty() {
            if self.stream.plain_left() == 0 {
                return Err(self.stream.too_long());
            }
            let taken = self.stream.push(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            self.take_rows()?;
        }
        Ok(())
    }

    /// Ends the pass; makes padding rows, if any are left.
    ///
    /// # Errors
    /// [`EncodeError::TooShort`].
    pub fn finish(mut self) -> Result<BundleRoots, EncodeError> {
        let missing = self.stream.plain_left();
        if missing > 0 {
            return Err(EncodeError::TooShort { missing });
        }
        self.take_rows()?;
        let outboards: Vec<Outboard> = self.cells.into_iter().map(Outboard::of_cells).collect();
        let roots = outboards.iter().map(|outboard| *outboard.root()).collect();
        let slot_roots = SlotRoots::new(BoundedVec::new(roots).unwrap_or_default());
        let header = Header::of_bundle(
            self.plan.class(),
            self.sealed_len,
            self.cipher,
            self.key_commitment,
            Hash(self.payload.finalize().into()),
            &slot_roots,
        )?;
        Ok(BundleRoots {
            header,
            slot_roots,
            outboards,
        })
    }

    fn take_rows(&mut self) -> Result<(), EncodeError> {
        while let Some(row) = self.stream.row()? {
            self.payload.update(row.sealed);
            self.coder.encode(row.bytes)?;
            for (slot, cells) in (0u8..).zip(&mut self.cells) {
                let cell = self.coder.cell(row.bytes, slot).unwrap_or_default();
                cells.push(group_digest(row.index, self.rows, cell));
            }
            self.stream.next_row();
        }
        Ok(())
    }
}

/// Second pass over a bundle: the cells to send.
///
/// It compares the data cells with the first pass before it shows a row, so that a file that changed in between never
/// leaves the machine sealed under the same key.
#[derive(Debug)]
pub struct CellsPass {
    stream: RowStream,
    coder: RowCoder,
    slots: Vec<u8>,
    expected: Vec<Outboard>,
    is_row_shown: bool,
}

/// One row's cells, ready to send.
#[derive(Debug)]
pub struct Row<'a> {
    index: u64,
    row: &'a [u8],
    coder: &'a RowCoder,
    slots: &'a [u8],
}

impl<'a> Row<'a> {
    /// Number of the row in its bundle: the cell's place in each slot.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Cell of each slot asked for, to be appended to that slot.
    pub fn cells(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let (row, coder) = (self.row, self.coder);
        self.slots
            .iter()
            .filter_map(move |slot| Some((*slot, coder.cell(row, *slot)?)))
    }
}

impl CellsPass {
    /// Begins the second pass over `bundle`, making cells for `slots` only: all `0..n` at first, those still missing when
    /// a put resumes.
    ///
    /// `data_outboards` are those of slots `0..k` from the first pass, or from the journal after
    /// [`Outboard::check`].
    ///
    /// # Errors
    /// [`EncodeError::NoBundle`], [`EncodeError::NoSlot`], [`EncodeError::Outboards`].
    pub fn new(
        plan: &FilePlan,
        bundle: usize,
        key: &FileKey,
        slots: &[u8],
        data_outboards: &[Outboard],
    ) -> Result<Self, EncodeError> {
        let bundle = plan.bundle(bundle).ok_or(EncodeError::NoBundle { bundle })?;
        let class = plan.class();
        let end = class.n().saturating_add(class.spare());
        for (i, slot) in slots.iter().enumerate() {
            if *slot >= end || slots.iter().take(i).any(|earlier| earlier == slot) {
                return Err(EncodeError::NoSlot { slot: *slot });
            }
        }
        let fits = |outboard: &&Outboard| outboard.cells().len() == to_usize(bundle.rows);
        let k = usize::from(class.k());
        let expected: Vec<Outboard> = data_outboards.iter().take(k).filter(fits).cloned().collect();
        if expected.len() != k {
            let found = expected.len();
            return Err(EncodeError::Outboards { found, expected: k });
        }
        Ok(Self {
            coder: RowCoder::new(class, slots)?,
            stream: RowStream::new(plan, bundle, Cipher::ChaCha20Poly1305, key),
            slots: slots.to_vec(),
            expected,
            is_row_shown: false,
        })
    }

    /// Takes plaintext until a row is complete and returns how many bytes it took; take the row with
    /// [`CellsPass::next_row`] before pushing the rest.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn push(&mut self, plain: &[u8]) -> Result<usize, EncodeError> {
        self.leave_row();
        if self.stream.plain_left() == 0 && !plain.is_empty() {
            return Err(self.stream.too_long());
        }
        self.stream.push(plain)
    }

    /// The next row, if the plaintext so far makes one. Behind the last plaintext byte it makes the padding rows, one per
    /// call.
    ///
    /// # Errors
    /// [`EncodeError::Changed`].
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, EncodeError> {
        self.leave_row();
        let Some(ReadyRow {
            index, bytes: row, ..
        }) = self.stream.row()?
        else {
            return Ok(None);
        };
        let data = row.chunks_exact(self.coder.cell_bytes);
        if data
            .zip(&self.expected)
            .any(|(cell, outboard)| outboard.verify_cell(index, cell).is_err())
        {
            return Err(EncodeError::Changed { row: index });
        }
        self.coder.encode(row)?;
        self.is_row_shown = true;
        Ok(Some(Row {
            index,
            row,
            coder: &self.coder,
            slots: &self.slots,
        }))
    }

    /// Ends the pass.
    ///
    /// # Errors
    /// [`EncodeError::TooShort`] if plaintext or rows are left.
    pub fn finish(mut self) -> Result<(), EncodeError> {
        self.leave_row();
        if self.stream.is_finished() {
            Ok(())
        } else {
            let missing = self.stream.plain_left();
            Err(EncodeError::TooShort { missing })
        }
    }

    fn leave_row(&mut self) {
        if self.is_row_shown {
            self.stream.next_row();
            self.is_row_shown = false;
        }
    }
}
