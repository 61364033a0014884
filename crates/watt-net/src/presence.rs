//! Who is connected, told to the node once per change and never in an unbounded queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use libp2p::PeerId;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Connected(PeerId),
    Disconnected(PeerId),
}

/// The difference between who is connected and who the node believes is connected.
///
/// A queue of events would grow while the node is busy and peers come and go; the difference can't outgrow the peers. A
/// peer that went and came back meanwhile is told as gone and then as there, since what it knew may be gone too.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    /// Each session of a peer has its own number.
    sessions: u64,
    connected: BTreeMap<PeerId, u64>,
    announced: BTreeMap<PeerId, u64>,
    changed: BTreeSet<PeerId>,
}

impl Presence {
    pub(crate) fn connected(&self, peer: PeerId) {
        let mut state = self.lock();
        state.sessions = state.sessions.saturating_add(1);
        let session = state.sessions;
        state.connected.insert(peer, session);
        state.changed.insert(peer);
        drop(state);
        self.waker.wake();
    }

    pub(crate) fn disconnected(&self, peer: PeerId) {
        let mut state = self.lock();
        state.connected.remove(&peer);
        state.changed.insert(peer);
        drop(state);
        self.waker.wake();
    }

    /// The next change, if there is one.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Change> {
        self.waker.register(cx.waker());
        let mut state = self.lock();
        while let Some(peer) = state.changed.first().copied() {
            let now = state.connected.get(&peer).copied();
            let before = state.announced.get(&peer).copied();
            match (before, now) {
                (Some(before), Some(now)) if before == now => {}
                (None, None) => {}
                (Some(_), Some(_) | None) => {
                    // Stays among the changed: if it is there again, that is told next.
                    state.announced.remove(&peer);
                    return Poll::Ready(Change::Disconnected(peer));
                }
                (None, Some(now)) => {
                    state.announced.insert(peer, now);
                    state.changed.remove(&peer);
                    return Poll::Ready(Change::Connected(peer));
                }
            }
            state.changed.remove(&peer);
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(presence: &Presence) -> Vec<Change> {
        let mut cx = Context::from_waker(futures::task::noop_waker_ref());
        std::iter::from_fn(|| match presence.poll(&mut cx) {
            Poll::Ready(change) => Some(change),
            Poll::Pending => None,
        })
        .collect()
    }

    /// Whatever happens between two looks, the node hears a consistent and short story.
    #[test]
    fn changes_are_told_once_and_in_order() {
        let (presence, peer) = (Presence::default(), PeerId::random());
        presence.connected(peer);
        assert_eq!(told(&presence), [Change::Connected(peer)]);
        presence.disconnected(peer);
        presence.connected(peer);
        assert_eq!(
            told(&presence),
            [Change::Disconnected(peer), Change::Connected(peer)],
            "a restart"
        );
        for _ in 0..100 {
            presence.disconnected(peer);
            presence.connected(peer);
        }
        assert_eq!(
            told(&presence),
            [Change::Disconnected(peer), Change::Connected(peer)],
            "flapping"
        );
        presence.disconnected(peer);
        assert_eq!(told(&presence), [Change::Disconnected(peer)]);
        presence.connected(peer);
        presence.disconnected(peer);
        assert_eq!(told(&presence), [], "came and went unseen");
    }
}
