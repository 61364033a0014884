//! What operations with a witness are about: proposers take none for which the ledger does not wait (`docs/spec/ledger.md` 5.7).
//!
//! A block has room for few witnesses, and nobody pays for it. So it is for those who owe a proof.

use crate::apply::audit::audited;
use crate::apply::commit_sectors::waiting_batch;
use crate::apply::dispute::disputed;
use crate::apply::prove_window::unproven;
use crate::beacon::Beacon;
use crate::ledger::window_of;
use crate::query;
use crate::refused::Refused;
use crate::rows::{self, ChainRow, RulesRow};
use crate::state::StateRead;
use std::collections::BTreeSet;
use watt_light::{Operation, Transaction};
use watt_primitives::{AccountId, DealId, SectorNumber, SlotIndexInDeal, Window};

/// What an operation with a witness is about. Of two about the same the second is wasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// A batch that waits to be answered for, by its first sector.
    Batch(AccountId, SectorNumber),
    /// A window that was answered and not opened.
    Window(AccountId, Window),
    /// The oldest windows that wait to be settled together.
    Waiting(AccountId),
    /// A slot that is disputed.
    Slot(DealId, SlotIndexInDeal),
    /// A live sector that is asked again.
    Sector(AccountId, SectorNumber),
}

/// What the operations with a witness of a transaction are about, if the ledger waits for all of them in the next block, whose height
/// `chain` has already.
///
/// # Errors
/// For what the ledger does not wait, or not yet ([`is_early`]); [`Refused::Malformed`] if two are about the same.
pub(crate) fn subjects(
    state: &impl StateRead,
    rules: &RulesRow,
    chain: &ChainRow,
    transaction: &Transaction,
) -> Result<BTreeSet<Subject>, Refused> {
    let mut subjects = BTreeSet::new();
    for operation in &transaction.operations {
        let subject = subject(state, rules, chain, &transaction.account, operation)?;
        if let Some(subject) = subject
            && !subjects.insert(subject)
        {
            return Err(Refused::Malformed);
        }
    }
    Ok(subjects)
}

/// Whether what is refused so may be taken by a block soon.
pub(crate) const fn is_early(why: Refused) -> bool {
    matches!(
        why,
        Refused::WindowNotOpen { .. } | Refused::ChallengeUnknown { .. } | Refused::CommitteeFirst { .. }
    )
}

fn subject(
    state: &impl StateRead,
    rules: &RulesRow,
    chain: &ChainRow,
    account: &AccountId,
    operation: &Operation,
) -> Result<Option<Subject>, Refused> {
    let is_known = |window| Beacon::asking(state, &rules.network, window).is_some();
    let subject = match operation {
        Operation::CommitSectors { batch, .. } => {
            let window = waiting_batch(state, account, *batch, chain.height)?.challenge_window;
            if !is_known(window) {
                let batch = *batch;
                return Err(Refused::ChallengeUnknown { batch, window });
            }
            Subject::Batch(*account, *batch)
        }
        Operation::ProveWindow { window, .. } => {
            unproven(state, account, *window, window_of(rules, chain.height))?;
            let next = window.next();
            if !is_known(next) {
                return Err(Refused::WindowNotOpen { window: next });
            }
            Subject::Window(*account, *window)
        }
        Operation::SettleWindows { windows, .. } => {
            let due = query::due_windows(state, account).ok_or(Refused::NothingToSettle)?;
            let is_shown = due.period.shown(windows.n_good) == *windows;
            if !is_shown || !(1..=windows.n_windows).contains(&windows.n_good) {
                return Err(Refused::OtherWindows);
            }
            Subject::Waiting(*account)
        }
        Operation::AnswerDispute {
            deal, slot, group, ..
        } => {
            if state.get(&rows::deal(deal)).is_none() {
                return Err(Refused::UnknownDeal { deal: *deal });
            }
            disputed(state, rules, chain, account, (deal, *slot, *group))?;
            Subject::Slot(*deal, *slot)
        }
        Operation::AnswerAudit { sector, shown_to, .. } => {
            audited(state, rules, chain, (account, *sector, *shown_to))?;
            Subject::Sector(*account, *sector)
        }
        Operation::Transfer { .. }
        | Operation::AddKey { .. }
        | Operation::RemoveKey { .. }
        | Operation::Pledge { .. }
        | Operation::PlaceAsk { .. }
        | Operation::WithdrawAsk {}
        | Operation::PlaceBid { .. }
        | Operation::Certify { .. }
        | Operation::PreCommit { .. }
        | Operation::Claim { .. }
        | Operation::Terminate { .. }
        | Operation::Settle { .. }
        | Operation::Dispute { .. }
        | Operation::AddTrust { .. }
        | Operation::RemoveTrust { .. }
        | Operation::StandForBackbone { .. }
        | Operation::WithdrawFromBackbone {}
        | Operation::SetColdKey { .. }
        | Operation::RegisterVotingKeys { .. }
        | Operation::Attend { .. }
        | Operation::Succeed { .. }
        | Operation::ReportEvidence { .. }
        | Operation::ApproveUpgrade { .. } => return Ok(None),
    };
    Ok(Some(subject))
}
