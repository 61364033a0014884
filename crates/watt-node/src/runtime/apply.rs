//! Applying blocks off the main loop: panics are caught, and the transaction that causes one is found (TC7).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use watt_engine::event::ApplyFailure;
use watt_engine::message::DecidedBlock;
use watt_engine::{Backbones, run};
use watt_ledger::{
    Block, BlockOutcome, InvalidBlock, Rescues, StateRead, UncheckedBlock, VerifyFolded, apply_rescued,
};
use watt_light::FoldedProof;
use watt_primitives::key::{SignatureCheck, all_hold};

thread_local! {
    /// Whether this thread is trying a block: its panics are reported, not printed.
    static IS_TRYING: Cell<bool> = const { Cell::new(false) };
}

/// Keeps a panic during a trial out of the terminal; it is said by whoever asked for the trial.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IS_TRYING.get() {
                tracing::debug!(%info, "a trial of a block panicked");
            } else {
                previous(info);
            }
        }));
    });
}

/// Verifies no folded proof: they were, before the block was stored.
struct VerifiedBefore;

impl VerifyFolded for VerifiedBefore {
    fn first_bad(&self, _: &[FoldedProof]) -> Option<usize> {
        None
    }
}

/// Checks `block` and applies it to the state below it, catching panics. Without `folded` the signatures of transactions and the
/// folded proofs are left out: the block comes from this node's own log, where it was put after they were checked.
pub(crate) fn try_block(
    state: &impl StateRead,
    block: UncheckedBlock,
    folded: Option<&impl VerifyFolded>,
    rescues: &Rescues,
) -> Result<Arc<BlockOutcome>, ApplyFailure> {
    let network = block.proposal.proposal.network;
    let invalid = |invalid: InvalidBlock| ApplyFailure::Invalid(invalid.to_string());
    let checked = match folded {
        Some(folded) => block.check(&network, folded),
        None => block.check_except(&network, &VerifiedBefore, |_| true),
    };
    let block = checked.map_err(invalid)?;
    match guarded(|| apply_rescued(state, &block, rescues)) {
        Some(outcome) => outcome.map(Arc::new).map_err(invalid),
        None => Err(ApplyFailure::Panicked {
            culprit: culprit(state, &block, rescues),
        }),
    }
}

/// Checks that consecutive blocks from peers were decided and are well signed, and applies them one on the other, up to the
/// first that is not good.
pub(crate) fn try_decided(
    state: &impl StateRead,
    decided: &[DecidedBlock],
    rescues: &Rescues,
    folded: &impl VerifyFolded,
) -> run::Good<Arc<BlockOutcome>> {
    let (blocks, unchecked) = run::check(decided, &Backbones::in_state(state), folded);
    let (outcomes, failed) = run::apply(state, &blocks, |state, block| {
        match guarded(|| apply_rescued(state, block, rescues)) {
            Some(outcome) => outcome.map_err(|invalid| ApplyFailure::Invalid(invalid.to_string())),
            None => Err(ApplyFailure::Panicked {
                culprit: culprit(state, block, rescues),
            }),
        }
    });
    (outcomes, failed.or(unchecked))
}

/// What `work` gives; `None` if it panicked.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    quiet_panics();
    IS_TRYING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
    IS_TRYING.set(false);
    outcome
}

/// The transaction at which applying begins to panic.
fn culprit(state: &impl StateRead, block: &Block, rescues: &Rescues) -> Option<usize> {
    run::culprit(block, |part| {
        guarded(|| apply_rescued(state, part, rescues)).is_none()
    })
}

/// Checks claims together, and one by one only if that fails.
pub(crate) fn verdicts(batches: &[Vec<SignatureCheck>]) -> Vec<Vec<bool>> {
    let together: Vec<SignatureCheck> = batches.iter().flatten().cloned().collect();
    let do_all_hold = all_hold(&together);
    batches
        .iter()
        .map(|batch| batch.iter().map(|check| do_all_hold || check.holds()).collect())
        .collect()
}
