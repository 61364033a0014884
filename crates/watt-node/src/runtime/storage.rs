//! What the node has on disk: opened together, brought to one height, changed by one function.

use super::apply::try_block;
use super::folded::Folded;
use super::hand_overs::HandOvers;
use super::restarts::RestartStore;
use super::seat_keys::SeatKeys;
use crate::config::NodeConfig;
use crate::error::{CommandError, ErrorKind};
use crate::lock::locked;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use watt_engine::checkpoint::Incoming;
use watt_engine::examiner::GIVEN_MAX;
use watt_engine::journal::Entry;
use watt_engine::message::DecidedBlock;
use watt_engine::{EvidenceLog, GivenVerdict};
use watt_ledger::tree::chunk;
use watt_ledger::{BlockOutcome, Genesis, Receipt, Rescue, Rescues, StateRead, Writes, genesis_block};
use watt_light::succession::{SUCCESSION_BYTES_MAX, SUCCESSIONS_MAX};
use watt_light::{Header, Succession};
use watt_primitives::{BlockHeight, BoundedVec, TransactionId, codec};
use watt_store::{
    BlockStore, BlockStoreError, Commit, Folder, Journal, Keystore, Kv, KvError, Opened, Origin, Seed,
    Snapshot, StateConfig, StateDb,
};

mod incoming;
pub(crate) use incoming::Receiver;

/// The most bytes of a stored block.
const STORED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Name of the evidence among the small values.
const EVIDENCE: &str = "evidence";

/// Name of the successions among the small values.
const SUCCESSIONS: &str = "successions";

/// Name of the verdicts on sectors among the small values.
const VERDICTS: &str = "verdicts";

/// The most bytes of these.
const VERDICTS_BYTES_MAX: usize = GIVEN_MAX * 256;

/// Those of three terms.
type StoredSuccessions = BoundedVec<Succession, { 3 * SUCCESSIONS_MAX }>;

/// The most bytes of these.
const SUCCESSIONS_BYTES_MAX: usize = 3 * SUCCESSIONS_MAX * SUCCESSION_BYTES_MAX;

/// Blocks between two clean-ups of the journal.
const JOURNAL_KEPT_BLOCKS: u64 = 64;

/// What is stored beside a block: what applying it gave, so that nobody has to apply it again to answer a question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    /// The header after it.
    pub(crate) header: Header,
    /// What came of its transactions.
    pub(crate) receipts: Vec<Receipt>,
}

/// Where a transaction stands: a row beside the state, in no root.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    height: BlockHeight,
    index: u32,
}

/// Everything on disk but the provider's data.
pub(crate) struct Storage {
    pub(crate) folder: Folder,
    blocks: Arc<BlockStore>,
    state: Arc<StateDb>,
    journal: Mutex<Journal>,
    values: Arc<Kv>,
    entries: Vec<Entry>,
    head: Header,
    /// Height up to which an earlier life may have voted: above the head if blocks have to be fetched again.
    voted_to: BlockHeight,
    snapshot: Arc<Snapshot>,
    receiver: Receiver,
    /// A state that an earlier life began to fetch.
    incoming: Option<Incoming>,
    rescues: Arc<Rescues>,
    folded: Folded,
}

/// Trouble with the disk, in one sentence.
pub(crate) fn trouble(error: &dyn std::fmt::Display) -> CommandError {
    CommandError::new(
        ErrorKind::Other,
        error.to_string(),
        "look at the disk and the folder it names; nothing else was changed",
    )
}

