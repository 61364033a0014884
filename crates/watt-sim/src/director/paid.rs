//! Who is paid for windows at the end, and who says late what it could not say in time.

use super::Director;
use crate::storage::{FORGER, account_of};
use crate::violation::{Promise, Violation};
use std::cmp::Ordering;
use watt_ledger::query;

impl Director {
    /// Those who keep no replica say what they have meanwhile found out.
    pub(super) fn say_late(&mut self) {
        let first = self.first_provider();
        for number in self.casts.iter().flatten() {
            self.world.say_late(first + number);
        }
    }

    /// Whether of each cast as many have a window proven as the scenario says.
    pub(super) fn count_paid(&mut self) {
        for (cast, numbers) in self.scenario.trades.iter().zip(&self.casts) {
            let paid: Vec<usize> = numbers
                .iter()
                .copied()
                .filter(|number| self.is_paid(*number))
                .collect();
            let promise = match cast.paid.map(|wanted| paid.len().cmp(&wanted)) {
                Some(Ordering::Greater) => Promise::NoFreeRide,
                Some(Ordering::Less) => Promise::Liveness,
                Some(Ordering::Equal) | None => continue,
            };
            let (wanted, trade) = (cast.paid.unwrap_or(0), cast.trade.name());
            let facts = format!(
                "{} of {} that are {trade} have a window proven, {wanted} should",
                paid.len(),
                numbers.len()
            );
            self.world.fail(Violation::of(promise, facts));
            return;
        }
    }

    /// Honest providers with a window proven.
    pub(super) fn n_honest_paid(&self) -> usize {
        let first = self.first_provider();
        let is_honest = |number: &usize| self.world.nodes[first + number].trade.is_none();
        let honest = (0..self.scenario.network.providers()).filter(is_honest);
        honest.filter(|number| self.is_paid(*number)).count()
    }

    /// Proofs of forgers that were refused in blocks.
    pub(super) fn n_forged(&self) -> u64 {
        let state = self.world.state();
        let forgers = (0..self.scenario.people.forgers).map(|number| account_of(FORGER, number));
        let rows = forgers.filter_map(|forger| query::provider(&*state, &forger));
        rows.map(|forger| forger.row.proofs_failed).sum()
    }

    fn is_paid(&self, number: usize) -> bool {
        let provider = query::provider(&*self.world.state(), &account_of("provider", number));
        provider.is_some_and(|provider| provider.row.windows_proven > 0)
    }

    fn first_provider(&self) -> usize {
        self.world.n_validators() + self.scenario.network.followers
    }
}
