//! Seats: who stands for one from the start, who vouches for them, and what a node keeps for its own.

use super::World;
use super::setup::{Setup, key_of};
use crate::storage::account_of;
use std::collections::BTreeSet;
use watt_engine::Event;
use watt_engine::seat::TermSecrets;
use watt_ledger::query;
use watt_ledger::testing::Grown;
use watt_primitives::{AccountId, Hash, SecretKey, Term};

/// Friends of the people in whom trust begins, five of each: they trust those who vouch.
pub(super) const N_FRIENDS: usize = 20;

/// People in a circle at most.
const CIRCLE: usize = 5;

/// People whom each candidate names.
const VOUCHERS: usize = 3;

/// Milliseconds until keys are made and stored.
const MAKE_KEYS_MS: u64 = 5;

impl Setup {
    /// Who does the duties of a seat: validators of the genesis, those who stand, and puppets, in the order of the nodes. Nobody
    /// where seats are planted.
    pub(super) const fn n_dutiful(&self) -> usize {
        if self.seats == 0 {
            self.validators as usize + self.standing + self.puppets
        } else {
            0
        }
    }

    /// Accounts of the people who vouch, and of the friends between them and those in whom trust begins.
    pub(super) fn vouching(&self) -> impl Iterator<Item = SecretKey> {
        let n_friends = if self.standing + self.puppets == 0 {
            0
        } else {
            N_FRIENDS
        };
        let friends = (0..n_friends).map(|number| key_of("friend", number));
        friends.chain((0..VOUCHERS * self.standing).map(|number| key_of("voucher", number)))
    }

    /// Circles in which candidates have three independent friends of friends each, and puppets one real friend and one another.
    pub(super) fn grown(&self, trust_seeds: &[AccountId]) -> Grown {
        let first = usize::from(self.validators);
        let candidate = |number: usize| account_of("holder", first + number);
        let puppet =
            |number: usize| account_of("holder", first + self.standing + number % self.puppets.max(1));
        let friend = |number: usize| account_of("friend", number);
        let voucher = |number: usize| account_of("voucher", number);
        let mut circles = Vec::new();
        for (at, seed) in trust_seeds.iter().enumerate() {
            let friends = (0..CIRCLE).map(|n| friend((at * CIRCLE + n) % N_FRIENDS));
            circles.push((*seed, friends.collect()));
        }
        for at in 0..N_FRIENDS {
            let of_puppet = (at < self.puppets).then(|| puppet(at));
            let vouchers = (at..VOUCHERS * self.standing).step_by(N_FRIENDS).map(voucher);
            circles.push((
                friend(at),
                of_puppet.into_iter().chain(vouchers).take(CIRCLE).collect(),
            ));
        }
        for at in 0..VOUCHERS * self.standing {
            circles.push((voucher(at), vec![candidate(at / VOUCHERS)]));
        }
        for at in 0..self.puppets {
            let others: BTreeSet<AccountId> = (1..=CIRCLE).map(|further| puppet(at + further)).collect();
            let others = others.into_iter().filter(|other| *other != puppet(at));
            circles.push((puppet(at), others.collect()));
        }
        let named = |at: usize| [0, 1, 2].map(|n| voucher(at * VOUCHERS + n));
        let honest = (0..self.standing).map(|at| (candidate(at), named(at)));
        let n = self.puppets;
        let puppets = (0..n).map(|at| (puppet(at), [friend(at), puppet(at + n - 1), puppet(at + n - 2)]));
        Grown {
            circles,
            standing: honest.chain(puppets).collect(),
        }
    }
}

impl World {
    /// The node makes secrets for terms of its seat and stores them.
    pub(super) fn make_voting_keys(&mut self, node: usize, terms: &[Term]) {
        let disk = match self.nodes[node].n_disks_lost {
            0 => String::new(),
            n => format!(" on disk {n}"),
        };
        let make = |term: &Term| TermSecrets {
            term: *term,
            voting_key: key_of(&format!("voting key of term {term}{disk}"), node),
            onion_seed: Hash::of_content(format!("onion of term {term}{disk} {node}").as_bytes()),
        };
        let made: Vec<TermSecrets> = terms.iter().map(make).collect();
        for secrets in &made {
            self.by_key.insert(secrets.voting_key.node_id(), node);
        }
        self.nodes[node].disk.secrets.extend(made.iter().cloned());
        self.later(node, MAKE_KEYS_MS, Event::VotingKeysMade(made));
    }

    /// Notes who votes in a term, once that is known for good.
    pub(super) fn see_voters(&mut self) {
        if let Some((term, people)) = self.chain.seats.take_news() {
            let nodes = (0..self.nodes.len()).filter(|node| people.contains(&account_of("holder", *node)));
            let nodes: Vec<String> = nodes.map(|node| format!("n{node}")).collect();
            self.note(format_args!("in term {term} vote {}", nodes.join(" ")));
        }
    }

    /// Nodes whose people vote in the running term and that have not left.
    #[must_use]
    pub fn voters(&self) -> Vec<usize> {
        self.seated(|people, _| people)
    }

    /// Nodes whose people vote in the next term, as far as that is known, and do not in the running one.
    #[must_use]
    pub fn entrants(&self) -> Vec<usize> {
        self.seated(|now, next| next.difference(&now).copied().collect())
    }

    fn seated(
        &self,
        who: impl FnOnce(BTreeSet<AccountId>, BTreeSet<AccountId>) -> BTreeSet<AccountId>,
    ) -> Vec<usize> {
        let (state, terms) = (self.state(), self.genesis.parameters.terms());
        let running = terms.of_height(self.height().next());
        let people = |term: Term| -> BTreeSet<AccountId> {
            let backbone = query::backbone_of_term(&*state, term);
            let entries = backbone.iter().flat_map(watt_light::Backbone::entries);
            entries.map(|entry| entry.account).collect()
        };
        let chosen = who(people(running), people(running.next()));
        (0..self.nodes.len())
            .filter(|node| chosen.contains(&account_of("holder", *node)))
            .filter(|node| !self.nodes[*node].is_lost())
            .collect()
    }
}
