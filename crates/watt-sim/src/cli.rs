//! What may be asked on the command line.

mod shrink;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use watt_sim::director::{Director, Report};
use watt_sim::scenario::{self, Scenario, Until};
use watt_sim::trace::Sink;
use watt_sim::world::Mutation;

const USAGE: &str = "\
cargo xtask sim [OPTIONS]
cargo xtask sim broken         six programs broken on purpose: each is caught by a seed
cargo xtask sim scale [--json] cost per block and per node at 10 to 5,000 nodes
cargo xtask sim same           traces of two runs, in two profiles, are compared

  --list                 all scenarios, with those that wait for a part that is not built yet
  --scenario NAME        one scenario (`swarm`: the mix of faults that the seed draws); default swarm
  --file PATH            a scenario of your own
  --seed N               its seed; default 1
  --seeds N [--first N]  N seeds of the swarm, and every scenario (long ones from 1,000 seeds on); from seed --first, default 1
  --until height=N       end early; or second=N
  --trace                every event, line by line
  --traces N             only the trace hashes of N seeds and of every scenario
  --break NAME           with a program broken on purpose, to see it caught
  --shrink               make a run that breaks a promise smaller, and print it as a scenario
  --runs N               of --shrink: at most N runs; default 300. The same N gives the same result
  --budget SECONDS       of --shrink: no further cut after so long
";

struct Options {
    list: bool,
    scenario: Option<String>,
    file: Option<String>,
    seed: u64,
    seeds: Option<u64>,
    first: u64,
    until: Option<Until>,
    trace: bool,
    traces: Option<u64>,
    mutation: Option<Mutation>,
    shrink: bool,
    runs: u32,
    budget_s: Option<u64>,
}

/// Does what the words ask for; whether no promise was broken.
pub(crate) fn run(words: &[String]) -> Result<bool, String> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return Ok(true);
    }
    match words.first().map(String::as_str) {
        Some("broken") => return broken(),
        Some("scale") => return scale(words.iter().any(|word| word == "--json")),
        Some(_) | None => {}
    }
    let options = parse(words)?;
    if let Some(n) = options.traces {
        return traces(n, &options);
    }
    if options.list {
        return list();
    }
    if options.shrink {
        return shrink::run(&options);
    }
    if let Some(n) = options.seeds {
        return many(n, &options);
    }
    let scenario = chosen(&options, options.seed)?;
    let sink = if options.trace {
        Sink::Stream(Box::new(std::io::BufWriter::new(std::io::stdout())))
    } else {
        Sink::None
    };
    let started = Instant::now();
    let report = Director::new(&scenario, options.seed, options.mutation, sink)?.run(options.until);
    let seconds = started.elapsed().as_secs_f64();
    show(&report, seconds);
    Ok(report.violation.is_none())
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        list: false,
        scenario: None,
        file: None,
        seed: 1,
        seeds: None,
        first: 1,
        until: None,
        trace: false,
        traces: None,
        mutation: None,
        shrink: false,
        runs: shrink::RUNS_MAX,
        budget_s: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"))
        };
        match word.as_str() {
            "--list" => options.list = true,
            "--trace" => options.trace = true,
            "--traces" => options.traces = Some(number(word, value()?)?),
            "--scenario" => options.scenario = Some(value()?.clone()),
            "--file" => options.file = Some(value()?.clone()),
            "--seed" => options.seed = number(word, value()?)?,
            "--seeds" => options.seeds = Some(number(word, value()?)?),
            "--first" => options.first = number(word, value()?)?,
            "--until" => options.until = Some(value()?.parse()?),
            "--shrink" => options.shrink = true,
            "--runs" => options.runs = u32::try_from(number(word, value()?)?).unwrap_or(u32::MAX),
            "--budget" => options.budget_s = Some(number(word, value()?)?),
            "--break" => options.mutation = Some(mutation(value()?)?),
            other => return Err(format!("unknown option {other}\n\n{USAGE}")),
        }
    }
    Ok(options)
}

fn number(option: &str, text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("{option} {text}: a number from 0 to {} is needed", u64::MAX))
}

fn mutation(name: &str) -> Result<Mutation, String> {
    let found = Mutation::ALL.iter().find(|(known, _)| *known == name);
    let names: Vec<&str> = Mutation::ALL.iter().map(|(name, _)| *name).collect();
    found.map(|(_, mutation)| *mutation).ok_or_else(|| {
        format!(
            "nothing known breaks as `{name}`; there are: {}",
            names.join(", ")
        )
    })
}

