//! `watt node health`.

use super::session::Session;
use crate::api::types::HealthInfo;
use crate::api::{ApiClient, CircleInfo};
use crate::bounded_file;
use crate::devnet::{Plan, Registry};
use crate::error::{CommandError, ErrorKind};
use crate::health;
use crate::ui::{Table, duration_text};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use watt_health::network::SNAPSHOT_BYTES_MAX;
use watt_health::worker::DEADLINE_S;
use watt_health::{Analysis, Intersection, Network, Sets, Verdict, Which};

/// The most names of one set that are shown to people.
const NAMES_MAX: usize = 12;

/// Say whether a node is correctly connected to its network
///
/// Correctly connected is a node that hears enough validators to agree with (a slice of its quorum set), to which new blocks come, and
/// whose network can't agree on two things at once, because any two quorums have a validator in common. It says how many more
/// validators may fail before the network stops, and how many must lie before it can be split.
///
/// With --snapshot the quorum sets of any network are analysed, without a node: a JSON list of nodes with publicKey and quorumSet, as
/// stellarbeat gives it. All nodes in it count as running. What is not found before the deadline is said to be not known.
///
/// Exit codes: 0 correctly connected, or all quorums intersect; 4 not connected; 8 two quorums have nobody in common, or there is none;
/// 9 not known.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watt node health\n  watt node health v2                a node of your devnet\n  watt node health --json | jq .stops_after\n  watt node health --snapshot stellar.json --deadline 60"
)]
pub(super) struct HealthArgs {
    /// A node of your devnet [default: the node that commands talk to]
    node: Option<String>,
    /// Analyse the quorum sets in this file instead
    #[arg(long, value_name = "FILE", conflicts_with = "node")]
    snapshot: Option<PathBuf>,
    /// Search for at most this long; nothing is searched while all validators declare one flat set
    #[arg(long, value_name = "SECONDS", default_value_t = DEADLINE_S, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(super) deadline: u64,
    /// Be the searching process: a network on standard input, findings on standard output
    #[arg(long, hide = true)]
    pub(super) search: bool,
}

pub(super) async fn run(session: &Session, args: HealthArgs) -> Result<(), CommandError> {
    let deadline = Duration::from_secs(args.deadline);
    match &args.snapshot {
        Some(path) => of_snapshot(session, path, deadline).await,
        None => of_node(session, args.node.as_deref(), deadline).await,
    }
}

/// The node that is meant: one of the devnet by its name, else the one that commands talk to.
pub(super) async fn api_of(session: &Session, node: Option<&str>) -> Result<ApiClient, CommandError> {
    match node {
        Some(name) => {
            let registry = Registry::read(&session.home)?.ok_or_else(|| {
                CommandError::new(
                    ErrorKind::NotFound,
                    "no devnet runs",
                    "start one with `watt devnet up`",
                )
            })?;
            let base = Plan::load(&registry.dir)?.node(name)?.api();
            ApiClient::new(&[base], "`watt devnet status` says which nodes run")
        }
        None => Ok(session.context().await?.api),
    }
}

async fn of_node(session: &Session, node: Option<&str>, deadline: Duration) -> Result<(), CommandError> {
    let api = api_of(session, node).await?;
    let mut info = api.health().await?;
    let report = &mut info.report;
    // A node that stopped before rules that it does not know can't tell who decides now.
    if report.intersects.is_none() && report.unknown_version.is_none() {
        // Validators declare a nested set: no arithmetic, a search.
        let invalid = |invalid: watt_health::InvalidSnapshot| {
            CommandError::new(
                ErrorKind::Other,
                format!("can't analyse this network: {invalid}"),
                "report this",
            )
        };
        let half = deadline / 2;
        let all = health::analyze(&report.network(Which::All).map_err(invalid)?, half).await?;
        let heard = match report.network(Which::Heard) {
            Ok(heard) => health::analyze(&heard, half).await?,
            Err(_) => Analysis {
                intersection: Intersection::NoQuorum,
                ..Analysis::default()
            },
        };
        report.settle(&all, &heard);
    }
    session.ui.result(&info, || info_text(&info))?;
    match info.report.verdict {
        Verdict::Connected => Ok(()),
        Verdict::NotConnected => Err(said(ErrorKind::Temporary)),
        Verdict::NotKnown => Err(said(ErrorKind::Partial)),
    }
}

/// The result says it all; this is its exit code.
fn said(kind: ErrorKind) -> CommandError {
    CommandError::new(kind, "", "")
}

/// What the circle says, for people.
pub(super) fn circle_text(circle: &CircleInfo) -> String {
    let mut text = circle.sentence.clone();
    if !circle.next.is_empty() {
        text.push_str(&format!("\n  next: {}", circle.next));
    }
    text
}

