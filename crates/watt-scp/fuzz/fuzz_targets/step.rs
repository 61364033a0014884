//! Bytes as a log of inputs, for the protocol and its naive twin at once: no panic, no broken invariant, the same outputs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watt_primitives::{BoundedVec, Hash, SlotIndex};
use watt_scp::naive::Naive;
use watt_scp::testing::{MapOracle, NETWORK, node_id};
use watt_scp::{
    Ballot, Config, Input, Output, Pledges, QuorumSet, Record, Scp, Statement, TimerKind, Validity, Value,
};

const SLOT: SlotIndex = SlotIndex(1);

fn value(n: u8) -> Value {
    Value(Hash([n % 5; 32]))
}

/// The rest of the input; zeros when it has run out.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn counter(&mut self) -> u32 {
        match self.next() {
            255 => u32::MAX,
            254 => u32::MAX - 1,
            n => u32::from(n % 6),
        }
    }

    fn ballot(&mut self) -> Ballot {
        Ballot {
            counter: self.counter(),
            value: value(self.next()),
        }
    }

    fn values(&mut self) -> BoundedVec<Value, 32> {
        let bits = self.next();
        BoundedVec::new((0..5).filter(|n| (bits >> n) & 1 == 1).map(value).collect()).unwrap_or_default()
    }

    fn pledges(&mut self) -> Pledges {
        match self.next() % 8 {
            0 | 1 => Pledges::Nominate {
                votes: self.values(),
                accepted: self.values(),
            },
            2..=5 => {
                let has = self.next();
                Pledges::Prepare {
                    ballot: self.ballot(),
                    prepared: (has & 1 != 0).then(|| self.ballot()),
                    prepared_prime: (has & 2 != 0).then(|| self.ballot()),
                    c_counter: self.counter(),
                    h_counter: self.counter(),
                }
            }
            6 => Pledges::Confirm {
                ballot: self.ballot(),
                prepared_counter: self.counter(),
                c_counter: self.counter(),
                h_counter: self.counter(),
            },
            _ => Pledges::Externalize {
                commit: self.ballot(),
                h_counter: self.counter(),
            },
        }
    }
}

fn set(shape: u8) -> QuorumSet {
    let flat = |threshold: u8, from: usize, to: usize| {
        QuorumSet::flat(u32::from(threshold), (from..to).map(node_id).collect())
    };
    match shape % 6 {
        0 => flat(3, 0, 4),
        1 => flat(4, 0, 6),
        2 => flat(1, 5, 6),
        3 => flat(9, 0, 4),
        shape => QuorumSet {
            inner: BoundedVec::new([flat(2, 2, 5), flat(1, 5, 7)].to_vec()).unwrap_or_default(),
            ..flat(shape - 2, 0, 2)
        },
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let config = Config {
        node: node_id(0),
        network: NETWORK,
        quorum_set: set(bytes.next()),
        votes: bytes.next() != 1,
    };
    let mut oracle = MapOracle::default();
    for shape in 0..6 {
        let set = set(shape);
        oracle.quorum_sets.insert(set.hash(&NETWORK), set);
    }
    oracle.fallbacks.insert(value(0), value(3));
    oracle.fallbacks.insert(value(4), value(1));
    oracle.validity.insert(value(bytes.next()), Validity::Structural);
    let (mut scp, mut naive) = (Scp::new(config.clone()), Naive::new(config.clone()));
    let mut journal: Option<Record> = None;
    let mut timers = [None; 2];
    while !bytes.0.is_empty() {
        let statements: Vec<Statement>;
        let record;
        let input = match bytes.next() % 16 {
            0 => Input::Nominate {
                slot: SLOT,
                value: value(bytes.next()),
                previous: value(2),
            },
            1 | 2 => {
                let kind = if bytes.next() % 2 == 0 {
                    TimerKind::Ballot
                } else {
                    TimerKind::Nomination
                };
                let generation = timers[kind as usize].unwrap_or(0);
                Input::Timer {
                    slot: SLOT,
                    kind,
                    generation,
                }
            }
            3 => {
                let value = value(bytes.next());
                oracle.validity.remove(&value);
                Input::ValidityChanged { slot: SLOT, value }
            }
            4 => Input::BodyTimeout {
                slot: SLOT,
                value: value(bytes.next()),
            },
            5 => {
                (scp, naive) = (Scp::new(config.clone()), Naive::new(config.clone()));
                timers = [None; 2];
                let Some(kept) = journal.clone() else { continue };
                record = kept;
                Input::Restore(&record)
            }
            _ => {
                let speakers = bytes.next();
                let quorum_set = set(bytes.next()).hash(&NETWORK);
                let pledges = bytes.pledges();
                statements = (0..8)
                    .filter(|n| (speakers >> n) & 1 == 1)
                    .map(|n| Statement {
                        node: node_id(n),
                        slot: SLOT,
                        quorum_set,
                        pledges: pledges.clone(),
                    })
                    .collect();
                Input::Receive {
                    slot: SLOT,
                    statements: &statements,
                }
            }
        };
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        scp.step(input.clone(), &oracle, &mut ours);
        naive.step(input, &oracle, &mut plain);
        assert_eq!(ours, plain);
        assert_eq!(scp.check_invariants(), Ok(()));
        for output in ours {
            match output {
                Output::Persist(record) => journal = Some(record),
                Output::SetTimer { kind, generation, .. } => timers[kind as usize] = Some(generation),
                Output::CancelTimer { kind, .. } => timers[kind as usize] = None,
                _ => {}
            }
        }
    }
});
