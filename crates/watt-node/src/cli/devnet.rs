//! `watt devnet`.

use super::session::{Session, executable, interrupted};
use crate::devnet::{
    ControlServer, Devnet, DevnetRules, DevnetSize, DevnetStatus, NodeRole, NodeState, Registry,
};
use crate::error::{CommandError, ErrorKind};
use crate::ui::{Format, Table};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Pause between two looks at the nodes, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// How long `devnet stop` waits for the supervisor to end, in looks.
const STOP_LOOKS_MAX: u32 = 60;

/// Run a whole network on this machine
#[derive(Debug, Subcommand)]
pub(super) enum DevnetCommand {
    /// Start it and keep it running, until Ctrl-C
    ///
    /// Validators and providers are separate processes, each with its own key, folder and ports on this machine only. What
    /// they store stays for the next start. Other commands talk to this network without being told.
    #[command(
        after_help = "Examples:\n  watt devnet up\n  watt devnet up --providers 20 --dir /tmp/net\n  watt devnet up --fresh            forget what was stored, start anew"
    )]
    Up(UpArgs),
    /// Show every node: process, height, peers
    #[command(
        after_help = "Examples:\n  watt devnet status\n  watt devnet status --json | jq '.nodes[].node'"
    )]
    Status,
    /// End the network, or one node of it; it can be started again
    #[command(after_help = "Examples:\n  watt devnet stop\n  watt devnet stop p3")]
    Stop {
        /// Only this node [default: the whole network]
        node: Option<String>,
    },
    /// Kill a node with SIGKILL, as a power cut would
    #[command(after_help = "Examples:\n  watt devnet kill p3\n  watt devnet kill v1")]
    Kill {
        /// Its name in `watt devnet status`
        node: String,
    },
    /// Start a node that was killed or has ended
    #[command(after_help = "Examples:\n  watt devnet start p3")]
    Start {
        /// Its name in `watt devnet status`
        node: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// How many nodes vote [default: 4]
    #[arg(long, value_name = "N")]
    validators: Option<u32>,
    /// How many nodes store [default: 12]
    #[arg(long, value_name = "N")]
    providers: Option<u32>,
    /// Keep everything in this folder [default: devnet in the data folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Windows of eight blocks in a term, after which people are ranked, seats change and rules may [default: 144]
    #[arg(long, value_name = "N")]
    term_windows: Option<u64>,
    /// Have so many providers, the last ones, settle their windows by one folded proof a minute [default: 0]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    folding: u32,
    /// Seal and prove as on a main network: sectors of 64 MiB, a minute of a core each until they are proven
    #[arg(long)]
    secure_proofs: bool,
    /// Forget the network that was there, with all that it stored
    #[arg(long)]
    fresh: bool,
    /// Let each validator record all that goes into the consensus protocol and comes out, in DIR/nodes/NAME/scp.log, for
    /// `watt scp replay`
    #[arg(long)]
    record_scp: bool,
}

pub(super) async fn run(session: &Session, command: DevnetCommand) -> Result<(), CommandError> {
    match command {
        DevnetCommand::Up(args) => up(session, args).await,
        DevnetCommand::Status => {
            let (_, control) = Registry::supervisor(&session.home).await?;
            let status = control.status().await?;
            session.ui.result(&status, || status_text(&status))
        }
        DevnetCommand::Stop { node: None } => stop(session).await,
        DevnetCommand::Stop { node: Some(node) } => act(session, &node, "stop", "stopped").await,
        DevnetCommand::Kill { node } => act(session, &node, "kill", "killed").await,
        DevnetCommand::Start { node } => act(session, &node, "start", "started").await,
    }
}

async fn up(session: &Session, args: UpArgs) -> Result<(), CommandError> {
    if let Ok((registry, _)) = Registry::supervisor(&session.home).await {
        return Err(CommandError::new(
            ErrorKind::Conflict,
            format!("your devnet runs already, in {}", registry.dir.display()),
            "see `watt devnet status`; stop it with `watt devnet stop`",
        ));
    }
    let size = match (args.validators, args.providers) {
        (None, None) => None,
        (validators, providers) => Some(DevnetSize {
            validators: validators.unwrap_or(DevnetSize::DEFAULT.validators),
            providers: providers.unwrap_or(DevnetSize::DEFAULT.providers),
        }),
    };
    let dir = args.dir.unwrap_or_else(|| session.home.devnet_dir());
    let rules = DevnetRules {
        term_windows: args.term_windows,
        secure_proofs: args.secure_proofs,
    };
    let mut devnet = Devnet::open(&dir, size, rules, args.fresh, executable()?)?;
    if args.record_scp {
        devnet.record_scp();
    }
    devnet.fold(&session.ui, args.folding)?;
    let launched = tokio::select! {
        launched = devnet.launch(&session.ui) => launched,
        () = interrupted() => Err(CommandError::interrupted()),
    };
    if let Err(error) = launched {
        devnet.stop_all().await;
        return Err(error);
    }
    let devnet = Arc::new(devnet);
    let served = serve(session, &devnet).await;
    session.ui.note("stopping all nodes");
    devnet.stop_all().await;
    served
}

