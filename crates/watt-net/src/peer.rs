//! The tasks of one connected peer: two that write, two that read.
//!
//! A peer has one stream out and one stream in per priority, whichever connections carry them. Streams break and are opened
//! anew without anyone above noticing; only the last connection's end is an event.

use std::{pin::pin, sync::Arc, time::Duration};

use libp2p::{PeerId, Stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    config::{Limits, Rate},
    counters::{add, bump},
    events::{Delivery, EventSources},
    frame::{self, FrameError},
    gate::Gate,
    handle::{Command, Priority, Shared, open},
    outbox::{Outbox, Outgoing},
    streams::OpenError,
    timed::TimedStream,
    transfer::PROGRESS_TIMEOUT,
};

/// Wait before a broken stream is opened again, times the number of failures in a row.
const REOPEN_WAIT: Duration = Duration::from_millis(100);

/// After so many failures in a row the connection itself is given up.
const REOPEN_FAILURES_MAX: u32 = 8;

/// A stream that lived this long was a good one.
const STREAM_SETTLED: Duration = Duration::from_secs(10);

/// How long what had arrived before a disconnection is still read and delivered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the end of a stream waits for the peer to have read everything.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// New streams of one priority that wait for the reader; it always takes the newest.
const ACCEPTED_WAITING_MAX: usize = 4;

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct Task(pub(crate) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One priority of one peer: where messages go in, where accepted streams go in, and the tasks behind.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) outbox: Outbox,
    pub(crate) accepted: mpsc::Sender<Stream>,
    pub(crate) writer: Task,
    pub(crate) reader: Task,
}

/// What the tasks of all peers share.
pub(crate) struct Surroundings<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) commands: &'a mpsc::WeakSender<Command>,
    pub(crate) sources: &'a EventSources,
}

/// Starts the two tasks of one priority.
pub(crate) fn start_lane(peer: PeerId, priority: Priority, around: &Surroundings<'_>) -> Lane {
    let limits = around.limits;
    let (bytes_max, rate) = match priority {
        Priority::Urgent => (limits.outbox_urgent_bytes_max, limits.inbound_urgent),
        Priority::Bulk => (limits.outbox_bulk_bytes_max, limits.inbound_bulk),
    };
    let (outbox, inbox) = Outbox::new(limits.outbox_messages_max, bytes_max);
    let (accepted, accepted_out) = mpsc::channel(ACCEPTED_WAITING_MAX);
    let owner = Owner {
        peer,
        priority,
        shared: Arc::clone(around.shared),
        commands: around.commands.clone(),
    };
    let writer = Writer {
        owner: owner.clone(),
        inbox,
        unsent: None,
        failures: 0,
    };
    let reader = Reader::new(owner, rate, around.sources.delivery(priority));
    Lane {
        outbox,
        accepted,
        writer: Task(tokio::spawn(writer.run())),
        reader: Task(tokio::spawn(read_streams(reader, accepted_out))),
    }
}

/// Whose task it is.
#[derive(Clone)]
struct Owner {
    peer: PeerId,
    priority: Priority,
    shared: Arc<Shared>,
    /// Weak, so that the network stops when the node has dropped its handle.
    commands: mpsc::WeakSender<Command>,
}

impl Owner {
    async fn disconnect(&self) {
        if let Some(commands) = self.commands.upgrade() {
            // An error means that everything is being closed anyway.
            drop(commands.send(Command::Disconnect(self.peer)).await);
        }
    }
}

/// Writes what is in the outbox.
struct Writer {
    owner: Owner,
    inbox: mpsc::Receiver<Outgoing>,
    /// Taken from the inbox when its stream broke.
    unsent: Option<Outgoing>,
    failures: u32,
}

/// How the writing on one stream ended.
enum Written {
    /// The node sends nothing more, and the peer has read everything.
    Finished,
    /// The stream broke.
    Broken,
}

impl Writer {
    async fn run(mut self) {
        while self.failures < REOPEN_FAILURES_MAX {
            sleep(REOPEN_WAIT.saturating_mul(self.failures)).await;
            let Some(commands) = self.owner.commands.upgrade() else {
                return;
            };
            let opened = open(&commands, self.owner.peer, self.owner.priority.protocol()).await;
            drop(commands);
            match opened {
                Ok(stream) => {
                    let opened_at = Instant::now();
                    match self.write_on(TimedStream::new(stream, PROGRESS_TIMEOUT)).await {
                        Written::Finished => return,
                        Written::Broken if opened_at.elapsed() >= STREAM_SETTLED => self.failures = 0,
                        Written::Broken => {}
                    }
                }
                Err(OpenError::Unsupported) => {
                    tracing::debug!(peer = %self.owner.peer, "does not speak the protocols of this network");
                    self.owner
                        .shared
                        .counters
                        .count(|totals| bump(&mut totals.peers_foreign));
                    return self.owner.disconnect().await;
                }
                Err(OpenError::Broken(error)) => {
                    tracing::debug!(peer = %self.owner.peer, %error, "stream not opened");
                }
            }
            self.failures = self.failures.saturating_add(1);
        }
        self.owner.disconnect().await;
    }

