//! Links between nodes: latency, loss, copies, reordering, bandwidth, walls.

use crate::luck::Luck;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use watt_engine::{PeerId, Priority};
use watt_primitives::Timestamp;

/// Milliseconds of traffic that may wait at one end of a link, per lane; what comes on top is lost, as with a full outbox.
const BACKLOG_MS_MAX: u64 = 10_000;

/// How the network behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeatherName {
    /// One machine room.
    Calm,
    /// Homes in several countries.
    Fair,
    /// Homes with bad lines: losses, tails, reordering, copies.
    Rough,
    /// Hardly a network.
    Storm,
}

/// Odds and delays of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Shortest and longest usual latency within a region, in milliseconds.
    pub near_ms: (u64, u64),
    /// Added between two regions, in milliseconds.
    pub far_ms: u64,
    /// Messages in a thousand that take ten times as long.
    pub tail_permille: u64,
    /// Messages in a thousand that are lost.
    pub loss_permille: u64,
    /// Messages in a thousand that arrive twice.
    pub copy_permille: u64,
    /// Whether a message may overtake another.
    pub is_reordering: bool,
    /// Bytes per second and direction of a link.
    pub bytes_per_s: u64,
}

impl WeatherName {
    /// The numbers behind the name.
    #[must_use]
    pub const fn weather(self) -> Weather {
        let fair = Weather {
            near_ms: (3, 25),
            far_ms: 60,
            tail_permille: 5,
            loss_permille: 0,
            copy_permille: 0,
            is_reordering: false,
            bytes_per_s: 2_500_000,
        };
        match self {
            Self::Calm => Weather {
                near_ms: (1, 2),
                far_ms: 0,
                tail_permille: 0,
                bytes_per_s: 100_000_000,
                ..fair
            },
            Self::Fair => fair,
            Self::Rough => Weather {
                near_ms: (5, 120),
                far_ms: 80,
                tail_permille: 30,
                loss_permille: 30,
                copy_permille: 20,
                is_reordering: true,
                bytes_per_s: 600_000,
            },
            Self::Storm => Weather {
                near_ms: (20, 400),
                far_ms: 150,
                tail_permille: 60,
                loss_permille: 150,
                copy_permille: 50,
                is_reordering: true,
                bytes_per_s: 200_000,
            },
        }
    }
}

/// One direction of one lane of a link.
#[derive(Clone, Copy, Default)]
struct Lane {
    /// When the last byte that was handed in will have left.
    busy_until: Timestamp,
    /// When the newest message arrives.
    last_arrival: Timestamp,
}

struct Link {
    ends: [usize; 2],
    lanes: [[Lane; 2]; 2],
}

/// All links.
pub struct Net {
    luck: Luck,
    /// How it behaves now.
    pub weather: Weather,
    regions: Vec<u8>,
    links: BTreeMap<PeerId, Link>,
    between: BTreeMap<(usize, usize), PeerId>,
    of_node: Vec<BTreeSet<PeerId>>,
    next: u64,
    sides: Option<Vec<u8>>,
    one_way: BTreeSet<(usize, usize)>,
    /// Messages handed in, lost ones included.
    pub n_sent: u64,
    /// Bytes handed in.
    pub bytes_sent: u64,
    /// Messages that a full outbox threw away.
    pub n_overflowed: u64,
}

/// A link is known by the same number at both ends; numbers are never used again.
impl Net {
    /// No link yet between `n` nodes, each in one of four regions.
    #[must_use]
    pub fn new(n: usize, weather: Weather, mut luck: Luck) -> Self {
        let regions = (0..n).map(|_| u8::try_from(luck.below(4)).unwrap_or(0)).collect();
        Self {
            luck,
            weather,
            regions,
            links: BTreeMap::new(),
            between: BTreeMap::new(),
            of_node: vec![BTreeSet::new(); n],
            next: 1,
            sides: None,
            one_way: BTreeSet::new(),
            n_sent: 0,
            bytes_sent: 0,
            n_overflowed: 0,
        }
    }

    fn pair(a: usize, b: usize) -> (usize, usize) {
        (a.min(b), a.max(b))
    }

    /// Connects two nodes; `None` if they are.
    pub fn connect(&mut self, a: usize, b: usize) -> Option<PeerId> {
        if self.between.contains_key(&Self::pair(a, b)) {
            return None;
        }
        let id = PeerId(self.next);
        self.next += 1;
        self.between.insert(Self::pair(a, b), id);
        self.of_node[a].insert(id);
        self.of_node[b].insert(id);
        self.links.insert(
            id,
            Link {
                ends: [a, b],
                lanes: Default::default(),
            },
        );
        Some(id)
    }

    /// Breaks a link; returns its ends.
    pub fn break_link(&mut self, id: PeerId) -> Option<[usize; 2]> {
        let link = self.links.remove(&id)?;
        let [a, b] = link.ends;
        self.between.remove(&Self::pair(a, b));
        self.of_node[a].remove(&id);
        self.of_node[b].remove(&id);
        Some(link.ends)
    }

    /// Links of a node.
    #[must_use]
    pub fn links_of(&self, node: usize) -> Vec<PeerId> {
        self.of_node[node].iter().copied().collect()
    }

    /// The ends of a link that stands.
    #[must_use]
    pub fn ends(&self, id: PeerId) -> Option<[usize; 2]> {
        self.links.get(&id).map(|link| link.ends)
    }

    /// Who is at the other end of `node`'s link.
    #[must_use]
    pub fn other(&self, node: usize, id: PeerId) -> Option<usize> {
        let [a, b] = self.ends(id)?;
        Some(if a == node { b } else { a })
    }

