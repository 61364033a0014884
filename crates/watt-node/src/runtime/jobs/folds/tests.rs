use super::*;
use std::path::PathBuf;
use watt_primitives::{AccountId, NetworkId};
use watt_proofs::window::{Window as Shown, beacon_element, initial_state};

const NETWORK: NetworkId = NetworkId::new([7; 32]);

/// Windows of a provider in a row. Nothing is stored here: but for what a test makes up, each is one that failed.
fn answered(n: u64) -> Vec<AnsweredWindow> {
    let beacon = |window: u64| {
        let value = Hash::of_content(&window.to_be_bytes());
        beacon_element(&NETWORK, &value)
    };
    let element = |name: &[u8]| Element::of_hash(&Hash::of_content(name));
    let mut state = initial_state(&NETWORK, &AccountId([9; 20]));
    let mut next = |window: u64| {
        let shown = Shown {
            set: element(b"set"),
            beacon: beacon(window),
            answers: element(b"answers"),
            next_beacon: beacon(window + 1),
        };
        let after = shown.next_state(state);
        let before = std::mem::replace(&mut state, after);
        AnsweredWindow {
            window: Window(window),
            shape: Shape::SMALL,
            state: before,
            shown,
        }
    };
    (0..n).map(&mut next).collect()
}

fn job(windows: &[AnsweredWindow]) -> FoldJob {
    let (first, last) = (windows.first().unwrap(), windows.last().unwrap());
    FoldJob {
        shape: WindowShape::Small,
        first: first.window,
        last: last.window,
        from: first.state,
        to: last.shown.next_state(last.state),
        n_windows: u32::try_from(windows.len()).unwrap(),
    }
}

fn log(folds: &Folds, windows: &[AnsweredWindow]) {
    for one in windows {
        folds.append(one, Step::failed(Shape::SMALL, one.shown)).unwrap();
    }
}

fn open(dir: &Path, folded: &Folded) -> Folds {
    Folds::open(dir, folded.clone(), 4).unwrap()
}

fn running(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("running")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

/// Waits until these windows are folded: whoever asks for a proof of them is told that no window was good.
fn folded_all(folds: &Folds, windows: &[AnsweredWindow]) -> String {
    folds.prove(job(windows)).unwrap_err().to_string()
}

/// What an earlier life folded is not folded again, and what it logged and did not fold is; a running proof that the disk has changed is
/// made anew from the log. Covers: D2, D3.
#[test]
fn folding_goes_on_after_any_end() {
    let (dir, parameters) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folded = Folded::open(parameters.path()).unwrap();
    let windows = answered(4);
    let none_good = "no window of it could be opened";

    let first = open(dir.path(), &folded);
    log(&first, &windows[..3]);
    assert!(first.has(&windows[2]) && !first.has(&windows[3]));
    assert_eq!(folded_all(&first, &windows[..2]), none_good);
    assert_eq!(first.progress().n_folded, 2);
    drop(first);

    let [kept] = running(dir.path()).try_into().unwrap();
    let before = std::fs::read(&kept).unwrap();
    let second = open(dir.path(), &folded);
    assert!(second.has(&windows[2]), "the log is durable");
    assert_eq!(folded_all(&second, &windows[..2]), none_good);
    assert_eq!(second.progress().n_folded, 2);
    assert_eq!(std::fs::read(&kept).unwrap(), before, "nothing was folded again");
    log(&second, &windows[3..]);
    assert_eq!(folded_all(&second, &windows), none_good);
    assert_eq!(second.progress().n_folded, 4);
    drop(second);

    let mut bytes = std::fs::read(&kept).unwrap();
    bytes[1_000] ^= 1;
    std::fs::write(&kept, &bytes).unwrap();
    let third = open(dir.path(), &folded);
    assert_eq!(folded_all(&third, &windows), none_good);
    assert_eq!(third.progress().n_folded, 4, "all over again");
}

/// A log that lacks a window, or that leads elsewhere than the ledger says, is said so and stops nothing; a damaged one is begun anew.
/// Covers: D2.
#[test]
fn a_lost_log_costs_its_period_and_nothing_else() {
    let (dir, parameters) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folded = Folded::open(parameters.path()).unwrap();
    let windows = answered(4);
    let folds = open(dir.path(), &folded);
    log(&folds, &[windows[0].clone(), windows[2].clone()]);
    let refusal = folds.prove(job(&windows[..3])).unwrap_err().to_string();
    assert_eq!(refusal, "the log of answered windows has a gap before window 2");
    let refusal = folds.prove(job(&windows[..2])).unwrap_err().to_string();
    assert!(refusal.contains("holds 1 of its 2 windows"), "{refusal}");
    folds.ahead(job(&windows[..2]));
    // Both are done in their order.
    assert!(folds.prove(job(&windows[..2])).is_err());
    assert!(folds.progress().trouble.is_some());
    drop(folds);

    let [journal] = std::fs::read_dir(dir.path().join("log"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let folds = open(dir.path(), &folded);
    assert!(!folds.has(&windows[0]));
    log(&folds, &windows[3..]);
    assert!(folds.has(&windows[3]));
}

/// The log is bounded: what no period can be settled of any more is forgotten, also on the disk. Covers: D2.
#[test]
fn old_windows_leave_the_log() {
    let (dir, parameters) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folded = Folded::open(parameters.path()).unwrap();
    let windows = answered(25);
    let folds = open(dir.path(), &folded);
    log(&folds, &windows);
    assert!(
        !folds.has(&windows[13]) && folds.has(&windows[14]),
        "two periods and two"
    );
    drop(folds);
    let folds = open(dir.path(), &folded);
    let kept = locked(&folds.log).windows.len();
    assert_eq!(kept, 11);
}
