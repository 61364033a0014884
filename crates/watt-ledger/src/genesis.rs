//! The genesis document: what a network starts with, and whose hash names it.

use crate::apply::{self, BlockOutcome, Closing};
use crate::block::{BODY_BYTES_MAX, BODY_TRANSACTIONS_MAX, InvalidBlock};
use crate::check;
use crate::fee;
use crate::ledger::{Ledger, PROTOCOL_WALLET};
use crate::overlay::Overlay;
use crate::rows::{
    self, AccountKind, AccountRow, COUNCIL_SEATS, ChainRow, RulesRow, SeatsRow, SupplyRow, UpgradesRow,
    UseOfKey,
};
use crate::state::MemoryState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use watt_light::Walk;
use watt_light::backbone::{Backbone, BackboneEntry, SEATS_MAX, TERM_SLOTS_MIN, Terms};
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_light::verdict::COMMITTEE_MAX;
use watt_primitives::amount::SUPPLY_MAX;
use watt_primitives::hash::DomainHasher;
use watt_primitives::terms::Device;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedString, BoundedVec, Domain, Hash, NetworkId, PublicKey, Term,
    Timestamp, codec,
};
use watt_scp::QuorumSet;

/// The most bytes of an encoded genesis document.
pub const GENESIS_BYTES_MAX: usize = 1 << 20;

/// The most people in whom trust begins.
pub const TRUST_SEEDS_MAX: usize = 1024;

/// The fewest of them on a main network, from many places: who wins over a few of them must not win the rank.
pub const TRUST_SEEDS_MAIN_MIN: usize = 101;

/// The most terms in which a council can decide about rules: four years of days.
pub const COUNCIL_TERMS_MAX: u64 = 1461;

/// Target time between blocks of a main network, in milliseconds.
pub const SLOT_MS_MAIN: u64 = 5000;

/// Slots in a window of a main network: nine minutes. Whoever stores nothing has to seal everything anew in each of them
/// (`docs/spec/proofs.md` 9.6).
pub const WINDOW_SLOTS_MAIN: u64 = 108;

/// Windows in a term of a main network: a day, 24 hours exactly. With three samples in each,
/// whoever dropped a hundredth of its sectors is caught within a day in 99 of 100 cases (`docs/spec/proofs.md` 9.7).
pub const TERM_WINDOWS_MAIN: u64 = 160;

/// Windows that one folded proof settles on a main network: a day.
pub const SETTLEMENT_WINDOWS_MAIN: u64 = TERM_WINDOWS_MAIN;

/// The most windows that one folded proof may settle on any network.
pub const SETTLEMENT_WINDOWS_MAX: u64 = 1024;

/// Windows that a failed window costs besides its own on a main network: ten in all.
pub const FAILED_WINDOW_COST_MAIN: u32 = 9;

/// The most windows that a failed window may cost besides its own on any network.
pub const FAILED_WINDOW_COST_MAX: u32 = 1024;

/// Most slots a window may have.
pub const WINDOW_SLOTS_MAX: u64 = 1024;

/// Most slots that a pre-committed sector may wait for its commitment.
pub const COMMIT_SLOTS_MAX: u64 = 2048;

/// The least that candidates for a seat of a main network prove: 10 GB.
pub const STANDBY_POWER_MAIN_MIN: u64 = 10_000_000_000;

/// Windows' time before a plan to restart a main network is followed: three days.
pub const RESTART_WINDOWS_MAIN: u64 = 3 * TERM_WINDOWS_MAIN;

/// The most windows in a term of any network.
pub const TERM_WINDOWS_MAX: u64 = 4096;

/// Slots that a holder on a main network has to answer a dispute: a day.
pub const DISPUTE_SLOTS_MAIN: u64 = TERM_WINDOWS_MAIN * WINDOW_SLOTS_MAIN;

/// The most slots that a holder on any network has to answer a dispute: a week of a main network's.
pub const DISPUTE_SLOTS_MAX: u64 = 7 * DISPUTE_SLOTS_MAIN;

