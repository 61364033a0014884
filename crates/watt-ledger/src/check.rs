//! Whether a transaction may be in the next block: what the mempool asks, and what applying asks again.

use crate::apply::heartbeat::{due, signer_of};
use crate::apply::sectors::proof_params;
use crate::duty;
use crate::fee::{self, FeeRate};
use crate::ledger::window_of;
use crate::refused::Refused;
use crate::rows::{
    self, AccountKey, AccountKind, AccountRow, ChainRow, DaySpending, HeartbeatRow, ProviderRow, RulesRow,
    UpgradesRow,
};
use crate::state::StateRead;
use crate::subject;
use watt_light::transaction::TRANSACTION_BYTES_MAX;
use watt_light::{KeyRole, Operation, SignedHeartbeat, SignedTransaction, Transaction};
use watt_primitives::hash::DomainHasher;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedVec, Domain, NetworkId, PublicKey, TransactionId, Window, codec,
};

/// How many heights ahead a transaction may stay valid: an hour of 5 s blocks. What was signed and not included by then never
/// will be, so an author knows when it is safe to sign something else.
pub const VALID_SLOTS_MAX: u64 = 720;

/// How far ahead of the next nonce a transaction may wait in a mempool.
pub const NONCES_AHEAD_MAX: u64 = 64;

/// What the mempool needs to know of an admitted transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Its name.
    pub id: TransactionId,
    /// Whose, and by which of the account's keys: transactions of one lane are taken in order of their nonces.
    pub lane: (AccountId, u16),
    /// Its number.
    pub nonce: u64,
    /// How many transactions of this lane have to come first.
    pub nonces_ahead: u64,
    /// What it offers.
    pub rate: FeeRate,
    /// Bytes of its encoding, witness included.
    pub bytes: usize,
    /// Bytes of it that are kept for ever.
    pub kept_bytes: u64,
    /// Operations with a witness.
    pub n_proofs: usize,
    /// Operations whose witness is a folded proof.
    pub n_folded: usize,
    /// Whether it does only duties, and is of a provider or somebody with a seat or standing for one.
    pub is_duty: bool,
    /// Whether these are duties that nobody has for nothing: of sectors that are proven, or of a seat.
    pub is_earned: bool,
}

/// Checks everything that can be checked before a block: shape, expiry, key, nonce, roles, fee, and the signature last, because
/// it costs most.
///
/// # Errors
/// The first rule broken, in the order of [`Refused`].
pub fn admit(state: &impl StateRead, signed: &SignedTransaction) -> Result<Admission, Refused> {
    let admission = admit_unverified(state, signed)?;
    let rules: RulesRow = rows::read(state, rows::RULES).ok_or(Refused::Invariant)?;
    if !signed.signature_check(&rules.network).holds() {
        return Err(Refused::Signature);
    }
    Ok(admission)
}

/// As [`admit`], for callers that verify the signature themselves, in a batch and off their main loop.
///
/// # Errors
/// The first rule broken, in the order of [`Refused`].
pub fn admit_unverified(state: &impl StateRead, signed: &SignedTransaction) -> Result<Admission, Refused> {
    let rules: RulesRow = rows::read(state, rows::RULES).ok_or(Refused::Invariant)?;
    let chain: ChainRow = rows::read(state, rows::CHAIN).ok_or(Refused::Invariant)?;
    let bytes = codec::encode(signed).len();
    if bytes > TRANSACTION_BYTES_MAX || signed.check_shape(&rules.network).is_err() {
        return Err(Refused::Malformed);
    }
    let transaction = &signed.transaction;
    let account: Option<AccountRow> = rows::read(state, &rows::account(&transaction.account));
    let upgrades: UpgradesRow = rows::read(state, rows::UPGRADES).ok_or(Refused::Invariant)?;
    let authority = authorise(account.as_ref(), transaction, chain.height.next())?;
    let nonces_ahead = transaction.nonce.saturating_sub(authority.nonce);
    if nonces_ahead > NONCES_AHEAD_MAX {
        return Err(Refused::NonceAhead {
            nonce: transaction.nonce,
            expected: authority.nonce,
        });
    }
    match subject::subjects(state, &rules, &chain.next(), transaction) {
        Err(why) if !subject::is_early(why) => return Err(why),
        Ok(_) | Err(_) => {}
    }
    let next_term = rules.terms().of_height(chain.height.next());
    let version = upgrades.version_in(next_term);
    let is_bound = duty::is_bound(state, &transaction.account, rules.terms().of_height(chain.height));
    let has_duties = is_bound || state.get(&rows::provider(&transaction.account)).is_some();
    let is_duty = has_duties && fee::is_duty(signed, version);
    let is_earned = is_duty && fee::is_earned(signed, is_bound);
    Ok(Admission {
        is_duty,
        is_earned,
        ..admission(&rules.network, signed, nonces_ahead)
    })
}

