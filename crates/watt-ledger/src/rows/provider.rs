//! Providers, their offers, sectors and heartbeats.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use watt_light::BATCH_MAX;
use watt_light::ProviderNumber;
use watt_light::heartbeat::FAULTS_MAX;
use watt_primitives::codec::zero_or_one;
use watt_primitives::terms::{AskTerms, Device, Endpoint, PIECES_MAX, Piece};
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, LedgerTime, SectorNumber, Term, Window};
use watt_proofs::sector_set::SECTORS_MAX;
use watt_proofs::{Element, Shape};

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRow {
    /// Its number among all providers there ever were, from 0: the name that its heartbeats bear.
    pub number: ProviderNumber,
    /// Position of the account's key that signs heartbeats.
    pub heartbeat_key: u16,
    /// Bytes it is ready to hold.
    pub capacity_bytes: u64,
    /// Bytes reserved or in use by slots.
    pub used_bytes: u64,
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// Whose power the storage is that it proves.
    pub person: AccountId,
    /// What it runs on.
    pub device: Device,
    /// Height of its first pledge.
    pub since: BlockHeight,
    /// Proven time in all, in milliseconds of ledger time, less what was withheld; never falls (TS7).
    pub proven_ms: u64,
    /// Windows that it answered and did not prove, void ones and those that had nothing to prove left out.
    pub windows_failed: u64,
    /// What they cost beyond their own pay and that was not withheld yet, in milliseconds of proven time.
    pub owed_ms: u64,
    /// Proven time that was withheld for them, in milliseconds.
    pub withheld_ms: u64,
    /// The set of its newest heartbeat, so that it is built again only when it has changed.
    #[serde(with = "zero_or_one")]
    pub set: Option<KeptSet>,
    /// Sectors pre-committed, active, or ended so recently that their last window can still be proven.
    pub n_sectors: u32,
    /// Active sectors.
    pub n_active: u32,
    /// The batch of the sector that it pre-committed last, by the number of its first; it may be over.
    #[serde(with = "zero_or_one")]
    pub batch: Option<SectorNumber>,
    /// Active sectors that were in no proven window yet.
    pub starting: BoundedVec<SectorNumber, SECTORS_MAX>,
    /// First window in which proofs are due.
    #[serde(with = "zero_or_one")]
    pub due_from: Option<Window>,
    /// Windows that were not void before `due_from`, once that is known.
    #[serde(with = "zero_or_one")]
    pub counted_before: Option<u64>,
    /// Proofs that were due before `due_from`, in earlier spells of providing.
    pub due_before: u64,
    /// Proofs accepted, of windows that were not void.
    pub windows_proven: u64,
    /// Proofs accepted, of windows that were void.
    pub void_windows_proven: u64,
    /// Proofs and answers to disputes that did not verify.
    pub proofs_failed: u64,
    /// Disputes about its slots that are open.
    pub n_disputed: u32,
    /// Slots that it lost.
    pub slots_lost: u64,
    /// Whether it was not heard of for so long that no heartbeat is expected of it, until the next one comes.
    pub is_silent: bool,
    /// Window of the newest heartbeat.
    #[serde(with = "zero_or_one")]
    pub last_heartbeat: Option<Window>,
    /// Newest window that was proven.
    #[serde(with = "zero_or_one")]
    pub last_proven: Option<Window>,
    /// Ledger time of the newest accepted proof.
    pub last_proven_at: LedgerTime,
}

