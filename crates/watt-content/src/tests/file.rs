use super::*;
use crate::cipher::RECORD_BYTES;
use crate::encoder::EncodeError;
use crate::layout::{FILE_BYTES_MAX, PADDING_STEP_MIN, StreamLen, TooLarge, padded_len};
use proptest::prelude::*;
use watt_primitives::slot_tree::SlotHasher;
use watt_primitives::{Hash, merkle};

const CELL: usize = 16 * 1024;
const ROW: usize = 4 * CELL;

/// Lengths at which something begins or ends.
fn edges() -> Vec<usize> {
    let around = [4096, CELL, ROW, 2 * ROW, 65_552, 2 * ROW - 32, 3 * ROW, 5 * ROW];
    let mut edges: Vec<usize> = around.iter().flat_map(|at| [at - 1, *at, at + 1]).collect();
    edges.extend([0, 1]);
    edges
}

/// A file of any awkward length comes back from the last four slots, whatever the pieces it was read in. Covers: C1, C4.
#[test]
fn every_edge_comes_back() {
    for len in edges() {
        let plain = sample(len);
        for (rows_max, step) in [(1, 7_001), (2, ROW), (1984, 300_000)] {
            let stored = put(&plain, rows_max, step);
            let read = stored.read(stored.open().whole(), &[6, 7, 8, 9]).unwrap();
            assert_eq!(read, plain, "{len} bytes, bundles of {rows_max} rows");
            assert_eq!(stored.open().info(), &info(len));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any six of ten slots may be lost, of any file. Covers: C1, C4.
    #[test]
    fn any_four_slots_are_enough(
        len in 0usize..6 * ROW,
        rows_max in 1u64..4,
        step in 1_000usize..200_000,
        order in Just((0..10u8).collect::<Vec<u8>>()).prop_shuffle(),
    ) {
        let plain = sample(len);
        let stored = put(&plain, rows_max, step);
        prop_assert_eq!(stored.read(stored.open().whole(), &order[..4]).unwrap(), plain);
    }

    /// A range read gives the slice and asks for no row that it does not need. Covers: C1, E2.
    #[test]
    fn ranges_are_slices(
        len in 1usize..6 * ROW,
        rows_max in 1u64..4,
        ranges in prop::collection::vec((0usize..6 * ROW, 0usize..3 * ROW), 4),
    ) {
        let plain = sample(len);
        let stored = put(&plain, rows_max, ROW);
        let file = stored.open();
        for (offset, n) in ranges {
            let (start, end) = (offset.min(len), offset.saturating_add(n).min(len));
            let (offset, n) = (u64::try_from(offset).unwrap(), u64::try_from(n).unwrap());
            let read = stored.read(file.range(offset, n), &[1, 4, 5, 9]).unwrap();
            prop_assert_eq!(&read, &plain[start..end]);
            let rows: u64 = file.rows_for_range(offset, n).iter().map(|part| part.rows.end - part.rows.start).sum();
            // Records, rows and bundles are misaligned: one more row at each end, one short row per bundle.
            let rows_max_needed = (end - start).div_ceil(ROW) + 3 + usize::from(rows_max == 1);
            prop_assert!(rows <= u64::try_from(rows_max_needed).unwrap(), "{} rows for {} bytes", rows, end - start);
        }
    }

    /// Padding costs at most 2 % or 4 KiB, and lengths come back from ciphertext lengths. Covers: C3, C4.
    #[test]
    fn padding_is_bounded_and_lengths_invert(len in prop_oneof![0u64..10_000_000, 0..=FILE_BYTES_MAX]) {
        let padded = padded_len(len);
        prop_assert!(padded >= len.max(1));
        prop_assert!(padded - len <= (len / 50).max(PADDING_STEP_MIN));
        let stream = StreamLen::of_file(len).unwrap();
        prop_assert_eq!(StreamLen::of_sealed(stream.sealed()), Some(stream));
        prop_assert_eq!(stream.record_sealed(stream.records() - 1).end, stream.sealed());
        prop_assert!(stream.record_plain(stream.records() - 1).end - stream.record_plain(stream.records() - 1).start <= RECORD_BYTES);
    }
}

/// Lengths within one step look alike: the padded length has few values. Covers: C3.
#[test]
fn padded_lengths_are_few() {
    let lengths: std::collections::BTreeSet<u64> =
        (1_000_000..2_000_000).step_by(97).map(padded_len).collect();
    assert!(lengths.len() < 80, "{} different padded lengths", lengths.len());
}

/// A put resumes at any bundle and for any slots, and the bytes are the same. Covers: C1.
#[test]
fn a_put_resumes_at_a_bundle_and_a_slot() {
    let plain = sample(5 * ROW + 77);
    let stored = put(&plain, 2, 10_000);
    assert_eq!(stored.roots.len(), 3);
    for bundle in [1, 2] {
        let outboards = &stored.roots[bundle].outboards;
        let again = second_pass(&stored.plan, &plain, 333, bundle, &[9, 2, 13], &outboards[..4]).unwrap();
        assert_eq!(
            again[..2],
            [stored.slots[bundle][9].clone(), stored.slots[bundle][2].clone()]
        );
        let mut hasher = SlotHasher::new();
        hasher.update(&again[2]);
        assert_eq!(hasher.finish(), outboards[13].cells());
    }
}

/// A file that changes between the passes is not sealed a second time under its key. Covers: C3.
#[test]
fn a_changed_file_is_refused() {
    let plain = sample(3 * ROW);
    let stored = put(&plain, 8, ROW);
    let outboards = &stored.roots[0].outboards[..4];
    let mut changed = plain.clone();
    changed[ROW + 5] ^= 1;
    let all: Vec<u8> = (0..10).collect();
    assert_eq!(
        second_pass(&stored.plan, &changed, ROW, 0, &all, outboards),
        Err(EncodeError::Changed { row: 1 })
    );
    assert_eq!(
        second_pass(&stored.plan, &plain, ROW, 0, &all, &outboards[..3]),
        Err(EncodeError::Outboards {
            found: 3,
            expected: 4
        })
    );
    assert_eq!(
        second_pass(&stored.plan, &plain, ROW, 0, &[3, 3], outboards),
        Err(EncodeError::NoSlot { slot: 3 })
    );
    assert_eq!(
        second_pass(&stored.plan, &plain, ROW, 0, &[14], outboards),
        Err(EncodeError::NoSlot { slot: 14 })
    );
}

/// A file that grew or shrank since it was planned is noticed. Covers: C1.
#[test]
fn another_length_is_refused() {
    let plan = FilePlan::new(Class::Devnet, 100).unwrap();
    let mut pass = RootsPass::new(&plan, 0, &key()).unwrap();
    assert_eq!(pass.push(&[0; 101]), Err(EncodeError::TooLong { len: 100 }));
    let mut pass = RootsPass::new(&plan, 0, &key()).unwrap();
    pass.push(&[0; 60]).unwrap();
    assert_eq!(pass.finish(), Err(EncodeError::TooShort { missing: 40 }));
    assert_eq!(
        RootsPass::new(&plan, 1, &key()).unwrap_err(),
        EncodeError::NoBundle { bundle: 1 }
    );
    assert!(matches!(
        FilePlan::new(Class::Devnet, u64::MAX),
        Err(TooLarge { .. })
    ));
    let largest = FilePlan::new(Class::Devnet, u64::MAX).unwrap_err().len_max;
    let plan = FilePlan::new(Class::Devnet, largest).unwrap();
    assert!(plan.bundle_count() <= crate::layout::BUNDLES_MAX);
    assert_eq!(plan.bundles().last().unwrap().sealed.end, plan.stream().sealed());
}

/// Slot roots are plain BLAKE3 of the slots, the header commits to all of them, and the terms of a bid list those to be
/// placed. Covers: C2, E1.
#[test]
fn the_header_commits_to_every_slot() {
    let stored = put(&sample(2 * ROW), 8, ROW);
    let roots = &stored.roots[0];
    for (slot, bytes) in (0u8..).zip(&stored.slots[0]) {
        let root = Hash::of_content(bytes);
        assert_eq!(roots.slot_roots.get(slot), Some(&root));
        assert_eq!(u64::try_from(bytes.len()).unwrap(), roots.header.slot_bytes());
        let path = roots.slot_roots.path(slot).unwrap();
        let leaf = crate::header::slot_leaf(&root);
        assert!(merkle::verify(
            &roots.slot_roots.merkle_root(),
            14,
            usize::from(slot),
            &leaf,
            &path
        ));
    }
    let terms = roots.terms(stored.manifest.cid());
    assert_eq!(terms.slot_roots.len(), 10);
    assert_eq!(terms.slot_roots[..], roots.slot_roots.as_slice()[..10]);
    assert_eq!(
        (terms.header, terms.slot_bytes),
        (roots.header.cid(), roots.header.slot_bytes())
    );
}

/// A spare slot is rebuilt from four others without any key and equals its committed root; a cell may also prove itself by
/// its path. Covers: C4, C5.
#[test]
fn repair_makes_a_spare_slot() {
    let stored = put(&sample(3 * ROW), 8, ROW);
    let roots = &stored.roots[0];
    let alive = [2, 5, 6, 9];
    let mut decoder = BundleDecoder::new(roots.header.clone(), roots.slot_roots.clone()).unwrap();
    let mut repaired = Vec::new();
    for row in 0..roots.header.rows() {
        let cells = alive.iter().map(|slot| {
            let groups = roots.outboards[usize::from(*slot)].cells();
            let path = watt_primitives::slot_tree::path(groups, usize::try_from(row).unwrap()).unwrap();
            decoder
                .verify_cell_by_path(*slot, row, stored.cell(0, *slot, row), &path)
                .unwrap()
        });
        let cells: Vec<_> = cells.collect();
        repaired.extend(decoder.rebuild_cell(row, &cells, 12).unwrap());
    }
    assert_eq!(roots.slot_roots.get(12), Some(&Hash::of_content(&repaired)));
}
