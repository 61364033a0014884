//! The eight steps of the story, each showing what really happened.

use super::proving::{Proofs, sealing};
use super::report::{DemoReport, short};
use super::{DemoRequest, cheat, file, settlement};
use crate::api::types::{DealInfo, SlotInfo, SlotState};
use crate::client::{self, GetReport, GetRequest, PutReport, PutRequest, PutWait, StatusRequest};
use crate::config::Home;
use crate::context::Context;
use crate::devnet::{Devnet, NodeRole};
use crate::error::{CommandError, ErrorKind};
use crate::proof_file;
use crate::ui::{Ui, bytes_text, duration_text};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use watt_primitives::{Amount, BlockHeight, DealId, NodeId};

/// Blocks that are shown before anything is stored.
const BLOCKS_SHOWN: u64 = 3;
/// Blocks that must close after the kills.
const BLOCKS_AFTER_KILL: u64 = 2;
/// Holders that are killed; one more has thrown its data away.
const HOLDERS_KILLED: usize = 4;
/// Providers that fold their windows: at least one of them holds a share.
pub(super) const N_FOLDING: u32 = 3;
/// Windows that each share must be proven in before the kills.
const WINDOWS_PROVEN_MIN: u64 = 2;
/// How long the file is paid for, in milliseconds: longer than what ending a deal early costs, so that something comes back.
const TERM_MS: u64 = 60 * 86_400_000;
/// How long sealing and the first proofs may take, in milliseconds; grows with the file.
const PROVE_MS_MAX: u64 = 300_000;
/// How long a block may take, in milliseconds, before the network counts as stuck.
const BLOCK_MS_MAX: u64 = 60_000;
/// Pause between two looks, in milliseconds.
pub(super) const POLL_MS: u64 = 250;

