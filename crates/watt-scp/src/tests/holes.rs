//! Five mistakes that flat tests with one shared quorum set do not see, each with nested or differing sets.

use super::scenario::check;
use expect_test::expect;

/// The counter goes to the lowest at which no v-blocking set is ahead, not to the highest heard. Covers: A1.
#[test]
fn bumping_stops_at_the_lowest_sufficient_counter() {
    check(
        "needs 2 of a [2 of b c d] [2 of e f g]
         starts x
         b: prepare 3x
         e: prepare 9x
         c: prepare 7x
         f: prepare 5x
         d: prepare 8x",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b: prepare 3x
            e: prepare 9x
            c: prepare 7x
                says prepare 1x p=1x
                sets timer Ballot 1
            f: prepare 5x
                says prepare 3x p=3x
                sets timer Ballot 3
            d: prepare 8x
                says prepare 5x p=5x
                sets timer Ballot 5
        "#]],
    );
}

/// A quorum needs everybody's slice, found by fixpoint: `b` needs `h`, who says nothing, so `b` does not count, and without
/// `b` neither does `c`. Covers: A1, A2.
#[test]
fn a_quorum_test_follows_the_slices_of_its_members() {
    check(
        "needs 3 of a b c d
         starts x
         b needs 2 of b h
         c needs 2 of b c
         b,c: prepare 1x
         d: prepare 1x
         c needs 3 of a b c d
         c: prepare 1x p=1x
         d: prepare 1x p=1x
         b needs 3 of a b c d
         b: prepare 1x p=1x",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b needs 2 of b h
            c needs 2 of b c
            b,c: prepare 1x
            d: prepare 1x
            c needs 3 of a b c d
            c: prepare 1x p=1x
                says prepare 1x p=1x
                sets timer Ballot 1
            d: prepare 1x p=1x
                says prepare 1x p=1x c=1 h=1
            b needs 3 of a b c d
            b: prepare 1x p=1x
        "#]],
    );
}

/// EXTERNALIZE speaks for itself: whatever set its sender declares, it needs nobody else. Covers: A1, A2.
#[test]
fn externalize_is_its_own_slice() {
    check(
        "needs 3 of a b c d
         starts x
         b needs 2 of h i
         c needs 2 of h i
         b,c: prepare 1x p=1x
         b,c: confirm 1x p=1 c=1 h=1
         b: externalize 1x h=1
         c: externalize 1x h=1",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b needs 2 of h i
            c needs 2 of h i
            b,c: prepare 1x p=1x
                says prepare 1x p=1x
            b,c: confirm 1x p=1 c=1 h=1
                says confirm 1x p=1 c=1 h=1
            b: externalize 1x h=1
            c: externalize 1x h=1
                says externalize 1x h=max
                decides x proven by abc
        "#]],
    );
}

/// A new counter has not been heard from a quorum: no timer runs until it is. Covers: A1.
#[test]
fn a_bump_starts_without_a_timer() {
    check(
        "needs 2 of a [2 of b c d] [2 of e f g]
         starts x
         b,c: prepare 1x
         timer ballot
         timer ballot
         b,c: prepare 2x
         e: prepare 4x
         b: prepare 4x
         f: prepare 4x
         c: prepare 4x",
        expect![[r#"
            starts x
                says nominate x
                sets timer Nomination 1
                says nominate x / x
                says prepare 1x
                cancels timer Nomination
            b,c: prepare 1x
                says prepare 1x p=1x
                sets timer Ballot 1
            timer ballot
                says prepare 2x p=1x
            timer ballot
                does not run
            b,c: prepare 2x
                says prepare 2x p=2x
                sets timer Ballot 2
            e: prepare 4x
            b: prepare 4x
            f: prepare 4x
            c: prepare 4x
                says prepare 4x p=4x
                sets timer Ballot 4
        "#]],
    );
}

/// Without sanity checks a commit above everything prepared, or an inverted interval, would count. Covers: A1.
#[test]
fn statements_out_of_order_do_not_count() {
    check(
        "needs 3 of a b [2 of c d e]
         starts x
         b,c,d: prepare 1x p=1x
         b,c,d: prepare 2x p=1x c=2 h=2
         b,c,d: confirm 2x p=2 c=2 h=1
         b,c,d: externalize 2x h=1
         b,c,d: prepare 1x p=1x c=1 h=1",
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
            b,c,d: prepare 2x p=1x c=2 h=2
            b,c,d: confirm 2x p=2 c=2 h=1
            b,c,d: externalize 2x h=1
            b,c,d: prepare 1x p=1x c=1 h=1
                says confirm 1x p=1 c=1 h=1
        "#]],
    );
}
