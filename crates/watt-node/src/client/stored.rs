//! The list of stored files: what only this machine knows, since a link is never told to anybody.

use crate::config::create_private_dir;
use crate::error::{CommandError, ErrorKind};
use crate::keyfile::replace_private;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A stored file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredFile {
    pub(super) name: String,
    pub(super) link: String,
    /// CID of the manifest.
    pub(super) cid: String,
    pub(super) bytes: u64,
    /// In milliseconds since the Unix epoch.
    pub(super) stored_at: u64,
    /// Ledger time, in milliseconds.
    pub(super) expires_at: u64,
    pub(super) deals: Vec<String>,
}

/// The list in one folder, readable by the owner only: it holds keys.
pub(super) struct StoredList {
    dir: PathBuf,
}

impl StoredList {
    pub(super) fn of(client_dir: &Path) -> Self {
        Self {
            dir: client_dir.to_owned(),
        }
    }

    /// Oldest first.
    pub(super) fn read(&self) -> Result<Vec<StoredFile>, CommandError> {
        let path = self.path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let message = format!("the list of stored files {} is damaged: {error}", path.display());
                CommandError::new(
                    ErrorKind::VerificationFailed,
                    message,
                    "repair it, or move it away to begin a new one",
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(CommandError::file("read", &path, &error)),
        }
    }

    /// Adds a file, or replaces what was known of it.
    pub(super) fn add(&self, file: StoredFile) -> Result<(), CommandError> {
        self.change(|files| {
            files.retain(|other| other.cid != file.cid);
            files.push(file);
        })
    }

    pub(super) fn remove(&self, cid: &str) -> Result<(), CommandError> {
        self.change(|files| files.retain(|other| other.cid != cid))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<StoredFile>)) -> Result<(), CommandError> {
        create_private_dir(&self.dir)?;
        // Two commands at once must not lose each other's line.
        let path = self.dir.join("stored.lock");
        let lock = File::create(&path).map_err(|error| CommandError::file("write", &path, &error))?;
        lock.lock()
            .map_err(|error| CommandError::file("lock", &path, &error))?;
        let mut files = self.read()?;
        change(&mut files);
        let bytes = serde_json::to_vec_pretty(&files).map_err(|error| {
            CommandError::new(
                ErrorKind::Other,
                format!("can't write the list: {error}"),
                "report this",
            )
        })?;
        replace_private(&self.path(), &bytes)
    }

    fn path(&self) -> PathBuf {
        self.dir.join("stored.json")
    }
}

/// The system's time, in milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(cid: &str, stored_at: u64) -> StoredFile {
        StoredFile {
            name: "x".to_owned(),
            link: format!("watt:{cid}#key"),
            cid: cid.to_owned(),
            bytes: 1,
            stored_at,
            expires_at: 2,
            deals: Vec::new(),
        }
    }

    /// The list survives commands, holds each file once, and others can't read it. Covers: C1.
    #[test]
    fn files_are_remembered_once() {
        let dir = tempfile::tempdir().unwrap();
        let list = StoredList::of(&dir.path().join("client"));
        assert!(list.read().unwrap().is_empty());
        for (cid, at) in [("a", 1), ("b", 2), ("a", 3)] {
            list.add(file(cid, at)).unwrap();
        }
        assert_eq!(list.read().unwrap(), [file("b", 2), file("a", 3)]);
        list.remove("b").unwrap();
        assert_eq!(list.read().unwrap(), [file("a", 3)]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(list.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }

    #[test]
    fn a_damaged_list_is_said_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stored.json"), b"[{").unwrap();
        let list = StoredList::of(dir.path());
        assert_eq!(
            list.add(file("a", 1)).unwrap_err().kind,
            ErrorKind::VerificationFailed
        );
        assert_eq!(std::fs::read(dir.path().join("stored.json")).unwrap(), b"[{");
    }
}
