//! Sealing: what a sector may hold, and when its challenge is answered.

use crate::miner::{Load, Miner, live_one_window};
use crate::world::{
    GROUP, START, WATT, World, bid, bundle, certificate, holders, id, place, pledge, pledge_for, provide,
    result,
};
use watt_ledger::fee::FAILED_PROOF_PENALTY;
use watt_ledger::query::SlotCondition;
use watt_ledger::rows::{self, DealStage, PowerRow, SectorStage};
use watt_ledger::{Done, Event, Outcome, PROTOCOL_WALLET, Refused, query};
use watt_light::Operation;
use watt_light::transaction::witness_hash;
use watt_primitives::terms::Piece;
use watt_primitives::{Amount, BlockHeight, BoundedVec, DealId, Hash, SectorNumber, SlotIndexInDeal, Window};

const DAY: u64 = 86_400_000;
pub const SLOT: u64 = 31 * GROUP;

/// A certified deal of person 1, and the slot that person `holder` has of it.
pub fn certified(world: &mut World, seed: u8) -> DealId {
    let operation = bid(world, bundle(seed, SLOT), WATT, DAY);
    let deal = place(world, 1, operation);
    let operation = certificate(world, &deal);
    world.act(2, operation).unwrap();
    deal
}

pub fn ten_providers() -> World {
    let mut world = World::new();
    provide(&mut world, 10..20, 100 * SLOT, WATT);
    world
}

pub fn load_of(world: &World, deal: DealId, seed: u8, holder: u8) -> Load {
    let (slot, _) = holders(world, &deal)
        .into_iter()
        .find(|(_, person)| *person == holder)
        .unwrap();
    (deal, slot, seed, SLOT)
}

fn condition(world: &World, load: &Load) -> SlotCondition {
    query::slot(&world.state, &load.0, SlotIndexInDeal(load.1))
        .unwrap()
        .condition
}

/// A sector with slots of two deals is sealed, challenged and accepted; its slots follow. Covers: A10, D1, C5.
#[test]
fn sector_is_accepted() {
    let mut world = ten_providers();
    let (first, second) = (certified(&mut world, 1), certified(&mut world, 2));
    let loads = [load_of(&world, first, 1, 10), load_of(&world, second, 2, 10)];
    assert_eq!(condition(&world, &loads[0]), SlotCondition::Accepted);
    let mut miner = Miner::new(10);
    let operation = miner.seal(&world, 7, &loads);
    let height = world.height() + 1;
    let done = world.act(10, operation);
    let expected = Done::PreCommitted {
        sector: SectorNumber(7),
        batch: SectorNumber(7),
        challenge_window: Window(height / 10 + 1),
        deadline: BlockHeight(height + 30),
    };
    assert_eq!(done, Ok(expected));
    assert_eq!(condition(&world, &loads[1]), SlotCondition::Sealing);
    world.open_next_window();
    let (operation, openings) = miner.commit(&world, 7);
    let window = world.height() / 10;
    let done = world.act_with(10, operation, vec![openings]);
    let from = Window(window + 1);
    assert_eq!(
        done,
        Ok(Done::SectorsCommitted {
            batch: SectorNumber(7),
            n_sectors: 1,
            from
        })
    );
    assert_eq!(
        condition(&world, &loads[0]),
        SlotCondition::Proving {
            from,
            last_proven: None
        }
    );
    let row = query::sector(&world.state, &id(10), SectorNumber(7)).unwrap();
    assert_eq!((row.stage, row.n_slots), (SectorStage::Active { from }, 2));
}

