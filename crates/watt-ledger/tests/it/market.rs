//! Asks, bids, matches, certificates, and the money of deals that are never stored.

use crate::world::{
    GROUP, START, WATT, World, ask_terms, bid, bundle, certificate, holders, id, key, place, pledge, provide,
    result,
};
use watt_ledger::apply::{OPEN_BIDS_MAX, certify_slots};
use watt_ledger::refused::{AskRefused, BidRefused};
use watt_ledger::rows::{DealEnd, DealStage};
use watt_ledger::{Done, Event, Refused, query};
use watt_light::Operation;
use watt_light::operation::AcceptanceTerms;
use watt_market::Paid;
use watt_market::deal::{RESERVATION_MS_MIN, pay};
use watt_primitives::{Amount, BlockHeight, BoundedVec, DealId, SlotIndexInDeal};

const DAY: u64 = 86_400_000;
/// 1 WATT per 10⁹ bytes and day makes slots of 992 KiB worth about 0.001 WATT a day.
const PRICE: u64 = WATT;
const SLOT: u64 = 62 * GROUP;

fn market() -> World {
    let mut world = World::new();
    provide(&mut world, 10..25, 10 * SLOT, PRICE);
    world
}

/// Person `client` bids for a bundle for a day and is matched, or not.
fn buy(world: &mut World, client: u8, seed: u8, price_max: u64) -> DealId {
    let operation = bid(world, bundle(seed, SLOT), price_max, DAY);
    place(world, client, operation)
}

fn deal_of(world: &World, deal: &DealId) -> query::Deal {
    query::deal(&world.state, deal).unwrap()
}

fn stage(world: &World, deal: &DealId) -> DealStage {
    deal_of(world, deal).row.stage
}

/// A bid locks its escrow, is matched in the next window, once its beacon is made, with ten different providers, and gets back at once
/// what the deal can't cost. Covers: A10, E1.
#[test]
fn bid_is_matched_in_the_next_window() {
    let mut world = market();
    let operation = bid(&world, bundle(1, SLOT), 3 * PRICE, 30 * DAY);
    let Operation::PlaceBid { escrow, .. } = &operation else {
        unreachable!()
    };
    let escrow = *escrow;
    let Ok(Done::BidPlaced { deal, match_height }) = world.act(1, operation) else {
        unreachable!()
    };
    assert_eq!(
        (world.height(), match_height),
        (2, BlockHeight(14)),
        "ten slots a window, four of them reveal"
    );
    let bid_height = BlockHeight(world.height());
    while world.height() < match_height.0 {
        assert!(matches!(stage(&world, &deal), DealStage::Open { .. }));
        assert_eq!(query::draw_height(&world.state, bid_height), Some(match_height));
        assert_eq!(world.balance(1), Amount(START.0 - escrow.0));
        world.skip(1);
    }
    let found = deal_of(&world, &deal);
    assert_eq!(
        holders(&world, &deal)
            .values()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        10
    );
    let shares = Amount::checked_sum(found.slots.iter().map(|slot| slot.row.funds.share)).unwrap();
    assert_eq!(found.row.escrow, shares);
    assert_eq!(world.balance(1), Amount(START.0 - shares.0));
    assert!(shares.0 * 2 < escrow.0);
    let [Event::BidMatched { returned, .. }] = world.last.events[..] else {
        unreachable!()
    };
    assert_eq!(returned, Amount(escrow.0 - shares.0));
    for slot in &found.slots {
        let provider = query::provider(&world.state, &slot.row.provider).unwrap();
        assert_eq!(provider.row.used_bytes, SLOT);
        let held = query::slots_of_provider(&world.state, &slot.row.provider, None, 10);
        assert_eq!(held, [(deal, slot.index)]);
    }
    assert_eq!(query::deals_of_client(&world.state, &id(1), None, 10), [deal]);
    assert_eq!(
        query::deals_of_manifest(&world.state, &bundle(1, SLOT).manifest, 10),
        [deal]
    );
}

