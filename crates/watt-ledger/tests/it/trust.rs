//! Security circles on the ledger, and the ranks that stand in headers.

use crate::world::{World, genesis, id, key, transfer};
use watt_ledger::rows::{self, ChainRow};
use watt_ledger::{Done, Event, PROTOCOL_WALLET, Refused, query, tree};
use watt_light::{KeyRole, Operation};
use watt_primitives::time::DAY_MS;
use watt_primitives::{AccountId, BoundedVec, Hash, LedgerTime, Term, Timestamp, TrustLevel, codec};
use watt_trust::circle::{NEW_PERIOD_MS, TRUST_MS};
use watt_trust::{MASS, Neighbourhood};

fn trust(to: u8) -> Operation {
    let level = TrustLevel::InPerson;
    Operation::AddTrust { to: id(to), level }
}

fn distrust(to: u8) -> Operation {
    Operation::RemoveTrust { to: id(to) }
}

impl World {
    /// Time goes by, as if blocks had come all the while.
    fn pass(&mut self, ms: u64) {
        let later = |time: Timestamp| Timestamp(time.0 + ms);
        let mut chain: ChainRow = rows::read(&self.state, rows::CHAIN).unwrap();
        chain.close_time = later(chain.close_time);
        self.last.header.close_time = later(self.last.header.close_time);
        let changed = [
            (rows::CHAIN.to_vec(), Some(codec::encode(&chain))),
            (rows::HEAD.to_vec(), Some(codec::encode(&self.last.header))),
        ];
        self.state.write(&changed.into());
    }

    fn now(&self) -> LedgerTime {
        query::head(&self.state).unwrap().ledger_time
    }

    /// Closes blocks up to and with the first of the next term.
    fn go_to_next_term(&mut self) -> &Event {
        let slots = crate::world::parameters().terms().slots();
        let first = (self.height() / slots + 1) * slots;
        self.blind_skip(first - 1 - self.height());
        self.block(Vec::new());
        let is_term = |event: &&Event| matches!(event, Event::TermBegan { .. });
        self.last.events.iter().find(is_term).unwrap()
    }

    fn members(&self, n: u8) -> Vec<AccountId> {
        let circle = query::circle(&self.state, &id(n));
        circle.live(self.now()).map(|edge| edge.to).collect()
    }
}

fn sorted(people: &[u8]) -> Vec<AccountId> {
    let mut ids: Vec<AccountId> = people.iter().copied().map(id).collect();
    ids.sort_unstable();
    ids
}

/// Somebody is taken into a circle, stands there provably, is trusted anew, and is taken out. Covers: B2.
#[test]
fn a_circle_grows_and_shrinks() {
    let mut world = World::new();
    let added = world.act(1, trust(2)).unwrap();
    let expires_at = world.now().plus(TRUST_MS);
    assert_eq!(added, Done::TrustAdded { expires_at });
    world.act(1, trust(3)).unwrap();
    assert_eq!(world.members(1), sorted(&[2, 3]));
    assert_eq!(query::trusters(&world.state, &id(2), None, 10), [id(1)]);
    let proof = tree::prove(&world.state, &rows::circle(&id(1))).unwrap();
    assert!(!codec::encode(&proof).is_empty());

    let level = TrustLevel::Close;
    world.act(1, Operation::AddTrust { to: id(2), level }).unwrap();
    let circle = query::circle(&world.state, &id(1));
    let edge = circle.edges.iter().find(|edge| edge.to == id(2)).unwrap();
    assert_eq!((edge.level, edge.since.plus(TRUST_MS)), (level, expires_at));
    assert_eq!(edge.expires_at, world.now().plus(TRUST_MS));

    assert_eq!(world.act(1, distrust(2)), Ok(Done::TrustRemoved {}));
    assert_eq!(world.members(1), [id(3)]);
    assert!(query::trusters(&world.state, &id(2), None, 10).is_empty());
}

/// Each reason for which trust is refused; nothing changes then. Covers: B2.
#[test]
fn trust_that_breaks_a_rule_is_refused() {
    let mut world = World::new();
    let before = query::circle(&world.state, &id(1));
    let unknown = AccountId([9; 20]);
    let level = TrustLevel::Online;
    let to = |to: AccountId| Operation::AddTrust { to, level };
    assert_eq!(world.act(1, trust(1)), Err(Refused::OwnCircle));
    assert_eq!(
        world.act(1, to(unknown)),
        Err(Refused::UnknownPerson { account: unknown })
    );
    let wallet = PROTOCOL_WALLET;
    assert_eq!(
        world.act(1, to(wallet)),
        Err(Refused::UnknownPerson { account: wallet })
    );
    assert_eq!(world.act(1, distrust(2)), Err(Refused::NotInCircle));
    assert_eq!(query::circle(&world.state, &id(1)), before);

    // Who was only ever paid is there, and can be trusted.
    assert_eq!(
        world.act(1, trust(60)),
        Err(Refused::UnknownPerson { account: id(60) })
    );
    world.act(2, transfer(60, 1)).unwrap();
    assert!(world.act(1, trust(60)).is_ok());

    world.act(1, trust(2)).unwrap();
    let first = query::circle(&world.state, &id(1)).newest[0];
    let next_at = first.plus(NEW_PERIOD_MS);
    assert_eq!(world.act(1, trust(3)), Err(Refused::NewTrustTooSoon { next_at }));
    world.pass(NEW_PERIOD_MS);
    world.act(1, trust(3)).unwrap();
    world.act(1, trust(4)).unwrap();
    world.pass(NEW_PERIOD_MS);
    world.act(1, trust(5)).unwrap();
    assert_eq!(world.act(1, trust(6)), Err(Refused::CircleFull));
}

