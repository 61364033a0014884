//! Transactions and heartbeats on their way into the pool.

use super::{Engine, Origin, Verifying};
use crate::consensus::Context;
use crate::effect::Effect;
use crate::gossip::Gossip;
use crate::heartbeats;
use crate::mempool::NotPooled;
use watt_ledger::{HeartbeatAdmission, StateRead};
use watt_light::{SignedHeartbeat, SignedTransaction};
use watt_primitives::{PublicKey, Timestamp, TransactionId, Window};

impl Engine {
    /// Transactions are offered: everything that is cheap to check is checked before their signatures.
    pub(super) fn offered(
        &mut self,
        from: Origin,
        transactions: Vec<SignedTransaction>,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(version) = self.unknown_version() {
            let old = format!(
                "this node stopped before version {version} of the rules, which its program does not know; update it, or ask another node"
            );
            for _ in &transactions {
                reply(from, Err(old.clone()), effects);
            }
            return;
        }
        let mut transactions = transactions;
        transactions.retain(|signed| self.is_worth_verifying(from, signed, chain, effects));
        if transactions.is_empty() {
            return;
        }
        let checks = transactions
            .iter()
            .map(|signed| signed.signature_check(&self.network))
            .collect();
        self.verify(Verifying::Transactions { from, transactions }, checks, effects);
    }

    pub(super) fn is_worth_verifying(
        &mut self,
        from: Origin,
        signed: &SignedTransaction,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if let Err(invalid) = signed.check_shape(&self.network) {
            self.count("refused transaction");
            reply(from, Err(invalid.to_string()), effects);
            return false;
        }
        match self.mempool.would_take(signed, &self.network, chain) {
            Ok(_) => return true,
            // Handed in again it lands once: whoever is not sure whether it arrived can rely on that.
            Err(NotPooled::Known) => reply(from, Ok(signed.transaction.id(&self.network)), effects),
            Err(not) => {
                self.count("refused transaction");
                reply(from, Err(not.to_string()), effects);
            }
        }
        false
    }

    pub(super) fn pooled(
        &mut self,
        from: Origin,
        signed: SignedTransaction,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        // Asked again: the head may have moved while the signature was checked.
        let admission = match self.mempool.would_take(&signed, &self.network, chain) {
            Ok(admission) => admission,
            Err(NotPooled::Known) => {
                reply(from, Ok(signed.transaction.id(&self.network)), effects);
                return;
            }
            Err(not) => {
                reply(from, Err(not.to_string()), effects);
                return;
            }
        };
        let id = admission.id;
        let except = from.peer();
        let (gossip, mut context) = self.gossiping(now, effects);
        gossip.add(except, signed.clone(), admission.bytes, &mut context);
        let is_local = except.is_none();
        self.mempool.add(admission, signed, is_local);
        reply(from, Ok(id), effects);
    }
}

impl Engine {
    /// Heartbeats are offered: everything that is cheap to check is checked before their signatures. Nobody is disconnected for one
    /// that is refused: whose head is another one may see it otherwise.
    pub(super) fn offered_heartbeats(
        &mut self,
        from: Origin,
        window: Window,
        offered: Vec<SignedHeartbeat>,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        if self.unknown_version().is_some() {
            return;
        }
        let (mut heartbeats, mut checks) = (Vec::new(), Vec::new());
        for heartbeat in offered {
            match self.heartbeats.would_take(window, &heartbeat, chain) {
                Ok(HeartbeatAdmission { account, key, .. }) => {
                    checks.push(heartbeat.signature_check(account, window, key, &self.network));
                    heartbeats.push((heartbeat, key));
                }
                Err(heartbeats::NotPooled::Known) => {}
                Err(_) => self.count("refused heartbeat"),
            }
        }
        if !heartbeats.is_empty() {
            let pending = Verifying::Heartbeats {
                from,
                window,
                heartbeats,
            };
            self.verify(pending, checks, effects);
        }
    }

    /// A heartbeat is signed with this key: it waits for a block, and is passed on, once.
    pub(super) fn pooled_heartbeat(
        &mut self,
        from: Origin,
        window: Window,
        (heartbeat, key): (SignedHeartbeat, PublicKey),
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        // Asked again: the head may have moved while the signature was checked.
        let admission = self.heartbeats.would_take(window, &heartbeat, chain);
        let Some(admission) = admission.ok().filter(|admission| admission.key == key) else {
            return;
        };
        let except = from.peer();
        let (gossip, mut context) = self.gossiping(now, effects);
        gossip.add_heartbeat(except, window, heartbeat.clone(), &mut context);
        self.heartbeats.add(heartbeat, admission, except.is_none());
    }

    /// The gossip, with what it takes to pass something on.
    const fn gossiping<'a>(
        &'a mut self,
        now: Timestamp,
        effects: &'a mut Vec<Effect>,
    ) -> (&'a mut Gossip, Context<'a>) {
        let context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        (&mut self.gossip, context)
    }
}

pub(super) fn reply(from: Origin, outcome: Result<TransactionId, String>, effects: &mut Vec<Effect>) {
    match from {
        Origin::Local(to) => effects.push(Effect::Reply { to, outcome }),
        Origin::Peer(_) | Origin::Own => {}
    }
}
