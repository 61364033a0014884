//! A whole network in one thread, for tests and for the benchmark: real [`Scp`] nodes, a seeded shuffle in place of a network,
//! a map in place of a journal. Timers fire only when nothing is in flight.

use crate::naive::Naive;
use crate::protocol::{Config, Input, Oracle, Output, Record, Scp, TimerKind, Validity};
use crate::quorum_set::QuorumSet;
use crate::replay::Step;
use crate::statement::{Statement, Value};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use watt_primitives::{Hash, NetworkId, NodeId, SlotIndex};

mod throughput;

pub use throughput::{Protocol, Throughput, throughput};

/// The network of all tests.
pub const NETWORK: NetworkId = NetworkId::new([7; 32]);

/// Numbers that look random and are the same in every run (SplitMix64).
#[derive(Clone, Debug)]
pub struct Luck(pub u64);

impl Luck {
    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        let number = self.next_number().checked_rem(n).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }

    /// True `percent` times in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Answers as a map: everything is valid in full, unless told otherwise; the greatest candidate wins.
#[derive(Clone, Debug, Default)]
pub struct MapOracle {
    /// Quorum sets by hash.
    pub quorum_sets: BTreeMap<Hash, QuorumSet>,
    /// Values that are not valid in full.
    pub validity: BTreeMap<Value, Validity>,
    /// Weights; `u64::MAX` for nodes not named.
    pub weights: BTreeMap<NodeId, u64>,
    /// Fallback values.
    pub fallbacks: BTreeMap<Value, Value>,
}

impl Oracle for MapOracle {
    fn validity(&self, _: SlotIndex, value: &Value) -> Validity {
        self.validity.get(value).copied().unwrap_or(Validity::Full)
    }

    fn combine(&self, _: SlotIndex, candidates: &[Value]) -> Option<Value> {
        candidates.last().copied()
    }

    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet> {
        self.quorum_sets.get(hash)
    }

    fn weight(&self, node: NodeId) -> u64 {
        self.weights.get(&node).copied().unwrap_or(u64::MAX)
    }

    fn fallback(&self, _: SlotIndex, value: &Value) -> Option<Value> {
        self.fallbacks.get(value).copied()
    }
}

/// Node number `n`.
#[must_use]
pub fn node_id(n: usize) -> NodeId {
    let mut bytes = [0; 32];
    let number = u64::try_from(n).unwrap_or(u64::MAX).to_be_bytes();
    for (to, from) in bytes.iter_mut().zip(number.iter().rev()) {
        *to = *from;
    }
    NodeId(bytes)
}

/// `n` nodes, each needing `n - (n-1)/3` of all.
#[must_use]
pub fn flat_sets(n: usize) -> Vec<QuorumSet> {
    let n_faulty = n.saturating_sub(1).checked_div(3).unwrap_or(0);
    let threshold = u32::try_from(n.saturating_sub(n_faulty)).unwrap_or(u32::MAX);
    let set = QuorumSet::flat(threshold, (0..n).map(node_id).collect());
    alloc::vec![set; n]
}

/// A node and all that outlives its crash.
#[derive(Clone, Debug)]
pub struct Member {
    /// The protocol, `None` while crashed.
    pub scp: Option<Scp>,
    /// The naive implementation, given the same inputs, where it is asked for.
    pub twin: Option<Naive>,
    /// What it is asked to be.
    pub config: Config,
    /// Its answers.
    pub oracle: MapOracle,
    /// Records by slot: what is durable.
    pub journal: BTreeMap<SlotIndex, Record>,
    /// Everything it ever sent, in order.
    pub sent: Vec<Statement>,
    /// What it decided.
    pub decided: BTreeMap<SlotIndex, Value>,
    /// Timers that run.
    pub timers: BTreeMap<(SlotIndex, TimerKind), (u32, u64)>,
    /// What it proposes, by slot, with the value before.
    pub proposals: BTreeMap<SlotIndex, (Value, Value)>,
    /// Persists left until it crashes, just before (`true`) or just after the record is durable.
    pub crash_in: Option<(u32, bool)>,
    /// Says and hears nothing.
    pub is_silent: bool,
    n_crashes: u32,
}

