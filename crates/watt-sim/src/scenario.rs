//! What a run is told: a short file per bad day, decoded into types that can't be wrong.

mod catalogue;
mod swarm;
mod text;

pub use catalogue::{all, find};
pub use swarm::swarm;

use crate::actor::ValidatorActor;
use crate::net::WeatherName;
use crate::storage::{Habits, Means, Trade};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most people who stand for seats: each is trusted by three of the friends of friends of those in whom trust begins.
const STANDING_MAX: u64 = 26;

/// The most times that one step is done.
const TIMES_MAX: u64 = 1_000;

/// The most puppets: each has a friend of its own.
const PUPPETS_MAX: u64 = 20;

/// A run: who takes part, what goes wrong when, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: the file's.
    #[serde(skip)]
    pub name: String,
    /// One sentence for people.
    pub about: String,
    /// What it needs that is not built yet; it can't run before.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// The promise that it breaks today, and why: a bug that is known. It can be run, and is left out of the runs of all.
    #[serde(default)]
    pub known_bug: Option<String>,
    /// Whether it takes minutes: of the runs of all it is left out of those with few seeds.
    #[serde(default)]
    pub is_long: bool,
    /// Seeds that broke a promise once: run each time that all scenarios are.
    #[serde(default)]
    pub regressions: Vec<u64>,
    /// Who takes part.
    #[serde(default)]
    pub network: Network,
    /// Validators that misbehave.
    #[serde(default)]
    pub actors: Vec<Cast>,
    /// Providers that misbehave.
    #[serde(default)]
    pub trades: Vec<TradeCast>,
    /// What is stored.
    #[serde(default)]
    pub storage: Habits,
    /// What people do all the time.
    #[serde(default)]
    pub people: People,
    /// What happens when.
    #[serde(default, rename = "at")]
    pub steps: Vec<Step>,
    /// When it ends, and what must be so then.
    #[serde(default)]
    pub goal: Goal,
}

/// Who takes part.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Nodes that vote: 1 to 61.
    pub validators: u8,
    /// Nodes that follow: up to 10,000.
    pub followers: usize,
    /// How many of them know followers only.
    pub far_followers: usize,
    /// Providers in a data centre, always up; all providers together up to 1,000.
    pub servers: usize,
    /// Providers at home, nearly always up.
    pub homes: usize,
    /// Providers on laptops.
    pub laptops: usize,
    /// Providers on phones.
    pub phones: usize,
    /// Hour of the day at which the run begins: 0 to 23.
    pub hour: u64,
    /// Links that each follower keeps: 1 to 64.
    pub links: usize,
    /// Milliseconds between blocks: 200 to 60,000.
    pub slot_ms: u64,
    /// Slots in a proving window: 2 to 64.
    pub window_slots: u64,
    /// Windows in a term: 2 to 4,096, and at least 16 slots.
    pub term_windows: u64,
    /// Seats of the backbone from term 1 on, which go round among the validators, in every term with other keys, planted; 0: the
    /// ledger elects, and nodes do the duties of seats. At most as many as there are validators.
    pub seats: usize,
    /// The first so many followers stand for seats, trusted for long, with all their work in shadow done: up to 26. Then `seats`
    /// are not planted.
    pub standing: usize,
    /// So many followers after them stand for seats too, and are one person's, who has one real friend for each: up to 20.
    pub puppets: usize,
    /// Most transactions in a block: 1 to 10,000.
    pub block_transactions_max: u32,
    /// Blocks between two states that nodes serve to fresh ones, and how far behind a fresh one must be to take one: 2 to
    /// 100,000.
    pub checkpoint_blocks: u64,
    /// Most members of the committees to which sectors are shown: 0 to 15, with 0 for openings in blocks.
    pub porep_committee: u8,
    /// Windows in which each live sector is asked again once on average, on a network with committees; 0: never.
    pub audit_windows: u64,
    /// Whether nobody can execute the first block of a term under the first version of the rules.
    pub broken_terms: bool,
    /// Whether the seats of the genesis have cold keys, which `succeed` takes; only where the ledger elects.
    pub cold_keys: bool,
    /// How the network behaves at first.
    pub weather: WeatherName,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            validators: 4,
            followers: 3,
            far_followers: 0,
            servers: 0,
            homes: 0,
            laptops: 0,
            phones: 0,
            hour: 8,
            links: 3,
            slot_ms: 1_000,
            window_slots: 8,
            term_windows: 144,
            seats: 0,
            standing: 0,
            puppets: 0,
            block_transactions_max: 500,
            checkpoint_blocks: 64,
            porep_committee: 0,
            audit_windows: 0,
            broken_terms: false,
            cold_keys: false,
            weather: WeatherName::Fair,
        }
    }
}

