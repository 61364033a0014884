//! Slots that are asked for, and slots and sectors that are lost.

use crate::miner::{Load, Miner};
use crate::sectors::{SLOT, certified, load_of};
use crate::settlements::settlement;
use crate::windows::{Stored, reservation};
use crate::world::{
    GROUP, START, WATT, World, bid, bundle, certificate, genesis, id, pledge_on, provide, result, slot_data,
};
use proptest::prelude::*;
use std::sync::OnceLock;
use watt_ledger::apply::{DISPUTE_FEE, DISPUTES_PER_PROVIDER_MAX};
use watt_ledger::fee::FAILED_PROOF_PENALTY;
use watt_ledger::genesis::GraceWindows;
use watt_ledger::query::{self, SlotCondition};
use watt_ledger::rows::{DealStage, Loss, SectorStage};
use watt_ledger::{Done, Event, Refused};
use watt_light::Operation;
use watt_light::operation::ShownGroup;
use watt_light::transaction::witness_hash;
use watt_market::deal::pay;
use watt_primitives::slot_tree::{GROUP_BYTES, SlotHasher, path};
use watt_primitives::terms::Device;
use watt_primitives::{
    Amount, BlockHeight, BoundedBytes, BoundedVec, DealId, SectorNumber, SlotIndexInDeal, codec,
};

const DAY: u64 = 86_400_000;

/// Slots to answer in these worlds: more than two windows.
const ANSWER_SLOTS: u64 = 23;

const GRACE: GraceWindows = GraceWindows {
    always_on: 4,
    daily: 8,
    phone: 16,
};

/// The person who disputes here, and has nothing to do with the deals.
pub const STRANGER: u8 = 3;

/// The client of all deals here.
const CLIENT: u8 = 1;

fn world() -> World {
    let mut genesis = genesis("disputes");
    genesis.parameters.dispute_slots = ANSWER_SLOTS;
    genesis.parameters.grace_windows = GRACE;
    let mut world = World::of(&genesis);
    provide(&mut world, 10..20, 100 * SLOT, WATT);
    world
}

/// Ten holders with a sector each.
pub fn stored() -> Stored {
    static STORED: OnceLock<Stored> = OnceLock::new();
    STORED.get_or_init(|| Stored::of(world(), DAY)).clone()
}

fn dispute(deal: DealId, slot: SlotIndexInDeal, group: u32) -> Operation {
    Operation::Dispute { deal, slot, group }
}

/// Group `group` of a slot of the bundle with this seed, as it is shown.
pub fn shown(seed: u8, slot: u8, len: u64, group: usize) -> ShownGroup {
    let data = slot_data(seed, slot, len);
    let mut hasher = SlotHasher::new();
    hasher.update(&data);
    let bytes = data.chunks(GROUP_BYTES).nth(group).unwrap();
    ShownGroup {
        bytes: BoundedBytes::new(bytes.to_vec()).unwrap(),
        path: BoundedVec::new(path(&hasher.finish(), group).unwrap()).unwrap(),
    }
}

fn answer(
    world: &mut World,
    person: u8,
    (deal, slot, group): (DealId, SlotIndexInDeal, u32),
    shown: &ShownGroup,
) -> Result<Done, Refused> {
    let witness = codec::encode(shown);
    let operation = Operation::AnswerDispute {
        deal,
        slot,
        group,
        shown: witness_hash(&world.network, &witness),
    };
    world.act_with(person, operation, vec![witness])
}

impl Stored {
    pub fn slot_of(&self, holder: u8) -> SlotIndexInDeal {
        self.slot(holder).index
    }

    pub fn dispute(&mut self, by: u8, holder: u8, group: u32) -> Result<Done, Refused> {
        let slot = self.slot_of(holder);
        self.world.act(by, dispute(self.deal, slot, group))
    }

    /// Everybody but the first `n` holders lives for so many windows.
    fn live_without(&mut self, n: usize, windows: u64) {
        for _ in 0..windows {
            let mut rest: Vec<&mut Miner> = self.miners.iter_mut().skip(n).collect();
            let done = crate::miner::live_one_window(&mut self.world, &mut rest);
            assert!(done.iter().all(Result::is_ok), "{done:?}");
        }
    }

    fn n_alive(&self) -> usize {
        query::deal(&self.world.state, &self.deal).unwrap().slots.len()
    }

    pub fn holds(&self, holder: u8) -> bool {
        let deal = query::deal(&self.world.state, &self.deal).unwrap();
        deal.slots.iter().any(|slot| slot.row.provider == id(holder))
    }

    fn sector(&self, holder: u8) -> Option<SectorStage> {
        query::sector(&self.world.state, &id(holder), SectorNumber(1)).map(|row| row.stage)
    }
}

/// Closes empty blocks until the height is reached, and collects what was lost.
fn losses_until(world: &mut World, height: u64) -> Vec<Event> {
    let mut lost = Vec::new();
    while world.height() < height {
        world.skip(1);
        lost.extend(lost_in(world));
    }
    lost
}

fn lost_in(world: &World) -> Vec<Event> {
    let is_loss = |event: &&Event| matches!(event, Event::SlotLost { .. } | Event::SectorLost { .. });
    world.last.events.iter().filter(is_loss).copied().collect()
}

