//! Proposers whose blocks come out empty.

use crate::backbone::{others, short};
use crate::world::{World, id, key};
use watt_ledger::apply::{EMPTY_WITHIN, REDUCED_FOR};
use watt_ledger::query::reduced_leaders;
use watt_ledger::{NoFolded, UncheckedBlock, apply_block};
use watt_light::{Backbone, BackboneEntry, Heartbeats};
use watt_primitives::NodeId;

fn node(n: u8) -> NodeId {
    key(n).node_id()
}

/// The next block comes out empty, proposed by `n`.
pub fn come_out_empty(world: &mut World, n: u8) {
    let mut proposal = world.proposal(&[]);
    proposal.proposer = node(n);
    let block = UncheckedBlock {
        proposal: proposal.sign(&key(n)),
        is_empty: true,
        transactions: Vec::new(),
        heartbeats: Heartbeats::empty(),
    };
    let block = block.check(&world.network, &NoFolded).unwrap();
    let outcome = apply_block(&world.state, &block).unwrap();
    world.keep(outcome);
}

/// One empty block is an accident; a second within 64 slots, and no later, makes its proposer lead less often, for 720 slots and no
/// longer (TC33). Covers: A1.
#[test]
fn two_empty_blocks_in_64_slots_count() {
    let mut world = World::new();
    come_out_empty(&mut world, 200);
    world.blind_skip(EMPTY_WITHIN);
    come_out_empty(&mut world, 200);
    assert_eq!(reduced_leaders(&world.state), [], "65 slots later");
    world.blind_skip(EMPTY_WITHIN - 1);
    come_out_empty(&mut world, 200);
    assert_eq!(reduced_leaders(&world.state), [node(200)], "64 slots later");
    world.blind_skip(REDUCED_FOR - 1);
    assert_eq!(reduced_leaders(&world.state), [node(200)]);
    world.blind_skip(1);
    assert_eq!(reduced_leaders(&world.state), []);
}

/// If more proposers than may be faulty have empty blocks, it is the network, and all lead alike; a proposer that is no entry leaves
/// nothing behind. Covers: A1.
#[test]
fn a_slow_network_is_nobodys_fault() {
    let mut world = World::new();
    (0..2).for_each(|_| come_out_empty(&mut world, 200));
    (0..2).for_each(|_| come_out_empty(&mut world, 9));
    assert_eq!(reduced_leaders(&world.state), [node(200)]);
    (0..2).for_each(|_| come_out_empty(&mut world, 201));
    assert_eq!(reduced_leaders(&world.state), []);
}

/// Who withheld blocks is known by the seat: its next key leads less often as well; who has no seat any more is forgotten.
#[test]
fn withholding_is_remembered_of_the_seat() {
    let mut world = World::of(&short());
    let mut kept = others().entries().to_vec();
    let returning = BackboneEntry {
        account: id(40),
        key: NodeId([3; 32]),
        cold_key: None,
    };
    kept.push(returning);
    world.elect(1, &Backbone::new(kept).unwrap());
    (0..2).for_each(|_| come_out_empty(&mut world, 200));
    assert_eq!(reduced_leaders(&world.state), [node(200)]);
    world.blind_skip(17);
    assert_eq!(reduced_leaders(&world.state), [returning.key]);
    world.elect(2, &others());
    world.blind_skip(20);
    assert_eq!(reduced_leaders(&world.state), []);
}
