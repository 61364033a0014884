//! Attacks on proofs of storage that the ledger alone can refuse, each with its own reason. Those on the proofs themselves are in
//! `watt-proofs`, those that take a whole network are scenarios of the simulator.

use crate::miner::{Disk, Miner, asked};
use crate::sectors::{certified, load_of, ten_providers};
use crate::windows::Stored;
use crate::world::{World, id, ignored, provide, result};
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::genesis::TERM_WINDOWS_MAIN;
use watt_ledger::rows::{self, SectorRow, SectorStage};
use watt_ledger::{InvalidBlock, Refused, Writes, query};
use watt_light::Operation;
use watt_light::transaction::witness_hash;
use watt_primitives::{Hash, SectorNumber, SlotIndexInDeal, Window, codec};
use watt_proofs::post::{Answers, open, respond};
use watt_proofs::window::Window as Answered;
use watt_proofs::{Element, ReplicaTree, SetTree, Shape};

/// The same pre-commitment with the replica root of another.
fn with_root_of(mut operation: Operation, other: &Operation) -> Operation {
    if let (Operation::PreCommit { comm_r, .. }, Operation::PreCommit { comm_r: stolen, .. }) =
        (&mut operation, other)
    {
        *comm_r = *stolen;
    }
    operation
}

/// Two providers claim one replica: once a sector is accepted with its root every other is refused, with whatever piece table.
/// Covers: D2.
#[test]
fn post_same_comm_r_two_providers() {
    let mut world = ten_providers();
    let deal = certified(&mut world, 1);
    let mut owner = Miner::new(10);
    let first = owner.seal(&world, 1, &[load_of(&world, deal, 1, 10)]);
    world.act(10, first.clone()).unwrap();
    world.open_next_window();
    let (operation, openings) = owner.commit(&world, 1);
    world.act_with(10, operation, vec![openings]).unwrap();
    let mut thief = Miner::new(11);
    for load in [vec![], vec![load_of(&world, deal, 1, 11)]] {
        let stolen = with_root_of(thief.seal(&world, 1, &load), &first);
        assert_eq!(world.act(11, stolen), Err(Refused::ReplicaUsed));
    }
}

/// A replica's root can be read in a pool. Whoever has it on the ledger first, in a sector that costs nothing, opens nothing with it, and
/// keeps its owner from nothing. Covers: D1, D2.
#[test]
fn a_stolen_comm_r_keeps_nobody_out() {
    let mut world = ten_providers();
    let deal = certified(&mut world, 1);
    let (mut owner, mut thief) = (Miner::new(10), Miner::new(11));
    let own = owner.seal(&world, 1, &[load_of(&world, deal, 1, 10)]);
    let stolen = with_root_of(thief.seal(&world, 1, &[]), &own);
    let both = vec![world.sign(11, vec![stolen]), world.sign(10, vec![own])];
    world.block(both);
    assert!(world.last.receipts.iter().all(|receipt| result(receipt).is_ok()));
    world.open_next_window();
    // What the owner opens is public once it is on its way.
    let (_, openings) = owner.commit(&world, 1);
    let theft = Operation::CommitSectors {
        batch: SectorNumber(1),
        openings: witness_hash(&world.network, &openings),
    };
    let batch = SectorNumber(1);
    let refused = world.act_with(11, theft.clone(), vec![openings.clone()]);
    assert_eq!(refused, Err(Refused::Porep { batch }));
    assert!(world.act_with(10, theft, vec![openings]).is_ok());
}

/// Even what two committees believe is one replica: the second of two sectors with one root is refused, in the same batch, too.
/// Covers: D1, D2.
#[test]
fn one_replica_is_accepted_once() {
    let mut world = crate::committees::world();
    let first = Miner::new(10).seal(&world, 1, &[]);
    let mut other = Miner::new(11);
    let of_other = [1, 2].map(|number| with_root_of(other.seal(&world, number, &[]), &first));
    world.act(10, first).unwrap();
    for operation in of_other {
        world.act(11, operation).unwrap();
    }
    world.open_next_window();
    let mut commit = |person| {
        let (operation, witness) = crate::audits::believed(&world, person, 1, Hash::ZERO);
        world.act_with(person, operation, vec![witness])
    };
    assert_eq!(commit(11), Err(Refused::ReplicaUsed), "two of one batch");
    assert!(commit(10).is_ok());
    assert_eq!(commit(11), Err(Refused::ReplicaUsed));
    let row = query::provider(&world.state, &id(11)).unwrap().row;
    assert_eq!(row.n_active, 0);
}

