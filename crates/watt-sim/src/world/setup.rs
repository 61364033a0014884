//! How a world begins.

use super::{Due, World};
use crate::actor::{Actor, LateProver, ValidatorActor};
use crate::check::{ChainCheck, Speech};
use crate::compute::Compute;
use crate::luck::{Luck, Purpose};
use crate::net::{Net, Weather};
use crate::node::{Disk, Down, Node};
use crate::queue::Queue;
use crate::storage::{FORGER, Means, Trade, Vault, account_of};
use crate::trace::{Sink, Trace};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use watt_engine::provider::{ProviderConfig, Settle};
use watt_engine::{Backbones, RestartLog};
use watt_ledger::genesis::{GRACE_WINDOWS_MAIN, GenesisAccount, GraceWindows, RefusedGenesis};
use watt_ledger::testing::{Rule, elect_in_advance, grow_in_advance};
use watt_ledger::tree::chunk;
use watt_ledger::{Genesis, MemoryState, NetworkParameters, genesis_block};
use watt_light::duty::cold_key_hash;
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_light::{Backbone, BackboneEntry};
use watt_primitives::terms::{AskTerms, Device, Endpoint};
use watt_primitives::time::DAY_MS;
use watt_primitives::{
    AccountId, Amount, BlockHeight, BoundedString, BoundedVec, SecretKey, Term, Timestamp,
};
use watt_proofs::ProofParams;
use watt_store::testing::TestDisk;

/// How long sectors may go unproven where live ones are asked again: what is asked is due within a scenario.
const GRACE_WINDOWS_WITH_AUDITS: GraceWindows = GraceWindows {
    always_on: 12,
    daily: 24,
    phone: 48,
};

/// Close time of block 0.
const BEGINNING: Timestamp = Timestamp(1_800_000_000_000);

/// A program that is broken on purpose: proof that the checkers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Syncs do nothing: what is said was not durable before.
    SkipPersist,
    /// The ledger takes proofs of windows long over.
    LateProof,
    /// The ledger counts a window as often as it is proven.
    WindowTwice,
    /// A restarted validator does not know what it said.
    ForgetLock,
    /// A node goes on from a state that is not the one its header commits to.
    WrongStateRoot,
    /// Answers count as if they had been there at once.
    LateAnswer,
}

impl Mutation {
    /// All of them, with the names that the command line knows.
    pub const ALL: [(&'static str, Self); 6] = [
        ("skip-persist", Self::SkipPersist),
        ("late-proof", Self::LateProof),
        ("window-twice", Self::WindowTwice),
        ("forget-lock", Self::ForgetLock),
        ("wrong-state-root", Self::WrongStateRoot),
        ("late-answer", Self::LateAnswer),
    ];

    pub(super) const fn rule(self) -> Option<Rule> {
        match self {
            Self::LateProof => Some(Rule::LateProof),
            Self::WindowTwice => Some(Rule::WindowTwice),
            Self::SkipPersist | Self::ForgetLock | Self::WrongStateRoot | Self::LateAnswer => None,
        }
    }
}

/// How a world begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Everything drawn by lot comes from it.
    pub seed: u64,
    /// Nodes that vote.
    pub validators: u8,
    /// Nodes that follow.
    pub followers: usize,
    /// Those of the followers that know followers only: the last ones.
    pub far_followers: usize,
    /// Nodes that provide; they come last.
    pub providers: usize,
    /// Providers that misbehave, and with what, by number among providers.
    pub trades: BTreeMap<usize, (Trade, Means)>,
    /// Links that each follower keeps.
    pub links: usize,
    /// Milliseconds between blocks.
    pub slot_ms: u64,
    /// Most members of the committees to which sectors are shown; 0: openings are in blocks.
    pub porep_committee: u8,
    /// Windows in which each live sector is asked again once on average; 0: never.
    pub audit_windows: u64,
    /// Slots in a proving window.
    pub window_slots: u64,
    /// Windows in a term.
    pub term_windows: u64,
    /// Seats from term 1 on, which go round among the validators, planted; 0: the ledger elects.
    pub seats: usize,
    /// The first so many followers stand for seats, with circles that have grown.
    pub standing: usize,
    /// So many followers after them stand for seats as well, and are one person's.
    pub puppets: usize,
    /// Most transactions in a block.
    pub block_transactions_max: u32,
    /// Blocks between two states that nodes serve to fresh ones.
    pub checkpoint_blocks: u64,
    /// Whether the seats of the genesis have cold keys.
    pub cold_keys: bool,
    /// The network.
    pub weather: Weather,
    /// Accounts that people have from the start.
    pub people: u32,
    /// Accounts that send proofs that do not hold; every second one has no money.
    pub forgers: usize,
    /// Validators that misbehave, by place.
    pub actors: BTreeMap<usize, ValidatorActor>,
    /// What is broken on purpose.
    pub mutation: Option<Mutation>,
    /// Whether nobody can execute the first block of a term under the first version of the rules.
    pub broken_terms: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 0,
            validators: 4,
            followers: 0,
            far_followers: 0,
            providers: 0,
            trades: BTreeMap::new(),
            links: 4,
            slot_ms: 1_000,
            porep_committee: 0,
            audit_windows: 0,
            window_slots: 8,
            term_windows: 144,
            seats: 0,
            standing: 0,
            puppets: 0,
            block_transactions_max: 500,
            checkpoint_blocks: 64,
            cold_keys: false,
            weather: crate::net::WeatherName::Fair.weather(),
            people: 16,
            forgers: 0,
            actors: BTreeMap::new(),
            mutation: None,
            broken_terms: false,
        }
    }
}

