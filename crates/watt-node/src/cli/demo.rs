//! `watt demo`.

use super::session::{Session, executable, interrupted};
use crate::config::parse_bytes;
use crate::demo::{self, DemoRequest};
use crate::devnet::DevnetSize;
use crate::error::CommandError;
use clap::Args;
use std::path::PathBuf;

/// Watch the whole story: a network starts, a file is stored, proven, paid for, and survives
///
/// Sixteen processes start on this machine. A file is encrypted, cut into ten shares of which any four rebuild it, and
/// placed at ten providers, which seal it and prove it again and again; every proof is paid, one by one or many windows by
/// one folded proof. A provider that deletes its data and says that it has it is caught. Then a validator and four more of
/// the ten holders are killed, and the file is fetched all the same. Everything is cleaned up afterwards.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  watt demo\n  watt demo holiday.mp4\n  watt demo --size 8MiB --json")]
pub(super) struct DemoArgs {
    /// Store this file [default: one is made]
    file: Option<PathBuf>,
    /// Size of the file that is made
    #[arg(long, default_value = "64MiB", value_parser = parse_bytes, value_name = "SIZE", conflicts_with = "file")]
    size: u64,
    /// Keep the network's folder, with all logs
    #[arg(long)]
    keep: bool,
    /// How many nodes vote
    #[arg(long, default_value_t = DevnetSize::DEFAULT.validators, value_name = "N", hide = true)]
    validators: u32,
    /// How many nodes store
    #[arg(long, default_value_t = DevnetSize::DEFAULT.providers, value_name = "N", hide = true)]
    providers: u32,
}

pub(super) async fn run(session: &Session, args: DemoArgs) -> Result<(), CommandError> {
    let request = DemoRequest {
        file: args.file,
        size_bytes: args.size,
        keeps_folder: args.keep,
        size: DevnetSize {
            validators: args.validators,
            providers: args.providers,
        }
        .check()?,
        executable: executable()?,
    };
    let report = demo::run(&session.ui, request, interrupted()).await?;
    session.ui.result(&report, || demo::table(&report))
}
