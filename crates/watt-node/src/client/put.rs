//! Storing a file: find what it commits to, then place it bundle by bundle.

use super::get::mib_per_s;
use super::journal::{Journal, KnownBundle};
use super::net::ClientNet;
use super::place::{Placing, encode_error};
use super::price::{Wanted, insufficient};
use super::request::{PutReport, PutRequest, PutWait};
use super::source::Source;
use super::stored::{StoredFile, StoredList, now_ms};
use crate::api::types::{DealInfo, DealStage, SlotState};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::ui::{Progress, Ui};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use watt_content::{FileInfo, FileKey, FileName, FilePlan, Manifest, RootsPass, ShareLink};
use watt_primitives::Amount;
use watt_primitives::class::Class;

/// Bytes read from the file at once.
const READ_BYTES: usize = 256 * 1024;

/// The most bundles read at once: each is hashed by one thread.
const PASSES_MAX: usize = 4;

/// Pause between two looks at how the sealing goes.
const POLL: Duration = Duration::from_millis(500);

/// Stores a file.
///
/// # Errors
/// An unreadable or changing file, too little money, too few offers or providers. Running it again goes on where it stopped.
pub async fn put(context: &Context, ui: &Ui, request: PutRequest) -> Result<PutReport, CommandError> {
    let started = Instant::now();
    let source = Source::open(&request.path)?;
    let account = context.account()?;
    let class = Class::Devnet;
    if context.genesis.is_main && class.is_test_only() {
        let message = "this version stores files on test networks only";
        return Err(CommandError::new(ErrorKind::NotAllowed, message, "update watt"));
    }
    let plan = FilePlan::new(class, source.len).map_err(|error| {
        CommandError::new(ErrorKind::Usage, error.to_string(), "cut it into smaller files")
    })?;
    let client_dir = context.home.client_dir(&context.network);
    let (journal, resumed) = Journal::open(&client_dir.join("puts"), &source, account.id, request.term_ms)?;
    let net = ClientNet::start().await?;
    if resumed {
        ui.note("going on with an interrupted put of this file");
    }
    let stored = Box::pin(store(context, ui, &request, &source, &plan, &journal, &net)).await;
    net.stop().await;
    let (link, deals, waited) = match stored {
        Ok(stored) => stored,
        Err(error) => {
            journal.close_failed()?;
            return Err(error);
        }
    };
    let times = (started.elapsed(), waited);
    let report = report(context, &plan, &link, &deals, times, resumed);
    remember(&client_dir, &source, &report)?;
    journal.remove()?;
    Ok(report)
}

/// Reads the file, places it and waits as far as is wanted; returns its link, its deals, and how long it waited for providers to be
/// drawn.
async fn store(
    context: &Context,
    ui: &Ui,
    request: &PutRequest,
    source: &Source,
    plan: &FilePlan,
    journal: &Journal,
    net: &ClientNet,
) -> Result<(ShareLink, Vec<DealInfo>, Duration), CommandError> {
    check_funds(context, journal, plan, request).await?;
    let headers = read_file(ui, source, plan, journal).await?;
    let manifest = manifest(source, journal, &headers)?;
    let link = ShareLink {
        manifest: manifest.cid(),
        network: None,
        key: journal.key(),
    };
    let placing = Placing {
        context,
        ui,
        net,
        source,
        journal,
        plan: *plan,
        manifest,
        term_ms: request.term_ms,
        price_max: request.price_max,
        last_failure: Mutex::default(),
        told: AtomicU64::new(0),
    };
    let (deals, waited) = placing.run().await?;
    match request.wait {
        PutWait::Certified => Ok((link, deals, waited)),
        PutWait::Proven => Ok((link, wait_proven(context, ui, deals).await?, waited)),
    }
}

/// Refuses a put that the account can't pay, before the file is read.
async fn check_funds(
    context: &Context,
    journal: &Journal,
    plan: &FilePlan,
    request: &PutRequest,
) -> Result<(), CommandError> {
    let class = plan.class();
    let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
    for bundle in plan
        .bundles()
        .filter(|bundle| journal.deal_of(bundle.index).is_none())
    {
        *sizes
            .entry(bundle.rows.saturating_mul(class.cell_bytes()))
            .or_default() += 1;
    }
    if sizes.is_empty() {
        return Ok(());
    }
    let providers = context.api.providers().await?;
    let mut needed = Amount::ZERO;
    for (slot_bytes, n) in sizes {
        let wanted = Wanted {
            class,
            slot_bytes,
            term_ms: request.term_ms,
        };
        let price_max = wanted.price_max(&providers, &[], request.price_max)?;
        let escrow = wanted.escrow(&context.genesis.parameters, price_max)?;
        needed = Amount(needed.0.saturating_add(escrow.0.saturating_mul(n)));
    }
    let account = context.account()?;
    let balance = match context.api.account(&account.id).await {
        Ok(info) => info.balance,
        Err(error) if error.kind == ErrorKind::NotFound => Amount::ZERO,
        Err(error) => return Err(error),
    };
    if balance >= needed {
        return Ok(());
    }
    let address = context.address(&account.id);
    Err(insufficient(
        &account.name,
        &address,
        balance,
        needed,
        plan.len(),
        request.term_ms,
    ))
}

