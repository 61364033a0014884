//! Fees are optional; with a backlog the highest come first and everyone pays the lowest that got in.

use crate::world::{START, World, genesis, id, key, pledge, transfer};
use watt_ledger::fee::{FeeRate, kept_bytes};
use watt_ledger::select::{Candidate, Chosen, fill_block};
use watt_ledger::{Admission, InvalidBlock, PROTOCOL_WALLET, Refused, admit, query};
use watt_light::{Operation, SignedTransaction};
use watt_primitives::{Amount, Hash, Window};

fn with_fee(world: &World, person: u8, nonce: u64, fee: u64) -> SignedTransaction {
    let mut draft = world.draft(person, vec![transfer(40, 1)]);
    (draft.fee, draft.nonce) = (Amount(fee), nonce);
    draft.sign(&key(person), &world.network, Vec::new()).unwrap()
}

fn crowded() -> World {
    let mut genesis = genesis("crowded");
    genesis.parameters.block_transactions_max = 4;
    World::of(&genesis)
}

fn admissions(world: &World, offered: &[SignedTransaction]) -> Vec<Admission> {
    let admitted = offered.iter().map(|signed| admit(&world.state, signed).unwrap());
    admitted.collect()
}

/// What a proposer chooses of transactions that were admitted, perhaps on an older state.
pub fn choose(world: &World, offered: &[SignedTransaction], admissions: &[Admission]) -> Chosen {
    let pairs = offered.iter().zip(admissions);
    let candidates: Vec<Candidate<'_>> = pairs
        .map(|(transaction, admission)| Candidate {
            transaction,
            admission,
        })
        .collect();
    fill_block(&world.state, &candidates, &[])
}

fn fill(world: &World, offered: &[SignedTransaction]) -> Vec<SignedTransaction> {
    let chosen = choose(world, offered, &admissions(world, offered));
    chosen.block.into_iter().map(|at| offered[at].clone()).collect()
}

/// Two offers that the account can't both pay at once are not stale: what is really paid is known only when the block is full.
/// Covers: A8.
#[test]
fn promised_fees_make_nothing_stale() {
    let world = crowded();
    let balance = world.balance(1).0;
    let offered: Vec<_> = [0, 1]
        .map(|nonce| with_fee(&world, 1, nonce, balance / 2 + 1))
        .to_vec();
    let chosen = choose(&world, &offered, &admissions(&world, &offered));
    assert_eq!((chosen.block, chosen.stale), (vec![0], vec![]));
}

/// Whoever fills a block learns on the way which transactions are possible no more, so that a pool can let them go. Covers: A8.
#[test]
fn used_numbers_are_stale_and_gaps_are_not() {
    let mut world = crowded();
    let offered: Vec<_> = [(1, 0), (2, 0), (3, 2)]
        .map(|(person, nonce)| with_fee(&world, person, nonce, 0))
        .to_vec();
    let admitted_before = admissions(&world, &offered);
    world.block(vec![with_fee(&world, 1, 0, 5)]);
    let chosen = choose(&world, &offered, &admitted_before);
    assert_eq!((chosen.block, chosen.stale), (vec![1], vec![0]));
}

fn wallet(world: &World) -> Amount {
    query::account(&world.state, &PROTOCOL_WALLET).unwrap().balance
}

/// With room in the block nobody pays, whatever was offered. Covers: A8.
#[test]
fn no_backlog_no_fee() {
    let mut world = crowded();
    let offered: Vec<_> = (1..4)
        .map(|person| with_fee(&world, person, 0, 1_000_000))
        .collect();
    let body = fill(&world, &offered);
    assert_eq!(body.len(), 3);
    world.block(body);
    assert!(
        world
            .last
            .receipts
            .iter()
            .all(|receipt| receipt.fee == Amount::ZERO)
    );
    assert_eq!(wallet(&world), Amount::ZERO);
}

/// With a backlog the highest offers get in, all pay the rate of the lowest of them, and it goes to the protocol wallet.
/// Covers: A8, A9.
#[test]
fn backlog_takes_the_highest_and_all_pay_the_lowest() {
    let mut world = crowded();
    let offered: Vec<_> = (1..9)
        .map(|person| with_fee(&world, person, 0, u64::from(person) * 1_000_000))
        .collect();
    let body = fill(&world, &offered);
    let mut payers: Vec<_> = body.iter().map(|signed| signed.transaction.account).collect();
    payers.sort_unstable();
    let mut expected = [id(5), id(6), id(7), id(8)];
    expected.sort_unstable();
    assert_eq!(payers, expected);
    let lowest = body
        .iter()
        .map(|signed| FeeRate::new(signed.transaction.fee, kept_bytes(signed)))
        .min()
        .unwrap();
    world.block(body.clone());
    let mut total = 0;
    for (receipt, signed) in world.last.receipts.iter().zip(&body) {
        assert_eq!(
            receipt.fee,
            lowest.charge(kept_bytes(signed), signed.transaction.fee)
        );
        assert!(
            receipt.fee.0 > 4_900_000 && receipt.fee <= Amount(5_100_000),
            "{}",
            receipt.fee
        );
        total += receipt.fee.0;
    }
    assert_eq!(wallet(&world), Amount(total));
}

