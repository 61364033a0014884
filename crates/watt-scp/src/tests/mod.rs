//! Scenarios.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking, and look for one kind of output among many"
)]

mod amnesia;
mod ballot;
mod byzantine;
mod differential;
mod found;
mod holes;
mod log;
mod model;
mod network;
mod nomination;
mod reference;
mod replay;
mod scenario;
