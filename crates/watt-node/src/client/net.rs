//! A network node for the length of one command: it listens nowhere, is known to nobody, and only opens transfers.

use crate::error::{CommandError, ErrorKind, OrFail as _};
use crate::keyfile::random_bytes;
use tokio::task::JoinHandle;
use watt_net::{Limits, Net, NetConfig};

/// The node; it stops when dropped.
pub(crate) struct ClientNet {
    net: Net,
    deaf: JoinHandle<()>,
}

impl ClientNet {
    /// Starts a node with an identity that no other command has, so that commands can't be told to belong together.
    pub(crate) async fn start() -> Result<Self, CommandError> {
        let limits = Limits {
            connections_inbound_max: 0,
            transfers_max: 1,
            transfers_per_peer_max: 1,
            ..Limits::default()
        };
        let config = NetConfig {
            identity_seed: random_bytes()?,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            limits,
        };
        let (net, mut events) = watt_net::start(config).await.or_fail(
            ErrorKind::Temporary,
            "can't reach providers",
            "check the limits on open files and threads (ulimit -a)",
        )?;
        // Whatever peers say by themselves is heard and forgotten: a client takes no part in agreement.
        let deaf = tokio::spawn(async move { while events.next().await.is_some() {} });
        Ok(Self { net, deaf })
    }

    pub(crate) const fn net(&self) -> &Net {
        &self.net
    }

    /// Closes all connections in order, so that providers need not wait for a timeout.
    pub(crate) async fn stop(self) {
        self.net.clone().shutdown().await;
    }
}

impl Drop for ClientNet {
    fn drop(&mut self) {
        self.deaf.abort();
    }
}
