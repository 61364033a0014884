//! Scenarios over real sockets on the loopback.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::iter_over_hash_type,
    reason = "a test may panic, and prints what it measured"
)]

mod foreign;
mod hostile;
mod messages;
mod ports;
mod redial;
mod transfers;
mod world;
