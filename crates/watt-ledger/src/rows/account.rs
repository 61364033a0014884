//! Accounts: kind, balance, keys (TC8, TC17).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use watt_light::KeyRole;
use watt_primitives::{Amount, BoundedVec, Hash, PublicKey};

/// The most keys an account ever has, removed ones included: their nonces are remembered for ever.
pub const ACCOUNT_KEYS_MAX: usize = 32;

/// What an account is; fixed when its row is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountKind {
    /// People's and programs' accounts: keys may act for it, code never.
    #[serde(rename = "keyed")]
    Keyed,
    /// Code; never takes a key. None exists before contracts do.
    #[serde(rename = "contract")]
    Contract,
    /// Collects fees. No key can be registered for it, no operation names it as payer (requirement A9).
    #[serde(rename = "protocol-wallet")]
    ProtocolWallet,
}

/// An account. A row once made is never removed, only emptied, so that no removed key can open it again.
///
/// Encoded as the list of its fields in this order: account rows are read and written more than all others together, and a
/// map costs three times as much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// What it is.
    pub kind: AccountKind,
    /// What it can spend.
    pub balance: Amount,
    /// Its keys in the order they came; positions never change.
    pub keys: BoundedVec<AccountKey, ACCOUNT_KEYS_MAX>,
    /// All 32 bytes of the hash whose first 20 are the id, so that a collision of ids is visible; zero before the first key.
    pub key_commitment: Hash,
    /// Bids that are neither certified nor over.
    pub open_bids: u8,
}

/// One key of an account. Encoded as the list of its fields, the spending's two at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// The key.
    pub key: PublicKey,
    /// What it may do.
    pub role: KeyRole,
    /// Removed: it may do nothing and never comes back, for its nonces would begin again.
    pub is_removed: bool,
    /// Number of its next transaction.
    pub nonce: u64,
    /// What it has spent today, counted for [`KeyRole::Daily`].
    pub spending: DaySpending,
}

/// Spending of one day of ledger time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaySpending {
    /// Days of ledger time since the Unix epoch.
    pub day: u64,
    /// Spent on that day.
    pub amount: Amount,
}

impl Serialize for AccountRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            kind,
            balance,
            keys,
            key_commitment,
            open_bids,
        } = self;
        (kind, balance, keys, key_commitment, open_bids).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AccountRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, balance, keys, key_commitment, open_bids) = Deserialize::deserialize(deserializer)?;
        Ok(Self {
            kind,
            balance,
            keys,
            key_commitment,
            open_bids,
        })
    }
}

impl Serialize for AccountKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let DaySpending { day, amount } = self.spending;
        (self.key, self.role, self.is_removed, self.nonce, day, amount).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AccountKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (key, role, is_removed, nonce, day, amount) = Deserialize::deserialize(deserializer)?;
        Ok(Self {
            key,
            role,
            is_removed,
            nonce,
            spending: DaySpending { day, amount },
        })
    }
}

impl AccountRow {
    /// An empty row of `kind`.
    #[must_use]
    pub const fn new(kind: AccountKind) -> Self {
        Self {
            kind,
            balance: Amount::ZERO,
            keys: BoundedVec::empty(),
            key_commitment: Hash::ZERO,
            open_bids: 0,
        }
    }

    /// The key at `index`, unless it was removed.
    #[must_use]
    pub fn live_key(&self, index: u16) -> Option<&AccountKey> {
        self.keys.get(usize::from(index)).filter(|key| !key.is_removed)
    }

    /// Whether `key` is one of the account's keys and not removed.
    #[must_use]
    pub fn has_live_key(&self, key: &PublicKey) -> bool {
        self.keys.iter().any(|held| held.key == *key && !held.is_removed)
    }

    /// Changes the key at `index`; nothing happens if there is none.
    pub(crate) fn change_key(&mut self, index: u16, change: impl FnOnce(&mut AccountKey)) {
        let mut keys = std::mem::take(&mut self.keys).into_inner();
        if let Some(key) = keys.get_mut(usize::from(index)) {
            change(key);
        }
        self.keys = BoundedVec::new(keys).unwrap_or_default();
    }
}
