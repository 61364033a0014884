//! Accounts, keys, nonces: who may act, and what can never be replayed.

use crate::world::{START, WATT, World, genesis, id, key, result, transfer};
use watt_ledger::apply::DAILY_LIMIT;
use watt_ledger::rows::AccountKind;
use watt_ledger::{Done, InvalidBlock, PROTOCOL_WALLET, Refused, admit, query};
use watt_light::{KeyRole, Operation, SignedTransaction, Transaction};
use watt_primitives::key::Ed25519Key;
use watt_primitives::{Amount, BlockHeight, BoundedBytes, PublicKey};

fn refusal(world: &World, signed: SignedTransaction) -> Refused {
    match world.attempt(vec![signed]) {
        Err(InvalidBlock::Transaction { index: 0, why }) => why,
        other => unreachable!("{other:?}"),
    }
}

/// A payment arrives, once. Covers: A5.
#[test]
fn payment_arrives_and_cannot_be_replayed() {
    let mut world = World::new();
    let payment = world.sign(1, vec![transfer(2, 5 * WATT)]);
    world.block(vec![payment.clone()]);
    assert_eq!(result(&world.last.receipts[0]), Ok(Done::Transferred {}));
    assert_eq!(world.balance(1), Amount(START.0 - 5 * WATT));
    assert_eq!(world.balance(2), Amount(START.0 + 5 * WATT));
    let used = Refused::NonceUsed {
        nonce: 0,
        expected: 1,
    };
    assert_eq!(admit(&world.state, &payment), Err(used));
    assert_eq!(refusal(&world, payment), used);
}

/// Two payments of the same money with the same number can't be in one block, and with following numbers only the first
/// succeeds. Covers: A5.
#[test]
fn double_spend_within_a_block() {
    let mut world = World::new();
    let first = world.sign(1, vec![transfer(2, START.0)]);
    let same_nonce = world.sign(1, vec![transfer(3, START.0)]);
    let refused = world.attempt(vec![first.clone(), same_nonce]);
    let why = Refused::NonceUsed {
        nonce: 0,
        expected: 1,
    };
    assert_eq!(refused, Err(InvalidBlock::Transaction { index: 1, why }));
    let mut next = world.draft(1, vec![transfer(3, START.0)]);
    next.nonce = 1;
    let next = next.sign(&key(1), &world.network, Vec::new()).unwrap();
    world.block(vec![first, next]);
    assert_eq!(result(&world.last.receipts[0]), Ok(Done::Transferred {}));
    let short = Refused::Balance {
        needed: START,
        balance: Amount::ZERO,
    };
    assert_eq!(result(&world.last.receipts[1]), Err(short));
    assert_eq!((world.balance(2).0, world.balance(3)), (2 * START.0, START));
}

/// All operations of a transaction happen, or none; its number is used either way. Covers: A5.
#[test]
fn operations_are_all_or_nothing() {
    let mut world = World::new();
    let signed = world.sign(
        1,
        vec![transfer(2, WATT), transfer(3, 2 * START.0), transfer(4, WATT)],
    );
    world.block(vec![signed]);
    let watt_ledger::Outcome::Failed {
        operation,
        why,
        penalty,
    } = &world.last.receipts[0].outcome
    else {
        unreachable!()
    };
    assert_eq!((*operation, *penalty), (1, Amount::ZERO));
    assert!(matches!(why, Refused::Balance { .. }));
    for person in 1..5 {
        assert_eq!(world.balance(person), START);
    }
    assert_eq!(world.account(1).keys[0].nonce, 1);
}

/// A fresh account is opened by its first key and by no other. Covers: A5, B10.
#[test]
fn first_transaction_registers_the_key() {
    let mut world = World::new();
    world.act(1, transfer(100, 3 * WATT)).unwrap();
    assert!(world.account(100).keys.is_empty());
    let mut stolen = world.draft(100, vec![transfer(101, WATT)]);
    stolen.key = key(101).public();
    let stolen = stolen.sign(&key(101), &world.network, Vec::new()).unwrap();
    assert_eq!(refusal(&world, stolen), Refused::UnknownKey);
    world.act(100, transfer(2, WATT)).unwrap();
    let row = world.account(100);
    assert_eq!(row.keys[0].key, key(100).public());
    assert_eq!(row.key_commitment.as_ref()[..20], id(100).0);
    // Without any money, too: fees are optional.
    assert!(world.act(120, transfer(2, 0)).is_ok());
}

