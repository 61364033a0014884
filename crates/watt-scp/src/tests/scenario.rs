//! A small language for scenarios: one node, what happens to it, and what it does.
//!
//! Nodes are lower-case letters, `a` is the node under test; values are letters, `X` is the fallback of `x`.
//! ```text
//! needs 3 of a b c d                       own quorum set; inner sets in brackets: 2 of a [2 of b c d]
//! b needs 1 of b                           what another node declares, if not the same
//! leads b                                  the only node with any weight (otherwise a)
//! nominates x                              a begins the slot
//! b: nominate x y / y                      statements: votes / accepted
//! b,c: prepare 2x p=2x p'=1y c=1 h=2       one batch
//! b: confirm 2x p=2 c=1 h=2
//! b: externalize 1x h=2
//! timer ballot | timer nomination          the running timer runs out
//! x is structural | full | invalid         what the oracle thinks from now on
//! body timeout x
//! crash                                    back from the journal
//! forgets all | forgets last               back from a journal that has lost everything, or its newest record
//! finds it                                 the lost record, into the running node
//! starts x                                 short for: x becomes a's candidate, all others accepting it
//! ```

use crate::protocol::{Config, Input, Output, Record, Scp, TimerKind, Validity};
use crate::quorum_set::QuorumSet;
use crate::statement::{Ballot, Pledges, Statement, Value};
use crate::testing::{MapOracle, NETWORK};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::string::{String, ToString as _};
use std::vec::Vec;
use watt_primitives::{BoundedVec, Hash, NodeId, SlotIndex, codec};

const SLOT: SlotIndex = SlotIndex(1);

/// Runs a scenario and compares what the node did.
pub(crate) fn check(scenario: &str, expected: expect_test::Expect) {
    let mut world = World::new(scenario);
    for line in scenario.lines().map(str::trim).filter(|line| !line.is_empty()) {
        world.line(line);
    }
    expected.assert_eq(&world.transcript);
}

struct World {
    node: Scp,
    config: Config,
    oracle: MapOracle,
    sets: BTreeMap<char, Hash>,
    others: Vec<char>,
    journal: Option<Record>,
    before: Option<Record>,
    lost: Option<Record>,
    said: Vec<Statement>,
    timers: BTreeMap<TimerKind, u64>,
    transcript: String,
}

fn id(name: char) -> NodeId {
    NodeId([u8::try_from(name).unwrap(); 32])
}

fn value(name: char) -> Value {
    Value(Hash([u8::try_from(name).unwrap(); 32]))
}

fn name_of(value: Value) -> char {
    char::from(value.0.0[0])
}

fn parse_set(words: &mut std::iter::Peekable<std::str::SplitWhitespace<'_>>) -> QuorumSet {
    let threshold = words.next().unwrap().parse().unwrap();
    assert_eq!(words.next(), Some("of"));
    let (mut nodes, mut inner) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "[" => inner.push(parse_set(words)),
            "]" => break,
            name => nodes.push(id(name.chars().next().unwrap())),
        }
    }
    QuorumSet {
        threshold,
        nodes: BoundedVec::new(nodes).unwrap(),
        inner: BoundedVec::new(inner).unwrap(),
    }
}

fn set_of(text: &str) -> QuorumSet {
    let spaced = text.replace('[', " [ ").replace(']', " ] ");
    parse_set(&mut spaced.split_whitespace().peekable())
}

fn ballot(text: &str) -> Ballot {
    let (counter, name) = text.split_at(text.len() - 1);
    Ballot {
        counter: if counter == "max" {
            u32::MAX
        } else {
            counter.parse().unwrap()
        },
        value: value(name.chars().next().unwrap()),
    }
}

fn show_counter(counter: u32) -> String {
    if counter == u32::MAX {
        "max".to_string()
    } else {
        counter.to_string()
    }
}

fn show(ballot: Ballot) -> String {
    std::format!("{}{}", show_counter(ballot.counter), name_of(ballot.value))
}

fn parse_pledges(text: &str) -> Pledges {
    let mut words = text.split_whitespace();
    let kind = words.next().unwrap();
    if kind == "nominate" {
        let rest = text.trim_start_matches("nominate");
        let (votes, accepted) = rest.split_once('/').unwrap_or((rest, ""));
        let list = |text: &str| {
            let mut list: Vec<Value> = text
                .split_whitespace()
                .map(|v| value(v.chars().next().unwrap()))
                .collect();
            list.sort_unstable();
            BoundedVec::new(list).unwrap()
        };
        return Pledges::Nominate {
            votes: list(votes),
            accepted: list(accepted),
        };
    }
    let current = ballot(words.next().unwrap());
    let fields: BTreeMap<&str, &str> = words.map(|word| word.split_once('=').unwrap()).collect();
    let counter = |field: &str| match fields.get(field) {
        Some(&"max") => u32::MAX,
        Some(text) => text.parse().unwrap(),
        None => 0,
    };
    match kind {
        "prepare" => Pledges::Prepare {
            ballot: current,
            prepared: fields.get("p").map(|text| ballot(text)),
            prepared_prime: fields.get("p'").map(|text| ballot(text)),
            c_counter: counter("c"),
            h_counter: counter("h"),
        },
        "confirm" => Pledges::Confirm {
            ballot: current,
            prepared_counter: counter("p"),
            c_counter: counter("c"),
            h_counter: counter("h"),
        },
        "externalize" => Pledges::Externalize {
            commit: current,
            h_counter: counter("h"),
        },
        other => panic!("no such statement: {other}"),
    }
}

