//! Which values a node accepts as nominated (`docs/spec/scp.md` §4.6).

use super::{Nomination, Tally, standing};
use crate::node_set::{NodeIndex, NodeSet};
use crate::protocol::{Env, OWN, Validity};
use crate::statement::{Pledges, VALUES_PER_STATEMENT_MAX, Value};
use crate::values::{ValueIndex, Values};
use alloc::vec::Vec;

impl Nomination {
    /// Gives numbers to values that were invalid when they were named, which a v-blocking set accepts all the same.
    fn meet_accepted(&mut self, env: Env<'_>, values: &mut Values) {
        let mut unmet = Vec::new();
        for heard in self.heard.iter().flatten().filter(|heard| heard.has_unmet) {
            if let Pledges::Nominate { accepted, .. } = &heard.statement.pledges {
                unmet.extend(accepted.iter().filter(|value| !self.has_tally(value, values)));
            }
        }
        unmet.sort_unstable();
        unmet.dedup();
        // Each is accepted at once, if there is room for the vote.
        let mut room = VALUES_PER_STATEMENT_MAX.saturating_sub(self.n_votes);
        for value in unmet {
            if room > 0
                && env.roster.own_set().is_blocked_by(&self.accepting(&value))
                && standing(&value, env, values).is_some()
                && let Some(index) = values.intern_own(&value, env.oracle)
            {
                self.tally_mut(index);
                room = room.saturating_sub(1);
            }
        }
    }

    fn has_tally(&self, value: &Value, values: &Values) -> bool {
        let index = values.find(value);
        index.is_some_and(|index| index.position() < self.tallies.len())
    }

    /// The others whose newest statement accepts `value`, those too that said so when it was invalid.
    fn accepting(&self, value: &Value) -> NodeSet {
        let mut nodes = NodeSet::EMPTY;
        for (position, heard) in self.heard.iter().enumerate() {
            if let Some(Pledges::Nominate { accepted, .. }) = heard.as_ref().map(|it| &it.statement.pledges)
                && accepted.binary_search(value).is_ok()
                && let Some(node) = NodeIndex::new(position)
            {
                nodes.insert(node);
            }
        }
        nodes
    }

    /// Whether a value that is invalid here is accepted all the same: a v-blocking set does, and its fallback stands for it. What one
    /// node made a candidate must become everybody's (`docs/spec/scp.md` §4.6).
    fn may_accept_invalid(&self, index: ValueIndex, tally: &Tally, env: Env<'_>, values: &Values) -> bool {
        let (value, own_set) = (values.get(index), env.roster.own_set());
        let has_unmet = self.heard.iter().flatten().any(|heard| heard.has_unmet);
        let is_blocked = own_set.is_blocked_by(&tally.accepted)
            || (has_unmet && own_set.is_blocked_by(&self.accepting(&value)));
        is_blocked && standing(&value, env, values).is_some()
    }

    /// Accept what a v-blocking set accepts, or a quorum votes for or accepts; what is invalid here after a v-blocking set only.
    pub(super) fn accept_nominated(&mut self, env: Env<'_>, values: &mut Values) {
        self.meet_accepted(env, values);
        for index in values.indexes() {
            let Some(tally) = self.tallies.get(index.position()) else {
                return;
            };
            let has_room = tally.is_voted || self.n_votes < VALUES_PER_STATEMENT_MAX;
            if tally.is_accepted || !has_room {
                continue;
            }
            let is_invalid = values.validity(index) == Validity::Invalid;
            let may_accept = if is_invalid {
                self.may_accept_invalid(index, tally, env, values)
            } else {
                env.roster.own_set().is_blocked_by(&tally.accepted)
                    || self.declarations.has_quorum_in(&tally.voted, env.roster)
            };
            if !may_accept {
                continue;
            }
            if is_invalid {
                self.count_heard(index, &values.get(index));
            }
            self.vote(index, env);
            let votes = env.votes;
            let tally = self.tally_mut(index);
            tally.is_accepted = true;
            if votes {
                tally.accepted.insert(OWN);
            }
            self.is_dirty = true;
        }
    }
}
