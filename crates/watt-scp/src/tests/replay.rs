//! Logs of inputs give the same outputs again, and the inspectors.

use super::network::differing_sets;
use crate::protocol::inspect::Verdict;
use crate::protocol::{Input, Output, Scp, TimerKind, Validity};
use crate::replay::{InvalidLog, Step};
use crate::statement::{Ballot, Pledges, Statement, Value};
use crate::testing::{Luck, Network, flat_sets, node_id};
use std::collections::BTreeMap;
use std::vec::Vec;
use watt_primitives::{BoundedVec, Hash, SlotIndex};

const SLOT: SlotIndex = SlotIndex(1);
const PREVIOUS: Value = Value(Hash([9; 32]));

fn value(n: u8) -> Value {
    Value(Hash([n; 32]))
}

/// A network with loss, a crash, late bodies and bodies given up, logged.
pub(super) fn logged_network(seed: u64) -> Network {
    let mut luck = Luck(seed);
    let mut network = Network::new(&differing_sets(), seed);
    network.log = Some(Vec::new());
    network.loss_percent = 15;
    network.members[2].crash_in = Some((u32::try_from(luck.below(4)).unwrap(), luck.percent(50)));
    for member in &mut network.members {
        member.oracle.fallbacks.insert(value(1), value(2));
        member.oracle.validity.insert(value(1), Validity::Structural);
    }
    for n in 0..7 {
        let (slot, value, previous) = (SLOT, value(1), PREVIOUS);
        network.input(
            n,
            Input::Nominate {
                slot,
                value,
                previous,
            },
        );
    }
    network.run(SLOT, 1);
    for n in 0..7 {
        let (slot, value) = (SLOT, value(1));
        if luck.percent(50) {
            network.input(n, Input::BodyTimeout { slot, value });
        }
    }
    network.run(SLOT, 1);
    for n in 0..7 {
        let (slot, value) = (SLOT, value(1));
        network.members[n].oracle.validity.clear();
        network.input(n, Input::ValidityChanged { slot, value });
    }
    assert!(network.run(SLOT, 200), "seed {seed}");
    assert_eq!(network.broken, None);
    for n in 0..7 {
        network.input(n, Input::Purge { below: SlotIndex(2) });
    }
    network
}

/// Every node's log, read back from its bytes, gives the same outputs bit for bit, restarts, body timeouts and changes of
/// validity included; without the network, the oracle or the timers that made it. Covers: A1.
#[test]
fn a_log_replays_bit_for_bit() {
    let mut kinds = [0; 2];
    for seed in 0..20 {
        let network = logged_network(seed);
        let mut nodes: BTreeMap<(usize, u32), Scp> = BTreeMap::new();
        for logged in network.log.iter().flatten() {
            let config = &network.members[logged.node].config;
            let node = nodes
                .entry((logged.node, logged.life))
                .or_insert_with(|| Scp::new(config.clone()));
            let step = Step::decode(&logged.step, logged.step.len()).unwrap();
            kinds[0] += usize::from(matches!(step.input().input(), Input::BodyTimeout { .. }));
            kinds[1] += usize::from(matches!(step.input().input(), Input::ValidityChanged { .. }));
            let mut out = Vec::new();
            assert_eq!(step.replay(node, &mut out), Ok(()));
            assert_eq!(out, logged.outputs);
        }
        assert!(nodes.keys().any(|(_, life)| *life > 0), "somebody crashed");
    }
    assert!(kinds.iter().all(|n| *n > 0), "{kinds:?}");
}

