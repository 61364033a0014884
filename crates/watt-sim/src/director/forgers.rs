//! Those who make another past: with keys of terms long over, or because enough voters sell theirs.

use super::Director;
use crate::actor::Seller;
use crate::people::submit;
use crate::storage::account_of;
use crate::violation::{Promise, Violation};
use std::collections::BTreeMap;
use watt_ledger::query;
use watt_light::shown::contradictors;
use watt_light::{DecisionProof, Evidence, FinalityProof, Operation, Proposal};
use watt_primitives::{AccountId, BlockHeight, Hash, NodeId, SecretKey, Term};
use watt_scp::{Ballot, Envelope, Pledges, QuorumSet, Statement};

/// People among whom the one is who hands in what proofs prove.
const PHONE: usize = 2;

impl Director {
    /// Whoever buys everything that is left of the terms before the last signs another header in each of them.
    ///
    /// The keys of the genesis are not for sale: they stand in files of their own that no node deletes.
    pub(super) fn forge_past(&mut self) {
        let keys = self.keys_for_sale();
        let kept = self.world.nodes.iter().filter(|node| node.is_honest());
        let hand_overs = kept.map(|node| &node.disk.hand_overs).max_by_key(|all| all.len());
        let hand_overs = hand_overs.cloned().unwrap_or_default();
        let Ok(walk) = self.world.genesis.walk() else {
            return;
        };
        let mut walk = walk.following(self.world.followed().into_iter().map(|restart| restart.plan));
        let running = walk.terms().of_height(self.world.height().next());
        let mut n_tried = 0usize;
        for hand_over in &hand_overs {
            let (term, quorum_set) = (walk.term(), walk.backbone().quorum_set());
            if term > Term(0) && term.next() < running {
                n_tried += 1;
                if let Some(forged) = self.forge(&hand_over.finality, &quorum_set, &keys)
                    && forged.verify(walk.network(), &quorum_set).is_ok()
                {
                    let facts =
                        format!("the keys that are left of term {term} make another header final in it");
                    self.world.fail(Violation::of(Promise::NoForgedPast, facts));
                    return;
                }
            }
            if let Err(error) = walk.step(hand_over) {
                self.world.fail(Violation::of(Promise::OneBackbone, error));
                return;
            }
        }
        let (now, n_keys) = (self.world.now, keys.len());
        self.world.trace.note(
            now,
            format_args!("{n_keys} keys make no other past of {n_tried} terms"),
        );
        if n_tried == 0 {
            let facts = "no term is over whose past could be forged";
            self.world.fail(Violation::of(Promise::NoForgedPast, facts));
        }
    }

    /// The secrets that nodes have stored, and the keys of the accounts behind all seats.
    fn keys_for_sale(&self) -> BTreeMap<NodeId, SecretKey> {
        let nodes = self.world.nodes.iter();
        let of_node = |node: &crate::node::Node| {
            let stored = node.disk.secrets.iter().map(|secrets| secrets.voting_key.clone());
            stored.chain(node.seat.clone()).collect::<Vec<_>>()
        };
        let keys = nodes.flat_map(of_node);
        keys.map(|key| (key.node_id(), key)).collect()
    }

    /// The same slot with another header below it, as far as these keys can sign for it.
    fn forge(
        &self,
        of: &FinalityProof,
        quorum_set: &QuorumSet,
        keys: &BTreeMap<NodeId, SecretKey>,
    ) -> Option<FinalityProof> {
        let network = &self.world.network;
        let mut header = of.header.clone();
        header.state_root = Hash::of_content(header.state_root.as_ref());
        let signers = quorum_set
            .nodes
            .iter()
            .filter_map(|node| Some((node, keys.get(node)?)));
        let signers: Vec<_> = signers.collect();
        let (proposer, key) = signers.first()?;
        let proposal = Proposal {
            parent: header.hash(),
            proposer: **proposer,
            ..of.proposal.proposal.clone()
        };
        let (slot, value) = (proposal.slot, proposal.value());
        let proposal = proposal.sign(key);
        let say = |(node, key): &(&NodeId, &SecretKey)| {
            let statement = Statement {
                node: **node,
                slot,
                quorum_set: quorum_set.hash(network),
                pledges: Pledges::Externalize {
                    commit: Ballot { counter: 1, value },
                    h_counter: 1,
                },
            };
            Envelope::sign(statement, key, network)
        };
        let envelopes: Vec<Envelope> = signers.iter().map(say).collect();
        let decision = DecisionProof::from_envelopes(network, quorum_set, slot, value, &envelopes, &[])?;
        Some(FinalityProof {
            header,
            proposal,
            decision,
        })
    }

