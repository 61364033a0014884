//! What a slot of a deal is paid and what goes back to the client (`docs/spec/market.md` §4, TS7, TS15).
//!
//! Every slot has its own share of the escrow, fixed at the match, and nothing is ever paid for it from elsewhere. Pay is
//! computed from the total proven time and diminished by what was paid before, so claiming often or rarely comes to the same.

use serde::{Deserialize, Serialize};
use watt_primitives::Amount;
use watt_primitives::time::DAY_MS;

/// Prices are per this many bytes and day.
pub const PRICE_BYTES: u64 = 1_000_000_000;

/// A reservation is paid for at least this long, in milliseconds: an abandoned one has a price (TS15).
pub const RESERVATION_MS_MIN: u64 = 60_000;

/// A client that ends a deal early pays for at most this much of the remaining term, in milliseconds: a sealed slot can't be
/// replaced inside its sector, so the provider keeps dead weight.
pub const TERMINATION_MS_MAX: u64 = 30 * DAY_MS;

/// Who receives a movement out of a slot's escrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The slot's provider.
    Provider,
    /// The deal's client.
    Client,
}

/// Money that leaves a slot's escrow; the ledger carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "money that left the slot's escrow has to arrive somewhere"]
pub struct Movement {
    /// Receiver.
    pub to: Party,
    /// How much.
    pub amount: Amount,
}

/// What holding `slot_bytes` for `ms` costs: `price * slot_bytes * ms / (10⁹ * DAY_MS)`, rounded down; the remainder stays
/// with the client. `None` if it is more than can exist.
#[must_use]
pub fn pay(price: Amount, slot_bytes: u64, ms: u64) -> Option<Amount> {
    let byte_ms = u128::from(slot_bytes).checked_mul(u128::from(ms))?;
    price.mul_ratio_floor(
        byte_ms,
        u128::from(PRICE_BYTES).saturating_mul(u128::from(DAY_MS)),
    )
}

/// A slot's share of the escrow: the whole term and the longest reservation. `None` if it is more than can exist.
#[must_use]
pub fn share(price: Amount, slot_bytes: u64, term_ms: u64, reservation_ms_max: u64) -> Option<Amount> {
    let reservation_ms = reservation_ms_max.max(RESERVATION_MS_MIN);
    pay(price, slot_bytes, term_ms)?.checked_add(pay(price, slot_bytes, reservation_ms)?)
}

/// What was paid to providers, by what it was paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// For space that was reserved from the match on.
    pub reserved: Amount,
    /// For proven time.
    pub proven: Amount,
    /// Because the client ended the deal before its term.
    pub early_end: Amount,
}

impl Paid {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> Amount {
        let Self {
            reserved,
            proven,
            early_end,
        } = self;
        Amount(reserved.0.saturating_add(proven.0).saturating_add(early_end.0))
    }

    /// Both together, each for what it was paid for.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            reserved: Amount(self.reserved.0.saturating_add(other.reserved.0)),
            proven: Amount(self.proven.0.saturating_add(other.proven.0)),
            early_end: Amount(self.early_end.0.saturating_add(other.early_end.0)),
        }
    }
}

/// The money of one slot. `share == paid + refunded + left` at all times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotFunds {
    /// Agreed price per 10⁹ bytes and day.
    pub price: Amount,
    /// Bytes in the slot.
    pub slot_bytes: u64,
    /// Longest time that is paid, in milliseconds.
    pub term_ms: u64,
    /// The slot's share of the escrow.
    pub share: Amount,
    /// Paid to the provider so far.
    pub paid: Paid,
    /// Returned to the client.
    pub refunded: Amount,
}

impl SlotFunds {
    /// Sets a slot's share aside. `None` if it is more than can exist, which [`crate::order::check_bid`] has excluded.
    #[must_use]
    pub fn open(price: Amount, slot_bytes: u64, term_ms: u64, reservation_ms_max: u64) -> Option<Self> {
        Some(Self {
            price,
            slot_bytes,
            term_ms,
            share: share(price, slot_bytes, term_ms, reservation_ms_max)?,
            paid: Paid::default(),
            refunded: Amount::ZERO,
        })
    }

    /// What is still locked.
    #[must_use]
    pub const fn left(&self) -> Amount {
        self.share
            .saturating_sub(self.paid.total())
            .saturating_sub(self.refunded)
    }

    /// What `proven_ms` in total have earned and was not yet paid.
    #[must_use]
    pub fn due(&self, proven_ms: u64) -> Amount {
        self.cost(proven_ms.min(self.term_ms))
            .saturating_sub(self.paid.proven)
            .min(self.left())
    }

    /// Pays the reservation that lasted `elapsed_ms`, at least [`RESERVATION_MS_MIN`] and at most `reservation_ms_max`.
    pub fn pay_reservation(&mut self, elapsed_ms: u64, reservation_ms_max: u64) -> Movement {
        let ms = elapsed_ms.min(reservation_ms_max).max(RESERVATION_MS_MIN);
        let amount = self.cost(ms).min(self.left());
        self.paid.reserved = Amount(self.paid.reserved.0.saturating_add(amount.0));
        Movement {
            to: Party::Provider,
            amount,
        }
    }

    /// Pays for `proven_ms` in total, less what was paid before.
    pub fn pay_proven(&mut self, proven_ms: u64) -> Movement {
        let amount = self.due(proven_ms);
        self.paid.proven = Amount(self.paid.proven.0.saturating_add(amount.0));
        Movement {
            to: Party::Provider,
            amount,
        }
    }

    /// Pays what the client owes for ending `remaining_ms` before the term: at most [`TERMINATION_MS_MAX`] of it.
    pub fn pay_termination(&mut self, remaining_ms: u64) -> Movement {
        let amount = self.cost(remaining_ms.min(TERMINATION_MS_MAX)).min(self.left());
        self.paid.early_end = Amount(self.paid.early_end.0.saturating_add(amount.0));
        Movement {
            to: Party::Provider,
            amount,
        }
    }

    /// Returns what is left to the client; afterwards nothing is.
    pub fn refund(&mut self) -> Movement {
        let amount = self.left();
        self.refunded = Amount(self.refunded.0.saturating_add(amount.0));
        Movement {
            to: Party::Client,
            amount,
        }
    }

    /// A cost too large for a number is larger than the share, too.
    fn cost(&self, ms: u64) -> Amount {
        pay(self.price, self.slot_bytes, ms).unwrap_or(self.share)
    }
}