/// A holder that does not show what is asked for loses the slot: it is paid what was proven, the rest goes back to the client, and who
/// asked has the fee back. The others go on. Covers: C5, E4.
#[test]
fn dispute_unanswered_kills_slot() {
    let mut stored = stored();
    stored.live(10);
    let slot = stored.slot_of(10);
    let height = stored.world.height() + 1;
    let answer_by = BlockHeight(height + ANSWER_SLOTS);
    let done = stored.dispute(STRANGER, 10, 30);
    let expected = Done::Disputed {
        provider: id(10),
        answer_by,
        fee: DISPUTE_FEE,
    };
    assert_eq!(done, Ok(expected));
    assert_eq!(stored.world.balance(STRANGER).0, START.0 - DISPUTE_FEE.0);
    let open = stored.slot(10).row.dispute.unwrap();
    assert_eq!(
        (open.by, open.group, open.answer_by),
        (id(STRANGER), 30, answer_by)
    );
    let provider = |stored: &Stored| query::provider(&stored.world.state, &id(10)).unwrap().row;
    assert_eq!(provider(&stored).n_disputed, 1);
    let used = provider(&stored).used_bytes;

    stored.live(10);
    stored.live(10);
    assert_eq!(losses_until(&mut stored.world, answer_by.0), [], "not before");
    let (before, proven_ms) = (stored.world.balance(CLIENT), stored.slot(10).proven_ms);
    let lost = losses_until(&mut stored.world, answer_by.0 + 1);
    let share = pay(Amount(WATT), SLOT, DAY).unwrap().0;
    let earned = pay(Amount(WATT), SLOT, proven_ms).unwrap().0;
    let why = Loss::Unanswered {
        by: id(STRANGER),
        group: 30,
    };
    let refunded = Amount(stored.world.balance(CLIENT).0 - before.0);
    let event = Event::SlotLost {
        deal: stored.deal,
        slot,
        client: id(CLIENT),
        provider: id(10),
        why,
        refunded,
    };
    assert_eq!(lost, [event]);
    assert!(earned > 0 && refunded.0 >= share - earned, "{refunded:?}");
    assert_eq!(stored.world.balance(STRANGER), START);
    assert_eq!(stored.world.balance(10).0, START.0 + reservation() + earned);
    assert_eq!((stored.n_alive(), stored.holds(10)), (9, false));
    let row = query::deal(&stored.world.state, &stored.deal).unwrap().row;
    assert!(matches!(row.stage, DealStage::Active { .. }));
    let [note] = &row.lost[..] else { unreachable!() };
    assert_eq!(
        (note.slot, note.provider, note.why, note.refunded),
        (slot, id(10), why, refunded)
    );
    let after = provider(&stored);
    assert_eq!(
        (after.slots_lost, after.n_disputed, after.used_bytes),
        (1, 0, used - SLOT)
    );
    // With its last slot gone the sector ends.
    assert!(matches!(stored.sector(10), Some(SectorStage::Ended { .. })));

    // What the deal came to in the end holds what was paid for the lost slot.
    let deal = stored.deal;
    stored.world.act(CLIENT, Operation::Terminate { deal }).unwrap();
    let row = query::deal(&stored.world.state, &deal).unwrap().row;
    let DealStage::Ended { paid, refunded, .. } = row.stage else {
        unreachable!()
    };
    assert_eq!(paid.total().0 + refunded.0, row.escrow.0);
}

/// A holder that shows the group in time keeps the slot, and has the fee for its trouble; it may be asked again. Covers: C5, E4.
#[test]
fn answered_in_time() {
    let mut stored = stored();
    let (deal, slot) = (stored.deal, stored.slot_of(10));
    for group in [0, 30] {
        stored.dispute(STRANGER, 10, group).unwrap();
        let before = stored.world.balance(10);
        let right = shown(1, slot.0, SLOT, usize::try_from(group).unwrap());
        let done = answer(&mut stored.world, 10, (deal, slot, group), &right);
        assert_eq!(done, Ok(Done::DisputeAnswered { fee: DISPUTE_FEE }));
        assert_eq!(stored.world.balance(10).0, before.0 + DISPUTE_FEE.0);
        assert_eq!(stored.slot(10).row.dispute, None);
        let again = answer(&mut stored.world, 10, (deal, slot, group), &right);
        assert_eq!(again, Err(Refused::NotDisputed { slot, group }));
    }
    assert_eq!(stored.world.balance(STRANGER).0, START.0 - 2 * DISPUTE_FEE.0);
    let until = stored.world.height() + 2 * ANSWER_SLOTS;
    assert_eq!(losses_until(&mut stored.world, until), []);
    assert!(stored.holds(10));
}

