//! A devnet in release for a long time, with one restart a minute: memory must stay flat and no slot may take long.
//!
//! Slots are measured by the blocks' close times. Memory is what Linux counts as resident, sampled every second of every node;
//! `v1` is never restarted, so that one process shows the whole time.

use crate::{root, sh};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No slot may take longer, in milliseconds.
const SLOT_MS_MAX: u64 = 30_000;

/// How much higher the peak of `v1` in the last quarter may be than in the second one, in percent and KiB: the first quarter fills
/// caches.
const GROWTH_PERCENT_MAX: u64 = 10;
const GROWTH_KIB_MAX: u64 = 8 << 10;

/// How much higher any life of any node may get than `v1` in the second quarter, in percent and KiB: starting reads and catches up.
const PEAK_PERCENT_MAX: u64 = 50;
const PEAK_KIB_MAX: u64 = 16 << 10;

/// Time between two restarts.
const RESTART_EVERY: Duration = Duration::from_secs(60);

/// Time between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

pub(crate) fn run(words: &[&str]) -> Result<()> {
    let number = |name: &str, default: u64| -> Result<u64> {
        let Some(at) = words.iter().position(|word| *word == name) else {
            return Ok(default);
        };
        let text = words
            .get(at + 1)
            .with_context(|| format!("{name} needs a number"))?;
        text.parse()
            .with_context(|| format!("{name} needs a number, not {text}"))
    };
    let (minutes, validators) = (number("--minutes", 30)?, number("--validators", 7)?);
    ensure!(minutes >= 4, "a soak takes at least 4 minutes");
    ensure!(
        (4..=13).contains(&validators),
        "a soak takes 4 to 13 validators: fewer stop when one restarts"
    );
    sh(
        "cargo",
        &["build", "--release", "--locked", "--package", "watt-node"],
    )?;
    let devnet = Devnet::up(validators)?;
    let soaked = soak(&devnet, minutes, validators)?;
    let failures = soaked.failures();
    if words.contains(&"--json") {
        println!("{}", soaked.to_json(&failures));
    } else {
        println!("{soaked}");
    }
    ensure!(failures.is_empty(), "the soak failed: {}", failures.join("; "));
    Ok(())
}

/// What was seen.
struct Soaked {
    minutes: u64,
    validators: u64,
    restarts: u64,
    /// Between blocks, ascending, in milliseconds.
    slots_ms: Vec<u64>,
    /// Of `v1`, one per sample, in KiB.
    resident_kib: Vec<u64>,
    /// The highest of each node.
    peaks_kib: BTreeMap<String, u64>,
    /// The longest time until a restarted node served and was up to date.
    slowest_return: Duration,
}

impl Soaked {
    /// The highest value in one quarter of the time.
    fn quarter_kib(&self, quarter: usize) -> u64 {
        let length = self.resident_kib.len() / 4;
        let samples = self.resident_kib.iter().skip(quarter * length).take(length);
        samples.copied().max().unwrap_or(0)
    }

    fn slot_ms(&self, percent: usize) -> u64 {
        let last = self.slots_ms.len().saturating_sub(1);
        self.slots_ms
            .get(last * percent / 100)
            .copied()
            .unwrap_or(u64::MAX)
    }

    fn failures(&self) -> Vec<String> {
        let bound = |percent, kib| self.quarter_kib(1) * (100 + percent) / 100 + kib;
        let mut failures = Vec::new();
        if self.slot_ms(100) > SLOT_MS_MAX {
            failures.push(format!(
                "a slot took {} ms, at most {SLOT_MS_MAX} are allowed",
                self.slot_ms(100)
            ));
        }
        let flat = bound(GROWTH_PERCENT_MAX, GROWTH_KIB_MAX);
        if self.quarter_kib(3) > flat {
            failures.push(format!(
                "v1 has grown to {} KiB in the last quarter; {flat} would be flat",
                self.quarter_kib(3)
            ));
        }
        let highest = bound(PEAK_PERCENT_MAX, PEAK_KIB_MAX);
        for (node, peak) in self.peaks_kib.iter().filter(|(_, peak)| **peak > highest) {
            failures.push(format!("{node} took {peak} KiB, at most {highest} are allowed"));
        }
        failures
    }

