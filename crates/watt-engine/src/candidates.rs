//! The proposals of one slot and what is known of each: is it well made, is its body here, did a trial of it succeed.

use crate::event::{ApplyFailure, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watt_ledger::{BlockOutcome, Body, UncheckedBlock};
use watt_light::proposal::empty_value;
use watt_light::{Header, SignedProposal};
use watt_primitives::{Hash, NetworkId, NodeId, SlotIndex, Timestamp, TransactionId};
use watt_scp::{Validity, Value};

/// How far before now a proposal's close time may lie when it is nominated, in milliseconds (TC23).
pub(crate) const CLOSE_TIME_PAST_MAX_MS: u64 = 60_000;

/// How far after now a proposal's close time may lie when it is nominated, in milliseconds (TC23).
pub(crate) const CLOSE_TIME_FUTURE_MAX_MS: u64 = 10_000;

/// What is known of a body.
#[derive(Clone, Debug)]
pub(crate) enum BodyState {
    /// Not here yet, or being read.
    Missing,
    /// It is the one that the proposal names.
    Read(ReadBody),
}

/// A body that is the one its proposal names.
#[derive(Clone, Debug)]
pub(crate) struct ReadBody {
    /// What is tried, and then stored; none once it was handed over to be stored.
    pub(crate) block: Option<Arc<UncheckedBlock>>,
    /// Names of its transactions.
    pub(crate) ids: Vec<TransactionId>,
    /// Its encoding, for peers and the journal.
    pub(crate) bytes: Arc<[u8]>,
    /// What it does to the state.
    pub(crate) trial: Trial,
}

/// What trying a block on the state gave.
#[derive(Clone, Debug)]
pub(crate) enum Trial {
    /// It is under way.
    Running,
    /// The block is good.
    Good(Arc<BlockOutcome>),
    /// The block is refused.
    Bad(ApplyFailure),
}

impl BodyState {
    /// A body that has just been read, and is tried next.
    pub(crate) fn read(proposal: &SignedProposal, body: Body) -> Self {
        let block = UncheckedBlock {
            proposal: proposal.clone(),
            is_empty: false,
            transactions: body.transactions,
            heartbeats: body.heartbeats,
        };
        Self::Read(ReadBody {
            block: Some(Arc::new(block)),
            ids: body.ids,
            bytes: body.bytes,
            trial: Trial::Running,
        })
    }
}

/// One proposal of the slot.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) signed: SignedProposal,
    pub(crate) body: BodyState,
    /// Whose bytes are being read as its body: one of each peer at a time, so that no liar stands in the way of others; none for the
    /// journal's.
    pub(crate) reading: Vec<Option<PeerId>>,
    /// Peers that named it and so may have its body.
    pub(crate) sources: Vec<PeerId>,
    /// How often its body has been asked for.
    pub(crate) asked: u32,
    /// Whether its body should have come by now.
    pub(crate) is_due: bool,
    /// Whether it came as the first of its proposer with a believable close time, or enough entries name it: ballots know no
    /// clock, and which of two proposals came first is another one elsewhere.
    is_acceptable: bool,
    /// Whether it came as the first of its proposer.
    is_first: bool,
    /// Entries that name it although it is not acceptable here.
    vouchers: BTreeSet<NodeId>,
}

/// The most peers remembered as sources of one body, and the most whose bytes are read as such at once.
pub(crate) const SOURCES_MAX: usize = 8;

/// The most proposals of one entry that are kept in a slot: a liar can sign any number.
const OF_PROPOSER_MAX: usize = 64;

/// Whether a wall clock can't believe this close time yet.
pub(crate) const fn is_ahead(close_time: Timestamp, wall: Timestamp) -> bool {
    close_time.0 > wall.0.saturating_add(CLOSE_TIME_FUTURE_MAX_MS)
}

/// Whether it is too early for this close time. For the lowest that is possible it never is: there is no better one to propose above
/// a parent that a clock can't believe, and waiting for the clock would be a halt.
fn is_too_early(close_time: Timestamp, parent_close: Timestamp, wall: Timestamp) -> bool {
    is_ahead(close_time, wall) && close_time != parent_close.next()
}

