//! Drives SCP for the slot above the head: proposals, bodies, trials, timers, and what is said to whom.
//!
//! One slot at a time: slot `s + 1` begins when block `s` is committed. SCP itself knows no proposal; this module answers its
//! questions from [`Candidates`] and turns its outputs into effects, in SCP's order.

use crate::candidates::{Body, Candidates, NotAdmitted};
use crate::effect::{Effect, Priority, Timer};
use crate::event::{ApplyFailure, PeerId};
use crate::journal::Entry;
use crate::message::{DecidedBlock, Message};
use crate::peers::Peers;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watt_ledger::block::describe_body;
use watt_ledger::{BlockOutcome, UncheckedBlock};
use watt_light::{Header, Proposal, SignedProposal, SignedTransaction};
use watt_primitives::{BoundedVec, Hash, NetworkId, NodeId, SecretKey, SlotIndex, Timestamp, TransactionId};
use watt_scp::{
    Config, Envelope, Input, Oracle, Output, Pledges, QuorumSet, Record, Scp, Statement, TimerKind, Validity,
    Value,
};

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

/// What a call may use: the time, who is connected, and where to put what must be done.
pub(crate) struct Context<'a> {
    pub(crate) now: Timestamp,
    pub(crate) peers: &'a Peers,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, to: PeerId, message: &Message, priority: Priority) {
        self.effects.push(Effect::Send {
            to,
            message: message.encode(),
            priority,
        });
    }

    /// Sends to every peer that takes part in agreement, but `except`.
    pub(crate) fn flood(&mut self, message: &Message, priority: Priority, except: Option<PeerId>) {
        let bytes = message.encode();
        for to in self.peers.agreeing(except) {
            self.effects.push(Effect::Send {
                to,
                message: bytes.clone(),
                priority,
            });
        }
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
    scp: Scp,
    key: Option<SecretKey>,
    network: NetworkId,
    quorum_set: QuorumSet,
    quorum_set_hash: Hash,
    block_bytes_max: u32,
    slot: SlotIndex,
    candidates: Candidates,
    envelopes: BTreeMap<Statement, Envelope>,
    decision: Option<Decision>,
    /// Whether nomination has begun here.
    has_begun: bool,
    /// Slots up to this one were voted in by a life of this node that is forgotten here; it stays silent in them.
    muted_to: SlotIndex,
    /// Whether this life has said anything in this slot.
    has_spoken: bool,
    /// Value and body of the own proposal, to be pushed when it is first named.
    own: Option<(Value, Vec<SignedTransaction>)>,
    is_committing: bool,
    /// Values whose proposal and body are in the journal.
    stored: BTreeSet<Value>,
    /// Bodies from the journal, tried when the node starts.
    restored: Vec<(Value, Vec<SignedTransaction>)>,
}

/// SCP's questions, answered from what is known of the slot.
struct Answers<'a> {
    candidates: &'a Candidates,
    quorum_set: &'a QuorumSet,
    quorum_set_hash: Hash,
    network: NetworkId,
}

impl Oracle for Answers<'_> {
    fn validity(&self, _slot: SlotIndex, value: &Value) -> Validity {
        self.candidates.validity(value)
    }

    fn combine(&self, _slot: SlotIndex, values: &[Value]) -> Option<Value> {
        self.candidates.combine(values)
    }

    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet> {
        (*hash == self.quorum_set_hash).then_some(self.quorum_set)
    }

    fn weight(&self, node: NodeId) -> u64 {
        // Every entry is a neighbour of every entry: the round's leader is the one with the highest priority.
        if self.quorum_set.nodes.contains(&node) {
            u64::MAX
        } else {
            0
        }
    }

    fn fallback(&self, _slot: SlotIndex, value: &Value) -> Option<Value> {
        let is_proposal = self.candidates.get(value).is_some();
        is_proposal.then(|| watt_light::proposal::empty_value(&self.network, value))
    }
}

