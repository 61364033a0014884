//! Logs of a running node: `tracing` to standard error, as text or JSON. Messages are constant lower-case phrases; facts are
//! fields; never keys, plaintext, file names or addresses of people.

use crate::config::LogFormat;
use crate::error::{CommandError, ErrorKind};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

/// Starts logging at `level` (a level or a filter such as `info,watt_net=debug`).
///
/// # Errors
/// The filter is none, or logging runs already.
pub fn start(level: &str, format: LogFormat) -> Result<(), CommandError> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        CommandError::new(
            ErrorKind::Usage,
            format!("`{level}` is no log filter: {error}"),
            "use error, warn, info, debug or trace, or for example info,watt_net=debug",
        )
    })?;
    let builder = Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| {
        CommandError::new(
            ErrorKind::Other,
            format!("can't start logging: {error}"),
            "report this",
        )
    })
}
