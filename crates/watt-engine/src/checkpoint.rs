//! A fresh node's way to a state without the blocks below it: a header that is proven final, and the entries of its state in
//! chunks that prove themselves under its root (`docs/spec/node.md` §9, TC22).

use crate::consensus::{Context, Head};
use crate::effect::{Effect, Priority};
use crate::event::PeerId;
use crate::message::Message;
use crate::way::{Shown, Way};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use watt_ledger::tree::chunk::StateChunk;
use watt_light::finality::InvalidFinality;
use watt_light::{FinalityProof, Header};
use watt_primitives::{BlockHeight, Hash, Timestamp};

/// Peers asked for their checkpoint.
const ASKED_MAX: usize = 8;

/// How long peers have to tell of their checkpoints, in milliseconds.
const OFFERS_MS: u64 = 3_000;

/// How long is waited for peers that connect in the meantime, even if all that were asked have answered, in milliseconds.
const OFFERS_MS_MIN: u64 = 500;

/// How long a peer has to answer with a chunk before another is asked, in milliseconds.
const PATIENCE_MS: u64 = 5_000;

/// How long a peer has to answer with a chunk before another is asked too, in milliseconds.
const HEDGE_MS: u64 = 1_000;

/// How often a node looks for a checkpoint before it fetches all blocks.
const TRIES_MAX: u32 = 3;

/// A state that is coming in, and what of it is missing: stored with every chunk, so that a restart goes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    /// The header whose state it is.
    pub header: Header,
    /// Ranges of tree keys that are missing, ascending.
    missing: Vec<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    next: Hash,
    /// The first key behind it; `None` for the end of all keys.
    end: Option<Hash>,
}

impl Incoming {
    /// Everything is missing; four ranges, so that four peers can be asked.
    #[must_use]
    pub fn new(header: Header) -> Self {
        let quarter = |n: u8| {
            let mut first = [0; 32];
            first[0] = n << 6;
            Hash(first)
        };
        let range = |n: u8| Range {
            next: quarter(n),
            end: (n < 3).then(|| quarter(n.saturating_add(1))),
        };
        Self {
            header,
            missing: (0..4).map(range).collect(),
        }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// What is missing after all keys from `first` to before `next` (`None`: to the last) have come.
    #[must_use]
    pub fn after(&self, first: Hash, next: Option<Hash>) -> Self {
        let is_before = |key: Hash, end: Option<Hash>| end.is_none_or(|end| key < end);
        let rest = |range: &Range| {
            if range.next < first || !is_before(range.next, next) {
                return Some(*range);
            }
            let next = next.filter(|next| is_before(*next, range.end))?;
            Some(Range { next, end: range.end })
        };
        Self {
            header: self.header.clone(),
            missing: self.missing.iter().filter_map(rest).collect(),
        }
    }
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a node has one")]
enum Phase {
    /// Blocks are fetched as ever.
    Off,
    /// Peers were asked for their checkpoints.
    Asking {
        since: Timestamp,
        asked: BTreeSet<PeerId>,
        silent: BTreeSet<PeerId>,
        best: Option<Header>,
        /// What peers told of terms to which the way is not known yet.
        untold: BTreeMap<PeerId, Box<FinalityProof>>,
    },
    /// Chunks are fetched.
    Fetching {
        incoming: Incoming,
        asked: BTreeMap<PeerId, (Hash, Timestamp)>,
        /// Peers that do not have this state, or sent what is not of it.
        useless: BTreeSet<PeerId>,
        /// Chunks that came, by where they are.
        waiting: BTreeMap<Hash, (PeerId, Box<StateChunk>)>,
        /// What will be missing when the chunk that is being stored is.
        storing: Option<(PeerId, Incoming)>,
    },
    /// Everything is here and becomes the state.
    Adopting,
}

/// What a fresh node is doing about a checkpoint.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    phase: Phase,
    tries: u32,
    /// How far ahead peers must be.
    gap_min: u64,
    /// The highest version of the rules that the program knows.
    protocol: u32,
}

impl Checkpoint {
    pub(crate) fn new(gap_min: u64, protocol: u32, incoming: Option<Incoming>) -> Self {
        Self {
            phase: incoming.map_or(Phase::Off, |incoming| Phase::fetching(incoming, BTreeSet::new())),
            tries: 0,
            gap_min: gap_min.max(1),
            protocol,
        }
    }

    pub(crate) const fn is_active(&self) -> bool {
        !matches!(self.phase, Phase::Off)
    }

    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        match &mut self.phase {
            Phase::Asking { silent, untold, .. } => {
                silent.remove(&peer);
                untold.remove(&peer);
            }
            Phase::Fetching { asked, useless, .. } => {
                asked.remove(&peer);
                useless.remove(&peer);
            }
            Phase::Off | Phase::Adopting => {}
        }
    }

    /// Goes on with a checkpoint, or begins with one if that is worth it; returns whether blocks must wait for it.
    pub(crate) fn ask(&mut self, head: &Head, context: &mut Context<'_>) -> bool {
        match &mut self.phase {
            Phase::Off => self.begin(head, context),
            Phase::Asking { .. } => {
                self.ask_for_offers(context);
                self.choose_if_due(context);
            }
            Phase::Fetching { .. } => self.fetch(context),
            Phase::Adopting => {}
        }
        self.is_active()
    }

