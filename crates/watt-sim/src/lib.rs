//! The whole network in one deterministic world.
//!
//! Real engines, the real ledger, SCP, journal and proofs, over a seeded clock, network and disk: the same seed gives the same
//! trace, byte for byte. Promises are checked at every statement and every block; the first that does not hold ends the run.
//!
//! Reading order: [`scenario`] (what a run is told), [`director`] (who tells it to the world), [`world`] (the loop), [`net`],
//! [`node`], [`storage`], [`actor`] (who misbehaves), [`check`] (what must hold), [`compute`] (the arithmetic, done once for all
//! who ask the same), [`trace`].
#![forbid(unsafe_code)]

pub mod actor;
pub mod broken;
pub mod check;
pub mod compute;
pub mod director;
pub mod luck;
pub mod net;
pub mod node;
pub mod people;
pub mod queue;
pub mod scale;
pub mod scenario;
pub mod shrink;
pub mod storage;
pub mod trace;
pub mod violation;
pub mod world;
