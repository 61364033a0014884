//! Who trusts whom, and what follows: the trust graph, exact PageRank and SybilRank, and by whom the backbone is held.
//!
//! Everything is in whole numbers and a fixed number of rounds: the same graph gives the same ranks on every machine, in any
//! order of summation and on any number of threads. The crate starts no threads itself; it hands out the pieces of a round,
//! and whoever calls decides where they run.
//!
//! Reading order: [`circle`] (whom one person trusts), [`graph`] (people and edges), [`flow`] (a round of mass along edges, in
//! pieces), [`page_rank`], [`sybil_rank`], [`ranking`] (from circles to ranks and their root), [`standby`] (who
//! may be drawn into the backbone), [`backbone`] (who is), [`nodes`] (which nodes a phone asks).
//!
//! Sources: `docs/spec/trust.md`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

extern crate alloc;

pub mod backbone;
pub mod circle;
pub mod flow;
pub mod graph;
pub mod nodes;
pub mod page_rank;
pub mod ranking;
pub mod standby;
pub mod sybil_rank;

pub use backbone::Backbone;
pub use circle::{Circle, InvalidTrust, TrustEdge};
pub use flow::{InvalidSeeds, MASS, Piece, Seeds};
pub use graph::{Edge, Graph, InvalidGraph, Person};
pub use page_rank::PageRank;
pub use ranking::{Neighbourhood, Ranking};
pub use sybil_rank::SybilRank;
