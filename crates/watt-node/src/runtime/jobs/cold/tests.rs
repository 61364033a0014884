use super::*;
use crate::runtime::jobs::{Labelling, Log};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use watt_engine::event::SealedRoots;
use watt_primitives::{AccountId, Hash, NetworkId, SecretKey, Window};
use watt_proofs::ProofParams;
use watt_store::testing::TestDisk;
use watt_store::{Journal, Kv, PieceStore, ReplicaStore, Space};

const GROUP: u64 = 16 << 10;
pub(in crate::runtime::jobs) const DEAL: DealId = DealId([3; 32]);
pub(in crate::runtime::jobs) const SECTOR: SectorNumber = SectorNumber(1);
const PAYLOAD: u64 = 62 * GROUP;
const LENGTHS: [u64; 2] = [20 * GROUP, 30 * GROUP];

const SPACE: Space = Space {
    quota_bytes: 1 << 30,
    free_bytes_min: 0,
};

/// A provider's disk, without a node around it.
pub(in crate::runtime::jobs) fn jobs(dir: &Path) -> Jobs {
    let log = Journal::open(&dir.join("heartbeats")).unwrap();
    let key = SecretKey::from_seed([5; 32]);
    Jobs {
        network: NetworkId::new([7; 32]),
        account: AccountId::of_first_key(&key.public()),
        key,
        params: ProofParams::DEVNET,
        pieces: PieceStore::open(&dir.join("pieces"), SPACE).unwrap(),
        replicas: Arc::new(ReplicaStore::open(&dir.join("replicas"), 0).unwrap()),
        log: Arc::new(Mutex::new(Log::of(log))),
        local: Arc::default(),
        receiving: Arc::default(),
        labelling: Labelling::default(),
        folds: None,
        copies: Arc::default(),
        unsealing: Arc::default(),
        shown: None,
        values: Arc::new(Kv::open(&dir.join("values")).unwrap()),
    }
}

fn slot(n: u8) -> SlotIndexInDeal {
    SlotIndexInDeal(n)
}

fn bytes(n: u8) -> Vec<u8> {
    let len = usize::try_from(LENGTHS[usize::from(n)]).unwrap();
    (0..len)
        .map(|at| u8::try_from((at * 7 + at / 251) % 251).unwrap() ^ n)
        .collect()
}

/// A sector of two shares and filler.
pub(in crate::runtime::jobs) fn job() -> SealJob {
    let piece = |n: u8, offset: u64| Piece::Slot {
        deal: DEAL,
        slot: slot(n),
        root: Hash::of_content(&bytes(n)),
        offset,
        len: LENGTHS[usize::from(n)],
    };
    let held = LENGTHS[0] + LENGTHS[1];
    let filler = Piece::Filler {
        offset: held,
        len: PAYLOAD - held,
    };
    SealJob {
        provider: AccountId([0; 20]),
        sector: SECTOR,
        units: 1,
        pieces: vec![piece(0, 0), piece(1, LENGTHS[0]), filler],
        seal_window: Window(1),
        seal_seed: Hash([9; 32]),
    }
}

/// Two shares received and sealed.
pub(in crate::runtime::jobs) fn sealed(dir: &Path) -> (Jobs, SealedRoots) {
    let jobs = jobs(dir);
    for n in 0..2 {
        let mut writer = jobs.pieces.begin(DEAL, slot(n), LENGTHS[usize::from(n)]).unwrap();
        writer.write(&bytes(n)).unwrap();
        writer
            .finish(&Hash::of_content(&bytes(n)), &[b"header", b"roots"])
            .unwrap();
    }
    let roots = jobs.seal(job()).unwrap();
    (jobs, roots)
}

/// ... and sent to the replica.
pub(in crate::runtime::jobs) fn cold(dir: &Path) -> Jobs {
    let (jobs, roots) = sealed(dir);
    jobs.chill(SECTOR, &roots.comm_r).unwrap();
    jobs
}