/// Nodes and what is in flight between them.
#[derive(Clone, Debug)]
pub struct Network {
    /// The nodes.
    pub members: Vec<Member>,
    /// Statements under way, with the receiver's number.
    pub in_flight: Vec<(usize, Statement)>,
    /// The order of everything.
    pub luck: Luck,
    /// How many of a hundred statements are lost on the way.
    pub loss_percent: usize,
    /// The first broken promise.
    pub broken: Option<String>,
    /// Everything that nodes were given, where it is asked for.
    pub log: Option<Vec<Logged>>,
}

/// A step of one node as it was logged, with what came of it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The node's number.
    pub node: usize,
    /// Crashes before.
    pub life: u32,
    /// A [`Step`] in bytes.
    pub step: Vec<u8>,
    /// What the node did.
    pub outputs: Vec<Output>,
}

impl Network {
    /// A network of nodes with these quorum sets.
    #[must_use]
    pub fn new(quorum_sets: &[QuorumSet], seed: u64) -> Self {
        let known: BTreeMap<_, _> = quorum_sets
            .iter()
            .map(|set| (set.hash(&NETWORK), set.clone()))
            .collect();
        let member = |(n, set): (usize, &QuorumSet)| {
            let config = Config {
                node: node_id(n),
                network: NETWORK,
                quorum_set: set.clone(),
                votes: true,
            };
            Member {
                scp: Some(Scp::new(config.clone())),
                twin: None,
                config,
                oracle: MapOracle {
                    quorum_sets: known.clone(),
                    ..MapOracle::default()
                },
                journal: BTreeMap::new(),
                sent: Vec::new(),
                decided: BTreeMap::new(),
                timers: BTreeMap::new(),
                proposals: BTreeMap::new(),
                crash_in: None,
                is_silent: false,
                n_crashes: 0,
            }
        };
        Self {
            members: quorum_sets.iter().enumerate().map(member).collect(),
            in_flight: Vec::new(),
            luck: Luck(seed),
            loss_percent: 0,
            broken: None,
            log: None,
        }
    }

    /// Gives node `n` an input and does what it wants done.
    pub fn input(&mut self, n: usize, input: Input<'_>) {
        let mut out = Vec::new();
        let Some(member) = self.members.get_mut(n) else {
            return;
        };
        if let Input::Nominate {
            slot,
            value,
            previous,
        } = input
        {
            member.proposals.insert(slot, (value, previous));
        }
        let Some(scp) = member.scp.as_mut() else { return };
        if let Some(log) = self.log.as_mut() {
            let step = Step::record(scp, input.clone(), &member.oracle, &mut out);
            log.push(Logged {
                node: n,
                life: member.n_crashes,
                step: step.encode(),
                outputs: out.clone(),
            });
        } else {
            scp.step(input.clone(), &member.oracle, &mut out);
        }
        let mut twin_out = Vec::new();
        let has_twin = member
            .twin
            .as_mut()
            .map(|twin| twin.step(input, &member.oracle, &mut twin_out));
        if has_twin.is_some() && out != twin_out {
            self.break_promise("the naive implementation does something else");
        } else if let Err(sentence) = scp.check_invariants() {
            self.break_promise(sentence);
        }
        self.perform(n, out);
    }

    /// Gives every node a twin of the naive implementation: slow, for small networks.
    pub fn add_twins(&mut self) {
        for member in &mut self.members {
            member.twin = Some(Naive::new(member.config.clone()));
        }
    }

    /// Every node proposes a value of its own for `slot`.
    pub fn nominate_all(&mut self, slot: SlotIndex, previous: Value) {
        for n in 0..self.members.len() {
            let value = Value(watt_primitives::hash::hash(
                watt_primitives::Domain::Candidate,
                &NETWORK,
                &[node_id(n).as_ref(), &slot.0.to_be_bytes()],
            ));
            self.input(
                n,
                Input::Nominate {
                    slot,
                    value,
                    previous,
                },
            );
        }
    }