/// Another group, another way to the root, another slot's bytes, bytes that decode to nothing: each is refused, costs what a wrong proof
/// costs, and leaves the dispute open. Nobody but the holder answers. Covers: C5.
#[test]
fn wrong_answers_are_refused() {
    let mut stored = stored();
    let (deal, slot) = (stored.deal, stored.slot_of(10));
    stored.dispute(STRANGER, 10, 5).unwrap();
    let right = shown(1, slot.0, SLOT, 5);
    let other = stored.slot_of(11);
    let mut flipped = right.clone();
    let mut bytes = flipped.bytes.to_vec();
    bytes[7] ^= 1;
    flipped.bytes = BoundedBytes::new(bytes).unwrap();
    let mut other_path = right.clone();
    other_path.path = shown(1, slot.0, SLOT, 6).path;
    let mut short = right.clone();
    short.path = BoundedVec::new(right.path.iter().copied().skip(1).collect()).unwrap();
    let wrong = [
        shown(1, slot.0, SLOT, 6),
        shown(1, other.0, SLOT, 5),
        shown(2, slot.0, SLOT, 5),
        flipped,
        other_path,
        short,
    ];
    let refused = Err(Refused::WrongGroup { slot, group: 5 });
    for (n, wrong) in (1u64..).zip(&wrong) {
        let before = stored.world.balance(10);
        assert_eq!(
            answer(&mut stored.world, 10, (deal, slot, 5), wrong),
            refused,
            "{n}"
        );
        assert_eq!(stored.world.balance(10).0, before.0 - FAILED_PROOF_PENALTY.0);
        let row = query::provider(&stored.world.state, &id(10)).unwrap().row;
        assert_eq!(row.proofs_failed, n);
    }
    let operation = Operation::AnswerDispute {
        deal,
        slot,
        group: 5,
        shown: witness_hash(&stored.world.network, b"nothing"),
    };
    let done = stored.world.act_with(10, operation, vec![b"nothing".to_vec()]);
    assert_eq!(done, refused);
    let not_the_holder = Refused::NotTheHolder {
        slot,
        provider: id(10),
    };
    assert_eq!(
        answer(&mut stored.world, 11, (deal, slot, 5), &right),
        Err(not_the_holder)
    );
    assert!(answer(&mut stored.world, 10, (deal, slot, 5), &right).is_ok());
}

/// Only a group that there is, of a slot of a running deal in a proven sector, by somebody who has the fee. Covers: C5.
#[test]
fn wrong_disputes_are_refused() {
    let mut world = world();
    let deal = certified(&mut world, 1);
    let load = load_of(&world, deal, 1, 10);
    let slot = SlotIndexInDeal(load.1);
    let unsealed = world.act(STRANGER, dispute(deal, slot, 0));
    assert_eq!(unsealed, Err(Refused::SlotNotProven { slot }));
    let mut miner = Miner::new(10);
    let operation = miner.seal(&world, 1, &[load]);
    world.act(10, operation).unwrap();
    let unproven = world.act(STRANGER, dispute(deal, slot, 0));
    assert_eq!(unproven, Err(Refused::SlotNotProven { slot }));
    world.open_next_window();
    let (operation, openings) = miner.commit(&world, 1);
    world.act_with(10, operation, vec![openings]).unwrap();

    let too_far = world.act(STRANGER, dispute(deal, slot, 31));
    assert_eq!(too_far, Err(Refused::NoSuchGroup { n_groups: 31 }));
    let unknown = DealId([9; 32]);
    assert_eq!(
        world.act(STRANGER, dispute(unknown, slot, 0)),
        Err(Refused::UnknownDeal { deal: unknown })
    );
    let no_slot = SlotIndexInDeal(99);
    assert_eq!(
        world.act(STRANGER, dispute(deal, no_slot, 0)),
        Err(Refused::UnknownSlot { slot: no_slot })
    );
    world.act(4, crate::world::transfer(5, START.0)).unwrap();
    let poor = world.act(4, dispute(deal, slot, 0));
    assert_eq!(
        poor,
        Err(Refused::Balance {
            needed: DISPUTE_FEE,
            balance: Amount::ZERO
        })
    );
    assert!(world.act(STRANGER, dispute(deal, slot, 30)).is_ok());
}

/// One dispute of a slot at a time; but nobody keeps the client from asking by asking for something else before. Covers: C5.
#[test]
fn two_disputes_on_one_slot() {
    let mut stored = stored();
    let slot = stored.slot_of(10);
    let Ok(Done::Disputed { answer_by, .. }) = stored.dispute(STRANGER, 10, 0) else {
        unreachable!()
    };
    let already = |answer_by| Err(Refused::DisputedAlready { slot, answer_by });
    assert_eq!(stored.dispute(4, 10, 1), already(answer_by));
    assert_eq!(stored.dispute(STRANGER, 10, 1), already(answer_by));
    let before = stored.world.balance(CLIENT);
    let Ok(Done::Disputed { answer_by, .. }) = stored.dispute(CLIENT, 10, 7) else {
        unreachable!()
    };
    assert_eq!(stored.world.balance(STRANGER), START, "the other's is closed");
    assert_eq!(stored.world.balance(CLIENT).0, before.0 - DISPUTE_FEE.0);
    assert_eq!(stored.slot(10).row.dispute.map(|open| open.group), Some(7));
    assert_eq!(stored.dispute(CLIENT, 10, 8), already(answer_by), "once");
    assert_eq!(stored.dispute(STRANGER, 10, 8), already(answer_by));
    let row = query::provider(&stored.world.state, &id(10)).unwrap().row;
    assert_eq!(row.n_disputed, 1);
}

