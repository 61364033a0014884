//! A damaged row seen while reading: remembered here, and on the disk for the next opening.

use super::StateError;
use crate::disk::{Disk, replace_file};
use crate::error::DiskError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const MARKER_NAME: &str = "damaged";

/// The first damage that was seen, if any.
#[derive(Debug)]
pub(super) struct Fault {
    disk: Arc<dyn Disk>,
    marker: PathBuf,
    reason: OnceLock<String>,
}

impl Fault {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            disk,
            marker: marker_path(dir),
            reason: OnceLock::new(),
        }
    }

    /// Notes damage; from now on nothing is read or committed.
    pub(super) fn mark(&self, reason: &str) -> Result<(), DiskError> {
        if self.reason.set(reason.to_owned()).is_err() {
            return Ok(());
        }
        tracing::error!(reason, "the state is damaged");
        replace_file(&*self.disk, &self.marker, reason.as_bytes())
    }

    /// As [`Fault::mark`], where there is nobody to tell that the note could not be written.
    pub(super) fn note(&self, reason: &str) {
        if let Err(error) = self.mark(reason) {
            tracing::warn!(%error, "could not note the damage for the next start");
        }
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    pub(super) fn check(&self, dir: &Path) -> Result<(), StateError> {
        match self.reason() {
            None => Ok(()),
            Some(reason) => Err(StateError::Damaged {
                path: dir.to_path_buf(),
                reason: reason.to_owned(),
            }),
        }
    }
}

pub(super) fn marker_path(dir: &Path) -> PathBuf {
    dir.join(MARKER_NAME)
}
