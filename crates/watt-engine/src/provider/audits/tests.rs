use super::*;
use crate::effect::SealJob;
use crate::event::SealedRoots;
use crate::provider::Settle;
use crate::provider::fold::tests::{Ledger, account, genesis, key};
use watt_ledger::query;
use watt_ledger::rows::{self, ChainRow, PieceTableRow, SectorRow};
use watt_light::Verdict;
use watt_primitives::terms::Piece;
use watt_primitives::{BlockHeight, BoundedVec, Hash};
use watt_proofs::{Element, ProofParams, SectorSize};

/// A sealed sector of the provider.
fn sealed(number: u64) -> LocalSector {
    let len = SectorSize::new(&ProofParams::DEVNET, 1).unwrap().payload_bytes();
    LocalSector {
        job: SealJob {
            provider: account(),
            sector: SectorNumber(number),
            units: 1,
            pieces: vec![Piece::Filler { offset: 0, len }],
            seal_window: Window(1),
            seal_seed: Hash::ZERO,
        },
        roots: SealedRoots {
            comm_c: Hash([1; 32]),
            comm_r: Element::default(),
        },
    }
}

/// A network of one seat, the provider's own, on which it has live sectors with these numbers.
fn ledger(numbers: &[u64]) -> (Ledger, Vec<LocalSector>) {
    let mut genesis = genesis();
    (
        genesis.parameters.porep_committee,
        genesis.parameters.audit_windows,
    ) = (15, 1);
    let mut ledger = Ledger::of(genesis);
    let local: Vec<LocalSector> = numbers.iter().copied().map(sealed).collect();
    for LocalSector { job, roots } in &local {
        let row = SectorRow {
            units: 1,
            comm_d: Hash::ZERO,
            comm_c: roots.comm_c,
            comm_r: roots.comm_r,
            seal_seed: Hash::ZERO,
            stage: SectorStage::Active { from: Window(1) },
            n_slots: 0,
            proven_ms_start: None,
            faulty_ms: 0,
            last_fault: None,
            unpaid: None,
        };
        ledger.write(rows::sector(&account(), job.sector), &row);
        ledger.write(rows::used_sector(&account(), job.sector), &());
        let pieces = PieceTableRow(BoundedVec::new(job.pieces.clone()).unwrap());
        ledger.write(rows::piece_table(&account(), job.sector), &pieces);
    }
    (ledger, local)
}

/// `window` asks a sector again, until `answer_by`.
fn ask(ledger: &mut Ledger, number: u64, window: u64, answer_by: u64) {
    ledger.make_beacon(window);
    let row = AuditRow {
        window: Window(window),
        since: BlockHeight(1),
        counted_before: 0,
        answer_slots: 2 * answer_by,
        answer_by: BlockHeight(answer_by),
        due: BlockHeight(answer_by + 1),
    };
    ledger.write(rows::audit(&account(), SectorNumber(number)), &row);
}

