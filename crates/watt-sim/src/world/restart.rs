//! People begin again where too much is lost (`docs/spec/node.md` §12): who drafts a plan, who is shown it, and what a node does that
//! follows it.

use super::World;
use super::life::Ending;
use super::setup::{TRUST_SEEDS, key_of};
use crate::check::Speech;
use crate::storage::account_of;
use crate::violation::{Promise, Violation};
use std::collections::BTreeSet;
use std::sync::Arc;
use watt_engine::Deciders;
use watt_ledger::{MemoryState, StateRead, restart};
use watt_light::restart::Assent;
use watt_light::{Restart, RestartPlan};
use watt_primitives::{AccountId, BoundedVec, NetworkId, NodeId, SecretKey};

/// Who has one of so many newest blocks is ahead.
const NEWEST_BLOCKS: u64 = 3;

/// Milliseconds until a node begins its first life in a restarted network.
const BEGIN_ANEW_MS: u64 = 1_000;

impl World {
    /// The network as a node sees it.
    pub(crate) fn network_of(&self, node: usize) -> NetworkId {
        self.nodes[node].network(self.genesis.network())
    }

    /// The restarts that somebody follows: what a person who sets up a node is given.
    pub(crate) fn followed(&self) -> Vec<Restart> {
        let all = self.nodes.iter().map(|node| &node.disk.followed);
        all.max_by_key(|all| all.len()).cloned().unwrap_or_default()
    }

    /// Honest validators that run, and have one of the newest blocks or have none.
    pub(crate) fn running(&self, are_ahead: bool) -> Vec<usize> {
        let is_one = |node: &usize| {
            let this = &self.nodes[*node];
            let is_ahead = this.height().0 + NEWEST_BLOCKS > self.height().0;
            this.is_up() && this.is_honest() && is_ahead == are_ahead
        };
        (0..self.n_validators).filter(is_one).collect()
    }

    /// With which key a node votes in the slot above its head.
    fn voting_key(&self, node: usize) -> Option<SecretKey> {
        let slot = self.nodes[node].height().next();
        let term = self.genesis.parameters.terms().of_height(slot);
        let deciders = self.deciders.get(&(self.network_of(node), term))?;
        self.nodes[node].voting_keys().of(deciders).cloned()
    }

    /// These nodes' people, and those in whom trust begins, agree to a plan by which these vote alone; every node that runs is shown it.
    pub fn restart_with(&mut self, chosen: &[usize]) {
        let Some(first) = chosen.first() else { return };
        let state = Arc::clone(&self.nodes[*first].disk.state);
        let keys: Vec<(usize, SecretKey)> = chosen
            .iter()
            .filter_map(|node| Some((*node, self.voting_key(*node)?)))
            .collect();
        let seats = keys
            .iter()
            .map(|(node, key)| (account_of("holder", *node), key.node_id()));
        let Some(plan) = restart::draft(&*state, seats.collect(), "most disks are lost") else {
            return;
        };
        let restart = signed(plan, &keys);
        self.note(format_args!(
            "plan {} from block {}",
            restart.plan.hash(),
            restart.plan.base.height
        ));
        self.plan = Some(restart.plan.hash());
        for node in 0..self.nodes.len() {
            self.look_at(node, &restart);
        }
    }

    fn look_at(&mut self, node: usize, restart: &Restart) {
        let now = self.nodes[node].clocks(self.now);
        let this = &mut self.nodes[node];
        let Some(engine) = this.engine.as_mut() else {
            return;
        };
        let mut effects = Vec::new();
        let none: BTreeSet<NodeId> = BTreeSet::new();
        let looked = engine
            .look_at_restart(restart.clone(), &none, &*this.disk.state, now, &mut effects)
            .and_then(|()| engine.accept_restart(&restart.plan.hash(), true, &mut effects));
        if let Err(why) = looked {
            self.note(format_args!("n{node} does not look at the plan: {why}"));
        }
        self.perform_all(node, effects);
    }

