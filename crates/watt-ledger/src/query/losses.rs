//! What was lost of a provider's, and what will be if nothing of it is proven.

use crate::apply::grace::{Idle, least_grace, slots_in};
use crate::ledger::window_of;
use crate::rows::{self, ChainRow, DealRow, LostSlot, ProviderRow, RulesRow, SectorRow, SectorStage};
use crate::state::StateRead;
use watt_primitives::{AccountId, DealId, SectorNumber};

/// For how long a sector was not proven, and may still not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectorGrace {
    /// Windows since the newest that was proven with it, as they count against its provider (`docs/spec/ledger.md` 9.12).
    pub idle_windows: u64,
    /// Windows of these that the first of its slots is kept for.
    pub grace_windows: u64,
}

/// The grace of a proven sector; `None` for any other.
#[must_use]
pub fn sector_grace(
    state: &impl StateRead,
    provider: &AccountId,
    number: SectorNumber,
) -> Option<SectorGrace> {
    let sector: SectorRow = rows::read(state, &rows::sector(provider, number))?;
    let SectorStage::Active { .. } = sector.stage else {
        return None;
    };
    let rules: RulesRow = rows::read(state, rows::RULES)?;
    let chain: ChainRow = rows::read(state, rows::CHAIN)?;
    let row: ProviderRow = rows::read(state, &rows::provider(provider))?;
    let current = window_of(&rules, chain.height);
    let idle = Idle::of(state, &rules, provider, &row, (number, &sector), current);
    Some(SectorGrace {
        idle_windows: idle.windows,
        grace_windows: least_grace(state, &rules, provider, &slots_in(state, provider, number))?,
    })
}

/// Up to `limit` slots that a provider lost, in the order of their deals.
#[must_use]
pub fn lost_slots_of_provider(
    state: &impl StateRead,
    provider: &AccountId,
    limit: usize,
) -> Vec<(DealId, LostSlot)> {
    let prefix = rows::lost_slots_of_provider(provider);
    let page = state.scan(&prefix, None, limit);
    let lost = page.iter().filter_map(|(key, _)| {
        let (deal, slot) = rows::split::<32>(key.strip_prefix(prefix.as_slice())?)?;
        let (deal, slot) = (DealId(deal), slot.first()?);
        let row: DealRow = rows::read(state, &rows::deal(&deal))?;
        let lost = row.lost.iter().find(|lost| lost.slot.0 == *slot)?;
        Some((deal, *lost))
    });
    lost.collect()
}
