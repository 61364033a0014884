//! The program `watt`: event loop, HTTP API, configuration, command line.
//!
//! It holds no rule of the protocol: it performs what the engine wants done, shows what the ledger says, and turns what a
//! person types into calls of the layers below. The binary is [`cli::main`] and nothing else.
//!
//! Reading order: [`error`] (two lines and an exit code), [`ui`] (the one printer), [`config`], [`cli`] (one file per
//! command), [`api`] (two listeners, and the client), [`context`] and [`client`] (put, get), [`freshness`] (is it so, and new), [`runtime`] and [`node`] (the
//! event loop), `scp_log` (the file of `--record-scp`), `restart_file` (plans from hand to hand), [`health`] (the search for quorums, in a process of its own), [`devnet`] (a network of processes), [`demo`] (its story).
//!
//! Sources: `docs/spec/api.md`, `docs/spec/node.md`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "I/O shell")]

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod context;
pub mod demo;
pub mod devnet;
pub mod error;
pub mod freshness;
pub mod health;
pub mod keyfile;
pub mod node;
pub mod proof_file;
pub mod runtime;
pub mod telemetry;
pub mod ui;
pub mod wallet;

mod bounded_file;
mod left_out;
mod lock;
mod restart_file;
mod scp_log;
