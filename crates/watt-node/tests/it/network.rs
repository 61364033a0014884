//! A devnet of processes, the commands of its user, and what can be seen of it from outside.

use crate::wait::{PATIENCE, until, until_some};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use watt_primitives::Amount;

/// How long a network may take to be ready: many processes, perhaps beside another network.
const START_PATIENCE: Duration = Duration::from_secs(200);

/// How long a command may take; a put waits for blocks.
const COMMAND_PATIENCE: Duration = Duration::from_secs(180);

/// How long the supervisor may take to end its nodes, before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(40);

/// The last bytes of a log that are shown when a test fails.
const LOG_TAIL_BYTES: usize = 1_200;

/// A node of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) peer_id: String,
    pub(crate) p2p_port: u16,
    pub(crate) api_port: u16,
    pub(crate) owner_port: u16,
}

impl Node {
    fn of(plan: &Value) -> Self {
        let text = |key: &str| plan[key].as_str().unwrap().to_owned();
        let port = |key: &str| u16::try_from(plan[key].as_u64().unwrap()).unwrap();
        Self {
            name: text("name"),
            account: text("account"),
            peer_id: text("peer_id"),
            p2p_port: port("p2p_port"),
            api_port: port("api_port"),
            owner_port: port("owner_port"),
        }
    }

    pub(crate) fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Said {
    /// The object that `--json` printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// A devnet that ends with this value, also when a test panics.
pub(crate) struct Network {
    dir: TempDir,
    supervisor: Child,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    pub(crate) nodes: Vec<Node>,
    pub(crate) id: String,
    pub(crate) client: String,
}

impl Network {
    /// Starts a devnet and returns when it serves.
    pub(crate) fn up(validators: u32, providers: u32) -> Self {
        Self::up_with(validators, providers, &[])
    }

    /// As [`Self::up`], with further flags of `watt devnet up`.
    pub(crate) fn up_with(validators: u32, providers: u32, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (validators, providers) = (validators.to_string(), providers.to_string());
        let net = dir.path().join("net");
        let mut command = watt(dir.path());
        command
            .args([
                "devnet",
                "up",
                "--json",
                "--validators",
                &validators,
                "--providers",
                &providers,
            ])
            .args(flags)
            .arg("--dir")
            .arg(&net)
            .stdout(File::create(dir.path().join("up.out")).unwrap())
            .stderr(File::create(dir.path().join("up.err")).unwrap());
        // In a group of its own, so that Ctrl-C of whoever runs the tests reaches it through this value alone.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let supervisor = command.spawn().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .build()
            .unwrap();
        let mut network = Self {
            dir,
            supervisor,
            runtime,
            http,
            nodes: Vec::new(),
            id: String::new(),
            client: String::new(),
        };
        network.wait_ready();
        let plan: Value = serde_json::from_slice(&std::fs::read(net.join("devnet.json")).unwrap()).unwrap();
        network.nodes = plan["nodes"].as_array().unwrap().iter().map(Node::of).collect();
        network.id = plan["network"].as_str().unwrap().to_owned();
        network.client = plan["client"].as_str().unwrap().to_owned();
        network
    }

    fn wait_ready(&mut self) {
        let said = self.dir.path().join("up.out");
        until("the devnet is ready", START_PATIENCE, || {
            if let Some(status) = self.supervisor.try_wait().unwrap() {
                let why = std::fs::read_to_string(self.dir.path().join("up.err")).unwrap_or_default();
                panic!("the devnet ended ({status}): {}{why}", read_text(&said));
            }
            read_text(&said)
                .lines()
                .any(|line| line.contains(r#""event":"ready""#))
        });
    }

    /// A file or folder of this test, outside the devnet's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder of a node.
    pub(crate) fn node_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join("net/nodes").join(name)
    }

    /// Everything that a node has logged since the devnet started.
    pub(crate) fn log(&self, name: &str) -> String {
        read_text(&self.node_dir(name).join("node.log"))
    }

    /// Writes a file whose bytes look random and are the same in every run.
    pub(crate) fn file(&self, name: &str, n_bytes: usize) -> (PathBuf, Vec<u8>) {
        let bytes = noise(name, n_bytes);
        let path = self.path(name);
        std::fs::write(&path, &bytes).unwrap();
        (path, bytes)
    }

    pub(crate) fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).unwrap()
    }

    /// The node whose account this is.
    pub(crate) fn node_of(&self, account: &str) -> &Node {
        self.nodes.iter().find(|node| node.account == account).unwrap()
    }

    /// Starts a command of the devnet's owner and leaves it running.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        self.spawn_into(arguments, None)
    }

