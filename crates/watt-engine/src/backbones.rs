//! Who decides which slot, and with which key this node votes (`docs/spec/node.md` §10).

use std::collections::BTreeMap;
use std::sync::Arc;
use watt_ledger::rows::{self, ChainRow};
use watt_ledger::{StateRead, query, restart};
use watt_light::{Backbone, BackboneEntry, Succession, Terms, Voters};
use watt_primitives::{AccountId, BlockHeight, Hash, NetworkId, NodeId, SecretKey, SlotIndex, Term};
use watt_scp::{Envelope, QuorumSet};

/// Who decides the slots of one term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deciders {
    /// Which term.
    pub term: Term,
    /// Their quorum set.
    pub quorum_set: QuorumSet,
    /// Its hash, as statements declare it.
    pub hash: Hash,
    /// The network as it is in these slots.
    pub network: NetworkId,
    /// `None` if nobody decides.
    backbone: Option<Backbone>,
    /// Of each seat those that are known here, by generation.
    successions: BTreeMap<(AccountId, u8), Succession>,
}

impl Deciders {
    /// The deciders that a backbone makes.
    #[must_use]
    pub fn new(term: Term, backbone: Backbone, network: &NetworkId) -> Self {
        let quorum_set = backbone.quorum_set();
        Self {
            term,
            hash: quorum_set.hash(network),
            network: *network,
            quorum_set,
            backbone: Some(backbone),
            successions: BTreeMap::new(),
        }
    }

    /// Nobody decides: the state is no ledger.
    #[must_use]
    pub fn nobody(term: Term, network: &NetworkId) -> Self {
        Self {
            term,
            quorum_set: QuorumSet::flat(1, Vec::new()),
            hash: Hash::ZERO,
            network: *network,
            backbone: None,
            successions: BTreeMap::new(),
        }
    }

    /// Who may have voted in a proof of this term.
    #[must_use]
    pub fn voters(&self) -> Voters<'_> {
        match &self.backbone {
            Some(backbone) => Voters::of_term(self.term, backbone, &self.quorum_set),
            None => (&self.quorum_set).into(),
        }
    }

    /// Whose seat the key voted for, now or before it was succeeded.
    #[must_use]
    pub fn account_of(&self, key: &NodeId) -> Option<AccountId> {
        self.entry_of(key).map(|entry| entry.account)
    }

    /// Whether the key is in the quorum set.
    #[must_use]
    pub fn is_seat(&self, key: &NodeId) -> bool {
        self.quorum_set.nodes.binary_search(key).is_ok()
    }

    /// Whether the key votes in this term.
    #[must_use]
    pub fn has(&self, key: &NodeId) -> bool {
        self.seat_of(key).is_some()
    }

    /// The key in the quorum set for which this one votes: itself, unless it was succeeded, or its newest successor.
    #[must_use]
    pub fn seat_of(&self, key: &NodeId) -> Option<NodeId> {
        let entry = self.entry_of(key)?;
        let newest = self
            .of_account(&entry.account)
            .last()
            .map_or(entry.key, |succession| succession.key);
        (newest == *key).then_some(entry.key)
    }

    /// The same for a key that votes no more, too: what it proposed before is still worth knowing.
    #[must_use]
    pub fn seat_ever_of(&self, key: &NodeId) -> Option<NodeId> {
        self.entry_of(key).map(|entry| entry.key)
    }

    fn entry_of(&self, key: &NodeId) -> Option<&BackboneEntry> {
        let backbone = self.backbone.as_ref()?;
        let succeeds = || {
            self.successions
                .values()
                .find(|succession| succession.key == *key)
        };
        let of_successor = || backbone.of_account(&succeeds()?.account);
        backbone.of_key(key).or_else(of_successor)
    }

    fn of_account(&self, account: &AccountId) -> impl Iterator<Item = &Succession> {
        self.successions
            .range((*account, 0)..=(*account, u8::MAX))
            .map(|(_, succession)| succession)
    }

    /// Every succession of this term that is known here.
    pub fn successions(&self) -> impl Iterator<Item = &Succession> {
        self.successions.values()
    }

    /// The newest one of every seat that has one.
    pub fn newest_successions(&self) -> impl Iterator<Item = &Succession> {
        let seats = self.backbone.iter().flat_map(Backbone::entries);
        seats.filter_map(|entry| self.of_account(&entry.account).last())
    }

    /// Those of them whose keys signed one of these envelopes.
    #[must_use]
    pub fn successions_of(&self, envelopes: &[Envelope]) -> Vec<Succession> {
        let has_signed = |succession: &&Succession| {
            envelopes
                .iter()
                .any(|envelope| envelope.statement.node == succession.key)
        };
        self.successions.values().filter(has_signed).cloned().collect()
    }

    /// Whether this is a succession of this term that is not known, its signatures aside. Of two with one generation the first counts.
    #[must_use]
    pub fn lacks(&self, succession: &Succession) -> bool {
        let backbone = self.backbone.as_ref();
        let is_sound = backbone.is_some_and(|backbone| succession.seat(self.term, backbone).is_ok());
        let is_new = !self.successions.contains_key(&succession.place());
        is_sound && is_new && self.entry_of(&succession.key).is_none()
    }

    /// Notes a succession that it [lacks](Self::lacks) and whose signatures hold.
    pub fn succeed(&mut self, succession: Succession) {
        self.successions.insert(succession.place(), succession);
    }
}

