//! Shares that came and that nobody pays for: their deal was never certified or is over, or the slot went to others. Those in sectors go
//! with their sector (`docs/spec/node.md` 5.8); the others go here, and parts of uploads with them, so that nobody fills a provider's quota
//! with what is never stored.

use super::Jobs;
use watt_ledger::StateRead;
use watt_ledger::rows::{self, DealRow, DealStage, SlotRow};
use watt_primitives::AccountId;
use watt_store::{PieceError, PieceKey};

impl Jobs {
    /// Removes the shares outside sectors that `rows` shows to be over. A state that is behind shows fewer of them, never others.
    pub(super) fn sweep(&self, rows: &impl StateRead) {
        let _copies = self.hold_copies();
        let whole = self.pieces.list().into_iter().map(|(key, _)| key);
        let unfinished = self.pieces.unfinished().into_iter().map(|(key, _)| key);
        let mut held: Vec<PieceKey> = whole.chain(unfinished).chain(self.pieces.damaged()).collect();
        held.retain(|key| !self.pieces.is_sealed(key.deal, key.slot));
        held.sort_unstable();
        for of_deal in held.chunk_by(|one, other| one.deal == other.deal) {
            let Some(deal) = of_deal
                .first()
                .and_then(|key| rows::read::<DealRow>(rows, &rows::deal(&key.deal)))
            else {
                // Deals stay on the ledger for ever: this one is on none of the blocks that are known here yet.
                continue;
            };
            for key in of_deal {
                if is_over(rows, &deal, *key, &self.account) {
                    self.forget(*key);
                }
            }
        }
    }

    fn forget(&self, key: PieceKey) {
        match self.pieces.remove(key.deal, key.slot) {
            Ok(()) => tracing::info!(%key, "a share that nobody pays for was deleted"),
            // It is being received, and looked at again.
            Err(PieceError::Busy { .. }) => {}
            Err(error) => tracing::warn!(%error, "a share that nobody pays for could not be deleted"),
        }
    }
}

/// Whether nobody will ever pay `account` for this share: what is true of it in any later state, too. Slots are given at the match and
/// only taken away after it.
fn is_over(rows: &impl StateRead, deal: &DealRow, key: PieceKey, account: &AccountId) -> bool {
    let PieceKey { deal: id, slot } = key;
    match deal.stage {
        DealStage::Ended { .. } => true,
        DealStage::Active { .. } | DealStage::Ending { .. } => {
            rows::read::<SlotRow>(rows, &rows::slot(&id, slot)).is_none_or(|held| held.provider != *account)
        }
        DealStage::Open { .. } | DealStage::Matched { .. } => false,
    }
}

#[cfg(test)]
mod tests;
