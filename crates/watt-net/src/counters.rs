//! What happened, in numbers.

use std::sync::{Mutex, PoisonError};

/// Totals since the start of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounters {
    /// Connections opened, in both directions.
    pub connections_opened: u64,
    /// Inbound connections that failed in the handshake or were refused by a limit.
    pub connections_refused: u64,
    /// Dials that did not end in a connection.
    pub dials_failed: u64,
    /// Connections closed because the peer stopped answering pings.
    pub pings_unanswered: u64,
    /// Messages written to a peer's stream.
    pub messages_sent: u64,
    /// Bytes of the messages written, without framing.
    pub bytes_sent: u64,
    /// Messages handed to the node.
    pub messages_received: u64,
    /// Bytes of the messages handed to the node, without framing.
    pub bytes_received: u64,
    /// Messages dropped because the peer's queue was full.
    pub dropped_queue_full: u64,
    /// Messages given up because the stream broke twice under them.
    pub dropped_stream_broken: u64,
    /// Times a peer had to wait because it sent faster than its rate.
    pub inbound_throttled: u64,
    /// Frames that were empty or longer than allowed; each cost its sender the connection.
    pub frames_malformed: u64,
    /// Peers disconnected because they do not speak the protocols of WATT.
    pub peers_foreign: u64,
    /// Message streams refused because the peer opened too many of them.
    pub streams_refused: u64,
    /// Transfers this node opened.
    pub transfers_opened: u64,
    /// Transfers this node accepted.
    pub transfers_accepted: u64,
    /// Transfers this node refused because of a limit.
    pub transfers_refused: u64,
    /// Commands of this node that were dropped because the network task was behind.
    pub commands_dropped: u64,
}

/// The counters, shared by all tasks of the network.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<NetCounters>);

impl Counters {
    /// Changes the totals; `change` must only add.
    pub(crate) fn count(&self, change: impl FnOnce(&mut NetCounters)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn totals(&self) -> NetCounters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One more; a counter never wraps.
pub(crate) fn bump(total: &mut u64) {
    *total = total.saturating_add(1);
}

/// `n` more bytes.
pub(crate) fn add(total: &mut u64, n: usize) {
    *total = total.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
}