/// The backbones that a state says for good: of the term of the next slot, of the one before, and of the one after once it can't
/// change any more. Of terms whose rules the program does not know it says that nobody decides: whatever they decide can't be checked
/// here (`docs/spec/upgrades.md` §4).
#[derive(Clone, Debug)]
pub struct Backbones {
    network: NetworkId,
    terms: Terms,
    /// The highest version of the rules that the program knows.
    protocol: u32,
    /// The version that the next slot follows.
    version: u32,
    /// Ascending.
    known: Vec<Arc<Deciders>>,
    /// The last block before a restart that this node follows and has not come to.
    base: Option<BlockHeight>,
    /// Whether the next block is the first of a restarted network.
    begins_anew: bool,
    /// Successions of terms that are still to come here.
    awaited: Vec<Succession>,
}

impl Backbones {
    /// Reads them from a state, whatever rules their terms follow; none if it is no WATT ledger.
    #[must_use]
    pub fn in_state(state: &impl StateRead) -> Self {
        Self::known_to(u32::MAX, state)
    }

    /// The same for a program that knows rules up to the version `protocol`.
    #[must_use]
    pub fn known_to(protocol: u32, state: &impl StateRead) -> Self {
        let chain: Option<ChainRow> = rows::read(state, rows::CHAIN);
        let rules = query::rules(state);
        let mut this = Self {
            network: rules
                .as_ref()
                .map_or(NetworkId::new([0; 32]), |rules| rules.network),
            terms: rules
                .as_ref()
                .map_or(Terms::of_slots(0), watt_ledger::rows::RulesRow::terms),
            protocol,
            version: 0,
            known: Vec::new(),
            base: None,
            begins_anew: false,
            awaited: Vec::new(),
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
        let upgrades = query::upgrades(state);
        let version_in = |term| upgrades.as_ref().map_or(0, |upgrades| upgrades.version_in(term));
        self.version = version_in(running);
        let next_version = version_in(running.next());
        if head == self.terms.final_from(running.next()) && next_version > self.protocol {
            let height = self.terms.first_height(running.next()).0;
            tracing::warn!(
                version = next_version,
                height,
                "from this block on the network follows rules that this program does not know: update it before"
            );
        }
        self.known
            .retain(|deciders| (running.previous()..=last).contains(&deciders.term));
        self.base = restart::next_base(state, head).filter(|base| *base > head);
        let restart = restart::after(state, head).map(|restart| restart.plan);
        self.begins_anew = restart.is_some();
        if let Some(plan) = &restart {
            self.network = plan.network_after();
            self.known.retain(|deciders| deciders.term < running);
        }
        for term in running.previous().0..=last.0 {
            let term = Term(term);
            if self.of_term(term).is_some() || version_in(term) > self.protocol {
                continue;
            }
            let backbone = match &restart {
                Some(plan) if term >= running => Some(plan.backbone.clone()),
                Some(_) | None => query::backbone_of_term(state, term),
            };
            if let Some(backbone) = backbone {
                self.known
                    .push(Arc::new(Deciders::new(term, backbone, &self.network)));
            }
        }
        self.known.sort_unstable_by_key(|deciders| deciders.term);
    }

    /// Whether the block above the head is the first of a restarted network: its state may be the one that hands over.
    #[must_use]
    pub const fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// The network as it is in the slot above the head.
    #[must_use]
    pub const fn network(&self) -> &NetworkId {
        &self.network
    }

    /// How heights divide into terms.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The version of the rules that the next slot follows.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The highest version that the program knows.
    #[must_use]
    pub const fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The version of the rules that the next slot follows, if the program does not know it.
    #[must_use]
    pub fn unknown_version(&self) -> Option<u32> {
        Some(self.version).filter(|version| *version > self.protocol)
    }

    /// Who decides the slots of `term`; `None` if the state does not say it, or may still change its mind, or if the program does not
    /// know the term's rules.
    #[must_use]
    pub fn of_term(&self, term: Term) -> Option<&Arc<Deciders>> {
        self.known.iter().find(|deciders| deciders.term == term)
    }

    /// Who decides `slot`; `None` as with [`Self::of_term`].
    #[must_use]
    pub fn of_slot(&self, slot: SlotIndex) -> Option<&Arc<Deciders>> {
        if self.base.is_some_and(|base| BlockHeight::from(slot) > base) {
            return None;
        }
        self.of_term(self.terms.of_height(slot.into()))
    }

    /// Notes a succession whose signatures hold, also of a term that the state does not say yet.
    pub fn expect(&mut self, succession: Succession) {
        if !self.succeed(&succession) && self.of_term(succession.term).is_none() {
            self.awaited.push(succession);
        }
    }

    /// Those that were awaited and hold now.
    pub(crate) fn take_arrived(&mut self) -> Vec<Succession> {
        let running = self.known.first().map_or(Term(0), |deciders| deciders.term);
        let awaited = std::mem::take(&mut self.awaited);
        let (here, later): (Vec<Succession>, Vec<Succession>) = awaited
            .into_iter()
            .filter(|succession| succession.term >= running)
            .partition(|succession| self.of_term(succession.term).is_some());
        self.awaited = later;
        let arrived = here.into_iter().filter(|succession| self.succeed(succession));
        arrived.collect()
    }

    /// Every succession that is known, or awaited.
    pub(crate) fn successions(&self) -> impl Iterator<Item = &Succession> {
        let known = self.known.iter().flat_map(|deciders| deciders.successions());
        known.chain(&self.awaited)
    }

    /// Notes a succession whose signatures hold; `false` if it is none or known.
    pub fn succeed(&mut self, succession: &Succession) -> bool {
        let of_term = |deciders: &&mut Arc<Deciders>| deciders.term == succession.term;
        let deciders = self.known.iter_mut().find(of_term);
        let Some(deciders) = deciders.filter(|deciders| deciders.lacks(succession)) else {
            return false;
        };
        Arc::make_mut(deciders).succeed(succession.clone());
        true
    }

    /// Whether this is a succession that is not known here, its signatures aside.
    #[must_use]
    pub fn lacks(&self, succession: &Succession) -> bool {
        let deciders = self.of_term(succession.term);
        deciders.is_some_and(|deciders| deciders.lacks(succession))
    }

    /// The deciders of the terms of which the state says them for good, ascending.
    pub fn all(&self) -> impl Iterator<Item = &Deciders> {
        self.known.iter().map(Arc::as_ref)
    }

    /// The first height of which it is not known who decides it.
    #[must_use]
    pub fn end(&self) -> BlockHeight {
        let last = self.known.last().map(|deciders| deciders.term.next());
        let end = self.terms.first_height(last.unwrap_or_default());
        self.base.map_or(end, |base| end.min(base.next()))
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

    /// Whether one of them has this name.
    #[must_use]
    pub fn has(&self, key: &NodeId) -> bool {
        self.named(key).is_some()
    }

    /// The one with this name.
    #[must_use]
    pub fn named(&self, key: &NodeId) -> Option<&SecretKey> {
        let mut all = self.fixed.iter().chain(self.of_terms.values());
        all.find(|known| known.node_id() == *key)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.is_none() && self.of_terms.is_empty()
    }

    /// The key that has a seat among `deciders`: who registered none for their term votes with the one before. If none has, the key
    /// of the term.
    #[must_use]
    pub fn of(&self, deciders: &Deciders) -> Option<&SecretKey> {
        let of_term = self.of_terms.get(&deciders.term);
        let all = || {
            let others = self.fixed.iter().chain(self.of_terms.values().rev());
            of_term.into_iter().chain(others)
        };
        all()
            .find(|key| deciders.has(&key.node_id()))
            .or_else(|| all().next())
    }

    /// Forgets the keys of the terms up to the one before `term`, in which nothing is signed any more (TC28); that one's may still be
    /// in use.
    pub(crate) fn forget_before(&mut self, term: Term) {
        self.of_terms = self.of_terms.split_off(&term.previous());
    }
}
