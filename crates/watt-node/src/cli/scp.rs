//! `watt scp`.

use super::session::Session;
use crate::error::{CommandError, ErrorKind, OrFail};
use crate::scp_log;
use crate::ui::{Table, bytes_text};
use clap::Subcommand;
use serde_json::json;
use std::path::{Path, PathBuf};
use watt_scp::replay::log::{InvalidLogFile, Replayed, replay};

/// Look into agreement
#[derive(Debug, Subcommand)]
pub(super) enum ScpCommand {
    /// Give a recorded log to the protocol again and compare what comes out
    ///
    /// `watt node run --record-scp FILE` records all that goes into the consensus protocol of a node and comes out, restarts
    /// included. Without network, clock or disk the same must come out again, bit for bit: exit code 8 and the first step
    /// that differs otherwise. What a crash tore at the end is said and left out.
    #[command(
        after_help = "Examples:\n  watt scp replay scp.log\n  watt scp replay scp.log --json | jq .steps"
    )]
    Replay {
        /// A file that `--record-scp` wrote
        file: PathBuf,
    },
}

pub(super) async fn run(session: &Session, command: ScpCommand) -> Result<(), CommandError> {
    let ScpCommand::Replay { file } = command;
    let replayed = tokio::task::spawn_blocking(move || replay_file(&file))
        .await
        .or_fail(
            ErrorKind::Other,
            "the replay stopped",
            "report this, with the file",
        )??;
    let mut object = json!(replayed);
    object["restarts"] = json!(restarts(&replayed));
    object["identical"] = json!(true);
    session.ui.result(&object, || text(&replayed))
}

fn replay_file(path: &Path) -> Result<Replayed, CommandError> {
    let bytes = scp_log::read(path)?;
    replay(&bytes).map_err(|invalid| refuse(path, &invalid))
}

fn refuse(path: &Path, invalid: &InvalidLogFile) -> CommandError {
    let hint = match invalid {
        InvalidLogFile::Foreign => {
            "name a file that `watt node run --record-scp` wrote, with the same version of watt"
        }
        InvalidLogFile::TooLong | InvalidLogFile::Damaged { .. } | InvalidLogFile::NoEntry { .. } => {
            "copy the file again from where it was written; from a damaged byte on a log can't be replayed"
        }
        InvalidLogFile::NoBeginning => "record again into a new file",
        InvalidLogFile::Differs(_) => {
            "replay it with the version of watt that recorded it; if that differs too, report this, with the file"
        }
    };
    CommandError::new(
        ErrorKind::VerificationFailed,
        format!("{}: {invalid}", path.display()),
        hint,
    )
}

const fn restarts(replayed: &Replayed) -> u64 {
    replayed.lives.saturating_sub(1)
}

fn text(replayed: &Replayed) -> String {
    let mut table = Table::plain();
    table.row([
        "identical".into(),
        format!("{} steps with {} outputs", replayed.steps, replayed.outputs),
    ]);
    table.row([
        "slots".into(),
        format!("{}, {} decided", replayed.slots, replayed.decided),
    ]);
    table.row(["restarts".into(), restarts(replayed).to_string()]);
    if replayed.torn_bytes > 0 {
        let torn = bytes_text(replayed.torn_bytes);
        table.row([
            "torn".into(),
            format!("{torn} that crashes left half-written, not replayed"),
        ]);
    }
    table.to_string()
}
