//! The process that holds all nodes of a devnet.

use super::parameters::{DevnetRules, DevnetSize};
use super::plan::{NodePlan, NodeRole, Plan};
use super::process::{NodeProcess, NodeState};
use crate::api::types::{ProviderInfo, StatusInfo};
use crate::api::{ApiClient, OwnerToken};
use crate::config::{Home, create_private_dir};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::runtime::folded;
use crate::ui::Ui;
use crate::wallet::Account;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use tokio::time::Instant;
use watt_light::WindowShape;
use watt_primitives::Timestamp;

/// How long all nodes together may take to be ready, in milliseconds: many processes on a small machine.
const READY_MS_MAX: u64 = 180_000;
/// Pause between two looks, in milliseconds.
const POLL_MS: u64 = 250;
/// How long a node may take to say how it is, in milliseconds.
const STATUS_MS_MAX: u64 = 2_000;
/// Starts before giving up because ports are taken between drawing and opening them.
const STARTS_MAX: u32 = 3;
/// Lines of a node's log that are looked at for its last words, in bytes.
const LOG_TAIL_BYTES: usize = 4096;

/// How a node is, for `devnet status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// What it does.
    pub role: NodeRole,
    /// How its process is.
    pub state: NodeState,
    /// Whether it serves and is up to date.
    pub is_ready: bool,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// Height of its head.
    pub height: Option<u64>,
    /// Its connected peers.
    pub peers: Option<u64>,
    /// Its public listener.
    pub api: String,
    /// Address of its account.
    pub account: String,
    /// In words, while it is not ready.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How a devnet is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevnetStatus {
    /// Its folder.
    pub dir: PathBuf,
    /// The network, as hexadecimal.
    pub network: String,
    /// Address of the funded account.
    pub client: String,
    /// Greatest height of a ready node.
    pub height: u64,
    /// Whether every running node is ready and enough validators run.
    pub is_ready: bool,
    /// Its nodes.
    pub nodes: Vec<NodeReport>,
}

/// A devnet held by this process. Its nodes end when it is dropped.
#[derive(Debug)]
pub struct Devnet {
    plan: Plan,
    executable: PathBuf,
    processes: Mutex<BTreeMap<String, NodeProcess>>,
    http: reqwest::Client,
    _lock: std::fs::File,
}

impl Devnet {
    /// Takes hold of the devnet in `dir`, making it if there is none; nothing is started. `executable` is `watt` itself.
    ///
    /// # Errors
    /// Another process holds it, or the folder can't be used.
    pub fn open(
        dir: &Path,
        size: Option<DevnetSize>,
        rules: DevnetRules,
        is_fresh: bool,
        executable: PathBuf,
    ) -> Result<Self, CommandError> {
        create_private_dir(dir)?;
        let lock = lock(dir)?;
        if is_fresh {
            Plan::forget(dir)?;
        }
        let plan = Plan::load_or_create(dir, size, rules, now())?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_millis(STATUS_MS_MAX))
            .no_proxy()
            .build()
            .map_err(|error| {
                CommandError::new(
                    ErrorKind::Other,
                    format!("can't speak HTTP: {error}"),
                    "report this",
                )
            })?;
        Ok(Self {
            plan,
            executable,
            processes: Mutex::new(BTreeMap::new()),
            http,
            _lock: lock,
        })
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Has validators record SCP's inputs, each in `scp.log` in its folder, when they are started next.
    pub const fn record_scp(&mut self) {
        self.plan.record_scp();
    }

    /// Has the last `n` providers settle their windows by folded proofs when they are started next, and makes the parameters of
    /// such proofs once for all nodes: seconds of work in each otherwise.
    ///
    /// # Errors
    /// There are not so many providers, or the parameters can't be made.
    pub fn fold(&mut self, ui: &Ui, n: u32) -> Result<(), CommandError> {
        let n_providers = self.plan.size().providers;
        if n > n_providers {
            return Err(CommandError::new(
                ErrorKind::Usage,
                format!("{n} of {n_providers} providers can't fold their windows"),
                "choose fewer, or start more with --providers",
            ));
        }
        self.plan.fold(n);
        if n == 0 {
            return Ok(());
        }
        let progress = ui.spinner("folding");
        progress.message("making the parameters of folded proofs, once");
        share_parameters(&self.plan)
    }