/// Everything that a pre-commitment can get wrong. Covers: D1, D2, C5.
#[test]
fn wrong_pre_commitments_are_refused() {
    let mut world = ten_providers();
    let deal = certified(&mut world, 1);
    let load = load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    let right = miner.seal(&world, 1, &[load]);
    let mut stranger = world.sign(3, vec![right.clone()]);
    world.block(vec![stranger.clone()]);
    assert_eq!(result(&world.last.receipts[0]), Err(Refused::NotAProvider));
    stranger = world.sign(11, vec![right.clone()]);
    world.block(vec![stranger]);
    let not_held = Refused::PieceNotHeld {
        deal,
        slot: SlotIndexInDeal(load.1),
    };
    assert_eq!(result(&world.last.receipts[0]), Err(not_held));

    let with = |world: &mut World, change: &dyn Fn(&mut Operation)| {
        let mut operation = right.clone();
        change(&mut operation);
        world.act(10, operation).unwrap_err()
    };
    let set_units = |value: u16| {
        move |operation: &mut Operation| {
            if let Operation::PreCommit { units, .. } = operation {
                *units = value;
            }
        }
    };
    assert_eq!(with(&mut world, &set_units(0)), Refused::SectorSize { units: 0 });
    assert_eq!(
        with(&mut world, &set_units(33)),
        Refused::SectorSize { units: 33 }
    );
    assert_eq!(with(&mut world, &set_units(2)), Refused::PieceTable);
    let future = Window(world.height() / 10 + 1);
    let refused = with(&mut world, &|operation| {
        if let Operation::PreCommit { seal_window, .. } = operation {
            *seal_window = future;
        }
    });
    assert_eq!(refused, Refused::SealWindow { window: future });
    let edit = |change: fn(&mut Piece)| {
        move |operation: &mut Operation| {
            if let Operation::PreCommit { pieces, .. } = operation {
                let mut list = pieces.to_vec();
                change(&mut list[0]);
                *pieces = BoundedVec::new(list).unwrap();
            }
        }
    };
    let other_root = edit(|piece| {
        if let Piece::Slot { root, .. } = piece {
            *root = Hash::ZERO;
        }
    });
    assert_eq!(with(&mut world, &other_root), not_held);
    let other_deal = edit(|piece| {
        if let Piece::Slot { deal, .. } = piece {
            *deal = DealId([9; 32]);
        }
    });
    assert!(matches!(
        with(&mut world, &other_deal),
        Refused::PieceNotHeld { .. }
    ));
    let other_place = edit(|piece| {
        if let Piece::Slot { offset, .. } = piece {
            *offset = GROUP;
        }
    });
    assert_eq!(with(&mut world, &other_place), Refused::PieceTable);
    assert!(world.act(10, right).is_ok());
}

/// Two devices of one person are two providers: the same data under the same number is another replica on each, the openings
/// of one do not do for the other, and what both prove is that person's power only because both have sealed. Covers: D2.
#[test]
fn one_person_with_two_devices() {
    let mut world = World::new();
    let pledged = [20, 21].map(|n| world.sign(n, vec![pledge_for(1 << 30, 5)]));
    world.block(pledged.to_vec());
    let mut devices = [20, 21].map(Miner::new);
    let sealed: Vec<Operation> = devices
        .iter_mut()
        .map(|device| device.seal(&world, 1, &[]))
        .collect();
    let roots = |operation: &Operation| match operation {
        Operation::PreCommit { comm_c, comm_r, .. } => (*comm_c, *comm_r),
        _ => unreachable!(),
    };
    assert_ne!(roots(&sealed[0]).0, roots(&sealed[1]).0);
    assert_ne!(roots(&sealed[0]).1, roots(&sealed[1]).1);
    world.act(20, sealed[0].clone()).unwrap();
    world.act(21, sealed[1].clone()).unwrap();
    world.open_next_window();
    let answers = [0, 1].map(|device| devices[device].commit(&world, 1));
    let refused = world.act_with(21, answers[0].0.clone(), vec![answers[0].1.clone()]);
    let batch = SectorNumber(1);
    assert_eq!(refused, Err(Refused::Porep { batch }));
    for (n, (answer, openings)) in [20, 21].into_iter().zip(answers) {
        world.act_with(n, answer, vec![openings]).unwrap();
    }
    world.open_next_window();
    let [first, second] = &mut devices;
    let done = live_one_window(&mut world, &mut [first, second]);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let power: PowerRow = rows::read(&world.state, &rows::power(&id(5))).unwrap();
    assert_eq!(power.byte_windows, 2 << 20);
}

