//! Opening the state: take it as it is if it is intact, make it anew if there is any doubt.

use super::backend::Backend;
use super::fault::marker_path;
use super::snapshot::{checked_row, decode_head, encode_head};
use super::{HEAD, Head, META, Opened, ROWS, StateConfig, StateError, checkpoint};
use crate::disk::{Disk, Mode, UNFINISHED_SUFFIX, clean_dir, read_file, replace_file, with_suffix};
use crate::error::DiskError;
use redb::{Builder, Database, Durability, ReadableDatabase as _, WriteTransaction};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

const DATABASE_NAME: &str = "state.redb";
const REBUILDS_NAME: &str = "rebuilds";

/// How often a state is made anew before an owner has to look.
const REBUILDS_MAX: u64 = 2;

/// Rows put into a new database between two commits: bounds the memory of a rebuild.
const ROWS_PER_COMMIT: u64 = 50_000;

const NOTE_BYTES_MAX: u64 = 4096;

enum Found {
    Intact(Database, Option<Head>),
    Missing,
    Damaged(String),
}

pub(super) fn open_or_rebuild(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    config: StateConfig,
) -> Result<(Database, Option<Head>, Opened), StateError> {
    clean_dir(&**disk, dir)?;
    let has_checkpoints = !checkpoint::list(&**disk, dir)?.is_empty();
    let reason = match find(disk, dir, config)? {
        Found::Intact(database, head) => return Ok((database, head, Opened::Intact)),
        Found::Missing if !has_checkpoints => {
            build(disk, dir, config, |_| Ok(Some(())))?;
            return reopen(disk, dir, config, Opened::Intact);
        }
        Found::Missing => "its file is missing".to_owned(),
        Found::Damaged(reason) => reason,
    };
    tracing::warn!(reason, "the state is damaged; it is made anew");
    count_rebuild(&**disk, dir, &reason)?;
    let from = rebuild(disk, dir, config)?;
    remove_if_there(&**disk, &marker_path(dir))?;
    let opened = Opened::Recovered {
        from: from.map(|head| head.height),
        reason,
    };
    reopen(disk, dir, config, opened)
}

fn reopen(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    config: StateConfig,
    opened: Opened,
) -> Result<(Database, Option<Head>, Opened), StateError> {
    match find(disk, dir, config)? {
        Found::Intact(database, head) => Ok((database, head, opened)),
        Found::Missing => Err(StateError::Damaged {
            path: dir.to_path_buf(),
            reason: "a new state vanished".to_owned(),
        }),
        Found::Damaged(reason) => Err(StateError::Damaged {
            path: dir.to_path_buf(),
            reason: format!("a new state was damaged at once: {reason}"),
        }),
    }
}

fn find(disk: &Arc<dyn Disk>, dir: &Path, config: StateConfig) -> Result<Found, StateError> {
    if let Some(reason) = read_note(&**disk, &marker_path(dir))? {
        return Ok(Found::Damaged(reason));
    }
    let path = dir.join(DATABASE_NAME);
    let file = match disk.open(&path, Mode::Write) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) => return Err(DiskError::failed("open the state", &path)(error).into()),
    };
    // An empty file would pass as a new database.
    if file.len().map_err(DiskError::failed("open the state", &path))? == 0 {
        return Ok(Found::Damaged("its file is empty".to_owned()));
    }
    // The database is hardened against damaged files; should it panic all the same, that is one more way to be damaged.
    let opened = catch_unwind(AssertUnwindSafe(|| open_checked(Backend(file), config)));
    match opened {
        Ok(Ok((database, head))) => Ok(Found::Intact(database, head)),
        Ok(Err(error)) if is_of_system(&error) => {
            Err(StateError::database::<redb::Error>("open", dir)(error))
        }
        Ok(Err(error)) => Ok(Found::Damaged(error.to_string())),
        Err(_) => Ok(Found::Damaged("its file made the database fail".to_owned())),
    }
}

/// What says nothing about the file: a rebuild would not help.
fn is_of_system(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::PermissionDenied
            | io::ErrorKind::OutOfMemory | io::ErrorKind::ReadOnlyFilesystem
    ))
}

fn open_checked(backend: Backend, config: StateConfig) -> Result<(Database, Option<Head>), redb::Error> {
    let mut database = create(backend, config)?;
    // Not `Ok(false)` but an error means that it could not be healed; what was healed is a consistent older state.
    if !database.check_integrity()? {
        tracing::warn!("the database healed the state's file");
    }
    let head = {
        let transaction = database.begin_read()?;
        transaction.open_table(ROWS)?;
        let meta = transaction.open_table(META)?;
        match redb::ReadableTable::get(&meta, HEAD)? {
            None => None,
            Some(bytes) => Some(decode_head(bytes.value()).ok_or_else(|| {
                redb::Error::Corrupted("the record of the newest block is not as it was written".to_owned())
            })?),
        }
    };
    Ok((database, head))
}

fn create(backend: Backend, config: StateConfig) -> Result<Database, redb::Error> {
    Ok(Builder::new()
        .set_cache_size(config.cache_bytes)
        .create_with_backend(backend)?)
}

