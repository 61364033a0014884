//! Which batches wait for their committees, and what a committee looks at.

use super::rules;
use crate::beacon::Beacon;
use crate::committee::{ChallengedBatch, Committee};
use crate::rows::{self, BatchRow, Due};
use crate::state::StateRead;
use watt_primitives::{AccountId, BlockHeight, SectorNumber};

/// A batch that waits for verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What there is to look at.
    pub challenged: ChallengedBatch,
    /// Who looks at it.
    pub committee: Committee,
}

/// A batch with its committee; `None` unless its challenge is known and the network has committees.
#[must_use]
pub fn shown_batch(state: &impl StateRead, provider: &AccountId, batch: SectorNumber) -> Option<Shown> {
    let rules = rules(state).filter(|rules| rules.parameters.porep_committee > 0)?;
    let row: BatchRow = rows::read(state, &rows::batch(provider, batch))?;
    let beacon = Beacon::asking(state, &rules.network, row.challenge_window)?;
    let challenged = ChallengedBatch::of(state, &rules, (provider, batch), &row, &beacon)?;
    let committee = Committee::draw(state, &rules, &beacon, provider, batch, row.challenge_window)?;
    Some(Shown {
        challenged,
        committee,
    })
}

/// Batches that wait, those that are due first coming first: those among the next `n_rows` rows of what falls due, after the row
/// with the key `after`; and the key to go on after, which is `None` at the end. What falls due later than any sector that is
/// pre-committed now, at `head`, is not looked through.
#[must_use]
pub fn waiting_batches(
    state: &impl StateRead,
    head: BlockHeight,
    after: Option<&[u8]>,
    n_rows: usize,
) -> (Vec<(AccountId, SectorNumber)>, Option<Vec<u8>>) {
    let Some(rules) = rules(state) else {
        return (Vec::new(), None);
    };
    let latest = head.plus(rules.parameters.commit_slots).next();
    let rows = state.scan(rows::DUE_AT_HEIGHT, after, n_rows);
    let all = rows.iter().map_while(|(key, _)| rows::due_at_height(key));
    let due: Vec<Due> = all
        .take_while(|(height, _)| *height <= latest)
        .map(|(_, due)| due)
        .collect();
    let last = rows.last().filter(|_| due.len() == n_rows);
    let batches = due.into_iter().filter_map(|due| match due {
        Due::Batch(provider, batch) => Some((provider, batch)),
        Due::Deal(_) | Due::Sector(..) | Due::Slot(..) => None,
    });
    (batches.collect(), last.map(|(key, _)| key.clone()))
}
