//! Model checking: every interleaving, within bounds, of the real `step` of every node.
//!
//! Nodes begin with ballots of their own. A node may at any time receive what another has newest, its timer may run out
//! whenever it is armed, and it may crash before or after a record is durable; what is not received is lost. As newer
//! statements take the place of older ones, only the newest of each node is under way: an old one that comes late is not
//! newer and changes nothing, one that never comes is lost. The properties are those of the abstract ballot protocol:
//! agreement, and no two correct nodes that accept what contradicts.

use crate::protocol::{Config, Input, Output, Record, Scp, TimerKind};
use crate::statement::{Ballot, Pledges, Statement, Value};
use crate::testing::{MapOracle, NETWORK, flat_sets, node_id};
use stateright::{Checker as _, Model, Property};
use std::hash::{Hash, Hasher};
use std::vec::Vec;
use watt_primitives::SlotIndex;

pub(super) const SLOT: SlotIndex = SlotIndex(1);

fn value(n: u8) -> Value {
    Value(watt_primitives::Hash([n; 32]))
}

/// What is explored.
pub(super) struct Ballots {
    pub(super) oracle: MapOracle,
    pub(super) configs: Vec<Config>,
    /// The value each correct node begins with; nodes after these lie.
    begin: Vec<u8>,
    lies: Vec<Pledges>,
    counter_max: u32,
    crashes_max: u8,
    /// Whether the states explored must include one in which all have decided.
    must_decide: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) nodes: Vec<Scp>,
    pub(super) journals: Vec<Option<Record>>,
    pub(super) timers: Vec<Option<u64>>,
    pub(super) decided: Vec<Option<Value>>,
    crashes: u8,
    pub(super) is_broken: bool,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for node in &self.nodes {
            node.fingerprint(SLOT, hasher);
        }
        let decided: Vec<_> = self
            .decided
            .iter()
            .map(|value| value.map(|value| value.0.0))
            .collect();
        (decided, self.crashes, self.is_broken).hash(hasher);
    }
}

/// Keeps what is hashed.
#[derive(Default, PartialEq)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |world: &Self| {
            let mut bytes = Bytes::default();
            world.hash(&mut bytes);
            bytes
        };
        bytes(self) == bytes(other)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    CrashesBeforePersist,
    CrashesAfterPersist,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Receive {
        to: usize,
        from: usize,
    },
    /// The liar says its lie number so and so, to this node only.
    Lie {
        to: usize,
        lie: usize,
    },
    Timer {
        node: usize,
    },
}

impl Ballots {
    pub(super) fn new(n_nodes: usize, begin: &[u8]) -> Self {
        let sets = flat_sets(n_nodes);
        let mut oracle = MapOracle::default();
        // Three nodes tolerate nobody's lies but one that is gone: 2 of 3.
        let sets = if n_nodes == 3 {
            let two_of_three = crate::quorum_set::QuorumSet::flat(2, (0..3).map(node_id).collect());
            std::vec![two_of_three; 3]
        } else {
            sets
        };
        oracle.quorum_sets.insert(sets[0].hash(&NETWORK), sets[0].clone());
        let config = |(n, quorum_set): (usize, &crate::quorum_set::QuorumSet)| Config {
            node: node_id(n),
            network: NETWORK,
            quorum_set: quorum_set.clone(),
            votes: true,
        };
        Self {
            oracle,
            configs: sets.iter().enumerate().map(config).collect(),
            begin: begin.to_vec(),
            lies: Vec::new(),
            counter_max: 2,
            crashes_max: 0,
            must_decide: true,
        }
    }

    pub(super) fn perform(&self, world: &mut World, n: usize, out: Vec<Output>, fate: Fate) {
        for output in out {
            match output {
                Output::Persist(record) => {
                    match fate {
                        Fate::Lives => {}
                        Fate::CrashesBeforePersist => return self.restart(world, n),
                        Fate::CrashesAfterPersist => {
                            world.journals[n] = Some(record);
                            return self.restart(world, n);
                        }
                    }
                    world.journals[n] = Some(record);
                }
                Output::Send(statement) => {
                    let record = world.journals[n].as_ref();
                    world.is_broken |= record.is_none_or(|record| record.ballot.as_ref() != Some(&statement));
                }
                Output::SetTimer { generation, .. } => world.timers[n] = Some(generation),
                Output::CancelTimer { .. } => world.timers[n] = None,
                Output::Externalized { value, .. } => {
                    world.is_broken |= world.decided[n].is_some_and(|decided| decided != value);
                    world.decided[n] = Some(value);
                }
                Output::NeedQuorumSet(_) | Output::Evidence(..) => {}
                Output::Amnesia(_) | Output::RecordRefused(_) => world.is_broken = true,
            }
        }
    }

