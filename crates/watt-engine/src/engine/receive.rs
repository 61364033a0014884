//! What peers send: bounded, decoded, and checked cheaply before any signature.

use super::pool::reply;
use super::{
    DECODED_IN_LOOP_MAX, DECODING_MAX, EARLY_PER_NODE_MAX, Early, Engine, Kind, Origin,
    VERIFYING_STATEMENTS_MAX, VERIFYING_TRANSACTIONS_MAX, Verifying,
};
use crate::consensus::Context;
use crate::effect::{Effect, Priority};
use crate::event::{PeerId, VerifyTicket};
use crate::gossip::in_batches;
use crate::message::{BLOCKS_BYTES_MAX, Message};
use std::sync::Arc;
use watt_ledger::{Body, InvalidBlock, StateRead};
use watt_light::SignedProposal;
use watt_primitives::codec::InvalidEncoding;
use watt_primitives::{BlockHeight, BoundedVec, SharedBytes, SlotIndex, Timestamp};
use watt_scp::{Envelope, Value};

impl Engine {
    pub(super) fn received(
        &mut self,
        from: PeerId,
        bytes: Vec<u8>,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        let bucket = if Message::is_bulk(&bytes) {
            &mut peer.bulk
        } else {
            &mut peer.urgent
        };
        if !bucket.take(now) {
            self.count("over quota");
            return;
        }
        if bytes.len() <= DECODED_IN_LOOP_MAX {
            let message = Message::decode(&bytes).map(Box::new);
            self.decoded(from, bytes.len(), message, now, chain, effects);
        } else if peer.n_decoding < DECODING_MAX {
            peer.n_decoding = peer.n_decoding.saturating_add(1);
            effects.push(Effect::Decode { from, bytes });
        } else {
            self.count("too busy");
        }
    }

