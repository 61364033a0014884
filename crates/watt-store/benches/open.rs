//! How long a state of five million accounts takes to open after a kill -9 in the middle of commits (TC22: under a minute), beside
//! reading its file once from beginning to end. The killed writer is this program, started again by itself. Prints one JSON object
//! per line; `WATT_BENCH_ACCOUNTS` and `WATT_BENCH_KILLS` set how many accounts there are, and how often it is killed.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures time and prints"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use watt_ledger::state::Writes;
use watt_primitives::{BlockHeight, Hash};
use watt_store::{Opened, StateConfig, StateDb};

const ACCOUNTS_DEFAULT: u64 = 5_000_000;
const KILLS_DEFAULT: u64 = 3;
/// Where the writer writes; set in its process only.
const DIR: &str = "WATT_BENCH_OPEN_DIR";
const ROWS_AT_ONCE: usize = 50_000;
const ROWS_PER_BLOCK: u64 = 5_000;
/// Bytes of an account's row, about.
const ROW_BYTES: usize = 180;
/// Blocks that the writer commits before it may be killed.
const BLOCKS_BEFORE_KILL: usize = 40;

fn main() {
    let n_accounts = setting("WATT_BENCH_ACCOUNTS", ACCOUNTS_DEFAULT);
    if let Some(dir) = std::env::var_os(DIR) {
        write_for_ever(&PathBuf::from(dir), n_accounts);
    }
    let temp = tempfile::tempdir().expect("a temporary folder");
    let dir = temp.path().join("state");
    make(&dir, n_accounts);
    let case = format!("{n_accounts} accounts");
    for _ in 0..setting("WATT_BENCH_KILLS", KILLS_DEFAULT) {
        let killed_at = write_and_kill(&dir, n_accounts);
        let read = read_all(&dir);
        let began = Instant::now();
        let (state, opened) = StateDb::open(&dir, config()).expect("the state opens");
        let taken = began.elapsed();
        assert_eq!(opened, Opened::Intact, "a kill is no damage");
        let height = state.head().map_or(0, |head| head.height.0);
        assert!(
            height + config().durable_every >= killed_at,
            "{height} after {killed_at}"
        );
        println!(
            "{}",
            serde_json::json!({
                "bench": "open", "case": case, "metric": "open_s", "value": seconds(taken), "unit": "s",
                "baseline": seconds(read), "ratio": seconds(taken) / seconds(read),
            })
        );
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// As a node's, but for checkpoints: rows here have no tree to check.
fn config() -> StateConfig {
    StateConfig {
        checkpoint_every: u64::MAX,
        ..StateConfig::default()
    }
}

fn seconds(taken: Duration) -> f64 {
    taken.as_secs_f64()
}

fn key(n: u64) -> Vec<u8> {
    [b"Ea", &Hash::of_content(&n.to_be_bytes()).as_ref()[..20]].concat()
}

/// A state with these accounts, in the order of their keys, as it comes from a checkpoint.
fn make(dir: &Path, n_accounts: u64) {
    let mut keys: Vec<Vec<u8>> = (0..n_accounts).map(key).collect();
    keys.sort_unstable();
    let (state, _) = StateDb::open(dir, config()).expect("a new state opens");
    for (height, keys) in (0..).zip(keys.chunks(ROWS_AT_ONCE)) {
        let writes: Writes = keys
            .iter()
            .map(|key| (key.clone(), Some(vec![1; ROW_BYTES])))
            .collect();
        state
            .commit(BlockHeight(height), b"", &writes)
            .expect("the disk has room");
    }
    state.flush().expect("the disk has room");
}

/// The other process: commits blocks of scattered rows, and says so, until it is killed.
fn write_for_ever(dir: &Path, n_accounts: u64) -> ! {
    let (state, _) = StateDb::open(dir, config()).expect("the state opens");
    let mut height = state.head().map_or(0, |head| head.height.0);
    loop {
        height += 1;
        let first = height.wrapping_mul(7 * ROWS_PER_BLOCK);
        let writes: Writes = (first..first + ROWS_PER_BLOCK)
            .map(|n| (key(n % n_accounts), Some(vec![2; ROW_BYTES])))
            .collect();
        state
            .commit(BlockHeight(height), b"", &writes)
            .expect("the disk has room");
        println!("{height}");
    }
}

/// Has the other process write, and kills it; returns the last height that it said.
fn write_and_kill(dir: &Path, n_accounts: u64) -> u64 {
    let mut writer: Child = Command::new(std::env::current_exe().expect("this program has a file"))
        .env(DIR, dir)
        .env("WATT_BENCH_ACCOUNTS", n_accounts.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = BufReader::new(writer.stdout.take().expect("it speaks")).lines();
    let last = said
        .map_while(Result::ok)
        .take(BLOCKS_BEFORE_KILL)
        .last()
        .and_then(|line| line.parse().ok())
        .expect("it commits");
    // SIGKILL on Unix.
    writer.kill().expect("it can be killed");
    writer.wait().expect("it ends");
    last
}

/// Reads every file of the folder once.
fn read_all(dir: &Path) -> Duration {
    let began = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(dir).expect("the folder is there").flatten() {
        let Ok(mut file) = std::fs::File::open(entry.path()) else {
            continue;
        };
        while file.read(&mut buffer).is_ok_and(|n| n > 0) {}
    }
    began.elapsed()
}
