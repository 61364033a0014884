use super::super::tests::{DEAL, DIR, assert_piece, data, open, store_piece};
use super::*;
use crate::disk::sim::{Luck, SimDisk};
use crate::piece_store::Space;
use watt_primitives::slot_tree::GROUP_BYTES;

const SECTOR: SectorNumber = SectorNumber(7);
const METADATA: [&[u8]; 2] = [b"header", b"roots"];

fn slot(n: u8) -> SlotIndexInDeal {
    SlotIndexInDeal(n)
}

/// What unsealing does.
fn copy_back(store: &PieceStore, n: u8, bytes: &[u8]) -> Result<(), PieceError> {
    let mut writer = store.begin_copy(DEAL, slot(n))?;
    writer.write(bytes)?;
    writer.finish_copy()
}

/// How far a life came.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Done {
    Nothing,
    Stored,
    Cold,
    Cached,
    Warm,
}

fn live(disk: &SimDisk, bytes: &[u8]) -> Done {
    let mut done = Done::Nothing;
    let run = |done: &mut Done| -> Result<(), PieceError> {
        let store = open(disk)?;
        store_piece(&store, 1, bytes, &METADATA)?;
        *done = Done::Stored;
        store.chill(DEAL, slot(1), SECTOR)?;
        *done = Done::Cold;
        copy_back(&store, 1, bytes)?;
        *done = Done::Cached;
        store.warm(DEAL, slot(1))?;
        *done = Done::Warm;
        Ok(())
    };
    drop(run(&mut done));
    done
}

/// The power fails at every write, sync, rename and removal while a piece is sent to its replica and taken back: its bytes are here, or
/// it is said which replica has them, from the time when it was stored on; what goes with them is here all the time.
///
/// Covers: C1, C5.
#[test]
fn a_piece_is_in_one_place_at_least_whenever_the_power_fails() {
    let bytes = data(3 * GROUP_BYTES + 5, 1);
    for at in 0.. {
        let mut is_through = false;
        for seed in 0..12 {
            let case = format!("cut {at}, seed {seed}");
            let disk = SimDisk::new();
            disk.fail_after(at);
            let done = live(&disk, &bytes);
            is_through = !disk.has_failed();
            disk.come_back(seed * (1 + at * 100));
            let store = open(&disk).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(
                store.damaged().is_empty() && store.unfinished().len() <= 1,
                "{case}"
            );
            if store.info(DEAL, slot(1)).is_none() {
                assert!(done == Done::Nothing, "{case}: a stored piece is gone");
                continue;
            }
            assert_eq!(store.metadata(DEAL, slot(1)).unwrap(), METADATA, "{case}");
            let root = root_of_groups(&store.outboard(DEAL, slot(1)).unwrap());
            assert_eq!(root, Hash::of_content(&bytes), "{case}");
            let is_cold = store.cold(DEAL, slot(1));
            assert!(is_cold.is_none_or(|piece| piece.sector == SECTOR), "{case}");
            assert!(
                done < Done::Warm || is_cold.is_none(),
                "{case}: nothing else has it"
            );
            if is_cold.is_none() {
                assert_piece(&store, 1, &bytes, &METADATA, &case);
                continue;
            }
            // The whole way goes on from here.
            if !store.is_readable(DEAL, slot(1)) {
                copy_back(&store, 1, &bytes).unwrap_or_else(|error| panic!("{case}: {error}"));
            }
            assert_piece(&store, 1, &bytes, &METADATA, &case);
            store.warm(DEAL, slot(1)).unwrap();
            assert_piece(&store, 1, &bytes, &METADATA, &case);
        }
        if is_through {
            return;
        }
    }
}