    /// Starts all nodes and waits until they are ready.
    ///
    /// # Errors
    /// A node ended while starting (with its last words), or they took too long.
    pub async fn launch(&mut self, ui: &Ui) -> Result<(), CommandError> {
        for attempt in 1..=STARTS_MAX {
            self.plan.prepare(attempt > 1)?;
            for node in &self.plan.nodes {
                // The last run's log would be taken for this one's last words.
                drop(std::fs::remove_file(self.plan.log(&node.name)));
                let process = NodeProcess::start(&self.executable, &self.plan, node)?;
                self.processes.lock().await.insert(node.name.clone(), process);
            }
            match self.wait_ready(ui).await {
                Err(error) if error.kind == ErrorKind::AddressTaken && attempt < STARTS_MAX => {
                    ui.note(&format!("{}; trying other ports", error.message));
                    self.stop_all().await;
                }
                result => return result,
            }
        }
        Ok(())
    }

    /// A client of this network with its funded account.
    ///
    /// # Errors
    /// The plan's files can't be read.
    pub fn context(&self, home: &Home) -> Result<Context, CommandError> {
        let account = Account::read(super::Registry::ACCOUNT_NAME, &self.plan.client_key())?;
        self.context_with(home, account)
    }

    fn context_with(&self, home: &Home, account: Account) -> Result<Context, CommandError> {
        let api = ApiClient::new(
            &self.plan.apis(),
            "the devnet's nodes are down: see `watt devnet status`",
        )?;
        let genesis = self.plan.genesis()?;
        Ok(Context::new(api, home.clone(), genesis, Some(account)).with_nodes(self.plan.names()))
    }

    /// The same for whoever holds the account of a node.
    ///
    /// # Errors
    /// No such node, or its key can't be read.
    pub fn context_of(&self, home: &Home, name: &str) -> Result<Context, CommandError> {
        self.plan.node(name)?;
        let key = self.plan.node_dir(name).join("account.key");
        self.context_with(home, Account::read(name, &key)?)
    }

    /// Ends a node with SIGKILL.
    ///
    /// # Errors
    /// No such node, or it does not run.
    pub async fn kill(&self, name: &str) -> Result<(), CommandError> {
        self.plan.node(name)?;
        let mut processes = self.processes.lock().await;
        let process = running(&mut processes, name)?;
        process.kill().await
    }