/// Too few fitting offers: all the money comes back, with the numbers. Covers: E1.
#[test]
fn unmatched_bid_is_refunded() {
    let mut world = World::new();
    provide(&mut world, 10..19, 10 * SLOT, PRICE);
    let deal = buy(&mut world, 1, 1, PRICE);
    let DealStage::Ended {
        how, refunded, paid, ..
    } = stage(&world, &deal)
    else {
        unreachable!()
    };
    assert_eq!(
        how,
        DealEnd::Unmatched {
            eligible: 9,
            needed: 10
        }
    );
    assert_eq!((world.balance(1), paid), (START, Paid::default()));
    assert!(refunded > Amount::ZERO);
    assert!(query::deals_of_manifest(&world.state, &bundle(1, SLOT).manifest, 10).is_empty());
    assert_eq!(world.account(1).open_bids, 0);
}

/// Price, size, term, space, exclusion and the client's own offer are all respected. Covers: E1.
#[test]
fn only_fitting_offers_are_matched() {
    let mut world = World::new();
    provide(&mut world, 10..20, 10 * SLOT, PRICE);
    provide(&mut world, 20..21, 10 * SLOT, PRICE + 1);
    provide(&mut world, 21..22, SLOT - 1, PRICE);
    let mut short = ask_terms(PRICE);
    short.term_ms_max = DAY - 1;
    let mut small = ask_terms(PRICE);
    small.slot_bytes_max = SLOT - 1;
    for (person, terms) in [(22, short), (23, small)] {
        let signed = world.sign(person, vec![pledge(10 * SLOT), Operation::PlaceAsk { terms }]);
        world.block(vec![signed]);
    }
    let deal = buy(&mut world, 1, 1, PRICE);
    let chosen: Vec<u8> = holders(&world, &deal).into_values().collect();
    assert!(
        chosen.iter().all(|person| (10..20).contains(person)),
        "{chosen:?}"
    );

    let mut without = bid(&world, bundle(2, SLOT), PRICE, DAY);
    if let Operation::PlaceBid { exclude, .. } = &mut without {
        exclude.push(id(10)).unwrap();
    }
    let deal = place(&mut world, 1, without);
    assert!(matches!(stage(&world, &deal), DealStage::Ended { .. }));
    let deal = buy(&mut world, 10, 3, PRICE);
    assert!(matches!(stage(&world, &deal), DealStage::Ended { .. }));
    // Withdrawn offers take no new deals; the deals they have go on.
    assert_eq!(
        world.act(10, Operation::WithdrawAsk {}),
        Ok(Done::AskWithdrawn {})
    );
    assert_eq!(world.act(10, Operation::WithdrawAsk {}), Err(Refused::NoAsk));
    let deal = buy(&mut world, 1, 4, PRICE);
    assert!(matches!(stage(&world, &deal), DealStage::Ended { .. }));
}

/// Offers and pledges that make no sense. Covers: E1.
#[test]
fn senseless_offers_are_refused() {
    let mut world = market();
    let place_ask = |terms| Operation::PlaceAsk { terms };
    assert_eq!(world.act(1, place_ask(ask_terms(1))), Err(Refused::NotAProvider));
    let mut terms = ask_terms(u64::MAX);
    assert_eq!(
        world.act(10, place_ask(terms.clone())),
        Err(Refused::Ask(AskRefused::Price))
    );
    terms.price = Amount(1);
    terms.slot_bytes_min = 0;
    assert_eq!(
        world.act(10, place_ask(terms.clone())),
        Err(Refused::Ask(AskRefused::SlotBytes))
    );
    terms.slot_bytes_min = 1;
    terms.term_ms_max = 59_999;
    assert_eq!(
        world.act(10, place_ask(terms)),
        Err(Refused::Ask(AskRefused::Term))
    );
    let deal = buy(&mut world, 1, 1, PRICE);
    let holder = holders(&world, &deal)[&0];
    let less = Refused::CapacityInUse {
        capacity_bytes: SLOT - 1,
        used_bytes: SLOT,
    };
    assert_eq!(world.act(holder, pledge(SLOT - 1)), Err(less));
    assert_eq!(world.act(holder, pledge(SLOT)), Ok(Done::Pledged {}));
}

