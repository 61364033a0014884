//! Rows that exist once: rules, chain, supply; and one per window.

use crate::genesis::NetworkParameters;
use serde::{Deserialize, Serialize};
use watt_light::Terms;
use watt_light::backbone::SEATS_MAX;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedString, BoundedVec, Hash, LedgerTime, NetworkId, Timestamp, Window,
};

/// What the network's rules depend on; written at genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesRow {
    /// Which network.
    pub network: NetworkId,
    /// Name for people.
    pub name: BoundedString<32>,
    /// Whether this is the main network.
    pub is_main: bool,
    /// Numbers.
    pub parameters: NetworkParameters,
}

impl RulesRow {
    /// How heights divide into terms.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        self.parameters.terms()
    }
}

/// Where the chain stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainRow {
    /// Height of the newest block.
    pub height: BlockHeight,
    /// Its close time.
    pub close_time: Timestamp,
    /// All time the network stood still, in milliseconds (TC23).
    pub halted_ms: u64,
    /// Windows closed so far that were not void.
    pub windows_counted: u64,
    /// Peaks of the mountain range over all headers before the newest, largest first.
    pub history: BoundedVec<Hash, 64>,
    /// Headers under these peaks.
    pub history_len: u64,
    /// Root of the ranks with which the running term began; zero while nobody has a rank.
    pub rank_root: Hash,
}

impl ChainRow {
    /// The same in the next block, as far as it is known.
    #[must_use]
    pub(crate) fn next(&self) -> Self {
        Self {
            height: self.height.next(),
            ..self.clone()
        }
    }

    /// Close time less halted time.
    #[must_use]
    pub const fn ledger_time(&self) -> LedgerTime {
        LedgerTime(self.close_time.0.saturating_sub(self.halted_ms))
    }
}

/// Proposers whose blocks came out empty of late (`docs/spec/ledger.md` §11).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeadersRow {
    /// Each once, ascending by account.
    pub withheld: BoundedVec<WithheldRow, SEATS_MAX>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithheldRow {
    /// Whose seat it is: voting keys change from term to term.
    pub account: AccountId,
    /// Its newest empty block.
    pub empty_at: BlockHeight,
    /// The last height at which it leads less often; zero if it never did.
    pub reduced_to: BlockHeight,
}

/// Where all the money is. `supply == in_accounts + in_escrow + in_protocol_wallet` after every block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplyRow {
    /// All the WATT that exists on this network.
    pub supply: Amount,
    /// Spendable balances of keyed accounts and contracts.
    pub in_accounts: Amount,
    /// Locked in open bids and deals.
    pub in_escrow: Amount,
    /// Collected fees.
    pub in_protocol_wallet: Amount,
    /// Providers with at least one active sector; here because it, too, is undone with a failed transaction.
    pub n_providing: u64,
    /// Accounts that ever pledged, each with a number; here for the same reason.
    pub n_providers: u32,
}

impl SupplyRow {
    /// Whether every unit is somewhere, once.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        Amount::checked_sum([self.in_accounts, self.in_escrow, self.in_protocol_wallet]) == Some(self.supply)
    }
}

/// A proving window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowRow {
    /// Its number.
    pub window: Window,
    /// Ledger time at which it began: that of the last block before it.
    pub start: LedgerTime,
    /// Ledger time of its newest block; final once it is closed.
    pub end: LedgerTime,
    /// Halted time when it began, in milliseconds.
    pub halted_ms_before: u64,
    /// Providers that had sectors when it began.
    pub n_expected: u64,
    /// Heartbeats that arrived.
    pub n_heartbeats: u64,
    /// Proofs that arrived, in the window after.
    pub n_proven: u64,
    /// Whether the next window has begun.
    pub is_closed: bool,
    /// Whether nobody is at fault for missing it; known once it is closed.
    pub is_void: bool,
    /// Windows that were not void up to and with this one; known once it is closed.
    pub n_counted: u64,
}

impl WindowRow {
    /// Milliseconds of ledger time in it.
    #[must_use]
    pub const fn length_ms(&self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }
}

/// The newest restart by people (`docs/spec/ledger.md` §17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartRow {
    /// Which it is, from 1.
    pub restart_no: u64,
    /// Hash of its plan.
    pub plan: Hash,
    /// The newest block that it kept.
    pub base: BlockHeight,
}
