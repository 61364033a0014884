//! What is checked before a commit, and what CI runs.

use crate::{layers, requirements, sh, sim, tidy};
use anyhow::Result;

/// Before every commit.
pub(crate) fn check() -> Result<()> {
    sh("cargo", &["fmt", "--all", "--check"])?;
    layers::run()?;
    tidy::run()?;
    sh(
        "cargo",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    )
}

/// What `.ci/run` runs, in one profile, so that dependencies are compiled once.
pub(crate) fn run() -> Result<()> {
    check()?;
    sh("cargo", &["test", "--workspace", "--locked"])?;
    requirements::run()?;
    sim::ci()?;
    sh("cargo", &["run", "--locked", "--", "demo", "--size", "4MiB"])
}
