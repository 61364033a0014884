//! A stream for stored data: as fast as the slower side, and never stuck without saying so.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{frame, timed::TimedStream};

/// How long a read or write of a transfer may make no progress before it fails (spec/network.md §5.3).
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream of `/watt/transfer/1`: bytes in both directions with back-pressure.
///
/// The two sides first agree with small frames ([`write_frame`](Self::write_frame), [`read_frame`](Self::read_frame)) and
/// then use the stream itself (`AsyncRead`, `AsyncWrite`) for the data. A read or write that makes no progress for
/// [`PROGRESS_TIMEOUT`] fails with [`TimedOut`](io::ErrorKind::TimedOut): drop the stream and open a new one. Dropping the
/// stream without `shutdown` may lose what was written last.
#[derive(Debug)]
pub struct TransferStream {
    peer: PeerId,
    /// Boxed to keep events small.
    stream: Box<TimedStream>,
    /// The place this transfer takes among those a peer may have open; none for transfers this node opened.
    _place: Option<Place>,
}

/// A place among the transfers of one peer and among all transfers.
#[derive(Debug)]
pub(crate) struct Place {
    _of_peer: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Place {
    /// A place for a peer that has those of `of_peer_max` which `of_peer` lacks, as long as more are free than it has.
    ///
    /// So whoever comes with many identities leaves places to the others (dynamic thresholds with α = 1: Choudhury and Hahne,
    /// IEEE/ACM Transactions on Networking 6(2), 1998).
    pub(crate) fn take(
        of_peer: &Arc<Semaphore>,
        of_peer_max: usize,
        of_all: &Arc<Semaphore>,
    ) -> Option<Self> {
        let n_of_peer = of_peer_max.saturating_sub(of_peer.available_permits());
        if n_of_peer >= of_all.available_permits() {
            return None;
        }
        Some(Self {
            _of_peer: Arc::clone(of_peer).try_acquire_owned().ok()?,
            _of_all: Arc::clone(of_all).try_acquire_owned().ok()?,
        })
    }
}

impl TransferStream {
    pub(crate) fn new(peer: PeerId, stream: libp2p::Stream, place: Option<Place>) -> Self {
        Self {
            peer,
            stream: Box::new(TimedStream::new(stream, PROGRESS_TIMEOUT)),
            _place: place,
        }
    }

    /// The peer at the other end.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Changes how long a read or write may make no progress, for sides that must wait for slow work of the other.
    pub fn set_progress_timeout(&mut self, timeout: Duration) {
        self.stream.set_read_patience(Some(timeout));
        self.stream.set_write_patience(Some(timeout));
    }

    /// Writes one frame and flushes it.
    ///
    /// # Errors
    /// If the stream breaks or makes no progress.
    pub async fn write_frame(&mut self, body: &[u8]) -> io::Result<()> {
        if body.is_empty() {
            return Err(frame::FrameError::Empty.into());
        }
        frame::write(&mut self.stream, body).await?;
        self.stream.flush().await
    }

    /// Reads one frame of at most `max` bytes.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) if the frame is empty or announces more than `max` bytes, before
    /// anything is allocated for it; otherwise if the stream breaks or makes no progress.
    pub async fn read_frame(&mut self, max: usize) -> io::Result<Bytes> {
        let first = self.stream.read_u8().await?;
        let length = frame::read_length(&mut self.stream, first, max).await?;
        Ok(frame::read_body(&mut self.stream, length).await?)
    }
}

impl AsyncRead for TransferStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TransferStream {
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

/// Why no transfer could be opened.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// No connection to the peer could be made.
    #[error("peer {peer} cannot be reached: {reason}")]
    Unreachable {
        /// The peer.
        peer: PeerId,
        /// What each attempt came to.
        reason: String,
    },
    /// The peer is connected but does not offer transfers.
    #[error("peer {peer} does not offer transfers")]
    Unsupported {
        /// The peer.
        peer: PeerId,
    },
    /// The stream could not be opened on the connection.
    #[error("the stream to peer {peer} broke while it was opened: {source}")]
    Broken {
        /// The peer.
        peer: PeerId,
        /// What the connection said.
        source: io::Error,
    },
    /// Reaching the peer took too long.
    #[error("peer {peer} was not reached within {seconds} s")]
    TimedOut {
        /// The peer.
        peer: PeerId,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The network of this node has stopped, or has too much to do.
    #[error("the network of this node takes no more requests")]
    Stopped,
}
