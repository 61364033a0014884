//! The file that is stored, as the system shows it.

use crate::error::{CommandError, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use watt_content::FileName;
use watt_primitives::AccountId;

/// A regular file: where it is and what tells it from a later version of itself.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) name: FileName,
    pub(super) len: u64,
    pub(super) modified_ms: u64,
    identity: [u64; 4],
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, CommandError> {
        let failed = |error: &std::io::Error| CommandError::file("read", path, error);
        let canonical = path.canonicalize().map_err(|error| failed(&error))?;
        let metadata = std::fs::metadata(&canonical).map_err(|error| failed(&error))?;
        if metadata.is_dir() {
            let message = format!("{} is a folder", path.display());
            return Err(CommandError::new(
                ErrorKind::Usage,
                message,
                "name a file; pack a folder first, for example with tar",
            ));
        }
        if !metadata.is_file() {
            let message = format!("{} is no ordinary file", path.display());
            return Err(CommandError::new(
                ErrorKind::Usage,
                message,
                "write its content to a file first",
            ));
        }
        // Unreadable files are refused before anything is asked of the network.
        drop(std::fs::File::open(&canonical).map_err(|error| failed(&error))?);
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .unwrap_or_default();
        let name = canonical.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: FileName::from_lossy(&name),
            len: metadata.len(),
            modified_ms: u64::try_from(modified.as_millis()).unwrap_or(0),
            identity: [
                metadata.len(),
                modified.as_secs(),
                u64::from(modified.subsec_nanos()),
                inode(&metadata),
            ],
            path: canonical,
        })
    }

    /// Name of the put's journal: another file, another version of it, another payer or term is another put.
    pub(super) fn put_id(&self, account: &AccountId, term_ms: u64) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("watt/1/client put journal");
        let path = self.path.as_os_str().as_encoded_bytes();
        hasher
            .update(&u64::try_from(path.len()).unwrap_or(u64::MAX).to_be_bytes())
            .update(path);
        for number in self.identity {
            hasher.update(&number.to_be_bytes());
        }
        hasher.update(account.as_ref()).update(&term_ms.to_be_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
const fn inode(_metadata: &std::fs::Metadata) -> u64 {
    0
}
