//! A node that is behind, and peers that help, lie, are silent or slow.

use crate::agreement::transfer;
use crate::world::{Disk, ROUGH, Serving, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use watt_engine::event::ApplyFailure;
use watt_engine::message::{DecidedBlock, Message};
use watt_engine::{Backbones, run};
use watt_ledger::rows::{self, RulesRow};
use watt_ledger::{MemoryState, NoFolded, StateRead as _, apply_block, genesis_block};
use watt_primitives::{BlockHeight, BoundedVec, Hash, codec};

/// The node that is behind.
const FOLLOWER: usize = 4;

/// Blocks that the others have.
const BLOCKS: u64 = 300;

/// A validator and three followers that have 300 blocks, and a follower that is down and has none.
fn ahead(seed: u64) -> World {
    static CHAIN: OnceLock<Disk> = OnceLock::new();
    let chain = CHAIN.get_or_init(|| {
        let mut world = World::new(1, 0, 1);
        for nonce in 0..4 {
            let signed = transfer(&world, 100, nonce, b"before");
            world.submit(0, signed);
        }
        assert!(world.reach(&[0], BLOCKS, BLOCKS * 4_000));
        world.kill(0);
        world.disk(0).clone()
    });
    let mut world = World::new(1, 4, seed);
    (0..5).for_each(|node| world.kill(node));
    for node in 0..4 {
        world.restore_disk(node, chain.clone());
        world.start(node);
    }
    world
}

/// How often each peer was asked for blocks by the follower.
fn asked(world: &World) -> BTreeMap<usize, usize> {
    let mut asked = BTreeMap::new();
    for (_, to) in world.requests.iter().filter(|(from, _)| *from == FOLLOWER) {
        *asked.entry(*to).or_default() += 1;
    }
    asked
}

/// A node far behind asks all its peers at once, and has 300 blocks in the time of ten. Covers: A1.
#[test]
fn blocks_are_fetched_from_all_peers_at_once() {
    let mut world = ahead(31);
    world.start(FOLLOWER);
    let target = world.height(0);
    let slot_ms = world.genesis.parameters.slot_ms;
    assert!(
        world.reach(&[FOLLOWER], target, 10 * slot_ms),
        "at {}",
        world.height(FOLLOWER)
    );
    let asked = asked(&world);
    assert_eq!(
        asked.keys().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3],
        "{asked:?}"
    );
}

/// One peer is silent, one is slow, one answers with nothing: the fourth is enough, and blocks come at its speed.
/// Covers: A1.
#[test]
fn silent_slow_and_empty_handed_peers_hold_nobody_up() {
    for honest in 0..4 {
        let mut world = ahead(40 + honest as u64);
        for (n, serving) in [Serving::Silent, Serving::Slow(4_000), Serving::Nothing]
            .into_iter()
            .enumerate()
        {
            world.set_serving((honest + 1 + n) % 4, serving);
        }
        world.start(FOLLOWER);
        let target = world.height(0);
        assert!(
            world.reach(&[FOLLOWER], target, 30_000),
            "honest {honest}: at {}",
            world.height(FOLLOWER)
        );
    }
}

/// Peers that swap bodies or offer a chain of their own are found out and disconnected, nothing of theirs is stored, and the
/// honest peer's blocks are (the world asserts both at every commit). Covers: A1, A6.
#[test]
fn liars_are_disconnected_and_change_nothing() {
    for honest in 0..4 {
        let mut world = ahead(50 + honest as u64);
        for (n, serving) in [Serving::OtherBodies, Serving::Fork, Serving::OtherBodies]
            .into_iter()
            .enumerate()
        {
            world.set_serving((honest + 1 + n) % 4, serving);
        }
        world.start(FOLLOWER);
        let target = world.height(0);
        assert!(
            world.reach(&[FOLLOWER], target, 60_000),
            "honest {honest}: at {}",
            world.height(FOLLOWER)
        );
        assert!(world.engine(FOLLOWER).refused().contains_key("bad block"));
        assert!(world.halts.is_empty());
    }
}

