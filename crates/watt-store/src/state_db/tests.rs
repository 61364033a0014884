use super::*;
use crate::disk::sim::{Luck, SimDisk};
use std::collections::BTreeMap;
use watt_ledger::state::{MemoryState, StateRead};

const DIR: &str = "/n/state";

const CONFIG: StateConfig = StateConfig {
    durable_every: 4,
    checkpoint_every: u64::MAX,
    n_checkpoints: 2,
    cache_bytes: 1 << 20,
};

fn open(disk: &SimDisk) -> Result<(StateDb, Opened), StateError> {
    StateDb::open_on(disk.shared(), Path::new(DIR), CONFIG)
}

/// The rows that block `height` changes: some written, some removed, in a small space of keys.
fn writes(height: u64) -> Writes {
    let mut luck = Luck::new(height + 1);
    (0..20)
        .map(|_| {
            let key = format!("row/{:02}", luck.below(60)).into_bytes();
            let value =
                (luck.below(4) > 0).then(|| vec![u8::try_from(luck.below(256)).unwrap(); luck.below(200)]);
            (key, value)
        })
        .collect()
}

fn meta(height: u64) -> Vec<u8> {
    format!("header {height}").into_bytes()
}

fn commit(state: &StateDb, height: u64) -> Result<(), StateError> {
    state.commit(BlockHeight(height), &meta(height), &writes(height))
}

/// What the state must be after block `height`, computed anew.
fn expected(height: u64) -> MemoryState {
    let mut state = MemoryState::default();
    (0..=height).for_each(|height| state.write(&writes(height)));
    state
}

fn assert_state(state: &StateDb, case: &str) {
    let snapshot = state.snapshot().unwrap_or_else(|error| panic!("{case}: {error}"));
    let rows = snapshot.read(|rows| rows.scan(b"", None, 1000)).unwrap();
    let Some(head) = snapshot.head() else {
        assert!(rows.is_empty(), "{case}");
        return;
    };
    assert_eq!(head.meta, meta(head.height.0), "{case}");
    assert_eq!(state.head().as_ref(), Some(head), "{case}");
    let expected = expected(head.height.0);
    assert_eq!(rows, expected.scan(b"", None, 1000), "{case}");
}

fn next_height(state: &StateDb) -> u64 {
    state.head().map_or(0, |head| head.height.0 + 1)
}

/// Twenty blocks with a checkpoint in between; returns the height that had been committed when it ended.
fn run(disk: &SimDisk) -> u64 {
    let Ok((state, _)) = open(disk) else { return 0 };
    for height in 0..20 {
        if commit(&state, height).is_err() {
            return height;
        }
        if (height == 7 || height == 13) && state.write_checkpoint().is_err() {
            return height;
        }
    }
    20
}

/// The power fails at any step, with unsynced writes lost, torn and reordered: the state opens as it was after some block,
/// and replaying the rest leads where it would have led. Covers: A6.
#[test]
fn the_state_after_a_power_cut_is_that_of_some_block() {
    let mut luck = Luck::new(1);
    let (mut at, mut n_recovered, mut n_lagging) = (0, 0, 0);
    loop {
        let case = format!("cut {at}");
        let disk = SimDisk::new();
        disk.fail_after(at);
        let n_committed = run(&disk);
        let is_through = !disk.has_failed();
        disk.restart(at + 17);
        let (state, opened) = open(&disk).unwrap_or_else(|error| panic!("{case}: {error}"));
        n_recovered += u64::from(opened != Opened::Intact);
        assert_state(&state, &case);
        let next = next_height(&state);
        n_lagging += u64::from(next < n_committed);
        assert!(
            next <= n_committed + 1,
            "{case}: block {next} was never committed"
        );
        assert!(
            opened != Opened::Intact || next + CONFIG.durable_every >= n_committed,
            "{case}: {next} of {n_committed}"
        );
        (next..22).for_each(|height| commit(&state, height).unwrap());
        assert_state(&state, &case);
        drop(state);
        disk.restart(2);
        let (state, opened) = open(&disk).unwrap();
        assert_eq!(
            (opened, next_height(&state)),
            (Opened::Intact, 22),
            "{case}: a clean stop keeps all"
        );
        assert_state(&state, &case);
        if is_through {
            break;
        }
        // All early steps, then a sample: a run has hundreds.
        at += if at < 30 { 1 } else { 1 + luck.below(4) as u64 };
    }
    assert!(at > 60, "only {at} steps");
    assert!(n_lagging > 10, "{n_lagging}");
    assert!(
        n_recovered < at / 4,
        "{n_recovered}: a power cut alone is no damage"
    );
}

