//! Transactions with folded proofs on their way into the pool: verifying a proof costs as much as thousands of signatures, so it is
//! the last thing that is looked at, of an account of which such windows are due, and a bad one is its last in this window (TC14).

use super::pool::reply;
use super::{Engine, Origin, Verifying};
use crate::effect::Effect;
use crate::event::VerifyTicket;
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::StateRead;
use watt_ledger::folded::FOLDED_PER_BLOCK_MAX;
use watt_light::{FoldedProof, SignedTransaction};
use watt_primitives::{AccountId, Timestamp, Window};

/// As how many signatures a transaction with folded proofs counts among what is verified for its sender.
pub(super) const SIGNATURES_PER_FOLDED: usize = 64;

/// Transactions with folded proofs that are verified at once, whoever sent them: as many as a block holds, some seconds of a core.
const VERIFYING_MAX: usize = FOLDED_PER_BLOCK_MAX;

/// Accounts whose proof did not hold that are remembered: more than can be verified in a window.
const REFUSED_MAX: usize = 4_096;

/// Whose folded proofs are verified, and whose are not.
#[derive(Debug, Default)]
pub(super) struct FoldedChecks {
    /// Accounts of which a transaction is being verified.
    verifying: BTreeSet<AccountId>,
    /// Accounts whose proof did not hold, and the window in which that was.
    refused: BTreeMap<AccountId, Window>,
}

impl FoldedChecks {
    /// Nothing of this account is looked at until this window is over.
    fn refuse(&mut self, account: AccountId, window: Window) {
        self.refused.retain(|_, refused| *refused == window);
        if self.refused.len() >= REFUSED_MAX {
            self.refused.pop_first();
        }
        self.refused.insert(account, window);
    }
}

impl Engine {
    /// A transaction came whose signature holds: its folded proofs are verified, if it has any, before the pool takes it.
    pub(super) fn signed(
        &mut self,
        from: Origin,
        signed: SignedTransaction,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        let proofs: Vec<FoldedProof> = signed.folded_proofs().collect();
        if proofs.is_empty() {
            self.pooled(from, signed, now, chain, effects);
            return;
        }
        let account = signed.transaction.account;
        // Asked again: the head may have moved while the signature was checked.
        if !self.is_worth_verifying(from, &signed, chain, effects) {
            return;
        }
        let refusal = if self.folded.refused.get(&account) == Some(&self.window()) {
            self.count("bad folded proof");
            Some(
                "a folded proof of this account did not hold in this window; hand in another one in the next",
            )
        } else if self.folded.verifying.contains(&account) {
            Some("another folded proof of this account is being verified; try again in a moment")
        } else if self.folded.verifying.len() >= VERIFYING_MAX {
            self.count("too busy");
            Some("too many folded proofs are being verified; try again in a moment")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            reply(from, Err(refusal.to_owned()), effects);
            return;
        }
        let transaction = Box::new(signed);
        let pending = Verifying::Folded { from, transaction };
        if let Some(ticket) = self.begin_verifying(pending, SIGNATURES_PER_FOLDED, effects) {
            self.folded.verifying.insert(account);
            effects.push(Effect::VerifyFolded { ticket, proofs });
        }
    }

    pub(super) fn folded_verified(
        &mut self,
        ticket: VerifyTicket,
        holds: bool,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Verifying::Folded { from, transaction }) = self.end_verifying(ticket, SIGNATURES_PER_FOLDED)
        else {
            return;
        };
        let account = transaction.transaction.account;
        self.folded.verifying.remove(&account);
        if holds {
            self.pooled(from, *transaction, now, chain, effects);
            return;
        }
        self.count("bad folded proof");
        self.folded.refuse(account, self.window());
        let bad = "the folded proof does not show what it says; fold the windows again from the log, and hand it in in the next window";
        reply(from, Err(bad.to_owned()), effects);
    }

    /// The window that the next block lies in.
    pub(super) fn next_window(&self) -> Window {
        let height = self.head.header.height.next().0;
        Window(height.checked_div(self.parameters.window_slots).unwrap_or(0))
    }

    /// The window of the head.
    pub(super) fn window(&self) -> Window {
        let height = self.head.header.height.0;
        Window(height.checked_div(self.parameters.window_slots).unwrap_or(0))
    }
}
