//! The loop.

use super::{Due, World};
use crate::violation::{Promise, Violation};
use std::sync::Arc;
use watt_engine::Event;
use watt_primitives::{BlockHeight, NetworkId, SlotIndex, Timestamp};

/// Events that may wait per node; more means that somebody asks faster than anybody can answer.
const WAITING_PER_NODE_MAX: usize = 50_000;

/// Blocks below the lowest running node that are remembered.
const REMEMBERED_BLOCKS: u64 = 64;

impl World {
    /// Lets the world go on until `is_done`, `end`, or a broken promise. Returns whether it was done.
    pub fn run_until(&mut self, end: Timestamp, mut is_done: impl FnMut(&Self) -> bool) -> bool {
        // Nobody's height changes between two commits, starts or ends.
        let mut asked_at = None;
        loop {
            if self.violation.is_some() || !self.cues.is_empty() {
                return false;
            }
            let changes = Some(self.n_changes);
            if asked_at != changes && is_done(self) {
                return true;
            }
            asked_at = changes;
            let Some(at) = self.queue.next_at().filter(|at| *at <= end) else {
                self.now = end.max(self.now);
                return is_done(self);
            };
            self.now = self.now.max(at);
            if let Some((_, due)) = self.queue.pop() {
                self.happen(due);
            }
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Deliver { link, to, bytes } => {
                let is_heard = self.net.ends(link).is_some()
                    && self.nodes[to]
                        .actor
                        .as_mut()
                        .is_none_or(|actor| actor.hears(&bytes));
                if is_heard {
                    let (kind, len) = (kind_of(&bytes), bytes.len());
                    self.note(format_args!("n{to} hears {kind} of {len} B over {}", link.0));
                    self.handle(to, Event::Received { from: link, bytes });
                }
            }
            Due::Event { node, life, event } => {
                if self.nodes[node].life == life {
                    self.handle(node, *event);
                }
            }
            Due::Timer { node, life, timer } => self.fire(node, life, timer),
            Due::Stored { node, life } => {
                if self.nodes[node].life == life {
                    self.store(node);
                }
            }
            Due::Adopted { node, life } => {
                if self.nodes[node].life == life {
                    self.adopted(node);
                }
            }
            Due::Dial { a, b } => self.dial(a, b),
            Due::Lost { node, link } => {
                if self.nodes[node].is_up() {
                    self.handle(node, Event::Disconnected(link));
                }
            }
            Due::GiveUp { link } => {
                if self.net.cut_links().contains(&link) {
                    self.drop_link(link, 1);
                }
            }
            Due::Start { node } => {
                if self.may_start(node) {
                    self.start(node);
                }
            }
            Due::End { node } => self.end(node, super::Ending::Stop),
            Due::Cue(number) => self.cues.push(number),
        }
        self.check_bounds();
    }

    fn fire(&mut self, node: usize, life: u64, timer: watt_engine::Timer) {
        let this = &mut self.nodes[node];
        // Only the newest setting of a timer counts, and it is the one whose time has come.
        let is_due = this.timers.get(&timer).is_some_and(|at| *at <= self.now.0);
        if this.life == life && is_due {
            this.timers.remove(&timer);
            self.note(format_args!("n{node} timer {timer:?}"));
            self.handle(node, Event::TimerFired(timer));
        }
    }

    fn check_bounds(&mut self) {
        self.queue_max = self.queue_max.max(self.queue.len());
        if self.queue.len() > WAITING_PER_NODE_MAX.saturating_mul(self.nodes.len()) {
            let facts = format!("{} events wait for {} nodes", self.queue.len(), self.nodes.len());
            self.break_promise(Violation::of(Promise::Bounds, facts));
        }
        if let Some(facts) = self.compute.disagreement.take() {
            self.break_promise(Violation::of(Promise::StateRoot, facts));
        }
    }

    /// Gives memory back for what lies far below every node that will ever ask.
    pub(super) fn forget(&mut self) {
        if self.height().0 < self.forgotten.0 + 2 * REMEMBERED_BLOCKS {
            return;
        }
        let lowest = self
            .nodes
            .iter()
            .filter(|node| node.is_up())
            .map(|node| node.height().0)
            .min();
        let keep = lowest.unwrap_or(0).saturating_sub(REMEMBERED_BLOCKS);
        if keep < self.forgotten.0 + REMEMBERED_BLOCKS {
            return;
        }
        self.forgotten = BlockHeight(keep);
        self.compute.forget_below(self.forgotten);
        for stored in self.stored.values_mut() {
            stored.retain(|stored| Arc::strong_count(stored) > 1);
        }
        self.stored.retain(|_, stored| !stored.is_empty());
        self.looked_at.clear();
        let kept_term = self.genesis.parameters.terms().of_height(self.forgotten);
        self.observers = self
            .observers
            .split_off(&(kept_term, NetworkId::new([0; 32]), None));
        for observer in self.observers.values_mut() {
            observer.forget_below(SlotIndex(keep));
        }
        for node in &mut self.nodes {
            node.speech.forget_below(SlotIndex(keep));
        }
    }
}

/// What kind of message this is, read off its first bytes: a name by itself, or the only key of a map.
pub(super) fn kind_of(bytes: &[u8]) -> &str {
    let at = usize::from(bytes.first() == Some(&0xa1));
    let len = usize::from(bytes.get(at).map_or(0, |byte| byte & 0x1f));
    bytes
        .get(at + 1..at + 1 + len)
        .and_then(|name| std::str::from_utf8(name).ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
        .unwrap_or("bytes")
}
