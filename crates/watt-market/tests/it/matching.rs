//! Who gets the slots.

use expect_test::expect;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use watt_market::lot::{WEIGHT_MAX, lot, weighted_key};
use watt_market::{Bid, BookEntry, NotEnoughOffers, Pick, match_bid};
use watt_primitives::terms::AskTerms;
use watt_primitives::{AccountId, Amount, BlockHeight, DealId, Hash};

fn account(n: u16) -> AccountId {
    let mut id = [0; 20];
    id[..2].copy_from_slice(&n.to_be_bytes());
    AccountId(id)
}

/// An offer of a provider who pledged this much and uses nothing of it.
fn entry(n: u16, price: u64, capacity_bytes: u64) -> BookEntry {
    BookEntry {
        provider: account(n),
        owner: account(n),
        terms: AskTerms {
            price: Amount(price),
            slot_bytes_min: 100,
            slot_bytes_max: 1000,
            term_ms_max: 1_000_000,
            hot: false,
        },
        since: BlockHeight(1),
        capacity_bytes,
        free_bytes: capacity_bytes,
    }
}

fn bid(need: u8) -> Bid {
    Bid {
        deal: DealId([1; 32]),
        client: account(u16::MAX),
        slot_bytes: 1000,
        need,
        price_max: Amount(100),
        term_ms: 1_000_000,
        exclude: Vec::new(),
    }
}

fn seed(n: u64) -> Hash {
    Hash::of_content(&n.to_be_bytes())
}

