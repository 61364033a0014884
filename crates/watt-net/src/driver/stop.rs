//! The orderly end: what is queued leaves, connections close, ports become free.

use std::{net::SocketAddr, time::Duration};

use futures::StreamExt as _;
use libp2p::PeerId;
use tokio::time::{sleep, timeout};

use super::Driver;
use crate::{
    address::{Route, Transport},
    handle::Command,
    peer::Lane,
    start::try_bind,
};

/// How long queued messages may take to leave when the network stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the closing of connections may take when the network stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the ports may take to become free; QUIC keeps its own until the last farewells are out.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a port is tried.
const RELEASE_INTERVAL: Duration = Duration::from_millis(20);

impl Driver {
    /// Sends what is queued, then closes everything.
    pub(super) async fn stop(mut self) {
        self.shared.links().clear();
        let listening = std::mem::take(&mut *self.shared.listening());
        let routes = listening.iter().filter_map(Route::parse);
        let ports = routes
            .filter_map(|route| Some((route.transport(), route.socket()?)))
            .collect();
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
        drop(self);
        drop(timeout(RELEASE_TIMEOUT, release(ports)).await);
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

/// Waits until the ports can be opened again, so that a network can be restarted within one program.
async fn release(ports: Vec<(Transport, SocketAddr)>) {
    for (transport, socket) in ports {
        while try_bind(transport, socket).is_err() {
            sleep(RELEASE_INTERVAL).await;
        }
    }
}