/// Why a proposal is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// Wrong slot, parent, network, version, proposer or size.
    IllMade,
    /// A second proposal of one entry in one slot: evidence. It is kept, and acceptable once enough entries name it.
    Second,
    /// One more than [`OF_PROPOSER_MAX`].
    TooMany,
}

/// The proposals of one slot: the first of each backbone entry, and others that entries name.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    network: NetworkId,
    slot: SlotIndex,
    version: u32,
    parent: Hash,
    parent_close: Timestamp,
    block_bytes_max: u32,
    by_value: BTreeMap<Value, Candidate>,
    by_proposer: BTreeMap<NodeId, Value>,
    /// `E(V)` to `V`.
    fallbacks: BTreeMap<Value, Value>,
    /// Whether the slot has taken so long that no close time is too old any more.
    is_long: bool,
}

impl Candidate {
    /// Whether SCP may vote for it, so that its body is worth having.
    pub(crate) const fn is_acceptable(&self) -> bool {
        self.is_acceptable
    }
}

impl Candidates {
    /// No proposal yet for the slot above `head`, which follows this version of the rules and is of this network.
    pub(crate) fn above(head: &Header, network: NetworkId, version: u32, block_bytes_max: u32) -> Self {
        Self {
            network,
            slot: SlotIndex::from(head.height).next(),
            version,
            parent: head.hash(),
            parent_close: head.close_time,
            block_bytes_max,
            by_value: BTreeMap::new(),
            by_proposer: BTreeMap::new(),
            fallbacks: BTreeMap::new(),
            is_long: false,
        }
    }

    /// The slot has taken longer than [`CLOSE_TIME_PAST_MAX_MS`]: proposals of its beginning may be all there will ever be, since
    /// an entry makes one in a slot, and are not too old any more. Returns those that are acceptable now.
    pub(crate) fn take_long(&mut self, wall: Timestamp) -> Vec<Value> {
        self.is_long = true;
        let parent_close = self.parent_close;
        let mut accepted = Vec::new();
        for (value, candidate) in &mut self.by_value {
            let close_time = candidate.signed.proposal.close_time;
            if !candidate.is_acceptable && candidate.is_first && !is_too_early(close_time, parent_close, wall)
            {
                candidate.is_acceptable = true;
                accepted.push(*value);
            }
        }
        accepted
    }

    /// The version of the rules that the slot follows.
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn get(&self, value: &Value) -> Option<&Candidate> {
        self.by_value.get(value)
    }

    /// The value that was proposed first for a seat.
    pub(crate) fn of_proposer(&self, seat: &NodeId) -> Option<Value> {
        self.by_proposer.get(seat).copied()
    }

    pub(crate) fn get_mut(&mut self, value: &Value) -> Option<&mut Candidate> {
        self.by_value.get_mut(value)
    }

    /// `V` if `value` is a `V` or an `E(V)` that is known here, and whether it is the fallback.
    pub(crate) fn resolve(&self, value: &Value) -> Option<(Value, bool)> {
        if self.by_value.contains_key(value) {
            return Some((*value, false));
        }
        self.fallbacks.get(value).map(|v| (*v, true))
    }

