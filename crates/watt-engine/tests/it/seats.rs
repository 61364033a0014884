//! What nodes do for their seats by themselves: keys registered ahead, windows attended, layers revealed.

use crate::equivocation::{nominate, say, two_proposals};
use crate::world::World;
use std::collections::BTreeSet;
use watt_ledger::query;
use watt_primitives::{NodeId, SlotIndex, Term};

/// Slots of a term: four windows of eight.
const TERM: u64 = 32;

const ALL: [usize; 4] = [0, 1, 2, 3];

fn world(seed: u64) -> World {
    let mut world = World::with_terms(4, 1, seed, 4, &[]);
    world.are_dutiful = true;
    for node in ALL {
        world.kill(node);
    }
    ALL.iter().for_each(|node| world.start(*node));
    world
}

impl World {
    fn keys_in(&self, term: u64) -> BTreeSet<NodeId> {
        let backbone = query::backbone_of_term(self.state(0), Term(term)).unwrap();
        backbone.entries().iter().map(|entry| entry.key).collect()
    }
}

/// Four validators vote with new keys in every term, though nobody does anything for it: registered ahead, forgotten afterwards, one of
/// them restarted in the middle. They attend all windows, and the beacon is made of all layers. Covers: A1, A2.
#[test]
fn seats_are_kept_by_themselves() {
    let mut world = world(501);
    let everybody = [0, 1, 2, 3, 4];
    assert!(
        world.reach(&everybody, 2 * TERM + 5, 300_000),
        "at {}",
        world.height(0)
    );
    let before = world.keys_in(2);
    world.kill(2);
    world.run_for(4_000);
    world.start(2);
    assert!(
        world.reach(&everybody, 4 * TERM + 5, 300_000),
        "at {}",
        world.height(0)
    );
    let after = world.keys_in(4);
    assert_eq!((before.len(), after.len()), (4, 4));
    assert!(before.is_disjoint(&after), "keys live for a term");
    for node in ALL {
        let disk = world.disk(node);
        assert!(
            disk.secrets.iter().all(|secrets| secrets.term >= Term(3)),
            "node {node}"
        );
        assert!(
            disk.secrets.iter().any(|secrets| secrets.term > Term(10)),
            "node {node}"
        );
        let duties = query::duties(world.state(0), &crate::world::seat(node as u8 + 1).account).unwrap();
        assert!(duties.windows.len() <= 2, "node {node}: {:?}", duties.windows);
    }
    assert!(world.halts.is_empty() && world.hang_ups.is_empty());
}

/// A validator shows two proposals of one slot to the others: nobody does anything, and the ledger knows it, from one of them only.
/// Covers: A4.
#[test]
fn evidence_is_handed_in_by_itself() {
    let mut world = world(502);
    let honest = [0, 1, 2, 4];
    assert!(world.reach(&honest, 3, 60_000));
    world.usurp(3);
    let culprit = crate::world::seat(4).account;
    let proposals = two_proposals(&world);
    for proposal in proposals {
        let votes = nominate(&[proposal.proposal.value()], &[]);
        say(&mut world, &[0, 1, 2], &votes, &[proposal]);
    }
    let slot = SlotIndex::from(world.head(0).height).next();
    assert!(query::faulty(world.state(0), &culprit).is_none());
    // Every voter has had its turn.
    assert!(world.reach(&honest, TERM + 8, 300_000));
    let row = query::faulty(world.state(0), &culprit).expect("the ledger knows");
    assert_eq!(row.slot, slot);
    let seats = query::seats(world.state(0)).unwrap();
    assert_eq!(
        seats.backbone.seats().len(),
        4,
        "nobody stands by who could be drawn"
    );
}
