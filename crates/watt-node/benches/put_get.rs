//! Storing and fetching a file on a devnet of processes (4 validators, 12 providers), beside a plain TCP copy of the same
//! bytes from file to file on the same machine. Fetched once while the providers seal, and once when all shares are proven.
//! Prints one JSON object per line. `WATT_BENCH_MIB` sets the size of the file.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures time and prints"
)]

use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MIB_DEFAULT: u64 = 256;
/// How long sealing may take, per MiB of the file.
const PROVEN_PER_MIB: Duration = Duration::from_secs(3);
const PROVEN_MIN: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_secs(3);

fn main() {
    let mib = std::env::var("WATT_BENCH_MIB")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(MIB_DEFAULT);
    let case = format!("{mib} MiB");
    let temp = tempfile::tempdir().expect("a temporary folder");
    let original = temp.path().join("original");
    write_noise(&original, mib);

    let copy = measure(&[], || tcp_copy(&original, &temp.path().join("copied")));
    let devnet = Devnet::up(temp.path());
    let nodes = devnet.node_pids();

    let (mut link, mut drawn) = (String::new(), 0.0);
    let mut put = measure(&nodes, || {
        let said = devnet.ask(&["put", path_text(&original)]);
        said["link"]
            .as_str()
            .expect("a put names its link")
            .clone_into(&mut link);
        drawn = said["draw_seconds"].as_f64().unwrap_or_default();
    });
    // Nothing moves until providers are drawn, however fast machines are.
    put.wall = put.wall.saturating_sub(Duration::from_secs_f64(drawn));
    report(&case, "put", mib, &put, &copy);
    for (what, wait) in [("get_while_sealing", false), ("get", true)] {
        if wait {
            devnet.wait_proven(
                &link,
                PROVEN_MIN + PROVEN_PER_MIB * u32::try_from(mib).unwrap_or(u32::MAX),
            );
        }
        let fetched = temp.path().join(what);
        let get = measure(&nodes, || {
            devnet.ask(&["get", &link, "-o", path_text(&fetched)]);
        });
        assert_same(&original, &fetched);
        std::fs::remove_file(&fetched).expect("the fetched file goes");
        report(&case, what, mib, &get, &copy);
    }
}

/// Wall time and CPU time of a piece of work.
struct Measured {
    wall: Duration,
    /// Of the nodes and of all commands that were waited for; `None` where the system does not tell.
    cpu_s: Option<f64>,
}

fn measure(nodes: &[u64], work: impl FnOnce()) -> Measured {
    let before = cpu_s(nodes);
    let began = Instant::now();
    work();
    Measured {
        wall: began.elapsed(),
        cpu_s: cpu_s(nodes).zip(before).map(|(after, before)| after - before),
    }
}

fn report(case: &str, what: &str, mib: u64, measured: &Measured, copy: &Measured) {
    let speed = |measured: &Measured| mib as f64 / measured.wall.as_secs_f64();
    line(
        case,
        &format!("{what}_mib_per_s"),
        "MiB/s",
        speed(measured),
        speed(copy),
    );
    if let (Some(cpu), Some(copy)) = (measured.cpu_s, copy.cpu_s) {
        let per_gib = 1024.0 / mib as f64;
        line(
            case,
            &format!("{what}_cpu_s_per_gib"),
            "s/GiB",
            cpu * per_gib,
            copy * per_gib,
        );
    }
}

fn line(case: &str, metric: &str, unit: &str, value: f64, baseline: f64) {
    let mut result =
        json!({"bench": "put-get", "case": case, "metric": metric, "value": value, "unit": unit});
    if baseline > 0.0 {
        result["baseline"] = json!(baseline);
        result["ratio"] = json!(value / baseline);
    }
    println!("{result}");
}

