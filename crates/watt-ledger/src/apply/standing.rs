//! Offering to hold a seat, and who of those who do may be drawn (`docs/spec/ledger.md` §15, `docs/spec/trust.md` §6).

use super::Actor;
use crate::duty;
use crate::ledger::Ledger;
use crate::query;
use crate::receipt::{Done, Event};
use crate::refused::Refused;
use crate::rows::{self, AccountKind, DutyCountsRow, SeatsRow, StandingRow};
use std::collections::BTreeSet;
use watt_light::Backbone;
use watt_light::operation::VOUCHERS;
use watt_primitives::{AccountId, Term};
use watt_trust::standby::{Candidate, Gate};
use watt_trust::{Circle, Ranking};

/// The most people who stand for the backbone at a time. Those without a rank among the best leave again when the next term begins.
pub const STANDING_MAX: usize = 1024;

/// Terms in a row in which somebody who has worked in shadow may be without a rank among the best before they stand no more.
pub const OUTSIDE_TERMS_MAX: u64 = 14;

impl Ledger<'_> {
    pub(super) fn stand_for_backbone(
        &mut self,
        actor: &Actor,
        vouchers: &[AccountId; VOUCHERS],
    ) -> Result<Done, Refused> {
        let person = &actor.account;
        if let Some(again) = self.struck_off_until(person) {
            return Err(Refused::StruckOff { again });
        }
        self.check_vouchers(person, vouchers)?;
        self.note_leaving(person, false);
        let key = rows::standing(person);
        let row = if let Some(row) = self.rows.read::<StandingRow>(&key) {
            StandingRow {
                vouchers: *vouchers,
                ..row
            }
        } else {
            self.make_room()?;
            StandingRow {
                vouchers: *vouchers,
                since: self.rules.terms().of_height(self.height()),
                ranked_since: None,
                outside_terms: 0,
                shadow_terms: 0,
                listed_since: None,
            }
        };
        self.rows.write(key, &row);
        Ok(Done::StandingForBackbone {})
    }

    pub(super) fn withdraw_from_backbone(&mut self, actor: &Actor) -> Result<Done, Refused> {
        let person = actor.account;
        let key = rows::standing(&person);
        let was_standing = self.rows.has(&key);
        if was_standing {
            self.rows.remove(key);
            self.count_standing(|n| n.saturating_sub(1));
        }
        let is_leaving = self.note_leaving(&person, true);
        if was_standing || is_leaving {
            Ok(Done::WithdrawnFromBackbone {})
        } else {
            Err(Refused::NotStanding)
        }
    }

    /// Three different people of the ledger who have the candidate in their circles now; for how long is looked at by the gate.
    fn check_vouchers(&self, person: &AccountId, vouchers: &[AccountId; VOUCHERS]) -> Result<(), Refused> {
        let different: BTreeSet<&AccountId> = vouchers.iter().collect();
        let now = self.now();
        let trusts = |voucher: &AccountId| {
            let is_person = self
                .account(voucher)
                .is_some_and(|row| row.kind == AccountKind::Keyed);
            let circle: Circle = self.rows.read(&rows::circle(voucher)).unwrap_or_default();
            is_person && circle.live(now).any(|edge| edge.to == *person)
        };
        if different.len() == VOUCHERS && vouchers.iter().all(trusts) {
            Ok(())
        } else {
            Err(Refused::Vouchers)
        }
    }

    fn make_room(&mut self) -> Result<(), Refused> {
        let counts: DutyCountsRow = self.rows.read(rows::DUTY_COUNTS).unwrap_or_default();
        if usize::try_from(counts.n_standing).map_or(true, |n| n >= STANDING_MAX) {
            return Err(Refused::TooManyStanding);
        }
        self.count_standing(|n| n.saturating_add(1));
        Ok(())
    }

    fn count_standing(&mut self, change: impl FnOnce(u64) -> u64) {
        let mut counts: DutyCountsRow = self.rows.read(rows::DUTY_COUNTS).unwrap_or_default();
        counts.n_standing = change(counts.n_standing);
        self.rows.write(rows::DUTY_COUNTS.to_vec(), &counts);
    }

    /// Whether `person` has a seat and wishes to leave it; returns whether that is news.
    fn note_leaving(&mut self, person: &AccountId, is_leaving: bool) -> bool {
        let Some(mut seats) = self.rows.read::<SeatsRow>(rows::SEATS) else {
            return false;
        };
        let mut leaving = seats.leaving.into_inner();
        if leaving.contains(person) == is_leaving || !duty::has_seat(&seats.backbone, person) {
            return false;
        }
        leaving.retain(|one| one != person);
        leaving.extend(is_leaving.then_some(*person));
        // As many as have seats at most.
        seats.leaving = leaving.try_into().unwrap_or_default();
        self.rows.write(rows::SEATS.to_vec(), &seats);
        true
    }

    /// At the beginning of `term`: who of those who stand has a rank among the best, and who of these stands by.
    pub(super) fn look_at_standing(&mut self, term: Term, ranking: &Ranking) {
        let standing = query::all_standing(&self.rows);
        if standing.is_empty() {
            return;
        }
        let backbone: Option<Backbone> = self.rows.read(&rows::backbone(term));
        let n_seats = backbone.map_or(0, |backbone| backbone.entries().len());
        let candidates: Vec<Candidate> = standing
            .iter()
            .map(|(person, row)| Candidate {
                person: *person,
                vouchers: row.vouchers,
                shadow_terms: row.shadow_terms,
            })
            .collect();
        let gate = Gate::new(&candidates, ranking, n_seats);
        for ((person, before), candidate) in standing.into_iter().zip(&candidates) {
            let mut row = before.clone();
            let is_ranked = gate.is_ranked(&person) && self.struck_off_until(&person).is_none();
            row.ranked_since = is_ranked.then(|| row.ranked_since.unwrap_or(term));
            let circle = |id: &AccountId| self.rows.read(&rows::circle(id)).unwrap_or_default();
            let stands_by = is_ranked && gate.check(candidate, self.now(), circle).is_ok();
            row.listed_since = stands_by.then(|| row.listed_since.unwrap_or(term));
            row.outside_terms = if is_ranked {
                0
            } else {
                row.outside_terms.saturating_add(1)
            };
            match (before.listed_since, row.listed_since) {
                (None, Some(_)) => self.events.push(Event::StandsBy { person }),
                (Some(_), None) => self.events.push(Event::StandsByNoMore { person }),
                (Some(_), Some(_)) | (None, None) => {}
            }
            let is_over = !is_ranked && (row.shadow_terms == 0 || row.outside_terms >= OUTSIDE_TERMS_MAX);
            if is_over {
                self.rows.remove(rows::standing(&person));
                self.count_standing(|n| n.saturating_sub(1));
            } else if row != before {
                self.rows.write(rows::standing(&person), &row);
            }
        }
    }
}
