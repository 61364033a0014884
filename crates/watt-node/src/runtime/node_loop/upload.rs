//! What peers asked for, read from the disk beside the loop.

use super::super::storage::read_block;
use super::{Command, NodeLoop};
use watt_engine::message::{BLOCKS_BYTES_MAX, BLOCKS_PER_MESSAGE_MAX, Message};
use watt_engine::{Event, PeerId};
use watt_net::Bytes;
use watt_primitives::{BlockHeight, BoundedVec, Hash, Term, codec};
use watt_store::BlockStore;

impl NodeLoop {
    pub(super) fn send_blocks(&self, to: PeerId, from: BlockHeight, count: u32) {
        let blocks = self.storage.blocks();
        self.upload(to, move || read_blocks(&blocks, from, count));
    }

    pub(super) fn send_checkpoint(&self, to: PeerId) {
        let (checkpoints, blocks) = (self.checkpoints.clone(), self.storage.blocks());
        self.upload(to, move || checkpoints.offer(&blocks));
    }

    pub(super) fn send_hand_overs(&self, to: PeerId, from: Term) {
        let hand_overs = self.storage.hand_overs();
        self.upload(to, move || hand_overs.page(from));
    }

    pub(super) fn send_state(&self, to: PeerId, height: BlockHeight, at: Hash) {
        let checkpoints = self.checkpoints.clone();
        self.upload(to, move || checkpoints.part(height, at));
    }

    /// Reads a message from the disk beside the loop and sends it.
    fn upload(&self, to: PeerId, read: impl FnOnce() -> Message + Send + 'static) {
        let (peer, net) = (self.names.get(&to).copied(), self.net.clone());
        let sent = tokio::task::spawn_blocking(move || {
            // Whoever is gone gets nothing, and pays nothing.
            let Some(peer) = peer else { return 0 };
            let message = read().encode();
            let bytes = message.len();
            if let Err(refused) = net.send(peer, Bytes::from(message), watt_net::Priority::Bulk) {
                tracing::debug!(%refused, "what a peer asked for was not sent");
            }
            bytes
        });
        self.work(async move {
            let bytes = sent.await.unwrap_or_default();
            Command::Event(Box::new(Event::Uploaded { to, bytes }))
        });
    }
}

/// Blocks from `from` on, as many as fit an answer.
fn read_blocks(blocks: &BlockStore, from: BlockHeight, count: u32) -> Message {
    let count = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(BLOCKS_PER_MESSAGE_MAX);
    let (mut found, mut bytes, mut height) = (Vec::new(), 0usize, from);
    while found.len() < count {
        let block = match read_block(blocks, height) {
            Ok(Some((block, _))) => block,
            Ok(None) => break,
            // Whoever asked gets what there is below, and asks another for the rest.
            Err(error) => {
                tracing::warn!(height = height.0, %error, "a block of the log can't be served");
                break;
            }
        };
        bytes += codec::encode(&block).len();
        if bytes > BLOCKS_BYTES_MAX && !found.is_empty() {
            break;
        }
        found.push(block);
        height = height.next();
    }
    Message::Blocks {
        blocks: BoundedVec::new(found).unwrap_or_default(),
    }
}
