//! From more lost voting keys, or more nodes that forgot what they said, than may fail to blocks again (TC1, TC3).

use crate::world::{World, cold, key};
use watt_engine::NotRecoverable;
use watt_engine::message::Message;
use watt_light::Succession;
use watt_light::succession::Claim;
use watt_primitives::{AccountId, BlockHeight, BoundedVec, SecretKey, SlotIndex, Term};
use watt_scp::{Envelope, Pledges, Statement};

/// Time without a block after which the network counts as standing, in milliseconds.
const STANDSTILL: u64 = 30_000;

/// How soon blocks close again once there is a quorum, in milliseconds.
const RESUME: u64 = 60_000;

/// Longer than six windows of eight slots: what an owner has to wait before a node may go on that forgot.
const STALLED: u64 = 60_000;

fn successor(seed: u8, generation: u8) -> SecretKey {
    let mut bytes = [seed; 32];
    bytes[1] ^= 0x40 + generation;
    SecretKey::from_seed(bytes)
}

fn succession(world: &World, seed: u8, generation: u8) -> Succession {
    succession_in(world, seed, generation, Term(0))
}

fn succession_in(world: &World, seed: u8, generation: u8, term: Term) -> Succession {
    let key = successor(seed, generation);
    let claim = Claim {
        term,
        account: AccountId::of_first_key(&crate::world::key(seed).public()),
        generation,
        key: key.node_id(),
    };
    Succession::sign(claim, &key, &cold(seed), &world.network)
}

/// How far somebody has come in a slot.
#[derive(Clone, Copy, Debug)]
enum Said {
    Nomination,
    Preparing,
    Committing,
}

/// Runs until the validator with key `seed` has said this in the slot above its head.
fn run_until_said(world: &mut World, node: usize, said: Said) {
    let seed = u8::try_from(node + 1).unwrap();
    let is_said = |world: &World| {
        let (own, slot) = (key(seed).node_id(), SlotIndex(world.height(node) + 1));
        let mut of_slot = world
            .said
            .iter()
            .filter(|statement| statement.node == own && statement.slot == slot);
        of_slot.any(|statement| {
            matches!(
                (said, &statement.pledges),
                (Said::Nomination, Pledges::Nominate { .. })
                    | (Said::Preparing, Pledges::Prepare { .. })
                    | (Said::Committing, Pledges::Prepare { c_counter: 1.., .. })
            )
        })
    };
    assert!(world.run_until(world.now.plus(20_000), is_said), "{said:?}");
}

fn heights(world: &World, nodes: &[usize]) -> Vec<u64> {
    nodes.iter().map(|node| world.height(*node)).collect()
}

/// Two of four, with disks, gone at the same moment of a slot.
fn two_die(world: &mut World, said: Said) -> u64 {
    run_until_said(world, 3, said);
    world.kill(2);
    world.kill(3);
    world.run_for(STANDSTILL);
    let stands_at = heights(world, &[0, 1]).into_iter().max().unwrap();
    world.run_for(STANDSTILL);
    assert!(
        heights(world, &[0, 1]).into_iter().max() <= Some(stands_at),
        "blocks without a quorum"
    );
    stands_at
}

/// The disks and voting keys of two of four are lost for ever, at any stage of a slot. One cold key is enough: its successor starts from
/// nothing, and blocks close again; they carry the succession, which whoever joins later takes from them. Covers: A1.
#[test]
fn a_cold_key_brings_a_dead_network_back() {
    for (seed, said) in [(1, Said::Nomination), (2, Said::Preparing), (3, Said::Committing)] {
        let mut world = World::new(4, 1, seed);
        let empty = world.disk(3).clone();
        assert!(world.reach(&[0, 1, 2, 3, 4], 4, 20_000));
        let stands_at = two_die(&mut world, said);
        world.restore_disk(3, empty.clone());
        let given = succession(&world, 4, 1);
        world.take_over(3, successor(4, 1), given.clone());
        world.start(3);
        assert!(
            world.reach(&[0, 1, 3, 4], stands_at + 5, RESUME),
            "{said:?}: {:?}",
            heights(&world, &[0, 1, 3, 4])
        );
        let (newest, _) = world.disk(0).blocks.last().unwrap();
        assert!(newest.successions.iter().eq([&given]));
        assert!(world.disk(1).successions.iter().eq([&given]), "kept");
        // All are killed and come back: what they learned is not forgotten.
        for node in [0, 1, 3] {
            world.kill(node);
        }
        for node in [3, 1, 0] {
            world.start(node);
        }
        let again = world.height(0) + 5;
        assert!(world.reach(&[0, 1, 3, 4], again, RESUME), "{said:?}: again");
        assert!(world.halts.is_empty(), "{:?}", world.halts);
    }
}

