//! What a slot is paid and what returns.

use proptest::prelude::*;
use watt_market::deal::{RESERVATION_MS_MIN, TERMINATION_MS_MAX, pay, share};
use watt_market::order::{InvalidBid, TERM_MS_MAX, TERM_MS_MIN, check_bid, escrow_needed};
use watt_market::{Party, SlotFunds};
use watt_primitives::amount::SUPPLY_MAX;
use watt_primitives::class::Class;
use watt_primitives::terms::BundleTerms;
use watt_primitives::time::DAY_MS;
use watt_primitives::{Amount, BoundedVec, Cid, Hash};

/// The price is per 10⁹ bytes and day, rounded down. Covers: E4.
#[test]
fn pay_by_hand() {
    assert_eq!(pay(Amount(864), 1_000_000_000, DAY_MS), Some(Amount(864)));
    assert_eq!(pay(Amount(864), 1_000_000_000, 100_000), Some(Amount(1)));
    assert_eq!(pay(Amount(864), 1_000_000_000, 99_999), Some(Amount(0)));
    assert_eq!(pay(Amount(3), 500_000_000, DAY_MS), Some(Amount(1)));
    assert_eq!(pay(Amount(u64::MAX), u64::MAX, u64::MAX), None);
    // The largest slot, the dearest price, the longest term: no overflow inside.
    assert!(pay(Amount(SUPPLY_MAX.0 / 100), 31 << 20, TERM_MS_MAX).is_some());
}

/// A bid on a main network does not use a class for test networks; the escrow is checked to the last unit. Covers: E1.
#[test]
fn bids_are_checked() {
    let terms = BundleTerms {
        class: Class::Devnet,
        header: Cid::of_block(b"header"),
        manifest: Cid::of_block(b"manifest"),
        slot_bytes: 16 * 1024,
        slot_roots: BoundedVec::new(vec![Hash::ZERO; 10]).unwrap(),
    };
    let price = Amount(1_000_000_000);
    let needed = escrow_needed(Class::Devnet, terms.slot_bytes, price, DAY_MS, 60_000).unwrap();
    let check = |escrow, is_main| check_bid(&terms, price, escrow, DAY_MS, 60_000, is_main);
    assert_eq!(check(needed, false), Ok(()));
    assert_eq!(check(needed, true), Err(InvalidBid::Class));
    let escrow = Amount(needed.0 - 1);
    assert_eq!(check(escrow, false), Err(InvalidBid::Escrow { escrow, needed }));
    for (term_ms, is_fine) in [
        (TERM_MS_MIN, true),
        (TERM_MS_MIN - 1, false),
        (TERM_MS_MAX, true),
        (TERM_MS_MAX + 1, false),
    ] {
        let checked = check_bid(&terms, Amount(1), SUPPLY_MAX, term_ms, 60_000, false);
        assert_eq!(checked.is_ok(), is_fine, "{term_ms}");
    }
}

/// A short reservation is paid as a minute, a long one to its limit; ending early costs at most 30 days. Covers: E4.
#[test]
fn reservation_and_termination_are_bounded() {
    let open = || SlotFunds::open(Amount(1_000_000_000), 1 << 20, 100 * DAY_MS, 600_000).unwrap();
    let cost = |ms| pay(Amount(1_000_000_000), 1 << 20, ms).unwrap();
    for (elapsed, paid) in [
        (0, RESERVATION_MS_MIN),
        (90_000, 90_000),
        (600_000, 600_000),
        (600_001, 600_000),
    ] {
        let movement = open().pay_reservation(elapsed, 600_000);
        assert_eq!((movement.to, movement.amount), (Party::Provider, cost(paid)));
    }
    for (remaining, paid) in [(DAY_MS, DAY_MS), (TERMINATION_MS_MAX + 1, TERMINATION_MS_MAX)] {
        assert_eq!(open().pay_termination(remaining).amount, cost(paid));
    }
    assert_eq!(open().pay_proven(1000 * DAY_MS).amount, cost(100 * DAY_MS));
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(u64),
    Prove(u64),
    End(u64),
    Refund,
}

proptest! {
    /// Whatever happens to a slot, in whatever order: paid + refunded + left is its share, always, and after a refund nothing
    /// is left. Covers: E4, F1.
    #[test]
    fn a_slot_pays_its_share_and_no_more(
        price in 0u64..1_000_000_000_000,
        bytes in 1u64..(31 << 20),
        term in TERM_MS_MIN..TERM_MS_MAX,
        reservation in 0u64..10_000_000,
        steps in proptest::collection::vec(prop_oneof![
            (0u64..20_000_000).prop_map(Step::Reserve),
            (0u64..2 * TERM_MS_MAX).prop_map(Step::Prove),
            (0u64..TERM_MS_MAX).prop_map(Step::End),
            Just(Step::Refund),
        ], 0..12),
    ) {
        let mut funds = SlotFunds::open(Amount(price), bytes, term, reservation).unwrap();
        prop_assert_eq!(Some(funds.share), share(Amount(price), bytes, term, reservation));
        let (mut paid, mut refunded) = (0, 0);
        for step in steps {
            let movement = match step {
                Step::Reserve(ms) => funds.pay_reservation(ms, reservation),
                Step::Prove(ms) => funds.pay_proven(ms),
                Step::End(ms) => funds.pay_termination(ms),
                Step::Refund => funds.refund(),
            };
            match movement.to {
                Party::Provider => paid += movement.amount.0,
                Party::Client => refunded += movement.amount.0,
            }
            prop_assert_eq!((funds.paid.total().0, funds.refunded.0), (paid, refunded));
            prop_assert_eq!(paid + refunded + funds.left().0, funds.share.0);
        }
        let last = funds.refund().amount.0;
        prop_assert_eq!(paid + refunded + last, funds.share.0);
        prop_assert_eq!(funds.left(), Amount::ZERO);
    }

    /// Claiming often or rarely comes to the same. Covers: E4.
    #[test]
    fn claims_may_be_split(price in 0u64..1_000_000_000_000, bytes in 1u64..(31 << 20), mut times in proptest::collection::vec(0u64..DAY_MS, 1..10)) {
        times.sort_unstable();
        let open = || SlotFunds::open(Amount(price), bytes, DAY_MS, 0).unwrap();
        let (mut often, mut once) = (open(), open());
        let sum: u64 = times.iter().map(|ms| often.pay_proven(*ms).amount.0).sum();
        prop_assert_eq!(sum, once.pay_proven(*times.last().unwrap()).amount.0);
    }
}
