//! The node's two HTTP listeners (TC12) and the client that talks to them (`docs/spec/api.md`).
//!
//! The *public* listener reads and takes signed transactions; anyone may call it, from any web page. The *owner's* listener
//! wants a token, a known host name and no foreign page on every request. Both bound what a caller can make the node do.

pub(crate) mod circle;
pub mod client;
mod evidence;
mod facts;
pub mod folding;
pub mod guard;
mod limits;
mod metrics;
mod newest;
mod owner;
mod problem;
pub(crate) mod proofs;
mod proving;
mod public;
pub(crate) mod restart;
mod seats;
mod serve;
mod trust;
pub mod types;
mod upgrades;
pub mod view;

pub use circle::{CircleInfo, CircleState, ContradictingInfo};
pub use client::{ApiClient, DealsFilter};
pub use evidence::{AccusedInfo, EvidenceInfo, EvidencePiece};
pub use guard::OwnerToken;
pub use newest::NewestInfo;
pub use owner::OwnerRoute;
pub use problem::Problem;
pub use proving::{DutyInfo, ProvingInfo, SectorInfo, SectorState};
pub use public::PublicRoute;
pub use seats::{PlannedChange, SeatEntry, SeatInfo, SeatsInfo, StandingInfo, VoterInfo, VoucherInfo};
pub use serve::{ApiListeners, ApiServers, serve};
pub use trust::{NodeInfo, NodesInfo, TrustInfo, TrustedInfo, TrusterInfo};
pub use upgrades::{ApprovalInfo, DecisionInfo, PlannedInfo, ProgramInfo, RescueInfo, UpgradesInfo};
pub use view::{HeadState, NodeView, ProviderStatus};

#[cfg(test)]
pub(crate) mod tests;
