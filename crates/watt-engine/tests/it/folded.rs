//! Transactions with folded proofs: verified before the pool takes them, once, and a bad one keeps its account out (TC14).

use crate::world::{World, key};
use watt_engine::message::Message;
use watt_ledger::Refused;
use watt_ledger::rows::{self, Period, PeriodsRow, ProviderRow};
use watt_ledger::state::Writes;
use watt_light::transaction::witness_hash;
use watt_light::{FoldedWindows, Operation, SignedTransaction, Transaction, WindowShape};
use watt_primitives::{AccountId, Amount, BlockHeight, BoundedVec, Window, codec};
use watt_proofs::Element;

/// What all of them have to show.
fn waiting(number: u64) -> Period {
    Period {
        number,
        shape: WindowShape::Small,
        first: Window(0),
        last: Window(2),
        from: Element::default(),
        to: Element::default(),
        n_windows: 3,
        n_void: 0,
        n_asked: 0,
        ms: 0,
        asked_ms: 0,
        byte_windows: 0,
        faulty: BoundedVec::empty(),
    }
}

/// The four windows of a period, those in which the one before it can be settled, and one more: then everybody's first period is due
/// or has just lapsed, and so has the second one not.
const DUE_WINDOW: u64 = 5;

fn account(seed: u8) -> AccountId {
    AccountId::of_first_key(&key(seed).public())
}

/// A world in which windows of these accounts are due.
fn world(n_followers: u8, seed: u64, accounts: &[u8]) -> World {
    let mut world = World::new(4, n_followers, seed);
    let mut rows = Writes::new();
    for account in accounts.iter().map(|seed| account(*seed)) {
        let provider = ProviderRow::new(account, BlockHeight(0));
        let periods = PeriodsRow {
            taken_to: Some(Window(2)),
            waiting: BoundedVec::new(vec![waiting(0), waiting(1)]).unwrap(),
        };
        rows.insert(rows::provider(&account), Some(codec::encode(&provider)));
        rows.insert(rows::periods(&account), Some(codec::encode(&periods)));
    }
    world.write_everywhere(&rows);
    let height = DUE_WINDOW * world.genesis.parameters.window_slots;
    let nodes: Vec<usize> = (0..4 + usize::from(n_followers)).collect();
    assert!(world.reach(&nodes, height, 120_000));
    world.run_for(50);
    world
}

/// A settlement whose proof holds if it is `good`.
fn settlement(world: &World, from: u8, nonce: u64, proof: &[u8]) -> SignedTransaction {
    settlement_of(world, from, nonce, waiting(0).shown(3), proof)
}

fn settlement_of(
    world: &World,
    from: u8,
    nonce: u64,
    windows: FoldedWindows,
    proof: &[u8],
) -> SignedTransaction {
    let public = key(from).public();
    let transaction = Transaction {
        account: account(from),
        key_index: 0,
        key: public,
        nonce,
        valid_until: BlockHeight(world.height(0) + 100),
        fee: Amount(0),
        operations: BoundedVec::new(vec![Operation::SettleWindows {
            windows,
            proof: witness_hash(&world.network, proof),
        }])
        .unwrap(),
    };
    transaction
        .sign(&key(from), &world.network, vec![proof.to_vec()])
        .unwrap()
}

fn offered(transactions: &[&SignedTransaction]) -> Vec<u8> {
    let transactions = transactions.iter().map(|signed| (*signed).clone()).collect();
    Message::Transactions {
        transactions: BoundedVec::new(transactions).unwrap(),
    }
    .encode()
}

fn bad_proofs(world: &World, node: usize) -> u64 {
    let refused = world.engine(node).refused();
    refused.get("bad folded proof").copied().unwrap_or(0)
}

/// A proof that holds is verified once by each node, and the transaction reaches all pools. Covers: D3.
#[test]
fn a_good_folded_proof_is_pooled_everywhere() {
    let mut world = world(1, 31, &[100]);
    let good = settlement(&world, 100, 0, b"good");
    let id = good.transaction.id(&world.network);
    world.submit(4, good);
    world.run_for(400);
    assert_eq!(world.replies, [Ok(id)]);
    let mut verified = world.folded_verified.clone();
    verified.sort_unstable();
    assert_eq!(verified, (0..5).map(|node| (node, 1)).collect::<Vec<_>>());
}

