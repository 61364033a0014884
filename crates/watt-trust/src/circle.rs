//! A person's security circle: whom they trust, as they say themselves (`docs/spec/trust.md` §1).

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::time::DAY_MS;
use watt_primitives::{AccountId, BoundedVec, LedgerTime, TrustLevel};

/// The most people in a circle. Few enough that each is meant, and that nobody's word weighs much.
pub const CIRCLE_MAX: usize = 5;

/// How long trust holds without being renewed, in milliseconds of ledger time.
pub const TRUST_MS: u64 = 365 * DAY_MS;

/// The most new people in a circle per [`NEW_PERIOD_MS`]: farms of invented people grow slowly.
pub const NEW_MAX: usize = 2;

/// The time in which [`NEW_MAX`] counts, in milliseconds of ledger time.
pub const NEW_PERIOD_MS: u64 = 7 * DAY_MS;

/// One person in a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustEdge {
    /// Who is trusted.
    pub to: AccountId,
    /// How well they know each other.
    pub level: TrustLevel,
    /// Since when, without a break.
    pub since: LedgerTime,
    /// From then on it no longer counts.
    pub expires_at: LedgerTime,
}

impl TrustEdge {
    /// Whether it counts at `now`.
    #[must_use]
    pub fn is_live(&self, now: LedgerTime) -> bool {
        now < self.expires_at
    }
}

/// Whom one person trusts, in order of their ids. Edges that expired stay until the circle changes, and count for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Circle {
    /// Ascending by `to`, each once.
    pub edges: BoundedVec<TrustEdge, CIRCLE_MAX>,
    /// When the newest people came in, ascending: those of the last [`NEW_PERIOD_MS`].
    pub newest: BoundedVec<LedgerTime, NEW_MAX>,
}

/// Why a circle can't change so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrust {
    /// Everybody trusts themselves already.
    #[error("nobody is in their own circle")]
    Oneself,
    /// All places are taken.
    #[error("a circle has at most {CIRCLE_MAX} people")]
    Full,
    /// Too many new people at once.
    #[error("at most {NEW_MAX} new people in seven days")]
    TooSoon {
        /// When there is room for the next.
        next_at: LedgerTime,
    },
    /// The person is not in the circle.
    #[error("this person is not in the circle")]
    NotInCircle,
}

impl Circle {
    /// The edges that count at `now`, ascending by whom they lead to.
    pub fn live(&self, now: LedgerTime) -> impl Iterator<Item = &TrustEdge> {
        self.edges.iter().filter(move |edge| edge.is_live(now))
    }

    /// Puts `to` into the circle of `owner`, or renews and changes the trust that is there.
    ///
    /// # Errors
    /// The first rule broken; the circle is as before then.
    pub fn add(
        &mut self,
        owner: &AccountId,
        to: AccountId,
        level: TrustLevel,
        now: LedgerTime,
    ) -> Result<TrustEdge, InvalidTrust> {
        if *owner == to {
            return Err(InvalidTrust::Oneself);
        }
        let mut edges: Vec<TrustEdge> = self.live(now).copied().collect();
        let mut newest = self.recent(now);
        let (place, since) = match edges.binary_search_by(|edge| edge.to.cmp(&to)) {
            Ok(place) => {
                let held = edges.remove(place);
                (place, held.since)
            }
            Err(_) if edges.len() >= CIRCLE_MAX => return Err(InvalidTrust::Full),
            Err(place) => {
                if let (true, Some(first)) = (newest.len() >= NEW_MAX, newest.first()) {
                    let next_at = first.plus(NEW_PERIOD_MS);
                    return Err(InvalidTrust::TooSoon { next_at });
                }
                newest.push(now);
                (place, now)
            }
        };
        let edge = TrustEdge {
            to,
            level,
            since,
            expires_at: now.plus(TRUST_MS),
        };
        edges.insert(place, edge);
        self.set(edges, newest)?;
        Ok(edge)
    }

    /// Takes `to` out of the circle, at once.
    ///
    /// # Errors
    /// [`InvalidTrust::NotInCircle`].
    pub fn remove(&mut self, to: &AccountId, now: LedgerTime) -> Result<(), InvalidTrust> {
        let mut edges: Vec<TrustEdge> = self.live(now).copied().collect();
        let place = edges.iter().position(|edge| edge.to == *to);
        edges.remove(place.ok_or(InvalidTrust::NotInCircle)?);
        let newest = self.recent(now);
        self.set(edges, newest)
    }

    /// Whether there is nothing in it that has to be remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty() && self.newest.is_empty()
    }

    fn recent(&self, now: LedgerTime) -> Vec<LedgerTime> {
        let is_recent = |at: &&LedgerTime| now < at.plus(NEW_PERIOD_MS);
        self.newest.iter().filter(is_recent).copied().collect()
    }

    fn set(&mut self, edges: Vec<TrustEdge>, newest: Vec<LedgerTime>) -> Result<(), InvalidTrust> {
        let edges = BoundedVec::new(edges).map_err(|_| InvalidTrust::Full)?;
        let newest = BoundedVec::new(newest).map_err(|_| InvalidTrust::Full)?;
        (self.edges, self.newest) = (edges, newest);
        Ok(())
    }
}
