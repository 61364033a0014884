//! The stores on a real disk: one process per folder, no copies, private keys, and all of them together.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code: a failure is a panic"
)]

mod folder;
mod keystore;
mod whole_node;
