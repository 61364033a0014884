//! Keys that vote for seats in place of lost ones, taken up by the ledger (`docs/spec/ledger.md` §16).

use crate::seats::{Nodes, TERM_SLOTS, short_terms, voting_node, voting_secret};
use crate::world::{id, key};
use watt_ledger::query;
use watt_ledger::{Done, Genesis, Refused};
use watt_light::duty::cold_key_hash;
use watt_light::succession::Claim;
use watt_light::{Operation, Succession};
use watt_primitives::{BoundedVec, SecretKey, Term};

fn cold(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32].map(|byte| byte ^ 0xff))
}

fn successor(n: u8, generation: u8) -> SecretKey {
    SecretKey::from_seed([n ^ 0x80 ^ generation.wrapping_mul(31); 32])
}

/// Four seats with a cold key each.
fn with_cold_keys() -> Genesis {
    let mut document = short_terms();
    let entries = (40..).zip(document.backbone.iter()).map(|(n, entry)| {
        let mut entry = *entry;
        entry.cold_key = Some(cold_key_hash(&cold(n).public()));
        entry
    });
    document.backbone = BoundedVec::new(entries.collect()).unwrap();
    document
}

fn succession(nodes: &Nodes, n: u8, term: u64, generation: u8, cold_key: &SecretKey) -> Succession {
    let key = successor(n, generation);
    let claim = Claim {
        term: Term(term),
        account: id(n),
        generation,
        key: key.node_id(),
    };
    Succession::sign(claim, &key, cold_key, &nodes.world.network)
}

fn succeed(succession: Succession) -> Operation {
    Operation::Succeed {
        succession: Box::new(succession),
    }
}

fn key_in(nodes: &Nodes, n: u8, term: u64) -> watt_primitives::NodeId {
    let backbone = query::backbone_of_term(&nodes.world.state, Term(term)).unwrap();
    backbone.of_account(&id(n)).unwrap().key
}

/// The successor votes on in the next term, the keys registered ahead are free to be made anew, and costs the seat nothing. Anybody may
/// hand it in. Covers: A1.
#[test]
fn the_ledger_takes_a_succession_up() {
    let mut nodes = Nodes::of(&with_cold_keys(), 40..44);
    nodes.go_to(3);
    let ahead = |nodes: &Nodes| query::voting_key(&nodes.world.state, Term(1), &id(41)).map(|row| row.key);
    assert_eq!(ahead(&nodes), Some(voting_node(41, 1)));
    // The node is gone with all its keys.
    nodes.there.remove(&41);
    let given = succession(&nodes, 41, 0, 1, &cold(41));
    let done = nodes.act(41, succeed(given.clone()));
    assert_eq!(
        done,
        Ok(Done::Succeeded {
            seat: id(41),
            generation: 1
        })
    );
    assert_eq!(nodes.world.balance(41), crate::world::START, "a duty");
    assert_eq!(key_in(&nodes, 41, 1), given.key);
    assert_eq!(ahead(&nodes), None, "lost with the key");
    let row = query::succession(&nodes.world.state, Term(0), &id(41)).unwrap();
    assert_eq!((row.generation, row.key), (1, given.key));
    // New keys for all terms ahead can be registered, but not those that were lost.
    let missing = query::duties(&nodes.world.state, &id(41)).unwrap().keys_missing;
    assert!(missing.starts_with(&[Term(1), Term(2)]), "{missing:?}");
    let lost = nodes.register(41, &missing[..1]);
    assert_eq!(nodes.act(41, lost), Err(Refused::VotingKeyUsed));
    let again = nodes.act(40, succeed(given));
    assert_eq!(again, Err(Refused::SuccessionKnown { generation: 1 }));
    let next = nodes.act(9, succeed(succession(&nodes, 41, 0, 2, &cold(41))));
    assert!(next.is_ok(), "anybody: {next:?}");
    assert_eq!(key_in(&nodes, 41, 1), successor(41, 2).node_id());
    // Terms later the cold key still stands with the seat, and the row is forgotten.
    nodes.go_to(3 * TERM_SLOTS);
    assert_eq!(query::succession(&nodes.world.state, Term(0), &id(41)), None);
    let backbone = query::backbone_of_term(&nodes.world.state, Term(3)).unwrap();
    let entry = backbone.of_account(&id(40)).unwrap();
    assert_eq!(entry.cold_key, Some(cold_key_hash(&cold(40).public())));
}

/// A succession for a term that is not settled or over, by another key than the seat's cold key, of a key that is somebody's, or for
/// another network is refused.
#[test]
fn forged_and_late_successions_are_refused() {
    let mut nodes = Nodes::of(&with_cold_keys(), 40..44);
    nodes.go_to(3);
    for (term, cold_key) in [(0, cold(42)), (1, cold(41)), (2, cold(41)), (0, key(41))] {
        let forged = succession(&nodes, 41, term, 1, &cold_key);
        assert_eq!(
            nodes.act(41, succeed(forged)),
            Err(Refused::NoSuccession),
            "{term}"
        );
    }
    let stranger = succession(&nodes, 9, 0, 1, &cold(9));
    assert_eq!(nodes.act(41, succeed(stranger)), Err(Refused::NoSuccession));
    let mut disguised = succession(&nodes, 41, 0, 1, &cold(42));
    disguised.cold_key = cold(41).public();
    assert_eq!(nodes.act(41, succeed(disguised)), Err(Refused::NoSuccession));
    let taken = voting_secret(42, Term(2));
    let claim = Claim {
        term: Term(0),
        account: id(41),
        generation: 1,
        key: taken.node_id(),
    };
    let taken = Succession::sign(claim, &taken, &cold(41), &nodes.world.network);
    assert_eq!(nodes.act(41, succeed(taken)), Err(Refused::VotingKeyUsed));
    nodes.there.remove(&41);
    // The next term can be succeeded in as soon as its backbone is settled, the last one not at all.
    nodes.go_to(TERM_SLOTS - 2);
    let next = succession(&nodes, 41, 1, 1, &cold(41));
    assert!(nodes.act(41, succeed(next)).is_ok());
    nodes.go_to(TERM_SLOTS + 1);
    let late = succession(&nodes, 42, 0, 1, &cold(42));
    assert_eq!(nodes.act(42, succeed(late)), Err(Refused::NoSuccession));
}
