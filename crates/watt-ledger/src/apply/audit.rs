//! Live sectors are asked again by a fresh committee (`docs/spec/ledger.md` 9.15; TS4).
//!
//! The openings of a sector are seen once. Whoever had that committee would be paid for what was never sealed until its deals end; who
//! is asked again needs every committee that ever comes.

use super::Actor;
use super::dispute::with_void_windows;
use super::grace::{least_grace, slots_in};
use crate::beacon::Beacon;
use crate::duty::{beacon_windows_kept, place_in_term, reveal_blocks};
use crate::ledger::Ledger;
use crate::receipt::{Done, Event};
use crate::refused::Refused;
use crate::rows::{self, AuditRow, ChainRow, Loss, LotRow, LotsRow, RulesRow, WindowRow};
use crate::state::StateRead;
use watt_light::ShownTo;
use watt_primitives::{AccountId, BlockHeight, SectorNumber, Window};

/// The most sectors that one window asks again.
pub const AUDITS_PER_WINDOW_MAX: u64 = 64;

impl Ledger<'_> {
    /// A sector that has become active gets the next number.
    pub(super) fn add_lot(&mut self, provider: &AccountId, sector: SectorNumber) {
        if self.rules.parameters.audit_windows == 0 {
            return;
        }
        let number = self.lots().n;
        let (provider, sector) = (*provider, sector);
        self.rows.write(rows::lot(number), &LotRow { provider, sector });
        self.rows.write(rows::lot_of(&provider, sector), &number);
        self.change_lots(number.saturating_add(1));
    }

    /// A sector that ends gives its number to the one with the highest; nobody asks for it any more.
    pub(super) fn remove_lot(&mut self, provider: &AccountId, sector: SectorNumber) {
        self.close_audit(provider, sector);
        let key = rows::lot_of(provider, sector);
        let Some(number) = self.rows.read::<u64>(&key) else {
            return;
        };
        let last = self.lots().n.saturating_sub(1);
        if let Some(moved) = self.rows.read::<LotRow>(&rows::lot(last)) {
            self.rows.write(rows::lot(number), &moved);
            self.rows
                .write(rows::lot_of(&moved.provider, moved.sector), &number);
        }
        self.rows.remove(rows::lot(last));
        self.rows.remove(key);
        self.change_lots(last);
    }

    fn lots(&self) -> LotsRow {
        self.rows.read(rows::LOTS).unwrap_or_default()
    }

    fn change_lots(&mut self, n: u64) {
        let changed = self.window();
        let n_before = self.lots().at_beginning_of(changed);
        let row = LotsRow { n, changed, n_before };
        self.rows.write(rows::LOTS.to_vec(), &row);
    }

    /// When the window opens: which sectors it asks again. Of a window in which the network stood still, and of one whose beacon a
    /// proposer could have chosen on a main network, none are.
    pub(super) fn draw_audits(&mut self) {
        let (window, windows) = (self.window(), self.rules.parameters.audit_windows);
        let opened = self.first_height_of(window).plus(reveal_blocks(&self.rules));
        if windows == 0 || self.height().next() != opened || self.has_halted(window) {
            return;
        }
        let Some(beacon) = Beacon::matching(&self.rows, &self.rules, window) else {
            return;
        };
        // Whoever makes the block that makes the beacon knows it: lots that it adds or takes away move no draw.
        let n_lots = self.lots().at_beginning_of(window);
        let n_drawn = beacon.audits(n_lots, windows).min(AUDITS_PER_WINDOW_MAX);
        for number in 0..n_drawn {
            let lot: Option<LotRow> = self.rows.read(&rows::lot(beacon.audited_lot(number, n_lots)));
            if let Some(LotRow { provider, sector }) = lot
                && !self.rows.has(&rows::audit(&provider, sector))
            {
                self.begin_audit(&provider, sector, window);
            }
        }
    }

    fn has_halted(&self, window: Window) -> bool {
        let row: Option<WindowRow> = self.rows.read(&rows::window(window));
        row.is_none_or(|row| self.chain.halted_ms > row.halted_ms_before)
    }

    fn begin_audit(&mut self, provider: &AccountId, sector: SectorNumber, window: Window) {
        let (since, answer_slots) = (self.height(), self.answer_slots(provider, sector));
        let answer_by = since.plus(answer_slots);
        let mut row = AuditRow {
            window,
            since,
            counted_before: self.chain.windows_counted,
            answer_slots,
            answer_by,
            due: answer_by,
        };
        self.watch_audit(provider, sector, &mut row);
        self.events.push(Event::SectorAsked {
            provider: *provider,
            sector,
            window,
            answer_by,
        });
    }

    /// As long as a dispute, and no shorter than the sector may go unproven: nobody is lost by this who may still come back.
    fn answer_slots(&self, provider: &AccountId, sector: SectorNumber) -> u64 {
        let parameters = &self.rules.parameters;
        let slots = slots_in(&self.rows, provider, sector);
        let grace = least_grace(&self.rows, &self.rules, provider, &slots).unwrap_or(0);
        let away = grace.saturating_mul(parameters.window_slots);
        parameters.dispute_slots.max(away)
    }

    /// Writes the row, and when it is looked at: when its time is over, or before, once its committee or its beacon is forgotten.
    fn watch_audit(&mut self, provider: &AccountId, sector: SectorNumber, row: &mut AuditRow) {
        row.due = row.answer_by.next().min(self.forgotten_from(row.window));
        self.rows.write(rows::audit(provider, sector), row);
        self.rows
            .write(rows::audit_due_at_height(row.due, provider, sector), &());
    }

    /// The first block after which another window can ask in the place of this one, whose committee and beacon are then forgotten.
    fn forgotten_from(&self, window: Window) -> BlockHeight {
        let (term, _) = place_in_term(&self.rules, window);
        let of_backbone = self.rules.terms().first_height(term.plus(2));
        let kept = beacon_windows_kept(&self.rules);
        let of_beacon = self.first_height_of(Window(window.0.saturating_add(kept).saturating_sub(1)));
        of_backbone.min(of_beacon).plus(reveal_blocks(&self.rules))
    }

    /// The time to answer is over: what was not shown is lost. Windows that were void in it are given back first; and a question
    /// whose committee is forgotten is asked anew.
    pub(super) fn judge_audit(&mut self, provider: &AccountId, sector: SectorNumber) {
        let Some(mut row) = self.rows.read::<AuditRow>(&rows::audit(provider, sector)) else {
            return;
        };
        row.answer_by = answer_by(&self.rules, &self.chain, &row);
        if self.height() > row.answer_by {
            self.lose_sector(provider, sector, Loss::AuditUnanswered {});
            return;
        }
        let current = self.window();
        if self.height() >= self.forgotten_from(row.window)
            && let Some((window, _)) = Beacon::newest(&self.rows, self.network(), current)
        {
            row.window = window;
        }
        self.watch_audit(provider, sector, &mut row);
    }

    pub(super) fn answer_audit(
        &mut self,
        actor: &Actor,
        sector: SectorNumber,
        shown_to: ShownTo,
        witness: &[u8],
    ) -> Result<Done, Refused> {
        let provider = &actor.account;
        audited(&self.rows, &self.rules, &self.chain, (provider, sector, shown_to))?;
        self.check_shown(actor, sector, shown_to, witness)?;
        self.close_audit(provider, sector);
        Ok(Done::AuditAnswered { sector })
    }

    fn close_audit(&mut self, provider: &AccountId, sector: SectorNumber) {
        let key = rows::audit(provider, sector);
        if let Some(row) = self.rows.read::<AuditRow>(&key) {
            self.rows.remove(key);
            self.rows
                .remove(rows::audit_due_at_height(row.due, provider, sector));
        }
    }
}

/// The audit of this provider's sector, if it can be answered before these in the block that `chain` names.
pub(crate) fn audited(
    state: &(impl StateRead + ?Sized),
    rules: &RulesRow,
    chain: &ChainRow,
    (provider, sector, shown_to): (&AccountId, SectorNumber, ShownTo),
) -> Result<AuditRow, Refused> {
    let audit: Option<AuditRow> = rows::read(state, &rows::audit(provider, sector));
    let audit = audit.ok_or(Refused::NotAudited { sector })?;
    let from = audit.shown_to_everybody_from();
    if shown_to == ShownTo::Everybody && chain.height < from {
        return Err(Refused::CommitteeFirst { sector, from });
    }
    let answer_by = answer_by(rules, chain, &audit);
    if chain.height > answer_by {
        return Err(Refused::AnswerLate { answer_by });
    }
    Ok(audit)
}

/// The last height for the answer, as far as is known in the block that `chain` names.
fn answer_by(rules: &RulesRow, chain: &ChainRow, row: &AuditRow) -> BlockHeight {
    with_void_windows(rules, chain, (row.since, row.counted_before), row.answer_slots)
}
