//! Everything that a validator keeps, on one disk whose power goes out at any write, sync, rename or removal, again and again, also while
//! it is being opened after the last time.
//!
//! A life does as a node does (`docs/spec/node.md` §4, `docs/spec/store.md`): a record is durable before it is said, a block before the
//! state that comes of it. After each life what was acknowledged is there, what was begun may be, and nothing else is.

use crate::disk::sim::{Luck, SimDisk};
use crate::{BlockStore, BlockStoreError, Journal, Kv, Opened, StateConfig, StateDb};
use std::collections::BTreeSet;
use std::path::Path;
use watt_ledger::state::{MemoryState, StateRead as _, Writes};
use watt_primitives::BlockHeight;

/// Power cuts in a run of the tests; `WATT_TORTURE_CUTS` sets another number (`cargo xtask torture`).
const CUTS: u64 = 10_000;

/// Blocks of a life that nothing ends.
const LIFE_BLOCKS: u64 = 12;

/// Changes of the disk within which the power goes out: about as many as a life makes, so that the cuts fall everywhere.
const CHANGES: usize = 130;

/// Lives on one disk: by then there were segments, checkpoints and retentions of several.
const LIVES: u64 = 25;

const STATE: StateConfig = StateConfig {
    durable_every: 4,
    checkpoint_every: u64::MAX,
    n_checkpoints: 2,
    cache_bytes: 1 << 20,
};

/// What outlives the program: what it relied on when the power went out.
#[derive(Default)]
struct Promised {
    /// Number of the last record of consensus that was acknowledged, and of the last that was begun; they count from 1.
    record: (u64, u64),
    /// Records up to this one may have been forgotten.
    forgotten: u64,
    /// Blocks that were acknowledged, and that were begun.
    blocks: (u64, u64),
    /// Blocks whose bytes were lost before they were acknowledged, while a later one of their batch was not.
    gaps: BTreeSet<u64>,
    /// The small value: the last that was acknowledged, and the last that was begun.
    value: (u64, u64),
}

/// The stores of one life.
struct Node {
    journal: Journal,
    blocks: BlockStore,
    state: StateDb,
    values: Kv,
}

/// Anything that ended a life: the disk is out of power, which the end of the life looks at.
struct Cut;

impl<E: std::error::Error> From<E> for Cut {
    fn from(_: E) -> Self {
        Self
    }
}

fn record(number: u64) -> Vec<u8> {
    let filling = (0..number * 37 % 1_500).map(|at| u8::try_from((at + number) % 251).unwrap_or(0));
    number.to_be_bytes().into_iter().chain(filling).collect()
}

fn block(height: u64) -> Vec<u8> {
    vec![u8::try_from(height % 251).unwrap_or(0); 200 + usize::try_from(height % 7).unwrap_or(0) * 300]
}

