//! What others may ask of a state: typed reads for the API, the provider's side and the engine.

mod committees;
mod leaders;
mod losses;
mod seats;
mod upgrades;

pub use committees::{Shown, audit, shown_batch, waiting_batches};
pub use leaders::{leader_weights, power_bytes, reduced_leaders};
pub use losses::{SectorGrace, lost_slots_of_provider, sector_grace};
pub use seats::{
    Duties, DutyToAttend, all_standing, attendance, can_accuse, cold_key, duties, faulty, seats, standing,
    struck_off_until, succession, voting_key,
};
pub use upgrades::{Readiness, decision, next_version, readiness, upgrades};

use crate::apply::heartbeat::{left_out, state_after};
use crate::apply::matching::{first_match, first_match_in};
use crate::apply::periods::{Division, waiting};
use crate::apply::reservation_ms_max;
use crate::apply::sectors::{all_sectors, proof_params, sector_set};
use crate::beacon::Beacon;
use crate::duty::beacon_windows_kept;
use crate::ledger::window_of;
use crate::restart;
use crate::rows::{
    self, AccountRow, AskRow, BatchRow, ChainRow, DealRow, HeartbeatRow, Period, PeriodsRow, ProviderRow,
    RulesRow, SectorRow, SectorStage, SlotRow, SupplyRow, WindowRow,
};
use crate::state::StateRead;
use crate::trust;
use std::collections::BTreeSet;
use watt_light::{Backbone, Header, ProviderNumber, WindowShape};
use watt_primitives::terms::BundleTerms;
use watt_primitives::{
    AccountId, Amount, BlockHeight, Cid, DealId, Hash, LedgerTime, NetworkId, SectorNumber, SlotIndexInDeal,
    Term, Window,
};
use watt_proofs::window::beacon_element;
use watt_proofs::{Element, ProofParams, SectorSet};
use watt_trust::{Circle, Ranking};

/// Where the chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest header.
    pub header: Header,
    /// Its hash: the next proposal's parent.
    pub hash: Hash,
    /// Close time, halted time, windows.
    pub chain: ChainRow,
    /// Close time less halted time.
    pub ledger_time: LedgerTime,
    /// The window of the newest block.
    pub window: Window,
    /// The network's rules.
    pub rules: RulesRow,
    /// Where all the money is.
    pub supply: SupplyRow,
}

/// The chain's head; `None` if `state` is no WATT ledger.
#[must_use]
pub fn head(state: &impl StateRead) -> Option<Head> {
    let header: Header = rows::read(state, rows::HEAD)?;
    let (rules, chain) = (rules(state)?, rows::read::<ChainRow>(state, rows::CHAIN)?);
    Some(Head {
        hash: header.hash(),
        ledger_time: chain.ledger_time(),
        window: window_of(&rules, chain.height),
        supply: rows::read(state, rows::SUPPLY)?,
        header,
        chain,
        rules,
    })
}

/// The network's rules.
#[must_use]
pub fn rules(state: &impl StateRead) -> Option<RulesRow> {
    rows::read(state, rows::RULES)
}

/// The network as it is in the block after the head.
#[must_use]
pub fn network(state: &impl StateRead) -> Option<NetworkId> {
    let chain: ChainRow = rows::read(state, rows::CHAIN)?;
    let restart = restart::after(state, chain.height).map(|restart| restart.plan.network_after());
    restart.or_else(|| Some(rules(state)?.network))
}

/// The term that `height` lies in.
#[must_use]
pub fn term_of_height(rules: &RulesRow, height: BlockHeight) -> Term {
    rules.terms().of_height(height)
}

/// The backbone of `term` as it stands in the state: there for the running term, the one before and the next one, and of the next
/// one provisional below [`watt_light::Terms::final_from`] of it.
#[must_use]
pub fn backbone_of_term(state: &impl StateRead, term: Term) -> Option<Backbone> {
    rows::read(state, &rows::backbone(term))
}

