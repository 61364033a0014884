use super::*;
use crate::ProofParams;
use alloc::vec;

const GROUP: u64 = 16 * 1024;

fn size() -> SectorSize {
    SectorSize::new(&ProofParams::DEVNET, 1).unwrap()
}

fn slot(index: u8, offset: u64, len: u64) -> Piece {
    Piece::Slot {
        deal: DealId([7; 32]),
        slot: SlotIndexInDeal(index),
        root: Hash([index; 32]),
        offset,
        len,
    }
}

fn filler_piece(offset: u64, len: u64) -> Piece {
    Piece::Filler { offset, len }
}

/// One table has one form, and leaves no byte of the payload unsaid. Covers: C5, D1.
#[test]
fn tables_that_say_anything_else_are_refused() {
    let end = size().payload_bytes();
    let check = |pieces| PieceTable::check(size(), pieces);
    assert!(check(vec![filler_piece(0, end)]).is_ok());
    assert!(check(vec![slot(0, 0, GROUP), filler_piece(GROUP, end - GROUP)]).is_ok());
    let refused = |pieces| check(pieces).unwrap_err();
    let gap = |expected, found| InvalidPieceTable::GapOrOverlap { expected, found };
    assert_eq!(
        refused(vec![]),
        InvalidPieceTable::WrongEnd {
            expected: end,
            found: 0
        }
    );
    assert_eq!(refused(vec![slot(0, GROUP, GROUP)]), gap(0, GROUP));
    assert_eq!(
        refused(vec![slot(0, 0, 2 * GROUP), filler_piece(GROUP, end - GROUP)]),
        gap(2 * GROUP, GROUP)
    );
    for len in [0, GROUP - 1, GROUP + 32, 1 << 63 | 1] {
        assert_eq!(
            refused(vec![slot(0, 0, len)]),
            InvalidPieceTable::UnevenPiece { offset: 0, len }
        );
    }
    assert_eq!(
        refused(vec![filler_piece(0, GROUP), filler_piece(GROUP, end - GROUP)]),
        InvalidPieceTable::SplitFiller { offset: GROUP }
    );
    assert_eq!(
        refused(vec![slot(3, 0, GROUP), slot(3, GROUP, end - GROUP)]),
        InvalidPieceTable::SlotTwice {
            slot: SlotIndexInDeal(3)
        }
    );
    for len in [end - GROUP, end + GROUP] {
        assert_eq!(
            refused(vec![slot(0, 0, len)]),
            InvalidPieceTable::WrongEnd {
                expected: end,
                found: len
            }
        );
    }
    let overflowing = 0u64.wrapping_sub(GROUP);
    assert!(check(vec![slot(0, 0, GROUP), slot(1, GROUP, overflowing)]).is_err());
}

/// A sector takes 36 pieces and not 37. Covers: D1.
#[test]
fn pieces_are_bounded() {
    let size = SectorSize::new(&ProofParams::DEVNET, 2).unwrap();
    let pieces = |n: u8| {
        let slots = (0..n - 1).map(|i| slot(i, u64::from(i) * GROUP, GROUP));
        let last = u64::from(n - 1) * GROUP;
        slots
            .chain([filler_piece(last, size.payload_bytes() - last)])
            .collect::<Vec<_>>()
    };
    assert!(PieceTable::check(size, pieces(36)).is_ok());
    assert_eq!(
        PieceTable::check(size, pieces(37)),
        Err(InvalidPieceTable::TooMany { n_pieces: 37 })
    );
}

/// Filler is the same wherever one begins to read it, and touches no slot. Covers: D1.
#[test]
fn filler_is_a_function_of_its_place() {
    let end = size().payload_bytes();
    let mut whole = vec![0; 4096];
    filler(1000, &mut whole);
    let mut part = vec![0; 96];
    filler(1000 + 777, &mut part);
    assert_eq!(part, whole[777..777 + 96]);
    let table = PieceTable::check(size(), vec![slot(0, 0, GROUP), filler_piece(GROUP, end - GROUP)]).unwrap();
    let mut payload = vec![1; usize::try_from(end).unwrap()];
    table.fill(&mut payload);
    assert!(payload[..16384].iter().all(|byte| *byte == 1));
    let mut expected = vec![0; 64];
    filler(GROUP, &mut expected);
    assert_eq!(payload[16384..16384 + 64], expected);
    let mut part = vec![1; 1000];
    table.fill_part(GROUP - 500, &mut part);
    assert_eq!(part, payload[16384 - 500..16384 + 500]);
    assert_eq!(table.piece_at(GROUP - 1).unwrap().0, 0);
    assert_eq!(table.piece_at(GROUP).unwrap().0, 1);
}

/// Each thing that makes a replica makes another one when it changes. Covers: D1, D2.
#[test]
fn replica_ids_differ_in_every_part() {
    let id = |network, provider, sector, comm_d, seed| {
        ReplicaId::derive(
            &NetworkId::new([network; 32]),
            &AccountId([provider; 20]),
            SectorNumber(sector),
            &Hash([comm_d; 32]),
            &Hash([seed; 32]),
        )
    };
    let ids = BTreeSet::from([
        id(0, 0, 0, 0, 0),
        id(1, 0, 0, 0, 0),
        id(0, 1, 0, 0, 0),
        id(0, 0, 1, 0, 0),
        id(0, 0, 0, 1, 0),
        id(0, 0, 0, 0, 1),
    ]);
    assert_eq!(ids.len(), 6);
}

/// A payload is put together from any parts of it: each asks for exactly the bytes of the slots that lie there.
/// Covers: D1.
#[test]
fn parts_of_slots_are_found() {
    let end = size().payload_bytes();
    let pieces = vec![
        slot(0, 0, GROUP),
        filler_piece(GROUP, GROUP),
        slot(1, 2 * GROUP, 2 * GROUP),
        filler_piece(4 * GROUP, end - 4 * GROUP),
    ];
    let table = PieceTable::check(size(), pieces).unwrap();
    let parts = |offset, len| {
        let parts = table.slots_in(offset, len);
        parts
            .map(|part| (part.slot.0, part.offset, part.place))
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(0, 100), [(0, 0, 0..100)]);
    assert_eq!(parts(GROUP - 1, 2), [(0, GROUP - 1, 0..1)]);
    assert_eq!(parts(GROUP, 16384), []);
    assert_eq!(parts(100, 40_000), [(0, 100, 0..16284), (1, 0, 32668..40_000)]);
    assert_eq!(parts(3 * GROUP, 60_000), [(1, GROUP, 0..16384)]);
    assert_eq!(parts(end, 10), []);
    assert_eq!(parts(u64::MAX, usize::MAX), []);
}
