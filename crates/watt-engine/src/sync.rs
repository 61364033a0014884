//! Catching up: decided blocks, each with the statements that prove it, fetched from several peers at once and taken in by
//! runs (`docs/spec/node.md` §8).

use crate::backbones::Backbones;
use crate::circle::{Circle, Reach};
use crate::consensus::{Context, Head};
use crate::effect::{Effect, Priority};
use crate::event::{ApplyFailure, PeerId};
use crate::message::{DecidedBlock, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use watt_ledger::BlockOutcome;
use watt_light::BlockName;
use watt_primitives::{BlockHeight, NodeId, Timestamp};

/// Blocks asked for at once, and the most in one run.
const COUNT: u64 = 128;

/// Peers asked at the same time.
const ASKED_MAX: usize = 4;

/// How far above the head blocks are asked for.
const WINDOW: u64 = 1_024;

/// Bytes of blocks that wait, above which nothing more is asked for.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Bytes of blocks in one run.
const RUN_BYTES_MAX: usize = 4 << 20;

/// How long a peer has to answer before another is asked too, in milliseconds.
const HEDGE_MS: u64 = 1_000;

/// How long a peer has to answer before it counts as one that did not, in milliseconds.
const PATIENCE_MS: u64 = 5_000;

/// How long a peer that did not deliver is not asked again while there are others, in milliseconds; doubled by each further
/// time in a row.
const PENALTY_MS: u64 = 1_000;

/// Doublings of [`PENALTY_MS`].
const PENALTY_DOUBLINGS_MAX: u32 = 6;

/// What one peer was asked for.
#[derive(Clone, Copy, Debug)]
struct Request {
    first: BlockHeight,
    count: u64,
    since: Timestamp,
}

/// How a peer has served so far.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Whether a block of it was stored here. A newcomer never displaces such a peer, whatever height it tells of.
    is_proven: bool,
    /// How often in a row it did not deliver.
    misses: u32,
    /// Until when others are asked.
    rests_until: Timestamp,
}

/// A block that came, and from whom.
#[derive(Debug)]
struct Received {
    from: PeerId,
    block: DecidedBlock,
    /// Its share of the message that it came in.
    bytes: usize,
}

/// Consecutive blocks under check.
#[derive(Debug)]
struct Run {
    first: BlockHeight,
    blocks: Arc<Vec<DecidedBlock>>,
    /// Sender and bytes of each.
    origins: Vec<(PeerId, usize)>,
    /// Whether it is being stored; its end is then as good as the head.
    is_committing: bool,
}

impl Run {
    fn end(&self) -> u64 {
        self.first.0.saturating_add(len(self.blocks.len()))
    }
}

/// What came of a run.
pub(crate) enum Checked {
    /// Nothing is to be done: it was overtaken, or nothing of it was good.
    Nothing,
    /// Its good part is being committed.
    Commits,
    /// The circle has other blocks.
    Refused,
}

/// What is being fetched, and from whom.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    asked: BTreeMap<PeerId, Request>,
    standings: BTreeMap<PeerId, Standing>,
    waiting: BTreeMap<BlockHeight, Received>,
    run: Option<Run>,
    /// Whose word blocks wait for beside their proof.
    circle: Circle,
    /// Until when nobody is asked as long as all rest: what nobody can give is not asked for as fast as they say so.
    all_rest_until: Timestamp,
}

