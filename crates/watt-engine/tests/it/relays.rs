//! Who passes statements on to whom: few enough for a bad link, enough for one that fails.

use crate::world::World;

/// Thirteen that all know each other.
const ALL: [usize; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// Copies of each statement that a node gets on average, over `n_slots` slots.
fn copies(world: &mut World, n_slots: u64) -> f64 {
    (world.statements, world.bytes) = (0, 0);
    world.said.clear();
    let height = world.height(0) + n_slots;
    assert!(world.reach(&ALL, height, n_slots * 4_000), "blocks close");
    world.statements as f64 / (world.said.len() * (ALL.len() - 1)) as f64
}

/// Where all know all, each statement comes from its own node and from a few others, not from everybody; before anybody has asked
/// for that it comes from everybody. Covers: A1, A6.
#[test]
fn a_statement_comes_from_a_few() {
    let mut world = World::new(13, 0, 301);
    let at_first = copies(&mut world, 1);
    copies(&mut world, 5);
    let then = copies(&mut world, 20);
    assert!(at_first > 8.0, "{at_first} copies at first");
    assert!(then < 5.0, "{then} copies, {} bytes", world.bytes);
}

/// Nine of thirteen are left, so each is needed, and all links of one but two die without a word, those to its sources among them:
/// the two bring what the others brought, and blocks go on. Covers: A1.
#[test]
fn dead_sources_are_replaced() {
    let mut world = World::new(13, 0, 302);
    assert!(world.reach(&ALL, 8, 60_000));
    (9..13).for_each(|node| world.kill(node));
    world.partition(&[0], &[1, 2, 3, 4, 5, 6]);
    let nine = &ALL[..9];
    let height = world.height(0) + 10;
    assert!(
        world.reach(nine, height, 240_000),
        "heights {:?}",
        nine.iter().map(|n| world.height(*n)).collect::<Vec<_>>()
    );
}

/// A network in two parts, neither of which can go on, says little while it stands: what is said again and asked for must leave a bad
/// link free for what is new. Covers: A1, A6.
#[test]
fn a_network_that_stands_still_says_little() {
    let mut world = World::new(13, 0, 304);
    assert!(world.reach(&ALL, 4, 60_000));
    world.partition(&ALL[..6], &ALL[6..]);
    world.run_for(30_000);
    world.bytes = 0;
    world.run_for(60_000);
    let per_link_and_second = world.bytes / (60 * ALL.len() * (ALL.len() - 1));
    assert!(
        per_link_and_second < 300,
        "{per_link_and_second} bytes per link and second"
    );
}