/// Makes a new database from the newest checkpoint that is whole, or an empty one.
fn rebuild(disk: &Arc<dyn Disk>, dir: &Path, config: StateConfig) -> Result<Option<Head>, StateError> {
    for height in checkpoint::list(&**disk, dir)? {
        let built = build(disk, dir, config, |database| {
            let mut loader = Loader::new(database, dir)?;
            let head = checkpoint::load(&**disk, dir, height, |key, value| loader.add(key, value))?;
            match head {
                Some(head) => loader.finish(&head).map(|()| Some(head)),
                None => Ok(None),
            }
        })?;
        if built.is_some() {
            tracing::info!(height = height.0, "the state was made anew from a checkpoint");
            return Ok(built);
        }
        tracing::warn!(height = height.0, "a checkpoint of the state is damaged");
        checkpoint::remove(&**disk, dir, height)?;
    }
    build(disk, dir, config, |_| Ok(Some(())))?;
    Ok(None)
}

/// Builds a database beside the old one and puts it in its place; `fill` says `None` if it has nothing to put there.
fn build<T>(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    config: StateConfig,
    fill: impl FnOnce(&Database) -> Result<Option<T>, StateError>,
) -> Result<Option<T>, StateError> {
    let path = dir.join(DATABASE_NAME);
    let unfinished = with_suffix(&path, UNFINISHED_SUFFIX);
    let file = disk
        .open(&unfinished, Mode::Create)
        .map_err(DiskError::failed("create the state", &unfinished))?;
    let begin = || -> Result<_, redb::Error> {
        let database = create(Backend(Arc::clone(&file)), config)?;
        let transaction = database.begin_write()?;
        transaction.open_table(ROWS)?;
        transaction.open_table(META)?;
        transaction.commit()?;
        Ok(database)
    };
    let database = begin().map_err(StateError::database("create", dir))?;
    let filled = fill(&database)?;
    drop(database);
    if filled.is_some() {
        file.sync()
            .and_then(|()| disk.rename(&unfinished, &path))
            .and_then(|()| disk.sync_dir(dir))
            .map_err(DiskError::not_durable("put in place", &path))?;
    }
    Ok(filled)
}

/// Puts the rows of a checkpoint into a new database.
struct Loader<'a> {
    database: &'a Database,
    dir: &'a Path,
    transaction: Option<WriteTransaction>,
    n_pending: u64,
}

impl<'a> Loader<'a> {
    fn new(database: &'a Database, dir: &'a Path) -> Result<Self, StateError> {
        let mut loader = Self {
            database,
            dir,
            transaction: None,
            n_pending: 0,
        };
        loader.begin(Durability::None)?;
        Ok(loader)
    }

    fn begin(&mut self, durability: Durability) -> Result<(), StateError> {
        let begin = || -> Result<_, redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(durability)?;
            Ok(transaction)
        };
        self.transaction = Some(begin().map_err(StateError::database("rebuild", self.dir))?);
        self.n_pending = 0;
        Ok(())
    }

    fn with<T>(
        &self,
        run: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        let transaction = self
            .transaction
            .as_ref()
            .expect("begun in new and after each commit");
        run(transaction).map_err(StateError::database("rebuild", self.dir))
    }

    fn commit(&mut self) -> Result<(), StateError> {
        let transaction = self
            .transaction
            .take()
            .expect("begun in new and after each commit");
        transaction
            .commit()
            .map_err(StateError::database("rebuild", self.dir))
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.with(|transaction| {
            let mut rows = transaction.open_table(ROWS)?;
            rows.insert(key, checked_row(key, value).as_slice())?;
            Ok(())
        })?;
        self.n_pending += 1;
        if self.n_pending >= ROWS_PER_COMMIT {
            self.commit()?;
            self.begin(Durability::None)?;
        }
        Ok(())
    }

    fn finish(mut self, head: &Head) -> Result<(), StateError> {
        self.commit()?;
        self.begin(Durability::Immediate)?;
        self.with(|transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert(HEAD, encode_head(head).as_slice())?;
            Ok(())
        })?;
        self.commit()
    }
}

fn count_rebuild(disk: &dyn Disk, dir: &Path, reason: &str) -> Result<(), StateError> {
    let path = dir.join(REBUILDS_NAME);
    let n_rebuilds = read_note(disk, &path)?
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0);
    if n_rebuilds >= REBUILDS_MAX {
        return Err(StateError::RebuildsFailed {
            path: dir.to_path_buf(),
            n_rebuilds,
            reason: reason.to_owned(),
        });
    }
    Ok(replace_file(
        disk,
        &path,
        (n_rebuilds + 1).to_string().as_bytes(),
    )?)
}

/// The state has been sound for long enough: damage to come is counted from zero.
pub(super) fn forget_rebuilds(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    remove_if_there(disk, &dir.join(REBUILDS_NAME))
}

fn read_note(disk: &dyn Disk, path: &Path) -> Result<Option<String>, DiskError> {
    match read_file(disk, path, NOTE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(DiskError::Failed { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DiskError::failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}
