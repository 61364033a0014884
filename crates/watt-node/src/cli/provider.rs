//! `watt provider`.

use super::node::{NodeRunArgs, run_node};
use super::session::Session;
use crate::api::client::OwnerClient;
use crate::api::types::{ProviderReport, ScrubInfo};
use crate::api::{OwnerRoute, OwnerToken};
use crate::config::Overrides;
use crate::devnet::{Plan, Registry};
use crate::error::{CommandError, ErrorKind};
use crate::ui::{Table, bytes_text, time_text};
use clap::{Args, Subcommand};
use serde_json::json;
use std::time::Duration;

/// Pause between two looks at how far it is.
const SCRUB_POLL: Duration = Duration::from_millis(300);

/// Lend space and earn
#[derive(Debug, Subcommand)]
pub(super) enum ProviderCommand {
    /// Run a node that lends space, until Ctrl-C
    ///
    /// It pledges its space, places an offer, takes shares, seals them, and proves window after window that it has them;
    /// each proof is paid. The account in provider.account_key is paid and signs.
    #[command(
        after_help = "Examples:\n  watt provider run --config node.toml\n  watt provider run --config node.toml --capacity 50GB --price 0.8"
    )]
    Run(Box<ProviderRunArgs>),
    /// Show what a provider does, holds, proves and earned
    ///
    /// Each sector with its state and its deadline, what has to be done next and until when, and what was not earned and why.
    #[command(
        after_help = "Examples:\n  watt provider status\n  watt provider status p3          a node of your devnet"
    )]
    Status {
        /// A provider of your devnet [default: the node of your configuration]
        node: Option<String>,
    },
    /// Read everything that a provider stores now, and put right what its disk has changed
    ///
    /// A provider does this by itself, slowly, within provider.scrub_interval. A share that is kept hot lies on its disk twice, as it
    /// came and sealed; what one copy has lost the other gives back. With provider.hot = false a share lies there once: what is lost
    /// of it is said, and clients still read the file from other providers. Ctrl-C ends the waiting, not the reading.
    #[command(
        after_help = "Examples:\n  watt provider scrub\n  watt provider scrub p3           a node of your devnet"
    )]
    Scrub {
        /// A provider of your devnet [default: the node of your configuration]
        node: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct ProviderRunArgs {
    #[command(flatten)]
    node: NodeRunArgs,
    /// Lend this much, for example 50GB [config: provider.capacity]
    #[arg(long, value_name = "SIZE")]
    capacity: Option<String>,
    /// Ask this many WATT per 10^9 bytes and day [config: provider.price]
    #[arg(long, value_name = "WATT")]
    price: Option<String>,
    /// Settle each window by itself (windows, the default for always-on), or all of a period by one proof (folded, for daily and
    /// phone) [config: provider.settle]
    #[arg(long, value_name = "HOW")]
    settle: Option<String>,
    /// What this runs on: always-on (the default), daily (a laptop or home computer) or phone; how long shares may go unproven before
    /// they are lost [config: provider.device]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

pub(super) async fn run(session: &Session, command: ProviderCommand) -> Result<(), CommandError> {
    match command {
        ProviderCommand::Run(args) => {
            let args = *args;
            let overrides = Overrides {
                capacity: args.capacity,
                price: args.price,
                settle: args.settle,
                device: args.device,
                ..args.node.overrides()
            };
            run_node(session, overrides, &args.node, true).await
        }
        ProviderCommand::Status { node } => status(session, node.as_deref()).await,
        ProviderCommand::Scrub { node } => scrub(session, node.as_deref()).await,
    }
}

async fn status(session: &Session, node: Option<&str>) -> Result<(), CommandError> {
    let client = owner_client(session, node)?;
    let report: ProviderReport = client.get(OwnerRoute::Provider.path()).await?;
    session.ui.result(&report, || text(&report))
}

async fn scrub(session: &Session, node: Option<&str>) -> Result<(), CommandError> {
    let client = owner_client(session, node)?;
    let asked: ScrubInfo = client.post(OwnerRoute::Scrub.path()).await?;
    let progress = session.ui.bar("reading", asked.total_bytes);
    let done = loop {
        let report: ProviderReport = client.get(OwnerRoute::Provider.path()).await?;
        let now = report.scrub;
        if now.asks < asked.asks {
            return Err(CommandError::new(
                ErrorKind::Temporary,
                "the provider started anew while it read",
                "run the same command again",
            ));
        }
        if now.answered >= asked.asks {
            break now;
        }
        progress.set_total(now.total_bytes);
        progress.set(now.checked_bytes);
        tokio::time::sleep(SCRUB_POLL).await;
    };
    progress.finish();
    let repaired = done.repaired_groups.saturating_sub(asked.repaired_groups);
    let outcome =
        json!({ "checked_bytes": done.checked_bytes, "repaired_groups": repaired, "lost": done.lost });
    session.ui.result(&outcome, || scrubbed(&done, repaired))
}

fn scrubbed(done: &ScrubInfo, repaired: u64) -> String {
    let read = bytes_text(done.checked_bytes);
    let mut text = match repaired {
        0 if done.lost.is_empty() => format!("{read} read: everything is as it was stored"),
        0 => format!("{read} read"),
        _ => format!("{read} read, {repaired} groups of 16 KiB put right"),
    };
    for lost in &done.lost {
        text.push_str(&format!("\nnot to be put right here: {lost}"));
    }
    text
}

/// A client of the owner's listener of a node of the devnet, or of the one in the configuration.
pub(super) fn owner_client(session: &Session, node: Option<&str>) -> Result<OwnerClient, CommandError> {
    let (base, token_file) = match node {
        Some(name) => {
            let none = || {
                CommandError::new(
                    ErrorKind::NotFound,
                    "no devnet runs",
                    "start one with `watt devnet up`",
                )
            };
            let registry = Registry::read(&session.home)?.ok_or_else(none)?;
            let plan = Plan::load(&registry.dir)?;
            (
                plan.node(name)?.owner_api(),
                plan.node_dir(name).join("data/owner.token"),
            )
        }
        None => {
            let settings = session.settings(Overrides::default())?;
            let token_file = settings.data_dir.value.join("owner.token");
            (format!("http://{}", settings.api_owner.value), token_file)
        }
    };
    if !token_file.exists() {
        return Err(CommandError::new(
            ErrorKind::NotFound,
            format!("no node has run here yet: there is no {}", token_file.display()),
            "start one with `watt node run` or `watt provider run`, name its --config, or name a node of your devnet",
        ));
    }
    OwnerClient::new(&base, OwnerToken::load(&token_file)?)
}

/// Sectors that are shown to people.
const SECTORS_SHOWN: usize = 32;

fn text(report: &ProviderReport) -> String {
    let mut table = Table::plain();
    table.row([
        "account".into(),
        format!("{} ({} WATT)", report.address, report.balance),
    ]);
    if let Some(ledger) = &report.ledger {
        table.row([
            "space".into(),
            format!(
                "{} of {} in use",
                bytes_text(ledger.used_bytes),
                bytes_text(ledger.capacity_bytes)
            ),
        ]);
        let price = ledger.ask.as_ref().map_or_else(
            || "no offer".to_owned(),
            |ask| format!("{} WATT per 10^9 bytes and day", ask.price),
        );
        table.row(["offer".into(), price]);
        table.row(["device".into(), ledger.device.name().to_owned()]);
        table.row([
            "shares".into(),
            format!("{} in {} proven sectors", report.n_slots, ledger.n_sectors_active),
        ]);
        let last = if ledger.last_proven_at == 0 {
            "none yet".to_owned()
        } else {
            time_text(ledger.last_proven_at)
        };
        table.row([
            "proofs".into(),
            format!(
                "{} accepted, {} missed, last {last}",
                ledger.windows_proven, ledger.windows_missed
            ),
        ]);
    }
    if let Some(folding) = &report.folding {
        table.row([
            "settles".into(),
            "the windows of a period by one folded proof".to_owned(),
        ]);
        for waiting in &folding.waiting {
            table.row(["waiting".into(), waiting.sentence.clone()]);
        }
        if let Some(last) = &folding.last {
            table.row(["settled".into(), last.sentence.clone()]);
        }
        if let Some(trouble) = &folding.trouble {
            table.row(["not folded".into(), trouble.clone()]);
        }
    } else {
        table.row(["settles".into(), "each window by itself".to_owned()]);
    }
    let stored = &report.stored;
    if stored.cold_bytes > 0 {
        table.row([
            "sealed only".into(),
            format!(
                "{}, read after a wait; {} of it copied from earlier reads; {} kept hot",
                bytes_text(stored.cold_bytes),
                bytes_text(stored.cached_bytes),
                bytes_text(stored.hot_bytes)
            ),
        ]);
    }
    if let Some(at) = report.scrub.finished_at {
        let repaired = match report.scrub.repaired_groups {
            0 => String::new(),
            n => format!(", {n} groups of 16 KiB put right since the start"),
        };
        table.row([
            "checked".into(),
            format!("all of it, {}{repaired}", time_text(at)),
        ]);
    }
    for lost in &report.scrub.lost {
        table.row(["damaged".into(), lost.clone()]);
    }
    table.row([
        "earned".into(),
        format!(
            "{} WATT, up to {} more for the shares held",
            report.earned, report.outstanding
        ),
    ]);
    if let Some(duty) = &report.proving.duty {
        table.row(["next".into(), duty.sentence.clone()]);
    }
    for dispute in &report.proving.disputes {
        table.row(["disputed".into(), dispute.clone()]);
    }
    for lost in &report.proving.lost_shares {
        table.row(["lost".into(), lost.clone()]);
    }
    for loss in &report.proving.losses {
        table.row(["not earned".into(), loss.clone()]);
    }
    let work = report
        .work
        .iter()
        .map(|line| format!("\n  {line}"))
        .collect::<String>();
    let mut sectors = Table::new(&["SECTOR", "SIZE", "SHARES", "STATE"]);
    for one in report.proving.sectors.iter().take(SECTORS_SHOWN) {
        sectors.row([
            one.sector.to_string(),
            bytes_text(one.bytes),
            one.n_slots.to_string(),
            one.sentence.clone(),
        ]);
    }
    let more = match report.proving.sectors.len() {
        0 => String::new(),
        n if n > SECTORS_SHOWN => format!("\n\n{sectors}\nand {} more; --json shows all", n - SECTORS_SHOWN),
        _ => format!("\n\n{sectors}"),
    };
    format!("{}\n{table}{work}{more}", report.summary)
}
