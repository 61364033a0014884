//! Which validators were heard lately, for the API: statements that came here, and who signed the blocks.

use super::{NodeLoop, steady, wall};
use crate::node::Seen;
use std::collections::BTreeMap;
use watt_engine::message::DecidedBlock;
use watt_primitives::{NodeId, Timestamp};

/// How often what was heard is shown anew, in milliseconds: not after each of thousands of events.
const SHOW_MS: u64 = 500;

/// Who signed blocks, when the newest of these closed, and when all was shown last.
#[derive(Debug, Default)]
pub(super) struct Signers {
    signed: BTreeMap<NodeId, u64>,
    shown: Timestamp,
}

impl NodeLoop {
    /// Blocks are stored: who signed them was there when they closed.
    pub(super) fn note_signers(&mut self, blocks: &[DecidedBlock]) {
        for block in blocks {
            let at_ms = block.proposal.proposal.close_time.0;
            for envelope in &block.decision {
                let (slot, key) = (envelope.statement.slot, envelope.statement.node);
                let deciders = self.engine.backbones().of_slot(slot);
                let seat = deciders.and_then(|deciders| deciders.seat_ever_of(&key));
                note(&mut self.signers.signed, seat.unwrap_or(key), at_ms);
            }
        }
        let entries = &self.engine.quorum_set().nodes;
        self.signers.signed.retain(|node, _| entries.contains(node));
    }

    /// Shows what was heard, if it is time.
    pub(super) fn show_hearing(&mut self) {
        let now = steady(self.beginning);
        if self.signers.shown.0 > 0 && now.0 < self.signers.shown.0.saturating_add(SHOW_MS) {
            return;
        }
        self.signers.shown = now;
        let wall_ms = wall().0;
        let mut heard = self.signers.signed.clone();
        for (node, word) in self.engine.hearing().words() {
            let ago_ms = now.0.saturating_sub(word.at.0);
            note(&mut heard, node, wall_ms.saturating_sub(ago_ms));
        }
        self.shared.show_seen(Seen {
            quorum_set: self.engine.quorum_set().clone(),
            own: self.engine.own_entry(),
            heard,
        });
    }
}

fn note(heard: &mut BTreeMap<NodeId, u64>, node: NodeId, at_ms: u64) {
    let known = heard.entry(node).or_insert(at_ms);
    *known = at_ms.max(*known);
}