impl Storage {
    /// Opens the folder and brings the state to the height of the block log.
    pub(crate) fn open(config: &NodeConfig, genesis: &Genesis) -> Result<Self, CommandError> {
        let conflict = |error: watt_store::FolderError| {
            CommandError::new(
                ErrorKind::Conflict,
                error.to_string(),
                "a folder belongs to one running node; start this one with another --data-dir",
            )
        };
        let folder = Folder::open(
            &config.data_dir,
            if config.was_moved {
                Origin::MovedOnPurpose
            } else {
                Origin::Unsaid
            },
        )
        .map_err(conflict)?;
        let (mut journal, mut records) = Journal::open(&folder.scp_dir()).map_err(|error| trouble(&error))?;
        let blocks = BlockStore::open(&folder.blocks_dir()).map_err(|error| trouble(&error))?;
        let values = Kv::open(&folder.values_dir()).map_err(|error| trouble(&error))?;
        let values = Arc::new(values);
        let restarts = RestartStore::new(Arc::clone(&values));
        incoming::settle(&folder.state_dir())?;
        let state = open_state(&folder)?;
        let reached = state.head().map(|head| head.height);
        restarts.begin(genesis, &config.restarts, reached.max(blocks.head()))?;
        let begins_anew = restarts.is_new()?;
        if begins_anew {
            // What was said before the restart means nothing after it.
            journal.retain(|_| false).map_err(|error| trouble(&error))?;
            records.clear();
            restarts.settle(genesis, &HandOvers::new(Arc::clone(&values)))?;
        }
        let voted_to = reached.max(blocks.head()).unwrap_or(BlockHeight(0));
        // A node that started from a checkpoint has no blocks below it, and at first none at all.
        let state = if blocks.head().is_some_and(|end| reached > Some(end)) {
            go_back(state, &folder, &blocks)?
        } else {
            state
        };
        let entries = records
            .iter()
            .map(|bytes| Entry::decode(bytes))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                trouble(&format!(
                    "the SCP journal holds something else than records ({error})"
                ))
            })?;
        config
            .rescues
            .iter()
            .try_for_each(|rescue| refuse_old_way(&blocks, rescue))?;
        let head = rebuild(&state, &blocks, genesis, &config.rescues, &restarts)?;
        let snapshot = Arc::new(state.snapshot().map_err(|error| trouble(&error))?);
        let receiver = Receiver::new(folder.state_dir());
        // A state that began to come in before a restart may be of a block that is none after it.
        let incoming = receiver.resume(head.height == BlockHeight(0) && !begins_anew)?;
        let folded = Folded::open(&folder.proof_parameters_dir()).map_err(|error| trouble(&error))?;
        Ok(Self {
            rescues: Arc::new(config.rescues.clone()),
            folded,
            receiver,
            incoming,
            folder,
            blocks: Arc::new(blocks),
            state: Arc::new(state),
            journal: Mutex::new(journal),
            values,
            entries,
            head,
            voted_to,
            snapshot,
        })
    }

    pub(crate) const fn head(&self) -> &Header {
        &self.head
    }

    /// Height up to which an earlier life of this node may have voted.
    pub(crate) const fn voted_to(&self) -> BlockHeight {
        self.voted_to
    }

    /// The state of the head, shared with whoever asks.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// The rescue releases by which blocks are applied.
    pub(crate) fn rescues(&self) -> Arc<Rescues> {
        Arc::clone(&self.rescues)
    }

    /// What verifies folded proofs.
    pub(crate) fn folded(&self) -> Folded {
        self.folded.clone()
    }

    /// The small values.
    pub(crate) fn values(&self) -> Arc<Kv> {
        Arc::clone(&self.values)
    }

    pub(crate) fn blocks(&self) -> Arc<BlockStore> {
        Arc::clone(&self.blocks)
    }

    pub(crate) fn journal_entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    /// The network identity's seed, made on the first start.
    pub(crate) fn network_identity(&self) -> Result<[u8; 32], CommandError> {
        let keys = Keystore::open(&self.folder.keys_dir()).map_err(|error| trouble(&error))?;
        if !keys.contains("network") {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)
                .map_err(|error| trouble(&format!("the system gives no randomness ({error})")))?;
            keys.create("network", &Seed::new(seed))
                .map_err(|error| trouble(&error))?;
        }
        Ok(*keys.load("network").map_err(|error| trouble(&error))?.expose())
    }

    /// Makes SCP entries durable; they may be relied on when this returns.
    pub(crate) fn persist(&self, entries: &[Entry]) -> Result<(), watt_store::JournalError> {
        let entries: Vec<Vec<u8>> = entries.iter().map(Entry::encode).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        locked(&self.journal).append(&entries)
    }

    /// Evidence of earlier lives. A file that can't be read is said and counts as none: a node goes on without it.
    pub(crate) fn evidence(&self) -> EvidenceLog {
        let stored = self.values.get(EVIDENCE).map_err(|error| error.to_string());
        let log = stored.and_then(|bytes| {
            let decode = |bytes: Vec<u8>| EvidenceLog::decode(&bytes).map_err(|error| error.to_string());
            bytes.map_or_else(|| Ok(EvidenceLog::default()), decode)
        });
        log.unwrap_or_else(|error| {
            tracing::warn!(%error, "the evidence against validators can't be read; it is collected anew");
            EvidenceLog::default()
        })
    }

    /// Makes evidence durable.
    pub(crate) fn keep_evidence(&self, log: &EvidenceLog) -> Result<(), KvError> {
        self.values.put(EVIDENCE, &log.encode())
    }

    /// Keys that vote for seats in place of lost ones, as far as they were learned of. A file that can't be read is said and counts as
    /// none: peers tell again.
    pub(crate) fn successions(&self) -> Vec<Succession> {
        let stored = self.values.get(SUCCESSIONS).map_err(|error| error.to_string());
        let list = stored.and_then(|bytes| {
            let decode = |bytes: Vec<u8>| {
                codec::decode::<StoredSuccessions>(&bytes, SUCCESSIONS_BYTES_MAX)
                    .map_err(|error| error.to_string())
            };
            bytes.map(decode).transpose()
        });
        let list = list.unwrap_or_else(|error| {
            tracing::warn!(%error, "the successors of voting keys can't be read; they are asked of others");
            None
        });
        list.map(BoundedVec::into_inner).unwrap_or_default()
    }

    /// Makes them durable, in place of those before.
    pub(crate) fn keep_successions(&self, successions: &[Succession]) -> Result<(), KvError> {
        self.values.put(SUCCESSIONS, &codec::encode(&successions))
    }

    /// Verdicts on sectors that earlier lives gave. A file that can't be read is said and counts as none: they are looked at again.
    pub(crate) fn verdicts(&self) -> Vec<GivenVerdict> {
        let stored = self.values.get(VERDICTS).map_err(|error| error.to_string());
        let list = stored.and_then(|bytes| {
            let decode = |bytes: Vec<u8>| {
                codec::decode::<BoundedVec<GivenVerdict, GIVEN_MAX>>(&bytes, VERDICTS_BYTES_MAX)
                    .map_err(|error| error.to_string())
            };
            bytes.map(decode).transpose()
        });
        let list = list.unwrap_or_else(|error| {
            tracing::warn!(%error, "the verdicts on sectors can't be read; sectors that wait are looked at again");
            None
        });
        list.map(BoundedVec::into_inner).unwrap_or_default()
    }

    /// Makes them durable, in place of those before.
    pub(crate) fn keep_verdicts(&self, verdicts: &[GivenVerdict]) -> Result<(), KvError> {
        self.values.put(VERDICTS, &codec::encode(&verdicts))
    }

    /// The way from genesis' backbone to the newest.
    pub(crate) fn hand_overs(&self) -> HandOvers {
        HandOvers::new(Arc::clone(&self.values))
    }

    /// The restarts by people that this node follows, and what it knows of plans.
    pub(crate) fn restarts(&self) -> RestartStore {
        RestartStore::new(Arc::clone(&self.values))
    }

    /// Where the secrets of a seat's terms are.
    pub(crate) fn seat_keys(&self) -> SeatKeys {
        SeatKeys::in_dir(self.folder.path().join("seat"))
    }

    /// What stores a block, to be called off the main loop.
    pub(crate) fn committer(&self) -> Committer {
        Committer {
            blocks: self.blocks(),
            state: Arc::clone(&self.state),
        }
    }

    /// What takes in a state from peers, to be called off the main loop.
    pub(crate) fn receiver(&self) -> Receiver {
        self.receiver.clone()
    }

    /// What of a state is missing that an earlier life began to fetch.
    pub(crate) fn incoming(&self) -> Option<Incoming> {
        self.incoming.clone()
    }

    /// Makes a state that came in the one everybody sees.
    pub(crate) fn adopt(
        &mut self,
        state: StateDb,
        header: Header,
        snapshot: Snapshot,
    ) -> Result<(), CommandError> {
        let restarts = self.restarts();
        let snapshot = if restarts.is_ahead_of(header.height)? {
            restarts.mark(&state)?;
            state.snapshot().map_err(|error| trouble(&error))?
        } else {
            snapshot
        };
        self.state = Arc::new(state);
        self.head = header;
        self.snapshot = Arc::new(snapshot);
        Ok(())
    }

    /// Makes the newly committed state the one everybody sees.
    pub(crate) fn advance(
        &mut self,
        header: Header,
        snapshot: Snapshot,
    ) -> Result<(), watt_store::JournalError> {
        let (before, height) = (self.head.height, header.height);
        self.head = header;
        self.snapshot = Arc::new(snapshot);
        if before.0 / JOURNAL_KEPT_BLOCKS < height.0 / JOURNAL_KEPT_BLOCKS {
            let is_live = |bytes: &[u8]| Entry::decode(bytes).is_ok_and(|entry| entry.slot().0 > height.0);
            locked(&self.journal).retain(is_live)?;
        }
        Ok(())
    }

    pub(crate) fn flush(&self) {
        if let Err(error) = self.state.flush() {
            tracing::warn!(%error, "the state could not be written at the end; it will be rebuilt");
        }
    }
}

