//! Lots: everybody draws their own, so that whoever leaves, comes or changes moves nobody else (`docs/spec/market.md` §3.6).

use watt_primitives::hash::{Domain, DomainHasher};
use watt_primitives::{AccountId, Hash};

/// Bits of fraction of a logarithm.
const FRACTION_BITS: u32 = 48;

/// More space than this is no more weight: a pledge is a word, and costs nothing.
pub const WEIGHT_MAX: u64 = 1 << 46;

/// The lot of `owner` for `purpose`: a number drawn evenly. The seed is already bound to network and subject by whoever derived it
/// from the beacon.
#[must_use]
pub fn lot(seed: &Hash, purpose: &str, owner: &AccountId) -> u64 {
    let digest = DomainHasher::without_network(Domain::Beacon)
        .part(seed.as_ref())
        .part(purpose.as_bytes())
        .part(owner.as_ref())
        .finish();
    digest.0.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// The key by which a lot competes with weight, the least first: `-log2(u) / weight` with `u = (lot + 1) / 2⁶⁴`, in units of `2⁻¹¹²`.
///
/// Drawn evenly, `-log2(u) / weight` is exponential with a rate in proportion to the weight: whoever has the least is each with a
/// chance in proportion to theirs, and so is whoever has the least of the others (A-Res: Efraimidis and Spirakis, "Weighted random
/// sampling with a reservoir", 2006). Weights below 1 count as 1, above [`WEIGHT_MAX`] as that. The error of the logarithm,
/// below `2⁻⁴⁷`, is the only one that matters.
#[must_use]
pub fn weighted_key(lot: u64, weight: u64) -> u128 {
    let n = u128::from(lot).saturating_add(1);
    let exponential = (64u128 << FRACTION_BITS).saturating_sub(u128::from(log2(n)));
    (exponential << 64)
        .checked_div(u128::from(weight.clamp(1, WEIGHT_MAX)))
        .unwrap_or(u128::MAX)
}

/// `log2(n)` for `n` from 1 to `2⁶⁴`, in units of `2⁻⁴⁸`: never above it, and less than `2⁻⁴⁸ + 2⁻⁶¹` below it; exact for powers of two.
///
/// Squaring doubles a logarithm, so each square's whole bit is the next bit of the fraction. Each step cuts off less than `2⁻⁶²` of its
/// value twice over, which is below `2⁻⁶¹` in the logarithm of step `i`, and `2⁻ⁱ` of that in the result.
fn log2(n: u128) -> u64 {
    let Some(whole) = n.checked_ilog2() else { return 0 };
    let mut result = u64::from(whole);
    // In [1, 2), with 63 bits of fraction, exactly.
    let mut mantissa = (n << 63).checked_shr(whole).unwrap_or(0);
    for _ in 0..FRACTION_BITS {
        let square = mantissa.saturating_mul(mantissa) >> 63;
        let is_two_or_more = square >> 64 != 0;
        result = (result << 1) | u64::from(is_two_or_more);
        mantissa = if is_two_or_more { square >> 1 } else { square };
    }
    result
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: u64 = 1 << FRACTION_BITS;

    /// Powers of two are exact, and the ends of what is asked for are what they should be. Covers: E1.
    #[test]
    fn powers_of_two_are_exact() {
        for whole in 0..=64u32 {
            assert_eq!(log2(1 << whole), u64::from(whole) * ONE);
        }
        assert_eq!(log2(0), 0);
        assert_eq!(weighted_key(u64::MAX, 1), 0);
        assert_eq!(weighted_key(0, 1), u128::from(64 * ONE) << 64);
        assert_eq!(weighted_key(0, 0), weighted_key(0, 1));
        assert_eq!(weighted_key(7, u64::MAX), weighted_key(7, WEIGHT_MAX));
        // The fraction of log2(3) is 0.58496250072115618145...; 2^48 times that is 164652306267094.53.
        assert_eq!(log2(3) - ONE, 164_652_306_267_094);
    }

    proptest! {
        /// What makes a function the logarithm: it grows, doubling adds one, and multiplying adds, within the bound that is stated.
        /// Covers: E1.
        #[test]
        fn it_is_the_logarithm(a in 1u64.., b in 1u64.., shift in 0u32..33) {
            let (a32, b32) = (u128::from(a >> 32).max(1), u128::from(b >> 32).max(1));
            let (sum, product) = (log2(a32) + log2(b32), log2(a32 * b32));
            prop_assert!(product >= sum.saturating_sub(1) && product <= sum + 2, "{} {}", product, sum);
            prop_assert_eq!(log2(a32 << shift.min(32)), log2(a32) + u64::from(shift.min(32)) * ONE);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(log2(u128::from(low)) <= log2(u128::from(high)));
            prop_assert!(log2(u128::from(a) + 1) >= log2(u128::from(a)));
        }

        /// More weight never makes a lot worse, and a better lot never does either. Covers: E1.
        #[test]
        fn weight_and_luck_only_help(lot in any::<u64>(), more in any::<u64>(), weight in any::<u64>(), heavier in any::<u64>()) {
            let (low, high) = (weight.min(heavier), weight.max(heavier));
            prop_assert!(weighted_key(lot, high) <= weighted_key(lot, low));
            let (worse, better) = (lot.min(more), lot.max(more));
            prop_assert!(weighted_key(better, weight) <= weighted_key(worse, weight));
        }
    }
}
