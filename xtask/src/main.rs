//! Automation in Rust: `cargo xtask COMMAND`. Everything that CI runs is here; there is no second list.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool for developers"
)]
#![allow(clippy::disallowed_methods, reason = "reads its own environment")]

mod bench;
mod ci;
mod layers;
mod requirements;
mod sim;
mod soak;
mod tidy;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const USAGE: &str = "\
cargo xtask COMMAND

  check                 format, lints, layers, tidy: before every commit
  ci                    what CI runs: check, all tests, the documents, a small demo
  layers                dependency directions against the table in ARCHITECTURE.md
  tidy                  headers, links, forbidden words, unfinished marks
  requirements          mission rows and the tests that cover them
  bench [NAME] [--json] measure; NAME is one of apply, catch-up, encode, journal, open, pace, proofs,
                        put-get, rank, scp, seal, term
  trust-data FOLDER     ranks of the public trust graphs in FOLDER against vectors/trust.json
  sim [OPTIONS]         the whole network in one world (`sim --help`); `sim same` compares traces of two profiles
  soak [--minutes 30] [--validators 7] [--json]
                        a devnet in release with one restart a minute: memory flat, slots in time
  torture [CUTS]        so many power cuts, 100,000 unless told, while the store is at work or being opened
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => ci::check(),
        ["ci"] => ci::run(),
        ["layers"] => layers::run(),
        ["tidy"] => tidy::run(),
        ["requirements"] => requirements::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["trust-data", folder] => {
            let folder = std::path::absolute(folder)?;
            let folder = folder.to_string_lossy();
            sh(
                "cargo",
                &[
                    "run",
                    "--locked",
                    "-p",
                    "watt-trust",
                    "--example",
                    "real_graphs",
                    "--",
                    &folder,
                ],
            )
        }
        ["sim", rest @ ..] => sim::run(rest),
        ["soak", rest @ ..] => soak::run(rest),
        ["torture"] => torture(100_000),
        ["torture", n_cuts] => torture(n_cuts.parse()?),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown command: {}\n\n{USAGE}", other.join(" ")),
    }
}

/// The store's own test of power cuts, with more of them.
fn torture(n_cuts: u64) -> Result<()> {
    let status = Command::new("cargo")
        .args(["test", "--release", "--locked", "-p", "watt-store", "--lib"])
        .args(["torture::", "--", "--nocapture"])
        .env("WATT_TORTURE_CUTS", n_cuts.to_string())
        .current_dir(root())
        .status()?;
    if !status.success() {
        bail!("a promise of the store was broken: the seed above shows it again");
    }
    Ok(())
}

/// The workspace's root folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

/// Runs a command in the root folder; its failure is ours.
fn sh(program: &str, arguments: &[&str]) -> Result<()> {
    eprintln!("$ {program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .status()?;
    if !status.success() {
        bail!("`{program} {}` failed: {status}", arguments.join(" "));
    }
    Ok(())
}

/// The files that git tracks, or would track, with one of these endings.
fn tracked(endings: &[&str]) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    let listing = String::from_utf8(output.stdout)?;
    Ok(listing
        .lines()
        .filter(|line| endings.iter().any(|ending| line.ends_with(ending)))
        .map(|line| root().join(line))
        .filter(|path| path.is_file())
        .collect())
}