/// The backbone that decides the next block.
#[must_use]
pub fn deciders(state: &impl StateRead) -> Option<Backbone> {
    let chain: ChainRow = rows::read(state, rows::CHAIN)?;
    if let Some(restart) = restart::after(state, chain.height) {
        return Some(restart.plan.backbone);
    }
    backbone_of_term(state, term_of_height(&rules(state)?, chain.height.next()))
}

/// The proof parameters of a network with these rules.
#[must_use]
pub const fn proof_parameters(rules: &RulesRow) -> ProofParams {
    proof_params(rules.parameters.insecure_proofs)
}

/// An account.
#[must_use]
pub fn account(state: &impl StateRead, id: &AccountId) -> Option<AccountRow> {
    rows::read(state, &rows::account(id))
}

/// A window.
#[must_use]
pub fn window(state: &impl StateRead, window: Window) -> Option<WindowRow> {
    rows::read(state, &rows::window(window))
}

/// A provider with its offer and its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Which.
    pub id: AccountId,
    /// Its row, with what has failed since it was written.
    pub row: ProviderRow,
    /// Its standing offer.
    pub ask: Option<AskRow>,
    /// Proofs that were due, void windows left out.
    pub proofs_due: u64,
    /// Of these, how many never came.
    pub proofs_missed: u64,
}

/// A provider.
#[must_use]
pub fn provider(state: &impl StateRead, id: &AccountId) -> Option<Provider> {
    let mut row: ProviderRow = rows::read(state, &rows::provider(id))?;
    let (rules, chain) = (rules(state)?, rows::read::<ChainRow>(state, rows::CHAIN)?);
    // The window before this one can still be proven, so what is due ends with the one before that.
    let judged = Window(window_of(&rules, chain.height).0.saturating_sub(2));
    let counted = window(state, judged).map_or(0, |row| row.n_counted);
    let running = match (row.due_from, row.counted_before) {
        (Some(from), Some(before)) if from <= judged => counted.saturating_sub(before),
        (Some(from), None) if from <= judged => {
            let before = window(state, from.previous()).map_or(counted, |row| row.n_counted);
            counted.saturating_sub(before)
        }
        (Some(_) | None, Some(_) | None) => 0,
    };
    let proofs_due = row.due_before.saturating_add(running);
    let waiting = waiting(state, &rules, id, &row, window_of(&rules, chain.height));
    waiting.failed.count_to(&mut row, &rules);
    let n_waiting: u64 = waiting.row.waiting.iter().map(Period::n_counted).sum();
    let proofs_answered = row.windows_proven.saturating_add(n_waiting);
    Some(Provider {
        id: *id,
        ask: rows::read(state, &rows::ask(id)),
        proofs_missed: proofs_due.saturating_sub(proofs_answered),
        proofs_due,
        row,
    })
}

/// Windows of a provider that were answered and wait to be settled by one folded proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingWindows {
    /// The windows, with what a proof of them has to show.
    pub period: Period,
    /// The first window in which they can be settled.
    pub due_from: Window,
    /// The first in which they can't any more.
    pub lapses_at: Window,
}

/// What waits of a provider in the next block, oldest first: the last may still grow.
#[must_use]
pub fn waiting_windows(state: &impl StateRead, id: &AccountId) -> Vec<WaitingWindows> {
    let of = || {
        let (rules, chain) = (rules(state)?, rows::read::<ChainRow>(state, rows::CHAIN)?);
        let provider: ProviderRow = rows::read(state, &rows::provider(id))?;
        let (division, next) = (Division::of(&rules, id), window_of(&rules, chain.height.next()));
        let waiting = waiting(state, &rules, id, &provider, next).row.waiting;
        let all = division
            .with_due(&waiting)
            .map(|(period, due_from)| WaitingWindows {
                due_from,
                lapses_at: division.lapses_at(period.number),
                period: period.clone(),
            });
        Some(all.collect())
    };
    of().unwrap_or_default()
}

/// The oldest windows of a provider that the next block may settle.
#[must_use]
pub fn due_windows(state: &impl StateRead, id: &AccountId) -> Option<WaitingWindows> {
    let (rules, chain) = (rules(state)?, rows::read::<ChainRow>(state, rows::CHAIN)?);
    let next = window_of(&rules, chain.height.next());
    let mut waiting = waiting_windows(state, id).into_iter();
    waiting.find(|waiting| waiting.due_from <= next)
}

