//! How long the ranks of large graphs take: five edges a person, as the ledger allows.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time and prints it"
)]

use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};
use watt_primitives::TrustLevel;
use watt_trust::{Edge, Graph, PageRank, Person, Piece, Seeds, SybilRank};

/// Edges that leave each person.
const EDGES_EACH: u32 = 5;

fn main() {
    for n_people in [100_000, 1_000_000, 5_000_000] {
        measure(n_people);
    }
}

fn measure(n_people: u32) {
    let began = Instant::now();
    let graph = Graph::new(n_people, edges(n_people)).expect("made in order");
    let case = format!("{n_people} people, {} edges", graph.n_edges());
    print(&case, "build", began.elapsed().as_secs_f64(), "s");
    let seeds: Vec<Person> = (0..1_000).map(|seed| Person(seed * (n_people / 1_000))).collect();
    let seeds = Seeds::new(&graph, seeds).expect("ascending");
    let one = NonZeroUsize::MIN;
    let in_turn = |pieces: Vec<Piece<'_>>| pieces.into_iter().for_each(Piece::run);
    let alone = page_rank(&graph, &seeds, one, in_turn);
    print(&case, "PageRank, one thread", alone.as_secs_f64(), "s");
    let two = page_rank(&graph, &seeds, one.saturating_add(1), on_threads);
    print(&case, "PageRank, two threads", two.as_secs_f64(), "s");
    let began = Instant::now();
    let mutual = graph.mutual();
    let scores = SybilRank::of(&mutual, &seeds);
    assert_eq!(scores.len(), usize::try_from(n_people).expect("64 bits"));
    print(&case, "SybilRank, one thread", began.elapsed().as_secs_f64(), "s");
}

fn page_rank(graph: &Graph, seeds: &Seeds, n: NonZeroUsize, run: impl FnMut(Vec<Piece<'_>>)) -> Duration {
    let began = Instant::now();
    let ranks = PageRank::of_in_pieces(graph, seeds, n, run);
    assert_eq!(ranks.iter().sum::<u64>(), watt_trust::MASS);
    began.elapsed()
}

fn on_threads(pieces: Vec<Piece<'_>>) {
    thread::scope(|scope| {
        for piece in pieces {
            scope.spawn(|| piece.run());
        }
    });
}

/// Each person trusts one neighbour, who trusts them back, and four people anywhere.
fn edges(n_people: u32) -> impl Iterator<Item = Edge> + Clone {
    (0..n_people).flat_map(move |from| {
        let mut to: Vec<u32> = (1..EDGES_EACH)
            .map(|k| (from.wrapping_mul(2_654_435_761).rotate_left(k * 7) ^ k) % n_people)
            .chain([from ^ 1])
            .filter(|to| *to != from && *to < n_people)
            .collect();
        to.sort_unstable();
        to.dedup();
        to.into_iter().map(move |to| Edge {
            from: Person(from),
            to: Person(to),
            level: TrustLevel::InPerson,
        })
    })
}

fn print(case: &str, metric: &str, value: f64, unit: &str) {
    println!(r#"{{"bench":"rank","case":"{case}","metric":"{metric}","value":{value},"unit":"{unit}"}}"#);
}
