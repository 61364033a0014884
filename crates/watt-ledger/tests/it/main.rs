//! Scenarios of whole blocks on a small network, with real sectors and real proofs.
#![allow(
    clippy::unwrap_used,
    clippy::large_enum_variant,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod accounts;
mod attacks;
mod audits;
mod backbone;
mod batches;
mod beacon;
mod blocks;
mod committees;
mod disputes;
mod draws;
mod duties;
mod early_ends;
mod election;
mod failures;
mod fees;
mod genesis;
mod heartbeats;
mod leaders;
mod market;
mod miner;
mod power;
mod queues;
mod random;
mod rescues;
mod restarts;
mod seats;
mod sectors;
mod settlements;
mod shapes;
mod state_size;
mod successions;
mod trust;
mod upgrades;
mod windows;
mod world;
