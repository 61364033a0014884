//! Files that go from hand to hand before people restart a network (`docs/spec/node.md` §12): plans, signatures, signed plans.

use crate::bounded_file;
use crate::error::{CommandError, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use watt_light::restart::RESTART_BYTES_MAX;
use watt_primitives::codec;

/// Reads a file of at most [`RESTART_BYTES_MAX`] bytes, of which people say that it holds a `what`.
///
/// # Errors
/// It can't be read, or holds something else.
pub(crate) fn read<T: DeserializeOwned + Serialize>(path: &Path, what: &str) -> Result<T, CommandError> {
    let bytes = bounded_file::read(path, RESTART_BYTES_MAX)?;
    codec::decode(&bytes, RESTART_BYTES_MAX).map_err(|_| {
        let message = format!("{} holds no {what}", path.display());
        CommandError::new(
            ErrorKind::VerificationFailed,
            message,
            "ask whoever gave it to you for it again",
        )
    })
}
