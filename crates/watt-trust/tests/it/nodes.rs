//! Which nodes a phone asks.

use std::collections::BTreeSet;
use watt_primitives::{AccountId, Hash, LedgerTime, NetworkId, TrustLevel};
use watt_trust::circle::NEW_PERIOD_MS;
use watt_trust::nodes::{Asker, Chosen, DRAWN, NEAR, Node, Prefix, Reason, suggest};
use watt_trust::{Circle, Neighbourhood, Ranking};

const NOW: LedgerTime = LedgerTime(1_000);

fn person(n: u16) -> AccountId {
    let mut id = [0; 20];
    id[..2].copy_from_slice(&n.to_be_bytes());
    AccountId(id)
}

fn circle_of(owner: u16, members: &[u16]) -> Circle {
    let mut circle = Circle::default();
    for (member, day) in members.iter().zip(0..) {
        // Two new people in seven days at most.
        let at = LedgerTime(day * NEW_PERIOD_MS);
        circle
            .add(&person(owner), person(*member), TrustLevel::Close, at)
            .unwrap();
    }
    circle
}

/// Everybody trusts the next five of `n`.
fn ring(n: u16) -> impl Fn(&AccountId) -> Circle {
    move |id| {
        let own = u16::from_be_bytes([id.0[0], id.0[1]]);
        let members: Vec<u16> = (1..=5).map(|step| (own + step) % n).collect();
        circle_of(own, &members)
    }
}

fn node(operator: u16, prefix: Option<[u8; 2]>) -> Node<Vec<u8>> {
    Node {
        operator: person(operator),
        prefix: prefix.map(Prefix::V4),
        name: operator.to_be_bytes().to_vec(),
    }
}

fn asker(salt: u8) -> Asker {
    Asker {
        person: person(0),
        salt: Hash([salt; 32]),
        network: NetworkId::new([7; 32]),
    }
}

fn ranking(n: u16) -> Ranking {
    Neighbourhood::find(&[person(0)], 10_000, NOW, ring(n)).rank()
}

fn rank(ranking: &Ranking) -> impl Fn(&AccountId) -> u64 {
    |person| ranking.of(person)
}

fn operators(chosen: &[Chosen<'_, Vec<u8>>]) -> Vec<AccountId> {
    chosen.iter().map(|one| one.node.operator).collect()
}

/// Five near ones, nearest first, four drawn, all of different people and networks, none of one's own.
#[test]
fn near_ones_come_first_and_all_are_of_different_people_and_networks() {
    let n = 400;
    let network = |n: u16| Some(n.to_be_bytes());
    // Two nodes each, and two of the asker's own.
    let nodes: Vec<_> = (0..n)
        .flat_map(|n| [node(n, network(n)), node(n, network(n + 1_000))])
        .collect();
    let chosen = suggest(&asker(1), &nodes, rank(&ranking(n)), NOW, ring(n));
    assert_eq!(chosen.len(), NEAR + DRAWN);
    let depths: Vec<_> = chosen.iter().map(|one| one.reason).collect();
    assert_eq!(depths[..5], vec![Reason::Near { depth: 1 }; 5]);
    assert_eq!(depths[5..], vec![Reason::Drawn; 4]);
    let different: BTreeSet<_> = operators(&chosen).into_iter().collect();
    assert!(different.len() == 9 && !different.contains(&person(0)));
    let prefixes: BTreeSet<_> = chosen.iter().map(|one| one.node.prefix).collect();
    assert_eq!(prefixes.len(), 9);
}

/// The salt decides who is drawn: the same again with the same one, others with another.
#[test]
fn only_the_salt_tells_who_is_drawn() {
    let n = 400;
    let nodes: Vec<_> = (0..n).map(|n| node(n, None)).collect();
    let of = |salt| operators(&suggest(&asker(salt), &nodes, rank(&ranking(n)), NOW, ring(n)));
    assert_eq!(of(1), of(1));
    let all: BTreeSet<_> = (0..20).map(|salt| of(salt)[5..].to_vec()).collect();
    assert!(all.len() > 15, "{}", all.len());
}

/// A hostile crowd in one network gets one place while there are others, and strangers without rank get none.
#[test]
fn one_network_gets_one_place_while_there_are_others() {
    let n = 400;
    let nodes: Vec<_> = (1..n)
        .map(|n| node(n, Some(if n % 2 == 1 { n.to_be_bytes() } else { [9, 9] })))
        .collect();
    let chosen = suggest(&asker(3), &nodes, rank(&ranking(n)), NOW, ring(n));
    let n_crowd = chosen
        .iter()
        .filter(|one| one.node.prefix == Some(Prefix::V4([9, 9])))
        .count();
    assert_eq!((chosen.len(), n_crowd), (NEAR + DRAWN, 1));
    assert!(chosen.iter().all(|one| one.reason != Reason::Unranked));
    // Nobody vouches for a thousand others: they take no place from those for whom somebody does.
    let strangers = (1_000..2_000).map(|n| node(n, None));
    let crowded: Vec<_> = nodes.iter().cloned().chain(strangers).collect();
    assert_eq!(
        operators(&suggest(&asker(3), &crowded, rank(&ranking(n)), NOW, ring(n))),
        operators(&chosen)
    );
}

/// A network on one machine has one prefix: all of its nodes are used all the same.
#[test]
fn a_network_on_one_machine_is_used_all_the_same() {
    let nodes: Vec<_> = (1..5).map(|n| node(n, Some([127, 0]))).collect();
    let chosen = suggest(&asker(4), &nodes, rank(&ranking(20)), NOW, ring(20));
    let different: BTreeSet<_> = operators(&chosen).into_iter().collect();
    assert_eq!(different.len(), 4);
}

/// Nobody is asked for more circles than the bound, whatever the circles say.
#[test]
fn no_more_people_are_looked_at_than_the_bound() {
    let mut asked = 0;
    let nodes = [node(9_999, None)];
    let wide = |id: &AccountId| {
        asked += 1;
        let own = u16::from_be_bytes([id.0[0], id.0[1]]);
        let members: Vec<u16> = (1..=5).map(|step| (own * 5 + step) % 9_000).collect();
        circle_of(own, &members)
    };
    assert_eq!(suggest(&asker(5), &nodes, |_| 0, NOW, wide).len(), 1);
    assert_eq!(
        asked,
        1 + 5 + 25 + 125,
        "circles of those less than four steps away"
    );
}
