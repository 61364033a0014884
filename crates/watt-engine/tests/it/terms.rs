//! The backbone changes where terms end: by the state alone, in the same slot on every node, and provably from genesis on.

use crate::world::{Serving, World};
use std::collections::BTreeMap;
use watt_engine::Backbones;
use watt_light::hand_over::walk;
use watt_primitives::{BlockHeight, Hash, SlotIndex, Term};

/// Slots of a term: two windows of eight.
const TERM: u64 = 16;

/// Who sits in terms 1 to 6: nobody of term 1 in term 2, everybody leaves and comes back at some time.
const SEATS: [&[u8]; 6] = [
    &[1, 2, 3, 4],
    &[5, 6, 7, 8],
    &[1, 3, 5, 7, 8, 2, 4],
    &[8, 7, 6, 1],
    &[2, 3, 4, 5],
    &[1, 2, 3, 4, 5, 6, 7],
];

const ALL: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

fn world(n_followers: u8, seed: u64) -> World {
    World::with_terms(8, n_followers, seed, 2, &SEATS)
}

impl World {
    /// Every slot's statements, by whomever they were said, declare one quorum set: that of the slot's term. Covers: A1.
    fn check_every_slot_has_one_backbone(&self) {
        let mut declared: BTreeMap<SlotIndex, Hash> = BTreeMap::new();
        for statement in &self.said {
            let set = declared.entry(statement.slot).or_insert(statement.quorum_set);
            assert_eq!(*set, statement.quorum_set, "slot {}", statement.slot);
        }
        let of_term = |slot: u64| declared.get(&SlotIndex(slot)).copied();
        for term in 0..self.height(0) / TERM {
            let sets = (1.max(term * TERM)..(term + 1) * TERM).filter_map(of_term);
            let sets: Vec<Hash> = sets.collect();
            assert!(sets.windows(2).all(|two| two[0] == two[1]), "term {term}");
            assert_ne!(sets.last().copied(), of_term((term + 1) * TERM), "term {term}");
        }
    }

    /// The node can show the way to the backbone that decides its next block, and no hand-over is missing.
    fn check_way(&self, node: usize) {
        let way = &self.disk(node).hand_overs;
        let reached = walk(self.genesis.walk().unwrap(), way).unwrap();
        let backbones: &Backbones = self.engine(node).backbones();
        let running = backbones.terms().of_height(BlockHeight(self.height(node) + 1));
        assert!(reached.term() >= running, "{} of {running}", reached.term());
        let deciders = backbones.of_term(reached.term()).unwrap();
        assert_eq!(reached.backbone().quorum_set(), deciders.quorum_set);
    }
}

/// The backbone changes as a whole, five times, without a pause; who has no seat follows, and comes back with the key of that term.
/// Covers: A1, B7.
#[test]
fn the_backbone_changes_at_every_boundary() {
    let mut world = world(1, 201);
    let everybody: Vec<usize> = (0..9).collect();
    assert!(
        world.reach(&everybody, 5 * TERM + 2, 200_000),
        "at {}",
        world.height(0)
    );
    world.check_every_slot_has_one_backbone();
    everybody.iter().for_each(|node| world.check_way(*node));
    let has_seat = |node: usize| world.engine(node).has_seat();
    let seated: Vec<usize> = everybody.iter().copied().filter(|node| has_seat(*node)).collect();
    assert_eq!(seated, [1, 2, 3, 4], "in term 5");
    assert!(world.halts.is_empty());
}

/// Half of the nodes sleep while a term ends: it ends when they are back, and the next one begins then. Covers: A1, A5.
#[test]
fn half_asleep_over_a_boundary() {
    let mut world = world(0, 202);
    assert!(world.reach(&ALL, TERM - 3, 60_000));
    [0, 2, 4, 6].iter().for_each(|node| world.kill(*node));
    world.run_for(30_000);
    assert!(world.height(1) < TERM, "without half of term 0 no block");
    [0, 2, 4, 6].iter().for_each(|node| world.start(*node));
    assert!(world.reach(&ALL, 2 * TERM + 3, 120_000), "at {}", world.height(0));
    world.check_every_slot_has_one_backbone();
    ALL.iter().for_each(|node| world.check_way(*node));
}

