//! The protocol beside its naive twin: the same inputs, from anybody and in any order, give the same outputs.

use super::network::differing_sets;
use crate::naive::Naive;
use crate::protocol::{Config, Input, Oracle, Output, Record, Scp, TimerKind, Validity};
use crate::quorum_set::QuorumSet;
use crate::statement::{Ballot, Pledges, Statement, Value};
use crate::testing::{Luck, NETWORK, Network, flat_sets, node_id};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeMap;
use std::vec; // for prop_oneof!
use std::vec::Vec;
use watt_primitives::{BoundedVec, Hash, NodeId, SlotIndex};

/// This node is 0; nodes 7 and 8 occur in no own set.
const N_NODES: usize = 9;
const N_OWN_SET: usize = 7;
const N_SETS: usize = 5;

fn value(n: u8) -> Value {
    Value(Hash([n; 32]))
}

/// Answers that differ by slot, and change only as the contract of [`Validity`] lets them.
#[derive(Clone, Debug, Default)]
struct SlotOracle {
    sets: BTreeMap<Hash, QuorumSet>,
    validity: BTreeMap<(SlotIndex, Value), Validity>,
    weights: BTreeMap<NodeId, u64>,
}

impl Oracle for SlotOracle {
    fn validity(&self, slot: SlotIndex, value: &Value) -> Validity {
        self.validity
            .get(&(slot, *value))
            .copied()
            .unwrap_or(Validity::Full)
    }

    fn combine(&self, _: SlotIndex, candidates: &[Value]) -> Option<Value> {
        candidates.last().copied()
    }

    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet> {
        self.sets.get(hash)
    }

    fn weight(&self, node: NodeId) -> u64 {
        self.weights.get(&node).copied().unwrap_or(u64::MAX)
    }

