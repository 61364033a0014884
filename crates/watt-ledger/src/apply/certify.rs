//! Starting a deal: the holders' acceptances. Anyone may post them, so withholding is nobody's choice (TS15).

use crate::ledger::{Ledger, Purse};
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, DealRow, DealStage, SlotRow};
use std::collections::BTreeMap;
use watt_light::Acceptance;
use watt_light::operation::AcceptanceTerms;
use watt_market::{Movement, Party};
use watt_primitives::key::all_hold;
use watt_primitives::{AccountId, Amount, DealId, LedgerTime, SlotIndexInDeal};

impl Ledger<'_> {
    pub(super) fn certify(&mut self, deal: &DealId, acceptances: &[Acceptance]) -> Result<Done, Refused> {
        let mut row: DealRow = self
            .rows
            .read(&rows::deal(deal))
            .ok_or(Refused::UnknownDeal { deal: *deal })?;
        let DealStage::Matched { at, deadline, .. } = row.stage else {
            return Err(Refused::WrongStage { deal: *deal });
        };
        if self.height() > deadline {
            return Err(Refused::CertificateLate { deadline });
        }
        self.check_acceptances(deal, &row, acceptances)?;

        let accepted: BTreeMap<SlotIndexInDeal, ()> = acceptances
            .iter()
            .map(|acceptance| (acceptance.slot, ()))
            .collect();
        let mut paid = Amount::ZERO;
        for slot in slots_of(&row) {
            let is_accepted = accepted.contains_key(&slot);
            paid = Amount(
                paid.0
                    .saturating_add(self.certify_slot(deal, &row, slot, at, is_accepted)?.0),
            );
        }
        let ends_at = self.now().plus(row.term_ms);
        row.stage = DealStage::Active {
            height: self.height(),
            at: self.now(),
            ends_at,
        };
        self.rows.write(rows::deal(deal), &row);
        self.rows.remove(rows::deal_due_at_height(deadline.next(), deal));
        self.rows.write(rows::deal_due_at_time(ends_at, deal), &());
        self.close_bid_of(&row.client);
        Ok(Done::Certified {
            deal: *deal,
            ends_at,
            paid,
        })
    }

    fn check_acceptances(
        &self,
        deal: &DealId,
        row: &DealRow,
        acceptances: &[Acceptance],
    ) -> Result<(), Refused> {
        let slots = || acceptances.iter().map(|acceptance| acceptance.slot);
        let is_ascending = slots().zip(slots().skip(1)).all(|(left, right)| left < right);
        let is_in_deal = slots().all(|slot| usize::from(slot.0) < row.terms.slot_roots.len());
        if !is_ascending || !is_in_deal {
            return Err(Refused::AcceptanceOrder);
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (given, needed) = (count(acceptances.len()), u32::from(row.terms.class.certify_min()));
        if given < needed {
            return Err(Refused::TooFewAcceptances { given, needed });
        }
        let mut checks = Vec::with_capacity(acceptances.len());
        for acceptance in acceptances {
            let slot: SlotRow =
                self.rows
                    .read(&rows::slot(deal, acceptance.slot))
                    .ok_or(Refused::UnknownSlot {
                        slot: acceptance.slot,
                    })?;
            let is_holders = self
                .account(&slot.provider)
                .is_some_and(|account| account.has_live_key(&acceptance.key));
            if !is_holders {
                return Err(Refused::AcceptanceKey {
                    slot: acceptance.slot,
                });
            }
            let root = row.terms.slot_roots.get(usize::from(acceptance.slot.0));
            let terms = AcceptanceTerms {
                deal: *deal,
                slot: acceptance.slot,
                root: *root.ok_or(Refused::AcceptanceOrder)?,
            };
            checks.push(terms.signature_check(acceptance, self.network()));
        }
        if all_hold(&checks) {
            Ok(())
        } else {
            Err(Refused::AcceptanceSignature)
        }
    }

    /// Pays the reservation of a slot that was accepted; gives back one that was not.
    fn certify_slot(
        &mut self,
        deal: &DealId,
        row: &DealRow,
        slot: SlotIndexInDeal,
        matched_at: LedgerTime,
        is_accepted: bool,
    ) -> Result<Amount, Refused> {
        let Some(mut held) = self.rows.read::<SlotRow>(&rows::slot(deal, slot)) else {
            return Ok(Amount::ZERO);
        };
        if is_accepted {
            let elapsed_ms = self.now().0.saturating_sub(matched_at.0);
            let movement = held.funds.pay_reservation(elapsed_ms, row.reservation_ms_max);
            held.accepted_height = self.height();
            self.rows.write(rows::slot(deal, slot), &held);
            self.carry_out(movement, &held.provider, &row.client)?;
            Ok(movement.amount)
        } else {
            let movement = held.funds.refund();
            self.carry_out(movement, &held.provider, &row.client)?;
            self.release_slot(deal, slot, &held);
            Ok(Amount::ZERO)
        }
    }

    /// Moves what the market's rules say out of the escrow.
    pub(super) fn carry_out(
        &mut self,
        movement: Movement,
        provider: &AccountId,
        client: &AccountId,
    ) -> Result<(), Refused> {
        let to = match movement.to {
            Party::Provider => *provider,
            Party::Client => *client,
        };
        self.move_money(Purse::Escrow, Purse::Account(to), movement.amount)
    }

    /// A bid is no longer open: it was certified, or is over.
    pub(super) fn close_bid_of(&mut self, client: &AccountId) {
        if let Some(mut account) = self.account(client) {
            account.open_bids = account.open_bids.saturating_sub(1);
            self.write_account(client, account);
        }
    }
}

/// The slots that a deal of this class has.
pub(super) fn slots_of(row: &DealRow) -> impl Iterator<Item = SlotIndexInDeal> + use<> {
    (0..row.terms.class.n()).map(SlotIndexInDeal)
}
