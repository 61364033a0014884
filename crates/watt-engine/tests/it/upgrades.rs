//! Rules change under a running network, with programs of several versions side by side.

use crate::world::{World, key};
use watt_ledger::query;
use watt_light::{Operation, SignedTransaction, Transaction};
use watt_primitives::{AccountId, Amount, BlockHeight, BoundedVec, Term};

/// Slots of a term: four windows of eight.
const TERM: u64 = 32;

/// A later release than this program: it says that it knows more.
const LATER: u32 = 3;

/// Dutiful validators, and followers behind them, with these versions in place of the newest.
fn world(n_validators: u8, n_followers: u8, seed: u64, protocols: &[(usize, u32)]) -> World {
    let mut world = World::with_terms(n_validators, n_followers, seed, 4, &[]);
    world.are_dutiful = true;
    world.protocols = protocols.iter().copied().collect();
    let all = 0..usize::from(n_validators + n_followers);
    all.clone().for_each(|node| world.kill(node));
    all.for_each(|node| world.start(node));
    world
}

fn approval(world: &World, member: u8, version: u32) -> SignedTransaction {
    let public = key(member).public();
    let transaction = Transaction {
        account: AccountId::of_first_key(&public),
        key_index: 0,
        key: public,
        nonce: 0,
        valid_until: BlockHeight(world.height(0) + 100),
        fee: Amount(0),
        operations: BoundedVec::new(vec![Operation::ApproveUpgrade {
            version,
            not_before: Term(0),
        }])
        .unwrap(),
    };
    transaction
        .sign(&key(member), &world.network, Vec::new())
        .unwrap()
}

impl World {
    /// Five of the council want version 2.
    fn decide(&mut self) {
        for member in 100..105 {
            let signed = approval(self, member, 2);
            self.submit(0, signed);
        }
        assert!(self.replies.iter().all(Result::is_ok), "{:?}", self.replies);
    }

    fn versions_around(&self, node: usize, height: u64) -> [u32; 2] {
        let blocks = &self.disk(node).blocks;
        [height - 1, height].map(|at| blocks[at as usize - 1].1.version)
    }
}

/// Seven validators with programs of three versions, one of them too old: the network goes over to version 2 and on, the old ones stop
/// with the last block before it, take part in nothing more, say so, and still serve what they have. With a new program they go on.
/// Covers: A11.
#[test]
fn old_programs_stop_before_the_switch_and_the_network_goes_on() {
    let (old, old_follower) = (6, 8);
    let mut world = world(7, 3, 601, &[(0, LATER), (old, 1), (old_follower, 1), (9, LATER)]);
    let fresh = 9;
    world.kill(fresh);
    assert!(world.reach(&[0], 2, 60_000));
    world.decide();
    let (switch, able) = (2 * TERM, [0, 1, 2, 3, 4, 5, 7]);
    assert!(
        world.reach(&able, switch + 6, 600_000),
        "{:?}",
        (0..9).map(|node| world.height(node)).collect::<Vec<_>>()
    );
    for node in able {
        assert_eq!(world.versions_around(node, switch), [1, 2], "node {node}");
        assert_eq!(world.engine(node).unknown_version(), None);
    }
    for node in [old, old_follower] {
        assert_eq!(world.height(node), switch - 1, "node {node}");
        assert_eq!(world.engine(node).unknown_version(), Some(2));
        assert!(!world.engine(node).has_seat());
    }
    world.replies.clear();
    let late = approval(&world, 105, 2);
    world.submit(old_follower, late);
    let answer = world.replies.pop().unwrap().unwrap_err();
    assert!(
        answer.contains("version 2 of the rules") && answer.contains("update it"),
        "{answer}"
    );
    // What it can't read any more is nobody's fault.
    world.inject(0, old_follower, vec![0xff; 9]);
    // It serves the past to whoever knows nobody else.
    for node in 0..9 {
        if node != old_follower {
            world.kill(node);
        }
    }
    world.start(fresh);
    assert!(
        world.reach(&[fresh], switch - 1, 60_000),
        "at {}",
        world.height(fresh)
    );
    assert!(world.hang_ups.is_empty() && world.halts.is_empty());

    // Updated, both are there again; started without, they say the same at once.
    world.kill(old_follower);
    world.start(old_follower);
    assert_eq!(world.engine(old_follower).unknown_version(), Some(2));
    world.protocols.clear();
    world.kill(old_follower);
    (0..9).for_each(|node| world.start(node));
    let everybody: Vec<usize> = (0..10).collect();
    assert!(
        world.reach(&everybody, switch + 12, 120_000),
        "at {}",
        world.height(old)
    );
    assert!(world.hang_ups.is_empty() && world.halts.is_empty());
}

/// One of four validators has an old program, and no more than one may ever be off: the rules stay, and everybody goes on. When it is
/// updated they change. Covers: A11.
#[test]
fn one_program_too_few_and_nothing_changes() {
    let mut world = world(4, 1, 602, &[(3, 1)]);
    let everybody = [0, 1, 2, 3, 4];
    assert!(world.reach(&[0], 2, 60_000));
    world.decide();
    assert!(world.reach(&everybody, 3 * TERM + 4, 600_000));
    assert_eq!(world.head(0).version, 1);
    let planned = query::upgrades(world.state(0)).unwrap().planned.unwrap();
    assert_eq!((planned.version, planned.armed_for), (2, None));
    let ready = query::readiness(world.state(0), Term(2));
    assert_eq!(ready.iter().filter(|one| one.knows == Some(2)).count(), 3);

    world.protocols.clear();
    world.kill(3);
    world.start(3);
    assert!(world.reach(&everybody, 4 * TERM + 4, 600_000));
    assert_eq!(world.head(0).version, 2);
    assert!(world.hang_ups.is_empty() && world.halts.is_empty());
}

/// A fresh node with an old program takes no state of later rules from peers: it follows the blocks to where they begin, and says that
/// it has to be updated. Covers: A11.
#[test]
fn a_fresh_old_program_follows_to_the_switch() {
    let mut world = world(4, 1, 603, &[(4, 1)]);
    world.checkpoint_gap = 40;
    let validators = [0, 1, 2, 3];
    for node in 0..5 {
        world.kill(node);
    }
    validators.iter().for_each(|node| world.start(*node));
    assert!(world.reach(&[0], 2, 60_000));
    world.decide();
    let switch = 2 * TERM;
    // The newest state that is served lies behind the switch.
    assert!(world.reach(&validators, switch + 24, 600_000));
    world.start(4);
    assert!(world.reach(&[4], switch - 1, 60_000), "at {}", world.height(4));
    world.run_for(10_000);
    assert_eq!(world.height(4), switch - 1);
    assert_eq!(world.engine(4).unknown_version(), Some(2));
    assert!(world.hang_ups.is_empty() && world.halts.is_empty());
}
