//! Who holds the seats: what always changes, what waits, and what a lot protects from.

use crate::drawn::Drawn;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use watt_primitives::{AccountId, Hash, Term};
use watt_trust::Backbone;
use watt_trust::backbone::{
    AWAY_TERMS, Attendance, GROWTH, GROWTH_TERMS, InvalidBackbone, Plan, SEAT_TERMS, SEATS_MAX, TermFacts,
    Why,
};

fn id(n: u32) -> AccountId {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    AccountId(bytes)
}

fn ids(range: std::ops::Range<u32>) -> Vec<AccountId> {
    range.map(id).collect()
}

const THERE: Attendance = Attendance {
    expected: 144,
    attended: 144,
};

fn there_for(attended: u32) -> Attendance {
    Attendance { attended, ..THERE }
}

/// What is known, to be changed by a test: everybody was there, and 1,000 people stand by.
struct World {
    backbone: Backbone,
    next_term: u64,
    attendance: BTreeMap<AccountId, Attendance>,
    faulty: BTreeSet<AccountId>,
    on_time_permille: u32,
    standby: Vec<AccountId>,
}

impl World {
    fn new(n_seats: u32) -> Self {
        Self {
            backbone: Backbone::new(ids(0..n_seats), Term(0)).unwrap(),
            next_term: 2,
            attendance: (0..2_000).map(|n| (id(n), THERE)).collect(),
            faulty: BTreeSet::new(),
            on_time_permille: 1_000,
            standby: ids(1_000..2_000),
        }
    }

    fn facts(&self) -> TermFacts<'_> {
        TermFacts {
            next_term: Term(self.next_term),
            attendance: &self.attendance,
            faulty: &self.faulty,
            on_time_permille: self.on_time_permille,
            standby: &self.standby,
            seed: Hash::of_content(&self.next_term.to_be_bytes()),
        }
    }

    fn plan(&self) -> Plan {
        self.backbone.plan(&self.facts())
    }

    fn settle(&mut self) -> Plan {
        let plan = self.plan();
        self.backbone = self
            .backbone
            .settle(&plan, &BTreeSet::new(), Term(self.next_term));
        self.next_term += 1;
        plan
    }

    fn leaving(&self) -> Vec<(AccountId, Why)> {
        let plan = self.plan();
        plan.replacements
            .iter()
            .map(|one| (one.leaves, one.why))
            .collect()
    }

    fn people(&self) -> Vec<AccountId> {
        self.backbone.voters().into_iter().collect()
    }
}

/// The silent are replaced however late the slots are, the faulty first, then those who were there least; never more than half of
/// what may be faulty, and at least one.
#[test]
fn silent_and_faulty_people_are_always_replaced() {
    let mut world = World::new(13);
    world.on_time_permille = 0;
    assert_eq!(world.plan(), Plan::default());
    world.attendance.insert(id(3), there_for(72));
    assert_eq!(world.plan(), Plan::default(), "half of the time is not silence");
    world.attendance.insert(id(3), there_for(71));
    assert_eq!(world.leaving(), [(id(3), Why::Silent)]);
    world.attendance.insert(id(5), there_for(10));
    world.attendance.remove(&id(7));
    assert_eq!(world.leaving(), [(id(7), Why::Silent), (id(5), Why::Silent)]);
    world.faulty.insert(id(9));
    assert_eq!(world.leaving(), [(id(9), Why::Faulty), (id(7), Why::Silent)]);

    let mut small = World::new(4);
    small.attendance.insert(id(3), there_for(0));
    small.attendance.insert(id(2), there_for(0));
    assert_eq!(
        small.leaving(),
        [(id(2), Why::Silent)],
        "one at least, though f / 2 is none"
    );
}

/// A silent holder's seat is kept: on coming back they have it again, whatever the weather; after 30 terms it is the
/// substitute's. Who is faulty has lost theirs.
#[test]
fn who_comes_back_has_the_seat_again() {
    let mut world = World::new(13);
    world.on_time_permille = 0;
    world.attendance.insert(id(3), there_for(0));
    let substitute = world.settle().replacements[0].enters;
    assert!(world.people().contains(&substitute) && !world.people().contains(&id(3)));
    world.attendance.insert(id(3), there_for(136));
    assert_eq!(world.settle(), Plan::default(), "not steady yet");
    world.attendance.insert(id(3), THERE);
    assert_eq!(world.leaving(), [(substitute, Why::Back)]);
    world.settle();
    assert_eq!(world.people(), ids(0..13));

    world.attendance.insert(id(3), there_for(0));
    let away = world.next_term;
    let substitute = world.settle().replacements[0].enters;
    while world.next_term <= away + AWAY_TERMS {
        assert_eq!(world.settle(), Plan::default());
    }
    world.attendance.insert(id(3), THERE);
    assert_eq!(world.settle(), Plan::default());
    let seats = world.backbone.seats();
    let seat = seats.iter().find(|seat| seat.holder == substitute).unwrap();
    assert_eq!((seat.since, seat.away), (Term(away + AWAY_TERMS), None));

    world.faulty.insert(id(5));
    world.settle();
    world.faulty.clear();
    assert_eq!(world.settle(), Plan::default());
    assert!(!world.people().contains(&id(5)));
}