/// Windows in which a live sector of a main network is asked again once on average: half a year.
pub const AUDIT_WINDOWS_MAIN: u64 = 180 * TERM_WINDOWS_MAIN;

/// For how many windows what a provider holds may go unproven on a main network: a day, three days, a week.
pub const GRACE_WINDOWS_MAIN: GraceWindows = GraceWindows {
    always_on: TERM_WINDOWS_MAIN,
    daily: 3 * TERM_WINDOWS_MAIN,
    phone: 7 * TERM_WINDOWS_MAIN,
};

/// The fewest windows that what a provider holds may go unproven on any network.
pub const GRACE_WINDOWS_MIN: u64 = 2;

/// The most: half as many as are remembered.
pub const GRACE_WINDOWS_MAX: u64 = apply::WINDOWS_KEPT / 2;

/// For how many windows, void ones left out, what a provider holds may go unproven, by what it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraceWindows {
    /// [`Device::AlwaysOn`].
    pub always_on: u64,
    /// [`Device::Daily`].
    pub daily: u64,
    /// [`Device::Phone`].
    pub phone: u64,
}

impl GraceWindows {
    /// Of this device.
    #[must_use]
    pub const fn of(&self, device: Device) -> u64 {
        match device {
            Device::AlwaysOn => self.always_on,
            Device::Daily => self.daily,
            Device::Phone => self.phone,
        }
    }
}

/// Numbers that rules depend on, fixed per network. They are state, never configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkParameters {
    /// Target time between blocks, in milliseconds; a main network has [`SLOT_MS_MAIN`].
    pub slot_ms: u64,
    /// Slots in a proving window; a main network has [`WINDOW_SLOTS_MAIN`].
    pub window_slots: u64,
    /// Windows in a term, after which people are ranked and the backbone changes; a main network has
    /// [`TERM_WINDOWS_MAIN`].
    pub term_windows: u64,
    /// Windows that one folded proof may settle together; a main network has [`SETTLEMENT_WINDOWS_MAIN`].
    pub settlement_windows: u64,
    /// Windows whose pay a window that was answered and not proven costs besides its own; a main network has
    /// [`FAILED_WINDOW_COST_MAIN`].
    pub failed_window_cost: u32,
    /// Most transactions in a block.
    pub block_transactions_max: u32,
    /// Most bytes of a block's encoded body.
    pub block_bytes_max: u32,
    /// Slots within which a certificate must follow a match, for any size.
    pub certify_slots: u64,
    /// Further slots for each 10⁹ bytes of all slots together.
    pub certify_slots_per_gb: u64,
    /// Slots a pre-committed sector has to answer its challenge.
    pub commit_slots: u64,
    /// Slots that a holder has to answer a dispute; a main network has [`DISPUTE_SLOTS_MAIN`].
    pub dispute_slots: u64,
    /// For how many windows what a provider holds may go unproven; a main network has [`GRACE_WINDOWS_MAIN`].
    pub grace_windows: GraceWindows,
    /// Proven bytes from which on an entry of the backbone leads more often than one without.
    pub power_unit_bytes: u64,
    /// Bytes that whoever works in shadow for a seat has to prove in each term; a main network has at least
    /// [`STANDBY_POWER_MAIN_MIN`].
    pub standby_power_bytes: u64,
    /// Whether sealing uses small, openly insecure parameters; refused on a main network.
    pub insecure_proofs: bool,
    /// Most members of the committee to which a sector's openings are shown; with 0, which is left out, they are in the block, which
    /// only small ones fit. A network with secure proofs has [`COMMITTEE_MAX`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub porep_committee: u8,
    /// Windows in which a live sector is asked again once on average, on a network with committees; with 0, which is left out, never.
    /// A main network has [`AUDIT_WINDOWS_MAIN`].
    #[serde(default, skip_serializing_if = "is_never")]
    pub audit_windows: u64,
    /// For how many windows' time a node looks at a plan to restart before it follows it; a main network has
    /// [`RESTART_WINDOWS_MAIN`], and leaves it out like every other that does.
    #[serde(
        default = "restart_windows_main",
        skip_serializing_if = "is_restart_windows_main"
    )]
    pub restart_windows: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
