//! Seeded integer sampling: the same seed gives the same picks on every machine (`docs/spec/market.md` §3).

use watt_primitives::Hash;
use watt_primitives::hash::{Domain, DomainHasher};

/// A stream of numbers drawn from one seed.
#[derive(Clone, Debug)]
pub struct Draw {
    seed: Hash,
    n_drawn: u64,
}

impl Draw {
    /// Begins a stream. The seed is already bound to network, purpose and subject by whoever derived it from the beacon.
    #[must_use]
    pub const fn new(seed: Hash) -> Self {
        Self { seed, n_drawn: 0 }
    }

    /// A number below `bound`; zero if `bound` is zero.
    ///
    /// 128 fresh bits modulo the bound: for bounds below 2⁸⁰ no number is more likely than another by more than 2⁻⁴⁸.
    pub fn below(&mut self, bound: u128) -> u128 {
        let digest = DomainHasher::without_network(Domain::Beacon)
            .part(self.seed.as_ref())
            .part(&self.n_drawn.to_be_bytes())
            .finish();
        self.n_drawn = self.n_drawn.saturating_add(1);
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        u128::from_be_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }

    /// An index below `len`; zero if `len` is zero.
    pub fn index(&mut self, len: usize) -> usize {
        let bound = u128::try_from(len).unwrap_or(u128::MAX);
        usize::try_from(self.below(bound)).unwrap_or(0)
    }
}
