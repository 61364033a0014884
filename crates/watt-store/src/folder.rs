//! A node's data folder: one process at a time, never a copy by accident (`docs/spec/store.md` §2).

use crate::disk::{self, replace_file};
use crate::error::DiskError;
use crate::keystore::create_private_dir;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use watt_primitives::Hash;

/// Version of the layout that this program writes.
pub const FORMAT_VERSION: u64 = 1;

const LOCK_NAME: &str = "lock";
const FORMAT_NAME: &str = "format";
const INCARNATION_NAME: &str = "incarnation";
const FORMAT_FIRST_WORD: &str = "watt-data";
const TEXT_BYTES_MAX: u64 = 64 << 10;

/// What the owner said about a folder that stands elsewhere than it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: a copy is refused.
    Unsaid,
    /// It was moved or restored, and the other one will never run again.
    MovedOnPurpose,
}

/// Why a data folder does not open. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process has it.
    #[error(
        "another watt process{} is using the data folder {}; stop it first, or choose another folder",
        pid.map_or_else(String::new, |pid| format!(" ({pid})")), path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, if it said.
        pid: Option<u32>,
    },
    /// It is a copy of a folder, or was restored from one. Two nodes with one identity contradict each other.
    #[error(
        "the data folder {} is a copy of {}: two nodes with one identity would contradict each other. \
         For a second node, start with an empty folder. If the other folder will never run again, start once with --moved",
        path.display(), recorded_path.display()
    )]
    Copied {
        /// The folder.
        path: PathBuf,
        /// Where it stood when a node last ran in it.
        recorded_path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "the data folder {} was written by a newer version of watt (format {found}, this program knows {FORMAT_VERSION}); \
         install the newer version", path.display()
    )]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// A file that names the folder can't be understood.
    #[error("{} is damaged: it is no {what} of a watt data folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
}

/// Which life of which node this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Drawn at random when the folder was made; goes with it through moves.
    pub id: [u8; 16],
    /// How often a node has started here, this time included.
    pub n_boots: u64,
    place: Place,
}

/// What tells a folder from its copy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// The file system and the number of the folder in it, where there is such a thing.
    device: u64,
    inode: u64,
    /// The number of the lock file, which no program of ours ever replaces: a restored folder has another one.
    lock_inode: u64,
}

/// An open data folder; the lock lasts as long as this value.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    incarnation: Incarnation,
    lock: File,
}

impl Folder {
    /// Takes the folder at `path` for this process, creating it if there is none.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(path: &Path, origin: Origin) -> Result<Self, FolderError> {
        create_private_dir(path).map_err(DiskError::not_durable("create the data folder", path))?;
        let path = std::fs::canonicalize(path).map_err(DiskError::failed("find the data folder", path))?;
        check_format(&path)?;
        let lock = take_lock(&path)?;
        // Again under the lock: a newer program may have held it a moment ago.
        let is_new = check_format(&path)?;
        if is_new {
            let text = format!("{FORMAT_FIRST_WORD} {FORMAT_VERSION}\n");
            replace_file(&*disk::system(), &path.join(FORMAT_NAME), text.as_bytes())?;
        }
        let incarnation = enter(&path, &lock, origin)?;
        Ok(Self {
            path,
            incarnation,
            lock,
        })
    }

    /// Which life of which node this is.
    #[must_use]
    pub const fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// The folder itself, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For SCP's own records: [`crate::Journal`].
    #[must_use]
    pub fn scp_dir(&self) -> PathBuf {
        self.path.join("scp")
    }

    /// For blocks: [`crate::BlockStore`].
    #[must_use]
    pub fn blocks_dir(&self) -> PathBuf {
        self.path.join("blocks")
    }

    /// For the state: [`crate::StateDb`].
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path.join("state")
    }

    /// For slots that a provider holds: [`crate::PieceStore`].
    #[must_use]
    pub fn pieces_dir(&self) -> PathBuf {
        self.path.join("pieces")
    }

    /// For sealed replicas: [`crate::ReplicaStore`].
    #[must_use]
    pub fn replicas_dir(&self) -> PathBuf {
        self.path.join("replicas")
    }

    /// For a provider's heartbeats: [`crate::Journal`].
    #[must_use]
    pub fn heartbeats_dir(&self) -> PathBuf {
        self.path.join("heartbeats")
    }

    /// For the windows that a provider folds: [`crate::Journal`] and [`crate::Kv`].
    #[must_use]
    pub fn folds_dir(&self) -> PathBuf {
        self.path.join("folds")
    }

    /// For the parameters of folded proofs: [`crate::Kv`].
    #[must_use]
    pub fn proof_parameters_dir(&self) -> PathBuf {
        self.path.join("proof-parameters")
    }

    /// For keys: [`crate::Keystore`].
    #[must_use]
    pub fn keys_dir(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// For small values: [`crate::Kv`].
    #[must_use]
    pub fn values_dir(&self) -> PathBuf {
        self.path.join("values")
    }
}

impl Drop for Folder {
    /// Gives the lock back at once: a child process that is just being started may hold a copy of the file for a moment.
    fn drop(&mut self) {
        if let Err(error) = fs4::fs_std::FileExt::unlock(&self.lock) {
            // It ends with the file at the latest.
            tracing::debug!(%error, "could not unlock the data folder");
        }
    }
}