/// A client's dispute takes the place of a stranger's while the answer to that is on its way: the pool takes it no longer, and it costs
/// the holder nothing. Covers: C5.
#[test]
fn an_answer_to_a_dispute_that_was_replaced_costs_nothing() {
    let mut stored = stored();
    let (deal, slot) = (stored.deal, stored.slot_of(10));
    stored.dispute(STRANGER, 10, 0).unwrap();
    stored.dispute(CLIENT, 10, 7).unwrap();
    let before = stored.world.balance(10);
    let to_the_stranger = answer(&mut stored.world, 10, (deal, slot, 0), &shown(1, slot.0, SLOT, 0));
    assert_eq!(to_the_stranger, Err(Refused::NotDisputed { slot, group: 0 }));
    assert_eq!(stored.world.balance(10), before);
    let row = query::provider(&stored.world.state, &id(10)).unwrap().row;
    assert_eq!(row.proofs_failed, 0);
    let to_the_client = answer(&mut stored.world, 10, (deal, slot, 7), &shown(1, slot.0, SLOT, 7));
    assert_eq!(to_the_client, Ok(Done::DisputeAnswered { fee: DISPUTE_FEE }));
}

/// Strangers can keep so many disputes about a provider open, and no more; its clients can still ask. Covers: C5.
#[test]
fn a_flood_of_disputes_is_bounded() {
    const SMALL: u64 = GROUP;
    let mut world = world();
    let n = u8::try_from(DISPUTES_PER_PROVIDER_MAX).unwrap() + 1;
    let bids = (0..n).map(|seed| {
        // An account has at most four bids open.
        let client = 30 + seed / 4;
        (client, bid(&world, bundle(seed, SMALL), WATT, DAY))
    });
    let mut by_client: std::collections::BTreeMap<u8, Vec<Operation>> = std::collections::BTreeMap::new();
    for (client, operation) in bids {
        by_client.entry(client).or_default().push(operation);
    }
    let signed = by_client
        .into_iter()
        .map(|(client, bids)| world.sign(client, bids))
        .collect();
    world.block(signed);
    let mut deals = Vec::new();
    for receipt in world.last.receipts.clone() {
        let watt_ledger::Outcome::Done(done) = receipt.outcome else {
            unreachable!()
        };
        for done in &done {
            let Done::BidPlaced { deal, match_height } = done else {
                unreachable!()
            };
            deals.push((*deal, *match_height));
        }
    }
    world.go_to_height(deals[0].1.0);
    // All in one block: they are due soon.
    let certificates = (0u8..)
        .zip(&deals)
        .map(|(person, (deal, _))| world.sign(person, vec![certificate(&world, deal)]))
        .collect();
    world.block(certificates);
    assert!(world.last.receipts.iter().all(|receipt| result(receipt).is_ok()));
    let mut miner = Miner::new(10);
    let loads: Vec<Load> = (0u8..)
        .zip(&deals)
        .map(|(seed, (deal, _))| {
            let (deal, slot, ..) = load_of(&world, *deal, seed, 10);
            (deal, slot, seed, SMALL)
        })
        .collect();
    miner.add_sector(&mut world, 1, &loads).unwrap();
    let (last, others) = loads.split_last().unwrap();
    let disputes = others
        .iter()
        .map(|(deal, slot, ..)| dispute(*deal, SlotIndexInDeal(*slot), 0))
        .collect::<Vec<_>>();
    for disputes in disputes.chunks(8) {
        let signed = world.sign(STRANGER, disputes.to_vec());
        world.block(vec![signed]);
        assert!(
            result(&world.last.receipts[0]).is_ok(),
            "{:?}",
            world.last.receipts
        );
    }
    let one_more = dispute(last.0, SlotIndexInDeal(last.1), 0);
    let max = DISPUTES_PER_PROVIDER_MAX;
    assert_eq!(
        world.act(STRANGER, one_more.clone()),
        Err(Refused::TooManyDisputes { max })
    );
    let client = 30 + (n - 1) / 4;
    assert!(world.act(client, one_more).is_ok());
    // None of them is answered, though all else is proven.
    let row = |world: &World| query::provider(&world.state, &id(10)).unwrap().row;
    for _ in 0..6 {
        if row(&world).n_active > 0 {
            crate::miner::live_one_window(&mut world, &mut [&mut miner]);
        }
    }
    let row = row(&world);
    assert_eq!((row.n_disputed, row.slots_lost), (0, u64::from(n)));
}

