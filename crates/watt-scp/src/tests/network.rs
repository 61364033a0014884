//! Whole networks: agreement and an end, under loss, silence, crashes and lies.

use crate::naive::Naive;
use crate::protocol::{Input, Record, Scp, Validity};
use crate::quorum_set::QuorumSet;
use crate::statement::{Ballot, Pledges, Statement, Value};
use crate::testing::{Luck, Network, flat_sets, node_id, throughput};
use proptest::prelude::*;
use std::vec::Vec;
use watt_primitives::{BoundedVec, Hash, SlotIndex};

const SLOT: SlotIndex = SlotIndex(1);
const PREVIOUS: Value = Value(Hash([9; 32]));

/// Two organisations' worth of trouble: three groups of three, two of each group, two groups.
pub(super) fn nested_sets() -> Vec<QuorumSet> {
    let group = |from: usize| QuorumSet::flat(2, (from..from + 3).map(node_id).collect());
    let set = QuorumSet {
        threshold: 3,
        nodes: BoundedVec::new([node_id(9)].to_vec()).unwrap(),
        inner: BoundedVec::new([group(0), group(3), group(6)].to_vec()).unwrap(),
    };
    std::vec![set; 10]
}

/// Nodes 0..4 need 3 of themselves; nodes 4..7 need those and one of the three of their own.
pub(super) fn differing_sets() -> Vec<QuorumSet> {
    let backbone = QuorumSet::flat(3, (0..4).map(node_id).collect());
    let circle = QuorumSet::flat(1, (4..7).map(node_id).collect());
    let leaf = QuorumSet {
        threshold: 2,
        nodes: BoundedVec::empty(),
        inner: BoundedVec::new([backbone.clone(), circle].to_vec()).unwrap(),
    };
    (0..7)
        .map(|n| if n < 4 { backbone.clone() } else { leaf.clone() })
        .collect()
}

fn assert_kept(network: &Network) {
    assert_eq!(network.broken, None);
    network.agreed(SLOT).expect("no fork");
}

/// With everybody there, every order of delivery ends in agreement. Covers: A1, A2.
#[test]
fn all_orders_of_delivery_agree() {
    for sets in [
        flat_sets(1),
        flat_sets(4),
        flat_sets(7),
        nested_sets(),
        differing_sets(),
    ] {
        for seed in 0..30 {
            let mut network = Network::new(&sets, seed);
            network.nominate_all(SLOT, PREVIOUS);
            assert!(network.run(SLOT, 50), "{} nodes, seed {seed}", sets.len());
            assert_kept(&network);
        }
    }
}

/// A third of the statements lost and a silent minority stop nobody. Covers: A1.
#[test]
fn loss_and_a_silent_minority_do_not_stop_the_others() {
    for (sets, silent) in [
        (flat_sets(4), std::vec![2]),
        (flat_sets(7), std::vec![1, 5]),
        (nested_sets(), std::vec![0, 1, 2]),
        (differing_sets(), std::vec![3, 6]),
    ] {
        for seed in 0..20 {
            let mut network = Network::new(&sets, seed);
            network.loss_percent = 33;
            for n in &silent {
                network.members[*n].is_silent = true;
            }
            network.nominate_all(SLOT, PREVIOUS);
            assert!(network.run(SLOT, 300), "{} nodes, seed {seed}", sets.len());
            assert_kept(&network);
        }
    }
}

/// With more than a minority silent nothing is decided, and nothing is decided wrongly. Covers: A1.
#[test]
fn without_a_quorum_nothing_is_decided() {
    let mut network = Network::new(&flat_sets(4), 3);
    network.members[0].is_silent = true;
    network.members[1].is_silent = true;
    network.nominate_all(SLOT, PREVIOUS);
    assert!(!network.run(SLOT, 20));
    assert_eq!(network.agreed(SLOT), Ok(None));
    assert_kept(&network);
}

