//! What the reference's unit tests show, as scenarios: five nodes of which four are needed, and nested sets.

use super::scenario::check;
use expect_test::expect;

/// Accepted prepared moves up with the ballots; what is confirmed follows. Covers: A1.
#[test]
fn a_higher_counter_of_the_same_value_is_prepared_anew() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c,d: prepare 1x p=1x
         b,c,d: prepare 2x p=2x
         timer ballot
         b,c: prepare 3x p=3x
         b,c,d: prepare 3x p=3x c=1 h=3",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c,d: prepare 1x p=1x
                says prepare 1x p=1x c=1 h=1
                sets timer Ballot 1
            b,c,d: prepare 2x p=2x
                says prepare 2x p=2x c=1 h=2
                sets timer Ballot 2
            timer ballot
                says prepare 3x p=2x c=1 h=2
            b,c: prepare 3x p=3x
                says prepare 3x p=3x c=1 h=2
            b,c,d: prepare 3x p=3x c=1 h=3
                says confirm 3x p=3 c=1 h=3
                sets timer Ballot 3
        "#]],
    );
}

/// A v-blocking set that accepts another value, higher or lower, fills `p` and `p'`; own ballot stays until the timer. Covers: A1.
#[test]
fn a_conflicting_ballot_is_prepared_beside() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c: prepare 1x p=1x
         b,c: prepare 2y p=2y p'=1x
         b,c: prepare 3x p=3x p'=2y
         b,c: prepare 4y p=4y p'=3x",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: prepare 1x p=1x
                says prepare 1x p=1x
            b,c: prepare 2y p=2y p'=1x
                says prepare 2x p=2y p'=1x
            b,c: prepare 3x p=3x p'=2y
                says prepare 3x p=3x p'=2y
            b,c: prepare 4y p=4y p'=3x
                says prepare 4x p=4y p'=3x
        "#]],
    );
}

/// At one counter the higher value is the higher ballot. Covers: A1.
#[test]
fn two_values_at_one_counter_are_ordered_by_value() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c: prepare 1w p=1w
         b,c: prepare 1y p=1y p'=1w
         d,e: prepare 1x p=1x",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: prepare 1w p=1w
                says prepare 1x p=1w
            b,c: prepare 1y p=1y p'=1w
                says prepare 1x p=1y p'=1w
            d,e: prepare 1x p=1x
                says prepare 1x p=1y p'=1x
                sets timer Ballot 1
        "#]],
    );
}

/// A ballot that times out is followed by one for the value confirmed prepared, whatever others have gone to. Covers: A1.
#[test]
fn a_timeout_goes_to_the_confirmed_value() {
    check(
        "needs 4 of a b c d e
         starts y
         b,c,d: prepare 3y
         timer ballot
         b,c,d: prepare 4y p=3y p'=2x
         b,c,d: prepare 5x p=3y p'=3x
         timer ballot",
        expect![[r#"
            starts y
                says nominate y
                sets timer Nomination 1
                says nominate y / y
                says prepare 1y
                cancels timer Nomination
            b,c,d: prepare 3y
                says prepare 3y p=3y
                sets timer Ballot 3
            timer ballot
                says prepare 4y p=3y
            b,c,d: prepare 4y p=3y p'=2x
                says prepare 4y p=4y p'=2x h=3
                sets timer Ballot 4
            b,c,d: prepare 5x p=3y p'=3x
                says prepare 5y p=4y p'=3x h=3
                sets timer Ballot 5
            timer ballot
                says prepare 6y p=4y p'=3x h=3
        "#]],
    );
}

/// After accepting commit a node prepares no other value, wherever v-blocking sets or quorums go, and follows counters. Covers: A1.
#[test]
fn in_confirm_the_value_is_bound() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c: confirm 2x p=2 c=2 h=2
         b,c: confirm 4x p=3 c=2 h=3
         d,e: prepare 6y p=6y
         timer ballot
         d: prepare 7x p=7x c=2 h=7
         b: confirm 7x p=7 c=2 h=7",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: confirm 2x p=2 c=2 h=2
                says confirm 2x p=2 c=2 h=2
            b,c: confirm 4x p=3 c=2 h=3
                says confirm 4x p=3 c=2 h=3
            d,e: prepare 6y p=6y
                says confirm 6x p=3 c=2 h=3
                sets timer Ballot 6
            timer ballot
                says confirm 7x p=3 c=2 h=3
            d: prepare 7x p=7x c=2 h=7
                says confirm 7x p=7 c=2 h=7
                sets timer Ballot 7
            b: confirm 7x p=7 c=2 h=7
        "#]],
    );
}

