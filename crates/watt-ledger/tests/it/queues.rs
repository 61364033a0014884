//! What falls due at a height: each kind waits for its own kind only, and what comes too late is refused (`docs/spec/ledger.md` 9.6,
//! 9.8, 9.10, 9.15).

use crate::audits::{SECTOR, until_asked};
use crate::disputes::{STRANGER, shown, stored};
use crate::duties::pre_commit_made_up;
use crate::miner::Miner;
use crate::sectors::{SLOT, certified, load_of, ten_providers};
use crate::windows::Stored;
use crate::world::{World, id, pledge, result};
use watt_ledger::apply::DUE_PER_BLOCK_MAX;
use watt_ledger::query;
use watt_ledger::rows::AuditRow;
use watt_ledger::{BlockOutcome, Event, Refused, StateRead as _, Writes, rows};
use watt_light::Operation;
use watt_light::transaction::witness_hash;
use watt_primitives::{BlockHeight, SectorNumber, SlotIndexInDeal, codec};

/// Pre-commitments that a block makes, and more than four that judge.
const FLOOD: u64 = 5 * 64;

/// Person 30 pre-commits, for nothing, so many sectors that what falls due then takes blocks; the height at which it does.
fn flood(world: &mut World) -> u64 {
    assert!(usize::try_from(FLOOD).unwrap() > 4 * DUE_PER_BLOCK_MAX);
    world.act(30, pledge(1 << 30)).unwrap();
    pre_commit_made_up(world, 30, 0..FLOOD);
    let batch = |number| query::batch(&world.state, &id(30), SectorNumber(number));
    let (first, last) = (batch(0).unwrap(), batch(FLOOD - 1).unwrap());
    assert_eq!(first.deadline, last.deadline);
    first.deadline.0 + 1
}

/// The block of a dispute's end judges it, however many batches that cost nothing are due before it. Covers: C5.
#[test]
fn batches_delay_no_dispute() {
    let mut stored = stored();
    let due = flood(&mut stored.world);
    stored.live(10);
    stored.dispute(STRANGER, 10, 0).unwrap();
    let answer_by = stored.slot(10).row.dispute.unwrap().answer_by;
    assert!((due..due + 4).contains(&answer_by.next().0));
    live_until(&mut stored, answer_by);
    stored.world.go_to_height(answer_by.0);
    assert!(stored.holds(10));
    stored.world.skip(1);
    assert!(!stored.holds(10));
    let of_flood = |world: &World| query::provider(&world.state, &id(30)).unwrap().row.n_sectors;
    assert!(of_flood(&stored.world) > 0, "those wait for each other");
    stored.world.skip(FLOOD / 64);
    assert_eq!(of_flood(&stored.world), 0);
}

/// All live, so that no window before that of the block after the last for an answer is void.
fn live_until(stored: &mut Stored, answer_by: BlockHeight) {
    while stored.window() < answer_by.next().0 / 10 {
        stored.live(10);
    }
    assert!(stored.world.height() < answer_by.0);
}

/// What lay in a batch that is late can be sealed anew at once, however many batches are due before it. Covers: D1.
#[test]
fn batches_delay_no_resealing() {
    let mut world = ten_providers();
    let deal = certified(&mut world, 1);
    let load = load_of(&world, deal, 1, 10);
    world.open_window();
    flood(&mut world);
    let mut miner = Miner::new(10);
    let first = miner.seal(&world, 1, &[load]);
    world.act(10, first).unwrap();
    let deadline = query::batch(&world.state, &id(10), SectorNumber(1))
        .unwrap()
        .deadline;
    world.go_to_height(deadline.0 - 1);
    let second = miner.seal(&world, 2, &[load]);
    let (deal, slot) = (load.0, SlotIndexInDeal(load.1));
    let sector = SectorNumber(1);
    let taken = Refused::PieceTaken { deal, slot, sector };
    assert_eq!(
        world.act(10, second.clone()),
        Err(taken),
        "it may still be answered for"
    );
    assert!(query::batch(&world.state, &id(10), sector).is_some());
    // Refused for another reason it lets nothing go.
    let mut wrong = second.clone();
    if let Operation::PreCommit { pieces, .. } = &mut wrong {
        let mut all = pieces.to_vec();
        all.truncate(1);
        *pieces = all.try_into().unwrap();
    }
    assert_eq!(world.act(10, wrong), Err(Refused::PieceTable));
    assert!(query::batch(&world.state, &id(10), sector).is_some(), "it waits");
    assert!(expired(&world).is_empty());
    assert!(world.act(10, second).is_ok());
    assert!(expired(&world).contains(&sector));
    assert!(query::batch(&world.state, &id(10), sector).is_none());
    let held = query::slot(&world.state, &deal, slot).unwrap().row;
    assert_eq!(held.sector, Some(SectorNumber(2)));
    assert_eq!(query::provider(&world.state, &id(10)).unwrap().row.n_sectors, 1);
    world.skip(FLOOD / 64 + 1);
    assert!(query::batch(&world.state, &id(10), SectorNumber(2)).is_some());
}