    fn to_json(&self, failures: &[String]) -> Value {
        let quarters = [0, 1, 2, 3].map(|quarter| self.quarter_kib(quarter));
        json!({
            "minutes": self.minutes,
            "validators": self.validators,
            "restarts": self.restarts,
            "blocks": self.slots_ms.len(),
            "slot_ms": { "p50": self.slot_ms(50), "p99": self.slot_ms(99), "max": self.slot_ms(100) },
            "slowest_return_ms": u64::try_from(self.slowest_return.as_millis()).unwrap_or(u64::MAX),
            "v1_peak_kib_by_quarter": quarters,
            "peak_kib": self.peaks_kib,
            "failures": failures,
        })
    }
}

impl std::fmt::Display for Soaked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} validators, {} minutes, {} restarts, {} blocks",
            self.validators,
            self.minutes,
            self.restarts,
            self.slots_ms.len()
        )?;
        writeln!(
            f,
            "slots: half within {} ms, 99 of 100 within {} ms, slowest {} ms",
            self.slot_ms(50),
            self.slot_ms(99),
            self.slot_ms(100)
        )?;
        writeln!(f, "slowest return of a restarted node: {:?}", self.slowest_return)?;
        let quarters = [0, 1, 2, 3].map(|quarter| format!("{} KiB", self.quarter_kib(quarter)));
        writeln!(
            f,
            "v1, never restarted, at most by quarter: {}",
            quarters.join(", ")
        )?;
        for (node, peak) in &self.peaks_kib {
            writeln!(f, "{node} at most {peak} KiB")?;
        }
        Ok(())
    }
}

fn soak(devnet: &Devnet, minutes: u64, validators: u64) -> Result<Soaked> {
    let mut soaked = Soaked {
        minutes,
        validators,
        restarts: 0,
        slots_ms: Vec::new(),
        resident_kib: Vec::new(),
        peaks_kib: BTreeMap::new(),
        slowest_return: Duration::ZERO,
    };
    let first = devnet.height()?;
    let (began, length) = (Instant::now(), Duration::from_secs(60 * minutes));
    let mut next_restart = began + RESTART_EVERY / 2;
    let mut returning: Option<(String, Instant)> = None;
    while began.elapsed() < length {
        let round = Instant::now();
        let status = devnet.ask(&["devnet", "status"])?;
        for node in status["nodes"].as_array().context("a status lists nodes")? {
            let name = node["node"].as_str().unwrap_or_default();
            if let Some(kib) = node["pid"].as_u64().and_then(resident_kib) {
                let peak = soaked.peaks_kib.entry(name.to_owned()).or_default();
                *peak = kib.max(*peak);
                if name == "v1" {
                    soaked.resident_kib.push(kib);
                }
            }
            if let Some((_, since)) =
                returning.take_if(|(returning, _)| returning == name && node["is_ready"] == Value::Bool(true))
            {
                soaked.slowest_return = soaked.slowest_return.max(since.elapsed());
            }
        }
        if next_restart <= round {
            if let Some((name, _)) = returning {
                bail!("{name} was restarted a minute ago and is not back");
            }
            // Not `v1`: it shows the whole time.
            let name = format!("v{}", 2 + soaked.restarts % (validators - 1));
            devnet.ask(&["devnet", "kill", &name])?;
            devnet.ask(&["devnet", "start", &name])?;
            soaked.restarts += 1;
            next_restart += RESTART_EVERY;
            returning = Some((name, Instant::now()));
            eprintln!(
                "{:>5} s  height {}  v1 {} KiB  restarted v{}",
                began.elapsed().as_secs(),
                status["height"],
                soaked.resident_kib.last().unwrap_or(&0),
                2 + (soaked.restarts - 1) % (validators - 1),
            );
        }
        std::thread::sleep(SAMPLE_EVERY.saturating_sub(round.elapsed()));
    }
    soaked.slots_ms = devnet.slots_ms(first)?;
    soaked.slots_ms.sort_unstable();
    Ok(soaked)
}