impl Sync {
    /// A peer is gone; what it was asked for is asked of others.
    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        self.asked.remove(&peer);
        self.standings.remove(&peer);
    }

    /// Whether blocks are on their way, wait, or are under check.
    pub(crate) fn is_active(&self) -> bool {
        !self.asked.is_empty() || !self.waiting.is_empty() || self.run.is_some()
    }

    /// Whether a run is being committed.
    pub(crate) fn is_committing(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_committing)
    }

    /// Asks peers that are ahead for the blocks above `head` that are neither here nor on their way.
    pub(crate) fn ask(&mut self, head: &Head, context: &mut Context<'_>) {
        let now = context.now;
        let late = |request: &Request, ms| now.0.saturating_sub(request.since.0) >= ms;
        let silent: Vec<PeerId> = self
            .asked
            .iter()
            .filter(|(_, request)| late(request, PATIENCE_MS))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in silent {
            self.asked.remove(&peer);
            self.missed(peer, now);
        }
        let next = head.header.height.next();
        let ranked = self.ranked(next, context);
        if ranked
            .iter()
            .all(|(_, peer)| self.standing(*peer).rests_until > now)
        {
            if now < self.all_rest_until {
                return;
            }
            self.all_rest_until = now.plus(PENALTY_MS);
        }
        for (height, peer) in ranked {
            let n_on_time = self
                .asked
                .values()
                .filter(|request| !late(request, HEDGE_MS))
                .count();
            if n_on_time >= ASKED_MAX || self.waiting_bytes() >= WAITING_BYTES_MAX {
                return;
            }
            if self.asked.contains_key(&peer) {
                continue;
            }
            let Some((first, end)) = self.gap(next, |request| !late(request, HEDGE_MS)) else {
                return;
            };
            let count = height.next().0.min(end).saturating_sub(first.0).min(COUNT);
            let Ok(said) = u32::try_from(count) else { return };
            if count == 0 {
                continue;
            }
            self.asked.insert(
                peer,
                Request {
                    first,
                    count,
                    since: now,
                },
            );
            let message = Message::GetBlocks {
                from: first,
                count: said,
            };
            context.send(peer, &message, Priority::Urgent);
        }
    }

    /// The lowest stretch of heights from `next` on, below the window's end, that is neither here nor asked for: its first
    /// height, and the one behind its last.
    fn gap(&self, next: BlockHeight, counts: impl Fn(&Request) -> bool) -> Option<(BlockHeight, u64)> {
        let window_end = next.0.saturating_add(WINDOW);
        let asked = self.asked.values().filter(|request| counts(request));
        let mut taken: Vec<(u64, u64)> = asked
            .map(|request| (request.first.0, request.first.0.saturating_add(request.count)))
            .chain(self.run.as_ref().map(|run| (run.first.0, run.end())))
            .chain(
                self.waiting
                    .keys()
                    .map(|height| (height.0, height.0.saturating_add(1))),
            )
            .collect();
        taken.sort_unstable();
        let mut first = next.0;
        for (start, end) in taken {
            if start > first {
                return Some((BlockHeight(first), start.min(window_end)));
            }
            first = first.max(end);
        }
        (first < window_end).then_some((BlockHeight(first), window_end))
    }

    /// Peers that have the block at `next`, in the order in which to ask them, with the heights that they told of: those that
    /// proved useful first, then those that failed least, then those known longest. Who failed lately is left out as long as
    /// there is anyone else.
    fn ranked(&self, next: BlockHeight, context: &Context<'_>) -> Vec<(BlockHeight, PeerId)> {
        let mut ahead = context.peers.at_least(next);
        ahead.sort_by_key(|(_, peer)| {
            let standing = self.standing(*peer);
            (!standing.is_proven, standing.misses, *peer)
        });
        let is_rested = |(_, peer): &(BlockHeight, PeerId)| self.standing(*peer).rests_until <= context.now;
        if ahead.iter().any(is_rested) {
            ahead.retain(is_rested);
        } else {
            ahead.truncate(1);
        }
        ahead
    }

    fn standing(&self, peer: PeerId) -> Standing {
        self.standings.get(&peer).copied().unwrap_or_default()
    }

    fn missed(&mut self, peer: PeerId, now: Timestamp) {
        let standing = self.standings.entry(peer).or_default();
        let doublings = standing.misses.min(PENALTY_DOUBLINGS_MAX);
        standing.rests_until = now.plus(PENALTY_MS << doublings);
        standing.misses = standing.misses.saturating_add(1);
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting
            .values()
            .fold(0, |sum, received| sum.saturating_add(received.bytes))
    }

    /// Blocks arrived in a message of `bytes`; returns whether they were asked for.
    pub(crate) fn received(
        &mut self,
        from: PeerId,
        blocks: Vec<DecidedBlock>,
        bytes: usize,
        head: &Head,
        backbones: &Backbones,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(request) = self.asked.remove(&from) else {
            return false;
        };
        let bytes = bytes.checked_div(blocks.len()).unwrap_or(0);
        let heights = (request.first.0..).map(BlockHeight);
        let named = heights
            .zip(blocks)
            .take(usize::try_from(request.count).unwrap_or(usize::MAX))
            .take_while(|(height, block)| BlockHeight::from(block.proposal.proposal.slot) == *height);
        let above = self
            .run
            .as_ref()
            .map_or(head.header.height.next().0, Run::end)
            .max(head.header.height.next().0);
        let mut is_of_use = false;
        for (height, block) in named {
            is_of_use = true;
            if height.0 >= above {
                self.waiting
                    .entry(height)
                    .or_insert(Received { from, block, bytes });
            }
        }
        // One that does not have the blocks it told of, or can't read them any more, is asked after the others.
        if is_of_use {
            let standing = self.standings.entry(from).or_default();
            (standing.misses, standing.rests_until) = (0, Timestamp(0));
        } else {
            self.missed(from, context.now);
        }
        self.next(head, backbones, context);
        true
    }

    /// Begins the check of the next run; returns whether one is under way.
    pub(crate) fn next(&mut self, head: &Head, backbones: &Backbones, context: &mut Context<'_>) -> bool {
        if self.run.is_some() {
            return true;
        }
        let first = head.header.height.next();
        self.waiting.retain(|height, _| *height >= first);
        let Some(last) = self.last_of_run(first, run_end(first, backbones)) else {
            self.circle.rest();
            return false;
        };
        let last = match self.circle.reach(first..=last) {
            Reach::All => last,
            Reach::To(height) => height,
            Reach::Nowhere => return false,
        };
        let (mut blocks, mut origins) = (Vec::new(), Vec::new());
        for height in (first.0..=last.0).map(BlockHeight) {
            if let Some(Received { from, block, bytes }) = self.waiting.remove(&height) {
                blocks.push(block);
                origins.push((from, bytes));
            }
        }
        let blocks = Arc::new(blocks);
        context.effects.push(Effect::ApplyDecided {
            first,
            blocks: Arc::clone(&blocks),
        });
        self.run = Some(Run {
            first,
            blocks,
            origins,
            is_committing: false,
        });
        true
    }

    /// The height of the last block of a run from `first` on, below `end`, of those that wait without a gap; none if the first is not
    /// here.
    fn last_of_run(&self, first: BlockHeight, end: BlockHeight) -> Option<BlockHeight> {
        let mut bytes = 0usize;
        let heights = (first.0..end.0.min(first.0.saturating_add(COUNT))).map(BlockHeight);
        let waiting = heights.map_while(|height| Some((height, self.waiting.get(&height)?.bytes)));
        let fits = |(height, more): &(BlockHeight, usize)| {
            bytes = bytes.saturating_add(*more);
            bytes <= RUN_BYTES_MAX || *height == first
        };
        waiting.take_while(fits).last().map(|(height, _)| height)
    }

    /// From now on blocks wait for the circle.
    pub(crate) fn follow_with_circle(&mut self) {
        self.circle.turn_on();
    }

    /// What the circle says.
    pub(crate) const fn circle(&self) -> &Circle {
        &self.circle
    }

    /// The circle has these nodes, which named these blocks.
    pub(crate) fn hear_circle(&mut self, nodes: Vec<NodeId>, words: &[(NodeId, BlockName)]) {
        self.circle.hear(nodes, words);
    }

    /// How many blocks of a run from `first` on may be stored: up to the last that the circle has.
    fn n_accepted(&self, first: BlockHeight, outcomes: &[Arc<BlockOutcome>]) -> usize {
        let heights = (first.0..).map(BlockHeight);
        let accepted = heights
            .zip(outcomes)
            .zip(1..)
            .filter(|((height, outcome), _)| self.circle.accepts(*height, outcome.header.hash()));
        accepted.last().map_or(0, |(_, n)| n)
    }

    /// A run's check is over: commits what is good of it, unless something else is being committed.
    pub(crate) fn applied(
        &mut self,
        first: BlockHeight,
        outcomes: Vec<Arc<BlockOutcome>>,
        failure: Option<ApplyFailure>,
        is_free: bool,
        context: &mut Context<'_>,
    ) -> Checked {
        let Some(mut run) = self.run.take_if(|run| run.first == first && !run.is_committing) else {
            return Checked::Nothing;
        };
        let mut bad = None;
        if let Some(failure) = failure.filter(|failure| !matches!(failure, ApplyFailure::NotHere(_)))
            && let Some((from, _)) = run.origins.get(outcomes.len()).copied()
        {
            let height = first.0.saturating_add(len(outcomes.len()));
            tracing::warn!(height, peer = from.0, %failure, "a peer sent a block that does not hold");
            self.waiting.retain(|_, received| received.from != from);
            self.disconnected(from);
            context.effects.push(Effect::Disconnect(from));
            bad = Some(from);
        }
        let n_accepted = self.n_accepted(first, &outcomes);
        if bad.is_none() && n_accepted == 0 && !outcomes.is_empty() {
            tracing::warn!(
                height = first.0,
                "the circle has other blocks than those that came"
            );
            self.circle.ask_again(BlockHeight(run.end()));
            for (from, _) in &run.origins {
                self.waiting.retain(|_, received| received.from != *from);
                self.missed(*from, context.now);
            }
            return Checked::Refused;
        }
        // Agreement got there first: what it does not commit is checked again.
        let n_good = if is_free { n_accepted } else { 0 };
        self.put_back(&run, n_good, bad);
        if n_good == 0 {
            return Checked::Nothing;
        }
        if n_good < run.blocks.len() {
            let good = run.blocks.iter().take(n_good).cloned().collect();
            run.blocks = Arc::new(good);
            run.origins.truncate(n_good);
        }
        for (from, _) in &run.origins {
            if context.peers.has(*from) {
                self.standings.entry(*from).or_default().is_proven = true;
            }
        }
        context.effects.push(Effect::Commit {
            blocks: Arc::clone(&run.blocks),
            outcomes: outcomes.into_iter().take(n_good).collect(),
        });
        run.is_committing = true;
        self.run = Some(run);
        Checked::Commits
    }

    /// Has the blocks of `run` from the `n`-th on wait again, but those of a peer that sent a bad one.
    fn put_back(&mut self, run: &Run, n: usize, bad: Option<PeerId>) {
        let heights = (run.first.0..).map(BlockHeight);
        let rest = heights.zip(run.blocks.iter().zip(&run.origins)).skip(n);
        for (height, (block, (from, bytes))) in rest {
            if bad != Some(*from) {
                self.waiting.entry(height).or_insert(Received {
                    from: *from,
                    block: block.clone(),
                    bytes: *bytes,
                });
            }
        }
    }

    /// The head moved; goes on with what waits. Returns whether more is under way.
    pub(crate) fn continue_from(
        &mut self,
        head: &Head,
        backbones: &Backbones,
        context: &mut Context<'_>,
    ) -> bool {
        if let Some(run) = self.run.take_if(|run| run.first < head.header.height.next()) {
            // Committed, or overtaken by agreement while it was under check.
            let n_stored = head.header.height.next().0.saturating_sub(run.first.0);
            self.put_back(&run, usize::try_from(n_stored).unwrap_or(usize::MAX), None);
        }
        self.next(head, backbones, context)
    }
}

/// The height behind the last that a run from `first` on may have: no block is checked before the state says for good who decides
/// it, and a run stops where the state says that of one more term, so that this state can be shown to others (`docs/spec/node.md`
/// 10.5).
fn run_end(first: BlockHeight, backbones: &Backbones) -> BlockHeight {
    if backbones.begins_anew() {
        return first.next();
    }
    let terms = backbones.terms();
    let term = terms.of_height(first);
    let stop = [term, term.next()]
        .map(|term| terms.final_from(term.next()).next())
        .into_iter()
        .find(|stop| *stop > first);
    stop.map_or(backbones.end(), |stop| stop.min(backbones.end()))
}

fn len(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