const fn is_zero(n: &u8) -> bool {
    *n == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
const fn is_never(windows: &u64) -> bool {
    *windows == 0
}

const fn restart_windows_main() -> u64 {
    RESTART_WINDOWS_MAIN
}

const fn is_restart_windows_main(windows: &u64) -> bool {
    *windows == RESTART_WINDOWS_MAIN
}

/// An account that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Its first key, as owner.
    pub key: PublicKey,
    /// Its first balance.
    pub balance: Amount,
}

/// What a network starts with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Name for people, for example `devnet`.
    pub name: BoundedString<32>,
    /// Whether this is the main network: addresses are `watt1…` and insecure parameters are refused.
    pub is_main: bool,
    /// Close time of block 0.
    pub time: Timestamp,
    /// Rules' numbers.
    pub parameters: NetworkParameters,
    /// First accounts.
    pub accounts: BoundedVec<GenesisAccount, 4096>,
    /// The people in whom trust begins, until members are drawn: accounts of this document.
    pub trust_seeds: BoundedVec<AccountId, TRUST_SEEDS_MAX>,
    /// The backbone of the first two terms, in any order; the accounts are of this document.
    pub backbone: BoundedVec<BackboneEntry, SEATS_MAX>,
    /// Version of the rules that the network begins with.
    pub protocol: u32,
    /// Who decides about other rules while few people may vote: [`COUNCIL_SEATS`] accounts of this document in any order, or nobody.
    pub council: BoundedVec<AccountId, COUNCIL_SEATS>,
    /// The first term in which they decide nothing any more; 0 without a council.
    pub council_until: Term,
}

impl Genesis {
    /// The document's hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        DomainHasher::without_network(Domain::Genesis)
            .part(&codec::encode(self))
            .finish()
    }

    /// The network that starts here, never restarted.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        NetworkId::derive(self.hash())
    }

    /// The first backbone; `None` for a document that [`Self::check`] refuses.
    #[must_use]
    pub fn first_backbone(&self) -> Option<Backbone> {
        Backbone::new(self.backbone.to_vec()).ok()
    }

    /// Where a walk over hand-overs to the backbones of later terms begins.
    ///
    /// # Errors
    /// [`InvalidGenesis::Backbone`].
    pub fn walk(&self) -> Result<Walk, InvalidGenesis> {
        let backbone = self.first_backbone().ok_or(InvalidGenesis::Backbone)?;
        Ok(Walk::begin(self.network(), self.parameters.terms(), backbone))
    }

    /// The quorum set of the first backbone; one that nothing satisfies for a document that [`Self::check`] refuses.
    #[must_use]
    pub fn quorum_set(&self) -> QuorumSet {
        self.first_backbone().map_or_else(
            || QuorumSet::flat(1, Vec::new()),
            |backbone| backbone.quorum_set(),
        )
    }
}

