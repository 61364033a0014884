//! Money: whole smallest units, never a float, never a silent overflow.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Smallest units in one WATT: 8 decimals, so that the whole supply (2·10¹⁸ units) fits a `u64`.
pub const UNITS_PER_WATT: u64 = 100_000_000;

/// All the WATT there will ever be: 20,000,000,000 (requirement F1).
pub const SUPPLY_MAX: Amount = Amount(20_000_000_000 * UNITS_PER_WATT);

/// An amount of money in smallest units (10⁻⁸ WATT).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whole WATT; `None` above what a `u64` of smallest units holds.
    #[must_use]
    pub const fn from_watt(watt: u64) -> Option<Self> {
        match watt.checked_mul(UNITS_PER_WATT) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// Sum, or `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// Difference, or `None` below zero.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// Difference, zero where it would be negative.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self * numerator / denominator`, rounded down; the remainder stays with whoever pays. `None` if the result does
    /// not fit or the denominator is zero.
    #[must_use]
    pub fn mul_ratio_floor(self, numerator: u128, denominator: u128) -> Option<Self> {
        let product = u128::from(self.0).checked_mul(numerator)?;
        u64::try_from(product.checked_div(denominator)?).ok().map(Self)
    }

    /// Sum of all, or `None` on overflow.
    #[must_use]
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Amount {
    /// WATT with as many of the 8 decimals as are not trailing zeros, for example `1.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction) = (self.0 / UNITS_PER_WATT, self.0 % UNITS_PER_WATT);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let mut width = 8usize;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{whole}.{fraction:0width$}")
    }
}

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not digits with at most one point.
    #[error("an amount is digits with at most one point, for example 12.5")]
    NotANumber,
    /// More than 8 decimals.
    #[error("an amount has at most 8 decimals")]
    TooManyDecimals,
    /// More than can exist.
    #[error("an amount is at most 20000000000 WATT")]
    TooLarge,
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    /// Parses WATT in decimal, for example `12.5`.
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || text.ends_with('.') {
            return Err(InvalidAmount::NotANumber);
        }
        if fraction.len() > 8 {
            return Err(InvalidAmount::TooManyDecimals);
        }
        let whole: u64 = whole.parse().map_err(|_| InvalidAmount::TooLarge)?;
        let scale = 10u64.pow(u32::try_from(8 - fraction.len()).unwrap_or(0));
        let fraction: u64 = if fraction.is_empty() {
            0
        } else {
            fraction.parse().unwrap_or(0)
        };
        Self::from_watt(whole)
            .and_then(|units| units.checked_add(Self(fraction * scale)))
            .filter(|amount| *amount <= SUPPLY_MAX)
            .ok_or(InvalidAmount::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_and_units_agree() {
        for (text, units) in [
            ("0", 0),
            ("1", 100_000_000),
            ("1.5", 150_000_000),
            ("0.00000001", 1),
        ] {
            assert_eq!(text.parse(), Ok(Amount(units)));
            assert_eq!(Amount(units).to_string(), text);
        }
        assert_eq!("20000000000".parse(), Ok(SUPPLY_MAX));
    }

    #[test]
    fn bad_text_is_refused_with_its_reason() {
        for text in ["", "-1", "1.", ".5", "1,5", "1e3", " 1"] {
            assert_eq!(text.parse::<Amount>(), Err(InvalidAmount::NotANumber), "{text}");
        }
        assert_eq!(
            "0.000000001".parse::<Amount>(),
            Err(InvalidAmount::TooManyDecimals)
        );
        assert_eq!(
            "20000000000.00000001".parse::<Amount>(),
            Err(InvalidAmount::TooLarge)
        );
    }

    #[test]
    fn ratios_round_down_and_never_wrap() {
        assert_eq!(Amount(10).mul_ratio_floor(2, 3), Some(Amount(6)));
        assert_eq!(Amount(u64::MAX).mul_ratio_floor(2, 1), None);
        assert_eq!(Amount(1).mul_ratio_floor(1, 0), None);
    }
}
