//! Moves bytes between peers; understands no WATT message.
//!
//! A node [`start`]s its network with a [`NetConfig`] and gets two things: a [`Net`], the cheap handle through which it
//! sends, and [`Events`], the one place from which it hears. Messages travel as frames over two long-lived streams per
//! peer, so that a statement of consensus ([`Priority::Urgent`]) never waits behind a block body ([`Priority::Bulk`]).
//! Stored data travels over a stream of its own, a [`TransferStream`], as fast as the slower side can take it.
//!
//! Everything a peer can make this node hold is bounded ([`Limits`]), and every bound slows the peer down before it cuts
//! it off. Whatever was dropped is counted ([`NetCounters`]).
//!
//! What it does not do: it discovers no peers by itself (no DHT, no mDNS), it gossips nothing (who is told what is the
//! engine's decision), it never looks into a message, and it keeps nothing on disk.
//!
//! Reading order: [`NetConfig`], `address`, [`Net`], [`Events`], `driver` (the loop that owns libp2p), `peer` (the
//! tasks of one peer), `frame`, `streams` (the libp2p behaviour), [`TransferStream`], `redial`, `gate`.
//!
//! Sources: `docs/spec/network.md`; why libp2p and why no gossipsub: `docs/adr/0006-transport.md`.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "tests may overflow and panic"
    )
)]
#![deny(clippy::as_conversions, clippy::float_arithmetic, clippy::panic)]
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod address;
mod config;
mod counters;
mod driver;
mod events;
mod frame;
mod gate;
mod handle;
mod outbox;
mod peer;
mod presence;
mod redial;
mod start;
mod streams;
mod timed;
mod transfer;

pub use bytes::Bytes;
pub use config::{Limits, NetConfig, Rate};
pub use counters::NetCounters;
pub use events::{Event, Events};
pub use frame::{MESSAGE_BYTES_MAX, URGENT_MESSAGE_BYTES_MAX};
pub use handle::{Direction, Net, PeerInfo, Priority, SendRefused};
pub use libp2p::{Multiaddr, PeerId, multiaddr};
pub use start::{StartError, peer_id, public_key, start};
pub use transfer::{PROGRESS_TIMEOUT, TransferError, TransferStream};
