//! What tests see of nomination.

use super::Nomination;
use crate::node_set::NodeIndex;
use crate::roster::Roster;
use crate::values::ValueIndex;
use core::hash::{Hash as _, Hasher};

impl Nomination {
    pub(crate) fn is_leader(&self, node: NodeIndex) -> bool {
        self.leaders.contains(node)
    }

    pub(crate) fn fingerprint_value(&self, value: ValueIndex, hasher: &mut impl Hasher) {
        let tally = self.tallies.get(value.position());
        tally
            .map(|tally| (tally.is_voted, tally.is_accepted, tally.is_candidate))
            .hash(hasher);
    }

    pub(crate) fn fingerprint(&self, roster: &Roster, hasher: &mut impl Hasher) {
        (self.is_running, self.round, self.has_candidate).hash(hasher);
        self.proposal.map(|value| value.0.0).hash(hasher);
        self.previous.map(|value| value.0.0).hash(hasher);
        for node in roster.indexes() {
            let heard = self.heard.get(node.position()).and_then(Option::as_ref);
            (
                self.leaders.contains(node),
                self.unread.contains(node),
                heard.map(|heard| (heard.n_adopted, heard.has_unmet)),
            )
                .hash(hasher);
        }
    }
}
