//! Slots per second: a network in one thread that decides slot after slot, with either implementation.

use super::{MapOracle, NETWORK, flat_sets, node_id};
use crate::naive::Naive;
use crate::protocol::{Config, Input, Output, Scp, TimerKind};
use crate::statement::{Statement, Value};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use watt_primitives::{Hash, SlotIndex};

/// What a throughput run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throughput {
    /// Slots that every node decided alike.
    pub n_slots: u64,
    /// Statements given to a node.
    pub n_deliveries: u64,
    /// Times timers had to be fired because nothing was in flight.
    pub n_silences: u64,
}

/// One implementation of the protocol.
pub trait Protocol {
    /// A node that has said nothing yet.
    fn begin(config: Config) -> Self;
    /// As [`Scp::step`].
    fn take(&mut self, input: Input<'_>, oracle: &MapOracle, out: &mut Vec<Output>);
    /// As [`Scp::externalized`].
    fn decided(&self, slot: SlotIndex) -> Option<Value>;
}

impl Protocol for Scp {
    fn begin(config: Config) -> Self {
        Self::new(config)
    }

    fn take(&mut self, input: Input<'_>, oracle: &MapOracle, out: &mut Vec<Output>) {
        self.step(input, oracle, out);
    }

    fn decided(&self, slot: SlotIndex) -> Option<Value> {
        self.externalized(slot)
    }
}

impl Protocol for Naive {
    fn begin(config: Config) -> Self {
        Self::new(config)
    }

    fn take(&mut self, input: Input<'_>, oracle: &MapOracle, out: &mut Vec<Output>) {
        self.step(input, oracle, out);
    }

    fn decided(&self, slot: SlotIndex) -> Option<Value> {
        self.externalized(slot)
    }
}

/// Decides `n_slots` slots with `n` nodes in one thread: full mesh, one statement at a time in the order of sending, flat
/// threshold, no signatures, no journal; timers fire only when nothing is in flight.
#[must_use]
pub fn throughput<P: Protocol>(n: usize, n_slots: u64) -> Throughput {
    let sets = flat_sets(n);
    let mut oracle = MapOracle::default();
    let mut nodes = Vec::new();
    for (position, set) in sets.into_iter().enumerate() {
        if position == 0 {
            oracle.quorum_sets.insert(set.hash(&NETWORK), set.clone());
        }
        nodes.push(P::begin(Config {
            node: node_id(position),
            network: NETWORK,
            quorum_set: set,
            votes: true,
        }));
    }
    let mut done = Throughput::default();
    let mut previous = Value(Hash::ZERO);
    for slot in (1..=n_slots).map(SlotIndex) {
        let Some(value) = run_slot(&mut nodes, &oracle, slot, previous, &mut done) else {
            return done;
        };
        done.n_slots = done.n_slots.saturating_add(1);
        previous = value;
    }
    done
}

fn run_slot<P: Protocol>(
    nodes: &mut [P],
    oracle: &MapOracle,
    slot: SlotIndex,
    previous: Value,
    done: &mut Throughput,
) -> Option<Value> {
    let mut queue: VecDeque<(usize, Statement)> = VecDeque::new();
    let mut timers: BTreeMap<(usize, TimerKind), u64> = BTreeMap::new();
    let mut out = Vec::new();
    for (n, node) in nodes.iter_mut().enumerate() {
        let mut value = previous;
        for (to, from) in value
            .0
            .0
            .iter_mut()
            .zip(slot.0.to_be_bytes().iter().chain(&node_id(n).0))
        {
            *to ^= *from;
        }
        node.take(
            Input::Purge {
                below: SlotIndex(slot.0.saturating_sub(2)),
            },
            oracle,
            &mut out,
        );
        node.take(
            Input::Nominate {
                slot,
                value,
                previous,
            },
            oracle,
            &mut out,
        );
        collect(n, &mut out, &mut queue, &mut timers);
    }
    loop {
        while let Some((from, statement)) = queue.pop_front() {
            for (to, node) in nodes.iter_mut().enumerate() {
                if to == from {
                    continue;
                }
                let statements = core::slice::from_ref(&statement);
                node.take(Input::Receive { slot, statements }, oracle, &mut out);
                done.n_deliveries = done.n_deliveries.saturating_add(1);
                if !out.is_empty() {
                    collect(to, &mut out, &mut queue, &mut timers);
                }
            }
        }
        let first = nodes.first().and_then(|node| node.decided(slot));
        if first.is_some() && nodes.iter().all(|node| node.decided(slot) == first) {
            return first;
        }
        if timers.is_empty() {
            return None;
        }
        done.n_silences = done.n_silences.saturating_add(1);
        for ((n, kind), generation) in core::mem::take(&mut timers) {
            let input = Input::Timer {
                slot,
                kind,
                generation,
            };
            if let Some(node) = nodes.get_mut(n) {
                node.take(input, oracle, &mut out);
                collect(n, &mut out, &mut queue, &mut timers);
            }
        }
    }
}

fn collect(
    n: usize,
    out: &mut Vec<Output>,
    queue: &mut VecDeque<(usize, Statement)>,
    timers: &mut BTreeMap<(usize, TimerKind), u64>,
) {
    for output in out.drain(..) {
        match output {
            Output::Send(statement) => queue.push_back((n, statement)),
            Output::SetTimer { kind, generation, .. } => {
                timers.insert((n, kind), generation);
            }
            Output::CancelTimer { kind, .. } => {
                timers.remove(&(n, kind));
            }
            Output::Persist(_)
            | Output::Externalized { .. }
            | Output::NeedQuorumSet(_)
            | Output::Evidence(_, _)
            | Output::Amnesia(_)
            | Output::RecordRefused(_) => {}
        }
    }
}