/// Bids that make no sense, and the least escrow. Covers: E1.
#[test]
fn senseless_bids_are_refused() {
    let mut world = market();
    let refused = |world: &mut World, change: &dyn Fn(&mut Operation)| {
        let mut operation = bid(world, bundle(1, SLOT), PRICE, DAY);
        change(&mut operation);
        match world.act(1, operation) {
            Err(Refused::Bid(why)) => why,
            other => unreachable!("{other:?}"),
        }
    };
    let terms = |change: &dyn Fn(&mut watt_primitives::terms::BundleTerms), operation: &mut Operation| {
        if let Operation::PlaceBid { terms, .. } = operation {
            change(terms);
        }
    };
    for slot_bytes in [0, SLOT + 1, 32 << 20] {
        let why = refused(&mut world, &|o| terms(&|t| t.slot_bytes = slot_bytes, o));
        assert_eq!(why, BidRefused::SlotBytes { slot_bytes });
    }
    let nine = |t: &mut watt_primitives::terms::BundleTerms| {
        t.slot_roots = BoundedVec::new(t.slot_roots[..9].to_vec()).unwrap();
    };
    assert_eq!(refused(&mut world, &|o| terms(&nine, o)), BidRefused::SlotRoots);
    for bad_term in [59_999, 5 * 365 * DAY + 1] {
        let why = refused(&mut world, &|o| {
            if let Operation::PlaceBid { term_ms, .. } = o {
                *term_ms = bad_term;
            }
        });
        assert_eq!(why, BidRefused::Term);
    }
    let why = refused(&mut world, &|o| {
        if let Operation::PlaceBid { escrow, .. } = o {
            escrow.0 -= 1;
        }
    });
    let BidRefused::Escrow { escrow, needed } = why else {
        unreachable!()
    };
    assert_eq!(escrow.0 + 1, needed.0);
    let why = refused(&mut world, &|o| {
        if let Operation::PlaceBid {
            price_max, term_ms, ..
        } = o
        {
            (*price_max, *term_ms) = (Amount(u64::MAX), 365 * DAY);
        }
    });
    assert_eq!(why, BidRefused::TooExpensive);
    // Without the money: nothing is locked.
    let dear = bid(&world, bundle(1, SLOT), 100_000_000 * PRICE, 365 * DAY);
    assert!(matches!(world.act(1, dear), Err(Refused::Balance { .. })));
    assert_eq!(world.balance(1), START);
}

/// All ten holders accept: the term runs, the reservation is paid for at least a minute. Covers: E1, E4.
#[test]
fn certificate_starts_the_deal() {
    let mut world = market();
    let deal = buy(&mut world, 1, 1, PRICE);
    let now = query::head(&world.state).unwrap().ledger_time;
    // Anyone may post it.
    let operation = certificate(&world, &deal);
    let Ok(Done::Certified { ends_at, paid, .. }) = world.act(2, operation.clone()) else {
        unreachable!()
    };
    assert_eq!(ends_at.0, now.0 + 1000 + DAY);
    let each = pay(Amount(PRICE), SLOT, RESERVATION_MS_MIN).unwrap();
    assert_eq!(paid, Amount(10 * each.0));
    for holder in holders(&world, &deal).into_values() {
        assert_eq!(world.balance(holder), Amount(START.0 + each.0));
    }
    assert!(matches!(stage(&world, &deal), DealStage::Active { .. }));
    assert_eq!(world.account(1).open_bids, 0);
    assert_eq!(world.act(2, operation), Err(Refused::WrongStage { deal }));
}

