//! Who gets the slots of a bid: caps before the price window, then seeded sampling (`docs/spec/market.md` §3, TS8).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use watt_primitives::terms::AskTerms;
use watt_primitives::{AccountId, Amount, BlockHeight, Hash, SlotIndexInDeal};

use crate::draw::Draw;
use crate::order::Bid;

/// The price window holds this many eligible offers for each slot needed.
const WINDOW_PER_SLOT: usize = 4;

/// One standing offer with what the ledger knows of its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookEntry {
    /// Who offers.
    pub provider: AccountId,
    /// Who owns the provider; at most one slot of a deal goes to one owner.
    pub owner: AccountId,
    /// The offer.
    pub terms: AskTerms,
    /// Height at which it was placed: of two equal prices the older comes first.
    pub since: BlockHeight,
    /// Bytes that are neither reserved nor in use.
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
/// 2. The window is the `4 * need` cheapest of these.
/// 3. Half of the picks, rounded up, come from **all** of them, weighted by free bytes; the others from the window, evenly.
/// 4. Slots are dealt to the picks in a drawn order.
///
/// # Errors
/// [`NotEnoughOffers`] with the facts.
pub fn match_bid<'a>(
    beacon: &Hash,
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
    eligible.sort_by_key(|ask| rank(ask));
    let window: Vec<AccountId> = eligible
        .iter()
        .take(needed.saturating_mul(WINDOW_PER_SLOT))
        .map(|ask| ask.provider)
        .collect();

    let mut draw = Draw::new(*beacon);
    let mut picked: Vec<&BookEntry> = Vec::with_capacity(needed);
    for _ in 0..needed.div_ceil(2) {
        picked.extend(take_weighted(&mut draw, &mut eligible));
    }
    while picked.len() < needed {
        let in_window = eligible
            .iter()
            .filter(|ask| window.contains(&ask.provider))
            .count();
        // With few offers the weighted half may have emptied the window; the cheapest that are left take its place.
        let index = draw.index(if in_window == 0 { 1 } else { in_window });
        picked.push(eligible.remove(index));
    }
    Ok(deal_out(&mut draw, picked))
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

/// Takes one offer out, each with a chance in proportion to its free bytes.
fn take_weighted<'a>(draw: &mut Draw, eligible: &mut Vec<&'a BookEntry>) -> Option<&'a BookEntry> {
    let total = eligible
        .iter()
        .fold(0u128, |sum, ask| sum.saturating_add(u128::from(ask.free_bytes)));
    let mut left = draw.below(total);
    let index = eligible.iter().position(|ask| {
        let weight = u128::from(ask.free_bytes);
        let is_hit = left < weight;
        left = left.saturating_sub(weight);
        is_hit
    })?;
    Some(eligible.remove(index))
}

/// Gives slot 0, 1, 2… to the picks in a drawn order, so that no way of being picked decides which share one holds.
fn deal_out(draw: &mut Draw, mut picked: Vec<&BookEntry>) -> Vec<Pick> {
    let mut picks = Vec::with_capacity(picked.len());
    for slot in 0..=u8::MAX {
        if picked.is_empty() {
            break;
        }
        let ask = picked.swap_remove(draw.index(picked.len()));
        picks.push(Pick {
            slot: SlotIndexInDeal(slot),
            provider: ask.provider,
            price: ask.terms.price,
        });
    }
    picks
}
