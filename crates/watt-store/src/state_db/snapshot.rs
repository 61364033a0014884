//! A consistent view of the rows, each checked as it is read.

use super::fault::Fault;
use super::{HEAD, Head, META, ROWS, StateError};
use redb::{Database, ReadOnlyTable, ReadableDatabase as _};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watt_ledger::state::StateRead;
use watt_primitives::BlockHeight;

/// A key and its value.
type Row = (Vec<u8>, Vec<u8>);

/// Bytes before each row's value: a digest of key and value. The database checks its pages only when it opens.
const CHECK_BYTES: usize = 8;

const HEAD_CHECK_BYTES: usize = 16;

/// The rows after one block, whatever is committed later. May go to other threads and outlive the [`super::StateDb`].
///
/// Rows are read inside [`Snapshot::read`] only, which gives a result only if every row was as it was written.
pub struct Snapshot {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    head: Option<Head>,
    fault: Arc<Fault>,
    dir: PathBuf,
    // Last: the tables above read from it.
    _database: Arc<Database>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(super) fn new(database: &Arc<Database>, fault: &Arc<Fault>, dir: &Path) -> Result<Self, StateError> {
        let open = || -> Result<_, redb::Error> {
            let transaction = database.begin_read()?;
            let rows = transaction.open_table(ROWS)?;
            let meta = transaction.open_table(META)?;
            let head = meta.get(HEAD)?.map(|head| head.value().to_vec());
            Ok((rows, head))
        };
        let (rows, head) = open().map_err(StateError::database("take a snapshot of", dir))?;
        let head = match head {
            None => None,
            Some(bytes) => Some(decode_head(&bytes).ok_or_else(|| {
                fault.note("the record of the newest block");
                StateError::Damaged {
                    path: dir.to_path_buf(),
                    reason: "the record of the newest block".to_owned(),
                }
            })?),
        };
        Ok(Self {
            rows,
            head,
            fault: Arc::clone(fault),
            dir: dir.to_path_buf(),
            _database: Arc::clone(database),
        })
    }

    /// Which block this is the state after; `None` for an empty state.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Computes something from the rows, and gives the result only if all rows that were read are as they were written.
    ///
    /// Reading a row can't fail by its signature: one that is damaged reads as absent, so whatever follows from it is wrong.
    /// After that nothing is read or committed any more, and the next opening makes the state anew.
    ///
    /// # Errors
    /// [`StateError::Damaged`].
    pub fn read<T>(&self, compute: impl FnOnce(&Rows<'_>) -> T) -> Result<T, StateError> {
        self.check()?;
        let result = compute(&Rows(self));
        self.check()?;
        Ok(result)
    }

    fn check(&self) -> Result<(), StateError> {
        self.fault.check(&self.dir)
    }

    /// All rows in key order.
    pub(super) fn for_each(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let failed = |error: redb::StorageError| StateError::database("read", &self.dir)(error);
        for row in self.rows.range::<&[u8]>(..).map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            match open_row(key.value(), value.value()) {
                Some(value) => each(key.value(), value)?,
                None => {
                    self.fault.note("a row is not as it was written");
                    self.check()?;
                }
            }
        }
        Ok(())
    }

    fn scan_rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, redb::Error> {
        let from = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let mut found = Vec::new();
        for row in self.rows.range::<&[u8]>((from, Unbounded))? {
            if found.len() == limit {
                break;
            }
            let (key, value) = row?;
            if !key.value().starts_with(prefix) {
                break;
            }
            match open_row(key.value(), value.value()) {
                Some(value) => found.push((key.value().to_vec(), value.to_vec())),
                None => self.fault.note("a row is not as it was written"),
            }
        }
        Ok(found)
    }
}

/// The rows of a [`Snapshot`], for the length of one [`Snapshot::read`].
#[derive(Debug)]
pub struct Rows<'a>(&'a Snapshot);

impl StateRead for Rows<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let snapshot = self.0;
        match snapshot.rows.get(key) {
            Ok(None) => None,
            Ok(Some(value)) => {
                let value = open_row(key, value.value()).map(<[u8]>::to_vec);
                if value.is_none() {
                    snapshot.fault.note("a row is not as it was written");
                }
                value
            }
            Err(error) => {
                snapshot.fault.note(&error.to_string());
                None
            }
        }
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let snapshot = self.0;
        snapshot.scan_rows(prefix, after, limit).unwrap_or_else(|error| {
            snapshot.fault.note(&error.to_string());
            Vec::new()
        })
    }
}

/// The value as it is stored under `key`.
pub(super) fn checked_row(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(CHECK_BYTES + value.len());
    row.extend_from_slice(&row_check(key, value));
    row.extend_from_slice(value);
    row
}

/// The value in what is stored under `key`; `None` if it is not what was stored there.
fn open_row<'a>(key: &[u8], row: &'a [u8]) -> Option<&'a [u8]> {
    let (check, value) = row.split_at_checked(CHECK_BYTES)?;
    (row_check(key, value) == check).then_some(value)
}

fn row_check(key: &[u8], value: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&crate::disk::to_u64(key.len()).to_be_bytes());
    hasher.update(key).update(value);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK_BYTES]);
    check
}

pub(super) fn encode_head(head: &Head) -> Vec<u8> {
    let body = [&head.height.0.to_be_bytes(), head.meta.as_slice()].concat();
    let digest = blake3::hash(&body);
    [&digest.as_bytes()[..HEAD_CHECK_BYTES], &body].concat()
}

pub(super) fn decode_head(bytes: &[u8]) -> Option<Head> {
    let (check, body) = bytes.split_at_checked(HEAD_CHECK_BYTES)?;
    if blake3::hash(body).as_bytes()[..HEAD_CHECK_BYTES] != *check {
        return None;
    }
    let (height, meta) = body.split_at_checked(8)?;
    Some(Head {
        height: BlockHeight(u64::from_be_bytes(height.try_into().ok()?)),
        meta: meta.to_vec(),
    })
}