/// Why a network can't start so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGenesis {
    /// Small proof parameters on a main network.
    #[error("a main network can't have insecure proof parameters")]
    InsecureProofs,
    /// A time of zero, or on a main network another one than all have.
    #[error("the time between blocks must be above zero, on a main network {SLOT_MS_MAIN} ms")]
    SlotTime,
    /// Windows that can't be proven, or of a main network and not nine minutes.
    #[error("a window must have 2 to {WINDOW_SLOTS_MAX} slots, on a main network {WINDOW_SLOTS_MAIN}")]
    WindowSlots,
    /// Terms too short to hand over, too long, or of a main network and not a day.
    #[error(
        "a term must have 2 to {TERM_WINDOWS_MAX} windows and at least {TERM_SLOTS_MIN} slots, on a main network {TERM_WINDOWS_MAIN} windows"
    )]
    TermWindows,
    /// A main network whose people have less time, or more, to look at a plan to restart.
    #[error("on a main network a plan to restart is looked at for {RESTART_WINDOWS_MAIN} windows")]
    RestartWindows,
    /// Periods of no windows or too many, or of a main network and not a day.
    #[error(
        "a settlement must cover 1 to {SETTLEMENT_WINDOWS_MAX} windows, on a main network {SETTLEMENT_WINDOWS_MAIN} windows"
    )]
    SettlementWindows,
    /// A price of failing that is too high, or on a main network another one than all have.
    #[error(
        "a failed window must cost 0 to {FAILED_WINDOW_COST_MAX} windows besides its own, on a main network {FAILED_WINDOW_COST_MAIN}"
    )]
    FailedWindowCost,
    /// Sectors that can't be answered for in time.
    #[error("a sector must have {min} to {max} slots to answer")]
    CommitSlots {
        /// Fewest slots.
        min: u64,
        /// Most slots.
        max: u64,
    },
    /// Committees that are too large, or not as large as they must be where the openings fit in no block.
    #[error(
        "a committee has at most {COMMITTEE_MAX} members, and as many where proofs are secure; not {found}"
    )]
    Committee {
        /// What the document says.
        found: u8,
    },
    /// Disputes that can't be answered, that stay open too long, or of a main network and not a day.
    #[error(
        "a dispute must be open for 1 to {DISPUTE_SLOTS_MAX} slots, on a main network {DISPUTE_SLOTS_MAIN} slots"
    )]
    DisputeSlots,
    /// Sectors that are asked again with nobody to look, with no time to answer, or of a main network at another rate.
    #[error(
        "sectors can be asked again only on a network with committees and at least two windows to answer a dispute, on a main network once in {AUDIT_WINDOWS_MAIN} windows"
    )]
    AuditWindows,
    /// A provider's grace that is too short or too long, or another than a main network has.
    #[error(
        "what a provider holds must be allowed to go unproven for {GRACE_WINDOWS_MIN} to {GRACE_WINDOWS_MAX} windows, on a main network for {}, {} or {}",
        GRACE_WINDOWS_MAIN.always_on, GRACE_WINDOWS_MAIN.daily, GRACE_WINDOWS_MAIN.phone
    )]
    GraceWindows,
    /// A unit of power of no bytes, or candidates of a main network who prove less than they must.
    #[error(
        "a unit of power must be at least a byte, and who stands for a seat of a main network must prove at least {STANDBY_POWER_MAIN_MIN} bytes"
    )]
    Power,
    /// Certificates that can't come in time.
    #[error("a certificate must have at least one slot")]
    CertifySlots,
    /// Blocks of no transactions, or of too many.
    #[error("a block must allow 1 to {BODY_TRANSACTIONS_MAX} transactions, not {found}")]
    BlockTransactions {
        /// What the document allows.
        found: u32,
    },
    /// Blocks in which not every transaction fits, or that don't fit in a message between nodes.
    #[error(
        "a block must allow {min} bytes, enough for any transaction, to {BODY_BYTES_MAX} bytes, what a message between nodes \
         carries; not {found}"
    )]
    BlockBytes {
        /// Fewest bytes.
        min: u32,
        /// What the document allows.
        found: u32,
    },
    /// The same account twice, or a key that can't be registered.
    #[error("account {index} is there twice, or its key is unsafe")]
    Account {
        /// Its place in the list.
        index: usize,
    },
    /// More money than there can be.
    #[error("the accounts have more than all WATT there can be")]
    Supply,
    /// Too few people in whom trust begins, one twice, or one without account here.
    #[error(
        "the people in whom trust begins must be different accounts of the document, on a main network at least {TRUST_SEEDS_MAIN_MIN}"
    )]
    TrustSeeds,
    /// No backbone, an account or a key twice, an account that is not here, or an unsafe key.
    #[error("the backbone must be a list of different accounts of the document with different, safe keys")]
    Backbone,
    /// Rules that this program doesn't have.
    #[error(
        "the network begins with rules of version {found}, this program knows 1 to {PROTOCOL_VERSION_MAX}; update it"
    )]
    Protocol {
        /// What the document says.
        found: u32,
    },
    /// A council of another size, with somebody twice or who has no account here, for ever, or none on a main network.
    #[error(
        "a council must be {COUNCIL_SEATS} different accounts of the document for 1 to {COUNCIL_TERMS_MAX} terms; only a test network can have none, for 0 terms"
    )]
    Council,
}

