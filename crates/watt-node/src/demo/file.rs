//! The demo's file, and what identifies it.

use crate::error::CommandError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes handled at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Seed of the file that is made: the same bytes on every machine, that no compressor and no cache can shorten.
const SEED: &[u8] = b"watt demo file 1";

/// Makes a file of `size` bytes in `dir`.
pub(super) fn generate(dir: &Path, size: u64) -> Result<PathBuf, CommandError> {
    let path = dir.join("original.bin");
    let fail = |error| CommandError::file("write", &path, &error);
    let mut file = BufWriter::new(File::create(&path).map_err(fail)?);
    let mut source = blake3::Hasher::new().update(SEED).finalize_xof();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = size;
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        source.fill(&mut chunk[..n]);
        file.write_all(&chunk[..n]).map_err(fail)?;
        left -= u64::try_from(n).unwrap_or(left);
    }
    file.flush().map_err(fail)?;
    Ok(path)
}

/// SHA-256 of a file, as hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String, CommandError> {
    let fail = |error| CommandError::file("read", path, &error);
    let mut file = File::open(path).map_err(fail)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk).map_err(fail)? {
            0 => break,
            n => hasher.update(&chunk[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_file_is_the_same_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = generate(folder.path(), 3_000_000).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3_000_000);
        let first = sha256(&path).unwrap();
        assert_eq!(sha256(&generate(folder.path(), 3_000_000).unwrap()).unwrap(), first);
        assert_ne!(sha256(&generate(folder.path(), 3_000_001).unwrap()).unwrap(), first);
    }

    #[test]
    fn digest_is_sha_256() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-4, example B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap(), expected);
    }
}
