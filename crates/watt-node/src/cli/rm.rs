//! `watt rm`.

use super::session::Session;
use crate::client::{self, RmRequest};
use crate::error::CommandError;
use clap::Args;

/// Stop storing a file; what it has not cost comes back
///
/// The deals end, providers are paid for what they proved, and the rest returns to your account. Copies that others fetched
/// stay with them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  watt rm 'watt:bafy…?v=1#key'\n  watt rm photo.jpg")]
pub(super) struct RmArgs {
    /// The link in quotes, or the file's name in `watt ls`
    link: String,
}

pub(super) async fn run(session: &Session, args: RmArgs) -> Result<(), CommandError> {
    let context = session.context().await?;
    let report = client::rm(&context, &session.ui, RmRequest { link: args.link }).await?;
    session.ui.result(&report, || {
        format!(
            "no longer stored; {} WATT came back, {} WATT were paid for what was proven",
            report.refunded, report.paid
        )
    })
}
