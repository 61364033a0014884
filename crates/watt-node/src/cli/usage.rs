//! Wrong usage, help and version: what clap says, in our two lines and exit codes.

use crate::error::{CommandError, ErrorKind};
use crate::ui::{Format, Ui};
use clap::error::ErrorKind as Clap;
use std::process::ExitCode;

/// Prints help or the version, or says what is wrong with the arguments.
pub(super) fn answer(ui: &Ui, error: &clap::Error) -> ExitCode {
    match error.kind() {
        Clap::DisplayHelp | Clap::DisplayVersion => {
            let text = if ui.has_terminal() {
                error.render().ansi().to_string()
            } else {
                error.render().to_string()
            };
            exit(ui, ui.out(text.trim_end()))
        }
        Clap::DisplayHelpOnMissingArgumentOrSubcommand if ui.format() == Format::Text => {
            // Asked for nothing: the help is the answer, but a script called it wrongly.
            match ui.out(error.render().to_string().trim_end()) {
                Ok(()) => ExitCode::from(ErrorKind::Usage.exit_code()),
                Err(error) => exit(ui, Err(error)),
            }
        }
        _ => exit(ui, Err(in_words(error))),
    }
}

fn exit(ui: &Ui, result: Result<(), CommandError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// The first paragraph is what happened; a tip, or else the usage, is what to do.
pub(super) fn in_words(error: &clap::Error) -> CommandError {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let message = paragraphs
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    if error.kind() == Clap::DisplayHelpOnMissingArgumentOrSubcommand {
        return CommandError::new(ErrorKind::Usage, "a command is missing", "see `watt --help`");
    }
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let usage = text.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let hint = match (tip, usage) {
        (Some(tip), _) => tip.to_owned(),
        (None, Some(usage)) => format!("usage: {usage}"),
        (None, None) => "add --help to see how it is used".to_owned(),
    };
    CommandError::new(ErrorKind::Usage, message, hint)
}
