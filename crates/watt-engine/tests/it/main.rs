//! Many engines in one deterministic world: agreement, crashes, partitions, hostile input.
#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "test code indexes nodes, and a failure is a panic"
)]
#![allow(missing_docs, unreachable_pub, reason = "test code")]

mod agreement;
mod circle;
mod equivocation;
mod folded;
mod hearing;
mod heartbeats;
mod hostile;
mod load;
mod recovery;
mod relays;
mod seats;
mod sync;
mod terms;
mod upgrades;
mod withheld;
mod world;
