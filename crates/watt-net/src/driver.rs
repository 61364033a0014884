//! The loop that owns libp2p: commands and events of the swarm in, tasks of peers and news for the node out.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, connection_limits,
    core::{ConnectedPoint, transport::ListenerId},
    ping,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    config::Limits,
    counters::bump,
    events::EventSources,
    gate::Gate,
    handle::{Command, Direction, Link, Priority, Shared},
    peer::{Lane, Surroundings, Task, start_lane},
    redial::Redial,
    start::{StartError, refused},
    streams::{self, Accepted, Protocol},
    transfer::{Place, TransferStream},
};

/// How long the system may take to say which addresses a listener has; it is asked for them only at `0.0.0.0` and `::`.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Message streams a peer may open per second, and at once; in good order it opens two per connection.
const MESSAGE_STREAMS_PER_S: u64 = 16;

mod dial;
mod stop;

/// What libp2p runs on every connection.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) streams: streams::Behaviour,
}

/// A connected peer.
struct Peer {
    urgent: Lane,
    bulk: Lane,
    connections: BTreeMap<ConnectionId, (Multiaddr, Direction)>,
    message_streams: Gate,
    transfers: Arc<Semaphore>,
}

/// Whom to tell when a dial has ended.
type Reached = oneshot::Sender<Result<(), String>>;

/// The loop's state.
pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    limits: Limits,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    /// For tasks that this loop starts.
    to_self: mpsc::WeakSender<Command>,
    sources: EventSources,
    redial: Redial,
    peers: BTreeMap<PeerId, Peer>,
    /// Readers of peers that are gone, while they deliver what had come before; they end by themselves.
    draining: BTreeMap<PeerId, [Task; 2]>,
    reaching: BTreeMap<PeerId, Vec<Reached>>,
    transfers: Arc<Semaphore>,
}

