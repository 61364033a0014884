//! What happens because time passes or the head moves.

use super::recovery::LISTENING_TICKS;
use super::{ASKED_PER_TICK, Engine, RESAY_TICKS, RESEND_EVERY, STALL_MS, START_QUIET_MS};
use crate::candidates::is_ahead;
use crate::consensus::{Context, Head, cannot_execute};
use crate::effect::{Discarded, Effect, Priority, Timer};
use crate::event::ApplyFailure;
use crate::gossip::in_batches;
use crate::mempool::{Filled, Pool, Spent};
use crate::message::Message;
use crate::sync::Checked;
use std::sync::Arc;
use watt_ledger::query::leader_weights;
use watt_ledger::{BlockOutcome, Body, StateRead};
use watt_light::Header;
use watt_primitives::{BlockHeight, SlotIndex, Timestamp};
use watt_scp::TimerKind;

impl Engine {
    pub(super) fn started(&mut self, now: Timestamp, chain: &impl StateRead, effects: &mut Vec<Effect>) {
        self.tell_unknown_version();
        self.consensus.weigh(leader_weights(chain));
        self.quiet_until = now.plus(START_QUIET_MS);
        self.begin_listening();
        self.consensus.resume(&mut Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        });
        effects.push(Effect::SetTimer {
            timer: Timer::Tick,
            at: now.plus(self.parameters.slot_ms),
        });
        self.schedule_slot(now, effects);
    }

    pub(super) fn schedule_slot(&self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.consensus.is_validator() {
            let at = self.next_slot_at(now).max(self.quiet_until);
            effects.push(Effect::SetTimer {
                timer: Timer::NextSlot,
                at,
            });
        }
    }

    /// When the slot begins here, in steady time: a slot after the parent's close time by the wall clock. If that clock can't believe
    /// the parent's close time, a slot after the parent came.
    fn next_slot_at(&self, now: Timestamp) -> Timestamp {
        let (parent, slot_ms) = (&self.head.header, self.parameters.slot_ms);
        if parent.height > BlockHeight(0) && is_ahead(parent.close_time, self.wall) {
            return self.consensus.since().plus(slot_ms).max(now);
        }
        now.plus(parent.close_time.plus(slot_ms).0.saturating_sub(self.wall.0))
    }

    pub(super) fn timer_fired(&mut self, timer: Timer, now: Timestamp, effects: &mut Vec<Effect>) {
        match timer {
            Timer::NextSlot => {
                self.hear_early(now, effects);
                self.begin_slot(now, effects);
            }
            Timer::Nomination { slot, generation } => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                self.consensus
                    .timer_fired(slot, TimerKind::Nomination, generation, &mut context);
            }
            Timer::Ballot { slot, generation } => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                self.consensus
                    .timer_fired(slot, TimerKind::Ballot, generation, &mut context);
            }
            Timer::Body { slot, value } => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                self.consensus.body_due(slot, value, &mut context);
            }
            Timer::Gossip => {
                let mut context = Context {
                    now,
                    wall: self.wall,
                    peers: &self.peers,
                    effects,
                };
                self.gossip.flush(&mut context);
            }
            Timer::Tick => self.tick(now, effects),
        }
    }

    /// The slot may begin: with the own proposal of an earlier life, or when its body is chosen.
    fn begin_slot(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if !self.consensus.may_begin() || self.is_listening() {
            return;
        }
        let slot = self.consensus.slot();
        if self.consensus.own_proposal().is_some() {
            self.begin_with(Body::empty(&self.network), now, effects);
        } else if self.filling != Some(slot) {
            let waiting = Pool {
                transactions: self.mempool.waiting(),
                heartbeats: self.heartbeats.waiting(),
            };
            if waiting.transactions.is_empty() && waiting.heartbeats.is_empty() {
                self.begin_with(Body::empty(&self.network), now, effects);
                return;
            }
            self.filling = Some(slot);
            effects.push(Effect::FillBody { slot, waiting });
        }
    }

    /// The own body of `slot` is chosen.
    pub(super) fn body_filled(
        &mut self,
        slot: SlotIndex,
        filled: Option<Box<Filled>>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let body = match filled {
            Some(filled) => {
                let Filled {
                    body,
                    stale,
                    stale_heartbeats,
                } = *filled;
                self.mempool.forget(&stale);
                self.heartbeats.forget(&stale_heartbeats);
                body
            }
            None => Body::empty(&self.network),
        };
        if slot == self.consensus.slot() {
            self.begin_with(body, now, effects);
        }
    }

    fn begin_with(&mut self, body: Body, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        self.consensus.begin(&self.head, body, &mut context);
    }

    /// Nothing relies on a message having arrived: own words are said again, and when stuck, others are asked.
    pub(super) fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        effects.push(Effect::SetTimer {
            timer: Timer::Tick,
            at: now.plus(self.parameters.slot_ms),
        });
        self.ticks_since_head = self.ticks_since_head.saturating_add(1);
        self.look_on(now, effects);
        if self.unknown_version().is_some() {
            return;
        }
        // The wall clock may have been set since the beginning of the slot was planned.
        let is_syncing = self.sync.is_active() || self.checkpoint.is_active();
        if self.consensus.may_begin() && !is_syncing {
            self.schedule_slot(now, effects);
        }
        let stall_ticks = STALL_MS.div_ceil(self.parameters.slot_ms.max(1)).max(2);
        if u64::from(self.ticks_since_head).is_multiple_of(stall_ticks) {
            self.sources.renew(now);
        }
        self.sources.tell(&mut Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        });
        let running = self.way.term_after(&self.head.header);
        self.way.fill(
            running,
            &mut Context {
                now,
                wall: self.wall,
                peers: &self.peers,
                effects,
            },
        );
        if self.ticks_since_head < 2 {
            if self.sync.is_active() || self.checkpoint.is_active() {
                self.catch_up(now, effects);
            }
            return;
        }
        if self.ticks_since_head >= LISTENING_TICKS {
            self.end_listening(now, effects);
        }
        let hello = self.hello();
        let ask = self.consensus.ask_statements();
        let successions: Vec<Message> = self.successions().collect();
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        self.consensus.tick(&mut context);
        // Less and less often: on a bad link what is said again stands in the way of what is new.
        let ticks = self.ticks_since_head;
        if ticks.is_multiple_of(RESAY_TICKS) || (ticks < RESAY_TICKS && ticks.is_power_of_two()) {
            for message in successions.into_iter().chain(self.consensus.own_statements()) {
                context.flood(&message, Priority::Urgent, None);
            }
        }
        for peer in self.peers.all() {
            context.send(peer, &hello, Priority::Urgent);
        }
        if self.consensus.is_validator() && self.ticks_since_head >= 3 {
            let turn = usize::try_from(self.ticks_since_head).unwrap_or(0);
            let asked = self
                .peers
                .in_turn(turn.saturating_mul(ASKED_PER_TICK), ASKED_PER_TICK);
            for peer in asked {
                context.send(peer, &ask, Priority::Urgent);
            }
        }
        self.catch_up(now, effects);
    }

    /// Asks for blocks if a peer is ahead. Who agrees himself is usually about to know the next block, and waits for a tick.
    pub(super) fn catch_up(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.unknown_version().is_some() {
            return;
        }
        let gap = self
            .peers
            .height_max()
            .0
            .saturating_sub(self.head.header.height.0);
        let is_waiting =
            self.consensus.is_validator() && self.ticks_since_head < 2 && now >= self.quiet_until;
        let is_behind = gap > 1 || (gap == 1 && !is_waiting);
        // A block that was agreed on here is not asked for while it is being stored.
        let is_agreed = self.consensus.is_committing() && !self.sync.is_committing();
        if is_behind && !is_agreed {
            let mut context = Context {
                now,
                wall: self.wall,
                peers: &self.peers,
                effects,
            };
            if !self.checkpoint.ask(&self.head, &mut context) {
                self.sync.ask(&self.head, &mut context);
            }
        }
    }

    /// A run of blocks from peers was checked.
    pub(super) fn decided_applied(
        &mut self,
        first: BlockHeight,
        outcomes: Vec<Arc<BlockOutcome>>,
        failure: Option<ApplyFailure>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if failure.is_some() {
            self.count("bad block");
        }
        let is_free = !self.consensus.is_committing();
        let is_next = first == self.head.header.height.next() && outcomes.is_empty();
        if let Some(ApplyFailure::NotHere(why)) = &failure
            && is_free
            && is_next
        {
            effects.push(Effect::Halt(cannot_execute(first, why)));
            return;
        }
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        match self.sync.applied(first, outcomes, failure, is_free, &mut context) {
            Checked::Commits => self.consensus.set_committing(),
            // What was bad is asked of others at once.
            Checked::Nothing if is_free && !self.sync.next(&self.head, &self.backbones, &mut context) => {
                self.catch_up(now, effects);
            }
            Checked::Nothing => {}
            // Others may have what the circle has.
            Checked::Refused => {
                self.count("block that the circle does not have");
                self.catch_up(now, effects);
            }
        }
    }

    /// The network goes on under rules that this program does not know: the owner is told.
    fn tell_unknown_version(&self) {
        if let Some(version) = self.unknown_version() {
            let height = self.head.header.height.0;
            tracing::error!(
                version,
                height,
                "stopped: from the next block on the network follows rules that this program does not know; update it"
            );
        }
    }

    pub(super) fn committed(
        &mut self,
        header: Header,
        spent: &Spent,
        now: Timestamp,
        chain: &impl StateRead,
        effects: &mut Vec<Effect>,
    ) {
        self.head = Head::new(header);
        self.ticks_since_head = 0;
        self.checkpoint.over();
        self.backbones.advance(self.head.header.height, chain);
        self.tell_unknown_version();
        self.refute_restart(chain, effects);
        self.await_successions(now, effects);
        effects.push(Effect::Discard(Box::new(Discarded {
            transactions: self.mempool.settle(spent, self.head.header.height),
            candidates: self.consensus.advance(&self.head, &self.backbones, now),
        })));
        self.heartbeats.settle(self.next_window());
        self.way.see_state(&self.head, chain);
        self.consensus.weigh(leader_weights(chain));
        let announcement = Message::NewBlock {
            height: self.head.header.height,
            header: self.head.hash,
        };
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        for peer in self.peers.all() {
            context.send(peer, &announcement, Priority::Urgent);
        }
        // Said again every few blocks: a message may be lost, and so may whoever got it.
        if self.head.header.height.0.is_multiple_of(RESEND_EVERY) {
            for message in in_batches(self.mempool.local())
                .into_iter()
                .chain(self.heartbeats.local())
            {
                for peer in self.peers.towards_agreement(None) {
                    context.send(peer, &message, Priority::Bulk);
                }
            }
        }
        let is_syncing = self.sync.continue_from(&self.head, &self.backbones, &mut context);
        if !is_syncing {
            self.schedule_slot(now, effects);
        }
        self.catch_up(now, effects);
        self.hear_early(now, effects);
    }
}
