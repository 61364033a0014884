//! The set of slots and the one entry point: inputs in, outputs out.

use crate::node_set::NodeIndex;
use crate::quorum_set::QuorumSet;
use crate::roster::Roster;
use crate::slot::Slot;
use crate::statement::{Statement, Value};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::codec::zero_or_one;
use watt_primitives::{Hash, NetworkId, NodeId, SlotIndex};

#[cfg(any(test, feature = "testing"))]
pub mod inspect;

/// The most slots held at once (`docs/spec/scp.md` §8).
pub const SLOTS_MAX: usize = 128;

/// Who this node is and whom it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// The network, part of every hash.
    pub network: NetworkId,
    /// This node's own quorum set, fixed for the life of one [`Scp`].
    pub quorum_set: QuorumSet,
    /// `false`: follows the others and learns what is decided, but never says anything.
    pub votes: bool,
}

/// What is known of a value.
///
/// It moves from `Invalid` (not known, too early) or `Structural` on to exactly one of `Full` and `Invalid`, and that last
/// step is a function of the body and the state below it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Validity {
    /// Never voted for.
    Invalid,
    /// Well-formed, its body still missing: may be nominated and prepared, never committed by this node's own vote.
    Structural,
    /// The body is durable here and applies.
    Full,
}

/// What the protocol asks of the application. Answers depend on nothing but facts that are durable or come in as inputs.
pub trait Oracle {
    /// What is known of `value`; a change is announced by [`Input::ValidityChanged`].
    fn validity(&self, slot: SlotIndex, value: &Value) -> Validity;

    /// The one value that stands for these candidates, which are in ascending order.
    fn combine(&self, slot: SlotIndex, candidates: &[Value]) -> Option<Value>;

    /// The quorum set with this hash.
    fn quorum_set(&self, hash: &Hash) -> Option<&QuorumSet>;

    /// A node's chance to lead a round of nomination, from 0 (never) to `u64::MAX` (always a neighbour).
    fn weight(&self, node: NodeId) -> u64;

    /// `E(V)`: what to agree on instead when the body of `value` is missing or bad; `None` if there is nothing less.
    fn fallback(&self, slot: SlotIndex, value: &Value) -> Option<Value>;
}

/// The two timers of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TimerKind {
    /// The next nomination round.
    Nomination,
    /// The next ballot.
    Ballot,
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The slot begins: `value` is what this node would propose, `previous` the value of the slot before.
    Nominate {
        /// Slot.
        slot: SlotIndex,
        /// Own proposal, used only if this node leads.
        value: Value,
        /// Value of the slot before.
        previous: Value,
    },
    /// Statements whose signatures have been checked.
    Receive {
        /// Slot; statements about other slots are ignored.
        slot: SlotIndex,
        /// In any order.
        statements: &'a [Statement],
    },
    /// A timer set by [`Output::SetTimer`] ran out.
    Timer {
        /// Slot.
        slot: SlotIndex,
        /// Which.
        kind: TimerKind,
        /// As set; another generation is ignored.
        generation: u64,
    },
    /// The oracle would now answer differently for `value`.
    ValidityChanged {
        /// Slot.
        slot: SlotIndex,
        /// Value.
        value: Value,
    },
    /// The body of `value` has not come in time.
    BodyTimeout {
        /// Slot.
        slot: SlotIndex,
        /// Value.
        value: Value,
    },
    /// The oracle now knows the quorum set with this hash.
    QuorumSetKnown {
        /// As in [`Output::NeedQuorumSet`].
        hash: Hash,
    },
    /// What this node last said about a slot, read back from the journal.
    Restore(&'a Record),
    /// Slots below are over.
    Purge {
        /// The lowest slot to keep.
        below: SlotIndex,
    },
}

