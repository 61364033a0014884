//! The only source of luck: ChaCha, one stream per purpose, so that one more draw here changes nothing there.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream of luck is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Delays, losses, copies.
    Network = 1,
    /// Delays, tears, rot.
    Disk = 2,
    /// Who is connected to whom.
    Topology = 3,
    /// Sessions of phones and laptops.
    Devices = 4,
    /// What people ask for.
    Clients = 5,
    /// What those do who misbehave.
    Actors = 6,
    /// What goes wrong when.
    Faults = 7,
    /// Which results are computed a second time.
    Recheck = 8,
}

/// A stream of luck.
#[derive(Clone, Debug)]
pub struct Luck(ChaCha8Rng);

impl Luck {
    /// The stream of `seed` for `purpose`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(purpose as u64);
        Self(rng)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`; 0 if there is none.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias of a remainder is below 2⁻⁴⁰ for all ranges used here.
        self.number() % n.max(1)
    }

    /// A place in a list of `n`.
    pub fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(u64::try_from(n).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn permille(&mut self, odds: u64) -> bool {
        // No draw for what can't happen: a fault that is off changes nothing.
        odds > 0 && self.below(1000) < odds
    }

    /// `n` different places of a list of `len`, ascending; all if there are fewer.
    pub fn choose(&mut self, n: usize, len: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..len).collect();
        for at in 0..n.min(len) {
            let other = at + self.index(len - at);
            places.swap(at, other);
        }
        places.truncate(n);
        places.sort_unstable();
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same seed gives the same luck; another purpose or seed another.
    #[test]
    fn luck_is_a_function_of_seed_and_purpose() {
        let draw = |seed, purpose| Luck::new(seed, purpose).number();
        assert_eq!(draw(1, Purpose::Network), draw(1, Purpose::Network));
        assert_ne!(draw(1, Purpose::Network), draw(2, Purpose::Network));
        assert_ne!(draw(1, Purpose::Network), draw(1, Purpose::Disk));
    }

    /// A choice has no place twice, and is everything when more is asked for than there is.
    #[test]
    fn a_choice_has_no_place_twice() {
        let mut luck = Luck::new(7, Purpose::Faults);
        for n in 0..12 {
            let chosen = luck.choose(n, 10);
            assert_eq!(chosen.len(), n.min(10));
            assert!(chosen.is_sorted_by(|a, b| a < b));
        }
    }
}