/// If all peers offer a fork, nothing is stored; as soon as one of them is honest, all is. Covers: A1, A6.
#[test]
fn a_fork_offered_by_all_is_refused() {
    let mut world = ahead(61);
    (0..4).for_each(|node| world.set_serving(node, Serving::Fork));
    world.start(FOLLOWER);
    world.run_for(20_000);
    assert_eq!(world.height(FOLLOWER), 0);
    world.set_serving(2, Serving::Honest);
    let target = world.height(2);
    assert!(world.reach(&[FOLLOWER], target, 60_000));
}

/// A peer that tells of a height that nobody has is no better than one that has nothing. Covers: A1.
#[test]
fn a_height_that_nobody_has_holds_nobody_up() {
    let mut world = ahead(62);
    world.set_serving(1, Serving::Silent);
    world.start(FOLLOWER);
    let boast = Message::NewBlock {
        height: BlockHeight(u64::MAX),
        header: Hash::ZERO,
    };
    world.inject(1, FOLLOWER, boast.encode());
    let target = world.height(0);
    assert!(world.reach(&[FOLLOWER], target, 20_000));
}

/// A block that nobody can give is asked for once a second, not as fast as peers say that they do not have it, and comes as soon
/// as one of them has it.
#[test]
fn what_nobody_can_give_is_not_asked_for_in_a_loop() {
    let mut world = ahead(47);
    (0..4).for_each(|node| world.set_serving(node, Serving::Nothing));
    world.start(FOLLOWER);
    world.run_for(60_000);
    let n_asked: usize = asked(&world).values().sum();
    assert!((10..=80).contains(&n_asked), "asked {n_asked} times in a minute");
    world.set_serving(2, Serving::Honest);
    let target = world.height(2);
    assert!(world.reach(&[FOLLOWER], target, 60_000));
}

/// Killed again and again in the middle, the node goes on from what it has stored. Covers: A1.
#[test]
fn a_restart_in_the_middle_goes_on_from_there() {
    for seed in 0..6u64 {
        let mut world = ahead(70 + seed);
        world.start(FOLLOWER);
        let mut stored = BTreeSet::new();
        for round in 0..6 {
            world.run_for(17 + 11 * ((seed + round) % 7));
            world.kill(FOLLOWER);
            stored.insert(world.height(FOLLOWER));
            world.start(FOLLOWER);
        }
        let target = world.height(0);
        assert!(world.reach(&[FOLLOWER], target, 20_000), "seed {seed}");
        assert!(
            stored.len() > 1,
            "seed {seed}: it was never in the middle: {stored:?}"
        );
    }
}

/// A validator far behind catches up while the others go on, in bad weather, and then votes again. Covers: A1.
#[test]
fn a_validator_catches_up_with_a_moving_head() {
    let mut world = World::new(4, 0, 80);
    assert!(world.reach(&[0, 1, 2, 3], 3, 20_000));
    world.kill(3);
    assert!(world.reach(&[0, 1, 2], 100, 1_000_000));
    world.weather = ROUGH;
    world.start(3);
    assert!(world.reach(&[3], 100, 120_000), "at {}", world.height(3));
    world.weather = crate::world::FAIR;
    let target = world.height(0) + 2;
    assert!(world.reach(&[0, 1, 2, 3], target, 60_000));
    world.kill(2);
    let target = world.height(0) + 3;
    assert!(world.reach(&[0, 1, 3], target, 60_000), "it votes again");
}

