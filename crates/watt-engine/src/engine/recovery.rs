//! What brings a network back that stands still: successors of lost voting keys, and owners who let a node that forgot go on
//! (`docs/spec/node.md` §11; TC1, TC3).

use super::{Engine, Verifying};
use crate::consensus::{Context, NotAdopted};
use crate::effect::{Effect, Priority};
use crate::event::{Clocks, PeerId};
use crate::message::Message;
use watt_light::Succession;
use watt_primitives::{BlockHeight, BoundedVec, SlotIndex, Timestamp};

/// Windows' time for which a slot has to stand still before an owner may let a node go on that forgot what it said: an hour on the
/// main network.
pub const RECOVER_WINDOWS: u64 = 6;

/// Ticks without a new head after which a successor has heard what there is to hear.
pub(super) const LISTENING_TICKS: u32 = 4;

/// Why a node can't be told to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRecoverable {
    /// It votes, or has nothing to vote with.
    #[error("this node is not silent: it speaks in this slot, or has no seat")]
    NotSilent,
    /// Others are ahead: no slot stands still.
    #[error("others are ahead: the network does not stand still at block {height}")]
    Behind {
        /// The newest block here.
        height: BlockHeight,
    },
    /// The slot has not stood still for long enough while this node was running.
    #[error(
        "slot {slot} has stood still for {stood_s} s while this node was running; {needed_s} s are needed"
    )]
    TooSoon {
        /// The slot.
        slot: SlotIndex,
        /// For how long, in seconds.
        stood_s: u64,
        /// Needed, in seconds.
        needed_s: u64,
    },
    /// Too few seats were heard.
    #[error("{heard} seats were heard in slot {slot}, this one included; {needed} are needed")]
    TooFew {
        /// The slot.
        slot: SlotIndex,
        /// Seats.
        heard: usize,
        /// Needed.
        needed: usize,
    },
    /// The block for which it voted is not here yet.
    #[error("the block for which this node voted in slot {slot} is not here yet; it was asked for")]
    NoBody {
        /// The slot.
        slot: SlotIndex,
    },
}

impl Engine {
    /// Peers tell of successions: those of them that are news are checked.
    pub(super) fn told_successions(
        &mut self,
        from: PeerId,
        mut successions: Vec<Succession>,
        effects: &mut Vec<Effect>,
    ) {
        successions.retain(|succession| self.backbones.lacks(succession));
        if successions.is_empty() {
            return;
        }
        let checks = successions
            .iter()
            .flat_map(|succession| succession.signature_checks(&self.network))
            .collect();
        self.verify(Verifying::Successions { from, successions }, checks, effects);
    }

    /// Successions were checked: they are noted, kept, and passed on.
    pub(super) fn succeeded(
        &mut self,
        from: PeerId,
        successions: Vec<Succession>,
        hold: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if !hold {
            self.count("bad succession signature");
            effects.push(Effect::Disconnect(from));
            return;
        }
        self.learn_successions(successions, Some(from), now, effects);
    }

    /// Notes those of these that are news; their signatures hold.
    pub(super) fn learn_successions(
        &mut self,
        mut successions: Vec<Succession>,
        except: Option<PeerId>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        successions.retain(|succession| self.backbones.succeed(succession));
        if successions.is_empty() {
            return;
        }
        for one in &successions {
            tracing::warn!(term = one.term.0, seat = %one.account, generation = one.generation, "another key votes for a seat");
        }
        self.tell_successions(successions, except, now, effects);
    }

    /// The state says a term for which successions were awaited.
    pub(super) fn await_successions(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let arrived = self.backbones.take_arrived();
        if !arrived.is_empty() {
            self.tell_successions(arrived, None, now, effects);
        }
    }

    /// These are news.
    fn tell_successions(
        &mut self,
        successions: Vec<Succession>,
        except: Option<PeerId>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let all = self.backbones.successions();
        effects.push(Effect::KeepSuccessions(all.cloned().collect()));
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        self.consensus.succeeded(&self.backbones, &mut context);
        let message = Message::Successions {
            successions: BoundedVec::new(successions).unwrap_or_default(),
        };
        context.flood(&message, Priority::Urgent, except);
    }

