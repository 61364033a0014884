//! Proven storage as power: who leads how often.

use crate::backbone::short;
use crate::leaders::come_out_empty;
use crate::miner::{Miner, live_one_window};
use crate::world::{World, id, key, pledge_for};
use watt_ledger::query::{leader_weights, power_bytes};
use watt_ledger::{StateRead, query};
use watt_primitives::{NodeId, Term};

const MIB: u64 = 1 << 20;

/// A world with terms of two windows, in whose term 1 person 10 proves a sector of 1 MiB for the seat of person 40.
fn proven_for_a_seat() -> World {
    let mut world = World::of(&short());
    world.go_to_height(13);
    world.act(10, pledge_for(MIB, 40)).unwrap();
    let mut miner = Miner::new(10);
    miner.add_sector(&mut world, 1, &[]).unwrap();
    world.go_to_height(43);
    for _ in 0..2 {
        let done = live_one_window(&mut world, &mut [&mut miner]);
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }
    world
}

fn power(state: &impl StateRead, n: u8, term: u64) -> u64 {
    power_bytes(state, &query::rules(state).unwrap(), &id(n), Term(term))
}

fn weight_of(world: &World, n: u8) -> u64 {
    let node: NodeId = key(n).node_id();
    let weights = leader_weights(&world.state);
    let known = weights.iter().find(|(key, _)| *key == node);
    known.map_or(u64::MAX, |(_, weight)| *weight)
}

/// What a provider proves in both windows of a term is, in the next one, the power of the seat that it named: it leads more often than
/// seats without power, by an eighth for the first unit. It is over with the term. Covers: D5.
#[test]
fn what_is_proven_leads() {
    let mut world = proven_for_a_seat();
    assert_eq!(world.height() / 20, 3, "in the term after");
    assert_eq!((power(&world.state, 40, 2), power(&world.state, 10, 2)), (MIB, 0));
    assert_eq!(weight_of(&world, 200), u64::MAX);
    let others = u64::try_from(u128::from(u64::MAX) * 8 / 9).unwrap();
    assert_eq!([201, 202, 203].map(|n| weight_of(&world, n)), [others; 3]);
    world.go_to_height(79);
    assert_eq!(
        leader_weights(&world.state),
        [],
        "for the first slot of the term after"
    );
}

/// Power doesn't help who withholds: such a seat leads an eighth as often, whatever it proved. Covers: D5.
#[test]
fn power_does_not_excuse_empty_blocks() {
    let mut world = proven_for_a_seat();
    (0..2).for_each(|_| come_out_empty(&mut world, 200));
    assert_eq!(weight_of(&world, 200), u64::MAX / 8);
}

/// Whoever proves nothing leads alike with all others who prove nothing: losing all power stops nothing. Covers: D5.
#[test]
fn without_power_all_lead_alike() {
    let mut world = World::of(&short());
    for height in [1, 19, 39, 59] {
        world.go_to_height(height);
        assert_eq!(leader_weights(&world.state), []);
    }
}
