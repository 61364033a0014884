//! Those who misbehave, each a named type. They may do anything but forge a signature.

mod validators;

mod carriers;

pub use carriers::{
    BodyWithholder, Censor, EclipseAttacker, EnvelopeFlooder, LateProver, Seller, Share, Twin,
};
pub use validators::{Equivocator, QuorumLiar, SilentValidator};

use serde::{Deserialize, Serialize};
use watt_primitives::{NetworkId, SecretKey};

/// What a misbehaving node does to what its (real) engine wants to send.
pub trait Actor: Send {
    /// Its name in traces and scenarios.
    fn name(&self) -> &'static str;

    /// What leaves in place of `message` towards the node with this number.
    fn outgoing(&mut self, to: usize, message: Vec<u8>) -> Vec<Vec<u8>>;

    /// Whether its engine gets to see this message.
    fn hears(&mut self, message: &[u8]) -> bool {
        let _ = message;
        true
    }
}

/// The ways in which a validator may misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValidatorActor {
    /// Tells different peers different things.
    Equivocator,
    /// Takes part in nothing.
    SilentValidator,
    /// Declares quorum sets that are not the network's, another to everyone.
    QuorumLiar,
    /// Sends the body of its own proposal to nobody.
    BodyWithholder,
    /// Sends the body of its own proposal to every other node.
    BodyWithholderHalf,
    /// Sends the body of its own proposal to all but one.
    BodyWithholderOne,
    /// Takes no transaction from anybody into its proposals.
    Censor,
    /// Sends every statement many times over, with signatures that do not hold.
    EnvelopeFlooder,
}

impl ValidatorActor {
    /// The actor with this node's key.
    #[must_use]
    pub fn build(self, key: &SecretKey, network: NetworkId) -> Box<dyn Actor> {
        match self {
            Self::Equivocator => Box::new(Equivocator::new(key.clone(), network)),
            Self::SilentValidator => Box::new(SilentValidator::new(key.node_id())),
            Self::QuorumLiar => Box::new(QuorumLiar::new(key.clone(), network)),
            Self::BodyWithholder => Box::new(BodyWithholder::new(Share::Nobody)),
            Self::BodyWithholderHalf => Box::new(BodyWithholder::new(Share::Half)),
            Self::BodyWithholderOne => Box::new(BodyWithholder::new(Share::AllButOne)),
            Self::Censor => Box::new(Censor),
            Self::EnvelopeFlooder => Box::new(EnvelopeFlooder),
        }
    }
}
