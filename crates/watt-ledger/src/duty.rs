//! Who has duties of a seat: what both applying and asking need to know (`docs/spec/ledger.md` §13, §14).

use crate::beacon::REVEAL_BLOCKS;
use crate::rows::{self, RulesRow, SeatsRow, StandingRow};
use crate::state::StateRead;
use watt_light::Backbone;
use watt_light::duty::KEYS_AHEAD_MAX;
use watt_primitives::{AccountId, BlockHeight, Term, Window};
use watt_trust::backbone::Seat;

/// Whether `person` votes in `term`, holds or stands in for a seat, or stands for one with a rank among the best
/// since then.
pub(crate) fn is_bound(state: &(impl StateRead + ?Sized), person: &AccountId, term: Term) -> bool {
    let standing: Option<StandingRow> = rows::read(state, &rows::standing(person));
    if standing.is_some_and(|row| row.ranked_since.is_some_and(|since| since <= term)) {
        return true;
    }
    let seats: Option<SeatsRow> = rows::read(state, rows::SEATS);
    if seats.is_some_and(|seats| has_seat(&seats.backbone, person)) {
        return true;
    }
    let backbone: Option<Backbone> = rows::read(state, &rows::backbone(term));
    backbone.is_some_and(|backbone| backbone.of_account(person).is_some())
}

/// Whether `person` holds a seat or stands in.
pub(crate) fn has_seat(backbone: &watt_trust::Backbone, person: &AccountId) -> bool {
    let is_of = |seat: &Seat| seat.holder == *person || seat.voter() == *person;
    backbone.seats().iter().any(is_of)
}

/// First and last term for which voting keys can be registered in the block at `height`: the key of a term is fixed together with its
/// backbone.
pub(crate) fn registrable(rules: &RulesRow, height: BlockHeight) -> (Term, Term) {
    let terms = rules.terms();
    let running = terms.of_height(height);
    let next = running.next();
    let first = if height < terms.final_from(next) {
        next
    } else {
        next.next()
    };
    let ahead = u64::try_from(KEYS_AHEAD_MAX).unwrap_or(u64::MAX);
    (first, running.plus(ahead))
}

/// Blocks after a window whose layers make its beacon.
pub(crate) fn reveal_blocks(rules: &RulesRow) -> u64 {
    REVEAL_BLOCKS.min(rules.parameters.window_slots / 2).max(1)
}

/// Windows whose beacon is remembered: a window can be attended until the middle of the term after its own, and a pre-commitment
/// answered until its deadline.
pub(crate) fn beacon_windows_kept(rules: &RulesRow) -> u64 {
    let parameters = &rules.parameters;
    let commit_windows = parameters.commit_slots.div_ceil(parameters.window_slots.max(1));
    let to_attend = parameters.term_windows.saturating_mul(2);
    to_attend.max(commit_windows.saturating_add(2))
}

/// The first window of a term.
pub(crate) fn first_window(rules: &RulesRow, term: Term) -> Window {
    Window(term.0.saturating_mul(rules.parameters.term_windows))
}

/// The term of a window, and its number in it.
pub(crate) fn place_in_term(rules: &RulesRow, window: Window) -> (Term, u64) {
    let term_windows = rules.parameters.term_windows.max(1);
    let term = window.0.checked_div(term_windows).unwrap_or(0);
    (Term(term), window.0.checked_rem(term_windows).unwrap_or(0))
}

/// The middle of a term: until then the windows of the term before can be attended; then the changes of the next one are planned.
pub(crate) fn middle(rules: &RulesRow, term: Term) -> BlockHeight {
    let terms = rules.terms();
    terms.first_height(term).plus(terms.slots() / 2)
}
