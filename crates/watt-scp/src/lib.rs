//! The Stellar Consensus Protocol over opaque values: nomination and ballot protocol over nested quorum sets.
//!
//! It does not know what a value means, does no I/O, has no clock and no randomness. Signatures are checked outside; timers
//! come in as inputs. The one entry point is `Scp::step`: an input goes in, outputs come out in the order in which their
//! effects must happen, and a record to persist always precedes the statement it allows to be sent.
//!
//! Sources: Mazières 2015 ("the paper"); SOSP 2019; draft-mazieres-dinrg-scp-05; stellar-core as the behavioural reference.
//! Normative text: `docs/spec/scp.md`.
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
#[cfg(test)]
extern crate std;

pub mod fbas;
pub mod finality;
#[cfg(any(test, feature = "testing"))]
pub mod naive;
pub mod protocol;
pub mod quorum_set;
pub mod replay;
pub mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

mod ballot;
mod heard;
mod leader;
mod node_set;
mod nomination;
mod pledge;
mod roster;
mod slot;
mod values;

pub use protocol::{Config, Input, Oracle, Output, Record, Scp, TimerKind, Validity};
pub use quorum_set::QuorumSet;
pub use statement::{Ballot, Envelope, Pledges, Statement, Value};
pub use values::VALUES_PER_SLOT_MAX;

#[cfg(test)]
mod tests;
