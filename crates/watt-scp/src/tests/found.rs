//! What the naive implementation showed to be wrong, or untested, each as its smallest case.

use super::scenario::check;
use crate::protocol::inspect::Verdict;
use crate::protocol::{Input, Scp};
use crate::quorum_set::QuorumSet;
use crate::statement::{Ballot, Pledges, Statement, Value};
use crate::testing::{NETWORK, Network, flat_sets, node_id};
use expect_test::expect;
use std::vec::Vec;
use watt_primitives::{Hash, SlotIndex};

/// A value given up with nothing to put in its place is left as soon as nomination has another. Covers: A1.
#[test]
fn a_composite_that_comes_late_ends_a_ballot_that_was_given_up() {
    check(
        "needs 3 of a b c d
         W is structural
         starts W
         body timeout W
         b,c: nominate W x / W x",
        expect![[r#"
            W is structural
            starts W
                says nominate W
                sets timer Nomination 1
                says nominate W / W
                says prepare 1W
                cancels timer Nomination
            body timeout W
            b,c: nominate W x / W x
                says nominate W x / W x
                says prepare 2x
        "#]],
    );
}

/// A node that lost its newest record is silent until it finds it; then its own word counts again in its own checks. Covers: A1.
#[test]
fn a_voice_regained_counts_again() {
    check(
        "needs 3 of a b c d
         starts x
         b,c: prepare 1x p=1x
         forgets last
         a: prepare 1x p=1x c=1 h=1
         b: prepare 1x p=1x c=1 h=1
         finds it
         c: prepare 1x p=1x c=1 h=1
         b,c: confirm 1x p=1 c=1 h=1",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: prepare 1x p=1x
                says prepare 1x p=1x c=1 h=1
                sets timer Ballot 1
            forgets last
            a: prepare 1x p=1x c=1 h=1
                has forgotten prepare 1x p=1x c=1 h=1
            b: prepare 1x p=1x c=1 h=1
            finds it
            c: prepare 1x p=1x c=1 h=1
                says confirm 1x p=1 c=1 h=1
                sets timer Ballot 1
            b,c: confirm 1x p=1 c=1 h=1
                says externalize 1x h=1
                cancels timer Ballot
                decides x proven by abc
        "#]],
    );
}

/// What `p'` holds of the committed value goes on into CONFIRM. Covers: A1.
#[test]
fn accepting_a_commit_forgets_nothing_accepted_prepared() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c: prepare 4x p=4x
         b,c: prepare 5y p=5y
         b,c: confirm 2x p=2 c=1 h=2",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: prepare 4x p=4x
                says prepare 4x p=4x
            b,c: prepare 5y p=5y
                says prepare 5x p=5y p'=4x
            b,c: confirm 2x p=2 c=1 h=2
                says confirm 5x p=4 c=1 h=2
        "#]],
    );
}

/// A node without a ballot votes to commit from the lowest that is still named, not from one it has itself let go. Covers: A1.
#[test]
fn the_first_commit_vote_begins_at_a_ballot_still_named() {
    check(
        "needs 5 of a b c d e f
         b,d: prepare 2x p=2x p'=1y
         b,c,d,e,f: prepare 3y p=2y",
        expect![[r#"
            b,d: prepare 2x p=2x p'=1y
            b,c,d,e,f: prepare 3y p=2y
                says prepare 3y p=3y p'=2x c=2 h=2
                sets timer Ballot 3
        "#]],
    );
}

/// A quorum set that cannot be met gives its node no slice, and lets nobody pull it along. Covers: A1.
#[test]
fn without_a_sane_set_nothing_is_accepted() {
    check(
        "needs 5 of a b c
         nominates x
         b,c: nominate x / x
         b,c: prepare 1x p=1x
         b,c: externalize 1x h=1",
        expect![[r#"
            nominates x
                says nominate x
                sets timer Nomination 1
            b,c: nominate x / x
            b,c: prepare 1x p=1x
            b,c: externalize 1x h=1
        "#]],
    );
}

/// A value named while it was invalid, and met since then as a fallback, has its votes once it is valid. Covers: A1.
#[test]
fn votes_for_a_fallback_heard_early_count() {
    check(
        "needs 3 of a b c d
         X is invalid
         b,c,d: nominate X
         nominates x
         b,c,d: nominate X x / x
         X is full",
        expect![[r#"
            X is invalid
            b,c,d: nominate X
            nominates x
                says nominate x
                sets timer Nomination 1
            b,c,d: nominate X x / x
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            X is full
                says nominate X x / X x
        "#]],
    );
}

/// A leader that names value after value is followed four times. Covers: A1.
#[test]
fn one_leader_gives_four_values_at_most() {
    check(
        "needs 3 of a b c d
         leads b
         nominates x
         b: nominate r
         b: nominate r s
         b: nominate r s t
         b: nominate r s t u
         b: nominate r s t u v
         timer nomination",
        expect![[r#"
            leads b
            nominates x
                sets timer Nomination 1
            b: nominate r
                says nominate r
            b: nominate r s
                says nominate r s
            b: nominate r s t
                says nominate r s t
            b: nominate r s t u
                says nominate r s t u
            b: nominate r s t u v
            timer nomination
                sets timer Nomination 2
        "#]],
    );
}

/// A quorum set becomes part of the node's world when a statement that is heard names it, not by being known. Covers: A2.
#[test]
fn a_set_that_nobody_names_admits_nobody() {
    let sets = flat_sets(4);
    let network = Network::new(&sets, 1);
    let mut oracle = network.members[0].oracle.clone();
    let mut scp = Scp::new(network.members[0].config.clone());
    let mut out = Vec::new();
    let says = |n, set: &QuorumSet| Statement {
        node: node_id(n),
        slot: SlotIndex(1),
        quorum_set: set.hash(&NETWORK),
        pledges: Pledges::Externalize {
            commit: Ballot {
                counter: 1,
                value: Value(Hash([1; 32])),
            },
            h_counter: 1,
        },
    };
    let (named, unnamed) = (
        QuorumSet::flat(1, [node_id(8)].to_vec()),
        QuorumSet::flat(1, [node_id(9)].to_vec()),
    );
    let waiting = Statement {
        pledges: Pledges::Prepare {
            ballot: Ballot {
                counter: 1,
                value: Value(Hash([1; 32])),
            },
            prepared: None,
            prepared_prime: None,
            c_counter: 0,
            h_counter: 0,
        },
        ..says(1, &named)
    };
    let (slot, statements) = (SlotIndex(1), &[waiting]);
    scp.step(Input::Receive { slot, statements }, &oracle, &mut out);
    for set in [&named, &unnamed] {
        let hash = set.hash(&NETWORK);
        oracle.quorum_sets.insert(hash, set.clone());
        scp.step(Input::QuorumSetKnown { hash }, &oracle, &mut out);
    }
    assert_eq!(scp.verdict(&says(8, &named)), Verdict::Heard);
    assert_eq!(scp.verdict(&says(9, &unnamed)), Verdict::UnknownNode);
}