impl Network {
    /// Nodes that provide.
    #[must_use]
    pub const fn providers(&self) -> usize {
        self.servers + self.homes + self.laptops + self.phones
    }
}

/// Validators that misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// How.
    pub actor: ValidatorActor,
    /// How many, drawn by lot.
    pub count: usize,
}

/// Providers that misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TradeCast {
    /// How.
    pub trade: Trade,
    /// How many, drawn by lot.
    pub count: usize,
    /// With what those of them answer who keep no replica.
    #[serde(default)]
    pub means: Means,
    /// How many of them have a window proven at the end, exactly.
    #[serde(default)]
    pub paid: Option<usize>,
}

/// What people do all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct People {
    /// Transfers handed in per second, all people together.
    pub transfers_per_s: u32,
    /// Whether they hand in to followers only.
    pub through_followers: bool,
    /// Accounts that exist from the start beside those of the people who act: up to 4,000.
    pub accounts: u32,
    /// Accounts that send proofs that do not hold, every second one without money: up to 1,000.
    pub forgers: usize,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When somebody has this block.
    #[serde(default)]
    pub height: Option<u64>,
    /// So many seconds after the beginning.
    #[serde(default)]
    pub second: Option<u64>,
    /// So many times.
    #[serde(default)]
    pub times: Option<u64>,
    /// So many blocks or seconds from one time to the next.
    #[serde(default)]
    pub every: Option<u64>,
    /// What.
    #[serde(rename = "do")]
    pub act: Act,
    /// To which nodes; of these acts that are done to nodes.
    #[serde(default)]
    pub who: Group,
    /// To how many of them, drawn by lot; all if it is not said.
    #[serde(default)]
    pub count: Option<usize>,
    /// To how many in a thousand of them, drawn by lot.
    #[serde(default)]
    pub permille: Option<usize>,
    /// For acts that last: for how many seconds.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// For acts with a measure: how much (milliseconds, blocks, transactions per second).
    #[serde(default)]
    pub amount: Option<i64>,
    /// For `weather`.
    #[serde(default)]
    pub weather: Option<WeatherName>,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The chosen nodes and the others do not hear one another.
    Partition,
    /// The chosen nodes hear nobody, but are heard.
    Deafen,
    /// All walls fall.
    Heal,
    /// The network behaves differently.
    Weather,
    /// The chosen nodes are stopped; after `seconds`, if said, they start again.
    Stop,
    /// The power of the chosen nodes goes out; after `seconds`, if said, they start again.
    PowerCut,
    /// The chosen nodes are stopped and started one after the other, each down for `seconds`.
    RollingRestart,
    /// The chosen nodes lose power at each of their next appends to the journal in turn, and come back after `seconds`.
    CrashAtPersist,
    /// Stopped nodes among the chosen start again.
    Start,
    /// The chosen nodes leave for good.
    Leave,
    /// The disks of the chosen nodes are gone, with all keys but those that people keep elsewhere: they come back only as successors.
    LoseDisk,
    /// The owners of the chosen nodes, whose disks are gone, take new ones, and their cold keys name new voting keys.
    Succeed,
    /// The chosen nodes' people draft a plan to vote alone from the newest block of theirs on, in whom trust begins agrees, and all
    /// nodes that run are shown it, and their owners accept.
    RestartPlan,
    /// Every honest node that runs has refused the last plan for a later block: the run is wrong if one has not.
    PlanIsRefuted,
    /// Nobody has stored a block for `seconds`: the run is wrong if somebody has.
    StandStill,
    /// The clocks of the chosen nodes are `amount` milliseconds ahead.
    Skew,
    /// The chosen nodes lose the newest `amount` blocks of their logs in a crash.
    LoseBlocks,
    /// A block of each of the chosen nodes' logs, `amount` below the newest, can't be read any more.
    RotBlock,
    /// The chosen nodes lose everything but their keys, and know it.
    Wipe,
    /// One slot that each of the chosen providers holds can't be read any more.
    RotSlot,
    /// A bit turns in one replica of each of the chosen providers.
    RotReplica,
    /// A bit, the one with number `amount`, turns in the journal of each of the chosen nodes, which restart and find it; after
    /// `seconds` their owners let them catch up as new nodes.
    RotJournal,
    /// The disks of the chosen nodes are full.
    FullDisk,
    /// The disks of the chosen nodes have room again.
    FreeDisk,
    /// So many transactions per second are handed in by one account.
    Spam,
    /// So many payments per second go to accounts ground so that they lie in one bucket of the state tree.
    GrindKeys,
    /// The chosen nodes lose their SCP journals and nothing else, and do not know it.
    Amnesia,
    /// The data folder of one validator is copied to a follower's machine, and both run.
    Clone,
    /// So many proofs that do not hold per second are handed in by `people.forgers` in turn, with what comes before such a proof.
    ForgeProofs,
    /// A transaction is handed in that makes every ledger panic (`amount = 0`), or takes too long (`amount = 1`).
    Poison,
    /// Whoever buys all keys that nodes still have, and every seat's account key, makes another past with them.
    ForgePast,
    /// The chosen nodes, who from then on are no honest ones, sign another header than the newest that they decided, and a phone that
    /// is shown both proofs hands in what that proves.
    Contradict,
    /// All followers but one surround that one, and say that nothing happens.
    Eclipse,
    /// The chosen nodes are stopped and started with a program that knows rules up to version `amount`.
    Program,
    /// The chosen nodes are stopped and started with a program that holds a rescue release: above the newest block that anybody has
    /// when the first of them is given one, rules have version `amount`.
    Rescue,
    /// Five of the council say that the rules shall have version `amount`.
    Decide,
}

