//! Who decides which slot, and with which key this node votes (`docs/spec/node.md` §10).

use std::collections::BTreeMap;
use std::sync::Arc;
use watt_ledger::rows::{self, ChainRow};
use watt_ledger::{StateRead, query};
use watt_light::{Backbone, Terms};
use watt_primitives::{BlockHeight, Hash, NetworkId, NodeId, SecretKey, SlotIndex, Term};
use watt_scp::QuorumSet;

/// Who decides the slots of one term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deciders {
    /// Which term.
    pub term: Term,
    /// Their quorum set.
    pub quorum_set: QuorumSet,
    /// Its hash, as statements declare it.
    pub hash: Hash,
}

impl Deciders {
    /// The deciders that a backbone makes.
    #[must_use]
    pub fn new(term: Term, backbone: &Backbone, network: &NetworkId) -> Self {
        let quorum_set = backbone.quorum_set();
        Self {
            term,
            hash: quorum_set.hash(network),
            quorum_set,
        }
    }

    /// Whether the key votes in this term.
    #[must_use]
    pub fn has(&self, node: &NodeId) -> bool {
        self.quorum_set.nodes.binary_search(node).is_ok()
    }
}

/// The backbones that a state says for good: of the term of the next slot, of the one before, and of the one after once it can't
/// change any more.
#[derive(Clone, Debug)]
pub struct Backbones {
    network: NetworkId,
    terms: Terms,
    /// Ascending.
    known: Vec<Arc<Deciders>>,
}

impl Backbones {
    /// Reads them from a state; none if it is no WATT ledger.
    #[must_use]
    pub fn in_state(state: &impl StateRead) -> Self {
        let chain: Option<ChainRow> = rows::read(state, rows::CHAIN);
        let rules = query::rules(state);
        let mut this = Self {
            network: rules.as_ref().map_or(NetworkId([0; 32]), |rules| rules.network),
            terms: rules
                .as_ref()
                .map_or(Terms::of_slots(0), watt_ledger::rows::RulesRow::terms),
            known: Vec::new(),
        };
        if let (Some(chain), Some(_)) = (chain, rules) {
            this.advance(chain.height, state);
        }
        this
    }

    /// The head is now at `head`, and `state` is the one after it. Reads only rows that became final since.
    pub fn advance(&mut self, head: BlockHeight, state: &impl StateRead) {
        let running = self.terms.of_height(head.next());
        let is_next_final = head >= self.terms.final_from(running.next());
        let last = if is_next_final { running.next() } else { running };
        self.known
            .retain(|deciders| (running.previous()..=last).contains(&deciders.term));
        for term in running.previous().0..=last.0 {
            let term = Term(term);
            if self.of_term(term).is_none()
                && let Some(backbone) = query::backbone_of_term(state, term)
            {
                self.known
                    .push(Arc::new(Deciders::new(term, &backbone, &self.network)));
            }
        }
        self.known.sort_unstable_by_key(|deciders| deciders.term);
    }

    /// How heights divide into terms.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Who decides the slots of `term`; `None` if the state does not say it, or may still change its mind.
    #[must_use]
    pub fn of_term(&self, term: Term) -> Option<&Arc<Deciders>> {
        self.known.iter().find(|deciders| deciders.term == term)
    }

    /// Who decides `slot`; `None` as with [`Self::of_term`].
    #[must_use]
    pub fn of_slot(&self, slot: SlotIndex) -> Option<&Arc<Deciders>> {
        self.of_term(self.terms.of_height(slot.into()))
    }

    /// The first height of which it is not known who decides it.
    #[must_use]
    pub fn end(&self) -> BlockHeight {
        let last = self.known.last().map(|deciders| deciders.term.next());
        self.terms.first_height(last.unwrap_or_default())
    }
}

/// The keys with which this node votes.
#[derive(Clone, Debug, Default)]
pub struct VotingKeys {
    fixed: Option<SecretKey>,
    of_terms: BTreeMap<Term, SecretKey>,
}

impl VotingKeys {
    /// No key: the node only follows.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One key for all terms of which [`Self::add`] says nothing else.
    #[must_use]
    pub const fn fixed(key: SecretKey) -> Self {
        Self {
            fixed: Some(key),
            of_terms: BTreeMap::new(),
        }
    }

    /// From now on the node votes with `key` in `term`.
    pub fn add(&mut self, term: Term, key: SecretKey) {
        self.of_terms.insert(term, key);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.is_none() && self.of_terms.is_empty()
    }

    /// The key for `term`.
    #[must_use]
    pub fn of(&self, term: Term) -> Option<&SecretKey> {
        self.of_terms.get(&term).or(self.fixed.as_ref())
    }

    /// Forgets the keys of the terms before `term`, in which nothing is signed any more (TC28).
    pub(crate) fn forget_before(&mut self, term: Term) {
        self.of_terms = self.of_terms.split_off(&term);
    }
}
