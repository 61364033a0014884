use super::*;
use crate::runtime::jobs::cold::tests::{SECTOR, flip_replica, job, jobs, sealed};
use std::path::Path;
use watt_primitives::Hash;

/// A scrubber on this disk that is called away after each sector.
fn interrupted(jobs: Jobs) -> (Scrubber, Sender<()>) {
    let (asked, asks) = mpsc::channel();
    let scrubber = Scrubber {
        jobs,
        interval: Duration::ZERO,
        asks,
        info: Arc::default(),
        lost: BTreeMap::new(),
    };
    (scrubber, asked)
}

/// Three sealed sectors; the shares lie in the first alone.
fn three_sectors(dir: &Path) -> Jobs {
    let (jobs, roots) = sealed(dir);
    for n in 2..4 {
        let again = SealJob {
            sector: SectorNumber(n),
            seal_seed: Hash([8; 32]),
            ..job()
        };
        jobs.seal(again).unwrap();
    }
    jobs.chill(SECTOR, &roots.comm_r).unwrap();
    jobs
}

/// Reading goes on behind the sector that was read last, though the node ends after each, and begins again behind the last. Covers: C5.
#[test]
fn scrubbing_goes_on_in_the_next_life() {
    let dir = tempfile::tempdir().unwrap();
    drop(three_sectors(dir.path()));
    for expected in [1, 2, 3, 1, 2] {
        let (mut scrubber, asked) = interrupted(jobs(dir.path()));
        asked.send(()).unwrap();
        assert!(matches!(scrubber.pass(false), Next::Anew));
        assert_eq!(scrubber.jobs.scrubbed(), Some(SectorNumber(expected)));
    }
    let (mut scrubber, _asked) = interrupted(jobs(dir.path()));
    assert!(matches!(scrubber.pass(true), Next::GoOn));
    let info = locked(&scrubber.info).clone();
    assert_eq!(
        info.checked_bytes, info.total_bytes,
        "a whole pass reads all of them"
    );
    assert_eq!(scrubber.jobs.scrubbed(), Some(SectorNumber(2)));
}

/// What can't be put right is shown as soon as it is found, and until its sector is read again or gone. Covers: C5.
#[test]
fn damage_is_shown_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut scrubber, asked) = interrupted(three_sectors(dir.path()));
    flip_replica(dir.path(), 3);
    for _ in 0..3 {
        asked.send(()).unwrap();
        assert!(matches!(scrubber.pass(false), Next::Anew));
        let lost = locked(&scrubber.info).lost.clone();
        assert!(
            lost.len() == 1 && lost[0].starts_with("sector 1: 1 groups"),
            "{lost:?}"
        );
    }
    flip_replica(dir.path(), 3);
    asked.send(()).unwrap();
    assert!(matches!(scrubber.pass(false), Next::Anew));
    assert!(locked(&scrubber.info).lost.is_empty());
}
