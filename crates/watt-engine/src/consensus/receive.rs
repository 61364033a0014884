//! What others say: statements, the proposals behind them, and the bodies behind those.

use super::{BODY_ASK_MS, BODY_GIVE_UP_MS, Consensus, Context, ENVELOPES_PER_NODE_MAX, values_of};
use crate::candidates::{BodyState, Candidate, NotAdmitted, SOURCES_MAX};
use crate::effect::{Effect, Priority, Timer};
use crate::event::PeerId;
use crate::evidence::Evidence;
use crate::message::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use watt_ledger::{Body, InvalidBlock};
use watt_light::SignedProposal;
use watt_light::proposal::empty_value;
use watt_primitives::SlotIndex;
use watt_scp::{Envelope, Input, Statement, Value};

impl Consensus {
    /// Of the proposals that came with a statement those behind values that it names, of entries, and not known here: what is worth
    /// checking, and no more than statements can name.
    pub(crate) fn missing_of(
        &self,
        statement: &Statement,
        proposals: Vec<SignedProposal>,
    ) -> Vec<SignedProposal> {
        let named = values_of(&statement.pledges);
        let mut missing = BTreeMap::new();
        for signed in proposals {
            let value = signed.proposal.value();
            let is_named = named.contains(&value) || named.contains(&empty_value(&self.network, &value));
            if is_named
                && self
                    .seat_of_proposer(&signed.proposal.proposer, statement.slot)
                    .is_some()
                && self.candidates.get(&value).is_none()
            {
                // One proposal can be signed in any number of ways.
                missing.entry(value).or_insert(signed);
            }
        }
        missing.into_values().collect()
    }

    /// Takes in a statement whose signature holds, with those of [`Self::missing_of`] its proposals.
    ///
    /// Returns whether it is news worth relaying: it, or a proposal that came only now, since no signature binds the two together.
    pub(crate) fn receive(
        &mut self,
        from: PeerId,
        envelope: Envelope,
        proposals: Vec<SignedProposal>,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(statement) = self.heard_as(&envelope.statement) else {
            return false;
        };
        if statement.slot != self.slot {
            return false;
        }
        let is_new = !self.envelopes.contains_key(&statement);
        if is_new && !self.make_room_for(&statement) {
            return false;
        }
        let mut changed = Vec::new();
        let mut has_news = is_new;
        for signed in proposals {
            if let Some(value) = self.admit(from, signed, context) {
                changed.extend(self.named_before(value));
                has_news = true;
            }
        }
        if is_new {
            self.envelopes.insert(statement.clone(), envelope);
            changed.extend(self.vouch(&statement));
        }
        for value in changed {
            self.changed(value, context);
        }
        if is_new {
            let (slot, statements) = (self.slot, std::slice::from_ref(&statement));
            self.step(Input::Receive { slot, statements }, context);
        }
        has_news
    }