/// The key of someone with a role and a number.
#[must_use]
pub fn key_of(role: &str, number: usize) -> SecretKey {
    let mut hasher = blake3::Hasher::new_derive_key("watt-sim 2026 keys");
    hasher.update(role.as_bytes()).update(&number.to_le_bytes());
    SecretKey::from_seed(*hasher.finalize().as_bytes())
}

/// The key that a validator's owner keeps offline.
pub(super) fn cold_key_of(number: usize) -> SecretKey {
    key_of("cold", number)
}

/// The key with which a validator votes in a term after the first.
fn key_in(number: usize, term: Term) -> SecretKey {
    key_of(&format!("validator in term {term}"), number)
}

/// Terms of which it is known at the start who sits in them, where seats go round.
const TERMS_ELECTED: usize = 64;

/// What everyone has at the start.
pub const START_BALANCE_WATT: u64 = 10_000;

/// Which people decide about rules.
pub const COUNCIL: std::ops::Range<usize> = 1..8;

/// People in whom trust begins.
pub(super) const TRUST_SEEDS: usize = 4;

impl Setup {
    fn genesis(&self) -> Genesis {
        let person = |number| GenesisAccount {
            key: key_of("person", number).public(),
            balance: Amount::from_watt(START_BALANCE_WATT).unwrap_or(Amount::ZERO),
        };
        let people = 0..usize::try_from(self.people).unwrap_or(0);
        let provider = |number| GenesisAccount {
            key: key_of("provider", number).public(),
            balance: Amount::from_watt(START_BALANCE_WATT).unwrap_or(Amount::ZERO),
        };
        let holder = |number| GenesisAccount {
            key: key_of("holder", number).public(),
            balance: Amount::from_watt(START_BALANCE_WATT).unwrap_or(Amount::ZERO),
        };
        let forger = |number: usize| GenesisAccount {
            key: key_of(FORGER, number).public(),
            balance: Amount::from_watt(START_BALANCE_WATT * u64::from(number.is_multiple_of(2)))
                .unwrap_or(Amount::ZERO),
        };
        let seeds = people
            .clone()
            .take(TRUST_SEEDS)
            .map(|number| AccountId::of_first_key(&person(number).key));
        let backbone = 0..usize::from(self.validators);
        let vouching = self.vouching().map(|key| GenesisAccount {
            key: key.public(),
            balance: Amount::ZERO,
        });
        let accounts = people
            .map(person)
            .chain((0..self.providers).map(provider))
            .chain((0..backbone.end.max(self.n_dutiful())).map(holder))
            .chain((0..self.forgers).map(forger))
            .chain(vouching);
        let seat = |number| BackboneEntry {
            account: AccountId::of_first_key(&holder(number).key),
            key: key_of("validator", number).node_id(),
            cold_key: self
                .cold_keys
                .then(|| cold_key_hash(&cold_key_of(number).public())),
        };
        Genesis {
            name: BoundedString::new("world".to_owned()).unwrap_or_default(),
            is_main: false,
            time: BEGINNING,
            parameters: NetworkParameters {
                slot_ms: self.slot_ms,
                window_slots: self.window_slots,
                term_windows: self.term_windows,
                settlement_windows: 4,
                failed_window_cost: 9,
                block_transactions_max: self.block_transactions_max,
                block_bytes_max: 3 << 20,
                certify_slots: 60,
                certify_slots_per_gb: 60,
                commit_slots: self.window_slots.saturating_mul(2).max(60),
                dispute_slots: 60,
                grace_windows: if self.audit_windows == 0 {
                    GRACE_WINDOWS_MAIN
                } else {
                    GRACE_WINDOWS_WITH_AUDITS
                },
                power_unit_bytes: 1 << 20,
                standby_power_bytes: 0,
                insecure_proofs: true,
                porep_committee: self.porep_committee,
                audit_windows: self.audit_windows,
                restart_windows: watt_ledger::genesis::RESTART_WINDOWS_MAIN,
            },
            protocol: 1,
            council: BoundedVec::new(COUNCIL.map(|number| account_of("person", number)).collect())
                .unwrap_or_default(),
            council_until: Term(1_000),
            trust_seeds: BoundedVec::new(seeds.collect()).unwrap_or_default(),
            accounts: BoundedVec::new(accounts.collect()).unwrap_or_default(),
            backbone: BoundedVec::new(backbone.map(seat).collect()).unwrap_or_default(),
        }
    }

