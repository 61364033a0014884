//! Showing that a live sector is sealed when the network asks again (`docs/spec/ledger.md` 9.15): it takes sealing once more, so one
//! sector at a time is opened, behind everything that has less time. What is not shown in time is lost.

use super::pauses::Job;
use super::view::View;
use super::{LocalSector, Opened, Provider, ShownToCommittee};
use crate::effect::{AskedSector, Effect, OpenJob};
use crate::submitter::Purpose;
use std::collections::BTreeMap;
use watt_ledger::rows::{AuditRow, SectorStage};
use watt_ledger::{Asking, StateRead};
use watt_light::transaction::witness_hash;
use watt_light::{Operation, ShownTo, SignedTransaction};
use watt_primitives::{SectorNumber, Window};

/// Openings of live sectors that are shown at a time: each has a few hundred KB in memory.
const SHOWN_MAX: usize = 16;

/// The window that asks for the newest openings of each live sector. The ledger says what is asked, so nothing of this has to outlive
/// the node.
#[derive(Clone, Debug, Default)]
pub(super) struct Audits(BTreeMap<SectorNumber, Window>);

impl Audits {
    /// Whether the newest openings of this sector are those of a live one.
    pub(super) fn is_asked(&self, sector: SectorNumber) -> bool {
        self.0.contains_key(&sector)
    }
}

impl Provider {
    /// The openings of a live sector themselves.
    fn whole_of(&self, sector: SectorNumber) -> Option<&Vec<u8>> {
        match self.openings.get(&sector)? {
            Opened::Whole(openings) => Some(openings),
            Opened::Shown { whole, .. } => whole.as_ref(),
        }
    }

    pub(super) fn answer_audits(
        &mut self,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<SignedTransaction>,
    ) {
        let asked = self.local.values().filter_map(|sector| {
            let number = sector.job.sector;
            let row = view.sector(number)?;
            let is_live = matches!(row.stage, SectorStage::Active { .. });
            let audit = view.audit(number).filter(|_| is_live)?;
            Some((audit, sector.clone()))
        });
        let mut asked: Vec<(AuditRow, LocalSector)> = asked.collect();
        // What is due first comes first.
        asked.sort_unstable_by_key(|(audit, sector)| (audit.answer_by, sector.job.sector));
        let is_asked = |number: &SectorNumber| asked.iter().any(|(_, sector)| sector.job.sector == *number);
        self.audits.0.retain(|number, _| is_asked(number));
        for (audit, sector) in asked {
            self.answer_audit(&audit, sector, view, effects, out);
        }
    }

    fn answer_audit(
        &mut self,
        audit: &AuditRow,
        LocalSector { job, roots }: LocalSector,
        view: &View<'_, impl StateRead>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<SignedTransaction>,
    ) {
        let number = job.sector;
        let newest = self.audits.0.get(&number).copied();
        let newest = newest.filter(|window| *window == audit.window);
        if newest.is_none() && !self.opening.contains(&number) {
            // Of its commitment, or of a question that was asked before.
            self.hide(number, effects);
        }
        if newest.is_some() && self.openings.contains_key(&number) {
            let purpose = Purpose::Audit(number);
            let by_committee = self.witness_of(number, purpose, view);
            let by_committee = by_committee.map(|witness| (ShownTo::Committee, witness));
            let answer = by_committee.or_else(|| {
                let is_time = view.height.next() >= audit.shown_to_everybody_from();
                let whole = self.whole_of(number).filter(|_| is_time)?;
                (!self.submitter.is_on_its_way(purpose)).then(|| (ShownTo::Everybody, whole.clone()))
            });
            if let Some((shown_to, witness)) = answer {
                let operation = Operation::AnswerAudit {
                    sector: number,
                    shown_to,
                    openings: witness_hash(&self.network, &witness),
                };
                self.submit(purpose, vec![operation], vec![witness], view, out);
            }
            return;
        }
        let Some(shown) = view.shown(number) else { return };
        let [asked] = shown.challenged.sectors.as_slice() else {
            return;
        };
        self.waiting.push(ShownToCommittee {
            batch: number,
            n_sectors: 1,
            asking: Asking::Again,
            n_given: 0,
            n_needed: shown.committee.needed(),
            deadline: audit.answer_by,
        });
        let is_paused = self.pauses.has(Job::Open(number));
        let is_shown = |opened: &&Opened| matches!(opened, Opened::Shown { .. });
        let n_shown = self.openings.values().filter(is_shown).count();
        if self.opening.is_empty() && !is_paused && n_shown < SHOWN_MAX {
            let open = OpenJob {
                batch: number,
                heavy: asked.heavy,
                sectors: vec![AskedSector {
                    job,
                    roots,
                    seed: asked.challenge_seed,
                }],
            };
            self.audits.0.insert(number, audit.window);
            self.opening.insert(number);
            effects.push(Effect::OpenBatch(Box::new(open)));
        }
    }
}

#[cfg(test)]
mod tests;
