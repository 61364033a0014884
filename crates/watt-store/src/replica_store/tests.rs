use super::*;
use crate::disk::sim::{Luck, SimDisk};
use crate::open_files::N_OPEN_MAX;

const DIR: &str = "/p/replicas";
const SECTOR: SectorNumber = SectorNumber(7);
const LEN: usize = 70_000;

fn open(disk: &SimDisk) -> Result<ReplicaStore, ReplicaError> {
    ReplicaStore::open_on(disk.shared(), Path::new(DIR), 0)
}

fn replica() -> Vec<u8> {
    (0..LEN).map(|at| u8::try_from(at * 13 % 251).unwrap()).collect()
}

fn seal(store: &ReplicaStore) -> Result<Hash, ReplicaError> {
    let mut writer = store.begin(SECTOR, LEN as u64)?;
    for part in replica().chunks(32_000) {
        writer.write(part)?;
    }
    writer.finish(b"upper tree", b"info")
}

fn assert_replica(store: &ReplicaStore, case: &str) {
    let found = store
        .read(SECTOR, 0, LEN)
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(found == replica(), "{case}");
    assert_eq!(store.upper_tree(SECTOR).unwrap(), b"upper tree");
    assert_eq!(store.info(SECTOR).unwrap(), b"info");
    assert_eq!(store.list(), [(SECTOR, Some(LEN as u64))]);
}

/// A replica is there whole or not at all, whenever the power fails, and sealing begins again. Covers: D1.
#[test]
fn a_replica_is_never_half_there() {
    for at in 0.. {
        let mut is_through = false;
        for seed in 0..12 {
            let case = format!("cut {at}, seed {seed}");
            let disk = SimDisk::new();
            disk.fail_after(at);
            let acknowledged = open(&disk).and_then(|store| seal(&store)).is_ok();
            is_through = !disk.has_failed();
            disk.come_back(seed * (1 + at * 100));
            let store = open(&disk).unwrap_or_else(|error| panic!("{case}: {error}"));
            if store.list().is_empty() {
                assert!(!acknowledged, "{case}");
                assert_eq!(seal(&store).unwrap(), Hash::of_content(&replica()));
            }
            assert_replica(&store, &case);
            assert_eq!(disk.paths().len(), 1, "{case}");
        }
        if is_through {
            return;
        }
    }
}

/// A rotten leaf is seen by the provider before any verifier sees it. Covers: D3, C5.
#[test]
fn a_rotten_leaf_is_a_known_fault() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    seal(&store).unwrap();
    let path = store.path(SECTOR);
    let mut luck = Luck::new(4);
    for _ in 0..100 {
        let byte = luck.below(LEN);
        disk.flip_bit(&path, byte * 8);
        let start = (byte / 16_384 * 16_384) as u64;
        let leaf_at = byte / 64 * 64;
        let leaf_len = 64.min(LEN - leaf_at);
        let error = store.read(SECTOR, leaf_at as u64, leaf_len).unwrap_err();
        assert!(
            matches!(error, ReplicaError::DamagedAt { offset, .. } if offset == start),
            "{error}"
        );
        assert_eq!(store.damaged_offsets(SECTOR).unwrap(), [start]);
        disk.flip_bit(&path, byte * 8);
        assert!(
            store.read(SECTOR, leaf_at as u64, leaf_len).unwrap() == replica()[leaf_at..leaf_at + leaf_len]
        );
    }
    drop(store);
    let len = disk.bytes(&path).len();
    disk.flip_bit(&path, (len - 40) * 8);
    let store = open(&disk).unwrap();
    assert_eq!(store.list(), [(SECTOR, None)]);
    assert!(matches!(store.info(SECTOR), Err(ReplicaError::Damaged { .. })));
    seal(&store).unwrap();
    assert_replica(&store, "sealed again");
}

#[test]
fn what_does_not_fit_is_refused() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    assert!(matches!(
        store.begin(SECTOR, REPLICA_BYTES_MAX + 1),
        Err(ReplicaError::TooLong { .. })
    ));
    let mut writer = store.begin(SECTOR, 10).unwrap();
    assert!(matches!(
        writer.write(&[0; 11]),
        Err(ReplicaError::WrongLength {
            expected: 10,
            found: 11,
            ..
        })
    ));
    writer.write(&[0; 9]).unwrap();
    assert!(matches!(
        writer.finish(b"", b""),
        Err(ReplicaError::WrongLength { .. })
    ));
    assert!(matches!(
        store.read(SECTOR, 0, 1),
        Err(ReplicaError::Unknown { .. })
    ));
    seal(&store).unwrap();
    assert!(matches!(
        store.begin(SECTOR, 10),
        Err(ReplicaError::Exists { .. })
    ));
    assert!(matches!(
        store.read(SECTOR, LEN as u64 - 1, 2),
        Err(ReplicaError::WrongLength { .. })
    ));
    store.remove(SECTOR).unwrap();
    store.remove(SECTOR).unwrap();
    assert!(store.list().is_empty());
}

/// However many replicas are read, few of them stay open: a provider has more sectors than a process has descriptors. Covers: D1, D3.
#[test]
fn few_replicas_stay_open() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let n_sectors = N_OPEN_MAX as u64 + 8;
    for sector in 0..n_sectors {
        let mut writer = store.begin(SectorNumber(sector), 3).unwrap();
        writer.write(b"abc").unwrap();
        writer.finish(b"tree", &sector.to_be_bytes()).unwrap();
    }
    for round in 0..2 {
        for sector in 0..n_sectors {
            let sector = SectorNumber(sector);
            assert_eq!(store.read(sector, 0, 3).unwrap(), b"abc", "round {round}");
            assert_eq!(store.info(sector).unwrap(), sector.0.to_be_bytes());
            assert!(disk.n_open() <= N_OPEN_MAX);
        }
    }
}

/// Sealing leaves the owner's reserve alone, and a disk that fills up all the same is left as it was. Covers: C1, D1.
#[test]
fn a_replica_leaves_the_reserve_alone() {
    const MIB: u64 = 1 << 20;
    let disk = SimDisk::new();
    let store = ReplicaStore::open_on(disk.shared(), Path::new(DIR), 1024 * MIB).unwrap();
    disk.set_capacity(Some(1034 * MIB));
    let error = store.begin(SECTOR, 62 * MIB).unwrap_err();
    assert!(
        matches!(
            error,
            ReplicaError::NoSpace { needed_bytes, available_bytes, .. }
                if (needed_bytes, available_bytes) == (62 * MIB, 1034 * MIB)
        ),
        "{error}"
    );
    assert!(disk.paths().is_empty());

    disk.set_capacity(Some(1086 * MIB));
    let mut writer = store.begin(SECTOR, 62 * MIB).unwrap();
    // Others fill it meanwhile.
    disk.set_capacity(Some(10 * MIB));
    let zeros = vec![0; 1 << 20];
    while writer.write(&zeros).is_ok() {}
    drop(writer);
    assert!(disk.paths().is_empty() && store.list().is_empty());
}
