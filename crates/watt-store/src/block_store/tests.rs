use super::*;
use crate::disk::sim::{Luck, SimDisk};

const DIR: &str = "/n/blocks";

/// Small, so that a test crosses several segments.
const SEGMENT: usize = 4096;

fn open(disk: &SimDisk) -> Result<BlockStore, BlockStoreError> {
    BlockStore::open_on(disk.shared(), Path::new(DIR), SEGMENT)
}

fn block(height: u64) -> Vec<u8> {
    (0..200 + height * 37 % 700)
        .map(|at| u8::try_from((height + at) % 253).unwrap())
        .collect()
}

fn proof(height: u64) -> Vec<u8> {
    format!("proof of {height}").into_bytes()
}

fn append(store: &BlockStore, height: u64) -> Result<(), BlockStoreError> {
    store.append(BlockHeight(height), &block(height), &proof(height))
}

fn append_batch(store: &BlockStore, heights: std::ops::Range<u64>) -> Result<(), BlockStoreError> {
    let blocks: Vec<_> = heights
        .map(|height| (height, block(height), proof(height)))
        .collect();
    let slices: Vec<(BlockHeight, &[u8], &[u8])> = blocks
        .iter()
        .map(|(height, block, proof)| (BlockHeight(*height), &block[..], &proof[..]))
        .collect();
    store.append_batch(&slices)
}

fn assert_block(store: &BlockStore, height: u64, case: &str) {
    let found = store
        .get(BlockHeight(height))
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let found = found.unwrap_or_else(|| panic!("{case}: block {height} is gone"));
    assert_eq!(
        (found.height.0, found.block, found.proof),
        (height, block(height), proof(height)),
        "{case}"
    );
}

/// Twenty blocks, some in batches; returns how many were acknowledged.
fn run(disk: &SimDisk) -> u64 {
    let Ok(store) = open(disk) else { return 0 };
    let mut height = 0;
    while height < 20 {
        let next = if height % 7 == 3 { height + 5 } else { height + 1 };
        let result = if next == height + 1 {
            append(&store, height)
        } else {
            append_batch(&store, height..next)
        };
        if result.is_err() {
            assert!(matches!(
                append(&store, height),
                Err(BlockStoreError::Stopped { .. })
            ));
            return height;
        }
        height = next;
    }
    height
}

/// The power fails at every write, sync and rename: the acknowledged prefix is there, what follows is whole or reported,
/// and the log goes on. Covers: A6, A10.
#[test]
fn acknowledged_blocks_survive_a_power_cut_at_every_step() {
    let mut at = 0;
    loop {
        let mut is_through = false;
        for seed in 0..12 {
            let case = format!("cut {at}, seed {seed}");
            let disk = SimDisk::new();
            disk.fail_after(at);
            let n_acknowledged = run(&disk);
            is_through = !disk.has_failed();
            disk.come_back(seed * (1 + at * 100));
            let store = open(&disk).unwrap_or_else(|error| panic!("{case}: {error}"));
            (0..n_acknowledged).for_each(|height| assert_block(&store, height, &case));
            let n_found = store.head().map_or(0, |head| head.0 + 1);
            assert!(n_found >= n_acknowledged, "{case}");
            for height in n_acknowledged..n_found {
                match store.get(BlockHeight(height)) {
                    Ok(_) => assert_block(&store, height, &case),
                    // The middle of a batch was lost: another node's copy heals it.
                    Err(BlockStoreError::Damaged { .. }) => {
                        store
                            .repair(BlockHeight(height), &block(height), &proof(height))
                            .unwrap();
                    }
                    Err(error) => panic!("{case}: {error}"),
                }
            }
            append(&store, n_found).unwrap();
            disk.restart(7);
            let store = open(&disk).unwrap();
            (0..=n_found).for_each(|height| assert_block(&store, height, &case));
        }
        if is_through {
            break;
        }
        at += 1;
    }
    assert!(at > 30, "only {at} steps were tried");
}

