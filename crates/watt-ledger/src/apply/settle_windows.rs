//! Many windows settled by one folded proof (`docs/spec/proofs.md` §10).

use super::Actor;
use crate::ledger::Ledger;
use crate::receipt::Done;
use crate::refused::Refused;
use watt_light::FoldedWindows;

impl Ledger<'_> {
    pub(super) fn settle_windows(&mut self, actor: &Actor, windows: &FoldedWindows) -> Result<Done, Refused> {
        let _ = (actor, windows);
        Err(Refused::NothingToSettle)
    }
}
