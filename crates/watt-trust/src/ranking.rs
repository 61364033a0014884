//! Ranks of people by account, and the root that stands in a header (`docs/spec/trust.md` §4).

use crate::circle::Circle;
use crate::flow::Seeds;
use crate::graph::{Edge, Graph, Person};
use crate::page_rank::PageRank;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use watt_primitives::hash::{self, Domain};
use watt_primitives::{AccountId, Hash, LedgerTime, NetworkId, Term, merkle};

/// The most people who are ranked: those nearest to the seeds. Bounds what ranking costs, whoever opens how many accounts.
pub const PEOPLE_MAX: usize = 1 << 16;

/// The people whom chains of trust connect to the seeds, and their circles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbourhood {
    people: Vec<AccountId>,
    graph: Graph,
    seeds: Option<Seeds>,
}

impl Neighbourhood {
    /// Goes from the seeds along trust that counts at `now`, breadth first, those at one depth in the order of their ids, until
    /// `people_max` people are found. `circle` returns somebody's circle; it is asked once for each.
    ///
    /// # Panics
    /// If a circle is not as [`Circle`]'s own functions make it.
    #[must_use]
    pub fn find(
        seeds: &[AccountId],
        people_max: usize,
        now: LedgerTime,
        mut circle: impl FnMut(&AccountId) -> Circle,
    ) -> Self {
        let mut found: BTreeSet<AccountId> = seeds.iter().copied().take(people_max).collect();
        let mut trust: Vec<(AccountId, Circle)> = Vec::new();
        let mut depth: Vec<AccountId> = found.iter().copied().collect();
        while !depth.is_empty() {
            let mut next: Vec<AccountId> = Vec::new();
            for person in &depth {
                let circle = circle(person);
                let members = circle.live(now).map(|edge| edge.to);
                next.extend(members.filter(|member| !found.contains(member)));
                trust.push((*person, circle));
            }
            next.sort_unstable();
            next.dedup();
            next.truncate(people_max.saturating_sub(found.len()));
            found.extend(next.iter().copied());
            depth = next;
        }
        trust.sort_unstable_by_key(|(person, _)| *person);
        Self::new(seeds, found.into_iter().collect(), &trust, now)
    }

    /// `people` ascending, `trust` ascending by person.
    fn new(
        seeds: &[AccountId],
        people: Vec<AccountId>,
        trust: &[(AccountId, Circle)],
        now: LedgerTime,
    ) -> Self {
        let number = |id: &AccountId| -> Option<Person> {
            let place = people.binary_search(id).ok()?;
            u32::try_from(place).ok().map(Person)
        };
        let mut edges = Vec::new();
        for (from, circle) in trust {
            let Some(from) = number(from) else { continue };
            edges.extend(circle.live(now).filter_map(|edge| {
                Some(Edge {
                    from,
                    to: number(&edge.to)?,
                    level: edge.level,
                })
            }));
        }
        let n_people = u32::try_from(people.len()).unwrap_or(u32::MAX);
        let graph = Graph::new(n_people, edges.iter().copied())
            .expect("people are numbered in order, and a circle has each once, without its owner");
        let mut seeds: Vec<Person> = seeds.iter().filter_map(number).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let seeds = Seeds::new(&graph, seeds).ok();
        Self { people, graph, seeds }
    }

    /// Who was found, ascending: person `i` of the graph is the account at `i`.
    #[must_use]
    pub fn people(&self) -> &[AccountId] {
        &self.people
    }

    /// Who trusts whom of them.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The seeds among them; none if there are no seeds.
    #[must_use]
    pub const fn seeds(&self) -> Option<&Seeds> {
        self.seeds.as_ref()
    }

    /// The rank of each of them, by PageRank from the seeds; nobody's without seeds.
    #[must_use]
    pub fn rank(&self) -> Ranking {
        let ranks = self.seeds.as_ref().map(|seeds| PageRank::of(&self.graph, seeds));
        Ranking(
            self.people
                .iter()
                .copied()
                .zip(ranks.unwrap_or_default())
                .collect(),
        )
    }
}

/// Everyone's rank, ascending by account. Who is not in it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking(Vec<(AccountId, u64)>);

impl Ranking {
    /// Accounts and ranks, ascending by account.
    #[must_use]
    pub fn people(&self) -> &[(AccountId, u64)] {
        &self.0
    }

    /// The rank of `person`, zero for whoever has none.
    #[must_use]
    pub fn of(&self, person: &AccountId) -> u64 {
        let place = self.0.binary_search_by(|(id, _)| id.cmp(person)).ok();
        place
            .and_then(|place| self.0.get(place))
            .map_or(0, |(_, rank)| *rank)
    }

    /// What stands in the headers of `term`: a hash over the term, the number of people, and the Merkle root over their ranks, so
    /// that one rank can be shown without the others. Zero if nobody has a rank.
    #[must_use]
    pub fn root(&self, network: &NetworkId, term: Term) -> Hash {
        if self.0.is_empty() {
            return Hash::ZERO;
        }
        let leaf = |(id, rank): &(AccountId, u64)| {
            hash::hash(Domain::RankLeaf, network, &[id.as_ref(), &rank.to_be_bytes()])
        };
        let leaves: Vec<Hash> = self.0.iter().map(leaf).collect();
        let n = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
        let (term, n, root) = (term.0.to_be_bytes(), n.to_be_bytes(), merkle::root(&leaves));
        hash::hash(Domain::RankRoot, network, &[&term, &n, root.as_ref()])
    }
}