/// In a later term, whose backbone an empty disk does not know yet: the successor fetches the blocks, finds its term there, tells the
/// others, and the network goes on over the next boundary.
#[test]
fn a_successor_finds_its_term() {
    let seats: &[u8] = &[1, 2, 3, 4];
    let mut world = World::with_terms(4, 0, 7, 2, &[seats, seats, seats]);
    let empty = world.disk(3).clone();
    assert!(world.reach(&[0, 1, 2, 3], 34, 120_000));
    world.kill(2);
    world.kill(3);
    world.run_for(STANDSTILL);
    let stands_at = world.height(0);
    assert!(stands_at < 46, "within term 2: {stands_at}");
    world.restore_disk(3, empty);
    let given = succession_in(&world, 4, 1, Term(2));
    world.take_over(3, successor(4, 1), given);
    world.start(3);
    assert!(
        world.reach(&[0, 1, 3], 50, 2 * RESUME),
        "{:?}",
        heights(&world, &[0, 1, 3])
    );
    assert!(world.halts.is_empty(), "{:?}", world.halts);
}

/// A second loss in the same term: the next successor votes, the first no more.
#[test]
fn a_successor_is_succeeded() {
    let mut world = World::new(4, 0, 5);
    let empty = world.disk(3).clone();
    assert!(world.reach(&[0, 1, 2, 3], 4, 20_000));
    let stands_at = two_die(&mut world, Said::Preparing);
    world.restore_disk(3, empty.clone());
    let first = succession(&world, 4, 1);
    world.take_over(3, successor(4, 1), first);
    world.start(3);
    assert!(world.reach(&[0, 1, 3], stands_at + 3, RESUME));
    world.kill(3);
    world.run_for(STANDSTILL);
    let stands_at = world.height(0);
    world.restore_disk(3, empty);
    let second = succession(&world, 4, 2);
    world.take_over(3, successor(4, 2), second);
    world.start(3);
    assert!(world.reach(&[0, 1, 3], stands_at + 3, RESUME));
    assert!(world.halts.is_empty(), "{:?}", world.halts);
}

/// A key that was thought lost still votes somewhere, or was stolen: from the succession on it counts no more, and whoever runs with it
/// is told to stop. Nobody's word counts twice meanwhile.
#[test]
fn who_is_succeeded_stops() {
    let mut world = World::new(4, 1, 6);
    assert!(world.reach(&[0, 1, 2, 3, 4], 4, 20_000));
    world.kill(4);
    let given = succession(&world, 4, 1);
    world.take_over(4, successor(4, 1), given);
    world.start(4);
    assert!(world.reach(&[0, 1, 2, 4], 12, RESUME));
    let stopped: Vec<usize> = world.halts.iter().map(|(node, _)| *node).collect();
    assert_eq!(stopped, [3], "{:?}", world.halts);
    assert!(world.halts[0].1.contains("replaced"), "{:?}", world.halts);
    // The successor's vote is needed now.
    world.kill(2);
    let again = world.height(0) + 4;
    assert!(world.reach(&[0, 1, 4], again, RESUME));
}

/// Two of four forget the slot in which both spoke. The rule of silence alone stops the network for ever; each owner's consent is
/// needed, and enough. Covers: A1.
#[test]
fn amnesiacs_go_on_when_their_owners_say_so() {
    for (seed, said) in [
        (11, Said::Nomination),
        (12, Said::Preparing),
        (13, Said::Committing),
    ] {
        let mut world = World::new(4, 0, seed);
        assert!(world.reach(&[0, 1, 2, 3], 4, 20_000));
        let stands_at = two_die(&mut world, said);
        for node in [2, 3] {
            world.forget_journal(node);
            world.start(node);
        }
        world.run_for(5_000);
        if world.height(0) > stands_at {
            // Both had said so little, or so much, that the slot ended without them.
            continue;
        }
        assert!(
            matches!(world.recover(0), Err(NotRecoverable::NotSilent)),
            "one that remembers"
        );
        assert!(matches!(world.recover(3), Err(NotRecoverable::TooSoon { .. })));
        world.run_for(STALLED);
        assert_eq!(world.height(0), stands_at, "{said:?}: never by itself");
        let slot = SlotIndex(stands_at + 1);
        assert_eq!(world.recover(3), Ok(slot), "{said:?}");
        world.run_for(1_000);
        if world.height(0) == stands_at {
            // One of the two is enough for a quorum, and it may be enough for the other as well.
            assert!(matches!(world.recover(2), Ok(found) if found == slot));
        }
        assert!(world.reach(&[0, 1, 2, 3], stands_at + 5, RESUME), "{said:?}");
        assert!(world.halts.is_empty(), "{:?}", world.halts);
    }
}

