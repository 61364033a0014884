//! `watt get`.

use super::put::milliseconds;
use super::session::Session;
use crate::client::{self, GetRequest};
use crate::error::CommandError;
use crate::ui::{bytes_text, duration_text};
use clap::Args;
use std::path::PathBuf;

/// Fetch the file behind a link
///
/// Every 16 KiB is checked before it is decrypted, so a file that arrives is the file that was stored. It appears under its
/// name only when it is whole.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watt get 'watt:bafy…?v=1#key'\n  watt get 'watt:bafy…?v=1#key' -o copy.jpg"
)]
pub(super) struct GetArgs {
    /// The link, in quotes: the shell would cut it at #
    link: String,
    /// Write it here [default: its name, in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there already
    #[arg(long)]
    overwrite: bool,
}

pub(super) async fn run(session: &Session, args: GetArgs) -> Result<(), CommandError> {
    let context = session.context().await?;
    let request = GetRequest {
        link: args.link,
        output: args.output,
        overwrite: args.overwrite,
    };
    let report = client::get(&context, &session.ui, request).await?;
    for provider in &report.corrupt {
        session.ui.warn(&format!(
            "provider {provider} sent damaged data; the file was rebuilt from others"
        ));
    }
    session.ui.result(&report, || {
        format!(
            "{}: {} in {}",
            report.path.display(),
            bytes_text(report.bytes),
            duration_text(milliseconds(report.seconds))
        )
    })
}