impl Consensus {
    pub(crate) fn new(
        head: &Head,
        quorum_set: QuorumSet,
        key: Option<SecretKey>,
        muted_to: SlotIndex,
        block_bytes_max: u32,
        entries: Vec<Entry>,
    ) -> Self {
        let network = head.header.network;
        let node = key.as_ref().map_or(NodeId([0; 32]), SecretKey::node_id);
        let votes = key.is_some() && quorum_set.nodes.contains(&node);
        let config = Config {
            node,
            network,
            quorum_set: quorum_set.clone(),
            votes,
        };
        let mut this = Self {
            scp: Scp::new(config),
            key,
            network,
            quorum_set_hash: quorum_set.hash(&network),
            quorum_set,
            block_bytes_max,
            slot: head.next_slot(),
            candidates: Candidates::above(&head.header, block_bytes_max),
            envelopes: BTreeMap::new(),
            decision: None,
            has_begun: false,
            muted_to,
            has_spoken: false,
            own: None,
            is_committing: false,
            stored: BTreeSet::new(),
            restored: Vec::new(),
        };
        for entry in entries {
            this.restore(entry);
        }
        this
    }

    /// Takes an entry of an earlier life; says nothing by itself.
    fn restore(&mut self, entry: Entry) {
        match entry {
            Entry::Record { record, .. } => {
                self.step_scp(Input::Restore(&record));
            }
            Entry::Body {
                proposal,
                transactions,
            } => {
                let close_time = proposal.proposal.close_time;
                if let Ok(value) = self.candidates.admit(*proposal, true, close_time, None) {
                    self.restored.push((value, transactions));
                }
            }
        }
    }

    pub(crate) const fn slot(&self) -> SlotIndex {
        self.slot
    }

    pub(crate) const fn is_validator(&self) -> bool {
        self.key.is_some()
    }

    pub(crate) const fn is_committing(&self) -> bool {
        self.is_committing
    }

    pub(crate) const fn set_committing(&mut self) {
        self.is_committing = true;
    }

    pub(crate) fn is_entry(&self, node: &NodeId) -> bool {
        self.quorum_set.nodes.contains(node)
    }