impl Genesis {
    /// Checks that a network can start so.
    ///
    /// # Errors
    /// See [`InvalidGenesis`].
    pub fn check(&self) -> Result<(), InvalidGenesis> {
        if self.is_main && self.parameters.insecure_proofs {
            return Err(InvalidGenesis::InsecureProofs);
        }
        self.parameters.check()?;
        if self.is_main {
            self.parameters.check_main()?;
        }
        let mut ids = BTreeSet::new();
        for (index, account) in self.accounts.iter().enumerate() {
            if !account.key.is_registrable() || !ids.insert(AccountId::of_first_key(&account.key)) {
                return Err(InvalidGenesis::Account { index });
            }
        }
        self.supply().ok_or(InvalidGenesis::Supply)?;
        let seeds: BTreeSet<AccountId> = self.trust_seeds.iter().copied().collect();
        let is_enough = !self.is_main || seeds.len() >= TRUST_SEEDS_MAIN_MIN;
        if seeds.len() != self.trust_seeds.len() || !seeds.is_subset(&ids) || !is_enough {
            return Err(InvalidGenesis::TrustSeeds);
        }
        let is_safe = |entry: &BackboneEntry| {
            ids.contains(&entry.account) && PublicKey::from(entry.key).is_registrable()
        };
        if self.first_backbone().is_none() || !self.backbone.iter().all(is_safe) {
            return Err(InvalidGenesis::Backbone);
        }
        if !(1..=PROTOCOL_VERSION_MAX).contains(&self.protocol) {
            return Err(InvalidGenesis::Protocol { found: self.protocol });
        }
        if !self.has_sound_council(&ids) {
            return Err(InvalidGenesis::Council);
        }
        Ok(())
    }

    fn has_sound_council(&self, accounts: &BTreeSet<AccountId>) -> bool {
        let members: BTreeSet<AccountId> = self.council.iter().copied().collect();
        let terms = self.council_until.0;
        if members.is_empty() {
            return terms == 0 && !self.is_main;
        }
        let is_whole = members.len() == COUNCIL_SEATS && self.council.len() == COUNCIL_SEATS;
        is_whole && members.is_subset(accounts) && (1..=COUNCIL_TERMS_MAX).contains(&terms)
    }

    fn supply(&self) -> Option<Amount> {
        Amount::checked_sum(self.accounts.iter().map(|account| account.balance))
            .filter(|supply| *supply <= SUPPLY_MAX)
    }
}

impl NetworkParameters {
    /// For how long a node looks at a plan to restart before it follows it, in milliseconds.
    #[must_use]
    pub const fn restart_wait_ms(&self) -> u64 {
        let window_ms = self.window_slots.saturating_mul(self.slot_ms);
        window_ms.saturating_mul(self.restart_windows)
    }

