//! Runs the simulator: the binary of `watt-sim`, so that whoever only formats need not build it.

use crate::{root, sh};
use anyhow::{Context, Result, bail, ensure};
use std::process::{Command, Stdio};

/// Seeds of the swarm in CI.
const CI_SEEDS: &str = "200";

/// Runs whose traces are compared between two profiles: some of every kind.
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

/// The same seeds give the same traces, byte for byte, in two runs: of the program that tests use, and in release.
fn same() -> Result<()> {
    // By itself the package would be compiled once more, with other features.
    sh("cargo", &["test", "--workspace", "--locked", "--no-run"])?;
    let name = format!("watt-sim{}", std::env::consts::EXE_SUFFIX);
    let of_tests = std::env::current_exe()?.with_file_name(name);
    let in_dev = traces(Command::new(of_tests).args(COMPARED))?;
    ensure!(!in_dev.trim().is_empty(), "no trace was made");
    let in_release = traces(Command::new("cargo").args(cargo_run("release", &COMPARED)))?;
    ensure!(
        in_dev == in_release,
        "two runs of the same seeds, in the profiles dev and release, differ"
    );
    println!(
        "sim: {} runs give the same trace twice, in the profiles dev and release",
        in_dev.lines().count()
    );
    Ok(())
}

fn traces(simulator: &mut Command) -> Result<String> {
    let output = simulator
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .context("running the simulator")?;
    ensure!(output.status.success(), "the simulator failed");
    Ok(String::from_utf8(output.stdout)?)
}