/// One sector claimed many times: under another number it is refused, and answers for a set of one's own making, in which others
/// stand beside it, do not verify: the set is the ledger's. Covers: D2, D3.
#[test]
fn post_duplicate_sectors_in_c() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let first = query::sector(&world.state, &id(10), SectorNumber(1)).unwrap();
    let mut again = Miner::new(10).seal(world, 2, &[]);
    if let Operation::PreCommit { comm_r, .. } = &mut again {
        *comm_r = Hash(first.comm_r.to_bytes());
    }
    assert_eq!(world.act(10, again), Err(Refused::ReplicaUsed));

    // A set in which the sector stands beside one with a root of somebody else's, all answered from the same disk.
    let other = query::sector(&world.state, &id(11), SectorNumber(1)).unwrap();
    let many = vec![first.comm_r, other.comm_r];
    assert!(!passes_with(&stored, many), "the set is the ledger's");
    assert!(passes_with(&stored, vec![first.comm_r]));
    // By repetition the own sector stands everywhere anyway.
    assert!(passes_with(&stored, vec![first.comm_r; 64]));
}

/// A tree that is filled up with zeros behind the one sector, so that most samples would fall on nothing, is not the ledger's.
/// Covers: D2.
#[test]
fn post_single_sector_nonzero_padding() {
    let stored = Stored::new();
    let own = query::sector(&stored.world.state, &id(10), SectorNumber(1)).unwrap();
    for n_zeros in [1, 7, 63] {
        let padded = [vec![own.comm_r], vec![Element::default(); n_zeros]].concat();
        assert!(!passes_with(&stored, padded));
    }
}

/// Whether person 10 passes the window with answers over a set of these roots, which it answers and opens from its one sector.
fn passes_with(stored: &Stored, roots: Vec<Element>) -> bool {
    let (mut world, shape) = (stored.world.clone(), Shape::SMALL);
    let window = Window(world.height() / 10);
    let view = query::provider_window(&world.state, &id(10), window).unwrap();
    let set = SetTree::build(shape, roots).unwrap();
    let sealed = &stored.miners[0].sectors[&1].0;
    let n_leaves = u32::try_from(sealed.replica.len() / 248).unwrap();
    let block = |place: u32| {
        let range = ReplicaTree::block_range(place % n_leaves);
        let (from, to) = (usize::try_from(range.start), usize::try_from(range.end));
        &sealed.replica[from.unwrap()..to.unwrap()]
    };
    let answers = Answers::compute(shape, view.state, &set, view.beacon, |_, place| {
        sealed.replica_tree.leaf(place, block(place))
    });
    let heartbeat = world.sign_beat(10, window, Hash(answers.root().to_bytes()), &[]);
    assert!(world.beat(heartbeat).is_ok(), "a root says nothing yet");
    world.open_next_window();
    let next = query::provider_window(&world.state, &id(10), window)
        .unwrap()
        .next_beacon;
    let step = answers.step(next.unwrap(), &set, |_, place| {
        sealed.replica_tree.open_place(place, block(place))
    });
    assert!(step.is_good);
    let openings = step.to_openings(shape, view.state);
    let prove = Operation::ProveWindow {
        window,
        openings: witness_hash(&world.network, &openings),
    };
    match world.act_with(10, prove, vec![openings]) {
        Ok(_) => true,
        Err(why) => {
            assert_eq!(why, Refused::WindowProof { window });
            false
        }
    }
}

/// Many heartbeats for one window, so that the sample, which depends on the root, falls well for one of them: the first in the order
/// of blocks counts, all others do nothing, before the sample and after it, and no block holds two. Covers: D3.
#[test]
fn heartbeat_variants_grind_sample() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let window = Window(world.height() / 10);
    let first = stored.miners[0].heartbeat(world, window.0, &[]);
    world.beat(first.clone()).unwrap();
    let root = |world: &World| {
        let view = query::provider_window(&world.state, &id(10), window).unwrap();
        view.heartbeat.unwrap().answers
    };
    let recorded = root(world);
    let variant = |world: &World, byte: u8| world.sign_beat(10, window, Hash([byte; 32]), &[]);
    for byte in 1..4 {
        let beat = variant(world, byte);
        assert_eq!(world.beat(beat), Err(Refused::HeartbeatTwice { window }));
    }
    let two = vec![variant(world, 1), variant(world, 2)];
    let refused = world.attempt_with(Vec::new(), two);
    assert_eq!(refused, Err(InvalidBlock::HeartbeatOrder));
    world.open_next_window();
    let late = variant(world, 4);
    let provider = late.provider;
    let refused = world.attempt_with(Vec::new(), vec![late]);
    assert_eq!(refused, Err(InvalidBlock::Heartbeat { provider }));
    assert_eq!(root(world), recorded);
}

