//! A libp2p stream as tokio knows streams, with an end to waiting.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead as _, AsyncWrite as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A stream on which every read and write must make progress within a time, or fails with
/// [`TimedOut`](io::ErrorKind::TimedOut).
///
/// This is what turns a deadlock below (rust-libp2p issue 5410: two yamux streams that wait for each other's window) into an
/// error that someone can act on.
#[derive(Debug)]
pub(crate) struct TimedStream {
    inner: libp2p::Stream,
    read_patience: Option<Duration>,
    write_patience: Option<Duration>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl TimedStream {
    pub(crate) fn new(inner: libp2p::Stream, patience: Duration) -> Self {
        let patience = Some(patience);
        Self {
            inner,
            read_patience: patience,
            write_patience: patience,
            reading: None,
            writing: None,
        }
    }

    /// Changes how long a read may wait; `None` waits for ever.
    pub(crate) fn set_read_patience(&mut self, patience: Option<Duration>) {
        self.read_patience = patience;
        self.reading = None;
    }

    /// Changes how long a write may wait; `None` waits for ever.
    pub(crate) fn set_write_patience(&mut self, patience: Option<Duration>) {
        self.write_patience = patience;
        self.writing = None;
    }
}

/// Lets a ready outcome through and stops the watch; on a pending one starts it, and fails once it has run out.
fn watch<T>(
    watch: &mut Option<Pin<Box<Sleep>>>,
    patience: Option<Duration>,
    outcome: Poll<io::Result<T>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    let (Poll::Pending, Some(patience)) = (&outcome, patience) else {
        *watch = None;
        return outcome;
    };
    ready!(
        watch
            .get_or_insert_with(|| Box::pin(sleep(patience)))
            .as_mut()
            .poll(cx)
    );
    *watch = None;
    let message = format!("no progress for {} s", patience.as_secs());
    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
}

impl AsyncRead for TimedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buffer.initialize_unfilled());
        let n = ready!(watch(&mut this.reading, this.read_patience, outcome, cx))?;
        buffer.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, bytes);
        watch(&mut this.writing, this.write_patience, outcome, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        watch(&mut this.writing, this.write_patience, outcome, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_close(cx);
        watch(&mut this.writing, this.write_patience, outcome, cx)
    }
}
