//! How rules change: the council decides, the backbone is counted, a term begins under them (`docs/spec/upgrades.md`; TC24).

use super::Actor;
use crate::ledger::Ledger;
use crate::receipt::{Done, Event};
use crate::refused::Refused;
use crate::rows::{
    self, ApprovalRow, AttendanceRow, COUNCIL_QUORUM, DecisionOutcome, DecisionRow, PlannedUpgrade,
    UpgradesRow,
};
use watt_light::Backbone;
use watt_primitives::{AccountId, BoundedVec, Term};

/// The most that a decided version may be above the one in force.
pub const VERSIONS_AHEAD_MAX: u32 = 16;

/// Terms from a decision to the first one that may follow the new version, at least.
pub const NOTICE_TERMS: u64 = 2;

/// Terms for which what one member of the council said counts; also the most that a change can be put off by naming a later term.
pub const APPROVAL_TERMS: u64 = 90;

/// Terms for which a decided change waits for the backbone, from the first one that may follow it.
pub const LAPSE_TERMS: u64 = 90;

impl Ledger<'_> {
    /// A member of the council says which version the rules shall have.
    pub(super) fn approve_upgrade(
        &mut self,
        actor: &Actor,
        version: u32,
        not_before: Term,
    ) -> Result<Done, Refused> {
        let running = self.rules.terms().of_height(self.height());
        let mut row = self.upgrades()?;
        if !row.council.contains(&actor.account) {
            return Err(Refused::NotInCouncil);
        }
        if !row.has_council(running) {
            return Err(Refused::CouncilOver);
        }
        let armed = row
            .planned
            .and_then(|planned| Some((planned.version, planned.armed_for?)));
        if let Some((version, term)) = armed {
            return Err(Refused::UpgradeArmed { version, term });
        }
        let (first, last) = (row.version, row.version.saturating_add(VERSIONS_AHEAD_MAX));
        if !(first..=last).contains(&version) {
            return Err(Refused::UpgradeVersion { first, last });
        }
        let last = running.plus(APPROVAL_TERMS);
        if not_before > last {
            return Err(Refused::UpgradeTerm { last });
        }
        let mut approvals = std::mem::take(&mut row.approvals).into_inner();
        approvals.retain(|said| said.by != actor.account && running < said.at.plus(APPROVAL_TERMS));
        let (by, at) = (actor.account, running);
        let place = approvals.partition_point(|said| said.by < by);
        approvals.insert(
            place,
            ApprovalRow {
                by,
                version,
                not_before,
                at,
            },
        );
        let agreeing = || approvals.iter().filter(|said| said.version == version);
        let n_agreeing = agreeing().count();
        let is_decided = n_agreeing >= COUNCIL_QUORUM;
        if is_decided {
            // Nobody is taken by surprise: the latest of the terms that they named counts.
            let not_before = agreeing().map(|said| said.not_before).max().unwrap_or(not_before);
            let by = agreeing().map(|said| said.by).collect();
            self.decide_upgrade(&mut row, version, not_before, by)?;
        } else {
            row.approvals = BoundedVec::new(approvals).map_err(|_| Refused::Invariant)?;
        }
        self.rows.write(rows::UPGRADES.to_vec(), &row);
        Ok(Done::UpgradeApproved {
            version,
            n_agreeing: u8::try_from(n_agreeing).unwrap_or(u8::MAX),
            is_decided,
        })
    }

    /// It is decided which version the rules shall have. Whatever decides besides the council has to come through here, as a
    /// referendum will when there are people who may vote.
    fn decide_upgrade(
        &mut self,
        row: &mut UpgradesRow,
        version: u32,
        not_before: Term,
        by: Vec<AccountId>,
    ) -> Result<(), Refused> {
        let running = self.rules.terms().of_height(self.height());
        if row.planned.take().is_some() {
            self.note_outcome(row, DecisionOutcome::Replaced {});
        }
        row.approvals = BoundedVec::empty();
        let not_before = not_before.max(running.plus(NOTICE_TERMS));
        let outcome = if version == row.version {
            DecisionOutcome::Stays {}
        } else {
            row.planned = Some(PlannedUpgrade {
                version,
                not_before,
                lapses_after: not_before.plus(LAPSE_TERMS),
                armed_for: None,
            });
            DecisionOutcome::Waits {}
        };
        let decision = DecisionRow {
            version,
            not_before,
            height: self.height(),
            by: BoundedVec::new(by).map_err(|_| Refused::Invariant)?,
            outcome,
        };
        self.rows.write(rows::decision(row.n_decisions), &decision);
        row.n_decisions = row.n_decisions.saturating_add(1);
        Ok(())
    }

    /// Notes what came of the newest decision.
    fn note_outcome(&mut self, row: &UpgradesRow, outcome: DecisionOutcome) {
        let key = rows::decision(row.n_decisions.saturating_sub(1));
        if let Some(mut decision) = self.rows.read::<DecisionRow>(&key) {
            decision.outcome = outcome;
            self.rows.write(key, &decision);
        }
    }

    /// The backbone of `next` is final: counts whether so many of it know a planned version that the network can go on under it
    /// from `next` on.
    pub(super) fn arm_upgrade(&mut self, next: Term) {
        let Ok(mut row) = self.upgrades() else { return };
        let is_due = |planned: &PlannedUpgrade| planned.armed_for.is_none() && next >= planned.not_before;
        let Some(planned) = row.planned.filter(is_due) else {
            return;
        };
        let backbone: Option<Backbone> = self.rows.read(&rows::backbone(next));
        let entries = backbone.as_ref().map_or(&[][..], Backbone::entries);
        let knows = |entry: &&watt_light::BackboneEntry| {
            self.announced(&entry.account, next.previous()) >= planned.version
        };
        let n_ready = entries.iter().filter(knows).count();
        let n_unready_max = backbone.as_ref().map_or(0, Backbone::n_faulty_max) / 2;
        let n_needed = entries.len().saturating_sub(n_unready_max);
        let version = planned.version;
        if n_needed > 0 && n_ready >= n_needed {
            row.planned = Some(PlannedUpgrade {
                armed_for: Some(next),
                ..planned
            });
            self.note_outcome(&row, DecisionOutcome::Armed { term: next });
            self.events.push(Event::UpgradeArmed { version, term: next });
        } else if next >= planned.lapses_after {
            row.planned = None;
            self.note_outcome(&row, DecisionOutcome::Lapsed {});
            self.events.push(Event::UpgradeLapsed { version });
        } else {
            self.events.push(Event::UpgradeWaits {
                version,
                n_ready: u8::try_from(n_ready).unwrap_or(u8::MAX),
                n_needed: u8::try_from(n_needed).unwrap_or(u8::MAX),
            });
            return;
        }
        self.rows.write(rows::UPGRADES.to_vec(), &row);
    }

    /// A term begins: from this block on its rules are in force.
    pub(super) fn begin_rules(&mut self, term: Term) {
        let Ok(mut row) = self.upgrades() else { return };
        let Some(planned) = row.planned.take_if(|planned| planned.armed_for == Some(term)) else {
            return;
        };
        let version = planned.version;
        (row.version, row.since) = (version, term);
        row.approvals = BoundedVec::empty();
        self.note_outcome(&row, DecisionOutcome::InForce { term });
        self.rows.write(rows::UPGRADES.to_vec(), &row);
        self.events.push(Event::RulesChanged { version, term });
    }

    /// Whether somebody's program follows the rules in force, as far as they said: in `before` or since.
    pub(super) fn follows_rules(&self, person: &AccountId, before: Term) -> bool {
        let announced = [before, before.next()].map(|term| self.announced(person, term));
        announced.into_iter().any(|knows| knows >= self.version)
    }

    /// The highest version that somebody's node said to know when it last attended a window of `term`; 0 if it attended none.
    fn announced(&self, person: &AccountId, term: Term) -> u32 {
        let row: Option<AttendanceRow> = self.rows.read(&rows::attendance(term, person));
        row.map_or(0, |row| row.knows)
    }

    fn upgrades(&self) -> Result<UpgradesRow, Refused> {
        self.rows.read(rows::UPGRADES).ok_or(Refused::Invariant)
    }
}
