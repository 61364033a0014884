//! The nomination protocol.

use super::scenario::check;
use crate::protocol::{Config, Input, Output, Scp};
use crate::quorum_set::QuorumSet;
use crate::statement::{Pledges, Statement, Value};
use crate::testing::{MapOracle, NETWORK, flat_sets, node_id};
use expect_test::expect;
use std::vec::Vec;
use watt_primitives::{BoundedVec, Hash, SlotIndex};

/// A leader votes for its own value; a quorum of votes accepts it, a quorum of acceptances makes it a candidate. Covers: A1.
#[test]
fn a_leader_brings_its_value_to_a_ballot() {
    check(
        "needs 3 of a b c d
         nominates x
         b: nominate x
         c: nominate x
         b: nominate x / x
         c: nominate x / x",
        expect![[r#"
            nominates x
                says nominate x
                sets timer Nomination 1
            b: nominate x
            c: nominate x
                says nominate x / x
            b: nominate x / x
            c: nominate x / x
                says prepare 1x
                cancels timer Nomination
        "#]],
    );
}

/// A node that does not lead waits for the leader, and takes one value, accepted ones first. Covers: A1.
#[test]
fn others_follow_the_leader() {
    check(
        "needs 3 of a b c d
         leads b
         nominates x
         c: nominate w
         b: nominate y z / z
         timer nomination",
        expect![[r#"
            leads b
            nominates x
                sets timer Nomination 1
            c: nominate w
            b: nominate y z / z
                says nominate z
            timer nomination
                sets timer Nomination 2
        "#]],
    );
}

/// A value that is invalid when the leader names it is taken as soon as it is not. Covers: A1.
#[test]
fn an_invalid_value_is_not_voted_until_it_is_valid() {
    check(
        "needs 3 of a b c d
         leads b
         y is invalid
         Y is invalid
         nominates x
         b,c,d: nominate y
         y is structural",
        expect![[r#"
            leads b
            y is invalid
            Y is invalid
            nominates x
                sets timer Nomination 1
            b,c,d: nominate y
            y is structural
                says nominate y / y
        "#]],
    );
}

/// What a leader proposes may turn out to be bad for everybody: its fallback is nominated in its place, and the slot goes on.
/// Covers: A1, A5.
#[test]
fn the_fallback_stands_for_a_bad_proposal() {
    check(
        "needs 3 of a b c d
         leads b
         y is structural
         nominates x
         b: nominate y
         y is invalid
         c,d: nominate Y",
        expect![[r#"
            leads b
            y is structural
            nominates x
                sets timer Nomination 1
            b: nominate y
                says nominate y
            y is invalid
                says nominate Y y
            c,d: nominate Y
                says nominate Y y / Y
        "#]],
    );
}

/// A leader whose own proposal turned out to be bad, after it was voted for, votes for its fallback in the next round.
/// Covers: A1, A5.
#[test]
fn the_fallback_stands_for_a_bad_proposal_of_ones_own() {
    check(
        "needs 3 of a b c d
         x is structural
         nominates x
         x is invalid
         timer nomination
         b,c: nominate X",
        expect![[r#"
            x is structural
            nominates x
                says nominate x
                sets timer Nomination 1
            x is invalid
            timer nomination
                says nominate X x
                sets timer Nomination 2
            b,c: nominate X
                says nominate X x / X
        "#]],
    );
}

/// What a v-blocking set accepts is accepted although it turned out to be bad here, since another may have it as a candidate and vote
/// for nothing else any more; ballots then carry its fallback. Covers: A1, A5.
#[test]
fn a_bad_proposal_that_others_accepted_is_a_candidate_and_its_fallback_goes_on() {
    check(
        "needs 3 of a b c d
         leads b
         y is structural
         nominates x
         b: nominate y
         y is invalid
         b: nominate y / y
         c: nominate Y y / y",
        expect![[r#"
            leads b
            y is structural
            nominates x
                sets timer Nomination 1
            b: nominate y
                says nominate y
            y is invalid
                says nominate Y y
            b: nominate y / y
            c: nominate Y y / y
                says nominate Y y / y
                says prepare 1Y
                cancels timer Nomination
        "#]],
    );
}

/// So is one that was found bad before anybody named it. Covers: A1, A5.
#[test]
fn a_bad_proposal_is_met_when_enough_accept_it() {
    check(
        "needs 3 of a b c d
         leads d
         y is invalid
         nominates x
         b: nominate y / y
         b,c: nominate y z / y z",
        expect![[r#"
            leads d
            y is invalid
            nominates x
                sets timer Nomination 1
            b: nominate y / y
            b,c: nominate y z / y z
                says nominate y z / y z
                says prepare 1z
                cancels timer Nomination
        "#]],
    );
}

/// What is bad is accepted after others only once its fallback is good. Covers: A1.
#[test]
fn a_bad_value_is_accepted_only_when_its_fallback_is_good() {
    check(
        "needs 3 of a b c d
         leads d
         y is invalid
         Y is invalid
         nominates x
         b,c,d: nominate y / y
         Y is full",
        expect![[r#"
            leads d
            y is invalid
            Y is invalid
            nominates x
                sets timer Nomination 1
            b,c,d: nominate y / y
            Y is full
                says nominate y / y
                says prepare 1Y
                cancels timer Nomination
        "#]],
    );
}

/// Nothing new is voted for once there is a candidate; what others accept is still accepted. Covers: A1.
#[test]
fn nothing_is_introduced_after_a_candidate() {
    check(
        "needs 3 of a b c d
         leads b
         nominates x
         b,c: nominate y / y
         b: nominate w y / y
         b: nominate w y z / w y
         c: nominate w y / w y",
        expect![[r#"
            leads b
            nominates x
                sets timer Nomination 1
            b,c: nominate y / y
                says nominate y / y
                says prepare 1y
                cancels timer Nomination
            b: nominate w y / y
            b: nominate w y z / w y
            c: nominate w y / w y
                says nominate w y / w y
        "#]],
    );
}

/// Nominations heard before the slot began count when it begins. Covers: A1.
#[test]
fn what_was_heard_early_counts() {
    check(
        "needs 3 of a b c d
         leads b
         b,c,d: nominate y / y
         nominates x",
        expect![[r#"
            leads b
            b,c,d: nominate y / y
            nominates x
                says nominate y / y
                says prepare 1y
        "#]],
    );
}

/// After a crash the votes stand, no second own value is introduced, and the round goes on. Covers: A1.
#[test]
fn nomination_goes_on_after_a_crash() {
    check(
        "needs 3 of a b c d
         nominates x
         timer nomination
         b: nominate x
         crash
         nominates w
         c: nominate x
         b,c: nominate x / x",
        expect![[r#"
            nominates x
                says nominate x
                sets timer Nomination 1
            timer nomination
                sets timer Nomination 2
            b: nominate x
            crash
            nominates w
                sets timer Nomination 1
            c: nominate x
            b,c: nominate x / x
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
        "#]],
    );
}

/// Everybody draws the same leader in the same round, weights of zero never lead, and every node with weight leads in the end.
/// Covers: A1.
#[test]
fn leaders_accumulate_and_follow_the_weights() {
    let sets = flat_sets(7);
    let mut oracle = MapOracle::default();
    oracle.quorum_sets.insert(sets[0].hash(&NETWORK), sets[0].clone());
    oracle.weights.insert(node_id(3), 0);
    let mut n_leading = [0; 7];
    for slot in (1..=200).map(SlotIndex) {
        let mut speakers = Vec::new();
        for (n, set) in sets.iter().enumerate() {
            let mut scp = Scp::new(Config {
                node: node_id(n),
                network: NETWORK,
                quorum_set: set.clone(),
                votes: true,
            });
            let mut out = Vec::new();
            let value = Value(Hash([u8::try_from(n).unwrap(); 32]));
            let previous = Value(Hash([9; 32]));
            scp.step(
                Input::Nominate {
                    slot,
                    value,
                    previous,
                },
                &oracle,
                &mut out,
            );
            if out.iter().any(|output| matches!(output, Output::Send(_))) {
                speakers.push(n);
            }
        }
        assert_eq!(speakers.len(), 1, "one leader in round 1 of {slot}");
        n_leading[speakers[0]] += 1;
    }
    assert_eq!(n_leading[3], 0);
    for (n, count) in n_leading.into_iter().enumerate() {
        assert!(
            n == 3 || (15..=60).contains(&count),
            "node {n} leads {count} of 200"
        );
    }
}

/// A network in which nobody has weight neither loops nor speaks. Covers: A1.
#[test]
fn without_weights_nobody_leads() {
    let sets = flat_sets(4);
    let mut oracle = MapOracle::default();
    for n in 0..4 {
        oracle.weights.insert(node_id(n), 0);
    }
    let mut scp = Scp::new(Config {
        node: node_id(0),
        network: NETWORK,
        quorum_set: sets[0].clone(),
        votes: true,
    });
    let mut out = Vec::new();
    let value = Value(Hash([1; 32]));
    let slot = SlotIndex(1);
    scp.step(
        Input::Nominate {
            slot,
            value,
            previous: value,
        },
        &oracle,
        &mut out,
    );
    assert!(out.iter().all(|output| matches!(output, Output::SetTimer { .. })));
}

/// Lying nodes cannot fill a slot with values before an honest one has spoken. Covers: A1.
#[test]
fn a_flood_of_values_leaves_room_for_an_honest_one() {
    let n_nodes = 61;
    let sets: Vec<QuorumSet> = flat_sets(n_nodes);
    let mut oracle = MapOracle::default();
    oracle.quorum_sets.insert(sets[0].hash(&NETWORK), sets[0].clone());
    let honest = Value(Hash([0xee; 32]));
    let mut scp = Scp::new(Config {
        node: node_id(0),
        network: NETWORK,
        quorum_set: sets[0].clone(),
        votes: true,
    });
    let mut out = Vec::new();
    let slot = SlotIndex(1);
    for liar in 1..=20u8 {
        let mut votes: Vec<Value> = (0..32u8)
            .map(|n| {
                let mut bytes = [n; 32];
                bytes[0] = liar;
                Value(Hash(bytes))
            })
            .collect();
        votes.sort_unstable();
        let statement = nomination(usize::from(liar), &sets[0], votes);
        let statements = &[statement];
        scp.step(Input::Receive { slot, statements }, &oracle, &mut out);
    }
    for n in 21..61 {
        let statements = &[nomination(n, &sets[0], [honest].to_vec())];
        scp.step(Input::Receive { slot, statements }, &oracle, &mut out);
    }
    oracle.weights.extend((0..n_nodes).map(|n| (node_id(n), 0)));
    oracle.weights.insert(node_id(30), u64::MAX);
    let own = Value(Hash([1; 32]));
    out.clear();
    scp.step(
        Input::Nominate {
            slot,
            value: own,
            previous: own,
        },
        &oracle,
        &mut out,
    );
    let accepts_honest = |output: &Output| match output {
        Output::Send(statement) => match &statement.pledges {
            Pledges::Nominate { accepted, .. } => accepted.contains(&honest),
            _ => false,
        },
        _ => false,
    };
    assert!(out.iter().any(accepts_honest), "{out:?}");
}

/// Nor can they, if all of them lead before any honest one does, fill what a node may vote for. Covers: A1.
#[test]
fn liars_who_lead_first_leave_room_for_an_honest_leader() {
    let sets: Vec<QuorumSet> = flat_sets(61);
    let mut oracle = MapOracle::default();
    oracle.quorum_sets.insert(sets[0].hash(&NETWORK), sets[0].clone());
    let honest = Value(Hash([0xee; 32]));
    let mut scp = Scp::new(Config {
        node: node_id(0),
        network: NETWORK,
        quorum_set: sets[0].clone(),
        votes: true,
    });
    let (slot, own) = (SlotIndex(1), Value(Hash([0xff; 32])));
    let mut out = Vec::new();
    oracle.weights.extend((0..61).map(|n| (node_id(n), 0)));
    oracle.weights.extend((1..=20).map(|n| (node_id(n), u64::MAX)));
    for liar in 1..=20u8 {
        let votes = (0..8).map(|n| Value(Hash([8 * (liar - 1) + n; 32]))).collect();
        let statements = &[nomination(usize::from(liar), &sets[0], votes)];
        scp.step(Input::Receive { slot, statements }, &oracle, &mut out);
    }
    let begin = Input::Nominate {
        slot,
        value: own,
        previous: own,
    };
    scp.step(begin, &oracle, &mut out);
    for round in 0..80 {
        if round == 60 {
            oracle.weights.insert(node_id(30), u64::MAX);
            for n in 21..61 {
                let statements = &[nomination(n, &sets[0], [honest].to_vec())];
                scp.step(Input::Receive { slot, statements }, &oracle, &mut out);
            }
        }
        let set_last = out.iter().rev().find_map(|output| match output {
            Output::SetTimer { kind, generation, .. } => Some((*kind, *generation)),
            _ => None,
        });
        let (kind, generation) = set_last.unwrap();
        let timer = Input::Timer {
            slot,
            kind,
            generation,
        };
        scp.step(timer, &oracle, &mut out);
    }
    assert!((1..=20).all(|n| scp.leaders(slot).contains(&node_id(n))));
    let said = scp.own(slot).next().map(|statement| statement.pledges.clone());
    let Some(Pledges::Nominate { accepted, .. }) = said else {
        panic!("nothing is nominated");
    };
    assert!(accepted.contains(&honest), "{accepted:?}");
}

fn nomination(n: usize, set: &QuorumSet, votes: Vec<Value>) -> Statement {
    Statement {
        node: node_id(n),
        slot: SlotIndex(1),
        quorum_set: set.hash(&NETWORK),
        pledges: Pledges::Nominate {
            votes: BoundedVec::new(votes).unwrap(),
            accepted: BoundedVec::empty(),
        },
    }
}
