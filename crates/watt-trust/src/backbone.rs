//! Who holds the seats of the backbone in the next term (`docs/spec/trust.md` §7).
//!
//! Two kinds of change, because a network that can't replace its dead dies of them: who is silent or faulty is always replaced;
//! who has had their time, and growth, wait for quiet days. Seats are filled by lot, and who was silent gets the seat back on
//! returning, so nobody gains by pushing another out.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::zero_or_one;
use watt_primitives::hash::{Domain, DomainHasher};
use watt_primitives::{AccountId, Hash, Term};

/// The most seats: a set of nodes fits one machine word.
pub const SEATS_MAX: usize = 61;

/// Seats by which a backbone grows: one more may be faulty.
pub const GROWTH: usize = 3;

/// Terms from one growth to the next.
pub const GROWTH_TERMS: u64 = 14;

/// Terms after which a seat is given to somebody else.
pub const SEAT_TERMS: u64 = 180;

/// Terms in which at most as many seats are given on as may be faulty.
pub const ELECTIVE_TERMS: u64 = 30;

/// Terms for which a silent holder's seat is kept for them.
pub const AWAY_TERMS: u64 = 30;

/// Of 1,000 slots of a term, those that must have been on time for seats to be given on and for growth.
pub const ON_TIME_PERMILLE_MIN: u32 = 995;

/// How often somebody was there in a term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attendance {
    /// Windows in which they should have.
    pub expected: u32,
    /// Windows in which they did.
    pub attended: u32,
}

impl Attendance {
    /// There in fewer than half of the windows.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        u64::from(self.attended).saturating_mul(2) < u64::from(self.expected)
    }

    /// There in 95 of 100 windows, and at all.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        let (attended, expected) = (u64::from(self.attended), u64::from(self.expected));
        attended > 0 && attended.saturating_mul(100) >= expected.saturating_mul(95)
    }
}

/// One seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// Whose it is.
    pub holder: AccountId,
    /// First term of theirs.
    pub since: Term,
    /// Who stands in while the holder is silent.
    #[serde(with = "zero_or_one")]
    pub away: Option<Away>,
}

/// A seat whose holder is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Away {
    /// First term without the holder.
    pub since: Term,
    /// Who stands in.
    pub substitute: AccountId,
}

impl Seat {
    const fn new(holder: AccountId, since: Term) -> Self {
        Self {
            holder,
            since,
            away: None,
        }
    }

    /// Who votes: the holder, or who stands in.
    #[must_use]
    pub fn voter(&self) -> AccountId {
        self.away.map_or(self.holder, |away| away.substitute)
    }

    /// The seat from `term` on, with another who votes.
    fn changed(self, enters: AccountId, why: Why, term: Term) -> Self {
        let is_holder_gone = matches!(why, Why::Faulty) && self.away.is_none();
        match why {
            Why::Faulty | Why::Silent if !is_holder_gone => Self {
                away: Some(Away {
                    since: self.away.map_or(term, |away| away.since),
                    substitute: enters,
                }),
                ..self
            },
            Why::Back => Self { away: None, ..self },
            Why::Faulty | Why::Silent | Why::TimeOver => Self::new(enters, term),
        }
    }

    /// Who has stood in for long enough holds the seat.
    fn taken_over(self, term: Term) -> Self {
        match self.away {
            Some(away) if term >= away.since.plus(AWAY_TERMS) => Self::new(away.substitute, term),
            Some(_) | None => self,
        }
    }
}

/// Who holds the seats in a term: `3f + 1` people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backbone {
    /// Ascending by holder. Nobody holds or stands in twice.
    seats: Vec<Seat>,
    /// Terms with which a seat was given on, ascending: those of the last [`ELECTIVE_TERMS`].
    given_on: Vec<Term>,
    /// The term with which it last grew, or began.
    grown: Term,
}

/// Why people can't be a backbone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackbone {
    /// Not `3f + 1`, or too many.
    #[error("{found} seats; a backbone has 1, 4, 7 and so on up to {SEATS_MAX}")]
    Size {
        /// Seats found.
        found: usize,
    },
    /// Somebody twice.
    #[error("{person} holds two seats")]
    Twice {
        /// Who.
        person: AccountId,
    },
}