/// After the sample is known a provider that can't open it keeps silent: the window counts as missed and is not paid, and what it said in
/// it can't be taken back. That it has failed as well, and what that costs, is in `failures`. Covers: D3, E4.
#[test]
fn heartbeat_selective_amnesia() {
    let mut stored = Stored::new();
    stored.live(10);
    let window = Window(stored.window());
    let heartbeats: Vec<_> = stored
        .miners
        .iter_mut()
        .map(|miner| miner.heartbeat(&stored.world, window.0, &[]))
        .collect();
    assert!(stored.world.beats(&heartbeats).iter().all(Result::is_ok));
    stored.world.open_next_window();
    let proofs = stored.miners[1..]
        .iter()
        .map(|miner| miner.signed_proof(&stored.world, window.0))
        .collect();
    stored.world.block(proofs);
    stored.world.go_to_window_end();
    stored.world.skip(1);
    let missed = |world: &World, n| query::provider(&world.state, &id(n)).unwrap().proofs_missed;
    let waiting = query::waiting_windows(&stored.world.state, &id(10));
    assert_eq!(
        waiting[0].period.first, window,
        "a folded proof might still say that it was bad"
    );
    assert_eq!(missed(&stored.world, 10), 0);
    let mut later = stored.world.clone();
    later.go_to_height(waiting[0].lapses_at.0 * 10);
    assert_eq!((missed(&later, 10), missed(&later, 11)), (1, 0));
    assert_eq!(
        (stored.slot(10).proven_ms, stored.slot(11).proven_ms),
        (10_000, 20_000)
    );

    // Nor does the next window begin where the forgotten one began: the state has moved on by it, proven or not.
    let mut world = stored.world.clone();
    world.go_to_height((window.0 + 2) * 10);
    world.open_window();
    let now = Window(world.height() / 10);
    let view = query::provider_window(&world.state, &id(10), now).unwrap();
    let before = query::provider_window(&world.state, &id(10), window).unwrap();
    let row = before.heartbeat.unwrap();
    let answered = Answered {
        set: row.set,
        beacon: before.beacon,
        answers: row.answers,
        next_beacon: before.next_beacon.unwrap(),
    };
    assert_eq!(view.state, answered.next_state(row.state));
    let mut amnesiac = view.clone();
    amnesiac.state = row.state;
    let mut disk = Disk(&stored.miners[0].sectors);
    let responses = respond(&asked(&amnesiac), &[], &mut disk);
    let heartbeat = world.sign_beat(10, now, Hash(responses.root.to_bytes()), &[]);
    world.beat(heartbeat).unwrap();
    world.open_next_window();
    let next = query::provider_window(&world.state, &id(10), now)
        .unwrap()
        .next_beacon;
    let openings = open(&asked(&amnesiac), &responses, next.unwrap(), &mut disk).unwrap();
    let prove = Operation::ProveWindow {
        window: now,
        openings: witness_hash(&world.network, &openings),
    };
    let refused = world.act_with(10, prove, vec![openings]);
    assert_eq!(refused, Err(Refused::WindowProof { window: now }));
}

/// Answers for a window can't be made before it is open, whenever they are handed in: what it asks for is not known before.
/// Covers: D3.
#[test]
fn heartbeat_before_the_beacon() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let next = Window(world.height() / 10 + 1);
    let early = world.sign_beat(10, next, Hash::ZERO, &[]);
    world.go_to_height(next.0 * 10);
    assert!(query::provider_window(&world.state, &id(10), next).is_none());
    assert_eq!(world.beat(early), Err(Refused::WindowNotOpen { window: next }));
    world.open_window();
    let heartbeat = stored.miners[0].heartbeat(world, next.0, &[]);
    assert_eq!(world.beat(heartbeat), Ok(()));
}