    /// Asks a node to end.
    ///
    /// # Errors
    /// No such node, or it does not run.
    pub async fn stop(&self, name: &str) -> Result<(), CommandError> {
        self.plan.node(name)?;
        let mut processes = self.processes.lock().await;
        let process = running(&mut processes, name)?;
        process.stop().await;
        Ok(())
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// No such node, or it runs.
    pub async fn start(&self, name: &str) -> Result<(), CommandError> {
        let node = self.plan.node(name)?;
        let mut processes = self.processes.lock().await;
        if running(&mut processes, name).is_ok() {
            let message = format!("node {name} runs already");
            return Err(CommandError::new(
                ErrorKind::Conflict,
                message,
                "see `watt devnet status`",
            ));
        }
        processes.insert(
            name.to_owned(),
            NodeProcess::start(&self.executable, &self.plan, node)?,
        );
        Ok(())
    }

    /// Ends all nodes, providers first, so that nobody waits for a quorum that is gone.
    pub async fn stop_all(&self) {
        let mut processes = self.processes.lock().await;
        let mut of = |role: NodeRole| {
            let named = |name: &String| self.plan.node(name).is_ok_and(|node| node.role == role);
            let names: Vec<String> = processes.keys().filter(|name| named(name)).cloned().collect();
            names
                .into_iter()
                .filter_map(|name| processes.remove_entry(&name))
                .collect::<Vec<_>>()
        };
        for mut group in [of(NodeRole::Provider), of(NodeRole::Validator)] {
            join_all(group.iter_mut().map(|(_, process)| process.stop())).await;
        }
    }

    /// How all nodes are.
    pub async fn status(&self) -> DevnetStatus {
        let observed: Vec<(NodeState, Option<u32>)> = {
            let mut processes = self.processes.lock().await;
            let observe = |node: &NodePlan| {
                processes
                    .get_mut(&node.name)
                    .map_or((NodeState::Stopped, None), NodeProcess::observe)
            };
            self.plan.nodes.iter().map(observe).collect()
        };
        let reports = self
            .plan
            .nodes
            .iter()
            .zip(observed)
            .map(|(node, (state, pid))| self.report(node, state, pid));
        let nodes: Vec<NodeReport> = join_all(reports).await;
        let ready = |role| {
            nodes
                .iter()
                .filter(|node| node.role == role && node.is_ready)
                .count()
        };
        let n_validators = nodes
            .iter()
            .filter(|node| node.role == NodeRole::Validator)
            .count();
        DevnetStatus {
            dir: self.plan.dir().to_owned(),
            network: self.plan.network.clone(),
            client: self.plan.client.clone(),
            height: nodes.iter().filter_map(|node| node.height).max().unwrap_or(0),
            is_ready: ready(NodeRole::Validator) * 3 > n_validators * 2
                && nodes
                    .iter()
                    .all(|node| node.is_ready || node.state != NodeState::Running),
            nodes,
        }
    }

    async fn report(&self, node: &NodePlan, state: NodeState, pid: Option<u32>) -> NodeReport {
        let status: Option<StatusInfo> = match state {
            NodeState::Running => self.ask(&format!("{}/api/v1/status", node.api())).await,
            NodeState::Stopped | NodeState::Killed | NodeState::Exited { .. } => None,
        };
        let reason = match &status {
            Some(status) if status.ready.is_ready => String::new(),
            Some(status) => status.ready.reason.clone(),
            None => String::new(),
        };
        NodeReport {
            node: node.name.clone(),
            role: node.role,
            state,
            is_ready: status.as_ref().is_some_and(|status| status.ready.is_ready),
            pid,
            height: status.as_ref().map(|status| status.height),
            peers: status.as_ref().map(|status| status.peers),
            api: node.api(),
            account: node.account.clone(),
            reason,
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, url: &str) -> Option<T> {
        let response = self.http.get(url).send().await.ok()?;
        response.json().await.ok()
    }

    async fn wait_ready(&self, ui: &Ui) -> Result<(), CommandError> {
        let total = u64::try_from(self.plan.nodes.len()).unwrap_or(u64::MAX);
        let progress = ui.counter("starting", total);
        let deadline = Instant::now() + Duration::from_millis(READY_MS_MAX);
        loop {
            let status = self.status().await;
            if let Some(ended) = status.nodes.iter().find(|node| node.state != NodeState::Running) {
                return Err(self.ended_while_starting(ended));
            }
            let n_ready = status.nodes.iter().filter(|node| node.is_ready).count();
            progress.set(u64::try_from(n_ready).unwrap_or(0));
            progress.message(format!("height {}", status.height));
            let n_offers = if status.is_ready { self.offers().await } else { 0 };
            if status.is_ready && n_offers >= self.plan.size().providers {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.not_ready(&status, n_offers));
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    /// Providers of this devnet whose offer stands on the ledger.
    async fn offers(&self) -> u32 {
        for node in self
            .plan
            .nodes
            .iter()
            .filter(|node| node.role == NodeRole::Validator)
        {
            let found: Option<Vec<ProviderInfo>> =
                self.ask(&format!("{}/api/v1/providers", node.api())).await;
            if let Some(providers) = found {
                let n = providers.iter().filter(|provider| provider.ask.is_some()).count();
                return u32::try_from(n).unwrap_or(u32::MAX);
            }
        }
        0
    }

    fn ended_while_starting(&self, node: &NodeReport) -> CommandError {
        let log = self.plan.log(&node.node);
        let last = last_words(&log);
        // A port that was free a moment ago is taken: that alone is worth another try.
        let is_port = node.state
            == (NodeState::Exited {
                code: Some(i32::from(ErrorKind::AddressTaken.exit_code())),
            });
        let kind = if is_port {
            ErrorKind::AddressTaken
        } else {
            ErrorKind::Other
        };
        CommandError::new(
            kind,
            format!("node {} ended while starting: {last}", node.node),
            format!("see {}", log.display()),
        )
    }

    fn not_ready(&self, status: &DevnetStatus, n_offers: u32) -> CommandError {
        let waiting: Vec<String> = status
            .nodes
            .iter()
            .filter(|node| !node.is_ready)
            .map(|node| {
                if node.reason.is_empty() {
                    node.node.clone()
                } else {
                    format!("{} ({})", node.node, node.reason)
                }
            })
            .collect();
        let message = if waiting.is_empty() {
            format!(
                "only {n_offers} of {} providers have placed their offer",
                self.plan.size().providers
            )
        } else {
            format!(
                "not ready after {} s: {}",
                READY_MS_MAX / 1000,
                waiting.join(", ")
            )
        };
        let hint = format!("see the logs in {}", self.plan.dir().join("nodes").display());
        CommandError::new(ErrorKind::Temporary, message, hint)
    }

    /// A registry entry for this devnet, served at `control`.
    #[must_use]
    pub fn registry(&self, control: &str, token: &OwnerToken) -> super::Registry {
        super::Registry {
            dir: self.plan.dir().to_owned(),
            network: self.plan.network.clone(),
            apis: self.plan.apis(),
            client_key: self.plan.client_key(),
            control: control.to_owned(),
            token: token.secret().to_owned(),
            pid: std::process::id(),
        }
    }
}

fn running<'a>(
    processes: &'a mut BTreeMap<String, NodeProcess>,
    name: &str,
) -> Result<&'a mut NodeProcess, CommandError> {
    let not_running = || {
        let hint = format!("start it with `watt devnet start {name}`");
        CommandError::new(ErrorKind::Conflict, format!("node {name} does not run"), hint)
    };
    let process = processes.get_mut(name).ok_or_else(not_running)?;
    match process.observe().0 {
        NodeState::Running => Ok(process),
        NodeState::Stopped | NodeState::Killed | NodeState::Exited { .. } => Err(not_running()),
    }
}

/// Holds `dir/lock`, so that no second process uses the same devnet.
fn lock(dir: &Path) -> Result<std::fs::File, CommandError> {
    let path = dir.join("lock");
    let open = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = open.map_err(|error| CommandError::file("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(CommandError::new(
            ErrorKind::Conflict,
            format!("another process runs the devnet in {}", dir.display()),
            "see `watt devnet status`, stop it with `watt devnet stop`, or use another --dir",
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(CommandError::file("lock", &path, &error)),
    }
}

/// The last line of a log.
fn last_words(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let tail = bytes
        .get(bytes.len().saturating_sub(LOG_TAIL_BYTES)..)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(tail).into_owned();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    // An error is two lines, "error: …" and "next: …"; the first one tells.
    let error = lines.clone().rfind(|line| line.starts_with("error:"));
    error
        .or_else(|| lines.next_back())
        .unwrap_or("it said nothing")
        .to_owned()
}

/// The clock, in milliseconds since the Unix epoch.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Puts the parameters of folded proofs into the folder of every node, one file on the disk for all of them where it can link.
fn share_parameters(plan: &Plan) -> Result<(), CommandError> {
    let made = plan.dir().join("proof-parameters");
    folded::make(&made, WindowShape::Small)?;
    let files = std::fs::read_dir(&made).map_err(|error| CommandError::file("read", &made, &error))?;
    for file in files.flatten() {
        for node in &plan.nodes {
            let folder = plan.node_dir(&node.name).join("data").join("proof-parameters");
            create_private_dir(&folder)?;
            let (from, to) = (file.path(), folder.join(file.file_name()));
            if to.exists() || std::fs::hard_link(&from, &to).is_ok() {
                continue;
            }
            std::fs::copy(&from, &to).map_err(|error| CommandError::file("write", &to, &error))?;
        }
    }
    Ok(())
}
