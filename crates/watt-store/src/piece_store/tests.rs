use super::*;
use crate::disk::sim::{Luck, SimDisk};
use watt_primitives::slot_tree::GROUP_BYTES;

pub(super) const DIR: &str = "/p/pieces";
pub(super) const DEAL: DealId = DealId([0xd1; 32]);
const SLOT: SlotIndexInDeal = SlotIndexInDeal(3);
const KEY: PieceKey = PieceKey {
    deal: DEAL,
    slot: SLOT,
};
const PLENTY: Space = Space {
    quota_bytes: 1 << 30,
    free_bytes_min: 0,
};

pub(super) fn open(disk: &SimDisk) -> Result<PieceStore, PieceError> {
    PieceStore::open_on(disk.shared(), Path::new(DIR), PLENTY)
}

pub(super) fn data(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from((at * 31 + at / 251 + seed * 17) % 251).unwrap())
        .collect()
}

pub(super) fn store_piece(
    store: &PieceStore,
    slot: u8,
    data: &[u8],
    metadata: &[&[u8]],
) -> Result<(), PieceError> {
    let mut writer = store.begin(DEAL, SlotIndexInDeal(slot), data.len() as u64)?;
    for part in data[usize::try_from(writer.resume_at()).unwrap()..].chunks(10_000) {
        writer.write(part)?;
    }
    writer.finish(&Hash::of_content(data), metadata)
}

pub(super) fn assert_piece(store: &PieceStore, slot: u8, data: &[u8], metadata: &[&[u8]], case: &str) {
    let slot = SlotIndexInDeal(slot);
    let read = store
        .read(DEAL, slot, 0, data.len())
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(read == data, "{case}: other bytes");
    assert_eq!(store.metadata(DEAL, slot).unwrap(), metadata, "{case}");
    let info = PieceInfo {
        len: data.len() as u64,
        root: Hash::of_content(data),
    };
    assert_eq!(store.info(DEAL, slot), Some(info), "{case}");
}

/// Two pieces, the second with saved progress in between; returns how many were acknowledged.
fn run(disk: &SimDisk) -> u8 {
    let run = || -> Result<u8, (u8, PieceError)> {
        let store = open(disk).map_err(|error| (0, error))?;
        store_piece(&store, 1, &data(50_000, 1), &[b"header", b"roots"]).map_err(|error| (0, error))?;
        let second = data(100_000, 2);
        let resumed = || {
            let mut writer = store.begin(DEAL, SlotIndexInDeal(2), 100_000)?;
            writer.write(&second[..40_000])?;
            writer.save_progress()?;
            writer.write(&second[40_000..70_000])?;
            writer.save_progress()?;
            writer.write(&second[70_000..])?;
            writer.finish(&Hash::of_content(&second), &[])
        };
        resumed().map_err(|error| (1, error))?;
        Ok(2)
    };
    run().unwrap_or_else(|(n, _)| n)
}

