//! Tells a scenario to a world: hands out the faults, plays the people, and judges at the end.

mod acts;
mod forgers;
mod paid;

use crate::luck::{Luck, Purpose};
use crate::node::{Down, Node};
use crate::people::People;
use crate::scenario::{self, Group, Mode, Scenario, Step, Until};
use crate::storage::{Clients, Device, Devices, Greed, Trade};
use crate::trace::Sink;
use crate::violation::{Promise, Violation};
use crate::world::{Mutation, Setup, World};
use std::collections::{BTreeMap, VecDeque};
use watt_primitives::Timestamp;

/// Blocks that everybody must have beyond the highest one at the end of the faults.
const BLOCKS_TO_RECOVER: u64 = 3;

/// Milliseconds between two looks of the people.
const PEOPLE_EVERY_MS: u64 = 1_000;

/// Cue of the people.
const CUE_PEOPLE: u64 = u64::MAX;

/// What came of a run.
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// The promise that did not hold.
    pub violation: Option<Violation>,
    /// Hash of the trace.
    pub trace: String,
    /// Lines of the trace.
    pub n_lines: u64,
    /// The last lines of the trace.
    pub last_lines: Vec<String>,
    /// Height reached.
    pub height: u64,
    /// Milliseconds of virtual time.
    pub ms: u64,
    /// Events handled by engines.
    pub n_events: u64,
    /// Messages sent.
    pub n_sent: u64,
    /// Transactions in blocks.
    pub n_transactions: u64,
    /// Files that were certified.
    pub n_files: usize,
    /// How often a file was read again, whole.
    pub n_read: u64,
    /// How often a holder gave a reader nothing.
    pub n_refused: u64,
}

impl Report {
    /// The line that replays it.
    #[must_use]
    pub fn replay(&self) -> String {
        format!(
            "cargo xtask sim --seed {} --scenario {} --until height={} --trace",
            self.seed,
            self.scenario,
            self.height + 1
        )
    }
}

/// A step whose time will come.
struct Cued {
    step: Step,
    /// To whom it is done, if that is known already.
    nodes: Option<Vec<usize>>,
}

/// One run.
pub struct Director {
    scenario: Scenario,
    /// The world.
    pub world: World,
    people: People,
    clients: Clients,
    devices: Devices,
    greedy: Vec<(usize, usize, Greed)>,
    /// Numbers of the providers of each cast.
    casts: Vec<Vec<usize>>,
    luck: Luck,
    by_height: VecDeque<Step>,
    cued: BTreeMap<u64, Cued>,
    next_cue: u64,
    n_crashes: usize,
    beginning: Timestamp,
    until: Option<Until>,
}

