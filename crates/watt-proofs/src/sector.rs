//! What lies where in a sector's payload, and which replica that makes (`docs/spec/proofs.md` §2, §3).

use crate::params::{SectorSize, number};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;
use serde::{Deserialize, Serialize};
use watt_primitives::hash::{Domain, hash};
use watt_primitives::slot_tree::GROUP_BYTES;
use watt_primitives::terms::{PIECES_MAX, Piece};
use watt_primitives::{AccountId, DealId, Hash, NetworkId, SectorNumber, SlotIndexInDeal, codec};

/// Key of the filler stream: these letters, then zeros.
const FILLER_KEY: [u8; 32] = *b"watt/1/filler\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Names one replica in the world: no two sectors, providers or networks share one, so no replica serves for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub Hash);

impl ReplicaId {
    /// The replica of the payload behind `comm_d` in `sector` of `provider`, sealed after `seal_seed` became known.
    #[must_use]
    pub fn derive(
        network: &NetworkId,
        provider: &AccountId,
        sector: SectorNumber,
        comm_d: &Hash,
        seal_seed: &Hash,
    ) -> Self {
        let number = sector.0.to_be_bytes();
        let parts: [&[u8]; 4] = [provider.as_ref(), &number, comm_d.as_ref(), seal_seed.as_ref()];
        Self(hash(Domain::Replica, network, &parts))
    }
}

/// The pieces of one sector, known to cover its payload exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceTable {
    size: SectorSize,
    pieces: Vec<Piece>,
}

impl PieceTable {
    /// Checks that `pieces` are sorted, without gap or overlap, cut at 16 KiB, and end where the payload ends.
    ///
    /// # Errors
    /// See [`InvalidPieceTable`].
    pub fn check(size: SectorSize, pieces: Vec<Piece>) -> Result<Self, InvalidPieceTable> {
        if pieces.len() > PIECES_MAX {
            return Err(InvalidPieceTable::TooMany {
                n_pieces: pieces.len(),
            });
        }
        let group = u64::try_from(GROUP_BYTES).unwrap_or(u64::MAX);
        let (mut end, mut after_filler, mut slots) = (0u64, false, BTreeSet::new());
        for piece in &pieces {
            let (offset, len) = extent(piece);
            if offset != end {
                return Err(InvalidPieceTable::GapOrOverlap {
                    expected: end,
                    found: offset,
                });
            }
            if len == 0 || len % group != 0 {
                return Err(InvalidPieceTable::UnevenPiece { offset, len });
            }
            end = end
                .checked_add(len)
                .ok_or(InvalidPieceTable::UnevenPiece { offset, len })?;
            let is_filler = match piece {
                Piece::Slot { deal, slot, .. } => {
                    if !slots.insert((*deal, *slot)) {
                        return Err(InvalidPieceTable::SlotTwice { slot: *slot });
                    }
                    false
                }
                Piece::Filler { .. } => true,
            };
            if is_filler && after_filler {
                return Err(InvalidPieceTable::SplitFiller { offset });
            }
            after_filler = is_filler;
        }
        if end != size.payload_bytes() {
            return Err(InvalidPieceTable::WrongEnd {
                expected: size.payload_bytes(),
                found: end,
            });
        }
        Ok(Self { size, pieces })
    }

    /// The table of a sector without any slot: committed capacity.
    #[must_use]
    pub fn filler_only(size: SectorSize) -> Self {
        let len = size.payload_bytes();
        Self {
            size,
            pieces: alloc::vec![Piece::Filler { offset: 0, len }],
        }
    }

    /// The sector's size.
    #[must_use]
    pub const fn size(&self) -> SectorSize {
        self.size
    }

    /// The pieces in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Commits to the table, and through the slot roots in it to every byte of the payload.
    #[must_use]
    pub fn comm_d(&self, network: &NetworkId) -> Hash {
        hash(Domain::PieceTable, network, &[&codec::encode(&self.pieces)])
    }

    /// Writes the filler into `payload`, where the table has any; slots are left as they are.
    pub fn fill(&self, payload: &mut [u8]) {
        self.fill_part(0, payload);
    }