/// A set of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Every node.
    #[default]
    All,
    /// Nodes that vote.
    Validators,
    /// Nodes that vote and follow the rules.
    HonestValidators,
    /// Nodes that vote and do not.
    MisbehavingValidators,
    /// Nodes that follow.
    Followers,
    /// Nodes that provide.
    Providers,
    /// Nodes with a seat in the running term that have not left.
    Voters,
    /// Nodes with a seat in the next term, as far as it is known, and none in the running one.
    Entrants,
    /// Nodes whose disks are gone and that did not come back.
    Lost,
    /// Nodes that vote, run, and have one of the three newest blocks.
    Ahead,
    /// Nodes that vote, run, and have none of them.
    Behind,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Goal {
    /// Faults go on until somebody has this block, at the longest for `seconds`.
    pub height: u64,
    /// Faults go on at the longest for so many seconds.
    pub seconds: u64,
    /// What must be so at the end.
    pub mode: Mode,
    /// At least so many transactions are in blocks at the end.
    pub transactions: u64,
    /// Of 100 payments 99 waited for at most so many blocks; 0: for how many does not matter.
    pub delay_p99: u64,
    /// At least so many seats are there in the newest term that is known.
    pub seats: usize,
    /// At least so many seats were given to others.
    pub given: usize,
    /// At least so many people are struck off.
    pub struck: usize,
    /// At least so many puppets have the rank that it takes.
    pub ranked: usize,
    /// At least so many proofs that do not hold are in blocks.
    pub forged: u64,
    /// At least so many honest providers have a window proven.
    pub proven: usize,
    /// Exactly this version of the rules is in force; 0: any.
    pub version: u32,
    /// At least so many nodes are up and say that their program is too old.
    pub outdated: usize,
    /// In liveness mode: seconds after the end of all faults by which everybody has three new blocks.
    pub recover_s: u64,
}

impl Default for Goal {
    fn default() -> Self {
        Self {
            height: 30,
            seconds: 600,
            mode: Mode::Liveness,
            transactions: 0,
            seats: 0,
            given: 0,
            struck: 0,
            ranked: 0,
            forged: 0,
            proven: 0,
            version: 0,
            delay_p99: 0,
            outdated: 0,
            recover_s: 60,
        }
    }
}

/// What is asked of a run beside that no promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing: any faults are allowed.
    Safety,
    /// When the faults stop, everybody goes on within the stated time.
    Liveness,
}

