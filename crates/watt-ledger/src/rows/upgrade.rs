//! Which rules are in force, and how they change (`docs/spec/upgrades.md`).

use serde::{Deserialize, Serialize};
use watt_primitives::codec::zero_or_one;
use watt_primitives::{AccountId, BlockHeight, BoundedString, BoundedVec, Term};

/// Members of the council.
pub const COUNCIL_SEATS: usize = 7;

/// Of these, those whose agreement decides.
pub const COUNCIL_QUORUM: usize = 5;

/// The most people who may vote on rules as long as the council stands for them.
pub const ELECTORATE_OF_COUNCIL_MAX: u64 = 5_000;

/// Longest reason of a rescue release, in bytes.
pub const RESCUE_REASON_BYTES_MAX: usize = 280;

/// Which rules are in force, and which shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradesRow {
    /// Version of the rules that the running term follows.
    pub version: u32,
    /// First term that follows it.
    pub since: Term,
    /// People who may vote on rules. Whoever certifies people has to count them here; as nobody can be certified yet, it is 0.
    pub electorate: u64,
    /// Who decides as long as these are few; nobody, or [`COUNCIL_SEATS`] accounts of the genesis, ascending.
    pub council: BoundedVec<AccountId, COUNCIL_SEATS>,
    /// The first term in which the council decides nothing any more, however few they are.
    pub council_until: Term,
    /// What members said and what did not decide yet, ascending by member; the newest of each.
    pub approvals: BoundedVec<ApprovalRow, COUNCIL_SEATS>,
    /// Decisions so far; each has a [`DecisionRow`], the first the number 0.
    pub n_decisions: u64,
    /// The newest decision, if it is to change the rules and has not done so.
    #[serde(with = "zero_or_one")]
    pub planned: Option<PlannedUpgrade>,
    /// The rescue release that the version in force is of, until it is ratified.
    #[serde(with = "zero_or_one")]
    pub rescue: Option<RescueRow>,
}

/// A version that came into force without a decision, because the network could not make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RescueRow {
    /// Version of the rules before it.
    pub before: u32,
    /// The term in which it took effect.
    pub term: Term,
    /// The first term that follows the version before again, unless the council decides that the rules stay.
    pub lapses: Term,
    /// Number of its [`DecisionRow`].
    pub decision: u64,
}

/// What one member of the council said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRow {
    /// Who.
    pub by: AccountId,
    /// Which version.
    pub version: u32,
    /// First term that may follow it.
    pub not_before: Term,
    /// Term in which they said it.
    pub at: Term,
}

/// A change of rules that was decided and has not happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedUpgrade {
    /// To which version.
    pub version: u32,
    /// First term that may follow it.
    pub not_before: Term,
    /// Last term that may be the first one.
    pub lapses_after: Term,
    /// The term that follows it first, once enough of its backbone know the version: from then on it is certain.
    #[serde(with = "zero_or_one")]
    pub armed_for: Option<Term>,
}

/// A decision about rules; such a row stays for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRow {
    /// Which version was decided; the one in force then, to stay with it.
    pub version: u32,
    /// First term that may follow it.
    pub not_before: Term,
    /// Height of the block in which it was decided.
    pub height: BlockHeight,
    /// Which members of the council decided it, ascending; nobody did a rescue.
    pub by: BoundedVec<AccountId, COUNCIL_SEATS>,
    /// Why, of a rescue; empty of a decision.
    pub reason: BoundedString<RESCUE_REASON_BYTES_MAX>,
    /// What came of it.
    pub outcome: DecisionOutcome,
}

/// What came of a decision about rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionOutcome {
    /// Rules stay as they are.
    Stays {},
    /// It waits until enough of the backbone know the version.
    Waits {},
    /// Another decision took its place before that.
    Replaced {},
    /// They never did in time.
    Lapsed {},
    /// Rules change with this term.
    Armed {
        /// First term that follows the version.
        term: Term,
    },
    /// Rules changed with this term.
    InForce {
        /// First term that followed the version.
        term: Term,
    },
    /// A rescue: rules changed with the block in which this stands.
    Rescued {
        /// First term that follows the rules before it again, unless it is ratified.
        lapses: Term,
    },
    /// A rescue, and it was decided to stay with it.
    Ratified {},
}

impl UpgradesRow {
    /// The version that `term` follows, the running one or the next: what a decision still waits for happens later at the soonest.
    #[must_use]
    pub fn version_in(&self, term: Term) -> u32 {
        let armed = self
            .planned
            .filter(|planned| planned.armed_for.is_some_and(|armed| armed <= term));
        let lapsed = self.rescue.filter(|rescue| rescue.lapses <= term);
        let unplanned = lapsed.map_or(self.version, |rescue| rescue.before);
        armed.map_or(unplanned, |planned| planned.version)
    }

    /// Number of the decision whose change is planned: the newest.
    #[must_use]
    pub const fn planned_decision(&self) -> u64 {
        self.n_decisions.saturating_sub(1)
    }

    /// Whether the council decides in `term`.
    #[must_use]
    pub fn has_council(&self, term: Term) -> bool {
        let is_few = self.electorate <= ELECTORATE_OF_COUNCIL_MAX;
        !self.council.is_empty() && is_few && term.0 < self.council_until.0
    }
}