/// A CONFIRM votes to commit at every counter from `c` on, and to prepare at every counter. Covers: A1.
#[test]
fn confirm_votes_for_every_higher_counter() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c: confirm 1x p=1 c=1 h=1
         d: prepare 3x p=3x c=1 h=3
         b: confirm 3x p=3 c=1 h=3",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: confirm 1x p=1 c=1 h=1
                says confirm 1x p=1 c=1 h=1
            d: prepare 3x p=3x c=1 h=3
                says confirm 3x p=3 c=1 h=3
                sets timer Ballot 3
            b: confirm 3x p=3 c=1 h=3
        "#]],
    );
}

/// Once decided, nothing moves: no timer, no ballot, no nomination, whoever says what. Covers: A1.
#[test]
fn externalize_is_final() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c,d: externalize 1x h=1
         b,c,d,e: prepare 9y p=9y
         e: externalize 2y h=2
         nominates z
         timer ballot
         crash
         b: nominate x z / x z
         b,c,d: externalize 1x h=1",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c,d: externalize 1x h=1
                says externalize 1x h=max
                decides x proven by abcd
            b,c,d,e: prepare 9y p=9y
            e: externalize 2y h=2
            nominates z
            timer ballot
                does not run
            crash
            b: nominate x z / x z
            b,c,d: externalize 1x h=1
                decides x proven by abcd
        "#]],
    );
}

/// EXTERNALIZE of a v-blocking set is followed into CONFIRM, of a slice decides, at every level. Covers: A1.
#[test]
fn externalize_statements_alone_block_and_decide() {
    check(
        "needs 2 of [2 of a b c] [2 of d e f]
         starts x
         d: externalize 2x h=3
         e: externalize 2x h=2
         b: externalize 3x h=3",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            d: externalize 2x h=3
            e: externalize 2x h=2
                says confirm maxx p=max c=2 h=max
            b: externalize 3x h=3
                says externalize 3x h=max
                decides x proven by abde
        "#]],
    );
}

/// From PREPARE with `c`: the vote stands, the commit is accepted with the others' votes. Covers: A1.
#[test]
fn restored_in_prepare_it_goes_on() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c,d: prepare 2x p=2x
         crash
         b: prepare 2x p=2x c=1 h=2
         c,d: prepare 2x p=2x c=1 h=2",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c,d: prepare 2x p=2x
                says prepare 2x p=2x c=1 h=2
                sets timer Ballot 2
            crash
            b: prepare 2x p=2x c=1 h=2
            c,d: prepare 2x p=2x c=1 h=2
                says confirm 2x p=2 c=1 h=2
                sets timer Ballot 2
        "#]],
    );
}

/// From EXTERNALIZE: nothing is said, and the decision is announced once others prove it. Covers: A1.
#[test]
fn restored_after_the_decision_it_tells_again() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c,d: externalize 1x h=1
         crash
         b: externalize 1x h=1
         c,d: externalize 1x h=1",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c,d: externalize 1x h=1
                says externalize 1x h=max
                decides x proven by abcd
            crash
            b: externalize 1x h=1
            c,d: externalize 1x h=1
                decides x proven by abcd
        "#]],
    );
}