/// What this node must not forget about a slot: durable before anything it covers is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Slot.
    pub slot: SlotIndex,
    /// Own newest NOMINATE.
    #[serde(with = "zero_or_one")]
    pub nomination: Option<Statement>,
    /// Own newest ballot statement.
    #[serde(with = "zero_or_one")]
    pub ballot: Option<Statement>,
    /// The value that own next ballots must carry (`docs/spec/scp.md` §5.6).
    #[serde(with = "zero_or_one")]
    pub value_lock: Option<Value>,
    /// Nomination round reached, from 1; 0 before nomination.
    pub round: u32,
    /// Whether nomination had begun and not ended.
    pub is_nominating: bool,
}

impl Record {
    /// What a node that forgot its words about `slot` can take over from others (`docs/spec/scp.md` §6.6): the newest nomination and the
    /// newest ballot statement among `said`, all of them its own, and the value that the latter locks; `None` if it said nothing.
    #[must_use]
    pub fn adopted<'a>(slot: SlotIndex, said: impl IntoIterator<Item = &'a Statement>) -> Option<Self> {
        let (mut nomination, mut ballot): (Option<&Statement>, Option<&Statement>) = (None, None);
        for statement in said {
            if statement.slot != slot || !statement.pledges.is_sane() {
                continue;
            }
            let newest = if statement.pledges.is_nomination() {
                &mut nomination
            } else {
                &mut ballot
            };
            if newest.is_none_or(|newest| statement.pledges.is_newer_than(&newest.pledges)) {
                *newest = Some(statement);
            }
        }
        if nomination.is_none() && ballot.is_none() {
            return None;
        }
        Some(Self {
            slot,
            nomination: nomination.cloned(),
            ballot: ballot.cloned(),
            value_lock: ballot.and_then(|statement| statement.pledges.locked_value()),
            round: 0,
            is_nominating: false,
        })
    }
}

/// What a node wants done, in the order in which it must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Output {
    /// Make the record durable before performing any later output.
    Persist(Record),
    /// Sign and send to everybody.
    Send(Statement),
    /// Start a timer, in place of the one of the same slot and kind.
    SetTimer {
        /// Slot.
        slot: SlotIndex,
        /// Which.
        kind: TimerKind,
        /// Nomination round or ballot counter, from 1: the caller chooses the duration, growing with it.
        round: u32,
        /// To be given back in [`Input::Timer`].
        generation: u64,
    },
    /// Stop a timer.
    CancelTimer {
        /// Slot.
        slot: SlotIndex,
        /// Which.
        kind: TimerKind,
    },
    /// The slot is decided.
    Externalized {
        /// Slot.
        slot: SlotIndex,
        /// What was agreed.
        value: Value,
        /// CONFIRM and EXTERNALIZE statements of one slice of the own quorum set, own statement included, that
        /// [`crate::finality::proves`] accepts.
        statements: Vec<Statement>,
    },
    /// A statement refers to a quorum set the oracle does not know; see [`Input::QuorumSetKnown`].
    NeedQuorumSet(Hash),
    /// Two statements of one node that no correct node makes both: it is bound to two values.
    Evidence(Statement, Statement),
    /// Somebody holds this newer statement of ours that we do not have: we are an old backup or run twice. This node says
    /// nothing more about the slot until it gets a [`Input::Restore`] with the statement.
    Amnesia(Statement),
    /// A record was not this node's or not sane: it says nothing about the slot.
    RecordRefused(SlotIndex),
}

impl Output {
    /// Its name in the encoding.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Persist(_) => "persist",
            Self::Send(_) => "send",
            Self::SetTimer { .. } => "set-timer",
            Self::CancelTimer { .. } => "cancel-timer",
            Self::Externalized { .. } => "externalized",
            Self::NeedQuorumSet(_) => "need-quorum-set",
            Self::Evidence(_, _) => "evidence",
            Self::Amnesia(_) => "amnesia",
            Self::RecordRefused(_) => "record-refused",
        }
    }
}

/// What the rules of a slot may look at.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) config: &'a Config,
    /// Whether this node has a voice in the slot: own state then counts in own checks and is said.
    pub(crate) votes: bool,
    pub(crate) quorum_set_hash: Hash,
    pub(crate) roster: &'a Roster,
    pub(crate) oracle: &'a dyn Oracle,
}

