//! A state that comes in from peers, beside the one that is shown, until it is whole and takes its place.

use super::trouble;
use crate::error::CommandError;
use crate::lock::locked;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use watt_engine::checkpoint::Incoming;
use watt_ledger::Writes;
use watt_ledger::tree::chunk::{self, StateChunk};
use watt_ledger::tree::{self, DamagedTree};
use watt_light::Header;
use watt_primitives::{Hash, codec};
use watt_store::{Head, Snapshot, StateConfig, StateDb};

/// The most bytes of what is noted with a state: a header, or a header and what is missing.
const NOTE_BYTES_MAX: usize = 8_192;

/// Folder beside the state's.
const DIR_SUFFIX: &str = "incoming";

/// Takes parts of a state in; shared with the work beside the loop.
#[derive(Clone)]
pub(crate) struct Receiver {
    state_dir: PathBuf,
    open: Arc<Mutex<Option<StateDb>>>,
}

impl Receiver {
    pub(super) fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            open: Arc::default(),
        }
    }

    /// Finishes or forgets what an earlier life left behind; returns what is still to be fetched.
    ///
    /// `is_fresh` says whether the state that is shown is at genesis.
    pub(super) fn resume(&self, is_fresh: bool) -> Result<Option<Incoming>, CommandError> {
        let dir = dir_of(&self.state_dir);
        if !dir.exists() {
            return Ok(None);
        }
        let found = open(&dir).ok().and_then(|state| {
            let note = state.head()?.meta;
            let incoming: Incoming = codec::decode(&note, NOTE_BYTES_MAX).ok()?;
            Some((state, incoming))
        });
        match found {
            Some((state, incoming)) if is_fresh => {
                *self.lock() = Some(state);
                Ok(Some(incoming))
            }
            Some(_) | None => {
                remove(&dir)?;
                Ok(None)
            }
        }
    }

    /// Checks a part and stores it; `false` if it is none of the state with the root in `then.header`.
    pub(crate) fn take(&self, at: &Hash, part: &StateChunk, then: &Incoming) -> Result<bool, CommandError> {
        if let Err(invalid) = part.verify(&then.header.state_root, at) {
            tracing::debug!(%invalid, "a part of a state was refused");
            return Ok(false);
        }
        let mut held = self.lock();
        let is_of_it = |state: &StateDb| {
            let note = state.head().map(|head| head.meta).unwrap_or_default();
            codec::decode::<Incoming>(&note, NOTE_BYTES_MAX)
                .is_ok_and(|incoming| incoming.header == then.header)
        };
        let state = match held.take_if(|state| is_of_it(state)) {
            Some(state) => state,
            None => {
                let dir = dir_of(&self.state_dir);
                drop(held.take());
                remove(&dir)?;
                open(&dir)?
            }
        };
        let entries = part.writes();
        let rows = read(&state, |rows| tree::update(rows, &entries))?.rows;
        let mut writes: Writes = chunk::beside(&entries);
        writes.extend(entries);
        writes.extend(rows);
        let head = Head {
            height: then.header.height,
            meta: codec::encode(then),
        };
        state.receive(&head, &writes).map_err(|error| trouble(&error))?;
        *held = Some(state);
        Ok(true)
    }

    /// Puts the state in the place of the one that is shown, durably.
    pub(crate) fn finish(&self, header: &Header) -> Result<(StateDb, Snapshot), CommandError> {
        let state = self
            .lock()
            .take()
            .ok_or_else(|| trouble(&"no state has come in"))?;
        let root = read(&state, |rows| tree::root(rows))?;
        if root != header.state_root {
            return Err(trouble(&format!(
                "the state that came in has the root {root}, and not {}",
                header.state_root
            )));
        }
        let head = Head {
            height: header.height,
            meta: codec::encode(header),
        };
        state
            .receive(&head, &chunk::finish(header))
            .and_then(|()| state.flush())
            // There are no blocks below to make it from again.
            .and_then(|()| state.write_checkpoint())
            .map_err(|error| trouble(&error))?;
        drop(state);
        put_in_place(&self.state_dir)?;
        let (state, _) =
            StateDb::open(&self.state_dir, StateConfig::default()).map_err(|error| trouble(&error))?;
        let snapshot = state.snapshot().map_err(|error| trouble(&error))?;
        Ok((state, snapshot))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<StateDb>> {
        locked(&self.open)
    }
}

/// Finishes what a crash interrupted between a whole state and its place; called before the state is opened.
pub(super) fn settle(state_dir: &Path) -> Result<(), CommandError> {
    let dir = dir_of(state_dir);
    if !dir.exists() {
        return Ok(());
    }
    let is_whole = open(&dir).is_ok_and(|state| {
        let note = state.head().map(|head| head.meta).unwrap_or_default();
        codec::decode::<Header>(&note, NOTE_BYTES_MAX).is_ok()
    });
    if is_whole { put_in_place(state_dir) } else { Ok(()) }
}

fn put_in_place(state_dir: &Path) -> Result<(), CommandError> {
    remove(state_dir)?;
    let failed = |error: std::io::Error| CommandError::file("put in place", state_dir, &error);
    std::fs::rename(dir_of(state_dir), state_dir).map_err(failed)?;
    let parent = state_dir.parent().unwrap_or(state_dir);
    #[cfg(unix)]
    std::fs::File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(failed)?;
    tracing::info!(dir = %parent.display(), "the state that came in is in place");
    Ok(())
}

fn read<T>(
    state: &StateDb,
    question: impl FnOnce(&watt_store::Rows<'_>) -> Result<T, DamagedTree>,
) -> Result<T, CommandError> {
    let snapshot = state.snapshot().map_err(|error| trouble(&error))?;
    snapshot
        .read(question)
        .map_err(|error| trouble(&error))?
        .map_err(|error| trouble(&error))
}

fn open(dir: &Path) -> Result<StateDb, CommandError> {
    let config = StateConfig {
        checkpoint_every: u64::MAX,
        ..StateConfig::default()
    };
    let (state, _) = StateDb::open(dir, config).map_err(|error| trouble(&error))?;
    Ok(state)
}

fn remove(dir: &Path) -> Result<(), CommandError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CommandError::file("remove", dir, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn dir_of(state_dir: &Path) -> PathBuf {
    state_dir.with_extension(DIR_SUFFIX)
}