/// Certificates that lack something. Covers: E1, C5.
#[test]
fn wrong_certificates_are_refused() {
    let mut world = market();
    let deal = buy(&mut world, 1, 1, PRICE);
    let right = certificate(&world, &deal);
    let Operation::Certify { acceptances, .. } = &right else {
        unreachable!()
    };
    let right_list = acceptances.to_vec();
    let certify = |world: &mut World, list: Vec<_>| {
        let acceptances = BoundedVec::new(list).unwrap();
        world
            .act(2, Operation::Certify { deal, acceptances })
            .unwrap_err()
    };
    let few = Refused::TooFewAcceptances { given: 9, needed: 10 };
    assert_eq!(certify(&mut world, right_list[..9].to_vec()), few);
    let mut twice = right_list.clone();
    twice[1] = twice[0];
    assert_eq!(certify(&mut world, twice), Refused::AcceptanceOrder);
    let mut beyond = right_list.clone();
    beyond[9].slot = SlotIndexInDeal(10);
    assert_eq!(certify(&mut world, beyond), Refused::AcceptanceOrder);
    let root = bundle(1, SLOT).slot_roots[3];
    let terms = |slot: u8, deal| AcceptanceTerms {
        deal,
        slot: SlotIndexInDeal(slot),
        root,
    };
    let mut stranger = right_list.clone();
    stranger[3] = terms(3, deal).accept(&key(2), &world.network);
    let slot = SlotIndexInDeal(3);
    assert_eq!(certify(&mut world, stranger), Refused::AcceptanceKey { slot });
    let holder = holders(&world, &deal)[&3];
    for wrong in [
        terms(3, DealId([1; 32])).accept(&key(holder), &world.network),
        terms(3, deal).accept(&key(holder), &watt_primitives::NetworkId::new([1; 32])),
    ] {
        let mut list = right_list.clone();
        list[3] = wrong;
        assert_eq!(certify(&mut world, list), Refused::AcceptanceSignature);
    }
    let unknown = Operation::Certify {
        deal: DealId([1; 32]),
        acceptances: BoundedVec::new(right_list).unwrap(),
    };
    assert_eq!(
        world.act(2, unknown),
        Err(Refused::UnknownDeal {
            deal: DealId([1; 32])
        })
    );
    assert!(world.act(2, right).is_ok());
}

/// A client that reserves and walks away pays every provider for the time from the match, each time, and can hold only four
/// bids open. Covers: E1, E4.
#[test]
fn reserve_and_abandon_loop() {
    let mut world = market();
    let mut expected = START.0;
    for round in 0..3u8 {
        let deal = buy(&mut world, 1, round, PRICE);
        let DealStage::Matched { deadline, at, .. } = stage(&world, &deal) else {
            unreachable!()
        };
        let certify_late = certificate(&world, &deal);
        let settle = Operation::Settle { deal };
        let early = Refused::TooEarly {
            height: deadline.next(),
        };
        assert_eq!(world.act(2, settle.clone()), Err(early));
        world.go_to_height(deadline.0);
        assert!(matches!(stage(&world, &deal), DealStage::Matched { .. }));
        world.skip(1);
        let DealStage::Ended {
            how, paid, refunded, ..
        } = stage(&world, &deal)
        else {
            unreachable!()
        };
        assert_eq!(how, DealEnd::NotCertified);
        let elapsed = query::head(&world.state).unwrap().ledger_time.0 - at.0;
        let each = pay(Amount(PRICE), SLOT, elapsed.max(RESERVATION_MS_MIN)).unwrap();
        assert_eq!(paid.reserved, Amount(10 * each.0));
        assert_eq!(
            Amount(paid.total().0 + refunded.0),
            deal_of(&world, &deal).row.escrow
        );
        expected -= paid.total().0;
        assert_eq!(world.balance(1), Amount(expected));
        assert_eq!(world.act(2, certify_late), Err(Refused::WrongStage { deal }));
        assert_eq!(world.act(2, settle), Err(Refused::WrongStage { deal }));
        for person in 10..25 {
            assert_eq!(
                query::provider(&world.state, &id(person)).unwrap().row.used_bytes,
                0
            );
        }
    }
    for round in 0..OPEN_BIDS_MAX {
        let operation = bid(&world, bundle(round, SLOT), PRICE, DAY);
        world.act(1, operation).unwrap();
    }
    let operation = bid(&world, bundle(9, SLOT), PRICE, DAY);
    assert_eq!(
        world.act(1, operation),
        Err(Refused::TooManyBids { max: OPEN_BIDS_MAX })
    );
}