/// A deal that ends while a slot of it is asked for, by its client or because its term is over, closes the dispute and gives the fee
/// back. Covers: C5, E4.
#[test]
fn dispute_at_the_end_of_a_deal() {
    let mut terminated = stored();
    let deal = terminated.deal;
    terminated.dispute(STRANGER, 10, 3).unwrap();
    terminated
        .world
        .act(CLIENT, Operation::Terminate { deal })
        .unwrap();
    assert_eq!(terminated.world.balance(STRANGER), START);
    assert_eq!(
        query::head(&terminated.world.state).unwrap().supply.in_escrow,
        Amount::ZERO
    );
    let row = query::provider(&terminated.world.state, &id(10)).unwrap().row;
    assert_eq!((row.n_disputed, row.slots_lost), (0, 0));

    let mut over = Stored::of(world(), 120_000);
    let deal = over.deal;
    over.live(10);
    let DealStage::Active { ends_at, .. } = query::deal(&over.world.state, &deal).unwrap().row.stage else {
        unreachable!()
    };
    while query::head(&over.world.state).unwrap().ledger_time.0 + 4_000 < ends_at.0 {
        over.world.skip(1);
    }
    over.dispute(STRANGER, 10, 3).unwrap();
    over.world.skip(4);
    let late = over.dispute(STRANGER, 11, 3);
    assert_eq!(late, Err(Refused::WrongStage { deal }), "the term is over");
    let until = over.world.height() + 4 * ANSWER_SLOTS;
    losses_until(&mut over.world, until);
    assert_eq!(over.world.balance(STRANGER), START);
    let row = query::deal(&over.world.state, &deal).unwrap().row;
    assert!(matches!(row.stage, DealStage::Ended { .. }));
    assert_eq!(
        query::head(&over.world.state).unwrap().supply.in_escrow,
        Amount::ZERO
    );
}

/// A sector with slots of two deals, of which the holder has thrown one away and proves window after window with the other: what the
/// network samples falls on the rest.
fn world_with_a_thief() -> (World, Miner, [Load; 2]) {
    let mut world = world();
    let (first, second) = (certified(&mut world, 1), certified(&mut world, 2));
    let loads = [load_of(&world, first, 1, 10), load_of(&world, second, 2, 10)];
    let mut thief = Miner::new(10);
    thief.add_sector(&mut world, 1, &loads).unwrap();
    world.open_next_window();
    (world, thief, loads)
}

fn paid(world: &World, load: &Load) -> u64 {
    let slot = SlotIndexInDeal(load.1);
    if let Some(found) = query::slot(&world.state, &load.0, slot) {
        return found.row.funds.paid.proven.0 + found.due.0;
    }
    let row = query::deal(&world.state, &load.0).unwrap().row;
    let lost = row.lost.iter().find(|lost| lost.slot == slot).unwrap();
    lost.paid.proven.0
}

/// A holder deletes one client's slot and proves the rest. Without a dispute the victim pays as much as everybody else; with one it stops
/// paying, and the slot is lost, while the others' go on. Covers: C5, E4.
#[test]
fn drop_one_victim_slot_full_pay() {
    let (mut world, mut thief, [victim, other]) = world_with_a_thief();
    let live = |world: &mut World, thief: &mut Miner| {
        let done = crate::miner::live_one_window(world, &mut [thief]);
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    };
    for _ in 0..3 {
        live(&mut world, &mut thief);
    }
    assert!(paid(&world, &victim) > 0);
    assert_eq!(paid(&world, &victim), paid(&world, &other), "the attack pays");

    let slot = SlotIndexInDeal(victim.1);
    world.act(CLIENT, dispute(victim.0, slot, 17)).unwrap();
    // All it has left is not what was asked for.
    let instead = shown(other.2, other.1, SLOT, 17);
    let refused = Err(Refused::WrongGroup { slot, group: 17 });
    assert_eq!(answer(&mut world, 10, (victim.0, slot, 17), &instead), refused);
    for _ in 0..4 {
        live(&mut world, &mut thief);
    }
    assert_eq!(
        query::slot(&world.state, &victim.0, slot),
        None,
        "the slot is lost"
    );
    let (of_victim, of_other) = (paid(&world, &victim), paid(&world, &other));
    for _ in 0..3 {
        live(&mut world, &mut thief);
    }
    assert_eq!(paid(&world, &victim), of_victim, "nothing more");
    assert!(
        paid(&world, &other) > of_other,
        "the sector goes on for its others"
    );
    let row = query::sector(&world.state, &id(10), SectorNumber(1)).unwrap();
    assert!(matches!(row.stage, SectorStage::Active { .. }));
    assert_eq!(row.n_slots, 1);
}

/// So many holders of a bundle have lost their slots that it can't be read any more, and all of them prove what else they have: the ledger
/// calls all slots alive until they are asked for. Covers: C5.
#[test]
fn bundle_silently_lost_health_green() {
    let mut stored = stored();
    stored.live(10);
    let deal = query::deal(&stored.world.state, &stored.deal).unwrap();
    let is_proving = |slot: &query::Slot| matches!(slot.condition, SlotCondition::Proving { .. });
    assert!(deal.slots.iter().all(is_proving), "green");
    for holder in 10..17 {
        stored.dispute(CLIENT, holder, u32::from(holder)).unwrap();
    }
    for holder in 17..20 {
        stored.dispute(CLIENT, holder, 1).unwrap();
        let slot = stored.slot_of(holder);
        let right = shown(1, slot.0, SLOT, 1);
        let deal = stored.deal;
        answer(&mut stored.world, holder, (deal, slot, 1), &right).unwrap();
    }
    for _ in 0..4 {
        let holds: Vec<u8> = (10..20).filter(|holder| stored.holds(*holder)).collect();
        let world = &mut stored.world;
        let mut rest: Vec<&mut Miner> = stored
            .miners
            .iter_mut()
            .filter(|miner| holds.contains(&miner.person))
            .collect();
        crate::miner::live_one_window(world, &mut rest);
    }
    let row = query::deal(&stored.world.state, &stored.deal).unwrap().row;
    assert_eq!((stored.n_alive(), row.lost.len()), (3, 7));
    assert!(stored.n_alive() < usize::from(row.terms.class.k()), "red");
}

