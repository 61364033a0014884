//! What happened, line by line. All lines are hashed; two runs are the same run if their hashes are equal.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use watt_primitives::Timestamp;

/// Lines that are remembered to be shown beside a violation.
const REMEMBERED: usize = 40;

/// Bytes that are hashed at a time: many at once cost a fraction of line by line.
const HASHED_BYTES: usize = 1 << 16;

/// Where lines go besides the hash.
pub enum Sink {
    /// Nowhere.
    None,
    /// To be looked at after the run.
    Kept(Vec<String>),
    /// To whoever reads along.
    Stream(Box<dyn std::io::Write + Send>),
}

/// The trace of a run.
pub struct Trace {
    hasher: blake3::Hasher,
    /// Lines that were not hashed yet.
    waiting: String,
    sink: Sink,
    last: VecDeque<String>,
    start: Timestamp,
    n_lines: u64,
    line: String,
}

impl Trace {
    /// A trace whose times count from `start`.
    #[must_use]
    pub fn new(start: Timestamp, sink: Sink) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            waiting: String::new(),
            sink,
            last: VecDeque::new(),
            start,
            n_lines: 0,
            line: String::new(),
        }
    }

    /// Notes one thing that happened.
    pub fn note(&mut self, now: Timestamp, what: fmt::Arguments<'_>) {
        self.line.clear();
        let ms = now.0.saturating_sub(self.start.0);
        // Writing to a string can't fail.
        writeln!(self.line, "{ms} {what}").unwrap_or_default();
        self.waiting.push_str(&self.line);
        if self.waiting.len() >= HASHED_BYTES {
            self.hasher.update(self.waiting.as_bytes());
            self.waiting.clear();
        }
        self.n_lines += 1;
        let mut oldest = match self.last.len() {
            REMEMBERED.. => self.last.pop_front().unwrap_or_default(),
            _ => String::new(),
        };
        let line = self.line.trim_end();
        oldest.clear();
        oldest.push_str(line);
        self.last.push_back(oldest);
        match &mut self.sink {
            Sink::None => {}
            Sink::Kept(lines) => lines.push(line.to_owned()),
            Sink::Stream(stream) => {
                // Who closes the pipe has seen enough; the run goes on for its verdict.
                stream.write_all(self.line.as_bytes()).unwrap_or_default();
            }
        }
    }

    /// Hash of all lines so far, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(self.waiting.as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    /// Lines so far.
    #[must_use]
    pub const fn n_lines(&self) -> u64 {
        self.n_lines
    }

    /// The newest lines.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// The lines kept, if they were.
    #[must_use]
    pub fn into_kept(self) -> Vec<String> {
        match self.sink {
            Sink::Kept(lines) => lines,
            Sink::None | Sink::Stream(_) => Vec::new(),
        }
    }
}
