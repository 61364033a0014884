//! Fees: optional, and the same for all when blocks are full (`docs/spec/ledger.md` §5, requirement A8).
//!
//! A fee buys room in blocks that stay, so it is weighed against the bytes that are kept for ever: the signed part and its
//! signature, without the witness, which can be pruned and has its own budget.

use crate::genesis::NetworkParameters;
use watt_light::transaction::TRANSACTION_BYTES_MAX;
use watt_light::{Operation, SignedTransaction};
use watt_primitives::{Amount, codec};

/// Fee rates are in smallest units per this many kept bytes.
pub const RATE_BYTES: u64 = 1024;

/// A block with less room left than this, in bytes, is full: hardly any transaction would have fitted.
pub const FULL_MARGIN_BYTES: u32 = 4096;

/// In the smallest block the largest transaction leaves so much room, in bytes: for 600 heartbeats.
pub const HEARTBEAT_BYTES_MIN: u32 = 64 << 10;

/// The most operations with a witness in one block: what the slowest machine verifies in half a second (TC14).
pub const PROOFS_PER_BLOCK_MAX: usize = 64;

/// Taken from the account for a proof that does not verify, besides the fee, as far as it has it (TC14).
pub const FAILED_PROOF_PENALTY: Amount = Amount(1_000_000);

/// A fee in smallest units per [`RATE_BYTES`] kept bytes, rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeeRate(pub u64);

impl FeeRate {
    /// The rate at which `fee` buys `kept_bytes`.
    #[must_use]
    pub fn new(fee: Amount, kept_bytes: u64) -> Self {
        let rate = fee.mul_ratio_floor(u128::from(RATE_BYTES), u128::from(kept_bytes.max(1)));
        Self(rate.map_or(u64::MAX, |rate| rate.0))
    }

    /// What `kept_bytes` cost at this rate, never above `fee_max`.
    #[must_use]
    pub fn charge(self, kept_bytes: u64, fee_max: Amount) -> Amount {
        Amount(self.0)
            .mul_ratio_floor(u128::from(kept_bytes), u128::from(RATE_BYTES))
            .map_or(fee_max, |charge| charge.min(fee_max))
    }
}

/// Bytes of a transaction that are kept for ever.
#[must_use]
pub fn kept_bytes(signed: &SignedTransaction) -> u64 {
    let bytes = codec::encode(&signed.transaction).len().saturating_add(64);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Whether the transaction does nothing but a duty of a provider or of a seat, which has a deadline: it competes for room of its own
/// and does not set the price for others.
///
/// From version 2 of the rules on evidence is one, too: by those of version 1 whoever has something to hide keeps it off the ledger
/// by filling blocks with transactions that pay anything at all.
#[must_use]
pub fn is_duty(signed: &SignedTransaction, version: u32) -> bool {
    let is_evidence_one = match version {
        0 | 1 => false,
        2.. => true,
    };
    signed
        .transaction
        .operations
        .iter()
        .all(|operation| match operation {
            Operation::PreCommit { .. }
            | Operation::CommitSectors { .. }
            | Operation::ProveWindow { .. }
            | Operation::SettleWindows { .. }
            | Operation::AnswerDispute { .. }
            | Operation::AnswerAudit { .. }
            | Operation::RegisterVotingKeys { .. }
            | Operation::Attend { .. }
            | Operation::Succeed { .. } => true,
            Operation::Transfer { .. }
            | Operation::AddKey { .. }
            | Operation::RemoveKey { .. }
            | Operation::Pledge { .. }
            | Operation::PlaceAsk { .. }
            | Operation::WithdrawAsk {}
            | Operation::PlaceBid { .. }
            | Operation::Certify { .. }
            | Operation::Claim { .. }
            | Operation::Terminate { .. }
            | Operation::Settle { .. }
            | Operation::Dispute { .. }
            | Operation::AddTrust { .. }
            | Operation::RemoveTrust { .. }
            | Operation::StandForBackbone { .. }
            | Operation::WithdrawFromBackbone {}
            | Operation::SetColdKey { .. }
            | Operation::ApproveUpgrade { .. } => false,
            Operation::ReportEvidence { .. } => is_evidence_one,
        })
}

/// Whether a transaction that [is a duty](is_duty) does only what follows from a sector that is proven, or, if its author has a seat or
/// stands for one, from that. A pledge and a pre-commitment cost nothing, so duties that follow from these come after.
#[must_use]
pub(crate) fn is_earned(signed: &SignedTransaction, is_bound: bool) -> bool {
    let mut operations = signed.transaction.operations.iter();
    operations.all(|operation| {
        let is_of_proven_sector = matches!(
            operation,
            Operation::ProveWindow { .. }
                | Operation::SettleWindows { .. }
                | Operation::AnswerDispute { .. }
                | Operation::AnswerAudit { .. }
        );
        let is_of_seat = matches!(
            operation,
            Operation::RegisterVotingKeys { .. } | Operation::Attend { .. } | Operation::Succeed { .. }
        );
        is_of_proven_sector || (is_bound && is_of_seat)
    })
}

/// Whether a block with this body left no room.
#[must_use]
pub fn is_full(parameters: &NetworkParameters, n_transactions: u32, body_bytes: u32) -> bool {
    n_transactions >= parameters.block_transactions_max
        || body_bytes.saturating_add(FULL_MARGIN_BYTES) > parameters.block_bytes_max
}

/// The rate that everyone in a block pays: the lowest that got in, or nothing while there is room.
///
/// `rates` are those of the transactions that are no duty.
#[must_use]
pub fn uniform_rate(is_full: bool, rates: impl Iterator<Item = FeeRate>) -> FeeRate {
    if is_full {
        rates.min().unwrap_or_default()
    } else {
        FeeRate::default()
    }
}

/// The smallest block size that leaves room for any transaction beside heartbeats.
#[must_use]
pub fn block_bytes_min() -> u32 {
    largest_transaction().saturating_add(HEARTBEAT_BYTES_MIN)
}

/// Bytes of a body that proposers give to heartbeats at most: a quarter, and never what the largest transaction needs.
#[must_use]
pub fn heartbeat_bytes_max(parameters: &NetworkParameters) -> u32 {
    let beside = parameters.block_bytes_max.saturating_sub(largest_transaction());
    beside.min(parameters.block_bytes_max / 4)
}

fn largest_transaction() -> u32 {
    u32::try_from(TRANSACTION_BYTES_MAX)
        .unwrap_or(u32::MAX)
        .saturating_add(FULL_MARGIN_BYTES)
}