/// Shapes of windows that somebody folds, as it seems: so many wait in a row that none of them was just late. Whoever verifies what
/// will come of it can get ready. Looks at some of all that wait.
#[must_use]
pub fn folded_shapes(state: &impl StateRead) -> BTreeSet<WindowShape> {
    const IN_A_ROW: u32 = 3;
    const LOOKED_AT: usize = 64;
    let page = state.scan(rows::PERIODS, None, LOOKED_AT);
    let waiting = page
        .iter()
        .flat_map(|(_, row)| rows::decode::<PeriodsRow>(row).waiting.into_inner());
    let folded = waiting.filter(|period| period.n_windows >= IN_A_ROW);
    folded.map(|period| period.shape).collect()
}

/// Up to `limit` standing offers of providers after `after`, in order of their ids.
#[must_use]
pub fn asks(state: &impl StateRead, after: Option<&AccountId>, limit: usize) -> Vec<(AccountId, AskRow)> {
    let after = after.map(rows::ask);
    let page = state.scan(rows::ASKS, after.as_deref(), limit);
    let typed = page.iter().filter_map(|(key, row)| {
        let id = AccountId(key.strip_prefix(rows::ASKS)?.try_into().ok()?);
        Some((id, rows::decode(row)))
    });
    typed.collect()
}

/// Up to `limit` providers after `after`, in order of their ids.
#[must_use]
pub fn providers(state: &impl StateRead, after: Option<&AccountId>, limit: usize) -> Vec<Provider> {
    let after = after.map(rows::provider);
    let page = state.scan(rows::PROVIDERS, after.as_deref(), limit);
    let ids = page
        .iter()
        .filter_map(|(key, _)| Some(AccountId(key.strip_prefix(rows::PROVIDERS)?.try_into().ok()?)));
    ids.filter_map(|id| provider(state, &id)).collect()
}

/// A deal with its slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deal {
    /// Which.
    pub id: DealId,
    /// Its row.
    pub row: DealRow,
    /// Its slots in order; none before the match and after the end.
    pub slots: Vec<Slot>,
}

/// One slot of a deal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Which.
    pub index: SlotIndexInDeal,
    /// Its row.
    pub row: SlotRow,
    /// How its holder is doing.
    pub condition: SlotCondition,
    /// Proven time, in milliseconds of ledger time.
    pub proven_ms: u64,
    /// Earned and not paid yet.
    pub due: Amount,
}

/// How the holder of a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotCondition {
    /// Space is reserved; no acceptance is on the ledger.
    Reserved,
    /// Accepted, not sealed yet.
    Accepted,
    /// Pre-committed, its challenge is not answered yet.
    Sealing,
    /// Sealed and in the provider's set.
    Proving {
        /// First window in which it is.
        from: Window,
        /// Newest window that was proven with it.
        last_proven: Option<Window>,
    },
    /// Declared faulty in the newest heartbeat.
    Faulty {
        /// In which window.
        window: Window,
    },
}

/// A deal by its id.
#[must_use]
pub fn deal(state: &impl StateRead, id: &DealId) -> Option<Deal> {
    let row: DealRow = rows::read(state, &rows::deal(id))?;
    let slots = (0..row.terms.class.n())
        .filter_map(|index| slot(state, id, SlotIndexInDeal(index)))
        .collect();
    Some(Deal { id: *id, row, slots })
}

/// One slot of a deal; `None` before the match and after the end.
#[must_use]
pub fn slot(state: &impl StateRead, deal: &DealId, index: SlotIndexInDeal) -> Option<Slot> {
    let row: SlotRow = rows::read(state, &rows::slot(deal, index))?;
    let sector = row.sector.and_then(|number| sector(state, &row.provider, number));
    let provider: Option<ProviderRow> = rows::read(state, &rows::provider(&row.provider));
    let proven_ms = match (&sector, &provider) {
        (Some(sector), Some(provider)) => sector.proven_ms(provider.proven_ms),
        (Some(_) | None, Some(_) | None) => 0,
    };
    Some(Slot {
        index,
        condition: condition(&row, sector.as_ref(), provider.as_ref()),
        due: row.funds.due(proven_ms),
        proven_ms,
        row,
    })
}

