//! A region of invented people behind a few real friendships: how much of the rank they get, and whether they are told apart.

use crate::drawn::{Drawn, Trust, people};
use watt_primitives::TrustLevel;
use watt_trust::{MASS, PageRank, Person, Seeds, SybilRank};

const HONEST: u32 = 2_000;
const SYBILS: u32 = 1_000;

/// What an attack came to.
struct Attack {
    /// Of 10,000 pairs of an honest and an invented person, in how many the honest one has the higher SybilRank score.
    told_apart: u64,
    /// What the invented have of the rank that comes from seeds, in 10,000ths.
    seeded: u64,
    /// What they would have if rank came from everybody.
    uniform: u64,
}

/// 2,000 people in villages of 20, everyone with five edges at most, three or four of them in the village and one beyond;
/// 1,000 invented people, who trust each other as they like; `n_edges` honest people who trust one of them, and are trusted back.
/// 50 seeds, in 50 villages.
fn attack(n_edges: u32, seed: u64) -> Attack {
    let mut drawn = Drawn(seed);
    let mut trust = Trust::default();
    for person in 0..HONEST {
        let village = person - person % 20;
        for step in [1, 2] {
            trust.add_mutual(person, village + (person + step) % 20, TrustLevel::InPerson);
        }
        if person % 2 == 0 {
            trust.add_mutual(person, drawn.below(HONEST / 2) * 2 + 1, TrustLevel::Close);
        }
    }
    for sybil in HONEST..HONEST + SYBILS {
        for _ in 0..3 {
            trust.add_mutual(sybil, HONEST + drawn.below(SYBILS), TrustLevel::Close);
        }
    }
    for _ in 0..n_edges {
        trust.add_mutual(
            drawn.below(HONEST),
            HONEST + drawn.below(SYBILS),
            TrustLevel::InPerson,
        );
    }
    let graph = trust.graph(HONEST + SYBILS);
    let numbers: Vec<u32> = (0..50).map(|village| village * 40 + 7).collect();
    let seeds = Seeds::new(&graph, people(numbers.iter().copied())).unwrap();
    let everyone = Seeds::new(&graph, graph.people().collect()).unwrap();

    let scores = SybilRank::of(&graph.mutual(), &seeds);
    let (honest, sybils) = scores.split_at(HONEST as usize);
    let mut honest: Vec<u128> = (0..)
        .zip(honest)
        .filter(|(person, _)| !numbers.contains(person))
        .map(|(_, score)| *score)
        .collect();
    honest.sort_unstable();
    let n_above = |sybil: &u128| honest.len() - honest.partition_point(|score| score <= sybil);
    let above: usize = sybils.iter().map(n_above).sum();
    let share = |seeds: &Seeds| {
        let ranks = PageRank::of(&graph, seeds);
        let sybils: u64 = ranks.iter().skip(HONEST as usize).sum();
        sybils / (MASS / 10_000)
    };
    Attack {
        told_apart: (above * 10_000 / (honest.len() * SYBILS as usize)) as u64,
        seeded: share(&seeds),
        uniform: share(&everyone),
    }
}

/// What the invented get grows with the friendships that they win, not with their number, as long as rank comes from seeds; and
/// they are told apart. Rank from everybody gives them what their number is. Covers: B2.
#[test]
fn invented_people_get_what_their_real_friends_give() {
    for (n_edges, seeded_max, told_apart_min) in [
        (0, 0, 10_000),
        (5, 60, 9_950),
        (20, 200, 9_900),
        (100, 900, 9_500),
    ] {
        for seed in 1..=3 {
            let attack = attack(n_edges, seed);
            let Attack {
                told_apart,
                seeded,
                uniform,
            } = attack;
            assert!(seeded <= seeded_max, "{n_edges} edges give {seeded} of 10,000");
            assert!(
                told_apart >= told_apart_min,
                "{n_edges} edges: {told_apart} of 10,000 told apart"
            );
            assert!(uniform >= 2_500, "a third of all people has {uniform} of 10,000");
        }
    }
}

/// A person whom nobody honest trusts has no rank, however many invented people trust them. Covers: B2.
#[test]
fn numbers_alone_give_no_rank() {
    let mut trust = Trust::default();
    for person in 0..10 {
        trust.add_mutual(person, (person + 1) % 10, TrustLevel::Close);
    }
    for sybil in 11..5_000 {
        trust.add(sybil, 10, TrustLevel::Close);
    }
    let graph = trust.graph(5_000);
    let seeds = Seeds::new(&graph, vec![Person(0)]).unwrap();
    assert!(
        PageRank::of(&graph, &seeds)
            .iter()
            .skip(10)
            .all(|rank| *rank == 0)
    );
}