    fn restart(&self, world: &mut World, n: usize) {
        world.crashes += 1;
        world.timers[n] = None;
        world.nodes[n] = Scp::new(self.configs[n].clone());
        if let Some(record) = &world.journals[n] {
            let mut out = Vec::new();
            world.nodes[n].step(Input::Restore(record), &self.oracle, &mut out);
            world.is_broken |= !out.is_empty();
        }
    }

    fn step(&self, world: &mut World, event: Event, fate: Fate) {
        let mut out = Vec::new();
        let (n, statements) = match event {
            Event::Receive { to, from } => (to, world.nodes[from].own(SLOT).cloned().collect()),
            Event::Lie { to, lie } => {
                let liar = Statement {
                    node: node_id(self.begin.len()),
                    slot: SLOT,
                    quorum_set: world.nodes[to].quorum_set_hash(),
                    pledges: self.lies[lie].clone(),
                };
                (to, std::vec![liar])
            }
            Event::Timer { node } => (node, Vec::new()),
        };
        let input = match (event, world.timers[n]) {
            (Event::Timer { .. }, Some(generation)) => {
                world.timers[n] = None;
                let (slot, kind) = (SLOT, TimerKind::Ballot);
                Input::Timer {
                    slot,
                    kind,
                    generation,
                }
            }
            _ => Input::Receive {
                slot: SLOT,
                statements: &statements,
            },
        };
        world.nodes[n].step(input, &self.oracle, &mut out);
        world.is_broken |= world.nodes[n].check_invariants().is_err();
        self.perform(world, n, out, fate);
    }
}

impl Model for Ballots {
    type State = World;
    type Action = (Event, Fate);

    fn init_states(&self) -> Vec<World> {
        let n = self.begin.len();
        let mut world = World {
            nodes: self.configs.iter().take(n).cloned().map(Scp::new).collect(),
            journals: std::vec![None; n],
            timers: std::vec![None; n],
            decided: std::vec![None; n],
            crashes: 0,
            is_broken: false,
        };
        for (node, begin) in self.begin.iter().enumerate() {
            let mut out = Vec::new();
            world.nodes[node].force_ballot(SLOT, value(*begin), &self.oracle, &mut out);
            self.perform(&mut world, node, out, Fate::Lives);
        }
        std::vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<(Event, Fate)>) {
        let n = world.nodes.len();
        let mut events = Vec::new();
        for to in 0..n {
            events.extend(
                (0..n)
                    .filter(|from| *from != to)
                    .map(|from| Event::Receive { to, from }),
            );
            events.extend((0..self.lies.len()).map(|lie| Event::Lie { to, lie }));
            if world.timers[to].is_some() {
                events.push(Event::Timer { node: to });
            }
        }
        for event in events {
            actions.push((event, Fate::Lives));
            if world.crashes < self.crashes_max {
                actions.push((event, Fate::CrashesBeforePersist));
                actions.push((event, Fate::CrashesAfterPersist));
            }
        }
    }

