//! Log files: they replay, say where they were torn, and show every damage and every difference.

use super::replay::logged_network;
use crate::naive::Naive;
use crate::protocol::Output;
use crate::replay::facts::Facts;
use crate::replay::log::{Entry, Framer, InvalidLogFile, MAGIC, Reader, Replayed, replay};
use crate::replay::{LoggedInput, Step};
use std::string::ToString;
use std::vec::Vec;

/// What a validator of a devnet recorded (`docs/spec/scp.md` 10.12).
const DEVNET: &[u8] = include_bytes!("devnet.scplog");

/// The entries of node 2 of a network in which it crashes.
fn entries() -> Vec<Entry> {
    let network = logged_network(1);
    let own = network.log.iter().flatten().filter(|logged| logged.node == 2);
    let mut life = None;
    let mut entries = Vec::new();
    for logged in own {
        if life != Some(logged.life) {
            life = Some(logged.life);
            entries.push(Entry::Life(network.members[2].config.clone()));
        }
        entries.push(Entry::Step {
            step: Step::decode(&logged.step, logged.step.len()).unwrap(),
            outputs: logged.outputs.clone(),
        });
    }
    entries
}

/// A file of these entries, and where each frame begins.
fn file(entries: &[Entry]) -> (Vec<u8>, Vec<usize>) {
    let mut framer = Framer::default();
    let mut bytes = MAGIC.to_vec();
    let mut starts = Vec::new();
    for entry in entries {
        starts.push(bytes.len());
        bytes.extend(framer.frame(entry).unwrap());
    }
    (bytes, starts)
}

fn read(bytes: &[u8]) -> Vec<Entry> {
    let mut reader = Reader::new(bytes).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        entries.push(entry);
    }
    entries
}

/// A file gives back what was put in, and replays with both lives of the node. Covers: A1.
#[test]
fn a_file_replays_life_after_life() {
    let entries = entries();
    let (bytes, _) = file(&entries);
    assert_eq!(read(&bytes), entries);
    let done = replay(&bytes).unwrap();
    assert_eq!(
        (done.lives, done.slots, done.decided, done.torn_bytes),
        (2, 1, 1, 0)
    );
    assert_eq!(done.steps, u64::try_from(entries.len()).unwrap() - 2);
}

/// Cut anywhere, with zeros behind the cut or not: the whole frames replay, the rest is counted as torn.
#[test]
fn a_torn_end_is_said_and_left_out() {
    let entries = entries();
    let (bytes, starts) = file(&entries[..6]);
    for cut in 0..bytes.len() {
        let whole = starts.iter().filter(|start| **start <= cut).max();
        let whole = whole.copied().unwrap_or(0);
        let n_zeros = if cut < MAGIC.len() { 0 } else { 40 };
        for n_zeros in [0, n_zeros] {
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + n_zeros, 0);
            let done = replay(&torn).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            let expected = torn.len() - whole.min(torn.len());
            assert_eq!(done.torn_bytes, u64::try_from(expected).unwrap(), "cut at {cut}");
            assert_eq!(
                read(&torn),
                entries[..starts.iter().filter(|s| **s < whole).count()]
            );
        }
    }
    assert_eq!(replay(&[]), Ok(Replayed::default()));
}

/// No byte of a file can change unnoticed; where more follows, it is no torn end.
#[test]
fn every_damaged_byte_is_noticed() {
    let entries = entries();
    let (bytes, starts) = file(&entries[..5]);
    let last = *starts.last().unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let found = replay(&damaged);
        if at < MAGIC.len() {
            assert_eq!(found, Err(InvalidLogFile::Foreign));
        } else if at < last {
            let offset = *starts.iter().filter(|start| **start <= at).max().unwrap();
            assert_eq!(found, Err(InvalidLogFile::Damaged { offset }), "byte {at}");
        } else {
            let n_torn = u64::try_from(bytes.len() - last).unwrap();
            let is_torn = found.as_ref().is_ok_and(|done| done.torn_bytes == n_torn);
            assert!(is_torn || found == Err(InvalidLogFile::Damaged { offset: last }));
        }
    }
    // A frame that is left out, and two that change places.
    let without = [&bytes[..starts[2]], &bytes[starts[3]..]].concat();
    let offset = starts[2];
    assert_eq!(replay(&without), Err(InvalidLogFile::Damaged { offset }));
    let swapped = [
        &bytes[..starts[2]],
        &bytes[starts[3]..starts[4]],
        &bytes[starts[2]..starts[3]],
        &bytes[starts[4]..],
    ]
    .concat();
    assert_eq!(replay(&swapped), Err(InvalidLogFile::Damaged { offset }));
}

