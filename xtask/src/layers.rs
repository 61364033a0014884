//! Dependency directions: `cargo metadata` against the table in ARCHITECTURE.md, so that picture and truth can't differ.

use crate::root;
use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// One row of the table.
struct Layer {
    may_use: BTreeSet<String>,
    may_use_external: Option<BTreeSet<String>>,
}

pub(crate) fn run() -> Result<()> {
    let table = table()?;
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        if package.name.as_str() == "xtask" {
            continue;
        }
        let Some(layer) = table.get(package.name.as_str()) else {
            wrong.push(format!(
                "{}: not in the layer table of ARCHITECTURE.md",
                package.name
            ));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|one| one.kind == DependencyKind::Normal)
        {
            let name = dependency.name.as_str();
            if dependency.path.is_some() {
                if !layer.may_use.contains(name) {
                    wrong.push(format!(
                        "{} uses {name}: the table draws no such arrow",
                        package.name
                    ));
                }
            } else if layer
                .may_use_external
                .as_ref()
                .is_some_and(|allowed| !allowed.contains(name))
            {
                wrong.push(format!(
                    "{} uses {name}: not on its closed list of external crates",
                    package.name
                ));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("dependency directions:\n  {}", wrong.join("\n  "));
    }
    println!(
        "layers: {} crates, every dependency points down",
        metadata.packages.len().saturating_sub(1)
    );
    Ok(())
}

/// Reads the rows between the markers: `| crate | one line | ours | external |`; `any` allows every external crate.
fn table() -> Result<BTreeMap<String, Layer>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).context("reading ARCHITECTURE.md")?;
    let (_, rest) = text
        .split_once("<!-- layers -->")
        .context("ARCHITECTURE.md has no `<!-- layers -->` mark")?;
    let (rows, _) = rest
        .split_once("<!-- /layers -->")
        .context("ARCHITECTURE.md has no `<!-- /layers -->` mark")?;
    let mut table = BTreeMap::new();
    for row in rows.lines().filter(|line| line.starts_with("| `watt-")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        ensure!(cells.len() == 4, "a row of the layer table has four cells: {row}");
        let words = |cell: &str| -> BTreeSet<String> {
            cell.split(',')
                .map(|word| word.trim().trim_matches('`').to_owned())
                .filter(|word| word != "-")
                .collect()
        };
        let ours = words(cells[2])
            .into_iter()
            .map(|word| format!("watt-{word}"))
            .collect();
        let external = words(cells[3]);
        let may_use_external = (!external.contains("any")).then_some(external);
        table.insert(
            cells[0].trim_matches('`').to_owned(),
            Layer {
                may_use: ours,
                may_use_external,
            },
        );
    }
    ensure!(!table.is_empty(), "the layer table of ARCHITECTURE.md is empty");
    Ok(table)
}
