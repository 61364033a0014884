//! The ballot protocol, rule by rule.

use super::scenario::check;
use expect_test::expect;

/// The good case takes three PREPAREs, a CONFIRM and an EXTERNALIZE, each as soon as a quorum allows. Covers: A1.
#[test]
fn a_ballot_goes_from_prepare_to_externalize() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c: prepare 1x
         d: prepare 1x
         b,c: prepare 1x p=1x
         d: prepare 1x p=1x
         b,c: prepare 1x p=1x c=1 h=1
         d: prepare 1x p=1x c=1 h=1
         b,c: confirm 1x p=1 c=1 h=1
         d: confirm 1x p=1 c=1 h=1
         e: externalize 1x h=1",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: prepare 1x
            d: prepare 1x
                says prepare 1x p=1x
                sets timer Ballot 1
            b,c: prepare 1x p=1x
            d: prepare 1x p=1x
                says prepare 1x p=1x c=1 h=1
            b,c: prepare 1x p=1x c=1 h=1
            d: prepare 1x p=1x c=1 h=1
                says confirm 1x p=1 c=1 h=1
            b,c: confirm 1x p=1 c=1 h=1
            d: confirm 1x p=1 c=1 h=1
                says externalize 1x h=1
                cancels timer Ballot
                decides x proven by abcd
            e: externalize 1x h=1
        "#]],
    );
}

/// A v-blocking set that accepts is enough to accept, at every level. Covers: A1.
#[test]
fn a_blocking_set_pulls_a_node_along() {
    check(
        "needs 4 of a b c d e
         starts y
         b: prepare 1x p=1x
         c: prepare 1x p=1x
         b: confirm 2x p=2 c=1 h=2
         c: confirm 2x p=2 c=1 h=2
         d: confirm 2x p=2 c=1 h=2",
        expect![[r#"
            starts y
                says nominate y
                sets timer Nomination 1
                says nominate y / y
                says prepare 1y
                cancels timer Nomination
            b: prepare 1x p=1x
            c: prepare 1x p=1x
                says prepare 1y p=1x
            b: confirm 2x p=2 c=1 h=2
            c: confirm 2x p=2 c=1 h=2
                says confirm 2x p=2 c=1 h=2
            d: confirm 2x p=2 c=1 h=2
                says externalize 1x h=2
                decides x proven by abcd
        "#]],
    );
}

/// A higher prepared ballot for another value aborts the vote to commit; `p'` keeps the older one. Covers: A1.
#[test]
fn an_incompatible_prepared_ballot_takes_back_the_commit_vote() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c,d: prepare 1x p=1x
         b,c: prepare 2y p=2y
         d: prepare 2y p=2y
         timer ballot",
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
            b,c: prepare 2y p=2y
                says prepare 2x p=2y p'=1x h=1
                cancels timer Ballot
            d: prepare 2y p=2y
                says prepare 2y p=2y p'=1x c=2 h=2
                sets timer Ballot 2
            timer ballot
                says prepare 3y p=2y p'=1x c=2 h=2
        "#]],
    );
}

/// The ballot timer runs only while a quorum is at the counter, and a ballot that times out is followed by the next for the
/// confirmed prepared value, not for the composite. Covers: A1.
#[test]
fn timeouts_go_on_with_the_locked_value() {
    check(
        "needs 3 of a b c d
         starts x
         timer ballot
         b,c: prepare 1y p=1y
         b,c: prepare 2y p=1y
         timer ballot
         b,c: prepare 3y p=2y
         timer ballot",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            timer ballot
                does not run
            b,c: prepare 1y p=1y
                says prepare 1y p=1y c=1 h=1
                sets timer Ballot 1
            b,c: prepare 2y p=1y
                says prepare 2y p=2y c=1 h=1
                sets timer Ballot 2
            timer ballot
                says prepare 3y p=2y c=1 h=1
            b,c: prepare 3y p=2y
                says prepare 3y p=3y c=1 h=2
                sets timer Ballot 3
            timer ballot
                says prepare 4y p=3y c=1 h=2
        "#]],
    );
}

