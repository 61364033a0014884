//! One sync of a folder for all who wait for one.

use crate::disk::Disk;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Syncs a folder; those who come while a sync runs share the next one.
#[derive(Debug)]
pub(crate) struct GroupSync {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct State {
    n_begun: u64,
    n_finished: u64,
    is_running: bool,
    failure: Option<io::ErrorKind>,
}

impl GroupSync {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            disk,
            dir: dir.to_path_buf(),
            state: Mutex::default(),
            finished: Condvar::new(),
        }
    }

    /// Returns when a sync that began after this call has finished.
    ///
    /// A failure is remembered: what an earlier sync lost, a later one does not bring back.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = state.n_begun + 1;
        loop {
            if let Some(kind) = state.failure {
                return Err(kind.into());
            }
            if state.n_finished >= wanted {
                return Ok(());
            }
            if state.is_running {
                state = self.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.is_running = true;
            state.n_begun += 1;
            let number = state.n_begun;
            drop(state);
            let result = self.disk.sync_dir(&self.dir);
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_running = false;
            match result {
                Ok(()) => state.n_finished = number,
                Err(error) => state.failure = Some(error.kind()),
            }
            self.finished.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    /// Many who wait are served by few syncs, and nobody by one that began before it came. Covers: C1.
    #[test]
    fn waiting_writers_share_a_sync() {
        let disk = SimDisk::new();
        let dir = Path::new("/d");
        disk.create_dir(dir).unwrap();
        let sync = GroupSync::new(Arc::new(disk.clone()), dir);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|_| sync.sync().unwrap()));
            }
        });
        let state = sync.state.lock().unwrap();
        assert_eq!(state.n_begun, state.n_finished);
        assert!(
            (50..=400).contains(&state.n_finished),
            "{} syncs",
            state.n_finished
        );
    }

    #[test]
    fn a_failed_sync_stays_failed() {
        let disk = SimDisk::new();
        let dir = Path::new("/d");
        disk.create_dir(dir).unwrap();
        let sync = GroupSync::new(Arc::new(disk.clone()), dir);
        disk.fail_after(0);
        assert!(sync.sync().is_err());
        disk.restart(1);
        assert!(sync.sync().is_err(), "the names of the first call may be lost");
    }
}
