//! The search for quorums that do not intersect, as a process of its own: this program, called with a hidden flag, killed at a deadline.
//!
//! It may take for ever and any memory, so it never runs in a node, nor in the command that asks for it.

use crate::error::{CommandError, ErrorKind, OrFail as _};
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use watt_health::worker::{self, LINE_BYTES_MAX};
use watt_health::{Analysis, Network};

/// Findings of one search.
const FINDINGS_MAX: u64 = 4;

/// Arguments that make this program the searching process; seconds follow.
const SEARCH: [&str; 4] = ["node", "health", "--search", "--deadline"];

/// How far the search stands back behind other work on the machine.
#[cfg(target_os = "linux")]
const NICE: i32 = 15;

/// All that is known of `network` before `deadline` has passed: at once if it is arithmetic, else from a process that is killed then.
///
/// # Errors
/// The process can't be started.
pub async fn analyze(network: &Network, deadline: Duration) -> Result<Analysis, CommandError> {
    if let Some(analysis) = Analysis::at_once(network) {
        return Ok(analysis);
    }
    let hint = "free some memory or processes, then try again";
    let program = std::env::current_exe().or_fail(
        ErrorKind::Other,
        "can't find this program's own file",
        "call watt by its full path",
    )?;
    let mut process = Command::new(program)
        .args(SEARCH)
        .arg(deadline.as_secs().max(1).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .or_fail(ErrorKind::Temporary, "can't start the search", hint)?;
    let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
    let mut analysis = Analysis::default();
    let search = async {
        if let Some(mut stdin) = stdin {
            // If it ends before it has read everything, it finds nothing, which is what is said then.
            drop(stdin.write_all(network.to_snapshot().as_bytes()).await);
        }
        let Some(stdout) = stdout else { return };
        let bytes_max = u64::try_from(LINE_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_mul(FINDINGS_MAX);
        let mut lines = BufReader::new(stdout.take(bytes_max)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(finding) = worker::read_line(&line) {
                analysis.add(finding);
            }
        }
    };
    // What was found until then stays.
    drop(tokio::time::timeout(deadline, search).await);
    drop(process.kill().await);
    Ok(analysis)
}

/// The searching process: reads a network from standard input, writes findings to standard output. On Linux it takes bounded memory
/// and at most `cpu_seconds`, so that it ends also if nobody is left to kill it.
#[must_use]
pub fn search(cpu_seconds: u64) -> ExitCode {
    stand_back(cpu_seconds);
    match worker::work(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Everything else on the machine comes first; beyond the bounds the system ends the process.
#[cfg(target_os = "linux")]
fn stand_back(cpu_seconds: u64) {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    // A system that refuses one of these leaves the parent's deadline, which holds everywhere.
    let _refused = nice(NICE);
    for (what, most) in [
        (Resource::As, worker::MEMORY_BYTES_MAX),
        (Resource::Cpu, cpu_seconds),
    ] {
        let bound = Some(most);
        let limit = Rlimit {
            current: bound,
            maximum: bound,
        };
        let _refused = setrlimit(what, limit);
    }
}

#[cfg(not(target_os = "linux"))]
const fn stand_back(_cpu_seconds: u64) {}
