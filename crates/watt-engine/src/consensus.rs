//! Drives SCP for the slot above the head: proposals, bodies, trials, timers, and what is said to whom.
//!
//! One slot at a time: slot `s + 1` begins when block `s` is committed. SCP itself knows no proposal; this module answers its
//! questions from [`Candidates`] and turns its outputs into effects, in SCP's order.

use crate::backbones::{Backbones, Deciders, VotingKeys};
use crate::candidates::{CLOSE_TIME_PAST_MAX_MS, Candidates, NotAdmitted};
use crate::effect::{Effect, Priority, Timer};
use crate::event::PeerId;
use crate::evidence::{Evidence, EvidenceLog};
use crate::journal::Entry;
use crate::message::Message;
use crate::peers::Peers;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watt_light::Header;
use watt_light::proposal::empty_value;
use watt_primitives::{Hash, NetworkId, NodeId, SecretKey, SlotIndex, Term, Timestamp};
use watt_scp::replay::{Step, log};
use watt_scp::{
    Envelope, Input, Oracle, Output, Pledges, QuorumSet, Scp, Statement, TimerKind, Validity, Value,
};

mod adopt;
mod conclude;
mod receive;
mod say;
mod term;

pub(crate) use adopt::NotAdopted;
pub(crate) use conclude::cannot_execute;
use say::commit_value;
use term::{config_of, deciders_of};

/// First round of nomination and of a ballot, in milliseconds; each further round is longer by [`ROUND_GROWTH_MS`]
/// (`docs/spec/node.md` §3). Above a round trip between two phones on poor links.
pub const ROUND_MS: u64 = 1_000;

/// By how much each further round is longer, in milliseconds.
const ROUND_GROWTH_MS: u64 = 500;

/// Longest round, in milliseconds: after an outage the network must not wait for long timers.
pub const ROUND_MS_MAX: u64 = 8_000;

/// How long after a proposal its body is asked for, in milliseconds: the proposer pushes it, so it is usually on its way.
pub const BODY_ASK_MS: u64 = 150;

/// How long after a proposal its body is given up for the fallback `E(V)`, in milliseconds: below [`ROUND_MS`] (TC33).
pub const BODY_GIVE_UP_MS: u64 = 750;

/// The most envelopes of one node kept per slot, to prove the decision.
const ENVELOPES_PER_NODE_MAX: usize = 64;

/// What stands at the top of the chain.
#[derive(Clone, Debug)]
pub struct Head {
    /// Newest header.
    pub header: Header,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// The head with this header.
    #[must_use]
    pub fn new(header: Header) -> Self {
        let hash = header.hash();
        Self { header, hash }
    }

    /// The slot above.
    #[must_use]
    pub fn next_slot(&self) -> SlotIndex {
        SlotIndex::from(self.header.height).next()
    }
}

/// What a call may use: both clocks, who is connected, and where to put what must be done.
pub(crate) struct Context<'a> {
    /// The steady clock: never goes back, and runs as time does.
    pub(crate) now: Timestamp,
    /// The wall clock, which its owner may set.
    pub(crate) wall: Timestamp,
    pub(crate) peers: &'a Peers,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, to: PeerId, message: &Message, priority: Priority) {
        self.effects.push(Effect::Send {
            to,
            message: message.encode().into(),
            priority,
        });
    }

    /// Sends to every peer that takes part in agreement, but `except`.
    pub(crate) fn flood(&mut self, message: &Message, priority: Priority, except: Option<PeerId>) {
        self.send_all(self.peers.agreeing(except), message, priority);
    }

    /// Passes on a statement of `node` that came from `from`, to every peer that wants it from here.
    pub(crate) fn relay(&mut self, message: &Message, node: NodeId, from: PeerId) {
        self.send_all(self.peers.relayed_to(node, from), message, Priority::Urgent);
    }

    fn send_all(&mut self, to: impl Iterator<Item = PeerId>, message: &Message, priority: Priority) {
        let bytes: Arc<[u8]> = message.encode().into();
        self.effects.extend(to.map(|to| Effect::Send {
            to,
            message: Arc::clone(&bytes),
            priority,
        }));
    }
}

/// What became of the slot.
#[derive(Clone, Debug)]
struct Decision {
    value: Value,
    statements: Vec<Statement>,
}

