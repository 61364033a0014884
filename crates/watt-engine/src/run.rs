//! Consecutive decided blocks, checked in one batch and applied one on the other before any of them is stored.
//!
//! Blocking work without effects: the shell does it off the main loop ([`Effect::ApplyDecided`](crate::Effect::ApplyDecided)).

use crate::backbones::Backbones;
use crate::event::ApplyFailure;
use crate::message::DecidedBlock;
use std::sync::Arc;
use watt_ledger::block::Claims;
use watt_ledger::{Ahead, Block, BlockOutcome, InvalidBlock, StateRead, VerifyFolded};
use watt_light::{FoldedProof, Voters};
use watt_primitives::key::{SignatureCheck, all_hold};

/// Blocks up to the first bad one, and what is wrong with that.
pub type Good<T> = (Vec<T>, Option<ApplyFailure>);

/// Checks that each block was decided by the backbone of its term, has the body that was agreed on, and that all signatures and folded
/// proofs hold: together, and block by block only if that fails. It ends before the first block of which `backbones` does not say who decides it.
#[must_use]
pub fn check(blocks: &[DecidedBlock], backbones: &Backbones, folded: &impl VerifyFolded) -> Good<Block> {
    let (mut good, mut claims, mut failure) = (Vec::with_capacity(blocks.len()), Vec::new(), None);
    for decided in blocks {
        let Some(deciders) = backbones.of_slot(decided.proposal.proposal.slot) else {
            break;
        };
        // What was decided before a restart, by the same keys, means nothing in the network after it.
        let claims_of = if decided.proposal.proposal.network == *backbones.network() {
            claims_of(decided, deciders.voters())
        } else {
            Err(ApplyFailure::Undecided)
        };
        match claims_of {
            Ok((block, claimed)) => {
                good.push(block);
                claims.push(claimed);
            }
            Err(why) => {
                failure = Some(why);
                break;
            }
        }
    }
    let signatures = |claims: &[Claims]| -> Vec<SignatureCheck> {
        claims
            .iter()
            .flat_map(|claims| claims.signatures.clone())
            .collect()
    };
    let are_signed = |claims: &[Claims]| all_hold(&signatures(claims));
    let are_folded = |claims: &[Claims]| {
        let proofs: Vec<FoldedProof> = claims.iter().flat_map(|claims| claims.folded.clone()).collect();
        folded.first_bad(&proofs).is_none()
    };
    if let Some(first_bad) = first_bad(&claims, are_signed) {
        good.truncate(first_bad);
        claims.truncate(first_bad);
        failure = Some(ApplyFailure::Invalid(InvalidBlock::Signature.to_string()));
    }
    if let Some(first_bad) = first_bad(&claims, are_folded) {
        good.truncate(first_bad);
        failure = Some(ApplyFailure::Invalid(InvalidBlock::FoldedProof.to_string()));
    }
    (good, failure)
}

/// The first block whose claims do not hold, if all together don't.
fn first_bad(claims: &[Claims], do_hold: impl Fn(&[Claims]) -> bool) -> Option<usize> {
    if do_hold(claims) {
        return None;
    }
    claims
        .iter()
        .position(|claims| !do_hold(std::slice::from_ref(claims)))
}

/// Applies checked blocks one on the other with `apply`, which catches panics where it has to.
///
/// `apply` is given the state below a block; the rows of the blocks before it are read as if they were stored.
pub fn apply(
    below: &impl StateRead,
    blocks: &[Block],
    mut apply: impl FnMut(&Ahead<'_>, &Block) -> Result<BlockOutcome, ApplyFailure>,
) -> Good<Arc<BlockOutcome>> {
    let mut state = Ahead::new(below);
    let mut outcomes = Vec::with_capacity(blocks.len());
    for block in blocks {
        match apply(&state, block) {
            Ok(outcome) => {
                state.write(&outcome.writes);
                outcomes.push(Arc::new(outcome));
            }
            Err(failure) => return (outcomes, Some(ApplyFailure::NotHere(failure.to_string()))),
        }
    }
    (outcomes, None)
}

/// The place of the transaction at which applying `block` begins to fail, found by halving in log n trials; `None` if it fails
/// without any. `fails` tries the same block with only its first transactions.
pub fn culprit(block: &Block, fails: impl Fn(&Block) -> bool) -> Option<usize> {
    let fails_with = |n: usize| fails(&block.prefix(n));
    let (mut good, mut bad) = (0usize, block.transactions().len());
    if bad == 0 || fails_with(0) {
        return None;
    }
    while bad.saturating_sub(good) > 1 {
        let middle = usize::midpoint(good, bad);
        if fails_with(middle) {
            bad = middle;
        } else {
            good = middle;
        }
    }
    Some(good)
}

fn claims_of(decided: &DecidedBlock, voters: Voters<'_>) -> Result<(Block, Claims), ApplyFailure> {
    let network = decided.proposal.proposal.network;
    let decision = decided.decision_claims(voters).ok_or(ApplyFailure::Undecided)?;
    // That the body is the proposal's is checked with the block.
    let (block, mut claims) = decided
        .to_block()
        .claims(&network)
        .map_err(|invalid| ApplyFailure::Invalid(invalid.to_string()))?;
    claims.signatures.extend(decision);
    Ok((block, claims))
}
