//! The verified files that stay open: those that were read last. Each costs a descriptor, of which a process has about a thousand, and
//! the memory of its outboard and blocks.

use crate::verified_file::VerifiedFile;
use std::collections::VecDeque;
use std::sync::Arc;

/// Files of one store that stay open: a slot of 31 MiB has 62 KiB in memory, a replica of 64 MiB 0.4 MB.
pub(crate) const N_OPEN_MAX: usize = 32;

/// Open files by name, the one that was read last first.
#[derive(Debug)]
pub(crate) struct OpenFiles<K>(VecDeque<(K, Arc<VerifiedFile>)>);

impl<K> Default for OpenFiles<K> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K: Copy + PartialEq> OpenFiles<K> {
    /// A file that is open, for a read.
    pub(crate) fn get(&mut self, key: K) -> Option<Arc<VerifiedFile>> {
        let at = self.0.iter().position(|(open, _)| *open == key)?;
        let (_, file) = self.0.remove(at)?;
        self.insert(key, Arc::clone(&file));
        Some(file)
    }

    /// Keeps a file open, and closes the one that was read least recently if there are too many.
    pub(crate) fn insert(&mut self, key: K, file: Arc<VerifiedFile>) {
        self.forget(key);
        self.0.push_front((key, file));
        self.0.truncate(N_OPEN_MAX);
    }

    /// Closes a file once its last reader is done.
    pub(crate) fn forget(&mut self, key: K) {
        self.0.retain(|(open, _)| *open != key);
    }
}
