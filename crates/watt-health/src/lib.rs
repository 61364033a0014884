//! Whether a network of quorum sets holds together, and whether one node is well connected to it.
//!
//! Two ways to the same numbers: if all nodes declare one flat set, arithmetic ([`Flat`]); else a search over quorums, which may take
//! for ever and so runs in a process of its own with a deadline ([`worker`]). No answer of either is used by consensus: the search
//! is for people who watch. What it does not finish is said to be not known, and never guessed.
//!
//! Reading order: [`Network`] (nodes and their quorum sets), [`Flat`], [`analysis`] (what is found out), [`worker`] (how), [`report`]
//! (one node's health in a sentence).
//!
//! Sources: `docs/spec/health.md`; Mazières 2015 (quorum intersection, DSets); Lachowski 2019 (why it is a search); Florian et al.
//! 2022 (minimal blocking and splitting sets, the top tier), whose library `fbas_analyzer` does the searching.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod network;
pub mod report;
pub mod worker;

mod flat;

pub use analysis::{Analysis, Finding, Intersection, Sets};
pub use flat::Flat;
pub use network::{InvalidSnapshot, Network, Slices};
pub use report::{Reason, Report, Verdict, View, Which};