    /// The newest succession of each seat, by term.
    pub(super) fn successions(&self) -> impl Iterator<Item = Message> {
        self.backbones.all().filter_map(|deciders| {
            let newest: Vec<Succession> = deciders.newest_successions().cloned().collect();
            let successions = BoundedVec::new(newest).ok().filter(|newest| !newest.is_empty())?;
            Some(Message::Successions { successions })
        })
    }

    /// A successor does not know what was said for its seat: it listens until it works on a slot that none of its first peers can have
    /// worked on when it started, or until a slot stands still and all has been said.
    pub(super) fn begin_listening(&mut self) {
        let mut all = self.backbones.successions();
        if all.any(|succession| self.consensus.has_key(&succession.key)) {
            self.listens_to = Some(self.consensus.slot());
        }
    }

    /// A peer's head when it was met: what is above may have been begun.
    pub(super) fn listen_beyond(&mut self, height: BlockHeight, now: Timestamp) {
        let is_new_here = now < self.quiet_until;
        if let Some(slot) = self.listens_to.as_mut().filter(|_| is_new_here) {
            *slot = (*slot).max(SlotIndex::from(height).next());
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listens_to.is_some_and(|slot| self.consensus.slot() <= slot)
    }

    /// Whether statements of others are only kept.
    pub(super) fn is_quiet(&self, now: Timestamp) -> bool {
        now < self.quiet_until || self.is_listening()
    }

    /// The slot stands still: a successor that heard a slice goes on from what was said for its seat.
    pub(super) fn end_listening(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_behind = self.peers.height_max() > self.head.header.height;
        let is_successor = self.consensus.is_successor() && self.consensus.is_muted();
        let waits_for_owner = self.consensus.forgot_itself();
        if is_behind || waits_for_owner || !(self.is_listening() || is_successor) {
            return;
        }
        if self.adopt(now, effects).is_ok() {
            self.listens_to = None;
            self.hear_early(now, effects);
        }
    }

    fn adopt(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> Result<(), NotAdopted> {
        let slot = self.consensus.slot();
        let early = self.early.keys().filter(|statement| statement.slot == slot);
        let kept: Vec<_> = early
            .filter_map(|statement| self.consensus.heard_as(statement))
            .map(|statement| statement.node)
            .collect();
        self.consensus.hears_a_slice(kept.into_iter())?;
        let mut context = Context {
            now,
            wall: self.wall,
            peers: &self.peers,
            effects,
        };
        self.consensus.adopt(&mut context)
    }

    /// The owner's consent that this node, which is silent because it forgot what it said, goes on in the slot that stands still: from
    /// the newest of its own words that peers hold. Never done without being asked (TC3).
    ///
    /// # Errors
    /// See [`NotRecoverable`]; nothing was changed.
    pub fn recover(&mut self, now: Clocks, effects: &mut Vec<Effect>) -> Result<SlotIndex, NotRecoverable> {
        self.wall = now.wall;
        let (slot, height) = (self.consensus.slot(), self.head.header.height);
        if !self.consensus.is_muted() {
            return Err(NotRecoverable::NotSilent);
        }
        if self.peers.height_max() > height {
            return Err(NotRecoverable::Behind { height });
        }
        let stood_ms = now.steady.0.saturating_sub(self.consensus.since().0);
        let window_ms = self
            .parameters
            .window_slots
            .saturating_mul(self.parameters.slot_ms);
        let needed_ms = window_ms.saturating_mul(RECOVER_WINDOWS);
        if stood_ms < needed_ms {
            return Err(NotRecoverable::TooSoon {
                slot,
                stood_s: stood_ms / 1_000,
                needed_s: needed_ms.div_ceil(1_000),
            });
        }
        match self.adopt(now.steady, effects) {
            Ok(()) => Ok(slot),
            Err(NotAdopted::TooFew { heard, needed }) => Err(NotRecoverable::TooFew { slot, heard, needed }),
            Err(NotAdopted::NoBody) => Err(NotRecoverable::NoBody { slot }),
        }
    }
}