/// What is known when a plan is made.
#[derive(Clone, Debug)]
pub struct TermFacts<'a> {
    /// The term that the plan is for.
    pub next_term: Term,
    /// In the last whole term, of everybody with a seat, in it or away, and everybody on the standby list; who is missing here was never there.
    pub attendance: &'a BTreeMap<AccountId, Attendance>,
    /// Those against whom there is evidence.
    pub faulty: &'a BTreeSet<AccountId>,
    /// Of 1,000 slots of the term, those on time.
    pub on_time_permille: u32,
    /// Everybody who may be drawn.
    pub standby: &'a [AccountId],
    /// Drawn after the list was fixed, and bound to network and term.
    pub seed: Hash,
}

/// Why a seat changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// There is evidence against who voted.
    Faulty,
    /// Who voted was silent.
    Silent,
    /// The holder is back.
    Back,
    /// The holder had their time.
    TimeOver,
}

/// A seat that changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// Who leaves.
    pub leaves: AccountId,
    /// Who comes.
    pub enters: AccountId,
    /// Why.
    pub why: Why,
}

/// What is to change, provisional until it is settled shortly before the next term.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seats that change hands.
    pub replacements: Vec<Replacement>,
    /// Who takes a new seat: nobody, or [`GROWTH`] people.
    pub growth: Vec<AccountId>,
}

impl Backbone {
    /// These people, from `term` on.
    ///
    /// # Errors
    /// See [`InvalidBackbone`].
    pub fn new(mut people: Vec<AccountId>, term: Term) -> Result<Self, InvalidBackbone> {
        people.sort_unstable();
        let found = people.len();
        if found > SEATS_MAX || found.checked_rem(GROWTH) != Some(1) {
            return Err(InvalidBackbone::Size { found });
        }
        let twice = people
            .iter()
            .zip(people.iter().skip(1))
            .find(|(one, next)| one == next);
        if let Some((person, _)) = twice {
            return Err(InvalidBackbone::Twice { person: *person });
        }
        Ok(Self {
            seats: people.into_iter().map(|person| Seat::new(person, term)).collect(),
            given_on: Vec::new(),
            grown: term,
        })
    }

    /// The seats, ascending by holder.
    #[must_use]
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Who votes, ascending.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<AccountId> {
        self.seats.iter().map(Seat::voter).collect()
    }

    /// How many may be faulty: `f` of `3f + 1`.
    #[must_use]
    pub fn n_faulty_max(&self) -> usize {
        self.seats.len().saturating_sub(1).checked_div(3).unwrap_or(0)
    }

    /// The most people who are replaced at once because somebody is faulty, silent or back.
    #[must_use]
    pub fn n_removed_max(&self) -> usize {
        self.n_faulty_max().checked_div(2).unwrap_or(0).max(1)
    }

    /// What is to change with `facts.next_term`.
    #[must_use]
    pub fn plan(&self, facts: &TermFacts<'_>) -> Plan {
        let mut drawn = self.draw(facts).into_iter();
        let replacements = self.needed(facts, &mut drawn);
        if !replacements.is_empty() {
            return Plan {
                replacements,
                growth: Vec::new(),
            };
        }
        // Hand-over is a risk of its own, so at most one kind of change is made at once.
        let is_quiet = facts.on_time_permille >= ON_TIME_PERMILLE_MIN;
        if let Some(leaves) = self.time_over(facts).filter(|_| is_quiet) {
            let enters = drawn.next();
            let why = Why::TimeOver;
            return Plan {
                replacements: enters
                    .map(|enters| Replacement { leaves, enters, why })
                    .into_iter()
                    .collect(),
                growth: Vec::new(),
            };
        }
        let n_after = self.seats.len().saturating_add(GROWTH);
        let may_grow = is_quiet && n_after <= SEATS_MAX && facts.next_term >= self.grown.plus(GROWTH_TERMS);
        // Whoever stays on the list after it has to do for as many as may then be faulty.
        let n_spare = n_after.saturating_sub(1).checked_div(3).unwrap_or(0);
        let growth: Vec<AccountId> = if may_grow && drawn.len() >= GROWTH.saturating_add(n_spare) {
            drawn.take(GROWTH).collect()
        } else {
            Vec::new()
        };
        Plan {
            replacements: Vec::new(),
            growth,
        }
    }

