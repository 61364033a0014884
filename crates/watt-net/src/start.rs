//! From a configuration to a running network.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder,
    connection_limits::{self, ConnectionLimits},
    core::transport::TransportError,
    identity::Keypair,
    noise, ping, tcp, yamux,
};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    address::{Route, Transport},
    config::{Limits, NetConfig},
    driver::{Behaviour, Driver},
    events::{self, Events},
    handle::{Net, Shared},
    redial::Redial,
    streams,
};

/// How long a connection may take until both sides know each other.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection on which no stream is open is closed after this time; peers of WATT always have two.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection whose peer answers no ping for so long is dead (spec/network.md §4.4).
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a connection is probed.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A QUIC connection on which nothing came for so long is dead, in milliseconds; keep-alives go out six times as often.
const QUIC_IDLE_TIMEOUT_MS: u32 = 30_000;

/// Interval of QUIC keep-alives.
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Bytes of one QUIC stream that may wait unread here.
const QUIC_STREAM_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// Bytes of all streams of one QUIC connection that may wait unread here.
const QUIC_CONNECTION_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Streams a peer may have open on one QUIC connection.
const QUIC_STREAMS_MAX: u32 = 128;

/// What yamux reserves for streams it may have to accept, in streams of 256 KiB.
///
/// Yamux lets the windows of a connection grow together to 1 GiB less 256 KiB per possible stream, and libp2p exposes only
/// the number of streams. 4,096 would be all of it; 64 fewer leave 16 MiB of growth, as much as QUIC gets above. Streams that
/// nobody has accepted are cut off long before this number, at 256, by libp2p.
const YAMUX_STREAMS_MAX: usize = 4_096 - 64;

/// Streams of one connection whose protocol is still being agreed.
const NEGOTIATING_STREAMS_MAX: usize = 32;

/// Handshakes of strangers that may be under way at once.
const HANDSHAKES_INBOUND_MAX: u32 = 64;

/// Handshakes of this node that may be under way at once.
const HANDSHAKES_OUTBOUND_MAX: u32 = 64;

/// Commands that wait for the driver.
const COMMANDS_MAX: usize = 1_024;

/// Why a network could not be started; the text is for the person who runs the node.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program uses the port.
    #[error(
        "{address} is already in use: another program, perhaps a second node, listens there. Stop it, or choose another port in this node's listen addresses (port 0 picks a free one)"
    )]
    AddressTaken {
        /// The address that is taken.
        address: Multiaddr,
    },
    /// The system does not let this node listen there.
    #[error(
        "this node cannot listen on {address}: {source}. Choose an address of this computer that its user may use"
    )]
    CannotListen {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address is of a kind this node cannot listen on.
    #[error(
        "{address} is not an address to listen on; use /ip4/<ip>/tcp/<port> or /ip4/<ip>/udp/<port>/quic-v1"
    )]
    ListenAddressUnknown {
        /// The address.
        address: Multiaddr,
    },
    /// The bootstrap address is of a kind this node cannot dial, or says no peer.
    #[error(
        "{address} is not a bootstrap address; use /ip4/<ip>/tcp/<port>/p2p/<peer> or /ip4/<ip>/udp/<port>/quic-v1/p2p/<peer>, with ip6 or dns in place of ip4 if need be"
    )]
    BootstrapAddressUnknown {
        /// The address.
        address: Multiaddr,
    },
    /// The encryption of connections could not be set up.
    #[error("the encryption of connections could not be set up: {reason}")]
    Encryption {
        /// What libp2p said.
        reason: String,
    },
}

/// The peer id that belongs to an identity seed.
pub fn peer_id(identity_seed: [u8; 32]) -> PeerId {
    keypair(identity_seed).public().to_peer_id()
}

/// The Ed25519 key that a peer id names; `None` for an identity of another kind.
///
/// It is the peer id's own content: an identity multihash of the key's protobuf encoding.
pub fn public_key(peer: &PeerId) -> Option<[u8; 32]> {
    const ED25519: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    peer.to_bytes().strip_prefix(&ED25519)?.try_into().ok()
}

fn keypair(mut seed: [u8; 32]) -> Keypair {
    Keypair::ed25519_from_bytes(&mut seed).expect("every 32 bytes are the seed of an Ed25519 key")
}

