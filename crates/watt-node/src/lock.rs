//! Locks that a thread may have died with.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. What it guards is whole between two statements, so whoever panicked with it left nothing half done.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