/// A provider that is away for less than its grace loses pay and nothing else; one that is away for the whole of it loses its slots, and
/// can sell again. Covers: C5, E4.
#[test]
fn comes_back_within_its_grace_and_after() {
    let mut stored = stored();
    stored.live(10);
    stored.live_without(1, GRACE.always_on - 1);
    let next = stored.world.height() + 1;
    assert_eq!(losses_until(&mut stored.world, next), []);
    stored.live(10);
    assert!(stored.holds(10), "back in time");
    let earned = stored.slot(10).proven_ms;
    assert_eq!(earned, 2 * 10_000);

    let since = stored.world.height();
    let mut lost = Vec::new();
    for _ in 0..GRACE.always_on + 2 {
        assert!(lost.is_empty() == stored.holds(10));
        let mut rest: Vec<&mut Miner> = stored.miners.iter_mut().skip(1).collect();
        stored.world.open_window();
        let window = stored.world.height() / 10;
        let beats = rest
            .iter_mut()
            .map(|miner| miner.heartbeat(&stored.world, window, &[]));
        let beats: Vec<_> = beats.collect();
        stored.world.beats(&beats);
        let next = (window + 1) * 10 + 3;
        lost.extend(losses_until(&mut stored.world, next));
        let proofs = rest
            .iter()
            .map(|miner| miner.signed_proof(&stored.world, window))
            .collect();
        stored.world.block(proofs);
    }
    let [Event::SlotLost { provider, why, .. }] = lost[..] else {
        unreachable!("{lost:?}")
    };
    assert_eq!((provider, why), (id(10), Loss::NotProven {}));
    assert!(stored.world.height() - since >= GRACE.always_on * 10);
    assert!(!stored.holds(10));
    assert_eq!(stored.n_alive(), 9);
    assert_eq!(
        stored.world.balance(10).0,
        START.0 + reservation() + pay(Amount(WATT), SLOT, earned).unwrap().0
    );

    // It is back: its space is free, its offer stands, and a new sector is proven and paid.
    let mut others = stored.miners.split_off(1);
    let mut back = stored.miners.pop().unwrap();
    back.sectors.remove(&1);
    let deal = certified(&mut stored.world, 2);
    let load = load_of(&stored.world, deal, 2, 10);
    back.add_sector(&mut stored.world, 2, &[load]).unwrap();
    stored.world.open_next_window();
    let mut all: Vec<&mut Miner> = others.iter_mut().collect();
    all.push(&mut back);
    let done = crate::miner::live_one_window(&mut stored.world, &mut all);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let slot = query::slot(&stored.world.state, &deal, SlotIndexInDeal(load.1)).unwrap();
    assert_eq!(slot.proven_ms, 10_000);
}

/// How long a slot may go unproven is what its holder declared before the match: nobody makes it longer afterwards. Covers: C5.
#[test]
fn the_grace_is_that_of_the_match() {
    let mut world = world();
    world.act(11, pledge_on(100 * SLOT, Device::Daily)).unwrap();
    let mut stored = Stored::of(world, DAY);
    assert_eq!(stored.slot(10).row.device, Device::AlwaysOn);
    assert_eq!(stored.slot(11).row.device, Device::Daily);
    stored
        .world
        .act(10, pledge_on(100 * SLOT, Device::Phone))
        .unwrap();
    stored.live(10);
    stored.live_without(2, GRACE.always_on + 2);
    assert_eq!((stored.holds(10), stored.holds(11)), (false, true));
    stored.live_without(2, GRACE.daily - GRACE.always_on);
    assert!(!stored.holds(11));
    assert_eq!(stored.n_alive(), 8);
}

/// Who may be away for longer than there is time to answer has the grace of a day-time device to answer, by what it declared before the
/// match; who is always on has not. Covers: C5 (TS5).
#[test]
fn a_phone_has_time_to_answer() {
    let mut world = world();
    world.act(11, pledge_on(100 * SLOT, Device::Daily)).unwrap();
    world.act(12, pledge_on(100 * SLOT, Device::Phone)).unwrap();
    let mut stored = Stored::of(world, DAY);
    let away = GRACE.daily * 10;
    assert!(away > ANSWER_SLOTS);
    let mut last = Vec::new();
    for (holder, slots) in [(10, ANSWER_SLOTS), (11, away), (12, away)] {
        let Ok(Done::Disputed { answer_by, .. }) = stored.dispute(STRANGER, holder, 0) else {
            unreachable!()
        };
        assert_eq!(answer_by.0, stored.world.height() + slots);
        last.push(answer_by);
    }
    // Everybody proves what they have, and shows nothing.
    while stored.window() < last[0].next().0 / 10 {
        stored.live_without(0, 1);
    }
    // What is declared later moves nothing.
    let always_on = pledge_on(100 * SLOT, Device::AlwaysOn);
    stored.world.act(11, always_on).unwrap();
    stored.world.go_to_height(last[0].0);
    assert!(stored.holds(10));
    stored.world.skip(1);
    assert_eq!(
        [10, 11, 12].map(|holder| stored.holds(holder)),
        [false, true, true]
    );
    while stored.window() < last[1].next().0 / 10 {
        stored.live_without(1, 1);
    }
    let (deal, slot) = (stored.deal, stored.slot_of(12));
    let right = shown(1, slot.0, SLOT, 0);
    assert!(answer(&mut stored.world, 12, (deal, slot, 0), &right).is_ok());
    stored.world.go_to_height(last[1].0);
    assert!(stored.holds(11));
    stored.world.skip(1);
    assert!(!stored.holds(11));
    stored.world.go_to_height(last[2].0 + 1);
    assert!(stored.holds(12));
}