    /// Puts every node on a side; sides do not hear one another.
    pub fn part(&mut self, sides: Vec<u8>) {
        self.sides = Some(sides);
    }

    /// From now on `to` does not hear `from`.
    pub fn deafen(&mut self, from: usize, to: usize) {
        self.one_way.insert((from, to));
    }

    /// All walls fall.
    pub fn heal(&mut self) {
        self.sides = None;
        self.one_way.clear();
    }

    /// Whether what `from` says can't reach `to`.
    #[must_use]
    pub fn is_blocked(&self, from: usize, to: usize) -> bool {
        let is_apart = self.sides.as_ref().is_some_and(|sides| sides[from] != sides[to]);
        is_apart || self.one_way.contains(&(from, to))
    }

    /// Links that a wall cuts in at least one direction.
    #[must_use]
    pub fn cut_links(&self) -> Vec<PeerId> {
        if self.sides.is_none() && self.one_way.is_empty() {
            return Vec::new();
        }
        let is_cut = |link: &Link| {
            let [a, b] = link.ends;
            self.is_blocked(a, b) || self.is_blocked(b, a)
        };
        let cut = self.links.iter().filter(|(_, link)| is_cut(link));
        cut.map(|(id, _)| *id).collect()
    }

    fn latency_ms(&mut self, from: usize, to: usize) -> u64 {
        let weather = self.weather;
        let (low, high) = weather.near_ms;
        let mut ms = self.luck.range(low, high);
        if self.regions[from] != self.regions[to] {
            ms += weather.far_ms;
        }
        if self.luck.permille(weather.tail_permille) {
            ms *= 10;
        }
        ms.max(1)
    }

    /// When a message of `len` bytes from `from` arrives over its link `id`, and when a copy of it: not at all, once or twice.
    pub fn send(
        &mut self,
        now: Timestamp,
        from: usize,
        id: PeerId,
        len: usize,
        priority: Priority,
    ) -> [Option<Timestamp>; 2] {
        let Some(to) = self.other(from, id) else {
            return [None; 2];
        };
        let weather = self.weather;
        let bytes = u64::try_from(len).unwrap_or(u64::MAX);
        self.n_sent += 1;
        self.bytes_sent += bytes;
        let latency_ms = self.latency_ms(from, to);
        let is_lost = self.luck.permille(weather.loss_permille);
        let copy_after_ms = self
            .luck
            .permille(weather.copy_permille)
            .then(|| self.luck.range(1, 2_000));
        if self.is_blocked(from, to) {
            return [None; 2];
        }
        let Some(link) = self.links.get_mut(&id) else {
            return [None; 2];
        };
        let direction = usize::from(link.ends[1] == from);
        let lane = &mut link.lanes[direction][usize::from(priority == Priority::Bulk)];
        let begins = lane.busy_until.max(now);
        if begins.0 - now.0 > BACKLOG_MS_MAX {
            self.n_overflowed += 1;
            return [None; 2];
        }
        lane.busy_until = begins.plus(bytes.saturating_mul(1000) / weather.bytes_per_s.max(1));
        if is_lost {
            return [None; 2];
        }
        let mut arrival = lane.busy_until.plus(latency_ms);
        if !weather.is_reordering {
            arrival = arrival.max(lane.last_arrival);
            lane.last_arrival = arrival;
        }
        [Some(arrival), copy_after_ms.map(|ms| arrival.plus(ms))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::luck::Purpose;

    fn net(weather: Weather) -> Net {
        Net::new(4, weather, Luck::new(1, Purpose::Network))
    }

    /// Without reordering a stream stays a stream.
    #[test]
    fn messages_of_one_lane_stay_in_order() {
        let mut net = net(WeatherName::Fair.weather());
        let id = net.connect(0, 1).unwrap();
        let arrivals: Vec<_> = (0..200)
            .filter_map(|n| net.send(Timestamp(n), 0, id, 500, Priority::Bulk)[0])
            .collect();
        assert_eq!(arrivals.len(), 200);
        assert!(arrivals.is_sorted());
    }

    /// A narrow link delays, and a full one loses, instead of growing without bound.
    #[test]
    fn a_narrow_link_delays_and_then_loses() {
        let weather = Weather {
            bytes_per_s: 1_000,
            ..WeatherName::Calm.weather()
        };
        let mut net = net(weather);
        let id = net.connect(0, 1).unwrap();
        let arrivals: Vec<_> = (0..20)
            .filter_map(|_| net.send(Timestamp(0), 0, id, 1_000, Priority::Bulk)[0])
            .collect();
        assert_eq!(
            arrivals.len(),
            11,
            "one under way and ten seconds' worth behind it"
        );
        assert!(arrivals[10].0 >= 11_000);
        assert_eq!(net.n_overflowed, 9);
    }

    /// A wall in one direction stops one direction.
    #[test]
    fn walls_may_be_one_way() {
        let mut net = net(WeatherName::Calm.weather());
        let id = net.connect(0, 1).unwrap();
        net.deafen(0, 1);
        let arrives =
            |net: &mut Net, from| net.send(Timestamp(0), from, id, 9, Priority::Urgent)[0].is_some();
        assert!(!arrives(&mut net, 0));
        assert!(arrives(&mut net, 1));
        assert_eq!(net.cut_links(), [id]);
        net.heal();
        assert!(arrives(&mut net, 0));
        net.part(vec![0, 1, 1, 1]);
        assert!(net.is_blocked(0, 3) && net.is_blocked(3, 0) && !net.is_blocked(1, 2));
    }
}
