//! Which nodes a person's phone asks (`docs/spec/trust.md` §9): some of people near in trust, some of people whom many trust, so that
//! no one hand holds them all.

use crate::circle::Circle;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use watt_primitives::hash::{self, Domain};
use watt_primitives::{AccountId, Hash, LedgerTime, NetworkId};

/// Nodes of people near in trust.
pub const NEAR: usize = 5;

/// Nodes drawn among those of the best ranked.
pub const DRAWN: usize = 4;

/// How many steps of trust are near.
pub const DEPTH_MAX: usize = 4;

/// The most people who are looked at.
pub const PEOPLE_MAX: usize = 2_000;

/// The least operators among whom is drawn, if there are so many; of more, a tenth.
pub const POOL_MIN: usize = 50;

/// A draw weighs nobody more than this many times the median of those among whom is drawn.
const WEIGHT_MEDIANS_MAX: u64 = 8;

/// What addresses of one network have in common, as far as an address tells: 16 bits of IPv4, 32 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prefix {
    /// IPv4 /16.
    V4([u8; 2]),
    /// IPv6 /32.
    V6([u8; 4]),
}

/// A node that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<T> {
    /// Who runs it.
    pub operator: AccountId,
    /// Where it is; `None` if its address does not tell.
    pub prefix: Option<Prefix>,
    /// What the caller knows it by.
    pub name: T,
}

/// Why a node was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many steps of trust away.
    Near {
        /// Steps; 1 is one's own circle.
        depth: usize,
    },
    /// Drawn among the best ranked.
    Drawn,
    /// Drawn among those for whom nobody vouches: there were not enough others.
    Unranked,
}

/// A node that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<'a, T> {
    /// Which.
    pub node: &'a Node<T>,
    /// Why.
    pub reason: Reason,
}

/// Who asks, and what only they know.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Whose phone.
    pub person: AccountId,
    /// Secret, never sent: nobody else can tell beforehand which nodes come out.
    pub salt: Hash,
    /// Which network.
    pub network: NetworkId,
}

/// Up to [`NEAR`] nodes of people near in trust, and drawn ones up to [`NEAR`] `+` [`DRAWN`] in all, those without rank last: at most one of each operator, none
/// of the asker's own, and at most one of each network prefix as long as there are others.
///
/// `rank` returns somebody's rank, 0 for whoever has none. `circle` returns somebody's circle; it is asked once for each of at most
/// [`PEOPLE_MAX`] people.
#[must_use]
pub fn suggest<'a, T: AsRef<[u8]>>(
    asker: &Asker,
    nodes: &'a [Node<T>],
    rank: impl Fn(&AccountId) -> u64,
    now: LedgerTime,
    circle: impl FnMut(&AccountId) -> Circle,
) -> Vec<Chosen<'a, T>> {
    let near = near(&asker.person, nodes, now, circle);
    let mut choice = Choice::new(asker.person);
    let mut by_nearness: Vec<(usize, core::cmp::Reverse<u64>, Hash, &Node<T>)> = nodes
        .iter()
        .filter_map(|node| {
            let depth = near.get(&node.operator)?;
            let rank = core::cmp::Reverse(rank(&node.operator));
            Some((*depth, rank, asker.order(node), node))
        })
        .collect();
    by_nearness.sort_unstable_by_key(|(depth, rank, order, _)| (*depth, *rank, *order));
    // Different networks come before nearness.
    for is_strict in [true, false] {
        for (depth, _, _, node) in &by_nearness {
            if choice.n_near < NEAR && !choice.is_full() {
                let is_taken = choice.take(node, Reason::Near { depth: *depth }, is_strict);
                choice.n_near = choice.n_near.saturating_add(usize::from(is_taken));
            }
        }
        draw(asker, nodes, &rank, is_strict, &mut choice);
    }
    let mut others: Vec<(Hash, &Node<T>)> = nodes.iter().map(|node| (asker.order(node), node)).collect();
    others.sort_unstable_by_key(|(order, _)| *order);
    for is_strict in [true, false] {
        for (_, node) in &others {
            if !choice.is_full() {
                choice.take(node, Reason::Unranked, is_strict);
            }
        }
    }
    choice.taken
}

/// What is chosen, and what therefore can't be any more.
struct Choice<'a, T> {
    taken: Vec<Chosen<'a, T>>,
    n_near: usize,
    operators: BTreeSet<AccountId>,
    prefixes: BTreeSet<Prefix>,
}

