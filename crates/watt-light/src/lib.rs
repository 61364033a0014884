//! What a phone checks: transactions, proposals, headers, finality and state proofs. Owns these types.
//!
//! It executes nothing: what a transaction does to the state is the ledger's; what a proof of it looks like is here.
//!
//! Reading order: [`operation`], [`duty`] (what a seat signs beside blocks), [`transaction`], [`heartbeat`] (what a provider
//! signs once a window), [`proposal`] (proposal, value `V`,
//! fallback `E(V)`, header), [`backbone`] (who decides in which term), [`succession`] (a lost
//! voting key is replaced), [`restart`] (people begin again), [`finality`] (what makes a block final), [`hand_over`] (from
//! one backbone to the next), [`history`] (old blocks), [`state_proof`] (one row of the state), [`shown`] (all of it
//! together), [`freshness`] (how new it is), [`circle`] (who else
//! knows it).
//!
//! Sources: `docs/spec/encoding.md`, `docs/spec/ledger.md`, `docs/spec/light.md`.
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
pub mod duty;
pub mod finality;
pub mod freshness;
pub mod hand_over;
pub mod heartbeat;
pub mod history;
pub mod operation;
pub mod proposal;
pub mod restart;
pub mod shown;
pub mod state_proof;
pub mod succession;
pub mod transaction;
pub mod verdict;

pub use backbone::{Backbone, BackboneEntry, Terms};
pub use duty::{Evidence, NewVotingKey, Onion};
pub use finality::{DecisionProof, FinalityProof};
pub use freshness::{BlockName, SignedNewest};
pub use hand_over::{HandOver, Walk};
pub use heartbeat::{Heartbeat, Heartbeats, ProviderNumber, SignedHeartbeat};
pub use history::{History, HistoryProof};
pub use operation::{Acceptance, FoldedWindows, KeyRole, Operation, SlotRef, WindowShape};
pub use proposal::{Header, Proposal, SignedProposal};
pub use restart::{Restart, RestartPlan};
pub use shown::{Shown, ShownEntry};
pub use state_proof::StateProof;
pub use succession::{Succession, Voters};
pub use transaction::{FoldedProof, SignedTransaction, Transaction};
pub use verdict::{BATCH_MAX, BatchOpenings, PorepVerdict, SeenSector, ShownTo, Verdict, Verdicts};