/// A sector that ended is forgotten when its last window can't be proven any more, though its provider has none left and says nothing
/// any more: else one that lost as many as it may have could never provide again. Covers: D1, E4.
#[test]
fn sectors_of_who_stops_are_forgotten() {
    let mut stored = stored();
    let deal = stored.deal;
    stored.world.act(1, Operation::Terminate { deal }).unwrap();
    let n_sectors = |stored: &Stored| {
        let of = |person| {
            let row = query::provider(&stored.world.state, &id(person)).unwrap().row;
            assert_eq!(row.n_active, 0);
            assert_eq!(
                query::sectors(&stored.world.state, &id(person)).len(),
                row.n_sectors.try_into().unwrap()
            );
            row.n_sectors
        };
        (10..20).map(of).sum::<u32>()
    };
    let last = stored.window();
    stored.world.go_to_height((last + 2) * 10 - 1);
    assert_eq!(n_sectors(&stored), 10);
    stored.world.skip(1);
    assert_eq!(n_sectors(&stored), 0);
}

/// Sectors of person 10 that the newest block let go.
fn expired(world: &World) -> Vec<SectorNumber> {
    let of_mine = world.last.events.iter().filter_map(|event| match event {
        Event::SectorExpired { provider, sector } if *provider == id(10) => Some(*sector),
        _ => None,
    });
    of_mine.collect()
}

/// A world in which nothing under `due` is judged when its time comes, as if a long queue were before it, in the block at `height`.
fn as_if_delayed(world: &mut World, due: Vec<u8>, height: BlockHeight) {
    assert!(world.state.get(&due).is_some());
    world.state.write(&Writes::from([(due, None)]));
    // What is not said here is in the tree, so the world is not counted.
    world.blind_skip(height.0 - 1 - world.height());
}

fn refusal(outcome: &BlockOutcome) -> Option<Refused> {
    result(&outcome.receipts[0]).err()
}

/// An answer to a dispute that comes after its time is refused, though nobody has judged it yet. Covers: C5.
#[test]
fn a_late_answer_to_a_dispute_is_refused() {
    let mut stored = stored();
    let (deal, slot) = (stored.deal, stored.slot_of(10));
    stored.dispute(STRANGER, 10, 0).unwrap();
    let answer_by = stored.slot(10).row.dispute.unwrap().answer_by;
    live_until(&mut stored, answer_by);
    let due = rows::slot_due_at_height(answer_by.next(), &deal, slot);
    for (height, is_late) in [(answer_by, false), (answer_by.next(), true)] {
        let mut world = stored.world.clone();
        as_if_delayed(&mut world, due.clone(), height);
        let witness = codec::encode(&shown(1, slot.0, SLOT, 0));
        let operation = Operation::AnswerDispute {
            deal,
            slot,
            group: 0,
            shown: witness_hash(&world.network, &witness),
        };
        let signed = world.sign_with(10, vec![operation], vec![witness]);
        let why = is_late.then_some(Refused::AnswerLate { answer_by });
        assert_eq!(watt_ledger::admit(&world.state, &signed).err(), why);
        assert_eq!(refusal(&world.attempt(vec![signed]).unwrap()), why);
    }
}

/// So is an answer to an audit. Covers: D2 (TS4).
#[test]
fn a_late_answer_to_an_audit_is_refused() {
    let mut stored = crate::audits::stored(3);
    let AuditRow { answer_by, due, .. } = until_asked(&mut stored, 10);
    live_until(&mut stored, answer_by);
    let due = rows::audit_due_at_height(due, &id(10), SECTOR);
    for (height, is_late) in [(answer_by, false), (answer_by.next(), true)] {
        let mut world = stored.world.clone();
        as_if_delayed(&mut world, due.clone(), height);
        let signed = crate::audits::signed_answer(&world, &stored.miners[0]).unwrap();
        let why = is_late.then_some(Refused::AnswerLate { answer_by });
        assert_eq!(refusal(&world.attempt(vec![signed]).unwrap()), why);
    }
}
