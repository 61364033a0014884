//! Who votes in the next term (`docs/spec/ledger.md` §15, `docs/spec/trust.md` §7).
//!
//! When a term begins the list of those who stand by is fixed. In the middle of it the attendance of the term before is counted, and
//! the changes are planned with a beacon made since. Shortly before its end the plan is settled.

use crate::beacon::{Beacon, MISSES_MAX};
use crate::duty::{self, first_window};
use crate::ledger::Ledger;
use crate::query;
use crate::receipt::Event;
use crate::rows::{self, AttendanceRow, DutyCountsRow, SeatsRow, SuccessionRow, VotingKeyRow};
use crate::state::StateRead;
use std::collections::{BTreeMap, BTreeSet};
use watt_light::{Backbone, BackboneEntry};
use watt_primitives::{AccountId, Term};
use watt_trust::backbone::{Attendance, Seat, TermFacts};
use watt_trust::standby::NOTICE_TERMS_MIN;

/// Of all rows of one kind and term: attendances and keys of those bound by a duty, which are far fewer.
const PER_TERM_MAX: usize = 1 << 16;

impl Ledger<'_> {
    /// What is due in this block for the seats of the next term.
    pub(super) fn run_election(&mut self) {
        let (terms, height) = (self.rules.terms(), self.height());
        let term = terms.of_height(height);
        if height == duty::middle(&self.rules, term) {
            if let Some(before) = term.0.checked_sub(1) {
                self.plan_next_term(term, Term(before));
                self.forget_duties(Term(before));
            }
            self.write_backbone(term.next());
        }
        if height == terms.final_from(term.next()) {
            self.settle_seats(term.next());
            self.write_backbone(term.next());
            self.arm_upgrade(term.next());
        }
    }

    /// Counts the attendance of the term before and plans what changes with the next term.
    fn plan_next_term(&mut self, term: Term, before: Term) {
        let attendance = self.count_attendance(before);
        let standby = self.count_shadow(term, &attendance);
        let Some(mut seats) = self.rows.read::<SeatsRow>(rows::SEATS) else {
            return;
        };
        let counts: DutyCountsRow = self.rows.read(rows::DUTY_COUNTS).unwrap_or_default();
        let facts = TermFacts {
            next_term: term.next(),
            attendance: &attendance,
            faulty: &self.faulty(&seats, &standby),
            on_time_permille: on_time_permille(self.rules.terms().slots(), counts.n_late_before),
            standby: &standby,
            seed: self.newest_beacon().seats_seed(term.next()),
        };
        seats.plan = Some(seats.backbone.plan(&facts));
        self.rows.write(rows::SEATS.to_vec(), &seats);
    }

    /// How often everybody was there in the term before. Never, whose program does not know the rules in force, who asked to leave,
    /// and of its backbone, who has no key of their own for the term or failed its beacons.
    fn count_attendance(&self, before: Term) -> BTreeMap<AccountId, Attendance> {
        let n_windows = self.rules.parameters.term_windows;
        let expected = u32::try_from(n_windows).unwrap_or(u32::MAX);
        let prefix = rows::attendances(before);
        let mut all: BTreeMap<AccountId, Attendance> = BTreeMap::new();
        for (key, row) in self.rows.scan(&prefix, None, PER_TERM_MAX) {
            let row: AttendanceRow = rows::decode(&row);
            let attended = u32::try_from(row.n_attended(n_windows)).unwrap_or(u32::MAX);
            if let Some(person) = rows::account_after(&key, &prefix) {
                // Whose program can't follow the rules in force is of no more use than one that is off.
                let attended = if self.follows_rules(&person, before) {
                    attended
                } else {
                    0
                };
                all.insert(person, Attendance { expected, attended });
            }
        }
        let never = Attendance {
            expected,
            attended: 0,
        };
        let backbone: Option<Backbone> = self.rows.read(&rows::backbone(before));
        for entry in backbone.iter().flat_map(Backbone::entries) {
            let row: Option<VotingKeyRow> = self.rows.read(&rows::voting_key(before, &entry.account));
            if row.is_none_or(|row| row.n_missed > MISSES_MAX) {
                all.insert(entry.account, never);
            }
        }
        let seats: Option<SeatsRow> = self.rows.read(rows::SEATS);
        let leaving = seats.iter().flat_map(|seats| seats.leaving.iter());
        all.extend(leaving.map(|person| (*person, never)));
        all
    }

    /// Counts the term before as work in shadow of those who were there, and returns who may be drawn: those on the list for long enough
    /// who have a voting key.
    fn count_shadow(&mut self, term: Term, attendance: &BTreeMap<AccountId, Attendance>) -> Vec<AccountId> {
        let mut standby = Vec::new();
        for (person, mut row) in query::all_standing(&self.rows) {
            let is_steady = attendance.get(&person).is_some_and(Attendance::is_steady);
            if row.ranked_since.is_some() && is_steady && self.has_power(&person, term) {
                row.shadow_terms = row.shadow_terms.saturating_add(1);
                self.rows.write(rows::standing(&person), &row);
            }
            let is_listed = row
                .listed_since
                .is_some_and(|since| since.plus(NOTICE_TERMS_MIN) <= term);
            if is_listed && self.rows.has(&rows::voting_key(term.next(), &person)) {
                standby.push(person);
            }
        }
        standby
    }

    /// Whether their providers proved as much in the term before `term` as a candidate has to.
    fn has_power(&self, person: &AccountId, term: Term) -> bool {
        let needed = self.rules.parameters.standby_power_bytes;
        needed == 0
            || query::power_bytes(&self.rows, &self.rules, person, Term(term.0.saturating_sub(1))) >= needed
    }

    fn faulty(&self, seats: &SeatsRow, standby: &[AccountId]) -> BTreeSet<AccountId> {
        let of_seat = |seat: &Seat| [seat.holder, seat.voter()];
        let seated = seats.backbone.seats().iter().flat_map(of_seat);
        let all = seated.chain(standby.iter().copied());
        all.filter(|person| self.struck_off_until(person).is_some())
            .collect()
    }

    fn newest_beacon(&self) -> Beacon {
        let network = self.network();
        Beacon::newest(&self.rows, network, self.window())
            .map_or_else(|| Beacon::first(network), |(_, beacon)| beacon)
    }

    /// What was counted is not kept, nor are keys of terms that are over.
    fn forget_duties(&mut self, before: Term) {
        for prefix in [rows::attendances(before), rows::voting_keys(before)] {
            for (key, _) in self.rows.scan(&prefix, None, PER_TERM_MAX) {
                self.rows.remove(key);
            }
        }
    }

    /// Carries the plan out, without entrants who fell silent since.
    fn settle_seats(&mut self, next: Term) {
        let Some(seats) = self.rows.read::<SeatsRow>(rows::SEATS) else {
            return;
        };
        if seats.term >= next {
            return;
        }
        let after = self.settled(&seats, next);
        let plan = seats.plan.clone().unwrap_or_default();
        for change in &plan.replacements {
            let is_done = |seat: &Seat| seat.voter() == change.enters;
            if after.seats().iter().any(is_done) {
                self.events.push(Event::SeatGiven {
                    term: next,
                    leaves: change.leaves,
                    enters: change.enters,
                    why: change.why,
                });
            }
        }
        let has_grown = after.seats().len() > seats.backbone.seats().len();
        for enters in plan.growth.iter().filter(|_| has_grown) {
            let (term, enters) = (next, *enters);
            self.events.push(Event::SeatAdded { term, enters });
        }
        let mut leaving = seats.leaving.into_inner();
        leaving.retain(|person| duty::has_seat(&after, person));
        let row = SeatsRow {
            term: next,
            backbone: after,
            leaving: leaving.try_into().unwrap_or_default(),
            plan: None,
        };
        self.rows.write(rows::SEATS.to_vec(), &row);
    }

    /// The seats of `next` as they would be if nothing changed any more.
    fn settled(&self, seats: &SeatsRow, next: Term) -> watt_trust::Backbone {
        let plan = seats.plan.clone().unwrap_or_default();
        let entrants = plan
            .replacements
            .iter()
            .map(|change| change.enters)
            .chain(plan.growth.iter().copied());
        let silent = entrants.filter(|person| !self.can_enter(person, next)).collect();
        seats.backbone.settle(&plan, &silent, next)
    }

    /// Whether somebody who is to enter with `next` has a key for it, is not struck off and was not silent in the running term: in those
    /// of its windows that they had a whole window to attend.
    fn can_enter(&self, person: &AccountId, next: Term) -> bool {
        let running = next.previous();
        let first = first_window(&self.rules, running);
        let n_over = self.window().0.saturating_sub(first.0).saturating_sub(1);
        let attended = query::attendance(&self.rows, running, person).n_attended(n_over);
        let is_there = attended.saturating_mul(2) >= n_over;
        let has_key = self.rows.has(&rows::voting_key(next, person));
        is_there && has_key && self.struck_off_until(person).is_none()
    }

    /// Writes the backbone of `next` as it is now: who votes, each with the key registered for that term, or else with the one before.
    pub(super) fn write_backbone(&mut self, next: Term) {
        let Some(running) = self.rows.read::<Backbone>(&rows::backbone(next.previous())) else {
            return;
        };
        let backbone = match self.rows.read::<SeatsRow>(rows::SEATS) {
            Some(seats) if seats.term >= next => self.with_keys(next, seats.backbone.voters(), &running),
            Some(seats) => self.with_keys(next, self.settled(&seats, next).voters(), &running),
            None => {
                // Without seats people don't change.
                let stands: Option<Backbone> = self.rows.read(&rows::backbone(next));
                let stands = stands.unwrap_or_else(|| running.clone());
                let people = stands.entries().iter().map(|entry| entry.account);
                self.with_keys(next, people.collect(), &stands)
            }
        };
        self.rows
            .write(rows::backbone(next), &backbone.unwrap_or(running));
    }

    /// These people with their keys for `next`, or those of `before`; `None` if somebody has neither.
    fn with_keys(&self, next: Term, people: BTreeSet<AccountId>, before: &Backbone) -> Option<Backbone> {
        let n_people = people.len();
        let entry = |account: AccountId| {
            let row: Option<VotingKeyRow> = self.rows.read(&rows::voting_key(next, &account));
            let succession = rows::succession(next.previous(), &account);
            let succeeded: Option<SuccessionRow> = self.rows.read(&succession);
            let kept = || before.of_account(&account).map(|entry| entry.key);
            let registered = row.map(|row| row.key);
            let key = registered.or(succeeded.map(|row| row.key)).or_else(kept)?;
            Some(BackboneEntry {
                account,
                key,
                cold_key: self.rows.read(&rows::cold_key(&account)),
            })
        };
        let entries: Vec<BackboneEntry> = people.into_iter().filter_map(entry).collect();
        if entries.len() < n_people {
            return None;
        }
        Backbone::new(entries).ok()
    }

    /// Counts a slot that took longer than it should, and begins to count anew with every term.
    pub(super) fn note_slot(&mut self, is_late: bool) {
        let terms = self.rules.terms();
        let is_first = terms.first_height(terms.of_height(self.height())) == self.height();
        if !is_late && !is_first {
            return;
        }
        let mut counts: DutyCountsRow = self.rows.read(rows::DUTY_COUNTS).unwrap_or_default();
        if is_first {
            (counts.n_late_before, counts.n_late) = (counts.n_late, 0);
        }
        counts.n_late = counts.n_late.saturating_add(u64::from(is_late));
        self.rows.write(rows::DUTY_COUNTS.to_vec(), &counts);
    }
}

/// Of 1,000 slots, those on time.
fn on_time_permille(n_slots: u64, n_late: u64) -> u32 {
    let on_time = n_slots.saturating_sub(n_late).saturating_mul(1000);
    u32::try_from(on_time.checked_div(n_slots).unwrap_or(0)).unwrap_or(0)
}