    fn begin(&mut self, head: &Head, context: &mut Context<'_>) {
        let is_fresh = head.header.height == BlockHeight(0);
        let ahead = context.peers.at_least(BlockHeight(self.gap_min));
        if !is_fresh || self.tries >= TRIES_MAX || ahead.is_empty() {
            return;
        }
        self.tries = self.tries.saturating_add(1);
        self.phase = Phase::Asking {
            since: context.now,
            asked: BTreeSet::new(),
            silent: BTreeSet::new(),
            best: None,
            untold: BTreeMap::new(),
        };
        self.ask_for_offers(context);
    }

    /// Asks peers that were not asked yet.
    fn ask_for_offers(&mut self, context: &mut Context<'_>) {
        let ahead = context.peers.at_least(BlockHeight(self.gap_min));
        let Phase::Asking { asked, silent, .. } = &mut self.phase else {
            return;
        };
        for (_, peer) in ahead {
            if asked.len() < ASKED_MAX && asked.insert(peer) {
                silent.insert(peer);
                context.send(peer, &Message::GetCheckpoint, Priority::Urgent);
            }
        }
    }

    fn choose_if_due(&mut self, context: &mut Context<'_>) {
        let Phase::Asking { since, silent, .. } = &self.phase else {
            return;
        };
        let waited_ms = context.now.0.saturating_sub(since.0);
        if waited_ms >= OFFERS_MS || (silent.is_empty() && waited_ms >= OFFERS_MS_MIN) {
            self.choose(context);
        }
    }

    /// A peer tells of its checkpoint; returns whether it was asked and does not lie.
    pub(crate) fn offered(
        &mut self,
        from: PeerId,
        proof: Option<Box<FinalityProof>>,
        way: &mut Way,
        context: &mut Context<'_>,
    ) -> bool {
        let Phase::Asking { silent, untold, .. } = &mut self.phase else {
            return false;
        };
        if untold.contains_key(&from) || !silent.contains(&from) {
            return false;
        }
        let is_honest = match proof {
            None => {
                silent.remove(&from);
                true
            }
            // Who decides there is known to whoever walks there from genesis; until then it counts as silent.
            Some(proof) if way.term_after(&proof.header) > way.term() => {
                untold.insert(from, proof);
                way.ask(from, context);
                true
            }
            Some(proof) => self.judge(from, &proof, way, context),
        };
        self.choose_if_due(context);
        is_honest
    }

    /// A peer's checkpoint is held against the backbone of its term, which the way has reached. One of a term long gone is passed over,
    /// and so is one whose rules this program does not know: it follows the blocks to where they begin, and sees for itself.
    fn judge(&mut self, from: PeerId, proof: &FinalityProof, way: &Way, context: &mut Context<'_>) -> bool {
        let (gap_min, protocol) = (self.gap_min, self.protocol);
        let Phase::Asking { silent, best, .. } = &mut self.phase else {
            return true;
        };
        silent.remove(&from);
        if proof.header.version > protocol {
            return true;
        }
        let Some(deciders) = way.deciders_of(way.term_after(&proof.header)) else {
            return true;
        };
        // Of before a restart: another one is told later.
        if proof.header.network != deciders.network {
            return true;
        }
        match proof.verify(&deciders.network, deciders.voters()) {
            Ok(_) => {}
            Err(InvalidFinality::UnknownVersion { .. }) => return true,
            Err(_) => {
                context.effects.push(Effect::Disconnect(from));
                return false;
            }
        }
        let height = proof.header.height;
        let is_better = best.as_ref().is_none_or(|best| best.height < height);
        if is_better && height.0 >= gap_min.div_ceil(2) {
            *best = Some(proof.header.clone());
        }
        true
    }

    /// A peer showed a part of the way: judges what was told of terms that are reached now, and goes on with the rest.
    pub(crate) fn walked(&mut self, from: PeerId, shown: Shown, way: &mut Way, context: &mut Context<'_>) {
        let Phase::Asking {
            since,
            untold,
            silent,
            ..
        } = &mut self.phase
        else {
            return;
        };
        if shown == Shown::Further {
            // As long as it leads on: there are no more terms than the network has had.
            *since = context.now;
        }
        let is_reached = |proof: &FinalityProof| way.term_after(&proof.header) <= way.term();
        let (reached, rest) = std::mem::take(untold)
            .into_iter()
            .partition(|(_, proof)| is_reached(proof));
        let reached: BTreeMap<PeerId, Box<FinalityProof>> = reached;
        *untold = rest;
        if untold.contains_key(&from) {
            if shown == Shown::Further {
                way.ask(from, context);
            } else {
                untold.remove(&from);
                silent.remove(&from);
            }
        }
        for (peer, proof) in reached {
            self.judge(peer, &proof, way, context);
        }
        self.choose_if_due(context);
    }

