//! People begin again where more is lost for ever than successions bring back (`docs/spec/ledger.md` §17, TC1): from a block that all
//! have, with other voters, as another network.

use crate::backbone::{Backbone, SEATS_MAX, Terms};
use crate::proposal::Header;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use watt_primitives::hash::hash;
use watt_primitives::key::SignatureCheck;
use watt_primitives::{
    AccountId, BlockHeight, BoundedString, BoundedVec, Domain, Hash, NetworkId, PublicKey, SecretKey,
    Signature, Term, codec,
};

/// The most people who agree to a plan: all who may be asked, and all who take a seat.
pub const ASSENTS_MAX: usize = 1024 + SEATS_MAX;

/// The most bytes of an encoded restart.
pub const RESTART_BYTES_MAX: usize = 256 * 1024;

/// The most bytes of an encoded plan.
pub const PLAN_BYTES_MAX: usize = 16 * 1024;

/// The most restarts of a network.
pub const RESTARTS_MAX: usize = 16;

/// The most bytes of the reason that a plan gives.
pub const REASON_BYTES_MAX: usize = 200;

/// What people agree to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartPlan {
    /// The network that stands still.
    pub network: NetworkId,
    /// Of this genesis, from 1.
    pub restart_no: u64,
    /// The newest block that was decided: everything up to it stays.
    pub base: Header,
    /// Who votes from the slot after it on, for the rest of its term.
    pub backbone: Backbone,
    /// For people.
    pub reason: BoundedString<REASON_BYTES_MAX>,
}

impl RestartPlan {
    /// Its name.
    #[must_use]
    pub fn hash(&self) -> Hash {
        hash(Domain::Restart, &self.network, &[&codec::encode(self)])
    }

    /// The network that it makes.
    #[must_use]
    pub fn network_after(&self) -> NetworkId {
        self.network.restarted(self.restart_no, &self.hash())
    }

    /// The first height of that network.
    #[must_use]
    pub fn first_height(&self) -> BlockHeight {
        self.base.height.next()
    }

    /// The term in which others vote from there on.
    #[must_use]
    pub fn term(&self, terms: &Terms) -> Term {
        terms.of_height(self.first_height())
    }

    /// The signature of a voting key or of an account's key.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Signature {
        key.sign(Domain::Restart, &self.network, &codec::encode(self))
    }
}

/// That somebody agrees to a plan.
///
/// Encoded as the list of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub struct Assent {
    /// Who.
    pub account: AccountId,
    /// The place of the key among the account's.
    pub key_index: u16,
    /// An owner key of theirs.
    pub key: PublicKey,
    /// By this key.
    pub signature: Signature,
}

type Fields = (AccountId, u16, PublicKey, Signature);

impl From<Fields> for Assent {
    fn from((account, key_index, key, signature): Fields) -> Self {
        Self {
            account,
            key_index,
            key,
            signature,
        }
    }
}

impl From<Assent> for Fields {
    fn from(assent: Assent) -> Self {
        (assent.account, assent.key_index, assent.key, assent.signature)
    }
}

/// A plan with all who agree to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// What they agree to.
    pub plan: RestartPlan,
    /// By the voting key of each entry of the plan's backbone, in its order.
    pub voters: BoundedVec<Signature, SEATS_MAX>,
    /// Ascending by account, each once.
    pub people: BoundedVec<Assent, ASSENTS_MAX>,
}

impl Restart {
    /// The claims that everybody signed it; `None` if a voter's signature is missing, or people are not in order.
    #[must_use]
    pub fn signature_checks(&self) -> Option<Vec<SignatureCheck>> {
        let (plan, people) = (&self.plan, self.people.iter());
        let accounts = || people.clone().map(|assent| assent.account);
        let is_ordered = accounts().zip(accounts().skip(1)).all(|(one, next)| one < next);
        if !is_ordered || self.voters.len() != plan.backbone.entries().len() {
            return None;
        }
        let message = codec::encode(plan);
        let check =
            |key, signature| SignatureCheck::new(key, Domain::Restart, &plan.network, &message, signature);
        let entries = plan.backbone.entries().iter().zip(self.voters.iter());
        let of_entries = entries.map(|(entry, signature)| check(entry.key.into(), *signature));
        let of_people = people.clone().map(|assent| check(assent.key, assent.signature));
        Some(of_entries.chain(of_people).collect())
    }
}

/// Restarts of one network, in their order.
pub type Restarts = BoundedVec<Restart, RESTARTS_MAX>;

/// Their plans alone: whoever knows the network's id knows that these made it, whoever signed.
pub type Plans = BoundedVec<RestartPlan, RESTARTS_MAX>;

/// What the network `first` is after the restarts by these plans; `None` if they do not follow one another.
#[must_use]
pub fn network_after<'a>(
    first: NetworkId,
    plans: impl IntoIterator<Item = &'a RestartPlan>,
) -> Option<NetworkId> {
    (1..)
        .zip(plans)
        .try_fold((first, None), |(network, last), (number, plan)| {
            let is_next = plan.network == network && plan.restart_no == number;
            let is_above = last.is_none_or(|last| plan.base.height > last);
            (is_next && is_above).then(|| (plan.network_after(), Some(plan.base.height)))
        })
        .map(|(network, _)| network)
}

/// Whether there are none: they are left out then.
pub fn are_none(plans: &Plans) -> bool {
    plans.is_empty()
}

#[cfg(test)]
mod tests;
