//! The libp2p behaviour that opens and accepts the streams of WATT.
//!
//! Written for this crate instead of using `libp2p-stream`: that one drops inbound streams when many come at once, keeps a
//! channel for every connection there ever was, and dials by itself.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    io,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream,
    core::{
        Endpoint,
        transport::PortUse,
        upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    },
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, handler::ConnectionEvent,
    },
};
use tokio::sync::oneshot;

/// Streams a peer may have opened on one connection that this node has not looked at yet.
const ACCEPTED_PENDING_MAX: usize = 32;

/// Streams of this node that wait to be opened on one connection.
const OPENING_PENDING_MAX: usize = 64;

/// The protocols of WATT (spec/network.md §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    /// Urgent messages, from the opener to the acceptor.
    Message,
    /// Bulk messages, from the opener to the acceptor.
    Bulk,
    /// Stored data, in both directions.
    Transfer,
}

impl AsRef<str> for Protocol {
    fn as_ref(&self) -> &str {
        match self {
            Self::Message => "/watt/message/1",
            Self::Bulk => "/watt/bulk/1",
            Self::Transfer => "/watt/transfer/1",
        }
    }
}

/// Why a stream could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The peer does not speak this protocol.
    Unsupported,
    /// The connection broke, or the peer did not answer.
    Broken(io::Error),
}

/// A stream to be opened, and where to bring it.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(crate) protocol: Protocol,
    pub(crate) reply: oneshot::Sender<Result<Stream, OpenError>>,
}

impl OpenRequest {
    fn finish(self, outcome: Result<Stream, OpenError>) {
        // Whoever asked may have stopped waiting; the stream is then dropped, which closes it.
        drop(self.reply.send(outcome));
    }
}

/// A stream that a peer opened.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) peer: PeerId,
    pub(crate) protocol: Protocol,
    pub(crate) stream: Stream,
}

/// Opens streams on request and reports those that peers open.
#[derive(Default)]
pub(crate) struct Behaviour {
    actions: VecDeque<ToSwarm<Accepted, OpenRequest>>,
}

impl Behaviour {
    /// Opens a stream on any connection to `peer`; without one, the reply's channel is closed.
    pub(crate) fn open(&mut self, peer: PeerId, request: OpenRequest) {
        self.actions.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::Any,
            event: request,
        });
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Accepted;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        (protocol, stream): THandlerOutEvent<Self>,
    ) {
        self.actions.push_back(ToSwarm::GenerateEvent(Accepted {
            peer,
            protocol,
            stream,
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // No waker is kept: actions are added only from within the swarm's own loop, which polls again afterwards.
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The part of the behaviour that lives with one connection.
#[derive(Default)]
pub(crate) struct Handler {
    opening: VecDeque<OpenRequest>,
    accepted: VecDeque<(Protocol, Stream)>,
}

impl Handler {
    fn accept(&mut self, accepted: (Protocol, Stream)) {
        // Over the bound the stream is dropped, which resets it: the opener learns at once.
        if self.accepted.len() < ACCEPTED_PENDING_MAX {
            self.accepted.push_back(accepted);
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenRequest;
    type ToBehaviour = (Protocol, Stream);
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenRequest;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer::All, ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offer, OpenRequest, (Protocol, Stream)>> {
        // No waker is kept: both queues grow only from within the connection's own loop, which polls again afterwards.
        if let Some(request) = self.opening.pop_front() {
            let protocol = SubstreamProtocol::new(Offer::One(request.protocol), request);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        if let Some(accepted) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(accepted));
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, request: OpenRequest) {
        if self.opening.len() < OPENING_PENDING_MAX {
            self.opening.push_back(request);
        } else {
            request.finish(Err(OpenError::Broken(io::ErrorKind::WouldBlock.into())));
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "libp2p's enum is non-exhaustive")]
    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), OpenRequest>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(inbound) => self.accept(inbound.protocol),
            ConnectionEvent::FullyNegotiatedOutbound(outbound) => {
                let (_, stream) = outbound.protocol;
                outbound.info.finish(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(failed) => failed.info.finish(Err(match failed.error {
                StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                StreamUpgradeError::Timeout => OpenError::Broken(io::ErrorKind::TimedOut.into()),
                StreamUpgradeError::Io(error) => OpenError::Broken(error),
                StreamUpgradeError::Apply(never) => match never {},
            })),
            _ => {}
        }
    }
}

/// What is offered when a stream is negotiated: everything to those who open, one thing when opening.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offer {
    All,
    One(Protocol),
}

impl UpgradeInfo for Offer {
    type Info = Protocol;
    type InfoIter = std::vec::IntoIter<Protocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        match self {
            Self::All => vec![Protocol::Message, Protocol::Bulk, Protocol::Transfer],
            Self::One(protocol) => vec![*protocol],
        }
        .into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: Protocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: Protocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}