/// SCP and everything around it for the slot above the head.
pub(crate) struct Consensus {
    /// One instance per term: it decides with one quorum set, so no slot ever mixes two (TC29).
    scp: Scp,
    keys: VotingKeys,
    /// Whether this node was given keys, whether or not it has a seat now.
    listens: bool,
    /// The one of this term.
    key: Option<SecretKey>,
    network: NetworkId,
    /// Who decides this slot.
    deciders: Arc<Deciders>,
    /// Who decides the one after, once that is certain.
    next_deciders: Option<Arc<Deciders>>,
    block_bytes_max: u32,
    slot: SlotIndex,
    candidates: Candidates,
    /// By what they say, in the name of the seat; whoever speaks for it signs with its own name.
    envelopes: BTreeMap<Statement, Envelope>,
    decision: Option<Decision>,
    /// Since when this life works on the slot, in steady time.
    since: Timestamp,
    /// Whether nomination has begun here.
    has_begun: bool,
    /// Slots up to this one were voted in by a life of this node that is forgotten here; it stays silent in them.
    muted_to: SlotIndex,
    /// Up to this slot by a life that had this node's own key: its owner alone may let it go on (TC3).
    forgot_to: SlotIndex,
    /// The slot in which it goes on from words that others held: there may be newer ones.
    adopted_in: Option<SlotIndex>,
    /// Whether this life has said anything in this slot.
    has_spoken: bool,
    /// The own proposal, until its body is pushed when it is first named.
    own: Option<Value>,
    is_committing: bool,
    /// Values whose proposal and body are in the journal.
    stored: BTreeSet<Value>,
    /// Bodies from the journal, read and tried when the node starts.
    restored: Vec<(Value, Arc<[u8]>)>,
    /// Entries of the journal about slots of later terms: an instance remembers only what was said in its own.
    of_later_terms: Vec<(Term, Entry)>,
    /// What goes into SCP and comes out, where it is asked for.
    log: Option<Vec<log::Entry>>,
    evidence: EvidenceLog,
    /// Entries that lead less often in this slot, with their weights.
    weights: Vec<(NodeId, u64)>,
}

/// SCP's questions, answered from what is known of the slot.
struct Answers<'a> {
    candidates: &'a Candidates,
    deciders: &'a Deciders,
    network: NetworkId,
    weights: &'a [(NodeId, u64)],
}

impl Oracle for Answers<'_> {
    fn validity(&self, _slot: SlotIndex, value: &Value) -> Validity {
        self.candidates.validity(value)
    }

    fn combine(&self, _slot: SlotIndex, values: &[Value]) -> Option<Value> {
        self.candidates.combine(values)
    }

    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet> {
        (*hash == self.deciders.hash).then_some(&self.deciders.quorum_set)
    }

    fn weight(&self, node: NodeId) -> u64 {
        // With full weight an entry is a neighbour of every entry in every round, with half of it in every other: the round's leader
        // is the neighbour with the highest priority.
        if !self.deciders.is_seat(&node) {
            return 0;
        }
        let known = self.weights.iter().find(|(key, _)| *key == node);
        known.map_or(u64::MAX, |(_, weight)| *weight)
    }

    fn fallback(&self, _slot: SlotIndex, value: &Value) -> Option<Value> {
        let is_proposal = self.candidates.get(value).is_some();
        is_proposal.then(|| empty_value(&self.network, value))
    }
}

impl Consensus {
    pub(crate) fn new(
        head: &Head,
        backbones: &Backbones,
        keys: VotingKeys,
        muted_to: SlotIndex,
        block_bytes_max: u32,
        entries: Vec<Entry>,
        is_logged: bool,
    ) -> Self {
        let network = *backbones.network();
        let slot = head.next_slot();
        let deciders = deciders_of(slot, backbones);
        let key = keys.of(&deciders).cloned();
        let config = config_of(&deciders, key.as_ref(), network);
        let log = is_logged.then(|| vec![log::Entry::Life(config.clone())]);
        // Words about a slot that blocks lost from here lie below: nothing of that slot can be looked at yet, so nothing more is said in it.
        let newest = entries
            .iter()
            .map(Entry::slot)
            .max()
            .filter(|newest| *newest > slot);
        let muted_to = newest.map_or(muted_to, |newest| muted_to.max(newest));
        let mut this = Self {
            scp: Scp::new(config),
            listens: !keys.is_empty(),
            keys,
            key,
            network,
            deciders,
            next_deciders: backbones.of_slot(slot.next()).cloned(),
            block_bytes_max,
            slot,
            candidates: Candidates::above(&head.header, network, backbones.version(), block_bytes_max),
            envelopes: BTreeMap::new(),
            decision: None,
            since: Timestamp(0),
            has_begun: false,
            muted_to,
            forgot_to: muted_to,
            adopted_in: None,
            has_spoken: false,
            own: None,
            is_committing: false,
            stored: BTreeSet::new(),
            restored: Vec::new(),
            of_later_terms: Vec::new(),
            log,
            evidence: EvidenceLog::default(),
            weights: Vec::new(),
        };
        let with_term = entries.into_iter().map(|entry| {
            let term = backbones.terms().of_height(entry.slot().into());
            (term, entry)
        });
        this.of_later_terms = with_term.collect();
        this.restore_term();
        this
    }

