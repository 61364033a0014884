//! Systematic Reed-Solomon over GF(2^8), rows of equal cells (`docs/spec/storage.md` §4).
//!
//! Share `j` of a row is `P(j)`, `P` the polynomial of degree < `k` with `P(i) = data_i` for `i < k`; indices are read as
//! field elements. So any prefix of indices is the same code, and any `k` of up to 256 shares give any other.

mod field;
mod kernel;

use alloc::vec::Vec;
use kernel::Kernel;

/// A code with fixed `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    k: u8,
}

/// Why a row cannot be coded as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Too few shares to rebuild anything.
    #[error("{have} shares where {need} are needed")]
    NotEnough {
        /// Shares given.
        have: usize,
        /// Shares needed.
        need: usize,
    },
    /// One index twice.
    #[error("share {index} is given twice")]
    Duplicate {
        /// The index.
        index: u8,
    },
    /// Number of cells and number of indices differ.
    #[error("{cells} cells where {indices} belong")]
    CellCount {
        /// Cells given.
        cells: usize,
        /// Indices to which they should belong.
        indices: usize,
    },
    /// Cells of one row have one length.
    #[error("a cell of {len} bytes in a row of cells of {expected} bytes")]
    CellLength {
        /// Length found.
        len: usize,
        /// Length of the row's first cell.
        expected: usize,
    },
}

impl Code {
    /// The code in which `k` shares rebuild; `None` for zero.
    #[must_use]
    pub const fn new(k: u8) -> Option<Self> {
        if k == 0 { None } else { Some(Self { k }) }
    }

    /// Shares that rebuild a row.
    #[must_use]
    pub fn k(self) -> usize {
        usize::from(self.k)
    }

    /// Prepares making the shares `to` from exactly `k` shares `from`. It costs `k` multiplications per output and is worth
    /// keeping while the index sets stay the same.
    ///
    /// # Errors
    /// [`CodeError::NotEnough`], [`CodeError::Duplicate`] (among `from`), [`CodeError::CellCount`] (more than `k`).
    pub fn mixing(self, from: &[u8], to: &[u8]) -> Result<Mixing, CodeError> {
        if from.len() < self.k() {
            return Err(CodeError::NotEnough {
                have: from.len(),
                need: self.k(),
            });
        }
        if from.len() > self.k() {
            return Err(CodeError::CellCount {
                cells: from.len(),
                indices: self.k(),
            });
        }
        for (i, index) in from.iter().enumerate() {
            if from.iter().take(i).any(|earlier| earlier == index) {
                return Err(CodeError::Duplicate { index: *index });
            }
        }
        let rows: Vec<Vec<u8>> = field::lagrange(from, to);
        Ok(Mixing {
            from: from.to_vec(),
            to: to.to_vec(),
            kernel: Kernel::new(from.len(), &rows),
        })
    }

    /// Makes the shares `indices` of the row whose data cells are `data`.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn encode_row(
        self,
        data: &[&[u8]],
        indices: &[u8],
        outputs: &mut [&mut [u8]],
    ) -> Result<(), CodeError> {
        let from: Vec<u8> = (0..self.k).collect();
        self.mixing(&from, indices)?.apply(data, outputs)
    }

    /// Makes the shares `wanted` (data or parity) from the first `k` of `shares`.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn reconstruct_row(
        self,
        shares: &[(u8, &[u8])],
        wanted: &[u8],
        outputs: &mut [&mut [u8]],
    ) -> Result<(), CodeError> {
        let used = shares.get(..self.k()).unwrap_or(shares);
        let (from, cells): (Vec<u8>, Vec<&[u8]>) = used.iter().copied().unzip();
        self.mixing(&from, wanted)?.apply(&cells, outputs)
    }

    /// The first of `shares` that does not lie on the polynomial through the `k` before it, if there is one: proof that
    /// whoever committed to these cells committed to no codeword (TS37).
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn first_inconsistent(self, shares: &[(u8, &[u8])]) -> Result<Option<u8>, CodeError> {
        let (known, rest) = shares.split_at_checked(self.k()).unwrap_or((shares, &[]));
        let len = known.first().map_or(0, |(_, cell)| cell.len());
        let wanted: Vec<u8> = rest.iter().map(|(index, _)| *index).collect();
        let mut expected = alloc::vec![alloc::vec![0; len]; rest.len()];
        let mut outputs: Vec<&mut [u8]> = expected.iter_mut().map(Vec::as_mut_slice).collect();
        self.reconstruct_row(known, &wanted, &mut outputs)?;
        let bad = rest
            .iter()
            .zip(&expected)
            .find(|((_, cell), expected)| *cell != expected.as_slice());
        Ok(bad.map(|((index, _), _)| *index))
    }
}

/// A prepared linear map from `k` shares to others.
#[derive(Clone, Debug)]
pub struct Mixing {
    from: Vec<u8>,
    to: Vec<u8>,
    kernel: Kernel,
}

impl Mixing {
    /// Indices of the input shares.
    #[must_use]
    pub fn from(&self) -> &[u8] {
        &self.from
    }

    /// Indices of the output shares.
    #[must_use]
    pub fn to(&self) -> &[u8] {
        &self.to
    }

    /// Makes one row's outputs from its inputs; both in the order of the prepared indices.
    ///
    /// # Errors
    /// [`CodeError::CellCount`], [`CodeError::CellLength`].
    pub fn apply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<(), CodeError> {
        for (cells, indices) in [(inputs.len(), self.from.len()), (outputs.len(), self.to.len())] {
            if cells != indices {
                return Err(CodeError::CellCount { cells, indices });
            }
        }
        let expected = inputs.first().map_or(0, |cell| cell.len());
        let mut lengths = inputs
            .iter()
            .map(|cell| cell.len())
            .chain(outputs.iter().map(|cell| cell.len()));
        if let Some(len) = lengths.find(|len| *len != expected) {
            return Err(CodeError::CellLength { len, expected });
        }
        self.kernel.apply(inputs, outputs);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
