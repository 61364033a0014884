//! Two signed things that no correct node signs both (`docs/spec/ledger.md` §13; TC27).

use crate::ledger::Ledger;
use crate::query;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, FaultyRow, UseOfKey};
use watt_light::Evidence;
use watt_primitives::{AccountId, Term};

/// Terms for which somebody against whom there is evidence gets no seat.
pub const FAULTY_TERMS: u64 = 180;

impl Ledger<'_> {
    pub(super) fn report_evidence(&mut self, evidence: &Evidence) -> Result<Done, Refused> {
        let key = evidence.key();
        let user: UseOfKey = self.rows.read(&rows::used_key(&key)).ok_or(Refused::NoEvidence)?;
        let culprit = user.account;
        if self.struck_off_until(&culprit).is_some() {
            return Err(Refused::EvidenceKnown { culprit });
        }
        let found = evidence.verify(self.network()).map_err(|_| Refused::NoEvidence)?;
        let row = FaultyRow {
            since: self.rules.terms().of_height(self.height()),
            slot: found.slot,
        };
        self.rows.write(rows::faulty(&culprit), &row);
        Ok(Done::EvidenceTaken { culprit })
    }

    /// The first term in which `person` may have a seat again, if there is evidence against them that still counts.
    pub(super) fn struck_off_until(&self, person: &AccountId) -> Option<Term> {
        query::struck_off_until(&self.rows, person, self.rules.terms().of_height(self.height()))
    }
}