    /// How heights divide into terms.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        Terms::of_slots(self.window_slots.saturating_mul(self.term_windows))
    }

    /// What all main networks have in common.
    fn check_main(&self) -> Result<(), InvalidGenesis> {
        let common = [
            (self.slot_ms == SLOT_MS_MAIN, InvalidGenesis::SlotTime),
            (
                self.window_slots == WINDOW_SLOTS_MAIN,
                InvalidGenesis::WindowSlots,
            ),
            (
                self.term_windows == TERM_WINDOWS_MAIN,
                InvalidGenesis::TermWindows,
            ),
            (
                self.settlement_windows == SETTLEMENT_WINDOWS_MAIN,
                InvalidGenesis::SettlementWindows,
            ),
            (
                self.failed_window_cost == FAILED_WINDOW_COST_MAIN,
                InvalidGenesis::FailedWindowCost,
            ),
            (
                self.dispute_slots == DISPUTE_SLOTS_MAIN,
                InvalidGenesis::DisputeSlots,
            ),
            (
                self.audit_windows == AUDIT_WINDOWS_MAIN,
                InvalidGenesis::AuditWindows,
            ),
            (
                self.grace_windows == GRACE_WINDOWS_MAIN,
                InvalidGenesis::GraceWindows,
            ),
            (
                self.standby_power_bytes >= STANDBY_POWER_MAIN_MIN,
                InvalidGenesis::Power,
            ),
            (
                self.restart_windows == RESTART_WINDOWS_MAIN,
                InvalidGenesis::RestartWindows,
            ),
        ];
        match common.into_iter().find(|(is_so, _)| !is_so) {
            Some((_, why)) => Err(why),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), InvalidGenesis> {
        if self.slot_ms == 0 {
            return Err(InvalidGenesis::SlotTime);
        }
        if !(2..=WINDOW_SLOTS_MAX).contains(&self.window_slots) {
            return Err(InvalidGenesis::WindowSlots);
        }
        let term_slots = self.window_slots.saturating_mul(self.term_windows);
        if !(2..=TERM_WINDOWS_MAX).contains(&self.term_windows) || term_slots < TERM_SLOTS_MIN {
            return Err(InvalidGenesis::TermWindows);
        }
        if !(1..=SETTLEMENT_WINDOWS_MAX).contains(&self.settlement_windows) {
            return Err(InvalidGenesis::SettlementWindows);
        }
        if self.failed_window_cost > FAILED_WINDOW_COST_MAX {
            return Err(InvalidGenesis::FailedWindowCost);
        }
        // What is committed to in a window's first block is asked after the first blocks of the next.
        let (min, max) = (self.window_slots.saturating_mul(2), COMMIT_SLOTS_MAX);
        if !(min..=max).contains(&self.commit_slots) {
            return Err(InvalidGenesis::CommitSlots { min, max });
        }
        let members = usize::from(self.porep_committee);
        let is_sound = members == COMMITTEE_MAX || members < COMMITTEE_MAX && self.insecure_proofs;
        if !is_sound {
            let found = self.porep_committee;
            return Err(InvalidGenesis::Committee { found });
        }
        if !(1..=DISPUTE_SLOTS_MAX).contains(&self.dispute_slots) {
            return Err(InvalidGenesis::DisputeSlots);
        }
        let is_answerable = members > 0 && self.dispute_slots >= self.window_slots.saturating_mul(2);
        if self.audit_windows > 0 && !is_answerable {
            return Err(InvalidGenesis::AuditWindows);
        }
        let graces = Device::ALL.map(|device| self.grace_windows.of(device));
        if !graces
            .iter()
            .all(|windows| (GRACE_WINDOWS_MIN..=GRACE_WINDOWS_MAX).contains(windows))
        {
            return Err(InvalidGenesis::GraceWindows);
        }
        if self.power_unit_bytes == 0 {
            return Err(InvalidGenesis::Power);
        }
        if self.certify_slots == 0 {
            return Err(InvalidGenesis::CertifySlots);
        }
        let transactions_max = u32::try_from(BODY_TRANSACTIONS_MAX).unwrap_or(u32::MAX);
        let (min, bytes_max) = (
            fee::block_bytes_min(),
            u32::try_from(BODY_BYTES_MAX).unwrap_or(u32::MAX),
        );
        let found = self.block_transactions_max;
        if !(1..=transactions_max).contains(&found) {
            return Err(InvalidGenesis::BlockTransactions { found });
        }
        let found = self.block_bytes_max;
        if !(min..=bytes_max).contains(&found) {
            return Err(InvalidGenesis::BlockBytes { min, found });
        }
        Ok(())
    }
}