    fn spawn_into(&self, arguments: &[&str], stdout: Option<&Path>) -> Running {
        let said = tempfile::tempdir_in(self.dir.path()).unwrap();
        let out = match stdout {
            Some(path) => File::options().write(true).open(path).unwrap(),
            None => File::create(said.path().join("out")).unwrap(),
        };
        let child = watt(self.dir.path())
            .args(arguments)
            .stdout(out)
            .stderr(File::create(said.path().join("err")).unwrap())
            .spawn()
            .unwrap();
        Running { child, said }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.spawn(arguments).end(&arguments.join(" "))
    }

    /// Runs a command whose standard output is `path`.
    pub(crate) fn run_into(&self, path: &Path, arguments: &[&str]) -> Said {
        self.spawn_into(arguments, Some(path)).end(&arguments.join(" "))
    }

    /// Runs a command that must succeed, with `--json`.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        let said = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(said.code, Some(0), "watt {}: {said:?}", arguments.join(" "));
        said.json()
    }

    /// Stores a file.
    pub(crate) fn put(&self, path: &Path) -> Value {
        self.ask(&["put", path.to_str().unwrap()])
    }

    /// Fetches a file; its bytes, and what the command said.
    pub(crate) fn get(&self, link: &str) -> (Vec<u8>, Value) {
        let to = self.path("fetched");
        drop(std::fs::remove_file(&to));
        let said = self.ask(&["get", link, "-o", to.to_str().unwrap()]);
        (std::fs::read(to).unwrap(), said)
    }

    /// How a stored file is.
    pub(crate) fn status(&self, link: &str) -> Value {
        self.ask(&["status", link])
    }

    /// Ends a node with SIGKILL.
    pub(crate) fn kill(&self, name: &str) {
        self.ask(&["devnet", "kill", name]);
    }

    /// Asks a node to end, and waits until it has.
    pub(crate) fn stop(&self, name: &str) {
        self.ask(&["devnet", "stop", name]);
    }

    /// Starts a node again; does not wait for anything.
    pub(crate) fn start(&self, name: &str) {
        self.ask(&["devnet", "start", name]);
    }

    /// Starts a node again and waits until it serves and is up to date.
    pub(crate) fn start_ready(&self, name: &str) {
        self.start(name);
        self.wait_node_ready(name);
    }

    pub(crate) fn wait_node_ready(&self, name: &str) {
        until(&format!("{name} is ready"), PATIENCE, || {
            self.node_status(name)
                .is_some_and(|status| status["ready"]["is_ready"] == true)
        });
    }

    /// What a node says at its public listener; `None` while it does not answer, or answers with a problem.
    pub(crate) fn http(&self, node: &str, path: &str) -> Option<Value> {
        serde_json::from_str(&self.http_text(node, path).ok()?).ok()
    }

    /// As [`Self::http`], for what is no JSON, and with the reason.
    ///
    /// A kept connection may be one that the node closes just now, as it does after a body that it refused to read;
    /// a read is then asked again, as every client does.
    pub(crate) fn http_text(&self, node: &str, path: &str) -> Result<String, reqwest::Error> {
        let url = format!("{}{path}", self.node(node).api());
        let ask = || async { self.http.get(&url).send().await?.error_for_status()?.text().await };
        self.wait_for(async {
            match ask().await {
                Err(error) if error.is_request() && !error.is_connect() => ask().await,
                answer => answer,
            }
        })
    }

    /// Hands bytes to a node as a transaction; the status of its answer.
    pub(crate) fn post_transaction(&self, node: &str, bytes: Vec<u8>) -> Option<u16> {
        self.wait_for(self.submit(node, bytes))
    }

    /// As [`Self::post_transaction`], beside other work.
    pub(crate) async fn submit(&self, node: &str, bytes: Vec<u8>) -> Option<u16> {
        let url = format!("{}/api/v1/transactions", self.node(node).api());
        let request = self.http.post(url).header("content-type", "application/cbor");
        let response = request.body(bytes).send().await.ok()?;
        Some(response.status().as_u16())
    }

    /// Runs `work` where sockets work.
    pub(crate) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(crate) fn node_status(&self, node: &str) -> Option<Value> {
        self.http(node, "/api/v1/status")
    }

    /// Height of a node's head; zero while it does not answer.
    pub(crate) fn height(&self, node: &str) -> u64 {
        self.node_status(node)
            .and_then(|status| status["height"].as_u64())
            .unwrap_or(0)
    }

    /// Waits until a node's chain has grown by `n_blocks`.
    pub(crate) fn wait_blocks(&self, node: &str, n_blocks: u64) {
        let from = self.height(node);
        until(&format!("{n_blocks} more blocks at {node}"), PATIENCE, || {
            self.height(node) >= from + n_blocks
        });
    }

    /// What the client can spend.
    pub(crate) fn balance(&self) -> Amount {
        amount(&self.ask(&["account", "balance"])["balance"])
    }

    /// All money is where it can be, and there is as much as on the first day.
    pub(crate) fn check_supply(&self, node: &str) {
        let supply = &self.node_status(node).unwrap()["supply"];
        let parts = ["in_accounts", "in_escrow", "in_protocol_wallet"].map(|part| amount(&supply[part]));
        assert_eq!(
            Amount::checked_sum(parts),
            Some(amount(&supply["total"])),
            "{supply}"
        );
        let n_nodes = u64::try_from(self.nodes.len()).unwrap();
        let genesis = (1_000_000 + 10_000 * n_nodes).to_string();
        assert_eq!(supply["total"], genesis.as_str());
    }

    /// Process id of a node.
    pub(crate) fn pid(&self, name: &str) -> u64 {
        let status = self.ask(&["devnet", "status"]);
        let nodes = status["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["node"] == name).unwrap();
        node["pid"]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} does not run: {node}"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        let id = self.supervisor.id().to_string();
        // The supervisor ends its nodes in order; if it is killed they end by themselves, since their pipe closes.
        drop(Command::new("kill").args(["-INT", &id]).status());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("the devnet has ended", STOP_PATIENCE, || {
                matches!(self.supervisor.try_wait(), Ok(Some(_)))
            });
        }));
        if ended.is_err() {
            drop(self.supervisor.kill());
            drop(self.supervisor.wait());
        }
    }
}

