//! The trust graph in compressed sparse rows: for each person, who trusts them (`docs/spec/trust.md` §2).

use alloc::vec;
use alloc::vec::Vec;
use watt_primitives::TrustLevel;

/// A person's number in one graph: its place among all people of the graph, in the order of their account ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person(pub u32);

impl Person {
    /// The number as an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// `from` trusts `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Who trusts.
    pub from: Person,
    /// Whom.
    pub to: Person,
    /// How well they know each other.
    pub level: TrustLevel,
}

/// People and the trust between them. 8 bytes per person and 5 per edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// `starts[v] .. starts[v + 1]` are the places of the edges to `v`.
    starts: Vec<u32>,
    /// Who trusts, ascending for each person.
    sources: Vec<u32>,
    /// The weights of these edges.
    weights: Vec<u8>,
    /// For each person, the sum of weights of the edges that leave them.
    given: Vec<u32>,
}

/// Why there is no such graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGraph {
    /// An edge names somebody who is not there.
    #[error("an edge names person {found}, and there are {n_people}")]
    UnknownPerson {
        /// Number found.
        found: u32,
        /// How many people there are.
        n_people: u32,
    },
    /// An edge leads back to where it begins.
    #[error("person {person} trusts themselves")]
    Loop {
        /// Who.
        person: u32,
    },
    /// The edges are not in strictly ascending order of `(from, to)`.
    #[error("the edge from {from} to {to} is there twice or out of order")]
    Order {
        /// Who trusts.
        from: u32,
        /// Whom.
        to: u32,
    },
    /// More than `u32::MAX` edges, or as many people.
    #[error("the graph is too large")]
    TooLarge,
}

impl Graph {
    /// The graph of `n_people` people with these edges, which come in strictly ascending order of `(from, to)`. They are gone
    /// through twice.
    ///
    /// # Errors
    /// The first edge that breaks a rule.
    pub fn new(n_people: u32, edges: impl Iterator<Item = Edge> + Clone) -> Result<Self, InvalidGraph> {
        let n = usize::try_from(n_people)
            .ok()
            .filter(|_| n_people < u32::MAX)
            .ok_or(InvalidGraph::TooLarge)?;
        let (mut counts, mut given) = (vec![0u32; n.saturating_add(1)], vec![0u32; n]);
        let mut before = None;
        for edge in edges.clone() {
            check(&edge, before, n_people)?;
            before = Some((edge.from, edge.to));
            raise(&mut counts, edge.to.index(), 1)?;
            raise(&mut given, edge.from.index(), u32::from(edge.level.weight()))?;
        }
        let starts = starts_of(counts)?;
        let n_edges = starts.last().copied().unwrap_or(0);
        let n_edges = usize::try_from(n_edges).map_err(|_| InvalidGraph::TooLarge)?;
        let (mut sources, mut weights) = (vec![0u32; n_edges], vec![0u8; n_edges]);
        let mut next = starts.clone();
        for edge in edges {
            let Some(place) = next.get_mut(edge.to.index()) else {
                continue;
            };
            let index = usize::try_from(*place).map_err(|_| InvalidGraph::TooLarge)?;
            *place = place.saturating_add(1);
            if let (Some(source), Some(weight)) = (sources.get_mut(index), weights.get_mut(index)) {
                (*source, *weight) = (edge.from.0, edge.level.weight());
            }
        }
        Ok(Self {
            starts,
            sources,
            weights,
            given,
        })
    }

    /// The same people, joined where both trust each other, every edge of weight 1.
    #[must_use]
    pub fn mutual(&self) -> Self {
        let (mut starts, mut sources) = (Vec::with_capacity(self.starts.len()), Vec::new());
        let mut given = Vec::with_capacity(self.given.len());
        starts.push(0);
        for to in self.people() {
            let both = |from: &&u32| self.sources_of(Person(**from)).binary_search(&to.0).is_ok();
            let before = sources.len();
            sources.extend(self.sources_of(to).iter().filter(both).copied());
            // No longer than the lists of `self`, which are counted in `u32`.
            let end = u32::try_from(sources.len()).unwrap_or(u32::MAX);
            starts.push(end);
            let degree = sources.len().saturating_sub(before);
            given.push(u32::try_from(degree).unwrap_or(u32::MAX));
        }
        let weights = vec![1; sources.len()];
        Self {
            starts,
            sources,
            weights,
            given,
        }
    }

    /// How many people there are.
    #[must_use]
    pub fn n_people(&self) -> u32 {
        u32::try_from(self.given.len()).unwrap_or(u32::MAX)
    }

    /// How many edges there are.
    #[must_use]
    pub fn n_edges(&self) -> u32 {
        u32::try_from(self.sources.len()).unwrap_or(u32::MAX)
    }

    /// Everyone, ascending.
    pub fn people(&self) -> impl Iterator<Item = Person> + use<> {
        (0..self.n_people()).map(Person)
    }

    /// Who trusts `to`, ascending, with the weights of these edges.
    pub fn trusters(&self, to: Person) -> impl Iterator<Item = (Person, u8)> {
        let weights = self.range(to).and_then(|range| self.weights.get(range));
        let weights = weights.unwrap_or_default().iter().copied();
        self.sources_of(to).iter().copied().map(Person).zip(weights)
    }

    /// The sum of weights of the edges that leave each person; in a graph of [`Self::mutual`] edges, their number.
    #[must_use]
    pub(crate) fn given(&self) -> &[u32] {
        &self.given
    }

    fn sources_of(&self, to: Person) -> &[u32] {
        let sources = self.range(to).and_then(|range| self.sources.get(range));
        sources.unwrap_or_default()
    }

    fn range(&self, to: Person) -> Option<core::ops::Range<usize>> {
        let start = *self.starts.get(to.index())?;
        let end = *self.starts.get(to.index().saturating_add(1))?;
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}

fn check(edge: &Edge, before: Option<(Person, Person)>, n_people: u32) -> Result<(), InvalidGraph> {
    let (from, to) = (edge.from, edge.to);
    if let Some(found) = [from.0, to.0].into_iter().find(|number| *number >= n_people) {
        return Err(InvalidGraph::UnknownPerson { found, n_people });
    }
    if from == to {
        return Err(InvalidGraph::Loop { person: from.0 });
    }
    if before >= Some((from, to)) {
        return Err(InvalidGraph::Order {
            from: from.0,
            to: to.0,
        });
    }
    Ok(())
}

fn raise(counts: &mut [u32], index: usize, by: u32) -> Result<(), InvalidGraph> {
    let count = counts.get_mut(index).ok_or(InvalidGraph::TooLarge)?;
    *count = count.checked_add(by).ok_or(InvalidGraph::TooLarge)?;
    Ok(())
}

/// From the number of edges to each person, and a zero at the end, to where they begin and where the last ends.
fn starts_of(mut counts: Vec<u32>) -> Result<Vec<u32>, InvalidGraph> {
    let mut total = 0u32;
    for count in &mut counts {
        let start = total;
        total = total.checked_add(*count).ok_or(InvalidGraph::TooLarge)?;
        *count = start;
    }
    Ok(counts)
}
