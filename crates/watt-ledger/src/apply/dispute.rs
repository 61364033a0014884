//! Asking the holder of a slot to show a group of it (`docs/spec/ledger.md` 9.10; TS5).
//!
//! A proof of a window says how much of a provider is there, not whose: this says it of one slot.

use super::Actor;
use crate::ledger::{Ledger, Purse, window_of};
use crate::receipt::Done;
use crate::refused::Refused;
use crate::rows::{self, ChainRow, DealRow, DealStage, DisputeRow, Loss, RulesRow, SlotRow};
use crate::state::StateRead;
use watt_light::operation::{SHOWN_GROUP_BYTES_MAX, ShownGroup};
use watt_primitives::slot_tree::{group_count, verify_group};
use watt_primitives::terms::Device;
use watt_primitives::{AccountId, Amount, BlockHeight, DealId, SlotIndexInDeal, codec};

/// Locked for a dispute: for the holder if it shows the group, for whoever asked if it does not.
pub const DISPUTE_FEE: Amount = Amount(watt_primitives::amount::UNITS_PER_WATT / 100);

/// The most open disputes about one provider; clients may dispute what they pay for whatever their number.
pub const DISPUTES_PER_PROVIDER_MAX: u32 = 32;

impl Ledger<'_> {
    pub(super) fn dispute(
        &mut self,
        actor: &Actor,
        deal: &DealId,
        slot: SlotIndexInDeal,
        group: u32,
    ) -> Result<Done, Refused> {
        let row = self.deal(deal)?;
        let DealStage::Active { .. } = row.stage else {
            return Err(Refused::WrongStage { deal: *deal });
        };
        let mut held = self.held_slot(deal, slot)?;
        if !self.is_in_active_sector(&held) {
            return Err(Refused::SlotNotProven { slot });
        }
        let n_groups = group_count(row.terms.slot_bytes);
        if u64::from(group) >= n_groups {
            return Err(Refused::NoSuchGroup { n_groups });
        }
        self.make_way(actor, deal, slot, &row, &mut held)?;

        self.spend(actor, DISPUTE_FEE)?;
        self.move_money(Purse::Account(actor.account), Purse::Escrow, DISPUTE_FEE)?;
        let answer_by = self.height().plus(answer_slots(&self.rules, held.device));
        held.dispute = Some(DisputeRow {
            by: actor.account,
            group,
            fee: DISPUTE_FEE,
            since: self.height(),
            counted_before: self.chain.windows_counted,
            answer_by,
        });
        self.rows.write(rows::slot(deal, slot), &held);
        let due = rows::slot_due_at_height(answer_by.next(), deal, slot);
        self.rows.write(due, &());
        self.change_disputed(&held.provider, |n| n.saturating_add(1));
        Ok(Done::Disputed {
            provider: held.provider,
            answer_by,
            fee: DISPUTE_FEE,
        })
    }

    /// One dispute of a slot at a time, and so many of a provider. Nobody keeps a client from asking with questions that the holder can
    /// answer: the client's own comes before those of others.
    fn make_way(
        &mut self,
        actor: &Actor,
        deal: &DealId,
        slot: SlotIndexInDeal,
        row: &DealRow,
        held: &mut SlotRow,
    ) -> Result<(), Refused> {
        let is_client = actor.account == row.client;
        if let Some(open) = held.dispute {
            if !is_client || open.by == row.client {
                return Err(Refused::DisputedAlready {
                    slot,
                    answer_by: open.answer_by,
                });
            }
            return self.close_dispute(deal, slot, held, &open.by);
        }
        let provider = self.provider(&held.provider).ok_or(Refused::NotAProvider)?;
        if provider.n_disputed >= DISPUTES_PER_PROVIDER_MAX && !is_client {
            return Err(Refused::TooManyDisputes {
                max: DISPUTES_PER_PROVIDER_MAX,
            });
        }
        Ok(())
    }

    pub(super) fn answer_dispute(
        &mut self,
        actor: &Actor,
        (deal, slot, group): (&DealId, SlotIndexInDeal, u32),
        shown: &[u8],
    ) -> Result<Done, Refused> {
        let row = self.deal(deal)?;
        let (mut held, dispute) = disputed(
            &self.rows,
            &self.rules,
            &self.chain,
            &actor.account,
            (deal, slot, group),
        )?;
        let root = row.terms.slot_roots.get(usize::from(slot.0));
        let root = root.ok_or(Refused::UnknownSlot { slot })?;
        let is_group = codec::decode::<ShownGroup>(shown, SHOWN_GROUP_BYTES_MAX).is_ok_and(|shown| {
            verify_group(
                root,
                row.terms.slot_bytes,
                group.into(),
                &shown.bytes,
                &shown.path,
            )
        });
        if !is_group {
            return Err(Refused::WrongGroup { slot, group });
        }
        self.close_dispute(deal, slot, &mut held, &actor.account)?;
        self.rows.write(rows::slot(deal, slot), &held);
        Ok(Done::DisputeAnswered { fee: dispute.fee })
    }

    /// Closes the dispute about a slot, if there is one: what was locked for it goes to `to`. Whoever calls writes the slot's row.
    pub(super) fn close_dispute(
        &mut self,
        deal: &DealId,
        slot: SlotIndexInDeal,
        held: &mut SlotRow,
        to: &AccountId,
    ) -> Result<(), Refused> {
        let Some(dispute) = held.dispute.take() else {
            return Ok(());
        };
        self.rows
            .remove(rows::slot_due_at_height(dispute.answer_by.next(), deal, slot));
        self.change_disputed(&held.provider, |n| n.saturating_sub(1));
        self.move_money(Purse::Escrow, Purse::Account(*to), dispute.fee)
    }

    /// Closes the dispute about a slot whose deal is over or that is lost: whoever asked has the fee back.
    pub(super) fn drop_dispute(
        &mut self,
        deal: &DealId,
        slot: SlotIndexInDeal,
        held: &mut SlotRow,
    ) -> Result<(), Refused> {
        match held.dispute {
            Some(DisputeRow { by, .. }) => self.close_dispute(deal, slot, held, &by),
            None => Ok(()),
        }
    }

    /// The time to answer is over: a slot that was not shown is lost. Windows that were void in it are given back first.
    pub(super) fn judge_dispute(&mut self, deal: &DealId, slot: SlotIndexInDeal) {
        let key = rows::slot(deal, slot);
        let Some(mut held) = self.rows.read::<SlotRow>(&key) else {
            return;
        };
        let Some(dispute) = &mut held.dispute else { return };
        let answer_by = answer_by(&self.rules, &self.chain, held.device, dispute);
        if self.height() > answer_by {
            let (by, group) = (dispute.by, dispute.group);
            self.lose_slot(deal, slot, Loss::Unanswered { by, group });
            return;
        }
        dispute.answer_by = answer_by;
        self.rows.write(key, &held);
        let due = rows::slot_due_at_height(answer_by.next(), deal, slot);
        self.rows.write(due, &());
    }

    pub(super) fn held_slot(&self, deal: &DealId, slot: SlotIndexInDeal) -> Result<SlotRow, Refused> {
        self.rows
            .read(&rows::slot(deal, slot))
            .ok_or(Refused::UnknownSlot { slot })
    }

    fn change_disputed(&mut self, provider: &AccountId, change: impl FnOnce(u32) -> u32) {
        if let Some(mut row) = self.provider(provider) {
            row.n_disputed = change(row.n_disputed);
            self.write_provider(provider, &row);
        }
    }
}