/// EXTERNALIZE alone, from a quorum, decides for a node that has heard nothing else. Covers: A1.
#[test]
fn a_late_node_decides_from_externalize_statements() {
    check(
        "needs 3 of a b c d
         b: externalize 2x h=3
         c: externalize 1x h=1
         d: externalize 2x h=2",
        expect![[r#"
            b: externalize 2x h=3
            c: externalize 1x h=1
                says externalize 2x h=max
                decides x proven by abc
            d: externalize 2x h=2
        "#]],
    );
}

/// Commit intervals: what is accepted is the highest counter, and from it the widest interval, that a quorum covers. Covers: A1.
#[test]
fn commit_takes_the_widest_common_interval() {
    check(
        "needs 4 of a b c d e
         starts x
         b,c,d,e: prepare 4x p=4x
         b: prepare 4x p=4x c=1 h=3
         c: prepare 4x p=4x c=2 h=4
         d: prepare 4x p=4x c=2 h=4
         e: prepare 4x p=4x c=3 h=4
         b: confirm 5x p=4 c=1 h=3
         c: confirm 5x p=4 c=2 h=4
         d: confirm 5x p=4 c=3 h=3",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c,d,e: prepare 4x p=4x
                says prepare 4x p=4x c=1 h=4
                sets timer Ballot 4
            b: prepare 4x p=4x c=1 h=3
            c: prepare 4x p=4x c=2 h=4
            d: prepare 4x p=4x c=2 h=4
                says confirm 4x p=4 c=2 h=3
            e: prepare 4x p=4x c=3 h=4
                says confirm 4x p=4 c=3 h=4
            b: confirm 5x p=4 c=1 h=3
            c: confirm 5x p=4 c=2 h=4
                says confirm 5x p=4 c=3 h=4
                cancels timer Ballot
            d: confirm 5x p=4 c=3 h=3
                says externalize 3x h=3
                decides x proven by abcd
        "#]],
    );
}

/// A node that cannot see the body prepares but does not vote to commit; the body's arrival brings the vote. Covers: A1.
#[test]
fn a_body_must_be_there_before_the_commit_vote() {
    check(
        "needs 3 of a b c d
         x is structural
         starts x
         b,c: prepare 1x p=1x
         b,c: prepare 1x p=1x c=1 h=1
         d: prepare 1x p=1x c=1 h=1
         x is full",
        expect![[r#"
            x is structural
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: prepare 1x p=1x
                says prepare 1x p=1x h=1
                sets timer Ballot 1
            b,c: prepare 1x p=1x c=1 h=1
            d: prepare 1x p=1x c=1 h=1
            x is full
                says confirm 1x p=1 c=1 h=1
        "#]],
    );
}

/// Nodes that accepted the commit are followed even without the body. Covers: A1.
#[test]
fn a_blocking_set_may_accept_a_commit_before_the_body_comes() {
    check(
        "needs 3 of a b c d
         x is structural
         starts x
         b: confirm 1x p=1 c=1 h=1
         c: confirm 1x p=1 c=1 h=1
         d: confirm 1x p=1 c=1 h=1",
        expect![[r#"
            x is structural
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b: confirm 1x p=1 c=1 h=1
            c: confirm 1x p=1 c=1 h=1
                says externalize 1x h=1
                decides x proven by abc
            d: confirm 1x p=1 c=1 h=1
        "#]],
    );
}

/// A body that does not come in time, or does not apply, is left for the fallback with the next counter. Covers: A1.
#[test]
fn a_missing_or_bad_body_is_left_for_the_fallback() {
    check(
        "needs 3 of a b c d
         x is structural
         starts x
         b,c: prepare 1x p=1x
         body timeout x
         x is full
         b,c: prepare 2x p=1x
         timer ballot",
        expect![[r#"
            x is structural
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: prepare 1x p=1x
                says prepare 1x p=1x h=1
                sets timer Ballot 1
            body timeout x
                says prepare 2X p=1x
                cancels timer Ballot
            x is full
            b,c: prepare 2x p=1x
                sets timer Ballot 2
            timer ballot
                says prepare 3x p=2x h=1
        "#]],
    );
    check(
        "needs 3 of a b c d
         x is structural
         starts x
         x is invalid
         b,c: prepare 2X
         b,c: prepare 2X p=2X",
        expect![[r#"
            x is structural
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            x is invalid
                says prepare 2X
            b,c: prepare 2X
                says prepare 2X p=2X
                sets timer Ballot 2
            b,c: prepare 2X p=2X
                says prepare 2X p=2X c=2 h=2
        "#]],
    );
}

/// After the vote to commit, a timeout about the body changes nothing. Covers: A1.
#[test]
fn the_commit_vote_holds_against_a_body_timeout() {
    check(
        "needs 3 of a b c d
         starts x
         b,c: prepare 1x p=1x
         body timeout x
         b,c: prepare 2x p=2x
         timer ballot",
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
            body timeout x
            b,c: prepare 2x p=2x
                says prepare 2x p=2x c=1 h=2
                sets timer Ballot 2
            timer ballot
                says prepare 3x p=2x c=1 h=2
        "#]],
    );
}

/// A node that has the body joins a v-blocking set that could not wait for it, as long as nothing is confirmed. Covers: A1.
#[test]
fn holders_of_the_body_follow_a_blocking_set_to_the_fallback() {
    check(
        "needs 3 of a b c d
         starts x
         b: prepare 2X
         c: prepare 2X",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b: prepare 2X
            c: prepare 2X
                says prepare 2X p=2X
                sets timer Ballot 2
        "#]],
    );
}

/// What was said before a crash is neither said again by itself nor contradicted. Covers: A1.
#[test]
fn a_restored_node_goes_on_where_it_was() {
    check(
        "needs 3 of a b c d
         starts x
         b,c: prepare 1x p=1x
         crash
         b,c: prepare 1x p=1x
         b,c: prepare 1x p=1x c=1 h=1
         crash
         b,c: confirm 1x p=1 c=1 h=1
         crash
         b,c: prepare 5y p=5y
         d: externalize 1x h=1",
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
            crash
            b,c: prepare 1x p=1x
                sets timer Ballot 1
            b,c: prepare 1x p=1x c=1 h=1
                says confirm 1x p=1 c=1 h=1
            crash
            b,c: confirm 1x p=1 c=1 h=1
                says externalize 1x h=1
                decides x proven by abc
            crash
            b,c: prepare 5y p=5y
            d: externalize 1x h=1
        "#]],
    );
}

/// The value lock survives a crash even when no own statement shows it. Covers: A1.
#[test]
fn the_value_lock_is_restored() {
    check(
        "needs 3 of a b c d
         starts z
         b,c,d: prepare 2z
         timer ballot
         b,c: prepare 3y p=2y
         d: prepare 2y p=2y
         crash
         b,c: prepare 3w
         timer ballot",
        expect![[r#"
            starts z
                says nominate z
                sets timer Nomination 1
                says nominate z / z
                says prepare 1z
                cancels timer Nomination
            b,c,d: prepare 2z
                says prepare 2z p=2z
                sets timer Ballot 2
            timer ballot
                says prepare 3z p=2z
            b,c: prepare 3y p=2y
                says prepare 3z p=2z p'=2y
                sets timer Ballot 3
            d: prepare 2y p=2y
            crash
            b,c: prepare 3w
                sets timer Ballot 3
            timer ballot
                says prepare 4y p=2z p'=2y
        "#]],
    );
}

/// A node that meets a newer statement of its own stays silent in that slot, and still learns the outcome. Covers: A1.
#[test]
fn a_node_that_forgot_stays_silent() {
    check(
        "needs 3 of a b c d
         starts x
         b,c: prepare 1x p=1x
         forgets all
         a: prepare 1x p=1x c=1 h=1
         b,c,d: prepare 1x p=1x c=1 h=1
         nominates y
         b,c,d: externalize 1x h=1",
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
            forgets all
            a: prepare 1x p=1x c=1 h=1
                has forgotten prepare 1x p=1x c=1 h=1
            b,c,d: prepare 1x p=1x c=1 h=1
                sets timer Ballot 1
            nominates y
            b,c,d: externalize 1x h=1
                cancels timer Ballot
                decides x proven by bcd
        "#]],
    );
}

/// Being bound to two values is shown to the caller, once. Covers: A1.
#[test]
fn two_commits_of_one_node_are_evidence() {
    check(
        "needs 3 of a b c d
         b: confirm 1x p=1 c=1 h=1
         b: confirm 2y p=2 c=2 h=2
         b: externalize 1x h=1
         c: prepare 1x
         c: prepare 2y",
        expect![[r#"
            b: confirm 1x p=1 c=1 h=1
            b: confirm 2y p=2 c=2 h=2
                accuses b: confirm 1x p=1 c=1 h=1 and confirm 2y p=2 c=2 h=2
            b: externalize 1x h=1
            c: prepare 1x
            c: prepare 2y
        "#]],
    );
}

/// A follower says nothing and decides all the same. Covers: A1.
#[test]
fn a_follower_decides_without_a_word() {
    check(
        "needs 3 of b c d e
         only follows
         nominates x
         b,c,d: prepare 1x p=1x
         b,c,d: confirm 1x p=1 c=1 h=1",
        expect![[r#"
            nominates x
            b,c,d: prepare 1x p=1x
                sets timer Ballot 1
            b,c,d: confirm 1x p=1 c=1 h=1
                cancels timer Ballot
                decides x proven by bcd
        "#]],
    );
}

/// Statements that no correct node makes are not heard at all. Covers: A1.
#[test]
fn insane_statements_are_ignored() {
    check(
        "needs 2 of a b c
         b,c: prepare 0x p=1x
         b,c: prepare 1x p=1x p'=2y
         b,c: prepare 2x p=2x p'=1x
         b,c: prepare 1x p=1x h=2
         b,c: prepare 1x p=1x c=1
         b,c: prepare 1x p=3x c=1 h=3
         b,c: prepare 2x p'=1y
         b,c: confirm 1x p=1 c=0 h=1
         b,c: confirm 1x p=2 c=1 h=2
         b,c: confirm 2x p=2 c=2 h=1
         b,c: externalize 0x h=1
         b,c: externalize 2x h=1
         b,c: nominate",
        expect![[r#"
            b,c: prepare 0x p=1x
            b,c: prepare 1x p=1x p'=2y
            b,c: prepare 2x p=2x p'=1x
            b,c: prepare 1x p=1x h=2
            b,c: prepare 1x p=1x c=1
            b,c: prepare 1x p=3x c=1 h=3
            b,c: prepare 2x p'=1y
            b,c: confirm 1x p=1 c=0 h=1
            b,c: confirm 1x p=2 c=1 h=2
            b,c: confirm 2x p=2 c=2 h=1
            b,c: externalize 0x h=1
            b,c: externalize 2x h=1
            b,c: nominate
        "#]],
    );
}