/// Whole frames that hold something else than the node's steps: the first one that differs is named. Covers: A1.
#[test]
fn the_first_difference_is_named() {
    let good = entries();
    let is_send = |output: &Output| matches!(output, Output::Send(_));
    let sends = |entry: &Entry| matches!(entry, Entry::Step { outputs, .. } if outputs.iter().any(is_send));
    let at = good.iter().position(sends).unwrap();
    let n_before = good[..at]
        .iter()
        .filter(|entry| matches!(entry, Entry::Step { .. }));
    let number = u64::try_from(n_before.count()).unwrap() + 1;

    let mut entries = good.clone();
    if let Entry::Step { outputs, .. } = &mut entries[at] {
        outputs.retain(|output| !is_send(output));
    }
    let (bytes, starts) = file(&entries);
    let error = replay(&bytes).unwrap_err();
    let InvalidLogFile::Differs(difference) = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (difference.step, difference.life, difference.offset),
        (number, 1, starts[at])
    );
    assert!(!difference.asks_otherwise);
    let text = error.to_string();
    assert!(text.starts_with(&std::format!("step {number} (")), "{text}");
    assert!(text.contains("gives other outputs"), "{text}");

    // A step is missing: sooner or later the node asks or says something else.
    let mut entries = good.clone();
    entries.remove(at);
    let error = replay(&file(&entries).0).unwrap_err();
    assert!(matches!(error, InvalidLogFile::Differs(_)), "{error}");

    let error = replay(&file(&good[1..]).0).unwrap_err();
    assert_eq!(error, InvalidLogFile::NoBeginning);
}

/// A torn entry that was cut off when the node began again is counted beside the torn end.
#[test]
fn what_was_cut_off_before_is_counted() {
    let mut entries = entries();
    entries.insert(0, Entry::Torn(7));
    let (mut bytes, _) = file(&entries);
    bytes.extend([1, 2, 3]);
    assert_eq!(replay(&bytes).unwrap().torn_bytes, 10);
}

/// What a validator of a network of processes recorded, killed with SIGKILL and started again in the middle of a slot, comes
/// out again bit for bit, from the naive implementation as well. Covers: A1.
#[test]
fn what_a_real_validator_recorded_comes_out_again() {
    let done = replay(DEVNET).unwrap();
    assert!(done.lives > 1 && done.decided > 5 && done.steps > 100, "{done:?}");
    gives_the_recorded_outputs(read(DEVNET));
}

/// The naive implementation, which asks its oracle other questions in another order, gives the recorded outputs as well.
/// Covers: A1.
#[test]
fn the_naive_implementation_gives_the_recorded_outputs() {
    gives_the_recorded_outputs(entries());
}

/// Runs the naive implementation on what another one recorded, a restart in the middle of a slot among it.
fn gives_the_recorded_outputs(entries: Vec<Entry>) {
    let mut facts = Facts::default();
    let mut naive: Option<Naive> = None;
    let mut restored = 0;
    for (number, entry) in entries.into_iter().enumerate() {
        match entry {
            Entry::Life(config) => {
                naive = Some(Naive::new(config));
                facts = Facts::default();
            }
            Entry::Torn(_) => {}
            Entry::Step { step, outputs } => {
                facts.learn(&step);
                let mut out = Vec::new();
                naive
                    .as_mut()
                    .unwrap()
                    .step(step.input().input(), &facts, &mut out);
                assert_eq!(out, outputs, "entry {number}: {:?}", step.input());
                restored += usize::from(matches!(step.input(), LoggedInput::Restore(_)));
            }
        }
    }
    assert!(restored > 0, "the restart was in the middle of a slot");
}
