//! `watt completion`.

use super::session::Session;
use crate::error::{CommandError, ErrorKind};
use clap::Args;
use clap_complete::Shell;

/// Print a completion script for your shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watt completion bash > ~/.local/share/bash-completion/completions/watt\n  watt completion zsh > \"${fpath[1]}/_watt\"\n  watt completion fish > ~/.config/fish/completions/watt.fish"
)]
pub(super) struct CompletionArgs {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(session: &Session, args: &CompletionArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "watt", &mut script);
    let script = String::from_utf8(script).map_err(|_| {
        CommandError::new(
            ErrorKind::Other,
            "the completion script is damaged",
            "report this",
        )
    })?;
    session.ui.result(
        &serde_json::json!({ "shell": args.shell.to_string(), "script": script }),
        || script.trim_end().to_owned(),
    )
}
