//! A disk in memory that loses, tears and reorders what was not synced, fills up, rots, and fails when told to.

#![allow(
    clippy::unwrap_used,
    reason = "a disk of tests and simulators: trouble here is a bug of the test"
)]

use super::{Disk, DiskFile, Mode};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// The unit that a drive writes at once.
const SECTOR_BYTES: usize = 512;

type FileId = usize;

/// Shared by clones, as a disk is by the programs on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

#[derive(Clone, Debug, Default)]
struct Inner {
    files: Vec<File>,
    /// Names as programs see them.
    names: BTreeMap<PathBuf, FileId>,
    /// Names as the disk has them.
    durable_names: BTreeMap<PathBuf, FileId>,
    /// Changes of names that no sync of their folder has reached, in order. A rename is one change of two names.
    name_changes: Vec<Vec<(PathBuf, Option<FileId>)>>,
    n_changes: u64,
    fails_at: Option<u64>,
    capacity: Option<u64>,
    n_restarts: u64,
    /// Syncs of files return at once and do nothing.
    is_lying: bool,
    /// Files that programs hold open.
    n_open: usize,
    /// Opening files fails so often.
    n_refused: usize,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, new) => {
                let end = offset + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(new);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

/// A small generator, so that a failing run can be repeated from its number.
pub(crate) struct Luck(u64);

impl Luck {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % n.max(1)
    }
}

impl SimDisk {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same content.
    pub(crate) fn copy(&self) -> Self {
        let inner = Inner {
            n_open: 0,
            ..self.lock().clone()
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// After a failure: the first of a few seeds is a kill of the program, the others are power cuts.
    pub(crate) fn come_back(&self, seed: u64) {
        if seed == 0 {
            self.kill();
        } else {
            self.restart(seed);
        }
    }

    pub(crate) fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// The power goes out at the `n`-th change from now: it happens in part, and nothing works until [`SimDisk::restart`].
    pub(crate) fn fail_after(&self, n: u64) {
        let mut inner = self.lock();
        inner.fails_at = Some(inner.n_changes + n);
    }

    /// Whether the power is out.
    pub(crate) fn has_failed(&self) -> bool {
        let inner = self.lock();
        inner.fails_at.is_some_and(|at| inner.n_changes > at)
    }

    /// The disk as it is found after the power went out: synced bytes are there, of the others any part.
    pub(crate) fn restart(&self, seed: u64) {
        let mut inner = self.lock();
        let mut luck = Luck::new(seed);
        let Inner {
            names,
            durable_names,
            name_changes,
            files,
            ..
        } = &mut *inner;
        // Names change in order on the disk; how far it got, luck tells.
        let n_kept = luck.below(name_changes.len() + 1);
        for change in name_changes.drain(..).take(n_kept) {
            apply_names(durable_names, &change);
        }
        names.clone_from(durable_names);
        for file in files {
            let mut bytes = std::mem::take(&mut file.durable);
            for change in file.changes.drain(..) {
                match (luck.below(4), change) {
                    (0, _) => {}
                    (1, Change::Write(offset, new)) => {
                        for (at, sector) in sectors(offset, &new) {
                            if luck.below(2) == 0 {
                                Change::Write(at, sector.to_vec()).apply(&mut bytes);
                            }
                        }
                    }
                    (_, change) => change.apply(&mut bytes),
                }
            }
            file.durable.clone_from(&bytes);
            file.bytes = bytes;
        }
        inner.fails_at = None;
        inner.n_restarts += 1;
    }

    /// The program was killed, the machine runs on: all that was written is there, synced or not.
    pub(crate) fn kill(&self) {
        let mut inner = self.lock();
        inner.fails_at = None;
        inner.n_restarts += 1;
    }

    /// Bytes that all files may have together.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// From now on syncs of files say that they did what they did not.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn set_lying(&self, is_lying: bool) {
        self.lock().is_lying = is_lying;
    }

    /// Files that programs hold open.
    #[cfg(test)]
    pub(crate) fn n_open(&self) -> usize {
        self.lock().n_open
    }

    /// The next `n` files can't be opened, as when a process has no descriptor left.
    #[cfg(feature = "testing")]
    pub(crate) fn refuse_opens(&self, n: usize) {
        self.lock().n_refused = n;
    }

    /// Whether something was written to a file and not synced.
    #[cfg(feature = "testing")]
    pub(crate) fn has_unsynced(&self) -> bool {
        self.lock().files.iter().any(|file| !file.changes.is_empty())
    }

    /// Changes one bit of a file, as rot does.
    pub(crate) fn flip_bit(&self, path: &Path, bit: usize) {
        let mut inner = self.lock();
        let id = inner.names[path];
        let file = &mut inner.files[id];
        let mask = 1 << (bit % 8);
        file.bytes[bit / 8] ^= mask;
        if let Some(byte) = file.durable.get_mut(bit / 8) {
            *byte ^= mask;
        }
    }

    /// A file's bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let inner = self.lock();
        inner.files[inner.names[path]].bytes.clone()
    }

