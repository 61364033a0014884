//! When to dial a bootstrap peer again: for ever, but ever more patiently.

use std::{collections::BTreeMap, time::Duration};

use libp2p::PeerId;
use tokio::time::Instant;

use crate::address::Route;

/// Wait before the first new attempt; short, because the usual cause is a peer that just restarts.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Longest wait between two attempts; a bootstrap peer that returns is found within this time.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// After so many doublings the wait is above [`BACKOFF_MAX`] anyway.
const DOUBLINGS_MAX: u32 = 6;

/// A connection that lasted this long was a real one; before, losing it counts as another failed attempt.
const SETTLED: Duration = Duration::from_secs(10);

/// A dial that reports nothing for so long is considered lost.
const DIAL_LOST: Duration = Duration::from_secs(60);

/// The bootstrap peers and when each is due.
#[derive(Debug, Default)]
pub(crate) struct Redial {
    peers: BTreeMap<PeerId, Wanted>,
}

#[derive(Debug)]
struct Wanted {
    routes: Vec<Route>,
    attempts: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting { until: Instant },
    Dialing { lost_at: Instant },
    Connected { since: Instant },
}

impl Redial {
    /// Adds an address of a peer that is always wanted.
    pub(crate) fn want(&mut self, peer: PeerId, route: Route, now: Instant) {
        let wanted = self.peers.entry(peer).or_insert_with(|| Wanted {
            routes: Vec::new(),
            attempts: 0,
            state: State::Waiting { until: now },
        });
        if !wanted.routes.contains(&route) {
            wanted.routes.push(route);
        }
    }

    /// The moment at which somebody is due next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.peers.values().filter_map(Wanted::due_at).min()
    }

    /// Takes one peer that is due; it counts as being dialled from now on.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(PeerId, Vec<Route>)> {
        let (peer, wanted) = self
            .peers
            .iter_mut()
            .find(|(_, wanted)| wanted.due_at().is_some_and(|due| due <= now))?;
        wanted.state = State::Dialing {
            lost_at: after(now, DIAL_LOST),
        };
        Some((*peer, wanted.routes.clone()))
    }

    /// A connection to `peer` exists.
    pub(crate) fn connected(&mut self, peer: PeerId, now: Instant) {
        if let Some(wanted) = self.peers.get_mut(&peer) {
            wanted.state = State::Connected { since: now };
        }
    }

    /// A dial of `peer` failed.
    pub(crate) fn failed(&mut self, peer: PeerId, now: Instant) {
        if let Some(wanted) = self.peers.get_mut(&peer) {
            match wanted.state {
                State::Connected { .. } => {}
                State::Waiting { .. } | State::Dialing { .. } => wanted.wait(peer, now),
            }
        }
    }

    /// The last connection to `peer` is gone.
    pub(crate) fn lost(&mut self, peer: PeerId, now: Instant) {
        if let Some(wanted) = self.peers.get_mut(&peer) {
            if let State::Connected { since } = wanted.state
                && now.saturating_duration_since(since) >= SETTLED
            {
                wanted.attempts = 0;
            }
            wanted.wait(peer, now);
        }
    }
}

impl Wanted {
    fn due_at(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Dialing { lost_at } => Some(lost_at),
            State::Connected { .. } => None,
        }
    }

    fn wait(&mut self, peer: PeerId, now: Instant) {
        let wait = backoff(peer, self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Waiting {
            until: after(now, wait),
        };
    }
}

/// The wait after `attempts` failures: doubling up to the cap, stretched by up to a quarter, differently for every peer and
/// attempt, so that nodes that lost the same peer don't return in step.
fn backoff(peer: PeerId, attempts: u32) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1_u32.checked_shl(attempts.min(DOUBLINGS_MAX)).unwrap_or(1));
    let capped = doubled.min(BACKOFF_MAX);
    let seed = peer
        .to_bytes()
        .iter()
        .fold(attempts, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    let stretch = capped
        .saturating_mul(seed % 256)
        .checked_div(1_024)
        .unwrap_or(Duration::ZERO);
    capped.saturating_add(stretch)
}

fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wait doubles from 100 ms to 5 s, plus at most a quarter, and never ends.
    #[test]
    fn waits_double_to_the_cap_for_ever() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let route = Route::parse(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()).unwrap();
        let mut redial = Redial::default();
        redial.want(peer, route, now);
        let (mut now, mut expected) = (now, BACKOFF_MIN);
        for _ in 0..50 {
            assert!(redial.take_due(now).is_some());
            assert!(redial.take_due(now).is_none(), "a peer is dialled once at a time");
            redial.failed(peer, now);
            let wait = redial.next_due().unwrap() - now;
            assert!(
                wait >= expected && wait <= expected + expected / 4,
                "{wait:?} for {expected:?}"
            );
            now += wait;
            expected = (expected * 2).min(BACKOFF_MAX);
        }
    }

    /// A peer that was long connected is dialled at once when lost; one that flaps is not.
    #[test]
    fn only_a_settled_connection_resets_the_wait() {
        let (peer, t0) = (PeerId::random(), Instant::now());
        let route = Route::parse(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()).unwrap();
        let mut redial = Redial::default();
        redial.want(peer, route, t0);
        for _ in 0..10 {
            redial.connected(peer, t0);
            assert_eq!(redial.next_due(), None);
            redial.lost(peer, t0);
        }
        assert!(redial.next_due().unwrap() - t0 >= BACKOFF_MAX, "flapping");
        redial.connected(peer, t0);
        redial.lost(peer, t0 + SETTLED);
        assert!(
            redial.next_due().unwrap() - (t0 + SETTLED) < BACKOFF_MIN * 2,
            "settled"
        );
    }
}
