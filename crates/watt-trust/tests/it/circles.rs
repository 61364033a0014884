//! What a person may do with their circle, and who is ranked.

use proptest::prelude::*;
use std::collections::BTreeMap;
use watt_primitives::time::DAY_MS;
use watt_primitives::{AccountId, Hash, LedgerTime, NetworkId, Term, TrustLevel, hash, merkle};
use watt_trust::circle::{CIRCLE_MAX, NEW_MAX, NEW_PERIOD_MS, TRUST_MS};
use watt_trust::{Circle, InvalidTrust, MASS, Neighbourhood};

const OWNER: AccountId = AccountId([0xee; 20]);
const WEEK: u64 = 7;

fn id(n: u16) -> AccountId {
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    AccountId(bytes)
}

fn day(n: u64) -> LedgerTime {
    LedgerTime(n * DAY_MS)
}

/// A circle with the people `1` to `n`, taken in as fast as is allowed, and the time when the last came.
fn circle(n: u16) -> (Circle, LedgerTime) {
    let (mut circle, mut now) = (Circle::default(), day(100));
    for person in 1..=n {
        if person > 1 && person % 2 == 1 {
            now = now.plus(NEW_PERIOD_MS);
        }
        circle.add(&OWNER, id(person), TrustLevel::InPerson, now).unwrap();
    }
    (circle, now)
}

/// Five people and no sixth; the sixth fits once one is gone. Covers: B2.
#[test]
fn a_circle_has_five_people() {
    let (mut circle, now) = circle(5);
    let later = now.plus(NEW_PERIOD_MS);
    assert_eq!(circle.live(later).count(), CIRCLE_MAX);
    assert_eq!(
        circle.add(&OWNER, id(6), TrustLevel::Online, later),
        Err(InvalidTrust::Full)
    );
    circle.remove(&id(3), later).unwrap();
    circle.add(&OWNER, id(6), TrustLevel::Online, later).unwrap();
    assert_eq!(circle.remove(&id(3), later), Err(InvalidTrust::NotInCircle));
}

/// Two new people in seven days, also when they are taken out again; the third may come on the moment. Covers: B2.
#[test]
fn new_people_come_slowly() {
    let (mut circle, now) = circle(2);
    let next_at = now.plus(NEW_PERIOD_MS);
    let too_soon = Err(InvalidTrust::TooSoon { next_at });
    let just_before = LedgerTime(next_at.0 - 1);
    assert_eq!(
        circle.add(&OWNER, id(3), TrustLevel::Online, just_before),
        too_soon
    );
    circle.remove(&id(1), now).unwrap();
    assert_eq!(
        circle.add(&OWNER, id(1), TrustLevel::Online, just_before),
        too_soon
    );
    circle.add(&OWNER, id(3), TrustLevel::Online, next_at).unwrap();
}

/// Trust ends after a year; renewed in time it goes on, keeps its age, and is no new person. Covers: B2.
#[test]
fn trust_expires_unless_renewed() {
    let (mut circle, now) = circle(2);
    let end = now.plus(TRUST_MS);
    let just_before = LedgerTime(end.0 - 1);
    let renewed = circle.add(&OWNER, id(1), TrustLevel::Close, just_before).unwrap();
    assert_eq!(
        (renewed.since, renewed.expires_at),
        (now, just_before.plus(TRUST_MS))
    );
    let live = |circle: &Circle, at| -> Vec<AccountId> { circle.live(at).map(|edge| edge.to).collect() };
    assert_eq!(live(&circle, just_before), [id(1), id(2)]);
    assert_eq!(live(&circle, end), [id(1)]);
    assert_eq!(circle.remove(&id(2), end), Err(InvalidTrust::NotInCircle));
    let again = circle.add(&OWNER, id(2), TrustLevel::Online, end).unwrap();
    assert_eq!(again.since, end, "trust that ended begins anew");
}

/// Nobody trusts themselves on the ledger. Covers: B2.
#[test]
fn nobody_is_in_their_own_circle() {
    let added = Circle::default().add(&OWNER, OWNER, TrustLevel::Close, day(1));
    assert_eq!(added, Err(InvalidTrust::Oneself));
}

