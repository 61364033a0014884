//! Whoever keeps no replica is in time up to a number of sectors, and late above it.

use super::*;

/// A core makes the labels of 60 sectors of 64 MiB again in a window of nine minutes, and not of 61; a fortieth of a core those of one.
/// In a world with other windows it is as many.
///
/// Covers: D2.
#[test]
fn a_core_answers_for_sixty_sectors_that_it_does_not_keep() {
    let core = Means::default();
    for window_ms in [MAIN_WINDOW_MS, 8_000, 600_000] {
        let ready_ms = |n| core.ready_ms(Trade::LazyProvider, n, window_ms);
        assert!(ready_ms(60) <= window_ms, "60 in {} ms", ready_ms(60));
        assert!(ready_ms(61) > window_ms, "61 in {} ms", ready_ms(61));
    }
    let slow = Means {
        core_permille: 25,
        ..core
    };
    assert!(slow.ready_ms(Trade::LazyProvider, 1, 8_000) <= 8_000);
    assert!(slow.ready_ms(Trade::LazyProvider, 2, 8_000) > 8_000);
}

/// Who fetches what it does not have waits for the longer of both: with any usual link for its labels; and who has its replica waits
/// for nothing.
///
/// Covers: D2.
#[test]
fn an_outsourcer_waits_for_its_labels_or_for_its_link() {
    let far = Means {
        round_trip_ms: 300,
        ..Means::default()
    };
    let of = |means: Means, trade| means.ready_ms(trade, 60, MAIN_WINDOW_MS);
    assert_eq!(of(far, Trade::Outsourcer), of(far, Trade::LazyProvider));
    let thin = Means { link_kb_s: 1, ..far };
    assert!(of(thin, Trade::Outsourcer) > MAIN_WINDOW_MS);
    assert_eq!(of(thin, Trade::LazyProvider), MAIN_WINDOW_MS);
    assert_eq!(of(thin, Trade::ReadWithholder), 0);
}
