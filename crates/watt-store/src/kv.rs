//! Small files that are whole after any crash: a client's record of what it is putting (`docs/spec/store.md` §9).

use crate::disk::{self, Disk, clean_dir, replace_file};
use crate::error::DiskError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watt_primitives::Hash;

/// Bytes of one value.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// Characters of a name.
pub const NAME_LEN_MAX: usize = 100;

const MAGIC: &[u8; 8] = b"wattkv01";
const HEADER_BYTES: usize = 8 + 32;
const SUFFIX: &str = ".value";

/// Why a value can't be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Names are 1 to 100 characters of a-z, 0-9, `-` and `_`, so that every file system can tell them apart.
    #[error("{name:?} is no name for a stored value: use a-z, 0-9, - and _, at most {NAME_LEN_MAX}")]
    BadName {
        /// The name.
        name: String,
    },
    /// More than [`VALUE_BYTES_MAX`].
    #[error("the value {name} has {len} bytes, where at most {VALUE_BYTES_MAX} fit")]
    TooLong {
        /// The name.
        name: String,
        /// Bytes offered.
        len: usize,
    },
    /// The file is not as it was written.
    #[error("{} is damaged on this disk", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Values by name, one small file each.
#[derive(Debug)]
pub struct Kv {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Kv {
    /// Opens the values in folder `dir`, creating it if there is none.
    ///
    /// # Errors
    /// [`KvError::Disk`].
    pub fn open(dir: &Path) -> Result<Self, KvError> {
        Self::open_on(disk::system(), dir)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, KvError> {
        clean_dir(&*disk, dir)?;
        Ok(Self {
            disk,
            dir: dir.to_path_buf(),
        })
    }

    /// Stores `value` in place of what `name` held; durable on return, and whole or the old one after any crash.
    ///
    /// # Errors
    /// [`KvError::BadName`], [`KvError::TooLong`], [`KvError::Disk`].
    pub fn put(&self, name: &str, value: &[u8]) -> Result<(), KvError> {
        let path = self.path(name)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(KvError::TooLong {
                name: name.to_owned(),
                len: value.len(),
            });
        }
        let bytes = [MAGIC.as_slice(), digest(name, value).as_ref(), value].concat();
        Ok(replace_file(&*self.disk, &path, &bytes)?)
    }

    /// The value of `name`; `None` if there is none.
    ///
    /// # Errors
    /// [`KvError::Damaged`] instead of other bytes than were stored; [`KvError::BadName`], [`KvError::Disk`].
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, KvError> {
        let path = self.path(name)?;
        let len_max = disk::to_u64(HEADER_BYTES + VALUE_BYTES_MAX);
        let mut bytes = match disk::read_file(&*self.disk, &path, len_max) {
            Ok(bytes) => bytes,
            Err(DiskError::Failed { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let is_whole = bytes
            .split_at_checked(HEADER_BYTES)
            .is_some_and(|(head, value)| *head == [MAGIC.as_slice(), digest(name, value).as_ref()].concat());
        if !is_whole {
            return Err(KvError::Damaged { path });
        }
        bytes.drain(..HEADER_BYTES);
        Ok(Some(bytes))
    }

    /// Removes a value; one that is not there is fine.
    ///
    /// # Errors
    /// [`KvError::BadName`], [`KvError::Disk`].
    pub fn remove(&self, name: &str) -> Result<(), KvError> {
        let path = self.path(name)?;
        match self.disk.remove(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(DiskError::failed("remove", &path)(error).into()),
        }
        Ok(self
            .disk
            .sync_dir(&self.dir)
            .map_err(DiskError::not_durable("remove", &path))?)
    }

    /// All names, in order.
    ///
    /// # Errors
    /// [`KvError::Disk`].
    pub fn names(&self) -> Result<Vec<String>, KvError> {
        let names = self
            .disk
            .list(&self.dir)
            .map_err(DiskError::failed("list", &self.dir))?;
        Ok(names
            .iter()
            .filter_map(|name| name.strip_suffix(SUFFIX))
            .map(str::to_owned)
            .collect())
    }

    fn path(&self, name: &str) -> Result<PathBuf, KvError> {
        if !is_plain_name(name, NAME_LEN_MAX) {
            return Err(KvError::BadName {
                name: name.to_owned(),
            });
        }
        Ok(self.dir.join(format!("{name}{SUFFIX}")))
    }
}

fn digest(name: &str, value: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&disk::to_u64(name.len()).to_be_bytes());
    hasher.update(name.as_bytes()).update(value);
    Hash(hasher.finalize().into())
}

/// Whether `name` means the same file on every file system.
pub(crate) fn is_plain_name(name: &str, len_max: usize) -> bool {
    !name.is_empty()
        && name.len() <= len_max
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

#[cfg(test)]
mod tests;
