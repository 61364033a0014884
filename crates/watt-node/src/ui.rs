//! The one place that prints: results on stdout, everything else on stderr.
//!
//! With `--json` stdout holds exactly one object (or one per line for streams), also when the command fails; progress and
//! notes are silent. Without a terminal there is no progress bar either.

use crate::error::{CommandError, ErrorKind};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal, Write};

mod text;

pub use text::{Table, bytes_text, duration_text, time_text};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one object, or one per line.
    Json,
}

/// Where output goes and how much of it.
#[derive(Clone, Debug)]
pub struct Ui {
    format: Format,
    is_quiet: bool,
    has_color: bool,
    has_terminal: bool,
}

impl Ui {
    /// Output in `format`; `is_quiet` silences notes and progress. Colours and bars only on a terminal.
    #[must_use]
    pub fn new(format: Format, is_quiet: bool, no_color: bool) -> Self {
        let has_terminal = std::io::stderr().is_terminal() && format == Format::Text && !is_quiet;
        Self {
            format,
            is_quiet,
            has_color: has_terminal && !no_color,
            has_terminal,
        }
    }

    /// Output that nobody sees, for tests and for steps inside another command.
    #[must_use]
    pub const fn silent() -> Self {
        Self {
            format: Format::Json,
            is_quiet: true,
            has_color: false,
            has_terminal: false,
        }
    }

    /// How results are written.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether a person watches: bars and live lines make sense.
    #[must_use]
    pub const fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// Prints the result of the command: `value` as JSON, or `text` for people.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub fn result<T: Serialize + ?Sized>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        match self.format {
            Format::Json => self.object(value),
            Format::Text => self.out(&text()),
        }
    }

    /// Prints one JSON object on a line of its own.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub fn object<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), CommandError> {
        let line = serde_json::to_string(value).map_err(|error| {
            CommandError::new(
                ErrorKind::Other,
                format!("can't print the result: {error}"),
                "report this",
            )
        })?;
        self.out(&line)
    }

    /// Prints a line of a result to stdout.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub fn out(&self, line: &str) -> Result<(), CommandError> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}")
            .and_then(|()| stdout.flush())
            .map_err(|error| stdout_error(&error))
    }

    /// Says something beside the result, on stderr; silent with `--json` or `--quiet`.
    pub fn note(&self, line: &str) {
        if self.format == Format::Text && !self.is_quiet {
            self.err(line);
        }
    }

    /// A note that something needs attention.
    pub fn warn(&self, line: &str) {
        if self.format == Format::Text {
            self.err(&format!("{} {line}", self.paint("33", "note:")));
        }
    }

    /// A headline of a story: bold on a terminal.
    pub fn headline(&self, line: &str) {
        self.note(&self.paint("1", line));
    }

    /// Prints why the command failed: two lines on stderr, or one object on stdout.
    pub fn error(&self, error: &CommandError) {
        if error.message.is_empty() {
            return;
        }
        match self.format {
            // Standard output may be what failed; then there is nobody left to tell.
            Format::Json => drop(self.object(&error.to_json())),
            Format::Text => {
                self.err(&format!("{} {}", self.paint("31;1", "error:"), error.message));
                if !error.hint.is_empty() {
                    self.err(&format!("  {} {}", self.paint("36", "next:"), error.hint));
                }
            }
        }
    }

    /// A bar over `total_bytes`.
    #[must_use]
    pub fn bar(&self, label: &str, total_bytes: u64) -> Progress {
        let template = "{prefix:<12} {bar:32} {bytes:>11}/{total_bytes:<11} {bytes_per_sec:>12}  {wide_msg}";
        self.progress(
            ProgressBar::with_draw_target(Some(total_bytes), self.draw_target()),
            label,
            template,
        )
    }

    /// A bar over `total` things.
    #[must_use]
    pub fn counter(&self, label: &str, total: u64) -> Progress {
        let template = "{prefix:<12} {bar:32} {pos:>4}/{len:<4} {wide_msg}";
        self.progress(
            ProgressBar::with_draw_target(Some(total), self.draw_target()),
            label,
            template,
        )
    }

    /// A sign of life while something of unknown length happens.
    #[must_use]
    pub fn spinner(&self, label: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, self.draw_target());
        if self.has_terminal {
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
        }
        self.progress(bar, label, "{prefix:<12} {spinner} {wide_msg}")
    }

    fn draw_target(&self) -> ProgressDrawTarget {
        if self.has_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        }
    }

    fn progress(&self, bar: ProgressBar, label: &str, template: &str) -> Progress {
        // The templates are constants of this file; a wrong one would show as the default bar.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_prefix(label.to_owned());
        Progress(bar)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.has_color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    #[allow(clippy::unused_self, reason = "all printing is a method of the one printer")]
    fn err(&self, line: &str) {
        // A closed stderr leaves nobody to tell.
        drop(writeln!(std::io::stderr().lock(), "{line}"));
    }
}

/// A bar or spinner; vanishes when dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// `n` more are done.
    pub fn add(&self, n: u64) {
        self.0.inc(n);
    }

    /// `position` are done in all.
    pub fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    /// Corrects the total.
    pub fn set_total(&self, total: u64) {
        self.0.set_length(total);
    }

    /// Says what is happening now.
    pub fn message(&self, text: impl Into<String>) {
        self.0.set_message(text.into());
    }

    /// Removes the bar.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Why standard output could not be written. A reader that left (`watt ls | head`) is no failure worth words: such an error has
/// none and is not printed.
#[must_use]
pub fn stdout_error(error: &std::io::Error) -> CommandError {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => CommandError::new(ErrorKind::Other, "", ""),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => CommandError::new(
            ErrorKind::Temporary,
            "can't write the output: no space left where it goes",
            "free some disk space, then run the same command again",
        ),
        _ => CommandError::new(
            ErrorKind::Other,
            format!("can't write the output: {error}"),
            "check where standard output goes",
        ),
    }
}