/// Nobody enters who was not there, is faulty, or has a seat; without anybody to enter the seat stays with who holds it.
#[test]
fn only_who_is_there_enters() {
    let mut world = World::new(13);
    world.attendance.insert(id(3), there_for(0));
    world.standby = vec![id(4), id(1_000), id(1_001), id(1_002), id(3_000)];
    world.attendance.insert(id(1_000), there_for(136));
    world.faulty.insert(id(1_001));
    let entering = |world: &World| -> Vec<AccountId> {
        let plan = world.plan();
        plan.replacements.iter().map(|one| one.enters).collect()
    };
    assert_eq!(entering(&world), [id(1_002)]);
    world.attendance.insert(id(1_002), there_for(136));
    assert!(
        entering(&world).is_empty(),
        "136 of 144 windows are fewer than 95 of 100"
    );
    assert_eq!(world.settle(), Plan::default());
    assert_eq!(world.people(), ids(0..13));
}

/// The lot depends on the seed and on nothing else: not on the order of the list, not on who else was there.
#[test]
fn the_lot_is_the_same_for_everybody() {
    let mut world = World::new(13);
    world.attendance.insert(id(3), there_for(0));
    let plan = world.plan();
    world.standby.reverse();
    assert_eq!(world.plan(), plan);
    let entrants: BTreeSet<AccountId> = (0..40)
        .map(|term| {
            world.next_term = term;
            world.plan().replacements[0].enters
        })
        .collect();
    assert!(
        entrants.len() > 30,
        "40 lots among 1,000 people fall on {}",
        entrants.len()
    );
}

/// A seat is given on after 180 terms, in quiet times only, one at a time, and no more in 30 terms than may be faulty.
#[test]
fn seats_are_given_on_slowly() {
    let mut world = World::new(13);
    world.standby.truncate(4); // too few to grow
    world.next_term = SEAT_TERMS - 1;
    assert_eq!(world.plan(), Plan::default());
    world.next_term = SEAT_TERMS;
    assert_eq!(world.leaving(), [(id(0), Why::TimeOver)]);
    world.on_time_permille = 994;
    assert_eq!(world.plan(), Plan::default());
    world.on_time_permille = 995;
    world.standby = ids(1_000..1_005);
    let given: Vec<u64> = (0..60)
        .filter(|_| !world.settle().replacements.is_empty())
        .map(|n| n + SEAT_TERMS)
        .collect();
    assert_eq!(
        given,
        [180, 181, 182, 183, 210],
        "four in 30 terms, as long as there is somebody"
    );
}

/// It grows by three at most once in 14 terms, when enough people stand by, up to 61.
#[test]
fn the_backbone_grows_by_three() {
    let mut world = World::new(4);
    let sizes: Vec<usize> = (2..GROWTH_TERMS * 25)
        .map(|_| {
            let before = world.backbone.seats().len();
            let plan = world.settle();
            let after = world.backbone.seats().len();
            assert_eq!(after - before, plan.growth.len());
            after
        })
        .collect();
    assert!(
        sizes
            .windows(2)
            .all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + GROWTH)
    );
    assert_eq!(sizes.iter().max(), Some(&SEATS_MAX));
    let grown: Vec<usize> = (1..sizes.len()).filter(|n| sizes[*n] > sizes[n - 1]).collect();
    let gap = usize::try_from(GROWTH_TERMS).unwrap();
    assert!(grown.windows(2).all(|pair| pair[1] - pair[0] >= gap));

    let mut world = World::new(4);
    world.next_term = GROWTH_TERMS;
    world.standby.truncate(GROWTH + 1);
    assert_eq!(
        world.plan(),
        Plan::default(),
        "nobody would stand by for the silent"
    );
    world.standby = ids(1_000..1_005);
    assert_eq!(world.plan().growth.len(), GROWTH);
    world.on_time_permille = 994;
    assert_eq!(world.plan(), Plan::default());
}