    /// The backbone of `term` by `plan`, less the entrants who fell silent since: for them those who were to leave stay, and a
    /// growth that lost one does not happen.
    #[must_use]
    pub fn settle(&self, plan: &Plan, silent: &BTreeSet<AccountId>, term: Term) -> Self {
        let mut given_on = self.given_on.clone();
        let change_of = |seat: &Seat| {
            let mut changes = plan.replacements.iter();
            changes.find(|change| change.leaves == seat.voter() && !silent.contains(&change.enters))
        };
        let mut seats = Vec::with_capacity(self.seats.len());
        for seat in &self.seats {
            seats.push(match change_of(seat) {
                Some(change) => {
                    if change.why == Why::TimeOver {
                        given_on.push(term);
                    }
                    seat.changed(change.enters, change.why, term)
                }
                None => seat.taken_over(term),
            });
        }
        let mut grown = self.grown;
        if !plan.growth.is_empty() && plan.growth.iter().all(|person| !silent.contains(person)) {
            seats.extend(plan.growth.iter().map(|person| Seat::new(*person, term)));
            grown = term;
        }
        seats.sort_unstable_by_key(|seat| seat.holder);
        given_on.retain(|at| term < at.plus(ELECTIVE_TERMS));
        Self {
            seats,
            given_on,
            grown,
        }
    }

    /// Those on the list who are there, in an order by lot.
    fn draw(&self, facts: &TermFacts<'_>) -> Vec<AccountId> {
        let mut seated = self.voters();
        seated.extend(self.seats.iter().map(|seat| seat.holder));
        let lot = |person: &AccountId| {
            let mut hasher = DomainHasher::without_network(Domain::Beacon);
            hasher.part(facts.seed.as_ref()).part(person.as_ref());
            hasher.finish()
        };
        let is_ready = |person: &&AccountId| {
            let is_steady = facts.attendance.get(*person).is_some_and(Attendance::is_steady);
            is_steady && !facts.faulty.contains(*person) && !seated.contains(*person)
        };
        let ready: BTreeMap<Hash, AccountId> = facts
            .standby
            .iter()
            .filter(is_ready)
            .map(|person| (lot(person), *person))
            .collect();
        ready.into_values().collect()
    }

    /// The changes that are always made: others for the faulty, then for the silent, those who were there least first; then those
    /// who are back, longest away first.
    fn needed(&self, facts: &TermFacts<'_>, drawn: &mut impl Iterator<Item = AccountId>) -> Vec<Replacement> {
        let attendance = |person: &AccountId| facts.attendance.get(person).copied().unwrap_or_default();
        let mut removed: Vec<(bool, u32, AccountId)> = self
            .voters()
            .into_iter()
            .filter_map(|voter| {
                let is_faulty = facts.faulty.contains(&voter);
                let there = facts.attendance.get(&voter);
                let is_silent = there.is_none_or(Attendance::is_silent);
                (is_faulty || is_silent).then_some((!is_faulty, attendance(&voter).attended, voter))
            })
            .collect();
        removed.sort_unstable();
        let why = |is_honest| if is_honest { Why::Silent } else { Why::Faulty };
        let removed = removed.into_iter().zip(drawn);
        let removed = removed.map(|((is_honest, _, leaves), enters)| Replacement {
            leaves,
            enters,
            why: why(is_honest),
        });
        let mut replacements: Vec<Replacement> = removed.take(self.n_removed_max()).collect();
        let is_leaving = |voter: &AccountId| replacements.iter().any(|one| one.leaves == *voter);
        let mut back: Vec<(Term, Replacement)> = self
            .seats
            .iter()
            .filter(|seat| attendance(&seat.holder).is_steady() && !facts.faulty.contains(&seat.holder))
            .filter_map(|seat| Some((seat.away?, seat.holder)))
            .filter(|(away, _)| !is_leaving(&away.substitute))
            .map(|(away, enters)| {
                let (leaves, why) = (away.substitute, Why::Back);
                (away.since, Replacement { leaves, enters, why })
            })
            .collect();
        back.sort_by_key(|(since, replacement)| (*since, replacement.enters));
        replacements.extend(back.into_iter().map(|(_, replacement)| replacement));
        replacements.truncate(self.n_removed_max());
        replacements
    }

    /// Who has held a seat longest, if it is time to give it on.
    fn time_over(&self, facts: &TermFacts<'_>) -> Option<AccountId> {
        let next = facts.next_term;
        let recent = self.given_on.iter().filter(|at| next < at.plus(ELECTIVE_TERMS));
        if recent.count() >= self.n_faulty_max() {
            return None;
        }
        let oldest = self.seats.iter().min_by_key(|seat| (seat.since, seat.holder))?;
        let is_over = next >= oldest.since.plus(SEAT_TERMS);
        is_over.then_some(oldest.voter())
    }
}