/// Accepted by a v-blocking set is accepted, voted for or not, leader or not. Covers: A1.
#[test]
fn a_blocking_set_that_accepts_a_nomination_is_enough() {
    check(
        "needs 4 of a b c d e
         leads e
         nominates x
         b: nominate y / y
         c: nominate y / y
         d: nominate y / y",
        expect![[r#"
            leads e
            nominates x
                sets timer Nomination 1
            b: nominate y / y
            c: nominate y / y
                says nominate y / y
            d: nominate y / y
                says prepare 1y
                cancels timer Nomination
        "#]],
    );
}

/// Votes of a quorum accept, also without being voted for; two values go through side by side, the composite grows. Covers: A1.
#[test]
fn a_quorum_of_votes_accepts_a_nomination() {
    check(
        "needs 4 of a b c d e
         nominates x
         b,c,d: nominate x y
         b,c,d: nominate x y / x
         b,c,d: nominate x y / x y",
        expect![[r#"
            nominates x
                says nominate x
                sets timer Nomination 1
            b,c,d: nominate x y
                says nominate x / x
            b,c,d: nominate x y / x
                says prepare 1x
                cancels timer Nomination
            b,c,d: nominate x y / x y
                says nominate x y / x y
        "#]],
    );
}

/// Each round may add a leader; those before stay. Covers: A1.
#[test]
fn leaders_of_later_rounds_are_followed_too() {
    check(
        "needs 3 of a b c d
         leads b
         nominates x
         leads c
         timer nomination
         b: nominate y
         c: nominate z
         leads a
         timer nomination",
        expect![[r#"
            leads b
            nominates x
                sets timer Nomination 1
            leads c
            timer nomination
                sets timer Nomination 2
            b: nominate y
                says nominate y
            c: nominate z
                says nominate y z
            leads a
            timer nomination
                sets timer Nomination 3
        "#]],
    );
}

/// A leader's own value that is invalid is proposed by a later round, once it is not. Covers: A1.
#[test]
fn an_own_value_must_be_valid_to_be_proposed() {
    check(
        "needs 3 of a b c d
         x is invalid
         X is invalid
         nominates x
         x is structural
         timer nomination",
        expect![[r#"
            x is invalid
            X is invalid
            nominates x
                sets timer Nomination 1
            x is structural
            timer nomination
                says nominate x
                sets timer Nomination 2
        "#]],
    );
}

/// Nomination resumes in the recorded round; the timer is as long as it was. Covers: A1.
#[test]
fn the_round_goes_on_from_the_record() {
    check(
        "needs 3 of a b c d
         nominates x
         timer nomination
         timer nomination
         b,c: nominate x
         crash
         nominates x",
        expect![[r#"
            nominates x
                says nominate x
                sets timer Nomination 1
            timer nomination
                sets timer Nomination 2
            timer nomination
                sets timer Nomination 3
            b,c: nominate x
                says nominate x / x
            crash
            nominates x
                sets timer Nomination 3
        "#]],
    );
}

/// Ballot timers run only with a quorum at the counter, stop when it is lost, and start anew at the next. Covers: A1.
#[test]
fn a_timer_fires_once_and_only_when_armed() {
    check(
        "needs 4 of a b c d e
         timer ballot
         starts x
         timer ballot
         b,c: prepare 1x
         d: prepare 1x
         timer ballot
         timer ballot
         b,c,d: prepare 2x
         b,c: prepare 7x",
        expect![[r#"
            timer ballot
                does not run
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            timer ballot
                does not run
            b,c: prepare 1x
            d: prepare 1x
                says prepare 1x p=1x
                sets timer Ballot 1
            timer ballot
                says prepare 2x p=1x
            timer ballot
                does not run
            b,c,d: prepare 2x
                says prepare 2x p=2x
                sets timer Ballot 2
            b,c: prepare 7x
                says prepare 7x p=2x
                cancels timer Ballot
        "#]],
    );
}