/// A holder that signed for its slot and never seals it is paid for the reservation and for nothing else, however long the term is;
/// nobody can make it show a slot that it does not prove, and the rest of the slot's money goes back to the client (TS26).
/// Covers: C5, E4.
#[test]
fn certified_never_sealed() {
    let mut world = ten_providers();
    let operation = bid(&world, bundle(1, SLOT), WATT, 120_000);
    let deal = place(&mut world, 1, operation);
    let operation = certificate(&world, &deal);
    world.act(2, operation).unwrap();
    let load = load_of(&world, deal, 1, 10);
    let slot = SlotIndexInDeal(load.1);
    let reserved = world.balance(10).0 - START.0;
    assert!(reserved > 0);
    let group = 0;
    let asked = world.act(1, Operation::Dispute { deal, slot, group });
    assert_eq!(asked, Err(Refused::SlotNotProven { slot }));
    let is_over = |world: &World| {
        matches!(
            query::deal(&world.state, &deal).unwrap().row.stage,
            DealStage::Ended { .. }
        )
    };
    while !is_over(&world) {
        assert_eq!(condition(&world, &load), SlotCondition::Accepted);
        world.skip(10);
    }
    assert_eq!(world.balance(10).0, START.0 + reserved);
    let DealStage::Ended { paid, refunded, .. } = query::deal(&world.state, &deal).unwrap().row.stage else {
        unreachable!()
    };
    assert_eq!(
        (paid.proven, paid.reserved),
        (Amount::ZERO, Amount(10 * reserved))
    );
    assert_eq!(world.balance(1).0, START.0 - paid.total().0);
    assert!(refunded > paid.total());
}

/// A slot is in one sector, and a number is used once. Covers: D2.
#[test]
fn nothing_is_sealed_twice() {
    let mut world = ten_providers();
    let deal = certified(&mut world, 1);
    let load = load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    let first = miner.seal(&world, 1, &[load]);
    world.act(10, first.clone()).unwrap();
    assert_eq!(
        world.act(10, first.clone()),
        Err(Refused::SectorUsed {
            sector: SectorNumber(1)
        })
    );
    let again = miner.seal(&world, 2, &[load]);
    let taken = Refused::PieceTaken {
        deal,
        slot: SlotIndexInDeal(load.1),
        sector: SectorNumber(1),
    };
    assert_eq!(world.act(10, again), Err(taken));
    // 32 bytes that are no root of any tree: above the modulus of the field.
    let mut beyond = Miner::new(11).seal(&world, 1, &[]);
    if let Operation::PreCommit { comm_r, .. } = &mut beyond {
        *comm_r = Hash([0xff; 32]);
    }
    assert_eq!(world.act(11, beyond), Err(Refused::NotAReplica));
}

/// A slot of a deal that is not certified, or that is over, is not sealed. Covers: C5, E4.
#[test]
fn only_certified_slots_are_sealed() {
    let mut world = ten_providers();
    let operation = bid(&world, bundle(1, SLOT), WATT, DAY);
    let deal = place(&mut world, 1, operation);
    let load = load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    let not_held = Refused::PieceNotHeld {
        deal,
        slot: SlotIndexInDeal(load.1),
    };
    let operation = miner.seal(&world, 1, &[load]);
    assert_eq!(world.act(10, operation.clone()), Err(not_held));
    world.act(1, Operation::Terminate { deal }).unwrap();
    assert_eq!(world.act(10, operation), Err(not_held));
}