/// Starts the network of a node on the current tokio runtime: listens, then dials the bootstrap peers for ever.
///
/// When it returns, every listen address is open and [`Net::listen_addresses`] tells the ports.
///
/// # Errors
/// If an address can't be used; the text names it and says what to do.
pub async fn start(config: NetConfig) -> Result<(Net, Events), StartError> {
    let NetConfig {
        identity_seed,
        listen,
        bootstrap,
        limits,
    } = config;
    let mut swarm = build_swarm(identity_seed, &limits)?;
    let local = *swarm.local_peer_id();
    let redial = wanted_peers(&bootstrap, local)?;
    let mut listeners = Vec::new();
    for address in listen {
        check_listen_address(&address)?;
        let listener = swarm
            .listen_on(address.clone())
            .map_err(|error| cannot_listen(&address, error))?;
        listeners.push((listener, address));
    }
    let shared = Arc::new(Shared::new(local));
    let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
    let (sources, events) = events::channel(&limits);
    let net = Net {
        shared: Arc::clone(&shared),
        commands,
    };
    let mut driver = Driver::new(
        swarm,
        limits,
        shared,
        commands_out,
        net.commands.downgrade(),
        sources,
        redial,
    );
    driver.open_listeners(listeners).await?;
    // The task ends with the last handle, with the events, or with `Net::shutdown`.
    drop(tokio::spawn(driver.run()));
    Ok((net, events))
}

fn wanted_peers(bootstrap: &[Multiaddr], local: PeerId) -> Result<Redial, StartError> {
    let mut redial = Redial::default();
    for address in bootstrap {
        let unknown = || StartError::BootstrapAddressUnknown {
            address: address.clone(),
        };
        let route = Route::parse(address).ok_or_else(unknown)?;
        let peer = route.peer().ok_or_else(unknown)?;
        if peer != local {
            redial.want(peer, route, Instant::now());
        }
    }
    Ok(redial)
}

fn build_swarm(identity_seed: [u8; 32], limits: &Limits) -> Result<Swarm<Behaviour>, StartError> {
    let connection_limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(HANDSHAKES_INBOUND_MAX))
        .with_max_pending_outgoing(Some(HANDSHAKES_OUTBOUND_MAX))
        .with_max_established_incoming(Some(limits.connections_inbound_max))
        .with_max_established_per_peer(Some(limits.connections_per_peer_max))
        .with_max_established(Some(limits.connections_max));
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(connection_limits),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_INTERVAL)
                .with_timeout(PING_TIMEOUT),
        ),
        streams: streams::Behaviour::default(),
    };
    let yamux = || {
        let mut yamux = yamux::Config::default();
        yamux.set_max_num_streams(YAMUX_STREAMS_MAX);
        yamux
    };
    let encryption = |error: noise::Error| StartError::Encryption {
        reason: error.to_string(),
    };
    let builder = SwarmBuilder::with_existing_identity(keypair(identity_seed))
        .with_tokio()
        .with_tcp(tcp::Config::new(), noise::Config::new, yamux)
        .map_err(encryption)?
        .with_quic_config(|mut quic| {
            quic.handshake_timeout = HANDSHAKE_TIMEOUT;
            quic.max_idle_timeout = QUIC_IDLE_TIMEOUT_MS;
            quic.keep_alive_interval = QUIC_KEEP_ALIVE;
            quic.max_stream_data = QUIC_STREAM_BYTES_MAX;
            quic.max_connection_data = QUIC_CONNECTION_BYTES_MAX;
            quic.max_concurrent_stream_limit = QUIC_STREAMS_MAX;
            quic
        })
        .with_behaviour(|_| behaviour);
    let Ok(builder) = builder;
    Ok(builder
        .with_swarm_config(|swarm| {
            swarm
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS_MAX)
        })
        .with_connection_timeout(HANDSHAKE_TIMEOUT)
        .build())
}

/// Refuses addresses this node can't listen on, and ports that are taken.
///
/// libp2p opens its TCP ports shared (`SO_REUSEPORT`): a second node of the same user on the same port would start without
/// complaint and get every other connection; and of its QUIC ports it hides why they can't be opened. So every port is first
/// opened here, unshared, which fails with the system's own words if anyone has it.
fn check_listen_address(address: &Multiaddr) -> Result<(), StartError> {
    let unknown = || StartError::ListenAddressUnknown {
        address: address.clone(),
    };
    let route = Route::parse(address)
        .filter(|route| route.peer().is_none())
        .ok_or_else(unknown)?;
    let socket = route.socket().ok_or_else(unknown)?;
    try_bind(route.transport(), socket).map_err(|error| refused(address, error))
}

/// Opens and closes a port, to see whether it is free.
pub(crate) fn try_bind(transport: Transport, socket: SocketAddr) -> io::Result<()> {
    match transport {
        Transport::Tcp => TcpListener::bind(socket).map(drop),
        Transport::Quic => UdpSocket::bind(socket).map(drop),
    }
}

fn cannot_listen(address: &Multiaddr, error: TransportError<io::Error>) -> StartError {
    match error {
        TransportError::Other(error) => refused(address, error),
        TransportError::MultiaddrNotSupported(address) => StartError::ListenAddressUnknown { address },
    }
}

/// What the system's refusal to listen means.
pub(crate) fn refused(address: &Multiaddr, source: io::Error) -> StartError {
    if source.kind() == io::ErrorKind::AddrInUse {
        StartError::AddressTaken {
            address: address.clone(),
        }
    } else {
        StartError::CannotListen {
            address: address.clone(),
            source,
        }
    }
}
