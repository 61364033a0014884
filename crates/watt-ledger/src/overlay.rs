//! The rows a block changes, above those it found, with savepoints: a transaction happens whole or not at all.
//!
//! Accounts go through doors of their own and are not seen by [`StateRead`] until the end.

use crate::rows::{self, AccountRow};
use crate::state::{Ahead, StateRead, Writes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use watt_primitives::AccountId;

/// Rows above a state that is only read.
pub(crate) struct Overlay<'a> {
    rows: Ahead<'a>,
    /// Accounts that were written, kept decoded: almost every transaction touches two of them, many times.
    accounts: BTreeMap<AccountId, AccountRow>,
    journal: Vec<Undo>,
}

/// What the overlay had before a write: nothing (`None`), or a row to write or to remove.
enum Undo {
    Row(Vec<u8>, Option<Option<Vec<u8>>>),
    Account(AccountId, Option<AccountRow>),
}

/// A point to roll back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

impl<'a> Overlay<'a> {
    pub(crate) fn new(below: &'a dyn StateRead) -> Self {
        Self {
            rows: Ahead::new(below),
            accounts: BTreeMap::new(),
            journal: Vec::new(),
        }
    }

    /// Everything from here on can be undone.
    pub(crate) fn mark(&mut self) -> Mark {
        Mark(self.journal.len())
    }

    /// Undoes everything since `mark`.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        while self.journal.len() > mark.0 {
            match self.journal.pop() {
                Some(Undo::Row(key, Some(before))) => drop(self.rows.writes.insert(key, before)),
                Some(Undo::Row(key, None)) => drop(self.rows.writes.remove(&key)),
                Some(Undo::Account(id, Some(before))) => drop(self.accounts.insert(id, before)),
                Some(Undo::Account(id, None)) => drop(self.accounts.remove(&id)),
                None => {}
            }
        }
    }

    /// Everything so far stays.
    pub(crate) fn keep(&mut self) {
        self.journal.clear();
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Option<T> {
        match self.rows.writes.get(key) {
            Some(written) => written.as_deref().map(rows::decode),
            None => rows::read(self.rows.below(), key),
        }
    }

    pub(crate) fn has(&self, key: &[u8]) -> bool {
        match self.rows.writes.get(key) {
            Some(written) => written.is_some(),
            None => self.rows.below().get(key).is_some(),
        }
    }

    pub(crate) fn write<T: Serialize>(&mut self, key: Vec<u8>, row: &T) {
        self.put(key, Some(rows::encode(row)));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.put(key, None);
    }

    fn put(&mut self, key: Vec<u8>, row: Option<Vec<u8>>) {
        let before = self.rows.writes.insert(key.clone(), row);
        self.journal.push(Undo::Row(key, before));
    }

    pub(crate) fn account(&self, id: &AccountId) -> Option<AccountRow> {
        match self.accounts.get(id) {
            Some(row) => Some(row.clone()),
            None => rows::read(self.rows.below(), &rows::account(id)),
        }
    }

    pub(crate) fn write_account(&mut self, id: &AccountId, row: AccountRow) {
        let before = self.accounts.insert(*id, row);
        self.journal.push(Undo::Account(*id, before));
    }

    /// What the block has written.
    pub(crate) fn into_writes(self) -> Writes {
        let mut writes = self.rows.into_writes();
        let accounts = self.accounts.iter();
        writes.extend(accounts.map(|(id, row)| (rows::account(id), Some(rows::encode(row)))));
        writes
    }
}

impl StateRead for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.rows.scan(prefix, after, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::MemoryState;

    fn put(pairs: &[(&str, Option<&str>)]) -> Writes {
        pairs
            .iter()
            .map(|(key, row)| (key.as_bytes().to_vec(), row.map(|row| row.as_bytes().to_vec())))
            .collect()
    }

    /// A scan through the overlay equals a scan of the merged rows, for every page size. Covers: A5.
    #[test]
    fn scan_sees_what_will_be_there() {
        let mut below = MemoryState::default();
        below.write(&put(&[
            ("pa", Some("1")),
            ("pb", Some("2")),
            ("pd", Some("4")),
            ("pe", Some("5")),
            ("q", Some("9")),
        ]));
        let changes = put(&[
            ("pa", None),
            ("pc", Some("3")),
            ("pd", Some("44")),
            ("pf", Some("6")),
            ("o", Some("0")),
        ]);
        let mut overlay = Overlay::new(&below);
        for (key, row) in changes.clone() {
            overlay.put(key, row);
        }
        let mut merged = below.clone();
        merged.write(&changes);
        for limit in 1..8 {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let expected = merged.scan(b"p", after.as_deref(), limit);
                assert_eq!(
                    overlay.scan(b"p", after.as_deref(), limit),
                    expected,
                    "limit {limit}"
                );
                let Some((last, _)) = expected.last() else { break };
                after = Some(last.clone());
            }
        }
    }

    /// Rolling back restores rows that were written, overwritten and removed. Covers: A5.
    #[test]
    fn rolled_back_is_as_if_never_written() {
        let mut below = MemoryState::default();
        below.write(&put(&[("a", Some("1")), ("b", Some("2"))]));
        let mut overlay = Overlay::new(&below);
        overlay.put(b"a".to_vec(), Some(b"x".to_vec()));
        overlay.keep();
        let mark = overlay.mark();
        overlay.put(b"a".to_vec(), None);
        overlay.put(b"a".to_vec(), Some(b"y".to_vec()));
        overlay.put(b"b".to_vec(), None);
        overlay.put(b"c".to_vec(), Some(b"z".to_vec()));
        overlay.roll_back(mark);
        assert_eq!(overlay.into_writes(), put(&[("a", Some("x"))]));
    }
}