    /// Who sits in the terms after the first, by number among validators: each term begins where the one before ended.
    fn elected(&self) -> BTreeMap<Term, Vec<(usize, BackboneEntry)>> {
        let n_validators = usize::from(self.validators).max(1);
        let of_term = |number: usize| {
            let term = Term(u64::try_from(number).unwrap_or(u64::MAX));
            let seats = (0..self.seats).map(|seat| (number * self.seats + seat) % n_validators);
            let entry = |holder: usize| BackboneEntry {
                account: AccountId::of_first_key(&key_of("holder", holder).public()),
                key: key_in(holder, term).node_id(),
                cold_key: None,
            };
            (term, seats.map(|holder| (holder, entry(holder))).collect())
        };
        let n_terms = if self.seats == 0 { 0 } else { TERMS_ELECTED };
        (1..=n_terms).map(of_term).collect()
    }

    /// The world, with nothing running yet.
    ///
    /// # Errors
    /// The parameters make no network.
    pub fn build(&self, sink: Sink) -> Result<World, RefusedGenesis> {
        let genesis = self.genesis();
        let elected = self.elected();
        let backbones: Vec<(Term, Backbone)> = elected
            .iter()
            .filter_map(|(term, seats)| {
                Some((
                    *term,
                    Backbone::new(seats.iter().map(|(_, seat)| *seat).collect()).ok()?,
                ))
            })
            .collect();
        let first = genesis_block(&genesis)?;
        let first = if self.seats > 0 {
            elect_in_advance(&first, &backbones)
        } else if self.standing + self.puppets > 0 {
            grow_in_advance(&first, &self.grown(&genesis.trust_seeds))
        } else {
            first
        };
        let network = genesis.network();
        let mut state = MemoryState::default();
        state.write(&first.writes);
        state.write(&chunk::index(&first.writes).collect());
        let state = Arc::new(state);
        let deciders = Backbones::in_state(&*state)
            .of_term(Term(0))
            .map(|deciders| ((network, Term(0)), Arc::clone(deciders)));
        let deciders = deciders.into_iter().collect();
        let n_validators = usize::from(self.validators);
        let first_provider = n_validators + self.followers;
        let n = first_provider + self.providers;
        let mut topology = Luck::new(self.seed, Purpose::Topology);
        let keys_in = |number: usize| -> Vec<(Term, SecretKey)> {
            let of_term = |(term, seats): (&Term, &Vec<(usize, BackboneEntry)>)| {
                let is_seated = seats.iter().any(|(seat, _)| *seat == number);
                is_seated.then(|| (*term, key_in(number, *term)))
            };
            elected.iter().filter_map(of_term).collect()
        };
        let new_node = |number: usize| {
            let key = (number < n_validators).then(|| key_of("validator", number));
            let actor = self.actors.get(&number).zip(key.as_ref());
            let drive = TestDisk::new();
            drive.set_lying(self.mutation == Some(Mutation::SkipPersist));
            let validator = actor.map(|(actor, key)| actor.build(key, network));
            let provider = number.checked_sub(first_provider);
            let cast = provider.and_then(|number| self.trades.get(&number).copied());
            let trade = cast.map(|(trade, _)| trade);
            let late = (trade == Some(Trade::LateProver))
                .then(|| -> Box<dyn Actor> { Box::new(LateProver::new(self.window_slots)) });
            Node {
                engine: None,
                down: Down::Stopped,
                life: 0,
                disk: Disk {
                    drive,
                    ground: (first.header.clone(), Arc::clone(&state)),
                    blocks: Vec::new(),
                    rotten: BTreeSet::new(),
                    voted_to: BlockHeight(0),
                    head: first.header.clone(),
                    head_hash: first.header.hash(),
                    state: Arc::clone(&state),
                    hand_overs: Vec::new(),
                    successions: Vec::new(),
                    verdicts: Vec::new(),
                    restarts: RestartLog::default(),
                    followed: Vec::new(),
                    incoming: None,
                    secrets: Vec::new(),
                    vault: Vault::default(),
                },
                journal: None,
                actor: validator.or(late),
                key,
                seat: (number < self.n_dutiful()).then(|| key_of("holder", number)),
                keys_of_terms: keys_in(number),
                offer: number.checked_sub(first_provider).map(offer),
                trade,
                means: cast.map(|(_, means)| means).unwrap_or_default(),
                n_disks_lost: 0,
                timers: BTreeMap::new(),
                skew_ms: 0,
                protocol: PROTOCOL_VERSION_MAX,
                holds_rescue: false,
                born: BEGINNING,
                wants: Vec::new(),
                is_forgetful: false,
                is_sleepy: false,
                has_own_state: false,
                n_persists: 0,
                crash_at_persist: None,
                committing: None,
                adopting: None,
                served: VecDeque::new(),
                speech: Speech::default(),
            }
        };
        let mut nodes: Vec<Node> = (0..n).map(new_node).collect();
        let honest = (0..n_validators).filter(|node| !self.actors.contains_key(node));
        let honest: Vec<usize> = honest.collect();
        let far = first_provider - self.far_followers.min(self.followers)..first_provider;
        let seated = n_validators..n_validators.max(self.n_dutiful());
        let mut edges = edges(&honest, n_validators, n, far, self.links, &mut topology);
        edges.extend(among_candidates(seated, self.links, &mut topology));
        for (a, b) in edges {
            nodes[a].wants.push(b);
            nodes[b].wants.push(a);
        }
        let all_keys = (0..n_validators).map(|n| (key_of("validator", n).node_id(), n));
        let of_terms = elected.values().flatten().map(|(n, seat)| (seat.key, *n));
        let by_key = all_keys.chain(of_terms).collect();
        let broken = self.broken_terms.then_some(Rule::BrokenTerms);
        let rule = self.mutation.and_then(Mutation::rule).or(broken);
        let mut world = World {
            network,
            now: BEGINNING.next(),
            newest_at: BEGINNING,
            nodes,
            net: Net::new(n, self.weather, Luck::new(self.seed, Purpose::Network)),
            compute: Compute::new(rule, self.seed),
            chain: ChainCheck::new(network, first.header.hash(), &genesis.parameters, &state),
            trace: Trace::new(BEGINNING, sink),
            violation: None,
            cues: Vec::new(),
            n_events: 0,
            n_commits: 0,
            n_changes: 0,
            last_said: (0, Vec::new()),
            replies: Vec::new(),
            queue: Queue::default(),
            observers: BTreeMap::new(),
            deciders,
            by_key,
            disk_luck: Luck::new(self.seed, Purpose::Disk),
            mutation: self.mutation,
            checkpoint_blocks: self.checkpoint_blocks,
            genesis_header: first.header,
            genesis_state: state,
            stored: BTreeMap::new(),
            looked_at: BTreeMap::new(),
            n_validators,
            providers: (0..self.providers)
                .map(|number| (account_of("provider", number), first_provider + number))
                .collect(),
            plan: None,
            surrounded: Vec::new(),
            forgotten: BlockHeight(0),
            queue_max: 0,
            genesis,
        };
        for node in 0..n_validators.max(self.n_dutiful()) {
            let is_puppet = node >= n_validators + self.standing;
            let is_honest = !self.actors.contains_key(&node);
            world.chain.seats.know(node, is_puppet, is_honest);
        }
        for number in 0..self.providers {
            // Those who hand in forged or old proofs are rightly refused.
            if !self.trades.contains_key(&number) {
                world.chain.trust_provider(account_of("provider", number));
            }
        }
        for node in 0..n {
            let at = world.now;
            world.queue.push(at, Due::Start { node });
        }
        Ok(world)
    }
}

