//! Who leads a round of nomination: the hashes of SOSP 2019 §3.2.5 (`docs/spec/scp.md` §4.3).

use crate::statement::Value;
use watt_primitives::hash::{Domain, DomainHasher};
use watt_primitives::{NetworkId, NodeId, SlotIndex};

/// Which of the three hashes; the number is part of what is hashed.
#[derive(Clone, Copy)]
enum Purpose {
    Neighbor,
    Priority,
    Value,
}

impl Purpose {
    const fn tag(self) -> [u8; 1] {
        match self {
            Self::Neighbor => [1],
            Self::Priority => [2],
            Self::Value => [3],
        }
    }
}

/// The hashes of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw<'a> {
    pub(crate) network: &'a NetworkId,
    pub(crate) slot: SlotIndex,
    pub(crate) previous: Value,
    pub(crate) round: u32,
}

impl Draw<'_> {
    /// A node's priority in this round: 0 unless its weight makes it a neighbour.
    pub(crate) fn priority(&self, node: &NodeId, weight: u64) -> u64 {
        // A weight of all ones is met by every hash, so that one need not be computed.
        let is_neighbor =
            weight != 0 && (weight == u64::MAX || self.hash(Purpose::Neighbor, node.as_ref()) <= weight);
        if is_neighbor {
            self.hash(Purpose::Priority, node.as_ref())
        } else {
            0
        }
    }

    /// The order in which a leader's values are taken: highest first.
    pub(crate) fn value_rank(&self, value: &Value) -> u64 {
        self.hash(Purpose::Value, value.0.as_ref())
    }

    fn hash(&self, purpose: Purpose, subject: &[u8]) -> u64 {
        let mut hasher = DomainHasher::new(Domain::Leader, self.network);
        hasher
            .part(&self.slot.0.to_be_bytes())
            .part(self.previous.0.as_ref())
            .part(&purpose.tag())
            .part(&self.round.to_be_bytes())
            .part(subject);
        let digest = hasher.finish();
        let first = digest.as_bytes().first_chunk::<8>();
        first.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}