    fn choose(&mut self, context: &mut Context<'_>) {
        if let Phase::Asking { best, silent, .. } = &mut self.phase {
            self.phase = match best.take() {
                Some(header) => {
                    tracing::info!(height = header.height.0, "starting from a checkpoint");
                    Phase::fetching(Incoming::new(header), std::mem::take(silent))
                }
                None => Phase::Off,
            };
        }
        self.fetch(context);
    }

    /// Asks for what is missing and not on its way.
    fn fetch(&mut self, context: &mut Context<'_>) {
        let Phase::Fetching {
            incoming,
            asked,
            useless,
            waiting,
            storing,
        } = &mut self.phase
        else {
            return;
        };
        if incoming.is_complete() {
            let header = incoming.header.clone();
            self.phase = Phase::Adopting;
            context.effects.push(Effect::AdoptState(Box::new(header)));
            return;
        }
        let now = context.now;
        asked.retain(|peer, (_, since)| {
            let is_late = now.0.saturating_sub(since.0) >= PATIENCE_MS;
            if is_late {
                useless.insert(*peer);
            }
            !is_late
        });
        let height = incoming.header.height;
        let ahead = context.peers.at_least(height);
        if !ahead.is_empty() && ahead.iter().all(|(_, peer)| useless.contains(peer)) {
            tracing::info!(height = height.0, "nobody serves this checkpoint any more");
            self.phase = Phase::Off;
            return;
        }
        // While a chunk is being stored, what is missing is what will be.
        let missing = storing
            .as_ref()
            .map_or(&*incoming, |(_, then)| then)
            .missing
            .clone();
        let mut free = ahead
            .into_iter()
            .map(|(_, peer)| peer)
            .filter(|peer| !useless.contains(peer))
            .filter(|peer| !asked.contains_key(peer))
            .collect::<Vec<_>>()
            .into_iter();
        let asked_before = asked.clone();
        let is_on_its_way = |at: Hash| {
            let is_timely = |since: Timestamp| now.0.saturating_sub(since.0) < HEDGE_MS;
            asked_before
                .values()
                .any(|(asked, since)| *asked == at && is_timely(*since))
        };
        for range in missing {
            let at = range.next;
            if waiting.contains_key(&at) || is_on_its_way(at) {
                continue;
            }
            let Some(peer) = free.next() else { return };
            asked.insert(peer, (at, now));
            context.send(peer, &Message::GetState { height, at }, Priority::Urgent);
        }
    }

    /// A chunk came, or a peer says that it has none; returns whether it was asked for.
    pub(crate) fn received(
        &mut self,
        from: PeerId,
        height: BlockHeight,
        at: Hash,
        chunk: Option<Box<StateChunk>>,
        context: &mut Context<'_>,
    ) -> bool {
        let Phase::Fetching {
            incoming,
            asked,
            useless,
            waiting,
            ..
        } = &mut self.phase
        else {
            return false;
        };
        let is_asked = asked.get(&from).is_some_and(|(asked, _)| *asked == at);
        if !is_asked || height != incoming.header.height {
            return false;
        }
        asked.remove(&from);
        match chunk {
            Some(chunk) => drop(waiting.insert(at, (from, chunk))),
            None => drop(useless.insert(from)),
        }
        self.store_next(context);
        self.fetch(context);
        true
    }

    fn store_next(&mut self, context: &mut Context<'_>) {
        let Phase::Fetching {
            incoming,
            waiting,
            storing,
            ..
        } = &mut self.phase
        else {
            return;
        };
        if storing.is_some() {
            return;
        }
        // Another peer's chunk may have covered its place in the meantime.
        waiting.retain(|at, _| incoming.missing.iter().any(|range| range.next == *at));
        let Some((at, (from, chunk))) = waiting.pop_first() else {
            return;
        };
        let then = incoming.after(chunk.first(&at), chunk.next(&at));
        *storing = Some((from, then.clone()));
        context.effects.push(Effect::TakeChunk {
            at,
            chunk,
            then: Box::new(then),
        });
    }

    /// A chunk is stored, or was none of this state.
    pub(crate) fn taken(&mut self, is_good: bool, context: &mut Context<'_>) {
        let Phase::Fetching {
            incoming,
            useless,
            storing,
            ..
        } = &mut self.phase
        else {
            return;
        };
        let Some((from, then)) = storing.take() else {
            return;
        };
        if is_good {
            *incoming = then;
        } else {
            tracing::warn!(
                peer = from.0,
                "a peer sent a part of another state than the network's"
            );
            useless.insert(from);
            context.effects.push(Effect::Disconnect(from));
        }
        self.store_next(context);
        self.fetch(context);
    }

    /// The head moved: a state that was adopted is in place, and whoever has a head needs no checkpoint.
    pub(crate) fn over(&mut self) {
        self.phase = Phase::Off;
    }
}

impl Phase {
    const fn fetching(incoming: Incoming, useless: BTreeSet<PeerId>) -> Self {
        Self::Fetching {
            incoming,
            asked: BTreeMap::new(),
            useless,
            waiting: BTreeMap::new(),
            storing: None,
        }
    }
}
