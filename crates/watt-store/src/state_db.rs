//! The state's rows in a database that is only a cache of the block log (`docs/spec/store.md` §11).
//!
//! Most commits are not synced, so a block is applied in the time it takes to write to memory; after a crash the state is a
//! few blocks behind and the node applies them again. If the file is damaged, it is made anew from the newest checkpoint
//! that is whole, and the node replays the blocks after it.

use crate::disk::{self, Disk};
use crate::error::DiskError;
use redb::{Database, Durability, TableDefinition};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use watt_ledger::state::Writes;
use watt_primitives::BlockHeight;

mod backend;
mod checkpoint;
mod fault;
mod open;
mod snapshot;

use checkpoint::Exporter;
use fault::Fault;
pub use snapshot::{Rows, Snapshot};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const HEAD: &str = "head";

/// Bytes of a row's key and value together.
pub const ROW_BYTES_MAX: usize = 16 << 20;

/// How the state is kept. Nothing in it changes what the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// Blocks from one synced commit to the next: how many a node replays after a crash.
    pub durable_every: u64,
    /// Blocks from one checkpoint to the next.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept.
    pub n_checkpoints: usize,
    /// Bytes of memory for the database's pages.
    pub cache_bytes: usize,
}

impl Default for StateConfig {
    /// A synced commit every 16 blocks; a checkpoint every 720 blocks (an hour), of which 2 are kept, so a rebuild replays
    /// at most 1,440 blocks; 64 MiB of cache.
    fn default() -> Self {
        Self {
            durable_every: 16,
            checkpoint_every: 720,
            n_checkpoints: 2,
            cache_bytes: 64 << 20,
        }
    }
}

/// Which block the state is after, and what the node noted with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height of the block.
    pub height: BlockHeight,
    /// Opaque bytes given at the commit, such as the header's hash.
    pub meta: Vec<u8>,
}

/// In what condition a state was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// As it was left, or as far as it was synced.
    Intact,
    /// It was damaged and has been made anew; the node replays the blocks after it and then calls
    /// [`StateDb::confirm_rebuilt`].
    Recovered {
        /// The checkpoint it comes from; `None` if there was none and it is empty.
        from: Option<BlockHeight>,
        /// What was wrong, for the owner.
        reason: String,
    },
}

/// Why the state can't be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The database refused.
    #[error("could not {doing} the state in {}: {source}", path.display())]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The folder of the state.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
    /// Rows are not as they were written; the next opening makes the state anew.
    #[error("the state in {} is damaged ({reason}); restart the node to rebuild it from its blocks", path.display())]
    Damaged {
        /// The folder of the state.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It was made anew twice and was damaged again each time before the node had caught up.
    #[error(
        "the state in {} was rebuilt {n_rebuilds} times and was damaged again each time ({reason}): check this computer's disk \
         and memory, then remove that folder to rebuild it once more", path.display()
    )]
    RebuildsFailed {
        /// The folder of the state.
        path: PathBuf,
        /// How often it was made anew.
        n_rebuilds: u64,
        /// What was found last.
        reason: String,
    },
    /// Blocks are applied in order.
    #[error("block {found} can't be committed: the state awaits block {expected}")]
    OutOfOrder {
        /// The height that comes next.
        expected: BlockHeight,
        /// The height offered.
        found: BlockHeight,
    },
    /// A row of more than [`ROW_BYTES_MAX`].
    #[error("a row of {len} bytes, where at most {ROW_BYTES_MAX} fit")]
    TooLong {
        /// Bytes of its key and value.
        len: usize,
    },
}

impl StateError {
    pub(crate) fn database<E: Into<redb::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Database {
            doing,
            path,
            source: Box::new(source.into()),
        }
    }
}

/// The rows of the state after the newest block.
#[derive(Debug)]
pub struct StateDb {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: StateConfig,
    database: Arc<Database>,
    fault: Arc<Fault>,
    writer: Mutex<Writer>,
}

/// What one block did to the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The block's height.
    pub height: BlockHeight,
    /// What the node notes with it, as in [`Head::meta`].
    pub meta: Vec<u8>,
    /// The rows that it changed.
    pub writes: Writes,
}

