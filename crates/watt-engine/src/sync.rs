//! Catching up: decided blocks from peers, each with the statements that prove it, one peer at a time.

use crate::consensus::{Context, Head};
use crate::effect::{Effect, Priority};
use crate::event::{ApplyFailure, PeerId};
use crate::message::{DecidedBlock, Message};
use std::collections::VecDeque;
use std::sync::Arc;
use watt_ledger::BlockOutcome;
use watt_primitives::{BlockHeight, Timestamp};

/// Blocks asked for at once.
const COUNT: u32 = 128;

/// How long a peer has to answer before another is asked, in milliseconds.
const PATIENCE_MS: u64 = 5_000;

/// What is being fetched, and from whom.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    asked: Option<(PeerId, Timestamp)>,
    /// Whom not to ask next: it did not answer.
    slow: Option<PeerId>,
    queue: VecDeque<DecidedBlock>,
    from: Option<PeerId>,
    /// The block under check.
    applying: Option<DecidedBlock>,
}

impl Sync {
    /// Asks a peer that is ahead for the blocks above `head`, unless an answer is still expected.
    pub(crate) fn ask(&mut self, head: &Head, context: &mut Context<'_>) {
        if !self.queue.is_empty() || self.applying.is_some() {
            return;
        }
        if let Some((peer, since)) = self.asked {
            if context.now.0.saturating_sub(since.0) < PATIENCE_MS {
                return;
            }
            self.slow = Some(peer);
        }
        let next = head.header.height.next();
        let ahead = context.peers.at_least(next);
        let choice = ahead
            .iter()
            .find(|peer| Some(**peer) != self.slow)
            .or_else(|| ahead.first());
        let Some(peer) = choice.copied() else { return };
        self.asked = Some((peer, context.now));
        context.send(
            peer,
            &Message::GetBlocks {
                from: next,
                count: COUNT,
            },
            Priority::Urgent,
        );
    }

    /// Blocks arrived; returns whether they were asked for.
    pub(crate) fn received(
        &mut self,
        from: PeerId,
        blocks: Vec<DecidedBlock>,
        head: &Head,
        is_free: bool,
        context: &mut Context<'_>,
    ) -> bool {
        if self.asked.map(|(peer, _)| peer) != Some(from) {
            return false;
        }
        let next = head.next_slot();
        let is_of_use = blocks.iter().any(|block| block.proposal.proposal.slot == next);
        self.asked = None;
        // One that does not have the block, or can't read it any more, is not asked again before the others.
        self.slow = (!is_of_use).then_some(from);
        self.from = Some(from);
        self.queue = blocks.into();
        if is_free {
            self.next(head, context);
        }
        true
    }

    /// Begins the check of the next queued block; `false` if there is none that fits.
    fn next(&mut self, head: &Head, context: &mut Context<'_>) -> bool {
        if self.applying.is_some() {
            return true;
        }
        while let Some(block) = self.queue.pop_front() {
            let proposal = &block.proposal.proposal;
            if proposal.slot < head.next_slot() {
                continue;
            }
            let (Some(from), true) = (
                self.from,
                proposal.slot == head.next_slot() && proposal.parent == head.hash,
            ) else {
                self.queue.clear();
                return false;
            };
            self.applying = Some(block.clone());
            context.effects.push(Effect::ApplyDecided {
                from,
                block: Box::new(block),
            });
            return true;
        }
        false
    }

    /// A block's check is over; commits it if it is good and nothing else is being committed. Returns whether it commits.
    pub(crate) fn applied(
        &mut self,
        height: BlockHeight,
        from: PeerId,
        result: Result<Arc<BlockOutcome>, ApplyFailure>,
        is_free: bool,
        context: &mut Context<'_>,
    ) -> bool {
        let is_expected = |block: &mut DecidedBlock| block.proposal.proposal.slot.0 == height.0;
        let Some(block) = self.applying.take_if(is_expected) else {
            return false;
        };
        match result {
            Ok(outcome) if is_free => {
                context.effects.push(Effect::Commit {
                    block: Box::new(block),
                    outcome,
                });
                true
            }
            // Agreement got there first.
            Ok(_) => false,
            Err(failure) => {
                tracing::warn!(height = height.0, %failure, "a peer sent a block that does not hold");
                self.queue.clear();
                self.slow = Some(from);
                context.effects.push(Effect::Disconnect(from));
                false
            }
        }
    }

    /// The head moved; goes on with what is queued. Returns whether more is under way.
    pub(crate) fn continue_from(&mut self, head: &Head, context: &mut Context<'_>) -> bool {
        if self
            .applying
            .as_ref()
            .is_some_and(|block| block.proposal.proposal.slot < head.next_slot())
        {
            self.applying = None;
        }
        self.next(head, context)
    }
}
