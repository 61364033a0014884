//! Reaching peers: looking up names, dialling, and telling those who wait.

use std::io;

use libp2p::{
    Multiaddr, PeerId, TransportError,
    swarm::{
        DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::time::Instant;

use super::{Driver, Reached};
use crate::{
    address::{Route, Transport},
    counters::bump,
    handle::Command,
};

/// Requests to reach a peer that may wait for dials.
const REACH_WAITING_MAX: usize = 1_024;

impl Driver {
    pub(super) fn on_dial_failed(&mut self, peer: Option<PeerId>, error: &DialError) {
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

    pub(super) fn tell_reached(&mut self, peer: PeerId, outcome: &Result<(), String>) {
        for reply in self.reaching.remove(&peer).unwrap_or_default() {
            // Whoever asked may have stopped waiting.
            drop(reply.send(outcome.clone()));
        }
    }

    pub(super) fn connect(&mut self, address: &Multiaddr) {
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

    pub(super) fn reach(&mut self, peer: PeerId, addresses: &[Multiaddr], reply: Reached) {
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

    pub(super) fn dial_due(&mut self) {
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

    pub(super) fn dial_resolved(&mut self, peer: Option<PeerId>, outcome: io::Result<Vec<Multiaddr>>) {
        let addresses = match outcome {
            Ok(addresses) => addresses,
            Err(error) => {
                let error = DialError::Transport(vec![(Multiaddr::empty(), TransportError::Other(error))]);
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
}

/// libp2p spreads its errors over several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
