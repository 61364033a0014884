//! What went wrong, as one sentence, with the next step and the exit code (`docs/spec/api.md` §2).

use serde::Serialize;

/// What sort of trouble it is; decides the exit code and the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// None of the others.
    Other,
    /// The command was called wrongly.
    Usage,
    /// What was asked for does not exist.
    NotFound,
    /// It may work when tried again.
    Temporary,
    /// Not allowed here or for this key.
    NotAllowed,
    /// The account can't pay.
    InsufficientFunds,
    /// It exists already, or something else is in the way.
    Conflict,
    /// Bytes or proofs are not what they should be.
    VerificationFailed,
    /// Some of it worked.
    Partial,
    /// Another program listens at the address.
    AddressTaken,
    /// The owner pressed Ctrl-C.
    Interrupted,
}

impl ErrorKind {
    /// Every kind, for documents and tests.
    pub const ALL: [Self; 11] = [
        Self::Other,
        Self::Usage,
        Self::NotFound,
        Self::Temporary,
        Self::NotAllowed,
        Self::InsufficientFunds,
        Self::Conflict,
        Self::VerificationFailed,
        Self::Partial,
        Self::AddressTaken,
        Self::Interrupted,
    ];

    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Temporary => 4,
            Self::NotAllowed => 5,
            Self::InsufficientFunds => 6,
            Self::Conflict => 7,
            Self::VerificationFailed => 8,
            Self::Partial => 9,
            Self::AddressTaken => 10,
            Self::Interrupted => 130,
        }
    }

    /// The stable name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Temporary => "temporary",
            Self::NotAllowed => "not-allowed",
            Self::InsufficientFunds => "insufficient-funds",
            Self::Conflict => "conflict",
            Self::VerificationFailed => "verification-failed",
            Self::Partial => "partial",
            Self::AddressTaken => "address-taken",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// What sort of trouble.
    pub kind: ErrorKind,
    /// What happened, in one line.
    pub message: String,
    /// What to do next, in one line.
    pub hint: String,
}

impl CommandError {
    /// An error of `kind`; line breaks in the texts become spaces, so that it stays two lines.
    pub fn new(kind: ErrorKind, message: impl AsRef<str>, hint: impl AsRef<str>) -> Self {
        Self {
            kind,
            message: one_line(message.as_ref()),
            hint: one_line(hint.as_ref()),
        }
    }

    /// Trouble with a file or folder: the operating system's reason becomes advice.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let (kind, hint) = advice(error);
        Self::new(
            kind,
            format!("can't {doing} {}: {}", path.display(), reason(error)),
            hint,
        )
    }

    /// The owner pressed Ctrl-C.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(
            ErrorKind::Interrupted,
            "interrupted",
            "run the same command again to go on where it stopped",
        )
    }

    /// The object that `--json` prints.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "kind": self.kind.as_str(),
                "message": self.message,
                "hint": self.hint,
                "exit_code": self.kind.exit_code(),
            }
        })
    }
}

/// Adds what was being done and the next step to an error of another library.
pub trait OrFail<T> {
    /// Turns the error into a [`CommandError`] of `kind` that says `doing: reason`.
    ///
    /// # Errors
    /// The error given, in words.
    fn or_fail(self, kind: ErrorKind, doing: &str, hint: &str) -> Result<T, CommandError>;
}

impl<T, E: std::fmt::Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, kind: ErrorKind, doing: &str, hint: &str) -> Result<T, CommandError> {
        self.map_err(|error| CommandError::new(kind, format!("{doing}: {error}"), hint))
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The system's reason without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

fn advice(error: &std::io::Error) -> (ErrorKind, &'static str) {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => (ErrorKind::NotFound, "check the path"),
        Io::PermissionDenied => (
            ErrorKind::NotAllowed,
            "check who owns it and its permissions (ls -l)",
        ),
        Io::AlreadyExists => (
            ErrorKind::Conflict,
            "choose another name, or remove what is there",
        ),
        Io::StorageFull | Io::QuotaExceeded => (
            ErrorKind::Temporary,
            "free some disk space, then run the same command again",
        ),
        Io::IsADirectory => (ErrorKind::Usage, "name a file, not a folder"),
        Io::NotADirectory => (ErrorKind::Usage, "a part of the path is a file; check the path"),
        _ => (ErrorKind::Other, "check the disk and the path, then try again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts rely on these numbers. Covers: C1.
    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes: Vec<u8> = ErrorKind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130]);
    }

    #[test]
    fn serde_name_equals_the_printed_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn an_error_is_always_two_lines() {
        let error = CommandError::new(ErrorKind::Other, "first\nsecond", "do\n  this");
        assert_eq!(
            (error.message.as_str(), error.hint.as_str()),
            ("first second", "do this")
        );
    }

    #[test]
    fn a_full_disk_is_temporary_and_says_what_to_do() {
        let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = CommandError::file("write", std::path::Path::new("/x"), &error);
        assert_eq!(error.kind, ErrorKind::Temporary);
        assert!(error.hint.contains("free some disk space"));
    }
}
