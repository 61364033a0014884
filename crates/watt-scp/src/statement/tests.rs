//! Order of statements, and envelopes.

use super::*;
use alloc::vec::Vec;

fn value(n: u8) -> Value {
    Value(Hash([n; 32]))
}

fn ballot(counter: u32, n: u8) -> Ballot {
    Ballot {
        counter,
        value: value(n),
    }
}

fn nominate(votes: &[u8], accepted: &[u8]) -> Pledges {
    let list = |numbers: &[u8]| {
        let values: Vec<Value> = numbers.iter().copied().map(value).collect();
        BoundedVec::new(values).unwrap()
    };
    Pledges::Nominate {
        votes: list(votes),
        accepted: list(accepted),
    }
}

fn prepare(b: Ballot, p: Option<Ballot>, prime: Option<Ballot>, h_counter: u32, c_counter: u32) -> Pledges {
    Pledges::Prepare {
        ballot: b,
        prepared: p,
        prepared_prime: prime,
        c_counter,
        h_counter,
    }
}

fn confirm(b: Ballot, prepared_counter: u32, h_counter: u32) -> Pledges {
    Pledges::Confirm {
        ballot: b,
        prepared_counter,
        c_counter: 1,
        h_counter,
    }
}

/// Ballot statements are ordered by kind, then by what an honest node only ever raises. Covers: A1.
#[test]
fn ballot_statements_have_one_order() {
    let ascending = [
        prepare(ballot(1, 1), None, None, 0, 0),
        prepare(ballot(1, 1), Some(ballot(1, 1)), None, 0, 0),
        prepare(ballot(1, 1), Some(ballot(1, 1)), None, 1, 0),
        prepare(ballot(1, 1), Some(ballot(1, 1)), None, 1, 1),
        prepare(ballot(1, 1), Some(ballot(2, 2)), Some(ballot(1, 1)), 1, 0),
        prepare(ballot(1, 2), None, None, 0, 0),
        prepare(ballot(2, 1), None, None, 0, 0),
        confirm(ballot(1, 1), 1, 1),
        confirm(ballot(2, 1), 1, 1),
        confirm(ballot(2, 1), 2, 1),
        confirm(ballot(2, 1), 2, 2),
        Pledges::Externalize {
            commit: ballot(1, 1),
            h_counter: 1,
        },
    ];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(a.is_newer_than(b), i > j, "{a:?} after {b:?}");
        }
    }
    let other_end = Pledges::Externalize {
        commit: ballot(2, 2),
        h_counter: 3,
    };
    assert!(!other_end.is_newer_than(ascending.last().unwrap()));
}

/// Nominations grow as sets; a lost vote makes them incomparable, not newer. Covers: A1.
#[test]
fn nominations_only_grow() {
    let old = nominate(&[1, 3], &[3]);
    for (is_newer, new) in [
        (true, nominate(&[1, 2, 3], &[3])),
        (true, nominate(&[1, 3], &[1, 3])),
        (false, nominate(&[1, 3], &[3])),
        (false, nominate(&[1, 2, 4], &[3])),
        (false, nominate(&[1, 2, 3], &[])),
        (false, nominate(&[3], &[3])),
    ] {
        assert_eq!(new.is_newer_than(&old), is_newer, "{new:?}");
    }
    assert!(!nominate(&[2, 1], &[]).is_sane());
    assert!(!nominate(&[1, 1], &[]).is_sane());
    assert!(!prepare(ballot(1, 1), None, None, 0, 0).is_newer_than(&old));
    assert!(!old.is_newer_than(&prepare(ballot(1, 1), None, None, 0, 0)));
}

/// An envelope's signature is good for its statement on its network, and its size stays below the bound. Covers: A1.
#[test]
fn envelopes_are_bound_to_statement_and_network() {
    let network = NetworkId::new([7; 32]);
    let key = SecretKey::from_seed([5; 32]);
    let votes: Vec<u8> = (0..32).collect();
    let statement = Statement {
        node: key.node_id(),
        slot: SlotIndex(u64::MAX),
        quorum_set: Hash([1; 32]),
        pledges: nominate(&votes, &votes),
    };
    let envelope = Envelope::sign(statement, &key, &network);
    assert!(envelope.signature_check(&network).holds());
    assert!(!envelope.signature_check(&NetworkId::new([8; 32])).holds());
    let bytes = codec::encode(&envelope);
    assert!(bytes.len() <= ENVELOPE_BYTES_MAX, "{}", bytes.len());
    assert_eq!(
        codec::decode::<Envelope>(&bytes, ENVELOPE_BYTES_MAX).unwrap(),
        envelope
    );
}