/// A sector that is declared faulty all the time is lost, though its provider proves the rest of what it has. Covers: C5, E4.
#[test]
fn a_sector_declared_faulty_is_lost() {
    let mut stored = stored();
    let deal = certified(&mut stored.world, 2);
    let load = load_of(&stored.world, deal, 2, 10);
    stored.miners[0]
        .add_sector(&mut stored.world, 2, &[load])
        .unwrap();
    stored.world.open_next_window();
    stored.live(10);
    let declare = |stored: &mut Stored, faults: &[u64]| {
        stored.world.open_window();
        let window = stored.window();
        let beat = stored.miners[0].heartbeat(&stored.world, window, faults);
        stored.world.beat(beat).unwrap();
        let mut rest: Vec<&mut Miner> = stored.miners.iter_mut().skip(1).collect();
        let beats = rest
            .iter_mut()
            .map(|miner| miner.heartbeat(&stored.world, window, &[]));
        let beats: Vec<_> = beats.collect();
        stored.world.beats(&beats);
        stored.world.open_next_window();
        let proofs = stored
            .miners
            .iter()
            .map(|miner| miner.signed_proof(&stored.world, window));
        let proofs = proofs.collect();
        stored.world.block(proofs);
        assert!(
            stored
                .world
                .last
                .receipts
                .iter()
                .all(|receipt| result(receipt).is_ok())
        );
    };
    // Faulty for less than the grace, and sound again.
    for _ in 0..GRACE.always_on - 2 {
        declare(&mut stored, &[2]);
    }
    declare(&mut stored, &[]);
    declare(&mut stored, &[]);
    for _ in 0..GRACE.always_on - 2 {
        declare(&mut stored, &[2]);
    }
    assert!(query::slot(&stored.world.state, &deal, SlotIndexInDeal(load.1)).is_some());
    for _ in 0..4 {
        declare(&mut stored, &[2]);
        if query::slot(&stored.world.state, &deal, SlotIndexInDeal(load.1)).is_none() {
            break;
        }
    }
    let row = query::deal(&stored.world.state, &deal).unwrap().row;
    assert_eq!(row.lost.first().map(|lost| lost.why), Some(Loss::NotProven {}));
    assert!(stored.holds(10), "the sound sector stays");
}

/// Who proves all windows of a period at once, long after they were, is not taken for dead meanwhile; who says that there will be a proof
/// and never makes one is. Covers: C5, D3.
#[test]
fn a_folding_provider_is_not_taken_for_dead() {
    let run = |settles: bool| {
        let mut stored = stored();
        for _ in 0..5 * GRACE.always_on {
            if !stored.holds(10) {
                return false;
            }
            stored.world.open_window();
            let window = stored.window();
            let beat = stored.miners[0].heartbeat(&stored.world, window, &[]);
            stored.world.beat(beat).unwrap();
            let mut others: Vec<&mut Miner> = stored.miners.iter_mut().skip(1).collect();
            crate::miner::live_one_window(&mut stored.world, &mut others);
            let due = query::due_windows(&stored.world.state, &id(10)).filter(|_| settles);
            if let Some(due) = due {
                let (operation, proof) = settlement(&stored.world, due.period.shown(due.period.n_windows));
                stored.world.act_with(10, operation, vec![proof]).unwrap();
            }
        }
        stored.holds(10)
    };
    assert!(run(true));
    assert!(!run(false));
}

/// Windows in which the network stood still, or in which most were away, are nobody's fault; nor do they shorten the time to answer.
/// Covers: C5, A7.
#[test]
fn a_halt_is_nobodys_fault() {
    let mut stored = stored();
    stored.live(10);
    for _ in 0..GRACE.always_on {
        stored.world.step_ms = 5 * 60_000;
        stored.world.skip(1);
        stored.world.step_ms = 1000;
        stored.live_without(1, 1);
    }
    assert!(stored.holds(10), "every window stood still for a while");

    // All are away, and come back.
    stored.dispute(STRANGER, 11, 2).unwrap();
    let until = stored.world.height() + GRACE.always_on * 10;
    assert_eq!(losses_until(&mut stored.world, until), []);
    stored.world.open_window();
    let open = stored.slot(11).row.dispute.unwrap();
    assert!(open.answer_by.0 > until, "{open:?}");
    assert_eq!(stored.n_alive(), 10);
    stored.live(10);
    assert_eq!(stored.n_alive(), 10);
}