    async fn write_on(&mut self, mut stream: TimedStream) -> Written {
        // Nobody writes towards us on this stream: a read that ends, however, means that the peer is through with it.
        stream.set_read_patience(None);
        loop {
            let outgoing = match self.next(&mut stream).await {
                Next::Message(outgoing) => outgoing,
                Next::Finished => {
                    finish(stream).await;
                    return Written::Finished;
                }
                Next::Broken => return Written::Broken,
            };
            if let Err(error) = frame::write(&mut stream, &outgoing.bytes).await {
                tracing::debug!(peer = %self.owner.peer, %error, "stream broke under a message");
                self.keep_for_second_try(outgoing);
                return Written::Broken;
            }
            self.owner.shared.counters.count(|totals| {
                bump(&mut totals.messages_sent);
                add(&mut totals.bytes_sent, outgoing.bytes.len());
            });
        }
    }

    /// The next message; flushes before it waits for one.
    async fn next(&mut self, stream: &mut TimedStream) -> Next {
        if let Some(outgoing) = self.unsent.take() {
            return Next::Message(outgoing);
        }
        match self.inbox.try_recv() {
            Ok(outgoing) => return Next::Message(outgoing),
            Err(mpsc::error::TryRecvError::Disconnected) => return Next::Finished,
            Err(mpsc::error::TryRecvError::Empty) => {}
        }
        if stream.flush().await.is_err() {
            return Next::Broken;
        }
        let mut nothing = [0; 1];
        tokio::select! {
            outgoing = self.inbox.recv() => outgoing.map_or(Next::Finished, Next::Message),
            _ = stream.read(&mut nothing) => Next::Broken,
        }
    }

    fn keep_for_second_try(&mut self, mut outgoing: Outgoing) {
        if outgoing.is_second_try {
            self.owner
                .shared
                .counters
                .count(|totals| bump(&mut totals.dropped_stream_broken));
        } else {
            outgoing.is_second_try = true;
            self.unsent = Some(outgoing);
        }
    }
}

/// What the writer does next.
enum Next {
    Message(Outgoing),
    Finished,
    Broken,
}

/// Closes a stream and waits until the peer has closed it too, which it does when it has read everything; a QUIC connection
/// closed earlier would drop what is under way.
async fn finish(mut stream: TimedStream) {
    let finish = async {
        stream.shutdown().await?;
        stream.read(&mut [0; 1]).await
    };
    // Whatever came of it, nothing more can be done for the messages.
    drop(timeout(FINISH_TIMEOUT, finish).await);
}

/// Reads messages, as fast as the peer may send and the node can take them.
struct Reader {
    owner: Owner,
    messages: Gate,
    bytes: Gate,
    delivery: Delivery,
}

/// How the reading of one stream ended.
enum Read {
    /// The peer closed the stream, or it broke.
    Ended,
    /// The peer broke the protocol, or nobody takes messages any more.
    Stop,
}

/// Reads one stream after the other; a newer one replaces the older, which the peer has given up.
async fn read_streams(mut reader: Reader, mut accepted: mpsc::Receiver<Stream>) {
    let Some(mut stream) = accepted.recv().await else {
        return;
    };
    loop {
        let mut reading = pin!(reader.read(TimedStream::new(stream, PROGRESS_TIMEOUT)));
        stream = tokio::select! {
            newer = accepted.recv() => match newer {
                Some(newer) => newer,
                None => {
                    // Disconnected: what had come before is still delivered.
                    drop(timeout(DRAIN_TIMEOUT, reading).await);
                    return;
                }
            },
            read = &mut reading => match read {
                Read::Ended => match accepted.recv().await {
                    Some(newer) => newer,
                    None => return,
                },
                Read::Stop => return,
            },
        };
    }
}

impl Reader {
    fn new(owner: Owner, rate: Rate, delivery: Delivery) -> Self {
        let now = Instant::now();
        Self {
            owner,
            messages: Gate::new(rate.messages_per_s, now),
            bytes: Gate::new(rate.bytes_per_s, now),
            delivery,
        }
    }

    async fn read(&mut self, mut stream: TimedStream) -> Read {
        loop {
            match self.read_one(&mut stream).await {
                Ok(true) => {}
                Ok(false) => return Read::Stop,
                Err(error) if error.is_malformed() => {
                    tracing::debug!(peer = %self.owner.peer, %error, "disconnecting");
                    self.owner
                        .shared
                        .counters
                        .count(|totals| bump(&mut totals.frames_malformed));
                    self.owner.disconnect().await;
                    return Read::Stop;
                }
                Err(_) => return Read::Ended,
            }
        }
    }

    /// Reads and delivers one message; says whether anyone takes more.
    async fn read_one(&mut self, stream: &mut TimedStream) -> Result<bool, FrameError> {
        // Between messages a peer may be silent for ever; within one it may not.
        stream.set_read_patience(None);
        let first = stream.read_u8().await?;
        stream.set_read_patience(Some(PROGRESS_TIMEOUT));
        let length = frame::read_length(stream, first, self.owner.priority.message_bytes_max()).await?;
        self.pace(length).await;
        let bytes = frame::read_body(stream, length).await?;
        if self.delivery.deliver(self.owner.peer, bytes).await.is_err() {
            return Ok(false);
        }
        self.owner.shared.counters.count(|totals| {
            bump(&mut totals.messages_received);
            add(&mut totals.bytes_received, length);
        });
        Ok(true)
    }

    /// Waits as long as the peer is faster than it may be. Meanwhile nothing is read, so the peer's own writes come to wait.
    async fn pace(&mut self, length: usize) {
        let now = Instant::now();
        let for_bytes = self.bytes.charge(u64::try_from(length).unwrap_or(u64::MAX), now);
        let wait = self.messages.charge(1, now).max(for_bytes);
        if !wait.is_zero() {
            self.owner
                .shared
                .counters
                .count(|totals| bump(&mut totals.inbound_throttled));
            sleep(wait).await;
        }
    }
}