/// Who was to enter and fell silent does not: who was to leave stays, and a growth that lost one does not happen.
#[test]
fn entrants_who_fall_silent_stay_out() {
    let mut world = World::new(13);
    world.attendance.insert(id(3), there_for(0));
    world.attendance.insert(id(4), there_for(1));
    let plan = world.plan();
    let silent = BTreeSet::from([plan.replacements[0].enters]);
    let settled = world.backbone.settle(&plan, &silent, Term(2));
    let people = settled.voters();
    assert!(people.contains(&id(3)) && !people.contains(&id(4)));
    assert!(people.contains(&plan.replacements[1].enters));

    let mut world = World::new(13);
    world.next_term = GROWTH_TERMS;
    let plan = world.plan();
    let silent = BTreeSet::from([plan.growth[1]]);
    assert_eq!(
        world.backbone.settle(&plan, &silent, Term(GROWTH_TERMS)),
        world.backbone
    );
}

/// What can't be a backbone.
#[test]
fn senseless_backbones_are_refused() {
    for found in [0, 2, 3, 5, 64] {
        let people = ids(0..u32::try_from(found).unwrap());
        assert_eq!(
            Backbone::new(people, Term(0)),
            Err(InvalidBackbone::Size { found })
        );
    }
    let twice = vec![id(1), id(2), id(1), id(3)];
    assert_eq!(
        Backbone::new(twice, Term(0)),
        Err(InvalidBackbone::Twice { person: id(1) })
    );
    assert!(Backbone::new(ids(0..61), Term(0)).is_ok());
}

/// One holder after the other dies, one every third day for 60 days, while slots are late: there are never more dead than may be
/// faulty, with 13 seats and with 4. Every plan has a whole term of notice.
#[test]
fn a_slow_death_does_not_stop_the_network() {
    for n_seats in [4, 13] {
        let mut world = World::new(n_seats);
        world.on_time_permille = 980;
        let mut dead = BTreeSet::new();
        let mut planned: Option<Plan> = None;
        for day in 0..60u32 {
            if day % 3 == 0 {
                let alive: Vec<AccountId> = world
                    .people()
                    .into_iter()
                    .filter(|one| !dead.contains(one))
                    .collect();
                // Dies after two thirds of the day: the term does not show it yet.
                let victim = alive[usize::try_from(day).unwrap() % alive.len()];
                world.attendance.insert(victim, there_for(96));
                dead.insert(victim);
            } else {
                world
                    .attendance
                    .extend(dead.iter().map(|one| (*one, there_for(0))));
            }
            let n_dead = world.people().iter().filter(|one| dead.contains(one)).count();
            assert!(
                n_dead <= world.backbone.n_faulty_max(),
                "day {day}: {n_dead} of {n_seats} are dead"
            );
            if let Some(plan) = planned.take() {
                world.backbone = world.backbone.settle(&plan, &dead, Term(world.next_term));
            }
            world.next_term += 1;
            planned = Some(world.plan());
        }
        assert_eq!(dead.len(), 20);
    }
}

/// Two years in which `n_hostile` of 200 people on the list belong to one hand: the most seats that hand ever has, and the mean in
/// hundredths. `silence` is whom it knocks out in a term.
fn two_years(
    run: u64,
    n_hostile: u32,
    silence: impl Fn(u64, &[AccountId]) -> Vec<AccountId>,
) -> (usize, usize) {
    let mut world = World::new(13);
    let is_hostile = |person: &AccountId| (id(1_000)..id(1_000 + n_hostile)).contains(person);
    let (mut most, mut sum, terms) = (0, 0, 730);
    for term in 2..terms {
        // Whoever lost a seat stands by again.
        let seated: BTreeSet<AccountId> = world.people().into_iter().collect();
        world.standby = ids(1_000..1_200)
            .into_iter()
            .filter(|one| !seated.contains(one))
            .collect();
        let honest: Vec<AccountId> = seated.iter().copied().filter(|one| !is_hostile(one)).collect();
        let silenced = silence(term, &honest);
        world
            .attendance
            .extend(silenced.iter().map(|one| (*one, there_for(0))));
        let mut facts = world.facts();
        // Growth is another matter: it is left out here.
        facts.on_time_permille = if facts.next_term.0.is_multiple_of(GROWTH_TERMS) {
            0
        } else {
            1_000
        };
        facts.seed = Hash::of_content(&[run.to_be_bytes(), term.to_be_bytes()].concat());
        let mut plan = world.backbone.plan(&facts);
        plan.growth.clear();
        world.backbone = world.backbone.settle(&plan, &BTreeSet::new(), Term(term));
        world.next_term = term + 1;
        world.attendance.extend(silenced.iter().map(|one| (*one, THERE)));
        let n_hostile = world.people().iter().filter(|one| is_hostile(one)).count();
        (most, sum) = (most.max(n_hostile), sum + n_hostile);
    }
    (most, sum * 100 / usize::try_from(terms).unwrap())
}