fn info_text(info: &HealthInfo) -> String {
    let report = &info.report;
    let mut text = report.sentence.clone();
    if !report.next.is_empty() {
        text.push_str(&format!("\n  next: {}", report.next));
    }
    if let Some(circle) = &info.circle {
        text.push_str(&format!("\nYour circle: {}", circle_text(circle)));
    }
    let unknown = || "not known".to_owned();
    let mut table = Table::plain();
    table.row([
        "newest block".into(),
        format!("{}, {} old", report.height, duration_text(report.head_age_ms)),
    ]);
    table.row(["peers".into(), report.peers.to_string()]);
    let quorum = match (report.quorum, report.validators) {
        (Some(quorum), all) => format!("{quorum} of {all} validators"),
        (None, 0) => unknown(),
        (None, _) => "a nested set".to_owned(),
    };
    table.row(["quorum".into(), quorum]);
    let intersect = match report.intersects {
        Some(true) => "any two quorums have a validator in common".to_owned(),
        Some(false) => "two quorums can have nobody in common".to_owned(),
        None => unknown(),
    };
    table.row(["intersection".into(), intersect]);
    let number = |n: Option<usize>| n.map_or_else(unknown, |n| n.to_string());
    table.row([
        "stops when".into(),
        format!("{} more fail", number(report.stops_after)),
    ]);
    table.row([
        "splits when".into(),
        format!("{} more lie", number(report.splits_after)),
    ]);
    let mut members = Table::new(&["VALIDATOR", ""]);
    for member in &report.members {
        let note = match (member.is_accused, member.is_heard) {
            (true, _) => "contradicted itself",
            (false, false) => "silent",
            (false, true) => "heard",
        };
        members.row([member.node.clone(), note.to_owned()]);
    }
    format!("{text}\n\n{table}\n\n{members}")
}

async fn of_snapshot(session: &Session, path: &Path, deadline: Duration) -> Result<(), CommandError> {
    let bytes = bounded_file::read(path, SNAPSHOT_BYTES_MAX)?;
    let network = Network::from_snapshot(&bytes).map_err(|invalid| {
        CommandError::new(
            ErrorKind::Usage,
            format!("{} can't be analysed: {invalid}", path.display()),
            "name a JSON list of nodes with publicKey and quorumSet, as stellarbeat gives it",
        )
    })?;
    let analysis = health::analyze(&network, deadline).await?;
    let sentence = analysis_sentence(&analysis);
    let mut object = json!(analysis);
    object["sentence"] = json!(sentence);
    object["nodes"] = json!(network.len());
    object["complete"] = json!(analysis.is_complete());
    session
        .ui
        .result(&object, || analysis_text(&network, &analysis, &sentence))?;
    match &analysis.intersection {
        Intersection::Yes => Ok(()),
        Intersection::No { .. } | Intersection::NoQuorum => Err(said(ErrorKind::VerificationFailed)),
        Intersection::NotKnown => Err(said(ErrorKind::Partial)),
    }
}

fn analysis_sentence(analysis: &Analysis) -> String {
    let stops = |sets: &Sets| match sets.smallest {
        1 => "It stops if 1 certain node fails".to_owned(),
        n => format!("It stops if {n} certain nodes fail"),
    };
    let splits = |sets: &Sets| match sets.smallest {
        _ if sets.count == 0 => "no lies can split its nodes".to_owned(),
        1 => "could be split by 1 that lies".to_owned(),
        n => format!("could be split by {n} that lie"),
    };
    match &analysis.intersection {
        Intersection::Yes => {
            let stops = analysis.blocking.as_ref().map_or_else(
                || "How many must fail before it stops is not known in the time given".to_owned(),
                stops,
            );
            let splits = analysis.splitting.as_ref().map_or_else(
                || "how many must lie to split it is not known in the time given".to_owned(),
                splits,
            );
            format!("Holds together: any two quorums have a node in common. {stops}; {splits}.")
        }
        Intersection::No { .. } => {
            "Can fork: two quorums have no node in common, so they may agree on different things without anybody lying."
                .to_owned()
        }
        Intersection::NoQuorum => {
            "Stands still: there is no quorum, every node waits for others that are not there.".to_owned()
        }
        Intersection::NotKnown => {
            "Not known: whether any two quorums have a node in common was not found out in the time given.".to_owned()
        }
    }
}

fn analysis_text(network: &Network, analysis: &Analysis, sentence: &str) -> String {
    let unknown = || "not known in the time given".to_owned();
    let mut table = Table::plain();
    table.row(["nodes".into(), network.len().to_string()]);
    if let Intersection::No {
        quorums: [one, other],
    } = &analysis.intersection
    {
        table.row(["one quorum".into(), names(one)]);
        table.row(["another".into(), names(other)]);
    }
    let sets = |sets: &Option<Sets>| {
        sets.as_ref().map_or_else(unknown, |sets| {
            if sets.count == 0 {
                return "none".to_owned();
            }
            let all = if sets.count == 1 {
                "the only one".to_owned()
            } else {
                format!("one of {}", sets.count)
            };
            format!("{}, {all}: {}", sets.smallest, names(&sets.example))
        })
    };
    if analysis.intersection != Intersection::NoQuorum {
        table.row(["blocking set".into(), sets(&analysis.blocking)]);
        table.row(["splitting set".into(), sets(&analysis.splitting)]);
        let top = analysis.top_tier.as_ref();
        let top = top.map_or_else(unknown, |nodes| {
            format!("{} nodes: {}", nodes.len(), names(nodes))
        });
        table.row(["top tier".into(), top]);
    }
    format!("{sentence}\n\n{table}")
}

fn names(nodes: &[String]) -> String {
    let mut text = nodes
        .iter()
        .take(NAMES_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if nodes.len() > NAMES_MAX {
        text.push_str(&format!(" and {} more", nodes.len().saturating_sub(NAMES_MAX)));
    }
    if text.is_empty() {
        text.push_str("nobody");
    }
    text
}