/// Rows to write, the newest of each key.
type RowsOf<'a> = BTreeMap<&'a Vec<u8>, &'a Option<Vec<u8>>>;

#[derive(Debug)]
struct Writer {
    head: Option<Head>,
    n_unsynced: u64,
    exporter: Option<Exporter>,
}

impl StateDb {
    /// Opens the state in folder `dir`, creating an empty one if there is none, and says in what condition it was.
    ///
    /// Reads the whole file once to see whether it is intact.
    ///
    /// # Errors
    /// [`StateError::RebuildsFailed`], [`StateError::Disk`], [`StateError::Database`].
    pub fn open(dir: &Path, config: StateConfig) -> Result<(Self, Opened), StateError> {
        Self::open_on(disk::system(), dir, config)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: StateConfig,
    ) -> Result<(Self, Opened), StateError> {
        let (database, head, opened) = open::open_or_rebuild(&disk, dir, config)?;
        let state = Self {
            fault: Arc::new(Fault::new(Arc::clone(&disk), dir)),
            disk,
            dir: dir.to_path_buf(),
            config,
            database: Arc::new(database),
            writer: Mutex::new(Writer {
                head,
                n_unsynced: 0,
                exporter: None,
            }),
        };
        Ok((state, opened))
    }

    /// Which block the state is after; `None` for an empty state.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.lock().head.clone()
    }

    /// Writes the rows that block `height` changed. After a crash they may be gone, and those of blocks before it too, as
    /// many as [`StateConfig::durable_every`]: the node applies them again.
    ///
    /// The first commit to an empty state may have any height.
    ///
    /// # Errors
    /// [`StateError::OutOfOrder`], [`StateError::TooLong`]; after [`StateError::Damaged`] or [`StateError::Database`] the
    /// node must stop.
    pub fn commit(&self, height: BlockHeight, meta: &[u8], writes: &Writes) -> Result<(), StateError> {
        self.commit_all(&[Commit {
            height,
            meta: meta.to_vec(),
            writes: writes.clone(),
        }])
    }

    /// Writes the rows that consecutive blocks changed, as when catching up: in one transaction, or in two if a checkpoint is
    /// due between them. Otherwise as [`StateDb::commit`].
    ///
    /// # Errors
    /// As [`StateDb::commit`]; nothing is written if the heights are not in order.
    pub fn commit_all(&self, commits: &[Commit]) -> Result<(), StateError> {
        self.check_sound()?;
        let mut writer = self.lock();
        let mut expected = writer.head.as_ref().map(|head| head.height.next());
        for commit in commits {
            match expected {
                Some(expected) if expected != commit.height => {
                    return Err(StateError::OutOfOrder {
                        expected,
                        found: commit.height,
                    });
                }
                _ => expected = Some(commit.height.next()),
            }
        }
        let every = self.config.checkpoint_every.max(1);
        let is_due = |commit: &Commit| commit.height.0 > 0 && commit.height.0.is_multiple_of(every);
        for part in commits.split_inclusive(is_due) {
            let Some(last) = part.last() else { continue };
            let head = Head {
                height: last.height,
                meta: last.meta.clone(),
            };
            let n_unsynced = writer.n_unsynced + disk::to_u64(part.len());
            let is_durable = n_unsynced >= self.config.durable_every;
            let rows = part.iter().flat_map(|commit| &commit.writes).collect();
            write(&self.database, &self.dir, &head, &rows, is_durable)?;
            writer.head = Some(head);
            writer.n_unsynced = if is_durable { 0 } else { n_unsynced };
            if is_due(last) {
                self.begin_checkpoint(&mut writer)?;
            }
        }
        Ok(())
    }

    /// Writes rows of a state that is coming in from elsewhere part by part: `head` may be any, and the same again. After a
    /// crash the last parts may be gone, as with [`StateDb::commit`]; what is left is what `head` said then.
    ///
    /// # Errors
    /// As [`StateDb::commit`].
    pub fn receive(&self, head: &Head, writes: &Writes) -> Result<(), StateError> {
        self.check_sound()?;
        let mut writer = self.lock();
        let n_unsynced = writer.n_unsynced + 1;
        let is_durable = n_unsynced >= self.config.durable_every;
        write(
            &self.database,
            &self.dir,
            head,
            &writes.iter().collect(),
            is_durable,
        )?;
        writer.head = Some(head.clone());
        writer.n_unsynced = if is_durable { 0 } else { n_unsynced };
        Ok(())
    }

    /// Makes all that was committed durable.
    ///
    /// # Errors
    /// [`StateError::Database`].
    pub fn flush(&self) -> Result<(), StateError> {
        let mut writer = self.lock();
        if let Some(head) = writer.head.clone().filter(|_| writer.n_unsynced > 0) {
            write(&self.database, &self.dir, &head, &RowsOf::new(), true)?;
            writer.n_unsynced = 0;
        }
        Ok(())
    }

    /// A view of the rows as they are now, whatever is committed later. Space that later commits free is not used again
    /// while it lives.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Database`].
    pub fn snapshot(&self) -> Result<Snapshot, StateError> {
        self.check_sound()?;
        Snapshot::new(&self.database, &self.fault, &self.dir)
    }

    /// Writes a checkpoint of the state as it is now and waits for it; [`StateDb::commit`] does so by itself in the
    /// background.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Disk`], [`StateError::Database`].
    pub fn write_checkpoint(&self) -> Result<(), StateError> {
        let snapshot = self.snapshot()?;
        checkpoint::export(
            &*self.disk,
            &self.dir,
            &snapshot,
            self.config.n_checkpoints,
            &|| false,
        )
    }

    /// Heights of the checkpoints on the disk, the newest first.
    ///
    /// # Errors
    /// [`StateError::Disk`].
    pub fn checkpoints(&self) -> Result<Vec<BlockHeight>, StateError> {
        Ok(checkpoint::list(&*self.disk, &self.dir)?)
    }

    /// Says that the node has replayed its blocks on a recovered state: later damage is a new story.
    ///
    /// # Errors
    /// [`StateError::Disk`].
    pub fn confirm_rebuilt(&self) -> Result<(), StateError> {
        Ok(open::forget_rebuilds(&*self.disk, &self.dir)?)
    }

    /// Has the next opening make the state anew: for a node that finds that its state is not the one others agreed on.
    ///
    /// # Errors
    /// [`StateError::Disk`].
    pub fn mark_damaged(&self, reason: &str) -> Result<(), StateError> {
        Ok(self.fault.mark(reason)?)
    }

    fn begin_checkpoint(&self, writer: &mut Writer) -> Result<(), StateError> {
        if writer.exporter.as_ref().is_some_and(Exporter::is_running) {
            tracing::warn!("the last checkpoint of the state is still being written; this one is skipped");
            return Ok(());
        }
        let snapshot = Snapshot::new(&self.database, &self.fault, &self.dir)?;
        writer.exporter = Some(Exporter::start(
            Arc::clone(&self.disk),
            self.dir.clone(),
            snapshot,
            self.config.n_checkpoints,
        ));
        Ok(())
    }

    fn check_sound(&self) -> Result<(), StateError> {
        self.fault.check(&self.dir)
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StateDb {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            // The state is a cache: the next start applies the last blocks again.
            tracing::warn!(%error, "the newest rows of the state were not synced");
        }
    }
}

fn write(
    database: &Database,
    dir: &Path,
    head: &Head,
    writes: &RowsOf<'_>,
    is_durable: bool,
) -> Result<(), StateError> {
    if let Some(len) = writes
        .iter()
        .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len))
        .find(|len| *len > ROW_BYTES_MAX)
    {
        return Err(StateError::TooLong { len });
    }
    let put = || -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(if is_durable {
            Durability::Immediate
        } else {
            Durability::None
        })?;
        {
            let mut rows = transaction.open_table(ROWS)?;
            for (key, value) in writes {
                match value {
                    Some(value) => {
                        rows.insert(key.as_slice(), snapshot::checked_row(key, value).as_slice())?
                    }
                    None => rows.remove(key.as_slice())?,
                };
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(HEAD, snapshot::encode_head(head).as_slice())?;
        }
        Ok(transaction.commit()?)
    };
    put().map_err(StateError::database("commit a block to", dir))
}

#[cfg(test)]
mod tests;
