//! From the circles on the ledger to the people who are ranked (`docs/spec/trust.md` §4).

use crate::rows;
use crate::state::StateRead;
use watt_primitives::{AccountId, LedgerTime};
use watt_trust::Neighbourhood;
use watt_trust::ranking::PEOPLE_MAX;

/// The people whom chains of trust that counts at `now` connect to the seeds, and their circles.
pub(crate) fn neighbourhood(state: &impl StateRead, now: LedgerTime) -> Neighbourhood {
    let seeds: Vec<AccountId> = rows::read(state, rows::TRUST_SEEDS).unwrap_or_default();
    Neighbourhood::find(&seeds, PEOPLE_MAX, now, |person| {
        rows::read(state, &rows::circle(person)).unwrap_or_default()
    })
}