/// Keeps the devnet until somebody wants it to end.
async fn serve(session: &Session, devnet: &Arc<Devnet>) -> Result<(), CommandError> {
    let control = ControlServer::start(Arc::clone(devnet)).await?;
    let registered = devnet
        .registry(&control.url, &control.token)
        .register(&session.home)?;
    announce(session, devnet).await?;
    tokio::select! {
        () = interrupted() => {}
        () = control.stop_requested() => {}
        () = watch(session, devnet) => {}
    }
    drop(registered);
    Ok(())
}

async fn announce(session: &Session, devnet: &Devnet) -> Result<(), CommandError> {
    let status = devnet.status().await;
    if session.ui.format() == Format::Json {
        return session.ui.object(&json!({ "event": "ready", "devnet": status }));
    }
    let size = devnet.plan().size();
    let api = devnet.plan().apis().into_iter().next().unwrap_or_default();
    session.ui.out(&format!(
        "{} validators and {} providers are running in {}\n\
         Other commands of yours use this network now: try `watt put FILE` in another terminal.\n\
         From elsewhere: --api {api}   or   WATT_API={api}\n\
         Ctrl-C ends it; `watt devnet up` starts it again with all that it stored.",
        size.validators,
        size.providers,
        status.dir.display(),
    ))
}

/// Shows how the nodes are, once a second, and says when one changes. Never ends by itself.
async fn watch(session: &Session, devnet: &Devnet) {
    let line = session.ui.spinner("devnet");
    let mut known: Vec<(String, NodeState)> = Vec::new();
    loop {
        let status = devnet.status().await;
        let now: Vec<(String, NodeState)> = status
            .nodes
            .iter()
            .map(|node| (node.node.clone(), node.state))
            .collect();
        for ((node, state), _) in now.iter().zip(&known).filter(|(now, known)| now != known) {
            session.ui.note(&format!("node {node}: {state}"));
            if session.ui.format() == Format::Json {
                // Whoever read the stream may be gone; the devnet goes on.
                drop(
                    session
                        .ui
                        .object(&json!({ "event": "node", "node": node, "state": state })),
                );
            }
        }
        known = now;
        let ready = |role| {
            status
                .nodes
                .iter()
                .filter(|node| node.role == role && node.is_ready)
                .count()
        };
        let size = devnet.plan().size();
        line.message(format!(
            "height {}   validators {}/{}   providers {}/{}",
            status.height,
            ready(NodeRole::Validator),
            size.validators,
            ready(NodeRole::Provider),
            size.providers,
        ));
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

async fn stop(session: &Session) -> Result<(), CommandError> {
    let (registry, control) = Registry::supervisor(&session.home).await?;
    control.stop().await?;
    let progress = session.ui.spinner("stopping");
    for _ in 0..STOP_LOOKS_MAX {
        // The supervisor removes its entry as its last act but one, then ends.
        if control.status().await.is_err() {
            drop(progress);
            return session
                .ui
                .result(&json!({ "stopped": true, "dir": registry.dir }), || {
                    "stopped".to_owned()
                });
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS / 4)).await;
    }
    Err(CommandError::new(
        ErrorKind::Temporary,
        "the devnet is still stopping",
        format!(
            "look again with `watt devnet status`; its process is {}",
            registry.pid
        ),
    ))
}

async fn act(session: &Session, node: &str, verb: &str, done: &str) -> Result<(), CommandError> {
    let (_, control) = Registry::supervisor(&session.home).await?;
    control.act(node, verb).await?;
    session.ui.result(&json!({ "node": node, "done": verb }), || {
        format!("{done} {node}")
    })
}

fn status_text(status: &DevnetStatus) -> String {
    let mut table = Table::new(&["NODE", "ROLE", "PID", "HEIGHT", "PEERS", "STATE", "API"]);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for node in &status.nodes {
        let state = match (node.state, node.is_ready) {
            (NodeState::Running, true) => "ready".to_owned(),
            (NodeState::Running, false) if node.reason.is_empty() => "starting".to_owned(),
            (NodeState::Running, false) => node.reason.clone(),
            (state, _) => state.to_string(),
        };
        table.row([
            node.node.clone(),
            node.role.to_string(),
            number(node.pid.map(u64::from)),
            number(node.height),
            number(node.peers),
            state,
            node.api.clone(),
        ]);
    }
    format!("{table}\n\nin {}", status.dir.display())
}