impl ProviderRow {
    /// A provider that has offered nothing, holds nothing and is reached nowhere yet; its number and its key for heartbeats are those
    /// at the first place.
    #[must_use]
    pub fn new(person: AccountId, since: BlockHeight) -> Self {
        Self {
            number: ProviderNumber(0),
            heartbeat_key: 0,
            capacity_bytes: 0,
            used_bytes: 0,
            endpoint: Endpoint::default(),
            person,
            device: Device::default(),
            since,
            proven_ms: 0,
            windows_failed: 0,
            owed_ms: 0,
            withheld_ms: 0,
            set: None,
            n_sectors: 0,
            n_active: 0,
            batch: None,
            starting: BoundedVec::empty(),
            due_from: None,
            counted_before: None,
            due_before: 0,
            windows_proven: 0,
            void_windows_proven: 0,
            proofs_failed: 0,
            n_disputed: 0,
            slots_lost: 0,
            is_silent: false,
            last_heartbeat: None,
            last_proven: None,
            last_proven_at: LedgerTime(0),
        }
    }

    /// Bytes that can still be promised.
    #[must_use]
    pub const fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes)
    }
}

/// The root of a tree over sectors, and which sectors these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptSet {
    /// Digest over the shape and the replica roots in their order.
    pub digest: Hash,
    /// The root.
    pub root: Element,
}

/// The storage that somebody's providers proved, of all windows of a term together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerRow {
    /// The newest term of which something was proven.
    pub term: Term,
    /// Bytes proven in each of its windows, summed up.
    pub byte_windows: u64,
    /// The same of the term before.
    pub byte_windows_before: u64,
}

impl PowerRow {
    /// Takes up what was proven in windows of `term`. A provider's windows are settled in their order, but somebody's providers are
    /// not: what is of the term before the newest is added there, and what is older has no use any more.
    pub fn add(&mut self, term: Term, byte_windows: u64) {
        if term > self.term {
            self.byte_windows_before = self.of_term(term.previous());
            self.byte_windows = 0;
            self.term = term;
        }
        let sum = if term == self.term {
            &mut self.byte_windows
        } else if term.next() == self.term {
            &mut self.byte_windows_before
        } else {
            return;
        };
        *sum = sum.saturating_add(byte_windows);
    }

    /// What was proven in `term`, which is the newest or the one before; nothing in any other.
    #[must_use]
    pub fn of_term(&self, term: Term) -> u64 {
        if term == self.term {
            self.byte_windows
        } else if term.next() == self.term {
            self.byte_windows_before
        } else {
            0
        }
    }
}

/// A standing offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRow {
    /// The offer.
    pub terms: AskTerms,
    /// Height at which it was placed, or what was pledged last changed.
    pub since: BlockHeight,
}

/// A sector from its pre-commitment until its last window can no longer be proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectorRow {
    /// Size in units of 1 MiB sealed.
    pub units: u16,
    /// Hash of the piece table.
    pub comm_d: Hash,
    /// Root over the label columns.
    pub comm_c: Hash,
    /// Root over the replica's leaves.
    pub comm_r: Element,
    /// What the replica's name is made with; the name follows from this, the provider, the number and `comm_d`.
    pub seal_seed: Hash,
    /// How far it is.
    pub stage: SectorStage,
    /// Slots of deals that are not over.
    pub n_slots: u32,
    /// The provider's proven time when the sector's first proven window began, in milliseconds.
    #[serde(with = "zero_or_one")]
    pub proven_ms_start: Option<u64>,
    /// Proven time of windows in which the sector was declared faulty, in milliseconds: nobody pays for it.
    pub faulty_ms: u64,
    /// Newest window in which it was declared faulty.
    #[serde(with = "zero_or_one")]
    pub last_fault: Option<Window>,
    /// The newest windows that were proven without it, if there are any.
    #[serde(with = "zero_or_one")]
    pub unpaid: Option<Unpaid>,
}

/// Windows, one after the other, that a provider proved and in which a sector was unpaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpaid {
    /// The window that was proven before them.
    #[serde(with = "zero_or_one")]
    pub after: Option<Window>,
    /// The last of them.
    pub to: Window,
}

