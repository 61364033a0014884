//! Prove and verify that a provider stores a replica, now (PoRep) and over time (PoSt).
//!
//! A sector is bytes: this crate knows no files, deals or money, no network and no disk, and has no clock and no
//! randomness. Bytes come in as slices or through [`post::ReplicaRead`]; beacons and seeds are arguments. It does not decide
//! which sectors are accepted, when a window closes, or what a fault costs: the ledger does.
//!
//! Reading order: [`params`] (how hard, how large), [`sector`] (what lies where in the payload), `graph`, `label` and `layer`
//! (the stacked depth-robust graph), [`element`], [`poseidon`] and [`octal`] (the replica's tree, which circuits can compute),
//! [`seal`] (data to replica and back), [`challenge`] (what is asked of a new sector), [`sector_set`] (all sectors of a provider),
//! [`shape`] and [`window`] (what is asked in a window, and what shows that it was answered), `replica`, [`porep`] and [`post`] (the
//! prover), [`verify`] (the only door the ledger uses; it calls no proving code).
//!
//! What [`verify::window`] checks of one window is what a step of the recursive proof of `watt-post` shows, over the same replicas.
//!
//! Sources: `docs/spec/proofs.md`; Fisch, *Tight Proofs of Space and Replication* (EUROCRYPT 2019, ePrint 2018/702); Alwen,
//! Blocki, Harsha, *Practical Graphs for Optimal Side-Channel Resistant Memory-Hard Functions* (CCS 2017).
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;
// For one thing: constants of the hash that are derived once.
extern crate std;

pub mod element;
pub mod octal;
pub mod params;
pub mod poseidon;
pub mod sector;

mod chunk;
mod graph;
mod label;
mod layer;
mod openings;
mod replica;
mod tree;

pub mod challenge;
pub mod porep;
pub mod post;
pub mod seal;
pub mod sector_set;
pub mod shape;
pub mod verify;
pub mod window;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod vectors;

pub use element::Element;
pub use params::{ProofParams, SectorSize};
pub use replica::{PlacedLeaf, ReplicaTree};
pub use sector::{PieceTable, ReplicaId};
pub use sector_set::{SectorEntry, SectorSet, SetTree};
pub use shape::Shape;