impl Network {
    fn show_logs(&self) {
        let nodes = self.nodes.iter().map(|node| node.name.as_str());
        for name in nodes {
            let log = self.log(name);
            let from = log.len().saturating_sub(LOG_TAIL_BYTES);
            let tail = log.get(from..).unwrap_or(&log);
            eprintln!("---- the end of the log of {name}\n{tail}");
        }
    }
}

/// A command that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    said: TempDir,
}

impl Running {
    /// Waits for its end.
    pub(crate) fn end(mut self, what: &str) -> Said {
        let status = until_some(&format!("`watt {what}` has ended"), COMMAND_PATIENCE, || {
            self.child.try_wait().unwrap()
        });
        Said {
            code: status.code(),
            out: std::fs::read(self.said.path().join("out")).unwrap_or_default(),
            err: read_text(&self.said.path().join("err")),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.child.id().into()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or a test has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program, with all its files under `home` and nothing taken over from whoever runs the tests.
fn watt(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watt"));
    for name in ["WATT_ACCOUNT", "WATT_API", "WATT_CONFIG", "WATT_LOG", "RUST_LOG"] {
        command.env_remove(name);
    }
    command.env("WATT_HOME", home.join("home")).stdin(Stdio::null());
    command
}

fn read_text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The most memory that a process has ever really held, in KiB; `None` once it has ended.
pub(crate) fn resident_peak_kib(pid: u64) -> Option<u64> {
    resident(pid, "VmHWM:")
}

/// Memory that a process really holds now, in KiB.
pub(crate) fn resident_kib(pid: u64) -> u64 {
    resident(pid, "VmRSS:").unwrap()
}

fn resident(pid: u64, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Bytes that look random; the same for the same name.
pub(crate) fn noise(name: &str, n_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; n_bytes];
    blake3::Hasher::new()
        .update(name.as_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// An amount as the API writes it.
pub(crate) fn amount(text: &Value) -> Amount {
    text.as_str()
        .unwrap_or_else(|| panic!("no amount: {text}"))
        .parse()
        .unwrap()
}

/// The texts of a JSON list.
pub(crate) fn texts(list: &Value) -> Vec<String> {
    let one = |text: &Value| text.as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(one).collect()
}
