//! The handle through which a node uses its network.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    counters::{Counters, NetCounters, bump},
    frame::{MESSAGE_BYTES_MAX, URGENT_MESSAGE_BYTES_MAX},
    outbox::Outbox,
    streams::{OpenError, OpenRequest, Protocol},
    transfer::{TransferError, TransferStream},
};

/// How long reaching a peer for a transfer may take: a dial and the opening of a stream.
const TRANSFER_OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// Which of the two queues and streams of a peer a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Small and needed now: statements of consensus, announcements, requests; at most [`URGENT_MESSAGE_BYTES_MAX`].
    Urgent,
    /// Everything else: block bodies, history; at most [`MESSAGE_BYTES_MAX`].
    Bulk,
}

impl Priority {
    /// The longest message, in bytes.
    pub fn message_bytes_max(self) -> usize {
        match self {
            Self::Urgent => URGENT_MESSAGE_BYTES_MAX,
            Self::Bulk => MESSAGE_BYTES_MAX,
        }
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Urgent => Protocol::Message,
            Self::Bulk => Protocol::Bulk,
        }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer dialled this node.
    Inbound,
    /// This node dialled the peer.
    Outbound,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer.
    pub peer: PeerId,
    /// The far end of the oldest open connection; with [`Direction::Inbound`] not an address to dial.
    pub address: Multiaddr,
    /// Who opened that connection.
    pub direction: Direction,
    /// Open connections.
    pub n_connections: usize,
    /// Bytes of messages that wait to be sent to the peer.
    pub waiting_bytes: usize,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendRefused {
    /// There is no connection to the peer.
    #[error("peer {0} is not connected")]
    NotConnected(PeerId),
    /// The peer reads more slowly than this node writes; the message was dropped and counted.
    #[error("the queue to peer {0} is full")]
    QueueFull(PeerId),
    /// The message is empty or longer than its priority allows.
    #[error("a message of {length} bytes, between 1 and {max} are allowed")]
    WrongLength {
        /// Bytes of the message.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
}

/// What the handle and the driver both know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) local: PeerId,
    pub(crate) counters: Counters,
    listening: Mutex<Vec<Multiaddr>>,
    links: Mutex<BTreeMap<PeerId, Link>>,
}

/// The way to one connected peer.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) urgent: Outbox,
    pub(crate) bulk: Outbox,
    pub(crate) address: Multiaddr,
    pub(crate) direction: Direction,
    pub(crate) n_connections: usize,
}

