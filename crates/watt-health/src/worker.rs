//! The search as a process: a snapshot in, findings out, one line each, so that whoever kills it at a deadline keeps what it found.
//!
//! The process is whatever calls [`work`]; its parent writes the job, reads lines until the deadline, and gives each to
//! [`read_line`].

use crate::analysis::{Finding, search};
use crate::network::{InvalidSnapshot, Network, SNAPSHOT_BYTES_MAX};
use std::io::{Read, Write};

/// The most bytes of one finding: two quorums of all nodes, quoted.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// The most bytes of memory that a worker may take.
pub const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// How long a search may take if nothing else is said, in seconds.
pub const DEADLINE_S: u64 = 20;

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The job can't be read, or nobody reads the findings.
    #[error("the pipe broke: {0}")]
    Pipe(#[from] std::io::Error),
    /// The job is no snapshot.
    #[error("the job is bad: {0}")]
    Job(#[from] InvalidSnapshot),
}

/// Reads a job from `input` and writes its findings to `output` as they come. The library behind it may panic; then the findings
/// end.
///
/// # Errors
/// The job is none, or a pipe broke.
pub fn work(input: impl Read, mut output: impl Write) -> Result<(), WorkError> {
    let mut job = Vec::new();
    let one_more = u64::try_from(SNAPSHOT_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    input.take(one_more).read_to_end(&mut job)?;
    let network = Network::from_snapshot(&job)?;
    let mut written = Ok(());
    search(&network, |finding| {
        if written.is_ok() {
            let line = serde_json::to_string(&finding).unwrap_or_default();
            written = writeln!(output, "{line}").and_then(|()| output.flush());
        }
    });
    Ok(written?)
}

/// A line that a worker wrote; none if it is no finding, as what is left of one that was killed while writing.
#[must_use]
pub fn read_line(line: &str) -> Option<Finding> {
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests;
