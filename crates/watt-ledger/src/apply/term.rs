//! Terms roll over by themselves: people are ranked anew (`docs/spec/trust.md` §4), and the next term gets its backbone
//! (`docs/spec/ledger.md` §12).

use crate::ledger::Ledger;
use crate::receipt::Event;
use crate::rows;
use crate::trust;
use watt_light::Backbone;
use watt_primitives::{Hash, Term};

impl Ledger<'_> {
    /// Ranks people by the trust that stands in the state below, if this block is the first of a term. Nothing that the block
    /// itself does counts.
    pub(crate) fn roll_term(&mut self) {
        let terms = self.rules.terms();
        let term = terms.of_height(self.height());
        if terms.first_height(term) != self.height() {
            return;
        }
        self.begin_rules(term);
        #[cfg(feature = "testing")]
        crate::testing::break_term(self.version);
        self.roll_backbone(term);
        let found = trust::neighbourhood(&self.rows, self.now());
        let ranking = found.rank();
        self.chain.rank_root = ranking.root(self.network(), term);
        self.look_at_standing(term, &ranking);
        self.events.push(Event::TermBegan {
            term,
            n_ranked: u64::try_from(ranking.people().len()).unwrap_or(u64::MAX),
            n_edges: u64::from(found.graph().n_edges()),
            rank_root: self.chain.rank_root,
        });
    }

    /// Writes the backbone of the term after `term`, if genesis did not, and forgets the one of two terms ago.
    fn roll_backbone(&mut self, term: Term) {
        if !self.rows.has(&rows::backbone(term.next())) {
            self.write_backbone(term.next());
        }
        if let Some(forgotten) = term.0.checked_sub(2) {
            self.rows.remove(rows::backbone(Term(forgotten)));
            self.forget_successions(Term(forgotten));
        }
    }

    /// Hash of the quorum set that decides the block after this one.
    pub(super) fn next_quorum_set(&self) -> Hash {
        let term = self.rules.terms().of_height(self.height().next());
        let backbone: Option<Backbone> = self.rows.read(&rows::backbone(term));
        backbone.map_or(Hash::ZERO, |backbone| backbone.quorum_set().hash(self.network()))
    }
}