/// A node of the old backbone that did not hear how its last slot ended takes that block, with its proof, from whoever has it, also
/// when everybody else has long gone on with a backbone it has no part in. Covers: A1, A5.
#[test]
fn who_missed_the_last_slot_takes_it_with_its_proof() {
    let mut world = world(0, 203);
    // Node 1 sits in terms 0, 1 and 3.
    assert!(world.reach(&ALL, 2 * TERM - 2, 60_000));
    world.partition(&[1], &[0, 2, 3, 4, 5, 6, 7]);
    let others = [0, 2, 3, 4, 5, 6, 7];
    assert!(world.reach(&others, 2 * TERM + 6, 60_000));
    assert!(world.height(1) < 2 * TERM);
    world.heal();
    assert!(world.reach(&ALL, 3 * TERM + 2, 120_000), "at {}", world.height(1));
    assert!(world.engine(1).has_seat(), "with its key of term 3");
    world.check_every_slot_has_one_backbone();
}

/// Every node crashes once or more within the slots around boundaries and remembers what it had said. Covers: A1, A5.
#[test]
fn crashes_around_a_boundary_lose_nothing() {
    for seed in 210..214 {
        let mut world = world(0, seed);
        for boundary in [TERM, 2 * TERM] {
            assert!(world.reach(&ALL, boundary - 3, 60_000));
            for round in 0..24usize {
                let node = (round * 3 + usize::try_from(seed).unwrap()) % 8;
                world.kill(node);
                world.run_for(150);
                world.start(node);
                world.run_for(250);
            }
        }
        assert!(world.reach(&ALL, 2 * TERM + 5, 120_000), "at {}", world.height(0));
        world.check_every_slot_has_one_backbone();
        assert!(world.halts.is_empty(), "{:?}", world.halts);
    }
}

/// A node that comes after four changes fetches all blocks, each checked with the backbone of its term. Covers: A1.
#[test]
fn a_newcomer_follows_from_genesis() {
    let mut world = world(1, 204);
    world.kill(8);
    assert!(world.reach(&ALL, 4 * TERM + 3, 120_000));
    world.start(8);
    let target = world.height(0);
    assert!(world.reach(&[8], target, 30_000), "at {}", world.height(8));
    assert_eq!(world.disk(8).blocks[0].1.height, BlockHeight(1));
    world.check_way(8);
}

/// A node that starts from a checkpoint in term 4 walks there from the backbone of genesis: who forges the way is left, who has none is
/// passed over. It can show the way itself afterwards. Covers: A1, B7.
#[test]
fn a_newcomer_walks_to_a_checkpoint() {
    let mut world = world(1, 205);
    world.kill(8);
    world.checkpoint_gap = TERM;
    assert!(world.reach(&ALL, 4 * TERM + 1, 120_000));
    world.set_serving(0, Serving::Fork);
    world.set_serving(1, Serving::Silent);
    world.set_serving(2, Serving::Nothing);
    world.start(8);
    let target = world.height(3) + 2;
    assert!(world.reach(&[8], target, 60_000), "at {}", world.height(8));
    let first = world.disk(8).blocks[0].1.height;
    assert!(first > BlockHeight(4 * TERM), "{first}");
    world.check_way(8);
    assert!(world.hang_ups.contains(&(8, 0)), "the forger is left");
}

/// What everybody has lost of the way comes back: hand-overs that are missing are asked for.
#[test]
fn a_gap_in_the_way_is_filled() {
    let mut world = world(1, 206);
    assert!(world.reach(&ALL, 3 * TERM, 120_000));
    world.kill(5);
    world.forget_hand_overs(5, 1);
    world.start(5);
    assert!(world.reach(&ALL, 3 * TERM + 6, 60_000));
    world.run_for(10_000);
    world.check_way(5);
    assert_eq!(world.engine(5).backbones().of_term(Term(0)), None, "long gone");
}
