//! The words of WATT: amounts, times, ids, keys, hashes, canonical encoding.
//!
//! Everything that two rule crates need and nothing that only one does. It knows no ledger, no network and no disk, and
//! has no clock and no randomness.
//!
//! Reading order: [`amount`], [`time`], [`hash`] (every hash has a domain and a network), [`id`], [`key`] (every signature
//! has a domain and a network), [`codec`] (canonical DAG-CBOR), [`cid`], [`merkle`], [`slot_tree`] (16 KiB verified
//! BLAKE3), [`class`] (encoding classes), [`terms`] (what is bought and sold), [`trust`].
//!
//! Sources: `docs/spec/encoding.md`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

pub mod amount;
pub mod bounded;
mod bytes;
pub mod cid;
pub mod class;
pub mod codec;
pub mod hash;
pub mod id;
pub mod key;
pub mod merkle;
pub mod network;
pub mod slot_tree;
pub mod terms;
pub mod time;
pub mod trust;

pub use amount::Amount;
pub use bounded::{BoundedBytes, BoundedString, BoundedVec, SharedBytes};
pub use cid::Cid;
pub use hash::{Domain, Hash};
pub use id::{AccountId, DealId, NodeId, SectorNumber, SlotIndexInDeal, TransactionId};
pub use key::{PublicKey, SecretKey, Signature};
pub use network::NetworkId;
pub use time::{BlockHeight, LedgerTime, SlotIndex, Term, Timestamp, Window};
pub use trust::TrustLevel;
