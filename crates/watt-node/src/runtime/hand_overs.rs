//! The way from the backbone of genesis to the newest, as it is kept on the disk: a small file per term, for ever.

use crate::error::CommandError;
use std::sync::Arc;
use watt_engine::message::{HAND_OVERS_PER_MESSAGE_MAX, Message};
use watt_ledger::Genesis;
use watt_light::hand_over::HAND_OVER_BYTES_MAX;
use watt_light::{HandOver, Restart, Walk};
use watt_primitives::{BoundedVec, Term, codec};
use watt_store::{Kv, KvError};

use super::storage::trouble;

/// Hand-overs by term.
#[derive(Clone)]
pub(crate) struct HandOvers {
    values: Arc<Kv>,
}

impl HandOvers {
    pub(crate) const fn new(values: Arc<Kv>) -> Self {
        Self { values }
    }

    /// Makes hand-overs of consecutive terms durable.
    pub(crate) fn keep(&self, first: Term, hand_overs: &[HandOver]) -> Result<(), KvError> {
        (first.0..)
            .zip(hand_overs)
            .try_for_each(|(term, one)| self.values.put(&name(Term(term)), &codec::encode(one)))
    }

    /// Those from `first` on, up to the first that is not here. One that can't be read any more counts as not here.
    pub(crate) fn from(&self, first: Term) -> impl Iterator<Item = HandOver> + '_ {
        (first.0..).map_while(|term| self.read(Term(term)))
    }

    fn read(&self, term: Term) -> Option<HandOver> {
        let read = || -> Result<Option<HandOver>, String> {
            let bytes = self.values.get(&name(term)).map_err(|error| error.to_string())?;
            let decode = |bytes: Vec<u8>| codec::decode(&bytes, HAND_OVER_BYTES_MAX);
            bytes.map(decode).transpose().map_err(|error| error.to_string())
        };
        read().unwrap_or_else(|error| {
            tracing::warn!(term = term.0, %error, "a hand-over can't be read; it is asked of others");
            None
        })
    }

    /// Forgets those from `term` on.
    pub(crate) fn forget_from(&self, term: Term) -> Result<(), KvError> {
        let known = (term.0..).take_while(|term| self.read(Term(*term)).is_some());
        let known: Vec<u64> = known.collect();
        // The newest first: what is left has no gap.
        known
            .into_iter()
            .rev()
            .try_for_each(|term| self.values.remove(&name(Term(term))))
    }

    /// How far they lead, over these restarts. Each was checked before it was kept.
    pub(crate) fn walk(&self, genesis: &Genesis, restarts: Vec<Restart>) -> Result<Walk, CommandError> {
        let begin = genesis.walk().map_err(|error| trouble(&error))?;
        let begin = begin.following(restarts.into_iter().map(|restart| restart.plan));
        Ok(match (1..).zip(self.from(Term(0))).last() {
            Some((term, last)) => begin.at(Term(term), last.backbone),
            None => begin,
        })
    }

    /// A page for a peer.
    pub(crate) fn page(&self, from: Term) -> Message {
        let page = self.from(from).take(HAND_OVERS_PER_MESSAGE_MAX).collect();
        Message::HandOvers {
            from,
            hand_overs: BoundedVec::new(page).unwrap_or_default(),
        }
    }
}

fn name(term: Term) -> String {
    format!("hand-over-{term}")
}
