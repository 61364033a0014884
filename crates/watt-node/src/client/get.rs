//! Fetching a file: written beside its place, and moved there only when every byte was checked.

use super::download::{Blame, BundleReader, DownloadError, Fault};
use super::find::{self, FoundFile, too_few};
use super::net::ClientNet;
use super::part::PartFile;
use super::request::{GetReport, GetRequest};
use super::wire::Holder;
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::ui::{Progress, Ui};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use watt_content::reader::{ReadError, RowsNeeded};
use watt_content::{BundleDecoder, FileInfo, RangeReader};

/// Rows that wait to be decrypted: what the network may run ahead, 4 MiB.
pub(super) const ROWS_AHEAD: usize = 64;

/// Who helped and who did not.
#[derive(Default)]
pub(super) struct Sources {
    served_by: Vec<Holder>,
    blames: Vec<Blame>,
}

impl Sources {
    fn take(&mut self, reader: BundleReader<'_>) {
        self.served_by.extend(reader.served_by);
        self.blames.extend(reader.blames);
    }

    fn addresses<'a>(context: &Context, holders: impl Iterator<Item = &'a Holder>) -> Vec<String> {
        let all: BTreeSet<String> = holders.map(|holder| context.address(&holder.provider)).collect();
        all.into_iter().collect()
    }

    fn blamed(&self, context: &Context, is_of: fn(Fault) -> bool) -> Vec<String> {
        let blamed = self.blames.iter().filter(|blame| is_of(blame.fault));
        Self::addresses(context, blamed.map(|blame| &blame.holder))
    }

    fn corrupt(&self, context: &Context) -> Vec<String> {
        self.blamed(context, |fault| matches!(fault, Fault::Lied | Fault::Damaged))
    }

    fn unreachable(&self, context: &Context) -> Vec<String> {
        self.blamed(context, |fault| fault == Fault::Silent)
    }

    /// Tells about providers that lied, whether or not the file could be read without them.
    pub(super) fn warn(&self, context: &Context, ui: &Ui) {
        for provider in self.blamed(context, |fault| fault == Fault::Lied) {
            ui.warn(&culprit_sentence(&provider));
        }
        for provider in self.blamed(context, |fault| fault == Fault::Damaged) {
            ui.warn(&damage_sentence(&provider));
        }
        for blame in &self.blames {
            tracing::info!(
                provider = %context.address(&blame.holder.provider),
                slot = blame.holder.slot.0,
                reason = %blame.reason,
                "a holder was of no use"
            );
        }
    }
}

/// What a bar says while holders unseal.
fn unsealing_text(n_holders: usize) -> String {
    match n_holders {
        0 => String::new(),
        1 => "1 provider unseals its share".to_owned(),
        n => format!("{n} providers unseal their shares"),
    }
}

fn culprit_sentence(provider: &str) -> String {
    format!("provider {provider} sent bytes that are not what it signed for; its share was taken from others")
}

fn damage_sentence(provider: &str) -> String {
    format!(
        "provider {provider} no longer has what it signed for: its copy is damaged; its share was taken from others"
    )
}

/// Fetches a file.
///
/// # Errors
/// A bad link or key, too few holders, a file in the way, no space; never leaves a part under the final name.
pub async fn get(context: &Context, ui: &Ui, request: GetRequest) -> Result<GetReport, CommandError> {
    let started = Instant::now();
    let link = find::parse_link(&request.link, &context.network)?;
    if let Some(path) = &request.output
        && !path.is_dir()
    {
        refuse_existing(path, request.overwrite)?;
    }
    let net = ClientNet::start().await?;
    let spinner = ui.spinner("finding");
    let file = find::find(context, net.net(), &link).await?;
    spinner.finish();
    let path = target(request.output, file.reader.info());
    refuse_existing(&path, request.overwrite)?;
    let part = PartFile::create(&path)?;
    let bytes = file.reader.info().len;
    let (rows, rows_out) = mpsc::channel(ROWS_AHEAD);
    let mut sources = Sources::default();
    let range = file.reader.whole();
    let progress = Arc::new(ui.bar("fetching", bytes));
    let shown = Arc::clone(&progress);
    let writing = tokio::task::spawn_blocking(move || write(part, range, rows_out, &shown));
    let on_unsealing = |n| progress.message(unsealing_text(n));
    let sent = send_rows(
        context,
        &net,
        &file,
        whole(&file),
        rows,
        &mut sources,
        &on_unsealing,
    )
    .await;
    let written = writing.await.map_err(|_| stopped())?;
    sources.warn(context, ui);
    sent?;
    written?.publish(request.overwrite)?;
    net.stop().await;
    let elapsed = started.elapsed();
    Ok(GetReport {
        path,
        bytes,
        served_by: Sources::addresses(context, sources.served_by.iter()),
        corrupt: sources.corrupt(context),
        unreachable: sources.unreachable(context),
        seconds: elapsed.as_secs_f64(),
        mib_per_s: mib_per_s(bytes, elapsed),
    })
}

