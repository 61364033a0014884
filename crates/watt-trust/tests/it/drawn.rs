//! Numbers that look like chance and are the same in every run (SplitMix64), and graphs made with them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::thread;
use watt_primitives::TrustLevel;
use watt_trust::{Edge, Graph, Person, Piece};

pub(crate) struct Drawn(pub(crate) u64);

impl Drawn {
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(bound)).unwrap()
    }
}

/// Edges in the making: one per pair.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust(pub(crate) BTreeMap<(u32, u32), TrustLevel>);

impl Trust {
    pub(crate) fn add(&mut self, from: u32, to: u32, level: TrustLevel) {
        if from != to {
            self.0.insert((from, to), level);
        }
    }

    pub(crate) fn add_mutual(&mut self, one: u32, other: u32, level: TrustLevel) {
        self.add(one, other, level);
        self.add(other, one, level);
    }

    pub(crate) fn edges(&self) -> impl Iterator<Item = Edge> + Clone {
        self.0.iter().map(|((from, to), level)| Edge {
            from: Person(*from),
            to: Person(*to),
            level: *level,
        })
    }

    pub(crate) fn graph(&self, n_people: u32) -> Graph {
        Graph::new(n_people, self.edges()).unwrap()
    }
}

pub(crate) fn people(numbers: impl IntoIterator<Item = u32>) -> Vec<Person> {
    numbers.into_iter().map(Person).collect()
}

/// So many pieces.
pub(crate) fn pieces(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// Every piece on a thread of its own.
pub(crate) fn on_threads(pieces: Vec<Piece<'_>>) {
    thread::scope(|scope| {
        for piece in pieces {
            scope.spawn(|| piece.run());
        }
    });
}

/// Last piece first.
pub(crate) fn backwards(pieces: Vec<Piece<'_>>) {
    pieces.into_iter().rev().for_each(Piece::run);
}