/// Stores blocks: first the block, durably, then the state, which is only its consequence.
#[derive(Clone)]
pub(crate) struct Committer {
    blocks: Arc<BlockStore>,
    state: Arc<StateDb>,
}

impl Committer {
    /// Stores consecutive blocks with one write to the log and one to the state; returns the new head and its state.
    pub(crate) fn commit(
        &self,
        blocks: &[DecidedBlock],
        outcomes: &[Arc<BlockOutcome>],
    ) -> Result<(Header, Snapshot), CommandError> {
        let Some(last) = outcomes.last() else {
            return Err(trouble(&"there is no block to store"));
        };
        self.keep(blocks, outcomes)?;
        write_state(&self.state, outcomes).map_err(|error| trouble(&error))?;
        let snapshot = self.state.snapshot().map_err(|error| trouble(&error))?;
        Ok((last.header.clone(), snapshot))
    }

    /// Puts blocks into the log: at its end, or in the place of damaged ones. What stands above a damaged block comes from
    /// peers a second time, and is there already.
    fn keep(&self, blocks: &[DecidedBlock], outcomes: &[Arc<BlockOutcome>]) -> Result<(), CommandError> {
        let mut new = Vec::new();
        for (block, outcome) in blocks.iter().zip(outcomes) {
            let applied = Applied {
                header: outcome.header.clone(),
                receipts: outcome.receipts.clone(),
            };
            let height = outcome.header.height;
            let (block, proof) = (codec::encode(block), codec::encode(&applied));
            match self.blocks.get(height) {
                Ok(None) => new.push((height, block, proof)),
                Err(BlockStoreError::Damaged { .. }) => {
                    tracing::info!(height = height.0, "a damaged block of the log is whole again");
                    self.blocks
                        .repair(height, &block, &proof)
                        .map_err(|error| trouble(&error))?;
                }
                Ok(Some(stored)) => {
                    let stored: Applied =
                        codec::decode(&stored.proof, STORED_BYTES_MAX).map_err(|error| trouble(&error))?;
                    if stored.header != applied.header {
                        return Err(trouble(&format!(
                            "the log holds another block {height} than the network decided"
                        )));
                    }
                }
                Err(error) => return Err(trouble(&error)),
            }
        }
        let new: Vec<_> = new
            .iter()
            .map(|(height, block, proof)| (*height, block.as_slice(), proof.as_slice()))
            .collect();
        self.blocks.append_batch(&new).map_err(|error| trouble(&error))
    }
}

