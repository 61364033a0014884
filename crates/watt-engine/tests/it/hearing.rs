//! Which validators a node hears, and which it does not.

use crate::world::{World, key};
use watt_engine::hearing::Word;
use watt_primitives::NodeId;

/// The last words of others; what a node said itself comes back to it too.
fn words(world: &World, node: usize) -> Vec<(NodeId, Word)> {
    let engine = world.engine(node);
    let words = engine.hearing().words();
    words
        .filter(|(heard, _)| engine.own_entry() != Some(*heard))
        .collect()
}

/// A validator hears the three others as blocks close; of one that is down the last word stays where it was. A follower listens to
/// nobody. Covers: A4.
#[test]
fn who_falls_silent_is_seen() {
    let mut world = World::new(4, 1, 1);
    assert!(world.reach(&[0, 1, 2, 3, 4], 5, 40_000));
    let heard = words(&world, 0);
    let slot = world.height(0);
    assert_eq!(heard.len(), 3);
    for (_, word) in &heard {
        // Three of four may have agreed without the fourth.
        assert!(word.slot.0 + 1 >= slot && word.at <= world.now);
    }
    assert_eq!(words(&world, 4), []);
    assert_eq!(world.engine(0).own_entry(), Some(key(1).node_id()));
    assert_eq!(world.engine(4).own_entry(), None);

    world.kill(3);
    let before = world.height(0);
    assert!(world.reach(&[0, 1, 2], before + 10, 60_000));
    let silent = key(4).node_id();
    for (node, word) in words(&world, 0) {
        assert_eq!(word.slot.0 >= before + 10, node != silent);
    }
}

/// Two of four are gone and nothing new is said: the one who lives repeats itself, and is heard; the others are not.
#[test]
fn in_a_standstill_the_living_are_heard() {
    let mut world = World::new(4, 0, 1);
    assert!(world.reach(&[0, 1, 2, 3], 5, 40_000));
    world.kill(2);
    world.kill(3);
    let gone = world.now;
    world.run_for(180_000);
    let height = world.height(0);
    for (node, word) in words(&world, 0) {
        let is_alive = node == key(2).node_id();
        assert_eq!(word.at > gone.plus(120_000), is_alive, "{word:?}");
    }
    assert_eq!(world.height(0), height);
}
