//! Files from other people, of which no more is read than may be in them.

use crate::error::CommandError;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The bytes of a file: at most one more than `most`, so that whoever decodes them sees that they are too many.
///
/// # Errors
/// It can't be read.
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(one_more).read_to_end(&mut bytes))
        .map_err(|error| CommandError::file("read", path, &error))?;
    Ok(bytes)
}
