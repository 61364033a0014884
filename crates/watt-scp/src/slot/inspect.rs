//! What tests see of a slot and may do to it.

use super::{Slot, Timer};
use crate::node_set::NodeIndex;
use crate::protocol::{Env, Output, TimerKind};
use crate::roster::Roster;
use crate::statement::Value;
use alloc::vec::Vec;
use core::hash::{Hash as _, Hasher};

impl Slot {
    pub(crate) fn force_ballot(&mut self, value: &Value, env: Env<'_>, out: &mut Vec<Output>) {
        let env = self.with_voice(env);
        if let Some(index) = self.values.intern_own(value, env.oracle) {
            self.ballot.force(index, env, &mut self.values);
        }
        self.settle(env, out);
    }

    pub(crate) fn is_leader(&self, node: NodeIndex) -> bool {
        self.nomination.is_leader(node)
    }

    pub(crate) fn composite(&self) -> Option<Value> {
        self.ballot.composite().map(|value| self.values.get(value))
    }

    pub(crate) fn armed_timers(&self) -> impl Iterator<Item = (TimerKind, u32, u64)> {
        let armed = |kind, timer: &Timer| timer.round.map(|round| (kind, round, timer.generation));
        let nomination = armed(TimerKind::Nomination, &self.nomination_timer);
        nomination
            .into_iter()
            .chain(armed(TimerKind::Ballot, &self.ballot_timer))
    }

    pub(crate) fn fingerprint(&self, roster: &Roster, hasher: &mut impl Hasher) {
        let mut statements: Vec<_> = self.latest().collect();
        statements.sort_unstable();
        for statement in statements {
            (statement.node, watt_primitives::codec::encode(statement)).hash(hasher);
        }
        let mut values: Vec<_> = self.values.indexes().collect();
        values.sort_unstable_by_key(|value| self.values.get(*value));
        for value in values {
            let is_known = (self.values.validity(value), self.values.is_given_up(value));
            (self.values.get(value).0.0, is_known).hash(hasher);
            self.nomination.fingerprint_value(value, hasher);
        }
        self.nomination.fingerprint(roster, hasher);
        self.ballot.fingerprint(&self.values, hasher);
        for (kind, round, _) in self.armed_timers() {
            (kind, round).hash(hasher);
        }
        let lock = self.recorded_lock.map(|value| self.values.get(value).0.0);
        (self.is_silent, self.is_externalized, lock).hash(hasher);
    }
}