impl Shared {
    pub(crate) fn new(local: PeerId) -> Self {
        Self {
            local,
            counters: Counters::default(),
            listening: Mutex::new(Vec::new()),
            links: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn listening(&self) -> MutexGuard<'_, Vec<Multiaddr>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, BTreeMap<PeerId, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Dial an address once.
    Connect(Multiaddr),
    /// Dial a peer at addresses that have been looked up.
    Dial {
        peer: Option<PeerId>,
        outcome: io::Result<Vec<Multiaddr>>,
    },
    /// Close all connections to a peer.
    Disconnect(PeerId),
    /// Connect to a peer unless connected, and say when it is done or why it failed.
    Reach {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Open a stream to a connected peer.
    Open { peer: PeerId, request: OpenRequest },
    /// Send what is queued, close everything, then answer.
    Shutdown(oneshot::Sender<()>),
}

/// The network of a node; a cheap clone. When the last clone is gone, the network stops.
#[derive(Clone, Debug)]
pub struct Net {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Net {
    /// This node's own peer id.
    pub fn local_peer(&self) -> PeerId {
        self.shared.local
    }

    /// The addresses this node really listens on, with the ports the system chose, each ending in `/p2p/<this node>`.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        let local = self.shared.local;
        self.shared
            .listening()
            .iter()
            .filter_map(|address| address.clone().with_p2p(local).ok())
            .collect()
    }

    /// Queues a message for a connected peer; never waits.
    ///
    /// Delivery is best effort: what was queued is lost with the connection, and may come twice if a stream broke under it.
    ///
    /// # Errors
    /// If the message has a wrong length, the peer is not connected, or its queue is full; in the last case the message is
    /// dropped and counted.
    pub fn send(&self, to: PeerId, message: Bytes, priority: Priority) -> Result<(), SendRefused> {
        check_length(&message, priority)?;
        let links = self.shared.links();
        let link = links.get(&to).ok_or(SendRefused::NotConnected(to))?;
        self.push(link, message, priority)
            .then_some(())
            .ok_or(SendRefused::QueueFull(to))
    }

    /// Queues a message for all connected peers but `except`; says how many queues took it.
    ///
    /// # Errors
    /// If the message has a wrong length.
    pub fn broadcast(
        &self,
        except: Option<PeerId>,
        message: &Bytes,
        priority: Priority,
    ) -> Result<usize, SendRefused> {
        check_length(message, priority)?;
        let links = self.shared.links();
        let others = links.iter().filter(|(peer, _)| Some(**peer) != except);
        Ok(others
            .filter(|(_, link)| self.push(link, message.clone(), priority))
            .count())
    }

    fn push(&self, link: &Link, message: Bytes, priority: Priority) -> bool {
        let outbox = match priority {
            Priority::Urgent => &link.urgent,
            Priority::Bulk => &link.bulk,
        };
        let is_taken = outbox.push(message);
        if !is_taken {
            self.shared
                .counters
                .count(|totals| bump(&mut totals.dropped_queue_full));
        }
        is_taken
    }

    /// Dials an address once, with or without `/p2p/`; the outcome is an event, or a failure in the counters and the log.
    pub fn connect(&self, address: Multiaddr) {
        self.command(Command::Connect(address));
    }

    /// Closes all connections to a peer; a bootstrap peer will be dialled again.
    pub fn disconnect(&self, peer: PeerId) {
        self.command(Command::Disconnect(peer));
    }

    fn command(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            self.shared
                .counters
                .count(|totals| bump(&mut totals.commands_dropped));
        }
    }

    /// The connected peers, in the order of their ids.
    pub fn peers(&self) -> Vec<PeerInfo> {
        let links = self.shared.links();
        let info = |(peer, link): (&PeerId, &Link)| PeerInfo {
            peer: *peer,
            address: link.address.clone(),
            direction: link.direction,
            n_connections: link.n_connections,
            waiting_bytes: link
                .urgent
                .waiting_bytes()
                .saturating_add(link.bulk.waiting_bytes()),
        };
        links.iter().map(info).collect()
    }

    /// Opens a stream for stored data, dialling the peer at `addresses` if it is not connected.
    ///
    /// # Errors
    /// If the peer can't be reached in 20 s or does not offer transfers. A peer that refuses a transfer because it has too
    /// many lets the stream be opened and closes it at once, which is an error of the first read.
    pub async fn open_transfer(
        &self,
        peer: PeerId,
        addresses: &[Multiaddr],
    ) -> Result<TransferStream, TransferError> {
        let attempt = timeout(
            TRANSFER_OPEN_TIMEOUT,
            self.try_open_transfer(peer, addresses.to_vec()),
        );
        let Ok(outcome) = attempt.await else {
            return Err(TransferError::TimedOut {
                peer,
                seconds: TRANSFER_OPEN_TIMEOUT.as_secs(),
            });
        };
        if outcome.is_ok() {
            self.shared
                .counters
                .count(|totals| bump(&mut totals.transfers_opened));
        }
        outcome
    }

    async fn try_open_transfer(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<TransferStream, TransferError> {
        let (reply, reached) = oneshot::channel();
        let reach = Command::Reach {
            peer,
            addresses,
            reply,
        };
        self.commands
            .send(reach)
            .await
            .map_err(|_| TransferError::Stopped)?;
        let reached = reached.await.map_err(|_| TransferError::Stopped)?;
        reached.map_err(|reason| TransferError::Unreachable { peer, reason })?;
        match open(&self.commands, peer, Protocol::Transfer).await {
            Ok(stream) => Ok(TransferStream::new(peer, stream, None)),
            Err(OpenError::Unsupported) => Err(TransferError::Unsupported { peer }),
            Err(OpenError::Broken(source)) => Err(TransferError::Broken { peer, source }),
        }
    }

    /// What happened so far, in numbers.
    pub fn counters(&self) -> NetCounters {
        self.shared.counters.totals()
    }

    /// Sends what is queued (for at most a few seconds), closes all connections and ports, and ends the event stream.
    pub async fn shutdown(self) {
        let (done, is_done) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).await.is_ok() {
            // An error means that the driver ended by itself, which is as good.
            drop(is_done.await);
        }
    }
}

fn check_length(message: &Bytes, priority: Priority) -> Result<(), SendRefused> {
    let (length, max) = (message.len(), priority.message_bytes_max());
    if length == 0 || length > max {
        Err(SendRefused::WrongLength { length, max })
    } else {
        Ok(())
    }
}

/// Asks the driver for a stream to a connected peer.
pub(crate) async fn open(
    commands: &mpsc::Sender<Command>,
    peer: PeerId,
    protocol: Protocol,
) -> Result<libp2p::Stream, OpenError> {
    let (reply, outcome) = oneshot::channel();
    let command = Command::Open {
        peer,
        request: OpenRequest { protocol, reply },
    };
    let gone = || OpenError::Broken(io::ErrorKind::NotConnected.into());
    commands.send(command).await.map_err(|_| gone())?;
    outcome.await.unwrap_or_else(|_| Err(gone()))
}
