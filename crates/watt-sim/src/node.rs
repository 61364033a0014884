//! One node of the world: its engine while it runs, and what survives it.

use crate::actor::Actor;
use crate::check::Speech;
use crate::compute::Compute;
use crate::storage::{Means, Trade, Vault};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use watt_engine::checkpoint::Incoming;
use watt_engine::journal::Entry;
use watt_engine::message::DecidedBlock;
use watt_engine::provider::ProviderConfig;
use watt_engine::seat::{SeatConfig, TermSecrets};
use watt_engine::{Clocks, Engine, RestartLog, Timer, VotingKeys};
use watt_ledger::{BlockOutcome, MemoryState};
use watt_light::{HandOver, Header, Restart, RestartPlan};
use watt_primitives::{BlockHeight, Hash, NetworkId, SecretKey, Term, Timestamp};
use watt_store::Journal;
use watt_store::testing::TestDisk;

/// A block as it is stored.
pub struct Stored {
    /// With its proof.
    pub block: DecidedBlock,
    /// What applying it gave.
    pub header: Header,
    /// The header's hash.
    pub hash: Hash,
    /// Bytes of the encoded block.
    pub bytes: usize,
}

/// What survives a crash.
pub struct Disk {
    /// Holds the journal, as the real store keeps it.
    pub drive: TestDisk,
    /// What the log stands on: genesis, or the state of a checkpoint that peers gave.
    pub ground: (Header, Arc<MemoryState>),
    /// The block log: the first block is the one above the ground.
    pub blocks: Vec<Arc<Stored>>,
    /// Heights whose blocks can't be read any more.
    pub rotten: BTreeSet<u64>,
    /// Height up to which an earlier life may have voted in slots whose blocks are gone.
    pub voted_to: BlockHeight,
    /// Header of the newest block.
    pub head: Header,
    /// Its hash.
    pub head_hash: Hash,
    /// State under it.
    pub state: Arc<MemoryState>,
    /// The hand-overs from term 0 on.
    pub hand_overs: Vec<HandOver>,
    /// Other keys that vote for seats.
    pub successions: Vec<watt_light::Succession>,
    /// Verdicts on sectors that it gave.
    pub verdicts: Vec<watt_engine::GivenVerdict>,
    /// What it keeps about plans to restart the network.
    pub restarts: RestartLog,
    /// The restarts that it follows, in their order.
    pub followed: Vec<Restart>,
    /// Secrets of the terms of its seat: they survive even the loss of the rest, like every key.
    pub secrets: Vec<TermSecrets>,
    /// A state that comes in from peers, and what of it is missing.
    pub incoming: Option<(Incoming, MemoryState)>,
    /// What a provider keeps.
    pub vault: Vault,
}

impl Disk {
    /// From now on this restart is followed, too; one in which nothing was decided is over.
    pub fn follow(&mut self, restart: Restart) {
        let base = restart.plan.base.height;
        self.followed.retain(|known| known.plan.base.height < base);
        self.followed.push(restart);
    }

    /// The plans of the restarts that it follows.
    pub fn plans(&self) -> impl Iterator<Item = RestartPlan> {
        self.followed.iter().map(|restart| restart.plan.clone())
    }

    /// The block at `height`, if it is in the log and can be read.
    #[must_use]
    pub fn readable(&self, height: BlockHeight) -> Option<&Arc<Stored>> {
        let place = height.0.checked_sub(self.ground.0.height.0 + 1)?;
        let stored = self.blocks.get(usize::try_from(place).ok()?)?;
        (!self.rotten.contains(&height.0)).then_some(stored)
    }
}

/// Consecutive blocks on their way to the disk.
pub struct Committing {
    /// The blocks.
    pub stored: Vec<Arc<Stored>>,
    /// What applying each gave.
    pub outcomes: Vec<Arc<BlockOutcome>>,
}

/// Why a node is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// It has not been started, was stopped, or crashed; it may come back.
    Stopped,
    /// Its owner has to act: the sentence says why.
    Halted(String),
    /// Its disk is gone, with the voting keys on it; a successor may take its place.
    DiskLost,
    /// It left for good.
    Gone,
}

