//! Free ports on loopback, outside the range from which the system takes ports of outgoing connections.

use crate::error::{CommandError, ErrorKind};
use crate::keyfile;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// First port tried; below WATT's own block and below every system's range for outgoing connections, so that a connection
/// made by one node never sits on the port that another is about to open.
const FIRST: u16 = 20_000;
/// Ports tried.
const N_PORTS: u16 = 8_000;

/// A supply of ports that were free when they were drawn, each given out once.
#[derive(Debug)]
pub(super) struct Ports {
    next: u16,
    left: u16,
}

impl Ports {
    /// Starts at a random place, so that two devnets that start at once rarely meet.
    pub(super) fn new() -> Result<Self, CommandError> {
        let start = u16::from_be_bytes(keyfile::random_bytes()?) % N_PORTS;
        Ok(Self {
            next: start,
            left: N_PORTS,
        })
    }

    /// The next port that is free for both TCP and UDP.
    pub(super) fn draw(&mut self) -> Result<u16, CommandError> {
        while self.left > 0 {
            let port = FIRST + self.next;
            self.next = (self.next + 1) % N_PORTS;
            self.left -= 1;
            if is_free(port) {
                return Ok(port);
            }
        }
        Err(CommandError::new(
            ErrorKind::Temporary,
            format!(
                "no free port between {FIRST} and {} on this machine",
                FIRST + N_PORTS
            ),
            "stop other programs, or start fewer nodes",
        ))
    }
}

/// Whether nobody listens on `port`.
pub(super) fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
