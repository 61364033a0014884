#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::backbone::BackboneEntry;
use crate::finality::{DecisionProof, InvalidDecision};
use alloc::vec;
use watt_primitives::Hash;
use watt_scp::{Ballot, Pledges};

const NETWORK: NetworkId = NetworkId::new([7; 32]);
const TERM: Term = Term(3);

fn voting(seat: u8) -> SecretKey {
    SecretKey::from_seed([seat; 32])
}

fn cold(seat: u8) -> SecretKey {
    SecretKey::from_seed([100 + seat; 32])
}

fn successor(seat: u8, generation: u8) -> SecretKey {
    SecretKey::from_seed([100 + 10 * generation + seat; 32])
}

fn account(seat: u8) -> AccountId {
    AccountId([seat; 20])
}

/// Seats 1 to `n`, each with a cold key.
fn backbone(n: u8) -> Backbone {
    let entry = |seat| BackboneEntry {
        account: account(seat),
        key: voting(seat).node_id(),
        cold_key: Some(cold_key_hash(&cold(seat).public())),
    };
    Backbone::new((1..=n).map(entry).collect()).unwrap()
}

fn claim(seat: u8, generation: u8) -> Claim {
    Claim {
        term: TERM,
        account: account(seat),
        generation,
        key: successor(seat, generation).node_id(),
    }
}

fn succession(seat: u8, generation: u8) -> Succession {
    let key = successor(seat, generation);
    Succession::sign(claim(seat, generation), &key, &cold(seat), &NETWORK)
}

fn holds(succession: &Succession) -> bool {
    let checks = succession.signature_checks(&NETWORK);
    checks.iter().all(SignatureCheck::holds)
}

const SLOT: SlotIndex = SlotIndex(42);
const VALUE: Value = Value(Hash([9; 32]));

fn vote(key: &SecretKey, quorum_set: &QuorumSet) -> Envelope {
    let pledges = Pledges::Externalize {
        commit: Ballot {
            counter: 1,
            value: VALUE,
        },
        h_counter: 1,
    };
    let statement = Statement {
        node: key.node_id(),
        slot: SLOT,
        quorum_set: quorum_set.hash(&NETWORK),
        pledges,
    };
    Envelope::sign(statement, key, &NETWORK)
}

fn proof(keys: &[SecretKey], successions: &[Succession]) -> Option<DecisionProof> {
    let (backbone, quorum_set) = (backbone(4), backbone(4).quorum_set());
    let voters = Voters::of_term(TERM, &backbone, &quorum_set);
    let votes: Vec<Envelope> = keys.iter().map(|key| vote(key, &quorum_set)).collect();
    DecisionProof::from_envelopes(&NETWORK, voters, SLOT, VALUE, &votes, successions)
}

fn verify(proof: &DecisionProof) -> Result<(), InvalidDecision> {
    let (backbone, quorum_set) = (backbone(4), backbone(4).quorum_set());
    proof.verify(&NETWORK, Voters::of_term(TERM, &backbone, &quorum_set))
}

/// A seat's successor votes for it, and a proof with its vote carries the succession; its encoding comes back. Covers: B7.
#[test]
fn a_successor_votes_for_its_seat() {
    let keys = [voting(1), voting(2), successor(3, 2)];
    let given = proof(&keys, &[succession(3, 1), succession(3, 2)]).unwrap();
    assert_eq!(given.successions.to_vec(), [succession(3, 2)]);
    assert_eq!(verify(&given), Ok(()));
    let bytes = codec::encode(&given);
    assert_eq!(codec::decode(&bytes, 1 << 16), Ok(given.clone()));
    assert_eq!(proof(&keys, &[]), None, "a stranger's vote");
    let without = DecisionProof {
        successions: BoundedVec::empty(),
        ..given
    };
    assert!(matches!(
        verify(&without),
        Err(InvalidDecision::UnknownMember { .. })
    ));
}

