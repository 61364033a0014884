//! `watt verify`.

use super::session::Session;
use crate::bounded_file;
use crate::devnet::Registry;
use crate::error::{CommandError, ErrorKind};
use crate::proof_file::{self, InvalidProofFile, PROOF_FILE_BYTES_MAX, Verified};
use crate::ui::{Table, time_text};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use watt_primitives::NetworkId;
use watt_primitives::id::AddressKind;

/// Check a proof about the ledger, without any node
///
/// `watt chain proof` writes such files. They are checked with nothing but the network's id: that every backbone since the
/// first handed over to the next, that enough of the newest signed the block, and that the account stands in the state after it. Of two files that contradict each other those are named who signed both.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watt verify block-42.proof\n  watt verify block-42.proof --network 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n  watt verify mine.proof theirs.proof"
)]
pub(super) struct VerifyArgs {
    /// The proof
    file: PathBuf,
    /// A second one, to see whether they contradict each other
    other: Option<PathBuf>,
    /// The network's id: 64 hexadecimal digits, or 128 of one that was restarted [default: that of the devnet you run]
    #[arg(long, value_name = "ID", value_parser = network_id)]
    network: Option<NetworkId>,
}

pub(super) fn network_id(text: &str) -> Result<NetworkId, String> {
    NetworkId::from_hex(text)
        .ok_or_else(|| "a network's id has 64 hexadecimal digits, or 128 if it was restarted".to_owned())
}

pub(super) fn run(session: &Session, args: &VerifyArgs) -> Result<(), CommandError> {
    let network = match args.network {
        Some(network) => network,
        None => devnet(session)?,
    };
    let verified = verify(&args.file, &network)?;
    if let Some(other) = &args.other
        && let Some(culprits) = verified.contradictors(&verify(other, &network)?)
    {
        let names: Vec<String> = culprits.iter().map(ToString::to_string).collect();
        let who = if names.is_empty() {
            "a backbone handed over to two, and who signed both can't be told from these files".to_owned()
        } else {
            format!("signed both: {}", names.join(", "))
        };
        return Err(CommandError::new(
            ErrorKind::VerificationFailed,
            format!("both proofs hold and contradict each other; {who}"),
            "keep both files and show them: more of the backbone lies than the network bears, believe neither",
        ));
    }
    session.ui.result(&object(&verified), || text(&verified))
}

/// The network of the devnet that this owner runs.
fn devnet(session: &Session) -> Result<NetworkId, CommandError> {
    let registry = Registry::read(&session.home)?;
    registry
        .and_then(|registry| NetworkId::from_hex(&registry.network))
        .ok_or_else(|| {
            CommandError::new(
                ErrorKind::Usage,
                "which network? a proof is worth nothing without the id of the network you mean",
                "give it with --network ID; `watt chain head` prints it on a machine that you trust",
            )
        })
}

/// Reads and checks one file.
pub(super) fn verify(path: &Path, network: &NetworkId) -> Result<Verified, CommandError> {
    let bytes = bounded_file::read(path, PROOF_FILE_BYTES_MAX)?;
    proof_file::verify(&bytes, network).map_err(|invalid| {
        let hint = match invalid {
            InvalidProofFile::Encoding(_) => "copy the file again from where it was written",
            InvalidProofFile::Format { .. } => {
                "read it with the version of watt that wrote it, or write it again"
            }
            InvalidProofFile::Newer { .. } => "update watt, then check it again",
            InvalidProofFile::OtherNetwork { .. } => "name the network that you mean with --network ID",
            InvalidProofFile::Genesis(_)
            | InvalidProofFile::Shown(_)
            | InvalidProofFile::Restarts
            | InvalidProofFile::NoAccount => {
                "do not believe it, nor who gave it to you; ask another node with `watt chain proof`"
            }
        };
        let message = format!("{}: {invalid}", path.display());
        CommandError::new(ErrorKind::VerificationFailed, message, hint)
    })
}

fn address(verified: &Verified) -> Option<String> {
    let kind = if verified.is_main {
        AddressKind::Main
    } else {
        AddressKind::Test
    };
    verified.account.as_ref().map(|(id, _)| id.to_address(kind))
}

pub(super) fn object(verified: &Verified) -> Value {
    let header = &verified.header;
    let account = verified.account.as_ref().map(|(_, row)| {
        json!({
            "address": address(verified),
            "exists": row.is_some(),
            "balance": row.as_ref().map(|row| row.balance.to_string()),
        })
    });
    json!({
        "network": verified.network.to_string(),
        "height": header.height.0,
        "hash": header.hash().to_string(),
        "close_time": header.close_time.0,
        "state_root": header.state_root.to_string(),
        "votes": verified.n_votes,
        "backbone": verified.n_entries,
        "hand_overs": verified.n_hand_overs,
        "account": account,
    })
}

pub(super) fn text(verified: &Verified) -> String {
    let header = &verified.header;
    let mut table = Table::plain();
    table.row([
        "proven".into(),
        format!(
            "block {} is final: {} of {} entries of the backbone signed for it",
            header.height, verified.n_votes, verified.n_entries
        ),
    ]);
    table.row(["closed".into(), time_text(header.close_time.0)]);
    table.row(["hash".into(), header.hash().to_string()]);
    table.row(["network".into(), verified.network.to_string()]);
    if let (Some(address), Some((_, row))) = (address(verified), &verified.account) {
        let state = row.as_ref().map_or_else(
            || "has received nothing up to this block".to_owned(),
            |row| format!("has {} WATT after this block", row.balance),
        );
        table.row(["account".into(), format!("{address} {state}")]);
    }
    table.to_string()
}
