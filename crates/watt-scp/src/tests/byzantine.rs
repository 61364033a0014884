//! Networks with liars among them, each lie a type of its own: the correct nodes never fork, never say what is not durable,
//! and decide once the liars fall silent.

use super::network::{differing_sets, nested_sets};
use crate::protocol::Input;
use crate::quorum_set::QuorumSet;
use crate::statement::{Ballot, Pledges, Statement, Value};
use crate::testing::{NETWORK, Network, flat_sets, node_id};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::vec; // for prop_oneof!
use std::vec::Vec;
use watt_primitives::{BoundedVec, Hash, SlotIndex};

const SLOT: SlotIndex = SlotIndex(1);
const PREVIOUS: Value = Value(Hash([9; 32]));

/// What a Byzantine node does whenever it is its turn.
#[derive(Clone, Copy, Debug)]
enum Actor {
    /// Says what a correct node says to some, and the same for another value to the others.
    Equivocator,
    /// Follows the protocol's words, but declares that it needs nobody but itself.
    QuorumSetLiar,
    /// Tells each thing it knows to one node only.
    Withholder,
    /// Repeats what it, or anybody, said before, under its own name.
    Replayer,
    /// Claims to be far ahead.
    CounterInflater,
    /// Claims that everything is decided, each time for somebody else's value.
    Decider,
}

impl Actor {
    /// What the liar sends, having heard `heard`; each with its receiver.
    fn lies(self, liar: usize, heard: &[Statement], network: &mut Network) -> Vec<(usize, Statement)> {
        let n = network.members.len();
        let Some(model) = pick(heard, network) else {
            return Vec::new();
        };
        let hash = model.quorum_set;
        let says = |pledges: Pledges, quorum_set: Hash| Statement {
            node: node_id(liar),
            slot: SLOT,
            quorum_set,
            pledges,
        };
        let to_all = |statement: Statement| (0..n).map(|to| (to, statement.clone())).collect();
        let other = Value(Hash([u8::try_from(1 + network.luck.below(3)).unwrap(); 32]));
        match self {
            Self::Equivocator => {
                let split = network.luck.below(n);
                let one = says(model.pledges.clone(), hash);
                let two = says(with_value(&model.pledges, other), hash);
                (0..n)
                    .map(|to| (to, if to < split { one.clone() } else { two.clone() }))
                    .collect()
            }
            Self::QuorumSetLiar => {
                let alone = QuorumSet::flat(1, [node_id(liar)].to_vec());
                let name = alone.hash(&NETWORK);
                for member in &mut network.members {
                    member.oracle.quorum_sets.insert(name, alone.clone());
                }
                to_all(says(with_value(&model.pledges, other), name))
            }
            Self::Withholder => vec![(network.luck.below(n), says(model.pledges.clone(), hash))],
            Self::Replayer => to_all(says(heard[network.luck.below(heard.len())].pledges.clone(), hash)),
            Self::CounterInflater => {
                let counter = [u32::MAX, u32::MAX - 1, 1000][network.luck.below(3)];
                let ballot = Ballot {
                    counter,
                    value: other,
                };
                to_all(says(
                    Pledges::Prepare {
                        ballot,
                        prepared: Some(ballot),
                        prepared_prime: None,
                        c_counter: counter,
                        h_counter: counter,
                    },
                    hash,
                ))
            }
            Self::Decider => {
                let commit = Ballot {
                    counter: 1,
                    value: other,
                };
                to_all(says(Pledges::Externalize { commit, h_counter: 1 }, hash))
            }
        }
    }
}

fn pick(heard: &[Statement], network: &mut Network) -> Option<Statement> {
    let position = network.luck.below(heard.len());
    heard.get(position).cloned()
}