fn condition(row: &SlotRow, sector: Option<&SectorRow>, provider: Option<&ProviderRow>) -> SlotCondition {
    let Some(sector) = sector else {
        return if row.accepted_height == BlockHeight(0) {
            SlotCondition::Reserved
        } else {
            SlotCondition::Accepted
        };
    };
    let last_heartbeat = provider.and_then(|provider| provider.last_heartbeat);
    match (sector.stage, sector.last_fault) {
        (SectorStage::PreCommitted { .. }, _) => SlotCondition::Sealing,
        (SectorStage::Active { .. } | SectorStage::Ended { .. }, Some(window))
            if last_heartbeat == Some(window) =>
        {
            SlotCondition::Faulty { window }
        }
        (SectorStage::Active { from } | SectorStage::Ended { from, .. }, _) => SlotCondition::Proving {
            from,
            last_proven: provider
                .and_then(|provider| provider.last_proven)
                .filter(|window| *window >= from),
        },
    }
}

/// The next block that can match a bid recorded at `height`, as far as `state` tells: a later one if more bids wait than a block
/// matches, or if a main network has to wait for another beacon.
#[must_use]
pub fn draw_height(state: &impl StateRead, height: BlockHeight) -> Option<BlockHeight> {
    let rules = rules(state)?;
    let next = rows::read::<ChainRow>(state, rows::CHAIN)?.height.next();
    let first = first_match(&rules, height);
    if next <= first {
        return Some(first);
    }
    let window = window_of(&rules, next);
    let in_window = first_match_in(&rules, window);
    Some(if next <= in_window {
        in_window
    } else if Beacon::matching(state, &rules, window).is_some() {
        next
    } else {
        first_match_in(&rules, window.next())
    })
}

/// Up to `limit` deals of a client after `after`, ended ones included, in order of their ids.
#[must_use]
pub fn deals_of_client(
    state: &impl StateRead,
    client: &AccountId,
    after: Option<&DealId>,
    limit: usize,
) -> Vec<DealId> {
    indexed_deals(state, &rows::deals_of_client(client), after, limit)
}

/// Up to `limit` deals for a manifest that are not over, in order of their ids: what a share link leads to.
#[must_use]
pub fn deals_of_manifest(state: &impl StateRead, manifest: &Cid, limit: usize) -> Vec<DealId> {
    indexed_deals(state, &rows::deals_of_manifest(manifest), None, limit)
}

fn indexed_deals(state: &impl StateRead, prefix: &[u8], after: Option<&DealId>, limit: usize) -> Vec<DealId> {
    let after = after.map(|deal| rows::indexed_deal(prefix, deal));
    let page = state.scan(prefix, after.as_deref(), limit);
    page.iter()
        .filter_map(|(key, _)| Some(DealId(key.strip_prefix(prefix)?.try_into().ok()?)))
        .collect()
}

/// Up to `limit` slots that a provider holds, after `after`.
#[must_use]
pub fn slots_of_provider(
    state: &impl StateRead,
    provider: &AccountId,
    after: Option<(DealId, SlotIndexInDeal)>,
    limit: usize,
) -> Vec<(DealId, SlotIndexInDeal)> {
    let prefix = rows::slots_of_provider(provider);
    let after = after.map(|(deal, slot)| rows::indexed_slot(provider, &deal, slot));
    let page = state.scan(&prefix, after.as_deref(), limit);
    page.iter()
        .filter_map(|(key, _)| {
            let (deal, slot) = rows::split::<32>(key.strip_prefix(prefix.as_slice())?)?;
            Some((DealId(deal), SlotIndexInDeal(*slot.first()?)))
        })
        .collect()
}

/// A provider's sectors that have rows, ascending.
#[must_use]
pub fn sectors(state: &impl StateRead, provider: &AccountId) -> Vec<(SectorNumber, SectorRow)> {
    all_sectors(state, provider)
}

