//! Good and bad days of real networks: every node and every command here is a process of the program `watt`.
//!
//! Each test starts a devnet of its own and tells one long story on it, because starting takes longer than most scenarios.
//! Reading order: `network` (a devnet, and what can be done to it), `wait` (the one way to wait), `stranger` (a hostile peer), `weather` (links that delay, lose and part), `agreement` (what must hold in any weather), then the stories. A validator that lies is a program of its own, `../byzantine`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, and these drive processes, which takes a clock"
)]

mod agreement;
mod circles;
mod cold;
mod committees;
mod disputes;
mod errors;
mod floods;
mod folding;
mod freshness;
mod health;
mod hostile;
mod large;
mod late;
mod network;
mod proofs;
mod providers;
mod recording;
mod recovery;
mod storing;
mod storms;
mod stranger;
mod terms;
mod upgrades;
mod validators;
mod wait;
mod weather;
mod wires;
