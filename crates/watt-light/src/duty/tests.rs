use super::*;
use crate::proposal::{PROTOCOL_VERSION_MAX, Proposal};
use alloc::vec::Vec;
use watt_primitives::{BoundedVec, Timestamp};
use watt_scp::{Ballot, Statement};

const NETWORK: NetworkId = NetworkId::new([7; 32]);

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

fn value(n: u8) -> Value {
    Value(Hash([n; 32]))
}

fn says(n: u8, slot: u64, pledges: Pledges) -> Envelope {
    let statement = Statement {
        node: key(n).node_id(),
        slot: SlotIndex(slot),
        quorum_set: Hash([n; 32]),
        pledges,
    };
    Envelope::sign(statement, &key(n), &NETWORK)
}

fn confirm(counter: u32, n: u8) -> Pledges {
    Pledges::Confirm {
        ballot: Ballot {
            counter,
            value: value(n),
        },
        prepared_counter: counter,
        c_counter: 1,
        h_counter: counter,
    }
}

fn externalize(n: u8) -> Pledges {
    Pledges::Externalize {
        commit: Ballot {
            counter: 1,
            value: value(n),
        },
        h_counter: 2,
    }
}

fn prepare(n: u8) -> Pledges {
    Pledges::Prepare {
        ballot: Ballot {
            counter: 1,
            value: value(n),
        },
        prepared: None,
        prepared_prime: None,
        c_counter: 0,
        h_counter: 0,
    }
}

fn pair(one: Envelope, other: Envelope) -> Result<Culprit, InvalidEvidence> {
    Evidence::Statements { one, other }.verify(&NETWORK)
}

/// Accepting the commit of two values in one slot is evidence, whichever statements say it.
#[test]
fn two_accepted_values_are_evidence() {
    let culprit = Culprit {
        key: key(1).node_id(),
        slot: SlotIndex(9),
    };
    let said = [confirm(2, 1), externalize(1)];
    let also = [confirm(5, 2), externalize(2)];
    for (one, other) in said
        .iter()
        .flat_map(|one| also.iter().map(move |other| (one.clone(), other.clone())))
    {
        assert_eq!(pair(says(1, 9, one), says(1, 9, other)), Ok(culprit));
    }
}

/// What a correct node may say in the course of a slot is none, nor what different keys, slots or networks say.
#[test]
fn changing_ones_mind_before_accepting_is_no_evidence() {
    let none = Err(InvalidEvidence::NoContradiction);
    let votes = BoundedVec::new(Vec::from([value(1)])).unwrap();
    let nominate = Pledges::Nominate {
        votes,
        accepted: BoundedVec::empty(),
    };
    for earlier in [prepare(2), nominate] {
        assert_eq!(
            pair(says(1, 9, earlier.clone()), says(1, 9, externalize(1))),
            none
        );
        assert_eq!(pair(says(1, 9, externalize(1)), says(1, 9, earlier)), none);
    }
    assert_eq!(
        pair(says(1, 9, confirm(1, 1)), says(1, 9, confirm(7, 1))),
        none,
        "the same value in a later ballot"
    );
    let apart = Err(InvalidEvidence::Apart);
    assert_eq!(
        pair(says(1, 9, externalize(1)), says(2, 9, externalize(2))),
        apart
    );
    assert_eq!(
        pair(says(1, 9, externalize(1)), says(1, 8, externalize(2))),
        apart
    );

    let mut insane = says(1, 9, externalize(2));
    insane.statement.pledges = confirm(0, 2);
    assert_eq!(pair(says(1, 9, externalize(1)), insane), none);

    let mut forged = says(1, 9, externalize(1));
    forged.statement.pledges = externalize(2);
    let signature = Err(InvalidEvidence::Signature);
    assert_eq!(pair(says(1, 9, externalize(1)), forged), signature);
    let evidence = Evidence::Statements {
        one: says(1, 9, externalize(1)),
        other: says(1, 9, externalize(2)),
    };
    assert_eq!(evidence.verify(&NetworkId::new([8; 32])), signature);
}

fn proposal(slot: u64, close_time: u64) -> Proposal {
    Proposal {
        network: NETWORK,
        slot: SlotIndex(slot),
        version: PROTOCOL_VERSION_MAX,
        parent: Hash::ZERO,
        close_time: Timestamp(close_time),
        body_root: Hash::ZERO,
        n_transactions: 0,
        body_bytes: 1,
        proposer: key(1).node_id(),
    }
}

/// Two proposals of one slot that differ in anything are evidence; one proposal twice is none.
#[test]
fn two_proposals_of_one_slot_are_evidence() {
    let signed = |slot, time| proposal(slot, time).sign(&key(1));
    let verify = |one, other| Evidence::Proposals { one, other }.verify(&NETWORK);
    let culprit = Culprit {
        key: key(1).node_id(),
        slot: SlotIndex(3),
    };
    assert_eq!(verify(signed(3, 1), signed(3, 2)), Ok(culprit));
    assert_eq!(
        verify(signed(3, 1), signed(3, 1)),
        Err(InvalidEvidence::NoContradiction)
    );
    assert_eq!(verify(signed(3, 1), signed(4, 1)), Err(InvalidEvidence::Apart));
    let forged = proposal(3, 2).sign(&key(2));
    assert_eq!(verify(signed(3, 1), forged), Err(InvalidEvidence::Signature));
}

/// Layer after layer leads back to the outermost, in order, and a layer of another network to another.
#[test]
fn an_onion_is_peeled_from_outside() {
    let onion = Onion::new(NETWORK, Hash([1; 32]), 5);
    let mut outer = onion.outermost();
    for at in 0..5 {
        let layer = onion.layer(at);
        assert_eq!(wrap(&NETWORK, layer, 1), outer);
        assert_eq!(wrap(&NETWORK, layer, at + 1), onion.outermost());
        assert_ne!(wrap(&NetworkId::new([8; 32]), layer, 1), outer);
        outer = layer;
    }
    assert_eq!(outer, Hash([1; 32]));
}

/// A registered key proves itself for one account, term and onion only.
#[test]
fn possession_is_of_one_account_and_term() {
    let (account, term) = (AccountId([1; 20]), Term(4));
    let new = NewVotingKey::sign(&key(3), &account, term, Hash([2; 32]), &NETWORK);
    assert!(new.signature_check(&account, term, &NETWORK).holds());
    assert!(!new.signature_check(&account, Term(5), &NETWORK).holds());
    assert!(!new.signature_check(&AccountId([2; 20]), term, &NETWORK).holds());
    let other = NewVotingKey {
        onion: Hash([3; 32]),
        ..new
    };
    assert!(!other.signature_check(&account, term, &NETWORK).holds());
}

/// Fourteen keys fit into a registration, one more does not.
#[test]
fn registrations_are_bounded() {
    let account = AccountId([1; 20]);
    let decode = |n: u64| {
        let keys: Vec<NewVotingKey> = (0..n)
            .map(|term| NewVotingKey::sign(&key(9), &account, Term(term), Hash::ZERO, &NETWORK))
            .collect();
        codec::decode::<BoundedVec<NewVotingKey, KEYS_AHEAD_MAX>>(&codec::encode(&keys), 1 << 16)
    };
    assert_eq!(decode(14).map(|keys| keys.len()), Ok(14));
    assert!(decode(15).is_err());
}
