//! Keys of a node or an account: one small private file each (`docs/spec/store.md` §10).
//!
//! Seeds stand in plain text in a folder that only its owner may read. That is right for a devnet and for a node that
//! must start without a person; sealing by a passphrase belongs to the wallet.

use crate::error::DiskError;
use crate::kv::is_plain_name;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use watt_primitives::Hash;
use zeroize::Zeroizing;

/// Bytes of a seed.
pub const SEED_BYTES: usize = 32;

/// Characters of a key's name.
pub const KEY_NAME_LEN_MAX: usize = 64;

const FIRST_LINE: &str = "watt-key-1";
const SUFFIX: &str = ".key";
const FILE_BYTES_MAX: u64 = 1024;

/// A seed in memory, wiped when dropped and never printed.
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

impl Seed {
    /// Takes a seed.
    #[must_use]
    pub fn new(bytes: [u8; SEED_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to make a key of.
    #[must_use]
    pub fn expose(&self) -> &[u8; SEED_BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(secret)")
    }
}

/// Why a key can't be stored or read. No text tells anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A key is never overwritten.
    #[error("a key named {name} is there already, in {}; nothing was changed", path.display())]
    Exists {
        /// The key's name.
        name: String,
        /// Its file.
        path: PathBuf,
    },
    /// There is no such key.
    #[error("there is no key named {name} in {}", path.display())]
    Unknown {
        /// The key's name.
        name: String,
        /// The folder of the keys.
        path: PathBuf,
    },
    /// Names are 1 to 64 characters of a-z, 0-9, `-` and `_`.
    #[error("{name:?} is no name for a key: use a-z, 0-9, - and _, at most {KEY_NAME_LEN_MAX}")]
    BadName {
        /// The name.
        name: String,
    },
    /// Other users of this computer can read it, so it may be known to others already.
    #[error(
        "the key file {} can be read by other users of this computer (mode {mode:o}); \
         if only you use it, run: chmod 600 {}", path.display(), path.display()
    )]
    NotPrivate {
        /// Its file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not a key file, or not as it was written.
    #[error("the key file {} is damaged or no key file; restore it from your copy", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
    },
}

/// A folder of keys.
#[derive(Debug)]
pub struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// Opens the keys in folder `dir`, creating it for its owner alone if there is none.
    ///
    /// # Errors
    /// [`KeyError::Disk`].
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        create_private_dir(dir).map_err(DiskError::not_durable("create the folder of keys", dir))?;
        Ok(Self {
            dir: dir.to_path_buf(),
        })
    }

    /// Stores a new key, durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::BadName`], [`KeyError::Disk`].
    pub fn create(&self, name: &str, seed: &Seed) -> Result<(), KeyError> {
        let path = self.path(name)?;
        let unfinished = self.dir.join(format!(".{name}.{}.tmp", std::process::id()));
        let text = Zeroizing::new(encode(seed));
        let create = || {
            remove_if_there(&unfinished)?;
            let mut file = private_options().open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // A link, unlike a rename, never replaces a key.
            let linked = std::fs::hard_link(&unfinished, &path).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                _ => rename_new(&unfinished, &path),
            });
            remove_if_there(&unfinished)?;
            linked?;
            crate::disk::system().sync_dir(&self.dir)
        };
        create().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists {
                name: name.to_owned(),
                path: path.clone(),
            },
            _ => DiskError::not_durable("store the key in", &path)(error).into(),
        })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], [`KeyError::NotPrivate`], [`KeyError::Damaged`], [`KeyError::BadName`], [`KeyError::Disk`].
    pub fn load(&self, name: &str) -> Result<Seed, KeyError> {
        let path = self.path(name)?;
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyError::Unknown {
                    name: name.to_owned(),
                    path: self.dir.clone(),
                });
            }
            Err(error) => return Err(DiskError::failed("read the key", &path)(error).into()),
        };
        check_private(&path, &metadata)?;
        if metadata.len() > FILE_BYTES_MAX {
            return Err(KeyError::Damaged { path });
        }
        let bytes = std::fs::read(&path).map_err(DiskError::failed("read the key", &path))?;
        let bytes = Zeroizing::new(bytes);
        decode(&bytes).ok_or(KeyError::Damaged { path })
    }

    /// Whether there is a key of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.path(name).is_ok_and(|path| path.exists())
    }

    /// All names, in order.
    ///
    /// # Errors
    /// [`KeyError::Disk`].
    pub fn names(&self) -> Result<Vec<String>, KeyError> {
        let names = crate::disk::system()
            .list(&self.dir)
            .map_err(DiskError::failed("list the keys in", &self.dir))?;
        Ok(names
            .iter()
            .filter_map(|name| name.strip_suffix(SUFFIX))
            .filter(|name| is_plain_name(name, KEY_NAME_LEN_MAX))
            .map(str::to_owned)
            .collect())
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeyError> {
        if !is_plain_name(name, KEY_NAME_LEN_MAX) {
            return Err(KeyError::BadName {
                name: name.to_owned(),
            });
        }
        Ok(self.dir.join(format!("{name}{SUFFIX}")))
    }
}

fn encode(seed: &Seed) -> String {
    let seed = Hash(*seed.expose());
    format!("{FIRST_LINE}\n{seed}\n{}\n", check_of(&seed))
}

fn decode(bytes: &[u8]) -> Option<Seed> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let seed = Hash::from_hex(lines.next()?)?;
    let is_whole = lines.next()? == check_of(&seed) && lines.next().is_none();
    is_whole.then(|| Seed::new(seed.0))
}

/// Eight digits that tell a spoilt file; a hash of the seed gives nothing of it away.
fn check_of(seed: &Hash) -> String {
    let digest = Hash::of_content(&[b"watt-key-1".as_slice(), seed.as_ref()].concat());
    let mut text = digest.to_string();
    text.truncate(8);
    text
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// For file systems without links (memory cards): the folder's lock keeps other processes of ours away.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

fn private_options() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Creates a folder, and those above it, that only its owner may enter; an existing one is left as it is.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => crate::disk::system().sync_dir(parent),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn check_private(path: &Path, metadata: &std::fs::Metadata) -> Result<(), KeyError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::NotPrivate {
            path: path.to_path_buf(),
            mode,
        });
    }
    Ok(())
}

// Elsewhere the folder's own protection counts: a profile is private by default.
#[cfg(not(unix))]
fn check_private(_path: &Path, _metadata: &std::fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}