    /// Delivers, and fires timers when nothing is left to deliver, until all nodes that speak have decided `slot` or
    /// `rounds_max` times of silence have passed. Answers whether they have.
    pub fn run(&mut self, slot: SlotIndex, rounds_max: u32) -> bool {
        for _ in 0..rounds_max {
            self.deliver_all();
            if self.have_decided(slot) {
                return true;
            }
            self.restart_crashed();
            self.resend();
            self.deliver_all();
            if self.have_decided(slot) {
                return true;
            }
            self.fire_timers();
        }
        self.deliver_all();
        self.have_decided(slot)
    }

    /// Whether every node that speaks has decided.
    #[must_use]
    pub fn have_decided(&self, slot: SlotIndex) -> bool {
        let mut speaking = self.members.iter().filter(|member| !member.is_silent);
        speaking.all(|member| member.decided.contains_key(&slot))
    }

    /// Delivers what is in flight, in random order, until nothing is.
    pub fn deliver_all(&mut self) {
        self.deliver(usize::MAX);
    }

    /// Delivers up to `n_max` of the statements in flight, in random order.
    pub fn deliver(&mut self, n_max: usize) {
        for _ in 0..n_max {
            if self.in_flight.is_empty() {
                return;
            }
            let position = self.luck.below(self.in_flight.len());
            let (to, statement) = self.in_flight.swap_remove(position);
            if self.luck.percent(self.loss_percent) {
                continue;
            }
            let is_silent = self.members.get(to).is_none_or(|member| member.is_silent);
            if !is_silent {
                let slot = statement.slot;
                let statements = core::slice::from_ref(&statement);
                self.input(to, Input::Receive { slot, statements });
            }
        }
    }

    /// Every node sends its own newest statements again, as the shell does while a slot is undecided.
    pub fn resend(&mut self) {
        for n in 0..self.members.len() {
            let Some(member) = self.members.get(n) else {
                continue;
            };
            if member.is_silent {
                continue;
            }
            let own: Vec<Statement> = member
                .scp
                .iter()
                .flat_map(|scp| {
                    scp.slots()
                        .flat_map(|slot| scp.own(slot))
                        .cloned()
                        .collect::<Vec<_>>()
                })
                .collect();
            for statement in own {
                self.broadcast(n, &statement);
            }
        }
    }

    /// Fires every running timer, the lowest rounds first, so that clocks stay roughly together.
    pub fn fire_timers(&mut self) {
        let lowest = self
            .members
            .iter()
            .flat_map(|member| member.timers.values().map(|(round, _)| *round))
            .min();
        for n in 0..self.members.len() {
            let Some(member) = self.members.get_mut(n) else {
                continue;
            };
            let due: Vec<_> = member
                .timers
                .iter()
                .filter(|(_, (round, _))| Some(*round) == lowest)
                .map(|((slot, kind), (_, generation))| (*slot, *kind, *generation))
                .collect();
            for (slot, kind, generation) in due {
                if let Some(member) = self.members.get_mut(n) {
                    member.timers.remove(&(slot, kind));
                }
                self.input(
                    n,
                    Input::Timer {
                        slot,
                        kind,
                        generation,
                    },
                );
            }
        }
    }

    /// Sends to everybody else.
    pub fn broadcast(&mut self, from: usize, statement: &Statement) {
        for to in 0..self.members.len() {
            if to != from {
                self.in_flight.push((to, statement.clone()));
            }
        }
    }

