//! Which rules are in force, which shall be, and who decides about them: as the API shows it.

use super::facts::Facts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use watt_ledger::query::{self, Readiness};
use watt_ledger::rows::{
    ApprovalRow, COUNCIL_QUORUM, DecisionOutcome, DecisionRow, PlannedUpgrade, RescueRow,
};
use watt_primitives::AccountId;

/// The most decisions that are told, the newest.
const DECISIONS_MAX: u64 = 64;

/// Rules, and how they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradesInfo {
    /// Version of the rules that the next block follows.
    pub version: u32,
    /// The highest version that this node's program knows.
    pub known: u32,
    /// The running term.
    pub term: u64,
    /// The change that was decided and has not happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<PlannedInfo>,
    /// The rescue release that the version in force is of, until it is ratified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescue: Option<RescueInfo>,
    /// Those who vote in the running term, and what they said about their programs.
    pub programs: Vec<ProgramInfo>,
    /// Entries of the backbone that must know a version for it to come into force, as the backbone is now.
    pub ready_needed: u32,
    /// Whether the council can decide.
    pub has_council: bool,
    /// Its members.
    pub council: Vec<String>,
    /// The first term in which it decides nothing any more.
    pub council_until: u64,
    /// Of its members, those who have to agree.
    pub council_needed: u32,
    /// People who may vote on rules.
    pub electorate: u64,
    /// What members said and what did not decide yet.
    pub approvals: Vec<ApprovalInfo>,
    /// What was decided, the newest first.
    pub decisions: Vec<DecisionInfo>,
}

/// A change of rules that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedInfo {
    /// To which version.
    pub version: u32,
    /// First term that may follow it.
    pub not_before: u64,
    /// Last term that may be the first one.
    pub lapses_after: u64,
    /// The first term that follows it, once that is certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_for: Option<u64>,
    /// Height of that term's first block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_height: Option<u64>,
}

/// A version that came into force without a decision, because the network could not make one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescueInfo {
    /// The version before it.
    pub before: u32,
    /// Height of the first block under its rules.
    pub height: u64,
    /// Why.
    pub reason: String,
    /// The first term that follows the version before again, unless the council decides to stay with it.
    pub lapses: u64,
}

/// Somebody who votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramInfo {
    /// Who.
    pub address: String,
    /// The highest version that their program knows, as they said in this term or else in the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knows: Option<u32>,
}

/// What a member of the council said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalInfo {
    /// Who.
    pub address: String,
    /// Which version.
    pub version: u32,
    /// First term that may follow it.
    pub not_before: u64,
    /// Term in which they said it.
    pub term: u64,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionInfo {
    /// Its number, from 0.
    pub number: u64,
    /// Which version.
    pub version: u32,
    /// First term that may follow it.
    pub not_before: u64,
    /// Height of its block.
    pub height: u64,
    /// Which members of the council decided it.
    pub by: Vec<String>,
    /// Why, of a rescue release.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `stays`, `waits`, `replaced`, `lapsed`, `armed`, `in-force`; of a rescue release `rescued`, `ratified`, `lapsed`, `replaced`.
    pub outcome: String,
    /// The first term that follows it, of one that is armed or in force; that follows the rules before it, of a rescue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
}

impl Facts<'_> {
    /// Rules, and how they change, for a node whose program knows versions up to `known`; `None` if the state is no ledger.
    pub(super) fn upgrades(&self, known: u32) -> Option<UpgradesInfo> {
        let (head, row) = (query::head(self.state)?, query::upgrades(self.state)?);
        let (terms, term) = (
            head.rules.terms(),
            head.rules.terms().of_height(head.chain.height),
        );
        let before: BTreeMap<AccountId, Option<u32>> = query::readiness(self.state, term.previous())
            .into_iter()
            .map(|one| (one.account, one.knows))
            .collect();
        let program = |one: Readiness| ProgramInfo {
            address: self.address(&one.account),
            knows: one.knows.or_else(|| before.get(&one.account).copied().flatten()),
        };
        let backbone = query::backbone_of_term(self.state, term)?;
        let n_unready_max = backbone.n_faulty_max() / 2;
        let planned = |planned: PlannedUpgrade| PlannedInfo {
            version: planned.version,
            not_before: planned.not_before.0,
            lapses_after: planned.lapses_after.0,
            armed_for: planned.armed_for.map(|term| term.0),
            armed_height: planned.armed_for.map(|term| terms.first_height(term).0),
        };
        let approval = |said: &ApprovalRow| ApprovalInfo {
            address: self.address(&said.by),
            version: said.version,
            not_before: said.not_before.0,
            term: said.at.0,
        };
        let rescue = |rescue: RescueRow| {
            let decision = query::decision(self.state, rescue.decision)?;
            Some(RescueInfo {
                before: rescue.before,
                height: decision.height.0,
                reason: decision.reason.as_str().to_owned(),
                lapses: rescue.lapses.0,
            })
        };
        let oldest = row.n_decisions.saturating_sub(DECISIONS_MAX);
        let decisions = (oldest..row.n_decisions).rev().filter_map(|number| {
            let row = query::decision(self.state, number)?;
            Some(self.decision_info(number, &row))
        });
        Some(UpgradesInfo {
            version: query::next_version(self.state)?,
            known,
            term: term.0,
            planned: row.planned.map(planned),
            rescue: row.rescue.and_then(rescue),
            programs: query::readiness(self.state, term)
                .into_iter()
                .map(program)
                .collect(),
            ready_needed: count(backbone.entries().len().saturating_sub(n_unready_max)),
            has_council: row.has_council(term),
            council: row.council.iter().map(|member| self.address(member)).collect(),
            council_until: row.council_until.0,
            council_needed: count(COUNCIL_QUORUM),
            electorate: row.electorate,
            approvals: row.approvals.iter().map(approval).collect(),
            decisions: decisions.collect(),
        })
    }

    fn decision_info(&self, number: u64, row: &DecisionRow) -> DecisionInfo {
        let (outcome, term) = match row.outcome {
            DecisionOutcome::Stays {} => ("stays", None),
            DecisionOutcome::Waits {} => ("waits", None),
            DecisionOutcome::Replaced {} => ("replaced", None),
            DecisionOutcome::Lapsed {} => ("lapsed", None),
            DecisionOutcome::Armed { term } => ("armed", Some(term.0)),
            DecisionOutcome::InForce { term } => ("in-force", Some(term.0)),
            DecisionOutcome::Rescued { lapses } => ("rescued", Some(lapses.0)),
            DecisionOutcome::Ratified {} => ("ratified", None),
        };
        DecisionInfo {
            number,
            version: row.version,
            not_before: row.not_before.0,
            height: row.height.0,
            by: row.by.iter().map(|member| self.address(member)).collect(),
            reason: row.reason.as_str().to_owned(),
            outcome: outcome.to_owned(),
            term,
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
