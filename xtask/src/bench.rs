//! Measures, in release, through the benches of the crates and the program itself. With `--json` every result is one object
//! per line: `{"bench","case","metric","value","unit"}` and, where something is measured beside it, `"baseline","ratio"`.

use crate::root;
use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// Name, package, cargo bench target, features.
const BENCHES: [(&str, &str, &str, &str); 12] = [
    ("apply", "watt-ledger", "apply", ""),
    ("catch-up", "watt-node", "catch_up", ""),
    ("encode", "watt-content", "encode", ""),
    ("journal", "watt-store", "journal", ""),
    ("open", "watt-store", "open", ""),
    ("pace", "watt-node", "pace", ""),
    ("proofs", "watt-post", "proofs", "testing"),
    ("put-get", "watt-node", "put_get", ""),
    ("rank", "watt-trust", "rank", ""),
    ("scp", "watt-scp", "slots", "testing"),
    ("seal", "watt-proofs", "seal", ""),
    ("term", "watt-ledger", "term", ""),
];

pub(crate) fn run(words: &[&str]) -> Result<()> {
    let is_json = words.contains(&"--json");
    let name = words.iter().find(|word| !word.starts_with("--"));
    let chosen: Vec<_> = BENCHES
        .iter()
        .filter(|(bench, ..)| name.is_none_or(|name| name == bench))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|(bench, ..)| *bench).collect();
        bail!("no such benchmark; there are: {}", names.join(", "));
    }
    for (_, package, target, features) in chosen {
        let output = Command::new("cargo")
            .args([
                "bench",
                "--quiet",
                "--locked",
                "--package",
                package,
                "--bench",
                target,
                "--features",
                features,
            ])
            .current_dir(root())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!("the benchmark {target} of {package} failed: {}", output.status);
        }
        for line in String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| line.starts_with('{'))
        {
            println!(
                "{}",
                if is_json {
                    line.to_owned()
                } else {
                    table_line(line)?
                }
            );
        }
    }
    Ok(())
}

/// One result for people.
fn table_line(line: &str) -> Result<String> {
    let result: serde_json::Value = serde_json::from_str(line)?;
    let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| result[key].as_f64();
    let value = number("value").unwrap_or_default();
    let beside = match (number("baseline"), number("ratio")) {
        (Some(baseline), Some(ratio)) => format!("  ({ratio:.2} of {baseline:.1})"),
        _ => String::new(),
    };
    Ok(format!(
        "{:8} {:24} {:24} {value:>14.1} {}{beside}",
        text("bench"),
        text("case"),
        text("metric"),
        text("unit")
    ))
}