/// Whoever throws sectors away and declares them faulty, all of them, is paid for none of them from that window on, and has nothing to
/// prove from the next one on; and nobody can declare what it doesn't have. Covers: C5, E4.
#[test]
fn declared_faults_hide_nothing() {
    let mut stored = Stored::new();
    let world = &mut stored.world;
    let window = Window(world.height() / 10);
    let unknown = world.sign_beat(10, window, Hash::ZERO, &[1, 2]);
    assert_eq!(world.beat(unknown), Err(Refused::Faults));
    let all = stored.miners[0].heartbeat(world, window.0, &[1]);
    world.beat(all).unwrap();
    let faulty: BTreeSet<_> = query::sectors(&world.state, &id(10))
        .into_iter()
        .filter(|(_, row)| row.last_fault == Some(window))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(faulty, [SectorNumber(1)].into());
    world.open_next_window();
    let proof = stored.miners[0].signed_proof(world, window.0);
    world.block(vec![proof]);
    assert!(result(&world.last.receipts[0]).is_ok());
    let next = window.next();
    let still = stored.miners[0].heartbeat(world, next.0, &[1]);
    world.beat(still).unwrap();
    world.open_next_window();
    let proof = stored.miners[0].signed_proof(world, next.0);
    world.block(vec![proof]);
    let refused = result(&world.last.receipts[0]);
    assert_eq!(refused, Err(Refused::AllFaulty { window: next }));
    assert_eq!(stored.slot(10).proven_ms, 0);
    let provider = query::provider(&stored.world.state, &id(10)).unwrap();
    let n_proven = provider.row.windows_proven + provider.row.void_windows_proven;
    assert_eq!((n_proven, provider.row.proofs_failed), (1, 0));
}

/// A provider of two sectors drops the one of a victim. Who says so loses the window in which it is still asked for, is paid for the
/// other one from the next on, and the victim sees it at once; who does not fails the sample, and is paid for neither.
/// Covers: C5, E4.
#[test]
fn drop_one_victim_slot_full_pay() {
    let mut stored = Stored::new();
    let deal = certified(&mut stored.world, 2);
    let load = load_of(&stored.world, deal, 2, 10);
    stored.miners[0]
        .add_sector(&mut stored.world, 2, &[load])
        .unwrap();
    stored.world.open_next_window();
    let victim = |stored: &Stored| query::slot(&stored.world.state, &deal, SlotIndexInDeal(load.1)).unwrap();

    // Four samples of two sectors: they all miss the dropped one once in sixteen windows.
    let mut is_sampled = false;
    let mut honest = stored.clone();
    for _ in 0..8 {
        honest = stored.clone();
        honest.miners[0].sectors.remove(&2);
        let window = Window(honest.window());
        is_sampled = honest.live(1) == [Err(Refused::WindowProof { window })];
        if is_sampled {
            break;
        }
        stored.live(1);
    }
    assert!(is_sampled);
    let window = Window(stored.window());
    let before = (stored.slot(10).proven_ms, victim(&stored).proven_ms);
    assert!(matches!(
        victim(&honest).condition,
        query::SlotCondition::Faulty { window: at } if at == window
    ));
    assert!(honest.live(1)[0].is_ok(), "the other one is asked for alone");
    assert_eq!(
        (honest.slot(10).proven_ms, victim(&honest).proven_ms),
        (before.0 + 10_000, before.1)
    );

    let world = &mut stored.world;
    let view = query::provider_window(&world.state, &id(10), window).unwrap();
    let responses = respond(&asked(&view), &[], &mut Disk(&stored.miners[0].sectors));
    let heartbeat = world.sign_beat(10, window, Hash(responses.root.to_bytes()), &[]);
    world.beat(heartbeat).unwrap();
    world.open_next_window();
    stored.miners[0].sectors.remove(&2);
    let next = query::provider_window(&world.state, &id(10), window)
        .unwrap()
        .next_beacon;
    let opened = open(
        &asked(&view),
        &responses,
        next.unwrap(),
        &mut Disk(&stored.miners[0].sectors),
    );
    assert!(opened.is_err(), "the sample of this world meets it");
    let made_up = vec![7; 10_000];
    let prove = Operation::ProveWindow {
        window,
        openings: witness_hash(&world.network, &made_up),
    };
    let refused = world.act_with(10, prove, vec![made_up]);
    assert_eq!(refused, Err(Refused::WindowProof { window }));
    assert_eq!((stored.slot(10).proven_ms, victim(&stored).proven_ms), before);
}