/// One sector.
#[must_use]
pub fn sector(state: &impl StateRead, provider: &AccountId, number: SectorNumber) -> Option<SectorRow> {
    rows::read(state, &rows::sector(provider, number))
}

/// The newest window with whose beacon a sector can be sealed, and how many windows a seal may be old before it can't be
/// pre-committed any more.
#[must_use]
pub fn seal_window(state: &impl StateRead) -> Option<(Window, u64)> {
    let (rules, height) = (rules(state)?, rows::read::<ChainRow>(state, rows::CHAIN)?.height);
    let (window, _) = Beacon::newest(state, &rules.network, window_of(&rules, height))?;
    Some((window, beacon_windows_kept(&rules).saturating_sub(1)))
}

/// The seed for sealing a sector with what `window` asks with.
#[must_use]
pub fn seal_seed(
    state: &impl StateRead,
    provider: &AccountId,
    number: SectorNumber,
    window: Window,
) -> Option<Hash> {
    let network = rules(state)?.network;
    let beacon = Beacon::asking(state, &network, window)?;
    let seed = watt_proofs::challenge::seal_seed(&network, beacon.value(), provider, number);
    Some(seed)
}

/// Sectors of a provider that wait to be answered for together, by the number of their first.
#[must_use]
pub fn batch(state: &impl StateRead, provider: &AccountId, first: SectorNumber) -> Option<BatchRow> {
    rows::read(state, &rows::batch(provider, first))
}

/// The seed of a pre-committed sector's challenges, once its beacon is known.
#[must_use]
pub fn porep_seed(state: &impl StateRead, provider: &AccountId, number: SectorNumber) -> Option<Hash> {
    let row = sector(state, provider, number)?;
    let SectorStage::PreCommitted { batch: first } = row.stage else {
        return None;
    };
    let batch = batch(state, provider, first)?;
    let network = rules(state)?.network;
    let beacon = Beacon::asking(state, &network, batch.challenge_window)?;
    let (comm_c, comm_r) = (&row.comm_c, &row.comm_r);
    let seed = watt_proofs::challenge::porep_seed(&network, beacon.value(), provider, number, comm_c, comm_r);
    Some(seed)
}

/// One provider's part of one window: all that answering or opening it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderWindow {
    /// Which window.
    pub window: Window,
    /// Its sectors in it, ascending.
    pub sectors: SectorSet,
    /// Those that the set leaves out, ascending.
    pub left_out: Vec<SectorNumber>,
    /// Its state before this window's heartbeat.
    pub state: Element,
    /// The beacon that the window asks with.
    pub beacon: Element,
    /// The heartbeat that is on the ledger.
    pub heartbeat: Option<HeartbeatRow>,
    /// What the next window asks with, which draws the sample, once it is made.
    pub next_beacon: Option<Element>,
}

/// What a provider committed to in `window`, which is the current one or the one before.
#[must_use]
pub fn heartbeat(state: &impl StateRead, id: &AccountId, window: Window) -> Option<HeartbeatRow> {
    rows::read(state, &rows::heartbeat(id, window))
}

/// Whose this provider's number is.
#[must_use]
pub fn provider_of(state: &impl StateRead, number: ProviderNumber) -> Option<AccountId> {
    rows::read(state, &rows::provider_number(number))
}

/// A provider's part of `window`, which is the current one or the one before; `None` if it has no sectors in it or is not open yet.
#[must_use]
pub fn provider_window(state: &impl StateRead, id: &AccountId, window: Window) -> Option<ProviderWindow> {
    let rules = rules(state)?;
    let provider: ProviderRow = rows::read(state, &rows::provider(id))?;
    let heartbeat = heartbeat(state, id, window);
    let beacon = |window| {
        let beacon = Beacon::asking(state, &rules.network, window)?;
        Some(beacon_element(&rules.network, beacon.value()))
    };
    let sectors = sector_set(&proof_parameters(&rules), &all_sectors(state, id), window)?;
    let left_out = match &heartbeat {
        Some(row) => row.left_out.clone(),
        None => left_out(state, id, provider.last_heartbeat, &sectors),
    };
    Some(ProviderWindow {
        window,
        beacon: beacon(window)?,
        sectors,
        left_out: left_out.into_inner(),
        state: match &heartbeat {
            Some(row) => row.state,
            None => state_after(state, &rules.network, id, provider.last_heartbeat),
        },
        heartbeat,
        next_beacon: beacon(window.next()),
    })
}