    /// A long message was decoded beside the loop.
    pub(super) fn decoded_beside(&mut self, from: PeerId) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.n_decoding = peer.n_decoding.saturating_sub(1);
        }
    }

    /// A message of `n_bytes` was decoded.
    pub(super) fn decoded(
        &mut self,
        from: PeerId,
        n_bytes: usize,
        message: Result<Box<Message>, InvalidEncoding>,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        let Ok(message) = message else {
            self.count("malformed message");
            // Under rules that this program does not know messages may be made otherwise.
            if self.unknown_version().is_none() {
                effects.push(Effect::Disconnect(from));
            }
            return;
        };
        match *message {
            Message::Hello {
                network,
                height,
                wants_statements,
            } => {
                if network != self.network {
                    self.count("other network");
                    effects.push(Effect::Disconnect(from));
                    return;
                }
                peer.height = Some(height);
                peer.wants_statements = wants_statements;
                if !std::mem::replace(&mut peer.is_greeted, true) {
                    self.greeted(from, height, wants_statements, now, effects);
                }
                self.catch_up(now, effects);
            }
            Message::Statement { envelope, proposals } => {
                self.stated(from, envelope, proposals.into_inner(), now, effects);
            }
            Message::Successions { successions } => {
                self.told_successions(from, successions.into_inner(), effects);
            }
            Message::Squelch { nodes } => peer.squelched = nodes.into_inner().into_iter().collect(),
            Message::GetStatements { slot, have } => self.asked_statements(from, slot, &have, now, effects),
            Message::GetBody { value } => {
                if let Some(bytes) = self.consensus.body(&value).cloned()
                    && self.may_upload(from, now)
                    && let Ok(body) = SharedBytes::new(Arc::clone(&bytes))
                {
                    self.charge_upload(from, bytes.len());
                    effects.push(Effect::Encode {
                        to: vec![from],
                        message: Box::new(Message::Body { value, body }),
                    });
                }
            }
            Message::Body { value, body } => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                if !self
                    .consensus
                    .take_body(Some(from), value, body.into_inner(), &mut context)
                {
                    self.count("unwanted body");
                }
            }
            Message::Transactions { transactions } => {
                let n_sent = transactions.len();
                let mut of_quota = transactions.into_inner();
                of_quota.retain(|_| peer.transactions.take(now));
                if of_quota.len() < n_sent {
                    self.count("over quota");
                }
                self.offered(Origin::Peer(from), of_quota, chain, effects);
            }
            Message::Heartbeats { window, heartbeats } => {
                let n_sent = heartbeats.len();
                let mut of_quota = heartbeats.into_inner();
                of_quota.retain(|_| peer.transactions.take(now));
                if of_quota.len() < n_sent {
                    self.count("over quota");
                }
                self.offered_heartbeats(Origin::Peer(from), window, of_quota, chain, effects);
            }
            Message::NewBlock { height, .. } => {
                peer.height = peer.height.max(Some(height));
                self.catch_up(now, effects);
            }
            Message::GetBlocks { from: first, count } => {
                // Paid for in advance; what it really was is settled afterwards. Whoever has used up his part is told so with
                // no blocks, and asks others.
                if self.may_read(from, now) {
                    effects.push(Effect::SendBlocks {
                        to: from,
                        from: first,
                        count,
                    });
                } else {
                    let none = Message::Blocks {
                        blocks: BoundedVec::empty(),
                    };
                    effects.push(Effect::Send {
                        to: from,
                        message: none.encode().into(),
                        priority: Priority::Bulk,
                    });
                }
            }
            Message::GetCheckpoint => {
                if self.may_read(from, now) {
                    effects.push(Effect::SendCheckpoint { to: from });
                }
            }
            Message::GetHandOvers { from: first } => {
                if self.may_read(from, now) {
                    effects.push(Effect::SendHandOvers {
                        to: from,
                        from: first,
                    });
                }
            }
            Message::HandOvers {
                from: first,
                hand_overs,
            } => self.shown_the_way(from, first, hand_overs.into_inner(), now, effects),
            Message::GetState { height, at } => {
                if self.may_read(from, now) {
                    effects.push(Effect::SendState { to: from, height, at });
                }
            }
            Message::Checkpoint { proof } => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                if !self.checkpoint.offered(from, proof, &mut self.way, &mut context) {
                    self.count("bad or unasked checkpoint");
                }
            }
            Message::State { height, at, chunk } => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                if !self.checkpoint.received(from, height, at, chunk, &mut context) {
                    self.count("unasked state");
                }
            }
            Message::Blocks { blocks } => {
                let head = self.head.clone();
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                let is_asked = self.sync.received(
                    from,
                    blocks.into_inner(),
                    n_bytes,
                    &head,
                    &self.backbones,
                    &mut context,
                );
                if is_asked {
                    self.catch_up(now, effects);
                } else {
                    self.count("unasked blocks");
                }
            }
        }
    }

    /// What came as the body of a proposal was read. Nobody honest passes on another than the one that the proposal names.
    pub(super) fn body_read(
        &mut self,
        from: Option<PeerId>,
        value: Value,
        body: Result<Box<Body>, InvalidBlock>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        let is_wrong = body.is_err();
        self.consensus
            .body_read(from, value, body.map(|body| *body), &mut context);
        if let Some(liar) = from.filter(|_| is_wrong) {
            self.count("wrong body");
            effects.push(Effect::Disconnect(liar));
        }
    }

    /// A peer's first hello: it is told what it may have missed.
    fn greeted(
        &mut self,
        from: PeerId,
        height: BlockHeight,
        wants_statements: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if self.peers.towards_agreement(None).contains(&from) {
            let mut local = in_batches(self.mempool.local());
            local.extend(self.heartbeats.local());
            self.answer(from, &local, Priority::Bulk, now, effects);
        }
        if wants_statements {
            let successions: Vec<Message> = self.successions().collect();
            self.answer(from, &successions, Priority::Urgent, now, effects);
        }
        self.listen_beyond(height, now);
        if wants_statements && height == self.head.header.height {
            let statements = self.consensus.statements_but(&[]);
            self.answer(from, &statements, Priority::Urgent, now, effects);
        }
    }

    pub(super) fn asked_statements(
        &mut self,
        from: PeerId,
        slot: SlotIndex,
        have: &[u64],
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let messages = if slot == self.consensus.slot() {
            self.consensus.statements_but(have)
        } else if slot < self.consensus.slot() {
            vec![Message::NewBlock {
                height: self.head.header.height,
                header: self.head.hash,
            }]
        } else {
            Vec::new()
        };
        self.answer(from, &messages, Priority::Urgent, now, effects);
    }

    /// Sends what a peer asked for, as long as it has not used up its part of this node's upload.
    fn answer(
        &mut self,
        to: PeerId,
        messages: &[Message],
        priority: Priority,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        for answer in messages {
            if !self.may_upload(to, now) {
                return;
            }
            let message = answer.encode();
            self.charge_upload(to, message.len());
            effects.push(Effect::Send {
                to,
                message: message.into(),
                priority,
            });
        }
    }

    fn may_upload(&mut self, to: PeerId, now: Timestamp) -> bool {
        let Some(peer) = self.peers.get_mut(to) else {
            return false;
        };
        let may = peer.upload.has_any(now) && self.upload.has_any(now);
        if !may {
            self.count("over upload quota");
        }
        may
    }

    /// Whether something may be read from the disk for a peer; if so, it is paid for in advance.
    fn may_read(&mut self, to: PeerId, now: Timestamp) -> bool {
        let may = self.may_upload(to, now);
        if may {
            self.charge_upload(to, BLOCKS_BYTES_MAX);
        }
        may
    }

    fn charge_upload(&mut self, to: PeerId, bytes: usize) {
        self.upload.charge(bytes);
        if let Some(peer) = self.peers.get_mut(to) {
            peer.upload.charge(bytes);
        }
    }

    /// What was read from the disk for a peer was sent: settles what was paid for them.
    pub(super) fn uploaded(&mut self, to: PeerId, bytes: usize) {
        self.charge_upload(to, bytes);
        self.upload.refund(BLOCKS_BYTES_MAX);
        if let Some(peer) = self.peers.get_mut(to) {
            peer.upload.refund(BLOCKS_BYTES_MAX);
        }
    }

    /// A statement came: everything that is cheap to check is checked before its signature.
    pub(super) fn stated(
        &mut self,
        from: PeerId,
        envelope: Box<Envelope>,
        proposals: Vec<SignedProposal>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let statement = &envelope.statement;
        if !self.consensus.is_validator() || self.unknown_version().is_some() {
            return;
        }
        let slot = self.consensus.slot();
        if statement.slot != slot && statement.slot != slot.next() {
            return;
        }
        let Some(said) = self.consensus.heard_as(statement) else {
            self.count("statement of a stranger");
            return;
        };
        // A known one may bring proposals that its first copy came without.
        let mut fresh = self.consensus.missing_of(statement, proposals);
        let early = self.early.get(statement);
        fresh.retain(|signed| !early.is_some_and(|early| early.has(signed)));
        if fresh.is_empty() && (early.is_some() || self.consensus.knows(&said)) {
            self.sources.came_again(said.node, from);
            self.hearing.note(&said, now);
            return;
        }
        let checks = std::iter::once(envelope.signature_check(&self.network))
            .chain(fresh.iter().map(SignedProposal::signature_check))
            .collect();
        let pending = Verifying::Statement {
            from,
            envelope,
            proposals: fresh,
        };
        self.verify(pending, checks, effects);
    }

    /// A statement came whose signatures hold: it is taken in and passed on, or kept until its slot begins.
    fn heard(
        &mut self,
        from: PeerId,
        envelope: Envelope,
        proposals: Vec<SignedProposal>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        // It may have been succeeded while its signature was checked.
        let Some(statement) = self.consensus.heard_as(&envelope.statement) else {
            return;
        };
        let node = statement.node;
        self.hearing.note(&statement, now);
        // While quiet, only what this node itself may have said counts.
        let is_kept = self.is_quiet(now) && !self.consensus.is_mine(&node);
        if is_kept || statement.slot == self.consensus.slot().next() {
            self.keep(from, envelope, proposals);
            return;
        }
        if statement.slot != self.consensus.slot() {
            return;
        }
        // Who has left by now is nobody's source.
        if self.peers.has(from) {
            if self.consensus.knows(&statement) {
                self.sources.came_again(node, from);
            } else {
                self.sources.came_first(node, from);
            }
        }
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        if self
            .consensus
            .receive(from, envelope.clone(), proposals, &mut context)
        {
            // With the proposals known here, not those that came: not all of them were looked at.
            let message = self.consensus.with_proposals(envelope);
            context.relay(&message, node, from);
        }
    }

    fn keep(&mut self, from: PeerId, envelope: Envelope, mut proposals: Vec<SignedProposal>) {
        let statement = envelope.statement.clone();
        if let Some(early) = self.early.get_mut(&statement) {
            proposals.retain(|signed| !early.has(signed));
            early.proposals.append(&mut proposals);
            return;
        }
        let of_node = self.early.keys().filter(|kept| kept.node == statement.node);
        if of_node.clone().count() >= EARLY_PER_NODE_MAX
            && let Some(lowest) = of_node.min().cloned()
        {
            self.early.remove(&lowest);
        }
        let early = Early {
            from,
            envelope,
            proposals,
        };
        self.early.insert(statement, early);
    }

    /// Looks at the statements that came too early, or while this node was quiet.
    pub(super) fn hear_early(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for early in std::mem::take(&mut self.early).into_values() {
            self.heard(early.from, early.envelope, early.proposals, now, effects);
        }
    }

    pub(super) fn verify(
        &mut self,
        pending: Verifying,
        checks: Vec<watt_primitives::key::SignatureCheck>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(ticket) = self.begin_verifying(pending, checks.len(), effects) {
            effects.push(Effect::Verify { ticket, checks });
        }
    }

    /// Makes room for what counts as `n` signatures; `None` if its sender has too many under verification.
    pub(super) fn begin_verifying(
        &mut self,
        pending: Verifying,
        n: usize,
        effects: &mut Vec<Effect>,
    ) -> Option<VerifyTicket> {
        let of = pending.of();
        let n_max = match of.1 {
            Kind::Statement => VERIFYING_STATEMENTS_MAX,
            Kind::Transaction => VERIFYING_TRANSACTIONS_MAX,
        };
        let n_verifying = self.n_verifying.get(&of).copied().unwrap_or(0);
        let n_then = n_verifying.saturating_add(n);
        if n_then > n_max {
            self.count("too busy");
            if let Verifying::Transactions { from, .. } | Verifying::Folded { from, .. } = pending {
                let busy = "too many transactions are being checked; try again in a moment";
                reply(from, Err(busy.to_owned()), effects);
            }
            return None;
        }
        self.n_verifying.insert(of, n_then);
        let ticket = VerifyTicket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.verifying.insert(ticket, pending);
        Some(ticket)
    }

    /// Gives back the room of what counted as `n` signatures.
    pub(super) fn end_verifying(&mut self, ticket: VerifyTicket, n: usize) -> Option<Verifying> {
        let pending = self.verifying.remove(&ticket)?;
        let of = pending.of();
        let n_left = self.n_verifying.remove(&of).unwrap_or(0).saturating_sub(n);
        if n_left > 0 {
            self.n_verifying.insert(of, n_left);
        }
        Some(pending)
    }

    pub(super) fn verified(
        &mut self,
        ticket: VerifyTicket,
        holds: &[bool],
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.end_verifying(ticket, holds.len()) else {
            return;
        };
        let all_hold = holds.iter().all(|holds| *holds);
        match pending {
            Verifying::Statement {
                from,
                envelope,
                proposals,
            } => {
                if !all_hold {
                    self.count("bad statement signature");
                    effects.push(Effect::Disconnect(from));
                    return;
                }
                self.heard(from, *envelope, proposals, now, effects);
            }
            Verifying::Successions { from, successions } => {
                self.succeeded(from, successions, all_hold, now, effects);
            }
            Verifying::Transactions { from, transactions } => {
                for (signed, holds) in transactions.into_iter().zip(holds) {
                    if *holds {
                        self.signed(from, signed, now, chain, effects);
                    } else {
                        self.count("bad transaction signature");
                        reply(
                            from,
                            Err("the signature is not valid on this network".to_owned()),
                            effects,
                        );
                    }
                }
            }
            Verifying::Heartbeats {
                from,
                window,
                heartbeats,
            } => {
                for ((heartbeat, key), holds) in heartbeats.into_iter().zip(holds) {
                    if *holds {
                        self.pooled_heartbeat(from, window, (heartbeat, key), now, chain, effects);
                    } else {
                        self.count("bad heartbeat signature");
                    }
                }
            }
            // Verified as proofs: see `folded_verified`.
            Verifying::Folded { .. } => {}
        }
    }
}