/// A free transaction in a full block makes it free for all: the lowest accepted fee is what all pay. Covers: A8.
#[test]
fn one_free_place_makes_all_free() {
    let mut world = crowded();
    let body: Vec<_> = (1..5)
        .map(|person| with_fee(&world, person, 0, if person == 1 { 0 } else { 1_000_000 }))
        .collect();
    world.block(body);
    assert!(
        world
            .last
            .receipts
            .iter()
            .all(|receipt| receipt.fee == Amount::ZERO)
    );
}

/// A fee is taken from a transaction that fails, too. Covers: A8.
#[test]
fn failing_costs_the_fee() {
    let mut world = crowded();
    let mut body: Vec<_> = (1..4)
        .map(|person| with_fee(&world, person, 0, 1_000_000))
        .collect();
    let mut failing = world.draft(4, vec![transfer(40, START.0)]);
    failing.fee = Amount(1_000_000);
    body.push(failing.sign(&key(4), &world.network, Vec::new()).unwrap());
    world.block(body);
    let receipt = &world.last.receipts[3];
    assert!(matches!(receipt.outcome, watt_ledger::Outcome::Failed { .. }));
    assert!(receipt.fee > Amount::ZERO);
    assert_eq!(world.balance(4), Amount(START.0 - receipt.fee.0));
}

/// Nobody offers more than they have. Covers: A5.
#[test]
fn a_fee_must_be_covered() {
    let world = crowded();
    let signed = with_fee(&world, 1, 0, START.0 + 1);
    let why = Refused::FeeTooHigh {
        fee: Amount(START.0 + 1),
        balance: START,
    };
    assert_eq!(admit(&world.state, &signed), Err(why));
    assert_eq!(
        world.attempt(vec![signed]),
        Err(InvalidBlock::Transaction { index: 0, why })
    );
}

/// Transactions of one key go in the order of their numbers, a missing one stops the rest, and what two offer together must be
/// covered. Covers: A5, A8.
#[test]
fn numbers_are_kept_in_order() {
    let mut world = World::new();
    let second = with_fee(&world, 1, 1, 9_000_000);
    let first = with_fee(&world, 1, 0, 0);
    let gap = with_fee(&world, 2, 1, 9_000_000);
    let greedy = [with_fee(&world, 3, 0, START.0), with_fee(&world, 3, 1, 1)];
    let body = fill(
        &world,
        &[
            second.clone(),
            gap,
            first.clone(),
            greedy[0].clone(),
            greedy[1].clone(),
        ],
    );
    assert_eq!(body, [greedy[0].clone(), first, second]);
    world.block(body);
    // Of two with the same number, the one that offers more.
    let cheap = with_fee(&world, 4, 0, 1_000);
    let dear = with_fee(&world, 4, 0, 2_000_000);
    assert_eq!(fill(&world, &[cheap, dear.clone()]), [dear]);
}

/// A flood of paying transactions leaves a provider's duties their places, and they don't set the price. Covers: A8, D3.
#[test]
fn duties_get_through_a_flood() {
    let mut world = crowded();
    world.act(30, pledge(1 << 30)).unwrap();
    // It is refused, but that is found out by the block that has it.
    let attend = Operation::Attend {
        window: Window(0),
        header: Hash::ZERO,
        knows: 1,
        reveal: None,
    };
    let duty = world.sign(30, vec![attend.clone()]);
    // The same message from somebody who is no provider is no duty.
    let fake = world.sign(31, vec![attend]);
    let mut offered: Vec<_> = (1..20)
        .map(|person| with_fee(&world, person, 0, 5_000_000))
        .collect();
    offered.extend([duty.clone(), fake.clone()]);
    let body = fill(&world, &offered);
    assert_eq!(body.len(), 4);
    assert_eq!(body[0], duty);
    assert!(!body.contains(&fake));
    world.block(body);
    assert_eq!(world.last.receipts[0].fee, Amount::ZERO);
    assert!(
        world.last.receipts[1..]
            .iter()
            .all(|receipt| receipt.fee > Amount(4_900_000))
    );
}