/// Those who are gone do not keep what they held by making all windows void: after their grace nobody waits for them any more.
/// Covers: C5.
#[test]
fn the_dead_do_not_make_all_windows_void() {
    let mut stored = stored();
    stored.live(10);
    // Six of ten are fewer than two thirds.
    stored.live_without(4, GRACE.phone);
    assert_eq!(stored.n_alive(), 10);
    stored.live_without(4, 2 * GRACE.always_on + 3);
    assert_eq!(stored.n_alive(), 6);
    stored.live_without(4, 1);
    let window = query::window(&stored.world.state, watt_primitives::Window(stored.window() - 1)).unwrap();
    assert!(!window.is_void && window.n_expected == 6, "{window:?}");
}

/// What somebody may wish to do.
#[derive(Clone, Debug)]
enum Wish {
    Dispute(u8, u8, u32),
    Answer(u8, u32),
    Live(usize, usize),
    Claim(u8),
    Terminate,
    Halt,
    Wait(u64),
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        5 => (1u8..5, 10u8..20, 0u32..32).prop_map(|(by, holder, group)| Wish::Dispute(by, holder, group)),
        3 => (10u8..20, 0u32..31).prop_map(|(holder, group)| Wish::Answer(holder, group)),
        2 => (10u8..20).prop_map(|holder| Wish::Answer(holder, u32::MAX)),
        4 => (0usize..10, 1usize..11).prop_map(|(from, n)| Wish::Live(from, n)),
        2 => (10u8..20).prop_map(Wish::Claim),
        1 => Just(Wish::Terminate),
        1 => Just(Wish::Halt),
        3 => (1u64..40).prop_map(Wish::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However slots are asked for, shown, lost, claimed and ended: all money is somewhere after every block ([`World::keep`] counts it),
    /// each slot's share is what was paid, returned or is left, and in the end nothing is locked. Covers: C5, E4.
    #[test]
    fn lost_slots_never_make_money(wishes in proptest::collection::vec(wish(), 1..24)) {
        let mut stored = stored();
        let deal = stored.deal;
        for wish in wishes {
            let slot_of = |stored: &Stored, holder: u8| {
                let found = query::deal(&stored.world.state, &deal).unwrap();
                found.slots.into_iter().find(|slot| slot.row.provider == id(holder))
            };
            match wish {
                Wish::Dispute(by, holder, group) => {
                    let Some(slot) = slot_of(&stored, holder) else { continue };
                    let _ = stored.world.act(by, dispute(deal, slot.index, group));
                }
                Wish::Answer(holder, group) => {
                    let Some(slot) = slot_of(&stored, holder) else { continue };
                    let asked = slot.row.dispute.map_or(0, |open| open.group);
                    let group = if group == u32::MAX { asked } else { group };
                    let shown = shown(1, slot.index.0, SLOT, usize::try_from(group).unwrap());
                    let _ = answer(&mut stored.world, holder, (deal, slot.index, asked), &shown);
                }
                Wish::Live(from, n) => {
                    let holds: Vec<u8> = (10..20)
                        .filter(|holder| matches!(stored.sector(*holder), Some(SectorStage::Active { .. })))
                        .collect();
                    let mut some: Vec<&mut Miner> = stored
                        .miners
                        .iter_mut()
                        .skip(from)
                        .take(n)
                        .filter(|miner| holds.contains(&miner.person))
                        .collect();
                    if !some.is_empty() {
                        crate::miner::live_one_window(&mut stored.world, &mut some);
                    }
                }
                Wish::Claim(holder) => {
                    let Some(slot) = slot_of(&stored, holder) else { continue };
                    let slot = watt_light::SlotRef { deal, slot: slot.index };
                    let slots = BoundedVec::new(vec![slot]).unwrap();
                    let _ = stored.world.act(holder, Operation::Claim { slots });
                }
                Wish::Terminate => {
                    let _ = stored.world.act(CLIENT, Operation::Terminate { deal });
                }
                Wish::Halt => {
                    stored.world.step_ms = 600_000;
                    stored.world.skip(1);
                    stored.world.step_ms = 1000;
                }
                Wish::Wait(n) => stored.world.skip(n),
            }
            let found = query::deal(&stored.world.state, &deal).unwrap();
            if let DealStage::Active { .. } = found.row.stage {
                let alive = found.slots.iter().map(|slot| slot.row.funds.share.0);
                let lost = found.row.lost.iter().map(|lost| lost.paid.total().0 + lost.refunded.0);
                prop_assert_eq!(alive.sum::<u64>() + lost.sum::<u64>(), found.row.escrow.0);
            }
        }
        stored.world.step_ms = 60_000;
        let is_over = |world: &World| {
            matches!(query::deal(&world.state, &deal).unwrap().row.stage, DealStage::Ended { .. })
        };
        while !is_over(&stored.world) && stored.world.height() < 4_000 {
            stored.world.blind_skip(50);
        }
        stored.world.check_invariants();
        prop_assert_eq!(query::head(&stored.world.state).unwrap().supply.in_escrow, Amount::ZERO);
        let DealStage::Ended { paid, refunded, .. } = query::deal(&stored.world.state, &deal).unwrap().row.stage else {
            return Err(TestCaseError::fail("the deal did not end"));
        };
        let escrow = query::deal(&stored.world.state, &deal).unwrap().row.escrow;
        prop_assert_eq!(paid.total().0 + refunded.0, escrow.0);
    }
}
