//! The numbers of a devnet, all in one place.

use crate::error::{CommandError, ErrorKind};
use watt_ledger::NetworkParameters;
use watt_ledger::genesis::{FAILED_WINDOW_COST_MAIN, GraceWindows, TERM_WINDOWS_MAX};
use watt_primitives::Amount;
use watt_primitives::amount::UNITS_PER_WATT;

/// Name in the genesis document.
pub(super) const NAME: &str = "devnet";

/// Balance of the client's account at genesis.
pub(super) const CLIENT_BALANCE: Amount = Amount(1_000_000 * UNITS_PER_WATT);

/// Balance of each node's account at genesis, for fees.
pub(super) const NODE_BALANCE: Amount = Amount(10_000 * UNITS_PER_WATT);

/// Price of the cheapest provider per 10^9 bytes and day; each further one asks a hundredth more, so that the match shows.
pub(super) const PRICE_FIRST: Amount = Amount(100 * UNITS_PER_WATT);

/// Space that each provider lends, in bytes.
pub(super) const CAPACITY_BYTES: u64 = 4 << 30;

/// Blocks from one state that is served to fresh nodes to the next: half a minute, so that it can be watched.
pub(super) const CHECKPOINT_BLOCKS: u64 = 32;

/// The most validators: the backbone's bound would allow more, one machine does not.
const VALIDATORS_MAX: u32 = 13;

/// The most providers.
const PROVIDERS_MAX: u32 = 64;

/// Windows of a devnet's term, if nothing else is asked for.
const TERM_WINDOWS: u64 = 144;

/// Windows that a folded proof of a devnet settles: about a minute.
const SETTLEMENT_WINDOWS: u64 = 8;

/// Slots that a holder has to answer a dispute: a minute and a half, longer than a provider takes to start again and make labels.
const DISPUTE_SLOTS: u64 = 90;

/// Slots that a sector has from its pre-commitment to its commitment.
const COMMIT_SLOTS: u64 = 120;

/// The same with the proofs of a main network: half an hour, as all providers of one machine make theirs on a few cores.
const COMMIT_SLOTS_SECURE: u64 = 1_800;

/// Slots to answer a dispute with the proofs of a main network: a cold sector takes half a minute of a core.
const DISPUTE_SLOTS_SECURE: u64 = 900;

/// Windows in which each live sector is asked again once: ten minutes, so that it can be watched.
const AUDIT_WINDOWS: u64 = 75;

/// Windows that shares may go unproven: twenty minutes, an hour and a bit over two, longer than somebody who tries things out leaves a
/// provider stopped.
const GRACE_WINDOWS: GraceWindows = GraceWindows {
    always_on: 150,
    daily: 450,
    phone: 1_050,
};

/// What can be chosen about a devnet's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DevnetRules {
    /// Windows of a term, if not 144.
    pub term_windows: Option<u64>,
    /// Whether sectors are sealed as on a main network: 64 MiB each, and a minute of a core until one is proven.
    pub secure_proofs: bool,
}

/// Rules' numbers of a devnet: blocks every second, proofs every eight, small insecure seals unless it is to have those of a main network.
///
/// # Errors
/// No term is so short or so long.
pub(super) fn network_parameters(chosen: DevnetRules) -> Result<NetworkParameters, CommandError> {
    let term_windows = chosen.term_windows.unwrap_or(TERM_WINDOWS);
    let (commit_slots, dispute_slots) = if chosen.secure_proofs {
        (COMMIT_SLOTS_SECURE, DISPUTE_SLOTS_SECURE)
    } else {
        (COMMIT_SLOTS, DISPUTE_SLOTS)
    };
    if !(2..=TERM_WINDOWS_MAX).contains(&term_windows) {
        return Err(CommandError::new(
            ErrorKind::Usage,
            format!("a term can't have {term_windows} windows"),
            format!("choose 2 to {TERM_WINDOWS_MAX}"),
        ));
    }
    Ok(NetworkParameters {
        slot_ms: 1_000,
        window_slots: 8,
        term_windows,
        settlement_windows: SETTLEMENT_WINDOWS,
        failed_window_cost: FAILED_WINDOW_COST_MAIN,
        block_transactions_max: 5_000,
        // Below a message of 4 MiB, with room for its proposal and proof.
        block_bytes_max: 3 << 20,
        certify_slots: 120,
        certify_slots_per_gb: 240,
        commit_slots,
        dispute_slots,
        grace_windows: GRACE_WINDOWS,
        power_unit_bytes: 1 << 20,
        standby_power_bytes: 0,
        insecure_proofs: !chosen.secure_proofs,
        porep_committee: 15,
        audit_windows: AUDIT_WINDOWS,
        // Half a minute, so that it can be watched.
        restart_windows: 4,
    })
}

/// How many nodes of each sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevnetSize {
    /// Nodes that vote.
    pub validators: u32,
    /// Nodes that store.
    pub providers: u32,
}

impl DevnetSize {
    /// What `devnet up` starts when it is told nothing: enough for 4 of 10 shares and one validator to lose.
    pub const DEFAULT: Self = Self {
        validators: 4,
        providers: 12,
    };

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with the bounds.
    pub fn check(self) -> Result<Self, CommandError> {
        let fits = (1..=VALIDATORS_MAX).contains(&self.validators) && self.providers <= PROVIDERS_MAX;
        if fits {
            return Ok(self);
        }
        Err(CommandError::new(
            ErrorKind::Usage,
            format!(
                "{} validators and {} providers are not possible here",
                self.validators, self.providers
            ),
            format!("use 1 to {VALIDATORS_MAX} validators and up to {PROVIDERS_MAX} providers"),
        ))
    }
}
