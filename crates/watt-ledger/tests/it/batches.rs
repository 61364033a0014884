//! Sectors that are asked together (`docs/spec/ledger.md` 9.4 to 9.6, `docs/spec/proofs.md` 6.8 to 6.14).

use crate::committees::{commit, shown, verdict_on, world};
use crate::miner::{Load, Miner};
use crate::sectors::{certified, load_of, ten_providers};
use crate::world::{World, id};
use watt_ledger::committee::InvalidBatch;
use watt_ledger::query::{self, SlotCondition};
use watt_ledger::rows::SectorStage;
use watt_ledger::{Done, Event, Refused};
use watt_light::transaction::witness_hash;
use watt_light::{BATCH_MAX, BatchOpenings, Operation};
use watt_primitives::{BlockHeight, Hash, SectorNumber, SlotIndexInDeal, Window};
use watt_proofs::ProofParams;
use watt_proofs::challenge::HeavyChallenges;

const FIRST: SectorNumber = SectorNumber(1);

/// Pre-commits these sectors of person 10 in one block, each in a transaction of its own.
fn pre_commit(world: &mut World, miner: &mut Miner, sectors: &[(u64, &[Load])]) {
    let operations: Vec<Operation> = sectors
        .iter()
        .map(|(number, loads)| miner.seal(world, *number, loads))
        .collect();
    for operation in operations {
        world.act(10, operation).unwrap();
    }
}

fn empty<'a>(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, &'a [Load])> {
    numbers
        .into_iter()
        .map(|number| (number, [].as_slice()))
        .collect()
}

/// The sectors that are asked with sector `first` of person 10, or nothing.
fn batch(world: &World, first: u64) -> Vec<u64> {
    let row = query::batch(&world.state, &id(10), SectorNumber(first));
    row.map_or_else(Vec::new, |row| {
        row.sectors.iter().map(|sector| sector.0).collect()
    })
}

fn stage(world: &World, sector: u64) -> Option<SectorStage> {
    query::sector(&world.state, &id(10), SectorNumber(sector)).map(|row| row.stage)
}

/// Commits a batch with three of four verdicts on what the miner opens.
fn answer(world: &mut World, miner: &Miner, first: u64) -> Result<Done, Refused> {
    let seen = shown(world, SectorNumber(first));
    let (_, openings) = miner.commit(world, first);
    assert_eq!(seen.challenged.verify(&openings), Ok(()));
    let hash = witness_hash(&world.network, &openings);
    let given = [0, 1, 2].map(|place| verdict_on(world, (&seen, hash), place, |_, _| ()));
    commit(world, SectorNumber(first), hash, given.to_vec())
}