/// The answer comes after the challenge is known and before the deadline; else the slots are free for another sector.
/// Covers: D1.
#[test]
fn answers_come_in_time() {
    let mut world = ten_providers();
    let deal = certified(&mut world, 1);
    let load = load_of(&world, deal, 1, 10);
    let mut miner = Miner::new(10);
    let operation = miner.seal(&world, 1, &[load]);
    world.act(10, operation).unwrap();
    let pre_committed = world.height();
    let openings = b"too early".to_vec();
    let early = Operation::CommitSectors {
        batch: SectorNumber(1),
        openings: witness_hash(&world.network, &openings),
    };
    let unknown = Refused::ChallengeUnknown {
        batch: SectorNumber(1),
        window: Window(pre_committed / 10 + 1),
    };
    assert!(query::porep_seed(&world.state, &id(10), SectorNumber(1)).is_none());
    assert_eq!(
        world.act_with(10, early.clone(), vec![openings.clone()]),
        Err(unknown)
    );
    world.go_to_height(pre_committed + 29);
    let (operation, right) = miner.commit(&world, 1);
    let in_time = world
        .attempt(vec![world.sign_with(
            10,
            vec![operation.clone()],
            vec![right.clone()],
        )])
        .unwrap();
    assert!(result(&in_time.receipts[0]).is_ok());
    world.skip(1);
    let late = Refused::NotPreCommitted {
        batch: SectorNumber(1),
    };
    assert_eq!(world.act_with(10, operation, vec![right]), Err(late));
    let expired = Event::SectorExpired {
        provider: id(10),
        sector: SectorNumber(1),
    };
    assert!(world.last.events.contains(&expired));
    assert_eq!(condition(&world, &load), SlotCondition::Accepted);
    assert_eq!(query::provider(&world.state, &id(10)).unwrap().row.n_sectors, 0);
    // The number is used for ever, the slot finds another sector.
    let operation = miner.seal(&world, 1, &[load]);
    assert_eq!(
        world.act(10, operation),
        Err(Refused::SectorUsed {
            sector: SectorNumber(1)
        })
    );
    assert!(miner.add_sector(&mut world, 2, &[load]).is_ok());
}

/// A proof that does not verify changes nothing but the record, costs a penalty, and the right one is still taken. Covers: D1.
#[test]
fn wrong_proof_costs_its_sender() {
    let mut world = ten_providers();
    let mut miner = Miner::new(10);
    let operation = miner.seal(&world, 1, &[]);
    world.act(10, operation).unwrap();
    world.open_next_window();
    let (right, openings) = miner.commit(&world, 1);
    let mut flipped = openings.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let wrong = Operation::CommitSectors {
        batch: SectorNumber(1),
        openings: witness_hash(&world.network, &flipped),
    };
    let refused = world.act_with(10, wrong, vec![flipped]);
    assert_eq!(
        refused,
        Err(Refused::Porep {
            batch: SectorNumber(1)
        })
    );
    let Outcome::Failed { penalty, .. } = world.last.receipts[0].outcome else {
        unreachable!()
    };
    assert_eq!(penalty, FAILED_PROOF_PENALTY);
    assert_eq!(world.balance(10), Amount(START.0 - FAILED_PROOF_PENALTY.0));
    assert_eq!(
        query::account(&world.state, &PROTOCOL_WALLET).unwrap().balance,
        FAILED_PROOF_PENALTY
    );
    assert_eq!(
        query::provider(&world.state, &id(10)).unwrap().row.proofs_failed,
        1
    );
    assert!(world.act_with(10, right.clone(), vec![openings.clone()]).is_ok());
    let twice = Refused::NotPreCommitted {
        batch: SectorNumber(1),
    };
    assert_eq!(world.act_with(10, right, vec![openings]), Err(twice));
    // A provider without money can still prove, and pays what it has: nothing.
    world.act(1, crate::world::transfer(100, 5)).unwrap();
    world.act(100, pledge(SLOT)).unwrap();
    let mut poor = Miner::new(100);
    let operation = poor.seal(&world, 1, &[]);
    world.act(100, operation).unwrap();
    world.open_next_window();
    let wrong = Operation::CommitSectors {
        batch: SectorNumber(1),
        openings: witness_hash(&world.network, b"x"),
    };
    assert!(world.act_with(100, wrong, vec![b"x".to_vec()]).is_err());
    assert_eq!(world.balance(100), Amount::ZERO);
    let (right, openings) = poor.commit(&world, 1);
    assert!(world.act_with(100, right, vec![openings]).is_ok());
}
