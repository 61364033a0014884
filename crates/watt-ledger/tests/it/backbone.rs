//! The backbones of terms in the state.

use crate::world::{World, genesis, id, key, seat};
use watt_ledger::{Genesis, query, rows, tree};
use watt_light::{Backbone, BackboneEntry};
use watt_primitives::{BlockHeight, Term, codec};

/// Terms of 20 slots.
pub fn short() -> Genesis {
    let mut document = genesis("terms");
    document.parameters.term_windows = 2;
    document
}

pub fn others() -> Backbone {
    let entry = |n: u8| BackboneEntry {
        account: id(10 + n),
        key: key(100 + n).node_id(),
        cold_key: None,
    };
    Backbone::new((0..7).map(entry).collect()).unwrap()
}

impl World {
    fn backbone(&self, term: u64) -> Option<Backbone> {
        query::backbone_of_term(&self.state, Term(term))
    }

    /// As if an election had said so, and were the last.
    pub fn elect(&mut self, term: u64, backbone: &Backbone) {
        let row = (rows::backbone(Term(term)), Some(codec::encode(backbone)));
        self.state.write(&[row, (rows::SEATS.to_vec(), None)].into());
    }
}

/// Rows stand for the running term, the one before and the next one; each is provable.
#[test]
fn three_terms_stand_in_the_state() {
    let document = short();
    let mut world = World::of(&document);
    let first = document.first_backbone().unwrap();
    assert_eq!(first, Backbone::new((0..4).map(seat).collect()).unwrap());
    for height in 1..=100 {
        world.blind_skip(1);
        let term = height / 20;
        for other in 0..8 {
            let is_there = other <= term + 1 && other + 1 >= term;
            assert_eq!(
                world.backbone(other),
                is_there.then(|| first.clone()),
                "{height} {other}"
            );
        }
    }
    assert!(tree::prove(&world.state, &rows::backbone(Term(6))).is_ok());
    let rules = query::rules(&world.state).unwrap();
    assert_eq!(query::term_of_height(&rules, BlockHeight(99)), Term(4));
}

/// The header of the last block of a term names the backbone of the next one, which decides from the next slot on and names the
/// term after it; every slot has exactly one.
#[test]
fn headers_hand_over_at_the_boundary() {
    let document = short();
    let mut world = World::of(&document);
    let (first, other) = (document.first_backbone().unwrap(), others());
    world.elect(1, &other);
    let hash = |backbone: &Backbone| backbone.quorum_set().hash(&document.network());
    for height in 0..60 {
        assert_eq!(world.height(), height);
        let decides_next = if height + 1 < 20 { &first } else { &other };
        assert_eq!(world.last.header.next_backbone, hash(decides_next), "{height}");
        assert_eq!(query::deciders(&world.state).as_ref(), Some(decides_next));
        world.blind_skip(1);
    }
}
