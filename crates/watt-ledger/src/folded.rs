//! Folded proofs are checked as signatures are: from the transaction alone, before a block is applied (`docs/spec/proofs.md` §10).
//!
//! The proof system is no part of the ledger, so that the rules stay pure and build without it: whoever checks blocks brings a
//! verifier.

use watt_light::FoldedProof;

/// The most folded proofs in one block: half a second of a core as a batch (TC14).
pub const FOLDED_PER_BLOCK_MAX: usize = 8;

/// Longest folded proof, in bytes.
pub const FOLDED_BYTES_MAX: usize = 16 * 1024;

/// Who can tell good folded proofs from bad ones. The verdict depends on the arguments alone, so that all nodes have the same.
pub trait VerifyFolded {
    /// The place of a proof that does not show what it has to, if there is one.
    fn first_bad(&self, proofs: &[FoldedProof]) -> Option<usize>;
}

/// Refuses every folded proof: for worlds in which windows are proven one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFolded;

impl VerifyFolded for NoFolded {
    fn first_bad(&self, proofs: &[FoldedProof]) -> Option<usize> {
        (!proofs.is_empty()).then_some(0)
    }
}
