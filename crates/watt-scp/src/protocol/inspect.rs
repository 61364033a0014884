//! What conformance harnesses and model checkers may do and see beyond the one entry point (`docs/spec/scp.md` §9).

use super::{Env, Oracle, Output, Scp, TimerKind};
use crate::statement::{Statement, Value};
use alloc::vec::Vec;
use core::hash::Hasher;
use watt_primitives::{NodeId, SlotIndex};

/// What becomes of a statement that is received now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is noted as its sender's newest.
    Heard,
    /// No correct node says it (§3.3).
    NotSane,
    /// It is not newer than what is held (§3.4).
    NotNewer,
    /// Its sender occurs in no quorum set met so far (§2.9).
    UnknownNode,
    /// Its slot is below the lowest kept.
    SlotClosed,
    /// It names this node itself as its sender: never heard, at most a sign of amnesia (§6.4).
    Own,
}

impl Scp {
    /// Starts the first ballot of `slot`, or goes to the next counter, with `value` in place of nomination's composite: a
    /// commit voted for, the value lock and the fallback go before it (§5.6).
    pub fn force_ballot(
        &mut self,
        slot: SlotIndex,
        value: Value,
        oracle: &impl Oracle,
        out: &mut Vec<Output>,
    ) {
        self.with_own_slot(slot, oracle, |slot, env: Env<'_>| {
            slot.force_ballot(&value, env, out);
        });
    }

    /// The leaders of the rounds so far, ascending.
    #[must_use]
    pub fn leaders(&self, slot: SlotIndex) -> Vec<NodeId> {
        let ids = |node| self.roster.id(node);
        let held = self.held(slot);
        let mut leaders: Vec<NodeId> = held.map_or_else(Vec::new, |held| {
            let indexes = self.roster.indexes();
            indexes
                .filter(|node| held.is_leader(*node))
                .filter_map(ids)
                .collect()
        });
        leaders.sort_unstable();
        leaders
    }

    /// What nomination has made of its candidates, or [`Self::force_ballot`] put in its place.
    #[must_use]
    pub fn composite(&self, slot: SlotIndex) -> Option<Value> {
        self.held(slot)?.composite()
    }

    /// The newest statements of `node` that are held: nomination, then ballot statement.
    pub fn latest_of(&self, slot: SlotIndex, node: NodeId) -> impl Iterator<Item = &Statement> {
        self.latest(slot).filter(move |statement| statement.node == node)
    }

    /// The timers that run, with round or counter, and generation.
    #[must_use]
    pub fn armed_timers(&self, slot: SlotIndex) -> Vec<(TimerKind, u32, u64)> {
        self.slots
            .get(&slot)
            .map_or_else(Vec::new, |held| held.armed_timers().collect())
    }

    /// What would become of `statement`, room for values left aside.
    #[must_use]
    pub fn verdict(&self, statement: &Statement) -> Verdict {
        if statement.slot < self.lowest {
            return Verdict::SlotClosed;
        }
        if !statement.pledges.is_sane() {
            return Verdict::NotSane;
        }
        if statement.node == self.config.node {
            return Verdict::Own;
        }
        if self.roster.index(&statement.node).is_none() {
            return Verdict::UnknownNode;
        }
        let is_nomination = statement.pledges.is_nomination();
        let mut held = self.latest_of(statement.slot, statement.node);
        let held = held.find(|held| held.pledges.is_nomination() == is_nomination);
        if held.is_some_and(|held| !statement.pledges.is_newer_than(&held.pledges)) {
            return Verdict::NotNewer;
        }
        Verdict::Heard
    }

    /// Feeds `hasher` everything about `slot` that later behaviour depends on, but generations of timers: states that
    /// feed the same behave the same.
    pub fn fingerprint(&self, slot: SlotIndex, hasher: &mut impl Hasher) {
        let Some(held) = self.held(slot) else { return };
        held.fingerprint(&self.roster, hasher);
    }
}
