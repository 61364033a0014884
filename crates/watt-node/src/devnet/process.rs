//! One node's process: started, watched, stopped through its standard input, killed by whoever started it.

use super::plan::{NodePlan, NodeRole, Plan};
use crate::error::{CommandError, ErrorKind, OrFail};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

/// How long a node may take to end when asked, in milliseconds; then it is killed.
const STOP_MS_MAX: u64 = 10_000;

/// How a node's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum NodeState {
    /// It runs.
    Running,
    /// It was asked to end, and did.
    Stopped,
    /// It was ended with SIGKILL.
    Killed,
    /// It ended by itself.
    Exited {
        /// Its exit code, if it was not ended by a signal.
        code: Option<i32>,
    },
}

impl std::fmt::Display for NodeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Stopped => f.write_str("stopped"),
            Self::Killed => f.write_str("killed"),
            Self::Exited { code: Some(code) } => write!(f, "exited with code {code}"),
            Self::Exited { code: None } => f.write_str("ended by a signal"),
        }
    }
}

/// A node's process and how it is.
#[derive(Debug)]
pub(super) struct NodeProcess {
    running: Option<(Child, ChildStdin)>,
    state: NodeState,
    pid: Option<u32>,
}

impl NodeProcess {
    /// Starts the node of `plan` called `node.name`.
    pub(super) fn start(executable: &Path, plan: &Plan, node: &NodePlan) -> Result<Self, CommandError> {
        let log_path = plan.log(&node.name);
        let open = || {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&log_path)
        };
        let log = open().map_err(|error| CommandError::file("write", &log_path, &error))?;
        let errors = log
            .try_clone()
            .map_err(|error| CommandError::file("write", &log_path, &error))?;
        let noun = match node.role {
            NodeRole::Validator => "node",
            NodeRole::Provider => "provider",
        };
        let mut command = Command::new(executable);
        command
            .args([noun, "run", "--stop-with-stdin", "--config"])
            .arg(plan.node_dir(&node.name).join("config.toml"))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true);
        // In a group of its own, so that Ctrl-C reaches the supervisor alone, which ends the nodes in order.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().or_fail(
            ErrorKind::Temporary,
            &format!("can't start node {}", node.name),
            "check the limit of processes (ulimit -u)",
        )?;
        let pid = child.id();
        let Some(stdin) = child.stdin.take() else {
            return Err(CommandError::new(
                ErrorKind::Other,
                "a node was started without its pipe",
                "report this",
            ));
        };
        Ok(Self {
            running: Some((child, stdin)),
            state: NodeState::Running,
            pid,
        })
    }

    /// How it is now, and its process id while it runs.
    pub(super) fn observe(&mut self) -> (NodeState, Option<u32>) {
        if let Some((child, _)) = &mut self.running
            && let Ok(Some(status)) = child.try_wait()
        {
            self.end(NodeState::Exited { code: status.code() });
        }
        (self.state, self.pid)
    }

    /// Ends it with SIGKILL, as a power cut would.
    pub(super) async fn kill(&mut self) -> Result<(), CommandError> {
        if let Some((child, _)) = &mut self.running {
            child
                .kill()
                .await
                .or_fail(ErrorKind::Other, "can't kill the node", "look at its process")?;
            self.end(NodeState::Killed);
        }
        Ok(())
    }

    /// Asks it to end by closing its pipe; kills it if it does not.
    pub(super) async fn stop(&mut self) {
        let Some((mut child, stdin)) = self.running.take() else {
            return;
        };
        drop(stdin);
        let ended = tokio::time::timeout(Duration::from_millis(STOP_MS_MAX), child.wait()).await;
        if ended.is_err() {
            // It may have ended in this instant; then there is nothing to kill.
            drop(child.kill().await);
        }
        self.end(NodeState::Stopped);
    }

    fn end(&mut self, state: NodeState) {
        self.running = None;
        self.pid = None;
        self.state = state;
    }
}

/// The node's side of the pipe: tells when the supervisor closed it or is gone.
#[derive(Debug)]
pub struct ParentWatch(oneshot::Receiver<()>);

impl ParentWatch {
    /// Watches standard input until it closes.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start() -> Result<Self, CommandError> {
        let (closed, watch) = oneshot::channel();
        // A plain thread: a read of standard input can't be cancelled, and must not hold up the end of the runtime.
        let read = move || {
            let mut stdin = std::io::stdin().lock();
            let mut bytes = [0; 256];
            while matches!(stdin.read(&mut bytes), Ok(1..)) {}
            // The receiver is gone when the node is ending already: then there is nobody to tell.
            if closed.send(()).is_err() {}
        };
        std::thread::Builder::new()
            .name("parent-watch".to_owned())
            .spawn(read)
            .or_fail(
                ErrorKind::Temporary,
                "can't start a thread",
                "check the limit of processes (ulimit -u)",
            )?;
        Ok(Self(watch))
    }

    /// Resolves when the pipe is closed.
    pub async fn closed(&mut self) {
        // An error means the thread ended, which it does only after the pipe closed.
        drop((&mut self.0).await);
    }
}