fn chosen(options: &Options, seed: u64) -> Result<Scenario, String> {
    if let Some(path) = &options.file {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        return Scenario::parse(path, &text).map_err(|error| error.to_string());
    }
    match options.scenario.as_deref() {
        None | Some("swarm") => Ok(scenario::swarm(seed)),
        Some(name) => scenario::find(name),
    }
}

fn list() -> Result<bool, String> {
    println!("{:28} every seed draws its own mix of faults", "swarm");
    for scenario in scenario::all().map_err(|error| error.to_string())? {
        match &scenario.waits_for {
            None => println!("{:28} {}", scenario.name, scenario.about),
            Some(missing) => println!("{:28} WAITS for {missing}: {}", scenario.name, scenario.about),
        }
    }
    Ok(true)
}

fn show(report: &Report, seconds: f64) {
    let virtual_s = report.ms as f64 / 1_000.0;
    println!(
        "{} seed {}: height {}, {virtual_s:.0} s in {seconds:.2} s ({:.0} times real), {} events, {} messages, {} transactions, trace {}",
        report.scenario,
        report.seed,
        report.height,
        virtual_s / seconds.max(1e-9),
        report.n_events,
        report.n_sent,
        report.n_transactions,
        report.trace
    );
    if let Some(violation) = &report.violation {
        eprintln!("\nBROKEN PROMISE: {violation}\n");
        for line in &report.last_lines {
            eprintln!("  {line}");
        }
        eprintln!("\n{}", report.replay());
    }
}

/// Calls `work` with each number below `n`, on all cores.
fn on_all_cores(n: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= n {
                        return;
                    }
                    work(at);
                }
            });
        }
    });
}

/// With so many seeds a run is a long one: scenarios that take minutes belong to it.
const LONG_RUN_SEEDS: u64 = 1_000;

/// Many seeds on all cores; the first broken promise of each is shown.
fn many(n: u64, options: &Options) -> Result<bool, String> {
    let started = Instant::now();
    let mut jobs: Vec<(Scenario, u64)> = Vec::new();
    if options.scenario.is_none() && options.file.is_none() {
        let all = scenario::all().map_err(|error| error.to_string())?;
        let ready = all
            .into_iter()
            .filter(|scenario| scenario.is_expected_to_hold() && (!scenario.is_long || n >= LONG_RUN_SEEDS));
        for scenario in ready {
            let seeds: BTreeSet<u64> = scenario.regressions.iter().copied().collect();
            let seeds = seeds.into_iter().filter(|seed| *seed != options.first);
            jobs.extend(seeds.map(|seed| (scenario.clone(), seed)));
            jobs.push((scenario, options.first));
        }
    }
    for seed in options.first..options.first.saturating_add(n) {
        jobs.push((chosen(options, seed)?, seed));
    }
    let broken: Mutex<Vec<Report>> = Mutex::new(Vec::new());
    let unbegun: Mutex<Vec<String>> = Mutex::default();
    let total = Mutex::new((0u64, 0u64));
    on_all_cores(jobs.len(), |at| {
        let Some((scenario, seed)) = jobs.get(at) else {
            return;
        };
        let director = match Director::new(scenario, *seed, options.mutation, Sink::None) {
            Ok(director) => director,
            Err(why) => {
                if let Ok(mut unbegun) = unbegun.lock() {
                    unbegun.push(format!("{} with seed {seed} can't begin: {why}", scenario.name));
                }
                return;
            }
        };
        let report = director.run(options.until);
        if let Ok(mut total) = total.lock() {
            total.0 += report.height;
            total.1 += report.ms / 1_000;
        }
        if report.violation.is_some() {
            show(&report, 0.0);
            if let Ok(mut broken) = broken.lock() {
                broken.push(report);
            }
        }
    });
    let n_broken = broken.into_inner().map_or(0, |broken| broken.len());
    let (blocks, seconds) = total.into_inner().unwrap_or_default();
    println!(
        "{} runs, {blocks} blocks, {seconds} s of virtual time in {:.1} s; {n_broken} broken promises",
        jobs.len(),
        started.elapsed().as_secs_f64()
    );
    match unbegun.into_inner().unwrap_or_default().first() {
        None => Ok(n_broken == 0),
        Some(why) => Err(why.clone()),
    }
}