/// One who hears too few of the others is not let go on, however long it waits; with one more it is.
#[test]
fn who_hears_too_few_is_not_let_go_on() {
    let mut world = World::new(4, 0, 14);
    assert!(world.reach(&[0, 1, 2, 3], 4, 20_000));
    run_until_said(&mut world, 3, Said::Preparing);
    for node in 0..4 {
        world.kill(node);
    }
    let stands_at = world.height(3);
    world.forget_journal(3);
    let mut disk = world.disk(3).clone();
    disk.voted_to = BlockHeight(stands_at + 1);
    world.restore_disk(3, disk);
    world.start(3);
    world.start(2);
    world.run_for(STALLED);
    let slot = SlotIndex(stands_at + 1);
    let too_few = NotRecoverable::TooFew {
        slot,
        heard: 2,
        needed: 3,
    };
    assert_eq!(world.recover(3), Err(too_few));
    world.start(0);
    world.run_for(STALLED);
    if world.height(3) == stands_at {
        assert_eq!(world.recover(3), Ok(slot));
    }
    assert!(world.reach(&[0, 2, 3], stands_at + 5, RESUME));
}

/// While it goes on, liars hand it words of its own that are stale or forged: the newest true one counts, forgers are left, and nobody
/// ever sees it say two things. It goes on as well where the body for whose commit it voted was nowhere but in what it forgot, as with
/// the first two seeds. Covers: A1.
#[test]
fn stale_and_forged_words_change_nothing() {
    for seed in 20..26 {
        stale_and_forged_words(seed);
    }
}

fn stale_and_forged_words(seed: u64) {
    let mut world = World::new(4, 0, seed);
    assert!(world.reach(&[0, 1, 2, 3], 4, 20_000));
    let stands_at = two_die(&mut world, Said::Committing);
    let own = key(4).node_id();
    let slot = SlotIndex(stands_at + 1);
    let words: Vec<Statement> = world
        .said
        .iter()
        .filter(|statement| statement.node == own && statement.slot == slot)
        .cloned()
        .collect();
    assert!(!words.is_empty(), "with this seed it has spoken");
    world.forget_journal(3);
    world.start(3);
    let say = |world: &mut World, statement: &Statement, by: &SecretKey| {
        let message = Message::Statement {
            envelope: Box::new(Envelope::sign(statement.clone(), by, &world.network)),
            proposals: BoundedVec::empty(),
        };
        world.inject(0, 3, message.encode());
    };
    // The oldest first; and a forged newer one.
    for statement in &words {
        say(&mut world, statement, &key(4));
    }
    let forged = Statement {
        pledges: Pledges::Externalize {
            commit: watt_scp::Ballot {
                counter: 9,
                value: watt_scp::Value(watt_primitives::Hash([9; 32])),
            },
            h_counter: 9,
        },
        ..words[0].clone()
    };
    say(&mut world, &forged, &key(1));
    world.run_for(STALLED);
    assert!(world.hang_ups.contains(&(3, 0)), "the forger is left");
    if world.height(0) == stands_at {
        assert_eq!(world.recover(3), Ok(slot));
    }
    world.forget_journal(2);
    world.start(2);
    world.run_for(STALLED);
    if world.height(0) == stands_at {
        assert_eq!(world.recover(2), Ok(slot));
    }
    assert!(world.reach(&[0, 1, 2, 3], stands_at + 5, RESUME));
    let evidence: usize = [0, 1, 2, 3]
        .iter()
        .map(|node| world.engine(*node).evidence().nodes().count())
        .sum();
    assert_eq!(evidence, 0, "nobody contradicted itself");
}
