use super::*;
use crate::disk::sim::{Luck, SimDisk};

const DIR: &str = "/n/scp";

fn open(disk: &SimDisk) -> Result<(Journal, Vec<Vec<u8>>), JournalError> {
    Journal::open_on(disk.shared(), Path::new(DIR))
}

fn record(i: u64) -> Vec<u8> {
    (0..i % 900)
        .map(|at| u8::try_from((i * 7 + at) % 251).unwrap())
        .chain(i.to_be_bytes())
        .collect()
}

/// Appends ten batches and drops old ones in between; returns what was acknowledged and what may be there besides.
fn run(disk: &SimDisk) -> (Vec<u64>, Vec<u64>) {
    let (mut acknowledged, mut begun) = (Vec::new(), Vec::new());
    let Ok((mut journal, records)) = open(disk) else {
        return (acknowledged, begun);
    };
    assert!(records.is_empty());
    for batch in 0..10u64 {
        let ids: Vec<u64> = (batch * 3..batch * 3 + 3).collect();
        let records: Vec<Vec<u8>> = ids.iter().map(|id| record(*id)).collect();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        begun = ids.clone();
        if journal.append(&slices).is_err() {
            assert!(
                matches!(journal.append(&slices), Err(JournalError::Stopped { .. })),
                "it stays stopped"
            );
            return (acknowledged, begun);
        }
        acknowledged.extend(ids);
        begun = Vec::new();
        if batch % 4 == 3 {
            let oldest = batch * 3 - 4;
            let result = journal.retain(|record| id_of(record) >= oldest);
            // What the retention meant to drop may be there or not; what it keeps must be.
            acknowledged.retain(|id| *id >= oldest);
            if result.is_err() {
                return (acknowledged, begun);
            }
        }
    }
    (acknowledged, begun)
}

fn id_of(record: &[u8]) -> u64 {
    u64::from_be_bytes(record[record.len() - 8..].try_into().unwrap())
}

fn check_survival(disk: &SimDisk, acknowledged: &[u64], begun: &[u64], case: &str) {
    let (mut journal, records) = open(disk).unwrap_or_else(|error| panic!("{case}: {error}"));
    let ids: Vec<u64> = records.iter().map(|record| id_of(record)).collect();
    for (id, found) in ids.iter().zip(&records) {
        assert_eq!(*found, record(*id), "{case}: a spoilt record was returned");
    }
    assert!(ids.is_sorted(), "{case}: {ids:?}");
    for id in acknowledged {
        assert!(
            ids.contains(id),
            "{case}: record {id} was acknowledged and is gone"
        );
    }
    let newest = acknowledged.last().copied();
    let unacknowledged: Vec<u64> = ids.into_iter().filter(|id| Some(*id) > newest).collect();
    assert!(
        unacknowledged.is_empty() || unacknowledged == begun,
        "{case}: a batch came in part: {unacknowledged:?}"
    );
    // It goes on, and what it returned is durable now.
    journal.append(&[&record(1000)]).unwrap();
    disk.restart(99);
    let (_, after) = open(disk).unwrap();
    assert_eq!(after[..records.len()], records[..], "{case}");
    assert_eq!(after[records.len()..], [record(1000)], "{case}");
}

/// The power fails at every write, sync, rename and removal; each acknowledged record is there afterwards. Covers: A1.
#[test]
fn acknowledged_records_survive_a_power_cut_at_every_step() {
    let mut at = 0;
    loop {
        let mut is_through = false;
        for seed in 0..12 {
            let disk = SimDisk::new();
            disk.fail_after(at);
            let (acknowledged, begun) = run(&disk);
            is_through = !disk.has_failed();
            disk.come_back(seed * (1 + at * 100));
            check_survival(&disk, &acknowledged, &begun, &format!("cut {at}, seed {seed}"));
        }
        if is_through {
            break;
        }
        at += 1;
    }
    assert!(at > 25, "only {at} steps were tried");
}

/// After a kill the system's memory still has what was never synced; a power cut right after must not lose what was
/// read from it. Covers: A1.
#[test]
fn what_was_read_after_a_kill_is_durable() {
    for at in 0..40 {
        let disk = SimDisk::new();
        disk.fail_after(at);
        run(&disk);
        disk.kill();
        let Ok((_, records)) = open(&disk) else {
            panic!("cut {at}");
        };
        disk.restart(at);
        let (_, after) = open(&disk).unwrap();
        assert_eq!(after, records, "cut {at}");
    }
}

