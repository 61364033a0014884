//! The simulator itself: what it is told, that it is deterministic, that it sees.
#![allow(clippy::unwrap_used, reason = "a failure is a panic")]

mod broken;
mod days;
mod determinism;
mod shrink;
mod told;