    fn step_scp(&mut self, input: Input<'_>) -> Vec<Output> {
        let answers = Answers {
            candidates: &self.candidates,
            quorum_set: &self.quorum_set,
            quorum_set_hash: self.quorum_set_hash,
            network: self.network,
        };
        let mut outputs = Vec::new();
        self.scp.step(input, &answers, &mut outputs);
        outputs
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
                self.muted_to = self.muted_to.max(slot);
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
                tracing::warn!(node = %a.node, slot = a.slot.0, ?a, ?b, "conflicting statements of one validator");
            }
        }
    }

    /// Makes the record durable, and before it the value it votes to commit.
    fn persist(&mut self, record: Record, context: &mut Context<'_>) {
        if let Some(entry) = self.unstored_commit(&record) {
            context.effects.push(Effect::PersistScp {
                slot: self.slot,
                entry: entry.encode(),
            });
        }
        let entry = Entry::Record {
            slot: self.slot,
            record: Box::new(record),
        };
        context.effects.push(Effect::PersistScp {
            slot: self.slot,
            entry: entry.encode(),
        });
    }

    /// The proposal and body that `record` votes to commit, the first time it does.
    fn unstored_commit(&mut self, record: &Record) -> Option<Entry> {
        let voted = commit_value(record)?;
        if self.stored.contains(&voted) {
            return None;
        }
        let (value, is_fallback) = self.candidates.resolve(&voted)?;
        let proposal = Box::new(self.candidates.get(&value)?.signed.clone());
        let transactions = if is_fallback {
            Vec::new()
        } else {
            self.body(&value)?.to_vec()
        };
        self.stored.insert(voted);
        Some(Entry::Body {
            proposal,
            transactions,
        })
    }

    /// Signs and floods an own statement, unless this node may have voted here in a life it forgot.
    fn say(&mut self, statement: Statement, context: &mut Context<'_>) {
        let Some(key) = &self.key else { return };
        if statement.slot <= self.muted_to {
            return;
        }
        let envelope = Envelope::sign(statement.clone(), key, &self.network);
        self.has_spoken = true;
        self.push_own_body(&statement, context);
        self.envelopes.insert(statement, envelope.clone());
        let message = self.with_proposals(envelope);
        context.flood(&message, Priority::Urgent, None);
    }

    /// The first time the own proposal is named: makes it durable, then sends its body along.
    fn push_own_body(&mut self, statement: &Statement, context: &mut Context<'_>) {
        let names_own =
            |own: &(Value, Vec<SignedTransaction>)| values_of(&statement.pledges).contains(&own.0);
        let Some((value, transactions)) = self.own.take_if(|own| names_own(own)) else {
            return;
        };
        if let Some(candidate) = self.candidates.get(&value) {
            let proposal = Box::new(candidate.signed.clone());
            let entry = Entry::Body {
                proposal,
                transactions: transactions.clone(),
            };
            context.effects.push(Effect::PersistScp {
                slot: self.slot,
                entry: entry.encode(),
            });
            self.stored.insert(value);
        }
        if let Ok(transactions) = BoundedVec::new(transactions) {
            context.flood(&Message::Body { value, transactions }, Priority::Bulk, None);
        }
    }

    fn with_proposals(&self, envelope: Envelope) -> Message {
        let values = values_of(&envelope.statement.pledges);
        let mut proposals = self.candidates.behind(values.iter());
        proposals.truncate(32);
        Message::Statement {
            envelope: Box::new(envelope),
            proposals: BoundedVec::new(proposals).unwrap_or_default(),
        }
    }

    /// Begins the slot with an own proposal over `transactions`.
    pub(crate) fn begin(
        &mut self,
        head: &Head,
        transactions: Vec<SignedTransaction>,
        context: &mut Context<'_>,
    ) {
        let Some(key) = &self.key else { return };
        if self.has_begun || self.slot <= self.muted_to || !self.is_entry(&key.node_id()) {
            return;
        }
        self.has_begun = true;
        // One proposal per slot, for ever: an earlier life may have made it.
        let made = self.candidates.of_proposer(&key.node_id());
        let Some(value) = made.or_else(|| self.propose(head, transactions, context)) else {
            return;
        };
        let previous = Value(head.header.value);
        self.step(
            Input::Nominate {
                slot: self.slot,
                value,
                previous,
            },
            context,
        );
    }

    /// Makes the own proposal of this slot.
    fn propose(
        &mut self,
        head: &Head,
        transactions: Vec<SignedTransaction>,
        context: &mut Context<'_>,
    ) -> Option<Value> {
        let key = self.key.as_ref()?;
        let (body_root, n_transactions, body_bytes) = describe_body(&self.network, &transactions);
        let proposal = Proposal {
            network: self.network,
            slot: self.slot,
            version: watt_light::proposal::PROTOCOL_VERSION,
            parent: head.hash,
            close_time: context.now.max(head.header.close_time.next()),
            body_root,
            n_transactions,
            body_bytes,
            upgrades: BoundedVec::empty(),
            proposer: key.node_id(),
        };
        let signed = proposal.sign(key);
        let value = self.candidates.admit(signed, true, context.now, None).ok()?;
        self.take_body(value, transactions.clone(), context);
        self.own = Some((value, transactions));
        Some(value)
    }

    /// Takes in a statement whose signatures, and those of its proposals, hold.
    ///
    /// Returns whether it is news worth relaying.
    pub(crate) fn receive(
        &mut self,
        from: PeerId,
        envelope: Envelope,
        proposals: Vec<SignedProposal>,
        context: &mut Context<'_>,
    ) -> bool {
        let statement = envelope.statement.clone();
        if statement.slot != self.slot || self.envelopes.contains_key(&statement) {
            return false;
        }
        self.admit_all(from, proposals, context);
        let kept_of_node = self
            .envelopes
            .keys()
            .filter(|kept| kept.node == statement.node)
            .count();
        if kept_of_node >= ENVELOPES_PER_NODE_MAX {
            return false;
        }
        self.envelopes.insert(statement.clone(), envelope);
        for value in self.vouch(&statement) {
            self.step(
                Input::ValidityChanged {
                    slot: self.slot,
                    value,
                },
                context,
            );
        }
        self.step(
            Input::Receive {
                slot: self.slot,
                statements: std::slice::from_ref(&statement),
            },
            context,
        );
        true
    }

    fn admit_all(&mut self, from: PeerId, proposals: Vec<SignedProposal>, context: &mut Context<'_>) {
        for signed in proposals {
            let is_entry = self.is_entry(&signed.proposal.proposer);
            let (slot, proposer) = (signed.proposal.slot, signed.proposal.proposer);
            let is_new = self.candidates.get(&signed.proposal.value()).is_none();
            match self.candidates.admit(signed, is_entry, context.now, Some(from)) {
                Ok(value) if is_new => {
                    let at = context.now.plus(BODY_ASK_MS);
                    context.effects.push(Effect::SetTimer {
                        timer: Timer::Body { slot, value },
                        at,
                    });
                }
                Ok(_) | Err(NotAdmitted::IllMade) => {}
                Err(NotAdmitted::Second) => {
                    tracing::warn!(node = %proposer, slot = slot.0, "a validator proposed twice in one slot");
                }
            }
        }
    }

    /// Values that the statement makes acceptable here: f + 1 entries name a proposal whose close time looked wrong.
    fn vouch(&mut self, statement: &Statement) -> Vec<Value> {
        let k = self.quorum_set.nodes.len();
        let enough = k.saturating_sub(1) / 3 + 1;
        let named = values_of(&statement.pledges);
        named
            .into_iter()
            .filter(|value| self.candidates.vouch(value, statement.node, enough))
            .collect()
    }

    fn is_own(&self, node: &NodeId) -> bool {
        self.key.as_ref().is_some_and(|key| key.node_id() == *node)
    }

    /// A statement of this node's own key that it does not remember: either it forgot (restored from an older record), then
    /// it stays silent in this slot; or a copy of it runs elsewhere, then it must stop (TC3).
    fn meet_own(&mut self, statement: &Statement, context: &mut Context<'_>) {
        if self.has_spoken {
            let sentence = "another program signs with this node's voting key; one of the two must stop for good                             (was the data folder copied?)";
            context.effects.push(Effect::Halt(sentence.to_owned()));
        } else {
            tracing::warn!(
                slot = statement.slot.0,
                "a forgotten own statement was met; silent in this slot"
            );
            self.muted_to = self.muted_to.max(statement.slot);
        }
    }

    /// The body behind `value` arrived (or is the own one).
    pub(crate) fn take_body(
        &mut self,
        value: Value,
        transactions: Vec<SignedTransaction>,
        context: &mut Context<'_>,
    ) -> bool {
        let network = self.network;
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return false;
        };
        if !matches!(candidate.body, Body::Missing) {
            return false;
        }
        let proposal = &candidate.signed.proposal;
        let described = (proposal.body_root, proposal.n_transactions, proposal.body_bytes);
        if describe_body(&network, &transactions) != described {
            return false;
        }
        let block = Arc::new(UncheckedBlock {
            proposal: candidate.signed.clone(),
            is_empty: false,
            transactions,
        });
        candidate.body = Body::Trying(Arc::clone(&block));
        context.effects.push(Effect::Apply { value, block });
        true
    }

    /// The body behind `value`, to answer a peer.
    pub(crate) fn body(&self, value: &Value) -> Option<&[SignedTransaction]> {
        match &self.candidates.get(value)?.body {
            Body::Trying(block) | Body::Good(block, _) => Some(&block.transactions),
            Body::Missing | Body::Bad(_) => None,
        }
    }

    /// A trial is over. Returns transactions to quarantine.
    pub(crate) fn tried(
        &mut self,
        value: Value,
        result: Result<Arc<BlockOutcome>, ApplyFailure>,
        context: &mut Context<'_>,
    ) -> Vec<TransactionId> {
        if self
            .decision
            .as_ref()
            .is_some_and(|decision| decision.value == value)
            && self
                .candidates
                .resolve(&value)
                .is_some_and(|(_, is_fallback)| is_fallback)
        {
            if let Ok(outcome) = result {
                self.commit(value, outcome, context);
            }
            return Vec::new();
        }
        let network = self.network;
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return Vec::new();
        };
        let Body::Trying(block) = &candidate.body else {
            return Vec::new();
        };
        let block = Arc::clone(block);
        let mut culprits = Vec::new();
        match result {
            Ok(outcome) => candidate.body = Body::Good(block, outcome),
            Err(failure) => {
                tracing::warn!(slot = self.slot.0, %failure, "a proposed block failed its trial");
                culprits = culprits_of(&block, &failure, &network);
                candidate.body = Body::Bad(failure);
            }
        }
        self.step(
            Input::ValidityChanged {
                slot: self.slot,
                value,
            },
            context,
        );
        self.conclude(context);
        culprits
    }

    /// If the slot is decided and its outcome is known, commits; else gets on with what is missing.
    fn conclude(&mut self, context: &mut Context<'_>) {
        let Some(decision) = &self.decision else { return };
        let value = decision.value;
        if self.is_committing {
            return;
        }
        let Some((proposed, is_fallback)) = self.candidates.resolve(&value) else {
            return;
        };
        let Some(candidate) = self.candidates.get(&proposed) else {
            return;
        };
        if is_fallback {
            let block = UncheckedBlock {
                proposal: candidate.signed.clone(),
                is_empty: true,
                transactions: Vec::new(),
            };
            context.effects.push(Effect::Apply {
                value,
                block: Arc::new(block),
            });
            return;
        }
        match &candidate.body {
            Body::Good(_, outcome) => {
                let outcome = Arc::clone(outcome);
                self.commit(value, outcome, context);
            }
            // The trial's end concludes.
            Body::Trying(_) => {}
            Body::Missing => self.ask_body(proposed, context),
            Body::Bad(failure) => {
                let sentence = format!(
                    "block {} was agreed on by the network but cannot be executed here ({failure}); update this program",
                    self.slot
                );
                context.effects.push(Effect::Halt(sentence));
            }
        }
    }

    fn commit(&mut self, value: Value, outcome: Arc<BlockOutcome>, context: &mut Context<'_>) {
        let Some(decision) = self.decision.take_if(|decision| decision.value == value) else {
            return;
        };
        let Some((proposed, is_empty)) = self.candidates.resolve(&value) else {
            return;
        };
        let Some(candidate) = self.candidates.get(&proposed) else {
            return;
        };
        let transactions = match &candidate.body {
            Body::Good(block, _) if !is_empty => block.transactions.clone(),
            Body::Good(..) | Body::Trying(_) | Body::Missing | Body::Bad(_) => Vec::new(),
        };
        let envelopes: Vec<Envelope> = decision
            .statements
            .iter()
            .filter_map(|statement| self.envelopes.get(statement).cloned())
            .collect();
        let said: Vec<Statement> = envelopes
            .iter()
            .map(|envelope| envelope.statement.clone())
            .collect();
        if !watt_scp::finality::proves(self.slot, &value, &said, &self.quorum_set) {
            // Own statements count here that were never said (muted): a peer that has the proof sends the block.
            tracing::debug!(
                slot = self.slot.0,
                "decided, but not provably; waiting for a peer's proof"
            );
            return;
        }
        let (Ok(transactions), Ok(decision)) = (BoundedVec::new(transactions), BoundedVec::new(envelopes))
        else {
            return;
        };
        self.is_committing = true;
        let block = DecidedBlock {
            proposal: candidate.signed.clone(),
            is_empty,
            transactions,
            decision,
        };
        context.effects.push(Effect::Commit {
            block: Box::new(block),
            outcome,
        });
    }

    /// The body timer of `value` fired: ask for it, then give it up.
    pub(crate) fn body_due(&mut self, slot: SlotIndex, value: Value, context: &mut Context<'_>) {
        let Some(candidate) = self.candidates.get(&value) else {
            return;
        };
        if slot != self.slot || !matches!(candidate.body, Body::Missing) {
            return;
        }
        let is_first = candidate.asked == 0;
        self.ask_body(value, context);
        let at = context
            .now
            .plus(BODY_GIVE_UP_MS.saturating_sub(if is_first { BODY_ASK_MS } else { 0 }));
        context.effects.push(Effect::SetTimer {
            timer: Timer::Body { slot, value },
            at,
        });
        if !is_first {
            self.step(Input::BodyTimeout { slot, value }, context);
        }
    }

    /// Asks for the body behind `value`: first who named it, then everybody in turn, since its proposer may be gone and
    /// whoever has it may never name it again.
    fn ask_body(&mut self, value: Value, context: &mut Context<'_>) {
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return;
        };
        let everybody: Vec<PeerId> = context.peers.agreeing(None).collect();
        let turn = usize::try_from(candidate.asked).unwrap_or(0);
        let first = candidate.sources.first().filter(|_| turn == 0);
        let in_turn = turn.checked_rem(everybody.len()).and_then(|at| everybody.get(at));
        candidate.asked = candidate.asked.saturating_add(1);
        if let Some(to) = first.or(in_turn).copied() {
            context.send(to, &Message::GetBody { value }, Priority::Urgent);
        }
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

    /// The newest statements of the slot, own ones last: to re-send, and to answer who asks.
    pub(crate) fn statements(&self, only_own: bool) -> Vec<Message> {
        self.scp
            .latest(self.slot)
            .filter(|statement| !only_own || self.is_own(&statement.node))
            .filter_map(|statement| self.envelopes.get(statement))
            .map(|envelope| self.with_proposals(envelope.clone()))
            .collect()
    }

    /// Whether this slot still waits for its beginning here.
    pub(crate) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Goes on where an earlier life stopped: its statements of this slot may be sent again verbatim, its bodies are tried.
    pub(crate) fn resume(&mut self, context: &mut Context<'_>) {
        for (value, transactions) in std::mem::take(&mut self.restored) {
            self.take_body(value, transactions, context);
        }
        let Some(key) = &self.key else { return };
        let own: Vec<Statement> = self.scp.own(self.slot).cloned().collect();
        for statement in own {
            let envelope = Envelope::sign(statement.clone(), key, &self.network);
            self.envelopes.insert(statement, envelope);
        }
    }

    /// Whether this is the node's own voting key.
    pub(crate) fn is_mine(&self, node: &NodeId) -> bool {
        self.is_own(node)
    }

    /// Whether this statement was taken in before.
    pub(crate) fn knows(&self, statement: &Statement) -> bool {
        self.envelopes.contains_key(statement)
    }

    /// Whether this proposal is known.
    pub(crate) fn has_proposal(&self, signed: &SignedProposal) -> bool {
        self.candidates.get(&signed.proposal.value()).is_some()
    }

    /// Block `head` is committed: its slot is history, the next one begins to be listened to.
    pub(crate) fn advance(&mut self, head: &Head) {
        self.slot = head.next_slot();
        self.candidates = Candidates::above(&head.header, self.block_bytes_max);
        self.envelopes.clear();
        self.decision = None;
        self.has_begun = false;
        self.has_spoken = false;
        self.own = None;
        self.is_committing = false;
        self.stored.clear();
        self.step_scp(Input::Purge { below: self.slot });
    }
}

/// The value that a record votes to commit, if it does.
fn commit_value(record: &Record) -> Option<Value> {
    match &record.ballot.as_ref()?.pledges {
        Pledges::Prepare {
            ballot, c_counter, ..
        } => (*c_counter > 0).then_some(ballot.value),
        Pledges::Confirm { ballot, .. } => Some(ballot.value),
        Pledges::Externalize { commit, .. } => Some(commit.value),
        Pledges::Nominate { .. } => None,
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

/// Whom to keep out of own proposals after a failed trial: the culprit if it is known, else everyone in the block.
fn culprits_of(block: &UncheckedBlock, failure: &ApplyFailure, network: &NetworkId) -> Vec<TransactionId> {
    let ids = || {
        block
            .transactions
            .iter()
            .map(|signed| signed.transaction.id(network))
    };
    match failure {
        ApplyFailure::Panicked { culprit: Some(at) } => ids().skip(*at).take(1).collect(),
        ApplyFailure::Panicked { culprit: None } | ApplyFailure::TooSlow => ids().collect(),
        ApplyFailure::Invalid(_) | ApplyFailure::Undecided => Vec::new(),
    }
}
