//! A person's security circle as the API shows it, and the nodes of people with their ranks.

use super::facts::{Facts, address_kind};
use crate::lock::locked;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use watt_ledger::query;
use watt_primitives::{AccountId, LedgerTime, Term, TrustLevel};
use watt_trust::Ranking;

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

/// Nodes that anybody may ask, with the ranks of those who run them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesInfo {
    /// The term as of whose circles the ranks are.
    pub term: u64,
    /// Every node whose address is on the ledger.
    pub nodes: Vec<NodeInfo>,
}

/// A node that anybody may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Whose account runs it.
    pub operator: String,
    /// The rank of that person, in digits; 0 for whoever has none.
    pub rank: String,
    /// libp2p peer id.
    pub peer_id: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
}

/// The ranks of a term, reckoned when they are first asked for.
#[derive(Debug, Default)]
pub(super) struct Ranks(Mutex<Option<(Term, Arc<Ranking>)>>);

impl Ranks {
    /// The ranks of `term`: of one term they are reckoned once, while others wait for them.
    fn of(&self, term: Term, reckon: impl FnOnce() -> Ranking) -> Arc<Ranking> {
        let mut known = locked(&self.0);
        if let Some((of, ranking)) = known.as_ref()
            && *of == term
        {
            return Arc::clone(ranking);
        }
        let ranking = Arc::new(reckon());
        *known = Some((term, Arc::clone(&ranking)));
        ranking
    }
}

impl Facts<'_> {
    /// All nodes whose address is on the ledger, and the ranks of those who run them.
    pub(super) fn nodes(&self, ranks: &Ranks) -> NodesInfo {
        let head = query::head(self.state);
        let term = head.map_or(Term(0), |head| {
            query::term_of_height(&head.rules, head.chain.height)
        });
        let ranking = ranks.of(term, || query::ranking(self.state));
        let nodes = self.providers().into_iter().filter_map(|provider| {
            let kind = address_kind(self.genesis);
            let operator = AccountId::parse_address(&provider.address, kind).ok()?;
            Some(NodeInfo {
                rank: ranking.of(&operator).to_string(),
                operator: provider.address,
                peer_id: provider.peer_id,
                addresses: provider.addresses,
            })
        });
        NodesInfo {
            term: term.0,
            nodes: nodes.collect(),
        }
    }

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
