//! Works out the ranks of public trust graphs and compares their roots with those of `vectors/trust.json`, on one thread and on
//! four: `cargo xtask trust-data FOLDER`. The files are not part of this repository; `vectors/README.md` says where they are.
#![allow(clippy::print_stdout, reason = "a tool for developers")]

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::{fs, thread};
use watt_primitives::TrustLevel;
use watt_trust::{Edge, Graph, PageRank, Person, Piece, Seeds};

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("usage: real_graphs FOLDER")?;
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/trust.json");
    let vectors: Value = serde_json::from_slice(&fs::read(vectors)?)?;
    let sets = vectors["data_sets"].as_array().context("no data sets")?;
    for set in sets {
        check(Path::new(&folder), set)?;
    }
    println!("{} graphs have the roots that they should", sets.len());
    Ok(())
}

fn check(folder: &Path, set: &Value) -> Result<()> {
    let file = set["file"].as_str().context("a data set without file")?;
    let path = folder.join(file);
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let found = hex(&Sha256::digest(&bytes));
    ensure!(
        set["sha256"] == found.as_str(),
        "{file} is another file than the one that was used: SHA-256 {found}"
    );
    let graph = graph(std::str::from_utf8(&bytes)?)?;
    let everyone = Seeds::new(&graph, graph.people().collect())?;
    let ranks = PageRank::of(&graph, &everyone);
    let four = NonZeroUsize::MIN.saturating_add(3);
    ensure!(
        PageRank::of_in_pieces(&graph, &everyone, four, on_threads) == ranks,
        "{file}: four threads give other ranks than one"
    );
    let mut hasher = Sha256::new();
    ranks.iter().for_each(|rank| hasher.update(rank.to_be_bytes()));
    let found = hex(&hasher.finalize());
    println!(
        "{file}: {} people, {} edges, {found}",
        graph.n_people(),
        graph.n_edges()
    );
    if set["root"] != found.as_str() {
        bail!("{file}: the root should be {}", set["root"]);
    }
    Ok(())
}

fn on_threads(pieces: Vec<Piece<'_>>) {
    thread::scope(|scope| {
        for piece in pieces {
            scope.spawn(|| piece.run());
        }
    });
}

/// `from to [rating]` a line, in any of the sets' formats; the last rating of a pair counts, the good ones become edges.
fn graph(text: &str) -> Result<Graph> {
    let mut is_good: BTreeMap<(u32, u32), bool> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        let (Some(Ok(from)), Some(Ok(to))) = (words.next().map(str::parse), words.next().map(str::parse))
        else {
            continue;
        };
        if from != to {
            is_good.insert(
                (from, to),
                !words.next().is_some_and(|rating| rating.starts_with('-')),
            );
        }
    }
    let people: BTreeSet<u32> = is_good.keys().flat_map(|(from, to)| [*from, *to]).collect();
    let numbers: BTreeMap<u32, Person> = people.iter().copied().zip((0..).map(Person)).collect();
    let edges = is_good
        .iter()
        .filter(|(_, is_good)| **is_good)
        .map(|((from, to), _)| Edge {
            from: numbers[from],
            to: numbers[to],
            level: TrustLevel::Online,
        });
    Ok(Graph::new(u32::try_from(people.len())?, edges)?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