/// A lot gives a hand no more seats than its share of the list: with one name in twenty it can hardly ever stop the network, with
/// one in five often, and never take it.
#[test]
fn a_lot_keeps_the_network_from_being_taken() {
    let most = |n_hostile| -> Vec<usize> {
        let runs = (0..60).map(|run| two_years(run, n_hostile, |_, _| Vec::new()).0);
        runs.collect()
    };
    let at_least = |found: &[usize], n| found.iter().filter(|most| **most >= n).count();
    let few = most(10);
    assert!(
        at_least(&few, 5) <= 2,
        "with 5 of 100 names the network stops in {few:?}"
    );
    assert_eq!(at_least(&few, 9), 0);
    let many = most(40);
    assert!(
        at_least(&many, 5) > 10,
        "with 20 of 100 names it should stop often: {many:?}"
    );
    assert_eq!(at_least(&many, 9), 0, "nobody takes the ledger");
}

/// Knocking three holders out a week gains hardly more seats than waiting, and not the share of the list. Without the return of
/// those who were knocked out it would gain half of all seats.
#[test]
fn pushing_others_out_gains_no_seats() {
    let (runs, n_hostile) = (20, 20);
    let (mut waiting, mut pushing) = (0, 0);
    for run in 0..runs {
        let mut drawn = Drawn(run);
        let victims: Vec<u32> = (0..730).map(|_| drawn.below(1 << 20)).collect();
        let silence = |term: u64, honest: &[AccountId]| -> Vec<AccountId> {
            let pick = |n: u32| honest[usize::try_from(n).unwrap() % honest.len()];
            let is_attack = matches!(term % 7, 1 | 3 | 5);
            let victim = is_attack.then(|| pick(victims[usize::try_from(term).unwrap()]));
            victim.into_iter().collect()
        };
        waiting += two_years(run, n_hostile, |_, _| Vec::new()).1;
        pushing += two_years(run, n_hostile, silence).1;
    }
    let runs = usize::try_from(runs).unwrap();
    let (waiting, pushing) = (waiting / runs, pushing / runs);
    // A tenth of the list is 1.3 of 13 seats.
    assert!(pushing <= 130, "{pushing} hundredths of a seat");
    assert!(
        pushing <= waiting + 30,
        "{pushing} hundredths instead of {waiting}"
    );
}

proptest! {
    /// Whatever is reported, a backbone stays one: `3f + 1` different people, fewer new ones than may be faulty or growth by
    /// three, nobody in it who is neither old nor was drawn.
    #[test]
    fn a_backbone_stays_one(
        reports in prop::collection::vec((0u32..60, 0u32..145), 0..60),
        faulty in prop::collection::btree_set(0u32..60, 0..5),
        n_standby in 0u32..40,
        on_time in 900u32..=1_000,
        n_seats in prop::sample::select(vec![1u32, 4, 7, 13, 31, 61]),
        terms in 1u64..40,
    ) {
        let mut world = World::new(n_seats);
        world.attendance.extend(reports.into_iter().map(|(n, attended)| (id(n), there_for(attended))));
        world.faulty = faulty.into_iter().map(id).collect();
        world.standby = ids(40..40 + n_standby);
        world.on_time_permille = on_time;
        for _ in 0..terms {
            let before: BTreeSet<AccountId> = world.people().into_iter().collect();
            let holders: BTreeSet<AccountId> = world.backbone.seats().iter().map(|seat| seat.holder).collect();
            let f = world.backbone.n_faulty_max();
            let plan = world.settle();
            let after: BTreeSet<AccountId> = world.people().into_iter().collect();
            prop_assert_eq!(after.len(), world.backbone.seats().len());
            prop_assert_eq!(after.len() % 3, 1);
            let new: Vec<&AccountId> = after.difference(&before).collect();
            let may_enter = |one: &AccountId| world.standby.contains(one) || holders.contains(one);
            prop_assert!(new.iter().all(|one| may_enter(one) && !world.faulty.contains(one)));
            let seats = world.backbone.seats();
            let away: BTreeSet<AccountId> = seats.iter().filter(|seat| seat.away.is_some()).map(|seat| seat.holder).collect();
            prop_assert!(away.is_disjoint(&after));
            prop_assert!(seats.windows(2).all(|pair| pair[0].holder < pair[1].holder));
            prop_assert!(plan.growth.is_empty() || plan.replacements.is_empty());
            prop_assert!(plan.replacements.len() <= f.max(1));
            prop_assert_eq!(new.len(), plan.replacements.len() + plan.growth.len());
        }
    }
}
