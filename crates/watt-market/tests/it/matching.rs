//! Who gets the slots.

use expect_test::expect;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use watt_market::draw::Draw;
use watt_market::{Bid, BookEntry, NotEnoughOffers, Pick, match_bid};
use watt_primitives::terms::AskTerms;
use watt_primitives::{AccountId, Amount, BlockHeight, DealId, Hash};

fn account(n: u16) -> AccountId {
    let mut id = [0; 20];
    id[..2].copy_from_slice(&n.to_be_bytes());
    AccountId(id)
}

fn entry(n: u16, price: u64, free_bytes: u64) -> BookEntry {
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
        free_bytes,
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
        0 20 21
        1 33 34
        2 39 40
        3 27 28
        4 35 36
        5 6 7
        6 11 12
        7 36 37
        8 42 43
        9 22 23"#]]
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

/// Within the half that is drawn from everyone, free space is the weight. Covers: E1.
#[test]
fn free_space_is_the_weight() {
    let book: Vec<BookEntry> = (0..20)
        .map(|n| entry(n, 50, if n < 10 { 9000 } else { 1000 }))
        .collect();
    let mut roomy = 0;
    for n in 0..1000 {
        let picks = match_bid(&seed(n), &bid(1), book.iter()).unwrap();
        roomy += usize::from(picks[0].provider < account(10));
    }
    assert!((860..940).contains(&roomy), "{roomy}");
}

/// Drawn numbers are below their bound and hit every place. Covers: E1.
#[test]
fn draws_are_in_range() {
    let mut draw = Draw::new(seed(1));
    let mut hits = [0; 7];
    for _ in 0..700 {
        hits[draw.index(7)] += 1;
    }
    assert!(hits.iter().all(|hits| (60..140).contains(hits)), "{hits:?}");
    assert_eq!((draw.index(0), draw.below(1)), (0, 0));
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
}
