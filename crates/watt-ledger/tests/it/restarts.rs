//! People begin again: what makes a plan one to follow, and what it does to the ledger (`docs/spec/ledger.md` §17).

use crate::world::{World, genesis, id, key, transfer};
use watt_ledger::restart::{self, RefusedRestart};
use watt_ledger::rows::{self, FaultyRow};
use watt_ledger::{Beacon, Genesis, InvalidBlock, Writes, query};
use watt_light::restart::Assent;
use watt_light::{Backbone, BackboneEntry, Restart, RestartPlan};
use watt_primitives::{
    AccountId, BlockHeight, BoundedVec, NodeId, SecretKey, Signature, SlotIndex, Term, Window, codec,
};

/// All in whom trust begins, and who is to vote with a new key.
const ALL: [u8; 5] = [0, 1, 2, 42, 43];

/// The voting key of a seat of the genesis, and one that was never seen before.
fn voter(n: u8) -> SecretKey {
    key(200 + n)
}

fn new_key(n: u8) -> SecretKey {
    key(100 + n)
}

/// Terms of 16 slots: the fewest.
fn short() -> Genesis {
    let mut document = genesis("restart");
    (document.parameters.window_slots, document.parameters.term_windows) = (8, 2);
    document
}

fn plan(world: &World, seats: &[(u8, SecretKey)]) -> RestartPlan {
    let seats = seats.iter().map(|(n, key)| (id(40 + *n), key.node_id()));
    restart::draft(&world.state, seats.collect(), "two disks are lost").unwrap()
}

fn signed(plan: RestartPlan, voters: &[SecretKey], people: &[u8]) -> Restart {
    let sign = |entry: &BackboneEntry| -> Option<Signature> {
        let mut voters = voters.iter();
        let key = voters.find(|key| key.node_id() == entry.key)?;
        Some(plan.sign(key))
    };
    let of_voters: Vec<Signature> = plan.backbone.entries().iter().filter_map(sign).collect();
    let assent = |n: &u8| Assent {
        account: id(*n),
        key_index: 0,
        key: key(*n).public(),
        signature: plan.sign(&key(*n)),
    };
    let mut people: Vec<Assent> = people.iter().map(assent).collect();
    people.sort_unstable_by_key(|assent| assent.account);
    Restart {
        voters: BoundedVec::new(of_voters).unwrap(),
        people: BoundedVec::new(people).unwrap(),
        plan,
    }
}

/// Two of the old voters, and two people whose disks are gone with new keys; all agree, and so do all in whom trust begins.
fn good(world: &World) -> Restart {
    let keys = [voter(0), voter(1), new_key(2), new_key(3)];
    let seats = [
        (0, keys[0].clone()),
        (1, keys[1].clone()),
        (2, keys[2].clone()),
        (3, keys[3].clone()),
    ];
    signed(plan(world, &seats), &keys, &ALL)
}

fn follow(world: &mut World, restart: &Restart) {
    world.state.write(&restart::follow(restart));
    world.network = restart.plan.network_after();
}