    /// Takes in a proposal whose signature holds, of the voter for `seat` (a key of the quorum set); the first of each seat counts. A few others are kept for
    /// [`Self::vouch`].
    ///
    /// # Errors
    /// See [`NotAdmitted`].
    pub(crate) fn admit(
        &mut self,
        signed: SignedProposal,
        seat: Option<NodeId>,
        wall: Timestamp,
        source: Option<PeerId>,
    ) -> Result<Value, NotAdmitted> {
        let (proposal, value) = (&signed.proposal, signed.proposal.value());
        if let Some(known) = self.by_value.get_mut(&value) {
            if let Some(source) = source
                && known.sources.len() < SOURCES_MAX
                && !known.sources.contains(&source)
            {
                known.sources.push(source);
            }
            return Ok(value);
        }
        let Some(seat) = seat else {
            return Err(NotAdmitted::IllMade);
        };
        let is_well_made = proposal.network == self.network
            && proposal.slot == self.slot
            && proposal.version == self.version
            && proposal.parent == self.parent
            && proposal.close_time > self.parent_close
            && proposal.body_bytes <= self.block_bytes_max;
        if !is_well_made {
            return Err(NotAdmitted::IllMade);
        }
        let is_first = !self.by_proposer.contains_key(&seat);
        let of_proposer = |known: &&Candidate| known.signed.proposal.proposer == proposal.proposer;
        if self.by_value.values().filter(of_proposer).count() >= OF_PROPOSER_MAX {
            return Err(NotAdmitted::TooMany);
        }
        let is_recent = proposal.close_time.0.saturating_add(CLOSE_TIME_PAST_MAX_MS) >= wall.0;
        let is_early = is_too_early(proposal.close_time, self.parent_close, wall);
        let is_timely = !is_early && (is_recent || self.is_long);
        self.by_proposer.entry(seat).or_insert(value);
        self.fallbacks.insert(empty_value(&self.network, &value), value);
        let sources = source.into_iter().collect();
        self.by_value.insert(
            value,
            Candidate {
                signed,
                body: BodyState::Missing,
                reading: Vec::new(),
                sources,
                asked: 0,
                is_due: false,
                is_acceptable: is_first && is_timely,
                is_first,
                vouchers: BTreeSet::new(),
            },
        );
        if is_first {
            Ok(value)
        } else {
            Err(NotAdmitted::Second)
        }
    }

    /// From now on `value` is acceptable, whoever names it: an earlier life voted for it, or it is decided.
    pub(crate) fn accept(&mut self, value: &Value) {
        if let Some(candidate) = self.by_value.get_mut(value) {
            candidate.is_acceptable = true;
        }
    }

    /// What SCP may do with `value`.
    pub(crate) fn validity(&self, value: &Value) -> Validity {
        let Some((proposed, is_fallback)) = self.resolve(value) else {
            return Validity::Invalid;
        };
        let known = self.by_value.get(&proposed);
        // The fallback has the proposal's close time, and nothing to fetch or to try.
        let Some(known) = known.filter(|candidate| candidate.is_acceptable) else {
            return Validity::Invalid;
        };
        if is_fallback {
            return Validity::Full;
        }
        match &known.body {
            BodyState::Missing => Validity::Structural,
            BodyState::Read(read) => match read.trial {
                Trial::Running => Validity::Structural,
                Trial::Good(_) => Validity::Full,
                Trial::Bad(_) => Validity::Invalid,
            },
        }
    }

    /// Notes that `node` names `value`; the answer is the proposal's value if that makes it acceptable: `enough` entries name it, so
    /// at least one honest one met it first, or found its close time right (TC23).
    pub(crate) fn vouch(&mut self, value: &Value, node: NodeId, enough: usize) -> Option<Value> {
        let (value, _) = self.resolve(value)?;
        let candidate = self.by_value.get_mut(&value)?;
        if candidate.is_acceptable {
            return None;
        }
        candidate.vouchers.insert(node);
        candidate.is_acceptable = candidate.vouchers.len() >= enough;
        candidate.is_acceptable.then_some(value)
    }

    /// The best of `values`: most transactions, then most bytes, which heartbeats make, then the order of bytes.
    pub(crate) fn combine(&self, values: &[Value]) -> Option<Value> {
        let rank = |value: &Value| {
            let proposal = self.by_value.get(value).map(|known| &known.signed.proposal);
            let size = proposal.map(|proposal| (proposal.n_transactions, proposal.body_bytes));
            (size, *value)
        };
        values.iter().copied().max_by_key(rank)
    }

    /// Every proposal behind the values, for the statement that names them.
    pub(crate) fn behind<'a>(&'a self, values: impl Iterator<Item = &'a Value>) -> Vec<SignedProposal> {
        let mut resolved: Vec<Value> = values
            .filter_map(|value| self.resolve(value).map(|(v, _)| v))
            .collect();
        resolved.sort_unstable();
        resolved.dedup();
        resolved
            .iter()
            .filter_map(|value| self.by_value.get(value))
            .map(|known| known.signed.clone())
            .collect()
    }
}
