//! A follower whose quorum set has its owner's circle in it.

use crate::agreement::transfer;
use crate::world::World;
use watt_light::BlockName;
use watt_primitives::{BlockHeight, NodeId};

/// The follower, beside four validators.
const FOLLOWER: usize = 4;

/// Pause between two rounds of questions, in milliseconds.
const ROUND_MS: u64 = 200;

fn friend(n: u8) -> NodeId {
    NodeId([n; 32])
}

/// A network of four validators and a follower that waits for its circle.
fn network(seed: u64) -> World {
    let mut world = World::new(4, 1, seed);
    world.kill(FOLLOWER);
    world.circled.insert(FOLLOWER);
    world.start(FOLLOWER);
    world
}

/// The nodes of a circle of `n`, of which those named follow the follower's own network, and all others follow `elsewhere`.
fn ask(world: &mut World, n: u8, here: &[u8], elsewhere: Option<&World>) {
    let Some(wanted) = world.engine(FOLLOWER).wants_circle() else {
        return;
    };
    let named = |world: &World| -> Option<BlockName> {
        let height = wanted.min(BlockHeight(world.height(0)));
        let header = world.header(0, height)?;
        Some(BlockName {
            height,
            hash: header.hash(),
        })
    };
    let mut words = Vec::new();
    for person in 1..=n {
        let block = if here.contains(&person) {
            named(world)
        } else {
            elsewhere.and_then(&named)
        };
        words.extend(block.map(|block| (friend(person), block)));
    }
    world.tell_circle(FOLLOWER, (1..=n).map(friend).collect(), &words);
}

/// Lets `ms` pass, asking the circle again and again.
fn live(world: &mut World, ms: u64, n: u8, here: &[u8], elsewhere: Option<&World>) {
    for _ in 0..ms / ROUND_MS {
        world.run_for(ROUND_MS);
        ask(world, n, here, elsewhere);
    }
}

/// Before its circle is known a follower stores nothing; with two of four it goes as far as the network, also from far behind, and
/// while those two are asleep it waits and goes on when they are back. Three people are not asked.
///
/// Covers: A3.
#[test]
fn a_follower_waits_for_its_circle_and_goes_on() {
    let mut world = network(1);
    assert!(world.reach(&[0, 1, 2, 3], 150, 400_000));
    assert_eq!(world.height(FOLLOWER), 0, "nobody has told of a circle");
    live(&mut world, 8_000, 4, &[2, 3], None);
    assert!(world.height(FOLLOWER) >= 150, "{}", world.height(FOLLOWER));

    let stood = world.height(FOLLOWER);
    live(&mut world, 8_000, 4, &[3], None);
    assert!(world.height(FOLLOWER) <= stood + 1, "one of four is not enough");
    live(&mut world, 8_000, 4, &[1, 4], None);
    assert!(
        world.height(FOLLOWER) + 2 >= world.height(0),
        "{}",
        world.height(FOLLOWER)
    );

    let stood = world.height(FOLLOWER);
    live(&mut world, 8_000, 3, &[], None);
    assert!(
        world.height(FOLLOWER) > stood + 4,
        "three are too few to be asked"
    );
    assert!(world.hang_ups.is_empty(), "nobody is blamed for it");
}

/// All validators together tell a follower of a private chain, with proofs that hold. As long as two of its four friends follow the
/// network that everybody else has, nothing of it is stored, and neither if one of them joins; with two of them in it, it is. Without
/// the circle it is stored as it comes.
///
/// Covers: A1, A3.
#[test]
fn a_private_fork_needs_friends_too() {
    let mut real = World::new(4, 0, 2);
    assert!(real.reach(&[0, 1, 2, 3], 40, 200_000));
    let mut fork = network(3);
    let private = transfer(&fork, 100, 0, b"private");
    fork.submit(0, private);
    assert!(fork.reach(&[0, 1, 2, 3], 20, 200_000));
    assert_eq!(real.network, fork.network, "the same genesis, the same keys");
    let parts = (1..20).map(BlockHeight).find(|height| {
        let [one, other] = [&real, &fork].map(|world| world.header(0, *height));
        one.map(watt_light::Header::hash) != other.map(watt_light::Header::hash)
    });
    let parts = parts.unwrap().0;

    live(&mut fork, 10_000, 4, &[], Some(&real));
    assert!(fork.height(FOLLOWER) < parts, "{}", fork.height(FOLLOWER));
    live(&mut fork, 10_000, 4, &[1], Some(&real));
    assert!(fork.height(FOLLOWER) < parts, "one of four is not enough");
    let refused = fork.engine(FOLLOWER).refused();
    assert!(
        refused.contains_key("block that the circle does not have"),
        "{refused:?}"
    );
    live(&mut fork, 20_000, 4, &[1, 2], Some(&real));
    assert!(
        fork.height(FOLLOWER) + 2 >= fork.height(0),
        "{}",
        fork.height(FOLLOWER)
    );

    let mut alone = World::new(4, 1, 3);
    assert!(alone.reach(&[0, FOLLOWER], 20, 200_000), "by the backbone alone");
}

/// A node with a voting key goes on with the backbone alone, whatever its owner wants. Covers: A1.
#[test]
fn a_validator_waits_for_no_circle() {
    let mut world = World::new(4, 0, 4);
    world.kill(3);
    world.circled.insert(3);
    world.start(3);
    assert!(world.reach(&[0, 1, 2, 3], 10, 100_000));
}