fn open_state(folder: &Folder) -> Result<StateDb, CommandError> {
    let (state, opened) =
        StateDb::open(&folder.state_dir(), StateConfig::default()).map_err(|error| trouble(&error))?;
    match opened {
        Opened::Intact => {}
        Opened::Recovered { from, reason } => {
            let from = from.map_or(0, |height| height.0);
            tracing::warn!(from, %reason, "the state was damaged; rebuilding it from a checkpoint and the blocks");
        }
    }
    Ok(state)
}

/// The state is above the end of the log, whose last blocks rotted: makes it anew below that, so that they are fetched again.
fn go_back(state: StateDb, folder: &Folder, blocks: &BlockStore) -> Result<StateDb, CommandError> {
    let end = blocks.head().unwrap_or(BlockHeight(0));
    tracing::warn!(
        height = end.0,
        "the last blocks of the log are damaged; they are fetched from peers again"
    );
    state
        .mark_damaged("it is above the end of the block log")
        .map_err(|error| trouble(&error))?;
    drop(state);
    let state = open_state(folder)?;
    if state.head().is_some_and(|head| head.height > end) {
        return Err(CommandError::new(
            ErrorKind::Other,
            format!("the block log ends at {end}, below the oldest checkpoint of the state"),
            format!(
                "remove the folder {} and start again: the state is made anew from the blocks",
                folder.state_dir().display()
            ),
        ));
    }
    Ok(state)
}