/// The power fails at every write, sync, rename and removal: what was acknowledged is there, and what was not can be sent
/// again from a durable prefix. Covers: C1, C5.
#[test]
fn acknowledged_pieces_survive_a_power_cut_at_every_step() {
    let mut n_resumed = 0;
    for at in 0.. {
        let mut is_through = false;
        for seed in 0..12 {
            let case = format!("cut {at}, seed {seed}");
            let disk = SimDisk::new();
            disk.fail_after(at);
            let n_acknowledged = run(&disk);
            is_through = !disk.has_failed();
            disk.come_back(seed * (1 + at * 100));
            let store = open(&disk).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(
                store.damaged().is_empty(),
                "{case}: a name without its whole file"
            );
            type Wanted<'a> = (u8, Vec<u8>, &'a [&'a [u8]]);
            let wanted: [Wanted<'_>; 2] = [
                (1, data(50_000, 1), &[b"header", b"roots"]),
                (2, data(100_000, 2), &[]),
            ];
            for (slot, data, metadata) in &wanted {
                if *slot > n_acknowledged && store.info(DEAL, SlotIndexInDeal(*slot)).is_none() {
                    n_resumed += usize::from(store.unfinished().iter().any(|(_, durable)| *durable > 0));
                    store_piece(&store, *slot, data, metadata)
                        .unwrap_or_else(|error| panic!("{case}: {error}"));
                }
                assert_piece(&store, *slot, data, metadata, &case);
            }
            drop(store);
            disk.restart(5);
            let store = open(&disk).unwrap();
            for (slot, data, metadata) in &wanted {
                assert_piece(&store, *slot, data, metadata, &case);
            }
            assert!(store.unfinished().is_empty());
            assert_eq!(disk.paths().len(), 2, "{case}: {:?}", disk.paths());
        }
        if is_through {
            assert!(at > 15, "only {at} steps were tried");
            assert!(n_resumed > 10, "{n_resumed} transfers went on where they were");
            return;
        }
    }
}

/// A client whose line breaks sends only the rest; a provider that was killed offers no byte it does not have. Covers: C1.
#[test]
fn a_broken_transfer_goes_on_from_its_durable_prefix() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let data = data(5 * GROUP_BYTES + 100, 1);
    let mut writer = store.begin(DEAL, SLOT, data.len() as u64).unwrap();
    writer.write(&data[..2 * GROUP_BYTES + 50]).unwrap();
    assert_eq!(writer.save_progress().unwrap(), 2 * GROUP_BYTES as u64);
    assert!(matches!(
        store.begin(DEAL, SLOT, data.len() as u64),
        Err(PieceError::Busy { key: KEY })
    ));
    assert!(matches!(store.remove(DEAL, SLOT), Err(PieceError::Busy { .. })));
    drop(writer);
    assert_eq!(store.unfinished(), [(KEY, 2 * GROUP_BYTES as u64)]);
    drop(store);
    disk.restart(3);
    let store = open(&disk).unwrap();
    assert_eq!(store.unfinished(), [(KEY, 2 * GROUP_BYTES as u64)]);
    assert_eq!(store.space_use().used_bytes, data.len() as u64);
    let mut writer = store.begin(DEAL, SLOT, data.len() as u64).unwrap();
    assert_eq!(writer.resume_at(), 2 * GROUP_BYTES as u64);
    writer.write(&data[2 * GROUP_BYTES..]).unwrap();
    writer.finish(&Hash::of_content(&data), &[b"m"]).unwrap();
    assert_piece(&store, 3, &data, &[b"m"], "resumed");
    assert!(matches!(
        store.begin(DEAL, SLOT, 5),
        Err(PieceError::Exists { .. })
    ));
}

/// A prefix that rotted while the transfer was broken off is not built upon.
#[test]
fn a_rotten_prefix_is_sent_again() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let data = data(3 * GROUP_BYTES, 1);
    let mut writer = store.begin(DEAL, SLOT, data.len() as u64).unwrap();
    writer.write(&data[..2 * GROUP_BYTES]).unwrap();
    writer.save_progress().unwrap();
    drop(writer);
    disk.flip_bit(&unfinished_path(&store.0.path(KEY)), 70_001);
    assert_eq!(store.begin(DEAL, SLOT, data.len() as u64).unwrap().resume_at(), 0);
    // So is one of a transfer that announced another length.
    assert_eq!(store.begin(DEAL, SLOT, 77).unwrap().resume_at(), 0);
    store_piece(&store, 3, &data, &[]).unwrap();
    assert_piece(&store, 3, &data, &[], "sent again");
}

