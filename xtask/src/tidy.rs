//! Small rules that no compiler knows: core headers, links that resolve, no unfinished marks, no path of one machine.

use crate::{root, tracked};
use anyhow::{Result, bail};
use std::path::Path;

/// Crates of layers 0-2: their `lib.rs` begins with the same walls.
const CORE: [&str; 8] = [
    "primitives",
    "scp",
    "content",
    "proofs",
    "market",
    "light",
    "ledger",
    "engine",
];

const HEADER: [&str; 5] = [
    "#![forbid(unsafe_code)]",
    "clippy::as_conversions",
    "clippy::float_arithmetic",
    "clippy::panic",
    "clippy::wildcard_enum_match_arm",
];

/// A file longer than this is named, not refused.
const LINES_SIGNAL: usize = 800;

pub(crate) fn run() -> Result<()> {
    let mut wrong = Vec::new();
    core_headers(&mut wrong)?;
    for path in tracked(&[".rs"])? {
        source(&path, &mut wrong)?;
    }
    for path in tracked(&[".md"])? {
        document(&path, &mut wrong)?;
    }
    if !wrong.is_empty() {
        bail!("tidy:\n  {}", wrong.join("\n  "));
    }
    println!("tidy: sources and documents are in order");
    Ok(())
}

fn core_headers(wrong: &mut Vec<String>) -> Result<()> {
    for name in CORE {
        let path = root().join(format!("crates/watt-{name}/src/lib.rs"));
        let text = std::fs::read_to_string(&path)?;
        for line in HEADER.iter().filter(|line| !text.contains(**line)) {
            wrong.push(format!("{}: lacks `{line}`", shown(&path)));
        }
    }
    Ok(())
}

fn source(path: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    if text.lines().count() > LINES_SIGNAL {
        println!(
            "tidy: {} has {} lines; look whether it is two things",
            shown(path),
            text.lines().count()
        );
    }
    if path.ends_with("xtask/src/tidy.rs") {
        return Ok(());
    }
    for (number, line) in text.lines().enumerate() {
        let is_unfinished = ["todo!(", "unimplemented!(", "#[ignore", "dbg!(", "FIXME", "TODO"]
            .iter()
            .any(|mark| line.contains(mark));
        if is_unfinished {
            wrong.push(format!("{}:{}: unfinished mark", shown(path), number + 1));
        }
        if let Some(place) = ["work", "root", "farm"]
            .iter()
            .map(|folder| format!("/{folder}/"))
            .find(|place| line.contains(place))
        {
            wrong.push(format!(
                "{}:{}: a path of one machine ({place})",
                shown(path),
                number + 1
            ));
        }
    }
    Ok(())
}

fn document(path: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let n_titles = outside_code(&text).filter(|line| line.starts_with("# ")).count();
    if n_titles != 1 {
        wrong.push(format!("{}: {n_titles} titles, a document has one", shown(path)));
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    for line in outside_code(&text) {
        for link in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(link, _)| link)
        {
            let target = link.split('#').next().unwrap_or_default();
            let is_local = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if is_local && !folder.join(target).exists() {
                wrong.push(format!("{}: link to {target}, which is not there", shown(path)));
            }
        }
    }
    Ok(())
}

/// The lines that are not in a fenced block.
fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