/// Bits of the database rot: no wrong row is ever read; the state comes back from the newest good checkpoint and says
/// from which block. Covers: A6.
#[test]
fn a_rotten_database_is_rebuilt_from_the_newest_good_checkpoint() {
    let disk = SimDisk::new();
    run(&disk);
    let path = Path::new(DIR).join("state.redb");
    let sound = disk.bytes(&path);
    let mut luck = Luck::new(3);
    let mut n_recovered = 0;
    for round in 0..150 {
        disk.put(&path, &sound);
        let n_flips = 1 + luck.below(20);
        (0..n_flips).for_each(|_| disk.flip_bit(&path, luck.below(sound.len() * 8)));
        let (state, opened) = open(&disk).unwrap_or_else(|error| panic!("round {round}: {error}"));
        if let Opened::Recovered { from, reason } = opened {
            n_recovered += 1;
            assert_eq!(from, Some(BlockHeight(13)), "{reason}");
            assert_eq!(next_height(&state), 14);
        }
        assert_state(&state, &format!("round {round}"));
        (next_height(&state)..20).for_each(|height| commit(&state, height).unwrap());
        assert_state(&state, &format!("round {round}, replayed"));
        state.confirm_rebuilt().unwrap();
        drop(state);
    }
    assert!(n_recovered > 30, "{n_recovered}");
}

/// A checkpoint that rotted too is passed over for the one before it, and without any the state begins empty.
#[test]
fn a_rotten_checkpoint_is_passed_over() {
    let disk = SimDisk::new();
    run(&disk);
    let dir = Path::new(DIR);
    let ruin = |name: &str| {
        let path = dir.join(name);
        let len = disk.bytes(&path).len();
        disk.flip_bit(&path, len * 4);
    };
    let cut_database = || disk.put(&dir.join("state.redb"), b"no database");
    ruin("checkpoint-0000000000000013.rows");
    cut_database();
    let (state, opened) = open(&disk).unwrap();
    assert!(
        matches!(
            opened,
            Opened::Recovered {
                from: Some(BlockHeight(7)),
                ..
            }
        ),
        "{opened:?}"
    );
    assert_state(&state, "from 7");
    assert_eq!(
        state.checkpoints().unwrap(),
        [BlockHeight(7)],
        "the rotten one is gone"
    );
    drop(state);
    ruin("checkpoint-0000000000000007.rows");
    cut_database();
    let (state, opened) = open(&disk).unwrap();
    assert!(
        matches!(opened, Opened::Recovered { from: None, .. }),
        "{opened:?}"
    );
    assert_eq!(state.head(), None);
    drop(state);
    // Two rebuilds and no word that the node caught up: a person has to look.
    cut_database();
    let error = open(&disk).unwrap_err();
    assert!(
        matches!(error, StateError::RebuildsFailed { n_rebuilds: 2, .. }),
        "{error}"
    );
    assert!(
        matches!(open(&disk), Err(StateError::RebuildsFailed { .. })),
        "it never loops"
    );
    disk.remove(&dir.join("rebuilds")).unwrap();
    let (state, _) = open(&disk).unwrap();
    (0..5).for_each(|height| commit(&state, height).unwrap());
    state.confirm_rebuilt().unwrap();
    assert_state(&state, "again");
}

