//! What the demo showed, as a table and as JSON.

use crate::api::types::amount_text;
use crate::ui::{Table, bytes_text, duration_text};
use serde::Serialize;
use watt_primitives::Amount;

/// What the demo showed.
#[derive(Clone, Debug, Serialize)]
pub struct DemoReport {
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, before and after.
    pub sha256: String,
    /// Whether the fetched file is the stored one.
    pub is_identical: bool,
    /// Bytes placed per byte of the file.
    pub expansion: f64,
    /// Shares that rebuild a bundle.
    pub shares_needed: u32,
    /// Shares of a bundle.
    pub shares_per_bundle: u32,
    /// Storing, in seconds.
    pub put_seconds: f64,
    /// Storing, in MiB per second.
    pub put_mib_per_s: f64,
    /// Fetching after the kills, in seconds.
    pub get_seconds: f64,
    /// Fetching after the kills, in MiB per second.
    pub get_mib_per_s: f64,
    /// Height of the last block seen.
    pub blocks: u64,
    /// Average time between blocks, in milliseconds.
    pub block_ms: u64,
    /// Entries that proposed a block, of how many.
    pub proposers: u32,
    /// Window proofs that the ledger accepted.
    pub proofs_accepted: u64,
    /// Window proofs that were due and never came.
    pub proofs_missed: u64,
    /// Batches of sealed sectors that committees let in.
    pub batches_let_in: u64,
    /// Live sectors that committees looked at again.
    pub sectors_asked_again: u64,
    /// Locked for the file.
    #[serde(with = "amount_text")]
    pub escrowed: Amount,
    /// Paid to providers so far.
    #[serde(with = "amount_text")]
    pub paid: Amount,
    /// Would come back if the file were given up.
    #[serde(with = "amount_text")]
    pub refundable: Amount,
    /// What one folded proof settled, in words.
    pub settled: String,
    /// Why a provider that stored nothing was refused.
    pub caught: String,
    /// Nodes killed with SIGKILL.
    pub killed: Vec<String>,
    /// Blocks closed between the kills and the fetch.
    pub blocks_after_kill: u64,
    /// Who votes.
    pub voters: Vec<String>,
    /// Bytes of the proof of the client's balance.
    pub proof_bytes: u64,
    /// Height of the block that it shows.
    pub proof_height: u64,
    /// Voters that signed for it.
    pub proof_votes: u64,
    /// The whole story, in seconds.
    pub seconds: f64,
}

/// The final table.
#[must_use]
pub fn table(report: &DemoReport) -> String {
    let mut table = Table::plain();
    let speed = |seconds: f64, mib_per_s: f64| format!("{seconds:.1} s, {mib_per_s:.1} MiB/s");
    table.row([
        "file".into(),
        format!("{}, SHA-256 {}", bytes_text(report.bytes), short(&report.sha256)),
    ]);
    table.row([
        "shares".into(),
        format!(
            "{} of {} rebuild it, {:.2} bytes stored per byte",
            report.shares_needed, report.shares_per_bundle, report.expansion
        ),
    ]);
    table.row(["put".into(), speed(report.put_seconds, report.put_mib_per_s)]);
    table.row([
        "get".into(),
        format!(
            "{}, after the kills",
            speed(report.get_seconds, report.get_mib_per_s)
        ),
    ]);
    table.row([
        "blocks".into(),
        format!(
            "{}, one every {}, by {} proposers",
            report.blocks,
            duration_text(report.block_ms),
            report.proposers
        ),
    ]);
    table.row([
        "proofs".into(),
        format!(
            "{} accepted, {} missed",
            report.proofs_accepted, report.proofs_missed
        ),
    ]);
    table.row([
        "committees".into(),
        format!(
            "let in {} batches of sealed sectors, looked at {} live sectors again",
            report.batches_let_in, report.sectors_asked_again
        ),
    ]);
    table.row(["one proof".into(), report.settled.clone()]);
    table.row(["caught".into(), report.caught.clone()]);
    table.row([
        "WATT".into(),
        format!(
            "{} escrowed, {} paid so far, {} refundable",
            report.escrowed, report.paid, report.refundable
        ),
    ]);
    table.row([
        "killed".into(),
        format!(
            "{}; {} blocks since",
            report.killed.join(", "),
            report.blocks_after_kill
        ),
    ]);
    table.row([
        "proven".into(),
        format!(
            "the balance after block {}, in {}, signed for by {} of {}",
            report.proof_height,
            bytes_text(report.proof_bytes),
            report.proof_votes,
            report.voters.len()
        ),
    ]);
    let verdict = if report.is_identical {
        "the same file, byte for byte"
    } else {
        "ANOTHER FILE"
    };
    table.row(["fetched".into(), verdict.to_owned()]);
    format!("\n{table}")
}

/// The first and last digits of a digest.
pub(super) fn short(digest: &str) -> String {
    match (digest.get(..8), digest.get(digest.len().saturating_sub(8)..)) {
        (Some(first), Some(last)) if digest.len() > 20 => format!("{first}…{last}"),
        _ => digest.to_owned(),
    }
}
