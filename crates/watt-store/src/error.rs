//! What can go wrong between a store and the disk.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on a file that the disk or the operating system refused.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Reading, listing, removing or opening failed; what is stored has not changed.
    #[error("could not {doing} {}: {source}", path.display())]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A write may or may not be on the disk: nothing may be promised on its ground.
    #[error("could not {doing} {} durably: {source}", path.display())]
    NotDurable {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DiskError {
    pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Failed { doing, path, source }
    }

    pub(crate) fn not_durable(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::NotDurable { doing, path, source }
    }

    /// Whether the disk is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        let (Self::Failed { source, .. } | Self::NotDurable { source, .. }) = self;
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}
