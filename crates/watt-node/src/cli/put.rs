//! `watt put`.

use super::session::Session;
use crate::client::{self, PutReport, PutRequest, PutWait};
use crate::config::parse_duration_ms;
use crate::error::CommandError;
use crate::ui::{bytes_text, duration_text};
use clap::Args;
use std::path::PathBuf;
use watt_primitives::Amount;

/// Store a file, encrypted; prints a link that opens it
///
/// The file is encrypted on this machine, cut into shares of which a few rebuild it, and placed at providers that must
/// prove, window after window, that they hold it. Only whoever has the link can read it: keep it, and keep it to yourself.
/// An interrupted put goes on where it stopped when the same file is put again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  watt put photo.jpg\n  watt put backup.tar --term 90d --json")]
pub(super) struct PutArgs {
    /// The file to store
    path: PathBuf,
    /// How long, for example 12h, 30d or 1y
    #[arg(long, default_value = "30d", value_parser = parse_duration_ms, value_name = "TIME")]
    term: u64,
    /// Pay at most this many WATT per 10^9 bytes of shares and day [default: what the offers ask]
    #[arg(long, value_name = "WATT")]
    price_max: Option<Amount>,
    /// Come back when the shares are certified, or only when each one is sealed and proven
    #[arg(long, value_enum, default_value = "certified", value_name = "WHEN")]
    wait: PutWait,
}

pub(super) async fn run(session: &Session, args: PutArgs) -> Result<(), CommandError> {
    let context = session.context().await?;
    let request = PutRequest {
        path: args.path,
        term_ms: args.term,
        price_max: args.price_max,
        wait: args.wait,
    };
    let report = client::put(&context, &session.ui, request).await?;
    session.ui.note(&summary(&report));
    session.ui.result(&report, || report.link.clone())
}

fn summary(report: &PutReport) -> String {
    let resumed = if report.resumed {
        ", after an interruption"
    } else {
        ""
    };
    format!(
        "stored {} as {} shares at {} providers ({:.2}x) in {}{resumed}; {} WATT locked for the term",
        bytes_text(report.bytes),
        report.shares,
        report.holders.len(),
        report.expansion,
        duration_text(milliseconds(report.seconds)),
        report.escrowed,
    )
}

/// Seconds of a report as milliseconds, for words.
pub(super) fn milliseconds(seconds: f64) -> u64 {
    u64::try_from(
        std::time::Duration::try_from_secs_f64(seconds)
            .unwrap_or_default()
            .as_millis(),
    )
    .unwrap_or(u64::MAX)
}