fn is_readable(jobs: &Jobs, n: u8) -> bool {
    jobs.pieces.is_readable(DEAL, slot(n))
}

fn assert_share(jobs: &Jobs, n: u8) {
    let len = usize::try_from(LENGTHS[usize::from(n)]).unwrap();
    assert!(jobs.pieces.read(DEAL, slot(n), 0, len).unwrap() == bytes(n));
    let metadata = jobs.pieces.metadata(DEAL, slot(n)).unwrap();
    assert_eq!(metadata, [b"header".to_vec(), b"roots".to_vec()]);
}

pub(in crate::runtime::jobs) fn flip_replica(dir: &Path, at: u64) {
    let path = dir.join("replicas").join(format!("{:020}.replica", SECTOR.0));
    let mut file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

/// Shares lie in the replica alone, and are given back from it as they came: as copies to whoever asks, and as pieces before the replica
/// goes.
///
/// Covers: C1, D2.
#[test]
fn cold_shares_are_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = cold(dir.path());
    assert!(!is_readable(&jobs, 0) && !is_readable(&jobs, 1));
    assert_eq!(jobs.cold_in(SECTOR).len(), 2);
    jobs.serve_cold(SECTOR);
    assert_share(&jobs, 0);
    assert_share(&jobs, 1);
    assert_eq!(jobs.cold_in(SECTOR).len(), 2, "these are copies");

    // The sector ends; one of its shares is over, the other is to be sealed again.
    jobs.pieces.make_room(u64::MAX).unwrap();
    assert!(!is_readable(&jobs, 1));
    jobs.remove(SECTOR, &job().pieces[..1]);
    assert!(jobs.replicas.list().is_empty());
    assert_eq!(jobs.pieces.info(DEAL, slot(0)), None);
    assert_share(&jobs, 1);
    assert!(jobs.cold_in(SECTOR).is_empty());
}

/// Pieces stay while the replica is not whole or not the one that the ledger knows.
///
/// Covers: C1, C5.
#[test]
fn pieces_stay_beside_a_replica_that_can_not_be_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (jobs, roots) = sealed(dir.path());
    let other = ReplicaTree::build(&vec![1; usize::try_from(PAYLOAD).unwrap()]).root();
    assert!(jobs.chill(SECTOR, &other).is_err());
    flip_replica(dir.path(), PAYLOAD - 1);
    assert!(jobs.chill(SECTOR, &roots.comm_r).is_err());
    assert!(jobs.cold_in(SECTOR).is_empty());
    assert_share(&jobs, 0);
    // What the pieces give back heals it.
    let mut scrubbed = 0;
    while jobs.chill(SECTOR, &roots.comm_r).is_err() {
        assert_eq!(scrubbed, 0);
        scrubbed = jobs.scrub(SECTOR).repaired;
    }
    assert_eq!(scrubbed, 1);
    assert_eq!(jobs.cold_in(SECTOR).len(), 2);
}

/// Of a sector whose replica has rotted in one share the other share is given back; the first is refused as damaged, and its replica
/// stays.
///
/// Covers: C1, C5.
#[test]
fn a_rotten_share_is_refused_and_the_others_are_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = cold(dir.path());
    flip_replica(dir.path(), 5 * GROUP + 3);
    jobs.serve_cold(SECTOR);
    assert!(!is_readable(&jobs, 0));
    assert_share(&jobs, 1);
    assert_eq!(jobs.ask_for(SECTOR), Err(Refusal::Damaged));
    jobs.remove(SECTOR, &[]);
    assert_eq!(
        jobs.replicas.list().len(),
        1,
        "it has the only copy of what is left"
    );
    let found = jobs.scrub(SECTOR);
    assert_eq!(found.repaired, 0);
    assert!(found.lost.unwrap().contains("1 groups of 16 KiB are damaged"));
    // Once the deal is over it goes.
    jobs.remove(SECTOR, &job().pieces[..2]);
    assert!(jobs.replicas.list().is_empty() && jobs.pieces.list().is_empty());
}