fn write_state(state: &StateDb, outcomes: &[Arc<BlockOutcome>]) -> Result<(), watt_store::StateError> {
    let commits: Vec<Commit> = outcomes.iter().map(|outcome| commit_of(outcome)).collect();
    state.commit_all(&commits)
}

fn commit_of(outcome: &BlockOutcome) -> Commit {
    let mut writes: Writes = outcome.writes.clone();
    for (index, receipt) in (0u32..).zip(&outcome.receipts) {
        let place = Place {
            height: outcome.header.height,
            index,
        };
        writes.insert(place_key(&receipt.transaction), Some(codec::encode(&place)));
    }
    writes.extend(chunk::index(&outcome.writes));
    Commit {
        height: outcome.header.height,
        meta: codec::encode(&outcome.header),
        writes,
    }
}

fn place_key(id: &TransactionId) -> Vec<u8> {
    [b"X".as_slice(), id.as_ref()].concat()
}

/// Brings the state to the height of the block log, or to the first damaged block in it: that one and those above it are then
/// fetched from peers like any other. Returns the head.
fn rebuild(
    state: &StateDb,
    blocks: &BlockStore,
    genesis: &Genesis,
    rescues: &Rescues,
    restarts: &RestartStore,
) -> Result<Header, CommandError> {
    let first = genesis_block(genesis).map(Arc::new).map_err(|error| {
        CommandError::new(
            ErrorKind::Usage,
            format!("this genesis is refused: {error}"),
            "get the right genesis file for the network",
        )
    })?;
    if state.head().is_none() {
        write_state(state, std::slice::from_ref(&first)).map_err(|error| trouble(&error))?;
    }
    let stored = state.head().ok_or_else(|| trouble(&"the state has no head"))?;
    let mut head: Header = codec::decode(&stored.meta, 4096).map_err(|error| trouble(&error))?;
    if head.network.first() != first.header.network {
        let message = "the folder holds another network's ledger";
        return Err(CommandError::new(
            ErrorKind::Conflict,
            message,
            "use another --data-dir for this network",
        ));
    }
    restarts.mark(state)?;
    let target = blocks.head().unwrap_or(BlockHeight(0));
    if head.height < target {
        tracing::info!(from = head.height.0, to = target.0, "replaying stored blocks");
    }
    while head.height < target {
        let height = head.height.next();
        if matches!(blocks.get(height), Err(BlockStoreError::Damaged { .. })) {
            tracing::warn!(
                height = height.0,
                "a block of the log is damaged; it is fetched from peers again, and the blocks above it"
            );
            break;
        }
        let (block, applied) = read_block(blocks, height)?.ok_or_else(|| missing(height, blocks))?;
        let snapshot = state.snapshot().map_err(|error| trouble(&error))?;
        let outcome = snapshot
            .read(|rows| try_block(rows, block.to_block(), None::<&Folded>, rescues))
            .map_err(|error| trouble(&error))?
            .map_err(|failure| trouble(&failure))?;
        if outcome.header != applied.header {
            state
                .mark_damaged("replaying a block gave another header")
                .map_err(|error| trouble(&error))?;
            return Err(trouble(&format!(
                "replaying block {height} gave another result than before; start again to rebuild"
            )));
        }
        write_state(state, std::slice::from_ref(&outcome)).map_err(|error| trouble(&error))?;
        head = outcome.header.clone();
    }
    state.confirm_rebuilt().map_err(|error| trouble(&error))?;
    Ok(head)
}