/// Whatever keys speak for a seat, it counts once: in what a node makes, and in what is forged.
#[test]
fn two_keys_of_one_seat_count_once() {
    let both = [voting(1), voting(3), successor(3, 1), successor(3, 2)];
    let all = [succession(3, 1), succession(3, 2)];
    assert_eq!(proof(&both, &all), None);
    // Votes by both keys of seat 3, and a third seat's, taken from two proofs that hold.
    let (old, new) = (
        proof(&[voting(1), voting(2), voting(3)], &all).unwrap(),
        proof(&[voting(1), voting(2), successor(3, 1)], &all).unwrap(),
    );
    let votes = vec![
        old.votes.iter().find(|vote| vote.member == 0).copied().unwrap(),
        *old.votes.last().unwrap(),
        *new.votes.last().unwrap(),
    ];
    let mut forged = DecisionProof {
        votes: BoundedVec::new(votes).unwrap(),
        ..new
    };
    forged.votes = BoundedVec::new({
        let mut votes = forged.votes.to_vec();
        votes.sort_by_key(|vote| vote.member);
        votes.dedup_by_key(|vote| vote.member);
        votes
    })
    .unwrap();
    let seats = {
        let (backbone, quorum_set) = (backbone(4), backbone(4).quorum_set());
        forged
            .seats(&NETWORK, Voters::of_term(TERM, &backbone, &quorum_set))
            .unwrap()
    };
    let mut distinct = seats.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() < 3, "{seats:?}");
    assert!(matches!(verify(&forged), Err(InvalidDecision::NotDecided { .. })));
}

/// Nobody but the seat's cold key and the new key together makes a succession, in its term only, and for a key of its own.
#[test]
fn forged_successions_are_refused() {
    let good = succession(3, 1);
    assert_eq!(good.seat(TERM, &backbone(4)), Ok(voting(3).node_id()));
    assert!(holds(&good));
    assert!(
        !good.signature_checks(&NetworkId::new([8; 32]))[1].holds(),
        "other network"
    );

    assert_eq!(
        good.seat(Term(4), &backbone(4)),
        Err(InvalidSuccession::OtherTerm)
    );
    assert_eq!(good.seat(TERM, &backbone(1)), Err(InvalidSuccession::NotCold));
    for generation in [0, GENERATIONS_MAX + 1] {
        let odd = Succession {
            generation,
            ..good.clone()
        };
        assert_eq!(
            odd.seat(TERM, &backbone(4)),
            Err(InvalidSuccession::Generation(generation))
        );
    }
    // By another seat's cold key, and by that with the right one's name on it.
    let by_other = Succession::sign(claim(3, 1), &successor(3, 1), &cold(2), &NETWORK);
    assert_eq!(by_other.seat(TERM, &backbone(4)), Err(InvalidSuccession::NotCold));
    let disguised = Succession {
        cold_key: cold(3).public(),
        ..by_other
    };
    assert!(!holds(&disguised));
    // Of a key that votes already, and of one whose owner did not agree.
    let taken = Claim {
        key: voting(2).node_id(),
        ..claim(3, 1)
    };
    let taken = Succession::sign(taken, &voting(2), &cold(3), &NETWORK);
    assert_eq!(taken.seat(TERM, &backbone(4)), Err(InvalidSuccession::Key));
    let stolen = Claim {
        key: successor(2, 1).node_id(),
        ..claim(3, 1)
    };
    let stolen = Succession::sign(stolen, &successor(3, 1), &cold(3), &NETWORK);
    assert!(!holds(&stolen));
    // Any field changed.
    let moved = Succession {
        generation: 2,
        ..good.clone()
    };
    assert!(!holds(&moved));
    // A proof with a forged one is worth nothing, whether or not its votes hold.
    let mut proof = proof(&[voting(1), voting(2), successor(3, 1)], &[good]).unwrap();
    proof.successions = BoundedVec::new(vec![disguised]).unwrap();
    assert_eq!(verify(&proof), Err(InvalidDecision::VoteSignature));
    proof.successions = BoundedVec::new(vec![succession(3, 2), succession(3, 1)]).unwrap();
    assert_eq!(
        verify(&proof),
        Err(InvalidDecision::Succession(InvalidSuccession::Unordered))
    );
}

/// With the most successions the encoding of one stays small; entries without a cold key are encoded as before.
#[test]
fn encodings_are_small() {
    assert!(codec::encode(&succession(3, 1)).len() <= 300);
    let with = backbone(1).entries()[0];
    let without = BackboneEntry {
        cold_key: None,
        ..with
    };
    assert_eq!(codec::encode(&without), codec::encode(&(with.account, with.key)));
    for entry in [with, without] {
        assert_eq!(codec::decode(&codec::encode(&entry), 256), Ok(entry));
    }
    let four = codec::encode(&(with.account, with.key, Hash::ZERO, Hash::ZERO));
    assert!(codec::decode::<BackboneEntry>(&four, 256).is_err());
}