    /// Every honest node that runs must have refused the last plan because a later block was shown.
    pub fn check_refuted(&mut self) {
        let plan = self.plan;
        let is_refuted = |node: &usize| {
            let log = &self.nodes[*node].disk.restarts;
            log.looked_at.is_none() && log.refuted.iter().any(|known| Some(known.plan) == plan)
        };
        let running = (0..self.nodes.len()).filter(|node| self.nodes[*node].is_up());
        let shown: Vec<usize> = running.filter(|node| !is_refuted(node)).collect();
        // Who had the later block before never looked at it.
        let open = shown
            .iter()
            .find(|node| self.nodes[**node].disk.restarts.looked_at.is_some());
        let followed = self.nodes.iter().any(|node| !node.disk.followed.is_empty());
        if open.is_some() || followed || shown.len() == self.nodes.len() {
            let facts =
                format!("a plan that a later block refutes is followed: {followed}, looked at by {open:?}");
            self.fail(Violation::of(Promise::Agreement, facts));
        }
    }

    /// A node follows a restart: its next life begins in another network, with an empty journal.
    pub(super) fn follow(&mut self, node: usize, restart: Restart) {
        self.end(node, Ending::Stop);
        let terms = self.genesis.parameters.terms();
        let (plan, term) = (restart.plan.clone(), restart.plan.term(&terms));
        let network = plan.network_after();
        self.note(format_args!(
            "n{node} follows the restart from {} on",
            plan.base.height
        ));
        let this = &mut self.nodes[node];
        this.disk
            .hand_overs
            .truncate(usize::try_from(term.0).unwrap_or(usize::MAX));
        this.disk.follow(restart);
        this.disk.restarts.looked_at = None;
        this.disk.successions.clear();
        this.disk.drive = watt_store::testing::TestDisk::new();
        this.speech = Speech::default();
        self.mark_restarts(node);
        if self.network != network {
            self.network = network;
            self.chain.restarted(network);
            self.chain.seats.restarted(term, &plan.backbone);
            let settled = if plan.base.height >= terms.final_from(term.next()) {
                term.next()
            } else {
                term
            };
            for term in [term, settled] {
                let deciders = Deciders::new(term, plan.backbone.clone(), &network);
                self.deciders.insert((network, term), Arc::new(deciders));
            }
        }
        let at = self.now.plus(BEGIN_ANEW_MS);
        self.start_at(at, node);
    }

    /// Puts the restarts that a node follows, and that are ahead of it, beside its state.
    pub(super) fn mark_restarts(&mut self, node: usize) {
        let disk = &mut self.nodes[node].disk;
        for restart in &disk.followed {
            let base = restart.plan.base.height;
            let rows = restart::follow(restart);
            let mark = |state: &mut Arc<MemoryState>| {
                if rows.iter().any(|(key, value)| state.get(key) != *value) {
                    Arc::make_mut(state).write(&rows);
                }
            };
            if base >= disk.head.height {
                mark(&mut disk.state);
            }
            if base >= disk.ground.0.height {
                mark(&mut disk.ground.1);
            }
        }
    }
}

/// The plan with the signatures of who votes by it, their people, and those in whom trust begins.
fn signed(plan: RestartPlan, voters: &[(usize, SecretKey)]) -> Restart {
    let key_of_entry = |account: &AccountId| {
        let mut voters = voters.iter();
        voters.find(|(node, _)| account_of("holder", *node) == *account)
    };
    let entries = plan.backbone.entries().iter();
    let of_voters = entries.filter_map(|entry| Some(plan.sign(&key_of_entry(&entry.account)?.1)));
    let of_voters: Vec<_> = of_voters.collect();
    let holders = voters.iter().map(|(node, _)| key_of("holder", *node));
    let seeds = (0..TRUST_SEEDS).map(|number| key_of("person", number));
    let assent = |key: SecretKey| Assent {
        account: AccountId::of_first_key(&key.public()),
        key_index: 0,
        key: key.public(),
        signature: plan.sign(&key),
    };
    let mut people: Vec<Assent> = holders.chain(seeds).map(assent).collect();
    people.sort_unstable_by_key(|assent| assent.account);
    Restart {
        voters: BoundedVec::new(of_voters).unwrap_or_default(),
        people: BoundedVec::new(people).unwrap_or_default(),
        plan,
    }
}