/// A share that is to be sealed once more is a piece before it is, and a sector number names what was sealed under it.
///
/// Covers: C1, D1.
#[test]
fn a_cold_share_is_sealed_again() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = cold(dir.path());
    let again = SealJob {
        sector: SectorNumber(2),
        seal_seed: Hash([8; 32]),
        ..job()
    };
    let roots = jobs.seal(again).unwrap();
    assert_share(&jobs, 0);
    assert!(jobs.cold_in(SECTOR).is_empty());
    jobs.chill(SectorNumber(2), &roots.comm_r).unwrap();
    jobs.remove(SECTOR, &[]);
    assert_eq!(jobs.cold_in(SectorNumber(2)).len(), 2);
    jobs.serve_cold(SectorNumber(2));
    assert_share(&jobs, 0);
    assert_share(&jobs, 1);
}

/// After a start, what lay in a replica that is gone is a piece again if there is a copy, and else not held.
///
/// Covers: C1.
#[test]
fn shares_whose_replica_is_gone_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = cold(dir.path());
    jobs.serve_cold(SECTOR);
    jobs.pieces.chill(DEAL, slot(0), SECTOR).unwrap();
    assert!(!is_readable(&jobs, 0) && is_readable(&jobs, 1));
    jobs.replicas.remove(SECTOR).unwrap();
    jobs.reconcile().unwrap();
    assert_eq!(jobs.pieces.info(DEAL, slot(0)), None);
    assert_share(&jobs, 1);
    assert!(jobs.pieces.list_cold().is_empty());
}

/// A replica whose notes are damaged is sealed again from the shares beside it; where there are none it is not thrown away with them.
///
/// Covers: C1, C5.
#[test]
fn a_damaged_replica_stays_while_shares_lie_in_it_alone() {
    for is_cold in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let jobs = if is_cold {
            cold(dir.path())
        } else {
            sealed(dir.path()).0
        };
        let path = dir
            .path()
            .join("replicas")
            .join(format!("{:020}.replica", SECTOR.0));
        flip_replica(dir.path(), std::fs::metadata(&path).unwrap().len() - 1);
        drop(jobs);
        let jobs = self::jobs(dir.path());
        assert!(jobs.replicas.info(SECTOR).is_err());
        assert!(local_sectors(&jobs.pieces, &jobs.replicas).unwrap().is_empty());
        assert_eq!(path.exists(), is_cold);
    }
}

/// A disk that does not answer when the node starts costs no replica, and neither do notes of another version: the start fails and says why.
///
/// Covers: C1, D3.
#[test]
fn only_damage_removes_a_replica() {
    let disk = TestDisk::new();
    let pieces = disk.open_pieces(SPACE).unwrap();
    let open = || disk.open_replicas().unwrap();
    let write = |sector: u64, notes: &[u8]| {
        let replicas = open();
        let mut writer = replicas.begin(SectorNumber(sector), 3).unwrap();
        writer.write(b"abc").unwrap();
        writer.finish(b"tree", notes).unwrap();
    };
    let roots = SealedRoots {
        comm_c: Hash::ZERO,
        comm_r: Element::default(),
    };
    write(1, &codec::encode(&SealInfo { job: job(), roots }));
    let replicas = open();
    disk.refuse_opens(1);
    assert!(
        local_sectors(&pieces, &replicas).unwrap().is_empty(),
        "not to be opened"
    );
    assert_eq!(open().list().len(), 1);
    let [sector] = local_sectors(&pieces, &open()).unwrap().try_into().unwrap();
    assert_eq!((sector.job, sector.roots), (job(), roots));

    write(2, b"notes of tomorrow");
    let refusal = local_sectors(&pieces, &open()).unwrap_err().to_string();
    assert!(refusal.contains("another version wrote them"), "{refusal}");
    assert_eq!(open().list().len(), 2);
}
