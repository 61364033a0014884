use super::*;
use crate::runtime::folded::Folded;
use crate::runtime::jobs::Folds;
use crate::runtime::jobs::cold::tests::{SECTOR, sealed};
use std::path::Path;
use std::sync::{Arc, Mutex};
use watt_engine::effect::AnsweredWindow;
use watt_engine::{Effect, Event};
use watt_primitives::Hash;
use watt_proofs::{ProofParams, SectorEntry, SectorSet, SectorSize, Shape};
use watt_store::testing::TestDisk;

/// A provider with one sealed sector, whose answers go to `disk`, and the question of a window.
fn provider(dir: &Path, disk: &TestDisk) -> (Jobs, impl Fn(u64) -> WindowJob) {
    let (mut jobs, roots) = sealed(dir);
    jobs.log = Arc::new(Mutex::new(Log::of(disk.open_journal().unwrap())));
    let sector = SectorEntry {
        number: SECTOR,
        size: SectorSize::new(&ProofParams::DEVNET, 1).unwrap(),
        comm_r: roots.comm_r,
    };
    let job = move |window| WindowJob {
        window: Window(window),
        sectors: SectorSet::check(vec![sector]).unwrap(),
        left_out: Vec::new(),
        state: element(window),
        beacon: element(1_000 + window),
    };
    (jobs, job)
}

fn element(n: u64) -> Element {
    Element::of_hash(&Hash::of_content(&n.to_be_bytes()))
}

fn respond(jobs: &Jobs, job: &WindowJob) -> Result<Responded, String> {
    match jobs.perform(Effect::Respond(Box::new(job.clone()))) {
        Event::Responded { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

/// A disk that fails for an instant costs a provider no window: the next try is answered, and the answers outlive the program.
///
/// Covers: D3.
#[test]
fn a_provider_answers_after_a_failed_write() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::new());
    let (jobs, job) = provider(dir.path(), &disk);
    disk.fail_after(0);
    assert!(respond(&jobs, &job(7)).is_err());
    disk.come_back(0);
    let said = respond(&jobs, &job(7)).unwrap();
    assert!(said.faults.is_empty());
    let log = Log::of(disk.open_journal().unwrap());
    let kept = log.answers_to(&job(7), Some(said.response_root));
    assert!(kept.is_some());
    assert!(log.answers_to(&job(8), None).is_none());
}

/// The answers that are kept are those that were given last, however many windows passed between them without an answer, and their number
/// is bounded, also on the disk. Covers: D3.
#[test]
fn the_windows_answered_last_are_kept() {
    let (dir, parameters) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = TestDisk::new();
    let (mut jobs, job) = provider(dir.path(), &disk);
    let folded = Folded::open(parameters.path()).unwrap();
    let folds = Folds::open(&dir.path().join("folds"), folded, 4).unwrap();
    jobs.folds = Some(folds.clone());
    let first = job(20);
    let said = respond(&jobs, &first).unwrap();
    respond(&jobs, &job(25)).unwrap();
    let responses = locked(&jobs.log)
        .answers_to(&first, Some(said.response_root))
        .unwrap();
    let next_beacon = element(9);
    let mut leaves = Leaves::new(&jobs.replicas);
    let step = post::step(&first.asked(), &responses, next_beacon, &mut leaves).unwrap();
    let answered = AnsweredWindow {
        window: first.window,
        shape: Shape::SMALL,
        state: first.state,
        shown: step.window,
    };
    let logged = jobs.perform(Effect::LogWindow {
        answered: Box::new(answered.clone()),
        job: Some(Box::new(first)),
    });
    assert!(matches!(logged, Event::WindowLogged { result: Ok(()), .. }));
    assert!(folds.has_good(&answered), "it was made from what was answered");

    for window in 26..200 {
        respond(&jobs, &job(window)).unwrap();
        assert!(locked(&jobs.log).answers.len() <= WINDOWS_KEPT);
    }
    let (_, records) = disk.open_journal().unwrap();
    assert!(records.len() <= RECORDS_MAX);
    for window in 196..200 {
        assert!(locked(&jobs.log).answers_to(&job(window), None).is_some());
    }
}