/// The rows that a block changes; made of the stored block, as a node does that replays.
fn writes(height: u64, block: &[u8]) -> Writes {
    Writes::from([
        (format!("row/{}", height % 9).into_bytes(), Some(block.to_vec())),
        (format!("row/{}", (height + 4) % 9).into_bytes(), None),
        (b"height".to_vec(), Some(height.to_be_bytes().to_vec())),
    ])
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

impl Node {
    /// Opens all, and catches the state up with the log.
    fn open(disk: &SimDisk) -> Result<(Self, Vec<Vec<u8>>, Opened), Cut> {
        let (journal, records) = Journal::open_on(disk.shared(), Path::new("/n/scp"))?;
        let blocks = BlockStore::open_on(disk.shared(), Path::new("/n/blocks"), 8 << 10)?;
        let values = Kv::open_on(disk.shared(), Path::new("/n/values"))?;
        let (state, opened) = StateDb::open_on(disk.shared(), Path::new("/n/state"), STATE)?;
        let node = Self {
            journal,
            blocks,
            state,
            values,
        };
        Ok((node, records, opened))
    }

    fn n_blocks(&self) -> u64 {
        self.blocks.head().map_or(0, |head| head.0 + 1)
    }

    fn n_applied(&self) -> u64 {
        self.state.head().map_or(0, |head| head.height.0 + 1)
    }

    /// Applies what the log has and the state does not; blocks whose middle was lost come from others again.
    fn catch_up(&self, promised: &mut Promised) -> Result<(), Cut> {
        for height in self.n_applied()..self.n_blocks() {
            let stored = match self.blocks.get(BlockHeight(height)) {
                Err(BlockStoreError::Damaged { .. }) => {
                    self.blocks
                        .repair(BlockHeight(height), &block(height), b"proof")?;
                    promised.gaps.remove(&height);
                    block(height)
                }
                stored => stored?.map(|stored| stored.block).unwrap_or_default(),
            };
            self.state
                .commit(BlockHeight(height), b"header", &writes(height, &stored))?;
        }
        Ok(self.state.confirm_rebuilt()?)
    }

    /// Some blocks as a validator makes them, each after the records that its statements rest on.
    fn live(&mut self, promised: &mut Promised, luck: &mut Luck) -> Result<(), Cut> {
        self.catch_up(promised)?;
        for _ in 0..LIFE_BLOCKS {
            for _ in 0..=luck.below(3) {
                let n_records = 1 + u64::try_from(luck.below(2)).unwrap_or(0);
                let numbers = promised.record.0 + 1..=promised.record.0 + n_records;
                promised.record.1 = promised.record.0 + n_records;
                let records: Vec<Vec<u8>> = numbers.map(record).collect();
                let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
                self.journal.append(&records)?;
                promised.record.0 = promised.record.1;
            }
            let first = self.n_blocks();
            let next = first + if luck.below(4) == 0 { 3 } else { 1 };
            promised.blocks.1 = next;
            let bodies: Vec<(u64, Vec<u8>)> = (first..next).map(|height| (height, block(height))).collect();
            let batch: Vec<(BlockHeight, &[u8], &[u8])> = bodies
                .iter()
                .map(|(height, body)| (BlockHeight(*height), body.as_slice(), b"proof".as_slice()))
                .collect();
            self.blocks.append_batch(&batch)?;
            promised.blocks.0 = next;
            for (height, body) in &bodies {
                self.state
                    .commit(BlockHeight(*height), b"header", &writes(*height, body))?;
            }
            match luck.below(8) {
                0 => self.state.write_checkpoint()?,
                1 => {
                    let oldest = promised.record.0.saturating_sub(3);
                    promised.forgotten = promised.forgotten.max(oldest.saturating_sub(1));
                    self.journal.retain(|bytes| number(bytes) >= oldest)?;
                }
                2 => {
                    promised.value.1 = promised.value.0 + 1;
                    self.values.put("evidence", &promised.value.1.to_be_bytes())?;
                    promised.value.0 = promised.value.1;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What was acknowledged is there, and nothing that was never begun; what is there counts as acknowledged from now on. The first
/// thing that is not so, in words.
fn check(node: &Node, records: &[Vec<u8>], promised: &mut Promised) -> Result<(), String> {
    let must = |is_so: bool, what: &str| is_so.then_some(()).ok_or_else(|| what.to_owned());
    let numbers: Vec<u64> = records.iter().map(|bytes| number(bytes)).collect();
    let are_whole = records.iter().all(|bytes| *bytes == record(number(bytes)));
    must(are_whole, "a record is not as it was written")?;
    let are_in_a_row = numbers.windows(2).all(|two| two[1] == two[0] + 1);
    must(are_in_a_row, "records are missing between others")?;
    let newest = numbers.last().copied().unwrap_or(promised.forgotten);
    must(newest >= promised.record.0, "an acknowledged record is gone")?;
    must(
        newest <= promised.record.1,
        "a record is there that was never written",
    )?;
    must(
        newest == promised.record.0 || newest == promised.record.1,
        "a batch of records came in part",
    )?;
    let oldest = numbers.first().copied().unwrap_or(promised.forgotten + 1);
    must(
        oldest <= promised.forgotten + 1,
        "a record that was to be kept is gone",
    )?;
    promised.record = (newest, newest);

    let n_blocks = node.n_blocks();
    must(n_blocks >= promised.blocks.0, "an acknowledged block is gone")?;
    must(
        n_blocks <= promised.blocks.1,
        "a block is there that was never written",
    )?;
    for height in 0..n_blocks {
        match node.blocks.get(BlockHeight(height)) {
            Ok(Some(stored)) => must(stored.block == block(height), "a block is not as it was written")?,
            // In a batch that was not acknowledged the middle may be lost; it is known to be.
            Err(BlockStoreError::Damaged { .. })
                if height >= promised.blocks.0 || promised.gaps.contains(&height) =>
            {
                promised.gaps.insert(height);
            }
            _ => return Err(format!("block {height} can't be read")),
        }
    }
    promised.blocks = (n_blocks, n_blocks);

    must(
        node.n_applied() <= n_blocks,
        "the state is of a block that is not there",
    )?;
    let snapshot = node.state.snapshot().map_err(|error| error.to_string())?;
    let rows = snapshot.read(|rows| rows.scan(b"", None, 100));
    let mut expected = MemoryState::default();
    (0..node.n_applied()).for_each(|height| expected.write(&writes(height, &block(height))));
    let are_so = rows.is_ok_and(|rows| rows == expected.scan(b"", None, 100));
    must(are_so, "the state is not that of its block")?;

    let value = node.values.get("evidence").map_err(|error| error.to_string())?;
    let value = value.map_or(0, |bytes| number(&bytes));
    let is_one_of_both = value == promised.value.0 || value == promised.value.1;
    must(is_one_of_both, "a value is neither the old one nor the new one")?;
    promised.value = (value, value);
    Ok(())
}

/// What the lives of a run came to.
#[derive(Debug, Default)]
struct Tally {
    /// Lives that a power cut or a kill ended.
    cuts: u64,
    /// Of these, before everything was open again.
    while_opening: u64,
    /// States that had to be made anew.
    rebuilt: u64,
    /// Records and blocks that were acknowledged.
    records: u64,
    blocks: u64,
}

/// `n_cuts` lives that a power cut ends, on disk after disk; the first promise that was broken, with the seed that shows it again.
fn torture(n_cuts: u64, is_lying: bool) -> Result<Tally, String> {
    let (mut tally, mut seed) = (Tally::default(), 0);
    while tally.cuts < n_cuts {
        seed += 1;
        let mut luck = Luck::new(seed);
        let (disk, mut promised) = (SimDisk::new(), Promised::default());
        disk.set_lying(is_lying);
        for life in 0..LIVES {
            disk.fail_after(u64::try_from(luck.below(CHANGES)).unwrap_or(0));
            if let Ok((mut node, records, opened)) = Node::open(&disk) {
                tally.rebuilt += u64::from(opened != Opened::Intact);
                let checked = check(&node, &records, &mut promised);
                // What can't be read because the power is out is no lie.
                if let Err(broken) = checked.or_else(|why| if disk.has_failed() { Ok(()) } else { Err(why) })
                {
                    return Err(format!("seed {seed}, life {life}: {broken}"));
                }
                if !disk.has_failed() {
                    let lived = node.live(&mut promised, &mut luck);
                    if lived.is_err() && !disk.has_failed() {
                        return Err(format!(
                            "seed {seed}, life {life}: a store failed on a disk that works"
                        ));
                    }
                }
            } else if disk.has_failed() {
                tally.while_opening += 1;
            } else {
                return Err(format!("seed {seed}, life {life}: it does not open"));
            }
            tally.cuts += u64::from(disk.has_failed());
            // One in four is a kill of the program, the others are power cuts.
            disk.come_back(u64::try_from(luck.below(4) * (1 + luck.below(1 << 20))).unwrap_or(1));
        }
        tally.records += promised.record.0;
        tally.blocks += promised.blocks.0;
    }
    Ok(tally)
}

/// The power goes out hundreds of times at any change of the disk, with what was not synced lost, torn and reordered, while a
/// validator's journal, blocks, state and values are at work or being opened: each acknowledged record and block is there, a batch
/// comes whole or not at all, the state is that of its block, and nothing is there that was never written.
///
/// Covers: A1, A6, A10.
#[test]
fn what_was_acknowledged_survives_one_power_cut_after_the_other() {
    let n_cuts = std::env::var("WATT_TORTURE_CUTS").ok();
    let n_cuts = n_cuts.and_then(|n| n.parse().ok()).unwrap_or(CUTS);
    match torture(n_cuts, false) {
        Ok(tally) => {
            println!("nothing lost: {tally:?}");
            // It was no fair weather, and there was something to lose.
            assert!(tally.while_opening > n_cuts / 100 && tally.while_opening < n_cuts / 2);
            assert!(tally.records > n_cuts && tally.blocks > n_cuts);
        }
        Err(broken) => panic!("{broken}"),
    }
}

/// The same on a drive that only says that it synced: the loss is found, so the test above would find a store that forgets to sync.
#[test]
fn a_disk_that_lies_is_found_out() {
    assert!(torture(CUTS, true).is_err());
}