/// A daily key may say whom its owner trusts, a device key may not. Covers: B2.
#[test]
fn devices_trust_nobody() {
    let mut world = World::new();
    for (n, role) in [(100, KeyRole::Daily), (101, KeyRole::Device)] {
        let key = key(n).public();
        world.act(1, Operation::AddKey { key, role }).unwrap();
    }
    let signed_by = |world: &World, key_index: u16, n: u8, operation: Operation| {
        let mut draft = world.draft(1, vec![operation]);
        (draft.key_index, draft.key, draft.nonce) = (key_index, key(n).public(), 0);
        draft.sign(&key(n), &world.network, Vec::new()).unwrap()
    };
    let daily = signed_by(&world, 1, 100, trust(2));
    assert!(world.attempt(vec![daily]).is_ok());
    for operation in [trust(2), distrust(2)] {
        let device = signed_by(&world, 2, 101, operation);
        assert!(world.attempt(vec![device]).is_err());
    }
}

/// The first block of each term ranks people by the trust before it; its root stands in every header of the term, and is that of
/// the circles on the ledger. Covers: B2.
#[test]
fn ranks_of_a_term_stand_in_its_headers() {
    let mut world = World::new();
    let of_genesis = world.last.header.rank_root;
    assert_ne!(of_genesis, Hash::ZERO, "seeds are ranked from the start");
    for (from, to) in [(0, 10), (0, 11), (1, 11), (10, 12), (12, 0), (40, 41), (41, 0)] {
        world.act(from, trust(to)).unwrap();
        assert_eq!(world.last.header.rank_root, of_genesis);
    }
    let expected = query::ranking(&world.state);
    let ranked: Vec<AccountId> = expected.people().iter().map(|(id, _)| *id).collect();
    assert_eq!(
        ranked,
        sorted(&[0, 1, 2, 10, 11, 12]),
        "nobody trusts 40, so neither they nor their friends count"
    );
    assert_eq!(expected.people().iter().map(|(_, rank)| *rank).sum::<u64>(), MASS);
    assert!(expected.of(&id(11)) > expected.of(&id(12)));

    let root = expected.root(&world.network, Term(1));
    let began = *world.go_to_next_term();
    let expected = Event::TermBegan {
        term: Term(1),
        n_ranked: 6,
        n_edges: 5,
        rank_root: root,
    };
    assert_eq!(began, expected);
    assert_eq!(world.last.header.rank_root, root);

    world.act(2, trust(40)).unwrap();
    assert_eq!(world.last.header.rank_root, root, "for the next term");
    let found = query::ranking(&world.state).root(&world.network, Term(2));
    world.go_to_next_term();
    assert_eq!(world.last.header.rank_root, found);
    assert_ne!(found, root);
}

/// Trust in the first block of a term counts for the next one: ranks depend on nothing that the ranking block does itself.
/// Covers: B2.
#[test]
fn ranks_are_of_the_state_before_the_term() {
    let mut world = World::new();
    world.act(0, trust(10)).unwrap();
    let slots = crate::world::parameters().terms().slots();
    world.blind_skip(slots - 1 - world.height());
    let expected = query::ranking(&world.state).root(&world.network, Term(1));
    let signed = world.sign(0, vec![distrust(10)]);
    world.block(vec![signed]);
    assert_eq!((world.height(), world.last.header.rank_root), (slots, expected));
    assert!(world.members(0).is_empty());
}

/// Expired trust gives no rank, and can be given again. Covers: B2.
#[test]
fn expired_trust_leaves_the_ranks() {
    let mut world = World::new();
    world.act(0, trust(10)).unwrap();
    world.pass(TRUST_MS / 2);
    world.act(1, trust(11)).unwrap();
    world.pass(TRUST_MS / 2);
    world.skip(1);
    assert!(world.members(0).is_empty());
    let ranking = query::ranking(&world.state);
    assert_eq!(ranking.of(&id(10)), 0);
    assert!(ranking.of(&id(11)) > 0);
    assert_eq!(world.act(0, distrust(10)), Err(Refused::NotInCircle));
    world.act(0, trust(10)).unwrap();
    assert!(query::ranking(&world.state).of(&id(10)) > 0);
}

/// Without people in whom trust begins, nobody has a rank. Covers: B2.
#[test]
fn no_seeds_no_rank() {
    let mut document = genesis("no seeds");
    document.trust_seeds = BoundedVec::empty();
    let mut world = World::of(&document);
    world.act(0, trust(10)).unwrap();
    assert_eq!(world.last.header.rank_root, Hash::ZERO);
    world.go_to_next_term();
    assert_eq!(world.last.header.rank_root, Hash::ZERO);
}

/// The circles that the ledger keeps are those from which anyone finds the same ranks. Covers: B2.
#[test]
fn anyone_can_rank_from_the_circles() {
    let mut world = World::new();
    for (from, to) in [(0, 10), (10, 11), (11, 12), (2, 12), (12, 10)] {
        world.act(from, trust(to)).unwrap();
    }
    world.pass(DAY_MS);
    let seeds: Vec<AccountId> = sorted(&[0, 1, 2]);
    let ranking = Neighbourhood::find(&seeds, 1000, world.now(), |id| query::circle(&world.state, id)).rank();
    assert_eq!(ranking, query::ranking(&world.state));
}
