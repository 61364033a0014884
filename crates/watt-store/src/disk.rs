//! The few things the stores ask of a disk, so that a test disk can lose, tear and reorder what was not synced.
//!
//! Two disks exist: the operating system's, here, and the test disk in [`sim`].

use crate::error::DiskError;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(any(test, feature = "testing"))]
pub(crate) mod sim;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A file to read and write: emptied if it exists, created if not.
    Create,
}

/// Names and files. A name is durable only after [`Disk::sync_dir`] of its folder.
pub(crate) trait Disk: Debug + Send + Sync {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames within one folder, replacing what has the new name, at once or not at all.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a folder, in order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a folder and those above it, durably; existing ones are fine.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that this user may still write below `dir`.
    fn available_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// One open file. Nothing written is durable before [`DiskFile::sync`] returns.
pub(crate) trait DiskFile: Debug + Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// Fills `bytes` from `offset`; an error if the file ends before.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// The operating system's disk.
#[derive(Debug)]
pub(crate) struct SystemDisk;

/// The disk that released programs use.
pub(crate) fn system() -> Arc<dyn Disk> {
    Arc::new(SystemDisk)
}

impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = std::fs::OpenOptions::new();
        match mode {
            Mode::Read => options.read(true),
            Mode::Write => options.read(true).write(true),
            Mode::Create => options.read(true).write(true).create(true).truncate(true),
        };
        Ok(Arc::new(SystemFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // A name that is not Unicode is not one of ours.
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(dir)?;
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent),
            _ => Ok(()),
        }
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    // Windows has no way to sync a folder; its file systems journal names themselves.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn available_bytes(&self, dir: &Path) -> io::Result<u64> {
        fs4::available_space(dir)
    }
}

#[derive(Debug)]
struct SystemFile(File);

impl DiskFile for SystemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.0, bytes, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    bytes = &mut bytes[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => {
                    bytes = &bytes[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    // Data and the length that is needed to read it back; on macOS the standard library asks the drive itself.
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Name of a file that is not whole yet; such files are removed when a store opens.
pub(crate) const UNFINISHED_SUFFIX: &str = ".tmp";

/// Writes `bytes` under `path` so that after any crash the old or the new content is there, whole.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let unfinished = with_suffix(path, UNFINISHED_SUFFIX);
    write_new(disk, &unfinished, bytes)?;
    disk.rename(&unfinished, path)
        .and_then(|()| disk.sync_dir(folder_of(path)))
        .map_err(DiskError::not_durable("put in place", path))
}

/// Writes a new file and syncs its content, not its name.
pub(crate) fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let write = || {
        let file = disk.open(path, Mode::Create)?;
        file.write_at(0, bytes)?;
        file.sync()
    };
    write().map_err(DiskError::not_durable("write", path))
}

/// Reads a whole file of at most `len_max` bytes.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path, len_max: u64) -> Result<Vec<u8>, DiskError> {
    let read = || {
        let file = disk.open(path, Mode::Read)?;
        let len = file.len()?;
        if len > len_max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it has {len} bytes where at most {len_max} are expected"),
            ));
        }
        read_whole(&*file, len)
    };
    read().map_err(DiskError::failed("read", path))
}

/// The first `len` bytes of a file.
pub(crate) fn read_whole(file: &dyn DiskFile, len: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Removes what an interrupted write left in `dir` and returns the other names, durable now: after a kill they may have been
/// in the system's memory only, and what a store puts into a file is no safer than the file's name.
pub(crate) fn clean_dir(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, DiskError> {
    disk.create_dir(dir).map_err(DiskError::failed("create", dir))?;
    let names = disk.list(dir).map_err(DiskError::failed("list", dir))?;
    let (unfinished, whole): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| name.ends_with(UNFINISHED_SUFFIX));
    for name in unfinished {
        let path = dir.join(name);
        disk.remove(&path)
            .map_err(DiskError::failed("remove the unfinished", &path))?;
    }
    disk.sync_dir(dir).map_err(DiskError::not_durable("sync", dir))?;
    Ok(whole)
}

/// `path` with `suffix` after its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// A length in memory as a length on disk.
pub(crate) fn to_u64(n: usize) -> u64 {
    u64::try_from(n).expect("no platform has lengths above 64 bits")
}