    /// Takes an entry of an earlier life; says nothing by itself.
    fn restore(&mut self, entry: Entry) {
        match entry {
            Entry::Record { record, .. } => {
                self.step_scp(Input::Restore(&record));
            }
            Entry::Body { proposal, body } => {
                // It was voted for, so it is acceptable also if it is its proposer's second.
                let (value, close_time) = (proposal.proposal.value(), proposal.proposal.close_time);
                let proposer = proposal.proposal.proposer;
                let seat = self.deciders.seat_ever_of(&proposer).unwrap_or(proposer);
                let admitted = self.candidates.admit(*proposal, Some(seat), close_time, None);
                if matches!(admitted, Ok(_) | Err(NotAdmitted::Second)) {
                    self.candidates.accept(&value);
                    self.restored.push((value, body.into_inner()));
                }
            }
        }
    }

    pub(crate) const fn slot(&self) -> SlotIndex {
        self.slot
    }

    /// The keys with which this node votes.
    pub(crate) const fn keys(&self) -> &VotingKeys {
        &self.keys
    }

    pub(crate) const fn is_validator(&self) -> bool {
        self.listens
    }

    pub(crate) const fn is_committing(&self) -> bool {
        self.is_committing
    }

    pub(crate) const fn set_committing(&mut self) {
        self.is_committing = true;
    }

    fn step_scp(&mut self, input: Input<'_>) -> Vec<Output> {
        let answers = Answers {
            candidates: &self.candidates,
            deciders: &self.deciders,
            network: self.network,
            weights: &self.weights,
        };
        let mut outputs = Vec::new();
        match &mut self.log {
            None => self.scp.step(input, &answers, &mut outputs),
            Some(log) => {
                let step = Step::record(&mut self.scp, input, &answers, &mut outputs);
                let outputs = outputs.clone();
                log.push(log::Entry::Step { step, outputs });
            }
        }
        outputs
    }

