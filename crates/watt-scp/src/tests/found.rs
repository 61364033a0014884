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
        expect![[r#""#]],
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
        expect![[r#""#]],
    );
}

/// What `p'` holds of the committed value goes on into CONFIRM. Covers: A1.
#[test]
fn accepting_a_commit_forgets_nothing_accepted_prepared() {
    check(
        "needs 3 of a b c d
         starts x
         b,c: prepare 4x p=4x
         b,c: prepare 5y p=5y
         b,c: confirm 2x p=2 c=1 h=2",
        expect![[r#""#]],
    );
}

/// A node without a ballot votes to commit from the lowest that is still named, not from one it has itself let go. Covers: A1.
#[test]
fn the_first_commit_vote_begins_at_a_ballot_still_named() {
    check(
        "needs 5 of a b c d e f
         b,d: prepare 2x p=2x p'=1y
         b,c,d,e,f: prepare 3x p=2y",
        expect![[r#""#]],
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
        expect![[r#""#]],
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
        expect![[r#""#]],
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
        expect![[r#""#]],
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
