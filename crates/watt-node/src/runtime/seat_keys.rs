//! The secrets of a seat's terms, each in a file that only the owner can read, made ahead and deleted when the term is over (TC28).

use crate::config::create_private_dir;
use crate::error::{CommandError, ErrorKind};
use crate::keyfile::{self, replace_private};
use std::path::{Path, PathBuf};
use watt_engine::seat::TermSecrets;
use watt_light::Succession;
use watt_light::succession::SUCCESSION_BYTES_MAX;
use watt_primitives::key::all_hold;
use watt_primitives::{Hash, NetworkId, SecretKey, Term, codec};

/// What the line of a file begins with: format and scheme.
const PREFIX: &str = "watt-term-secrets-1 ed25519 ";

/// The ending of files that say whom a term's key succeeds.
const SUCCESSION: &str = "succession";

/// A folder of secrets, one file for each term.
#[derive(Clone, Debug)]
pub(crate) struct SeatKeys(PathBuf);

impl SeatKeys {
    pub(crate) const fn in_dir(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// All that are stored.
    pub(crate) fn read_all(&self) -> Result<Vec<TermSecrets>, CommandError> {
        let stored = self.stored()?;
        stored.iter().map(|(term, path)| read(*term, path)).collect()
    }

    /// Makes and stores the secrets of these terms, unless they are there.
    pub(crate) fn make(&self, terms: &[Term]) -> Result<Vec<TermSecrets>, CommandError> {
        create_private_dir(&self.0)?;
        let of_term = |term: &Term| {
            let path = self.path(*term);
            if !path.exists() {
                let (voting, onion) = (keyfile::random_bytes()?, keyfile::random_bytes()?);
                let line = format!("{PREFIX}{} {}\n", Hash(voting), Hash(onion));
                replace_private(&path, line.as_bytes())?;
            }
            read(*term, &path)
        };
        terms.iter().map(of_term).collect()
    }

    /// Deletes those of the terms before `before`.
    pub(crate) fn forget(&self, before: Term) -> Result<(), CommandError> {
        for (term, path) in self.stored()? {
            if term < before {
                std::fs::remove_file(&path).map_err(|error| CommandError::file("delete", &path, &error))?;
                let succession = path.with_extension(SUCCESSION);
                if succession.exists() {
                    std::fs::remove_file(&succession)
                        .map_err(|error| CommandError::file("delete", &succession, &error))?;
                }
            }
        }
        Ok(())
    }

    /// The secrets of a term, if they are here.
    pub(crate) fn find(&self, term: Term) -> Result<Option<TermSecrets>, CommandError> {
        let path = self.path(term);
        if path.exists() {
            read(term, &path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Stores that the key of a term succeeds a lost one.
    pub(crate) fn take(&self, succession: &Succession) -> Result<PathBuf, CommandError> {
        create_private_dir(&self.0)?;
        let path = self.0.join(format!("term-{}.{SUCCESSION}", succession.term.0));
        replace_private(&path, &codec::encode(succession))?;
        Ok(path)
    }

    /// By what the keys here succeed lost ones. Each was checked when it was taken, and is checked again.
    pub(crate) fn successions(&self, network: &NetworkId) -> Result<Vec<Succession>, CommandError> {
        let mut found = Vec::new();
        for (term, _) in self.stored()? {
            let path = self.0.join(format!("term-{}.{SUCCESSION}", term.0));
            if path.exists() {
                found.push(read_succession(&path, network)?);
            }
        }
        Ok(found)
    }

    fn path(&self, term: Term) -> PathBuf {
        self.0.join(format!("term-{}.key", term.0))
    }

    fn stored(&self) -> Result<Vec<(Term, PathBuf)>, CommandError> {
        let fail = |error| CommandError::file("read", &self.0, &error);
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut stored = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail)?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let term = name
                .strip_prefix("term-")
                .and_then(|rest| rest.strip_suffix(".key"));
            if let Some(term) = term.and_then(|text| text.parse().ok()) {
                stored.push((Term(term), path));
            }
        }
        stored.sort();
        Ok(stored)
    }
}

/// Reads a succession that holds on `network`, but for what the backbone says.
pub(crate) fn read_succession(path: &Path, network: &NetworkId) -> Result<Succession, CommandError> {
    let bytes = std::fs::read(path).map_err(|error| CommandError::file("read", path, &error))?;
    let succession: Option<Succession> = codec::decode(&bytes, SUCCESSION_BYTES_MAX).ok();
    let holds = |one: &Succession| all_hold(&one.signature_checks(network));
    succession.filter(holds).ok_or_else(|| {
        CommandError::new(
            ErrorKind::VerificationFailed,
            format!("{} holds no succession on this network", path.display()),
            "make one with `watt seat succession request` and `watt seat succession sign`",
        )
    })
}

fn read(term: Term, path: &Path) -> Result<TermSecrets, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|error| CommandError::file("read", path, &error))?;
    let secrets = text.trim_end().strip_prefix(PREFIX).and_then(|rest| {
        let (voting, onion) = rest.split_once(' ')?;
        let (voting, onion) = (Hash::from_hex(voting)?, Hash::from_hex(onion)?);
        Some(TermSecrets {
            term,
            voting_key: SecretKey::from_seed(voting.0),
            onion_seed: onion,
        })
    });
    secrets.ok_or_else(|| {
        CommandError::new(
            ErrorKind::VerificationFailed,
            format!("{} holds no secrets of a term", path.display()),
            "delete it; new ones are made, and the seat counts as absent in that term if they were registered",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Secrets are made once, are the same after a restart, and are gone when their terms are over. Covers: A2.
    #[test]
    fn secrets_live_as_long_as_their_terms() {
        let dir = tempfile::tempdir().unwrap();
        let keys = SeatKeys::in_dir(dir.path().join("seat"));
        assert!(keys.read_all().unwrap().is_empty());
        let made = keys.make(&[Term(2), Term(3), Term(10)]).unwrap();
        let again = keys.make(&[Term(2)]).unwrap();
        assert_eq!(made[0].voting_key.node_id(), again[0].voting_key.node_id());
        assert_eq!(made[0].onion_seed, again[0].onion_seed);
        assert_ne!(made[0].onion_seed, made[1].onion_seed);
        keys.forget(Term(3)).unwrap();
        let left: Vec<Term> = keys
            .read_all()
            .unwrap()
            .iter()
            .map(|secrets| secrets.term)
            .collect();
        assert_eq!(left, [Term(3), Term(10)]);
        std::fs::write(dir.path().join("seat/term-3.key"), "nonsense").unwrap();
        assert!(keys.read_all().unwrap_err().to_string().contains("term-3.key"));
    }
}
