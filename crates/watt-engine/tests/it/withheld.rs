//! A validator that announces bodies and does not give them (TC33).

use crate::agreement::transfer;
use crate::world::{Withholding, World};

/// Slots that are watched.
const SLOTS: u64 = 60;

/// A slot may take so long whatever one of four does, in milliseconds.
const SLOT_MS_MAX: u64 = 15_000;

/// One of four withholds the bodies of its proposals from all, from half, or from all but one: no slot takes longer than 15 s, a block
/// is empty only if it was the withholder's turn, and every transaction lands. Covers: A1, A6.
#[test]
fn withheld_bodies_delay_and_do_not_stop() {
    for withholding in [Withholding::All, Withholding::Half, Withholding::AllButOne] {
        let mut world = World::new(4, 0, 130);
        world.withholding.insert(3, withholding);
        for slot in 0..SLOTS {
            let signed = transfer(&world, 100, slot, b"");
            world.submit(0, signed);
            let target = world.height(0) + 1;
            assert!(
                world.reach(&[0, 1, 2, 3], target, 2 * SLOT_MS_MAX),
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
        let withholder = crate::world::key(4).node_id();
        for (block, header) in blocks {
            let is_his = block.proposal.proposal.proposer == withholder;
            assert!(
                !block.is_empty || is_his,
                "{withholding:?}: block {} is empty",
                header.height
            );
        }
    }
}