/// A node that crashes at any of its persists, before or after the record is durable, comes back without contradicting
/// itself, and the network agrees; also when two crash again and again. Covers: A1.
#[test]
fn crashes_at_every_persist_are_survived() {
    for sets in [flat_sets(4), flat_sets(7)] {
        for at in 0..10 {
            for is_before in [true, false] {
                let mut network = Network::new(&sets, u64::from(at));
                network.members[0].crash_in = Some((at, is_before));
                network.nominate_all(SLOT, PREVIOUS);
                assert!(network.run(SLOT, 100), "crash at {at}, before: {is_before}");
                assert_kept(&network);
            }
        }
    }
    for seed in 0..20 {
        let mut network = Network::new(&flat_sets(4), seed);
        network.loss_percent = 20;
        network.nominate_all(SLOT, PREVIOUS);
        for _ in 0..10 {
            let at = u32::try_from(network.luck.below(3)).unwrap();
            let is_before = network.luck.percent(50);
            let n = network.luck.below(4);
            network.members[n].crash_in = Some((at, is_before));
            if network.run(SLOT, 1) {
                break;
            }
        }
        assert!(network.run(SLOT, 300), "seed {seed}");
        assert_kept(&network);
    }
}

/// A leader's body reaches only some: all end at the value or all at its fallback, never split. Covers: A1.
#[test]
fn a_body_that_reaches_only_some_does_not_split_or_stop_the_network() {
    for n in [4, 7] {
        for seed in 0..40 {
            let mut luck = Luck(seed);
            let mut network = Network::new(&flat_sets(n), seed);
            let proposal = Value(Hash([1; 32]));
            let fallback = Value(Hash([2; 32]));
            let mut without = Vec::new();
            for (position, member) in network.members.iter_mut().enumerate() {
                member.oracle.fallbacks.insert(proposal, fallback);
                if luck.percent(50) {
                    member.oracle.validity.insert(proposal, Validity::Structural);
                    without.push(position);
                }
            }
            for position in 0..n {
                network.input(
                    position,
                    Input::Nominate {
                        slot: SLOT,
                        value: proposal,
                        previous: PREVIOUS,
                    },
                );
            }
            // The body is late for some of them and then comes to all, as it does while one honest node has it.
            network.run(SLOT, 1);
            for position in &without {
                let (slot, value) = (SLOT, proposal);
                network.input(*position, Input::BodyTimeout { slot, value });
            }
            network.run(SLOT, 2);
            if without.len() < n {
                for position in &without {
                    network.members[*position].oracle.validity.clear();
                    let (slot, value) = (SLOT, proposal);
                    network.input(*position, Input::ValidityChanged { slot, value });
                }
            }
            assert!(network.run(SLOT, 100), "n={n} seed {seed}, without: {without:?}");
            assert_kept(&network);
        }
    }
}

/// A body that applies nowhere is never decided. Covers: A1, A5.
#[test]
fn a_poison_body_ends_in_the_fallback() {
    for seed in 0..20 {
        let mut network = Network::new(&flat_sets(4), seed);
        let proposal = Value(Hash([1; 32]));
        let fallback = Value(Hash([2; 32]));
        for member in &mut network.members {
            member.oracle.fallbacks.insert(proposal, fallback);
            member.oracle.validity.insert(proposal, Validity::Structural);
        }
        for n in 0..4 {
            let (slot, value, previous) = (SLOT, proposal, PREVIOUS);
            network.input(
                n,
                Input::Nominate {
                    slot,
                    value,
                    previous,
                },
            );
        }
        network.deliver_all();
        for n in 0..4 {
            network.members[n]
                .oracle
                .validity
                .insert(proposal, Validity::Invalid);
            let (slot, value) = (SLOT, proposal);
            network.input(n, Input::ValidityChanged { slot, value });
        }
        assert!(network.run(SLOT, 100), "seed {seed}");
        assert_eq!(network.agreed(SLOT), Ok(Some(fallback)));
        assert_kept(&network);
    }
}

