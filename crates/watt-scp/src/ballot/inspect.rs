//! What tests see of ballots and may do to them.

use super::BallotProtocol;
use crate::protocol::Env;
use crate::values::{ValueIndex, Values};
use core::hash::{Hash as _, Hasher};

impl BallotProtocol {
    /// Begins the first or the next ballot with `value` as the composite.
    pub(crate) fn force(&mut self, value: ValueIndex, env: Env<'_>, values: &mut Values) {
        self.composite = Some(value);
        self.has_news = true;
        let counter = self
            .current
            .map_or(0, |current| current.counter)
            .saturating_add(1);
        self.bump_state(counter, env, values);
    }

    pub(crate) fn composite(&self) -> Option<ValueIndex> {
        self.composite
    }

    pub(crate) fn fingerprint(&self, values: &Values, hasher: &mut impl Hasher) {
        let name = |value: ValueIndex| values.get(value).0.0;
        for ballot in [
            self.current,
            self.prepared,
            self.prepared_prime,
            self.high,
            self.commit,
        ] {
            ballot
                .map(|ballot| (ballot.counter, name(ballot.value)))
                .hash(hasher);
        }
        (self.value_lock.map(name), self.composite.map(name)).hash(hasher);
        (self.phase > super::Phase::Prepare, self.externalized().map(name)).hash(hasher);
        (self.heard_from_quorum, self.has_news, self.is_dirty).hash(hasher);
    }
}