/// A row that rots while the node runs reads as absent, is told, stops commits, and the next start rebuilds.
#[test]
fn a_row_that_rots_at_run_time_is_never_read_as_another() {
    let disk = SimDisk::new();
    let path = Path::new(DIR).join("state.redb");
    let key = b"needle".to_vec();
    let (state, _) = open(&disk).unwrap();
    let marked: Writes = BTreeMap::from([(key.clone(), Some(vec![0xAB; 300]))]);
    state.commit(BlockHeight(0), b"", &marked).unwrap();
    state.write_checkpoint().unwrap();
    drop(state);
    // Without a cache, so that the page is read from the disk.
    let config = StateConfig {
        cache_bytes: 0,
        ..CONFIG
    };
    let (state, _) = StateDb::open_on(disk.shared(), Path::new(DIR), config).unwrap();
    let file = disk.bytes(&path);
    let places = file
        .windows(300)
        .enumerate()
        .filter(|(_, bytes)| bytes.iter().all(|byte| *byte == 0xAB));
    places.for_each(|(at, _)| disk.flip_bit(&path, at * 8 + 900));
    let snapshot = state.snapshot().unwrap();
    // What is computed from a row that is not as it was written never leaves, and nothing is computed afterwards.
    let computed = snapshot.read(|rows| rows.get(&key).is_none());
    assert!(matches!(computed, Err(StateError::Damaged { .. })));
    let again = snapshot.read(|_| unreachable!("nothing is read from a damaged state"));
    assert!(matches!(again, Err(StateError::Damaged { .. })));
    assert!(matches!(
        state.commit(BlockHeight(1), b"", &Writes::new()),
        Err(StateError::Damaged { .. })
    ));
    assert!(matches!(state.snapshot(), Err(StateError::Damaged { .. })));
    drop(snapshot);
    drop(state);
    let (state, opened) = open(&disk).unwrap();
    assert!(
        matches!(
            opened,
            Opened::Recovered {
                from: Some(BlockHeight(0)),
                ..
            }
        ),
        "{opened:?}"
    );
    let row = state.snapshot().unwrap().read(|rows| rows.get(&key));
    assert_eq!(row.unwrap(), Some(vec![0xAB; 300]));
}

/// A node that finds its own state to be another than what was agreed has it rebuilt at the next start.
#[test]
fn a_state_can_be_given_up() {
    let disk = SimDisk::new();
    run(&disk);
    let (state, _) = open(&disk).unwrap();
    state
        .mark_damaged("the state root of block 19 is not the agreed one")
        .unwrap();
    assert!(matches!(commit(&state, 20), Err(StateError::Damaged { .. })));
    drop(state);
    let (state, opened) = open(&disk).unwrap();
    let Opened::Recovered {
        from: Some(BlockHeight(13)),
        reason,
    } = opened
    else {
        panic!("{opened:?}")
    };
    assert!(reason.contains("block 19"), "{reason}");
    assert_state(&state, "given up");
}

/// A snapshot shows one block's state for ever, from any thread, also after the state is closed.
#[test]
fn a_snapshot_does_not_move() {
    fn is_free<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    let disk = SimDisk::new();
    let (state, _) = open(&disk).unwrap();
    (0..6).for_each(|height| commit(&state, height).unwrap());
    let snapshot = is_free(state.snapshot().unwrap());
    (6..12).for_each(|height| commit(&state, height).unwrap());
    assert_state(&state, "later");
    drop(state);
    let rows = std::thread::spawn(move || snapshot.read(|rows| rows.scan(b"", None, 1000)).unwrap())
        .join()
        .unwrap();
    assert_eq!(rows, expected(5).scan(b"", None, 1000));
}

/// Scans answer as the state in memory does, which is what the ledger is tested on.
#[test]
fn scans_agree_with_the_state_in_memory() {
    let disk = SimDisk::new();
    let (state, _) = open(&disk).unwrap();
    (0..10).for_each(|height| commit(&state, height).unwrap());
    let (snapshot, memory) = (state.snapshot().unwrap(), expected(9));
    let mut luck = Luck::new(8);
    for _ in 0..500 {
        let digit = |luck: &mut Luck| u8::try_from(luck.below(10)).unwrap() + b'0';
        let mut prefix = b"row/".to_vec();
        prefix.push(digit(&mut luck));
        prefix.truncate(luck.below(6));
        let after =
            (luck.below(2) == 0).then(|| [b"row/", &[digit(&mut luck), digit(&mut luck)][..]].concat());
        let limit = luck.below(20);
        assert_eq!(
            snapshot
                .read(|rows| rows.scan(&prefix, after.as_deref(), limit))
                .unwrap(),
            memory.scan(&prefix, after.as_deref(), limit),
            "{prefix:?} {after:?} {limit}"
        );
        if let Some(key) = after {
            assert_eq!(snapshot.read(|rows| rows.get(&key)).unwrap(), memory.get(&key));
        }
    }
}