/// A plan is followed only if it begins with the newest block, everybody who votes by it agrees, and two thirds of those who are asked;
/// and nobody votes against whom there is evidence.
///
/// Covers: A1.
#[test]
fn a_plan_takes_who_is_asked() {
    let mut world = World::of(&short());
    world.skip(20);
    let judge = |restart: &Restart| restart::judge(&world.state, restart);
    let good = good(&world);
    assert_eq!(judge(&good), Ok(()));
    assert_eq!(restart::asked(&world.state).len(), 3);

    // One of three in whom trust begins is too few, and one who takes a seat with a new key did not agree.
    let keys = [voter(0), voter(1), new_key(2), new_key(3)];
    let enough = signed(good.plan.clone(), &keys, &[1, 2, 42, 43]);
    assert_eq!(judge(&enough), Ok(()), "two of three");
    let few = signed(good.plan.clone(), &keys, &[2, 42, 43]);
    let (found, asked, needed) = (1, 3, 2);
    assert_eq!(judge(&few), Err(RefusedRestart::TooFew { found, asked, needed }));
    let absent = signed(good.plan.clone(), &keys, &[0, 1, 2, 42]);
    let account = id(43);
    assert_eq!(judge(&absent), Err(RefusedRestart::NoConsent { account }));

    // Not by all voters; by a key that is not the account's; changed after it was signed.
    let unsigned = signed(good.plan.clone(), &keys[..3], &ALL);
    assert_eq!(judge(&unsigned), Err(RefusedRestart::Signers));
    let mut foreign = good.people.to_vec();
    foreign[0].key = key(9).public();
    let foreign = Restart {
        people: BoundedVec::new(foreign).unwrap(),
        ..good.clone()
    };
    assert_eq!(judge(&foreign), Err(RefusedRestart::Signers));
    let mut forged = good.clone();
    forged.plan.reason = Default::default();
    assert_eq!(judge(&forged), Err(RefusedRestart::Signature));

    // Of a network that elects, no other number of seats.
    let three = plan(&world, &[(0, voter(0)), (1, voter(1)), (2, voter(2))]);
    let three = signed(three, &keys, &[0, 1, 2]);
    assert_eq!(judge(&three), Err(RefusedRestart::Size { found: 3 }));
    // A key that is another's.
    let stolen = plan(&world, &[(0, voter(1))]);
    let account = id(40);
    assert_eq!(
        judge(&signed(stolen, &[voter(1)], &[0, 1, 2, 40])),
        Err(RefusedRestart::Seat { account })
    );
    // A backbone out of order is none.
    let mut entries = good.plan.backbone.entries().to_vec();
    entries.swap(0, 1);
    let bytes = codec::encode(&entries);
    let backbone: Backbone = codec::decode_own(&bytes).unwrap();
    let shuffled = RestartPlan {
        backbone,
        ..good.plan.clone()
    };
    assert_eq!(
        judge(&signed(shuffled, &keys, &ALL)),
        Err(RefusedRestart::Signers)
    );

    let other = RestartPlan {
        restart_no: 2,
        ..good.plan.clone()
    };
    assert_eq!(
        judge(&signed(other, &keys, &ALL)),
        Err(RefusedRestart::OtherNetwork { next: 1 })
    );
}

/// A plan below the newest block is refused, and one beside it is not for this node. One above it is judged by its signatures, and by the
/// rest before the first block that it makes.
#[test]
fn a_plan_begins_with_the_newest_block() {
    let mut world = World::of(&short());
    world.skip(5);
    let behind = world.clone();
    world.skip(1);
    let (height, base) = (BlockHeight(6), BlockHeight(5));
    assert_eq!(
        restart::judge(&world.state, &good(&behind)),
        Err(RefusedRestart::LaterBlock { height, base })
    );
    let (ahead, mut late) = (good(&world), behind.clone());
    assert_eq!(restart::judge(&late.state, &ahead), Ok(()));
    let mut forged = ahead.clone();
    forged.plan.reason = Default::default();
    let judged = restart::judge(&late.state, &forged);
    assert_eq!(judged, Err(RefusedRestart::Signature));
    let keys = [voter(0), voter(1), new_key(2), new_key(3)];
    let few = signed(ahead.plan.clone(), &keys, &[2, 42, 43]);
    assert_eq!(
        restart::judge(&late.state, &few),
        Ok(()),
        "who is asked the base says"
    );
    late.state.write(&restart::follow(&few));
    late.skip(1);
    late.network = few.plan.network_after();
    let block = late.check(late.proposal(&[]), Vec::new()).unwrap();
    let (found, asked, needed) = (1, 3, 2);
    assert_eq!(
        watt_ledger::apply_block(&late.state, &block).unwrap_err(),
        InvalidBlock::Restart(RefusedRestart::TooFew { found, asked, needed })
    );
    // People who began in vain begin with the same block again.
    assert_eq!(restart::judge(&late.state, &ahead), Ok(()));
    late.state.write(&restart::follow(&ahead));
    late.network = ahead.plan.network_after();
    late.skip(1);
    let base = BlockHeight(6);
    let mut beside = behind;
    beside.step_ms = 1_001;
    beside.skip(1);
    assert_eq!(
        restart::judge(&beside.state, &good(&world)),
        Err(RefusedRestart::OtherBase { base })
    );
}

