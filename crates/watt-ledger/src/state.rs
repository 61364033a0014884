//! The state as a table of rows, and what may be asked of it.

use std::collections::BTreeMap;

/// Rows to write (`Some`) or remove (`None`), by key. Holds entry rows and the rows of the state tree alike, so whoever
/// stores them need not know which is which.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A consistent view of the rows after one block.
pub trait StateRead {
    /// The row under `key`.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Up to `limit` rows whose key begins with `prefix` and is greater than `after`, in key order.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)>;
}

/// The state in memory: tests, genesis, benchmarks, the simulator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState(BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryState {
    /// Applies `writes`.
    pub fn write(&mut self, writes: &Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
        }
    }
}

impl StateRead for MemoryState {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let from = match after {
            Some(after) if after >= prefix => Excluded(after.to_vec()),
            _ => Included(prefix.to_vec()),
        };
        self.0
            .range((from, Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
