//! Which slots go into the next sector, and where.

use watt_primitives::terms::Piece;
use watt_primitives::{DealId, Hash, SlotIndexInDeal};

/// Payload bytes of one unit: 62 groups of 16 KiB (`docs/spec/proofs.md` §2).
pub(super) const UNIT_PAYLOAD_BYTES: u64 = 62 * 16 * 1024;

/// A slot that lies on disk and in no sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LooseSlot {
    pub(super) deal: DealId,
    pub(super) slot: SlotIndexInDeal,
    pub(super) root: Hash,
    pub(super) len: u64,
}

impl LooseSlot {
    pub(super) const fn name(&self) -> (DealId, SlotIndexInDeal) {
        (self.deal, self.slot)
    }
}

/// Fills one sector of at most `units_max` units with the first slots that fit, in order; the smallest size that holds them.
pub(super) fn pack(
    loose: &[LooseSlot],
    units_min: u16,
    units_max: u16,
    pieces_max: usize,
) -> Option<(u16, Vec<Piece>)> {
    let room = u64::from(units_max).saturating_mul(UNIT_PAYLOAD_BYTES);
    let mut pieces = Vec::new();
    let mut offset = 0u64;
    for slot in loose {
        // One entry is left for the filler at the end.
        if pieces.len().saturating_add(1) >= pieces_max || offset.saturating_add(slot.len) > room {
            continue;
        }
        pieces.push(Piece::Slot {
            deal: slot.deal,
            slot: slot.slot,
            root: slot.root,
            offset,
            len: slot.len,
        });
        offset = offset.saturating_add(slot.len);
    }
    if pieces.is_empty() {
        return None;
    }
    let units = u16::try_from(offset.div_ceil(UNIT_PAYLOAD_BYTES))
        .ok()?
        .max(units_min);
    let payload = u64::from(units).saturating_mul(UNIT_PAYLOAD_BYTES);
    if offset < payload {
        pieces.push(Piece::Filler {
            offset,
            len: payload.saturating_sub(offset),
        });
    }
    Some((units, pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loose(len: u64) -> LooseSlot {
        LooseSlot {
            deal: DealId([1; 32]),
            slot: SlotIndexInDeal(0),
            root: Hash::ZERO,
            len,
        }
    }

    /// The pieces cover the payload without gap, and the sector is the smallest that holds them. Covers: D1.
    #[test]
    fn pieces_cover_the_smallest_sector() {
        let group = 16 * 1024;
        for n in [1, 61, 62, 63, 200] {
            let (units, pieces) = pack(&[loose(n * group), loose(3 * group)], 1, 32, 256).unwrap();
            let mut at = 0;
            for piece in &pieces {
                let (Piece::Slot { offset, len, .. } | Piece::Filler { offset, len }) = piece;
                assert_eq!(*offset, at);
                at += len;
            }
            assert_eq!(at, u64::from(units) * UNIT_PAYLOAD_BYTES);
            assert!((u64::from(units) - 1) * UNIT_PAYLOAD_BYTES < (n + 3) * group);
        }
    }

    /// What does not fit waits for the next sector; nothing to pack makes no sector. Covers: D1.
    #[test]
    fn what_does_not_fit_waits() {
        let (units, pieces) =
            pack(&[loose(UNIT_PAYLOAD_BYTES), loose(UNIT_PAYLOAD_BYTES)], 1, 1, 256).unwrap();
        assert_eq!((units, pieces.len()), (1, 1));
        assert_eq!(pack(&[loose(UNIT_PAYLOAD_BYTES + 1)], 1, 1, 256), None);
        assert_eq!(pack(&[], 1, 32, 256), None);
    }
}
