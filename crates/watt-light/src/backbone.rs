//! Who decides blocks, term by term (`docs/spec/ledger.md` §12): terms, the backbone of one, and its quorum set.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, NodeId, Term};
use watt_scp::QuorumSet;

/// Prefix of the state's keys of backbones.
pub const BACKBONES: &[u8] = b"En";

/// The most seats of a backbone.
pub const SEATS_MAX: usize = 61;

/// The most bytes of an encoded [`Backbone`].
pub const BACKBONE_BYTES_MAX: usize = 8192;

/// The backbone of a term is final so many slots before the term at most.
pub const FINAL_SLOTS_MAX: u64 = 720;

/// The fewest slots of a term: its last quarter must hold a block that the term's own backbone makes final.
pub const TERM_SLOTS_MIN: u64 = 16;

/// How heights divide into terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    slots: u64,
}

impl Terms {
    /// Terms of `slots` slots each, of [`TERM_SLOTS_MIN`] if that is more.
    #[must_use]
    pub const fn of_slots(slots: u64) -> Self {
        let slots = if slots < TERM_SLOTS_MIN {
            TERM_SLOTS_MIN
        } else {
            slots
        };
        Self { slots }
    }

    /// Slots in a term.
    #[must_use]
    pub const fn slots(&self) -> u64 {
        self.slots
    }

    /// The term that a height lies in.
    #[must_use]
    pub fn of_height(&self, height: BlockHeight) -> Term {
        Term(height.0.checked_div(self.slots).unwrap_or(0))
    }

    /// The first height of a term.
    #[must_use]
    pub const fn first_height(&self, term: Term) -> BlockHeight {
        BlockHeight(term.0.saturating_mul(self.slots))
    }

    /// The first height after whose block the backbone of `term` changes no more: 720 slots before the term or a quarter of one,
    /// whichever is less; 0 for term 0.
    #[must_use]
    pub const fn final_from(&self, term: Term) -> BlockHeight {
        let quarter = self.slots / 4;
        let before = if quarter < FINAL_SLOTS_MAX {
            quarter
        } else {
            FINAL_SLOTS_MAX
        };
        BlockHeight(self.first_height(term).0.saturating_sub(before))
    }
}

/// The state's key of a term's backbone.
#[must_use]
pub fn backbone_key(term: Term) -> Vec<u8> {
    [BACKBONES, &term.0.to_be_bytes()].concat()
}

/// A seat of the backbone in one term. Encoded as the list of its fields, without the last one if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackboneEntry {
    /// Whose seat it is.
    pub account: AccountId,
    /// The key that votes for it in this term.
    pub key: NodeId,
    /// Of the key that can name another one in its place ([`crate::Succession`]); see [`crate::duty::cold_key_hash`].
    pub cold_key: Option<Hash>,
}

impl Serialize for BackboneEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.cold_key {
            Some(cold_key) => (self.account, self.key, cold_key).serialize(serializer),
            None => (self.account, self.key).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BackboneEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = BackboneEntry;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an account, a voting key, and the hash of a cold key if there is one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<BackboneEntry, A::Error> {
        let missing = |at| A::Error::invalid_length(at, &"an account and a voting key");
        Ok(BackboneEntry {
            account: fields.next_element()?.ok_or_else(|| missing(0))?,
            key: fields.next_element()?.ok_or_else(|| missing(1))?,
            cold_key: fields.next_element()?,
        })
    }
}

/// The backbone of one term: at least one entry, ascending by account, every account and every key once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Backbone {
    entries: BoundedVec<BackboneEntry, SEATS_MAX>,
}

/// Why entries make no backbone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackbone {
    /// None, more than [`SEATS_MAX`], an account or a key twice, or not ascending.
    #[error("a backbone has 1 to {SEATS_MAX} entries with different accounts and keys, ascending by account")]
    Entries,
    /// No canonical encoding.
    #[error(transparent)]
    Encoding(#[from] InvalidEncoding),
}

impl Backbone {
    /// The backbone of these entries, in any order.
    ///
    /// # Errors
    /// [`InvalidBackbone::Entries`].
    pub fn new(mut entries: Vec<BackboneEntry>) -> Result<Self, InvalidBackbone> {
        entries.sort_unstable_by_key(|entry| entry.account);
        let entries = BoundedVec::new(entries).map_err(|_| InvalidBackbone::Entries)?;
        let backbone = Self { entries };
        if backbone.is_sound() {
            Ok(backbone)
        } else {
            Err(InvalidBackbone::Entries)
        }
    }

    /// Decodes the row of a state.
    ///
    /// # Errors
    /// See [`InvalidBackbone`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidBackbone> {
        let backbone: Self = codec::decode(bytes, BACKBONE_BYTES_MAX)?;
        if backbone.is_sound() {
            Ok(backbone)
        } else {
            Err(InvalidBackbone::Entries)
        }
    }

    fn is_sound(&self) -> bool {
        let accounts = || self.entries.iter().map(|entry| entry.account);
        let is_ascending = accounts().zip(accounts().skip(1)).all(|(one, next)| one < next);
        let keys: BTreeSet<NodeId> = self.entries.iter().map(|entry| entry.key).collect();
        !keys.is_empty() && keys.len() == self.entries.len() && is_ascending
    }

    /// The entries, ascending by account.
    #[must_use]
    pub fn entries(&self) -> &[BackboneEntry] {
        &self.entries
    }

    /// How many entries may be faulty: `f = floor((k - 1) / 3)` of `k`.
    #[must_use]
    pub fn n_faulty_max(&self) -> usize {
        self.entries.len().saturating_sub(1) / 3
    }

    /// The quorum set that every entry declares: `k - f` of `k`.
    #[must_use]
    pub fn quorum_set(&self) -> QuorumSet {
        let threshold = self.entries.len().saturating_sub(self.n_faulty_max());
        let keys = self.entries.iter().map(|entry| entry.key).collect();
        QuorumSet::flat(u32::try_from(threshold).unwrap_or(u32::MAX), keys)
    }

    /// The seat that `key` votes for.
    #[must_use]
    pub fn of_key(&self, key: &NodeId) -> Option<&BackboneEntry> {
        self.entries.iter().find(|entry| entry.key == *key)
    }

    /// The seat of `account`.
    #[must_use]
    pub fn of_account(&self, account: &AccountId) -> Option<&BackboneEntry> {
        let place = self
            .entries
            .binary_search_by_key(account, |entry| entry.account)
            .ok()?;
        self.entries.get(place)
    }
}

#[cfg(test)]
mod tests;
