//! A validator that announces bodies and does not give them (TC33), and one that takes long to try them (TC35).

use crate::agreement::transfer;
use crate::world::{Withholding, World};
use std::collections::BTreeSet;
use watt_engine::message::Message;
use watt_primitives::SharedBytes;

/// Slots that are watched.
const SLOTS: u64 = 120;

/// Slots after which the withholders lead less often.
const SETTLED: u64 = 30;

/// A slot may take so long whatever two of seven do, in milliseconds.
const SLOT_MS_MAX: u64 = 15_000;

/// Two of seven withhold the bodies of their proposals from all, from half, or from all but one: no slot takes longer than 15 s, a
/// block is empty only if it was a withholder's turn, every transaction lands, and soon nine of ten blocks are full, since who
/// withholds leads less often. Covers: A1, A6.
#[test]
fn withheld_bodies_delay_and_do_not_stop() {
    for withholding in [Withholding::All, Withholding::Half, Withholding::AllButOne] {
        let mut world = World::new(7, 0, 2);
        world.withholding.insert(5, withholding);
        world.withholding.insert(6, withholding);
        for slot in 0..SLOTS {
            let signed = transfer(&world, 100, slot, b"");
            world.submit(0, signed);
            let target = world.height(0) + 1;
            assert!(
                world.reach(&[0, 1, 2, 3, 4, 5, 6], target, 2 * SLOT_MS_MAX),
                "{withholding:?}"
            );
        }
        let landed = |world: &World| -> usize {
            let blocks = world.disk(0).blocks.iter();
            blocks.map(|(block, _)| block.transactions.len()).sum()
        };
        // The last ones may meet several turns of the withholder in a row.
        let end = world.now.plus(20 * SLOT_MS_MAX);
        assert!(
            world.run_until(end, |world| landed(world) as u64 == SLOTS),
            "{withholding:?}: {} of {SLOTS} landed",
            landed(&world)
        );
        let blocks = &world.disk(0).blocks;
        let closed = blocks.iter().map(|(_, header)| header.close_time.0);
        let longest = closed
            .clone()
            .zip(closed.skip(1))
            .map(|(a, b)| b - a)
            .max()
            .unwrap();
        assert!(longest <= SLOT_MS_MAX, "{withholding:?}: a slot of {longest} ms");
        let withholders = [6, 7].map(|seed| crate::world::key(seed).node_id());
        let late = blocks.iter().filter(|(_, header)| header.height.0 > SETTLED);
        let n_empty = late.clone().filter(|(block, _)| block.is_empty).count();
        assert!(
            n_empty * 10 <= late.count(),
            "{withholding:?}: {n_empty} empty after {SETTLED}"
        );
        for (block, header) in blocks {
            let is_his = withholders.contains(&block.proposal.proposal.proposer);
            assert!(
                !block.is_empty || is_his,
                "{withholding:?}: block {} is empty",
                header.height
            );
        }
    }
}

/// Trials of blocks take four seconds at one of four, and so fail there: it speaks all the same, the others never wait for it, it is
/// never far behind, and that others agree on what it could not try in time is no reason to stop (TC35). Covers: A1, A6.
#[test]
fn slow_trials_silence_nobody() {
    let mut world = World::new(4, 0, 131);
    world.slow.insert(0, 4_000);
    assert!(world.reach(&[0, 1, 2, 3], 2, 30_000));
    let (began, first) = (world.now, world.height(1));
    world.said.clear();
    for nonce in 0..20 {
        let signed = transfer(&world, 100, nonce, b"");
        world.submit(1, signed);
        let target = world.height(1) + 1;
        assert!(world.reach(&[1, 2, 3], target, 10_000), "block {target}");
        assert!(
            world.height(0) + 8 >= world.height(1),
            "the slow one is left behind"
        );
    }
    let per_block = (world.now.0 - began.0) / (world.height(1) - first);
    assert!(per_block < 2_000, "{per_block} ms a block");
    let slow = crate::world::key(1).node_id();
    let slots: BTreeSet<u64> = world
        .said
        .iter()
        .filter(|said| said.node == slow)
        .map(|said| said.slot.0)
        .collect();
    assert!(slots.len() >= 10, "it spoke in {slots:?}");
    assert_eq!(world.halts, []);
    assert!(world.reach(&[0, 1, 2, 3], world.height(1) + 1, 30_000));
}

/// A trial takes a moment too long at one of four, and the others agree on the block right after: that it was slow is no reason to stop,
/// it has the block from them (TC7). Covers: A1, A6.
#[test]
fn a_block_that_was_tried_in_vain_comes_from_others() {
    let mut world = World::new(4, 0, 132);
    assert!(world.reach(&[0, 1, 2, 3], 2, 30_000));
    world.slow = (0..4)
        .map(|node| (node, if node == 0 { 3_001 } else { 2_999 }))
        .collect();
    let height = world.height(1) + 10;
    assert!(
        world.reach(&[0, 1, 2, 3], height, 300_000),
        "halts: {:?}",
        world.halts
    );
    assert_eq!(world.halts, []);
}

/// A validator that sends something else as the body of every proposal it hears of, before anybody else can send the real one, is
/// left by everybody, and blocks are full all the same (TC33, TC35). Covers: A1, A6.
#[test]
fn wrong_bodies_cost_the_connection() {
    const LIAR: usize = 3;
    let mut world = World::new(4, 0, 131);
    assert!(world.reach(&[0, 1, 2], 2, 60_000));
    world.usurp(LIAR);
    let mut named = BTreeSet::new();
    for slot in 0..10 {
        let signed = transfer(&world, 100, slot, b"");
        world.submit(0, signed);
        let target = world.height(0) + 1;
        let end = world.now.plus(SLOT_MS_MAX);
        while world.height(0) < target && world.now < end {
            world.run_for(1);
            for bytes in std::mem::take(&mut world.overheard) {
                if let Ok(Message::Statement { proposals, .. }) = Message::decode(&bytes) {
                    let proposals = proposals.iter().map(|signed| &signed.proposal);
                    named.extend(
                        proposals.map(|proposal| (proposal.slot, proposal.value(), proposal.body_bytes)),
                    );
                }
            }
            // Said all the time, so that it comes as soon as somebody waits for it.
            for (_, value, len) in named.iter().filter(|(slot, ..)| slot.0 == target) {
                let body = SharedBytes::new(vec![0xff; *len as usize].into()).unwrap();
                let message = Message::Body { value: *value, body };
                (0..LIAR).for_each(|node| world.inject(LIAR, node, message.encode()));
            }
        }
        assert!(world.height(0) >= target, "slot {slot} is not decided");
    }
    let left: BTreeSet<usize> = world
        .hang_ups
        .iter()
        .filter(|(_, peer)| *peer == LIAR)
        .map(|(node, _)| *node)
        .collect();
    assert_eq!(left, BTreeSet::from([0, 1, 2]));
    assert!(
        world.hang_ups.iter().all(|(_, peer)| *peer == LIAR),
        "an honest node was left"
    );
    let landed: usize = world
        .disk(0)
        .blocks
        .iter()
        .map(|(block, _)| block.transactions.len())
        .sum();
    assert!(landed >= 9, "{landed} of 10 landed");
}
