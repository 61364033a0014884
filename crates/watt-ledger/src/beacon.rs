//! The one definition of every drawn value (`docs/spec/ledger.md` §7).
//!
//! The beacon of height `s` is derived from `V_s`, the value that consensus decided. Whoever proposes block `s` can try many
//! bodies and so choose among beacons: **insecure where coins have value**, and [`crate::Genesis::check`] refuses a main network
//! until reveals of hash onions take its place behind this module.

use crate::rows;
use crate::state::StateRead;
use watt_primitives::hash::{self, Domain};
use watt_primitives::{AccountId, BlockHeight, DealId, Hash, NetworkId};

/// Whether the beacon withstands a proposer who grinds; a main network needs one that does.
pub const IS_GRINDABLE: bool = true;

/// Heights for which the beacon is remembered: the oldest seal a sector may still be pre-committed with.
pub const BEACONS_KEPT: u64 = 4096;

/// The beacon of one height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    network: NetworkId,
    value: Hash,
}

impl Beacon {
    /// The beacon that consensus value `value` gives.
    #[must_use]
    pub fn of_value(network: &NetworkId, value: &Hash) -> Self {
        Self {
            network: *network,
            value: hash::hash(Domain::Beacon, network, &[value.as_ref()]),
        }
    }

    /// The beacon of `height`; `None` in the future and further back than [`BEACONS_KEPT`].
    #[must_use]
    pub fn read(state: &(impl StateRead + ?Sized), network: &NetworkId, height: BlockHeight) -> Option<Self> {
        let value: Hash = rows::read(state, &rows::beacon(height))?;
        Some(Self::of_value(network, &value))
    }

    /// The value that orders the bids matched in this block: by account and number of its transaction, so that grinding a
    /// bid's terms moves nothing (TS28).
    #[must_use]
    pub fn bid_order(&self, client: &AccountId, deal: &DealId) -> Hash {
        self.draw("bid-order", &[client.as_ref(), deal.as_ref()])
    }

    /// The seed from which a bid's slots are dealt.
    #[must_use]
    pub fn match_seed(&self, deal: &DealId) -> Hash {
        self.draw("match", &[deal.as_ref()])
    }

    /// The value itself. What proofs draw from it, `watt-proofs` binds to its own purpose, provider and sector.
    #[must_use]
    pub const fn value(&self) -> &Hash {
        &self.value
    }

    /// The order of transactions that offer the same fee.
    #[must_use]
    pub fn fee_tie(&self, transaction: &[u8]) -> Hash {
        self.draw("fee-tie", &[transaction])
    }

    fn draw(&self, purpose: &str, subject: &[&[u8]]) -> Hash {
        let mut parts: Vec<&[u8]> = vec![self.value.as_ref(), purpose.as_bytes()];
        parts.extend_from_slice(subject);
        hash::hash(Domain::Beacon, &self.network, &parts)
    }
}
