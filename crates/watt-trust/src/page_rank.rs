//! PageRank from seeds, in whole numbers (`docs/spec/trust.md` §3.2).

use crate::flow::{Flow, MASS, Piece, Rule, Seeds, in_turn};
use crate::graph::Graph;
use alloc::vec::Vec;
use core::num::NonZeroUsize;

/// Rounds of PageRank: what the start still counts for after these is 0.8477⁵⁰ = 2.6 in 10,000.
pub const ROUNDS: u32 = 50;

/// PageRank on its way: [`ROUNDS`] rounds, of which a caller does as many at a time as it likes.
#[derive(Clone, Debug)]
pub struct PageRank<'a> {
    flow: Flow<'a>,
    seeds: &'a Seeds,
    n_rounds: u32,
}

impl<'a> PageRank<'a> {
    /// Before the first round: all mass with the seeds. `seeds` are those of `graph`.
    #[must_use]
    pub fn new(graph: &'a Graph, seeds: &'a Seeds) -> Self {
        Self {
            flow: Flow::new(graph, Rule::Damped, seeds),
            seeds,
            n_rounds: 0,
        }
    }

    /// Everyone's rank, in their order; they sum up to [`MASS`].
    #[must_use]
    pub fn of(graph: &Graph, seeds: &Seeds) -> Vec<u64> {
        Self::of_in_pieces(graph, seeds, NonZeroUsize::MIN, in_turn)
    }

    /// As [`Self::of`], each half of a round in `n_pieces` pieces. `run` runs all it is given, in any order and on any threads,
    /// before it returns; the ranks are the same however it does.
    #[must_use]
    pub fn of_in_pieces(
        graph: &Graph,
        seeds: &Seeds,
        n_pieces: NonZeroUsize,
        mut run: impl FnMut(Vec<Piece<'_>>),
    ) -> Vec<u64> {
        let mut rank = PageRank::new(graph, seeds);
        while !rank.is_done() {
            rank.round(n_pieces, &mut run);
        }
        rank.into_ranks()
    }

    /// Whether all rounds are done.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.n_rounds >= ROUNDS
    }

    /// Does a round; nothing once all are done. Damping, the mass of those who trust nobody, and what could not be divided go
    /// back to the seeds.
    pub fn round(&mut self, n_pieces: NonZeroUsize, run: impl FnMut(Vec<Piece<'_>>)) {
        if self.is_done() {
            return;
        }
        let arrived = self.flow.round(n_pieces, run);
        self.seeds
            .receive(&mut self.flow.mass, MASS.saturating_sub(arrived));
        self.n_rounds = self.n_rounds.saturating_add(1);
    }

    /// Everyone's rank after the rounds done so far, in their order.
    #[must_use]
    pub fn into_ranks(self) -> Vec<u64> {
        self.flow.mass
    }
}
