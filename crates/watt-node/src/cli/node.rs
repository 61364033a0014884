//! `watt node`, and what `watt provider run` shares with it.

use super::health::{self, HealthArgs};
use super::recovery::RecoverArgs;
use super::restart::RestartCommand;
use super::session::{Session, interrupted};
use crate::api::{self, ApiListeners, ApiServers, NodeView, OwnerToken};
use crate::config::{NodeConfig, Overrides};
use crate::devnet::ParentWatch;
use crate::error::{CommandError, ErrorKind};
use crate::ui::{Table, duration_text};
use crate::{runtime, telemetry};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::info;
use watt_engine::Examined;

/// How long a node may take to end, in milliseconds; whatever was acknowledged is on disk already.
const END_MS_MAX: u64 = 8_000;

/// How often, and how far apart, a port is tried that an earlier life is about to give back.
const PORT_TRIES: u32 = 10;
const PORT_PAUSE: Duration = Duration::from_millis(100);

/// Run a node that keeps the ledger
#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Run a node until Ctrl-C
    ///
    /// It follows the network's ledger, checks every block, and serves the public API on this machine. With a voting key
    /// that is in the network's backbone it votes.
    #[command(
        after_help = "Examples:\n  watt node run --genesis genesis.cbor\n  watt node run --config /etc/watt/config.toml\n\n\
                      Ports: 28470 other nodes, 28471 public API, 28475 owner's API; `watt config show` lists every setting."
    )]
    Run(NodeRunArgs),
    /// Say how a node is: its newest block, and how far its owner's circle confirms it
    #[command(
        after_help = "Examples:\n  watt node status\n  watt node status p1                a node of your devnet"
    )]
    Status {
        /// A node of your devnet [default: the node that commands talk to]
        node: Option<String>,
    },
    Health(HealthArgs),
    Recover(RecoverArgs),
    #[command(subcommand)]
    RestartPlan(RestartCommand),
}

/// Flags of `node run` and `provider run`.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct NodeRunArgs {
    /// Keep state and blocks here [config: node.data_dir]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Join the network of this genesis file [config: node.genesis]
    #[arg(long, value_name = "FILE")]
    pub(super) genesis: Option<PathBuf>,
    /// Listen for other nodes here; repeat for several [config: node.listen]
    #[arg(long, value_name = "MULTIADDR")]
    pub(super) listen: Vec<String>,
    /// Connect to this node first; repeat for several [config: node.bootstrap]
    #[arg(long, value_name = "MULTIADDR")]
    pub(super) bootstrap: Vec<String>,
    /// Record all that goes into the consensus protocol and comes out in this file, for `watt scp replay`; a file that is there
    /// is gone on with [config: node.record_scp]
    #[arg(long, value_name = "FILE")]
    pub(super) record_scp: Option<PathBuf>,
    /// Accept that the data folder was moved here on purpose; never use it for a copy: two nodes with one voting key are a
    /// fault that the network sees
    #[arg(long)]
    pub(super) moved: bool,
    /// Join the network as people restarted it by this signed plan; repeat for several, in their order. For a node without blocks:
    /// any other looks at a plan first, with `watt node restart-plan take` [config: node.restart_plans]
    #[arg(long, value_name = "FILE")]
    pub(super) restart_plan: Vec<PathBuf>,
    /// End when standard input closes; for supervisors
    #[arg(long, hide = true)]
    pub(super) stop_with_stdin: bool,
}

impl NodeRunArgs {
    /// The flags as settings.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            data_dir: self.data_dir.clone(),
            genesis: self.genesis.clone(),
            restart_plans: self.restart_plan.clone(),
            listen: self.listen.clone(),
            bootstrap: self.bootstrap.clone(),
            record_scp: self.record_scp.clone(),
            ..Overrides::default()
        }
    }
}

pub(super) async fn run(session: &Session, args: NodeRunArgs) -> Result<(), CommandError> {
    run_node(session, args.overrides(), &args, false).await
}

/// Shows how a node is.
pub(super) async fn status(session: &Session, node: Option<&str>) -> Result<(), CommandError> {
    let status = health::api_of(session, node).await?.status().await?;
    session.ui.result(&status, || {
        let mut table = Table::plain();
        let age = now_ms().saturating_sub(status.close_time);
        table.row([
            "newest block".to_owned(),
            format!("{}, {} old", status.height, duration_text(age)),
        ]);
        table.row(["peers".to_owned(), status.peers.to_string()]);
        let votes = if status.is_validator { "votes" } else { "follows" };
        table.row(["this node".to_owned(), votes.to_owned()]);
        if let Some(examined) = examined_text(&status.examined) {
            table.row(["committees".to_owned(), examined]);
        }
        let ready = status.ready.reason.clone();
        let ready = if status.ready.is_ready {
            "yes".to_owned()
        } else {
            ready
        };
        table.row(["ready".to_owned(), ready]);
        let circle = status.circle.as_ref().map_or_else(
            || "nobody is named whose circle could confirm it (node.owner)".to_owned(),
            health::circle_text,
        );
        table.row(["your circle".to_owned(), circle]);
        table.to_string()
    })
}

