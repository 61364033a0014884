//! Proof of Spacetime by recursion: all windows of a settlement in one proof of constant size.
//!
//! A provider answers every window from what it stores and commits to the answers before the sample is known (milliseconds of
//! hashing, on time); later, when power is plenty, each window is folded into a running proof, and the running proof is
//! compressed once per settlement. The ledger keeps one field element per provider, the state, and verifies proofs against
//! it, many at once.
//!
//! This crate knows no ledger, no disk and no clock. What is asked, answered and sampled in a window is defined in
//! `watt_proofs::{shape, window, post}`; here it is a circuit. It isn't one of the pure crates: the prover draws blinding from the
//! system and uses threads. What a verifier says depends on its arguments alone.
//!
//! Reading order: `circuit` (a window as constraints), [`backend`] (the trait), [`nova`] (its implementation).
//!
//! Sources: `docs/spec/proofs.md` §11; Kothapalli, Setty, Tzialla, *Nova* (CRYPTO 2022, ePrint 2021/370); Setty, *Spartan*
//! (CRYPTO 2020, ePrint 2019/550); Grassi et al., *Poseidon* (USENIX Security 2021, ePrint 2019/458).
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

pub mod backend;
pub mod nova;

mod circuit;

pub use backend::{InvalidPost, PostBackend, PostError, Refused, Settlement};
pub use nova::{NovaPasta, Verifier, params_digest};

/// A number as the machine counts; places and levels are far below any machine's limit.
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod fixture;
