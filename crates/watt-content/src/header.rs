//! What a bundle commits to, and the list of its slot roots (`docs/spec/storage.md` §1.1, §1.2).
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::cipher::{Cipher, FileKey, WrongKey};
use crate::layout::rows_of;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::class::Class;
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::hash::{Domain, DomainHasher};
use watt_primitives::terms::SLOTS_MAX;
use watt_primitives::{BoundedVec, Cid, Hash, merkle};

/// The longest encoding of a header, in bytes.
pub const HEADER_BYTES_MAX: usize = 512;
/// The longest encoding of a slot-root list, in bytes: 34 per root and the list's head.
pub const SLOT_ROOTS_BYTES_MAX: usize = 34 * SLOTS_MAX + 8;
/// The version this program writes and reads.
const VERSION: u8 = 1;

/// A header as it stands on the wire; nothing in it may be relied on before [`UncheckedHeader::check`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UncheckedHeader {
    /// Version of this structure.
    pub v: u8,
    /// Encoding class.
    pub class: Class,
    /// Shares that rebuild.
    pub k: u8,
    /// Shares that are placed.
    pub n: u8,
    /// Further shares whose roots are committed to.
    pub spare: u8,
    /// Bytes in a cell.
    pub cell: u64,
    /// Rows in the bundle; a slot is this many cells.
    pub rows: u64,
    /// Ciphertext bytes in the bundle, without the zeros that fill the last row.
    pub len: u64,
    /// How records are sealed.
    pub cipher: Cipher,
    /// Commitment to the file key.
    #[serde(rename = "keycommit")]
    pub key_commitment: Hash,
    /// BLAKE3 of the `len` ciphertext bytes.
    pub payload: Hash,
    /// Merkle root over the `n + spare` slot roots.
    pub slots: Hash,
    /// CID of the list of slot roots.
    #[serde(rename = "slotroots")]
    pub slot_roots: Cid,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// Not the canonical encoding of a header.
    #[error("header: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// Written by a later program.
    #[error("header version {found} is not known to this program; update it")]
    Version {
        /// Version found.
        found: u8,
    },
    /// `k`, `n`, `spare` or the cell differ from the class.
    #[error("the header's code parameters are not those of its class")]
    Parameters,
    /// Nothing in it, or more than its class allows.
    #[error("a bundle of {rows} rows where 1 to {rows_max} are allowed")]
    Rows {
        /// Rows found.
        rows: u64,
        /// Rows allowed.
        rows_max: u64,
    },
    /// The bytes do not fill the rows.
    #[error("{len} bytes do not make {rows} rows")]
    Length {
        /// Ciphertext bytes.
        len: u64,
        /// Rows.
        rows: u64,
    },
}

impl UncheckedHeader {
    /// Compares the header with its class and its lengths with each other.
    ///
    /// # Errors
    /// See [`InvalidHeader`].
    pub fn check(self) -> Result<Header, InvalidHeader> {
        if self.v != VERSION {
            return Err(InvalidHeader::Version { found: self.v });
        }
        let class = self.class;
        let is_of_class = self.k == class.k()
            && self.n == class.n()
            && self.spare == class.spare()
            && self.cell == class.cell_bytes();
        if !is_of_class {
            return Err(InvalidHeader::Parameters);
        }
        let (rows, len) = (self.rows, self.len);
        if rows == 0 || rows > class.rows_max() {
            return Err(InvalidHeader::Rows {
                rows,
                rows_max: class.rows_max(),
            });
        }
        if rows_of(class, len) != rows {
            return Err(InvalidHeader::Length { len, rows });
        }
        Ok(Header(self))
    }
}

/// A bundle's header, well-formed and in accord with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(UncheckedHeader);

impl Header {
    /// Builds the header of a bundle that was encoded here.
    pub(crate) fn of_bundle(
        class: Class,
        len: u64,
        cipher: Cipher,
        key_commitment: Hash,
        payload: Hash,
        roots: &SlotRoots,
    ) -> Result<Self, InvalidHeader> {
        let header = UncheckedHeader {
            v: VERSION,
            class,
            k: class.k(),
            n: class.n(),
            spare: class.spare(),
            cell: class.cell_bytes(),
            rows: rows_of(class, len),
            len,
            cipher,
            key_commitment,
            payload,
            slots: roots.merkle_root(),
            slot_roots: roots.cid(),
        };
        header.check()
    }

