//! A disk in memory that loses, tears and reorders what was not synced, fills up and rots, with the stores on it; compiled only
//! with the feature `testing`.

use crate::disk::sim::SimDisk;
use crate::journal::{Journal, JournalError};
use crate::piece_store::{PieceError, PieceStore, Space};
use crate::replica_store::{ReplicaError, ReplicaStore};
use std::path::Path;

const SCP_DIR: &str = "/scp";
const PIECES_DIR: &str = "/pieces";
const REPLICAS_DIR: &str = "/replicas";

/// A machine's disk: survives the programs on it.
#[derive(Clone, Debug, Default)]
pub struct TestDisk(SimDisk);

impl TestDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same content: a cloned folder, a backup.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(self.0.copy())
    }

    /// Opens the journal on this disk, as [`Journal::open`] does in a folder.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_journal(&self) -> Result<(Journal, Vec<Vec<u8>>), JournalError> {
        Journal::open_on(self.0.shared(), Path::new(SCP_DIR))
    }

    /// Opens the pieces on this disk, as [`PieceStore::open`] does in a folder.
    ///
    /// # Errors
    /// As [`PieceStore::open`].
    pub fn open_pieces(&self, space: Space) -> Result<PieceStore, PieceError> {
        PieceStore::open_on(self.0.shared(), Path::new(PIECES_DIR), space)
    }

    /// Opens the replicas on this disk, as [`ReplicaStore::open`] does in a folder, with no reserve.
    ///
    /// # Errors
    /// As [`ReplicaStore::open`].
    pub fn open_replicas(&self) -> Result<ReplicaStore, ReplicaError> {
        ReplicaStore::open_on(self.0.shared(), Path::new(REPLICAS_DIR), 0)
    }

    /// The power goes out at the `n`-th change from now, which happens in part; nothing works until
    /// [`TestDisk::come_back`].
    pub fn fail_after(&self, n: u64) {
        self.0.fail_after(n);
    }

    /// Whether the power is out.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.has_failed()
    }

    /// After a failure: with 0 all that was written is there, as after a kill; with any other number what was synced is, and
    /// of the rest any part.
    pub fn come_back(&self, seed: u64) {
        self.0.come_back(seed);
    }

    /// Bytes that all files may have together; `None` for no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.set_capacity(bytes);
    }

    /// From now on syncs say that they did what they did not: a drive, or a program, that breaks its promise.
    pub fn set_lying(&self, is_lying: bool) {
        self.0.set_lying(is_lying);
    }

    /// The next `n` files can't be opened, as when a process has no descriptor left.
    pub fn refuse_opens(&self, n: usize) {
        self.0.refuse_opens(n);
    }

    /// Whether something was written and not synced.
    #[must_use]
    pub fn has_unsynced(&self) -> bool {
        self.0.has_unsynced()
    }

    /// Changes one bit of the newest journal, as rot does; `false` if there is none.
    pub fn rot_journal(&self, bit: usize) -> bool {
        let newest = self.0.paths().into_iter().rfind(|path| path.starts_with(SCP_DIR));
        newest.is_some_and(|path| {
            self.0.flip_bit(&path, bit);
            true
        })
    }
}
