//! Hand-overs: those that are made here, and those that peers show.

use super::Engine;
use crate::consensus::Context;
use crate::effect::Effect;
use crate::event::PeerId;
use crate::way::Shown;
use std::sync::Arc;
use watt_light::HandOver;
use watt_primitives::{Term, Timestamp};

impl Engine {
    /// Looks whether a block that is about to be stored is the second half of a hand-over, and what successions prove it.
    pub(super) fn hand_over(&mut self, n_before: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        let blocks_of = |effect: &Effect| {
            if let Effect::Commit { blocks, .. } = effect {
                Some(Arc::clone(blocks))
            } else {
                None
            }
        };
        let commits = effects.iter().skip(n_before).filter_map(blocks_of);
        for blocks in commits.collect::<Vec<_>>() {
            let kept = blocks
                .iter()
                .filter_map(|block| self.way.see_block(block, &self.backbones));
            effects.extend(kept);
            // They were checked with the block.
            let proving = blocks.iter().flat_map(|block| block.successions.iter().cloned());
            self.learn_successions(proving.collect(), None, now, effects);
        }
    }

    /// A peer shows how backbones came to be.
    pub(super) fn shown_the_way(
        &mut self,
        from: PeerId,
        first: Term,
        hand_overs: Vec<HandOver>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        let shown = self.way.received(from, first, hand_overs, &mut context);
        if shown != Shown::Unasked {
            self.checkpoint.walked(from, shown, &mut self.way, &mut context);
        }
        match shown {
            Shown::Further | Shown::Nothing => {}
            Shown::Unasked => self.count("unasked hand-overs"),
            Shown::Forged => {
                self.count("forged hand-over");
                effects.push(Effect::Disconnect(from));
            }
        }
    }
}
