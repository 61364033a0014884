//! Who gets the slots of a bid: caps before the price window, then lots (`docs/spec/market.md` §3, TS8).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use watt_primitives::terms::AskTerms;
use watt_primitives::{AccountId, Amount, BlockHeight, Hash, SlotIndexInDeal};

use crate::lot::{lot, weighted_key};
use crate::order::Bid;

/// The price window holds this many eligible offers for each slot needed.
const WINDOW_PER_SLOT: usize = 4;

/// One standing offer with what the ledger knows of its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookEntry {
    /// Who offers.
    pub provider: AccountId,
    /// Who owns the provider: draws the lots, and gets at most one slot of a deal.
    pub owner: AccountId,
    /// The offer.
    pub terms: AskTerms,
    /// Height at which it was placed: of two equal prices the older comes first.
    pub since: BlockHeight,
    /// Bytes pledged in all: the weight.
    pub capacity_bytes: u64,
    /// Bytes of these that are neither reserved nor in use.
    pub free_bytes: u64,
}

/// One slot and who holds it, at the provider's own price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Which slot.
    pub slot: SlotIndexInDeal,
    /// Who holds it.
    pub provider: AccountId,
    /// Per 10⁹ bytes and day.
    pub price: Amount,
}

/// Fewer owners fit the bid than it has slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{eligible} providers fit this bid where {needed} are needed")]
pub struct NotEnoughOffers {
    /// Owners with a fitting offer.
    pub eligible: usize,
    /// Slots to place.
    pub needed: usize,
}

impl BookEntry {
    /// Whether this offer alone fits `bid`.
    #[must_use]
    pub fn fits(&self, bid: &Bid) -> bool {
        let terms = &self.terms;
        terms.price <= bid.price_max
            && (terms.slot_bytes_min..=terms.slot_bytes_max).contains(&bid.slot_bytes)
            && bid.term_ms <= terms.term_ms_max
            && self.free_bytes >= bid.slot_bytes
            && self.provider != bid.client
            && !bid.exclude.contains(&self.provider)
    }
}

/// Places every slot of `bid`, or none.
///
/// 1. Of each owner only the best fitting offer counts, so that many offers of one owner can't fill the window.
/// 2. Half of the picks, rounded up, are the best lots of **all** of these, weighted by what was pledged.
/// 3. The others are the best lots, without weight, of the `4 * need` cheapest that are left.
/// 4. Slots are dealt to the picks in the order of a third lot.
///
/// An owner's lots depend on `seed` and the owner alone, so nobody changes the order of others by changing an offer, withdrawing it,
/// or bringing another.
///
/// # Errors
/// [`NotEnoughOffers`] with the facts.
pub fn match_bid<'a>(
    seed: &Hash,
    bid: &Bid,
    asks: impl Iterator<Item = &'a BookEntry>,
) -> Result<Vec<Pick>, NotEnoughOffers> {
    let mut eligible = one_per_owner(bid, asks);
    let needed = usize::from(bid.need);
    if eligible.len() < needed {
        return Err(NotEnoughOffers {
            eligible: eligible.len(),
            needed,
        });
    }
    let half = needed.div_ceil(2);
    let lot_of = |purpose: &str, ask: &BookEntry| lot(seed, purpose, &ask.owner);

    eligible.sort_by_cached_key(|ask| {
        let key = weighted_key(lot_of("all", ask), ask.capacity_bytes);
        (key, ask.owner)
    });
    let mut picked: Vec<&BookEntry> = eligible.iter().copied().take(half).collect();
    let taken: BTreeSet<AccountId> = picked.iter().map(|ask| ask.owner).collect();

    eligible.sort_by_key(|ask| rank(ask));
    // At most `half` of these are taken, so what is needed is left.
    eligible.truncate(needed.saturating_mul(WINDOW_PER_SLOT));
    eligible.retain(|ask| !taken.contains(&ask.owner));
    eligible.sort_by_cached_key(|ask| (Reverse(lot_of("window", ask)), ask.owner));
    picked.extend(eligible.into_iter().take(needed.saturating_sub(half)));

    picked.sort_by_cached_key(|ask| (Reverse(lot_of("slot", ask)), ask.owner));
    Ok((0..=u8::MAX)
        .zip(picked)
        .map(|(slot, ask)| Pick {
            slot: SlotIndexInDeal(slot),
            provider: ask.provider,
            price: ask.terms.price,
        })
        .collect())
}

fn rank(ask: &BookEntry) -> (Amount, BlockHeight, AccountId) {
    (ask.terms.price, ask.since, ask.provider)
}

fn one_per_owner<'a>(bid: &Bid, asks: impl Iterator<Item = &'a BookEntry>) -> Vec<&'a BookEntry> {
    let mut best: BTreeMap<AccountId, &BookEntry> = BTreeMap::new();
    for ask in asks.filter(|ask| ask.fits(bid)) {
        let held = best.entry(ask.owner).or_insert(ask);
        if rank(ask) < rank(held) {
            *held = ask;
        }
    }
    best.into_values().collect()
}