/// A heartbeat that the next block may take, if its signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatAdmission {
    /// Whose it is.
    pub account: AccountId,
    /// The key that has to have signed it.
    pub key: PublicKey,
    /// For which window.
    pub window: Window,
}

/// Checks what costs a few rows to look up: that a heartbeat is for the window of the next block, by a provider with proven sectors who
/// has none on the ledger yet, and declares no more of them than there can be. Its signature is for the caller to verify, and whether it counts for [`heartbeat_counts`] to say.
///
/// # Errors
/// The first rule broken.
pub fn admit_heartbeat(
    state: &impl StateRead,
    window: Window,
    heartbeat: &SignedHeartbeat,
) -> Result<HeartbeatAdmission, Refused> {
    let rules: RulesRow = rows::read(state, rows::RULES).ok_or(Refused::Invariant)?;
    let chain: ChainRow = rows::read(state, rows::CHAIN).ok_or(Refused::Invariant)?;
    let current = window_of(&rules, chain.height.next());
    if window != current {
        return Err(Refused::WrongWindow { window, current });
    }
    let (account, key) = signer_of(state, heartbeat.provider).ok_or(Refused::NotAProvider)?;
    let provider: ProviderRow = rows::read(state, &rows::provider(&account)).ok_or(Refused::NotAProvider)?;
    // What ended in this window is in its set, too, and was in that of the window before.
    let before: Option<HeartbeatRow> = rows::read(state, &rows::heartbeat(&account, window.previous()));
    let n_before = before.map_or(0, |row| u32::from(row.n_sectors));
    let n_max = provider.n_active.saturating_add(n_before);
    if n_max == 0 {
        return Err(Refused::NoSectors { window });
    }
    let faults = &heartbeat.faults;
    let is_ascending = faults
        .iter()
        .zip(faults.iter().skip(1))
        .all(|(left, right)| left < right);
    if !is_ascending || u32::try_from(faults.len()).map_or(true, |n| n > n_max) {
        return Err(Refused::Faults);
    }
    if state.get(&rows::heartbeat(&account, window)).is_some() {
        return Err(Refused::HeartbeatTwice { window });
    }
    Ok(HeartbeatAdmission { account, key, window })
}

/// Whether a heartbeat of `account` for the window of the next block counts in it, but for what that block does before. Reads all
/// sectors of the provider.
///
/// # Errors
/// The first rule broken.
pub fn heartbeat_counts(
    state: &impl StateRead,
    admission: &HeartbeatAdmission,
    heartbeat: &SignedHeartbeat,
) -> Result<(), Refused> {
    let rules: RulesRow = rows::read(state, rows::RULES).ok_or(Refused::Invariant)?;
    let params = proof_params(rules.parameters.insecure_proofs);
    let HeartbeatAdmission { account, window, .. } = admission;
    due(state, &rules.network, &params, account, *window, heartbeat).map(drop)
}

