//! Seats of the backbone, and what a node has to do for one.

use super::{backbone_of_term, rules};
use crate::apply::{FAULTY_TERMS, STANDING_MAX};
use crate::duty;
use crate::ledger::window_of;
use crate::rows::{
    self, AttendanceRow, ChainRow, DutyWindowRow, FaultyRow, RulesRow, SeatsRow, StandingRow, SuccessionRow,
    UseOfKey, VotingKeyRow,
};
use crate::state::StateRead;
use watt_primitives::{AccountId, BlockHeight, Hash, NodeId, Term, Window};

/// The seats as they are decided furthest ahead, with what is planned; `None` in a network whose backbone is not `3f + 1`.
#[must_use]
pub fn seats(state: &impl StateRead) -> Option<SeatsRow> {
    rows::read(state, rows::SEATS)
}

/// Somebody's offer to hold a seat.
#[must_use]
pub fn standing(state: &impl StateRead, person: &AccountId) -> Option<StandingRow> {
    rows::read(state, &rows::standing(person))
}

/// The voting key that somebody registered for `term`, until that term's attendance is counted.
#[must_use]
pub fn voting_key(state: &impl StateRead, term: Term, person: &AccountId) -> Option<VotingKeyRow> {
    rows::read(state, &rows::voting_key(term, person))
}

/// The hash of the cold key from which somebody's seat can be taken back.
#[must_use]
pub fn cold_key(state: &impl StateRead, person: &AccountId) -> Option<Hash> {
    rows::read(state, &rows::cold_key(person))
}

/// The key that votes for somebody's seat in `term` in place of the one in the backbone, if the ledger has taken it up.
#[must_use]
pub fn succession(state: &impl StateRead, term: Term, person: &AccountId) -> Option<SuccessionRow> {
    rows::read(state, &rows::succession(term, person))
}

/// The evidence against somebody.
#[must_use]
pub fn faulty(state: &impl StateRead, person: &AccountId) -> Option<FaultyRow> {
    rows::read(state, &rows::faulty(person))
}

/// The first term in which `person` may have a seat again, if in `term` there is evidence against them that still counts.
#[must_use]
pub fn struck_off_until(state: &impl StateRead, person: &AccountId, term: Term) -> Option<Term> {
    let again = faulty(state, person)?.since.plus(FAULTY_TERMS);
    (term < again).then_some(again)
}

/// Whether evidence against whoever voted with `key` would be news to the ledger.
#[must_use]
pub fn can_accuse(state: &impl StateRead, key: &NodeId) -> bool {
    let read = || {
        let user: UseOfKey = rows::read(state, &rows::used_key(key))?;
        let chain: ChainRow = rows::read(state, rows::CHAIN)?;
        let term = rules(state)?.terms().of_height(chain.height.next());
        Some(struck_off_until(state, &user.account, term).is_none())
    };
    read().unwrap_or(false)
}

/// Everybody who stands for a seat, ascending: [`STANDING_MAX`] at most.
#[must_use]
pub fn all_standing(state: &impl StateRead) -> Vec<(AccountId, StandingRow)> {
    let all = state.scan(rows::STANDING, None, STANDING_MAX);
    let standing = |(key, row): &(Vec<u8>, Vec<u8>)| {
        Some((rows::account_after(key, rows::STANDING)?, rows::decode(row)))
    };
    all.iter().filter_map(standing).collect()
}

/// In which windows of `term` somebody was there.
#[must_use]
pub fn attendance(state: &impl StateRead, term: Term, person: &AccountId) -> AttendanceRow {
    rows::read(state, &rows::attendance(term, person)).unwrap_or_else(AttendanceRow::none)
}

/// What somebody's node has to do for their seat, or for one that they stand for, in the next block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duties {
    /// Terms for which voting keys can be registered and are missing.
    pub keys_missing: Vec<Term>,
    /// Windows that are over, can be attended and were not, the oldest first.
    pub windows: Vec<DutyToAttend>,
}

/// A window to attend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DutyToAttend {
    /// Which.
    pub window: Window,
    /// The height whose header is asked for; the node knows its hash.
    pub asked: BlockHeight,
    /// The term in whose onion a layer is asked for in the next block, and the layer's number in it.
    pub reveal: Option<(Term, u64)>,
}

/// What `person`'s node has to do for the backbone; nothing for whoever has no seat and does not stand for one.
#[must_use]
pub fn duties(state: &impl StateRead, person: &AccountId) -> Option<Duties> {
    let (rules, chain) = (rules(state)?, rows::read::<ChainRow>(state, rows::CHAIN)?);
    let height = chain.height.next();
    let running = rules.terms().of_height(height);
    if !duty::is_bound(state, person, running) {
        return None;
    }
    let (first, last) = duty::registrable(&rules, height);
    let is_missing = |term: &Term| voting_key(state, *term, person).is_none();
    let keys_missing = (first.0..=last.0).map(Term).filter(is_missing).collect();
    // Before the middle of a term the windows of the one before can be attended as well.
    let oldest = if height < duty::middle(&rules, running) {
        running.previous()
    } else {
        running
    };
    let from = duty::first_window(&rules, oldest);
    let windows = (from.0..window_of(&rules, height).0)
        .filter_map(|window| to_attend(state, &rules, person, Window(window)))
        .collect();
    Some(Duties {
        keys_missing,
        windows,
    })
}

fn to_attend(
    state: &impl StateRead,
    rules: &RulesRow,
    person: &AccountId,
    window: Window,
) -> Option<DutyToAttend> {
    let row: DutyWindowRow = rows::read(state, &rows::duty_window(window))?;
    let (term, at) = duty::place_in_term(rules, window);
    let attended: Option<AttendanceRow> = rows::read(state, &rows::attendance(term, person));
    if attended.is_some_and(|attended| attended.has(at)) || !duty::is_bound(state, person, term) {
        return None;
    }
    let is_entry = || backbone_of_term(state, term).is_some_and(|all| all.of_account(person).is_some());
    let can_reveal = row.beacon.is_none() && voting_key(state, term, person).is_some() && is_entry();
    Some(DutyToAttend {
        window,
        asked: row.asked,
        reveal: can_reveal.then_some((term, at)),
    })
}