/// Rot in an old record is told; the node must not act as if it had never spoken. Covers: A1.
#[test]
fn rot_before_the_last_record_is_reported_and_never_read_over() {
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    for id in 0..6 {
        journal.append(&[&record(id)]).unwrap();
    }
    let (path, len) = (journal.path.clone(), journal.end);
    drop(journal);
    let mut n_damaged = 0;
    for bit in 0..len * 8 {
        disk.flip_bit(&path, bit);
        match open(&disk) {
            Err(JournalError::Damaged { .. }) => n_damaged += 1,
            Ok((_, records)) => {
                assert!(
                    records.len() >= 5,
                    "bit {bit}: only the last record may pass for torn"
                );
                assert!(
                    records
                        .iter()
                        .enumerate()
                        .all(|(i, found)| *found == record(i as u64)),
                    "bit {bit}"
                );
                // Wiping a torn end changes the file; put it back.
                disk.kill();
                let (mut journal, found) = open(&disk).unwrap();
                if found.len() == 5 {
                    journal.append(&[&record(5)]).unwrap();
                    continue;
                }
            }
            Err(error) => panic!("bit {bit}: {error}"),
        }
        disk.flip_bit(&path, bit);
    }
    assert!(n_damaged > len * 4, "{n_damaged} of {} bits", len * 8);
}

/// Whatever a crash left after the last record, the records before are read. Covers: A1.
#[test]
fn a_tail_of_garbage_is_dropped() {
    let mut luck = Luck::new(5);
    for _ in 0..300 {
        let disk = SimDisk::new();
        let (mut journal, _) = open(&disk).unwrap();
        let n = 1 + luck.below(4) as u64;
        (0..n).for_each(|id| journal.append(&[&record(id)]).unwrap());
        let garbage: Vec<u8> = (0..luck.below(3000))
            .map(|_| u8::try_from(luck.below(256)).unwrap())
            .collect();
        journal.file.write_at(to_u64(journal.end), &garbage).unwrap();
        drop(journal);
        disk.kill();
        let (journal, records) = open(&disk).unwrap();
        assert_eq!(records, (0..n).map(record).collect::<Vec<_>>());
        assert!(journal.torn_bytes <= garbage.len());
        drop(journal);
        let (journal, _) = open(&disk).unwrap();
        assert_eq!(journal.torn_bytes, 0, "the tail was wiped");
    }
}

#[test]
fn a_full_disk_stops_the_journal_and_spoils_nothing() {
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(&[b"kept"]).unwrap();
    disk.set_capacity(Some(0));
    let big = vec![1; GROWTH_BYTES + 1];
    let error = journal.append(&[&big]).unwrap_err();
    assert!(
        matches!(error, JournalError::Disk(DiskError::NotDurable { .. })),
        "{error}"
    );
    assert!(matches!(
        journal.append(&[b"x"]),
        Err(JournalError::Stopped { .. })
    ));
    disk.set_capacity(None);
    let (mut journal, records) = open(&disk).unwrap();
    assert_eq!(records, [b"kept".to_vec()]);
    journal.append(&[&big]).unwrap();
    assert_eq!(open(&disk).unwrap().1, [b"kept".to_vec(), big]);
}

#[test]
fn an_append_is_bounded_at_its_limit() {
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    let at_limit = vec![3; APPEND_BYTES_MAX - 4];
    journal.append(&[&at_limit]).unwrap();
    let above = vec![3; APPEND_BYTES_MAX - 3];
    assert!(matches!(
        journal.append(&[&above]),
        Err(JournalError::TooLong { .. })
    ));
    journal.append(&[b"it goes on"]).unwrap();
    assert_eq!(open(&disk).unwrap().1.len(), 2);
}

#[test]
fn retaining_gives_space_back() {
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    (0..500).for_each(|id| journal.append(&[&record(id)]).unwrap());
    let before = journal.end;
    journal.retain(|record| id_of(record) >= 490).unwrap();
    assert!(journal.end * 10 < before);
    journal.append(&[&record(500)]).unwrap();
    let (_, records) = open(&disk).unwrap();
    assert_eq!(records, (490..=500).map(record).collect::<Vec<_>>());
    assert_eq!(disk.paths().len(), 1, "the old file is gone");
}

/// A journal that met a full disk, or one that did not answer, takes records again once it recovers: what was acknowledged before is there,
/// and so is what is acknowledged after, whenever the power fails. Covers: D3.
#[test]
fn a_journal_recovers_from_a_failed_write() {
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(&[b"first"]).unwrap();
    let long = vec![7; 2 * GROWTH_BYTES];
    disk.set_capacity(Some(GROWTH_BYTES as u64 * 2));
    assert!(journal.append(&[&long]).is_err());
    assert!(matches!(
        journal.append(&[b"second"]),
        Err(JournalError::Stopped { .. })
    ));
    assert!(journal.recover().is_err(), "it is still full");
    disk.set_capacity(None);
    journal.recover().unwrap();
    journal.recover().unwrap();
    journal.append(&[b"second"]).unwrap();
    for seed in 1..20 {
        let copy = disk.copy();
        copy.restart(seed);
        let (_, records) = open(&copy).unwrap();
        assert_eq!(records, [b"first".to_vec(), b"second".to_vec()]);
    }
}