    /// Room for one more envelope of the statement's node: beyond the bound the oldest makes way, but only for news. A slot may
    /// need any number of ballots, and who stops listening would never hear of its decision.
    fn make_room_for(&mut self, statement: &Statement) -> bool {
        let of_node = self.envelopes.keys().filter(|kept| kept.node == statement.node);
        let kept: Vec<Statement> = of_node.cloned().collect();
        if kept.len() < ENVELOPES_PER_NODE_MAX {
            return true;
        }
        let latest: Vec<&Statement> = self
            .scp
            .latest(self.slot)
            .filter(|latest| latest.node == statement.node)
            .collect();
        let is_news = latest
            .iter()
            .filter(|latest| latest.pledges.is_nomination() == statement.pledges.is_nomination())
            .all(|latest| statement.pledges.is_newer_than(&latest.pledges));
        // In the order of statements the lowest ballots come before what proves a decision.
        let oldest = kept.iter().find(|kept| !latest.contains(kept));
        match oldest {
            Some(oldest) if is_news => {
                self.envelopes.remove(oldest);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes in a proposal; the answer is its value if it is new and well made.
    fn admit(&mut self, from: PeerId, signed: SignedProposal, context: &mut Context<'_>) -> Option<Value> {
        let value = signed.proposal.value();
        if self.candidates.get(&value).is_some() {
            return None;
        }
        let seat = self.seat_of_proposer(&signed.proposal.proposer, self.slot);
        let admitted = self
            .candidates
            .admit(signed.clone(), seat, context.wall, Some(from));
        match admitted {
            Ok(_) => self.await_body(value, context),
            Err(NotAdmitted::Second) => self.met_second(signed),
            Err(NotAdmitted::IllMade | NotAdmitted::TooMany) => return None,
        }
        Some(value)
    }

    /// `value` if statements that came without its proposal name it, which count now.
    fn named_before(&mut self, value: Value) -> Option<Value> {
        let fallback = empty_value(&self.network, &value);
        let names = |statement: &&Statement| {
            let named = values_of(&statement.pledges);
            named.contains(&value) || named.contains(&fallback)
        };
        let before: Vec<Statement> = self.envelopes.keys().filter(names).cloned().collect();
        for statement in &before {
            self.vouch(statement);
        }
        before.first().map(|_| value)
    }

    /// SCP may look at `value` in another way now, and at its fallback.
    pub(super) fn changed(&mut self, value: Value, context: &mut Context<'_>) {
        self.await_body(value, context);
        for value in [value, empty_value(&self.network, &value)] {
            let slot = self.slot;
            self.step(Input::ValidityChanged { slot, value }, context);
        }
    }

    /// The body behind `value` is usually on its way: it is asked for if it has not come soon.
    pub(super) fn await_body(&self, value: Value, context: &mut Context<'_>) {
        if self.candidates.get(&value).is_some_and(Candidate::is_acceptable) {
            let slot = self.slot;
            let (timer, at) = (Timer::Body { slot, value }, context.now.plus(BODY_ASK_MS));
            context.effects.push(Effect::SetTimer { timer, at });
        }
    }

    /// A second proposal of one entry: evidence.
    fn met_second(&mut self, second: SignedProposal) {
        let seat = self.seat_of_proposer(&second.proposal.proposer, self.slot);
        let first = seat.and_then(|seat| self.candidates.of_proposer(&seat));
        let first = first.and_then(|value| self.candidates.get(&value));
        // Each of two keys of one seat may have made one.
        let is_of_one_key = |first: &SignedProposal| first.proposal.proposer == second.proposal.proposer;
        if let Some(first) = first.map(|known| known.signed.clone()).filter(is_of_one_key) {
            self.accuse(Evidence::Proposals(Box::new([first, second])));
        }
    }

    /// Proposals that the statement makes acceptable here: f + 1 entries name one whose close time looked wrong, or that came here
    /// as the second of its proposer.
    fn vouch(&mut self, statement: &Statement) -> Vec<Value> {
        let k = self.deciders.quorum_set.nodes.len();
        let enough = k.saturating_sub(1) / 3 + 1;
        let candidates = &mut self.candidates;
        values_of(&statement.pledges)
            .iter()
            .filter_map(|value| candidates.vouch(value, statement.node, enough))
            .collect()
    }

    /// A statement of this node's own key that it does not remember: either it forgot (restored from an older record), then
    /// it stays silent in this slot; or a copy of it runs elsewhere, then it must stop (TC3). Or the key that it succeeds said it: then it
    /// is silent as well, until it takes that over.
    pub(super) fn meet_own(&mut self, statement: &Statement, context: &mut Context<'_>) {
        let signer = self.envelopes.get(statement).map(|known| known.statement.node);
        let is_by_another = signer.is_some_and(|signer| !self.signs_as(&signer));
        if is_by_another {
            tracing::info!(
                slot = statement.slot.0,
                "a word of the key that this one succeeds"
            );
            self.muted_to = self.muted_to.max(statement.slot);
        } else if self.has_spoken && self.adopted_in != Some(self.slot) {
            let sentence = "another program signs with this node's voting key; one of the two must stop for good (was the data folder copied?)";
            context.effects.push(Effect::Halt(sentence.to_owned()));
        } else {
            tracing::warn!(
                slot = statement.slot.0,
                "a forgotten own statement was met; silent in this slot"
            );
            self.forgot(statement.slot);
        }
    }

    /// Bytes arrived that may be the body behind `value`: from a peer, or from the journal. They are read beside the loop.
    pub(crate) fn take_body(
        &mut self,
        from: Option<PeerId>,
        value: Value,
        bytes: Arc<[u8]>,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return false;
        };
        let proposal = &candidate.signed.proposal;
        let is_wanted = candidate.is_acceptable() && matches!(candidate.body, BodyState::Missing);
        let is_free = candidate.reading.len() < SOURCES_MAX && !candidate.reading.contains(&from);
        if !is_wanted || !is_free || u32::try_from(bytes.len()) != Ok(proposal.body_bytes) {
            return false;
        }
        context.effects.push(Effect::ReadBody {
            value,
            from,
            proposal: Box::new(proposal.clone()),
            bytes,
        });
        candidate.reading.push(from);
        true
    }

    /// What came for `value` was read: it is tried next, or others are asked.
    pub(crate) fn body_read(
        &mut self,
        from: Option<PeerId>,
        value: Value,
        body: Result<Body, InvalidBlock>,
        context: &mut Context<'_>,
    ) {
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return;
        };
        candidate.reading.retain(|reading| *reading != from);
        if matches!(candidate.body, BodyState::Read(_)) {
            return;
        }
        match body {
            Ok(body) => self.try_body(value, body, context),
            Err(_) => {
                candidate.sources.retain(|source| Some(*source) != from);
                self.ask_body(value, from, context);
            }
        }
    }

    /// The body behind `value` is here (or is the own one), and is tried.
    pub(super) fn try_body(&mut self, value: Value, body: Body, context: &mut Context<'_>) {
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return;
        };
        candidate.body = BodyState::read(&candidate.signed, body);
        if let BodyState::Read(read) = &candidate.body
            && let Some(block) = read.block.clone()
        {
            context.effects.push(Effect::Apply { value, block });
        }
    }

