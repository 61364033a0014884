use super::*;
use watt_ledger::fee::FeeRate;
use watt_primitives::{Amount, BoundedVec, Hash, PublicKey, SecretKey, Signature};

/// Transactions of one key that wait one after the other.
const PER_KEY: u64 = 50;

fn public() -> PublicKey {
    SecretKey::from_seed([1; 32]).public()
}

/// One that waits: the `n`-th of the pool, at most until `valid_until`. Nobody looks at its signature here.
fn waiting(n: u64, valid_until: u64) -> (Admission, SignedTransaction) {
    let mut account = [0; 20];
    account[..8].copy_from_slice(&(n / PER_KEY).to_be_bytes());
    let transaction = Transaction {
        account: AccountId(account),
        key_index: 0,
        key: public(),
        nonce: n % PER_KEY,
        valid_until: BlockHeight(valid_until),
        fee: Amount::ZERO,
        operations: BoundedVec::empty(),
    };
    let admission = Admission {
        id: TransactionId(*Hash::of_content(&n.to_be_bytes()).as_bytes()),
        lane: (transaction.account, transaction.key_index),
        nonce: transaction.nonce,
        nonces_ahead: 0,
        rate: FeeRate(0),
        bytes: 200,
        kept_bytes: 200,
        n_proofs: 0,
        n_folded: 0,
        is_duty: false,
        is_earned: false,
    };
    let signed = SignedTransaction {
        transaction,
        signature: Signature([0; 64]),
        witness: BoundedVec::empty(),
    };
    (admission, signed)
}

fn place(n: u64, valid_until: u64) -> Place {
    let (admission, signed) = waiting(n, valid_until);
    Place::of(&signed.transaction, admission.id)
}

/// Of a full pool half expires, every other transaction: within five blocks exactly those are gone, and none of the others ever is.
#[test]
fn what_expired_is_forgotten_by_and_by() {
    let n_all = u64::try_from(POOL_TRANSACTIONS_MAX).unwrap();
    let valid_until = |n: u64| if n.is_multiple_of(2) { 10 } else { 1_000 };
    let mut pool = Mempool::default();
    for n in 0..n_all {
        let (admission, signed) = waiting(n, valid_until(n));
        pool.add(admission, signed, false);
    }
    let n_blocks = u64::try_from(POOL_TRANSACTIONS_MAX.div_ceil(LOOKED_AT_ONCE)).unwrap();
    for block in 0..n_blocks {
        let before = pool.len();
        pool.settle(&Spent::new(), BlockHeight(10 + block));
        assert!(pool.len() < before, "block {block} looked at nothing");
    }
    for n in 0..n_all {
        assert_eq!(pool.has(&place(n, valid_until(n))), !n.is_multiple_of(2), "{n}");
    }
    assert_eq!(pool.len(), POOL_TRANSACTIONS_MAX / 2);
    assert_eq!(pool.bytes, 200 * POOL_TRANSACTIONS_MAX / 2);
    assert_eq!(pool.waiting().len(), pool.len());
}

/// What blocks used up goes with all numbers below it, however much of it never was in a block; the rest stays, and the pool counts
/// right. A place that another transaction has taken is not that of the first.
#[test]
fn what_was_used_up_is_handed_back() {
    let mut pool = Mempool::default();
    for n in 0..3 * PER_KEY {
        let (admission, signed) = waiting(n, 1_000);
        pool.add(admission, signed, false);
    }
    let spent = Spent::from([(place(0, 1_000).key, 9), (place(PER_KEY, 1_000).key, PER_KEY + 7)]);
    let forgotten = pool.settle(&spent, BlockHeight(1));
    assert_eq!(forgotten.len(), 10 + usize::try_from(PER_KEY).unwrap());
    assert!(!pool.has(&place(9, 1_000)) && pool.has(&place(10, 1_000)));
    let other = Place {
        id: place(0, 1_000).id,
        ..place(10, 1_000)
    };
    assert!(!pool.has(&other));
    pool.forget(&[other]);
    assert_eq!(
        pool.len(),
        usize::try_from(3 * PER_KEY).unwrap() - forgotten.len()
    );
    pool.quarantine(&place(10, 1_000), BlockHeight(1));
    assert!(!pool.has(&place(10, 1_000)));
    assert_eq!(pool.bytes, 200 * pool.len());
}