/// A cold piece counts as held, is not taken a second time, and a copy of it is what its root says or is none.
///
/// Covers: C1, C5.
#[test]
fn a_cold_piece_is_held_and_its_copy_is_checked() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let bytes = data(50_000, 1);
    store_piece(&store, 1, &bytes, &METADATA).unwrap();
    let reader = store.reader(DEAL, slot(1)).unwrap();
    store.chill(DEAL, slot(1), SECTOR).unwrap();
    assert!(
        reader.read(0, bytes.len()).unwrap() == bytes,
        "a read under way goes on"
    );
    let cold = |error: PieceError| matches!(error, PieceError::Cold { .. });
    assert!(cold(store.read(DEAL, slot(1), 0, 1).unwrap_err()));
    assert!(cold(store.damaged_groups(DEAL, slot(1)).unwrap_err()));
    assert!(cold(store.warm(DEAL, slot(1)).unwrap_err()));
    let exists = store.begin(DEAL, slot(1), 50_000).unwrap_err();
    assert!(matches!(exists, PieceError::Exists { .. }));
    assert_eq!(store.list().len(), 1);
    let space = store.space_use();
    assert_eq!(
        (space.used_bytes, space.cold_bytes, space.hot_bytes),
        (50_000, 50_000, 0)
    );

    let wrong = copy_back(&store, 1, &data(50_000, 2)).unwrap_err();
    assert!(matches!(wrong, PieceError::WrongRoot { .. }));
    assert!(!store.is_readable(DEAL, slot(1)));
    copy_back(&store, 1, &bytes).unwrap();
    assert_piece(&store, 1, &bytes, &METADATA, "given back");
    let space = store.space_use();
    assert_eq!(
        (space.cold_bytes, space.cached_bytes, space.hot_bytes),
        (50_000, 50_000, 0)
    );

    store.remove(DEAL, slot(1)).unwrap();
    assert!(disk.paths().is_empty(), "nothing stays: {:?}", disk.paths());
}

/// Copies take a tenth of the quota and no more than pieces leave; those that were read least recently go first, and all of them before
/// a new piece is refused.
///
/// Covers: C1.
#[test]
fn copies_are_bounded_and_give_way() {
    let disk = SimDisk::new();
    let space = Space {
        quota_bytes: 1_000_000,
        free_bytes_min: 0,
    };
    let store = PieceStore::open_on(disk.shared(), Path::new(DIR), space).unwrap();
    let bytes = |n: u8| data(40_000, n.into());
    let readable =
        |store: &PieceStore| -> Vec<u8> { (1..=3).filter(|n| store.is_readable(DEAL, slot(*n))).collect() };
    for n in 1..=3 {
        store_piece(&store, n, &bytes(n), &[]).unwrap();
        store.chill(DEAL, slot(n), SECTOR).unwrap();
    }
    for n in 1..=2 {
        store.make_room(40_000).unwrap();
        copy_back(&store, n, &bytes(n)).unwrap();
    }
    assert_eq!(readable(&store), [1, 2]);
    store.read(DEAL, slot(1), 0, 1).unwrap();
    store.make_room(40_000).unwrap();
    copy_back(&store, 3, &bytes(3)).unwrap();
    assert_eq!(readable(&store), [1, 3], "the one that was read last stays");

    // 120,000 are held and 80,000 are copies: what leaves room beside one of them takes the other's place.
    store_piece(&store, 4, &data(830_000, 4), &[]).unwrap();
    assert_eq!(readable(&store), [3]);
    assert_eq!(store.space_use().left_bytes, 50_000);
    // Nothing is free; one sector's copies have a place all the same, alone.
    store_piece(&store, 5, &data(50_000, 5), &[]).unwrap();
    assert_eq!(readable(&store), [0; 0]);
    store.make_room(40_000).unwrap();
    copy_back(&store, 2, &bytes(2)).unwrap();
    assert_eq!(readable(&store), [2]);
    let full = store.begin(DEAL, slot(6), 1).unwrap_err();
    assert!(matches!(full, PieceError::NoSpace { .. }));
}

/// One flipped bit anywhere in what is kept of a cold piece: it is listed as damaged, and never believed.
///
/// Covers: C5.
#[test]
fn each_flipped_bit_of_what_is_kept_is_found() {
    let mut luck = Luck::new(5);
    for _ in 0..100 {
        let disk = SimDisk::new();
        let store = open(&disk).unwrap();
        let bytes = data(2 * GROUP_BYTES, 1);
        store_piece(&store, 1, &bytes, &METADATA).unwrap();
        store.chill(DEAL, slot(1), SECTOR).unwrap();
        let key = PieceKey {
            deal: DEAL,
            slot: slot(1),
        };
        let path = store.0.stub_path(key);
        disk.flip_bit(&path, luck.below(disk.bytes(&path).len() * 8));
        let damaged = store.outboard(DEAL, slot(1)).unwrap_err();
        assert!(matches!(damaged, PieceError::Damaged { .. }));
        drop(store);
        let store = open(&disk).unwrap();
        assert_eq!(store.damaged(), [key]);
        assert_eq!(store.cold(DEAL, slot(1)), None);
        store.remove(DEAL, slot(1)).unwrap();
        assert!(disk.paths().is_empty());
        store_piece(&store, 1, &bytes, &METADATA).unwrap();
    }
}