/// First pass over every bundle that the journal does not know yet; returns all headers in file order.
async fn read_file(
    ui: &Ui,
    source: &Source,
    plan: &FilePlan,
    journal: &Journal,
) -> Result<Vec<watt_content::Header>, CommandError> {
    let progress = Arc::new(ui.bar("reading", source.len));
    let threads = std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(PASSES_MAX);
    let work = (0..plan.bundle_count()).map(|bundle| {
        let (plan, progress, path) = (*plan, Arc::clone(&progress), source.path.clone());
        async move {
            if let Some(known) = journal.bundle(bundle)? {
                return Ok(known.header);
            }
            let key = journal.key();
            let reading =
                tokio::task::spawn_blocking(move || read_bundle(&path, &plan, bundle, &key, &progress));
            let known = reading.await.map_err(|_| {
                CommandError::new(
                    ErrorKind::Other,
                    "the encoder stopped unexpectedly",
                    "report this",
                )
            })??;
            journal.save_bundle(bundle, &known)?;
            Ok::<_, CommandError>(known.header)
        }
    });
    futures::stream::iter(work).buffered(threads).try_collect().await
}

fn read_bundle(
    path: &Path,
    plan: &FilePlan,
    bundle: usize,
    key: &FileKey,
    progress: &Progress,
) -> Result<KnownBundle, CommandError> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            encode_error(&watt_content::encoder::EncodeError::TooShort { missing: 1 })
        }
        _ => CommandError::file("read", path, &error),
    };
    let plain = plan.bundle(bundle).map(|bundle| bundle.plain).unwrap_or_default();
    let mut pass = RootsPass::new(plan, bundle, key).map_err(|error| encode_error(&error))?;
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(plain.start)).map_err(failed)?;
    let mut left = plain.end - plain.start;
    let mut buffer = vec![0; READ_BYTES];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let chunk = &mut buffer[..want];
        file.read_exact(chunk).map_err(failed)?;
        pass.push(chunk).map_err(|error| encode_error(&error))?;
        let n_read = u64::try_from(want).unwrap_or(left);
        left -= n_read;
        progress.add(n_read);
    }
    let roots = pass.finish().map_err(|error| encode_error(&error))?;
    let k = usize::from(plan.class().k());
    Ok(KnownBundle {
        header: roots.header,
        slot_roots: roots.slot_roots,
        outboards: roots.outboards.into_iter().take(k).collect(),
    })
}

/// The manifest: the same bytes whenever the same put makes it, so that a resumed put bids for the same file.
fn manifest(
    source: &Source,
    journal: &Journal,
    headers: &[watt_content::Header],
) -> Result<Manifest, CommandError> {
    let modified_ms = i64::try_from(journal.plan().modified_ms)
        .ok()
        .filter(|ms| *ms > 0);
    let name = FileName::new(&journal.plan().name).unwrap_or_else(|_| source.name.clone());
    let info = FileInfo {
        name,
        len: source.len,
        mtime: modified_ms,
    };
    Manifest::new(headers, &info, &journal.key())
        .map_err(|error| CommandError::new(ErrorKind::Other, error.to_string(), "report this"))
}