/// How far a sector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SectorStage {
    /// Committed to, not challenged or not answered yet.
    #[serde(rename = "pre-committed")]
    PreCommitted {
        /// With which others it is asked: the number of their first.
        batch: SectorNumber,
    },
    /// Proven; in the provider's set from `from` on.
    #[serde(rename = "active")]
    Active {
        /// First window.
        from: Window,
    },
    /// All its deals are over; in the set up to and with `last`.
    #[serde(rename = "ended")]
    Ended {
        /// First window.
        from: Window,
        /// Last window.
        last: Window,
    },
}

/// Sectors of one provider that were pre-committed in one window, until they are answered for or expire, all together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRow {
    /// Which, in the order in which they were pre-committed.
    pub sectors: BoundedVec<SectorNumber, BATCH_MAX>,
    /// The window that asks.
    pub challenge_window: Window,
    /// Last height for the answer.
    pub deadline: BlockHeight,
}

impl SectorRow {
    /// Whether the sector is in the provider's set in `window`.
    #[must_use]
    pub fn is_in_set(&self, window: Window) -> bool {
        match self.stage {
            SectorStage::PreCommitted { .. } => false,
            SectorStage::Active { from } => from <= window,
            SectorStage::Ended { from, last } => from <= window && window <= last,
        }
    }

    /// Notes that `window` was proven without it; `before` is the window that its provider proved before.
    pub fn note_unpaid(&mut self, window: Window, before: Option<Window>) {
        let after = match self.unpaid {
            Some(unpaid) if Some(unpaid.to) == before => unpaid.after,
            Some(_) | None => before,
        };
        self.unpaid = Some(Unpaid { after, to: window });
    }

    /// The newest window that was proven with it, if its provider's newest is `last_proven`; or the one before its first.
    #[must_use]
    pub fn last_good(&self, last_proven: Option<Window>) -> Option<Window> {
        let from = match self.stage {
            SectorStage::PreCommitted { .. } => return None,
            SectorStage::Active { from } | SectorStage::Ended { from, .. } => from,
        };
        let last = match self.unpaid {
            Some(unpaid) if Some(unpaid.to) == last_proven => unpaid.after,
            Some(_) | None => last_proven,
        };
        Some(from.previous()).max(last)
    }

    /// Proven time of this sector when its provider's is `proven_ms`, in milliseconds.
    #[must_use]
    pub fn proven_ms(&self, proven_ms: u64) -> u64 {
        self.proven_ms_start.map_or(0, |start| {
            proven_ms.saturating_sub(start).saturating_sub(self.faulty_ms)
        })
    }
}

/// The pieces of a live sector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PieceTableRow(pub BoundedVec<Piece, PIECES_MAX>);

/// Which sector was accepted with a replica root; no other is (TS2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UseOfReplica {
    /// Whose.
    pub provider: AccountId,
    /// Which.
    pub sector: SectorNumber,
}

/// What a provider committed to in a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRow {
    /// `s_w`, the provider's state before this heartbeat.
    pub state: Element,
    /// `C_w`, the root of the tree over its sectors but those left out; zero if all are.
    pub set: Element,
    /// `R_w`, the root over all answers.
    pub answers: Element,
    /// Sectors of the provider in the window, faulty ones included.
    pub n_sectors: u16,
    /// Sealed bytes of those that are paid.
    pub bytes: u64,
    /// Sectors that the heartbeat before declared faulty: they are not in the set, and nobody pays for them.
    pub left_out: BoundedVec<SectorNumber, FAULTS_MAX>,
    /// Sectors that this one declares faulty: they are in the set, nobody pays for them, and the next set leaves them out.
    pub faults: BoundedVec<SectorNumber, FAULTS_MAX>,
    /// Whether the window was proven.
    pub is_proven: bool,
}

impl HeartbeatRow {
    /// Sectors of which nobody pays this window.
    pub fn unpaid(&self) -> impl Iterator<Item = SectorNumber> {
        let all: BTreeSet<SectorNumber> = self.left_out.iter().chain(self.faults.iter()).copied().collect();
        all.into_iter()
    }

    /// The shape of the window.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape::of_sectors(usize::from(self.n_sectors))
    }
}