impl Director {
    /// Prepares a run.
    ///
    /// # Errors
    /// The network can't begin; the sentence says why.
    pub fn new(
        scenario: &Scenario,
        seed: u64,
        mutation: Option<Mutation>,
        sink: Sink,
    ) -> Result<Self, String> {
        if let Some(missing) = &scenario.waits_for {
            return Err(format!("scenario {} waits for {missing}", scenario.name));
        }
        let mut luck = Luck::new(seed, Purpose::Faults);
        let network = &scenario.network;
        let mut free: Vec<usize> = (0..usize::from(network.validators)).collect();
        let mut actors = BTreeMap::new();
        for cast in &scenario.actors {
            for _ in 0..cast.count {
                let place = luck.index(free.len());
                if place < free.len() {
                    actors.insert(free.swap_remove(place), cast.actor);
                }
            }
        }
        let mut honest: Vec<usize> = (0..network.providers()).collect();
        let mut trades = BTreeMap::new();
        let mut casts = Vec::new();
        for cast in &scenario.trades {
            let mut numbers = Vec::new();
            for _ in 0..cast.count {
                let place = luck.index(honest.len());
                if place < honest.len() {
                    numbers.push(honest.swap_remove(place));
                }
            }
            trades.extend(numbers.iter().map(|number| (*number, (cast.trade, cast.means))));
            casts.push(numbers);
        }
        let first_provider = usize::from(network.validators) + network.followers;
        let greedy = trades
            .iter()
            .filter(|(_, (trade, _))| *trade == Trade::GreedyProvider);
        let greedy = greedy
            .map(|(number, _)| (first_provider + number, *number, Greed::default()))
            .collect();
        let setup = Setup {
            providers: network.providers(),
            trades,
            seed,
            validators: network.validators,
            followers: network.followers,
            far_followers: network.far_followers,
            links: network.links,
            slot_ms: network.slot_ms,
            window_slots: network.window_slots,
            term_windows: network.term_windows,
            seats: network.seats,
            standing: network.standing,
            broken_terms: network.broken_terms,
            puppets: network.puppets,
            block_transactions_max: network.block_transactions_max,
            checkpoint_blocks: network.checkpoint_blocks,
            porep_committee: network.porep_committee,
            audit_windows: network.audit_windows,
            cold_keys: network.cold_keys,
            people: Setup::default().people + scenario.people.accounts,
            forgers: scenario.people.forgers,
            weather: network.weather.weather(),
            actors,
            mutation,
        };
        let mut world = setup.build(sink).map_err(|error| error.to_string())?;
        let beginning = world.now;
        let (mut by_height, mut cued) = (Vec::new(), BTreeMap::new());
        let mut next_cue = 0;
        for step in scenario.steps.iter().flat_map(Step::all) {
            if let Some(second) = step.second {
                world.cue(beginning.plus(second * 1_000), next_cue);
                cued.insert(next_cue, Cued { step, nodes: None });
                next_cue += 1;
            } else {
                by_height.push(step);
            }
        }
        by_height.sort_by_key(|step| step.height);
        let people = People::new(scenario.people, seed);
        world.cue(beginning.plus(PEOPLE_EVERY_MS), CUE_PEOPLE);
        let clients = Clients::new(scenario.storage, Luck::new(seed, Purpose::Clients))?;
        for (node, device) in devices_of(network, first_provider) {
            world.nodes[node].is_sleepy = device != Device::Server;
        }
        let mut devices = Devices::new(
            devices_of(network, first_provider),
            network.hour,
            Luck::new(seed, Purpose::Devices),
        );
        devices.plan(&mut world, 0);
        Ok(Self {
            scenario: scenario.clone(),
            world,
            people,
            clients,
            devices,
            greedy,
            casts,
            luck,
            by_height: by_height.into(),
            cued,
            next_cue,
            n_crashes: 0,
            beginning,
            until: None,
        })
    }

    /// Runs to the end.
    #[must_use]
    pub fn run(mut self, until: Option<Until>) -> Report {
        self.go(until);
        self.report()
    }

    /// Runs to the end and gives the lines of the trace, if they were kept.
    #[must_use]
    pub fn run_kept(mut self, until: Option<Until>) -> (Report, Vec<String>) {
        self.go(until);
        (self.report(), self.world.trace.into_kept())
    }

    fn go(&mut self, until: Option<Until>) {
        self.until = until;
        let goal = self.scenario.goal;
        let mut end = self.beginning.plus(goal.seconds * 1_000);
        let mut height = goal.height;
        match until {
            Some(Until::Height(asked)) => height = height.min(asked),
            Some(Until::Second(second)) => end = end.min(self.beginning.plus(second * 1_000)),
            None => {}
        }
        self.play(end, height);
        let is_cut_short =
            until.is_some() && (height < goal.height || end < self.beginning.plus(goal.seconds * 1_000));
        if !is_cut_short {
            self.count_goals();
        }
        if self.world.violation.is_none() && goal.mode == Mode::Liveness && !is_cut_short {
            self.recover(goal.recover_s);
        }
    }