fn show_pledges(pledges: &Pledges) -> String {
    let mut text = String::new();
    match pledges {
        Pledges::Nominate { votes, accepted } => {
            text.push_str("nominate");
            for vote in votes {
                write!(text, " {}", name_of(*vote)).unwrap();
            }
            if !accepted.is_empty() {
                text.push_str(" /");
            }
            for value in accepted {
                write!(text, " {}", name_of(*value)).unwrap();
            }
        }
        Pledges::Prepare {
            ballot,
            prepared,
            prepared_prime,
            c_counter,
            h_counter,
        } => {
            write!(text, "prepare {}", show(*ballot)).unwrap();
            for (name, ballot) in [("p", prepared), ("p'", prepared_prime)] {
                if let Some(ballot) = ballot {
                    write!(text, " {name}={}", show(*ballot)).unwrap();
                }
            }
            for (name, counter) in [("c", c_counter), ("h", h_counter)] {
                if *counter != 0 {
                    write!(text, " {name}={}", show_counter(*counter)).unwrap();
                }
            }
        }
        Pledges::Confirm {
            ballot,
            prepared_counter,
            c_counter,
            h_counter,
        } => write!(
            text,
            "confirm {} p={} c={} h={}",
            show(*ballot),
            show_counter(*prepared_counter),
            show_counter(*c_counter),
            show_counter(*h_counter)
        )
        .unwrap(),
        Pledges::Externalize { commit, h_counter } => {
            write!(
                text,
                "externalize {} h={}",
                show(*commit),
                show_counter(*h_counter)
            )
            .unwrap();
        }
    }
    text
}

impl World {
    fn new(scenario: &str) -> Self {
        let needs = scenario
            .lines()
            .find_map(|line| line.trim().strip_prefix("needs "));
        let set = set_of(needs.unwrap());
        let mut others = Vec::new();
        set.for_each_node(&mut |node| others.push(char::from(node.0[0])));
        others.retain(|name| *name != 'a');
        let config = Config {
            node: id('a'),
            network: NETWORK,
            quorum_set: set.clone(),
            votes: !scenario.contains("only follows"),
        };
        let mut oracle = MapOracle::default();
        oracle.quorum_sets.insert(set.hash(&NETWORK), set.clone());
        for name in 'a'..='z' {
            oracle
                .fallbacks
                .insert(value(name), value(name.to_ascii_uppercase()));
        }
        for other in &others {
            oracle.weights.insert(id(*other), 0);
        }
        Self {
            node: Scp::new(config.clone()),
            config,
            oracle,
            sets: others.iter().map(|name| (*name, set.hash(&NETWORK))).collect(),
            others,
            journal: None,
            before: None,
            lost: None,
            said: Vec::new(),
            timers: BTreeMap::new(),
            transcript: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        if line.starts_with("needs ") || line == "only follows" {
            return;
        }
        writeln!(self.transcript, "{line}").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["leads", name] => {
                let leader = name.chars().next().unwrap();
                for name in self.others.iter().copied().chain(['a']) {
                    let weight = if name == leader { u64::MAX } else { 0 };
                    self.oracle.weights.insert(id(name), weight);
                }
            }
            ["nominates", name] => self.nominate(name.chars().next().unwrap()),
            ["starts", name] => {
                self.nominate(name.chars().next().unwrap());
                let all: Vec<char> = self.others.clone();
                self.receive(&all, &std::format!("nominate {name} / {name}"));
            }
            ["timer", kind] => {
                let kind = match *kind {
                    "ballot" => TimerKind::Ballot,
                    "nomination" => TimerKind::Nomination,
                    other => panic!("no such timer: {other}"),
                };
                let Some(generation) = self.timers.remove(&kind) else {
                    writeln!(self.transcript, "    does not run").unwrap();
                    return;
                };
                self.step(&Input::Timer {
                    slot: SLOT,
                    kind,
                    generation,
                });
            }
            [name, "is", validity] => {
                let value = value(name.chars().next().unwrap());
                let validity = match *validity {
                    "full" => Validity::Full,
                    "structural" => Validity::Structural,
                    "invalid" => Validity::Invalid,
                    other => panic!("no such validity: {other}"),
                };
                self.oracle.validity.insert(value, validity);
                self.step(&Input::ValidityChanged { slot: SLOT, value });
            }
            ["body", "timeout", name] => {
                let value = value(name.chars().next().unwrap());
                self.step(&Input::BodyTimeout { slot: SLOT, value });
            }
            ["crash"] => self.crash(),
            ["forgets", "all"] => {
                self.journal = None;
                self.crash();
            }
            ["forgets", "last"] => {
                self.lost = core::mem::replace(&mut self.journal, self.before.take());
                self.crash();
            }
            ["finds", "it"] => {
                self.journal = self.lost.take();
                let record = self.journal.clone().expect("a lost record");
                self.step(&Input::Restore(&record));
            }
            [name, "needs", ..] => {
                let set = set_of(line.split_once("needs").unwrap().1);
                let hash = set.hash(&NETWORK);
                self.oracle.quorum_sets.insert(hash, set);
                self.sets.insert(name.chars().next().unwrap(), hash);
            }
            _ => {
                let (names, pledges) = line.split_once(':').expect("a scenario line");
                let names: Vec<char> = names
                    .split(',')
                    .map(|name| name.chars().next().unwrap())
                    .collect();
                self.receive(&names, pledges.trim());
            }
        }
    }

