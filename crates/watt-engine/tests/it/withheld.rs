//! A validator that announces bodies and does not give them (TC33).

use crate::agreement::transfer;
use crate::world::{Withholding, World};

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
        let mut world = World::new(7, 0, 130);
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
