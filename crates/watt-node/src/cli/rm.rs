//! `watt rm`.

use super::session::Session;
use crate::api::types::PaidInfo;
use crate::client::{self, RmReport, RmRequest};
use crate::error::CommandError;
use clap::Args;
use watt_primitives::Amount;

/// Stop storing a file; what it has not cost comes back
///
/// The deals end: providers are paid for the time they proved and, where a share is sealed already, for up to 30 days of the
/// rest of the term; what is left returns to your account. Copies that others fetched stay with them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  watt rm 'watt:bafy…?v=1#key'\n  watt rm photo.jpg")]
pub(super) struct RmArgs {
    /// The link in quotes, or the file's name in `watt ls`
    link: String,
}

pub(super) async fn run(session: &Session, args: RmArgs) -> Result<(), CommandError> {
    let context = session.context().await?;
    let report = client::rm(&context, &session.ui, RmRequest { link: args.link }).await?;
    session.ui.result(&report, || text(&report))
}

/// What came back and what was paid for what; nothing that was not paid is named.
fn text(report: &RmReport) -> String {
    let PaidInfo {
        proven,
        reserved,
        early_end,
    } = report.paid_for;
    let parts = [
        (proven, "for proven time"),
        (reserved, "for space that was reserved"),
        (
            early_end,
            "because the deals ended before their term (up to 30 days of the rest, for each sealed share)",
        ),
    ];
    let parts = parts.into_iter().filter(|(amount, _)| *amount > Amount::ZERO);
    let parts: Vec<String> = parts.map(|(amount, why)| format!("{amount} {why}")).collect();
    let paid = match parts.as_slice() {
        [] => "nothing was paid".to_owned(),
        parts => format!("{} WATT were paid in all: {}", report.paid, parts.join(", ")),
    };
    format!("no longer stored; {} WATT came back; {paid}", report.refunded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever ends a deal early reads what that cost apart from what was proven. Covers: E4, C1.
    #[test]
    fn the_early_end_is_told_apart_from_proven_time() {
        let report = |paid_for: PaidInfo, paid| RmReport {
            cid: String::new(),
            deals: Vec::new(),
            refunded: Amount(700_000_000),
            paid: Amount(paid),
            paid_for,
        };
        let all = PaidInfo {
            proven: Amount(100_000_000),
            reserved: Amount(50_000_000),
            early_end: Amount(150_000_000),
        };
        assert_eq!(
            text(&report(all, 300_000_000)),
            "no longer stored; 7 WATT came back; 3 WATT were paid in all: 1 for proven time, 0.5 for space that was \
             reserved, 1.5 because the deals ended before their term (up to 30 days of the rest, for each sealed share)"
        );
        let reserved = PaidInfo {
            reserved: Amount(50_000_000),
            ..PaidInfo::default()
        };
        assert_eq!(
            text(&report(reserved, 50_000_000)),
            "no longer stored; 7 WATT came back; 0.5 WATT were paid in all: 0.5 for space that was reserved"
        );
        assert!(text(&report(PaidInfo::default(), 0)).ends_with("nothing was paid"));
    }
}