/// Larger bundles have more time for their certificate. Covers: E1.
#[test]
fn certificate_time_grows_with_size() {
    let rules = crate::world::parameters();
    assert_eq!(certify_slots(&rules, &bundle(1, GROUP)), 20 + 10);
    assert_eq!(certify_slots(&rules, &bundle(1, 31 << 20)), 20 + 10);
    let mut huge = bundle(1, GROUP);
    huge.slot_bytes = 1_000_000_000;
    assert_eq!(certify_slots(&rules, &huge), 20 + 100);
}

/// Many cheap offers of accounts without space, or of one provider many times over, do not crowd the others out: an offer
/// counts once per account and only with free space. Covers: E1.
#[test]
fn ask_flood_does_not_stop_the_market() {
    let mut world = market();
    // A flood of offers at price 1 that can't hold a slot.
    let people: Vec<u8> = (25..50).collect();
    let flood = people.iter().map(|person| {
        let ask = Operation::PlaceAsk { terms: ask_terms(1) };
        world.sign(*person, vec![pledge(SLOT - 1), ask.clone(), ask])
    });
    let flood = flood.collect();
    world.block(flood);
    assert!(world.last.receipts.iter().all(|receipt| result(receipt).is_ok()));
    let deal = buy(&mut world, 1, 1, PRICE);
    assert!(
        holders(&world, &deal)
            .values()
            .all(|person| (10..25).contains(person))
    );
    // With space they are the cheapest, yet half of the picks come from everyone.
    for person in people {
        world.act(person, pledge(10 * SLOT)).unwrap();
    }
    let mut from_others = 0;
    for seed in 2..5 {
        let deal = buy(&mut world, 1, seed, PRICE);
        from_others += holders(&world, &deal)
            .values()
            .filter(|person| **person < 25)
            .count();
    }
    assert!(from_others > 0);
}

/// The client may end a deal that is not sealed yet: reservations are paid, the rest comes back. Nobody else may.
/// Covers: E4.
#[test]
fn client_ends_a_deal_early() {
    let mut world = market();
    let matched = buy(&mut world, 1, 1, PRICE);
    let active = buy(&mut world, 1, 2, PRICE);
    let operation = certificate(&world, &active);
    world.act(1, operation).unwrap();
    for deal in [matched, active] {
        let end = Operation::Terminate { deal };
        assert_eq!(world.act(2, end.clone()), Err(Refused::NotTheClient));
        let Ok(Done::DealEnded { paid, refunded, .. }) = world.act(1, end.clone()) else {
            unreachable!()
        };
        let paid = paid.total();
        assert_eq!(Amount(paid.0 + refunded.0), deal_of(&world, &deal).row.escrow);
        assert!(paid > Amount::ZERO && refunded > paid);
        assert_eq!(world.act(1, end), Err(Refused::WrongStage { deal }));
    }
    assert_eq!(query::head(&world.state).unwrap().supply.in_escrow, Amount::ZERO);
    assert_eq!(world.account(1).open_bids, 0);
    let unknown = DealId([3; 32]);
    let end = Operation::Terminate { deal: unknown };
    assert_eq!(world.act(1, end), Err(Refused::UnknownDeal { deal: unknown }));
}