/// One flipped bit anywhere in a piece: never a wrong byte, the fault is named, and one cell of 16 KiB heals it.
/// Covers: C5.
#[test]
fn each_flipped_bit_is_detected_and_a_group_can_be_healed() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let data = data(3 * GROUP_BYTES + 9, 1);
    store_piece(&store, 3, &data, &[b"meta"]).unwrap();
    let path = store.0.path(KEY);
    drop(store);
    let mut luck = Luck::new(2);
    let len = disk.bytes(&path).len();
    for round in 0..300 {
        let byte = if round % 2 == 0 {
            luck.below(data.len())
        } else {
            data.len() + luck.below(len - data.len())
        };
        disk.flip_bit(&path, byte * 8 + luck.below(8));
        let store = open(&disk).unwrap();
        let is_damaged = !store.damaged().is_empty();
        match store.read(DEAL, SLOT, 0, data.len()) {
            Err(PieceError::Damaged { .. }) => assert!(byte >= data.len()),
            Err(PieceError::DamagedGroup { group, .. }) => {
                assert_eq!(group, (byte / GROUP_BYTES) as u64);
                assert_eq!(store.damaged_groups(DEAL, SLOT).unwrap(), [group]);
                let start = byte / GROUP_BYTES * GROUP_BYTES;
                let cell = &data[start..data.len().min(start + GROUP_BYTES)];
                // Other groups are still served.
                let other = (start + GROUP_BYTES) % (2 * GROUP_BYTES);
                assert!(store.read(DEAL, SLOT, other as u64, 100).unwrap() == data[other..other + 100]);
                let wrong = vec![0; cell.len()];
                assert!(matches!(
                    store.repair_group(DEAL, SLOT, group, &wrong),
                    Err(PieceError::WrongGroup { .. })
                ));
                store.repair_group(DEAL, SLOT, group, cell).unwrap();
                assert_piece(&store, 3, &data, &[b"meta"], "healed");
                continue;
            }
            // Only the footer's padding is free to change, and even that is compared.
            other => panic!("byte {byte}: {other:?}"),
        }
        assert!(
            is_damaged || byte < len - 128,
            "byte {byte}: a damaged footer is seen when the store opens"
        );
        // Damaged as a whole: it is declared, removed, and stored again.
        store.remove(DEAL, SLOT).unwrap();
        store_piece(&store, 3, &data, &[b"meta"]).unwrap();
        assert_piece(&store, 3, &data, &[b"meta"], "stored again");
    }
}

#[test]
fn any_range_is_read_exactly() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let mut luck = Luck::new(9);
    for (slot, len) in [
        0,
        1,
        GROUP_BYTES - 1,
        GROUP_BYTES,
        GROUP_BYTES + 1,
        40 * GROUP_BYTES + 5,
    ]
    .into_iter()
    .enumerate()
    {
        let data = data(len, slot);
        let slot = u8::try_from(slot).unwrap();
        store_piece(&store, slot, &data, &[]).unwrap();
        assert_piece(&store, slot, &data, &[], "whole");
        for _ in 0..50 {
            let (from, n) = (luck.below(len + 10), luck.below(3 * GROUP_BYTES));
            let found = store.read(DEAL, SlotIndexInDeal(slot), from as u64, n).unwrap();
            assert!(
                found == data[from.min(len)..(from + n).min(len)],
                "{from}+{n} of {len}"
            );
        }
        let outboard = store.outboard(DEAL, SlotIndexInDeal(slot)).unwrap();
        assert_eq!(
            watt_primitives::slot_tree::root_of_groups(&outboard),
            Hash::of_content(&data)
        );
    }
}

#[test]
fn what_is_not_as_announced_is_refused() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let mut writer = store.begin(DEAL, SLOT, 10).unwrap();
    writer.write(&[1; 10]).unwrap();
    assert!(matches!(
        writer.write(&[1]),
        Err(PieceError::WrongLength {
            expected: 10,
            found: 11,
            ..
        })
    ));
    let error = writer.finish(&Hash::ZERO, &[]).unwrap_err();
    assert!(matches!(error, PieceError::WrongRoot { .. }), "{error}");
    assert!(disk.paths().is_empty(), "the wrong bytes are gone");
    let mut writer = store.begin(DEAL, SLOT, 10).unwrap();
    writer.write(&[1; 9]).unwrap();
    let error = writer.finish(&Hash::ZERO, &[]).unwrap_err();
    assert!(
        matches!(
            error,
            PieceError::WrongLength {
                expected: 10,
                found: 9,
                ..
            }
        ),
        "{error}"
    );
    let mut writer = store.begin(DEAL, SLOT, 1).unwrap();
    writer.write(&[1]).unwrap();
    let metadata = vec![0; METADATA_BYTES_MAX + 1];
    let root = Hash::of_content(&[1]);
    assert!(matches!(
        writer.finish(&root, &[&metadata]),
        Err(PieceError::TooLong { .. })
    ));
    assert!(matches!(
        store.begin(DEAL, SLOT, PIECE_BYTES_MAX + 1),
        Err(PieceError::TooLong { .. })
    ));
    let mut writer = store.begin(DEAL, SLOT, 1).unwrap();
    writer.write(&[1]).unwrap();
    writer.finish(&root, &[&metadata[1..]]).unwrap();
    assert!(matches!(
        store.read(DEAL, SlotIndexInDeal(9), 0, 1),
        Err(PieceError::Unknown { .. })
    ));
}

