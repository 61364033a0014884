//! What others say: statements, the proposals behind them, and the bodies behind those.

use super::{BODY_ASK_MS, BODY_GIVE_UP_MS, Consensus, Context, ENVELOPES_PER_NODE_MAX, values_of};
use crate::candidates::{Body, Candidate, NotAdmitted};
use crate::effect::{Effect, Priority, Timer};
use crate::event::PeerId;
use crate::evidence::Evidence;
use crate::message::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use watt_ledger::UncheckedBlock;
use watt_ledger::block::describe_body;
use watt_light::proposal::empty_value;
use watt_light::{SignedProposal, SignedTransaction};
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
                && self.is_entry(&signed.proposal.proposer, statement.slot)
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
        let statement = envelope.statement.clone();
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
        let is_entry = self.is_entry(&signed.proposal.proposer, self.slot);
        let admitted = self
            .candidates
            .admit(signed.clone(), is_entry, context.now, Some(from));
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
        let first = self.candidates.of_proposer(&second.proposal.proposer);
        let first = first.and_then(|value| self.candidates.get(&value));
        if let Some(first) = first.map(|known| known.signed.clone()) {
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
    /// it stays silent in this slot; or a copy of it runs elsewhere, then it must stop (TC3).
    pub(super) fn meet_own(&mut self, statement: &Statement, context: &mut Context<'_>) {
        if self.has_spoken {
            let sentence = "another program signs with this node's voting key; one of the two must stop for good (was the data folder copied?)";
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
        if !candidate.is_acceptable() || !matches!(candidate.body, Body::Missing) {
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
    pub(super) fn ask_body(&mut self, value: Value, context: &mut Context<'_>) {
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
}