/// Each bit of the log may rot: a block is then reported and healed from another copy, and no wrong byte is returned.
/// Covers: A10, C5.
#[test]
fn a_rotten_block_is_reported_and_can_be_repaired() {
    let mut luck = Luck::new(11);
    let sound = SimDisk::new();
    let store = open(&sound).unwrap();
    (0..20).for_each(|height| append(&store, height).unwrap());
    drop(store);
    let segments: Vec<PathBuf> = sound
        .paths()
        .into_iter()
        .filter(|path| path.extension().unwrap() == "log")
        .collect();
    assert!(segments.len() > 2);
    let mut n_repaired = 0;
    for round in 0..600 {
        let disk = sound.copy();
        let path = &segments[round % segments.len()];
        let n_bits = (disk.bytes(path).len() - FILE_HEADER_BYTES) * 8;
        disk.flip_bit(path, luck.below(n_bits) + FILE_HEADER_BYTES * 8);
        let store = open(&disk).unwrap();
        let n_found = store.head().unwrap().0 + 1;
        assert!(n_found >= 19, "only the last block may pass for torn");
        for height in 0..n_found {
            match store.get(BlockHeight(height)) {
                Ok(_) => assert_block(&store, height, "bit flip"),
                Err(BlockStoreError::Damaged { height, .. }) => {
                    store.repair(height, &block(height.0), &proof(height.0)).unwrap();
                    n_repaired += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if n_found < 20 {
            append(&store, 19).unwrap();
        }
        drop(store);
        let store = open(&disk).unwrap();
        (0..20).for_each(|height| assert_block(&store, height, "after repair"));
    }
    assert!(n_repaired > 400, "{n_repaired}");
}

/// The index is only a help: rotten or missing, it is made again from the blocks.
#[test]
fn a_lost_index_is_rebuilt() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    (0..20).for_each(|height| append(&store, height).unwrap());
    drop(store);
    let indices: Vec<PathBuf> = disk
        .paths()
        .into_iter()
        .filter(|path| path.extension().unwrap() == "index")
        .collect();
    disk.flip_bit(&indices[0], 900);
    disk.remove(&indices[1]).unwrap();
    for _ in 0..2 {
        let store = open(&disk).unwrap();
        (0..20).for_each(|height| assert_block(&store, height, "without index"));
    }
}

/// A file that was removed for good leaves its blocks to be fetched again, and an index of it is not believed.
#[test]
fn a_removed_segment_is_a_gap_to_be_repaired() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    (0..20).for_each(|height| append(&store, height).unwrap());
    drop(store);
    let second = segment_path(Path::new(DIR), 2);
    disk.remove(&second).unwrap();
    let store = open(&disk).unwrap();
    let damaged: Vec<u64> = (0..20)
        .filter(|height| store.get(BlockHeight(*height)).is_err())
        .collect();
    assert!(!damaged.is_empty());
    for height in damaged {
        store
            .repair(BlockHeight(height), &block(height), &proof(height))
            .unwrap();
    }
    drop(store);
    let store = open(&disk).unwrap();
    (0..20).for_each(|height| assert_block(&store, height, "repaired"));
}

#[test]
fn blocks_come_in_order_and_intact_ones_never_change() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    assert_eq!((store.first(), store.head()), (None, None));
    assert_eq!(store.get(BlockHeight(0)).unwrap(), None);
    append(&store, 720).unwrap();
    assert_eq!(store.first(), Some(BlockHeight(720)));
    for wrong in [0, 719, 720, 722] {
        let error = append(&store, wrong).unwrap_err();
        assert!(
            matches!(
                error,
                BlockStoreError::OutOfOrder {
                    expected: BlockHeight(721),
                    ..
                }
            ),
            "{error}"
        );
    }
    let error = store.repair(BlockHeight(720), b"other", b"").unwrap_err();
    assert!(matches!(error, BlockStoreError::NotDamaged { .. }), "{error}");
    append(&store, 721).unwrap();
    assert_eq!(store.get(BlockHeight(719)).unwrap(), None);
    assert_eq!(store.get(BlockHeight(722)).unwrap(), None);
    assert_block(&store, 720, "first");
}

#[test]
fn a_full_disk_keeps_all_blocks() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    (0..5).for_each(|height| append(&store, height).unwrap());
    disk.set_capacity(Some(0));
    let error = append(&store, 5).unwrap_err();
    assert!(
        matches!(&error, BlockStoreError::Disk(error @ DiskError::NotDurable { .. }) if error.is_disk_full()),
        "{error}"
    );
    disk.set_capacity(None);
    disk.restart(3);
    let store = open(&disk).unwrap();
    (0..5).for_each(|height| assert_block(&store, height, "disk was full"));
    append(&store, 5).unwrap();
}