/// Whether the folder went on by the old rules above the block of a rescue release: then it stands on another chain.
fn refuse_old_way(blocks: &BlockStore, rescue: &Rescue) -> Result<(), CommandError> {
    // A block that can't be read is fetched again.
    let Ok(Some((block, applied))) = read_block(blocks, rescue.base.next()) else {
        return Ok(());
    };
    let is_its = block.proposal.proposal.parent == rescue.header;
    if !is_its || applied.header.version >= rescue.version {
        return Ok(());
    }
    Err(CommandError::new(
        ErrorKind::Conflict,
        format!(
            "this folder went on by the old rules above block {}, where a rescue release holds others ({})",
            rescue.base,
            rescue.reason.as_str()
        ),
        "start with an empty --data-dir and the same keys: the node fetches everything from others",
    ))
}

/// The state is older than the log's first block: that of a node that started from a checkpoint and lost it.
fn missing(height: BlockHeight, blocks: &BlockStore) -> CommandError {
    let first = blocks.first().unwrap_or(height);
    CommandError::new(
        ErrorKind::Other,
        format!(
            "the state was lost, and the block log begins at {first}, above block {height}, from which to make it again"
        ),
        "remove the folders of state and blocks and start again: the node starts from a checkpoint of its peers",
    )
}

/// A stored block and what applying it gave.
pub(crate) fn read_block(
    blocks: &BlockStore,
    height: BlockHeight,
) -> Result<Option<(DecidedBlock, Applied)>, CommandError> {
    let Some(stored) = blocks.get(height).map_err(|error| trouble(&error))? else {
        return Ok(None);
    };
    let block = codec::decode(&stored.block, STORED_BYTES_MAX).map_err(|error| trouble(&error))?;
    let applied = codec::decode(&stored.proof, STORED_BYTES_MAX).map_err(|error| trouble(&error))?;
    Ok(Some((block, applied)))
}

/// Where a transaction stands and what came of it.
pub(crate) fn find_transaction(
    state: &impl StateRead,
    blocks: &BlockStore,
    id: &TransactionId,
) -> Option<(BlockHeight, u32, Receipt)> {
    let place: Place = codec::decode(&state.get(&place_key(id))?, 64).ok()?;
    let (_, applied) = read_block(blocks, place.height).ok()??;
    let receipt = applied.receipts.get(usize::try_from(place.index).ok()?)?;
    Some((place.height, place.index, receipt.clone()))
}

#[cfg(test)]
mod tests;
