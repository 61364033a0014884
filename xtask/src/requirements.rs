//! Mission rows and the tests that cover them: collects `Covers: A4` from doc comments and compares with
//! `docs/requirements.md`. A row that claims to work needs a test that names it.
//! And attacks: every test that `docs/spec/attacks.md` names has to be there.

use crate::{root, tracked};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(crate) fn run() -> Result<()> {
    rows()?;
    attacks()
}

fn rows() -> Result<()> {
    let mut covered: BTreeMap<String, usize> = BTreeMap::new();
    for path in tracked(&[".rs", ".mjs"])? {
        for line in std::fs::read_to_string(&path)?.lines() {
            let Some((_, rows)) = line.split_once("Covers: ") else {
                continue;
            };
            for row in rows
                .split([',', '.', ' '])
                .map(str::trim)
                .filter(|row| is_row(row))
            {
                *covered.entry(row.to_owned()).or_default() += 1;
            }
        }
    }
    let table = std::fs::read_to_string(root().join("docs/requirements.md"))
        .context("reading docs/requirements.md")?;
    let mut bare = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [row, status, ..] = cells.as_slice() else {
            continue;
        };
        if !is_row(row) {
            continue;
        }
        let n_tests = covered.get(*row).copied().unwrap_or(0);
        if status.starts_with("works") && n_tests == 0 {
            bare.push(format!("{row} is said to work, and no test covers it"));
        }
        println!("{row:3}  {n_tests:3} tests  {status}");
    }
    if !bare.is_empty() {
        bail!("requirements:\n  {}", bare.join("\n  "));
    }
    Ok(())
}

/// In each table of the page the last column names functions, or scenarios of the simulator.
fn attacks() -> Result<()> {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for path in tracked(&[".rs"])? {
        for line in std::fs::read_to_string(&path)?.lines() {
            let line = line.trim();
            let name = line
                .strip_prefix("async ")
                .unwrap_or(line)
                .strip_prefix("fn ")
                .and_then(|rest| rest.split_once('('));
            known.extend(name.map(|(name, _)| name.to_owned()));
        }
    }
    for path in tracked(&[".toml"])? {
        let name = Path::new(&path)
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned());
        known.extend(name);
    }
    let page = root().join("docs/spec/attacks.md");
    let page = std::fs::read_to_string(page).context("reading docs/spec/attacks.md")?;
    let mut missing = Vec::new();
    let mut n_named = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let tests = line.trim_matches('|').rsplit('|').next().unwrap_or_default();
        // Every second part stands between backticks; those with a dot are files.
        let names = tests.split('`').skip(1).step_by(2);
        for name in names.filter(|name| !name.contains('.')) {
            n_named += 1;
            if !known.contains(name) {
                missing.push(name.to_owned());
            }
        }
    }
    if !missing.is_empty() {
        bail!(
            "docs/spec/attacks.md names tests that are not there: {}",
            missing.join(", ")
        );
    }
    println!("docs/spec/attacks.md names {n_named} tests");
    Ok(())
}

/// `A1` … `I4`.
fn is_row(text: &str) -> bool {
    let mut letters = text.chars();
    matches!(letters.next(), Some('A'..='I')) && text.len() > 1 && letters.all(|digit| digit.is_ascii_digit())
}