/// The hash of each run's trace: what two runs of the same seed must agree on.
fn traces(n: u64, options: &Options) -> Result<bool, String> {
    let all = scenario::all().map_err(|error| error.to_string())?;
    // The short ones, and of those with files one.
    let cheap = all.into_iter().filter(|scenario| {
        let is_short = scenario.goal.height <= 30 && scenario.storage.files == 0;
        scenario.is_expected_to_hold() && (is_short || scenario.name == "greedy-providers")
    });
    let mut jobs: Vec<(Scenario, u64)> = cheap.map(|scenario| (scenario, options.first)).collect();
    for seed in options.first..options.first.saturating_add(n) {
        jobs.push((scenario::swarm(seed), seed));
    }
    let lines: Mutex<BTreeMap<usize, String>> = Mutex::default();
    on_all_cores(jobs.len(), |at| {
        let Some((scenario, seed)) = jobs.get(at) else {
            return;
        };
        let line = match Director::new(scenario, *seed, options.mutation, Sink::None) {
            Ok(director) => {
                let report = director.run(options.until);
                format!("{} {seed} {} {}", report.scenario, report.n_lines, report.trace)
            }
            Err(why) => format!("{} {seed} {why}", scenario.name),
        };
        if let Ok(mut lines) = lines.lock() {
            lines.insert(at, line);
        }
    });
    for line in lines.into_inner().unwrap_or_default().values() {
        println!("{line}");
    }
    Ok(true)
}

fn broken() -> Result<bool, String> {
    let mut are_all_caught = true;
    for broken in &watt_sim::broken::ALL {
        let started = Instant::now();
        match watt_sim::broken::catch(broken) {
            Ok(report) => println!(
                "{:17} caught by seed {} of {} at height {} in {:.1} s: {}",
                broken.name,
                report.seed,
                report.scenario,
                report.height,
                started.elapsed().as_secs_f64(),
                report
                    .violation
                    .map_or_else(String::new, |violation| violation.to_string())
            ),
            Err(why) => {
                eprintln!("{why}");
                are_all_caught = false;
            }
        }
    }
    Ok(are_all_caught)
}

/// Blocks over which each size is measured.
const SCALE_BLOCKS: u64 = 5;

fn scale(is_json: bool) -> Result<bool, String> {
    // Kept to the end, so that memory given back by one does not serve the next.
    let mut worlds = Vec::new();
    for size in watt_sim::scale::SIZES {
        let before = resident_bytes();
        let mut world = watt_sim::scale::prepare(size, 1)?;
        let started = Instant::now();
        let counted = watt_sim::scale::measure(&mut world, SCALE_BLOCKS)?;
        let cpu_ms = started.elapsed().as_secs_f64() * 1_000.0;
        let blocks = counted.blocks as f64;
        let per_node = blocks * size.nodes as f64;
        worlds.push(world);
        let memory = resident_bytes().saturating_sub(before) as f64 / size.nodes as f64;
        let rows = [
            ("cpu per block", cpu_ms / blocks, "ms"),
            ("cpu per block and node", cpu_ms * 1_000.0 / per_node, "us"),
            ("messages per block", counted.messages as f64 / blocks, "messages"),
            (
                "messages per block and node",
                counted.messages as f64 / per_node,
                "messages",
            ),
            ("bytes per block and node", counted.bytes as f64 / per_node, "B"),
            (
                "events per block and node",
                counted.events as f64 / per_node,
                "events",
            ),
            (
                "signatures per block and node",
                counted.signatures as f64 / per_node,
                "signatures",
            ),
            ("memory per node", memory, "B"),
            ("speed", counted.ms as f64 / cpu_ms, "times real"),
        ];
        for (metric, value, unit) in rows {
            let case = format!("{} nodes, {} validators", size.nodes, size.validators);
            if is_json {
                let line = serde_json::json!({"bench": "sim-scale", "case": case, "metric": metric, "value": value, "unit": unit});
                println!("{line}");
            } else {
                println!("{case:28} {metric:30} {value:>14.1} {unit}");
            }
        }
    }
    Ok(true)
}

/// Memory of this process, where the system tells.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}
