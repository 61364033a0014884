//! A whole node as one state machine: events in, effects out.
//!
//! It has no clock, thread, disk or socket: time comes with every event, what must happen leaves as [`Effect`]s in the order
//! in which they must be performed, and long work (applying a block, verifying signatures, sealing) is an effect whose
//! completion is a later event. The same engine runs under tokio in `watt-node` and under a seeded world in tests.
//!
//! Reading order: [`event`], [`effect`], [`message`] (all bytes between nodes), [`engine`], then `consensus` (drives SCP),
//! `mempool`, `sync`.
//!
//! Sources: `docs/spec/node.md`, `docs/spec/scp.md`, `docs/spec/ledger.md`.
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

pub mod backbones;
mod candidates;
pub mod checkpoint;
pub mod circle;
pub mod consensus;
pub mod effect;
pub mod engine;
pub mod event;
pub mod evidence;
pub mod examiner;
mod gossip;
pub mod hearing;
pub mod heartbeats;
pub mod journal;
pub mod mempool;
pub mod message;
mod peers;
pub mod provider;
mod quota;
pub mod run;
pub mod seat;
mod sources;
mod submitter;
mod sync;
pub mod transfer;
mod way;

pub use backbones::{Backbones, Deciders, VotingKeys};
pub use effect::{Effect, Priority, Timer};
pub use engine::{
    Engine, EngineConfig, LookedAt, NotRecoverable, NotRestartable, RECOVER_WINDOWS, Refuted, RestartLog,
};
pub use event::{Clocks, Event, PeerId, RequestId};
pub use evidence::{Evidence, EvidenceLog};
pub use examiner::{Examined, GivenVerdict, NotExamined};
pub use hearing::Hearing;
