//! What a client that ends its deal early pays for windows that are answered and not settled (`docs/spec/market.md` 4.6).

use crate::sectors::SLOT;
use crate::windows::{Stored, reservation};
use crate::world::{START, WATT, id};
use watt_ledger::query;
use watt_ledger::rows::DealStage;
use watt_light::Operation;
use watt_market::deal::pay;
use watt_primitives::{Amount, SectorNumber};

const WINDOW_MS: u64 = 10_000;

/// The client ends the deal; for how much time beyond what was proven and what remains of the term person 10 is paid.
fn waiting_paid(mut stored: Stored) -> u64 {
    let deal = stored.deal;
    let DealStage::Active { ends_at, .. } = query::deal(&stored.world.state, &deal).unwrap().row.stage else {
        unreachable!()
    };
    stored.world.act(1, Operation::Terminate { deal }).unwrap();
    let now = query::head(&stored.world.state).unwrap().ledger_time;
    let earned = stored.world.balance(10).0 - START.0 - reservation();
    let rest = ends_at.0 - now.0;
    let pays_for = |waiting| pay(Amount(WATT), SLOT, rest + waiting).unwrap().0 == earned;
    let windows = (0..10).map(|n| n * WINDOW_MS).find(|waiting| pays_for(*waiting));
    windows.unwrap()
}

/// Windows that wait for a folded proof, and the one that can still be opened, count; those in which the sector was declared faulty or
/// was left out of the set do not, whether they wait or can be opened. Covers: E4.
#[test]
fn an_early_end_pays_for_what_could_still_be_proven() {
    let stored = Stored::new();
    assert_eq!(waiting_paid(stored.clone()), 0);
    let mut answered = stored.clone();
    answered.answer_declaring(&[]);
    assert_eq!(
        waiting_paid(answered.clone()),
        WINDOW_MS,
        "it can still be opened"
    );
    answered.answer_declaring(&[]);
    assert_eq!(
        waiting_paid(answered.clone()),
        2 * WINDOW_MS,
        "and the one before be folded"
    );
    answered.answer_declaring(&[1]);
    assert_eq!(waiting_paid(answered.clone()), 2 * WINDOW_MS, "declared faulty");
    answered.answer_declaring(&[]);
    assert_eq!(waiting_paid(answered.clone()), 2 * WINDOW_MS, "left out");
    answered.answer_declaring(&[]);
    let unpaid: u64 = query::waiting_windows(&answered.world.state, &id(10))
        .iter()
        .map(|waiting| waiting.period.faulty_ms(SectorNumber(1)))
        .sum();
    assert_eq!(unpaid, 2 * WINDOW_MS);
    assert_eq!(waiting_paid(answered), 3 * WINDOW_MS, "sound again");
}
