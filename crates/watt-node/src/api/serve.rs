//! Opens the two listeners and serves them with a bound on connections.

use super::guard::{Guard, OwnerToken};
use super::limits::Limits;
use super::problem::Problem;
use super::view::NodeView;
use super::{owner, public};
use crate::config::ApiAddresses;
use crate::error::{CommandError, ErrorKind};
use axum::extract::OriginalUri;
use axum::http::{Method, StatusCode};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// The most connections to one listener; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 512;

/// The two open listeners, not yet served.
#[derive(Debug)]
pub struct ApiListeners {
    public: TcpListener,
    owner: TcpListener,
    owner_hosts: Vec<String>,
}

impl ApiListeners {
    /// Opens both, before anything else is started: a port that is taken is found out at once.
    ///
    /// # Errors
    /// [`ErrorKind::AddressTaken`] if a port is taken.
    pub async fn open(addresses: &ApiAddresses) -> Result<Self, CommandError> {
        Ok(Self {
            public: open("api.public", addresses.public).await?,
            owner: open("api.owner", addresses.owner).await?,
            owner_hosts: addresses.owner_hosts.clone(),
        })
    }

    /// Address of the public listener.
    ///
    /// # Errors
    /// The system does not know it.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Address of the owner's listener.
    ///
    /// # Errors
    /// The system does not know it.
    pub fn owner_address(&self) -> io::Result<SocketAddr> {
        self.owner.local_addr()
    }
}

/// The served listeners; they end when this is dropped.
#[derive(Debug)]
pub struct ApiServers([JoinHandle<()>; 2]);

impl Drop for ApiServers {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Serves `node` on both listeners.
///
/// # Errors
/// The system does not know the owner's port.
pub fn serve(
    listeners: ApiListeners,
    node: &Arc<dyn NodeView>,
    token: OwnerToken,
) -> Result<ApiServers, CommandError> {
    let port = listeners
        .owner_address()
        .map_err(|error| {
            CommandError::new(
                ErrorKind::Other,
                format!("can't serve the owner: {error}"),
                "try again",
            )
        })?
        .port();
    let guard = Guard::new(token, port, &listeners.owner_hosts);
    let public = public::router(Arc::clone(node), Limits::new());
    let owner = owner::router(Arc::clone(node), guard, Limits::new());
    Ok(ApiServers([
        run(listeners.public, public),
        run(listeners.owner, owner),
    ]))
}

fn run(listener: TcpListener, app: axum::Router) -> JoinHandle<()> {
    let listener = BoundedListener {
        listener,
        permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    };
    tokio::spawn(async move {
        // `serve` ends only with the process; accept errors are retried within.
        drop(axum::serve(listener, app).await);
    })
}

async fn open(key: &str, address: SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|error| {
        let (kind, hint) = match error.kind() {
            io::ErrorKind::AddrInUse => (
                ErrorKind::AddressTaken,
                format!("stop what uses it, or set {key} to another port"),
            ),
            io::ErrorKind::PermissionDenied => {
                (ErrorKind::NotAllowed, format!("set {key} to a port above 1023"))
            }
            _ => (ErrorKind::Other, format!("check {key}")),
        };
        let reason = if error.kind() == io::ErrorKind::AddrInUse {
            "the port is taken".to_owned()
        } else {
            error.to_string()
        };
        CommandError::new(kind, format!("can't listen on {address} ({key}): {reason}"), hint)
    })
}

pub(super) async fn no_such_route(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::not_found(
        format!("there is nothing at {}", uri.path()),
        "docs/spec/api.md lists all routes",
    )
}

pub(super) async fn no_such_method(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    let detail = format!("{} does not answer to {method}", uri.path());
    Problem {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method-not-allowed",
        ..Problem::bad_request(detail, "docs/spec/api.md lists all routes")
    }
}

/// A listener that accepts no more connections than it has permits.
struct BoundedListener {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

/// Pause after a failed accept (out of file descriptors), in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

impl axum::serve::Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                // The semaphore is never closed.
                std::future::pending::<()>().await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    return (
                        Connection {
                            stream,
                            _permit: permit,
                        },
                        address,
                    );
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its permit back when it ends.
struct Connection {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