    fn nominate(&mut self, name: char) {
        self.step(&Input::Nominate {
            slot: SLOT,
            value: value(name),
            previous: Value(Hash::ZERO),
        });
    }

    fn crash(&mut self) {
        self.node = Scp::new(self.config.clone());
        self.timers.clear();
        if let Some(record) = self.journal.clone() {
            // What is read back is what was written, byte for byte.
            let bytes = codec::encode(&record);
            assert_eq!(codec::decode::<Record>(&bytes, bytes.len()).unwrap(), record);
            self.step(&Input::Restore(&record));
        }
    }

    fn receive(&mut self, names: &[char], pledges: &str) {
        let own = self.node.quorum_set_hash();
        let statements: Vec<Statement> = names
            .iter()
            .map(|name| Statement {
                node: id(*name),
                slot: SLOT,
                quorum_set: self.sets.get(name).copied().unwrap_or(own),
                pledges: parse_pledges(pledges),
            })
            .collect();
        self.step(&Input::Receive {
            slot: SLOT,
            statements: &statements,
        });
    }

    fn step(&mut self, input: &Input<'_>) {
        let mut out = Vec::new();
        self.node.step(input.clone(), &self.oracle, &mut out);
        self.node.check_invariants().unwrap();
        for output in out {
            self.output(output);
        }
    }

    fn output(&mut self, output: Output) {
        let line = match output {
            Output::Persist(record) => {
                self.before = self.journal.replace(record);
                return;
            }
            Output::Send(statement) => {
                let record = self
                    .journal
                    .as_ref()
                    .expect("nothing is said before it is persisted");
                let kept = [&record.nomination, &record.ballot];
                assert!(kept.contains(&&Some(statement.clone())), "persisted what is said");
                let same_kind =
                    |old: &&Statement| old.pledges.is_nomination() == statement.pledges.is_nomination();
                let last = self.said.iter().rev().find(same_kind);
                assert!(last.is_none_or(|last| statement.pledges.is_newer_than(&last.pledges)));
                assert!(statement.pledges.is_sane());
                let text = show_pledges(&statement.pledges);
                self.said.push(statement);
                std::format!("says {text}")
            }
            Output::SetTimer {
                kind,
                round,
                generation,
                ..
            } => {
                self.timers.insert(kind, generation);
                std::format!("sets timer {kind:?} {}", show_counter(round))
            }
            Output::CancelTimer { kind, .. } => {
                self.timers.remove(&kind);
                std::format!("cancels timer {kind:?}")
            }
            Output::Externalized {
                value, statements, ..
            } => {
                let set = &self.config.quorum_set;
                assert!(crate::finality::proves(SLOT, &value, &statements, set));
                let names: String = statements.iter().map(|s| char::from(s.node.0[0])).collect();
                std::format!("decides {} proven by {names}", name_of(value))
            }
            Output::NeedQuorumSet(_) => "needs a quorum set".to_string(),
            Output::Evidence(old, new) => std::format!(
                "accuses {}: {} and {}",
                char::from(old.node.0[0]),
                show_pledges(&old.pledges),
                show_pledges(&new.pledges)
            ),
            Output::Amnesia(statement) => std::format!("has forgotten {}", show_pledges(&statement.pledges)),
            Output::RecordRefused(_) => "refuses the record".to_string(),
        };
        writeln!(self.transcript, "    {line}").unwrap();
    }
}
