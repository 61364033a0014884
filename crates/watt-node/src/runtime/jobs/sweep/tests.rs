use super::*;
use crate::runtime::jobs::cold::tests::{DEAL as SEALED, SECTOR, cold, jobs, sealed};
use serde::Serialize;
use std::path::Path;
use watt_ledger::rows::DealEnd;
use watt_ledger::{MemoryState, Writes};
use watt_market::{Paid, SlotFunds};
use watt_primitives::class::Class;
use watt_primitives::terms::{BundleTerms, Device};
use watt_primitives::{
    Amount, BlockHeight, BoundedVec, Cid, DealId, Hash, LedgerTime, SlotIndexInDeal, codec,
};

const DEAL: DealId = DealId([8; 32]);
const LEN: u64 = 40_000;

const MATCHED: DealStage = DealStage::Matched {
    height: BlockHeight(5),
    at: LedgerTime(5_000),
    deadline: BlockHeight(50),
};
const ACTIVE: DealStage = DealStage::Active {
    height: BlockHeight(9),
    at: LedgerTime(9_000),
    ends_at: LedgerTime(90_000),
};

fn ended(how: DealEnd) -> DealStage {
    DealStage::Ended {
        how,
        height: BlockHeight(51),
        paid: Paid::default(),
        refunded: Amount::ZERO,
    }
}

fn slot(n: u8) -> SlotIndexInDeal {
    SlotIndexInDeal(n)
}

/// What a ledger shows of one deal: how far it is, and which slots this provider has in it.
fn ledger(jobs: &Jobs, id: DealId, stage: DealStage, slots: &[u8]) -> MemoryState {
    let deal = DealRow {
        client: AccountId([1; 20]),
        terms: BundleTerms {
            class: Class::Devnet,
            header: Cid(Hash::ZERO),
            manifest: Cid(Hash::ZERO),
            slot_bytes: LEN,
            slot_roots: BoundedVec::empty(),
        },
        price_max: Amount(1),
        term_ms: 1_000,
        reservation_ms_max: 100,
        bid_height: BlockHeight(1),
        escrow: Amount(1_000),
        stage,
        lost: BoundedVec::empty(),
    };
    let mut writes = Writes::from([(rows::deal(&id), row(&deal))]);
    for n in 0..3 {
        let held = SlotRow {
            provider: if slots.contains(&n) {
                jobs.account
            } else {
                AccountId([2; 20])
            },
            funds: SlotFunds::open(Amount(1), LEN, 1_000, 100).unwrap(),
            accepted_height: BlockHeight(0),
            sector: None,
            device: Device::Daily,
            dispute: None,
            last_claim: None,
        };
        writes.insert(rows::slot(&id, slot(n)), row(&held));
    }
    let mut state = MemoryState::default();
    state.write(&writes);
    state
}

fn row(row: &impl Serialize) -> Option<Vec<u8>> {
    Some(codec::encode(row))
}

/// A provider that holds slot 0 of a deal, and part of slot 1.
fn provider(dir: &Path) -> Jobs {
    let jobs = jobs(dir);
    let bytes = vec![7; usize::try_from(LEN).unwrap()];
    let mut writer = jobs.pieces.begin(DEAL, slot(0), LEN).unwrap();
    writer.write(&bytes).unwrap();
    writer.finish(&Hash::of_content(&bytes), &[]).unwrap();
    let mut writer = jobs.pieces.begin(DEAL, slot(1), LEN).unwrap();
    writer.write(&bytes[..20_000]).unwrap();
    writer.save_progress().unwrap();
    drop(writer);
    assert_eq!(jobs.pieces.space_use().used_bytes, 2 * LEN);
    jobs
}

/// A deal that lapses, ends or goes to others leaves nothing on a provider's disk, neither shares nor parts of uploads: its quota is free
/// again, also after a start. Covers: C1, E1.
#[test]
fn what_nobody_pays_for_is_deleted() {
    let cases: [(DealStage, &[u8]); 3] = [
        (ended(DealEnd::NotCertified), &[0, 1]),
        (ended(DealEnd::Terminated), &[]),
        (ACTIVE, &[2]),
    ];
    for (stage, slots) in cases {
        let dir = tempfile::tempdir().unwrap();
        let jobs = provider(dir.path());
        jobs.sweep(&ledger(&jobs, DEAL, stage, slots));
        assert!(jobs.pieces.list().is_empty() && jobs.pieces.unfinished().is_empty());
        assert_eq!(jobs.pieces.space_use().used_bytes, 0);
        assert_eq!(std::fs::read_dir(dir.path().join("pieces")).unwrap().count(), 0);
    }
}

/// What is still to be paid for stays; so does all of which the state says nothing, because it is behind the block that the share came after;
/// and so does what is being received. Covers: C1.
#[test]
fn what_may_still_be_paid_for_stays() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = provider(dir.path());
    let open = DealStage::Open {
        exclude: BoundedVec::empty(),
    };
    jobs.sweep(&MemoryState::default());
    let cases: [(DealStage, &[u8]); 3] = [(open, &[]), (MATCHED, &[0, 1]), (ACTIVE, &[0, 1])];
    for (stage, slots) in cases {
        jobs.sweep(&ledger(&jobs, DEAL, stage, slots));
    }
    assert_eq!(jobs.pieces.space_use().used_bytes, 2 * LEN);
    let resumed = jobs.pieces.begin(DEAL, slot(1), LEN).unwrap();
    assert_eq!(resumed.resume_at(), 16_384);
    let over = ledger(&jobs, DEAL, ended(DealEnd::NotCertified), &[]);
    jobs.sweep(&over);
    assert_eq!(jobs.pieces.space_use().used_bytes, LEN, "one is on its way");
    drop(resumed);
    jobs.sweep(&over);
    assert_eq!(jobs.pieces.space_use().used_bytes, 0);
}

/// A share in a sector goes with its sector: until then it puts the replica right. Covers: C5.
#[test]
fn shares_in_sectors_stay_with_them() {
    let both: [fn(&Path) -> Jobs; 2] = [|dir| sealed(dir).0, cold];
    for jobs in both {
        let dir = tempfile::tempdir().unwrap();
        let jobs = jobs(dir.path());
        let over = ledger(&jobs, SEALED, ended(DealEnd::TermOver), &[]);
        jobs.sweep(&over);
        assert_eq!(jobs.pieces.list().len(), 2);
        jobs.remove(SECTOR, &[]);
        assert_eq!(jobs.pieces.list().len(), 2, "given back");
        jobs.sweep(&over);
        assert!(jobs.pieces.list().is_empty());
    }
}