impl Driver {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        limits: Limits,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        to_self: mpsc::WeakSender<Command>,
        sources: EventSources,
        redial: Redial,
    ) -> Self {
        let transfers = Arc::new(Semaphore::new(limits.transfers_max));
        Self {
            swarm,
            limits,
            shared,
            commands,
            to_self,
            sources,
            redial,
            peers: BTreeMap::new(),
            draining: BTreeMap::new(),
            reaching: BTreeMap::new(),
            transfers,
        }
    }

    /// Waits until every listener has told its first address.
    pub(crate) async fn open_listeners(
        &mut self,
        mut listeners: Vec<(ListenerId, Multiaddr)>,
    ) -> Result<(), StartError> {
        while !listeners.is_empty() {
            let Ok(event) = timeout(LISTEN_TIMEOUT, self.swarm.select_next_some()).await else {
                // A computer without any network interface: it may get one later.
                return Ok(());
            };
            if let SwarmEvent::NewListenAddr { listener_id, .. } = &event {
                listeners.retain(|(listener, _)| listener != listener_id);
            }
            if let SwarmEvent::ListenerClosed {
                listener_id,
                reason: Err(error),
                ..
            } = &event
                && let Some((_, address)) = listeners.iter().find(|(listener, _)| listener == listener_id)
            {
                return Err(refused(address, io::Error::new(error.kind(), error.to_string())));
            }
            self.on_swarm_event(event);
        }
        Ok(())
    }

    /// Runs until the node no longer needs the network.
    pub(crate) async fn run(mut self) {
        let done = loop {
            let due = self.redial.next_due();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown(done)) => break Some(done),
                    Some(command) => self.on_command(command),
                    None => break None,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.dial_due(),
                () = self.sources.transfers.closed() => break None,
            }
        };
        self.stop().await;
        if let Some(done) = done {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect(address) => self.connect(&address),
            Command::Dial { peer, outcome } => self.dial_resolved(peer, outcome),
            Command::Disconnect(peer) => {
                // An error means that the peer is not connected, which is what was asked for.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Reach {
                peer,
                addresses,
                reply,
            } => self.reach(peer, &addresses, reply),
            Command::Open { peer, request } => self.swarm.behaviour_mut().streams.open(peer, request),
            // Taken by `run`.
            Command::Shutdown(done) => drop(done),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "libp2p's enum is non-exhaustive")]
    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(accepted)) => self.on_accepted(accepted),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => self.on_ping(&ping),
            SwarmEvent::Behaviour(BehaviourEvent::Limits(never)) => match never {},
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                tracing::debug!(peer = %peer_id, ?cause, "connection closed");
                self.on_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                self.on_dial_failed(peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => {
                tracing::debug!(from = %send_back_addr, %error, "inbound connection failed");
                self.shared
                    .counters
                    .count(|totals| bump(&mut totals.connections_refused));
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.shared.listening().push(address);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.shared.listening().retain(|other| *other != address);
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                tracing::error!(?addresses, ?reason, "no longer listening");
                self.shared
                    .listening()
                    .retain(|address| !addresses.contains(address));
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener had an error"),
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        self.shared
            .counters
            .count(|totals| bump(&mut totals.connections_opened));
        let direction = if endpoint.is_dialer() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let address = endpoint.get_remote_address().clone();
        // Held until the peer is among the links: whoever hears the news can send at once.
        let mut links = self.shared.links();
        if !self.peers.contains_key(&peer) {
            // First the news, then the tasks: so it is told before the peer's first message.
            self.sources.presence.connected(peer);
            let around = Surroundings {
                limits: &self.limits,
                shared: &self.shared,
                commands: &self.to_self,
                sources: &self.sources,
            };
            let state = Peer {
                urgent: start_lane(peer, Priority::Urgent, &around),
                bulk: start_lane(peer, Priority::Bulk, &around),
                connections: BTreeMap::new(),
                message_streams: Gate::new(MESSAGE_STREAMS_PER_S, Instant::now()),
                transfers: Arc::new(Semaphore::new(self.limits.transfers_per_peer_max)),
            };
            self.peers.insert(peer, state);
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.connections.insert(connection, (address, direction));
            publish(&mut links, peer, state);
        }
        drop(links);
        self.redial.connected(peer, Instant::now());
        self.tell_reached(peer, &Ok(()));
    }

    fn on_closed(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.connections.remove(&connection);
        if !state.connections.is_empty() {
            publish(&mut self.shared.links(), peer, state);
            return;
        }
        self.shared.links().remove(&peer);
        if let Some(Peer { urgent, bulk, .. }) = self.peers.remove(&peer) {
            // The readers see that no stream will come any more; the writers end here.
            let Lane { reader: urgent, .. } = urgent;
            let Lane { reader: bulk, .. } = bulk;
            self.draining
                .retain(|_, readers| readers.iter().any(|reader| !reader.0.is_finished()));
            self.draining.insert(peer, [urgent, bulk]);
        }
        self.redial.lost(peer, Instant::now());
        self.sources.presence.disconnected(peer);
    }

    fn on_accepted(
        &mut self,
        Accepted {
            peer,
            protocol,
            stream,
        }: Accepted,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let lane = match protocol {
            Protocol::Message => &state.urgent,
            Protocol::Bulk => &state.bulk,
            Protocol::Transfer => return self.on_transfer(peer, stream),
        };
        let is_too_often = !state.message_streams.charge(1, Instant::now()).is_zero();
        if is_too_often || lane.accepted.try_send(stream).is_err() {
            self.shared
                .counters
                .count(|totals| bump(&mut totals.streams_refused));
        }
    }

    fn on_transfer(&mut self, peer: PeerId, stream: libp2p::Stream) {
        let Some(state) = self.peers.get(&peer) else {
            return;
        };
        let place = Place::take(
            &state.transfers,
            self.limits.transfers_per_peer_max,
            &self.transfers,
        );
        let is_taken = place.is_some_and(|place| {
            self.sources
                .transfers
                .try_send(TransferStream::new(peer, stream, Some(place)))
                .is_ok()
        });
        self.shared.counters.count(|totals| {
            bump(if is_taken {
                &mut totals.transfers_accepted
            } else {
                &mut totals.transfers_refused
            });
        });
    }

    fn on_ping(&mut self, event: &ping::Event) {
        match &event.result {
            Ok(_) | Err(ping::Failure::Unsupported) => {}
            Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                tracing::debug!(peer = %event.peer, "no answer to pings");
                self.shared
                    .counters
                    .count(|totals| bump(&mut totals.pings_unanswered));
                self.swarm.close_connection(event.connection);
            }
        }
    }
}

/// Tells the handle how to reach a peer.
fn publish(links: &mut BTreeMap<PeerId, Link>, peer: PeerId, state: &Peer) {
    let Some((address, direction)) = state.connections.values().next() else {
        return;
    };
    let link = Link {
        urgent: state.urgent.outbox.clone(),
        bulk: state.bulk.outbox.clone(),
        address: address.clone(),
        direction: *direction,
        n_connections: state.connections.len(),
    };
    links.insert(peer, link);
}