    /// Whether there is as much of everything as the scenario asks for.
    fn count_goals(&mut self) {
        let goal = self.scenario.goal;
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let counts = [
            (
                "transactions are in blocks",
                self.world.chain.n_transactions,
                goal.transactions,
            ),
            (
                "seats are there",
                number(self.world.chain.seats.n_seats()),
                number(goal.seats),
            ),
            (
                "seats were given to others",
                number(self.world.chain.seats.n_given),
                number(goal.given),
            ),
            (
                "people are struck off",
                number(self.n_struck()),
                number(goal.struck),
            ),
            (
                "puppets have the rank",
                number(self.n_ranked_puppets()),
                number(goal.ranked),
            ),
            (
                "proofs that do not hold are in blocks",
                self.n_forged(),
                goal.forged,
            ),
            (
                "honest providers have a window proven",
                number(self.n_honest_paid()),
                number(goal.proven),
            ),
            (
                "nodes say that their program is too old",
                number(self.world.nodes.iter().filter(|node| node.is_outdated()).count()),
                number(goal.outdated),
            ),
        ];
        self.count_paid();
        let delay = self.world.chain.delay_p99();
        if goal.delay_p99 > 0 && delay > goal.delay_p99 {
            let facts = format!(
                "one payment in a hundred waited for {delay} blocks or more, {} should be the most",
                goal.delay_p99
            );
            self.world.fail(Violation::of(Promise::Liveness, facts));
        }
        let version = self.world.version();
        if goal.version > 0 && version != goal.version {
            let facts = format!(
                "version {version} of the rules is in force, {} should",
                goal.version
            );
            self.world.fail(Violation::of(Promise::Liveness, facts));
        }
        for (what, found, wanted) in counts {
            if found < wanted {
                let facts = format!("{found} {what}, {wanted} should");
                self.world.fail(Violation::of(Promise::Liveness, facts));
            }
        }
    }

    /// Lets everything happen that was planned, until somebody has block `height` or `end` comes.
    fn play(&mut self, end: Timestamp, height: u64) {
        loop {
            let next_step = self.by_height.front().and_then(|step| step.height);
            let target = next_step.map_or(height, |step| step.min(height));
            let is_there = self.world.run_until(end, |world| world.height().0 >= target);
            if self.world.violation.is_some() {
                return;
            }
            if self.take_cues() {
                continue;
            }
            let due = next_step.is_some_and(|step| is_there && self.world.height().0 >= step);
            if due && let Some(step) = self.by_height.pop_front() {
                self.act(step);
                continue;
            }
            return;
        }
    }

    fn take_cues(&mut self) -> bool {
        let cues = std::mem::take(&mut self.world.cues);
        let any = !cues.is_empty();
        for cue in cues {
            if cue == CUE_PEOPLE {
                let second = (self.world.now.0 - self.beginning.0) / 1_000;
                self.people.act(&mut self.world);
                self.clients.act(&mut self.world, &mut self.people, second);
                for (node, number, greed) in &mut self.greedy {
                    greed.act(&mut self.world, *node, *number);
                }
                self.say_late();
                self.devices.plan(&mut self.world, second);
                if let Err(violation) = self.clients.check(&self.world) {
                    self.world.fail(violation);
                }
                let at = self.world.now.plus(PEOPLE_EVERY_MS);
                self.world.cue(at, CUE_PEOPLE);
            } else if let Some(Cued { step, nodes }) = self.cued.remove(&cue) {
                match nodes {
                    Some(nodes) => self.act_on(step, nodes),
                    None => self.act(step),
                }
            }
        }
        any
    }

    /// Plans a step for later.
    fn later(&mut self, seconds: u64, step: Step) {
        let at = self.world.now.plus(seconds * 1_000);
        self.world.cue(at, self.next_cue);
        self.cued.insert(self.next_cue, Cued { step, nodes: None });
        self.next_cue += 1;
    }

    /// Plans a step for later that is done to these nodes.
    fn later_to(&mut self, seconds: u64, step: Step, nodes: Vec<usize>) {
        let at = self.world.now.plus(seconds * 1_000);
        self.world.cue(at, self.next_cue);
        let nodes = Some(nodes);
        self.cued.insert(self.next_cue, Cued { step, nodes });
        self.next_cue += 1;
    }

