//! Which addresses this node can listen on and dial, and names to numbers.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Quic,
}

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// An address that this node knows how to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    host: Host,
    port: u16,
    transport: Transport,
    peer: Option<PeerId>,
}

impl Route {
    /// Understands `/<host>/tcp/<port>` and `/<host>/udp/<port>/quic-v1`, either with `/p2p/<peer>` at the end.
    pub(crate) fn parse(address: &Multiaddr) -> Option<Self> {
        let parts: Vec<Protocol<'_>> = address.iter().collect();
        let (host, port, transport, peer) = match parts.as_slice() {
            [host, Protocol::Tcp(port)] => (host, port, Transport::Tcp, None),
            [host, Protocol::Tcp(port), Protocol::P2p(peer)] => (host, port, Transport::Tcp, Some(*peer)),
            [host, Protocol::Udp(port), Protocol::QuicV1] => (host, port, Transport::Quic, None),
            [host, Protocol::Udp(port), Protocol::QuicV1, Protocol::P2p(peer)] => {
                (host, port, Transport::Quic, Some(*peer))
            }
            _ => return None,
        };
        Some(Self {
            host: Host::parse(host)?,
            port: *port,
            transport,
            peer,
        })
    }

    /// The peer the address promises, if it says so.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// How the bytes travel.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The socket, if the host is a number.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }

    /// The numbers behind the address, without the peer; asks the system's resolver if the host is a name.
    pub(crate) async fn resolve(&self) -> io::Result<Vec<Multiaddr>> {
        match &self.host {
            Host::Ip(ip) => Ok(vec![self.at(*ip)]),
            Host::Name(name) => {
                let sockets = tokio::net::lookup_host((name.as_str(), self.port)).await?;
                Ok(sockets.map(|socket| self.at(socket.ip())).collect())
            }
        }
    }

    fn at(&self, ip: IpAddr) -> Multiaddr {
        let host = Multiaddr::from(ip);
        match self.transport {
            Transport::Tcp => host.with(Protocol::Tcp(self.port)),
            Transport::Quic => host.with(Protocol::Udp(self.port)).with(Protocol::QuicV1),
        }
    }
}

impl Host {
    fn parse(part: &Protocol<'_>) -> Option<Self> {
        if let Protocol::Ip4(ip) = part {
            return Some(Self::Ip(IpAddr::V4(*ip)));
        }
        if let Protocol::Ip6(ip) = part {
            return Some(Self::Ip(IpAddr::V6(*ip)));
        }
        if let Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) = part {
            return Some(Self::Name(name.to_string()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exactly the addresses of spec/network.md §1.3 are understood; anything more exotic is refused, not guessed at.
    #[test]
    fn understood_and_refused() {
        let peer = "/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        for good in [
            "/ip4/1.2.3.4/tcp/5",
            "/ip6/::1/udp/5/quic-v1",
            "/dns4/a.example/tcp/5",
            "/dns/a/udp/5/quic-v1",
        ] {
            let plain: Multiaddr = good.parse().unwrap();
            assert_eq!(Route::parse(&plain).unwrap().peer(), None, "{good}");
            let named: Multiaddr = format!("{good}{peer}").parse().unwrap();
            assert!(Route::parse(&named).unwrap().peer().is_some(), "{good}");
        }
        for bad in [
            "/ip4/1.2.3.4",
            "/ip4/1.2.3.4/udp/5",
            "/ip4/1.2.3.4/tcp/5/ws",
            "/memory/7",
            "/tcp/5",
        ] {
            assert_eq!(Route::parse(&bad.parse().unwrap()), None, "{bad}");
        }
    }
}