/// The Stellar Consensus Protocol for all slots of one node, under one own quorum set.
#[derive(Clone, Debug)]
pub struct Scp {
    config: Config,
    quorum_set_hash: Hash,
    roster: Roster,
    slots: BTreeMap<SlotIndex, Box<Slot>>,
    /// Nothing is said or heard about slots below.
    lowest: SlotIndex,
}

impl Scp {
    /// A node that has said nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let quorum_set_hash = config.quorum_set.hash(&config.network);
        let roster = Roster::new(config.node, &config.quorum_set, quorum_set_hash);
        Self {
            config,
            quorum_set_hash,
            roster,
            slots: BTreeMap::new(),
            lowest: SlotIndex(0),
        }
    }

    /// Takes one input; appends what is to be done to `out`.
    pub fn step(&mut self, input: Input<'_>, oracle: &impl Oracle, out: &mut Vec<Output>) {
        self.step_with(input, oracle, out);
    }

    fn step_with(&mut self, input: Input<'_>, oracle: &dyn Oracle, out: &mut Vec<Output>) {
        match input {
            Input::Nominate {
                slot,
                value,
                previous,
            } => {
                self.with_own_slot(slot, oracle, |slot, env| slot.nominate(value, previous, env, out));
            }
            Input::Receive { slot, statements } => self.receive(slot, statements, oracle, out),
            Input::Timer {
                slot,
                kind,
                generation,
            } => self.with_held_slot(slot, oracle, |slot, env| {
                slot.timer_fired(kind, generation, env, out);
            }),
            Input::ValidityChanged { slot, value } => {
                self.with_held_slot(slot, oracle, |slot, env| slot.validity_changed(&value, env, out));
            }
            Input::BodyTimeout { slot, value } => {
                self.with_held_slot(slot, oracle, |slot, env| slot.body_timeout(&value, env, out));
            }
            Input::QuorumSetKnown { hash } => self.quorum_set_known(&hash, oracle, out),
            Input::Restore(record) => {
                self.with_own_slot(record.slot, oracle, |slot, env| slot.restore(record, env, out));
            }
            Input::Purge { below } => self.purge(below, out),
        }
    }

    /// The newest statements held about `slot`, of every node and own ones included: what answers a state request.
    pub fn latest(&self, slot: SlotIndex) -> impl Iterator<Item = &Statement> {
        self.held(slot).into_iter().flat_map(Slot::latest)
    }

    /// Own newest statements about `slot`, for sending again as they are: NOMINATE, then the ballot statement.
    pub fn own(&self, slot: SlotIndex) -> impl Iterator<Item = &Statement> {
        self.held(slot).into_iter().flat_map(Slot::own)
    }

    /// What the slot decided, if it has.
    #[must_use]
    pub fn externalized(&self, slot: SlotIndex) -> Option<Value> {
        self.held(slot).and_then(Slot::externalized)
    }

    /// Whether a quorum is known to be at this node's ballot counter, or the slot is decided.
    #[must_use]
    pub fn heard_from_quorum(&self, slot: SlotIndex) -> bool {
        self.held(slot).is_some_and(Slot::heard_from_quorum)
    }

    /// Slots held, ascending.
    pub fn slots(&self) -> impl Iterator<Item = SlotIndex> {
        self.slots.keys().copied()
    }

    /// Hash of the own quorum set, as own statements name it.
    #[must_use]
    pub const fn quorum_set_hash(&self) -> Hash {
        self.quorum_set_hash
    }

    /// Whether all rules' invariants hold in every slot (`docs/spec/scp.md` §5.9): the broken one otherwise.
    ///
    /// # Errors
    /// The sentence that is not true.
    #[cfg(any(test, feature = "testing"))]
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        if self.slots.len() > SLOTS_MAX {
            return Err("too many slots held");
        }
        self.slots.values().try_for_each(|slot| slot.check_invariants())
    }

    fn held(&self, slot: SlotIndex) -> Option<&Slot> {
        self.slots.get(&slot).map(Box::as_ref)
    }

    fn receive(
        &mut self,
        slot: SlotIndex,
        statements: &[Statement],
        oracle: &dyn Oracle,
        out: &mut Vec<Output>,
    ) {
        if !self.make_room_for_heard(slot) {
            return;
        }
        let held = self
            .slots
            .entry(slot)
            .or_insert_with(|| Box::new(Slot::new(slot)));
        for statement in statements {
            if statement.slot == slot && statement.pledges.is_sane() {
                held.record(statement, &self.config, &mut self.roster, oracle, out);
            }
        }
        let env = Env {
            config: &self.config,
            votes: self.config.votes,
            quorum_set_hash: self.quorum_set_hash,
            roster: &self.roster,
            oracle,
        };
        held.settle(env, out);
    }

    fn quorum_set_known(&mut self, hash: &Hash, oracle: &dyn Oracle, out: &mut Vec<Output>) {
        for slot in self.slots.values_mut() {
            if slot.resolve_quorum_set(hash, &mut self.roster, oracle) {
                let env = Env {
                    config: &self.config,
                    votes: self.config.votes,
                    quorum_set_hash: self.quorum_set_hash,
                    roster: &self.roster,
                    oracle,
                };
                slot.settle(env, out);
            }
        }
    }

    fn purge(&mut self, below: SlotIndex, out: &mut Vec<Output>) {
        self.lowest = self.lowest.max(below);
        let kept = self.slots.split_off(&below);
        for slot in self.slots.values_mut() {
            slot.cancel_timers(out);
        }
        self.slots = kept;
        let slots = &self.slots;
        self.roster
            .retain_sets(|set| slots.values().any(|slot| slot.uses_set(set)));
    }

    fn with_held_slot(&mut self, slot: SlotIndex, oracle: &dyn Oracle, act: impl FnOnce(&mut Slot, Env<'_>)) {
        if let Some(held) = self.slots.get_mut(&slot) {
            let env = Env {
                config: &self.config,
                votes: self.config.votes,
                quorum_set_hash: self.quorum_set_hash,
                roster: &self.roster,
                oracle,
            };
            act(held, env);
        }
    }

    /// As [`Self::with_held_slot`], for a slot this node itself begins or remembers: there is always room, unless for the
    /// past. The lowest slot goes for it, and stays closed, so that what was said about it cannot be contradicted.
    fn with_own_slot(&mut self, slot: SlotIndex, oracle: &dyn Oracle, act: impl FnOnce(&mut Slot, Env<'_>)) {
        if slot < self.lowest {
            return;
        }
        if !self.slots.contains_key(&slot) {
            if self.slots.len() >= SLOTS_MAX && !self.drop_highest_untouched(slot) {
                match self.slots.pop_first() {
                    Some((lowest, _)) if lowest < slot => self.lowest = lowest.next().max(self.lowest),
                    Some((lowest, held)) => {
                        self.slots.insert(lowest, held);
                        return;
                    }
                    None => return,
                }
            }
            self.slots.insert(slot, Box::new(Slot::new(slot)));
        }
        self.with_held_slot(slot, oracle, act);
    }

    /// Whether `slot` is held or may be: only lower slots displace others, so that the far future cannot crowd out the present.
    fn make_room_for_heard(&mut self, slot: SlotIndex) -> bool {
        slot >= self.lowest
            && (self.slots.contains_key(&slot)
                || self.slots.len() < SLOTS_MAX
                || self.drop_highest_untouched(slot))
    }

    /// Drops the highest slot above `slot` in which this node has not acted.
    fn drop_highest_untouched(&mut self, slot: SlotIndex) -> bool {
        let highest = self.slots.iter().rev().find(|(_, held)| held.is_untouched());
        let Some(highest) = highest.map(|(index, _)| *index).filter(|index| *index > slot) else {
            return false;
        };
        self.slots.remove(&highest);
        true
    }
}

/// This node's index in its own roster.
pub(crate) const OWN: NodeIndex = NodeIndex::OWN;
