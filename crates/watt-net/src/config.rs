//! What a node says about its network before it starts.

use std::fmt;

use libp2p::Multiaddr;

use crate::frame::MESSAGE_BYTES_MAX;

/// Who this node is, where it listens, whom it always wants to reach, and what it lets others cost it.
#[derive(Clone)]
pub struct NetConfig {
    /// The seed of the network identity (Ed25519); never the key of an account or of consensus (spec/network.md §1).
    pub identity_seed: [u8; 32],
    /// Addresses to listen on: `/ip4/../tcp/<port>` or `/ip4/../udp/<port>/quic-v1`; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Peers that are dialled for ever, each ending in `/p2p/<peer>`; this node's own address in the list is skipped.
    pub bootstrap: Vec<Multiaddr>,
    /// What the peers of this node can make it hold and do.
    pub limits: Limits,
}

impl fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed is a secret: it is left out by hand.
        f.debug_struct("NetConfig")
            .field("listen", &self.listen)
            .field("bootstrap", &self.bootstrap)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A sustained rate; one second's worth may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes per second.
    pub bytes_per_s: u64,
    /// Messages per second.
    pub messages_per_s: u64,
}

/// Bounds on everything a peer can make this node hold (spec/network.md §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in both directions.
    pub connections_max: u32,
    /// Connections that others opened; fewer than all, so that strangers can never take every place.
    pub connections_inbound_max: u32,
    /// Connections with one peer; two nodes that dial each other at once rightly have two.
    pub connections_per_peer_max: u32,
    /// Messages that wait to be sent to one peer, per priority.
    pub outbox_messages_max: usize,
    /// Bytes that wait to be sent to one peer with [`Priority::Urgent`](crate::Priority::Urgent).
    pub outbox_urgent_bytes_max: usize,
    /// Bytes that wait to be sent to one peer with [`Priority::Bulk`](crate::Priority::Bulk).
    pub outbox_bulk_bytes_max: usize,
    /// How fast urgent messages are read from one peer.
    pub inbound_urgent: Rate,
    /// How fast bulk messages are read from one peer.
    pub inbound_bulk: Rate,
    /// Bytes of received messages that wait to be taken from [`Events`](crate::Events), per priority, from all peers.
    pub delivery_bytes_max: usize,
    /// Transfers that one peer may have open towards this node.
    pub transfers_per_peer_max: usize,
    /// Transfers that all peers together may have open towards this node.
    pub transfers_max: usize,
}

impl Default for Limits {
    /// The values of spec/network.md §4, for a home computer.
    fn default() -> Self {
        Self {
            connections_max: 160,
            connections_inbound_max: 128,
            connections_per_peer_max: 4,
            outbox_messages_max: 4_096,
            outbox_urgent_bytes_max: MESSAGE_BYTES_MAX,
            outbox_bulk_bytes_max: 32 * 1024 * 1024,
            inbound_urgent: Rate {
                bytes_per_s: 4 * 1024 * 1024,
                messages_per_s: 2_000,
            },
            inbound_bulk: Rate {
                bytes_per_s: 64 * 1024 * 1024,
                messages_per_s: 1_000,
            },
            delivery_bytes_max: 64 * 1024 * 1024,
            transfers_per_peer_max: 16,
            transfers_max: 128,
        }
    }
}
