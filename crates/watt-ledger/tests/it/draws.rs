//! Attacks on who gets the slots of a bid: by its id, by what is in blocks, by offers and space (TS6, TS8, TS28, TC13).

use crate::seats::{Nodes, short_terms};
use crate::world::{GROUP, WATT, ask_terms, bid, bundle, holders, id, pledge, result, transfer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use watt_ledger::rows::{self, DealStage};
use watt_ledger::{Done, Genesis, query};
use watt_light::{Operation, SignedTransaction};
use watt_primitives::{BlockHeight, DealId, codec};

const DAY: u64 = 86_400_000;
const SLOT: u64 = 62 * GROUP;
const SLOTS: u64 = 8;
/// First height of the window that matches; its beacon is made three blocks later.
const FIRST: u64 = 10 * SLOTS;

/// Windows of eight slots, so that layers count in four blocks.
fn document() -> Genesis {
    let mut document = short_terms();
    document.parameters.window_slots = SLOTS;
    document.parameters.term_windows = 6;
    document
}

fn place_ask(price: u64) -> Operation {
    Operation::PlaceAsk {
        terms: ask_terms(price),
    }
}

/// In the first term with onions, whose entries all reveal: fifteen providers, a deal of person 2 with ten of them, and two blocks to
/// the end of a window.
fn market() -> (Nodes, DealId) {
    static MARKET: OnceLock<(Nodes, DealId)> = OnceLock::new();
    let build = || {
        let mut nodes = Nodes::of(&document(), 40..44);
        let offers = (10..25u8).map(|n| {
            let capacity = (4 + u64::from(n % 5)) * SLOT;
            nodes.world.sign(n, vec![pledge(capacity), place_ask(WATT)])
        });
        let offers = offers.collect();
        nodes.close(offers);
        nodes.go_to(FIRST - 2 * SLOTS + 4);
        let other = bid(&nodes.world, bundle(9, SLOT), WATT, DAY);
        let Ok(Done::BidPlaced { deal, .. }) = nodes.act(2, other) else {
            unreachable!()
        };
        nodes.go_to(FIRST - 2);
        assert_eq!(holders(&nodes.world, &deal).len(), 10);
        (nodes, deal)
    };
    MARKET.get_or_init(build).clone()
}

/// Person 1 bids in the last block of the window, and the match is made, with `more` in the block after which the height is the given
/// one.
fn play(nodes: &mut Nodes, more: &mut dyn FnMut(u64, &mut Nodes) -> Vec<SignedTransaction>) -> DealId {
    play_bid(nodes, 1, more)
}

fn play_bid(
    nodes: &mut Nodes,
    seed: u8,
    more: &mut dyn FnMut(u64, &mut Nodes) -> Vec<SignedTransaction>,
) -> DealId {
    let mut found = None;
    while nodes.world.height() < FIRST + 4 {
        let height = nodes.world.height() + 1;
        let mut body = more(height, nodes);
        if height == FIRST - 1 {
            let bid = bid(&nodes.world, bundle(seed, SLOT), WATT + u64::from(seed), DAY);
            body.insert(0, nodes.world.sign(1, vec![bid]));
        }
        nodes.close(body);
        nodes.world.step_ms = 1000;
        for receipt in &nodes.world.last.receipts {
            if let Ok(Done::BidPlaced { deal, match_height }) = result(receipt) {
                assert_eq!(match_height, BlockHeight(FIRST + 4));
                found = Some(deal);
            }
        }
    }
    found.unwrap()
}

fn honest() -> (DealId, BTreeMap<u8, u8>) {
    let (mut nodes, _) = market();
    let deal = play(&mut nodes, &mut |_, _| Vec::new());
    (deal, holders(&nodes.world, &deal))
}

/// Whoever proposes the block with the bid, the one before it, or any up to the one that matches, tries bodies and times in vain; but
/// what was revealed draws others. Covers: D1, E1.
#[test]
fn match_grind_tx_set() {
    let (deal, expected) = honest();
    for at in FIRST - 1..=FIRST + 4 {
        for grinding in 1..16u8 {
            let (mut nodes, _) = market();
            let mut grind = |height: u64, nodes: &mut Nodes| {
                if height != at {
                    return Vec::new();
                }
                nodes.world.step_ms = 1000 + u64::from(grinding);
                let sign = |n| nodes.world.sign(n, vec![transfer(7, u64::from(grinding))]);
                (3..3 + grinding % 4).map(sign).collect()
            };
            assert_eq!(play(&mut nodes, &mut grind), deal);
            assert_eq!(holders(&nodes.world, &deal), expected, "{at} {grinding}");
        }
    }
    let (mut nodes, _) = market();
    nodes.withholding.insert(43);
    play(&mut nodes, &mut |_, _| Vec::new());
    assert_ne!(holders(&nodes.world, &deal), expected);
}

/// What a bid asks for draws nobody else; and a bid of any id that is recorded from the window's first height on, before its beacon is
/// known or after, waits for the next one's. Covers: D1, E1.
#[test]
fn match_grind_bid_id() {
    let (deal, expected) = honest();
    for seed in 2..8 {
        let (mut nodes, _) = market();
        assert_eq!(play_bid(&mut nodes, seed, &mut |_, _| Vec::new()), deal);
        assert_eq!(holders(&nodes.world, &deal), expected);
    }
    let next = FIRST + SLOTS + 4;
    for late in 0..SLOTS {
        let (mut nodes, _) = market();
        nodes.go_to(FIRST + late - 1);
        let bid = bid(&nodes.world, bundle(1, SLOT), WATT, DAY);
        let Ok(Done::BidPlaced { deal, match_height }) = nodes.act(1, bid) else {
            unreachable!()
        };
        assert_eq!(match_height, BlockHeight(next));
        nodes.go_to(next - 1);
        let stage = |nodes: &Nodes| query::deal(&nodes.world.state, &deal).unwrap().row.stage;
        assert!(matches!(stage(&nodes), DealStage::Open { .. }));
        nodes.go_to(next);
        assert!(matches!(stage(&nodes), DealStage::Matched { .. }));
    }
}

/// Once a bid can't be changed any more, offers that come, claim more space, or leave, and space that is given back, move nobody else:
/// all that is left to choose is to stay out. Covers: D1, E1.
#[test]
fn match_grind_capacity() {
    let (deal, expected) = honest();
    let played = |height: u64, n: u8, operations: &[Operation]| -> BTreeMap<u8, u8> {
        let (mut nodes, _) = market();
        play(&mut nodes, &mut |now, nodes| {
            let is_now = now == height;
            let signed = is_now.then(|| nodes.world.sign(n, operations.to_vec()));
            signed.into_iter().collect()
        });
        holders(&nodes.world, &deal)
    };
    let (_, other) = market();
    let claims = pledge(1 << 50);
    for height in FIRST..FIRST + 4 {
        let comes = [claims.clone(), place_ask(1)];
        assert_eq!(played(height, 30, &comes), expected, "who comes late waits");
        let ends = [Operation::Terminate { deal: other }];
        assert_eq!(played(height, 2, &ends), expected, "weight is what was pledged");
    }
    let people = |holders: &BTreeMap<u8, u8>| -> BTreeSet<u8> { holders.values().copied().collect() };
    for n in 10..25 {
        let mut others = people(&expected);
        others.remove(&n);
        let leaves = [Operation::WithdrawAsk {}];
        for moves in [&[claims.clone()][..], &[place_ask(1)], &leaves] {
            let found = people(&played(FIRST + 3, n, moves));
            assert!(!found.contains(&n) && others.is_subset(&found), "{n} {found:?}");
        }
    }
}

/// A pledge of the same space, as a node makes that has moved, keeps an offer's place. Covers: E1.
#[test]
fn a_new_address_keeps_the_offers_age() {
    let (mut nodes, _) = market();
    let since = |nodes: &Nodes| {
        let provider = query::provider(&nodes.world.state, &id(10)).unwrap();
        (provider.ask.unwrap().since, provider.row.capacity_bytes)
    };
    let (before, capacity) = since(&nodes);
    nodes.act(10, pledge(capacity)).unwrap();
    assert_eq!(since(&nodes), (before, capacity));
    nodes.act(10, pledge(capacity + 1)).unwrap();
    let now = BlockHeight(nodes.world.height());
    assert_eq!(since(&nodes), (now, capacity + 1));
}

/// If so few reveal that a proposer could choose the beacon, a main network matches nothing with it and waits for the next; a test
/// network matches. Covers: D1.
#[test]
fn a_main_network_matches_with_no_filled_beacon() {
    let filled = |is_main: bool| {
        let (mut nodes, _) = market();
        let deal = play(&mut nodes, &mut |height, nodes| {
            if height == FIRST {
                nodes.there.clear();
                let mut rules = query::rules(&nodes.world.state).unwrap();
                rules.is_main = is_main;
                let row = (rows::RULES.to_vec(), Some(codec::encode(&rules)));
                nodes.world.state.write(&[row].into());
            }
            Vec::new()
        });
        nodes.there = (40..44).collect();
        (nodes, deal)
    };
    let stage = |nodes: &Nodes, deal| query::deal(&nodes.world.state, deal).unwrap().row.stage;
    let (nodes, deal) = filled(false);
    assert!(matches!(stage(&nodes, &deal), DealStage::Matched { .. }));

    let (mut nodes, deal) = filled(true);
    let next = FIRST + SLOTS + 4;
    while nodes.world.height() < next {
        assert!(matches!(stage(&nodes, &deal), DealStage::Open { .. }));
        let draw = query::draw_height(&nodes.world.state, BlockHeight(FIRST - 1));
        assert_eq!(draw, Some(BlockHeight(next)));
        nodes.close(Vec::new());
    }
    assert!(matches!(stage(&nodes, &deal), DealStage::Matched { .. }));
}
