//! Block in, state change and receipts out: the only place where money moves.
//!
//! It has no clock, disk or network; what it reads comes through [`StateRead`], what it changes leaves as [`Writes`]. It does
//! not decide which block is next, keeps no mempool, and knows nothing of files.
//!
//! Reading order: [`state`], [`rows`] (what the state is), [`genesis`], [`block`] (what arrives), [`apply`] (what it does),
//! [`receipt`] and [`refused`] (what came of it), [`restart`] (people begin again), [`check`] and [`select`] (for whoever collects transactions), [`folded`], [`fee`],
//! [`beacon`] (everything drawn by lot), [`committee`] (who looks at a batch of sectors), [`query`] (what others may ask), [`tree`] (the state's root and proofs).
//!
//! Sources: `docs/spec/ledger.md`, `docs/spec/market.md`, `docs/spec/trust.md`.
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

pub mod apply;
pub mod beacon;
pub mod block;
pub mod check;
pub mod committee;
mod duty;
pub mod fee;
pub mod folded;
pub mod genesis;
mod history;
mod ledger;
mod overlay;
pub mod query;
pub mod receipt;
pub mod refused;
pub mod rescue;
pub mod restart;
pub mod rows;
pub mod select;
pub mod state;
mod subject;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tree;
mod trust;

pub use apply::{BlockOutcome, apply_block, apply_rescued};
pub use beacon::Beacon;
pub use block::{Block, Body, InvalidBlock, UncheckedBlock};
pub use check::{Admission, HeartbeatAdmission, admit, admit_heartbeat};
pub use committee::{Asking, ChallengedBatch, ChallengedSector, Committee, Question};
pub use folded::{NoFolded, VerifyFolded};
pub use genesis::{Genesis, NetworkParameters, genesis_block};
pub use ledger::PROTOCOL_WALLET;
pub use receipt::{Done, Event, Outcome, Receipt};
pub use refused::Refused;
pub use rescue::{Rescue, Rescues};
pub use restart::RefusedRestart;
pub use state::{Ahead, MemoryState, StateRead, Writes};
