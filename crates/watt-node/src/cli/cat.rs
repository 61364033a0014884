//! `watt cat`.

use super::session::Session;
use crate::client::{self, CatRequest};
use crate::config::parse_bytes;
use crate::error::{CommandError, ErrorKind};
use crate::ui::{Format, stdout_error};
use clap::Args;
use tokio::io::AsyncWriteExt;

/// Write the file behind a link to standard output
///
/// Bytes leave as soon as they are verified, so a film plays while it arrives. A part of a file costs a part of the time.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  watt cat 'watt:bafy…?v=1#key' | less\n  watt cat 'watt:bafy…?v=1#key' --offset 1GiB --length 4096")]
pub(super) struct CatArgs {
    /// The link, in quotes: the shell would cut it at #
    link: String,
    /// Begin at this byte
    #[arg(long, default_value = "0", value_parser = parse_bytes, value_name = "SIZE")]
    offset: u64,
    /// Write at most this much
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    length: Option<u64>,
}

pub(super) async fn run(session: &Session, args: CatArgs) -> Result<(), CommandError> {
    if session.ui.format() == Format::Json {
        return Err(CommandError::new(
            ErrorKind::Usage,
            "cat writes the file's bytes, which are not JSON",
            "leave --json out, or use `watt get --json`",
        ));
    }
    let context = session.context().await?;
    let request = CatRequest { link: args.link, offset: args.offset, length: args.length };
    let mut stdout = tokio::fs::File::from_std(stdout_file().map_err(|error| stdout_error(&error))?);
    client::cat(&context, &session.ui, request, &mut stdout).await?;
    stdout.flush().await.map_err(|error| stdout_error(&error))
}

/// Standard output as a file: without the line buffer that the usual handle puts before it.
fn stdout_file() -> std::io::Result<std::fs::File> {
    #[cfg(unix)]
    let owned = std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned()?;
    #[cfg(windows)]
    let owned = std::os::windows::io::AsHandle::as_handle(&std::io::stdout()).try_clone_to_owned()?;
    Ok(std::fs::File::from(owned))
}
