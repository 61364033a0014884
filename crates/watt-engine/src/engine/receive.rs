//! What peers send: bounded, decoded, and checked cheaply before any signature.

use super::pool::reply;
use super::{EARLY_MAX, Engine, Origin, VERIFYING_MAX, Verifying};
use crate::consensus::Context;
use crate::effect::{Effect, Priority};
use crate::event::{PeerId, VerifyTicket};
use crate::message::Message;
use watt_ledger::StateRead;
use watt_light::SignedProposal;
use watt_primitives::{BlockHeight, SlotIndex, Timestamp};
use watt_scp::Envelope;

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
        // Which bucket pays is known only after decoding; decoding is bounded by the transport's own quota.
        let Ok(message) = Message::decode(&bytes) else {
            self.count("malformed message");
            effects.push(Effect::Disconnect(from));
            return;
        };
        let bucket = match &message {
            Message::Transaction(_) | Message::Body { .. } | Message::Blocks { .. } => &mut peer.bulk,
            Message::Hello { .. }
            | Message::Statement { .. }
            | Message::GetStatements { .. }
            | Message::GetBody { .. }
            | Message::NewBlock { .. }
            | Message::GetBlocks { .. } => &mut peer.urgent,
        };
        if !bucket.take(now) {
            self.count("over quota");
            return;
        }
        match message {
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
                self.greeted(from, height, wants_statements, now, effects);
            }
            Message::Statement { envelope, proposals } => {
                self.stated(from, envelope, proposals.into_inner(), bytes, now, effects);
            }
            Message::GetStatements { slot } => self.asked_statements(from, slot, now, effects),
            Message::GetBody { value } => {
                if let Some(body) = self.consensus.body(&value)
                    && let Ok(transactions) = body.to_vec().try_into()
                {
                    let mut context = Context {
                        now,
                        peers: &self.peers,
                        effects,
                    };
                    context.send(from, &Message::Body { value, transactions }, Priority::Bulk);
                }
            }
            Message::Body { value, transactions } => {
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                if !self
                    .consensus
                    .take_body(value, transactions.into_inner(), &mut context)
                {
                    self.count("unwanted body");
                }
            }
            Message::Transaction(signed) => self.offered(Origin::Peer(from), *signed, chain, effects),
            Message::NewBlock { height, .. } => {
                peer.height = peer.height.max(Some(height));
                self.catch_up(now, effects);
            }
            Message::GetBlocks { from: first, count } => {
                effects.push(Effect::SendBlocks {
                    to: from,
                    from: first,
                    count,
                });
            }
            Message::Blocks { blocks } => {
                let (head, is_free) = (self.head.clone(), !self.consensus.is_committing());
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                if !self
                    .sync
                    .received(from, blocks.into_inner(), &head, is_free, &mut context)
                {
                    self.count("unasked blocks");
                }
            }
        }
    }

    pub(super) fn greeted(
        &mut self,
        from: PeerId,
        height: BlockHeight,
        wants_statements: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if wants_statements {
            let mut context = Context {
                now,
                peers: &self.peers,
                effects,
            };
            for signed in self.mempool.local() {
                context.send(
                    from,
                    &Message::Transaction(Box::new(signed.clone())),
                    Priority::Bulk,
                );
            }
        }
        if wants_statements && height == self.head.header.height {
            let mut context = Context {
                now,
                peers: &self.peers,
                effects,
            };
            for message in self.consensus.statements(false) {
                context.send(from, &message, Priority::Urgent);
            }
        }
        self.catch_up(now, effects);
    }

    pub(super) fn asked_statements(
        &mut self,
        from: PeerId,
        slot: SlotIndex,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let mut context = Context {
            now,
            peers: &self.peers,
            effects,
        };
        if slot == self.consensus.slot() {
            for message in self.consensus.statements(false) {
                context.send(from, &message, Priority::Urgent);
            }
        } else if slot < self.consensus.slot() {
            let message = Message::NewBlock {
                height: self.head.header.height,
                header: self.head.hash,
            };
            context.send(from, &message, Priority::Urgent);
        }
    }

    /// A statement came: everything that is cheap to check is checked before its signature.
    pub(super) fn stated(
        &mut self,
        from: PeerId,
        envelope: Box<Envelope>,
        proposals: Vec<SignedProposal>,
        bytes: Vec<u8>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let statement = &envelope.statement;
        if !self.consensus.is_validator() {
            return;
        }
        if !self.consensus.is_entry(&statement.node) {
            self.count("statement of a stranger");
            return;
        }
        // While quiet, only what this node itself may have said counts.
        let is_kept = now < self.quiet_until && !self.consensus.is_mine(&statement.node);
        let is_early = statement.slot == self.consensus.slot().next();
        let is_current = statement.slot == self.consensus.slot();
        if is_early || (is_current && is_kept) {
            if self.early.len() < EARLY_MAX {
                self.early.push((from, bytes));
            }
            return;
        }
        if !is_current {
            return;
        }
        // A known one may bring proposals that its first copy came without.
        let fresh = self.consensus.missing_of(statement, proposals);
        if fresh.is_empty() && self.consensus.knows(statement) {
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

    /// Looks at the statements that came too early, or while this node was quiet.
    pub(super) fn hear_early(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for (from, bytes) in std::mem::take(&mut self.early) {
            if let Ok(Message::Statement { envelope, proposals }) = Message::decode(&bytes) {
                self.stated(from, envelope, proposals.into_inner(), bytes, now, effects);
            }
        }
    }

    pub(super) fn verify(
        &mut self,
        pending: Verifying,
        checks: Vec<watt_primitives::key::SignatureCheck>,
        effects: &mut Vec<Effect>,
    ) {
        if self.verifying.len() >= VERIFYING_MAX {
            self.count("too busy");
            return;
        }
        let ticket = VerifyTicket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.verifying.insert(ticket, pending);
        effects.push(Effect::Verify { ticket, checks });
    }

    pub(super) fn verified(
        &mut self,
        ticket: VerifyTicket,
        holds: &[bool],
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.verifying.remove(&ticket) else {
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
                let mut context = Context {
                    now,
                    peers: &self.peers,
                    effects,
                };
                if self
                    .consensus
                    .receive(from, (*envelope).clone(), proposals, &mut context)
                {
                    // With the proposals known here, not those that came: not all of them were looked at.
                    let message = self.consensus.with_proposals(*envelope);
                    context.flood(&message, Priority::Urgent, Some(from));
                }
            }
            Verifying::Transaction { from, signed } => {
                if all_hold {
                    self.pooled(from, *signed, now, chain, effects);
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
    }
}