    fn next_state(&self, world: &World, (event, fate): (Event, Fate)) -> Option<World> {
        let is_heard = |to: usize, statement: &Statement| {
            world.nodes[to].verdict(statement) == crate::protocol::inspect::Verdict::Heard
        };
        // What changes nothing need not be explored; a restored node, though, must be woken by anything at all.
        let is_news = match event {
            Event::Receive { to, from } => world.nodes[from].own(SLOT).any(|own| is_heard(to, own)),
            Event::Lie { .. } | Event::Timer { .. } => true,
        };
        if !is_news {
            return None;
        }
        let mut next = world.clone();
        self.step(&mut next, event, fate);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        std::vec![
            Property::always("agreement", |_, world: &World| {
                let mut decided = world.decided.iter().flatten();
                let first = decided.next();
                decided.all(|value| Some(value) == first)
            }),
            Property::always("no conflicting accepts", |_, world: &World| has_no_conflict(
                world
            )),
            Property::always("the rules are kept", |_, world: &World| !world.is_broken),
            Property::sometimes("all decide", |model: &Self, world: &World| {
                !model.must_decide || world.decided.iter().all(Option::is_some)
            }),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        let counter = |statement: &Statement| match statement.pledges {
            Pledges::Prepare { ballot, .. } | Pledges::Confirm { ballot, .. } => ballot.counter,
            Pledges::Nominate { .. } | Pledges::Externalize { .. } => 0,
        };
        let mut own = world.nodes.iter().flat_map(|node| node.own(SLOT));
        own.all(|statement| counter(statement) <= self.counter_max)
    }
}

/// No node accepts a commit that another accepts as aborted, nor do two accept commits of different values.
pub(super) fn has_no_conflict(world: &World) -> bool {
    let own: Vec<&Statement> = world.nodes.iter().flat_map(|node| node.own(SLOT)).collect();
    let commits: Vec<(Ballot, u32)> = own
        .iter()
        .filter_map(|statement| match statement.pledges {
            Pledges::Confirm {
                ballot,
                c_counter,
                h_counter,
                ..
            } => Some((
                Ballot {
                    counter: c_counter,
                    ..ballot
                },
                h_counter,
            )),
            Pledges::Externalize { commit, h_counter } => Some((commit, h_counter)),
            Pledges::Nominate { .. } | Pledges::Prepare { .. } => None,
        })
        .collect();
    let prepared = own.iter().flat_map(|statement| match statement.pledges {
        Pledges::Prepare {
            prepared,
            prepared_prime,
            ..
        } => [prepared, prepared_prime],
        Pledges::Confirm {
            ballot,
            prepared_counter,
            ..
        } => [
            Some(Ballot {
                counter: prepared_counter,
                ..ballot
            }),
            None,
        ],
        Pledges::Nominate { .. } | Pledges::Externalize { .. } => [None, None],
    });
    let aborts_none = |p: Ballot| commits.iter().all(|(c, _)| c.value == p.value || *c > p);
    let is_one_value = commits.windows(2).all(|pair| pair[0].0.value == pair[1].0.value);
    is_one_value && prepared.flatten().all(aborts_none)
}

/// Explores about `states_max` states, near ones first, and asserts the properties.
fn check(model: Ballots, states_max: usize) {
    let checker = model
        .checker()
        .threads(2)
        .target_state_count(states_max)
        .spawn_bfs()
        .join();
    checker.assert_properties();
}

/// Explores about `states_max` states along long runs, and asserts the properties.
fn check_far(model: Ballots, states_max: usize) {
    let checker = model
        .checker()
        .threads(2)
        .target_state_count(states_max)
        .spawn_dfs()
        .join();
    checker.assert_properties();
}

/// Three nodes, two of them enough, that begin with different values: near interleavings all, and long runs.
/// Covers: A1.
#[test]
fn three_nodes_agree_in_every_order() {
    check(Ballots::new(3, &[1, 2, 1]), 500_000);
    check_far(Ballots::new(3, &[1, 2, 1]), 200_000);
}

/// The same with a crash at any persist, before or after the record is durable. Covers: A1.
#[test]
fn three_nodes_agree_through_a_crash_anywhere() {
    let model = || {
        let mut model = Ballots::new(3, &[2, 1, 2]);
        model.crashes_max = 1;
        model
    };
    check(model(), 300_000);
    check_far(model(), 200_000);
}

/// Three correct nodes of four, that begin with different values, and one that tells anybody anything that could pull them
/// apart; with a crash. Covers: A1.
#[test]
fn three_of_four_nodes_agree_beside_a_liar() {
    check(with_liar(&[1, 2, 2], false), 300_000);
    check_far(with_liar(&[1, 1, 2], true), 300_000);
}

fn with_liar(begin: &[u8], must_decide: bool) -> Ballots {
    let mut model = Ballots::new(4, begin);
    model.crashes_max = 1;
    model.must_decide = must_decide;
    for n in [1, 2] {
        let ballot = Ballot {
            counter: 1,
            value: value(n),
        };
        model.lies.push(Pledges::Prepare {
            ballot,
            prepared: Some(ballot),
            prepared_prime: None,
            c_counter: 1,
            h_counter: 1,
        });
        model.lies.push(Pledges::Confirm {
            ballot,
            prepared_counter: 1,
            c_counter: 1,
            h_counter: 1,
        });
        model.lies.push(Pledges::Externalize {
            commit: ballot,
            h_counter: 1,
        });
    }
    model
}
