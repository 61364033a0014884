//! Poison, floods, forgeries and forgotten pasts.

use crate::agreement::transfer;
use crate::world::{World, key};
use watt_engine::message::Message;
use watt_light::{Operation, SignedTransaction};
use watt_primitives::{BlockHeight, BoundedVec, Hash, NetworkId, SlotIndex};
use watt_scp::{Envelope, Pledges, Statement, Value};

fn memo_of(signed: &SignedTransaction) -> Vec<u8> {
    match signed.transaction.operations.first() {
        Some(Operation::Transfer { memo, .. }) => memo.to_vec(),
        _ => Vec::new(),
    }
}

/// A transaction that makes applying fail never lands, and blocks go on, good transactions with them (TC7). Covers: A5.
#[test]
fn a_poison_transaction_cannot_stop_the_network() {
    let mut world = World::new(4, 0, 11);
    world.poison = Some(b"boom");
    assert!(world.reach(&[0, 1, 2, 3], 2, 20_000));
    let boom = transfer(&world, 100, 0, b"boom");
    let good = transfer(&world, 102, 0, b"good");
    world.submit(0, boom);
    world.submit(1, good);
    let target = world.height(0) + 12;
    assert!(world.reach(&[0, 1, 2, 3], target, 60_000));
    let memos: Vec<Vec<u8>> = world
        .disk(0)
        .blocks
        .iter()
        .flat_map(|(block, _)| block.transactions.iter())
        .map(memo_of)
        .collect();
    assert_eq!(memos, [b"good".to_vec()]);
}

/// The poison is in every validator's pool at the moment all of them propose: every proposal of the slot is bad, an empty block
/// is agreed on, and the chain goes on (TC7). Covers: A1, A5.
#[test]
fn a_slot_in_which_every_proposal_is_poisoned_ends() {
    for seed in 0..12 {
        let mut world = World::new(4, 0, 700 + seed);
        world.poison = Some(b"boom");
        assert!(world.reach(&[0, 1, 2, 3], 2, 20_000));
        world.run_for(83 * seed);
        let boom = transfer(&world, 100, 0, b"boom");
        for node in 0..4 {
            world.submit(node, boom.clone());
        }
        let target = world.height(0) + 6;
        assert!(
            world.reach(&[0, 1, 2, 3], target, 60_000),
            "seed {seed}: heights {:?}",
            [0, 1, 2, 3].map(|node| world.height(node))
        );
    }
}

/// A body that failed its trial is given to whoever asks for it, since others must judge it for themselves (TC7). Covers: A1, A5.
#[test]
fn a_bad_body_is_served_all_the_same() {
    // Who leads follows from the seed. Where the slot is over before everybody has tried the body, nobody needs it any more.
    let mut seeds = 8..39;
    assert!(
        seeds.any(is_bad_body_asked_for),
        "in no run the slot was open long enough"
    );
}

/// Whether three nodes still had the slot open when they were asked for its bad body, and then served it.
fn is_bad_body_asked_for(seed: u64) -> bool {
    let mut world = World::new(4, 0, seed);
    world.poison = Some(b"boom");
    assert!(world.reach(&[0, 1, 2, 3], 2, 20_000));
    // The fourth only listens from now on, and asks.
    world.usurp(3);
    let boom = transfer(&world, 100, 0, b"boom");
    (0..3).for_each(|node| world.submit(node, boom.clone()));
    world.overheard.clear();
    let bodies = |world: &World| -> Vec<Value> {
        let messages = world.overheard.iter().map(|bytes| Message::decode(bytes));
        let of_message = |message| match message {
            Ok(Message::Body { value, body }) => {
                (body.into_inner().len() > watt_ledger::block::encode_body(&[], &[]).len()).then_some(value)
            }
            _ => None,
        };
        messages.filter_map(of_message).collect()
    };
    let end = world.now.plus(20_000);
    if !world.run_until(end, |world| !bodies(world).is_empty()) {
        return false;
    }
    let (value, height) = (bodies(&world)[0], world.height(0));
    // Long enough for the others to ask for it, if it came before its proposal, and to try it.
    world.run_for(400);
    if (0..3).any(|node| world.height(node) != height) {
        return false;
    }
    for node in 0..3 {
        world.overheard.clear();
        world.inject(3, node, Message::GetBody { value }.encode());
        assert_eq!(bodies(&world), [value], "of node {node}, seed {seed}");
    }
    true
}

