//! The ledger takes up that another key votes for a seat (`docs/spec/ledger.md` §16; TC1).

use crate::duty;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, SuccessionRow, UseOfKey};
use crate::state::StateRead;
use watt_light::backbone::SEATS_MAX;
use watt_light::{Backbone, Succession};
use watt_primitives::Term;
use watt_primitives::key::all_hold;

impl Ledger<'_> {
    /// Notes who votes in the term, and frees the later ones: whoever lost a term's key lost those that were registered ahead.
    pub(super) fn succeed(&mut self, succession: &Succession) -> Result<Done, Refused> {
        let (term, account) = (succession.term, succession.account);
        let terms = self.rules.terms();
        let running = terms.of_height(self.height());
        let is_settled = self.height() >= terms.final_from(running.next());
        let is_in_time = term == running || (term == running.next() && is_settled);
        let backbone: Option<Backbone> = self.rows.read(&rows::backbone(term));
        let backbone = backbone.filter(|_| is_in_time).ok_or(Refused::NoSuccession)?;
        succession
            .seat(term, &backbone)
            .map_err(|_| Refused::NoSuccession)?;
        let known: Option<SuccessionRow> = self.rows.read(&rows::succession(term, &account));
        if let Some(known) = known.filter(|known| known.generation >= succession.generation) {
            return Err(Refused::SuccessionKnown {
                generation: known.generation,
            });
        }
        if self.rows.has(&rows::used_key(&succession.key)) {
            return Err(Refused::VotingKeyUsed);
        }
        if !all_hold(&succession.signature_checks(self.network())) {
            return Err(Refused::NoSuccession);
        }
        let row = SuccessionRow {
            generation: succession.generation,
            key: succession.key,
        };
        self.rows.write(rows::succession(term, &account), &row);
        self.rows
            .write(rows::used_key(&succession.key), &UseOfKey { account, term });
        let (first, last) = duty::registrable(&self.rules, self.height());
        for later in (first.0..=last.0).map(Term).filter(|later| *later > term) {
            self.rows.remove(rows::voting_key(later, &account));
        }
        if first == running.next() {
            self.write_backbone(first);
        }
        Ok(Done::Succeeded {
            seat: account,
            generation: succession.generation,
        })
    }

    /// Forgets who succeeded whom in a term whose backbone is forgotten.
    pub(crate) fn forget_successions(&mut self, term: Term) {
        for (key, _) in self.rows.scan(&rows::successions(term), None, SEATS_MAX) {
            self.rows.remove(key);
        }
    }
}