impl<'a, T> Choice<'a, T> {
    fn new(person: AccountId) -> Self {
        Self {
            taken: Vec::new(),
            n_near: 0,
            operators: [person].into(),
            prefixes: BTreeSet::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.taken.len() >= NEAR.saturating_add(DRAWN)
    }

    fn can_take(&self, node: &Node<T>, is_strict: bool) -> bool {
        let is_crowded = node.prefix.is_some_and(|prefix| self.prefixes.contains(&prefix));
        let is_known = self.operators.contains(&node.operator);
        !(is_known || is_strict && is_crowded)
    }

    fn take(&mut self, node: &'a Node<T>, reason: Reason, is_strict: bool) -> bool {
        let is_taken = self.can_take(node, is_strict);
        if is_taken {
            self.operators.insert(node.operator);
            self.prefixes.extend(node.prefix);
            self.taken.push(Chosen { node, reason });
        }
        is_taken
    }
}

impl Asker {
    /// An order of nodes that only the asker knows.
    fn order<T: AsRef<[u8]>>(&self, node: &Node<T>) -> Hash {
        self.lot(&[b"node", node.operator.as_ref(), node.name.as_ref()])
    }

    fn lot(&self, parts: &[&[u8]]) -> Hash {
        let mut all: Vec<&[u8]> = Vec::from([self.salt.as_ref()]);
        all.extend(parts);
        hash::hash(Domain::PeerChoice, &self.network, &all)
    }
}

/// Operators at most [`DEPTH_MAX`] steps of trust away, with the number of steps.
fn near<T>(
    person: &AccountId,
    nodes: &[Node<T>],
    now: LedgerTime,
    mut circle: impl FnMut(&AccountId) -> Circle,
) -> BTreeMap<AccountId, usize> {
    let operators: BTreeSet<&AccountId> = nodes.iter().map(|node| &node.operator).collect();
    let mut found: BTreeSet<AccountId> = [*person].into();
    let mut near = BTreeMap::new();
    let mut people: Vec<AccountId> = Vec::from([*person]);
    for depth in 1..=DEPTH_MAX {
        let mut next = Vec::new();
        for one in &people {
            for edge in circle(one).live(now) {
                if found.len() < PEOPLE_MAX && found.insert(edge.to) {
                    next.push(edge.to);
                    if operators.contains(&edge.to) {
                        near.insert(edge.to, depth);
                    }
                }
            }
        }
        people = next;
    }
    near
}

/// Draws nodes of the best ranked operators until there are enough, each operator weighed by rank, at most eight times the median.
fn draw<'a, T: AsRef<[u8]>>(
    asker: &Asker,
    nodes: &'a [Node<T>],
    rank: impl Fn(&AccountId) -> u64,
    is_strict: bool,
    choice: &mut Choice<'a, T>,
) {
    let operators: BTreeSet<AccountId> = nodes.iter().map(|node| node.operator).collect();
    let mut ranked: Vec<(u64, AccountId)> = operators.iter().map(|one| (rank(one), *one)).collect();
    ranked.retain(|(rank, _)| *rank > 0);
    ranked.sort_unstable_by(|(rank, id), (other, other_id)| other.cmp(rank).then(id.cmp(other_id)));
    ranked.truncate(POOL_MIN.max(ranked.len().div_ceil(10)));
    let median = ranked.get(ranked.len() / 2).map_or(0, |(rank, _)| *rank);
    let weight_max = median.saturating_mul(WEIGHT_MEDIANS_MAX).max(1);
    let mut pool: Vec<(u64, &Node<T>)> = Vec::new();
    for (rank, operator) in &ranked {
        // One node of each operator: the one that comes first in the asker's own order.
        let own = nodes.iter().filter(|node| node.operator == *operator);
        if let Some(node) = own.min_by_key(|node| asker.order(node)) {
            pool.push(((*rank).min(weight_max), node));
        }
    }
    for n in 0_u64.. {
        pool.retain(|(_, node)| choice.can_take(node, is_strict));
        let total: u128 = pool.iter().map(|(weight, _)| u128::from(*weight)).sum();
        if choice.is_full() || total == 0 {
            return;
        }
        let lot = asker.lot(&[b"draw", &n.to_be_bytes()]);
        let (first, _) = lot.0.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let mut point = u128::from_be_bytes(*first).checked_rem(total).unwrap_or(0);
        let mut drawn = None;
        for (weight, node) in &pool {
            match point.checked_sub(u128::from(*weight)) {
                Some(rest) => point = rest,
                None => {
                    drawn = Some(*node);
                    break;
                }
            }
        }
        if let Some(node) = drawn {
            choice.take(node, Reason::Drawn, is_strict);
        }
    }
}