    /// 0 falls back to 3, which is higher, and 4 to 1, which is lower.
    fn fallback(&self, _: SlotIndex, value: &Value) -> Option<Value> {
        match value.0.0[0] {
            0 => Some(self::value(3)),
            4 => Some(self::value(1)),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Nominate(u8),
    /// Several nodes, by bit, say the same.
    Say(u16, u8, Pledges),
    /// Several nodes say what this node last said: nomination or ballot statement.
    Follow(u16, u8, bool),
    Timer(TimerKind),
    StaleTimer,
    /// The oracle learns more about a value: well-formed, then durable or bad.
    Judge(u8, bool),
    BodyTimeout(u8),
    LearnSet(usize),
    /// Back from the journal: the newest record, or an older one.
    Crash(u8),
    /// Own statements come back from peers, the last and all before.
    Hear,
    /// The newest record again, into the running node.
    RestoreAgain,
    NextSlot,
    Purge,
}

/// What happens beside what the events say.
#[derive(Clone, Debug)]
struct Setting {
    sets: Vec<QuorumSet>,
    known_sets: usize,
    weights: Vec<u64>,
    /// Values not valid in full from the beginning.
    unknown: Vec<(u8, bool)>,
    votes: bool,
}

struct Pair {
    scp: Scp,
    naive: Naive,
    config: Config,
    oracle: SlotOracle,
    sets: Vec<QuorumSet>,
    slot: SlotIndex,
    journal: BTreeMap<SlotIndex, Vec<Record>>,
    timers: BTreeMap<(SlotIndex, TimerKind), u64>,
    sent: Vec<Statement>,
    n_decided: usize,
}

impl Pair {
    fn new(setting: &Setting) -> Self {
        let config = Config {
            node: node_id(0),
            network: NETWORK,
            quorum_set: setting.sets[0].clone(),
            votes: setting.votes,
        };
        let mut oracle = SlotOracle::default();
        for set in setting.sets.iter().take(setting.known_sets) {
            oracle.sets.insert(set.hash(&NETWORK), set.clone());
        }
        for (n, weight) in setting.weights.iter().enumerate() {
            oracle.weights.insert(node_id(n), *weight);
        }
        for slot in [SlotIndex(1), SlotIndex(2), SlotIndex(3)] {
            for (n, is_structural) in &setting.unknown {
                let validity = if *is_structural {
                    Validity::Structural
                } else {
                    Validity::Invalid
                };
                oracle.validity.insert((slot, value(*n)), validity);
            }
        }
        Self {
            scp: Scp::new(config.clone()),
            naive: Naive::new(config.clone()),
            config,
            oracle,
            sets: setting.sets.clone(),
            slot: SlotIndex(1),
            journal: BTreeMap::new(),
            timers: BTreeMap::new(),
            sent: Vec::new(),
            n_decided: 0,
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let slot = self.slot;
        match event {
            Event::Nominate(n) => self.step(&Input::Nominate {
                slot,
                value: value(*n),
                previous: value(9),
            }),
            Event::Say(nodes, set, pledges) => self.say(*nodes, *set, pledges),
            Event::Follow(nodes, set, is_nomination) => {
                let is_wanted =
                    |said: &&Statement| said.slot == slot && said.pledges.is_nomination() == *is_nomination;
                match self.sent.iter().rev().find(is_wanted).cloned() {
                    Some(said) => self.say(*nodes, *set, &said.pledges),
                    None => Ok(()),
                }
            }
            Event::Timer(kind) => match self.timers.remove(&(slot, *kind)) {
                Some(generation) => self.step(&Input::Timer {
                    slot,
                    kind: *kind,
                    generation,
                }),
                None => Ok(()),
            },
            Event::StaleTimer => self.step(&Input::Timer {
                slot,
                kind: TimerKind::Ballot,
                generation: 0,
            }),
            Event::Judge(n, is_good) => self.judge(value(*n), *is_good),
            Event::BodyTimeout(n) => self.step(&Input::BodyTimeout {
                slot,
                value: value(*n),
            }),
            Event::LearnSet(n) => {
                let set = self.sets[n % N_SETS].clone();
                let hash = set.hash(&NETWORK);
                self.oracle.sets.insert(hash, set);
                self.step(&Input::QuorumSetKnown { hash })
            }
            Event::Crash(age) => self.crash(usize::from(*age)),
            Event::Hear => {
                let own = self.sent.iter().rev().filter(|said| said.slot == slot);
                let statements: Vec<Statement> = own.cloned().collect();
                self.step(&Input::Receive {
                    slot,
                    statements: &statements,
                })
            }
            Event::RestoreAgain => match self
                .journal
                .get(&slot)
                .and_then(|records| records.last())
                .cloned()
            {
                Some(record) => self.step(&Input::Restore(&record)),
                None => Ok(()),
            },
            Event::NextSlot => {
                self.slot = SlotIndex(slot.0 % 3 + 1);
                Ok(())
            }
            Event::Purge => self.step(&Input::Purge { below: slot }),
        }
    }

    fn say(&mut self, nodes: u16, set: u8, pledges: &Pledges) -> Result<(), TestCaseError> {
        // The higher numbers stand for this node's own set.
        let set = if usize::from(set) < N_SETS {
            &self.sets[usize::from(set)]
        } else {
            &self.sets[0]
        };
        let hash = set.hash(&NETWORK);
        let speakers = (1..N_NODES).filter(|n| (nodes >> n) & 1 == 1);
        let statements: Vec<Statement> = speakers
            .map(|n| Statement {
                node: node_id(n),
                slot: self.slot,
                quorum_set: hash,
                pledges: pledges.clone(),
            })
            .collect();
        self.step(&Input::Receive {
            slot: self.slot,
            statements: &statements,
        })
    }

    fn judge(&mut self, value: Value, is_good: bool) -> Result<(), TestCaseError> {
        let slot = self.slot;
        let next = match (self.oracle.validity(slot, &value), is_good) {
            (Validity::Invalid, true) => Validity::Structural,
            (Validity::Structural, true) => Validity::Full,
            (Validity::Structural, false) => Validity::Invalid,
            (Validity::Invalid, false) | (Validity::Full, _) => return Ok(()),
        };
        self.oracle.validity.insert((slot, value), next);
        self.step(&Input::ValidityChanged { slot, value })
    }

    fn crash(&mut self, age: usize) -> Result<(), TestCaseError> {
        self.scp = Scp::new(self.config.clone());
        self.naive = Naive::new(self.config.clone());
        self.timers.clear();
        for records in self.journal.clone().values() {
            let left = records.len().saturating_sub(age);
            if let Some(record) = records.get(left.saturating_sub(1)) {
                self.step(&Input::Restore(record))?;
            }
        }
        Ok(())
    }

    /// Both take the input; everything that can be seen of them is compared.
    fn step(&mut self, input: &Input<'_>) -> Result<(), TestCaseError> {
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        self.scp.step(input.clone(), &self.oracle, &mut ours);
        self.naive.step(input.clone(), &self.oracle, &mut plain);
        prop_assert_eq!(&ours, &plain, "after {:?}", input);
        prop_assert_eq!(self.scp.check_invariants(), Ok(()));
        for slot in (1..=3).map(SlotIndex) {
            let mut held: Vec<&Statement> = self.scp.latest(slot).collect();
            let mut plain: Vec<&Statement> = self.naive.latest(slot).collect();
            held.sort_unstable();
            plain.sort_unstable();
            prop_assert_eq!(held, plain, "held after {:?}", input);
            prop_assert_eq!(self.scp.externalized(slot), self.naive.externalized(slot));
        }
        for output in ours {
            match output {
                Output::Persist(record) => self.journal.entry(record.slot).or_default().push(record),
                Output::Send(statement) => {
                    let record = self
                        .journal
                        .get(&statement.slot)
                        .and_then(|records| records.last());
                    let kept = record.map(|record| [&record.nomination, &record.ballot]);
                    prop_assert!(kept.is_some_and(|kept| kept.contains(&&Some(statement.clone()))));
                    self.sent.push(statement);
                }
                Output::SetTimer {
                    slot,
                    kind,
                    generation,
                    ..
                } => drop(self.timers.insert((slot, kind), generation)),
                Output::CancelTimer { slot, kind } => drop(self.timers.remove(&(slot, kind))),
                Output::Externalized { .. } => self.n_decided += 1,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A quorum set over the nodes `0..n`, flat or with up to two inner sets.
fn quorum_set(n: usize) -> impl Strategy<Value = QuorumSet> {
    any::<(u64, bool)>().prop_map(move |(seed, is_nested)| {
        let mut luck = Luck(seed);
        let mut nodes: Vec<NodeId> = (0..n).map(node_id).collect();
        for position in (1..nodes.len()).rev() {
            nodes.swap(position, luck.below(position + 1));
        }
        let mut inner = Vec::new();
        if is_nested {
            for _ in 0..=luck.below(2) {
                let size = (2 + luck.below(2)).min(nodes.len());
                let group = nodes.split_off(nodes.len() - size);
                if group.is_empty() {
                    break;
                }
                let threshold = 1 + luck.below(group.len());
                inner.push(QuorumSet::flat(u32::try_from(threshold).unwrap(), group));
            }
        }
        nodes.truncate(nodes.len() - luck.below(nodes.len().min(3)));
        let n_members = nodes.len() + inner.len();
        let threshold = 1 + n_members / 2 - usize::from(luck.percent(30)) + usize::from(luck.percent(30));
        QuorumSet {
            // A few are not sane.
            threshold: u32::try_from(threshold.clamp(1, n_members)).unwrap()
                + if luck.percent(3) { 50 } else { 0 },
            nodes: BoundedVec::new(nodes).unwrap(),
            inner: BoundedVec::new(inner).unwrap(),
        }
    })
}

/// Any statement over five values and low counters; most are sane.
fn pledges() -> impl Strategy<Value = Pledges> {
    let value = || (0u8..5).prop_map(value);
    let ballot = move || {
        (prop_oneof![8 => 1u32..5, 1 => Just(u32::MAX)], value())
            .prop_map(|(counter, value)| Ballot { counter, value })
    };
    let nominate = (
        proptest::collection::btree_set(value(), 0..4),
        proptest::collection::btree_set(value(), 0..4),
    )
        .prop_map(|(votes, accepted)| Pledges::Nominate {
            votes: BoundedVec::new(votes.into_iter().collect()).unwrap(),
            accepted: BoundedVec::new(accepted.into_iter().collect()).unwrap(),
        });
    let prepare = (
        ballot(),
        proptest::option::of(ballot()),
        proptest::option::of(ballot()),
        0u32..4,
        0u32..5,
    )
        .prop_map(|(ballot, p, prime, c_counter, h_counter)| {
            // Mostly in order, so that most are heard.
            let (prepared, prepared_prime) = match (p, prime) {
                (Some(p), Some(prime)) if prime > p => (Some(prime), Some(p)),
                other => other,
            };
            Pledges::Prepare {
                ballot,
                prepared,
                prepared_prime,
                c_counter: c_counter.min(h_counter),
                h_counter: h_counter.min(prepared.map_or(0, |p| p.counter)),
            }
        });
    let confirm = (ballot(), 0u32..5, 1u32..5, 1u32..5).prop_map(|(ballot, p, c, h)| Pledges::Confirm {
        ballot,
        prepared_counter: p,
        c_counter: c.min(h),
        h_counter: h.min(ballot.counter),
    });
    let externalize = (ballot(), 1u32..6).prop_map(|(commit, h)| Pledges::Externalize {
        commit,
        h_counter: h.max(commit.counter),
    });
    prop_oneof![3 => nominate, 6 => prepare, 2 => confirm, 1 => externalize]
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![Just(TimerKind::Ballot), Just(TimerKind::Nomination)];
    prop_oneof![
        3 => (0u8..5).prop_map(Event::Nominate),
        10 => (any::<u16>(), 0u8..10, pledges()).prop_map(|(nodes, set, pledges)| Event::Say(nodes, set, pledges)),
        14 => (any::<u16>(), 0u8..12, any::<bool>()).prop_map(|(nodes, set, kind)| Event::Follow(nodes, set, kind)),
        4 => kind.prop_map(Event::Timer),
        1 => Just(Event::StaleTimer),
        3 => (0u8..5, prop_oneof![2 => Just(true), 1 => Just(false)]).prop_map(|(n, is_good)| Event::Judge(n, is_good)),
        2 => (0u8..5).prop_map(Event::BodyTimeout),
        1 => (0..N_SETS).prop_map(Event::LearnSet),
        1 => (0u8..3).prop_map(Event::Crash),
        1 => Just(Event::Hear),
        1 => Just(Event::RestoreAgain),
        1 => Just(Event::NextSlot),
        1 => prop_oneof![9 => Just(Event::NextSlot), 1 => Just(Event::Purge)],
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let weight = prop_oneof![3 => Just(u64::MAX), 1 => Just(0), 2 => any::<u64>()];
    (
        quorum_set(N_OWN_SET),
        proptest::collection::vec(quorum_set(N_NODES), N_SETS - 1),
        2..=N_SETS,
        proptest::collection::vec(weight, N_NODES),
        proptest::collection::vec((0u8..5, prop_oneof![2 => Just(true), 1 => Just(false)]), 0..3),
        prop_oneof![9 => Just(true), 1 => Just(false)],
    )
        .prop_map(|(own, mut sets, known_sets, weights, unknown, votes)| {
            sets.insert(0, own);
            Setting {
                sets,
                known_sets,
                weights,
                unknown,
                votes,
            }
        })
}

/// Runs a log through both; answers how many slots were decided.
fn run(setting: &Setting, events: &[Event]) -> Result<usize, TestCaseError> {
    let mut pair = Pair::new(setting);
    for event in events {
        pair.event(event)?;
    }
    Ok(pair.n_decided)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(3),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    /// Whatever nodes with whatever quorum sets say, whatever is learnt about bodies, whenever the node crashes: both
    /// implementations do the same. Covers: A1, A2.
    #[test]
    fn random_logs_give_the_same_outputs(
        setting in setting(),
        events in proptest::collection::vec(event(), 0..60),
    ) {
        run(&setting, &events)?;
    }
}

/// Whole networks, through loss, crashes at any persist, and bodies that come late, too late or to some only: node by node
/// both implementations do the same all the way to the decision. Covers: A1, A2.
#[test]
fn networks_run_the_same_with_either() {
    for seed in 0..60 {
        let mut luck = Luck(seed);
        let sets = match seed % 3 {
            0 => flat_sets(4),
            1 => differing_sets(),
            _ => flat_sets(5),
        };
        let mut network = Network::new(&sets, seed);
        network.add_twins();
        network.loss_percent = luck.below(30);
        let slot = SlotIndex(1);
        for member in &mut network.members {
            for n in 0..5 {
                member.oracle.fallbacks.insert(value(n), value(n + 10));
                if luck.percent(30) {
                    member.oracle.validity.insert(value(n), Validity::Structural);
                }
            }
        }
        for n in 0..sets.len() {
            let value = value(u8::try_from(n % 3).unwrap());
            let previous = self::value(9);
            network.input(
                n,
                Input::Nominate {
                    slot,
                    value,
                    previous,
                },
            );
        }
        let at = u32::try_from(luck.below(4)).unwrap();
        let crashing = luck.below(sets.len());
        network.members[crashing].crash_in = Some((at, luck.percent(50)));
        network.run(slot, 1);
        for position in 0..sets.len() {
            for n in 0..3 {
                let value = value(n);
                if luck.percent(50) {
                    network.input(position, Input::BodyTimeout { slot, value });
                }
            }
        }
        network.run(slot, 2);
        for position in 0..sets.len() {
            for n in 0..5 {
                let value = value(n);
                network.members[position].oracle.validity.remove(&value);
                network.input(position, Input::ValidityChanged { slot, value });
            }
        }
        assert!(network.run(slot, 200), "seed {seed}");
        assert_eq!(network.broken, None, "seed {seed}");
        network.agreed(slot).expect("no fork");
    }
}