    /// Puts bytes in a file, durably.
    #[cfg(test)]
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        self.open(path, Mode::Create).unwrap().write_at(0, bytes).unwrap();
        let mut inner = self.lock();
        let id = inner.names[path];
        inner.durable_names.insert(path.to_path_buf(), id);
        inner.files[id].durable = bytes.to_vec();
        inner.files[id].changes.clear();
    }

    /// All files, in order.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Inner {
    fn check_power(&self) -> io::Result<()> {
        match self.fails_at {
            Some(at) if self.n_changes > at => Err(io::Error::other("the power is out")),
            _ => Ok(()),
        }
    }

    /// Counts a change; `Ok(false)` for the one in whose middle the power goes out.
    fn change(&mut self) -> io::Result<bool> {
        self.check_power()?;
        self.n_changes += 1;
        Ok(self.fails_at.is_none_or(|at| self.n_changes <= at))
    }

    /// Gives back the memory of files that no name leads to, now or after a restart.
    fn drop_nameless(&mut self) {
        let Self {
            files,
            names,
            durable_names,
            name_changes,
            ..
        } = self;
        let changed = name_changes.iter().flatten().filter_map(|(_, id)| id.as_ref());
        let live: BTreeSet<FileId> = names
            .values()
            .chain(durable_names.values())
            .chain(changed)
            .copied()
            .collect();
        for (id, file) in files.iter_mut().enumerate() {
            if !live.contains(&id) {
                *file = File::default();
            }
        }
    }

    fn change_names(&mut self, change: Vec<(PathBuf, Option<FileId>)>) -> io::Result<()> {
        let is_whole = self.change()?;
        apply_names(&mut self.names, &change);
        self.name_changes.push(change);
        if is_whole { Ok(()) } else { self.check_power() }
    }

    fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .map(|id| self.files[*id].bytes.len() as u64)
            .sum()
    }

    fn change_file(&mut self, id: FileId, change: Change) -> io::Result<()> {
        let len = self.files[id].bytes.len();
        let added = match &change {
            Change::Write(offset, new) => (offset + new.len()).saturating_sub(len),
            Change::SetLen(new_len) => new_len.saturating_sub(len),
        };
        if self
            .capacity
            .is_some_and(|capacity| self.used_bytes() + added as u64 > capacity)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let is_whole = self.change()?;
        let file = &mut self.files[id];
        change.apply(&mut file.bytes);
        file.changes.push(change);
        if is_whole { Ok(()) } else { self.check_power() }
    }
}

fn apply_names(names: &mut BTreeMap<PathBuf, FileId>, change: &[(PathBuf, Option<FileId>)]) {
    for (path, id) in change {
        match id {
            Some(id) => names.insert(path.clone(), *id),
            None => names.remove(path),
        };
    }
}

/// The parts of a write that a drive writes at once each.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut parts, mut at, mut rest) = (Vec::new(), offset, bytes);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
        parts.push((at, part));
        at += part.len();
        rest = after;
    }
    parts
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.check_power()?;
        if inner.n_refused > 0 {
            inner.n_refused -= 1;
            return Err(io::Error::other("too many open files"));
        }
        let id = match (inner.names.get(path).copied(), mode) {
            (Some(id), Mode::Read | Mode::Write) => id,
            (None, Mode::Read | Mode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (Some(id), Mode::Create) => {
                inner.change_file(id, Change::SetLen(0))?;
                id
            }
            (None, Mode::Create) => {
                let id = inner.files.len();
                inner.files.push(File::default());
                inner.change_names(vec![(path.to_path_buf(), Some(id))])?;
                id
            }
        };
        inner.n_open += 1;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
            n_restarts: inner.n_restarts,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let id = *inner
            .names
            .get(from)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        inner.change_names(vec![(from.to_path_buf(), None), (to.to_path_buf(), Some(id))])
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check_power()?;
        if !inner.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change_names(vec![(path.to_path_buf(), None)])
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        inner.check_power()?;
        Ok(inner
            .names
            .keys()
            .filter(|path| path.parent() == Some(dir))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }

    // Folders are not lost here: they are made once, at the first start.
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.lock().check_power()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        if !inner.change()? {
            return inner.check_power();
        }
        let is_of_dir = |change: &Vec<(PathBuf, Option<FileId>)>| {
            change.iter().all(|(path, _)| path.parent() == Some(dir))
        };
        let (reached, others) = std::mem::take(&mut inner.name_changes)
            .into_iter()
            .partition(is_of_dir);
        inner.name_changes = others;
        let reached: Vec<_> = reached;
        for change in &reached {
            apply_names(&mut inner.durable_names, change);
        }
        inner.drop_nameless();
        Ok(())
    }

    fn available_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let inner = self.lock();
        inner.check_power()?;
        Ok(inner
            .capacity
            .map_or(1 << 40, |capacity| capacity.saturating_sub(inner.used_bytes())))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: FileId,
    n_restarts: u64,
}

impl SimFile {
    fn lock(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.lock();
        inner.check_power()?;
        if inner.n_restarts != self.n_restarts {
            return Err(io::Error::other("a file of a program that is no more"));
        }
        Ok(inner)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.lock().n_open -= 1;
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock()?.files[self.id].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let inner = self.lock()?;
        let at = usize::try_from(offset).unwrap();
        let found = inner.files[self.id]
            .bytes
            .get(at..at + bytes.len())
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.lock()?
            .change_file(self.id, Change::Write(at, bytes.to_vec()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.lock()?
            .change_file(self.id, Change::SetLen(usize::try_from(len).unwrap()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.lock()?;
        if !inner.change()? {
            return inner.check_power();
        }
        if inner.is_lying {
            return Ok(());
        }
        let file = &mut inner.files[self.id];
        for change in file.changes.drain(..) {
            change.apply(&mut file.durable);
        }
        Ok(())
    }
}
