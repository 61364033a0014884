//! Which batches wait for their committees, and what a committee looks at.

use super::rules;
use crate::beacon::Beacon;
use crate::committee::{ChallengedBatch, Committee, Question};
use crate::rows::{self, AuditRow, Due, DueKind};
use crate::state::StateRead;
use watt_primitives::{AccountId, SectorNumber};

/// A batch that waits for verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What there is to look at.
    pub challenged: ChallengedBatch,
    /// Who looks at it.
    pub committee: Committee,
}

/// A batch, or a live sector that is asked again, with its committee; `None` unless its challenge is known and the network has
/// committees.
#[must_use]
pub fn shown_batch(state: &impl StateRead, provider: &AccountId, batch: SectorNumber) -> Option<Shown> {
    let rules = rules(state).filter(|rules| rules.parameters.porep_committee > 0)?;
    let (question, sectors) = Question::of(state, provider, batch)?;
    let beacon = Beacon::asking(state, &rules.network, question.window)?;
    let key = (provider, batch);
    let challenged = ChallengedBatch::of(state, &rules, key, question, &sectors, &beacon)?;
    let committee = Committee::draw(state, &rules, &beacon, provider, batch, &question)?;
    Some(Shown {
        challenged,
        committee,
    })
}

/// The audit of a live sector, if it is asked again.
#[must_use]
pub fn audit(state: &impl StateRead, provider: &AccountId, sector: SectorNumber) -> Option<AuditRow> {
    rows::read(state, &rows::audit(provider, sector))
}

/// Batches that wait, those that are due first coming first, then live sectors that are asked again, each by its number: those among the next `n_rows` rows
/// after the row with the key `after`; and the key to go on after, which is `None` at the end.
#[must_use]
pub fn waiting_batches(
    state: &impl StateRead,
    after: Option<&[u8]>,
    n_rows: usize,
) -> (Vec<(AccountId, SectorNumber)>, Option<Vec<u8>>) {
    let Some(rules) = rules(state) else {
        return (Vec::new(), None);
    };
    let is_at_audits = after.is_some_and(|after| after.starts_with(rows::AUDITS));
    let queue = DueKind::Batch.queue();
    let prefix = if is_at_audits {
        rows::AUDITS
    } else {
        queue.as_slice()
    };
    let page = state.scan(prefix, after, n_rows);
    let found = page.iter().filter_map(|(key, _)| {
        if is_at_audits {
            return rows::audit_of(key);
        }
        let (_, due) = rows::due_at_height(DueKind::Batch, key)?;
        match due {
            Due::Batch(provider, batch) => Some((provider, batch)),
            Due::Deal(_) | Due::Sector(..) | Due::Slot(..) | Due::Audit(..) => None,
        }
    });
    let last = page.last().filter(|_| page.len() == n_rows);
    let go_on = last.map(|(key, _)| key.clone());
    let has_audits = !is_at_audits && rules.parameters.audit_windows > 0;
    let go_on = go_on.or_else(|| has_audits.then(|| rows::AUDITS.to_vec()));
    (found.collect(), go_on)
}
