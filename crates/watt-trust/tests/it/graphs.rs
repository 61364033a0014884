//! What holds for every graph.

use crate::drawn::{Trust, backwards, on_threads, people, pieces};
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use watt_primitives::TrustLevel;
use watt_trust::{Graph, MASS, PageRank, Person, Seeds, SybilRank};

prop_compose! {
    fn any_graph()(n in 1u32..40)(
        edges in btree_map((0..n, 0..n), 1u8..4, 0..200),
        seeds in btree_set(0..n, 1..10),
        n in Just(n),
    ) -> (u32, Trust, Vec<Person>) {
        let mut trust = Trust::default();
        for ((from, to), weight) in edges {
            trust.add(from, to, TrustLevel::of_weight(weight).unwrap());
        }
        (n, trust, people(seeds))
    }
}

proptest! {
    /// No mass is made or lost in any round, and no way of cutting a round up changes a rank. Covers: B2.
    #[test]
    fn mass_stays_and_pieces_do_not_matter((n, trust, seeds) in any_graph(), n_pieces in 1usize..70) {
        let graph = trust.graph(n);
        let seeds = Seeds::new(&graph, seeds).unwrap();
        let mut rank = PageRank::new(&graph, &seeds);
        while !rank.is_done() {
            rank.round(pieces(n_pieces), backwards);
            let ranks = rank.clone().into_ranks();
            prop_assert_eq!(ranks.iter().map(|rank| u128::from(*rank)).sum::<u128>(), u128::from(MASS));
        }
        let ranks = rank.into_ranks();
        prop_assert_eq!(&ranks, &PageRank::of(&graph, &seeds));
        prop_assert_eq!(&ranks, &PageRank::of_in_pieces(&graph, &seeds, pieces(n_pieces.min(4)), on_threads));

        let mutual = graph.mutual();
        prop_assert_eq!(
            SybilRank::of(&mutual, &seeds),
            SybilRank::of_in_pieces(&mutual, &seeds, pieces(n_pieces), backwards)
        );
    }

    /// Rank reaches only those whom a chain of trust connects to a seed. Covers: B2.
    #[test]
    fn no_rank_without_a_chain_from_a_seed((n, trust, seeds) in any_graph()) {
        let graph = trust.graph(n);
        let mut reached: std::collections::BTreeSet<u32> = seeds.iter().map(|seed| seed.0).collect();
        loop {
            let more: Vec<u32> = trust
                .edges()
                .filter(|edge| reached.contains(&edge.from.0) && !reached.contains(&edge.to.0))
                .map(|edge| edge.to.0)
                .collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        let ranks = PageRank::of(&graph, &Seeds::new(&graph, seeds).unwrap());
        for (person, rank) in (0..).zip(&ranks) {
            prop_assert!(reached.contains(&person) || *rank == 0);
        }
    }

    /// The graph gives back the edges it was made of; the mutual one those that go both ways. Covers: B2.
    #[test]
    fn graph_keeps_its_edges((n, trust, _) in any_graph()) {
        let graph = trust.graph(n);
        let back = |graph: &Graph| -> Trust {
            let mut back = Trust::default();
            for to in graph.people() {
                for (from, weight) in graph.trusters(to) {
                    back.add(from.0, to.0, TrustLevel::of_weight(weight).unwrap());
                }
            }
            back
        };
        prop_assert_eq!(&back(&graph).0, &trust.0);
        let mut mutual = Trust::default();
        for (from, to) in trust.0.keys() {
            if trust.0.contains_key(&(*to, *from)) {
                mutual.add(*from, *to, TrustLevel::Online);
            }
        }
        prop_assert_eq!(&back(&graph.mutual()).0, &mutual.0);
        prop_assert_eq!(graph.mutual().mutual(), graph.mutual());
    }
}

/// The number of SybilRank's rounds is the logarithm rounded up: 23 for five million people.
#[test]
fn rounds_of_sybil_rank() {
    let rounds = |n: u32| SybilRank::rounds(n);
    let expected = [
        (0, 1),
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 2),
        (5, 3),
        (1024, 10),
        (1025, 11),
        (5_000_000, 23),
    ];
    for (n, expected) in expected {
        assert_eq!(rounds(n), expected, "{n} people");
    }
}
