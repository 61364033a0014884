//! Runs a node.

use crate::api::NodeView;
use crate::config::NodeConfig;
use crate::error::{CommandError, ErrorKind};
use std::sync::Arc;

/// Starts a node.
///
/// # Errors
/// It can't run.
#[allow(clippy::unused_async, reason = "replaced by the runtime")]
pub async fn start(_config: NodeConfig) -> Result<Arc<dyn NodeView>, CommandError> {
    Err(CommandError::new(
        ErrorKind::Other,
        "this build has no runtime",
        "merge it",
    ))
}