/// A small-order key, which "signs" everything, opens nothing and is added nowhere. Covers: A5.
#[test]
fn unsafe_keys_are_refused() {
    let mut world = World::new();
    let small = PublicKey::Ed25519(Ed25519Key([0; 32]));
    let add = Operation::AddKey {
        key: small,
        role: KeyRole::Daily,
    };
    assert_eq!(world.act(1, add), Err(Refused::UnsafeKey));
    let account = watt_primitives::AccountId::of_first_key(&small);
    let mut draft = world.draft(1, vec![transfer(2, 0)]);
    (draft.account, draft.key, draft.nonce) = (account, small, 0);
    let signed = draft.sign(&key(1), &world.network, Vec::new()).unwrap();
    assert_eq!(admit(&world.state, &signed), Err(Refused::UnsafeKey));
}

/// Roles: a daily key spends up to its limit and changes no keys, a device key sends only a provider's messages.
/// Covers: B10.
#[test]
fn the_weakest_key_does_not_own_the_account() {
    let mut world = World::new();
    let add = |n: u8, role| Operation::AddKey {
        key: key(n).public(),
        role,
    };
    let signed = world.sign(1, vec![add(101, KeyRole::Daily), add(102, KeyRole::Device)]);
    world.block(vec![signed]);
    assert_eq!(
        result(&world.last.receipts[0]),
        Ok(Done::KeyAdded { key_index: 1 })
    );
    let by = |world: &World, n: u8, index: u16, nonce, operation| {
        let draft = Transaction {
            key_index: index,
            key: key(n).public(),
            nonce,
            ..world.draft(1, vec![operation])
        };
        draft.sign(&key(n), &world.network, Vec::new()).unwrap()
    };
    let role = |role| Refused::Role { role, operation: 0 };
    let theft = by(&world, 101, 1, 0, Operation::RemoveKey { key_index: 0 });
    assert_eq!(refusal(&world, theft), role(KeyRole::Daily));
    let payment = by(&world, 102, 2, 0, transfer(2, 1));
    assert_eq!(refusal(&world, payment), role(KeyRole::Device));

    let all = by(&world, 101, 1, 0, transfer(2, DAILY_LIMIT.0));
    let more = by(&world, 101, 1, 1, transfer(2, 1));
    world.block(vec![all, more]);
    assert_eq!(result(&world.last.receipts[0]), Ok(Done::Transferred {}));
    let limit = Refused::DailyLimit {
        limit: DAILY_LIMIT,
        spent: DAILY_LIMIT,
    };
    assert_eq!(result(&world.last.receipts[1]), Err(limit));
    // The next day of ledger time it may again.
    for _ in 0..1440 {
        world.step_ms = 60_000;
        world.skip(1);
    }
    let again = by(&world, 101, 1, 2, transfer(2, 1));
    world.block(vec![again]);
    assert_eq!(result(&world.last.receipts[0]), Ok(Done::Transferred {}));
}

/// Two keys of one account never wait for each other. Covers: B10.
#[test]
fn every_key_has_its_own_numbers() {
    let mut world = World::new();
    let add = Operation::AddKey {
        key: key(101).public(),
        role: KeyRole::Owner,
    };
    world.act(1, add).unwrap();
    let mut second = world.draft(1, vec![transfer(2, 1)]);
    (second.key_index, second.key, second.nonce) = (1, key(101).public(), 0);
    let second = second.sign(&key(101), &world.network, Vec::new()).unwrap();
    let first = world.sign(1, vec![transfer(2, 1)]);
    world.block(vec![second, first]);
    assert!(world.last.receipts.iter().all(|receipt| result(receipt).is_ok()));
}

/// A removed key acts no more, not even later in the same block, and never comes back with fresh numbers. The last owner stays.
/// Covers: A5.
#[test]
fn removed_keys_stay_removed() {
    let mut world = World::new();
    let add = |n: u8, role| Operation::AddKey {
        key: key(n).public(),
        role,
    };
    world.act(1, add(101, KeyRole::Owner)).unwrap();
    let by_second = |world: &World, nonce| {
        let mut draft = world.draft(1, vec![transfer(2, 1)]);
        (draft.key_index, draft.key, draft.nonce) = (1, key(101).public(), nonce);
        draft.sign(&key(101), &world.network, Vec::new()).unwrap()
    };
    let remove = world.sign(1, vec![Operation::RemoveKey { key_index: 1 }]);
    let late = by_second(&world, 0);
    world.block(vec![remove, late]);
    assert_eq!(result(&world.last.receipts[0]), Ok(Done::KeyRemoved {}));
    assert_eq!(result(&world.last.receipts[1]), Err(Refused::UnknownKey));
    assert_eq!(refusal(&world, by_second(&world, 1)), Refused::UnknownKey);
    assert_eq!(world.act(1, add(101, KeyRole::Daily)), Err(Refused::KeyKnown));
    let last = Operation::RemoveKey { key_index: 0 };
    assert_eq!(world.act(1, last), Err(Refused::LastOwner));
    assert_eq!(
        world.act(1, Operation::RemoveKey { key_index: 7 }),
        Err(Refused::UnknownKey)
    );
}

