//! Asking for storage: the escrow is locked now, the match is the next window's.

use super::Actor;
use super::matching::first_match;
use crate::ledger::{Ledger, Purse};
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, DealRow, DealStage};
use watt_market::deal::RESERVATION_MS_MIN;
use watt_market::order::check_bid;
use watt_primitives::terms::BundleTerms;
use watt_primitives::{AccountId, Amount, BoundedVec, DealId};

/// The most bids of one account that are neither certified nor over (TS15).
pub const OPEN_BIDS_MAX: u8 = 4;

pub(super) struct BidOrder<'a> {
    pub(super) terms: &'a BundleTerms,
    pub(super) price_max: Amount,
    pub(super) escrow: Amount,
    pub(super) term_ms: u64,
    pub(super) exclude: &'a BoundedVec<AccountId, 32>,
}

impl Ledger<'_> {
    pub(super) fn place_bid(
        &mut self,
        actor: &Actor,
        bid_index: u16,
        order: &BidOrder<'_>,
    ) -> Result<Done, Refused> {
        let reservation_ms_max = reservation_ms_max(&self.rules.parameters, order.terms);
        check_bid(
            order.terms,
            order.price_max,
            order.escrow,
            order.term_ms,
            reservation_ms_max,
            self.rules.is_main,
        )?;
        self.spend(actor, order.escrow)?;
        self.move_money(Purse::Account(actor.account), Purse::Escrow, order.escrow)?;
        let mut account = self.account(&actor.account).ok_or(Refused::UnknownKey)?;
        if account.open_bids >= OPEN_BIDS_MAX {
            return Err(Refused::TooManyBids { max: OPEN_BIDS_MAX });
        }
        account.open_bids = account.open_bids.saturating_add(1);
        self.write_account(&actor.account, account);

        let deal = DealId::derive(
            self.network(),
            &actor.account,
            actor.key_index,
            actor.nonce,
            bid_index,
        );
        let row = DealRow {
            client: actor.account,
            terms: order.terms.clone(),
            price_max: order.price_max,
            term_ms: order.term_ms,
            reservation_ms_max,
            bid_height: self.height(),
            escrow: order.escrow,
            stage: DealStage::Open {
                exclude: order.exclude.clone(),
            },
            lost: BoundedVec::empty(),
        };
        self.rows.write(rows::deal(&deal), &row);
        self.rows.write(rows::pending_bid(self.height(), &deal), &());
        let of_client = rows::deals_of_client(&actor.account);
        self.rows.write(rows::indexed_deal(&of_client, &deal), &());
        let of_manifest = rows::deals_of_manifest(&order.terms.manifest);
        self.rows.write(rows::indexed_deal(&of_manifest, &deal), &());
        Ok(Done::BidPlaced {
            deal,
            match_height: first_match(&self.rules, self.height()),
        })
    }
}

/// Heights between a match and the last one for its certificate: longer for more bytes.
pub fn certify_slots(parameters: &crate::NetworkParameters, terms: &BundleTerms) -> u64 {
    let slots_bytes = terms.slot_bytes.saturating_mul(u64::from(terms.class.n()));
    let by_size = slots_bytes
        .div_ceil(watt_market::deal::PRICE_BYTES)
        .saturating_mul(parameters.certify_slots_per_gb);
    parameters.certify_slots.saturating_add(by_size)
}

/// The longest reservation that is paid, in milliseconds: twice the certificate's time at the target pace, so that slow blocks
/// are covered, too.
pub fn reservation_ms_max(parameters: &crate::NetworkParameters, terms: &BundleTerms) -> u64 {
    certify_slots(parameters, terms)
        .saturating_mul(parameters.slot_ms)
        .saturating_mul(2)
        .max(RESERVATION_MS_MIN)
}