/// The same beacon, bid and book give the same holders on every machine, for ever. Covers: E1.
#[test]
fn golden_match() {
    let book: Vec<BookEntry> = (0..60).map(|n| entry(n, 1 + u64::from(n), 5000)).collect();
    let picks = match_bid(&seed(7), &bid(10), book.iter()).unwrap();
    let lines: Vec<String> = picks
        .iter()
        .map(|pick| {
            format!(
                "{} {} {}",
                pick.slot,
                u16::from_be_bytes([pick.provider.0[0], pick.provider.0[1]]),
                pick.price.0
            )
        })
        .collect();
    expect![[r#"
        0 55 56
        1 39 40
        2 28 29
        3 18 19
        4 9 10
        5 15 16
        6 5 6
        7 8 9
        8 35 36
        9 2 3"#]]
    .assert_eq(&lines.join("\n"));
}

/// Each rule that keeps an offer out, at its limit and beyond. Covers: E1.
#[test]
fn an_offer_fits_or_not() {
    let fits = |change: &dyn Fn(&mut BookEntry, &mut Bid)| {
        let (mut entry, mut bid) = (entry(1, 100, 1000), bid(1));
        change(&mut entry, &mut bid);
        entry.fits(&bid)
    };
    assert!(fits(&|_, _| {}));
    assert!(!fits(&|entry, _| entry.terms.price = Amount(101)));
    assert!(!fits(&|entry, _| entry.free_bytes = 999));
    assert!(!fits(&|_, bid| bid.slot_bytes = 1001));
    assert!(!fits(
        &|entry, bid| (bid.slot_bytes, entry.free_bytes) = (99, 1000)
    ));
    assert!(fits(&|_, bid| bid.slot_bytes = 100));
    assert!(!fits(&|_, bid| bid.term_ms = 1_000_001));
    assert!(!fits(&|entry, bid| bid.client = entry.provider));
    assert!(!fits(&|entry, bid| bid.exclude.push(entry.provider)));
}

/// A hundred cheap offers of one owner count as one, so they can't fill the window and stop a bid. Covers: E1.
#[test]
fn one_owner_has_one_offer() {
    let mut book: Vec<BookEntry> = (0..10).map(|n| entry(n, 90, 5000)).collect();
    for n in 100..260 {
        let mut flood = entry(n, 1, 5000);
        flood.owner = account(5000);
        book.push(flood);
    }
    for n in 0..20 {
        let picks = match_bid(&seed(n), &bid(10), book.iter()).unwrap();
        let of_flood = picks.iter().filter(|pick| pick.price == Amount(1)).count();
        assert!(of_flood <= 1);
    }
    assert_eq!(
        match_bid(&seed(0), &bid(12), book.iter()),
        Err(NotEnoughOffers {
            eligible: 11,
            needed: 12
        })
    );
}

/// However cheap a group is, at least some of the picks come from everyone: nobody can buy all slots of a bundle by
/// undercutting. Covers: E1.
#[test]
fn undercutting_does_not_capture_a_bundle() {
    let cheap = (0..80).map(|n| entry(n, 1, 5000));
    let dear = (100..400).map(|n| entry(n, 100, 5000));
    let book: Vec<BookEntry> = cheap.chain(dear).collect();
    let mut from_dear = 0;
    for n in 0..100 {
        let picks = match_bid(&seed(n), &bid(10), book.iter()).unwrap();
        let dear = picks.iter().filter(|pick| pick.price == Amount(100)).count();
        assert!((1..=5).contains(&dear), "{dear}");
        from_dear += dear;
    }
    // 5 of 10 picks from all, 300 of 380 of them dear: 3.9 on average.
    assert!((330..450).contains(&from_dear), "{from_dear}");
}

/// In the half that is drawn from everyone, what was pledged is the weight: chances are those of drawing one after the other, each in
/// proportion to what is left, and what is in use changes nothing. Covers: E1.
#[test]
fn pledged_space_is_the_weight() {
    let book: Vec<BookEntry> = (0..20)
        .map(|n| entry(n, 50, if n < 10 { 9000 } else { 1000 }))
        .collect();
    let mut full = book.clone();
    for entry in &mut full[..10] {
        entry.free_bytes = 1000;
    }
    let mut roomy = 0;
    for n in 0..1000 {
        let picks = match_bid(&seed(n), &bid(1), book.iter()).unwrap();
        assert_eq!(match_bid(&seed(n), &bid(1), full.iter()).unwrap(), picks);
        roomy += usize::from(picks[0].provider < account(10));
    }
    // 9 of 10 of the space is theirs; three standard deviations are 28.
    assert!((872..=928).contains(&roomy), "{roomy}");
}

/// Of owners with weights 1, 2, 4 and 8 each is first, and first of those that are left, as often as its weight says. Covers: E1.
#[test]
fn chances_follow_weights() {
    const DRAWS: u64 = 15_000;
    let weights = [1u64, 2, 4, 8];
    let mut firsts = [0u64; 4];
    let mut seconds_after_largest = [0u64; 4];
    for n in 0..DRAWS {
        let mut order: Vec<usize> = (0..4).collect();
        let key = |at: usize| {
            let owner = account(u16::try_from(at).unwrap());
            weighted_key(lot(&seed(n), "all", &owner), weights[at])
        };
        order.sort_by_key(|at| key(*at));
        firsts[order[0]] += 1;
        if order[0] == 3 {
            seconds_after_largest[order[1]] += 1;
        }
    }
    // Four standard deviations of 1,000, 2,000, 4,000 and 8,000 are at most 245.
    for (first, weight) in firsts.iter().zip(weights) {
        assert!(first.abs_diff(weight * 1000) < 245, "{firsts:?}");
    }
    let n_after: u64 = seconds_after_largest.iter().sum();
    for (second, weight) in seconds_after_largest.iter().zip(&weights[..3]) {
        let expected = n_after * weight / 7;
        assert!(second.abs_diff(expected) < 180, "{seconds_after_largest:?}");
    }
}

/// Without weight everybody has the same chance, and the two halves and the slots are drawn by lots of their own. Covers: E1.
#[test]
fn lots_are_even_and_apart() {
    let mut n_low = [0u32; 3];
    let mut both = 0;
    for n in 0..4000 {
        let purposes = ["all", "window", "slot"];
        let low = purposes.map(|purpose| lot(&seed(n), purpose, &account(1)) < u64::MAX / 2);
        for (count, low) in n_low.iter_mut().zip(low) {
            *count += u32::from(low);
        }
        both += u32::from(low[0] && low[1]);
    }
    // Four standard deviations are 127 and 110.
    assert!(n_low.iter().all(|n| n.abs_diff(2000) < 127), "{n_low:?}");
    assert!(both.abs_diff(1000) < 110, "{both}");
}

/// Whoever claims more space than there is counts as the largest that counts. Covers: E1.
#[test]
fn claimed_space_is_bounded() {
    let book = |most: u64| [entry(1, 50, most), entry(2, 50, WEIGHT_MAX)];
    for n in 0..50 {
        let picks = |most| match_bid(&seed(n), &bid(1), book(most).iter()).unwrap();
        assert_eq!(picks(u64::MAX), picks(WEIGHT_MAX));
    }
}

proptest! {
    /// Every slot once, every owner at most once, only fitting offers at their own price, and the order in which offers are
    /// listed changes nothing. Covers: E1.
    #[test]
    fn matches_keep_the_rules(
        offers in proptest::collection::vec((1u64..130, 500u64..6000, 0u16..25), 0..60),
        need in 1u8..12,
        beacon in any::<u64>(),
    ) {
        let book: Vec<BookEntry> = (0u16..).zip(offers).map(|(n, (price, free, owner))| {
            let mut entry = entry(n, price, free);
            entry.owner = account(1000 + owner);
            entry
        }).collect();
        let bid = bid(need);
        let owners: BTreeSet<AccountId> = book.iter().filter(|entry| entry.fits(&bid)).map(|entry| entry.owner).collect();
        let matched = match_bid(&seed(beacon), &bid, book.iter());
        prop_assert_eq!(&matched, &match_bid(&seed(beacon), &bid, book.iter().rev()));
        let by_provider: BTreeMap<AccountId, &BookEntry> = book.iter().map(|entry| (entry.provider, entry)).collect();
        match matched {
            Err(few) => {
                prop_assert_eq!(few, NotEnoughOffers { eligible: owners.len(), needed: usize::from(need) });
                prop_assert!(owners.len() < usize::from(need));
            }
            Ok(picks) => {
                let slots: Vec<u8> = picks.iter().map(|pick| pick.slot.0).collect();
                prop_assert_eq!(slots, (0..need).collect::<Vec<_>>());
                let of = |pick: &Pick| by_provider[&pick.provider];
                let chosen: BTreeSet<AccountId> = picks.iter().map(|pick| of(pick).owner).collect();
                prop_assert_eq!(chosen.len(), picks.len());
                prop_assert!(picks.iter().all(|pick| of(pick).fits(&bid) && of(pick).terms.price == pick.price));
            }
        }
    }

    /// Whoever withdraws, or changes what was pledged, moves at most the places that this opens or takes: among the others the order
    /// stays, so those who were drawn stay, but for one in each half. Covers: E1.
    #[test]
    fn nobody_moves_others(
        offers in proptest::collection::vec((1u64..100, 1000u64..1 << 40), 14..60),
        need in 1u8..12,
        beacon in any::<u64>(),
        mover in any::<proptest::sample::Index>(),
        pledged in 1000u64..1 << 50,
    ) {
        let book: Vec<BookEntry> = (0u16..).zip(offers).map(|(n, (price, capacity))| entry(n, price, capacity)).collect();
        let (bid, seed, at) = (bid(need), seed(beacon), mover.index(book.len()));
        let without: Vec<&BookEntry> = book.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, entry)| entry).collect();
        let mut changed = book.clone();
        (changed[at].capacity_bytes, changed[at].free_bytes) = (pledged, pledged);

        let moved = |picks: &[Pick]| -> BTreeSet<AccountId> {
            picks.iter().map(|pick| pick.provider).filter(|provider| *provider != book[at].provider).collect()
        };
        let before = moved(&match_bid(&seed, &bid, book.iter()).unwrap());
        for after in [match_bid(&seed, &bid, without.into_iter()), match_bid(&seed, &bid, changed.iter())] {
            let after = moved(&after.unwrap());
            prop_assert!(before.difference(&after).count() <= 2, "{before:?} {after:?}");
            prop_assert!(after.difference(&before).count() <= 2, "{before:?} {after:?}");
        }
    }

    /// The order by weight among others is the same with and without one. Covers: E1.
    #[test]
    fn the_order_of_others_stays(
        weights in proptest::collection::vec(any::<u64>(), 2..40),
        beacon in any::<u64>(),
        mover in any::<proptest::sample::Index>(),
        other in any::<u64>(),
    ) {
        let at = mover.index(weights.len());
        let order = |weights: &[u64]| -> Vec<usize> {
            let mut order: Vec<usize> = (0..weights.len()).collect();
            let owner = |n: usize| account(u16::try_from(n).unwrap());
            order.sort_by_cached_key(|n| (weighted_key(lot(&seed(beacon), "all", &owner(*n)), weights[*n]), *n));
            order.retain(|n| *n != at);
            order
        };
        let mut changed = weights.clone();
        changed[at] = other;
        prop_assert_eq!(order(&weights), order(&changed));
    }
}
