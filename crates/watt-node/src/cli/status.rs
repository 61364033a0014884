//! `watt status`.

use super::session::Session;
use crate::client::{self, Answer, ProofState, ShareState, ShareStatus, StatusReport, StatusRequest};
use crate::error::CommandError;
use crate::ui::{Table, bytes_text, time_text};
use clap::Args;

/// Tell how a stored file is: shares, proofs, payments, expiry
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watt status 'watt:bafy…?v=1#key'\n  watt status 'watt:bafy…?v=1#key' --json\n  watt status 'watt:bafy…?v=1#key' --check      whoever keeps it sealed unseals it\n  watt status 'watt:bafy…?v=1#key' --dispute    show it or lose it"
)]
pub(super) struct StatusArgs {
    /// The link, in quotes: the shell would cut it at #
    link: String,
    /// Have every holder send a part of its share, drawn by lot; those who keep it sealed unseal it first, which takes some seconds
    #[arg(long)]
    check: bool,
    /// As --check, and have the ledger ask those who send nothing or something else; 0.01 WATT each is locked until they show it, and
    /// comes back if they don't
    #[arg(long)]
    dispute: bool,
}

pub(super) async fn run(session: &Session, args: StatusArgs) -> Result<(), CommandError> {
    let context = session.context().await?;
    let report = client::status(
        &context,
        &session.ui,
        StatusRequest {
            link: args.link,
            check: args.check,
            dispute: args.dispute,
        },
    )
    .await?;
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
            answer(share).to_owned(),
            proof,
            share.paid.to_string(),
        ]);
    }
    let mut told = String::new();
    for lost in &report.lost {
        let why = match lost.lost.why.as_str() {
            "dispute-unanswered" => "its holder did not show it when it was disputed",
            _ => "its holder did not prove it for too long",
        };
        told.push_str(&format!(
            "\nshare {} is lost since block {}: {why}; {} WATT came back",
            lost.lost.slot, lost.lost.height, lost.lost.refunded
        ));
    }
    let is_silent = |share: &ShareStatus| share.answer.is_missing() && share.dispute.is_none();
    if report.shares.iter().any(is_silent) {
        told.push_str("\nwho does not send its share can be made to show it or lose it: add --dispute");
    }
    for one in &report.disputed {
        told.push_str(&format!(
            "\nshare {} is disputed: {} must show group {} by block {} or lose it; {} WATT locked until then",
            one.slot, one.holder, one.group, one.answer_by, one.locked
        ));
    }
    format!(
        "{}{told}\n{} of {} shares answer, {} are needed; {}; stored until {}\n\
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

const fn answer(share: &ShareStatus) -> &'static str {
    match share.answer {
        Answer::Given => "yes",
        Answer::Sealed => "yes, sealed",
        Answer::Wrong => "wrong data",
        Answer::None => "no",
    }
}

const fn share_state(share: &ShareStatus) -> &'static str {
    if share.dispute.is_some() {
        return "disputed";
    }
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