/// Waits until every share is in a proven sector.
async fn wait_proven(
    context: &Context,
    ui: &Ui,
    deals: Vec<DealInfo>,
) -> Result<Vec<DealInfo>, CommandError> {
    let total: usize = deals.iter().map(|deal| deal.slots.len()).sum();
    let progress = ui.counter("sealing", u64::try_from(total).unwrap_or(0));
    progress.message("shares proven");
    loop {
        let mut now = Vec::with_capacity(deals.len());
        for deal in &deals {
            now.push(context.api.deal(deal.id).await?);
        }
        for deal in &now {
            match &deal.stage {
                DealStage::Active { .. } => {}
                DealStage::Open
                | DealStage::Matched { .. }
                | DealStage::Ending { .. }
                | DealStage::Ended { .. } => {
                    let message = "the term was over before every share was proven";
                    return Err(CommandError::new(
                        ErrorKind::Partial,
                        message,
                        "choose a longer --term",
                    ));
                }
            }
        }
        let slots = now.iter().flat_map(|deal| &deal.slots);
        let n_proven = slots
            .filter(|slot| slot.state == SlotState::Proving && slot.last_proven_window.is_some())
            .count();
        progress.set(u64::try_from(n_proven).unwrap_or(0));
        if n_proven >= total {
            return Ok(now);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn report(
    context: &Context,
    plan: &FilePlan,
    link: &ShareLink,
    deals: &[DealInfo],
    (elapsed, waited): (Duration, Duration),
    resumed: bool,
) -> PutReport {
    let slots = || deals.iter().flat_map(|deal| &deal.slots);
    let holders: BTreeSet<String> = slots().map(|slot| slot.provider.clone()).collect();
    let expires_at = deals.iter().filter_map(ends_at).min().unwrap_or(0);
    let stored_bytes = plan.placed_bytes();
    PutReport {
        link: link.to_text(&context.network),
        cid: link.manifest.to_string(),
        bytes: plan.len(),
        stored_bytes,
        expansion: ratio(stored_bytes, plan.len()),
        shares: u32::try_from(slots().count()).unwrap_or(u32::MAX),
        shares_needed: u32::from(plan.class().k()),
        shares_per_bundle: u32::from(plan.class().n()),
        deals: deals.iter().map(|deal| deal.id.to_string()).collect(),
        holders: holders.into_iter().collect(),
        escrowed: Amount::checked_sum(deals.iter().map(|deal| deal.escrow)).unwrap_or(Amount::ZERO),
        expires_at,
        resumed,
        seconds: elapsed.as_secs_f64(),
        draw_seconds: waited.as_secs_f64(),
        mib_per_s: mib_per_s(plan.len(), elapsed.saturating_sub(waited)),
    }
}

/// Ledger time at which a deal's term is over.
pub(super) fn ends_at(deal: &DealInfo) -> Option<u64> {
    match deal.stage {
        DealStage::Active { ends_at, .. } | DealStage::Ending { ends_at, .. } => Some(ends_at),
        DealStage::Open | DealStage::Matched { .. } | DealStage::Ended { .. } => None,
    }
}

/// `stored / bytes`, to a thousandth; of an empty file its own size would be infinite, so zero.
fn ratio(stored: u64, bytes: u64) -> f64 {
    let thousandths = (u128::from(stored) * 1000)
        .checked_div(u128::from(bytes))
        .unwrap_or(0);
    f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1000.0
}

fn remember(client_dir: &Path, source: &Source, report: &PutReport) -> Result<(), CommandError> {
    StoredList::of(client_dir).add(StoredFile {
        name: source.name.as_str().to_owned(),
        link: report.link.clone(),
        cid: report.cid.clone(),
        bytes: report.bytes,
        stored_at: now_ms(),
        expires_at: report.expires_at,
        deals: report.deals.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_primitives::AccountId;

    /// What a resumed put bids for is the very file that the interrupted one bid for. Covers: A5, C3.
    #[test]
    fn the_manifest_of_a_resumed_put_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.bin");
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let source = Source::open(&path).unwrap();
        let plan = FilePlan::new(Class::Devnet, source.len).unwrap();
        let mut cids = Vec::new();
        for _ in 0..2 {
            let (journal, _) = Journal::open(dir.path(), &source, AccountId([1; 20]), 1).unwrap();
            let bar = Ui::silent().bar("", 0);
            let known = read_bundle(&path, &plan, 0, &journal.key(), &bar).unwrap();
            cids.push(manifest(&source, &journal, &[known.header]).unwrap().cid());
        }
        assert_eq!(cids[0], cids[1]);
    }

    /// A file that is shorter than it was is refused, not padded. Covers: C3.
    #[test]
    fn a_file_that_shrank_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.bin");
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let plan = FilePlan::new(Class::Devnet, 400_000).unwrap();
        let bar = Ui::silent().bar("", 0);
        let error = read_bundle(&path, &plan, 0, &FileKey::from_bytes([1; 32]), &bar)
            .err()
            .unwrap();
        assert_eq!(error.kind, ErrorKind::Conflict);
    }

    #[test]
    fn expansion_is_a_ratio() {
        assert!((ratio(255, 100) - 2.55).abs() < 1e-9);
        assert!(ratio(10, 0).abs() < 1e-9);
    }
}