/// At most 32 keys in an account's life. Covers: A5.
#[test]
fn keys_are_bounded() {
    let mut world = World::new();
    let add = |n: u8| Operation::AddKey {
        key: key(n).public(),
        role: KeyRole::Device,
    };
    for n in 100..131 {
        world.act(1, add(n)).unwrap();
    }
    assert_eq!(world.act(1, add(131)), Err(Refused::TooManyKeys));
}

/// No key opens the protocol wallet, nobody can act for it, and nobody pays into it but the fee rule. Covers: A9.
#[test]
fn protocol_wallet_has_no_key() {
    let mut world = World::new();
    let row = query::account(&world.state, &PROTOCOL_WALLET).unwrap();
    assert_eq!(row.kind, AccountKind::ProtocolWallet);
    let mut draft = world.draft(1, vec![transfer(1, 1)]);
    draft.account = PROTOCOL_WALLET;
    let signed = draft.sign(&key(1), &world.network, Vec::new()).unwrap();
    assert_eq!(refusal(&world, signed), Refused::NotKeyed);
    let gift = Operation::Transfer {
        to: PROTOCOL_WALLET,
        amount: Amount(1),
        memo: BoundedBytes::new(Vec::new()).unwrap(),
    };
    assert_eq!(world.act(1, gift), Err(Refused::ToProtocolWallet));
}

/// Before and after its time a transaction is refused; numbers far ahead wait nowhere. Covers: A5.
#[test]
fn expiry_and_numbers_ahead() {
    let mut world = World::new();
    world.skip(5);
    let at = |world: &World, valid_until: u64| {
        let mut draft = world.draft(1, vec![transfer(2, 1)]);
        draft.valid_until = BlockHeight(valid_until);
        draft.sign(&key(1), &world.network, Vec::new()).unwrap()
    };
    let expired = Refused::Expired {
        valid_until: BlockHeight(5),
        height: BlockHeight(6),
    };
    assert_eq!(refusal(&world, at(&world, 5)), expired);
    assert!(world.attempt(vec![at(&world, 6)]).is_ok());
    assert!(world.attempt(vec![at(&world, 6 + 720)]).is_ok());
    let too_long = Refused::ValidTooLong {
        valid_until: BlockHeight(727),
        valid_until_max: BlockHeight(726),
    };
    assert_eq!(refusal(&world, at(&world, 727)), too_long);
    let ahead = |nonce| {
        let mut draft = world.draft(1, vec![transfer(2, 1)]);
        draft.nonce = nonce;
        admit(
            &world.state,
            &draft.sign(&key(1), &world.network, Vec::new()).unwrap(),
        )
    };
    assert_eq!(ahead(64).unwrap().nonces_ahead, 64);
    assert_eq!(
        ahead(65),
        Err(Refused::NonceAhead {
            nonce: 65,
            expected: 0
        })
    );
}

/// Nothing signed for one network is valid on another, whatever it does. Covers: A5.
#[test]
fn every_operation_of_another_network_is_refused() {
    let home = World::new();
    let away = World::of(&genesis("other"));
    assert_ne!(home.network, away.network);
    for operation in crate::random::one_of_each(&home) {
        let witness: Vec<Vec<u8>> = operation
            .witness()
            .map(|_| b"openings".to_vec())
            .into_iter()
            .collect();
        // A pool looks only at proofs for which the ledger waits.
        let is_proof = operation.witness().is_some();
        let signed = home.sign_with(1, vec![operation], witness);
        assert_eq!(admit(&home.state, &signed).is_ok(), !is_proof, "{signed:?}");
        let refused = admit(&away.state, &signed).unwrap_err();
        assert!(
            matches!(refused, Refused::Signature | Refused::Malformed),
            "{refused:?}"
        );
        let refused = away.attempt(vec![signed]).unwrap_err();
        assert!(
            matches!(refused, InvalidBlock::Signature | InvalidBlock::Malformed { .. }),
            "{refused:?}"
        );
    }
}
