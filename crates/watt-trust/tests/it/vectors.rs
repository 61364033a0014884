//! The ranks that another program, `vectors/trust.py`, works out.

use crate::drawn::{backwards, on_threads, people, pieces};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use watt_primitives::TrustLevel;
use watt_trust::{Edge, Graph, PageRank, Person, Seeds, SybilRank};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/trust.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap();
    list.iter().map(|one| one.as_str().unwrap()).collect()
}

fn graph(vector: &Value) -> Graph {
    let edges = vector["edges"].as_array().unwrap().iter().map(|edge| Edge {
        from: Person(number(&edge[0])),
        to: Person(number(&edge[1])),
        level: TrustLevel::of_weight(u8::try_from(number(&edge[2])).unwrap()).unwrap(),
    });
    Graph::new(number(&vector["n_people"]), edges).unwrap()
}

fn root(ranks: &[u64]) -> String {
    let mut hasher = Sha256::new();
    ranks.iter().for_each(|rank| hasher.update(rank.to_be_bytes()));
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every rank and score is that of the other program, whether worked out in one go, in pieces last to first, or on four threads.
/// Covers: B2.
#[test]
fn ranks_are_those_of_an_independent_program() {
    let vectors = vectors();
    let graphs = vectors["graphs"].as_array().unwrap();
    assert!(graphs.len() >= 11);
    for vector in graphs {
        let name = &vector["name"];
        let graph = graph(vector);
        let seeds = people(vector["seeds"].as_array().unwrap().iter().map(number));
        let seeds = Seeds::new(&graph, seeds).unwrap();
        let ranks = PageRank::of(&graph, &seeds);
        let printed: Vec<String> = ranks.iter().map(u64::to_string).collect();
        assert_eq!(printed, texts(&vector["ranks"]), "{name}");
        assert_eq!(root(&ranks), vector["root"], "{name}");
        assert_eq!(
            PageRank::of_in_pieces(&graph, &seeds, pieces(4), on_threads),
            ranks
        );
        assert_eq!(
            PageRank::of_in_pieces(&graph, &seeds, pieces(9), backwards),
            ranks
        );

        let mutual = graph.mutual();
        let scores = SybilRank::of(&mutual, &seeds);
        let printed: Vec<String> = scores.iter().map(u128::to_string).collect();
        assert_eq!(printed, texts(&vector["scores"]), "{name}");
        assert_eq!(
            SybilRank::of_in_pieces(&mutual, &seeds, pieces(4), on_threads),
            scores
        );
    }
}