proptest! {
    /// Whatever is tried, a circle keeps its rules, and what fails changes nothing. Covers: B2.
    #[test]
    fn rules_hold_after_anything(steps in prop::collection::vec((0u16..9, 0u8..4, 0u64..40), 1..200)) {
        let (mut circle, mut now) = (Circle::default(), day(1));
        let mut new_at: Vec<LedgerTime> = Vec::new();
        for (person, level, days) in steps {
            now = now.plus(days * DAY_MS);
            let before = circle.clone();
            let was_there = before.live(now).any(|edge| edge.to == id(person));
            let done = match TrustLevel::of_weight(level) {
                Some(level) => circle.add(&OWNER, id(person), level, now).map(|_| !was_there),
                None => circle.remove(&id(person), now).map(|()| false),
            };
            match done {
                Ok(true) => new_at.push(now),
                Ok(false) => prop_assert!(was_there),
                Err(_) => prop_assert_eq!(&circle, &before),
            }
            prop_assert!(circle.edges.windows(2).all(|pair| pair[0].to < pair[1].to));
            prop_assert!(circle.edges.iter().all(|edge| edge.since <= now && edge.expires_at <= now.plus(TRUST_MS)));
            let in_a_week = new_at.iter().filter(|at| now < at.plus(WEEK * DAY_MS)).count();
            prop_assert!(in_a_week <= NEW_MAX);
        }
    }
}

/// Circles as a map.
fn circles(trust: &[(u16, &[u16])]) -> BTreeMap<AccountId, Circle> {
    let mut all = BTreeMap::new();
    for (from, to) in trust {
        let circle: &mut Circle = all.entry(id(*from)).or_default();
        for (n, to) in (0..).zip(*to) {
            circle
                .add(&id(*from), id(*to), TrustLevel::InPerson, day(n * WEEK))
                .unwrap();
        }
    }
    all
}

fn find(circles: &BTreeMap<AccountId, Circle>, seeds: &[AccountId], max: usize) -> Neighbourhood {
    Neighbourhood::find(seeds, max, day(60), |id| {
        circles.get(id).cloned().unwrap_or_default()
    })
}

/// Who is ranked is whom chains of trust reach, the nearest first; what lies beyond the bound is as if it were not there.
/// Covers: B2.
#[test]
fn the_nearest_to_the_seeds_are_ranked() {
    let circles = circles(&[
        (1, &[5, 4]),
        (2, &[4, 9]),
        (4, &[1, 7]),
        (5, &[6, 8]),
        (7, &[3]),
        (20, &[1, 21]),
        (21, &[20]),
    ]);
    let people = |max| -> Vec<AccountId> { find(&circles, &[id(2), id(1)], max).people().to_vec() };
    let ids = |numbers: &[u16]| -> Vec<AccountId> { numbers.iter().copied().map(id).collect() };
    assert_eq!(people(100), ids(&[1, 2, 3, 4, 5, 6, 7, 8, 9]));
    assert_eq!(people(5), ids(&[1, 2, 4, 5, 9]), "seeds, then those they trust");
    assert_eq!(people(4), ids(&[1, 2, 4, 5]), "of one depth the lowest ids");
    assert_eq!(people(7), ids(&[1, 2, 4, 5, 6, 7, 9]));

    let near = find(&circles, &[id(1)], 2);
    assert_eq!(near.people(), ids(&[1, 4]));
    assert_eq!(
        near.graph().n_edges(),
        2,
        "1 to 4 and back, and nothing to those beyond"
    );
    let ranking = near.rank();
    assert_eq!(ranking.people().iter().map(|(_, rank)| *rank).sum::<u64>(), MASS);
    assert_eq!(ranking.of(&id(20)), 0);
}

/// The root is that of `docs/spec/trust.md` §4, differs between networks and terms, and is zero without seeds. Covers: B2.
#[test]
fn the_root_commits_to_every_rank() {
    let circles = circles(&[(1, &[5, 4]), (4, &[1])]);
    let network = NetworkId::new([7; 32]);
    let ranking = find(&circles, &[id(1)], 100).rank();
    let leaves: Vec<Hash> = ranking
        .people()
        .iter()
        .map(|(id, rank)| {
            let parts: [&[u8]; 2] = [id.as_ref(), &rank.to_be_bytes()];
            hash::hash(hash::Domain::RankLeaf, &network, &parts)
        })
        .collect();
    let (term, n) = (3u64.to_be_bytes(), 3u64.to_be_bytes());
    let tree = merkle::root(&leaves);
    let parts: [&[u8]; 3] = [&term, &n, tree.as_ref()];
    let expected = hash::hash(hash::Domain::RankRoot, &network, &parts);
    assert_eq!(ranking.root(&network, Term(3)), expected);
    assert_ne!(ranking.root(&network, Term(4)), expected);
    assert_ne!(ranking.root(&NetworkId::new([8; 32]), Term(3)), expected);

    let nobody = find(&circles, &[], 100);
    assert_eq!((nobody.people().len(), nobody.rank().people().len()), (0, 0));
    assert_eq!(nobody.rank().root(&network, Term(3)), Hash::ZERO);
}