/// One node.
pub struct Node {
    /// The engine while the node runs.
    pub engine: Option<Engine>,
    /// Why it does not run.
    pub down: Down,
    /// A life's number: what was meant for an earlier one is dropped.
    pub life: u64,
    /// What survives.
    pub disk: Disk,
    /// Open while the node runs and votes.
    pub journal: Option<Journal>,
    /// The voting key of a validator of the genesis.
    pub key: Option<SecretKey>,
    /// The key of the account that holds a seat or stands for one, if the node does what a seat asks for.
    pub seat: Option<SecretKey>,
    /// In place of that the key of a term.
    pub keys_of_terms: Vec<(Term, SecretKey)>,
    /// What it offers, if it is a provider.
    pub offer: Option<ProviderConfig>,
    /// How it misbehaves as a provider, if it does.
    pub trade: Option<Trade>,
    /// With what it answers in place of replicas, if it keeps none.
    pub means: Means,
    /// Whether it is a device that is not always up.
    pub is_sleepy: bool,
    /// Whether its state is its own, no longer that of everybody with the same head: only a broken program has one.
    pub has_own_state: bool,
    /// How many of its disks are gone.
    pub n_disks_lost: u8,
    /// Timers that are set, with the number of their event.
    pub timers: BTreeMap<Timer, u64>,
    /// How far its wall clock is ahead, in milliseconds.
    pub skew_ms: i64,
    /// The highest version of the rules that its program knows, from its next life on.
    pub protocol: u32,
    /// Whether its program holds the world's rescue releases.
    pub holds_rescue: bool,
    /// When its life began: its steady clock counts from there.
    pub born: Timestamp,
    /// How it misbehaves, if it does.
    pub actor: Option<Box<dyn Actor>>,
    /// Whom it keeps a connection with.
    pub wants: Vec<usize>,
    /// Whether it lost its journal without knowing: it may contradict itself, through no malice.
    pub is_forgetful: bool,
    /// Appends to its journal so far, in all lives.
    pub n_persists: u64,
    /// Crashes at the journal's append with this number.
    pub crash_at_persist: Option<u64>,
    /// Blocks on their way to the disk.
    pub committing: Option<Committing>,
    /// Header of the state that is on its way to its place.
    pub adopting: Option<Header>,
    /// The states that it serves to fresh nodes, the newest last.
    pub served: VecDeque<(Header, Arc<MemoryState>)>,
    /// What it has said: the world's memory, which no crash erases.
    pub speech: Speech,
}

impl Node {
    /// Whether it runs.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// The network as it sees it; `first` is what its genesis names.
    #[must_use]
    pub fn network(&self, first: NetworkId) -> NetworkId {
        let newest = self.disk.followed.last();
        newest.map_or(first, |restart| restart.plan.network_after())
    }

    /// Whether it does not come back by itself.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.down, Down::DiskLost | Down::Gone)
    }

    /// Whether it votes, or may one day.
    #[must_use]
    pub const fn may_vote(&self) -> bool {
        self.key.is_some() || self.seat.is_some()
    }

    /// All keys that it votes with.
    #[must_use]
    pub fn voting_keys(&self) -> VotingKeys {
        let mut keys = self.key.clone().map_or_else(VotingKeys::none, VotingKeys::fixed);
        for (term, key) in &self.keys_of_terms {
            keys.add(*term, key.clone());
        }
        for secrets in &self.disk.secrets {
            keys.add(secrets.term, secrets.voting_key.clone());
        }
        keys
    }

    /// Whose seat it looks after, and with which secrets.
    #[must_use]
    pub fn seat_config(&self) -> Option<SeatConfig> {
        let account_key = self.seat.clone()?;
        Some(SeatConfig {
            account_key,
            secrets: self.disk.secrets.clone(),
        })
    }

    /// Whether it runs and says that its program is too old for what the network decides now.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let unknown = self.engine.as_ref().and_then(Engine::unknown_version);
        unknown.is_some()
    }

    /// Whether nobody could go on with its program.
    #[must_use]
    pub fn can_not_go_on(&self, compute: &Compute) -> bool {
        compute.is_broken() && !self.holds_rescue
    }

    /// Whether it follows the rules.
    #[must_use]
    pub fn is_honest(&self) -> bool {
        self.actor.is_none()
    }

    /// Height of its newest stored block.
    #[must_use]
    pub const fn height(&self) -> BlockHeight {
        self.disk.head.height
    }

    /// What its clocks show when the world's shows `now`.
    #[must_use]
    pub const fn clocks(&self, now: Timestamp) -> Clocks {
        Clocks {
            steady: Timestamp(now.0.saturating_sub(self.born.0)),
            wall: Timestamp(now.0.saturating_add_signed(self.skew_ms)),
        }
    }

    /// When the world's clock shows what this node's steady one calls `at`.
    #[must_use]
    pub const fn world_time(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_add(self.born.0))
    }
}

/// Which entries of the journal an engine is given when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// All.
    Whole,
    /// None of what the node said of its ballots: a program that forgets its lock.
    WithoutLock,
}

impl Memory {
    /// The entries that are left.
    #[must_use]
    pub fn keep(self, entries: Vec<Entry>) -> Vec<Entry> {
        match self {
            Self::Whole => entries,
            Self::WithoutLock => entries
                .into_iter()
                .filter(|entry| matches!(entry, Entry::Body { .. }))
                .collect(),
        }
    }
}