/// Whoever contradicted themselves votes in no plan, and is not asked.
#[test]
fn the_faulty_vote_in_no_plan() {
    let mut world = World::of(&short());
    world.skip(3);
    let faulty = FaultyRow {
        since: Term(0),
        slot: SlotIndex(2),
    };
    let writes = Writes::from([(rows::faulty(&id(41)), Some(codec::encode(&faulty)))]);
    world.state.write(&writes);
    let account = id(41);
    assert_eq!(
        restart::judge(&world.state, &good(&world)),
        Err(RefusedRestart::Faulty { account })
    );
    let writes = Writes::from([(rows::faulty(&id(1)), Some(codec::encode(&faulty)))]);
    world.state.write(&writes);
    assert_eq!(restart::asked(&world.state).len(), 2);
}

/// After a restart the ledger is what it was, others vote, and nothing that was signed before counts; what is drawn and named by hashes
/// stays, so that replicas and deals do.
///
/// Covers: A1.
#[test]
fn the_ledger_goes_on_as_another_network() {
    let mut world = World::of(&short());
    world.skip(20);
    let (before, restart) = (world.clone(), good(&world));
    let beacon_of = |world: &World| {
        let beacon = Beacon::read_window(&world.state, &world.network, Window(1)).unwrap();
        *beacon.value()
    };
    let beacon = beacon_of(&world);
    let old = world.sign(5, vec![transfer(6, 1)]);
    follow(&mut world, &restart);

    // The old network's block does not follow any more, nor does its transaction count in a new one.
    let block = before.check(before.proposal(&[]), Vec::new()).unwrap();
    let applied = watt_ledger::apply_block(&world.state, &block);
    assert_eq!(applied.unwrap_err(), InvalidBlock::OtherNetwork);
    assert!(
        world
            .check(world.proposal(std::slice::from_ref(&old)), vec![old])
            .is_err()
    );

    world.skip(1);
    let rules = query::rules(&world.state).unwrap();
    assert_eq!(rules.network, restart.plan.network_after());
    assert_ne!(rules.network, before.network);
    assert_eq!(world.last.header.network, rules.network);
    assert_eq!(
        query::backbone_of_term(&world.state, Term(1)).as_ref(),
        Some(&restart.plan.backbone)
    );
    assert_eq!(beacon_of(&world), beacon);
    assert!(
        restart::after(&world.state, BlockHeight(20)).is_none(),
        "done once"
    );
    let paid = world.sign(5, vec![transfer(6, 1)]);
    world.block(vec![paid]);
    // Terms go on, with the people of the plan.
    world.skip(40);
    let people = |term| -> Vec<AccountId> {
        let backbone = query::backbone_of_term(&world.state, Term(term)).unwrap();
        backbone.entries().iter().map(|entry| entry.account).collect()
    };
    let all: Vec<AccountId> = restart
        .plan
        .backbone
        .entries()
        .iter()
        .map(|entry| entry.account)
        .collect();
    assert_eq!(people(3), all);
    // A second one is number two, and another network again.
    let again = good(&world);
    assert_eq!(
        (again.plan.restart_no, restart::judge(&world.state, &again)),
        (2, Ok(()))
    );
    assert_ne!(again.plan.network_after(), world.network);
}

/// Wherever in a term it begins, the next one's voters are those of the plan, unless the ledger settles them after it; a backbone of one
/// is enough.
#[test]
fn a_restart_may_begin_anywhere_in_a_term() {
    for height in 16..33 {
        let mut world = World::of(&short());
        world.skip(height);
        let restart = signed(plan(&world, &[(0, new_key(0))]), &[new_key(0)], &[0, 1, 2, 40]);
        assert_eq!(restart::judge(&world.state, &restart), Ok(()), "{height}");
        follow(&mut world, &restart);
        world.skip(1);
        let term = (height + 1) / 16;
        let key_in = |world: &World, term| -> Vec<NodeId> {
            let backbone = query::backbone_of_term(&world.state, Term(term));
            let entries = backbone.iter().flat_map(|backbone| backbone.entries().to_vec());
            entries.map(|entry| entry.key).collect()
        };
        assert_eq!(key_in(&world, term), [new_key(0).node_id()], "{height}");
        world.skip(17);
        assert_eq!(key_in(&world, term + 1), [new_key(0).node_id()], "{height}");
    }
}
