//! The file of a recording: gone on with after a crash, bounded, and never somebody else's.

use super::*;
use watt_primitives::{NetworkId, NodeId, SlotIndex};
use watt_scp::replay::Step;
use watt_scp::replay::log::{Replayed, replay};
use watt_scp::{Config, Input, Oracle, QuorumSet, Scp, Validity, Value};

/// Knows nothing.
struct Nothing;

impl Oracle for Nothing {
    fn validity(&self, _: SlotIndex, _: &Value) -> Validity {
        Validity::Invalid
    }

    fn combine(&self, _: SlotIndex, _: &[Value]) -> Option<Value> {
        None
    }

    fn quorum_set(&self, _: &watt_primitives::Hash) -> Option<&QuorumSet> {
        None
    }

    fn weight(&self, _: NodeId) -> u64 {
        u64::MAX
    }

    fn fallback(&self, _: SlotIndex, _: &Value) -> Option<Value> {
        None
    }
}

/// A node's beginning and two steps.
fn life() -> Vec<Entry> {
    let node = NodeId([1; 32]);
    let config = Config {
        node,
        network: NetworkId::new([2; 32]),
        quorum_set: QuorumSet::flat(1, vec![node]),
        votes: true,
    };
    let mut scp = Scp::new(config.clone());
    let mut entries = vec![Entry::Life(config)];
    let nominate = Input::Nominate {
        slot: SlotIndex(1),
        value: Value(watt_primitives::Hash([3; 32])),
        previous: Value(watt_primitives::Hash::ZERO),
    };
    for input in [nominate, Input::Purge { below: SlotIndex(2) }] {
        let mut outputs = Vec::new();
        let step = Step::record(&mut scp, input, &Nothing, &mut outputs);
        entries.push(Entry::Step { step, outputs });
    }
    entries
}

fn record(path: &Path) {
    let recorder = Recorder::open(path).unwrap();
    for entry in life() {
        assert!(recorder.record(vec![entry]));
    }
}

fn replayed(path: &Path) -> Replayed {
    replay(&read(path).unwrap()).unwrap()
}

/// Each run adds a life; what a crash tore is cut off once and stays counted. Covers: A1.
#[test]
fn a_log_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scp.log");
    record(&path);
    let once = replayed(&path);
    assert_eq!((once.lives, once.steps, once.torn_bytes), (1, 2, 0));

    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let torn = replayed(&path);
    assert_eq!((torn.lives, torn.steps), (1, 1));
    record(&path);
    let twice = replayed(&path);
    assert_eq!((twice.lives, twice.steps), (2, 3));
    assert_eq!(twice.torn_bytes, torn.torn_bytes);

    // Torn within the first bytes: as good as new.
    std::fs::write(&path, &MAGIC[..7]).unwrap();
    record(&path);
    assert_eq!(
        replayed(&path),
        Replayed {
            torn_bytes: 7,
            ..once
        }
    );
}

/// A file that is something else, damaged, or being recorded into stays as it is. Covers: I1.
#[test]
fn other_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scp.log");
    let refused = |sentence: &str| {
        let before = std::fs::read(&path).unwrap();
        let error = Recorder::open(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(error.message.contains(sentence), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    };
    std::fs::write(&path, "thesis, years of work").unwrap();
    refused("no log of SCP inputs");
    std::fs::remove_file(&path).unwrap();
    record(&path);
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[40] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    refused("damaged at byte 16");
    std::fs::remove_file(&path).unwrap();
    let first = Recorder::open(&path).unwrap();
    refused("another process records");
    drop(first);
    record(&path);
    let nowhere = folder.path().join("no/such/folder");
    assert_eq!(Recorder::open(&nowhere).unwrap_err().kind, ErrorKind::NotFound);
}

/// A full log takes nothing more, stays whole, and says so to whoever records.
#[test]
fn a_log_is_bounded() {
    const LOG_BYTES: usize = 4_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scp.log");
    let recorder = Recorder::open_bounded(&path, LOG_BYTES).unwrap();
    // The thread ends at the first life that does not fit; from then on nothing is taken.
    while recorder.record(life()) {
        std::thread::yield_now();
    }
    drop(recorder);
    let done = replayed(&path);
    assert!(done.lives >= 1 && done.steps == 2 * done.lives && done.torn_bytes == 0);
    assert!(std::fs::metadata(&path).unwrap().len() <= LOG_BYTES as u64);
}
