//! Which rules are in force, and how they change.

use super::{backbone_of_term, rules};
use crate::rows::{self, AttendanceRow, ChainRow, DecisionRow, UpgradesRow};
use crate::state::StateRead;
use watt_primitives::{AccountId, Term};

/// Which rules are in force and which shall be; `None` if `state` is no WATT ledger.
#[must_use]
pub fn upgrades(state: &(impl StateRead + ?Sized)) -> Option<UpgradesRow> {
    rows::read(state, rows::UPGRADES)
}

/// The version of the rules that the next block follows.
#[must_use]
pub fn next_version(state: &impl StateRead) -> Option<u32> {
    let chain: ChainRow = rows::read(state, rows::CHAIN)?;
    let term = rules(state)?.terms().of_height(chain.height.next());
    Some(upgrades(state)?.version_in(term))
}

/// A decision about rules, by its number from 0.
#[must_use]
pub fn decision(state: &impl StateRead, number: u64) -> Option<DecisionRow> {
    rows::read(state, &rows::decision(number))
}

/// What one who votes in a term said about its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Who.
    pub account: AccountId,
    /// The highest version that it knows; none if it attended no window of the term.
    pub knows: Option<u32>,
}

/// What those who vote in `term`, the running one or the one before, said in it about their programs.
#[must_use]
pub fn readiness(state: &impl StateRead, term: Term) -> Vec<Readiness> {
    let knows = |account: &AccountId| {
        let row: Option<AttendanceRow> = rows::read(state, &rows::attendance(term, account));
        row.map(|row| row.knows)
    };
    let of_entry = |account: AccountId| Readiness {
        account,
        knows: knows(&account),
    };
    backbone_of_term(state, term).map_or_else(Vec::new, |backbone| {
        let entries = backbone.entries().iter();
        entries.map(|entry| of_entry(entry.account)).collect()
    })
}