    fn members(&self, group: Group) -> Vec<usize> {
        let n_validators = self.world.n_validators();
        let all = 0..self.world.nodes.len();
        match group {
            Group::All => all.collect(),
            Group::Validators => (0..n_validators).collect(),
            Group::HonestValidators => (0..n_validators)
                .filter(|node| self.world.nodes[*node].is_honest())
                .collect(),
            Group::MisbehavingValidators => (0..n_validators)
                .filter(|node| !self.world.nodes[*node].is_honest())
                .collect(),
            Group::Followers => all
                .filter(|node| *node >= n_validators && self.world.nodes[*node].offer.is_none())
                .collect(),
            Group::Providers => all
                .filter(|node| self.world.nodes[*node].offer.is_some())
                .collect(),
            Group::Voters => self.world.voters(),
            Group::Entrants => self.world.entrants(),
            Group::Ahead => self.world.running(true),
            Group::Behind => self.world.running(false),
            Group::Lost => all
                .filter(|node| self.world.nodes[*node].down == Down::DiskLost)
                .collect(),
        }
    }

    fn choose(&mut self, step: &Step) -> Vec<usize> {
        let members = self.members(step.who);
        let count = match (step.count, step.permille) {
            (Some(count), _) => count,
            (None, Some(permille)) => members.len() * permille / 1000,
            (None, None) => members.len(),
        };
        let places = self.luck.choose(count, members.len());
        places.into_iter().map(|place| members[place]).collect()
    }

    fn act(&mut self, step: Step) {
        let chosen = self.choose(&step);
        self.act_on(step, chosen);
    }

    /// All faults stop; everybody that has not left must go on within `recover_s`.
    fn recover(&mut self, recover_s: u64) {
        let now = self.world.now;
        self.world.trace.note(now, format_args!("== all faults stop"));
        self.cued.clear();
        self.by_height.clear();
        self.people.spam_per_s = 0;
        self.people.ground_per_s = 0;
        self.people.forged_per_s = 0;
        self.world.net.heal();
        self.world.net.weather = crate::net::WeatherName::Fair.weather();
        // Who was surrounded finds one honest peer at last.
        self.world.free_surrounded();
        for node in 0..self.world.nodes.len() {
            self.world.nodes[node].skew_ms = 0;
            self.world.nodes[node].crash_at_persist = None;
            self.free_disk(node);
            self.world.start_at(now, node);
        }
        let target = self.world.height().plus(BLOCKS_TO_RECOVER);
        let end = now.plus(recover_s * 1_000);
        loop {
            let has_recovered = |world: &World| {
                let mut honest = world.nodes.iter().filter(|node| node.is_honest());
                let has_gone_on = |node: &Node| node.is_up() && node.height() >= target;
                honest.all(|node| node.is_lost() || node.is_outdated() || has_gone_on(node))
            };
            let done = self.world.run_until(end, has_recovered);
            if self.world.violation.is_some() || done {
                return;
            }
            if self.take_cues() {
                continue;
            }
            let heights: Vec<String> = self
                .world
                .nodes
                .iter()
                .map(|node| node.height().to_string())
                .collect();
            let facts = format!(
                "{recover_s} s after all faults stopped not everybody has block {target}: heights are {}",
                heights.join(" ")
            );
            self.world.fail(Violation::of(Promise::Liveness, facts));
            return;
        }
    }

    fn report(&self) -> Report {
        let world = &self.world;
        Report {
            scenario: self.scenario.name.clone(),
            seed: self.people.seed,
            violation: world.violation.clone(),
            trace: world.trace.hash(),
            n_lines: world.trace.n_lines(),
            last_lines: world.trace.last().map(str::to_owned).collect(),
            height: world.height().0,
            ms: world.now.0 - self.beginning.0,
            n_events: world.n_events,
            n_sent: world.net.n_sent,
            n_transactions: world.chain.n_transactions,
            n_files: self.clients.n_acknowledged,
            n_read: self.clients.n_read,
            n_refused: self.clients.n_refused,
        }
    }
}

/// Which provider node is which device: servers first, then homes, laptops, phones.
fn devices_of(network: &scenario::Network, first_provider: usize) -> Vec<(usize, Device)> {
    let kinds = [
        (Device::Server, network.servers),
        (Device::Home, network.homes),
        (Device::Laptop, network.laptops),
        (Device::Phone, network.phones),
    ];
    let all = kinds
        .into_iter()
        .flat_map(|(device, count)| std::iter::repeat_n(device, count));
    (first_provider..).zip(all).collect()
}