    /// Starts crashed nodes again from their journals; they say again what they had said, then go on.
    pub fn restart_crashed(&mut self) {
        for n in 0..self.members.len() {
            let Some(member) = self.members.get_mut(n) else {
                continue;
            };
            if member.scp.is_some() {
                continue;
            }
            member.scp = Some(Scp::new(member.config.clone()));
            member.twin = member.twin.take().map(|_| Naive::new(member.config.clone()));
            member.timers.clear();
            let journal: Vec<Record> = member.journal.values().cloned().collect();
            let proposals = member.proposals.clone();
            for record in &journal {
                let n_sent = self.members.get(n).map_or(0, |member| member.sent.len());
                self.input(n, Input::Restore(record));
                if self.members.get(n).map_or(0, |member| member.sent.len()) != n_sent {
                    self.break_promise("restore emitted something");
                }
            }
            for (slot, (value, previous)) in proposals {
                self.input(
                    n,
                    Input::Nominate {
                        slot,
                        value,
                        previous,
                    },
                );
            }
        }
    }

    fn perform(&mut self, n: usize, outputs: Vec<Output>) {
        for output in outputs {
            let Some(member) = self.members.get_mut(n) else {
                return;
            };
            match output {
                Output::Persist(record) => {
                    if let Some((left, is_before)) = member.crash_in {
                        if left == 0 {
                            if !is_before {
                                member.journal.insert(record.slot, record);
                            }
                            member.crash_in = None;
                            member.scp = None;
                            member.n_crashes = member.n_crashes.saturating_add(1);
                            return;
                        }
                        member.crash_in = Some((left.saturating_sub(1), is_before));
                    }
                    member.journal.insert(record.slot, record);
                }
                Output::Send(statement) => self.send(n, statement),
                Output::SetTimer {
                    slot,
                    kind,
                    round,
                    generation,
                } => {
                    member.timers.insert((slot, kind), (round, generation));
                }
                Output::CancelTimer { slot, kind } => {
                    member.timers.remove(&(slot, kind));
                }
                Output::Externalized {
                    slot,
                    value,
                    statements,
                } => {
                    let is_proof =
                        crate::finality::proves(slot, &value, &statements, &member.config.quorum_set);
                    let other = member.decided.insert(slot, value);
                    if other.is_some_and(|other| other != value) {
                        self.break_promise("decided twice");
                    }
                    if !is_proof {
                        self.break_promise("what was externalized is not proven by its statements");
                    }
                }
                Output::NeedQuorumSet(_) | Output::Evidence(_, _) => {}
                Output::Amnesia(_) => self.break_promise("a node with its journal was told that it forgot"),
                Output::RecordRefused(_) => self.break_promise("a node refused its own record"),
            }
        }
    }

    fn send(&mut self, n: usize, statement: Statement) {
        let Some(member) = self.members.get_mut(n) else {
            return;
        };
        let is_durable = member.journal.get(&statement.slot).is_some_and(|record| {
            record.nomination.as_ref() == Some(&statement) || record.ballot.as_ref() == Some(&statement)
        });
        let same_kind = |old: &&Statement| {
            old.slot == statement.slot && old.pledges.is_nomination() == statement.pledges.is_nomination()
        };
        let last = member.sent.iter().rev().find(same_kind);
        let is_newer = last.is_none_or(|last| statement.pledges.is_newer_than(&last.pledges));
        let is_silent = member.is_silent;
        member.sent.push(statement.clone());
        if !is_durable {
            self.break_promise("sent before it was durable");
        }
        if !is_newer {
            self.break_promise("sent a statement that is not newer than the last");
        }
        if !statement.pledges.is_sane() {
            self.break_promise("sent a statement that is not sane");
        }
        if !is_silent {
            self.broadcast(n, &statement);
        }
    }

    fn break_promise(&mut self, sentence: &str) {
        if self.broken.is_none() {
            self.broken = Some(String::from(sentence));
        }
    }

    /// The value every node that decided `slot` decided; `Err` with two that differ.
    ///
    /// # Errors
    /// Two different values: a fork.
    pub fn agreed(&self, slot: SlotIndex) -> Result<Option<Value>, (Value, Value)> {
        let mut decided = self.members.iter().filter_map(|member| member.decided.get(&slot));
        let Some(first) = decided.next() else {
            return Ok(None);
        };
        match decided.find(|other| *other != first) {
            Some(other) => Err((*first, *other)),
            None => Ok(Some(*first)),
        }
    }
}