    /// The body behind `value`, encoded, to answer a peer. Whether it can be executed is for everybody to find out alone.
    pub(crate) fn body(&self, value: &Value) -> Option<&Arc<[u8]>> {
        match &self.candidates.get(value)?.body {
            BodyState::Read(read) => Some(&read.bytes),
            BodyState::Missing => None,
        }
    }

    /// The body timer of `value` fired: ask for it, then give it up.
    pub(crate) fn body_due(&mut self, slot: SlotIndex, value: Value, context: &mut Context<'_>) {
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return;
        };
        if slot != self.slot || matches!(candidate.body, BodyState::Read(_)) {
            return;
        }
        let is_first = !std::mem::replace(&mut candidate.is_due, true);
        self.ask_body(value, None, context);
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
    pub(super) fn ask_body(&mut self, value: Value, except: Option<PeerId>, context: &mut Context<'_>) {
        let Some(candidate) = self.candidates.get_mut(&value) else {
            return;
        };
        let everybody: Vec<PeerId> = context.peers.agreeing(except).collect();
        let turn = usize::try_from(candidate.asked).unwrap_or(0);
        let first = candidate.sources.first().filter(|_| turn == 0);
        let in_turn = turn.checked_rem(everybody.len()).and_then(|at| everybody.get(at));
        if let Some(to) = first.or(in_turn).copied() {
            candidate.asked = candidate.asked.saturating_add(1);
            context.send(to, &Message::GetBody { value }, Priority::Urgent);
        }
    }
}