/// Where a file goes: the name that was given, else its own in the folder that was given, else in the working folder.
fn target(output: Option<PathBuf>, info: &FileInfo) -> PathBuf {
    match output {
        Some(path) if path.is_dir() => path.join(info.name.as_str()),
        Some(path) => path,
        None => PathBuf::from(info.name.as_str()),
    }
}

fn refuse_existing(path: &Path, overwrite: bool) -> Result<(), CommandError> {
    if overwrite || std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    Err(in_the_way(path))
}

pub(super) fn in_the_way(path: &Path) -> CommandError {
    let message = format!("there is a file {} already", path.display());
    CommandError::new(
        ErrorKind::Conflict,
        message,
        "choose another name with -o PATH, or replace it with --overwrite",
    )
}

/// Every row of a file: also those of padding, so that each bundle is compared with its header.
fn whole(file: &FoundFile) -> Vec<RowsNeeded> {
    let all = file.bundles.iter().enumerate();
    all.map(|(bundle, found)| RowsNeeded {
        bundle,
        rows: 0..found.header.rows(),
    })
    .collect()
}

/// Reads the rows `needed` and gives them to `rows`; ends early without an error if nobody takes them any more.
pub(super) async fn send_rows(
    context: &Context,
    net: &ClientNet,
    file: &FoundFile,
    needed: Vec<RowsNeeded>,
    rows: mpsc::Sender<Vec<u8>>,
    sources: &mut Sources,
    on_unsealing: &(dyn Fn(usize) + Sync),
) -> Result<(), CommandError> {
    let mut last = BTreeSet::new();
    for part in needed {
        let Some(found) = file.bundles.get(part.bundle) else {
            continue;
        };
        let row_bytes = usize::try_from(found.header.class().row_bytes()).unwrap_or_default();
        let decoder = BundleDecoder::new(found.header.clone(), found.roots.clone())
            .map_err(|error| made_wrongly(&error.to_string()))?;
        let holders = found.holders.clone();
        let mut reader = BundleReader::new(
            net.net().clone(),
            context.network,
            holders,
            decoder,
            part.rows,
            &last,
            on_unsealing,
        );
        let outcome = loop {
            let mut sealed = Vec::with_capacity(row_bytes);
            match reader.next_row(&mut sealed).await {
                Ok(true) if rows.send(sealed).await.is_err() => return Ok(()),
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        last.extend(reader.silent());
        sources.take(reader);
        outcome.map_err(|error| download_error(context, &error))?;
    }
    Ok(())
}

fn download_error(context: &Context, error: &DownloadError) -> CommandError {
    match error {
        DownloadError::TooFew {
            reachable,
            need,
            missing,
        } => too_few(context, *reachable, *need, missing),
        DownloadError::Bundle(error) => made_wrongly(&error.to_string()),
    }
}

fn made_wrongly(reason: &str) -> CommandError {
    CommandError::new(
        ErrorKind::VerificationFailed,
        reason,
        "ask whoever gave you the link to store the file again",
    )
}

pub(super) fn read_error(error: &ReadError) -> CommandError {
    match error {
        // The network's side says why.
        ReadError::Unfinished => stopped(),
        ReadError::Damaged(_)
        | ReadError::RowLength { .. }
        | ReadError::NoRowDue
        | ReadError::OtherPayload { .. } => made_wrongly(&error.to_string()),
    }
}

fn stopped() -> CommandError {
    CommandError::new(
        ErrorKind::Other,
        "the file did not arrive whole",
        "run the same command again",
    )
}

/// Decrypts rows as they come and writes them; off the event loop, since both are heavy.
fn write(
    mut part: PartFile,
    mut range: RangeReader,
    mut rows: mpsc::Receiver<Vec<u8>>,
    progress: &Progress,
) -> Result<PartFile, CommandError> {
    let mut plain = Vec::new();
    while let Some(row) = rows.blocking_recv() {
        plain.clear();
        range
            .push_row(&row, &mut plain)
            .map_err(|error| read_error(&error))?;
        part.write(&plain)?;
        progress.add(u64::try_from(plain.len()).unwrap_or(0));
    }
    range.finish().map_err(|error| read_error(&error))?;
    part.sync()?;
    Ok(part)
}

/// Throughput for reports.
pub(super) fn mib_per_s(bytes: u64, elapsed: Duration) -> f64 {
    let mib = f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0;
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { mib / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads the note knows whom not to trust. Covers: C5.
    #[test]
    fn a_culprit_is_named() {
        let sentence = culprit_sentence("twatt1x");
        assert!(sentence.starts_with("provider twatt1x sent bytes that are not what it signed for"));
    }

    /// Nothing that exists is replaced unasked. Covers: C1.
    #[test]
    fn an_existing_file_is_in_the_way_unless_it_may_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(refuse_existing(&path, false).is_ok());
        std::fs::write(&path, b"old").unwrap();
        assert_eq!(
            refuse_existing(&path, false).unwrap_err().kind,
            ErrorKind::Conflict
        );
        assert!(refuse_existing(&path, true).is_ok());
    }

    #[test]
    fn throughput_is_per_second() {
        assert!((mib_per_s(64 << 20, Duration::from_secs(2)) - 32.0).abs() < 0.001);
        assert!(mib_per_s(1, Duration::ZERO).abs() < 0.001);
    }
}
