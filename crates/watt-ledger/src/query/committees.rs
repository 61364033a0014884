//! Which sectors wait for their committees, and what a committee looks at.

use super::rules;
use crate::beacon::Beacon;
use crate::committee::{ChallengedSector, Committee};
use crate::rows::{self, Due, SectorRow, SectorStage};
use crate::state::StateRead;
use watt_primitives::{AccountId, BlockHeight, SectorNumber};

/// A sector that waits for verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What there is to look at.
    pub challenged: ChallengedSector,
    /// Who looks at it.
    pub committee: Committee,
}

/// A pre-committed sector with its committee; `None` unless its challenge is known and the network has committees.
#[must_use]
pub fn shown_sector(state: &impl StateRead, provider: &AccountId, sector: SectorNumber) -> Option<Shown> {
    let rules = rules(state).filter(|rules| rules.parameters.porep_committee > 0)?;
    let row: SectorRow = rows::read(state, &rows::sector(provider, sector))?;
    let SectorStage::PreCommitted { challenge_window, .. } = row.stage else {
        return None;
    };
    let beacon = Beacon::asking(state, &rules.network, challenge_window)?;
    let challenged = ChallengedSector::of(state, &rules, (provider, sector), &row, &beacon)?;
    let committee = Committee::draw(state, &rules, &beacon, provider, sector, challenge_window)?;
    Some(Shown {
        challenged,
        committee,
    })
}

/// Pre-committed sectors, those that are due first coming first: those among the next `n_rows` rows of what falls due, after the row
/// with the key `after`; and the key to go on after, which is `None` at the end. What falls due later than any sector that is
/// pre-committed now, at `head`, is not looked through.
#[must_use]
pub fn waiting_sectors(
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
    let sectors = due.into_iter().filter_map(|due| match due {
        Due::Sector(provider, sector) => Some((provider, sector)),
        Due::Deal(_) | Due::Slot(..) => None,
    });
    (sectors.collect(), last.map(|(key, _)| key.clone()))
}
