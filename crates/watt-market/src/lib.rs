//! Who stores what for whom at what price, and what exactly is owed for it.
//!
//! Pure rules: funds come in as arguments and movements go out; nothing here holds or moves money, and nothing here knows a
//! state, a block or a transaction. Only `watt-ledger` applies what these functions return.
//!
//! Reading order: [`order`] (asks, bids and when they are refused), [`matching`] (who gets the slots), [`deal`] (what is
//! paid and what is returned), [`lot`] (the lots that decide).
//!
//! Sources: `docs/spec/market.md`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

extern crate alloc;

pub mod deal;
pub mod lot;
pub mod matching;
pub mod order;

pub use deal::{Movement, Paid, Party, SlotFunds};
pub use matching::{BookEntry, NotEnoughOffers, Pick, match_bid};
pub use order::{Bid, InvalidAsk, InvalidBid};
