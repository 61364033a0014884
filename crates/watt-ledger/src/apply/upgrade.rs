//! How rules change: the council decides, the backbone is counted, a term begins under them (`docs/spec/upgrades.md`; TC24).

use super::Actor;
use crate::block::InvalidBlock;
use crate::ledger::Ledger;
use crate::receipt::{Done, Event};
use crate::refused::Refused;
use crate::rescue::Rescue;
use crate::rows::{
    self, ApprovalRow, AttendanceRow, COUNCIL_QUORUM, DecisionOutcome, DecisionRow, PlannedUpgrade,
    RescueRow, UpgradesRow,
};
use watt_light::Backbone;
use watt_primitives::{AccountId, BoundedString, BoundedVec, Term};

/// The most that a decided version may be above the one in force.
pub const VERSIONS_AHEAD_MAX: u32 = 16;

/// Terms from a decision to the first one that may follow the new version, at least.
pub const NOTICE_TERMS: u64 = 2;

/// Terms for which what one member of the council said counts; also the most that a change can be put off by naming a later term.
pub const APPROVAL_TERMS: u64 = 90;

/// Terms for which a decided change waits for the backbone, from the first one that may follow it.
pub const LAPSE_TERMS: u64 = 90;

/// Terms for which a rescue holds unless it is ratified, the one in which it took effect not counted.
pub const RESCUE_TERMS: u64 = 30;

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
        self.give_up_planned(row);
        row.approvals = BoundedVec::empty();
        if version == row.version
            && let Some(rescue) = row.rescue.take()
        {
            self.note_outcome(rescue.decision, DecisionOutcome::Ratified {});
        }
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
            reason: BoundedString::default(),
            outcome,
        };
        self.note_decision(row, &decision);
        Ok(())
    }

    fn note_decision(&mut self, row: &mut UpgradesRow, decision: &DecisionRow) {
        self.rows.write(rows::decision(row.n_decisions), decision);
        row.n_decisions = row.n_decisions.saturating_add(1);
    }

    /// What was decided and has not happened will not happen.
    fn give_up_planned(&mut self, row: &mut UpgradesRow) {
        if row.planned.take().is_some() {
            let decision = row.planned_decision();
            self.note_outcome(decision, DecisionOutcome::Replaced {});
        }
    }

    /// From this block on the rules are those of a rescue release, which the program holds and the ledger did not decide.
    pub(crate) fn rescue(&mut self, rescue: &Rescue) -> Result<(), InvalidBlock> {
        let mut row = self.upgrades().map_err(|_| InvalidBlock::NoChain)?;
        self.give_up_planned(&mut row);
        let running = self.rules.terms().of_height(self.height());
        let (version, lapses) = (rescue.version, running.plus(RESCUE_TERMS).next());
        if let Some(earlier) = row.rescue {
            self.note_outcome(earlier.decision, DecisionOutcome::Replaced {});
        }
        row.rescue = Some(RescueRow {
            // What two rescues on end lead back to is the last version that was decided.
            before: row.rescue.map_or(row.version, |earlier| earlier.before),
            term: running,
            lapses,
            decision: row.n_decisions,
        });
        (row.version, row.since) = (version, running);
        row.approvals = BoundedVec::empty();
        let decision = DecisionRow {
            version,
            not_before: running,
            height: self.height(),
            by: BoundedVec::empty(),
            reason: rescue.reason.clone(),
            outcome: DecisionOutcome::Rescued { lapses },
        };
        self.note_decision(&mut row, &decision);
        self.rows.write(rows::UPGRADES.to_vec(), &row);
        self.version = version;
        self.events.push(Event::Rescued { version, lapses });
        Ok(())
    }

    /// Notes what came of a decision.
    fn note_outcome(&mut self, number: u64, outcome: DecisionOutcome) {
        let key = rows::decision(number);
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
            self.note_outcome(row.planned_decision(), DecisionOutcome::Armed { term: next });
            self.events.push(Event::UpgradeArmed { version, term: next });
        } else if next >= planned.lapses_after {
            row.planned = None;
            self.note_outcome(row.planned_decision(), DecisionOutcome::Lapsed {});
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
        let decision = row.planned_decision();
        let planned = row.planned.take_if(|planned| planned.armed_for == Some(term));
        let is_over = |rescue: &mut RescueRow| planned.is_some() || rescue.lapses <= term;
        let rescue = row.rescue.take_if(is_over);
        let version = match (planned, rescue) {
            (Some(planned), _) => planned.version,
            (None, Some(rescue)) => rescue.before,
            (None, None) => return,
        };
        if let Some(rescue) = rescue {
            let outcome = match planned {
                Some(_) => DecisionOutcome::Replaced {},
                None => DecisionOutcome::Lapsed {},
            };
            self.note_outcome(rescue.decision, outcome);
        }
        if planned.is_some() {
            self.note_outcome(decision, DecisionOutcome::InForce { term });
        }
        (row.version, row.since) = (version, term);
        row.approvals = BoundedVec::empty();
        self.rows.write(rows::UPGRADES.to_vec(), &row);
        self.events.push(Event::RulesChanged { version, term });
    }

    /// Whether somebody's program follows the rules in force, as far as they said: in `before` or since. After a rescue all had
    /// to update first.
    pub(super) fn follows_rules(&self, person: &AccountId, before: Term) -> bool {
        let rescue = self.upgrades().ok().and_then(|row| row.rescue);
        if rescue.is_some_and(|rescue| before < rescue.term) {
            return true;
        }
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
