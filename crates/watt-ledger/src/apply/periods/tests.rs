#![expect(clippy::arithmetic_side_effects, reason = "counting windows")]

use super::*;
use crate::committee::tests::rules;
use crate::state::{MemoryState, Writes};
use watt_primitives::{BlockHeight, BoundedVec, Hash, LedgerTime};

const PROVIDER: AccountId = AccountId([9; 20]);

const WINDOW_MS: u64 = 540_000;

/// A heartbeat of a provider with so many sectors.
fn heartbeat(n_sectors: u16) -> HeartbeatRow {
    HeartbeatRow {
        state: Element::default(),
        set: Element::of_hash(&Hash([1; 32])),
        answers: Element::default(),
        n_sectors,
        bytes: 1,
        left_out: BoundedVec::empty(),
        faults: BoundedVec::empty(),
        is_proven: false,
    }
}

fn closed(window: Window) -> WindowRow {
    WindowRow {
        window,
        start: LedgerTime(window.0 * WINDOW_MS),
        end: LedgerTime((window.0 + 1) * WINDOW_MS),
        halted_ms_before: 0,
        n_expected: 1,
        n_heartbeats: 1,
        n_proven: 0,
        is_closed: true,
        is_void: false,
        n_counted: 1,
    }
}

/// A provider whose shape changes in every window has more entries than may wait: what gives way has failed, once each, and is counted
/// when what waits is written. Covers: D3, E4.
#[test]
fn what_gives_way_has_failed() {
    let rules = rules();
    let mut state = MemoryState::default();
    let mut provider = ProviderRow::new(PROVIDER, BlockHeight(0));
    for n in 0..8 {
        let window = Window(10 + n);
        let n_sectors = if n % 2 == 0 { 1 } else { 65 };
        let rows = [
            (
                rows::heartbeat(&PROVIDER, window),
                Some(rows::encode(&heartbeat(n_sectors))),
            ),
            (rows::window(window), Some(rows::encode(&closed(window)))),
        ];
        state.write(&Writes::from(rows));
        provider.last_heartbeat = Some(window);
        // One look without writing anything, and one that does.
        let look = || waiting(&state, &rules, &PROVIDER, &provider, window.plus(2));
        let (looked, found) = (look(), look());
        assert_eq!(looked.failed, found.failed);
        assert_eq!(
            found.row.waiting.len(),
            usize::try_from(n + 1).unwrap().min(PERIODS_MAX)
        );
        found.failed.count_to(&mut provider, &rules);
        let row = (rows::periods(&PROVIDER), Some(rows::encode(&found.row)));
        state.write(&Writes::from([row]));
    }
    let failed = 8 - 3;
    assert_eq!(provider.windows_failed, failed);
    assert_eq!(provider.owed_ms, failed * 9 * WINDOW_MS);
}
