//! Those who misbehave with what they carry: bodies, transactions, blocks, other people's links.

use super::Actor;
use watt_engine::message::Message;
use watt_light::Operation;
use watt_primitives::{BlockHeight, BoundedVec};

fn is_kind(message: &[u8], kind: &str) -> bool {
    message
        .get(2..)
        .is_some_and(|rest| rest.starts_with(kind.as_bytes()))
}

/// Who gets a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Nobody.
    Nobody,
    /// Every other node.
    Half,
    /// All but node 0 (or 1, if it is node 0 itself).
    AllButOne,
}

/// Keeps the bodies of proposals to itself: a leader whose value nobody, half or nearly everybody can check.
pub struct BodyWithholder {
    share: Share,
}

impl BodyWithholder {
    /// One that sends bodies to this share of the nodes.
    #[must_use]
    pub const fn new(share: Share) -> Self {
        Self { share }
    }
}

impl Actor for BodyWithholder {
    fn name(&self) -> &'static str {
        match self.share {
            Share::Nobody => "body-withholder",
            Share::Half => "body-withholder-half",
            Share::AllButOne => "body-withholder-one",
        }
    }

    fn outgoing(&mut self, to: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        let is_sent = match self.share {
            Share::Nobody => false,
            Share::Half => to.is_multiple_of(2),
            Share::AllButOne => to != 0,
        };
        if is_kind(&message, "body") && !is_sent {
            Vec::new()
        } else {
            vec![message]
        }
    }
}

/// Proposes only what its own owner hands in.
pub struct Censor;

impl Actor for Censor {
    fn name(&self) -> &'static str {
        "censor"
    }

    fn outgoing(&mut self, _: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        vec![message]
    }

    fn hears(&mut self, message: &[u8]) -> bool {
        !is_kind(message, "transaction") && !is_kind(message, "heartbeat")
    }
}

/// Sends every statement many times over, each time with another signature that does not hold.
pub struct EnvelopeFlooder;

impl Actor for EnvelopeFlooder {
    fn name(&self) -> &'static str {
        "envelope-flooder"
    }

    fn outgoing(&mut self, _: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        let Ok(Message::Statement { envelope, proposals }) = Message::decode(&message) else {
            return vec![message];
        };
        let mut all = vec![message];
        for byte in 0..40 {
            let mut envelope = envelope.clone();
            envelope.signature.0[7] ^= byte | 1;
            let proposals = proposals.clone();
            all.push(Message::Statement { envelope, proposals }.encode());
        }
        all
    }
}

/// Says that the chain has not moved, and answers no question about it.
#[derive(Default)]
pub struct EclipseAttacker;

impl Actor for EclipseAttacker {
    fn name(&self) -> &'static str {
        "eclipse-attacker"
    }

    fn outgoing(&mut self, _: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        match Message::decode(&message) {
            Ok(Message::Hello { network, .. }) => {
                let height = BlockHeight(0);
                let wants_statements = false;
                vec![
                    Message::Hello {
                        network,
                        height,
                        wants_statements,
                    }
                    .encode(),
                ]
            }
            Ok(_) | Err(_) => Vec::new(),
        }
    }
}

/// One of two machines with the same data folder and the same key. Each believes to be the only one.
pub struct Twin;

impl Actor for Twin {
    fn name(&self) -> &'static str {
        "twin"
    }

    fn outgoing(&mut self, _: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        vec![message]
    }
}

/// Does as the rules say, but for money has signed something else beside it, for others to show around.
pub struct Seller;

impl Actor for Seller {
    fn name(&self) -> &'static str {
        "seller"
    }

    fn outgoing(&mut self, _: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        vec![message]
    }
}

/// Keeps its proofs of windows back until it is too late for them.
pub struct LateProver {
    window_slots: u64,
    height: BlockHeight,
}

impl LateProver {
    /// One in a network with windows of so many slots.
    #[must_use]
    pub const fn new(window_slots: u64) -> Self {
        Self {
            window_slots,
            height: BlockHeight(0),
        }
    }
}

impl Actor for LateProver {
    fn name(&self) -> &'static str {
        "late-prover"
    }

    fn outgoing(&mut self, _: usize, message: Vec<u8>) -> Vec<Vec<u8>> {
        match Message::decode(&message) {
            Ok(Message::NewBlock { height, .. }) => self.height = self.height.max(height),
            Ok(Message::Transactions { transactions }) => {
                let current = self.height.0 / self.window_slots;
                let is_in_time = |operation: &Operation| matches!(operation, Operation::ProveWindow { window, .. } if window.0 + 1 >= current);
                let mut late = transactions.into_inner();
                late.retain(|signed| !signed.transaction.operations.iter().any(is_in_time));
                return match BoundedVec::new(late) {
                    Ok(transactions) if !transactions.is_empty() => {
                        vec![Message::Transactions { transactions }.encode()]
                    }
                    Ok(_) | Err(_) => Vec::new(),
                };
            }
            Ok(_) | Err(_) => {}
        }
        vec![message]
    }
}