fn take_lock(path: &Path) -> Result<File, FolderError> {
    let lock_path = path.join(LOCK_NAME);
    let failed = |error| FolderError::Disk(DiskError::failed("lock", &lock_path)(error));
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(failed)?;
    match fs4::fs_std::FileExt::try_lock_exclusive(&lock) {
        Ok(true) => {}
        Ok(false) => {
            let mut text = String::new();
            // Where the lock forbids reading, the other process stays unnamed.
            let pid = (&lock)
                .take(32)
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(FolderError::InUse {
                path: path.to_path_buf(),
                pid,
            });
        }
        Err(error) => return Err(failed(error)),
    }
    let mut name_holder = || {
        lock.set_len(0)?;
        lock.rewind()?;
        lock.write_all(format!("{}\n", std::process::id()).as_bytes())
    };
    name_holder().map_err(failed)?;
    Ok(lock)
}

/// Whether the folder is new; refuses what another program wrote.
fn check_format(path: &Path) -> Result<bool, FolderError> {
    let format_path = path.join(FORMAT_NAME);
    let Some(text) = read_text(&format_path)? else {
        return Ok(true);
    };
    let version = text
        .strip_prefix(FORMAT_FIRST_WORD)
        .and_then(|rest| rest.trim().parse::<u64>().ok())
        .filter(|version| *version > 0)
        .ok_or(FolderError::Damaged {
            path: format_path,
            what: "format",
        })?;
    if version > FORMAT_VERSION {
        return Err(FolderError::NewerFormat {
            path: path.to_path_buf(),
            found: version,
        });
    }
    Ok(false)
}

/// Compares the folder with what it says of itself, counts this start, and writes both down.
fn enter(path: &Path, lock: &File, origin: Origin) -> Result<Incarnation, FolderError> {
    let record_path = path.join(INCARNATION_NAME);
    let place = Place::of(path, lock).map_err(DiskError::failed("look at the data folder", path))?;
    let mut incarnation = match read_text(&record_path)? {
        Some(text) => {
            let recorded = Incarnation::decode(&text).ok_or_else(|| FolderError::Damaged {
                path: record_path.clone(),
                what: "incarnation record",
            })?;
            if !recorded.place.is_same_folder(&place) && origin == Origin::Unsaid {
                return Err(FolderError::Copied {
                    path: path.to_path_buf(),
                    recorded_path: recorded.place.path,
                });
            }
            recorded
        }
        None => {
            let mut id = [0; 16];
            getrandom::fill(&mut id)
                .map_err(io::Error::other)
                .map_err(DiskError::failed("draw an id for", path))?;
            Incarnation {
                id,
                n_boots: 0,
                place: place.clone(),
            }
        }
    };
    incarnation.n_boots += 1;
    incarnation.place = place;
    replace_file(&*disk::system(), &record_path, incarnation.encode().as_bytes())?;
    Ok(incarnation)
}

fn read_text(path: &Path) -> Result<Option<String>, FolderError> {
    match disk::read_file(&*disk::system(), path, TEXT_BYTES_MAX) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(DiskError::Failed { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Place {
    #[cfg(unix)]
    fn of(path: &Path, lock: &File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            device: metadata.dev(),
            inode: metadata.ino(),
            lock_inode: lock.metadata()?.ino(),
        })
    }

    // Without such numbers only the path tells.
    #[cfg(not(unix))]
    fn of(path: &Path, _lock: &File) -> io::Result<Self> {
        Ok(Self {
            path: path.to_path_buf(),
            device: 0,
            inode: 0,
            lock_inode: 0,
        })
    }

    /// A folder that was renamed keeps its numbers; a disk may get another device number at a restart, but then the path
    /// stays. A copy has other numbers, and mostly another path.
    fn is_same_folder(&self, now: &Self) -> bool {
        let has_same_numbers = self.inode == now.inode && self.lock_inode == now.lock_inode;
        let was_renamed = cfg!(unix) && self.device == now.device;
        has_same_numbers && (self.path == now.path || was_renamed)
    }
}

impl Incarnation {
    fn encode(&self) -> String {
        let id: String = self.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let place = &self.place;
        // The path is last and in hexadecimal: it may hold any character.
        let path: String = path_bytes(&place.path)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let text = format!(
            "watt-incarnation-1\n{id}\n{}\n{} {} {}\n{path}\n",
            self.n_boots, place.device, place.inode, place.lock_inode
        );
        let check = Hash::of_content(text.as_bytes());
        format!("{text}{check}\n")
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "watt-incarnation-1" {
            return None;
        }
        let id = hex(lines.next()?)?.try_into().ok()?;
        let n_boots = lines.next()?.parse().ok()?;
        let mut numbers = lines.next()?.split(' ').map(str::parse);
        let incarnation = Self {
            id,
            n_boots,
            place: Place {
                device: numbers.next()?.ok()?,
                inode: numbers.next()?.ok()?,
                lock_inode: numbers.next()?.ok()?,
                path: path_of(hex(lines.next()?)?),
            },
        };
        (incarnation.encode() == text).then_some(incarnation)
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(unix)]
fn path_bytes(path: &Path) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()
}

#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(
        bytes,
    ))
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}
