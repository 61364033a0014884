//! The simulator itself: what it is told, that it is deterministic, that it sees.

mod broken;
mod determinism;
mod told;
