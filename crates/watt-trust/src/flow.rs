//! Mass that flows along edges, round by round (`docs/spec/trust.md` §3.1): what both ranks have in common.
//!
//! A round has two halves. First everyone's share per unit of weight is worked out, then everyone sums what reaches them. In
//! each half a person's number depends on numbers of the half before only, so a half falls into pieces that may run in any
//! order, at once, on any number of threads, with the same result.

use crate::graph::{Graph, Person};
use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroUsize;

/// All the mass there is, in every round.
pub const MASS: u64 = 1 << 56;

/// The people in whom trust begins: at least one, each once, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(Vec<Person>);

/// Why a list can't be seeds of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSeeds {
    /// The list is empty.
    #[error("there is no seed")]
    None,
    /// The list is not strictly ascending.
    #[error("seed {found} is there twice or out of order")]
    Order {
        /// The first that is.
        found: u32,
    },
    /// A seed is not in the graph.
    #[error("seed {found} is not among the {n_people} people")]
    UnknownPerson {
        /// The first that isn't.
        found: u32,
        /// How many people there are.
        n_people: u32,
    },
}

impl Seeds {
    /// These people of `graph`.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn new(graph: &Graph, people: Vec<Person>) -> Result<Self, InvalidSeeds> {
        let last = people.last().ok_or(InvalidSeeds::None)?;
        let pairs = people.iter().zip(people.iter().skip(1));
        for (before, after) in pairs {
            if before >= after {
                return Err(InvalidSeeds::Order { found: after.0 });
            }
        }
        let n_people = graph.n_people();
        if last.0 >= n_people {
            return Err(InvalidSeeds::UnknownPerson {
                found: last.0,
                n_people,
            });
        }
        Ok(Self(people))
    }

    /// Who they are.
    #[must_use]
    pub fn people(&self) -> &[Person] {
        &self.0
    }

    /// Gives `amount` to the seeds: the same to each, and one more to each of the first until nothing is left.
    pub(crate) fn receive(&self, mass: &mut [u64], amount: u64) {
        let n = u64::try_from(self.0.len()).unwrap_or(u64::MAX).max(1);
        let each = amount.checked_div(n).unwrap_or(0);
        let mut left = amount.checked_rem(n).unwrap_or(0);
        for seed in &self.0 {
            if let Some(held) = mass.get_mut(seed.index()) {
                *held = held.saturating_add(each).saturating_add(left.min(1));
            }
            left = left.saturating_sub(1);
        }
    }
}

/// How a rank moves mass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// PageRank: of a person's mass, damped, each unit of weight that they give carries the same; the rest is given out anew.
    Damped,
    /// SybilRank: each unit of weight carries the same, what can't be divided stays.
    Kept,
}

/// Damping is `DAMPING / 256`.
const DAMPING: u64 = 217;

impl Rule {
    /// What one unit of weight carries, of somebody who has `mass` and gives `weight` in all.
    fn share(self, mass: u64, weight: u32) -> u64 {
        let moving = match self {
            // Below 2⁵⁶ * 2⁸.
            Self::Damped => mass.saturating_mul(DAMPING) >> 8,
            Self::Kept => mass,
        };
        moving.checked_div(u64::from(weight)).unwrap_or(0)
    }

    /// What stays with somebody who had `mass` and whose share was `share`.
    fn stays(self, mass: u64, share: u64, weight: u32) -> u64 {
        match self {
            Self::Damped => 0,
            Self::Kept => mass.saturating_sub(share.saturating_mul(u64::from(weight))),
        }
    }
}

/// Everyone's mass after some rounds.
#[derive(Clone, Debug)]
pub(crate) struct Flow<'a> {
    graph: &'a Graph,
    rule: Rule,
    pub(crate) mass: Vec<u64>,
    shares: Vec<u64>,
}

/// A piece of half a round: numbers of some people in a row. The pieces of one half may run in any order and at once; all of
/// them have to have run before the next half begins.
#[derive(Debug)]
pub struct Piece<'a>(Half<'a>);

#[derive(Debug)]
enum Half<'a> {
    Shares {
        rule: Rule,
        mass: &'a [u64],
        given: &'a [u32],
        shares: &'a mut [u64],
    },
    Sums {
        rule: Rule,
        graph: &'a Graph,
        shares: &'a [u64],
        first: usize,
        mass: &'a mut [u64],
    },
}

impl Piece<'_> {
    /// Works the piece out.
    pub fn run(self) {
        match self.0 {
            Half::Shares {
                rule,
                mass,
                given,
                shares,
            } => {
                for ((share, mass), weight) in shares.iter_mut().zip(mass).zip(given) {
                    *share = rule.share(*mass, *weight);
                }
            }
            Half::Sums {
                rule,
                graph,
                shares,
                first,
                mass,
            } => {
                let own = shares.iter().zip(graph.given()).skip(first);
                for ((person, mass), (share, weight)) in graph.people().skip(first).zip(mass).zip(own) {
                    *mass = rule
                        .stays(*mass, *share, *weight)
                        .saturating_add(arriving(graph, shares, person));
                }
            }
        }
    }
}

/// What reaches `person`. No sum is above [`MASS`], because nobody gives more than they have.
fn arriving(graph: &Graph, shares: &[u64], person: Person) -> u64 {
    graph.trusters(person).fold(0u64, |sum, (from, weight)| {
        let share = shares.get(from.index()).copied().unwrap_or(0);
        sum.saturating_add(share.saturating_mul(u64::from(weight)))
    })
}

impl<'a> Flow<'a> {
    /// All mass with the seeds.
    pub(crate) fn new(graph: &'a Graph, rule: Rule, seeds: &Seeds) -> Self {
        let n = graph.given().len();
        let mut mass = vec![0; n];
        seeds.receive(&mut mass, MASS);
        Self {
            graph,
            rule,
            mass,
            shares: vec![0; n],
        }
    }

    /// One round, in `n_pieces` pieces a half; `run` has to run all it is given before it returns. Returns what mass is left.
    pub(crate) fn round(&mut self, n_pieces: NonZeroUsize, mut run: impl FnMut(Vec<Piece<'_>>)) -> u64 {
        let (graph, rule) = (self.graph, self.rule);
        let len = self.mass.len().div_ceil(n_pieces.get()).max(1);
        let halves = self
            .shares
            .chunks_mut(len)
            .zip(self.mass.chunks(len))
            .zip(graph.given().chunks(len))
            .map(|((shares, mass), given)| Half::Shares {
                rule,
                mass,
                given,
                shares,
            });
        run(halves.map(Piece).collect());
        let shares = &self.shares;
        let halves = (0..).zip(self.mass.chunks_mut(len)).map(|(index, mass)| {
            let first = len.saturating_mul(index);
            Half::Sums {
                rule,
                graph,
                shares,
                first,
                mass,
            }
        });
        run(halves.map(Piece).collect());
        self.mass.iter().copied().fold(0, u64::saturating_add)
    }
}

/// Runs pieces one after another, here.
pub(crate) fn in_turn(pieces: Vec<Piece<'_>>) {
    for piece in pieces {
        piece.run();
    }
}