/// A bad proof is refused with what to do next, and costs its account every further verification in this window, whatever that
/// brings; others are verified. In the next window the account may try again. Covers: A8, D3.
#[test]
fn a_bad_folded_proof_is_its_accounts_last_in_the_window() {
    let mut world = world(0, 32, &[100, 101]);
    let bad = settlement(&world, 100, 0, b"bad");
    let other = settlement(&world, 101, 0, b"good");
    world.submit(0, bad.clone());
    world.run_for(50);
    let refusal = world.replies.pop().unwrap().unwrap_err();
    assert!(refusal.contains("does not show what it says"), "{refusal}");
    assert!(refusal.contains("in the next window"), "{refusal}");
    assert_eq!((world.folded_verified.len(), bad_proofs(&world, 0)), (1, 1));

    let good = settlement(&world, 100, 0, b"good");
    for again in [bad, good.clone()] {
        world.submit(0, again);
        world.run_for(50);
        let refusal = world.replies.pop().unwrap().unwrap_err();
        assert!(refusal.contains("did not hold in this window"), "{refusal}");
    }
    assert_eq!(world.folded_verified.len(), 1, "nothing was verified again");
    world.submit(0, other);
    world.run_for(50);
    assert!(matches!(world.replies.pop(), Some(Ok(_))));
    assert!(world.folded_verified.contains(&(0, 1)));

    let window_slots = world.genesis.parameters.window_slots;
    let next = (DUE_WINDOW + 1) * window_slots;
    assert!(world.reach(&[0, 1, 2, 3], next, 60_000));
    world.run_for(50);
    world.submit(0, good);
    world.run_for(50);
    assert!(matches!(world.replies.as_slice(), [Ok(_)]), "{:?}", world.replies);
}

/// Only windows that are due are worth the time: nothing is verified for an account that is no provider, or about other windows.
/// Covers: A8, D3.
#[test]
fn folded_proofs_of_windows_that_are_not_due_are_not_looked_at() {
    let mut world = world(0, 34, &[100]);
    let stranger = settlement(&world, 101, 0, b"good");
    let other = FoldedWindows {
        n_windows: 4,
        ..waiting(0).shown(3)
    };
    let other = settlement_of(&world, 100, 0, other, b"good");
    for (transaction, why) in [
        (stranger, Refused::NothingToSettle),
        (other, Refused::OtherWindows),
    ] {
        world.submit(0, transaction);
        world.run_for(50);
        assert_eq!(world.replies.pop(), Some(Err(why.to_string())));
    }
    assert_eq!(world.folded_verified, []);
}

/// Of an account one transaction is verified at a time, and of all accounts no more at once than a block holds. Nobody
/// is hung up on for a bad proof: its signature shows whose it is, and whoever passed it on may not have looked yet. Covers: A5, D3.
#[test]
fn one_folded_proof_of_an_account_at_a_time() {
    let accounts: Vec<u8> = std::iter::once(100).chain(110..140).collect();
    let mut world = world(0, 33, &accounts);
    let of_one: Vec<_> = (0..3)
        .map(|nonce| settlement(&world, 100, nonce, b"bad"))
        .collect();
    world.inject(1, 0, offered(&of_one.iter().collect::<Vec<_>>()));
    world.run_for(50);
    assert_eq!(world.folded_verified, [(0, 1)]);
    assert_eq!(bad_proofs(&world, 0), 1);

    let of_many: Vec<_> = (110..140)
        .map(|account| settlement(&world, account, 0, b"bad"))
        .collect();
    world.inject(1, 0, offered(&of_many.iter().collect::<Vec<_>>()));
    world.run_for(50);
    let n_verified = world.folded_verified.len() - 1;
    assert!((1..=8).contains(&n_verified), "{n_verified} at once");
    assert_eq!(
        world.engine(0).refused().get("too busy").copied(),
        Some(30 - n_verified as u64)
    );
    assert_eq!(world.hang_ups, []);
}
