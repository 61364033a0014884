//! Who may be drawn into the backbone (`docs/spec/trust.md` §6): rank is a gate, never the order.

use crate::circle::Circle;
use crate::ranking::Ranking;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use watt_primitives::time::DAY_MS;
use watt_primitives::{AccountId, LedgerTime};

/// Terms for which a candidate has done a validator's work in shadow, without weight.
pub const SHADOW_TERMS_MIN: u64 = 90;

/// Terms for which a name has stood on the list for everybody to see and object, before it may be drawn.
pub const NOTICE_TERMS_MIN: u64 = 14;

/// People who vouch for a candidate.
pub const VOUCHERS: usize = 3;

/// For how long, in milliseconds of ledger time, each of them has trusted the candidate.
pub const VOUCH_MS_MIN: u64 = 90 * DAY_MS;

/// Candidates whose rank opens the gate, per seat.
pub const RANKED_PER_SEAT: usize = 4;

/// Somebody who offers to hold a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub person: AccountId,
    /// Whom they name as vouching for them.
    pub vouchers: [AccountId; VOUCHERS],
    /// Terms of work in shadow.
    pub shadow_terms: u64,
}

/// Why a candidate can't be on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEligible {
    /// Too little work in shadow.
    #[error("{found} terms of work in shadow, {SHADOW_TERMS_MIN} are needed")]
    Shadow {
        /// Terms so far.
        found: u64,
    },
    /// No rank, or too many candidates above.
    #[error("the rank is not among the {n_best} best of the candidates")]
    Rank {
        /// How many there are.
        n_best: usize,
    },
    /// A voucher is named twice, is the candidate, or is a candidate.
    #[error("the vouchers are not three different people, none of them a candidate")]
    Vouchers,
    /// A voucher has not trusted the candidate for long enough without a break.
    #[error("{voucher} has not trusted the candidate for 90 days")]
    NotTrusted {
        /// Who.
        voucher: AccountId,
    },
    /// Two vouchers belong together.
    #[error("{one} and {other} are not independent: one is in the other's circle")]
    Friends {
        /// One of them.
        one: AccountId,
        /// The other.
        other: AccountId,
    },
}

/// Candidates, looked at for a backbone of so many seats.
#[derive(Clone, Debug)]
pub struct Gate {
    candidates: BTreeSet<AccountId>,
    best: BTreeSet<AccountId>,
}

impl Gate {
    /// Compares the ranks of all `candidates`. For candidates of the same rank the lower id counts.
    #[must_use]
    pub fn new(candidates: &[Candidate], ranking: &Ranking, n_seats: usize) -> Self {
        let mut ranked: Vec<(u64, AccountId)> = candidates
            .iter()
            .map(|candidate| (ranking.of(&candidate.person), candidate.person))
            .filter(|(rank, _)| *rank > 0)
            .collect();
        ranked.sort_unstable_by(|(rank, id), (other_rank, other_id)| {
            other_rank.cmp(rank).then(id.cmp(other_id))
        });
        ranked.dedup();
        ranked.truncate(n_seats.saturating_mul(RANKED_PER_SEAT));
        Self {
            candidates: candidates.iter().map(|candidate| candidate.person).collect(),
            best: ranked.into_iter().map(|(_, id)| id).collect(),
        }
    }

    /// Whether the rank of `person` is among the best of the candidates.
    #[must_use]
    pub fn is_ranked(&self, person: &AccountId) -> bool {
        self.best.contains(person)
    }

    /// Whether `candidate` may be on the list at `now`. `circle` returns somebody's circle.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn check(
        &self,
        candidate: &Candidate,
        now: LedgerTime,
        circle: impl Fn(&AccountId) -> Circle,
    ) -> Result<(), NotEligible> {
        if candidate.shadow_terms < SHADOW_TERMS_MIN {
            return Err(NotEligible::Shadow {
                found: candidate.shadow_terms,
            });
        }
        if !self.best.contains(&candidate.person) {
            return Err(NotEligible::Rank {
                n_best: self.best.len(),
            });
        }
        let vouchers: BTreeSet<AccountId> = candidate.vouchers.iter().copied().collect();
        if vouchers.len() < VOUCHERS || !vouchers.is_disjoint(&self.candidates) {
            return Err(NotEligible::Vouchers);
        }
        let circles: Vec<(AccountId, Circle)> = vouchers.iter().map(|id| (*id, circle(id))).collect();
        for (voucher, circle) in &circles {
            let is_old = circle
                .live(now)
                .any(|edge| edge.to == candidate.person && edge.since.plus(VOUCH_MS_MIN) <= now);
            if !is_old {
                return Err(NotEligible::NotTrusted { voucher: *voucher });
            }
        }
        for (one, circle) in &circles {
            if let Some(edge) = circle.live(now).find(|edge| vouchers.contains(&edge.to)) {
                return Err(NotEligible::Friends {
                    one: *one,
                    other: edge.to,
                });
            }
        }
        Ok(())
    }
}
