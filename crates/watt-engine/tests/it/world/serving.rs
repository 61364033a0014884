//! How nodes of the world serve blocks, bodies and states to others: well, badly, or not at all.

use super::World;
use super::{key, seat};
use watt_engine::Backbones;
use watt_engine::Event;
use watt_engine::checkpoint::Incoming;
use watt_engine::event::PeerId;
use watt_engine::message::{BLOCKS_PER_MESSAGE_MAX, DecidedBlock, HAND_OVERS_PER_MESSAGE_MAX, Message};
use watt_ledger::MemoryState;
use watt_ledger::tree::{self, chunk, chunk::StateChunk};
use watt_light::{Backbone, HandOver};
use watt_primitives::{BlockHeight, BoundedVec, Hash, Term};
use watt_scp::{Ballot, Envelope, Pledges, Statement};

/// How a node answers whoever asks it for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// At once and rightly.
    Honest,
    /// Not at all.
    Silent,
    /// Rightly, so many milliseconds late.
    Slow(u64),
    /// With no blocks.
    Nothing,
    /// With the right proposals and proofs over other bodies.
    OtherBodies,
    /// With a chain of its own, decided by keys that are no entries.
    Fork,
}

/// To whom a node sends no bodies of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withholding {
    /// Nobody gets them.
    All,
    /// Every other node.
    Half,
    /// All but one.
    AllButOne,
}

impl Withholding {
    pub(super) fn is_from(self, to: usize) -> bool {
        match self {
            Self::All => true,
            Self::Half => to.is_multiple_of(2),
            Self::AllButOne => to != 1,
        }
    }
}

impl World {
    /// From now on `node` answers requests for blocks so.
    pub fn set_serving(&mut self, node: usize, serving: Serving) {
        self.serving.insert(node, serving);
    }

    pub(super) fn serve(&mut self, node: usize, to: PeerId, from: BlockHeight, count: u32) {
        self.requests.push((to.0 as usize, node));
        let serving = self.serving.get(&node).copied().unwrap_or(Serving::Honest);
        let base = self.nodes[node].disk.base_height();
        let first = usize::try_from(from.0.saturating_sub(base + 1)).unwrap();
        let count = match serving {
            Serving::Nothing => 0,
            _ if from.0 <= base => 0,
            _ => (count as usize).min(BLOCKS_PER_MESSAGE_MAX).min(16),
        };
        let disk = &self.nodes[node].disk;
        let stored = disk.blocks.iter().skip(first).take(count);
        let readable = stored
            .map(|(block, _)| block.clone())
            .take_while(|block| !disk.rotten.contains(&block.proposal.proposal.slot.0));
        let blocks: Vec<DecidedBlock> = match serving {
            Serving::OtherBodies => readable.map(|block| self.with_other_body(block)).collect(),
            Serving::Fork => readable.map(|block| self.on_a_fork(block)).collect(),
            Serving::Honest | Serving::Silent | Serving::Slow(_) | Serving::Nothing => readable.collect(),
        };
        let blocks = BoundedVec::new(blocks).unwrap();
        self.upload(node, to, &Message::Blocks { blocks });
    }

    /// Sends `message` in the manner of `node`, and ends the effect that asked for it.
    fn upload(&mut self, node: usize, to: PeerId, message: &Message) {
        let message = message.encode();
        let bytes = message.len();
        match self.serving.get(&node).copied() {
            Some(Serving::Silent) => {}
            Some(Serving::Slow(ms)) => self.deliver(node, to.0 as usize, message, ms),
            _ => self.deliver(node, to.0 as usize, message, 0),
        }
        self.handle(node, Event::Uploaded { to, bytes });
    }