fn admission(network: &NetworkId, signed: &SignedTransaction, nonces_ahead: u64) -> Admission {
    let (transaction, kept_bytes) = (&signed.transaction, fee::kept_bytes(signed));
    Admission {
        id: transaction.id(network),
        lane: (transaction.account, transaction.key_index),
        nonce: transaction.nonce,
        nonces_ahead,
        rate: FeeRate::new(transaction.fee, kept_bytes),
        bytes: codec::encode(signed).len(),
        kept_bytes,
        n_proofs: signed.witness.len(),
        n_folded: signed.folded_proofs().count(),
        is_duty: false,
        is_earned: false,
    }
}

/// What a transaction's key is to its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) role: KeyRole,
    /// The key's next number.
    pub(crate) nonce: u64,
    /// Whether this transaction registers the account's first key.
    pub(crate) is_first: bool,
}

/// Whether `transaction` may be in the block at `height`, given its account's row. A number ahead of the next is for the caller
/// to judge.
pub(crate) fn authorise(
    account: Option<&AccountRow>,
    transaction: &Transaction,
    height: BlockHeight,
) -> Result<Authority, Refused> {
    let valid_until = transaction.valid_until;
    if valid_until < height {
        return Err(Refused::Expired { valid_until, height });
    }
    let valid_until_max = height.plus(VALID_SLOTS_MAX);
    if valid_until > valid_until_max {
        return Err(Refused::ValidTooLong {
            valid_until,
            valid_until_max,
        });
    }
    let authority = match account {
        Some(row) if row.kind != AccountKind::Keyed => return Err(Refused::NotKeyed),
        Some(row) if !row.keys.is_empty() => of_known_key(row, transaction)?,
        Some(_) | None => of_first_key(transaction)?,
    };
    if transaction.nonce < authority.nonce {
        return Err(Refused::NonceUsed {
            nonce: transaction.nonce,
            expected: authority.nonce,
        });
    }
    check_roles(authority.role, &transaction.operations)?;
    let balance = account.map_or(Amount::ZERO, |row| row.balance);
    if transaction.fee > balance {
        return Err(Refused::FeeTooHigh {
            fee: transaction.fee,
            balance,
        });
    }
    Ok(authority)
}

fn of_known_key(row: &AccountRow, transaction: &Transaction) -> Result<Authority, Refused> {
    let key = row
        .live_key(transaction.key_index)
        .filter(|key| key.key == transaction.key)
        .ok_or(Refused::UnknownKey)?;
    Ok(Authority {
        role: key.role,
        nonce: key.nonce,
        is_first: false,
    })
}

fn of_first_key(transaction: &Transaction) -> Result<Authority, Refused> {
    let key = &transaction.key;
    if transaction.key_index != 0 || AccountId::of_first_key(key) != transaction.account {
        return Err(Refused::UnknownKey);
    }
    if !key.is_registrable() {
        return Err(Refused::UnsafeKey);
    }
    Ok(Authority {
        role: KeyRole::Owner,
        nonce: 0,
        is_first: true,
    })
}

fn check_roles(role: KeyRole, operations: &[Operation]) -> Result<(), Refused> {
    let index = (0u16..)
        .zip(operations)
        .find(|(_, operation)| !may(role, operation));
    index.map_or(Ok(()), |(operation, _)| Err(Refused::Role { role, operation }))
}

fn may(role: KeyRole, operation: &Operation) -> bool {
    match role {
        KeyRole::Owner => true,
        KeyRole::Daily => !operation.is_owner_operation(),
        KeyRole::Device => operation.is_device_operation(),
    }
}

/// Gives an account its first key, as owner, and the commitment to it.
pub(crate) fn register_first_key(row: &mut AccountRow, key: &PublicKey) {
    // All 32 bytes of the hash whose first 20 are the account's id.
    row.key_commitment = DomainHasher::without_network(Domain::Account)
        .part(&key.to_bytes())
        .finish();
    let first = AccountKey {
        key: *key,
        role: KeyRole::Owner,
        is_removed: false,
        nonce: 0,
        spending: DaySpending::default(),
    };
    row.keys = BoundedVec::new(vec![first]).unwrap_or_default();
}
