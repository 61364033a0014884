//! Writing a file, or a part of it, to a stream as its bytes are verified.

use super::find;
use super::get::{ROWS_AHEAD, Sources, read_error, send_rows};
use super::net::ClientNet;
use super::request::CatRequest;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, stdout_error};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use watt_content::RangeReader;

/// Writes plain bytes to `out` as they are verified; returns how many.
///
/// # Errors
/// A bad link or key, too few holders, or `out` can't be written. What was written before is right as far as it goes.
pub async fn cat(
    context: &Context,
    ui: &Ui,
    request: CatRequest,
    out: &mut (dyn AsyncWrite + Unpin + Send),
) -> Result<u64, CommandError> {
    let link = find::parse_link(&request.link, &context.network)?;
    let net = ClientNet::start().await?;
    let file = find::find(context, net.net(), &link).await?;
    let len = request.length.unwrap_or(u64::MAX);
    let needed = file.reader.rows_for_range(request.offset, len);
    let range = file.reader.range(request.offset, len);
    let (rows, rows_out) = mpsc::channel(ROWS_AHEAD);
    let mut sources = Sources::default();
    let sending = send_rows(context, &net, &file, needed, rows, &mut sources, &|_| {});
    let (sent, written) = tokio::join!(sending, write(range, rows_out, out));
    sources.warn(context, ui);
    sent?;
    let n_bytes = written?;
    net.stop().await;
    Ok(n_bytes)
}

async fn write(
    mut range: RangeReader,
    mut rows: mpsc::Receiver<Vec<u8>>,
    out: &mut (dyn AsyncWrite + Unpin + Send),
) -> Result<u64, CommandError> {
    let (mut plain, mut n_bytes) = (Vec::new(), 0u64);
    while let Some(row) = rows.recv().await {
        plain.clear();
        range
            .push_row(&row, &mut plain)
            .map_err(|error| read_error(&error))?;
        out.write_all(&plain)
            .await
            .map_err(|error| stdout_error(&error))?;
        n_bytes = n_bytes.saturating_add(u64::try_from(plain.len()).unwrap_or(0));
    }
    range.finish().map_err(|error| read_error(&error))?;
    out.flush().await.map_err(|error| stdout_error(&error))?;
    Ok(n_bytes)
}
