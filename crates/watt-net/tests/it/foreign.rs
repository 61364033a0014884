//! A peer built from libp2p's own parts instead of this crate, which can therefore misbehave.

use futures::{StreamExt as _, channel::mpsc};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder,
    identity::Keypair,
    noise,
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use libp2p_stream::{Behaviour, Control, OpenStreamError};
use tokio::task::JoinHandle;

use crate::world::within;

pub(crate) struct Foreigner {
    pub(crate) peer: PeerId,
    control: Control,
    task: JoinHandle<()>,
}

impl Foreigner {
    /// Connects and accepts the message streams of the node, as a good peer would.
    pub(crate) async fn connect(to: &Multiaddr) -> Self {
        Self::start(to, &["/watt/message/1", "/watt/bulk/1"]).await
    }

    /// Connects and accepts nothing.
    pub(crate) async fn connect_deaf(to: &Multiaddr) -> Self {
        Self::start(to, &[]).await
    }

    async fn start(to: &Multiaddr, accepts: &[&'static str]) -> Self {
        let mut swarm: Swarm<Behaviour> = SwarmBuilder::with_existing_identity(Keypair::generate_ed25519())
            .with_tokio()
            .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_quic()
            .with_behaviour(|_| Behaviour::new())
            .unwrap()
            .with_swarm_config(|swarm| {
                swarm.with_idle_connection_timeout(std::time::Duration::from_secs(600))
            })
            .build();
        let peer = *swarm.local_peer_id();
        let mut control = swarm.behaviour().new_control();
        let incoming = accepts
            .iter()
            .map(|protocol| control.accept(StreamProtocol::new(protocol)).unwrap());
        let mut incoming = futures::stream::select_all(incoming.collect::<Vec<_>>());
        swarm.dial(DialOpts::from(to.clone())).unwrap();
        let (connected, mut is_connected) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let (mut connected, mut held) = (connected, Vec::new());
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => {
                        if matches!(event, SwarmEvent::ConnectionEstablished { .. }) {
                            drop(connected.try_send(()));
                        }
                    }
                    Some((_, stream)) = incoming.next() => held.push(stream),
                }
            }
        });
        within("the foreigner's connection", is_connected.next())
            .await
            .unwrap();
        Self { peer, control, task }
    }

    /// Opens a stream to the node.
    pub(crate) async fn open(&mut self, protocol: &'static str) -> Result<Line, OpenStreamError> {
        // The node is the only peer there is.
        let node = watt_net::peer_id([1; 32]);
        let stream = within(
            "a stream",
            self.control.open_stream(node, StreamProtocol::new(protocol)),
        )
        .await?;
        Ok(Line(stream))
    }
}

impl Drop for Foreigner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A raw stream.
pub(crate) struct Line(Stream);

impl Line {
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        futures::AsyncWriteExt::write_all(&mut self.0, bytes).await
    }

    pub(crate) async fn flush(&mut self) -> std::io::Result<()> {
        futures::AsyncWriteExt::flush(&mut self.0).await
    }

    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        futures::AsyncReadExt::read(&mut self.0, buffer).await
    }
}