#[test]
fn blocks_are_committed_in_order_and_rows_are_bounded() {
    let disk = SimDisk::new();
    let (state, opened) = open(&disk).unwrap();
    assert_eq!((opened, state.head()), (Opened::Intact, None));
    commit(&state, 0).unwrap();
    for wrong in [0, 2] {
        let error = commit(&state, wrong).unwrap_err();
        assert!(
            matches!(
                error,
                StateError::OutOfOrder {
                    expected: BlockHeight(1),
                    ..
                }
            ),
            "{error}"
        );
    }
    let row = |len: usize| Writes::from([(vec![1], Some(vec![0; len - 1]))]);
    let error = state
        .commit(BlockHeight(1), b"", &row(ROW_BYTES_MAX + 1))
        .unwrap_err();
    assert!(matches!(error, StateError::TooLong { .. }), "{error}");
    state.commit(BlockHeight(1), b"", &row(ROW_BYTES_MAX)).unwrap();
    state.write_checkpoint().unwrap();
    drop(state);
    disk.put(&Path::new(DIR).join("state.redb"), b"");
    let (state, _) = open(&disk).unwrap();
    assert_eq!(
        state
            .snapshot()
            .unwrap()
            .read(|rows| rows.get(&[1]))
            .unwrap()
            .unwrap()
            .len(),
        ROW_BYTES_MAX - 1
    );
}

/// Checkpoints come by themselves, in the background, and only the newest are kept.
#[test]
fn checkpoints_are_written_in_the_background() {
    let disk = SimDisk::new();
    let config = StateConfig {
        checkpoint_every: 3,
        ..CONFIG
    };
    let (state, _) = StateDb::open_on(disk.shared(), Path::new(DIR), config).unwrap();
    let wait = |state: &StateDb| {
        while state.lock().exporter.as_ref().is_some_and(Exporter::is_running) {
            std::thread::yield_now();
        }
    };
    for height in 0..=10 {
        commit(&state, height).unwrap();
        wait(&state);
    }
    assert_eq!(state.checkpoints().unwrap(), [BlockHeight(9), BlockHeight(6)]);
    drop(state);
    disk.put(&Path::new(DIR).join("state.redb"), b"gone");
    let (state, opened) = open(&disk).unwrap();
    assert!(matches!(
        opened,
        Opened::Recovered {
            from: Some(BlockHeight(9)),
            ..
        }
    ));
    assert_state(&state, "from the background");
}

/// A full disk fails the commit and leaves the state as it was.
#[test]
fn a_full_disk_is_no_damage() {
    let disk = SimDisk::new();
    run(&disk);
    let used: u64 = disk
        .paths()
        .iter()
        .map(|path| disk.bytes(path).len() as u64)
        .sum();
    disk.set_capacity(Some(used + 5000));
    let (state, opened) = open(&disk).unwrap();
    assert_eq!(opened, Opened::Intact);
    let big = Writes::from([(vec![9], Some(vec![5; 4 << 20]))]);
    let mut failed = None;
    for height in 20..25 {
        if let Err(error) = state
            .commit(BlockHeight(height), &meta(height), &big)
            .and_then(|()| state.flush())
        {
            failed = Some(error);
            break;
        }
    }
    assert!(matches!(failed, Some(StateError::Database { .. })), "{failed:?}");
    drop(state);
    disk.set_capacity(None);
    let (state, opened) = open(&disk).unwrap();
    assert_eq!(opened, Opened::Intact);
    assert_eq!(next_height(&state), 20);
    assert_state(&state, "disk was full");
}
