//! A file that appears under its name only when it is whole.

use super::get::in_the_way;
use crate::error::CommandError;
use std::fs::File;
use std::io::{ErrorKind as Io, Write as _};
use std::path::{Path, PathBuf};

/// `.<name>.watt-part` beside the final place; removed when dropped before [`Self::publish`].
pub(super) struct PartFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    is_published: bool,
}

impl PartFile {
    /// Begins a file that will be `target`; what an interrupted fetch left there is replaced.
    pub(super) fn create(target: &Path) -> Result<Self, CommandError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.watt-part"));
        let file = File::create(&path).map_err(|error| CommandError::file("write", target, &error))?;
        Ok(Self {
            file,
            path,
            target: target.to_owned(),
            is_published: false,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.file
            .write_all(bytes)
            .map_err(|error| CommandError::file("write", &self.target, &error))
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), CommandError> {
        self.file
            .sync_all()
            .map_err(|error| CommandError::file("write", &self.target, &error))
    }

    /// Gives the file its name, durably.
    pub(super) fn publish(mut self, overwrite: bool) -> Result<(), CommandError> {
        if overwrite {
            self.rename()?;
        } else {
            // A link fails where a rename would replace what appeared in the meantime.
            match std::fs::hard_link(&self.path, &self.target) {
                Ok(()) => {}
                Err(error) if error.kind() == Io::AlreadyExists => return Err(in_the_way(&self.target)),
                Err(_) if self.target.exists() => return Err(in_the_way(&self.target)),
                Err(_) => self.rename()?,
            }
        }
        let folder = self
            .target
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Ok(folder) = File::open(folder.unwrap_or_else(|| Path::new("."))) {
            // Some systems can't make a folder durable; the file itself is.
            drop(folder.sync_all());
        }
        Ok(())
    }

    fn rename(&mut self) -> Result<(), CommandError> {
        std::fs::rename(&self.path, &self.target)
            .map_err(|error| CommandError::file("write", &self.target, &error))?;
        self.is_published = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.is_published {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    /// An interrupted fetch leaves nothing, a whole one leaves exactly the file. Covers: C1.
    #[test]
    fn only_whole_files_appear() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("film.mkv");
        let mut part = PartFile::create(&target).unwrap();
        part.write(b"half").unwrap();
        assert_eq!(names(dir.path()), [".film.mkv.watt-part"]);
        drop(part);
        assert!(names(dir.path()).is_empty());

        let mut part = PartFile::create(&target).unwrap();
        part.write(b"whole").unwrap();
        part.sync().unwrap();
        part.publish(false).unwrap();
        assert_eq!(names(dir.path()), ["film.mkv"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
    }

    /// A file that appeared while the fetch ran is kept, unless it may be replaced. Covers: C1.
    #[test]
    fn what_appeared_meanwhile_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x");
        let part = PartFile::create(&target).unwrap();
        std::fs::write(&target, b"mine").unwrap();
        assert_eq!(part.publish(false).unwrap_err().kind, ErrorKind::Conflict);
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        PartFile::create(&target).unwrap().publish(true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"");
        assert_eq!(names(dir.path()), ["x"]);
    }
}