/// The benchmark's network decides every slot without waiting for a timer more often than leaders are missed. Covers: A1.
#[test]
fn the_benchmark_network_decides_every_slot() {
    let done = throughput::<Scp>(4, 50);
    assert_eq!(done.n_slots, 50);
    assert_eq!(done.n_silences, 0);
    let plain = throughput::<Naive>(4, 5);
    assert_eq!(plain.n_slots, 5);
    assert_eq!(plain.n_deliveries, throughput::<Scp>(4, 5).n_deliveries);
}

/// What one lie says: any sane statement over few values and counters.
fn lie() -> impl Strategy<Value = Pledges> {
    let value = || (0u8..3).prop_map(|n| Value(Hash([n + 1; 32])));
    let ballot = move || (1u32..5, value()).prop_map(|(counter, value)| Ballot { counter, value });
    let nominate = (proptest::collection::btree_set(value(), 1..4), 0usize..4).prop_map(|(votes, n)| {
        let votes: Vec<Value> = votes.into_iter().collect();
        Pledges::Nominate {
            accepted: BoundedVec::new(votes.iter().copied().take(n).collect()).unwrap(),
            votes: BoundedVec::new(votes).unwrap(),
        }
    });
    let prepare = (
        ballot(),
        proptest::option::of(ballot()),
        proptest::option::of(ballot()),
        0u32..5,
        0u32..5,
    )
        .prop_map(
            |(ballot, prepared, prepared_prime, c_counter, h_counter)| Pledges::Prepare {
                ballot,
                prepared,
                prepared_prime,
                c_counter,
                h_counter,
            },
        );
    let confirm = (ballot(), 0u32..5, 1u32..5, 1u32..5).prop_map(|(ballot, p, c_counter, h_counter)| {
        Pledges::Confirm {
            ballot,
            prepared_counter: p,
            c_counter,
            h_counter,
        }
    });
    let externalize =
        (ballot(), 1u32..6).prop_map(|(commit, h_counter)| Pledges::Externalize { commit, h_counter });
    prop_oneof![nominate, prepare, confirm, externalize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// One liar among four, saying different things to different nodes at any time, brings about no fork, no broken rule,
    /// and no lasting halt. Covers: A1.
    #[test]
    fn an_equivocating_minority_cannot_fork_or_stop_the_others(
        seed in any::<u64>(),
        lies in proptest::collection::vec((lie(), 0usize..3, 0usize..60), 0..60),
        loss in 0usize..30,
    ) {
        let sets = flat_sets(4);
        let mut network = Network::new(&sets, seed);
        network.members[3].is_silent = true;
        network.loss_percent = loss;
        for n in 0..3u8 {
            let value = Value(Hash([n + 1; 32]));
            network.input(usize::from(n), Input::Nominate { slot: SLOT, value, previous: PREVIOUS });
        }
        let hash = sets[0].hash(&crate::testing::NETWORK);
        for (pledges, to, n_deliveries) in lies {
            for _ in 0..n_deliveries.min(network.in_flight.len()) {
                let position = network.luck.below(network.in_flight.len());
                let (to, statement) = network.in_flight.swap_remove(position);
                if to != 3 {
                    network.input(to, Input::Receive { slot: SLOT, statements: &[statement] });
                }
                if network.in_flight.is_empty() {
                    break;
                }
            }
            let statement = Statement { node: node_id(3), slot: SLOT, quorum_set: hash, pledges };
            network.input(to, Input::Receive { slot: SLOT, statements: &[statement] });
        }
        let is_decided = network.run(SLOT, 400);
        prop_assert_eq!(network.broken.clone(), None);
        prop_assert!(network.agreed(SLOT).is_ok(), "fork: {:?}", network.agreed(SLOT));
        prop_assert!(is_decided, "halted");
    }

    /// Any statements at all from everybody, in any order, break no invariant and make no insane statement. Covers: A1.
    #[test]
    fn no_input_breaks_a_node(
        lies in proptest::collection::vec((lie(), 1usize..6, 0usize..3), 0..80),
    ) {
        let sets = flat_sets(6);
        let mut network = Network::new(&sets, 1);
        let hash = sets[0].hash(&crate::testing::NETWORK);
        let value = Value(Hash([1; 32]));
        network.input(0, Input::Nominate { slot: SLOT, value, previous: PREVIOUS });
        for (pledges, from, event) in lies {
            let statement = Statement { node: node_id(from), slot: SLOT, quorum_set: hash, pledges };
            network.input(0, Input::Receive { slot: SLOT, statements: &[statement] });
            match event {
                1 => network.fire_timers(),
                2 => network.input(0, Input::BodyTimeout { slot: SLOT, value }),
                _ => {}
            }
        }
        prop_assert_eq!(network.broken.clone(), None);
    }
}

/// Two of four nodes lose their newest record of one slot: they notice, and the slot stands still rather than hear them
/// contradict themselves. Given back what the others hold of their own, they go on and all agree. Covers: A1.
#[test]
fn a_slot_that_two_have_forgotten_waits_until_they_are_told() {
    for seed in 0..20 {
        let mut network = Network::new(&flat_sets(4), seed);
        network.nominate_all(SLOT, PREVIOUS);
        // Until one of them has voted to commit, its newest word is held by others.
        while network.members[0]
            .journal
            .get(&SLOT)
            .is_none_or(|record| record.ballot.is_none())
        {
            network.deliver(1);
        }
        network.deliver(4);
        let held = |network: &Network, of: usize| -> Vec<Statement> {
            let others = network.members.iter().filter_map(|member| member.scp.as_ref());
            let said = others.flat_map(|scp| scp.latest_of(SLOT, node_id(of)).cloned().collect::<Vec<_>>());
            said.collect()
        };
        network.in_flight.clear();
        network.resend();
        for n in [0, 1] {
            network.members[n].is_silent = true;
        }
        network.deliver_all();
        let newest = |network: &Network, n: usize| {
            network.members[n]
                .scp
                .as_ref()
                .unwrap()
                .own(SLOT)
                .cloned()
                .collect()
        };
        let lost: [Vec<Statement>; 2] = [newest(&network, 0), newest(&network, 1)];
        for n in [0, 1] {
            network.members[n].is_silent = false;
            network.members[n].journal.clear();
            network.members[n].sent.clear();
            network.members[n].scp = None;
        }
        network.restart_crashed();
        for (n, statements) in lost.iter().enumerate() {
            let (slot, known) = (SLOT, held(&network, n));
            assert!(
                statements.iter().all(|said| known.contains(said)),
                "others hold it"
            );
            network.input(n, Input::Receive { slot, statements });
        }
        let told = network.broken.take();
        assert_eq!(
            told.as_deref(),
            Some("a node with its journal was told that it forgot")
        );
        assert!(!network.run(SLOT, 20), "seed {seed}: the slot waits");
        assert_eq!(network.broken, None);
        for (n, statements) in lost.iter().enumerate() {
            let of_kind = |is_nomination: bool| {
                let mut said = statements.iter();
                said.find(|said| said.pledges.is_nomination() == is_nomination)
                    .cloned()
            };
            let ballot = of_kind(false);
            let record = Record {
                slot: SLOT,
                nomination: of_kind(true),
                value_lock: None,
                ballot,
                round: 1,
                is_nominating: true,
            };
            network.members[n].journal.insert(SLOT, record.clone());
            network.members[n].sent.extend(statements.iter().cloned());
            network.input(n, Input::Restore(&record));
        }
        assert!(network.run(SLOT, 100), "seed {seed}: told, they go on");
        assert_kept(&network);
    }
}