/// Bytes that each provider lends.
const CAPACITY_BYTES: u64 = 256 << 20;

/// Price of the cheapest provider per 10⁹ bytes and day; each further one asks one WATT more.
const PRICE_FIRST_WATT: u64 = 100;

/// What the provider with this number offers.
fn offer(number: usize) -> ProviderConfig {
    let further = u64::try_from(number).unwrap_or(0) % 50;
    let peer_id = BoundedString::new(format!("node-{number}")).unwrap_or_default();
    ProviderConfig {
        account_key: key_of("provider", number),
        capacity_bytes: CAPACITY_BYTES,
        endpoint: Endpoint {
            peer_id,
            addresses: BoundedVec::empty(),
        },
        person: None,
        device: Device::default(),
        ask: AskTerms {
            price: Amount::from_watt(PRICE_FIRST_WATT + further).unwrap_or(Amount::ZERO),
            slot_bytes_min: 1,
            slot_bytes_max: 1 << 20,
            term_ms_max: 365 * DAY_MS,
            hot: false,
        },
        units: ProviderConfig::units_of(&ProofParams::DEVNET),
        settle: Settle::Windows,
    }
}

/// Who keeps a connection with whom: all validators with one another, every other node with two honest validators and some of
/// those before it; those `far` away with followers only.
fn edges(
    honest: &[usize],
    n_validators: usize,
    n: usize,
    far: std::ops::Range<usize>,
    links: usize,
    luck: &mut Luck,
) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for b in 1..n_validators {
        edges.extend((0..b).map(|a| (a, b)));
    }
    for b in n_validators..n {
        if far.contains(&b) && b > n_validators {
            let followers = luck.choose(links, b - n_validators);
            edges.extend(followers.into_iter().map(|a| (n_validators + a, b)));
            continue;
        }
        // Links to two honest validators, if it keeps as many: what one can't give the other has.
        let chosen = luck.choose(links.min(2), honest.len());
        let validators: Vec<usize> = chosen.into_iter().map(|place| honest[place]).collect();
        let others = luck.choose(links.saturating_sub(validators.len()), b);
        let others = others.into_iter().filter(|a| !validators.contains(a));
        edges.extend(validators.iter().copied().chain(others).map(|a| (a, b)));
    }
    edges
}

/// Further links of those who stand for seats, since whom they know at first may leave: with one another.
fn among_candidates(
    candidates: std::ops::Range<usize>,
    links: usize,
    luck: &mut Luck,
) -> Vec<(usize, usize)> {
    let (first, n) = (candidates.start, candidates.len());
    let links_of = |b: usize| {
        let others = luck.choose(links, n);
        let others = others.into_iter().map(move |place| first + place);
        others.filter(move |a| *a != b).map(move |a| (a, b))
    };
    candidates.flat_map(links_of).collect()
}
