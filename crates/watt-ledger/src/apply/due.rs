//! What happens by itself when its height or time has come: bounded in each block, the oldest first.

use crate::ledger::Ledger;
use crate::rows::{self, DealEnd, DealRow, DealStage, Due, DueKind, SectorRow, SectorStage};
use crate::state::StateRead;
use watt_primitives::{AccountId, DealId, LedgerTime, SectorNumber};

/// The most that one block does by itself of each kind.
pub const DUE_PER_BLOCK_MAX: usize = 64;

impl Ledger<'_> {
    pub(super) fn do_what_is_due(&mut self) {
        for (key, _) in self.rows.scan(rows::DUE_AT_TIME, None, DUE_PER_BLOCK_MAX) {
            let Some((time, deal)) = due_at_time(&key) else {
                continue;
            };
            if time > self.now() {
                break;
            }
            self.rows.remove(key);
            self.begin_ending(&deal);
        }
        for kind in DueKind::ALL {
            self.do_due_of(kind);
        }
    }

    fn do_due_of(&mut self, kind: DueKind) {
        for (key, _) in self.rows.scan(&kind.queue(), None, DUE_PER_BLOCK_MAX) {
            let Some((height, due)) = rows::due_at_height(kind, &key) else {
                continue;
            };
            if height > self.height() {
                break;
            }
            self.rows.remove(key);
            match due {
                Due::Deal(deal) => self.end_due_deal(&deal),
                Due::Batch(provider, batch) => self.expire_batch(&provider, batch),
                Due::Sector(provider, sector) => self.judge_sector(&provider, sector),
                Due::Slot(deal, slot) => self.judge_dispute(&deal, slot),
                Due::Audit(provider, sector) => self.judge_audit(&provider, sector),
            }
        }
    }

    /// What was not proven for too long is lost; what has ended is forgotten when its last window can't be proven any more.
    fn judge_sector(&mut self, provider: &AccountId, number: SectorNumber) {
        let Some(sector) = self.rows.read::<SectorRow>(&rows::sector(provider, number)) else {
            return;
        };
        match sector.stage {
            SectorStage::Ended { last, .. } if last.plus(2) <= self.window() => {
                self.forget_sector(provider, number);
            }
            SectorStage::Active { .. } => self.look_at_sector(provider, number, &sector),
            SectorStage::PreCommitted { .. } | SectorStage::Ended { .. } => {}
        }
    }

    /// The term is over. The window that it ended in is proven in the next one at the earliest, so the deal waits until that is over.
    fn begin_ending(&mut self, deal: &DealId) {
        let key = rows::deal(deal);
        let Some(mut row) = self.rows.read::<DealRow>(&key) else {
            return;
        };
        let DealStage::Active { ends_at, .. } = row.stage else {
            return;
        };
        let last = self.window();
        let settle_height = self.first_height_of(last.plus(2));
        row.stage = DealStage::Ending {
            ends_at,
            last,
            settle_height,
        };
        self.rows.write(key, &row);
        self.rows
            .write(rows::deal_due_at_height(settle_height, deal), &());
    }

    /// Looks again later whether a deal's windows are settled.
    fn end_later(&mut self, deal: &DealId, mut row: DealRow, windows: u64) {
        let height = self.first_height_of(self.window().plus(windows));
        if let DealStage::Ending { settle_height, .. } = &mut row.stage {
            *settle_height = height;
            self.rows.write(rows::deal(deal), &row);
            self.rows.write(rows::deal_due_at_height(height, deal), &());
        }
    }

    fn end_due_deal(&mut self, deal: &DealId) {
        let Some(row) = self.rows.read::<DealRow>(&rows::deal(deal)) else {
            return;
        };
        let how = match row.stage {
            DealStage::Matched { .. } => DealEnd::NotCertified,
            DealStage::Ending { last, .. } => {
                if let Some(windows) = self.holders_wait(deal, &row, last) {
                    self.end_later(deal, row, windows);
                    return;
                }
                DealEnd::TermOver
            }
            DealStage::Open { .. } | DealStage::Active { .. } | DealStage::Ended { .. } => return,
        };
        self.end_deal_by_itself(deal, row, how);
    }
}

fn due_at_time(key: &[u8]) -> Option<(LedgerTime, DealId)> {
    let (time, deal) = rows::split::<8>(key.strip_prefix(rows::DUE_AT_TIME)?)?;
    Some((
        LedgerTime(u64::from_be_bytes(time)),
        DealId(deal.try_into().ok()?),
    ))
}