/// Bytes that are no message, statements of strangers, forged signatures, transactions of another network: counted, and
/// nothing else happens. Covers: A5.
#[test]
fn hostile_messages_are_counted_and_change_nothing() {
    let mut world = World::new(4, 0, 12);
    assert!(world.reach(&[0, 1, 2, 3], 2, 20_000));
    let slot = SlotIndex(world.height(0) + 1);
    let statement = |node: u8| Statement {
        node: key(node).node_id(),
        slot,
        quorum_set: Hash::ZERO,
        pledges: Pledges::Nominate {
            votes: BoundedVec::new(vec![Value(Hash([9; 32]))]).unwrap(),
            accepted: BoundedVec::empty(),
        },
    };
    let says = |envelope| {
        Message::Statement {
            envelope: Box::new(envelope),
            proposals: BoundedVec::empty(),
        }
        .encode()
    };
    let stranger = Envelope::sign(statement(77), &key(77), &world.network);
    let forged = Envelope {
        statement: statement(2),
        ..Envelope::sign(statement(3), &key(3), &world.network)
    };
    let foreign = Envelope::sign(statement(2), &key(2), &NetworkId::new([5; 32]));
    let other = transfer(&world, 100, 0, b"")
        .transaction
        .sign(&key(100), &NetworkId::new([5; 32]), Vec::new())
        .unwrap();
    let inputs = [
        vec![0xff; 100],
        says(stranger),
        says(forged),
        says(foreign),
        Message::Transactions {
            transactions: BoundedVec::new(vec![other]).unwrap(),
        }
        .encode(),
    ];
    for input in inputs {
        world.inject(1, 0, input);
        world.run_for(50);
    }
    let target = world.height(1) + 3;
    assert!(world.reach(&[1, 2, 3], target, 30_000));
    let refused = world.engine(0).refused();
    for reason in [
        "malformed message",
        "statement of a stranger",
        "bad statement signature",
        "bad transaction signature",
    ] {
        assert!(refused.contains_key(reason), "{reason} in {refused:?}");
    }
}

/// A validator restored from an older backup stays silent where it may have spoken, and says so nowhere else; the network
/// agrees (TC3). Covers: A1.
#[test]
fn a_restored_backup_never_contradicts_what_was_said() {
    for seed in 0..6 {
        let mut world = World::new(4, 0, 4_000 + seed);
        world.run_for(5_000 + 61 * seed);
        let backup = world.disk(1).clone();
        world.run_for(400 + 90 * seed);
        world.kill(1);
        world.restore_disk(1, backup);
        world.start(1);
        let target = world.height(0) + 5;
        assert!(world.reach(&[0, 1, 2, 3], target, 60_000), "seed {seed}");
    }
}

/// A node whose peers can't read a block any more asks the others for it, also if the first one always answers with nothing.
/// Covers: A1.
#[test]
fn a_block_that_one_peer_lost_is_fetched_from_another() {
    let mut world = World::new(4, 0, 21);
    assert!(world.reach(&[0, 1, 2, 3], 3, 20_000));
    world.kill(3);
    let lost = world.height(0) + 2;
    assert!(world.reach(&[0, 1, 2], lost + 8, 60_000));
    for node in [0, 2] {
        world.rot(node, lost);
    }
    world.start(3);
    let target = world.height(0) + 3;
    assert!(world.reach(&[0, 1, 2, 3], target, 60_000));
}

/// A validator that has to fetch blocks again which it had stored says nothing in their slots, and votes in those above them.
/// Covers: A1.
#[test]
fn a_validator_is_silent_where_it_has_to_fetch_blocks_again() {
    let mut world = World::new(4, 0, 22);
    assert!(world.reach(&[0, 1, 2, 3], 6, 20_000));
    world.kill(0);
    world.kill(1);
    let mut disk = world.disk(3).clone();
    world.kill(3);
    // Two of four can decide nothing, so whatever is decided above is decided with the third's votes.
    disk.voted_to = BlockHeight(world.height(2) + 3);
    world.restore_disk(3, disk);
    world.start(3);
    world.start(0);
    let silent_to = world.disk(3).voted_to.0;
    world.run_for(60_000);
    assert!(
        world.height(2) < silent_to,
        "decided without a quorum that speaks"
    );
    world.start(1);
    assert!(world.reach(&[0, 1, 2, 3], silent_to + 2, 60_000));
    world.kill(1);
    let target = world.height(2) + 3;
    assert!(world.reach(&[0, 2, 3], target, 60_000), "it votes again");
}