    /// These nodes sell a second signature each for the newest slot but one, and a phone is shown both proofs: each holds, together they
    /// name liars only, and more of them than may be faulty. It hands in what it has against each.
    pub(super) fn contradict(&mut self, sellers: &[usize]) {
        for seller in sellers {
            self.world.nodes[*seller].actor = Some(Box::new(Seller));
            self.world.chain.seats.excuse(*seller);
        }
        let facts = match self.sell(sellers) {
            Ok(evidence) => return self.hand_in(evidence),
            Err(facts) => facts,
        };
        self.world.fail(Violation::of(Promise::NoForgedPast, facts));
    }

    fn sell(&self, sellers: &[usize]) -> Result<Vec<Evidence>, String> {
        let network = &self.world.network;
        let honest = self.world.nodes.iter().filter(|node| node.disk.blocks.len() > 1);
        let node = honest
            .max_by_key(|node| node.height())
            .ok_or("nobody has two blocks")?;
        let (above, height) = (node.disk.head.height, BlockHeight(node.height().0 - 1));
        let header = node.disk.readable(height).map(|stored| stored.header.clone());
        let block = node.disk.readable(above);
        let (header, block) = header.zip(block).ok_or("the newest blocks can't be read")?;
        let term = self.world.genesis.parameters.terms().of_height(above);
        let deciders = self
            .world
            .deciders
            .get(&(self.world.network, term))
            .ok_or("nobody decides")?;
        let quorum_set = &deciders.quorum_set;
        let real = block
            .block
            .proves(header, quorum_set)
            .ok_or("the newest block proves nothing")?;
        let key_of = |seller: &usize| {
            let keys = self.world.nodes[*seller].voting_keys();
            keys.of(deciders).map(|key| (key.node_id(), key.clone()))
        };
        let keys: BTreeMap<NodeId, SecretKey> = sellers.iter().filter_map(key_of).collect();
        let forged = self
            .forge(&real, quorum_set, &keys)
            .ok_or("too few sell their signatures to prove anything")?;
        for proof in [&real, &forged] {
            proof
                .verify(network, quorum_set)
                .map_err(|error| error.to_string())?;
        }
        let named = contradictors(&real, &forged, network, quorum_set);
        let n_faulty_max = (quorum_set.nodes.len() - 1) / 3;
        if named.len() <= n_faulty_max || !named.iter().all(|node| keys.contains_key(node)) {
            return Err(format!("both proofs hold, and they name {named:?}"));
        }
        let envelopes = |proof: &FinalityProof| proof.decision.envelopes(network, quorum_set);
        let (one, other) = envelopes(&real)
            .and_then(|one| Ok((one, envelopes(&forged)?)))
            .map_err(|error| error.to_string())?;
        let of =
            |all: &[Envelope], node: &NodeId| all.iter().find(|said| said.statement.node == *node).cloned();
        let evidence = named.iter().filter_map(|node| {
            let (one, other) = (of(&one, node)?, of(&other, node)?);
            Some(Evidence::Statements { one, other })
        });
        Ok(evidence.collect())
    }

    fn hand_in(&mut self, evidence: Vec<Evidence>) {
        for evidence in evidence {
            let operation = Operation::ReportEvidence {
                evidence: Box::new(evidence),
            };
            if let Some(signed) = self.people.sign(&self.world, PHONE, vec![operation]) {
                for node in 0..self.world.nodes.len() {
                    submit(&mut self.world, node, signed.clone());
                }
            }
        }
    }

    /// People with a node against whom there is evidence.
    pub(super) fn n_struck(&self) -> usize {
        let state = self.world.state();
        let people = (0..self.world.nodes.len()).map(|node| account_of("holder", node));
        people
            .filter(|person| query::faulty(&*state, person).is_some())
            .count()
    }

    /// Puppets whose rank is among the best of those who stand.
    pub(super) fn n_ranked_puppets(&self) -> usize {
        let state = self.world.state();
        let first = self.world.n_validators() + self.scenario.network.standing;
        let puppets = (first..first + self.scenario.network.puppets).map(|node| account_of("holder", node));
        let is_ranked = |person: &AccountId| {
            query::standing(&*state, person).is_some_and(|row| row.ranked_since.is_some())
        };
        puppets.filter(is_ranked).count()
    }
}
