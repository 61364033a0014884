//! The list of a slot's cell digests, which lets each cell be checked alone (`docs/spec/storage.md` §2.5).
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::layout::{to_u64, to_usize};
use alloc::vec::Vec;
use watt_primitives::Hash;
use watt_primitives::class::Class;
use watt_primitives::slot_tree::{GROUP_BYTES, group_digest, root_of_groups};

// A cell is one verified group in every class, so that a cell proves itself without its neighbours.
const _: () = assert!(Class::Devnet.cell_bytes() == 16 * 1024 && GROUP_BYTES == 16 * 1024);

/// Digests of a slot's cells, known to merge to the slot's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outboard {
    root: Hash,
    cells: Vec<Hash>,
}

/// A list of cell digests that does not belong to the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOutboard {
    /// One digest per row.
    #[error("{found} cell digests for a slot of {rows} cells")]
    Count {
        /// Digests given.
        found: usize,
        /// Cells in the slot.
        rows: u64,
    },
    /// The digests merge to another root.
    #[error("the cell digests do not merge to the slot's root")]
    OtherRoot,
}

/// A cell whose bytes are not what the slot's root commits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cell {row} is not the one the slot's root commits to")]
pub struct WrongCell {
    /// The cell's row.
    pub row: u64,
}

impl Outboard {
    /// Checks the digests of a slot of `rows` cells against its `root`.
    ///
    /// # Errors
    /// See [`InvalidOutboard`].
    pub fn check(root: &Hash, rows: u64, cells: Vec<Hash>) -> Result<Self, InvalidOutboard> {
        if to_u64(cells.len()) != rows || rows == 0 {
            return Err(InvalidOutboard::Count {
                found: cells.len(),
                rows,
            });
        }
        if root_of_groups(&cells) == *root {
            Ok(Self { root: *root, cells })
        } else {
            Err(InvalidOutboard::OtherRoot)
        }
    }

    /// The outboard of cells that were hashed here; their root is whatever they merge to.
    pub(crate) fn of_cells(cells: Vec<Hash>) -> Self {
        Self {
            root: root_of_groups(&cells),
            cells,
        }
    }

    /// Root of the slot.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// The digests in row order, to store or to send.
    #[must_use]
    pub fn cells(&self) -> &[Hash] {
        &self.cells
    }

    /// Refuses bytes that are not cell `row` of the slot.
    ///
    /// # Errors
    /// [`WrongCell`].
    pub fn verify_cell(&self, row: u64, bytes: &[u8]) -> Result<(), WrongCell> {
        let expected = self.cells.get(to_usize(row));
        let is_cell = bytes.len() == GROUP_BYTES
            && expected.is_some_and(|digest| *digest == group_digest(row, to_u64(self.cells.len()), bytes));
        if is_cell { Ok(()) } else { Err(WrongCell { row }) }
    }
}
