//! Runs the simulator: the binary of `watt-sim`, so that whoever only formats need not build it.

use crate::{root, sh};
use anyhow::{Context, Result, bail, ensure};
use std::process::{Command, Stdio};

/// Seeds of the swarm in CI.
const CI_SEEDS: &str = "200";

/// Runs whose traces are compared between two runs and two profiles: some of every kind.
const COMPARED: [&str; 2] = ["--traces", "12"];

fn cargo_run<'a>(profile: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "run",
        "--quiet",
        "--locked",
        "--profile",
        profile,
        "--package",
        "watt-sim",
        "--bin",
        "watt-sim",
        "--",
    ];
    fixed.iter().chain(words).copied().collect()
}

/// `cargo xtask sim …`: in the profile that tests use, or with `--release` in the other.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let is_release = words.contains(&"--release");
    let words: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| *word != "--release")
        .collect();
    if words.as_slice() == ["same"] {
        return same();
    }
    let profile = if is_release { "release" } else { "dev" };
    let status = Command::new("cargo")
        .args(cargo_run(profile, &words))
        .current_dir(root())
        .status()?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("a promise was broken; the line above replays it"),
        Some(_) | None => bail!("the simulator did not run: {status}"),
    }
}

/// What CI asks of it: seeds of the swarm with every scenario. The six broken programs are tests of `watt-sim`.
pub(crate) fn ci() -> Result<()> {
    sh("cargo", &cargo_run("release", &["--seeds", CI_SEEDS]))?;
    same()
}

/// The same seeds give the same traces, byte for byte, in two runs and in two profiles.
fn same() -> Result<()> {
    let traces = |profile: &str| -> Result<String> {
        let output = Command::new("cargo")
            .args(cargo_run(profile, &COMPARED))
            .current_dir(root())
            .stderr(Stdio::inherit())
            .output()
            .context("running the simulator")?;
        ensure!(
            output.status.success(),
            "the simulator failed in profile {profile}"
        );
        Ok(String::from_utf8(output.stdout)?)
    };
    let first = traces("dev")?;
    ensure!(!first.trim().is_empty(), "no trace was made");
    ensure!(first == traces("dev")?, "two runs of the same seeds differ");
    ensure!(
        first == traces("release")?,
        "the profiles dev and release give different traces"
    );
    println!(
        "sim: {} runs give the same trace in two runs and in two profiles",
        first.lines().count()
    );
    Ok(())
}