    /// What was logged since the last call.
    pub(crate) fn take_log(&mut self) -> Vec<log::Entry> {
        self.log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn end_log(&mut self) {
        self.log = None;
    }

    fn step(&mut self, input: Input<'_>, context: &mut Context<'_>) {
        for output in self.step_scp(input) {
            self.perform(output, context);
        }
    }

    fn perform(&mut self, output: Output, context: &mut Context<'_>) {
        match output {
            Output::Persist(record) => self.persist(record, context),
            Output::Send(statement) => self.say(statement, context),
            Output::SetTimer {
                slot,
                kind,
                round,
                generation,
            } => {
                let growth_ms = ROUND_GROWTH_MS.saturating_mul(u64::from(round.saturating_sub(1)));
                let wait_ms = ROUND_MS.saturating_add(growth_ms).min(ROUND_MS_MAX);
                let timer = match kind {
                    TimerKind::Nomination => Timer::Nomination { slot, generation },
                    TimerKind::Ballot => Timer::Ballot { slot, generation },
                };
                context.effects.push(Effect::SetTimer {
                    timer,
                    at: context.now.plus(wait_ms),
                });
            }
            // A cancelled timer fires with an old generation and is ignored by SCP.
            Output::CancelTimer { .. } | Output::NeedQuorumSet(_) => {}
            Output::RecordRefused(slot) => {
                tracing::warn!(
                    slot = slot.0,
                    "the journal's record of this slot is damaged; silent in this slot"
                );
                self.forgot(slot);
            }
            Output::Amnesia(statement) => self.meet_own(&statement, context),
            Output::Externalized {
                slot,
                value,
                statements,
            } => {
                if slot == self.slot && self.decision.is_none() {
                    self.decision = Some(Decision { value, statements });
                    self.conclude(context);
                }
            }
            Output::Evidence(a, b) => {
                let envelope = |statement| self.envelopes.get(statement).cloned();
                // Each of two keys of one seat has its own words.
                if let (Some(a), Some(b)) = (envelope(&a), envelope(&b))
                    && a.statement.node == b.statement.node
                {
                    self.accuse(Evidence::Commits(Box::new([a, b])));
                }
            }
        }
    }

    /// Keeps evidence against a validator.
    fn accuse(&mut self, evidence: Evidence) {
        let (node, slot, what) = (evidence.node(), evidence.slot().0, evidence.kind());
        if self.evidence.note(evidence) {
            tracing::warn!(%node, slot, what, "a validator contradicted itself");
        }
    }

    pub(crate) const fn evidence(&self) -> &EvidenceLog {
        &self.evidence
    }

    fn is_own(&self, node: &NodeId) -> bool {
        self.own_entry() == Some(*node)
    }

    pub(crate) fn timer_fired(
        &mut self,
        slot: SlotIndex,
        kind: TimerKind,
        generation: u64,
        context: &mut Context<'_>,
    ) {
        self.step(
            Input::Timer {
                slot,
                kind,
                generation,
            },
            context,
        );
    }

    /// Whether this node takes part in the slot and has not begun it.
    pub(crate) fn may_begin(&self) -> bool {
        self.has_seat() && !self.has_begun && !self.is_committing && self.slot > self.muted_to
    }

    /// The proposal that this node made in this slot, maybe in an earlier life: one per slot, for ever.
    pub(crate) fn own_proposal(&self) -> Option<Value> {
        self.candidates.of_proposer(&self.own_entry()?)
    }

    /// Since when this life works on the slot, in steady time.
    pub(crate) const fn since(&self) -> Timestamp {
        self.since
    }

    /// Goes on where an earlier life stopped: its statements of this slot may be sent again verbatim, its bodies are tried.
    pub(crate) fn resume(&mut self, context: &mut Context<'_>) {
        self.since = context.now;
        for (value, body) in std::mem::take(&mut self.restored) {
            self.take_body(None, value, body, context);
            // SCP was told of the statements first, when neither could be looked at.
            self.changed(value, context);
        }
        self.sign_own();
    }

    /// Signs the own newest statements of the slot, so that they can be sent again.
    fn sign_own(&mut self) {
        let own: Vec<Statement> = self.scp.own(self.slot).cloned().collect();
        for statement in own {
            if let Some(envelope) = self.sign(statement.clone()) {
                self.envelopes.insert(statement, envelope);
            }
        }
    }

    /// What this node says for its seat, with its own key's name and signature.
    fn sign(&self, statement: Statement) -> Option<Envelope> {
        let key = self.key.as_ref()?;
        let node = key.node_id();
        Some(Envelope::sign(
            Statement { node, ..statement },
            key,
            &self.network,
        ))
    }

    /// Time passes: in a slot that takes long, what was proposed at its beginning counts, however late it came.
    pub(crate) fn tick(&mut self, context: &mut Context<'_>) {
        if context.now.0.saturating_sub(self.since.0) > CLOSE_TIME_PAST_MAX_MS {
            for value in self.candidates.take_long(context.wall) {
                self.changed(value, context);
            }
        }
    }

    /// Whether this is the node's own seat.
    pub(crate) fn is_mine(&self, node: &NodeId) -> bool {
        self.is_own(node)
    }

    /// Whether this statement was taken in before; it names its seat.
    pub(crate) fn knows(&self, statement: &Statement) -> bool {
        self.envelopes.contains_key(statement)
    }

    /// Who leads less often in this slot, from the state of the head.
    pub(crate) fn weigh(&mut self, weights: Vec<(NodeId, u64)>) {
        self.weights = weights;
    }

    /// Block `head` is committed: its slot is history, the next one begins to be listened to.
    /// Returns what was known of the proposals of the slot that is over.
    ///
    /// Where a term ends, the instance of the next one begins. The one of the term that is over is not kept: whoever still works on
    /// its last slot takes the block with its proof.
    pub(crate) fn advance(&mut self, head: &Head, backbones: &Backbones, now: Timestamp) -> Candidates {
        self.slot = head.next_slot();
        self.next_deciders = backbones.of_slot(self.slot.next()).cloned();
        self.since = now;
        let network = *backbones.network();
        let above = Candidates::above(&head.header, network, backbones.version(), self.block_bytes_max);
        let over = std::mem::replace(&mut self.candidates, above);
        self.envelopes.clear();
        self.decision = None;
        self.has_begun = false;
        self.has_spoken = false;
        self.own = None;
        self.is_committing = false;
        self.stored.clear();
        let deciders = deciders_of(self.slot, backbones);
        if deciders.term != self.deciders.term || network != self.network {
            self.network = network;
            self.begin_term(deciders);
        }
        self.step_scp(Input::Purge { below: self.slot });
        over
    }
}

/// Every value that pledges name.
fn values_of(pledges: &Pledges) -> Vec<Value> {
    match pledges {
        Pledges::Nominate { votes, accepted } => votes.iter().chain(accepted).copied().collect(),
        Pledges::Prepare {
            ballot,
            prepared,
            prepared_prime,
            ..
        } => [Some(*ballot), *prepared, *prepared_prime]
            .into_iter()
            .flatten()
            .map(|ballot| ballot.value)
            .collect(),
        Pledges::Confirm { ballot, .. } => vec![ballot.value],
        Pledges::Externalize { commit, .. } => vec![commit.value],
    }
}
