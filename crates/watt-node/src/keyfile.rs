//! Secret keys in files: one line, readable by the owner only.

use crate::config::create_private_dir;
use crate::error::{CommandError, ErrorKind};
use std::io::Write;
use std::path::Path;
use watt_primitives::{Hash, SecretKey};

/// What the line begins with: format and scheme.
const PREFIX: &str = "watt-secret-key-1 ed25519 ";

/// The most bytes of a key file.
const BYTES_MAX: u64 = 4096;

/// The 32 bytes that a key is made of; printed never.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The bytes themselves.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// Draws a new key from the system's randomness.
///
/// # Errors
/// The system has none to give.
pub fn generate() -> Result<SecretKey, CommandError> {
    random_bytes().map(SecretKey::from_seed)
}

/// Draws a new key and writes it to `path`, which must not exist: a key is never overwritten.
///
/// # Errors
/// The file is there already, or can't be written.
pub fn create(path: &Path) -> Result<SecretKey, CommandError> {
    create_seed(path).map(|seed| SecretKey::from_seed(seed.0))
}

/// [`create`] for what is no signing key of the ledger: a network identity.
///
/// # Errors
/// Those of [`create`].
pub fn create_seed(path: &Path) -> Result<Seed, CommandError> {
    let seed: [u8; 32] = random_bytes()?;
    if let Some(folder) = path.parent() {
        create_private_dir(folder)?;
    }
    let line = format!("{PREFIX}{}\n", Hash(seed));
    write_new_private(path, line.as_bytes())?;
    Ok(Seed(seed))
}

/// Reads the key in `path`; refuses a file that others may read.
///
/// # Errors
/// Missing, readable by others, or no key.
pub fn read(path: &Path) -> Result<SecretKey, CommandError> {
    read_seed(path).map(|seed| SecretKey::from_seed(seed.0))
}

/// [`read`] for what is no signing key of the ledger: a network identity.
///
/// # Errors
/// Those of [`read`].
pub fn read_seed(path: &Path) -> Result<Seed, CommandError> {
    let fail = |error| CommandError::file("read the key", path, &error);
    let metadata = std::fs::metadata(path).map_err(fail)?;
    refuse_public(path, &metadata)?;
    let no_key = || {
        CommandError::new(
            ErrorKind::VerificationFailed,
            format!("{} is no WATT key file", path.display()),
            "check the path, or restore the file from a backup",
        )
    };
    if metadata.len() > BYTES_MAX {
        return Err(no_key());
    }
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let seed = text
        .trim_end()
        .strip_prefix(PREFIX)
        .and_then(Hash::from_hex)
        .ok_or_else(no_key)?;
    Ok(Seed(seed.0))
}

/// Random bytes from the system.
///
/// # Errors
/// The system has none to give.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], CommandError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message = format!("the system gives no randomness: {error}");
        CommandError::new(ErrorKind::Temporary, message, "try again; no key was made")
    })?;
    Ok(bytes)
}

/// Writes a file that only the owner can read, and that must not exist yet; durable when it returns.
///
/// # Errors
/// The file is there already, or can't be written.
pub(crate) fn write_new_private(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = |mut file: std::fs::File| file.write_all(bytes).and_then(|()| file.sync_all());
    options
        .open(path)
        .and_then(write)
        .map_err(|error| CommandError::file("write", path, &error))
}

/// Replaces a file that only the owner can read, whole or not at all.
///
/// # Errors
/// It can't be written.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let temporary = path.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(CommandError::file("replace", &temporary, &error)),
    }
    write_new_private(&temporary, bytes)?;
    std::fs::rename(&temporary, path).map_err(|error| CommandError::file("replace", path, &error))
}

#[cfg(unix)]
fn refuse_public(path: &Path, metadata: &std::fs::Metadata) -> Result<(), CommandError> {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(CommandError::new(
        ErrorKind::NotAllowed,
        format!(
            "the key file {} can be read by other users of this machine",
            path.display()
        ),
        format!("chmod 600 {}", path.display()),
    ))
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "same signature as on Unix")]
fn refuse_public(_path: &Path, _metadata: &std::fs::Metadata) -> Result<(), CommandError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_comes_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/a.key");
        let key = create(&path).unwrap();
        assert_eq!(read(&path).unwrap().public(), key.public());
        assert_eq!(create(&path).unwrap_err().kind, ErrorKind::Conflict);
        assert_eq!(read(&path).unwrap().public(), key.public());
    }

    #[cfg(unix)]
    #[test]
    fn key_that_others_can_read_is_refused_with_the_command_to_fix_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotAllowed);
        assert!(error.hint.starts_with("chmod 600"));
    }

    #[test]
    fn damaged_key_file_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        for text in ["", "watt-secret-key-1 ed25519 12", "other"] {
            replace_private(&path, text.as_bytes()).unwrap();
            assert_eq!(
                read(&path).unwrap_err().kind,
                ErrorKind::VerificationFailed,
                "{text}"
            );
        }
    }
}
