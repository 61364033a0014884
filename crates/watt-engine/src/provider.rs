//! A provider's life: offer space, seal what was accepted, answer every window, claim what was proven (`docs/spec/node.md` §5).
//!
//! Nothing is remembered that the ledger knows. After every block the provider looks at its rows and asks: what is missing?
//! So a restart, a lost transaction or a changed plan all end in the same question. What it does remember is what it has
//! asked for and not seen yet: work under way and transactions on their way.

mod pack;
mod submitter;

use crate::effect::{Effect, SealJob, WindowJob};
use crate::event::{Responded, SealedRoots};
use crate::provider::submitter::{Purpose, Submitter};
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::query::{self, OwnSector, OwnSlot, SectorStage};
use watt_ledger::StateRead;
use watt_light::{Operation, SignedTransaction, SlotRef};
use watt_primitives::terms::{AskTerms, Endpoint, Piece};
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, NetworkId, SecretKey, SectorNumber, TransactionId, Window};

/// What a provider offers.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Key of the account that is paid; signs everything a provider says.
    pub account_key: SecretKey,
    /// Bytes it is ready to hold.
    pub capacity_bytes: u64,
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// Its standing offer.
    pub ask: AskTerms,
}

/// A sealed sector found on disk when the node starts.
#[derive(Clone, Debug)]
pub struct LocalSector {
    /// What was sealed.
    pub job: SealJob,
    /// What came of it.
    pub roots: SealedRoots,
}

/// Work that was asked of the shell and is not done yet, per sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Sealing,
    Opening,
}

/// The answers to one window.
#[derive(Clone, Debug)]
struct Answered {
    job: Box<WindowJob>,
    result: Option<Responded>,
    is_opening: bool,
    openings: Option<Vec<u8>>,
}

/// A provider.
pub(crate) struct Provider {
    config: ProviderConfig,
    account: AccountId,
    network: NetworkId,
    submitter: Submitter,
    local: BTreeMap<SectorNumber, LocalSector>,
    work: BTreeMap<SectorNumber, Work>,
    jobs: BTreeMap<SectorNumber, Box<SealJob>>,
    openings: BTreeMap<SectorNumber, Vec<u8>>,
    answered: BTreeMap<Window, Answered>,
    /// What went wrong last, in one sentence, for the owner.
    trouble: Option<String>,
}

/// Sectors that may be sealed at once: each costs a few times its size in memory.
const SEALING_MAX: usize = 1;