/// Openings are good for one provider and one window: another's, though for the same window, and one's own of the window before are
/// refused. Covers: D2, D3.
#[test]
fn openings_of_others_and_of_before_are_refused() {
    let mut stored = Stored::new();
    let first = Window(stored.window());
    let beat = |stored: &mut Stored, n: usize, window: Window| {
        let heartbeat = stored.miners[n].heartbeat(&stored.world, window.0, &[]);
        stored.world.beat(heartbeat).unwrap();
    };
    beat(&mut stored, 0, first);
    beat(&mut stored, 1, first);
    stored.world.open_next_window();
    let (theirs, stolen) = stored.miners[1].proof(&stored.world, first.0);
    let refused = stored.world.act_with(10, theirs, vec![stolen]);
    assert_eq!(refused, Err(Refused::WindowProof { window: first }));
    let (own, openings) = stored.miners[0].proof(&stored.world, first.0);
    assert!(stored.world.act_with(10, own, vec![openings.clone()]).is_ok());

    let second = first.next();
    beat(&mut stored, 0, second);
    stored.world.open_next_window();
    let again = Operation::ProveWindow {
        window: second,
        openings: witness_hash(&stored.world.network, &openings),
    };
    let refused = stored.world.act_with(10, again, vec![openings]);
    assert_eq!(refused, Err(Refused::WindowProof { window: second }));
    let (own, openings) = stored.miners[0].proof(&stored.world, second.0);
    assert!(stored.world.act_with(10, own, vec![openings]).is_ok());
}

/// A root that is no element is the root of no answers. Covers: D3.
#[test]
fn answers_beyond_the_modulus() {
    let mut stored = Stored::new();
    let window = Window(stored.window());
    let heartbeat = stored.world.sign_beat(10, window, Hash([0xff; 32]), &[]);
    assert_eq!(stored.world.beat(heartbeat), Err(Refused::NotARoot));
}

/// Providers of many sectors whose sets have all changed can't make one block build them all: sixteen of the largest are built, the
/// next provider comes in the next block, and a set that has not changed costs nothing. Covers: D3.
#[test]
fn sets_of_sectors_are_bounded_per_block() {
    let mut world = World::new();
    provide(&mut world, 10..28, 1 << 40, 1);
    world.open_next_window();
    let window = Window(world.height() / 10);
    // The smallest number of sectors that takes all 585 hashes; nobody seals that many for a test.
    let mut writes = Writes::new();
    for person in 10..28u8 {
        for number in 1..=513u64 {
            let name = [[person; 8], number.to_be_bytes()].concat();
            let row = SectorRow {
                units: 1,
                comm_d: Hash::ZERO,
                comm_c: Hash::ZERO,
                comm_r: Element::of_hash(&Hash::of_content(&name)),
                seal_seed: Hash::ZERO,
                stage: SectorStage::Active { from: Window(0) },
                n_slots: 1,
                proven_ms_start: None,
                faulty_ms: 0,
                last_fault: None,
                unpaid: None,
            };
            let key = rows::sector(&id(person), SectorNumber(number));
            writes.insert(key, Some(codec::encode(&row)));
        }
    }
    world.state.write(&writes);
    let heartbeats = |world: &World, window| {
        let signed = (10..28).map(|person| world.sign_beat(person, window, Hash::ZERO, &[]));
        signed.collect::<Vec<_>>()
    };
    // What is not said here is not in the tree, so the world is not counted.
    let keep = |world: &mut World, heartbeats| -> Vec<_> {
        let outcome = world.attempt_with(Vec::new(), heartbeats).unwrap();
        world.state.write(&outcome.writes);
        world.last = outcome;
        ignored(&world.last).into_iter().collect()
    };
    let all = heartbeats(&world, window);
    let late = [26, 27].map(|person| (id(person), Refused::SetsFull));
    let results = keep(&mut world, all);
    assert_eq!(results, BTreeMap::from(late).into_iter().collect::<Vec<_>>());
    let again = heartbeats(&world, window).split_off(16);
    assert_eq!(keep(&mut world, again), []);

    // In the next window the sets are as they were, and nothing is built.
    world.blind_skip((window.0 + 1) * 10 + 3 - world.height());
    let all = heartbeats(&world, window.next());
    assert_eq!(keep(&mut world, all), []);
}

/// With the samples and windows of a main network, whoever dropped a hundredth of its sectors passes a day with a probability below
/// one in a hundred, in either shape. Covers: D2, D3.
#[test]
fn dropping_a_hundredth_is_caught_within_a_day() {
    const ONE: u128 = 1 << 64;
    for (shape, sectors, dropped) in [
        (Shape::LARGE, 4096, 41),
        (Shape::LARGE, 100, 1),
        (Shape::SMALL, 64, 1),
    ] {
        let n_samples = u64::from(shape.samples()) * TERM_WINDOWS_MAIN;
        // Rounded up at each step.
        let passes = (0..n_samples).fold(ONE, |passes, _| (passes * (sectors - dropped)).div_ceil(sectors));
        assert!(passes * 100 < ONE, "{dropped} of {sectors}");
    }
}
