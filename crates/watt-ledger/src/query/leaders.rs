//! Who leads how often (`docs/spec/ledger.md` §11).

use super::{deciders, rules};
use crate::rows::{self, ChainRow, LeadersRow, PowerRow, RulesRow};
use crate::state::StateRead;
use watt_primitives::{AccountId, NodeId, Term};

/// What an entry without power has of [`UNITS_MAX`].
const UNITS_MIN: u64 = 8;

/// What an entry leads with at most: power makes it lead twice as often, and no more.
const UNITS_MAX: u64 = 16;

/// Of an entry's weight, if blocks of its came out empty.
const REDUCED_TO: u64 = 8;

/// Entries of the backbone that lead the nomination of the next slot less often, because blocks of theirs came out empty; nobody if
/// these are more than may be faulty, since then it is the network that is slow (`docs/spec/ledger.md` §11).
#[must_use]
pub fn reduced_leaders(state: &impl StateRead) -> Vec<NodeId> {
    let read = || {
        Some((
            rows::read::<ChainRow>(state, rows::CHAIN)?,
            rows::read::<LeadersRow>(state, rows::LEADERS)?,
            deciders(state)?,
        ))
    };
    let Some((chain, leaders, backbone)) = read() else {
        return Vec::new();
    };
    let is_reduced = |known: &&rows::WithheldRow| known.reduced_to > chain.height;
    let reduced: Vec<NodeId> = leaders
        .withheld
        .iter()
        .filter(is_reduced)
        .filter_map(|known| backbone.of_account(&known.account).map(|seat| seat.key))
        .collect();
    if reduced.len() > backbone.n_faulty_max() {
        Vec::new()
    } else {
        reduced
    }
}

/// Storage that somebody's providers proved in `term`, in bytes, on average of all windows of the term; nothing of terms before the last
/// in which they proved anything.
#[must_use]
pub fn power_bytes(
    state: &(impl StateRead + ?Sized),
    rules: &RulesRow,
    person: &AccountId,
    term: Term,
) -> u64 {
    let row: PowerRow = rows::read(state, &rows::power(person)).unwrap_or_default();
    let n_windows = rules.parameters.term_windows.max(1);
    row.of_term(term).checked_div(n_windows).unwrap_or(0)
}

/// The keys that vote in the next slot and lead it less often than others, each with its weight for nomination (`scp.md` §4.3): by
/// the power of its seat in the term before, and because of blocks that came out empty. All others have `u64::MAX`.
#[must_use]
pub fn leader_weights(state: &impl StateRead) -> Vec<(NodeId, u64)> {
    let read = || {
        Some((
            rules(state)?,
            rows::read::<ChainRow>(state, rows::CHAIN)?,
            deciders(state)?,
        ))
    };
    let Some((rules, chain, backbone)) = read() else {
        return Vec::new();
    };
    let before = rules
        .terms()
        .of_height(chain.height.next())
        .0
        .checked_sub(1)
        .map(Term);
    let units = |account: &AccountId| {
        before.map_or(UNITS_MIN, |term| {
            units_of(
                power_bytes(state, &rules, account, term),
                rules.parameters.power_unit_bytes,
            )
        })
    };
    let entries: Vec<(NodeId, u64)> = backbone
        .entries()
        .iter()
        .map(|entry| (entry.key, units(&entry.account)))
        .collect();
    let most = entries
        .iter()
        .map(|(_, units)| *units)
        .max()
        .unwrap_or(UNITS_MIN)
        .max(1);
    let reduced = reduced_leaders(state);
    let weight = |(key, units): (NodeId, u64)| {
        let share = u128::from(u64::MAX)
            .saturating_mul(u128::from(units))
            .checked_div(u128::from(most));
        let full = share
            .and_then(|share| u64::try_from(share).ok())
            .unwrap_or(u64::MAX);
        let weight = if reduced.contains(&key) {
            full / REDUCED_TO
        } else {
            full
        };
        (weight < u64::MAX).then_some((key, weight))
    };
    entries.into_iter().filter_map(weight).collect()
}

/// One more for every doubling, from one unit of power on.
fn units_of(bytes: u64, unit_bytes: u64) -> u64 {
    let in_units = bytes.checked_div(unit_bytes).unwrap_or(0);
    let doublings = in_units
        .checked_ilog2()
        .map_or(0, |log| u64::from(log).saturating_add(1));
    UNITS_MIN.saturating_add(doublings).min(UNITS_MAX)
}