/// Somebody's security circle; expired trust may still be in it. Empty for whoever has none.
#[must_use]
pub fn circle(state: &impl StateRead, person: &AccountId) -> Circle {
    rows::read(state, &rows::circle(person)).unwrap_or_default()
}

/// Up to `limit` people after `after` who have `person` in their circle, also by expired trust, in order of their ids.
#[must_use]
pub fn trusters(
    state: &impl StateRead,
    person: &AccountId,
    after: Option<&AccountId>,
    limit: usize,
) -> Vec<AccountId> {
    let prefix = rows::trusters_of(person);
    let after = after.map(|after| rows::truster(person, after));
    let page = state.scan(&prefix, after.as_deref(), limit);
    page.iter()
        .filter_map(|(key, _)| Some(AccountId(key.strip_prefix(prefix.as_slice())?.try_into().ok()?)))
        .collect()
}

/// Everybody's rank as it would be if a term began now. Reads the circles of all who are ranked.
#[must_use]
pub fn ranking(state: &impl StateRead) -> Ranking {
    let chain: Option<ChainRow> = rows::read(state, rows::CHAIN);
    chain.map_or_else(Ranking::default, |chain| {
        trust::neighbourhood(state, chain.ledger_time()).rank()
    })
}

/// The escrow that a bid must lock at least: the most that its deal can cost. `None` if that is more than all money.
#[must_use]
pub fn escrow_needed(
    rules: &RulesRow,
    terms: &BundleTerms,
    price_max: Amount,
    term_ms: u64,
) -> Option<Amount> {
    let reservation_ms = reservation_ms_max(&rules.parameters, terms);
    watt_market::order::escrow_needed(terms.class, terms.slot_bytes, price_max, term_ms, reservation_ms)
}

/// Counts all the money in the state, row by row: what [`SupplyRow`] must say. Reads everything; for tests and audits.
#[must_use]
pub fn recount(state: &impl StateRead) -> SupplyRow {
    let mut found = SupplyRow {
        supply: Amount::ZERO,
        in_accounts: Amount::ZERO,
        in_escrow: Amount::ZERO,
        in_protocol_wallet: Amount::ZERO,
        n_providing: 0,
        n_providers: 0,
    };
    let add = |to: &mut Amount, amount: Amount| to.0 = to.0.saturating_add(amount.0);
    for (_, row) in state.scan(b"Ea", None, usize::MAX) {
        let row: AccountRow = rows::decode(&row);
        match row.kind {
            rows::AccountKind::Keyed | rows::AccountKind::Contract => {
                add(&mut found.in_accounts, row.balance);
            }
            rows::AccountKind::ProtocolWallet => add(&mut found.in_protocol_wallet, row.balance),
        }
    }
    for (_, row) in state.scan(b"Ed", None, usize::MAX) {
        let row: DealRow = rows::decode(&row);
        if let rows::DealStage::Open { .. } = row.stage {
            add(&mut found.in_escrow, row.escrow);
        }
    }
    for (_, row) in state.scan(b"Es", None, usize::MAX) {
        let row: SlotRow = rows::decode(&row);
        add(&mut found.in_escrow, row.funds.left());
        if let Some(dispute) = row.dispute {
            add(&mut found.in_escrow, dispute.fee);
        }
    }
    for (_, row) in state.scan(rows::PROVIDERS, None, usize::MAX) {
        let row: ProviderRow = rows::decode(&row);
        found.n_providing = found
            .n_providing
            .saturating_add(u64::from(row.n_active > 0 && !row.is_silent));
        found.n_providers = found.n_providers.saturating_add(1);
    }
    let all = [found.in_accounts, found.in_escrow, found.in_protocol_wallet];
    found.supply = Amount::checked_sum(all).unwrap_or(Amount(u64::MAX));
    found
}
