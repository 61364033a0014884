//! Transactions on their way into the pool.

use super::{Engine, Origin, Verifying};
use crate::consensus::Context;
use crate::effect::{Effect, Priority};
use crate::mempool::NotPooled;
use crate::message::Message;
use watt_ledger::StateRead;
use watt_light::SignedTransaction;
use watt_primitives::{Timestamp, TransactionId};

impl Engine {
    /// A transaction is offered: everything that is cheap to check is checked before its signature.
    pub(super) fn offered(
        &mut self,
        from: Origin,
        signed: SignedTransaction,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(invalid) = signed.check_shape(&self.network) {
            self.count("refused transaction");
            reply(from, Err(invalid.to_string()), effects);
            return;
        }
        match self.mempool.would_take(&signed, &self.network, chain) {
            Ok(_) => {
                let checks = vec![signed.signature_check(&self.network)];
                self.verify(
                    Verifying::Transaction {
                        from,
                        signed: Box::new(signed),
                    },
                    checks,
                    effects,
                );
            }
            // Handed in again it lands once: whoever is not sure whether it arrived can rely on that.
            Err(NotPooled::Known) => reply(from, Ok(signed.transaction.id(&self.network)), effects),
            Err(not) => {
                self.count("refused transaction");
                reply(from, Err(not.to_string()), effects);
            }
        }
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
        let except = match from {
            Origin::Peer(peer) => Some(peer),
            Origin::Local(_) | Origin::Own => None,
        };
        let message = Message::Transaction(Box::new(signed.clone()));
        let is_local = except.is_none();
        self.mempool.add(admission, signed, is_local);
        Context {
            now,
            peers: &self.peers,
            effects,
        }
        .flood(&message, Priority::Bulk, except);
        reply(from, Ok(id), effects);
    }
}

pub(super) fn reply(from: Origin, outcome: Result<TransactionId, String>, effects: &mut Vec<Effect>) {
    match from {
        Origin::Local(to) => effects.push(Effect::Reply { to, outcome }),
        Origin::Peer(_) | Origin::Own => {}
    }
}
