//! The states that this node serves to fresh ones: views of the state at fixed heights, which later blocks don't change.

use super::storage::read_block;
use std::collections::VecDeque;
use std::sync::Arc;
use watt_engine::Backbones;
use watt_engine::message::Message;
use watt_ledger::tree::chunk::{self, StateChunk};
use watt_light::{FinalityProof, Header};
use watt_primitives::{BlockHeight, Hash};
use watt_store::{BlockStore, Snapshot};

/// States that are served: the newest, and the one before it for whoever is still fetching it.
const SERVED: usize = 2;

/// The states that are served, the newest last.
#[derive(Clone)]
pub(super) struct Checkpoints {
    every: u64,
    served: VecDeque<(Header, Arc<Snapshot>)>,
}

impl Checkpoints {
    /// One state every `every` blocks.
    pub(super) fn new(every: u64) -> Self {
        Self {
            every: every.max(1),
            served: VecDeque::new(),
        }
    }

    /// The head moved: serves its state if a checkpoint lies between it and the newest that is served.
    pub(super) fn see(&mut self, header: &Header, snapshot: &Arc<Snapshot>) {
        let newest = self.served.back().map_or(0, |(newest, _)| newest.height.0);
        if header.height.0 / self.every > newest / self.every {
            self.served.push_back((header.clone(), Arc::clone(snapshot)));
            while self.served.len() > SERVED {
                self.served.pop_front();
            }
        }
    }

    /// What a peer is told that asks for a checkpoint: the newest of which the block above is here to prove it.
    pub(super) fn offer(&self, blocks: &BlockStore) -> Message {
        let proof = self
            .served
            .iter()
            .rev()
            .find_map(|(header, snapshot)| prove(header, snapshot, blocks));
        Message::Checkpoint {
            proof: proof.map(Box::new),
        }
    }

    /// A part of the state after block `height`.
    pub(super) fn part(&self, height: BlockHeight, at: Hash) -> Message {
        let served = self.served.iter().find(|(header, _)| header.height == height);
        let chunk = served.and_then(|(_, snapshot)| read_chunk(snapshot, &at));
        Message::State {
            height,
            at,
            chunk: chunk.map(Box::new),
        }
    }
}

fn prove(header: &Header, snapshot: &Snapshot, blocks: &BlockStore) -> Option<FinalityProof> {
    let (above, _) = read_block(blocks, header.height.next()).ok()??;
    let backbones = snapshot.read(|rows| Backbones::in_state(rows)).ok()?;
    let deciders = backbones.of_slot(header.height.next().into())?;
    above.proves(header.clone(), deciders.voters())
}

fn read_chunk(snapshot: &Snapshot, at: &Hash) -> Option<StateChunk> {
    match snapshot.read(|rows| chunk::chunk(rows, at)) {
        Ok(Ok(chunk)) => chunk,
        Ok(Err(error)) => {
            tracing::warn!(%error, "a part of the state can't be served");
            None
        }
        // The next event meets the same damage and stops the node.
        Err(error) => {
            tracing::warn!(%error, "a part of the state can't be served");
            None
        }
    }
}