/// Why a file is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScenario {
    /// Not the format, or a word that does not exist; the message lists those that do.
    #[error("scenario {name}: {message}")]
    Malformed {
        /// Which.
        name: String,
        /// What the decoder says.
        message: String,
    },
    /// A number out of its range.
    #[error("scenario {name}: {what} is {found}, possible are {min} to {max}")]
    Impossible {
        /// Which.
        name: String,
        /// Which number.
        what: String,
        /// What it is.
        found: String,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// A step that lacks something.
    #[error("scenario {name}: step {step} {problem}")]
    Step {
        /// Which.
        name: String,
        /// From 1.
        step: usize,
        /// What is wrong and what is needed.
        problem: String,
    },
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// See [`InvalidScenario`].
    pub fn parse(name: &str, text: &str) -> Result<Self, InvalidScenario> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| InvalidScenario::Malformed {
            name: name.to_owned(),
            message: error.to_string(),
        })?;
        name.clone_into(&mut scenario.name);
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), InvalidScenario> {
        let network = &self.network;
        let followers = u64::try_from(network.followers).unwrap_or(u64::MAX);
        let links = u64::try_from(network.links).unwrap_or(u64::MAX);
        self.within("network.validators", u64::from(network.validators), 1, 61)?;
        self.within("network.followers", followers, 0, 10_000)?;
        let far = u64::try_from(network.far_followers).unwrap_or(u64::MAX);
        self.within("network.far_followers", far, 0, followers.saturating_sub(1))?;
        let providers = u64::try_from(network.providers()).unwrap_or(u64::MAX);
        self.within("the number of providers", providers, 0, 1_000)?;
        self.within("network.hour", network.hour, 0, 23)?;
        let n_trades = self.trades.iter().map(|cast| cast.count).sum::<usize>();
        self.within(
            "the number of trades",
            u64::try_from(n_trades).unwrap_or(u64::MAX),
            0,
            providers,
        )?;
        for TradeCast { means, .. } in &self.trades {
            self.within("means.core_permille", means.core_permille, 1, 1_000_000)?;
            self.within("means.link_kb_s", means.link_kb_s, 1, 10_000_000)?;
            self.within("means.round_trip_ms", means.round_trip_ms, 0, 600_000)?;
        }
        let (files, bytes) = (self.storage.files, self.storage.bytes);
        self.within(
            "storage.files",
            u64::try_from(files).unwrap_or(u64::MAX),
            0,
            1_000,
        )?;
        self.within(
            "storage.bytes",
            u64::try_from(bytes).unwrap_or(u64::MAX),
            1,
            4_000_000,
        )?;
        self.within("storage.term_s", self.storage.term_s, 60, 30_000_000)?;
        self.within("network.links", links, 1, 64)?;
        self.within("network.slot_ms", network.slot_ms, 200, 60_000)?;
        self.within("network.window_slots", network.window_slots, 2, 64)?;
        self.within("network.term_windows", network.term_windows, 2, 4_096)?;
        self.within(
            "network.porep_committee",
            u64::from(network.porep_committee),
            0,
            15,
        )?;
        let audits_max = if network.porep_committee == 0 { 0 } else { 100_000 };
        self.within("network.audit_windows", network.audit_windows, 0, audits_max)?;
        let (seats, validators) = (
            u64::try_from(network.seats).unwrap_or(u64::MAX),
            u64::from(network.validators),
        );
        self.within("network.seats", seats, 0, validators)?;
        let standing_max = if seats == 0 {
            followers.min(STANDING_MAX)
        } else {
            0
        };
        let standing = u64::try_from(network.standing).unwrap_or(u64::MAX);
        self.within("network.standing", standing, 0, standing_max)?;
        let cold_keys = u64::from(network.cold_keys);
        self.within("network.cold_keys", cold_keys, 0, u64::from(seats == 0))?;
        let puppets = u64::try_from(network.puppets).unwrap_or(u64::MAX);
        let puppets_max = standing_max.min(followers - standing).min(PUPPETS_MAX);
        self.within("network.puppets", puppets, 0, puppets_max)?;
        let transactions = u64::from(network.block_transactions_max);
        self.within("network.block_transactions_max", transactions, 1, 10_000)?;
        self.within("network.checkpoint_blocks", network.checkpoint_blocks, 2, 100_000)?;
        self.within(
            "people.transfers_per_s",
            u64::from(self.people.transfers_per_s),
            0,
            10_000,
        )?;
        self.within("people.accounts", u64::from(self.people.accounts), 0, 4_000)?;
        let forgers = u64::try_from(self.people.forgers).unwrap_or(u64::MAX);
        self.within("people.forgers", forgers, 0, 1_000)?;
        self.within("goal.height", self.goal.height, 1, 100_000)?;
        self.within("goal.seconds", self.goal.seconds, 1, 10_000_000)?;
        self.within("goal.recover_s", self.goal.recover_s, 1, 100_000)?;
        let n_actors = self.actors.iter().map(|cast| cast.count).sum::<usize>();
        let n_actors = u64::try_from(n_actors).unwrap_or(u64::MAX);
        self.within("the number of actors", n_actors, 0, u64::from(network.validators))?;
        for (index, step) in self.steps.iter().enumerate() {
            step.check().map_err(|problem| InvalidScenario::Step {
                name: self.name.clone(),
                step: index + 1,
                problem,
            })?;
        }
        Ok(())
    }

    fn within(&self, what: &str, found: u64, min: u64, max: u64) -> Result<(), InvalidScenario> {
        if (min..=max).contains(&found) {
            return Ok(());
        }
        Err(InvalidScenario::Impossible {
            name: self.name.clone(),
            what: what.to_owned(),
            found: found.to_string(),
            min,
            max,
        })
    }
}

