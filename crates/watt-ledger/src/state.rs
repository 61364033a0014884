//! The state as a table of rows, and what may be asked of it.

use std::collections::BTreeMap;
use std::ops::Bound;

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
        self.0
            .range((first(prefix, after), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// A state with rows above it that are not stored yet, read as if they were: how several blocks are applied before the first of
/// them is committed.
pub struct Ahead<'a> {
    below: &'a dyn StateRead,
    pub(crate) writes: Writes,
}

impl<'a> Ahead<'a> {
    /// `below` with nothing above it.
    #[must_use]
    pub fn new(below: &'a dyn StateRead) -> Self {
        Self {
            below,
            writes: Writes::new(),
        }
    }

    /// What lies below.
    pub(crate) fn below(&self) -> &'a dyn StateRead {
        self.below
    }

    /// Puts `writes` above what is there.
    pub fn write(&mut self, writes: &Writes) {
        let rows = writes.iter().map(|(key, row)| (key.clone(), row.clone()));
        self.writes.extend(rows);
    }

    /// What was written.
    #[must_use]
    pub fn into_writes(self) -> Writes {
        self.writes
    }
}

impl StateRead for Ahead<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.writes.get(key) {
            Some(written) => written.clone(),
            None => self.below.get(key),
        }
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut above = self
            .writes
            .range((first(prefix, after), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .peekable();
        let mut found = Vec::new();
        let mut cursor = after.map(<[u8]>::to_vec);
        let mut below = self
            .below
            .scan(prefix, cursor.as_deref(), limit)
            .into_iter()
            .peekable();
        let mut is_below_done = below.len() < limit;
        while found.len() < limit {
            if below.peek().is_none() && !is_below_done {
                let rows = self.below.scan(prefix, cursor.as_deref(), limit);
                is_below_done = rows.len() < limit;
                below = rows.into_iter().peekable();
            }
            let is_above_next = match (above.peek(), below.peek()) {
                (None, None) => break,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((written, _)), Some((held, _))) => *written <= held,
            };
            if is_above_next {
                let Some((key, row)) = above.next() else { break };
                if below.peek().is_some_and(|(held, _)| held == key) {
                    cursor = below.next().map(|(held, _)| held);
                }
                found.extend(row.clone().map(|row| (key.clone(), row)));
            } else if let Some((key, row)) = below.next() {
                cursor = Some(key.clone());
                found.push((key, row));
            }
        }
        found
    }
}

/// Where a scan of `prefix` that has come past `after` goes on.
fn first(prefix: &[u8], after: Option<&[u8]>) -> Bound<Vec<u8>> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
        Some(_) | None => Bound::Included(prefix.to_vec()),
    }
}
