//! Scenarios.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking, and look for one kind of output among many"
)]

mod ballot;
mod differential;
mod holes;
mod model;
mod network;
mod nomination;
mod replay;
mod scenario;
