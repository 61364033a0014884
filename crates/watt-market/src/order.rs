//! Asks and bids, and when they are refused (`docs/spec/market.md` §2).

use alloc::vec::Vec;
use watt_primitives::amount::SUPPLY_MAX;
use watt_primitives::class::Class;
use watt_primitives::terms::{AskTerms, BundleTerms};
use watt_primitives::time::DAY_MS;
use watt_primitives::{AccountId, Amount, DealId};

use crate::deal;

/// The shortest term, in milliseconds of ledger time: shorter deals cost the ledger more than they store.
pub const TERM_MS_MIN: u64 = 60_000;

/// The longest term, in milliseconds of ledger time: five years.
pub const TERM_MS_MAX: u64 = 5 * 365 * DAY_MS;

/// A bid as the matcher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bid {
    /// The deal it becomes.
    pub deal: DealId,
    /// Who pays.
    pub client: AccountId,
    /// Bytes in each slot.
    pub slot_bytes: u64,
    /// How many slots are to be placed.
    pub need: u8,
    /// Most that is paid per slot, per 10⁹ bytes and day.
    pub price_max: Amount,
    /// Milliseconds of ledger time from certification.
    pub term_ms: u64,
    /// Providers not to be chosen.
    pub exclude: Vec<AccountId>,
}

/// Why an ask is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAsk {
    /// Price above all the money there is.
    #[error("the price is more than all WATT there is")]
    Price,
    /// No slot size can fit.
    #[error("the smallest slot taken must be above zero and not above the largest")]
    SlotBytes,
    /// Term outside the bounds.
    #[error("the longest term taken must be between one minute and five years")]
    Term,
}

/// Why a bid is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBid {
    /// The class is for test networks.
    #[error("this encoding class is for test networks only")]
    Class,
    /// Slot size is zero, no whole number of cells, or too large for the class.
    #[error("{slot_bytes} bytes are no slot size of this class")]
    SlotBytes {
        /// Size given.
        slot_bytes: u64,
    },
    /// Not one root for each slot.
    #[error("{given} slot roots where the class has {needed}")]
    SlotRoots {
        /// Roots given.
        given: usize,
        /// Roots needed.
        needed: usize,
    },
    /// Term outside the bounds.
    #[error("the term must be between one minute and five years")]
    Term,
    /// The deal could cost more than is locked.
    #[error("the deal can cost {needed} WATT but only {escrow} are locked")]
    Escrow {
        /// Locked.
        escrow: Amount,
        /// Upper bound of the deal's cost.
        needed: Amount,
    },
    /// The cost does not fit a number.
    #[error("the deal would cost more than all WATT there is")]
    TooExpensive,
}

/// Checks a standing offer.
///
/// # Errors
/// See [`InvalidAsk`].
pub fn check_ask(terms: &AskTerms) -> Result<(), InvalidAsk> {
    if terms.price > SUPPLY_MAX {
        return Err(InvalidAsk::Price);
    }
    if terms.slot_bytes_min == 0 || terms.slot_bytes_min > terms.slot_bytes_max {
        return Err(InvalidAsk::SlotBytes);
    }
    if !(TERM_MS_MIN..=TERM_MS_MAX).contains(&terms.term_ms_max) {
        return Err(InvalidAsk::Term);
    }
    Ok(())
}

/// Checks a bid's terms and that the escrow covers the most that the deal can cost.
///
/// # Errors
/// See [`InvalidBid`].
pub fn check_bid(
    terms: &BundleTerms,
    price_max: Amount,
    escrow: Amount,
    term_ms: u64,
    reservation_ms_max: u64,
    is_main: bool,
) -> Result<(), InvalidBid> {
    if is_main && terms.class.is_test_only() {
        return Err(InvalidBid::Class);
    }
    check_slots(terms)?;
    if !(TERM_MS_MIN..=TERM_MS_MAX).contains(&term_ms) {
        return Err(InvalidBid::Term);
    }
    let needed = escrow_needed(
        terms.class,
        terms.slot_bytes,
        price_max,
        term_ms,
        reservation_ms_max,
    )
    .ok_or(InvalidBid::TooExpensive)?;
    if escrow < needed {
        return Err(InvalidBid::Escrow { escrow, needed });
    }
    Ok(())
}

fn check_slots(terms: &BundleTerms) -> Result<(), InvalidBid> {
    let (cell_bytes, slot_bytes) = (terms.class.cell_bytes(), terms.slot_bytes);
    let slot_bytes_max = cell_bytes.saturating_mul(terms.class.rows_max());
    if slot_bytes == 0 || !slot_bytes.is_multiple_of(cell_bytes) || slot_bytes > slot_bytes_max {
        return Err(InvalidBid::SlotBytes { slot_bytes });
    }
    let (given, needed) = (terms.slot_roots.len(), usize::from(terms.class.n()));
    if given != needed {
        return Err(InvalidBid::SlotRoots { given, needed });
    }
    Ok(())
}

/// The most a deal can cost: every slot at the bid's highest price for the longest reservation and the whole term. `None` if
/// that is more than all the money there is.
#[must_use]
pub fn escrow_needed(
    class: Class,
    slot_bytes: u64,
    price_max: Amount,
    term_ms: u64,
    reservation_ms_max: u64,
) -> Option<Amount> {
    let share = deal::share(price_max, slot_bytes, term_ms, reservation_ms_max)?;
    let total = share.0.checked_mul(u64::from(class.n())).map(Amount)?;
    (total <= SUPPLY_MAX).then_some(total)
}