/// What a node looked at for committees, in words; nothing if it was in none.
fn examined_text(examined: &Examined) -> Option<String> {
    let Examined { held, bad, not_shown } = *examined;
    if *examined == Examined::default() {
        return None;
    }
    let mut text = format!("{held} sectors looked at since the start hold");
    if bad > 0 {
        text.push_str(&format!("; what was shown did not hold {bad} times"));
    }
    if not_shown > 0 {
        text.push_str(&format!("; {not_shown} times nothing was shown"));
    }
    Some(text)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a node, with its provider if `is_provider`, until it is told to end.
pub(super) async fn run_node(
    session: &Session,
    overrides: Overrides,
    args: &NodeRunArgs,
    is_provider: bool,
) -> Result<(), CommandError> {
    let settings = session.settings(overrides)?;
    telemetry::start(&settings.log_level.value, settings.log_format.value)?;
    let config = NodeConfig {
        was_moved: args.moved,
        ..NodeConfig::load(&settings, is_provider)?
    };
    let mut parent = if args.stop_with_stdin {
        Some(ParentWatch::start()?)
    } else {
        None
    };
    let ended = loop {
        let (node, servers) = begin(session, config.clone(), is_provider).await?;
        let ended = tokio::select! {
            ended = node.stopped() => Some(ended),
            () = interrupted() => None,
            () = parent_closed(parent.as_mut()) => None,
        };
        if matches!(ended, Some(Ok(()))) && node.begins_anew() {
            info!("the network was restarted by its people; this node follows");
            drop(servers);
            continue;
        }
        break (ended, node, servers);
    };
    let (ended, node, servers) = ended;
    let ended = match ended {
        Some(ended) => ended,
        None => {
            node.stop();
            let late = || {
                Err(CommandError::new(
                    ErrorKind::Other,
                    "the node did not end in time",
                    "nothing is lost: all that was acknowledged is on disk",
                ))
            };
            tokio::time::timeout(Duration::from_millis(END_MS_MAX), node.stopped())
                .await
                .unwrap_or_else(|_| late())
        }
    };
    drop(servers);
    info!("node has ended");
    ended?;
    session.ui.result(
        &json!({ "stopped": true, "height": node.head().height.0 }),
        || "stopped".to_owned(),
    )
}

async fn parent_closed(parent: Option<&mut ParentWatch>) {
    match parent {
        Some(parent) => parent.closed().await,
        None => std::future::pending().await,
    }
}

/// Starts the node and what answers for it.
async fn begin(
    session: &Session,
    config: NodeConfig,
    is_provider: bool,
) -> Result<(Arc<dyn NodeView>, ApiServers), CommandError> {
    // Both ports are open before anything is written, so that a taken port costs nothing.
    let listeners = open_ports(&config).await?;
    let token_file = config.data_dir.join("owner.token");
    let public = listeners
        .public_address()
        .map(|address| format!("http://{address}"))
        .unwrap_or_default();
    let network = config.genesis.network().to_string();

    let node: Arc<dyn NodeView> = runtime::start(config).await?;
    // The folder is the node's now: no second process writes to it.
    let token = OwnerToken::load_or_create(&token_file)?;
    let servers = api::serve(listeners, &node, token)?;
    info!(%public, %network, is_provider, "node is running");
    session.ui.note(&format!(
        "running on network {}; API at {public}; Ctrl-C ends it",
        &network[..8]
    ));
    Ok((node, servers))
}

/// Opens the ports, which an earlier life may be about to give back.
async fn open_ports(config: &NodeConfig) -> Result<ApiListeners, CommandError> {
    let mut tries = 0;
    loop {
        match ApiListeners::open(&config.api).await {
            Err(error) if error.kind == ErrorKind::AddressTaken && tries < PORT_TRIES => {
                tries += 1;
                tokio::time::sleep(PORT_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node looked at for committees is told once there is something. Covers: D2.
    #[test]
    fn what_was_examined_is_told() {
        assert_eq!(examined_text(&Examined::default()), None);
        let mut examined = Examined {
            held: 3,
            ..Examined::default()
        };
        assert_eq!(
            examined_text(&examined).unwrap(),
            "3 sectors looked at since the start hold"
        );
        (examined.bad, examined.not_shown) = (1, 2);
        assert_eq!(
            examined_text(&examined).unwrap(),
            "3 sectors looked at since the start hold; what was shown did not hold 1 times; 2 times nothing was shown"
        );
    }
}
