//! Proposers whose blocks come out empty lead less often for a while (`docs/spec/ledger.md` §11).

use crate::ledger::Ledger;
use crate::rows::{self, LeadersRow, UseOfKey, WithheldRow};
use watt_light::Backbone;
use watt_primitives::{BlockHeight, BoundedVec, NodeId};

/// Two empty blocks of one proposer within so many slots are one too many (TC33).
pub const EMPTY_WITHIN: u64 = 64;

/// For so many slots it then leads less often.
pub const REDUCED_FOR: u64 = 720;

impl Ledger<'_> {
    /// The block came out empty: the network did not get, or refused, what `proposer` proposed.
    pub(super) fn note_empty(&mut self, proposer: NodeId) {
        let height = self.chain.height;
        let term = self.rules.terms().of_height(height);
        let backbone: Option<Backbone> = self.rows.read(&rows::backbone(term));
        let user: Option<UseOfKey> = self.rows.read(&rows::used_key(&proposer));
        let seat = backbone.as_ref().and_then(|backbone| {
            let of_successor = || backbone.of_account(&user?.account);
            backbone.of_key(&proposer).or_else(of_successor)
        });
        let Some(seat) = seat else { return };
        let row: LeadersRow = self.rows.read(rows::LEADERS).unwrap_or_default();
        let mut withheld = row.withheld.into_inner();
        let known = withheld
            .iter()
            .find(|known| known.account == seat.account)
            .copied();
        let is_again = known.is_some_and(|known| is_within(known.empty_at, EMPTY_WITHIN, height));
        let reduced_to = if is_again {
            BlockHeight(height.0.saturating_add(REDUCED_FOR))
        } else {
            known.map_or(BlockHeight(0), |known| known.reduced_to)
        };
        // What can matter no more is forgotten.
        withheld.retain(|known| {
            let matters = known.reduced_to >= height || is_within(known.empty_at, EMPTY_WITHIN, height);
            let is_seated = backbone
                .as_ref()
                .is_some_and(|backbone| backbone.of_account(&known.account).is_some());
            matters && is_seated && known.account != seat.account
        });
        withheld.push(WithheldRow {
            account: seat.account,
            empty_at: height,
            reduced_to,
        });
        withheld.sort_unstable_by_key(|known| known.account);
        // No more than the backbone has entries.
        if let Ok(withheld) = BoundedVec::new(withheld) {
            self.rows.write(rows::LEADERS.to_vec(), &LeadersRow { withheld });
        }
    }
}

fn is_within(then: BlockHeight, slots: u64, now: BlockHeight) -> bool {
    now.0.saturating_sub(then.0) <= slots
}
