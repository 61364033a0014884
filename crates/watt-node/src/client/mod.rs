//! What a client does with files: put, get, cat, ls, rm, status.

mod request;

pub use request::{
    CatRequest, GetReport, GetRequest, ListEntry, ListReport, PutReport, PutRequest, PutWait, RmReport,
    RmRequest, ShareState, ShareStatus, StatusReport, StatusRequest,
};

use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::ui::Ui;
use tokio::io::AsyncWrite;

fn missing() -> CommandError {
    CommandError::new(ErrorKind::Other, "this build has no client", "merge it")
}

/// Stores a file.
///
/// # Errors
/// See [`CommandError`].
#[allow(clippy::unused_async, reason = "replaced by the client")]
pub async fn put(_context: &Context, _ui: &Ui, _request: PutRequest) -> Result<PutReport, CommandError> {
    Err(missing())
}

/// Fetches a file.
///
/// # Errors
/// See [`CommandError`].
#[allow(clippy::unused_async, reason = "replaced by the client")]
pub async fn get(_context: &Context, _ui: &Ui, _request: GetRequest) -> Result<GetReport, CommandError> {
    Err(missing())
}

/// Writes a file's bytes to `out`.
///
/// # Errors
/// See [`CommandError`].
#[allow(clippy::unused_async, reason = "replaced by the client")]
pub async fn cat(
    _context: &Context,
    _ui: &Ui,
    _request: CatRequest,
    _out: &mut (dyn AsyncWrite + Unpin + Send),
) -> Result<u64, CommandError> {
    Err(missing())
}

/// Lists stored files.
///
/// # Errors
/// See [`CommandError`].
#[allow(clippy::unused_async, reason = "replaced by the client")]
pub async fn ls(_context: &Context, _ui: &Ui) -> Result<ListReport, CommandError> {
    Err(missing())
}

/// Gives a file up.
///
/// # Errors
/// See [`CommandError`].
#[allow(clippy::unused_async, reason = "replaced by the client")]
pub async fn rm(_context: &Context, _ui: &Ui, _request: RmRequest) -> Result<RmReport, CommandError> {
    Err(missing())
}

/// Tells how a file is.
///
/// # Errors
/// See [`CommandError`].
#[allow(clippy::unused_async, reason = "replaced by the client")]
pub async fn status(
    _context: &Context,
    _ui: &Ui,
    _request: StatusRequest,
) -> Result<StatusReport, CommandError> {
    Err(missing())
}
