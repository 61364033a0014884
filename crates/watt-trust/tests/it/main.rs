//! What the ranks are, on any machine and any number of threads; what hostile graphs can't do.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod backbone;
mod capture;
mod circles;
mod drawn;
mod graphs;
mod hostile;
mod nodes;
mod sybils;
mod vectors;
