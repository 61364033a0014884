//! A follower whose quorum set has its owner's circle in it (`docs/spec/node.md` 8.10).

use super::Engine;
use crate::consensus::Context;
use crate::effect::Effect;
use crate::event::Clocks;
use watt_light::BlockName;
use watt_primitives::{BlockHeight, NodeId};

impl Engine {
    /// From now on this node stores blocks only up to one that its owner's circle has, too, if that has enough people with nodes; what
    /// they say comes with [`Self::hear_circle`]. A node that was given voting keys goes on with the backbone alone.
    pub fn follow_with_circle(&mut self) {
        if !self.is_validator() {
            self.sync.follow_with_circle();
        }
    }

    /// The height about which words of the circle are wanted: the last of the blocks that wait for them, or one that enough of its
    /// nodes have.
    #[must_use]
    pub const fn wants_circle(&self) -> Option<BlockHeight> {
        self.sync.circle().wanted()
    }

    /// The circle as the state of the head says it, one node of each person, and what these nodes named when they were asked about the
    /// height that was wanted; their signatures hold.
    pub fn hear_circle(
        &mut self,
        now: Clocks,
        nodes: Vec<NodeId>,
        words: &[(NodeId, BlockName)],
        effects: &mut Vec<Effect>,
    ) {
        self.wall = now.wall;
        self.sync.hear_circle(nodes, words);
        let mut context = Context {
            now: now.steady,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        self.sync.next(&self.head, &self.backbones, &mut context);
    }
}