/// Blocks that nobody asked for are counted and dropped. Covers: A1.
#[test]
fn unasked_blocks_are_dropped() {
    let mut world = ahead(90);
    let stored = world.disk(0).blocks[..20].iter();
    let blocks: Vec<DecidedBlock> = stored.map(|(block, _)| block.clone()).collect();
    (0..4).for_each(|node| world.set_serving(node, Serving::Silent));
    world.start(FOLLOWER);
    let message = Message::Blocks {
        blocks: BoundedVec::new(blocks).unwrap(),
    };
    // Each peer is asked once at most, and so heard once at most.
    for _ in 0..2 {
        world.inject(0, FOLLOWER, message.encode());
    }
    world.run_for(200);
    assert!(world.engine(FOLLOWER).refused().contains_key("unasked blocks"));
}

/// A run is good up to its first bad block, whatever is bad about that.
#[test]
fn a_run_is_good_up_to_its_first_bad_block() {
    let world = ahead(91);
    let stored = &world.disk(0).blocks[..12];
    let decided: Vec<DecidedBlock> = stored.iter().map(|(block, _)| block.clone()).collect();
    let mut state = MemoryState::default();
    state.write(&genesis_block(&world.genesis).unwrap().writes);
    let backbones = Backbones::in_state(&state);
    let apply = |blocks: &[_]| {
        run::apply(&state, blocks, |rows, block| {
            apply_block(rows, block).map_err(|invalid| ApplyFailure::Invalid(invalid.to_string()))
        })
    };

    let (good, failure) = run::check(&decided, &backbones, &NoFolded);
    assert_eq!((good.len(), failure), (decided.len(), None));
    let (outcomes, failure) = apply(&good);
    assert_eq!((outcomes.len(), failure), (decided.len(), None));
    let headers: Vec<_> = outcomes.iter().map(|outcome| &outcome.header).collect();
    let one_by_one: Vec<_> = stored.iter().map(|(_, header)| header).collect();
    assert_eq!(
        headers, one_by_one,
        "applied ahead of the store, they give what they gave one by one"
    );

    // A signature of the proof, the proof itself, and the place in the chain.
    let mut forged = decided.clone();
    let mut envelopes = forged[5].decision.to_vec();
    envelopes[0].signature = forged[4].decision[0].signature;
    forged[5].decision = BoundedVec::new(envelopes).unwrap();
    let (good, failure) = run::check(&forged, &backbones, &NoFolded);
    assert_eq!(good.len(), 5);
    assert!(failure.is_some());

    let mut unproven = decided.clone();
    unproven[7].decision = BoundedVec::empty();
    let (good, failure) = run::check(&unproven, &backbones, &NoFolded);
    assert_eq!(good.len(), 7);
    assert!(failure.is_some());

    // The same people vote on after a restart: what they decided before is not decided there, so nobody stops for it.
    let mut rules: RulesRow = codec::decode(&state.get(rows::RULES).unwrap(), 1 << 16).unwrap();
    rules.network = rules.network.restarted(1, &Hash([9; 32]));
    let mut restarted = state.clone();
    restarted.write(&[(rows::RULES.to_vec(), Some(codec::encode(&rules)))].into());
    let (good, failure) = run::check(&decided, &Backbones::in_state(&restarted), &NoFolded);
    assert_eq!((good.len(), failure), (0, Some(ApplyFailure::Undecided)));

    let mut gap = decided;
    gap.remove(3);
    let (good, failure) = run::check(&gap, &backbones, &NoFolded);
    assert_eq!((good.len(), failure), (gap.len(), None), "each was decided");
    let (outcomes, failure) = apply(&good);
    assert_eq!(outcomes.len(), 3);
    assert!(failure.is_some(), "but the fourth does not stand on the third");
}

