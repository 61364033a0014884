//! Graphs and seeds that are none.

use crate::drawn::people;
use watt_primitives::TrustLevel;
use watt_trust::{Edge, Graph, InvalidGraph, InvalidSeeds, Person, Seeds};

fn edges(pairs: &[(u32, u32)]) -> Result<Graph, InvalidGraph> {
    let edges = pairs.iter().map(|(from, to)| Edge {
        from: Person(*from),
        to: Person(*to),
        level: TrustLevel::Online,
    });
    Graph::new(3, edges)
}

/// Each rule of a graph, broken once. Covers: B2.
#[test]
fn a_graph_that_breaks_a_rule_is_refused() {
    assert!(edges(&[(0, 1), (0, 2), (1, 0), (2, 1)]).is_ok());
    let unknown = |found| Err(InvalidGraph::UnknownPerson { found, n_people: 3 });
    assert_eq!(edges(&[(0, 3)]), unknown(3));
    assert_eq!(edges(&[(4, 0)]), unknown(4));
    assert_eq!(edges(&[(1, 1)]), Err(InvalidGraph::Loop { person: 1 }));
    let order = |from, to| Err(InvalidGraph::Order { from, to });
    assert_eq!(edges(&[(0, 1), (0, 1)]), order(0, 1), "twice");
    assert_eq!(edges(&[(0, 2), (0, 1)]), order(0, 1), "out of order");
    assert_eq!(edges(&[(1, 0), (0, 1)]), order(0, 1), "out of order");
    assert_eq!(
        Graph::new(u32::MAX, std::iter::empty()),
        Err(InvalidGraph::TooLarge)
    );
}

/// Each rule of seeds, broken once. Covers: B2.
#[test]
fn seeds_that_break_a_rule_are_refused() {
    let graph = edges(&[(0, 1)]).unwrap();
    let seeds = |numbers: &[u32]| Seeds::new(&graph, people(numbers.iter().copied())).map(|_| ());
    assert_eq!(seeds(&[0, 2]), Ok(()));
    assert_eq!(seeds(&[]), Err(InvalidSeeds::None));
    assert_eq!(seeds(&[1, 1]), Err(InvalidSeeds::Order { found: 1 }));
    assert_eq!(seeds(&[2, 1]), Err(InvalidSeeds::Order { found: 1 }));
    let unknown = InvalidSeeds::UnknownPerson {
        found: 3,
        n_people: 3,
    };
    assert_eq!(seeds(&[1, 3]), Err(unknown));
}
