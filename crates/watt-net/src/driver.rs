//! The loop that owns libp2p: commands and events of the swarm in, tasks of peers and news for the node out.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, connection_limits,
    core::{ConnectedPoint, transport::ListenerId},
    ping,
    swarm::{
        ConnectionId, DialError, NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    address::{Route, Transport},
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

/// How long queued messages may take to leave when the network stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the closing of connections may take when the network stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Requests to reach a peer that may wait for dials.
const REACH_WAITING_MAX: usize = 1_024;

/// Message streams a peer may open per second, and at once; in good order it opens two per connection.
const MESSAGE_STREAMS_PER_S: u64 = 16;

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
            publish(&self.shared, peer, state);
        }
        self.redial.connected(peer, Instant::now());
        self.tell_reached(peer, &Ok(()));
    }

    fn on_closed(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.connections.remove(&connection);
        if !state.connections.is_empty() {
            publish(&self.shared, peer, state);
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
        let place = Arc::clone(&state.transfers)
            .try_acquire_owned()
            .and_then(|of_peer| {
                let of_all = Arc::clone(&self.transfers).try_acquire_owned()?;
                Ok(Place {
                    _of_peer: of_peer,
                    _of_all: of_all,
                })
            });
        let is_taken = place.is_ok_and(|place| {
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

    fn on_dial_failed(&mut self, peer: Option<PeerId>, error: &DialError) {
        tracing::debug!(peer = ?peer.map(|peer| peer.to_string()), %error, "dial failed");
        self.shared
            .counters
            .count(|totals| bump(&mut totals.dials_failed));
        if let Some(peer) = peer {
            self.redial.failed(peer, Instant::now());
            // Of several dials at once one may have succeeded.
            let outcome = if self.peers.contains_key(&peer) {
                Ok(())
            } else {
                Err(one_line(&error.to_string()))
            };
            self.tell_reached(peer, &outcome);
        }
    }

    fn tell_reached(&mut self, peer: PeerId, outcome: &Result<(), String>) {
        for reply in self.reaching.remove(&peer).unwrap_or_default() {
            // Whoever asked may have stopped waiting.
            drop(reply.send(outcome.clone()));
        }
    }

    fn connect(&mut self, address: &Multiaddr) {
        match Route::parse(address) {
            Some(route) if route.peer() == Some(self.shared.local) => {}
            Some(route) => self.resolve_and_dial(route.peer(), vec![route]),
            None => {
                tracing::warn!(%address, "not an address this node can dial");
                self.shared
                    .counters
                    .count(|totals| bump(&mut totals.dials_failed));
            }
        }
    }

    fn reach(&mut self, peer: PeerId, addresses: &[Multiaddr], reply: Reached) {
        let routes: Vec<Route> = addresses
            .iter()
            .filter_map(Route::parse)
            .filter(|route| route.peer().is_none_or(|named| named == peer))
            .collect();
        self.reaching.retain(|_, waiting| {
            waiting.retain(|reply| !reply.is_closed());
            !waiting.is_empty()
        });
        let refusal = if self.peers.contains_key(&peer) {
            Some(Ok(()))
        } else if peer == self.shared.local {
            Some(Err("it is this node itself".to_owned()))
        } else if routes.is_empty() {
            Some(Err(
                "it is not connected, and no address of it is known".to_owned()
            ))
        } else if self.reaching.values().map(Vec::len).sum::<usize>() >= REACH_WAITING_MAX {
            Some(Err("too many dials are under way".to_owned()))
        } else {
            None
        };
        if let Some(outcome) = refusal {
            drop(reply.send(outcome));
            return;
        }
        self.reaching.entry(peer).or_default().push(reply);
        self.resolve_and_dial(Some(peer), routes);
    }

    fn dial_due(&mut self) {
        while let Some((peer, routes)) = self.redial.take_due(Instant::now()) {
            self.resolve_and_dial(Some(peer), routes);
        }
    }

    /// Names are looked up in a task of their own, since the system's resolver may take its time.
    fn resolve_and_dial(&mut self, peer: Option<PeerId>, routes: Vec<Route>) {
        let to_self = self.to_self.clone();
        let resolve = async move {
            let mut addresses = Vec::new();
            let mut failure = None;
            for route in routes {
                match route.resolve().await {
                    Ok(found) => addresses.extend(found),
                    Err(error) => failure = Some(error),
                }
            }
            let outcome = match failure {
                Some(error) if addresses.is_empty() => Err(error),
                Some(_) | None => Ok(addresses),
            };
            if let Some(to_self) = to_self.upgrade() {
                // An error means that the network has stopped.
                drop(to_self.send(Command::Dial { peer, outcome }).await);
            }
        };
        drop(tokio::spawn(resolve));
    }

    fn dial_resolved(&mut self, peer: Option<PeerId>, outcome: io::Result<Vec<Multiaddr>>) {
        let addresses = match outcome {
            Ok(addresses) => addresses,
            Err(error) => {
                let error =
                    DialError::Transport(vec![(Multiaddr::empty(), libp2p::TransportError::Other(error))]);
                return self.on_dial_failed(peer, &error);
            }
        };
        match peer {
            Some(peer) => self.dial_peer(peer, addresses),
            None => {
                for address in addresses {
                    let options = DialOpts::unknown_peer_id()
                        .address(address)
                        .allocate_new_port()
                        .build();
                    if let Err(error) = self.swarm.dial(options) {
                        self.on_dial_failed(None, &error);
                    }
                }
            }
        }
    }

    fn dial_peer(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let is_all_quic = addresses
            .iter()
            .all(|address| Route::parse(address).is_some_and(|route| route.transport() == Transport::Quic));
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses);
        // With TCP, two nodes that dial each other from their listen ports at the same moment would open one connection
        // on which both believe to be the dialler. With QUIC, dialling from the listen port is harmless and saves a socket.
        let options = if is_all_quic {
            options
        } else {
            options.allocate_new_port()
        };
        match self.swarm.dial(options.build()) {
            // Under way already: the outcome of that dial will count. Connected already: nothing to do.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.on_dial_failed(Some(peer), &error),
        }
    }

    /// Sends what is queued, then closes everything.
    async fn stop(mut self) {
        self.shared.links().clear();
        let mut writers = Vec::new();
        for (_, peer) in std::mem::take(&mut self.peers) {
            for Lane {
                outbox,
                writer,
                reader,
                accepted,
            } in [peer.urgent, peer.bulk]
            {
                drop((outbox, reader, accepted));
                writers.push(writer);
            }
        }
        let flush = async {
            for writer in &mut writers {
                // A task that was aborted or panicked is finished too.
                drop((&mut writer.0).await);
            }
        };
        tokio::select! {
            flushed = timeout(FLUSH_TIMEOUT, flush) => drop(flushed),
            () = self.open_last_streams() => {}
        }
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let close = async {
            while self.swarm.network_info().num_peers() > 0 {
                drop(self.swarm.next().await);
            }
        };
        drop(timeout(CLOSE_TIMEOUT, close).await);
    }

    /// Goes on, for ever, with the little that writers need to send their last messages.
    async fn open_last_streams(&mut self) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => drop(event),
                Some(command) = self.commands.recv() => {
                    if let Command::Open { peer, request } = command {
                        self.swarm.behaviour_mut().streams.open(peer, request);
                    }
                }
            }
        }
    }
}

/// Tells the handle how to reach a peer.
fn publish(shared: &Shared, peer: PeerId, state: &Peer) {
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
    shared.links().insert(peer, link);
}

/// libp2p spreads its errors over several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
