//! Block in, state change and receipts out: the only place where money moves.
//!
//! It has no clock, disk or network; what it reads comes through [`StateRead`], what it changes leaves as [`Writes`].
//!
//! Sources: `docs/spec/ledger.md`, `docs/spec/market.md`.
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

pub mod genesis;
pub mod state;
pub mod tree;

pub use genesis::{Genesis, NetworkParameters};
pub use state::{MemoryState, StateRead, Writes};