/// Seconds of CPU that `nodes`, this process and its ended children have used; proc(5), 100 ticks a second.
fn cpu_s(nodes: &[u64]) -> Option<f64> {
    let ticks = |pid: &str, fields: &[usize]| -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold spaces; field 3 follows it.
        let rest: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        fields
            .iter()
            .map(|field| rest.get(field - 3)?.parse::<u64>().ok())
            .sum()
    };
    let mut sum = ticks("self", &[14, 15, 16, 17])?;
    for node in nodes {
        sum += ticks(&node.to_string(), &[14, 15])?;
    }
    Some(sum as f64 / 100.0)
}

struct Devnet {
    supervisor: Child,
    home: PathBuf,
}

impl Devnet {
    fn up(folder: &Path) -> Self {
        let home = folder.join("home");
        let mut supervisor = watt(&home)
            .args(["devnet", "up", "--json", "--dir", path_text(&folder.join("net"))])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = supervisor.stdout.take().expect("its output is a pipe");
        let devnet = Self { supervisor, home };
        let mut lines = BufReader::new(stdout).lines();
        assert!(
            lines.any(|line| line.is_ok_and(|line| line.contains(r#""event":"ready""#))),
            "the devnet ended before it was ready"
        );
        std::thread::spawn(move || lines.for_each(drop));
        devnet
    }

    /// Runs a command that must succeed; what it printed.
    fn ask(&self, arguments: &[&str]) -> Value {
        let output = watt(&self.home)
            .args(arguments)
            .arg("--json")
            .stderr(Stdio::inherit())
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "watt {} failed", arguments.join(" "));
        serde_json::from_slice(&output.stdout).expect("--json prints an object")
    }

    fn node_pids(&self) -> Vec<u64> {
        let status = self.ask(&["devnet", "status"]);
        let nodes = status["nodes"].as_array().expect("a status lists its nodes");
        nodes.iter().filter_map(|node| node["pid"].as_u64()).collect()
    }

    /// Waits until no share is still to be sealed.
    fn wait_proven(&self, link: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.ask(&["status", link]);
            let shares = status["shares"].as_array().expect("a status lists shares");
            if shares.iter().all(|share| share["last_proven_window"].is_u64()) {
                return;
            }
            assert!(Instant::now() < deadline, "the shares are not proven: {status}");
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let stopped = watt(&self.home)
            .args(["devnet", "stop"])
            .stdout(Stdio::null())
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            drop(self.supervisor.kill());
        }
        drop(self.supervisor.wait());
    }
}

/// The program, with all its files under `home`.
fn watt(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watt"));
    for name in ["WATT_ACCOUNT", "WATT_API", "WATT_CONFIG", "WATT_LOG", "RUST_LOG"] {
        command.env_remove(name);
    }
    command.env("WATT_HOME", home).stdin(Stdio::null());
    command
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

fn write_noise(path: &Path, mib: u64) {
    let mut file = File::create(path).expect("a new file");
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut chunk = vec![0; 1 << 20];
    for _ in 0..mib {
        noise.fill(&mut chunk);
        file.write_all(&chunk).expect("the disk has room");
    }
    file.sync_all().expect("the disk has room");
}

/// Reads the file, sends it over loopback, and writes it durably: what a copy costs without any of our work.
fn tcp_copy(from: &Path, to: &Path) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
    let address = listener.local_addr().expect("it is bound");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut file = File::open(from).expect("the file is there");
            let mut stream = TcpStream::connect(address).expect("the listener listens");
            std::io::copy(&mut file, &mut stream).expect("the copy goes through");
        });
        let (stream, _) = listener.accept().expect("somebody connects");
        let mut stream = BufReader::with_capacity(1 << 18, stream);
        let mut file = File::create(to).expect("a new file");
        std::io::copy(&mut stream, &mut file).expect("the copy goes through");
        file.sync_all().expect("the disk has room");
    });
}

fn assert_same(left: &Path, right: &Path) {
    let hash = |path: &Path| {
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(path).expect("the file is there");
        let mut chunk = vec![0; 1 << 20];
        loop {
            match file.read(&mut chunk).expect("the file can be read") {
                0 => return hasher.finalize(),
                n => hasher.update(&chunk[..n]),
            };
        }
    };
    assert_eq!(hash(left), hash(right), "the fetched file is another");
}