/// What Linux says a process holds in memory.
fn resident_kib(pid: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A devnet in release; it ends with this value.
struct Devnet {
    watt: PathBuf,
    dir: PathBuf,
    supervisor: Child,
    /// Address of the listener of `v1`.
    api: String,
}

impl Devnet {
    fn up(validators: u64) -> Result<Self> {
        let metadata = cargo_metadata::MetadataCommand::new()
            .current_dir(root())
            .no_deps()
            .exec()?;
        let target = metadata.target_directory.into_std_path_buf();
        let watt = target.join("release/watt");
        let dir = target.join(format!("soak-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let supervisor = watt_command(&watt, &dir)
            .args([
                "devnet",
                "up",
                "--json",
                "--providers",
                "0",
                "--validators",
                &validators.to_string(),
            ])
            .arg("--dir")
            .arg(dir.join("net"))
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", watt.display()))?;
        let mut devnet = Self {
            watt,
            dir,
            supervisor,
            api: String::new(),
        };
        let output = devnet.supervisor.stdout.take().context("a pipe was asked for")?;
        let mut lines = BufReader::new(output).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains(r#""event":"ready""#));
        let ready: Value = serde_json::from_str(&ready.context("the devnet did not start")?)?;
        // What the nodes' states are is asked for; the stream must not block its writer.
        drop(std::thread::spawn(move || lines.for_each(drop)));
        let api = ready["devnet"]["nodes"][0]["api"]
            .as_str()
            .context("v1 has a listener")?;
        api.clone_into(&mut devnet.api);
        Ok(devnet)
    }

    /// Runs a command that must succeed.
    fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = watt_command(&self.watt, &self.dir)
            .args(arguments)
            .arg("--json")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "watt {} failed: {said}",
            arguments.join(" ")
        );
        Ok(serde_json::from_str(&said)?)
    }

    fn height(&self) -> Result<u64> {
        let head = self.get("/api/v1/head")?;
        head["height"].as_u64().context("a head has a height")
    }

    /// Times between the blocks from `first` to the head, and since the head.
    fn slots_ms(&self, first: u64) -> Result<Vec<u64>> {
        let mut closed = Vec::new();
        for height in first.max(1)..=self.height()? {
            let block = self.get(&format!("/api/v1/blocks/{height}"))?;
            closed.push(block["close_time"].as_u64().context("a block has a close time")?);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        closed.push(u64::try_from(now)?);
        Ok(closed
            .iter()
            .zip(closed.iter().skip(1))
            .map(|(before, after)| after.saturating_sub(*before))
            .collect())
    }

    /// Asks the listener of `v1`.
    fn get(&self, path: &str) -> Result<Value> {
        let host = self.api.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("an answer has a head and a body")?;
        ensure!(head.contains(" 200 "), "{path}: {head}");
        Ok(serde_json::from_str(body)?)
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        // If the command fails, the supervisor is killed, and its nodes end when their pipes close.
        if self.ask(&["devnet", "stop"]).is_err() {
            drop(self.supervisor.kill());
        }
        drop(self.supervisor.wait());
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays behind: {error}", self.dir.display());
        }
    }
}

/// The program, with all its files under `dir` and nothing taken over from whoever runs this.
fn watt_command(watt: &Path, dir: &Path) -> Command {
    let mut command = Command::new(watt);
    for name in ["WATT_ACCOUNT", "WATT_API", "WATT_CONFIG", "WATT_LOG", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
        .env("WATT_HOME", dir.join("home"))
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}
