//! Scenarios.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod ballot;
mod holes;
mod network;
mod nomination;
mod scenario;
