//! What the node hears from its network.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    config::Limits,
    frame::MESSAGE_BYTES_MAX,
    handle::Priority,
    presence::{Change, Presence},
    transfer::TransferStream,
};

/// Messages of one priority that wait to be taken by the node; the bytes are bounded by [`Limits::delivery_bytes_max`].
const DELIVERY_MESSAGES_MAX: usize = 8_192;

/// Transfers that wait to be taken by the node.
const TRANSFERS_WAITING_MAX: usize = 64;

/// After so many urgent messages in a row a waiting bulk message has its turn: consensus can't go on without bodies.
const URGENT_RUN_MAX: u32 = 32;

/// Something that happened on the network.
#[derive(Debug)]
pub enum Event {
    /// A peer is connected; comes before its first message.
    Connected(PeerId),
    /// The last connection to a peer is gone. Messages that had arrived before may still follow.
    Disconnected(PeerId),
    /// A message came.
    Message {
        /// Who is at the other end of the connection; not necessarily who wrote the message.
        from: PeerId,
        /// The message.
        bytes: Bytes,
    },
    /// A peer opened a transfer.
    Transfer {
        /// Who opened it.
        from: PeerId,
        /// The stream; drop it to refuse.
        stream: TransferStream,
    },
}

/// The events of one node, in the order of need: connections, transfers, urgent messages, bulk messages.
///
/// Taking no events slows all peers down, since what waits here is bounded. Dropping it stops the network.
#[derive(Debug)]
pub struct Events {
    presence: Arc<Presence>,
    transfers: mpsc::Receiver<TransferStream>,
    urgent: mpsc::Receiver<Delivered>,
    bulk: mpsc::Receiver<Delivered>,
    /// Taken from its queue, but not given out before the news that its sender is connected.
    held: Option<Event>,
    urgent_run: u32,
}

/// A message that waits for the node, with the room it takes.
#[derive(Debug)]
pub(crate) struct Delivered {
    from: PeerId,
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Where the reader of one priority brings messages; waits while there is no room.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    sender: mpsc::Sender<Delivered>,
    room: Arc<Semaphore>,
}

/// The node no longer takes events.
#[derive(Debug)]
pub(crate) struct NobodyListens;

impl Delivery {
    fn new(limits: &Limits) -> (Self, mpsc::Receiver<Delivered>) {
        let (sender, receiver) = mpsc::channel(DELIVERY_MESSAGES_MAX);
        let bytes_max = limits
            .delivery_bytes_max
            .clamp(MESSAGE_BYTES_MAX, Semaphore::MAX_PERMITS);
        (
            Self {
                sender,
                room: Arc::new(Semaphore::new(bytes_max)),
            },
            receiver,
        )
    }

    /// Hands a message over as soon as there is room for it.
    pub(crate) async fn deliver(&self, from: PeerId, bytes: Bytes) -> Result<(), NobodyListens> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(length)
            .await
            .map_err(|_| NobodyListens)?;
        self.sender
            .send(Delivered {
                from,
                bytes,
                _room: room,
            })
            .await
            .map_err(|_| NobodyListens)
    }
}

/// The ends at which the network puts events in.
#[derive(Debug)]
pub(crate) struct EventSources {
    pub(crate) presence: Arc<Presence>,
    pub(crate) transfers: mpsc::Sender<TransferStream>,
    urgent: Delivery,
    bulk: Delivery,
}

impl EventSources {
    /// Where readers of this priority bring messages.
    pub(crate) fn delivery(&self, priority: Priority) -> Delivery {
        match priority {
            Priority::Urgent => self.urgent.clone(),
            Priority::Bulk => self.bulk.clone(),
        }
    }
}

/// Both ends of a node's events.
pub(crate) fn channel(limits: &Limits) -> (EventSources, Events) {
    let presence = Arc::new(Presence::default());
    let (transfers, transfers_out) = mpsc::channel(TRANSFERS_WAITING_MAX);
    let (urgent, urgent_out) = Delivery::new(limits);
    let (bulk, bulk_out) = Delivery::new(limits);
    let events = Events {
        presence: Arc::clone(&presence),
        transfers: transfers_out,
        urgent: urgent_out,
        bulk: bulk_out,
        held: None,
        urgent_run: 0,
    };
    (
        EventSources {
            presence,
            transfers,
            urgent,
            bulk,
        },
        events,
    )
}

impl Events {
    /// Waits for the next event; `None` once the network has stopped. May be cancelled without losing an event.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Poll::Ready(change) = self.presence.poll(cx) {
                return Poll::Ready(Some(match change {
                    Change::Connected(peer) => Event::Connected(peer),
                    Change::Disconnected(peer) => Event::Disconnected(peer),
                }));
            }
            if let Some(event) = self.held.take() {
                return Poll::Ready(Some(event));
            }
            // A sender is present before its messages are queued, so one more look at the presence, once a message is in
            // hand, is sure to tell of the sender first.
            match self.poll_queues(cx) {
                Poll::Ready(Some(event)) => self.held = Some(event),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_queues(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let transfers = self.transfers.poll_recv(cx);
        if let Poll::Ready(Some(stream)) = transfers {
            return Poll::Ready(Some(Event::Transfer {
                from: stream.peer(),
                stream,
            }));
        }
        let is_bulks_turn = self.urgent_run >= URGENT_RUN_MAX;
        if is_bulks_turn {
            self.urgent_run = 0;
            if let Poll::Ready(Some(message)) = self.bulk.poll_recv(cx) {
                return Poll::Ready(Some(message.into()));
            }
        }
        let urgent = self.urgent.poll_recv(cx);
        if let Poll::Ready(Some(message)) = urgent {
            self.urgent_run = self.urgent_run.saturating_add(1);
            return Poll::Ready(Some(message.into()));
        }
        let bulk = self.bulk.poll_recv(cx);
        if let Poll::Ready(Some(message)) = bulk {
            self.urgent_run = 0;
            return Poll::Ready(Some(message.into()));
        }
        if transfers.is_ready() && urgent.is_ready() && bulk.is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl From<Delivered> for Event {
    fn from(message: Delivered) -> Self {
        // The room is given back here: from now on the message is the node's.
        Self::Message {
            from: message.from,
            bytes: message.bytes,
        }
    }
}