/// The slot of a deal that there is, with the dispute that asks for this group of it, if its holder can answer in the block that `chain`
/// names.
pub(crate) fn disputed(
    state: &(impl StateRead + ?Sized),
    rules: &RulesRow,
    chain: &ChainRow,
    holder: &AccountId,
    (deal, slot, group): (&DealId, SlotIndexInDeal, u32),
) -> Result<(SlotRow, DisputeRow), Refused> {
    let held: Option<SlotRow> = rows::read(state, &rows::slot(deal, slot));
    let held = held.ok_or(Refused::UnknownSlot { slot })?;
    let dispute = held.dispute.filter(|dispute| dispute.group == group);
    let dispute = dispute.ok_or(Refused::NotDisputed { slot, group })?;
    if held.provider != *holder {
        return Err(Refused::NotTheHolder {
            slot,
            provider: held.provider,
        });
    }
    let answer_by = answer_by(rules, chain, held.device, &dispute);
    if chain.height > answer_by {
        return Err(Refused::AnswerLate { answer_by });
    }
    Ok((held, dispute))
}

/// Slots to answer a dispute, of a holder that ran on this at the match: nobody loses a share within a day who may be away for longer
/// (TS5).
fn answer_slots(rules: &RulesRow, device: Device) -> u64 {
    let parameters = &rules.parameters;
    let away = match device {
        Device::AlwaysOn => 0,
        Device::Daily | Device::Phone => parameters.grace_windows.daily,
    };
    let away_slots = away.saturating_mul(parameters.window_slots);
    parameters.dispute_slots.max(away_slots)
}

/// The last height for the answer, as far as is known in the block that `chain` names.
fn answer_by(rules: &RulesRow, chain: &ChainRow, device: Device, dispute: &DisputeRow) -> BlockHeight {
    let slots = answer_slots(rules, device);
    with_void_windows(rules, chain, (dispute.since, dispute.counted_before), slots)
}

/// The height so many slots after `since`, and further on by the windows that were void after it; so many had counted then.
pub(super) fn with_void_windows(
    rules: &RulesRow,
    chain: &ChainRow,
    (since, counted_before): (BlockHeight, u64),
    slots: u64,
) -> BlockHeight {
    let windows = window_of(rules, chain.height)
        .0
        .saturating_sub(window_of(rules, since).0);
    let counted = chain.windows_counted.saturating_sub(counted_before);
    let void_slots = windows
        .saturating_sub(counted)
        .saturating_mul(rules.parameters.window_slots);
    since.plus(slots.saturating_add(void_slots))
}
