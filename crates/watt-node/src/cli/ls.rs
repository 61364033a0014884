//! `watt ls`.

use super::session::Session;
use crate::client;
use crate::error::CommandError;
use crate::ui::{Table, bytes_text, time_text};
use clap::Args;

/// List what you stored
///
/// From this machine's own list: links hold keys, so no node has them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  watt ls\n  watt ls --json | jq -r '.files[].link'")]
pub(super) struct LsArgs {}

pub(super) async fn run(session: &Session, LsArgs {}: LsArgs) -> Result<(), CommandError> {
    let context = session.context().await?;
    let report = client::ls(&context, &session.ui).await?;
    session.ui.result(&report, || {
        if report.files.is_empty() {
            return "nothing stored from this machine yet: watt put FILE".to_owned();
        }
        let mut table = Table::new(&["NAME", "SIZE", "STATE", "STORED UNTIL", "LINK"]);
        for file in &report.files {
            table.row([
                file.name.clone(),
                bytes_text(file.bytes),
                file.state.clone(),
                time_text(file.expires_at),
                file.link.clone(),
            ]);
        }
        table.to_string()
    })
}
