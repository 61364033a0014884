//! SybilRank: how far a person is from the honest, in whole numbers (`docs/spec/trust.md` §3.3).

use crate::flow::{Flow, Piece, Rule, Seeds, in_turn};
use crate::graph::Graph;
use alloc::vec::Vec;
use core::num::NonZeroUsize;

/// SybilRank over edges that go both ways.
#[derive(Clone, Debug)]
pub struct SybilRank<'a> {
    flow: Flow<'a>,
    mutual: &'a Graph,
    n_rounds: u32,
}

impl<'a> SybilRank<'a> {
    /// Before the first round. `mutual` is a graph of [`Graph::mutual`] edges, and `seeds` are people of it.
    #[must_use]
    pub fn new(mutual: &'a Graph, seeds: &Seeds) -> Self {
        Self {
            flow: Flow::new(mutual, Rule::Kept, seeds),
            mutual,
            n_rounds: 0,
        }
    }

    /// Everyone's score, in their order.
    #[must_use]
    pub fn of(mutual: &Graph, seeds: &Seeds) -> Vec<u128> {
        Self::of_in_pieces(mutual, seeds, NonZeroUsize::MIN, in_turn)
    }

    /// As [`Self::of`], each half of a round in `n_pieces` pieces. `run` runs all it is given, in any order and on any threads,
    /// before it returns; the scores are the same however it does.
    #[must_use]
    pub fn of_in_pieces(
        mutual: &Graph,
        seeds: &Seeds,
        n_pieces: NonZeroUsize,
        mut run: impl FnMut(Vec<Piece<'_>>),
    ) -> Vec<u128> {
        let mut rank = SybilRank::new(mutual, seeds);
        while !rank.is_done() {
            rank.round(n_pieces, &mut run);
        }
        rank.scores()
    }

    /// Rounds for a graph of this size: the logarithm of the number of people to base 2, rounded up, at least 1. More would let
    /// trust spread evenly, to the dishonest as well.
    #[must_use]
    pub const fn rounds(n_people: u32) -> u32 {
        let bits = u32::BITS.saturating_sub(n_people.saturating_sub(1).leading_zeros());
        if bits == 0 { 1 } else { bits }
    }

    /// Whether all rounds are done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.n_rounds >= Self::rounds(self.mutual.n_people())
    }

    /// Does a round; nothing once all are done.
    pub fn round(&mut self, n_pieces: NonZeroUsize, run: impl FnMut(Vec<Piece<'_>>)) {
        if self.is_done() {
            return;
        }
        // Nothing is lost or made: what can't be divided stays where it is.
        let _all = self.flow.round(n_pieces, run);
        self.n_rounds = self.n_rounds.saturating_add(1);
    }

    /// Everyone's score after the rounds done so far: `floor(2²⁰ * mass / degree)`, zero without an edge.
    #[must_use]
    pub fn scores(&self) -> Vec<u128> {
        let people = self.flow.mass.iter().zip(self.mutual.given());
        people
            .map(|(mass, degree)| {
                let scaled = u128::from(*mass) << 20;
                scaled.checked_div(u128::from(*degree)).unwrap_or(0)
            })
            .collect()
    }
}