/// The same words about another value.
fn with_value(pledges: &Pledges, value: Value) -> Pledges {
    let of = |ballot: &Ballot| Ballot {
        counter: ballot.counter,
        value,
    };
    match pledges {
        Pledges::Nominate { accepted, .. } => {
            let one = BoundedVec::new([value].to_vec()).unwrap();
            Pledges::Nominate {
                accepted: if accepted.is_empty() {
                    BoundedVec::empty()
                } else {
                    one.clone()
                },
                votes: one,
            }
        }
        Pledges::Prepare {
            ballot,
            prepared,
            c_counter,
            h_counter,
            prepared_prime: _,
        } => Pledges::Prepare {
            ballot: of(ballot),
            prepared: prepared.as_ref().map(of),
            prepared_prime: None,
            c_counter: *c_counter,
            h_counter: *h_counter,
        },
        Pledges::Confirm {
            ballot,
            prepared_counter,
            c_counter,
            h_counter,
        } => Pledges::Confirm {
            ballot: of(ballot),
            prepared_counter: *prepared_counter,
            c_counter: *c_counter,
            h_counter: *h_counter,
        },
        Pledges::Externalize { commit, h_counter } => Pledges::Externalize {
            commit: of(commit),
            h_counter: *h_counter,
        },
    }
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        Just(Actor::Equivocator),
        Just(Actor::QuorumSetLiar),
        Just(Actor::Withholder),
        Just(Actor::Replayer),
        Just(Actor::CounterInflater),
        Just(Actor::Decider),
    ]
}

/// Networks, each with as many liars as its quorum sets tolerate.
fn network() -> impl Strategy<Value = (Vec<QuorumSet>, Vec<usize>)> {
    prop_oneof![
        Just((flat_sets(4), vec![3])),
        Just((flat_sets(7), vec![2, 5])),
        // Three of {three groups of which two of three, node 9}: one member of a group, in two groups.
        Just((nested_sets(), vec![2, 4])),
        Just((differing_sets(), vec![1, 6])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        ..ProptestConfig::default()
    })]

    /// Liars of every kind, alone or together, with loss and a crash: agreement at any time, nothing said before it is
    /// durable, and a decision by all correct nodes once the liars have fallen silent. Covers: A1, A2.
    #[test]
    fn liars_cannot_fork_the_others_nor_stop_them_for_good(
        (sets, liars) in network(),
        actors in proptest::collection::vec(actor(), 2),
        seed in any::<u64>(),
        n_turns in 0usize..40,
        loss in 0usize..30,
        crash in proptest::option::of((0u32..4, any::<bool>())),
    ) {
        let mut network = Network::new(&sets, seed);
        network.loss_percent = loss;
        for liar in &liars {
            network.members[*liar].is_silent = true;
        }
        network.members[0].crash_in = crash;
        for n in (0..sets.len()).filter(|n| !liars.contains(n)) {
            let value = Value(Hash([u8::try_from(n % 3 + 1).unwrap(); 32]));
            network.input(n, Input::Nominate { slot: SLOT, value, previous: PREVIOUS });
        }
        for _ in 0..n_turns {
            network.deliver(network.luck.clone().below(12));
            if network.luck.percent(20) {
                network.restart_crashed();
                network.resend();
                network.fire_timers();
            }
            let heard: Vec<Statement> = network.members.iter().flat_map(|member| member.sent.clone()).collect();
            for (liar, actor) in liars.iter().zip(&actors) {
                for (to, statement) in actor.lies(*liar, &heard, &mut network) {
                    if !liars.contains(&to) {
                        network.in_flight.push((to, statement));
                    }
                }
            }
            prop_assert!(network.agreed(SLOT).is_ok(), "fork: {:?}", network.agreed(SLOT));
        }
        let is_decided = network.run(SLOT, 400);
        prop_assert_eq!(network.broken.clone(), None);
        prop_assert!(network.agreed(SLOT).is_ok(), "fork: {:?}", network.agreed(SLOT));
        prop_assert!(is_decided, "halted");
    }
}
