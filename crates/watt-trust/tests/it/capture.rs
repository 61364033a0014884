//! Taking the backbone with a handful of friendships.

use crate::drawn::Drawn;
use std::collections::{BTreeMap, BTreeSet};
use watt_primitives::{AccountId, LedgerTime, TrustLevel};
use watt_trust::circle::{CIRCLE_MAX, NEW_PERIOD_MS};
use watt_trust::standby::{Candidate, Gate, NotEligible, SHADOW_TERMS_MIN, VOUCH_MS_MIN};
use watt_trust::{Circle, Neighbourhood, Ranking};

const PEOPLE: u32 = 2_000;
const SEATS: usize = 13;
const PUPPETS: u32 = 13;
/// A year after the first friendships: all are old enough.
const NOW: LedgerTime = LedgerTime(40 * NEW_PERIOD_MS);

fn id(n: u32) -> AccountId {
    // Ids say nothing about who somebody is.
    let digest = watt_primitives::Hash::of_content(&n.to_be_bytes());
    AccountId(digest.as_ref()[..20].try_into().unwrap())
}

#[derive(Clone)]
struct People {
    circles: BTreeMap<AccountId, Circle>,
    seeds: Vec<AccountId>,
    candidates: Vec<Candidate>,
}

impl People {
    /// 2,000 people who trust five others each, the well-known more often; every tenth offers to hold a seat and names three who
    /// trust them and are neither candidates nor friends, if there are any. 101 seeds.
    fn new(seed: u64) -> Self {
        let mut drawn = Drawn(seed);
        let mut people = Self {
            circles: BTreeMap::new(),
            seeds: (0..101).map(|n| id(n * 19)).collect(),
            candidates: Vec::new(),
        };
        for from in 0..PEOPLE {
            for _ in 0..CIRCLE_MAX {
                let to = drawn.below(PEOPLE).min(drawn.below(PEOPLE));
                people.trust(from, to);
            }
        }
        let is_candidate = |n: u32| n % 10 == 3;
        let numbers: BTreeMap<AccountId, u32> = (0..PEOPLE).map(|n| (id(n), n)).collect();
        let mut trusters: BTreeMap<AccountId, Vec<AccountId>> = BTreeMap::new();
        for (from, circle) in &people.circles {
            let members = circle.live(NOW).map(|edge| edge.to);
            members.for_each(|to| trusters.entry(to).or_default().push(*from));
        }
        for n in (0..PEOPLE).filter(|n| is_candidate(*n)) {
            let free = trusters.get(&id(n)).into_iter().flatten();
            let free: Vec<AccountId> = free.copied().filter(|one| !is_candidate(numbers[one])).collect();
            let vouchers = people.independent(&free).unwrap_or([id(n); 3]);
            people.apply(id(n), vouchers);
        }
        people
    }

    /// `from` trusts `to`, if there is room in the circle.
    fn trust(&mut self, from: u32, to: u32) {
        let circle = self.circles.entry(id(from)).or_default();
        let at = NEW_PERIOD_MS * u64::try_from(circle.edges.len()).unwrap();
        // Nobody trusts themselves; whoever is drawn so has one person fewer.
        if from != to {
            circle
                .add(&id(from), id(to), TrustLevel::InPerson, LedgerTime(at))
                .unwrap();
        }
    }

    fn apply(&mut self, person: AccountId, vouchers: [AccountId; 3]) {
        self.candidates.push(Candidate {
            person,
            vouchers,
            shadow_terms: SHADOW_TERMS_MIN,
        });
    }

    fn circle(&self, person: &AccountId) -> Circle {
        self.circles.get(person).cloned().unwrap_or_default()
    }

    /// Three of these of whom none is in another's circle.
    fn independent(&self, people: &[AccountId]) -> Option<[AccountId; 3]> {
        let trusts =
            |one: &AccountId, other: &AccountId| self.circle(one).live(NOW).any(|edge| edge.to == *other);
        let apart = |one: &AccountId, other: &AccountId| !trusts(one, other) && !trusts(other, one);
        for (i, one) in people.iter().enumerate() {
            for (j, two) in people.iter().enumerate().skip(i + 1) {
                let found = people[j + 1..]
                    .iter()
                    .find(|three| apart(one, three) && apart(two, three));
                if let (true, Some(three)) = (apart(one, two), found) {
                    return Some([*one, *two, *three]);
                }
            }
        }
        None
    }

    fn ranking(&self) -> Ranking {
        Neighbourhood::find(&self.seeds, 1 << 16, NOW, |id| self.circle(id)).rank()
    }

    /// Everyone who may be drawn.
    fn standby(&self) -> BTreeSet<AccountId> {
        let gate = Gate::new(&self.candidates, &self.ranking(), SEATS);
        let is_eligible = |one: &&Candidate| gate.check(one, NOW, |id| self.circle(id)).is_ok();
        let eligible = self.candidates.iter().filter(is_eligible);
        eligible.map(|one| one.person).collect()
    }
}

fn puppet(n: u32) -> u32 {
    PEOPLE + n % PUPPETS
}

/// How the puppets trust each other.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Ring,
    RingBothWays,
    EveryoneFive,
}

