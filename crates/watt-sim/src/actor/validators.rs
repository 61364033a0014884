//! Validators that misbehave.

use super::Actor;
use std::collections::BTreeMap;
use watt_engine::message::Message;
use watt_light::SignedProposal;
use watt_light::proposal::empty_value;
use watt_primitives::{BoundedVec, Hash, NetworkId, NodeId, SecretKey, SlotIndex};
use watt_scp::{Ballot, Envelope, Pledges, Statement, Value};

/// An own statement in a message, if it is one.
fn own_statement(node: &NodeId, message: &[u8]) -> Option<(Envelope, Vec<SignedProposal>)> {
    if !message
        .get(2..)
        .is_some_and(|rest| rest.starts_with(b"statement"))
    {
        return None;
    }
    match Message::decode(message) {
        Ok(Message::Statement { envelope, proposals }) if envelope.statement.node == *node => {
            Some((*envelope, proposals.into_inner()))
        }
        Ok(_) | Err(_) => None,
    }
}

fn said(
    statement: Statement,
    proposals: Vec<SignedProposal>,
    key: &SecretKey,
    network: &NetworkId,
) -> Vec<u8> {
    Message::Statement {
        envelope: Box::new(Envelope::sign(statement, key, network)),
        proposals: BoundedVec::new(proposals).unwrap_or_default(),
    }
    .encode()
}

/// Takes part in nothing: no own statement, no proposal leaves it.
pub struct SilentValidator {
    node: NodeId,
}

impl SilentValidator {
    /// The validator with this name.
    #[must_use]
    pub const fn new(node: NodeId) -> Self {
        Self { node }
    }
}

impl Actor for SilentValidator {
    fn name(&self) -> &'static str {
        "silent-validator"
    }

    fn outgoing(&mut self, _: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        if own_statement(&self.node, &message).is_some() {
            Vec::new()
        } else {
            vec![message]
        }
    }
}

/// Declares quorum sets that are not the network's, another to everyone.
pub struct QuorumLiar {
    key: SecretKey,
    network: NetworkId,
}

impl QuorumLiar {
    /// The validator with this key.
    #[must_use]
    pub const fn new(key: SecretKey, network: NetworkId) -> Self {
        Self { key, network }
    }
}

impl Actor for QuorumLiar {
    fn name(&self) -> &'static str {
        "quorum-liar"
    }

    fn outgoing(&mut self, to: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        let Some((envelope, proposals)) = own_statement(&self.key.node_id(), &message) else {
            return vec![message];
        };
        let mut statement = envelope.statement;
        statement.quorum_set = Hash::of_content(&to.to_le_bytes());
        vec![said(statement, proposals, &self.key, &self.network)]
    }
}

/// Proposes two blocks in each slot, and tells every other peer that it is for the second one, in every statement.
pub struct Equivocator {
    key: SecretKey,
    network: NetworkId,
    /// The second proposal beside the first, by the first one's value.
    twins: BTreeMap<Value, SignedProposal>,
    slot: SlotIndex,
}

impl Equivocator {
    /// The validator with this key.
    #[must_use]
    pub const fn new(key: SecretKey, network: NetworkId) -> Self {
        Self {
            key,
            network,
            twins: BTreeMap::new(),
            slot: SlotIndex(0),
        }
    }

    /// Makes a second proposal that differs in its close time.
    fn learn(&mut self, slot: SlotIndex, proposals: &[SignedProposal]) {
        if slot > self.slot {
            self.twins.clear();
            self.slot = slot;
        }
        for signed in proposals {
            if signed.proposal.proposer == self.key.node_id() {
                let mut twin = signed.proposal.clone();
                twin.close_time = twin.close_time.next();
                let twin = twin.sign(&self.key);
                self.twins.entry(signed.proposal.value()).or_insert(twin);
            }
        }
    }

    /// The other face of a value: the second proposal in place of the first, or the fallback in place of anybody else's.
    fn other(&self, value: Value) -> Value {
        match self.twins.get(&value) {
            Some(twin) => twin.proposal.value(),
            None => empty_value(&self.network, &value),
        }
    }

    fn other_list<const MAX: usize>(&self, values: &BoundedVec<Value, MAX>) -> BoundedVec<Value, MAX> {
        let mut others: Vec<Value> = values.iter().map(|value| self.other(*value)).collect();
        others.sort_unstable();
        others.dedup();
        BoundedVec::new(others).unwrap_or_default()
    }

    fn other_pledges(&self, pledges: &Pledges) -> Pledges {
        let turned = |ballot: Ballot| Ballot {
            value: self.other(ballot.value),
            ..ballot
        };
        match pledges.clone() {
            Pledges::Nominate { votes, accepted } => Pledges::Nominate {
                votes: self.other_list(&votes),
                accepted: self.other_list(&accepted),
            },
            Pledges::Prepare {
                ballot,
                prepared,
                c_counter,
                h_counter,
                ..
            } => Pledges::Prepare {
                ballot: turned(ballot),
                prepared: prepared.map(turned),
                prepared_prime: None,
                c_counter,
                h_counter,
            },
            Pledges::Confirm {
                ballot,
                prepared_counter,
                c_counter,
                h_counter,
            } => Pledges::Confirm {
                ballot: turned(ballot),
                prepared_counter,
                c_counter,
                h_counter,
            },
            Pledges::Externalize { commit, h_counter } => Pledges::Externalize {
                commit: turned(commit),
                h_counter,
            },
        }
    }
}

impl Actor for Equivocator {
    fn name(&self) -> &'static str {
        "equivocator"
    }

    fn outgoing(&mut self, to: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        let Some((envelope, mut proposals)) = own_statement(&self.key.node_id(), &message) else {
            return vec![message];
        };
        self.learn(envelope.statement.slot, &proposals);
        if to.is_multiple_of(2) {
            return vec![message];
        }
        let statement = Statement {
            pledges: self.other_pledges(&envelope.statement.pledges),
            ..envelope.statement
        };
        proposals = proposals
            .into_iter()
            .map(|signed| {
                self.twins
                    .get(&signed.proposal.value())
                    .cloned()
                    .unwrap_or(signed)
            })
            .collect();
        vec![said(statement, proposals, &self.key, &self.network)]
    }
}