impl Step {
    /// The same step each time that it is done.
    pub fn all(&self) -> impl Iterator<Item = Self> + use<> {
        let (this, every) = (*self, self.every.unwrap_or(0));
        (0..self.times.unwrap_or(1)).map(move |turn| Self {
            height: this
                .height
                .map(|height| height.saturating_add(turn.saturating_mul(every))),
            second: this
                .second
                .map(|second| second.saturating_add(turn.saturating_mul(every))),
            times: None,
            every: None,
            ..this
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.height.is_some() == self.second.is_some() {
            return Err("needs either `height` or `second`".to_owned());
        }
        if self.times.is_some() != self.every.is_some() || self.times == Some(0) {
            return Err("needs `times` above 0 with `every`".to_owned());
        }
        if self.times.is_some_and(|times| times > TIMES_MAX) {
            return Err(format!("is done more than {TIMES_MAX} times"));
        }
        if self.count.is_some() && self.permille.is_some() {
            return Err("may have `count` or `permille`, not both".to_owned());
        }
        if self.permille.is_some_and(|permille| permille > 1000) {
            return Err("has a `permille` above 1000".to_owned());
        }
        let needs = |is_there: bool, what: &str| {
            if is_there {
                Ok(())
            } else {
                Err(format!("needs `{what}`"))
            }
        };
        match self.act {
            Act::Weather => needs(
                self.weather.is_some(),
                "weather = \"calm\", \"fair\", \"rough\" or \"storm\"",
            ),
            Act::RollingRestart | Act::CrashAtPersist | Act::StandStill => {
                needs(self.seconds.is_some(), "seconds")
            }
            Act::RotJournal => needs(
                self.seconds.is_some() && self.amount.is_some_and(|amount| amount >= 0),
                "seconds` and `amount",
            ),
            Act::Skew
            | Act::LoseBlocks
            | Act::RotBlock
            | Act::Spam
            | Act::GrindKeys
            | Act::ForgeProofs
            | Act::Poison
            | Act::Program
            | Act::Rescue
            | Act::Decide => {
                let is_there = self
                    .amount
                    .is_some_and(|amount| amount >= 0 || self.act == Act::Skew);
                needs(is_there, "amount")
            }
            Act::Partition
            | Act::Deafen
            | Act::Heal
            | Act::Stop
            | Act::PowerCut
            | Act::Start
            | Act::Leave
            | Act::LoseDisk
            | Act::Succeed
            | Act::RestartPlan
            | Act::PlanIsRefuted
            | Act::Wipe
            | Act::FullDisk
            | Act::FreeDisk
            | Act::RotSlot
            | Act::RotReplica
            | Act::Amnesia
            | Act::Clone
            | Act::ForgePast
            | Act::Contradict
            | Act::Eclipse => Ok(()),
        }
    }
}

impl Scenario {
    /// Whether it says nothing impossible, as every scenario that was read does.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.check().is_ok()
    }

    /// Whether it can run and is expected to hold.
    #[must_use]
    pub const fn is_expected_to_hold(&self) -> bool {
        self.waits_for.is_none() && self.known_bug.is_none()
    }
}

/// Where a run ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When somebody has this block.
    Height(u64),
    /// After so many seconds.
    Second(u64),
}

impl std::str::FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no end: `height=N` or `second=N`");
        let (what, number) = text.split_once('=').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        match what {
            "height" => Ok(Self::Height(number)),
            "second" => Ok(Self::Second(number)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Height(height) => write!(f, "height={height}"),
            Self::Second(second) => write!(f, "second={second}"),
        }
    }
}
