//! Terms roll over by themselves, and people are ranked anew (`docs/spec/trust.md` §4).

use crate::ledger::Ledger;
use crate::receipt::Event;
use crate::trust;
use watt_primitives::Term;

/// Windows in a term: a day, of windows of 120 slots of five seconds.
pub const TERM_WINDOWS: u64 = 144;

impl Ledger<'_> {
    /// Ranks people by the trust that stands in the state below, if this block is the first of a term. Nothing that the block
    /// itself does counts.
    pub(crate) fn roll_term(&mut self) {
        let window = self.window();
        let is_first = window.0.is_multiple_of(TERM_WINDOWS) && self.height() == self.first_height_of(window);
        if !is_first {
            return;
        }
        let term = Term(window.0.checked_div(TERM_WINDOWS).unwrap_or(0));
        let found = trust::neighbourhood(&self.rows, self.now());
        let ranking = found.rank();
        self.chain.rank_root = ranking.root(self.network(), term);
        self.events.push(Event::TermBegan {
            term,
            n_ranked: u64::try_from(ranking.people().len()).unwrap_or(u64::MAX),
            n_edges: u64::from(found.graph().n_edges()),
            rank_root: self.chain.rank_root,
        });
    }
}
