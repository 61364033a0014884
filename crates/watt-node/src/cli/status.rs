//! `watt status`.

use super::session::Session;
use crate::client::{self, ProofState, ShareState, ShareStatus, StatusReport, StatusRequest};
use crate::error::CommandError;
use crate::ui::{Table, bytes_text, time_text};
use clap::Args;

/// Tell how a stored file is: shares, proofs, payments, expiry
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watt status 'watt:bafy…?v=1#key'\n  watt status 'watt:bafy…?v=1#key' --json"
)]
pub(super) struct StatusArgs {
    /// The link, in quotes: the shell would cut it at #
    link: String,
}

pub(super) async fn run(session: &Session, args: StatusArgs) -> Result<(), CommandError> {
    let context = session.context().await?;
    let report = client::status(&context, &session.ui, StatusRequest { link: args.link }).await?;
    session.ui.result(&report, || text(&report))
}

fn text(report: &StatusReport) -> String {
    let mut table = Table::new(&["SHARE", "HOLDER", "STATE", "ANSWERS", "LAST PROOF", "PAID"]);
    for share in &report.shares {
        let proof = if share.last_proven_at == 0 {
            "none yet".to_owned()
        } else {
            time_text(share.last_proven_at)
        };
        table.row([
            share.slot.to_string(),
            share.holder.clone(),
            share_state(share).to_owned(),
            (if share.is_alive { "yes" } else { "no" }).to_owned(),
            proof,
            share.paid.to_string(),
        ]);
    }
    format!(
        "{}\n{} of {} shares answer, {} are needed; {}; stored until {}\n\
         {} WATT locked, {} paid, {} would come back now\n\n{table}",
        report.summary,
        report.shares_alive,
        report.shares_per_bundle,
        report.shares_needed,
        bytes_text(report.bytes),
        time_text(report.expires_at),
        report.escrowed,
        report.paid,
        report.refundable,
    )
}

const fn share_state(share: &ShareStatus) -> &'static str {
    match share.state {
        ShareState::Reserved => "placed",
        ShareState::Accepted => "held",
        ShareState::Sealing => "sealing",
        ShareState::Proving => match share.proof {
            ProofState::NotYet => "sealed",
            ProofState::Missed => "missed",
            ProofState::Proven | ProofState::Unreadable => "proven",
        },
        ShareState::Faulty => "unreadable",
    }
}
