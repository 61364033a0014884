//! What waits to be sent to one peer at one priority: bounded in messages and in bytes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::frame::MESSAGE_BYTES_MAX;

/// A message on its way out, with the room it takes.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Bytes,
    /// Whether a stream already broke under it.
    pub(crate) is_second_try: bool,
    _room: OwnedSemaphorePermit,
}

/// The sending end; drops what does not fit.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    sender: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    bytes_max: usize,
}

impl Outbox {
    /// A queue of at most `messages_max` messages and `bytes_max` bytes, but always with room for one message.
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> (Self, mpsc::Receiver<Outgoing>) {
        let bytes_max = bytes_max.clamp(MESSAGE_BYTES_MAX, Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::channel(messages_max.max(1));
        (
            Self {
                sender,
                room: Arc::new(Semaphore::new(bytes_max)),
                bytes_max,
            },
            receiver,
        )
    }

    /// Takes the message if there is room; says whether it did.
    pub(crate) fn push(&self, bytes: Bytes) -> bool {
        let Ok(length) = u32::try_from(bytes.len()) else {
            return false;
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(length) else {
            return false;
        };
        self.sender
            .try_send(Outgoing {
                bytes,
                is_second_try: false,
                _room: room,
            })
            .is_ok()
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes_max.saturating_sub(self.room.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both bounds hold, and what is taken out makes room. Covers: A6.
    #[tokio::test]
    async fn bounded_in_messages_and_bytes() {
        let (outbox, mut inbox) = Outbox::new(3, MESSAGE_BYTES_MAX);
        assert!((0..3).all(|_| outbox.push(Bytes::from_static(b"abc"))));
        assert!(!outbox.push(Bytes::from_static(b"one too many")));
        assert_eq!(outbox.waiting_bytes(), 9);
        drop(inbox.recv().await);
        assert!(outbox.push(Bytes::from_static(b"room again")));
        assert!(inbox.try_recv().is_ok());

        let (outbox, mut inbox) = Outbox::new(10, MESSAGE_BYTES_MAX);
        assert!(
            outbox.push(Bytes::from(vec![0; MESSAGE_BYTES_MAX])),
            "one message always fits"
        );
        assert!(!outbox.push(Bytes::from_static(b"x")), "one byte over");
        drop(inbox.recv().await);
        assert!(outbox.push(Bytes::from_static(b"x")));
    }
}