/// Tells the whole story on `devnet`, which is not started yet.
pub(super) async fn tell(
    ui: &Ui,
    devnet: &mut Devnet,
    home: &Home,
    folder: &Path,
    request: &DemoRequest,
) -> Result<DemoReport, CommandError> {
    let began = Instant::now();
    let (original, bytes, sha256) = the_file(ui, folder, request)?;

    ui.headline(&format!(
        "1. A network of {} validators and {} providers, each its own process",
        request.size.validators, request.size.providers
    ));
    devnet.fold(ui, N_FOLDING.min(request.size.providers))?;
    devnet.launch(ui).await?;
    let devnet: &Devnet = devnet;
    let context = devnet.context(home)?;
    show_blocks(ui, devnet, &context).await?;

    ui.headline("2. The file is encrypted here, cut into shares, and placed where the ledger matched a bid with offers");
    let put = store(ui, &context, &original).await?;

    ui.headline("3. The providers seal their shares and prove them, window after window; each proof is paid");
    let mut proofs = Proofs::default();
    let proven = wait_proven(ui, devnet, &context, &put, bytes, &mut proofs).await?;

    ui.headline(
        "4. Some providers fold their windows: one proof shows all of a minute, and every node verifies it",
    );
    let settled = settlement::wait_settled(ui, devnet, &context).await?;
    ui.note(&format!(
        "   {}: {}; {} of {} validators verified it",
        settled.provider, settled.done, settled.n_verified, request.size.validators
    ));

    ui.headline("5. A provider deletes all that it stores, and says that it has it");
    let liar = cheater(devnet, &proven)?;
    let caught = cheat::cheat(ui, devnet, home, &liar).await?;
    ui.note(&format!(
        "   {liar} claims window {}: refused, {}; that cost it {} WATT",
        caught.window, caught.reason, caught.penalty
    ));

    ui.headline("6. A validator and holders are killed with SIGKILL: half of the holders are gone");
    let killed = kill(devnet, &proven, &liar).await?;
    ui.note(&format!("   killed {}", killed.join(", ")));
    let kill_height = context.api.head().await?.height;
    wait_height(ui, &context, kill_height + BLOCKS_AFTER_KILL).await?;
    ui.note(&format!(
        "   blocks go on: height {}",
        context.api.head().await?.height
    ));

    ui.headline("7. The file is fetched from those that are left, and decrypted here");
    let fetched = folder.join("fetched.bin");
    let get = fetch(ui, &context, &put, &fetched).await?;
    let sha256_fetched = file::sha256(&fetched)?;
    if sha256_fetched != sha256 {
        return Err(CommandError::new(
            ErrorKind::VerificationFailed,
            format!("the fetched file has SHA-256 {sha256_fetched}, the stored one {sha256}"),
            "this must not happen: run it again with --keep and report it",
        ));
    }
    ui.note(&format!(
        "   SHA-256 {} is that of the original",
        short(&sha256_fetched)
    ));

    ui.headline("8. Who decided all that, and a proof of it that needs no node");
    let proof = prove(ui, devnet, &context, folder).await?;

    let last = client::status(
        &context,
        &Ui::silent(),
        StatusRequest {
            link: put.link.clone(),
            check: false,
            dispute: false,
        },
    )
    .await?;
    let chain = ChainFacts::read(&context).await?;
    proofs.read(&context).await?;
    Ok(DemoReport {
        bytes,
        is_identical: sha256_fetched == sha256,
        sha256,
        expansion: put.expansion,
        shares_needed: put.shares_needed,
        shares_per_bundle: put.shares_per_bundle,
        put_seconds: put.seconds,
        put_mib_per_s: put.mib_per_s,
        get_seconds: get.seconds,
        get_mib_per_s: get.mib_per_s,
        blocks: chain.height,
        block_ms: chain.block_ms,
        proposers: chain.proposers,
        proofs_accepted: chain.proofs_accepted,
        proofs_missed: chain.proofs_missed,
        batches_let_in: proofs.n_batches,
        sectors_asked_again: proofs.n_again,
        escrowed: last.escrowed,
        paid: last.paid,
        refundable: last.refundable,
        settled: settled.done,
        caught: caught.reason,
        killed,
        blocks_after_kill: chain.height.saturating_sub(kill_height),
        voters: proof.voters,
        proof_bytes: proof.bytes,
        proof_height: proof.height,
        proof_votes: proof.votes,
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn the_file(ui: &Ui, folder: &Path, request: &DemoRequest) -> Result<(PathBuf, u64, String), CommandError> {
    let path = match &request.file {
        Some(path) => path.clone(),
        None => file::generate(folder, request.size_bytes)?,
    };
    let metadata = std::fs::metadata(&path).map_err(|error| CommandError::file("read", &path, &error))?;
    if metadata.len() == 0 || !metadata.is_file() {
        let message = format!("{} is not a file with something in it", path.display());
        return Err(CommandError::new(
            ErrorKind::Usage,
            message,
            "name another file, or none",
        ));
    }
    let sha256 = file::sha256(&path)?;
    let made = if request.file.is_some() {
        ""
    } else {
        ", made for this"
    };
    ui.note(&format!(
        "The file: {}{made}, SHA-256 {}",
        bytes_text(metadata.len()),
        short(&sha256)
    ));
    Ok((path, metadata.len(), sha256))
}

/// Step 1: three blocks as they close.
async fn show_blocks(ui: &Ui, devnet: &Devnet, context: &Context) -> Result<(), CommandError> {
    let first = context.api.head().await?.height.max(1);
    wait_height(ui, context, first + BLOCKS_SHOWN).await?;
    let mut before = context.api.block(BlockHeight(first)).await?.header.close_time;
    for height in first + 1..=first + BLOCKS_SHOWN {
        let block = context.api.block(BlockHeight(height)).await?;
        let name = voter_name(devnet, &block.proposer);
        ui.note(&format!(
            "   block {height} closed {} after the one before, nominated by {name}, decided by {} entries",
            duration_text(block.header.close_time.saturating_sub(before)),
            block.decided_by.len(),
        ));
        before = block.header.close_time;
    }
    Ok(())
}

/// Who votes with a key, as the devnet's plan has it for the first term.
fn voter_name(devnet: &Devnet, key: &NodeId) -> String {
    let key = key.to_string();
    let mut nodes = devnet.plan().nodes.iter();
    let node = nodes.find(|node| node.voting_key == key);
    node.map_or(key, |node| node.name.clone())
}

/// Step 2.
async fn store(ui: &Ui, context: &Context, original: &Path) -> Result<PutReport, CommandError> {
    let request = PutRequest {
        path: original.to_owned(),
        term_ms: TERM_MS,
        price_max: None,
        wait: PutWait::Certified,
    };
    let put = client::put(context, ui, request).await?;
    ui.note(&format!(
        "   {} shares, any {} of {} rebuild a bundle; certified after {:.1} s, of which {:.1} s until providers were drawn ({:.1} MiB/s in the others); {} WATT locked for the term",
        put.shares,
        put.shares_needed,
        put.shares_per_bundle,
        put.seconds,
        put.draw_seconds,
        put.mib_per_s,
        put.escrowed
    ));
    Ok(put)
}

/// Step 3: every share is proven in some windows, and money has moved; those of providers that fold come later.
async fn wait_proven(
    ui: &Ui,
    devnet: &Devnet,
    context: &Context,
    put: &PutReport,
    bytes: u64,
    proofs: &mut Proofs,
) -> Result<Vec<DealInfo>, CommandError> {
    // One more second for each mebibyte: a slow machine seals it in less.
    let limit = Duration::from_millis(PROVE_MS_MAX + (bytes >> 20) * 1_000);
    let deadline = Instant::now() + limit;
    let progress = ui.counter("proving", u64::from(put.shares));
    loop {
        let deals = deals_of(context, put).await?;
        let accepted = context.api.status().await?.proofs.accepted;
        let folding: BTreeSet<&str> = devnet
            .plan()
            .folding()
            .map(|node| node.account.as_str())
            .collect();
        let slots: Vec<&SlotInfo> = deals.iter().flat_map(|deal| &deal.slots).collect();
        let is_later = |slot: &SlotInfo| folding.contains(slot.provider.as_str());
        let is_proven = |slot: &&&SlotInfo| {
            slot.state == SlotState::Proving && (slot.last_proven_window.is_some() || is_later(slot))
        };
        let n_proven = slots.iter().filter(is_proven).count();
        let paid = Amount::checked_sum(slots.iter().map(|slot| slot.paid_proven)).unwrap_or(Amount::ZERO);
        progress.set(u64::try_from(n_proven).unwrap_or(0));
        proofs.read(context).await?;
        let seals = sealing(devnet).await?;
        let answered = proofs.answered().next_back();
        progress.message(match (seals.first(), answered) {
            (Some(first), _) => format!("{} providers seal, {first}", seals.len()),
            (None, Some((window, n))) => format!(
                "window {window}: {n} heartbeats; {accepted} proofs accepted, {paid} WATT paid for them"
            ),
            (None, None) => format!("{} batches let in by their committees", proofs.n_batches),
        });
        let is_all = n_proven == slots.len() && !slots.is_empty();
        let is_again = accepted >= WINDOWS_PROVEN_MIN * u64::from(put.shares_per_bundle);
        let are_paid = slots
            .iter()
            .all(|slot| slot.paid_proven > Amount::ZERO || is_later(slot));
        if is_all && is_again && are_paid {
            ui.note(&format!(
                "   all {} shares sealed, {} of them proven window by window; {accepted} window proofs accepted, {paid} WATT paid for them",
                slots.len(),
                slots.iter().filter(|slot| !is_later(slot)).count(),
            ));
            let windows: Vec<String> = proofs
                .answered()
                .map(|(window, n)| format!("{n} in window {window}"))
                .collect();
            ui.note(&format!("   heartbeats: {}", windows.join(", ")));
            return Ok(deals);
        }
        if Instant::now() >= deadline {
            return Err(CommandError::new(
                ErrorKind::Temporary,
                format!(
                    "after {} s only {n_proven} of {} shares are proven and {paid} WATT paid for it",
                    limit.as_secs(),
                    slots.len(),
                ),
                "run it again with --keep and look at the providers' logs",
            ));
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

/// The file's deals as the ledger has them now.
async fn deals_of(context: &Context, put: &PutReport) -> Result<Vec<DealInfo>, CommandError> {
    let mut deals = Vec::new();
    for text in &put.deals {
        let damaged = || {
            let message = format!("put names a deal that is none: {text}");
            CommandError::new(ErrorKind::VerificationFailed, message, "report this")
        };
        deals.push(
            context
                .api
                .deal(DealId::from_hex(text).ok_or_else(damaged)?)
                .await?,
        );
    }
    Ok(deals)
}

/// Step 5: the last holder of the first bundle that proves window by window.
fn cheater(devnet: &Devnet, deals: &[DealInfo]) -> Result<String, CommandError> {
    let folding: BTreeSet<&str> = devnet
        .plan()
        .folding()
        .map(|node| node.account.as_str())
        .collect();
    let slots = deals.first().map_or(&[][..], |deal| &deal.slots);
    let is_one = |account: &String| {
        !folding.contains(account.as_str()) && slots.iter().any(|slot| slot.provider == *account)
    };
    let last = devnet
        .plan()
        .nodes
        .iter()
        .rev()
        .find(|node| is_one(&node.account));
    last.map(|node| node.name.clone()).ok_or_else(|| {
        CommandError::new(
            ErrorKind::Temporary,
            "no provider is left that proves window by window",
            "run it again with more providers",
        )
    })
}

/// Step 6: the first validator, and holders of the first bundle.
async fn kill(devnet: &Devnet, deals: &[DealInfo], liar: &str) -> Result<Vec<String>, CommandError> {
    let nodes = &devnet.plan().nodes;
    let holders: BTreeSet<&str> = deals
        .first()
        .map(|deal| deal.slots.iter().map(|slot| slot.provider.as_str()).collect())
        .unwrap_or_default();
    let validators = nodes.iter().filter(|node| node.role == NodeRole::Validator);
    // With fewer than four validators the network can't spare one.
    let n_validators = usize::from(validators.clone().count() >= 4);
    let holding = nodes
        .iter()
        .filter(|node| holders.contains(node.account.as_str()) && node.name != liar);
    let victims: Vec<String> = validators
        .take(n_validators)
        .chain(holding.take(HOLDERS_KILLED))
        .map(|node| node.name.clone())
        .collect();
    for name in &victims {
        devnet.kill(name).await?;
    }
    Ok(victims)
}

/// Step 7.
async fn fetch(ui: &Ui, context: &Context, put: &PutReport, to: &Path) -> Result<GetReport, CommandError> {
    let request = GetRequest {
        link: put.link.clone(),
        output: Some(to.to_owned()),
        overwrite: false,
    };
    let get = client::get(context, ui, request).await?;
    ui.note(&format!(
        "   {} in {:.1} s ({:.1} MiB/s), served by {} providers",
        bytes_text(get.bytes),
        get.seconds,
        get.mib_per_s,
        get.served_by.len()
    ));
    Ok(get)
}

/// What step 8 showed.
struct ShownProof {
    voters: Vec<String>,
    bytes: u64,
    height: u64,
    votes: u64,
}

/// Step 8: who is trusted with deciding, and what the client has, proven in a file that is read back and checked with nothing but the
/// network's id; and refused with one byte of it changed.
async fn prove(
    ui: &Ui,
    devnet: &Devnet,
    context: &Context,
    folder: &Path,
) -> Result<ShownProof, CommandError> {
    let seats = context.api.seats().await?;
    let mut voters: Vec<String> = seats
        .voters
        .iter()
        .map(|voter| voter_name(devnet, &voter.node))
        .collect();
    voters.sort();
    let n_faulty_max = voters.len().saturating_sub(1) / 3;
    ui.note(&format!(
        "   trusted in term {}: {}; at most {n_faulty_max} of them may lie or be gone",
        seats.term,
        voters.join(", "),
    ));
    let client = context.account()?.id;
    let path = folder.join("account.proof");
    let shown = context.api.shown_account(&client).await?;
    std::fs::write(&path, proof_file::encode(context.genesis.clone(), shown))
        .map_err(|error| CommandError::file("write", &path, &error))?;

    // From here on nobody is asked anything.
    let mut bytes = std::fs::read(&path).map_err(|error| CommandError::file("read", &path, &error))?;
    let wrong = |what: String| {
        let hint = "this must not happen: run it again with --keep and report it";
        CommandError::new(ErrorKind::VerificationFailed, what, hint)
    };
    let verified = proof_file::verify(&bytes, &context.network)
        .map_err(|invalid| wrong(format!("the proof does not hold: {invalid}")))?;
    let balance = match &verified.account {
        Some((id, Some(row))) if *id == client => row.balance,
        Some(_) | None => return Err(wrong("the proof is not of what was asked".to_owned())),
    };
    let (height, votes) = (verified.header.height.0, verified.n_votes);
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    ui.note(&format!(
        "   checked offline: {balance} WATT left after block {height}, signed for by {votes} of {} ({})",
        verified.n_entries,
        bytes_text(size),
    ));
    let place = bytes.len() / 4;
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1;
    }
    match proof_file::verify(&bytes, &context.network) {
        Err(invalid) => ui.note(&format!("   with one bit of it changed: refused, {invalid}")),
        Ok(_) => return Err(wrong("a proof with a bit changed holds".to_owned())),
    }
    Ok(ShownProof {
        voters,
        bytes: size,
        height,
        votes: u64::try_from(votes).unwrap_or(u64::MAX),
    })
}

/// Waits until a block of `height` is closed.
pub(super) async fn wait_height(ui: &Ui, context: &Context, height: u64) -> Result<(), CommandError> {
    let progress = ui.spinner("blocks");
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let head = context.api.head().await?.height;
        progress.message(format!("height {head}"));
        if head >= height {
            return Ok(());
        }
        if head > seen {
            (seen, since) = (head, Instant::now());
        }
        if since.elapsed() > Duration::from_millis(BLOCK_MS_MAX) {
            return Err(CommandError::new(
                ErrorKind::Temporary,
                format!(
                    "no block has closed for {} s; the height is {head}",
                    BLOCK_MS_MAX / 1000
                ),
                "run it again with --keep and look at the validators' logs",
            ));
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

/// What the ledger says about itself at the end.
struct ChainFacts {
    height: u64,
    block_ms: u64,
    proposers: u32,
    proofs_accepted: u64,
    proofs_missed: u64,
}

impl ChainFacts {
    /// Blocks looked at for the average and the proposers.
    const BLOCKS_MAX: u64 = 60;

    async fn read(context: &Context) -> Result<Self, CommandError> {
        let height = context.api.head().await?.height;
        let first = height.saturating_sub(Self::BLOCKS_MAX).max(1);
        let mut proposers = BTreeSet::new();
        let mut times = Vec::new();
        for height in first..=height {
            let block = context.api.block(BlockHeight(height)).await?;
            proposers.insert(block.proposer);
            times.push(block.header.close_time);
        }
        let span = match (times.first(), times.last()) {
            (Some(first), Some(last)) => last.saturating_sub(*first),
            _ => 0,
        };
        let proofs = context.api.status().await?.proofs;
        Ok(Self {
            height,
            block_ms: span.checked_div(height.saturating_sub(first)).unwrap_or(0),
            proposers: u32::try_from(proposers.len()).unwrap_or(u32::MAX),
            proofs_accepted: proofs.accepted,
            proofs_missed: proofs.missed,
        })
    }
}