/// What the provider wants opened, what it shows no more, and for which sectors it answers.
fn look(ledger: &Ledger, provider: &mut Provider) -> (Vec<(u64, u16)>, Vec<u64>, Vec<u64>) {
    let chain: ChainRow = rows::read(&ledger.state, rows::CHAIN).unwrap();
    let mut effects = Vec::new();
    let said = provider.look(&ledger.state, chain.height, |_| true, &mut effects);
    let (mut opened, mut hidden, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    for effect in effects {
        if let Effect::OpenBatch(job) = &effect {
            opened.push((job.batch.0, job.heavy.random));
        } else if let Effect::HideOpenings { batch } = &effect {
            hidden.push(batch.0);
        }
    }
    let said = said.transactions.iter();
    for operation in said.flat_map(|signed| signed.transaction.operations.iter()) {
        if let Operation::AnswerAudit { sector, .. } = operation {
            answered.push(sector.0);
        }
    }
    (opened, hidden, answered)
}

/// The verdict of the one member there is.
fn give(ledger: &Ledger, provider: &mut Provider, number: u64, openings: &[u8]) {
    let sector = SectorNumber(number);
    let shown = query::shown_batch(&ledger.state, &account(), sector).unwrap();
    let openings = witness_hash(&provider.network, openings);
    let signature = shown.challenged.verdict(openings).sign(&key(), &provider.network);
    provider.verdict_given(sector, openings, Verdict { member: 0, signature });
}

/// A live sector that is asked again is opened at a few places, one sector at a time and what is due first in front, shown until it is
/// answered for, and answered for as soon as enough of its committee have said that it holds; a new life opens it again.
/// Covers: D2 (TS4).
#[test]
fn what_is_asked_again_is_shown() {
    let (mut ledger, local) = ledger(&[1, 2, 3]);
    ledger.enter(5);
    ask(&mut ledger, 1, 5, 90);
    ask(&mut ledger, 2, 5, 60);
    let mut provider = ledger.provider_with(Settle::Windows, local.clone());
    assert_eq!(look(&ledger, &mut provider), (vec![(2, 8)], vec![], vec![]));
    assert_eq!(
        look(&ledger, &mut provider),
        (vec![], vec![], vec![]),
        "one at a time"
    );
    let waiting: Vec<_> = provider
        .work()
        .shown
        .iter()
        .map(|one| (one.batch.0, one.n_given, one.n_needed))
        .collect();
    assert_eq!(waiting, [(2, 0, 1), (1, 0, 1)]);
    assert!(
        provider
            .work()
            .shown
            .iter()
            .all(|one| one.asking == Asking::Again)
    );
    provider.batch_opened(SectorNumber(2), Ok(b"two".to_vec()));
    assert_eq!(look(&ledger, &mut provider), (vec![(1, 8)], vec![], vec![]));
    give(&ledger, &mut provider, 2, b"two");
    assert_eq!(look(&ledger, &mut provider), (vec![], vec![], vec![2]));
    assert_eq!(
        look(&ledger, &mut provider),
        (vec![], vec![], vec![]),
        "it is on its way"
    );

    let mut reborn = ledger.provider_with(Settle::Windows, local);
    assert_eq!(look(&ledger, &mut reborn).0, [(2, 8)], "whatever it knew");

    let key = rows::audit(&account(), SectorNumber(2));
    ledger.state.write(&watt_ledger::Writes::from([(key, None)]));
    assert_eq!(
        look(&ledger, &mut provider),
        (vec![], vec![2], vec![]),
        "answered"
    );
}

/// Once half of the time is over a block gets the openings themselves, if the committee has not said enough. Covers: D2 (TS4).
#[test]
fn what_a_committee_does_not_answer_for_goes_into_a_block() {
    let (mut ledger, local) = ledger(&[1]);
    ledger.enter(5);
    let from = {
        let chain: ChainRow = rows::read(&ledger.state, rows::CHAIN).unwrap();
        chain.height.0 + 3
    };
    ask(&mut ledger, 1, 5, 900);
    let key = rows::audit(&account(), SectorNumber(1));
    let mut row: AuditRow = rows::read(&ledger.state, &key).unwrap();
    (row.since, row.answer_slots) = (BlockHeight(from - 10), 20);
    ledger.write(key, &row);
    let mut provider = ledger.provider_with(Settle::Windows, local);
    assert_eq!(look(&ledger, &mut provider).0, [(1, 8)]);
    provider.batch_opened(SectorNumber(1), Ok(b"whole".to_vec()));
    let (_, _, answered) = look(&ledger, &mut provider);
    assert!(answered.is_empty(), "its committee first");
    let mut chain: ChainRow = rows::read(&ledger.state, rows::CHAIN).unwrap();
    chain.height = BlockHeight(from - 1);
    ledger.write(rows::CHAIN.to_vec(), &chain);
    let mut effects = Vec::new();
    let said = provider.look(&ledger.state, chain.height, |_| true, &mut effects);
    let [signed] = said.transactions.as_slice() else {
        unreachable!("{:?}", said.transactions)
    };
    assert_eq!(
        signed.witness.iter().map(|one| one.to_vec()).collect::<Vec<_>>(),
        [b"whole"]
    );
    assert_eq!(
        &signed.transaction.operations[..],
        [Operation::AnswerAudit {
            sector: SectorNumber(1),
            shown_to: ShownTo::Everybody,
            openings: witness_hash(&provider.network, b"whole"),
        }]
    );
}

/// When another window asks in the place of the first, what was opened for that is shown no more. Covers: D2 (TS4).
#[test]
fn what_another_window_asks_is_opened_anew() {
    let (mut ledger, local) = ledger(&[1]);
    ledger.enter(5);
    ask(&mut ledger, 1, 5, 90);
    let mut provider = ledger.provider_with(Settle::Windows, local);
    assert_eq!(look(&ledger, &mut provider).0, [(1, 8)]);
    ask(&mut ledger, 1, 6, 90);
    assert_eq!(
        look(&ledger, &mut provider),
        (vec![], vec![], vec![]),
        "it is being opened"
    );
    provider.batch_opened(SectorNumber(1), Ok(b"of five".to_vec()));
    assert_eq!(look(&ledger, &mut provider), (vec![(1, 8)], vec![1], vec![]));
    provider.batch_opened(SectorNumber(1), Ok(b"of six".to_vec()));
    give(&ledger, &mut provider, 1, b"of five");
    assert_eq!(look(&ledger, &mut provider).2, []);
    give(&ledger, &mut provider, 1, b"of six");
    assert_eq!(look(&ledger, &mut provider).2, [1]);
}

/// What can't be opened is said, and tried again after a while: it may be put right until then. Covers: D2, C5.
#[test]
fn what_cannot_be_opened_is_tried_again() {
    let (mut ledger, local) = ledger(&[1]);
    ledger.enter(5);
    ask(&mut ledger, 1, 5, 900);
    let mut provider = ledger.provider_with(Settle::Windows, local);
    assert_eq!(look(&ledger, &mut provider).0, [(1, 8)]);
    provider.batch_opened(SectorNumber(1), Err("the disk is gone".to_owned()));
    let said = provider.work().trouble.unwrap();
    assert!(said.contains("the disk is gone"), "{said}");
    // Windows of four slots.
    for (window, is_tried) in [(5, false), (10, false), (11, true)] {
        ledger.enter(window);
        assert_eq!(look(&ledger, &mut provider).0.is_empty(), !is_tried, "{window}");
    }
}
