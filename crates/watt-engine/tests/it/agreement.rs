//! Blocks close, whatever happens to a minority; nothing is ever decided twice.

use crate::world::{ROUGH, World, key};
use watt_light::{Operation, SignedTransaction, Transaction};
use watt_primitives::{AccountId, Amount, BlockHeight, BoundedBytes, BoundedVec};

pub fn transfer(world: &World, from: u8, nonce: u64, memo: &[u8]) -> SignedTransaction {
    let to = AccountId::of_first_key(&key(101).public());
    sign_transfers(world, from, nonce, memo, std::iter::once((to, Amount(5))))
}

/// One transaction that gives a little to each of `to`.
pub fn transfer_to(
    world: &World,
    from: u8,
    nonce: u64,
    to: impl Iterator<Item = AccountId>,
) -> SignedTransaction {
    sign_transfers(world, from, nonce, b"", to.map(|to| (to, Amount(1_000_000))))
}

fn sign_transfers(
    world: &World,
    from: u8,
    nonce: u64,
    memo: &[u8],
    to: impl Iterator<Item = (AccountId, Amount)>,
) -> SignedTransaction {
    let transfer = |(to, amount)| Operation::Transfer {
        to,
        amount,
        memo: BoundedBytes::new(memo.to_vec()).unwrap(),
    };
    let public = key(from).public();
    let transaction = Transaction {
        account: AccountId::of_first_key(&public),
        key_index: 0,
        key: public,
        nonce,
        valid_until: BlockHeight(world.height(0) + 100),
        fee: Amount(0),
        operations: BoundedVec::new(to.map(transfer).collect()).unwrap(),
    };
    transaction.sign(&key(from), &world.network, Vec::new()).unwrap()
}

/// Four validators close a block a second, and a follower has them all. Covers: A1, A6.
#[test]
fn four_validators_close_blocks_and_a_follower_follows() {
    let mut world = World::new(4, 1, 1);
    assert!(
        world.reach(&[0, 1, 2, 3, 4], 20, 40_000),
        "heights {:?}",
        (0..5).map(|n| world.height(n)).collect::<Vec<_>>()
    );
}

/// A transfer handed to one node is in a block of all, once. Covers: A5, A6.
#[test]
fn a_transfer_is_recorded_once() {
    let mut world = World::new(4, 1, 2);
    let signed = transfer(&world, 100, 0, b"");
    let id = signed.transaction.id(&world.network);
    world.submit(4, signed.clone());
    assert!(world.reach(&[0, 1, 2, 3, 4], 5, 20_000));
    assert_eq!(world.replies, [Ok(id)]);
    for node in 0..5 {
        let times = world
            .disk(node)
            .blocks
            .iter()
            .flat_map(|(block, _)| block.transactions.iter())
            .filter(|one| **one == signed);
        assert_eq!(times.count(), 1, "node {node}");
    }
    world.submit(0, signed);
    assert!(
        matches!(world.replies.last(), Some(Err(_))),
        "a replay is refused"
    );
}

/// One of four is silent: three go on; it returns and catches up. Covers: A1.
#[test]
fn three_of_four_go_on_and_the_fourth_catches_up() {
    let mut world = World::new(4, 0, 3);
    assert!(world.reach(&[0, 1, 2, 3], 3, 20_000));
    world.kill(3);
    assert!(world.reach(&[0, 1, 2], 40, 120_000));
    world.start(3);
    let target = world.height(0) + 3;
    assert!(world.reach(&[0, 1, 2, 3], target, 30_000));
}

/// Two of four are down: no block, ever; one returns: blocks within ten seconds. Covers: A1.
#[test]
fn two_of_four_down_stops_blocks_and_one_return_resumes_them() {
    let mut world = World::new(4, 0, 4);
    assert!(world.reach(&[0, 1, 2, 3], 3, 20_000));
    world.kill(2);
    world.kill(3);
    world.run_for(2_000);
    let stopped = world.height(0).max(world.height(1));
    world.run_for(300_000);
    assert_eq!(
        world.height(0).max(world.height(1)),
        stopped,
        "a block without a quorum"
    );
    world.start(2);
    assert!(world.reach(&[0, 1, 2], stopped + 1, 10_000));
}

/// Kill and restart at any instant, over and over: agreement holds (the world asserts it) and blocks go on. Covers: A1.
#[test]
fn restarts_at_any_instant_never_fork() {
    for seed in 0..12 {
        let mut world = World::new(4, 0, 1_000 + seed);
        for round in 0..20u64 {
            let victim = ((seed + round) % 4) as usize;
            world.run_for(137 + 211 * ((seed * 7 + round * 3) % 11));
            world.kill(victim);
            world.run_for(53 * (round % 5));
            world.start(victim);
        }
        let target = (0..4).map(|node| world.height(node)).max().unwrap() + 3;
        assert!(world.reach(&[0, 1, 2, 3], target, 60_000), "seed {seed}");
        assert!(world.halts.is_empty(), "seed {seed}: {:?}", world.halts);
    }
}

/// All four lose power at any instant; what was agreed stays agreed and blocks go on. Covers: A1.
#[test]
fn power_cut_of_all_loses_nothing() {
    for seed in 0..10 {
        let mut world = World::new(4, 0, 2_000 + seed);
        world.run_for(3_000 + 97 * seed);
        (0..4).for_each(|node| world.kill(node));
        let before = (0..4).map(|node| world.height(node)).max().unwrap();
        (0..4).for_each(|node| world.start(node));
        assert!(world.reach(&[0, 1, 2, 3], before + 3, 60_000), "seed {seed}");
        assert!(world.halts.is_empty(), "seed {seed}: {:?}", world.halts);
    }
}

/// Slow links and lost messages: agreement always, blocks in the end. Covers: A1.
#[test]
fn rough_weather_slows_but_does_not_stop() {
    for seed in 0..4 {
        let mut world = World::new(4, 1, 3_000 + seed);
        world.weather = ROUGH;
        assert!(world.reach(&[0, 1, 2, 3, 4], 10, 240_000), "seed {seed}");
    }
}

/// A partition 2|2 stops both sides; healed, they agree and go on. Covers: A1.
#[test]
fn a_partition_heals() {
    let mut world = World::new(4, 0, 5);
    assert!(world.reach(&[0, 1, 2, 3], 3, 20_000));
    world.partition(&[0, 1], &[2, 3]);
    world.run_for(60_000);
    let stopped = (0..4).map(|node| world.height(node)).max().unwrap();
    assert!(stopped <= 5, "a block without a quorum: {stopped}");
    world.heal();
    assert!(world.reach(&[0, 1, 2, 3], stopped + 3, 30_000));
}

/// All that went into the consensus protocol, in lives that ended at any instant, gives the same outputs again without engine,
/// network and clock. Covers: A1.
#[test]
fn a_log_of_every_life_replays() {
    let mut world = World::new(4, 0, 17);
    world.weather = ROUGH;
    for round in 0..6 {
        world.run_for(700 + 390 * round);
        world.kill(2);
        world.run_for(300);
        world.start(2);
    }
    assert!(world.reach(&[0, 1, 2, 3], 14, 180_000));
    for node in 0..4 {
        let done = watt_scp::replay::log::replay(&world.scp_log(node)).unwrap();
        assert_eq!(done.lives, if node == 2 { 7 } else { 1 });
        assert!(done.decided >= 5 && done.steps > done.slots, "{done:?}");
    }
}