/// Why there is no block 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedGenesis {
    /// The document.
    #[error(transparent)]
    Document(#[from] InvalidGenesis),
    /// What came of it.
    #[error(transparent)]
    Block(#[from] InvalidBlock),
}

/// Block 0: the state that the document describes, above nothing.
///
/// # Errors
/// See [`RefusedGenesis`].
pub fn genesis_block(genesis: &Genesis) -> Result<BlockOutcome, RefusedGenesis> {
    genesis.check()?;
    let below = MemoryState::default();
    let mut ledger = empty_ledger(genesis, &below);
    let rules = ledger.rules.clone();
    ledger.rows.write(rows::RULES.to_vec(), &rules);
    let wallet = AccountRow::new(AccountKind::ProtocolWallet);
    ledger.write_account(&PROTOCOL_WALLET, wallet);
    for account in &genesis.accounts {
        let mut row = AccountRow::new(AccountKind::Keyed);
        row.balance = account.balance;
        check::register_first_key(&mut row, &account.key);
        ledger.write_account(&AccountId::of_first_key(&account.key), row);
    }
    let mut seeds = genesis.trust_seeds.to_vec();
    seeds.sort_unstable();
    ledger.rows.write(rows::TRUST_SEEDS.to_vec(), &seeds);
    let mut council = genesis.council.to_vec();
    council.sort_unstable();
    let upgrades = UpgradesRow {
        version: genesis.protocol,
        since: Term(0),
        electorate: 0,
        council: BoundedVec::new(council).unwrap_or_default(),
        council_until: genesis.council_until,
        approvals: BoundedVec::empty(),
        n_decisions: 0,
        planned: None,
        rescue: None,
    };
    ledger.rows.write(rows::UPGRADES.to_vec(), &upgrades);
    if let Some(backbone) = genesis.first_backbone() {
        for term in [Term(0), Term(1)] {
            ledger.rows.write(rows::backbone(term), &backbone);
        }
        write_seats(&mut ledger, &backbone);
    }
    ledger.roll_window();
    ledger.roll_term();
    let closing = Closing {
        parent: Hash::ZERO,
        value: Hash::ZERO,
        is_empty: true,
    };
    Ok(apply::close(&below, ledger, &closing, Vec::new())?)
}

/// Whose the first voting keys are; and the seats, if there are `3f + 1` of them.
fn write_seats(ledger: &mut Ledger<'_>, backbone: &Backbone) {
    let people = backbone.entries().iter().map(|entry| entry.account).collect();
    for entry in backbone.entries() {
        let user = UseOfKey {
            account: entry.account,
            term: Term(0),
        };
        ledger.rows.write(rows::used_key(&entry.key), &user);
        if let Some(hash) = &entry.cold_key {
            ledger.rows.write(rows::cold_key(&entry.account), hash);
        }
    }
    if let Ok(backbone) = watt_trust::Backbone::new(people, Term(0)) {
        let seats = SeatsRow {
            term: Term(1),
            backbone,
            leaving: BoundedVec::empty(),
            plan: None,
        };
        ledger.rows.write(rows::SEATS.to_vec(), &seats);
    }
}

fn empty_ledger<'a>(genesis: &Genesis, below: &'a MemoryState) -> Ledger<'a> {
    let (network, supply) = (genesis.network(), genesis.supply().unwrap_or(Amount::ZERO));
    Ledger {
        rows: Overlay::new(below),
        version: genesis.protocol,
        rules: RulesRow {
            network,
            name: genesis.name.clone(),
            is_main: genesis.is_main,
            parameters: genesis.parameters.clone(),
        },
        chain: ChainRow {
            height: BlockHeight(0),
            close_time: genesis.time,
            halted_ms: 0,
            windows_counted: 0,
            history: BoundedVec::empty(),
            history_len: 0,
            rank_root: Hash::ZERO,
        },
        supply: SupplyRow {
            supply,
            in_accounts: supply,
            in_escrow: Amount::ZERO,
            in_protocol_wallet: Amount::ZERO,
            n_providing: 0,
            n_providers: 0,
        },
        has_removed_keys: false,
        set_hashes: 0,
        events: Vec::new(),
    }
}
