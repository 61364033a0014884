//! A person's security circle as the API shows it.

use super::facts::Facts;
use serde::{Deserialize, Serialize};
use watt_ledger::query;
use watt_primitives::{AccountId, LedgerTime, TrustLevel};

/// People who trust somebody, in one answer.
pub(super) const TRUSTERS_PER_PAGE: usize = 100;

/// Whom a person trusts, and who trusts them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustInfo {
    /// Whose.
    pub address: String,
    /// Who is in their circle, by trust that counts.
    pub circle: Vec<TrustedInfo>,
    /// In whose circles they are, by trust that counts: a page of them.
    pub trusted_by: Vec<TrusterInfo>,
    /// Pass it as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Somebody in a circle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedInfo {
    /// Who.
    pub address: String,
    /// `online`, `in-person` or `close`.
    pub level: TrustLevel,
    /// Since when, in milliseconds of ledger time.
    pub since: u64,
    /// Until when unless it is renewed, in milliseconds of ledger time.
    pub expires_at: u64,
    /// Whether they trust back.
    pub is_mutual: bool,
}

/// Somebody in whose circle a person is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrusterInfo {
    /// Who.
    pub address: String,
    /// `online`, `in-person` or `close`.
    pub level: TrustLevel,
}

impl Facts<'_> {
    /// The circle of `person`, and a page of those who trust them, after `after`.
    pub(super) fn trust(&self, person: &AccountId, after: Option<&AccountId>) -> TrustInfo {
        let now = query::head(self.state).map_or(LedgerTime(0), |head| head.ledger_time);
        let level_of = |from: &AccountId, to: &AccountId| {
            let circle = query::circle(self.state, from);
            let found = circle.live(now).find(|edge| edge.to == *to);
            found.map(|edge| edge.level)
        };
        let circle = query::circle(self.state, person);
        let trusters = query::trusters(self.state, person, after, TRUSTERS_PER_PAGE);
        let next = (trusters.len() == TRUSTERS_PER_PAGE).then(|| trusters.last());
        TrustInfo {
            address: self.address(person),
            circle: circle
                .live(now)
                .map(|edge| TrustedInfo {
                    address: self.address(&edge.to),
                    level: edge.level,
                    since: edge.since.0,
                    expires_at: edge.expires_at.0,
                    is_mutual: level_of(&edge.to, person).is_some(),
                })
                .collect(),
            trusted_by: trusters
                .iter()
                .filter_map(|truster| {
                    Some(TrusterInfo {
                        address: self.address(truster),
                        level: level_of(truster, person)?,
                    })
                })
                .collect(),
            next: next.flatten().map(|last| self.address(last)),
        }
    }
}