/// Four validators with a state of some thousand entries that they serve, and a follower that is down and has nothing.
fn with_checkpoint(seed: u64) -> World {
    let mut world = World::new(4, 1, seed);
    world.checkpoint_gap = 8;
    world.kill(FOLLOWER);
    assert!(world.reach(&[0, 1, 2, 3], 1, 20_000));
    for n in 0..200u64 {
        let from = 100 + u8::try_from(n % 10).unwrap();
        let opens = (0..16u16).map(|to| {
            watt_primitives::AccountId(
                [&[7; 10][..], &n.to_be_bytes(), &to.to_be_bytes()]
                    .concat()
                    .try_into()
                    .unwrap(),
            )
        });
        world.submit(0, crate::agreement::transfer_to(&world, from, n / 10, opens));
    }
    assert!(world.reach(&[0, 1, 2, 3], 19, 60_000));
    world
}

/// A fresh node takes the state after a block that is proven final, from all peers at once and part by part, fetches only the
/// blocks above it, and agrees with everybody from then on (TC22). Covers: A1.
#[test]
fn a_fresh_node_starts_from_a_checkpoint() {
    let mut world = with_checkpoint(110);
    world.start(FOLLOWER);
    let target = world.height(0) + 3;
    assert!(
        world.reach(&[0, FOLLOWER], target, 30_000),
        "at {}",
        world.height(FOLLOWER)
    );
    let first = world.disk(FOLLOWER).blocks.first().unwrap().1.height;
    assert_eq!(first, BlockHeight(17), "it fetched blocks from the checkpoint on");
    let served: BTreeSet<usize> = world.chunks.iter().copied().collect();
    assert_eq!(served.len(), 4, "all peers served: {:?}", world.chunks);
}

/// Peers that serve parts of another state, nothing, or are silent hold a fresh node up no longer than it takes to find them out
/// (TC22). Covers: A1, A5.
#[test]
fn a_false_part_of_a_state_is_refused() {
    let mut world = with_checkpoint(111);
    world.set_serving(0, Serving::Fork);
    world.set_serving(1, Serving::Silent);
    world.set_serving(2, Serving::Nothing);
    world.start(FOLLOWER);
    let target = world.height(3);
    assert!(
        world.reach(&[FOLLOWER], target, 60_000),
        "at {}",
        world.height(FOLLOWER)
    );
    // By then there may be a checkpoint as high as the target, and no block after it yet.
    let first = world
        .disk(FOLLOWER)
        .blocks
        .first()
        .map(|(_, header)| header.height);
    assert!(
        first.is_none_or(|first| first > BlockHeight(1)),
        "it started from a checkpoint all the same"
    );
}

/// Nobody serves a state: the node fetches all blocks. Covers: A1.
#[test]
fn without_a_checkpoint_all_blocks_are_fetched() {
    let mut world = ahead(112);
    world.checkpoint_gap = 8;
    world.start(FOLLOWER);
    let target = world.height(0);
    assert!(
        world.reach(&[FOLLOWER], target, 60_000),
        "at {}",
        world.height(FOLLOWER)
    );
    assert_eq!(
        world.disk(FOLLOWER).blocks.first().unwrap().1.height,
        BlockHeight(1)
    );
}

/// Killed in the middle, a node goes on with the parts that it has (TC22). Covers: A1.
#[test]
fn a_restart_in_the_middle_of_a_checkpoint_goes_on_from_there() {
    let mut in_the_middle = 0;
    for later_ms in 0..10 {
        let mut world = with_checkpoint(120);
        world.start(FOLLOWER);
        let end = world.now.plus(20_000);
        assert!(world.run_until(end, |world| world.disk(FOLLOWER).incoming.is_some()));
        world.run_for(2 * later_ms);
        world.kill(FOLLOWER);
        in_the_middle += usize::from(world.disk(FOLLOWER).incoming.is_some());
        world.start(FOLLOWER);
        let target = world.height(0) + 1;
        assert!(world.reach(&[FOLLOWER], target, 60_000), "{later_ms} ms later");
        let taken: BTreeSet<_> = world.taken.iter().collect();
        assert_eq!(
            taken.len(),
            world.taken.len(),
            "{later_ms} ms later: it took a part twice"
        );
    }
    assert!(in_the_middle > 0, "it was never in the middle");
}