    pub(super) fn serve_checkpoint(&mut self, node: usize, to: PeerId) {
        let disk = &self.nodes[node].disk;
        let proof = disk.checkpoint.as_ref().and_then(|(header, state)| {
            let backbones = Backbones::in_state(state);
            let deciders = backbones.of_slot(header.height.next().into()).unwrap();
            let next = usize::try_from(header.height.0 - disk.base_height()).unwrap();
            let (block, _) = disk.blocks.get(next)?;
            block.proves(header.clone(), deciders.voters())
        });
        let proof = proof.map(Box::new);
        self.upload(node, to, &Message::Checkpoint { proof });
    }

    pub(super) fn serve_hand_overs(&mut self, node: usize, to: PeerId, from: Term) {
        let kept = &self.nodes[node].disk.hand_overs;
        let page = kept
            .iter()
            .skip(from.0 as usize)
            .take(HAND_OVERS_PER_MESSAGE_MAX)
            .cloned();
        let mut page: Vec<HandOver> = page.collect();
        match self.serving.get(&node) {
            Some(Serving::Nothing) => page.clear(),
            Some(Serving::Fork) => {
                if let Some(first) = page.first_mut() {
                    first.backbone = Backbone::new(vec![seat(51)]).unwrap();
                }
            }
            _ => {}
        }
        let hand_overs = BoundedVec::new(page).unwrap();
        self.upload(node, to, &Message::HandOvers { from, hand_overs });
    }

    pub(super) fn serve_state(&mut self, node: usize, to: PeerId, height: BlockHeight, at: Hash) {
        let served = self.nodes[node].disk.checkpoint.as_ref();
        let mut chunk = served
            .filter(|(header, _)| header.height == height)
            .and_then(|(_, state)| chunk::chunk(state, &at).unwrap());
        match self.serving.get(&node) {
            Some(Serving::Nothing) => chunk = None,
            Some(Serving::OtherBodies | Serving::Fork) => {
                let forge = |mut chunk: StateChunk| {
                    let mut entries = chunk.entries.to_vec();
                    entries.pop();
                    chunk.entries = BoundedVec::new(entries).unwrap();
                    chunk
                };
                chunk = chunk.map(forge);
            }
            _ => {}
        }
        self.chunks.push(node);
        let chunk = chunk.map(Box::new);
        self.upload(node, to, &Message::State { height, at, chunk });
    }

    pub(super) fn take_chunk(&mut self, node: usize, at: Hash, chunk: &StateChunk, then: Incoming) -> bool {
        let disk = &mut self.nodes[node].disk;
        if chunk.verify(&then.header.state_root, &at).is_err() {
            return false;
        }
        let (_, mut state) = disk
            .incoming
            .take()
            .filter(|(incoming, _)| incoming.header == then.header)
            .unwrap_or((then.clone(), MemoryState::default()));
        let entries = chunk.writes();
        let rows = tree::update(&state, &entries).unwrap().rows;
        state.write(&entries);
        state.write(&rows);
        state.write(&chunk::beside(&entries));
        disk.incoming = Some((then, state));
        self.taken.push((node, at));
        true
    }

    fn with_other_body(&self, mut block: DecidedBlock) -> DecidedBlock {
        block.is_empty = !block.is_empty;
        block
    }

    fn on_a_fork(&self, mut block: DecidedBlock) -> DecidedBlock {
        let mut proposal = block.proposal.proposal;
        proposal.close_time = proposal.close_time.plus(1);
        let (slot, value) = (proposal.slot, proposal.value());
        block.proposal = proposal.sign(&key(51));
        block.is_empty = false;
        let says = |seed: u8| {
            let statement = Statement {
                node: key(seed).node_id(),
                slot,
                quorum_set: self.genesis.quorum_set().hash(&self.network),
                pledges: Pledges::Externalize {
                    commit: Ballot { counter: 1, value },
                    h_counter: 1,
                },
            };
            Envelope::sign(statement, &key(seed), &self.network)
        };
        block.decision = BoundedVec::new((51..55).map(says).collect()).unwrap();
        block
    }
}