    /// Writes the filler into `part`, the payload's bytes from `offset` on, as [`Self::fill`] does into the whole.
    pub fn fill_part(&self, offset: u64, part: &mut [u8]) {
        for piece in &self.pieces {
            let (Piece::Filler { .. }, Some(overlap)) = (piece, overlap(piece, offset, part.len())) else {
                continue;
            };
            if let Some(place) = part.get_mut(overlap.in_part) {
                filler(extent(piece).0.saturating_add(overlap.in_piece), place);
            }
        }
    }

    /// What of the slots lies in the `len` bytes of the payload from `offset` on, in order.
    pub fn slots_in(&self, offset: u64, len: usize) -> impl Iterator<Item = SlotPart> {
        self.pieces.iter().filter_map(move |piece| match piece {
            Piece::Slot { deal, slot, .. } => {
                let overlap = overlap(piece, offset, len)?;
                Some(SlotPart {
                    deal: *deal,
                    slot: *slot,
                    offset: overlap.in_piece,
                    place: overlap.in_part,
                })
            }
            Piece::Filler { .. } => None,
        })
    }

    /// The piece that holds payload byte `offset`, with its index.
    pub(crate) fn piece_at(&self, offset: u64) -> Option<(usize, &Piece)> {
        let after = self.pieces.partition_point(|piece| extent(piece).0 <= offset);
        let index = after.checked_sub(1)?;
        self.pieces.get(index).map(|piece| (index, piece))
    }
}

/// A part of a slot that lies in a part of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotPart {
    /// The slot's deal.
    pub deal: DealId,
    /// The slot's index in its deal.
    pub slot: SlotIndexInDeal,
    /// First byte, counted in the slot.
    pub offset: u64,
    /// The bytes' place, counted from the beginning of the part of the payload.
    pub place: Range<usize>,
}

/// Where a piece and a part of the payload overlap: first byte, counted in the piece, and place in the part.
struct Overlap {
    in_piece: u64,
    in_part: Range<usize>,
}

/// Where `piece` and the `len` bytes of the payload from `offset` on overlap; `None` if nowhere.
fn overlap(piece: &Piece, offset: u64, len: usize) -> Option<Overlap> {
    let (first, piece_len) = extent(piece);
    let from = first.max(offset);
    let to = first
        .saturating_add(piece_len)
        .min(offset.saturating_add(number(len)));
    let in_part = |at: u64| usize::try_from(at.checked_sub(offset)?).ok();
    (from < to).then_some(Overlap {
        in_piece: from.checked_sub(first)?,
        in_part: in_part(from)?..in_part(to)?,
    })
}

/// First byte and length of a piece.
pub(crate) const fn extent(piece: &Piece) -> (u64, u64) {
    match piece {
        Piece::Slot { offset, len, .. } | Piece::Filler { offset, len } => (*offset, *len),
    }
}

/// Writes the filler that belongs at payload byte `offset`: the keyed BLAKE3 stream from there.
pub(crate) fn filler(offset: u64, out: &mut [u8]) {
    let mut stream = blake3::Hasher::new_keyed(&FILLER_KEY).finalize_xof();
    stream.set_position(offset);
    stream.fill(out);
}

/// Why pieces don't make a piece table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPieceTable {
    /// More than [`PIECES_MAX`].
    #[error("{n_pieces} pieces where at most {PIECES_MAX} are allowed")]
    TooMany {
        /// Pieces found.
        n_pieces: usize,
    },
    /// A piece does not begin where the one before ends.
    #[error("a piece begins at byte {found} where byte {expected} is next")]
    GapOrOverlap {
        /// Where the piece before ends.
        expected: u64,
        /// Where this one begins.
        found: u64,
    },
    /// Empty, or not a whole number of 16 KiB groups.
    #[error("the piece at byte {offset} has {len} bytes, not a whole number of 16 KiB groups")]
    UnevenPiece {
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// Two fillers in a row: one table has one form.
    #[error("the filler at byte {offset} follows another filler")]
    SplitFiller {
        /// First byte of the second.
        offset: u64,
    },
    /// The same slot of the same deal twice: paid twice, stored once.
    #[error("slot {slot} of the same deal appears twice")]
    SlotTwice {
        /// Index in its deal.
        slot: SlotIndexInDeal,
    },
    /// The pieces end before or after the payload does.
    #[error("the pieces end at byte {found}, the payload at byte {expected}")]
    WrongEnd {
        /// Length of the payload.
        expected: u64,
        /// End of the last piece.
        found: u64,
    },
}

#[cfg(test)]
mod tests;
