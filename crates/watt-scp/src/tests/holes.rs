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
        expect![[""]],
    );
}

/// A quorum needs everybody's slice, found by fixpoint: `b` needs `h`, who says nothing, so `b` does not count, and without
/// `b` neither does `c`. Covers: A1, A2.
#[test]
fn a_quorum_test_follows_the_slices_of_its_members() {
    check(
        "needs 3 of a b c d
         b needs 2 of b h
         c needs 2 of b c
         starts x
         b,c: prepare 1x
         d: prepare 1x
         c needs 3 of a b c d
         c: prepare 1x p=1x
         d: prepare 1x p=1x
         b needs 3 of a b c d
         b: prepare 1x p=1x",
        expect![[""]],
    );
}

/// EXTERNALIZE speaks for itself: whatever set its sender declares, it needs nobody else. Covers: A1, A2.
#[test]
fn externalize_is_its_own_slice() {
    check(
        "needs 3 of a b c d
         b needs 2 of h i
         c needs 2 of h i
         starts x
         b,c: prepare 1x p=1x
         b,c: confirm 1x p=1 c=1 h=1
         b: externalize 1x h=1
         c: externalize 1x h=1",
        expect![[""]],
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
         b,c: prepare 2x
         e: prepare 4x
         b: prepare 4x
         f: prepare 4x
         c: prepare 4x",
        expect![[""]],
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
        expect![[""]],
    );
}
