//! Deals and their slots.

use serde::{Deserialize, Serialize};
use watt_market::{Paid, SlotFunds};
use watt_primitives::codec::zero_or_one;
use watt_primitives::terms::{BundleTerms, Device, SLOTS_MAX};
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedVec, LedgerTime, SectorNumber, SlotIndexInDeal, Window,
};

/// A bid and what came of it. The row stays when the deal is over, without its slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DealRow {
    /// Who pays.
    pub client: AccountId,
    /// What is stored. The slot roots are dropped when the deal is over.
    pub terms: BundleTerms,
    /// Most the client pays per slot, per 10⁹ bytes and day.
    pub price_max: Amount,
    /// Milliseconds of ledger time from certification.
    pub term_ms: u64,
    /// Longest reservation that is paid, in milliseconds.
    pub reservation_ms_max: u64,
    /// Height of the bid.
    pub bid_height: BlockHeight,
    /// What the client locked.
    pub escrow: Amount,
    /// How far it is.
    pub stage: DealStage,
    /// Slots that were lost while the deal ran, in the order in which they were.
    pub lost: BoundedVec<LostSlot, SLOTS_MAX>,
}

/// A slot that its holder lost: it is not stored any more, and not paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostSlot {
    /// Which.
    pub slot: SlotIndexInDeal,
    /// Who held it.
    pub provider: AccountId,
    /// Why it is lost.
    pub why: Loss,
    /// Height at which it was.
    pub height: BlockHeight,
    /// Paid for it in all.
    pub paid: Paid,
    /// Returned to the client.
    pub refunded: Amount,
}

/// Why a slot is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// Its holder did not show a group that was asked for.
    #[serde(rename = "dispute-unanswered")]
    Unanswered {
        /// Who asked.
        by: AccountId,
        /// For which group.
        group: u32,
    },
    /// Nothing of its sector was proven for its whole grace.
    #[serde(rename = "not-proven")]
    NotProven {},
    /// Its sector was asked again, and nobody was shown that it is sealed.
    #[serde(rename = "audit-unanswered")]
    AuditUnanswered {},
}

/// Somebody wants to see a group of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisputeRow {
    /// Who asks.
    pub by: AccountId,
    /// For which group.
    pub group: u32,
    /// Locked until it is closed.
    pub fee: Amount,
    /// Height of the dispute.
    pub since: BlockHeight,
    /// Windows that had counted by then: void ones since give the holder more time.
    pub counted_before: u64,
    /// Last height for the answer, as far as is known.
    pub answer_by: BlockHeight,
}

/// How far a deal is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DealStage {
    /// Waits for the beacon that the next window asks with.
    #[serde(rename = "open")]
    Open {
        /// Providers not to be chosen.
        exclude: BoundedVec<AccountId, 32>,
    },
    /// Providers are chosen, space is reserved, the shares travel.
    #[serde(rename = "matched")]
    Matched {
        /// Height of the match.
        height: BlockHeight,
        /// Ledger time of the match: the price runs from here.
        at: LedgerTime,
        /// Last height for the certificate.
        deadline: BlockHeight,
    },
    /// Enough providers hold their slots.
    #[serde(rename = "active")]
    Active {
        /// Height of the certificate.
        height: BlockHeight,
        /// Ledger time of the certificate: the term runs from here.
        at: LedgerTime,
        /// Ledger time at which the term is over.
        ends_at: LedgerTime,
    },
    /// The term is over; proofs of its last windows may still come.
    #[serde(rename = "ending")]
    Ending {
        /// Ledger time at which the term was over.
        ends_at: LedgerTime,
        /// The window in which that was.
        last: Window,
        /// First height at which it may be settled; it is later if then windows of a holder still wait for their proof.
        settle_height: BlockHeight,
    },
    /// Settled.
    #[serde(rename = "ended")]
    Ended {
        /// Why.
        how: DealEnd,
        /// Height at which it was settled.
        height: BlockHeight,
        /// Paid to providers in all, by what it was paid for.
        paid: Paid,
        /// Returned to the client in all.
        refunded: Amount,
    },
}

/// Why a deal is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DealEnd {
    /// Too few offers fitted.
    #[serde(rename = "unmatched")]
    Unmatched {
        /// Owners whose offer fitted.
        eligible: u32,
        /// Slots to place.
        needed: u32,
    },
    /// No certificate came in time.
    #[serde(rename = "not-certified")]
    NotCertified,
    /// The term is over.
    #[serde(rename = "term-over")]
    TermOver,
    /// The client ended it.
    #[serde(rename = "terminated")]
    Terminated,
}

/// One slot of a matched deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRow {
    /// Who holds it.
    pub provider: AccountId,
    /// Its money.
    pub funds: SlotFunds,
    /// Height of the certificate that names it; zero before.
    pub accepted_height: BlockHeight,
    /// The provider's sector that holds it, from its pre-commitment on.
    #[serde(with = "zero_or_one")]
    pub sector: Option<SectorNumber>,
    /// What its holder ran on at the match: how long it may go unproven.
    pub device: Device,
    /// The dispute about it that is open.
    #[serde(with = "zero_or_one")]
    pub dispute: Option<DisputeRow>,
    /// Window of its last claim.
    #[serde(with = "zero_or_one")]
    pub last_claim: Option<Window>,
}