/// Thirteen puppets, each trusted by one seed and by each other as they like, are among the best ranked of all candidates, and
/// none of them gets onto the list from which seats are drawn, while honest candidates do.
#[test]
fn thirteen_puppets_with_one_friend_each_win_no_seat() {
    for (shape, seed) in [
        (Shape::Ring, 1),
        (Shape::RingBothWays, 2),
        (Shape::EveryoneFive, 3),
    ] {
        let mut people = People::new(seed);
        let before = people.standby();
        assert!(before.len() >= SEATS, "{} honest people stand by", before.len());
        for n in 0..PUPPETS {
            // The seed takes the puppet in for one of its five.
            let friend = people.seeds[usize::try_from(n).unwrap()];
            let last = people.circle(&friend).edges[0].to;
            let circle = people.circles.get_mut(&friend).unwrap();
            circle.remove(&last, LedgerTime(6 * NEW_PERIOD_MS)).unwrap();
            let at = LedgerTime(8 * NEW_PERIOD_MS);
            circle
                .add(&friend, id(puppet(n)), TrustLevel::InPerson, at)
                .unwrap();
            match shape {
                Shape::Ring => people.trust(puppet(n), puppet(n + 1)),
                Shape::RingBothWays => [1, 12]
                    .iter()
                    .for_each(|step| people.trust(puppet(n), puppet(n + step))),
                Shape::EveryoneFive => (1..6).for_each(|step| people.trust(puppet(n), puppet(n + step))),
            }
        }
        for n in 0..PUPPETS {
            let friend = people.seeds[usize::try_from(n).unwrap()];
            people.apply(id(puppet(n)), [friend, id(puppet(n + 12)), id(puppet(n + 10))]);
        }
        let ranking = people.ranking();
        let mut ranked: Vec<(u64, AccountId)> = people
            .candidates
            .iter()
            .map(|one| (ranking.of(&one.person), one.person))
            .collect();
        ranked.sort_unstable();
        let puppets: BTreeSet<AccountId> = (0..PUPPETS).map(|n| id(puppet(n))).collect();
        let by_rank = ranked
            .iter()
            .rev()
            .take(SEATS)
            .filter(|(_, one)| puppets.contains(one))
            .count();
        assert!(
            by_rank >= 9,
            "{shape:?}: by rank alone they would hold {by_rank} of 13 seats"
        );
        let after = people.standby();
        assert!(after.is_disjoint(&puppets), "{shape:?}");
        assert!(
            after.len() >= SEATS,
            "{shape:?}: {} honest people still stand by",
            after.len()
        );
    }
}

/// Each rule of the list, broken once.
#[test]
fn who_may_not_stand_by() {
    let people = People::new(4);
    let gate = Gate::new(&people.candidates, &people.ranking(), SEATS);
    let check = |candidate: &Candidate, now| gate.check(candidate, now, |id| people.circle(id));
    let eligible = people.standby();
    let good = *people
        .candidates
        .iter()
        .find(|one| eligible.contains(&one.person))
        .unwrap();
    assert_eq!(check(&good, NOW), Ok(()));

    let shadow_terms = SHADOW_TERMS_MIN - 1;
    let found = NotEligible::Shadow { found: shadow_terms };
    assert_eq!(check(&Candidate { shadow_terms, ..good }, NOW), Err(found));
    let unknown = Candidate {
        person: id(9_999),
        ..good
    };
    assert_eq!(check(&unknown, NOW), Err(NotEligible::Rank { n_best: 4 * SEATS }));
    let [one, two, three] = good.vouchers;
    for vouchers in [[one, two, one], [one, two, good.person]] {
        assert_eq!(
            check(&Candidate { vouchers, ..good }, NOW),
            Err(NotEligible::Vouchers)
        );
    }
    let stranger = id(9_999);
    let voucher = NotEligible::NotTrusted { voucher: stranger };
    assert_eq!(
        check(
            &Candidate {
                vouchers: [one, two, stranger],
                ..good
            },
            NOW
        ),
        Err(voucher)
    );

    // The three trust the candidate since the weeks in which they took them in.
    let since = |voucher: &AccountId| {
        let circle = people.circle(voucher);
        let edge = circle.edges.iter().find(|edge| edge.to == good.person).unwrap();
        edge.since
    };
    let youngest = [one, two, three].iter().map(since).max().unwrap();
    let enough = youngest.plus(VOUCH_MS_MIN);
    assert_eq!(check(&good, enough), Ok(()));
    assert!(matches!(
        check(&good, LedgerTime(enough.0 - 1)),
        Err(NotEligible::NotTrusted { .. })
    ));

    let mut friends = people.clone();
    let circle = friends.circles.get_mut(&one).unwrap();
    let other = circle
        .edges
        .iter()
        .map(|edge| edge.to)
        .find(|to| *to != good.person)
        .unwrap();
    circle.remove(&other, LedgerTime(20 * NEW_PERIOD_MS)).unwrap();
    circle
        .add(&one, two, TrustLevel::Online, LedgerTime(30 * NEW_PERIOD_MS))
        .unwrap();
    let found = gate.check(&good, NOW, |id| friends.circle(id));
    assert_eq!(found, Err(NotEligible::Friends { one, other: two }));
}
