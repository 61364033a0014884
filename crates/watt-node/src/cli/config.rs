//! `watt config`.

use super::session::Session;
use crate::config::{Overrides, SettingRow};
use crate::error::CommandError;
use clap::Subcommand;
use serde_json::json;

/// Show the configuration
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every setting in force; with --origin, who said so
    ///
    /// Flags beat the environment, the environment beats the file, the file beats defaults.
    #[command(
        after_help = "Examples:\n  watt config show\n  watt config show --origin\n  watt --config node.toml config show"
    )]
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
    },
}

pub(super) fn run(session: &Session, command: &ConfigCommand) -> Result<(), CommandError> {
    let ConfigCommand::Show { origin } = command;
    let settings = session.settings(Overrides::default())?;
    let rows = settings.rows();
    let object: serde_json::Map<String, serde_json::Value> = rows
        .iter()
        .map(|(key, value, source)| {
            (
                (*key).to_owned(),
                json!({ "value": value, "origin": source.to_string() }),
            )
        })
        .collect();
    session.ui.result(&object, || {
        let line = |(key, value, source): &SettingRow<'_>| {
            let setting = if value.is_null() {
                format!("# {key} is not set")
            } else {
                format!("{key} = {value}")
            };
            if *origin {
                format!("{setting:<64} # {source}")
            } else {
                setting
            }
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