/// A log that was not this node's, or lacks a step, is noticed; bytes that are not canonical are refused. Covers: A1.
#[test]
fn a_log_that_does_not_fit_is_noticed() {
    let network = logged_network(1);
    let mut node = Scp::new(network.members[0].config.clone());
    let own = network.log.iter().flatten().filter(|logged| logged.node == 0);
    // Without its first step the node asks for what the missing step had asked already.
    let results: Vec<_> = own
        .skip(1)
        .map(|logged| {
            let step = Step::decode(&logged.step, logged.step.len()).unwrap();
            step.replay(&mut node, &mut Vec::new())
        })
        .collect();
    assert!(
        results
            .iter()
            .any(|result| matches!(result, Err(InvalidLog::OtherQuestion { .. })))
    );
    let mut bytes = network.log.iter().flatten().next().unwrap().step.clone();
    assert!(matches!(Step::decode(&bytes, 3), Err(InvalidLog::Encoding(_))));
    bytes.push(0);
    assert!(matches!(
        Step::decode(&bytes, bytes.len()),
        Err(InvalidLog::Encoding(_))
    ));
}

/// A harness can start and bump ballots with a value of its own choice, and look at what a node thinks. Covers: A1.
#[test]
fn a_harness_forces_ballots_and_looks_inside() {
    let sets = flat_sets(4);
    let mut network = Network::new(&sets, 1);
    let oracle = network.members[0].oracle.clone();
    let scp = network.members[0].scp.as_mut().unwrap();
    let mut out = Vec::new();
    scp.force_ballot(SLOT, value(1), &oracle, &mut out);
    let said = |out: &[Output]| match out.last() {
        Some(Output::Send(statement)) => statement.pledges.clone(),
        other => panic!("no statement: {other:?}"),
    };
    let prepare = |counter, n| Pledges::Prepare {
        ballot: Ballot {
            counter,
            value: value(n),
        },
        prepared: None,
        prepared_prime: None,
        c_counter: 0,
        h_counter: 0,
    };
    assert_eq!(said(&out), prepare(1, 1));
    scp.force_ballot(SLOT, value(2), &oracle, &mut out);
    assert_eq!(said(&out), prepare(2, 2));
    assert_eq!(scp.composite(SLOT), Some(value(2)));
    assert_eq!(scp.own(SLOT).count(), 1);
    assert_eq!(scp.leaders(SLOT), []);

    let says = |n, slot, pledges| Statement {
        node: node_id(n),
        slot,
        quorum_set: sets[0].hash(&crate::testing::NETWORK),
        pledges,
    };
    let newest = says(1, SLOT, prepare(2, 2));
    assert_eq!(scp.verdict(&newest), Verdict::Heard);
    let statements = [newest.clone(), says(2, SLOT, prepare(2, 2))];
    scp.step(
        Input::Receive {
            slot: SLOT,
            statements: &statements,
        },
        &oracle,
        &mut out,
    );
    assert_eq!(scp.verdict(&newest), Verdict::NotNewer);
    assert_eq!(scp.latest_of(SLOT, node_id(1)).collect::<Vec<_>>(), [&newest]);
    assert_eq!(scp.verdict(&says(2, SLOT, prepare(0, 1))), Verdict::NotSane);
    assert_eq!(scp.verdict(&says(0, SLOT, prepare(1, 1))), Verdict::Own);
    assert_eq!(scp.verdict(&says(9, SLOT, prepare(1, 1))), Verdict::UnknownNode);
    assert_eq!(scp.armed_timers(SLOT), [(TimerKind::Ballot, 2, 1)]);

    let (slot, value, previous) = (SLOT, value(3), PREVIOUS);
    scp.step(
        Input::Nominate {
            slot,
            value,
            previous,
        },
        &oracle,
        &mut out,
    );
    assert_eq!(scp.leaders(SLOT).len(), 1);
    assert_eq!(scp.armed_timers(SLOT).len(), 2);
    let nominate = Pledges::Nominate {
        votes: BoundedVec::new([value].to_vec()).unwrap(),
        accepted: BoundedVec::empty(),
    };
    assert_eq!(scp.verdict(&says(3, SLOT, nominate)), Verdict::Heard);
    scp.step(Input::Purge { below: SlotIndex(2) }, &oracle, &mut out);
    assert_eq!(scp.verdict(&newest), Verdict::SlotClosed);
    assert_eq!(scp.composite(SLOT), None);
}