/// What is pre-committed in one window is asked together, eight at most, in the order of the ledger, with an eighth of the random
/// challenges each; the ninth begins the next batch, and each batch is answered for by one transaction. Covers: D1, D2 (K3).
#[test]
fn eight_are_asked_together_and_the_ninth_begins_the_next() {
    let mut world = world();
    let mut miner = Miner::new(10);
    world.open_window();
    // Two are in one transaction, and the numbers do not say the order: the ledger does.
    let both = [20, 1].map(|number| miner.seal(&world, number, &[]));
    let signed = world.sign(10, both.to_vec());
    world.block(vec![signed]);
    let window = Window(world.height() / 10);
    // The rest comes in one block.
    let rest: Vec<_> = (2..=8).map(|number| miner.seal(&world, number, &[])).collect();
    let signed = world.sign(10, rest);
    world.block(vec![signed]);
    assert_eq!(batch(&world, 20), [20, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(batch(&world, 8), [8]);
    assert!(batch(&world, 1).is_empty());
    let stages = [stage(&world, 7), stage(&world, 8)];
    let expected = [20, 8].map(|batch| {
        let batch = SectorNumber(batch);
        Some(SectorStage::PreCommitted { batch })
    });
    assert_eq!(stages, expected);
    let row = query::batch(&world.state, &id(10), SectorNumber(20)).unwrap();
    assert_eq!(row.challenge_window, window.next());
    assert_eq!(
        row.deadline,
        BlockHeight(world.height() + 30),
        "each has its time"
    );
    let (waiting, _) = query::waiting_batches(&world.state, None, 64);
    assert_eq!(waiting, [8, 20].map(|first| (id(10), SectorNumber(first))));

    world.open_next_window();
    let seen = shown(&world, SectorNumber(20)).challenged;
    assert_eq!(seen.sectors.len(), BATCH_MAX);
    assert!(seen.sectors.iter().all(|sector| sector.heavy.random == 1));
    let alone = shown(&world, SectorNumber(8)).challenged;
    assert_eq!(alone.sectors[0].heavy.random, 8);
    let from = Window(world.height() / 10 + 1);
    let done = answer(&mut world, &miner, 20);
    let expected = Done::SectorsCommitted {
        batch: SectorNumber(20),
        n_sectors: 8,
        from,
    };
    assert_eq!(done, Ok(expected));
    assert!((1..=7).all(|sector| stage(&world, sector) == Some(SectorStage::Active { from })));
    assert!(matches!(stage(&world, 8), Some(SectorStage::PreCommitted { .. })));
    assert!(batch(&world, 20).is_empty());
    assert!(answer(&mut world, &miner, 8).is_ok());
    let row = query::provider(&world.state, &id(10)).unwrap().row;
    assert_eq!((row.n_sectors, row.n_active, row.starting.len()), (9, 9, 9));
}

/// Sectors of two windows are two batches, each with its own beacon, and so are those of two providers. Covers: D1, D2 (K3).
#[test]
fn windows_and_providers_have_batches_of_their_own() {
    let mut world = world();
    let mut miner = Miner::new(10);
    let mut other = Miner::new(11);
    pre_commit(&mut world, &mut miner, &empty([1]));
    world.open_next_window();
    pre_commit(&mut world, &mut miner, &empty([2, 3]));
    let operation = other.seal(&world, 2, &[]);
    world.act(11, operation).unwrap();
    assert_eq!((batch(&world, 1), batch(&world, 2)), (vec![1], vec![2, 3]));
    let of_other = query::batch(&world.state, &id(11), SectorNumber(2)).unwrap();
    assert_eq!(of_other.sectors.to_vec(), [SectorNumber(2)]);
    let window = shown(&world, FIRST).challenged.question.window;
    assert!(query::shown_batch(&world.state, &id(10), SectorNumber(2)).is_none());
    assert!(answer(&mut world, &miner, 1).is_ok());
    world.open_next_window();
    assert_eq!(
        shown(&world, SectorNumber(2)).challenged.question.window,
        window.next()
    );
    assert!(answer(&mut world, &miner, 2).is_ok());
}

/// On a network whose openings are in blocks each sector is asked alone: a block has room for those of one. Covers: D1.
#[test]
fn without_committees_each_is_asked_alone() {
    let mut world = ten_providers();
    let mut miner = Miner::new(10);
    world.open_window();
    pre_commit(&mut world, &mut miner, &empty([1, 2]));
    assert_eq!((batch(&world, 1), batch(&world, 2)), (vec![1], vec![2]));
}

/// One sector of a batch whose openings do not hold fails all of them, and so does one that is missing, or in another's place. Nobody
/// commits a part of a batch, and at the deadline they all expire: their shares are free, their numbers are not. Covers: D1, D2 (K3).
#[test]
fn one_bad_sector_fails_all() {
    let mut world = world();
    let deal = certified(&mut world, 1);
    let load = load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    world.open_window();
    pre_commit(&mut world, &mut miner, &[(1, &[load]), (2, &[]), (3, &[])]);
    world.open_next_window();
    let seen = shown(&world, FIRST);
    let (_, right) = miner.commit(&world, 1);
    let max = seen.challenged.openings_bytes_max();
    assert!(right.len() <= max);
    let parts = BatchOpenings::decode(&right, max).unwrap().0;
    let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
    let verify = |parts: Vec<Vec<u8>>| {
        let openings = BatchOpenings::new(parts).unwrap().encode();
        seen.challenged.verify(&openings)
    };
    assert_eq!(verify(parts.clone()), Ok(()));

    let fails_at = |parts: Vec<Vec<u8>>, number: u64| matches!(verify(parts), Err(InvalidBatch::Sector { sector, .. }) if sector.0 == number);
    let mut flipped = parts.clone();
    let middle = flipped[1].len() / 2;
    flipped[1][middle] ^= 1;
    assert!(fails_at(flipped, 2));
    let mut swapped = parts.clone();
    swapped.swap(1, 2);
    assert!(fails_at(swapped, 2));
    let mut emptied = parts.clone();
    emptied[2].clear();
    assert!(fails_at(emptied, 3));
    let (expected, found) = (3, 2);
    assert_eq!(
        verify(parts[..2].to_vec()),
        Err(InvalidBatch::Count { expected, found })
    );
    let mut longer = parts;
    longer.push(vec![0]);
    assert_eq!(verify(longer), Err(InvalidBatch::Count { expected, found: 4 }));
    let no_list = seen.challenged.verify(&right[1..]);
    assert!(matches!(no_list, Err(InvalidBatch::Encoding(_))), "{no_list:?}");
    let too_long = seen.challenged.verify(&vec![0; max + 1]);
    assert!(matches!(too_long, Err(InvalidBatch::Encoding(_))), "{too_long:?}");

    // What is not the first of a batch names none.
    let hash = witness_hash(&world.network, &right);
    let given = [0, 1, 2].map(|place| verdict_on(&world, (&seen, hash), place, |_, _| ()));
    let batch_of_second = SectorNumber(2);
    let refused = commit(&mut world, batch_of_second, hash, given.to_vec());
    assert_eq!(
        refused,
        Err(Refused::NotPreCommitted {
            batch: batch_of_second
        })
    );

    let deadline = seen.challenged.question.deadline;
    world.go_to_height(deadline.0);
    assert_eq!(batch(&world, 1), [1, 2, 3]);
    world.skip(1);
    let expired = world.last.events.iter().filter_map(|event| match event {
        Event::SectorExpired { sector, .. } => Some(sector.0),
        _ => None,
    });
    assert_eq!(expired.collect::<Vec<_>>(), [1, 2, 3]);
    assert!(batch(&world, 1).is_empty() && stage(&world, 1).is_none());
    let late = commit(&mut world, FIRST, hash, given.to_vec());
    assert_eq!(late, Err(Refused::NotPreCommitted { batch: FIRST }));
    let slot = query::slot(&world.state, &load.0, SlotIndexInDeal(load.1)).unwrap();
    assert_eq!(slot.condition, SlotCondition::Accepted);
    assert_eq!(query::provider(&world.state, &id(10)).unwrap().row.n_sectors, 0);
    let again = miner.seal(&world, 3, &[]);
    let sector = SectorNumber(3);
    assert_eq!(world.act(10, again), Err(Refused::SectorUsed { sector }));
}

/// Verdicts hold for all sectors of a batch and for nothing else: those on the first alone, of before others joined, are worth nothing.
/// Covers: D1, D2 (K3).
#[test]
fn verdicts_are_on_the_whole_batch() {
    let mut world = world();
    let mut miner = Miner::new(10);
    world.open_window();
    pre_commit(&mut world, &mut miner, &empty([1, 2]));
    world.open_next_window();
    let seen = shown(&world, FIRST);
    let (_, openings) = miner.commit(&world, 1);
    let hash = witness_hash(&world.network, &openings);
    let given = [0, 1, 2].map(|place| {
        verdict_on(&world, (&seen, hash), place, |said, _| {
            said.sectors = said.sectors[..1].to_vec().try_into().unwrap();
        })
    });
    let refused = commit(&mut world, FIRST, hash, given.to_vec());
    assert_eq!(refused, Err(Refused::VerdictSignature { batch: FIRST }));
    let given = [0, 1, 2].map(|place| {
        verdict_on(&world, (&seen, hash), place, |said, _| {
            let mut sectors = said.sectors.to_vec();
            sectors[1].comm_r = Hash::ZERO;
            said.sectors = sectors.try_into().unwrap();
        })
    });
    let refused = commit(&mut world, FIRST, hash, given.to_vec());
    assert_eq!(refused, Err(Refused::VerdictSignature { batch: FIRST }));
    assert!(answer(&mut world, &miner, 1).is_ok());
}

/// A sector whose deals are all over is asked with its batch all the same: nobody is rid of it by ending his own deal. It ends when
/// the batch is answered for, and the others go on. Covers: D1, D2, E4 (K3).
#[test]
fn a_deal_that_ends_takes_no_sector_out_of_a_batch() {
    let mut world = world();
    let deal = certified(&mut world, 1);
    let load = load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    world.open_window();
    pre_commit(&mut world, &mut miner, &[(1, &[load]), (2, &[])]);
    world.open_next_window();
    world.act(1, Operation::Terminate { deal }).unwrap();
    assert_eq!(batch(&world, 1), [1, 2]);
    let window = Window(world.height() / 10);
    assert!(answer(&mut world, &miner, 1).is_ok());
    let from = window.next();
    let ended = SectorStage::Ended { from, last: window };
    assert_eq!(stage(&world, 1), Some(ended));
    assert_eq!(stage(&world, 2), Some(SectorStage::Active { from }));
    assert_eq!(query::provider(&world.state, &id(10)).unwrap().row.n_active, 1);
}

/// What passes with wrong labels in a batch of the main set, as `proofs.md` 9.4 says: spread over all eight sectors it is as in one
/// that is asked alone; in one of them it has to be less, and that is a 30th of the batch. Covers: D2 (K3).
#[test]
fn what_an_attack_on_a_batch_passes_with() {
    let params = ProofParams::MAIN;
    let each = |n: usize| i32::from(HeavyChallenges::of_batch(&params, n).random);
    assert_eq!([1, 2, 3, 5, 8].map(each), [176, 88, 59, 36, 22]);
    assert!((1..=BATCH_MAX).all(|n| each(n) * i32::try_from(n).unwrap() >= 176));
    let one_in = |wrong: f64, n: i32| (1.0 / (1.0 - wrong).powi(n)).round();
    // Alone, and spread over eight.
    assert_eq!(one_in(0.039, 176), 1098.0);
    assert_eq!(one_in(0.039, 8 * each(8)), 1098.0);
    // All of it in one of eight, two of eight, four of eight: as rare as 3.9 % of one alone, and what part of the batch that is.
    let concentrated = |n: i32| {
        let wrong = 1.0 - (1.0f64 - 0.039).powf(176.0 / f64::from(n * each(8)));
        let rounded = |part: f64| (part * 1000.0).round() / 10.0;
        (rounded(wrong), rounded(wrong * f64::from(n) / 8.0))
    };
    assert_eq!(
        [1, 2, 4, 8].map(concentrated),
        [(27.3, 3.4), (14.7, 3.7), (7.6, 3.8), (3.9, 3.9)]
    );
    // 31 % of one: eight times 3.9 %.
    assert_eq!(one_in(0.312, each(8)), 3742.0);
}