/// A full disk or quota refuses new pieces by the numbers and touches nothing that is stored. Covers: C1.
#[test]
fn no_space_is_told_in_numbers_and_spoils_nothing() {
    let disk = SimDisk::new();
    let space = Space {
        quota_bytes: 100_000,
        free_bytes_min: 10_000,
    };
    let store = PieceStore::open_on(disk.shared(), Path::new(DIR), space).unwrap();
    store_piece(&store, 1, &data(60_000, 1), &[]).unwrap();
    let error = store.begin(DEAL, SLOT, 40_001).unwrap_err();
    assert!(
        matches!(
            error,
            PieceError::NoSpace {
                needed_bytes: 40_001,
                quota_left_bytes: 40_000,
                free_bytes_min: 10_000,
                ..
            }
        ),
        "{error}"
    );
    // Space of transfers under way is promised.
    let writer = store.begin(DEAL, SLOT, 40_000).unwrap();
    assert!(matches!(
        store.begin(DEAL, SlotIndexInDeal(4), 1),
        Err(PieceError::NoSpace { .. })
    ));
    writer.discard().unwrap();
    let space = store.space_use();
    assert_eq!((space.used_bytes, space.left_bytes), (60_000, 40_000));
    let used = disk
        .bytes(&store.0.path(PieceKey {
            deal: DEAL,
            slot: SlotIndexInDeal(1),
        }))
        .len() as u64;
    // The replica of either has a place, too.
    disk.set_capacity(Some(used + 149_999));
    let error = store.begin(DEAL, SLOT, 40_000).unwrap_err();
    assert!(
        matches!(
            error,
            PieceError::NoSpace {
                replica_bytes: 40_000,
                available_bytes: 89_999,
                ..
            }
        ),
        "{error}"
    );
    disk.set_capacity(Some(used + 150_000));
    drop(store.begin(DEAL, SLOT, 40_000).unwrap());
    let sector = SectorNumber(1);
    let sealed = PieceKey {
        deal: DEAL,
        slot: SlotIndexInDeal(1),
    };
    disk.set_capacity(Some(used + 90_000));
    assert!(store.begin(DEAL, SLOT, 40_000).is_err());
    store.set_sealed(sector, [sealed]);
    drop(store.begin(DEAL, SLOT, 40_000).unwrap());
    store.forget_sealed(sector);
    assert!(store.begin(DEAL, SLOT, 40_000).is_err());
    store.set_sealed(sector, [sealed]);
    // Others fill the disk in the middle of a transfer.
    let mut writer = store.begin(DEAL, SLOT, 40_000).unwrap();
    writer.write(&data(20_000, 2)).unwrap();
    writer.save_progress().unwrap();
    disk.set_capacity(Some(used + 17_000));
    writer.write(&data(20_000, 3)).unwrap();
    let error = writer
        .finish(
            &Hash::of_content(&[data(20_000, 2), data(20_000, 3)].concat()),
            &[],
        )
        .unwrap_err();
    assert!(matches!(error, PieceError::NoSpace { .. }), "{error}");
    assert_piece(&store, 1, &data(60_000, 1), &[], "disk full");
    // With space again it goes on from what was saved.
    disk.set_capacity(None);
    let whole = [data(20_000, 2), data(20_000, 3)].concat();
    store_piece(&store, 3, &whole, &[]).unwrap();
    assert_piece(&store, 3, &whole, &[], "after");
}

/// Many transfers at once, each durable when it is acknowledged.
#[test]
fn transfers_run_side_by_side() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    std::thread::scope(|scope| {
        for slot in 0..8 {
            let store = store.clone();
            scope.spawn(move || store_piece(&store, slot, &data(70_000, slot.into()), &[&[slot]]).unwrap());
        }
    });
    drop(store);
    disk.restart(1);
    let store = open(&disk).unwrap();
    (0..8).for_each(|slot| {
        assert_piece(
            &store,
            slot,
            &data(70_000, slot.into()),
            &[&[slot]],
            "side by side",
        );
    });
    assert_eq!(store.list().len(), 8);
    store.remove(DEAL, SlotIndexInDeal(0)).unwrap();
    store.remove(DEAL, SlotIndexInDeal(0)).unwrap();
    assert_eq!(store.info(DEAL, SlotIndexInDeal(0)), None);
}
