//! The scenarios that come with the program.

use super::{InvalidScenario, Scenario};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*
        ];
    };
}

files![
    "quiet-day",
    "all-crash-at-persist",
    "amnesiacs",
    "a-cold-key-in-a-later-term",
    "a-cold-key-too-few",
    "backbone-churn",
    "audits",
    "bad-time-server",
    "bit-rot",
    "boundary-crashes",
    "boundary-half-asleep",
    "boundary-in-a-long-slot",
    "censoring-proposers",
    "checkpoint-after-terms",
    "checkpoint-interrupted",
    "clocks-ten-minutes-behind",
    "clocks-ten-minutes-off",
    "clock-set-back",
    "cloned-folder",
    "committees",
    "crash-at-every-persist",
    "deadbeat-clients",
    "denial-of-service",
    "eclipse",
    "double-proposer-dies-among-poison",
    "envelope-flood",
    "fee-spam",
    "flood-above-64-proofs-a-block",
    "flood-of-bad-proofs",
    "followers-of-followers",
    "full-disks",
    "full-disks-of-providers",
    "greedy-providers",
    "late-provers",
    "lazy-providers",
    "long-outage",
    "lost-blocks",
    "minutes-of-silence",
    "newcomers-after-terms",
    "one-third-equivocate",
    "one-third-silent",
    "one-way-links",
    "outsourcers",
    "partition-7-6",
    "partition-9-4",
    "phones-asleep-at-noon",
    "poison-transaction",
    "power-cut-of-all",
    "providers-restart",
    "providers-vanish",
    "quiet-market",
    "quorum-liars",
    "read-withholders",
    "rolling-restart",
    "rotten-slots",
    "silence-and-darkness",
    "slow-transaction",
    "squatters",
    "sybils",
    "state-sync-at-full-load",
    "ten-day-halt",
    "terms-go-by",
    "withholding-leader-half",
    "withholding-leader-none",
    "withholding-leader-one",
    "boundary-with-dead-entries",
    "conflicting-proofs",
    "dead-one-every-third-day",
    "dead-one-of-four-every-third-day",
    "fat-bucket",
    "growth-step",
    "mixed-versions",
    "too-few-programs",
    "rescue-release",
    "puppets-in-the-rank",
    "restart-plan",
    "restart-plan-refuted",
    "retired-keys-for-sale",
];

/// All scenarios, in the order of the list.
///
/// # Errors
/// A file is malformed: a bug of this program.
pub fn all() -> Result<Vec<Scenario>, InvalidScenario> {
    FILES
        .iter()
        .map(|(name, text)| Scenario::parse(name, text))
        .collect()
}

/// The scenario with this name.
///
/// # Errors
/// There is none; the sentence lists those that there are.
pub fn find(name: &str) -> Result<Scenario, String> {
    if name == "swarm" {
        return Err("the swarm is drawn from its seed".to_owned());
    }
    let all = all().map_err(|error| error.to_string())?;
    let names: Vec<String> = all.iter().map(|scenario| scenario.name.clone()).collect();
    let found = all.into_iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| {
        format!(
            "there is no scenario `{name}`; there are: swarm, {}",
            names.join(", ")
        )
    })
}