    /// Reads a header.
    ///
    /// # Errors
    /// See [`InvalidHeader`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidHeader> {
        codec::decode::<UncheckedHeader>(bytes, HEADER_BYTES_MAX)?.check()
    }

    /// The canonical encoding: the block that [`Header::cid`] names.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&self.0)
    }

    /// CID of the header: the name of the bundle.
    #[must_use]
    pub fn cid(&self) -> Cid {
        Cid::of_block(&self.encode())
    }

    /// Encoding class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.0.class
    }

    /// Rows in the bundle.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.0.rows
    }

    /// Ciphertext bytes in the bundle.
    #[must_use]
    pub const fn sealed_len(&self) -> u64 {
        self.0.len
    }

    /// Bytes in each slot.
    #[must_use]
    pub const fn slot_bytes(&self) -> u64 {
        self.0.rows.saturating_mul(self.0.cell)
    }

    /// Ciphertext bytes in `row`: a full row but for the last.
    #[must_use]
    pub const fn row_len(&self, row: u64) -> u64 {
        let row_bytes = self.0.class.row_bytes();
        let rest = self.0.len.saturating_sub(row.saturating_mul(row_bytes));
        if rest < row_bytes { rest } else { row_bytes }
    }

    /// Slot roots committed to: `n + spare`.
    #[must_use]
    pub const fn slot_count(&self) -> u8 {
        self.0.n.saturating_add(self.0.spare)
    }

    /// How records are sealed.
    #[must_use]
    pub const fn cipher(&self) -> Cipher {
        self.0.cipher
    }

    /// BLAKE3 of the bundle's ciphertext.
    #[must_use]
    pub const fn payload(&self) -> &Hash {
        &self.0.payload
    }

    /// CID of the list of slot roots.
    #[must_use]
    pub const fn slot_roots(&self) -> &Cid {
        &self.0.slot_roots
    }

    /// Refuses a key that the header does not commit to (§3.4); nothing may be decrypted before.
    ///
    /// # Errors
    /// [`WrongKey`].
    pub fn check_key(&self, key: &FileKey) -> Result<(), WrongKey> {
        key.check(&self.0.key_commitment)
    }
}

/// The roots of a bundle's `n + spare` slots in index order, as a block of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotRoots(BoundedVec<Hash, SLOTS_MAX>);

/// A list of slot roots that is not the header's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlotRoots {
    /// Not the canonical encoding of such a list.
    #[error("slot roots: {0}")]
    Encoding(#[from] InvalidEncoding),
    /// More or fewer than the header says.
    #[error("{found} slot roots where the header commits to {expected}")]
    Count {
        /// Roots found.
        found: usize,
        /// Roots committed to.
        expected: u8,
    },
    /// Another list than the one the header commits to.
    #[error("these are not the slot roots that the header commits to")]
    Other,
}

impl SlotRoots {
    pub(crate) const fn new(roots: BoundedVec<Hash, SLOTS_MAX>) -> Self {
        Self(roots)
    }

    /// Reads the list that `header` commits to.
    ///
    /// # Errors
    /// See [`InvalidSlotRoots`].
    pub fn decode(bytes: &[u8], header: &Header) -> Result<Self, InvalidSlotRoots> {
        let roots: Self = codec::decode(bytes, SLOT_ROOTS_BYTES_MAX)?;
        roots.check(header)?;
        Ok(roots)
    }

    /// Compares the list with `header`: count, Merkle root and CID.
    ///
    /// # Errors
    /// [`InvalidSlotRoots::Count`], [`InvalidSlotRoots::Other`].
    pub fn check(&self, header: &Header) -> Result<(), InvalidSlotRoots> {
        if self.0.len() != usize::from(header.slot_count()) {
            return Err(InvalidSlotRoots::Count {
                found: self.0.len(),
                expected: header.slot_count(),
            });
        }
        if self.merkle_root() == header.0.slots && self.cid() == header.0.slot_roots {
            Ok(())
        } else {
            Err(InvalidSlotRoots::Other)
        }
    }

    /// The canonical encoding: the block that [`SlotRoots::cid`] names.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// CID of the list.
    #[must_use]
    pub fn cid(&self) -> Cid {
        Cid::of_block(&self.encode())
    }

    /// Root of slot `index`.
    #[must_use]
    pub fn get(&self, index: u8) -> Option<&Hash> {
        self.0.get(usize::from(index))
    }

    /// All roots in index order.
    #[must_use]
    pub fn as_slice(&self) -> &[Hash] {
        &self.0
    }

    /// Merkle root over the slot roots (§1.2).
    #[must_use]
    pub fn merkle_root(&self) -> Hash {
        merkle::root(&self.leaves())
    }

    /// Siblings that prove slot `index` under [`SlotRoots::merkle_root`].
    #[must_use]
    pub fn path(&self, index: u8) -> Option<Vec<Hash>> {
        merkle::path(&self.leaves(), usize::from(index))
    }

    fn leaves(&self) -> Vec<Hash> {
        self.0.iter().map(slot_leaf).collect()
    }
}

/// Leaf of a slot root in the Merkle tree of a header.
#[must_use]
pub fn slot_leaf(root: &Hash) -> Hash {
    DomainHasher::without_network(Domain::SlotRoots)
        .part(root.as_ref())
        .finish()
}
