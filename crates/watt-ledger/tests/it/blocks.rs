//! Blocks: what fits on top of the chain, and the limits.

use crate::world::{World, genesis, key, provide, result, transfer};
use watt_ledger::Body;
use watt_ledger::block::{decode_body, encode_body};
use watt_ledger::fee::PROOFS_PER_BLOCK_MAX;
use watt_ledger::{Event, Genesis, InvalidBlock, NoFolded, UncheckedBlock, apply_block, query, tree};
use watt_light::proposal::PROTOCOL_VERSION_MAX;
use watt_light::transaction::witness_hash;
use watt_light::{Heartbeats, Operation, SignedTransaction};
use watt_primitives::{
    BlockHeight, BoundedBytes, BoundedVec, Hash, NetworkId, SectorNumber, Signature, SlotIndex, Timestamp,
    Window, merkle,
};

/// Every field of a proposal that does not fit is refused with its own reason, and the right one is applied. Covers: A5, A6.
#[test]
fn a_block_fits_on_its_chain_or_is_refused() {
    let mut world = World::new();
    world.skip(3);
    let right = world.proposal(&[]);
    let close_time = world.last.header.close_time;
    let with = |change: &dyn Fn(&mut watt_light::Proposal)| {
        let mut proposal = right.clone();
        change(&mut proposal);
        let block = world.check(proposal, Vec::new());
        block
            .and_then(|block| apply_block(&world.state, &block))
            .map(|outcome| outcome.header.height)
    };
    assert_eq!(with(&|_| {}), Ok(BlockHeight(4)));
    assert_eq!(
        with(&|p| p.network = NetworkId::new([9; 32])),
        Err(InvalidBlock::OtherNetwork)
    );
    let unknown = PROTOCOL_VERSION_MAX + 1;
    for found in [0, unknown] {
        assert_eq!(with(&|p| p.version = found), Err(InvalidBlock::Version { found }));
    }
    assert_eq!(
        with(&|p| p.version = 2),
        Err(InvalidBlock::OtherVersion {
            found: 2,
            expected: 1
        })
    );
    let height = |found| InvalidBlock::Height {
        found: BlockHeight(found),
        expected: BlockHeight(4),
    };
    assert_eq!(with(&|p| p.slot = SlotIndex(3)), Err(height(3)));
    assert_eq!(with(&|p| p.slot = SlotIndex(5)), Err(height(5)));
    assert_eq!(with(&|p| p.parent = Hash::ZERO), Err(InvalidBlock::Parent));
    assert_eq!(
        with(&|p| p.close_time = close_time),
        Err(InvalidBlock::CloseTime {
            found: close_time,
            parent: close_time
        })
    );
    assert_eq!(
        with(&|p| p.close_time = Timestamp(close_time.0 + 1)),
        Ok(BlockHeight(4))
    );
    assert_eq!(
        with(&|p| p.body_root = Hash([1; 32])),
        Err(InvalidBlock::OtherBody)
    );
    assert_eq!(with(&|p| p.n_transactions = 1), Err(InvalidBlock::OtherBody));
    assert_eq!(with(&|p| p.body_bytes += 1), Err(InvalidBlock::OtherBody));
}

/// Signatures are checked unless this node has seen the very same signed bytes; a witness is always checked. Covers: A5.
#[test]
fn bad_signatures_are_refused_and_good_ones_checked_once() {
    let world = World::new();
    let good = world.sign(1, vec![transfer(2, 1)]);
    let mut forged = good.clone();
    forged.signature = Signature([7; 64]);
    let unchecked = |transactions: Vec<SignedTransaction>| UncheckedBlock {
        proposal: world.proposal(&transactions).sign(&key(200)),
        is_empty: false,
        transactions,
        heartbeats: Heartbeats::empty(),
    };
    assert_eq!(
        unchecked(vec![forged.clone()]).check(&world.network, &NoFolded),
        Err(InvalidBlock::Signature)
    );
    // The id of the forged one is that of the good one; only the whole tells them apart.
    let seen = |signed: &SignedTransaction| *signed == good;
    let refused = unchecked(vec![forged.clone()]).check_except(&world.network, &NoFolded, seen);
    assert_eq!(refused, Err(InvalidBlock::Signature));
    assert!(
        unchecked(vec![good.clone()])
            .check_except(&world.network, &NoFolded, seen)
            .is_ok()
    );
    let mut unsigned = unchecked(vec![good.clone()]);
    unsigned.proposal.signature = Signature([7; 64]);
    assert_eq!(
        unsigned.check(&world.network, &NoFolded),
        Err(InvalidBlock::Signature)
    );
    let mut stuffed = good;
    stuffed.witness = BoundedVec::new(vec![BoundedBytes::new(vec![1]).unwrap()]).unwrap();
    let refused = unchecked(vec![stuffed]).check_except(&world.network, &NoFolded, |_| true);
    assert_eq!(refused, Err(InvalidBlock::Malformed { index: 0 }));
}

/// The fallback closes the slot without a body, under the same value; time and windows go on. Covers: A1, A6.
#[test]
fn fallback_has_no_body() {
    let mut world = World::new();
    let body = vec![world.sign(1, vec![transfer(2, 1)])];
    let proposal = world.proposal(&body);
    let value = proposal.value().0;
    let full = UncheckedBlock {
        proposal: proposal.clone().sign(&key(200)),
        is_empty: true,
        transactions: body.clone(),
        heartbeats: Heartbeats::empty(),
    };
    assert_eq!(
        full.check(&world.network, &NoFolded),
        Err(InvalidBlock::EmptyWithBody)
    );
    let fallback = world.check(proposal, body).unwrap().into_fallback();
    let outcome = apply_block(&world.state, &fallback).unwrap();
    assert!(outcome.header.is_empty && outcome.receipts.is_empty());
    assert_eq!(outcome.header.value, value);
    world.keep(outcome);
    assert_eq!(world.account(1).keys[0].nonce, 0);
    world.act(1, transfer(2, 1)).unwrap();
}

/// Headers are linked, commit to receipts and state, and every earlier header proves under the newest. Covers: A6.
#[test]
fn headers_form_a_chain() {
    let mut world = World::new();
    let mut hashes = vec![world.last.header.hash()];
    for n in 0..9 {
        world.act(1, transfer(2, n)).unwrap();
        assert_eq!(world.last.header.parent, *hashes.last().unwrap());
        assert_ne!(world.last.header.receipts_root, Hash::ZERO);
        assert_eq!(world.last.header.history_root, merkle::root(&hashes));
        hashes.push(world.last.header.hash());
    }
    let head = query::head(&world.state).unwrap();
    assert_eq!(
        (head.hash, head.header.height),
        (*hashes.last().unwrap(), BlockHeight(9))
    );
    let key = watt_ledger::rows::account(&crate::world::id(1));
    assert!(tree::prove(&world.state, &key).is_ok());
}

fn small(change: impl Fn(&mut watt_ledger::NetworkParameters)) -> Genesis {
    let mut genesis = genesis("small");
    change(&mut genesis.parameters);
    genesis
}

/// As many transactions as the network allows, and one more. Covers: A6.
#[test]
fn transactions_at_limit_and_above() {
    let world = World::of(&small(|p| p.block_transactions_max = 5));
    let body = |n: u8| {
        (0..n)
            .map(|person| world.sign(person, vec![transfer(40, 1)]))
            .collect::<Vec<_>>()
    };
    assert!(world.attempt(body(5)).is_ok());
    let refused = world.attempt(body(6)).unwrap_err();
    assert_eq!(refused, InvalidBlock::TooManyTransactions { found: 6, max: 5 });
}

/// As many bytes as the network allows, and one more. Covers: A6.
#[test]
fn bytes_at_limit_and_above() {
    let max = watt_ledger::fee::block_bytes_min();
    let world = World::of(&small(|p| p.block_bytes_max = max));
    let body = |last: usize| {
        let proof = |person: u8, len: usize| {
            let witness = vec![7; len];
            let operation = Operation::CommitSectors {
                batch: SectorNumber(1),
                openings: witness_hash(&world.network, &witness),
            };
            world.sign_with(person, vec![operation], vec![witness])
        };
        vec![proof(1, 512 * 1024), proof(2, last)]
    };
    let bytes = |last: usize| {
        Body::new(&world.network, body(last), Heartbeats::empty())
            .description()
            .2
    };
    let last = 100_000 + usize::try_from(max - bytes(100_000)).unwrap();
    assert_eq!(bytes(last), max);
    assert!(world.attempt(body(last)).is_ok());
    let refused = world.attempt(body(last + 1)).unwrap_err();
    assert_eq!(refused, InvalidBlock::TooManyBytes { found: max + 1, max });
}

/// No block asks for more verification than its budget. Covers: A6.
#[test]
fn proofs_at_limit_and_above() {
    let world = World::new();
    let body = |n: usize| {
        let witness = vec![7; 10];
        let operation = Operation::CommitSectors {
            batch: SectorNumber(1),
            openings: witness_hash(&world.network, &witness),
        };
        let of_person = |person: u8, n: usize| {
            world.sign_with(person, vec![operation.clone(); n], vec![witness.clone(); n])
        };
        vec![
            of_person(1, 16),
            of_person(2, 16),
            of_person(3, 16),
            of_person(4, n - 48),
        ]
    };
    assert!(world.attempt(body(PROOFS_PER_BLOCK_MAX)).is_ok());
    let mut over = body(PROOFS_PER_BLOCK_MAX);
    over.push(body(49).pop().unwrap());
    over[4] = {
        let witness = vec![7; 10];
        let operation = Operation::CommitSectors {
            batch: SectorNumber(1),
            openings: witness_hash(&world.network, &witness),
        };
        world.sign_with(5, vec![operation], vec![witness])
    };
    let refused = world.attempt(over).unwrap_err();
    assert_eq!(refused, InvalidBlock::TooManyProofs { found: 65, max: 64 });
}

/// Bodies survive encoding, and nothing but their canonical bytes is read. Covers: A6.
#[test]
fn bodies_round_trip() {
    let mut world = World::new();
    provide(&mut world, 10..12, 1 << 30, 1);
    let body = vec![
        world.sign(1, vec![transfer(2, 1)]),
        world.sign(2, vec![transfer(3, 1)]),
    ];
    let heartbeats = vec![
        world.sign_beat(10, Window(0), Hash::ZERO, &[]),
        world.sign_beat(11, Window(0), Hash::ZERO, &[7]),
    ];
    let heartbeats = Heartbeats::new(heartbeats).unwrap();
    let bytes = encode_body(&body, &heartbeats);
    assert_eq!(decode_body(&bytes, bytes.len()), Ok((body, heartbeats)));
    assert!(decode_body(&bytes, bytes.len() - 1).is_err());
    assert!(decode_body(&bytes[..bytes.len() - 1], bytes.len()).is_err());
    assert!(decode_body(&[], 10).is_err());
}

/// A pause longer than a minute is nobody's time: ledger time stands still for the rest of it, and the window is void.
/// Covers: E4.
#[test]
fn halted_time_counts_for_nobody() {
    let mut world = World::new();
    world.go_to_height(5);
    let before = query::head(&world.state).unwrap();
    world.step_ms = 60_000;
    world.skip(1);
    world.step_ms = 10 * 86_400_000;
    world.skip(1);
    let after = query::head(&world.state).unwrap();
    assert_eq!(after.chain.halted_ms, 10 * 86_400_000 - 60_000);
    assert_eq!(after.ledger_time.0 - before.ledger_time.0, 120_000);
    assert_eq!(
        after.chain.close_time.0 - before.chain.close_time.0,
        60_000 + 10 * 86_400_000
    );
    world.step_ms = 1000;
    world.go_to_height(10);
    let closed = world.last.events.iter().find_map(|event| match event {
        Event::WindowClosed { is_void, .. } => Some(*is_void),
        Event::BidMatched { .. }
        | Event::DealEnded { .. }
        | Event::HeartbeatIgnored { .. }
        | Event::SlotLost { .. }
        | Event::SectorLost { .. }
        | Event::SectorExpired { .. }
        | Event::TermBegan { .. }
        | Event::SeatGiven { .. }
        | Event::SeatAdded { .. }
        | Event::StandsBy { .. }
        | Event::StandsByNoMore { .. }
        | Event::UpgradeArmed { .. }
        | Event::UpgradeWaits { .. }
        | Event::UpgradeLapsed { .. }
        | Event::RulesChanged { .. }
        | Event::SectorAsked { .. }
        | Event::Rescued { .. } => None,
    });
    assert_eq!(closed, Some(true));
    world.go_to_height(20);
    assert!(matches!(
        world.last.events[..],
        [Event::WindowClosed { is_void: false, .. }]
    ));
}

/// A poison transaction panics in apply, where whoever tries the block catches it; the state below is untouched, and the same
/// block without its body goes through. Covers: A1.
#[cfg(feature = "testing")]
#[test]
fn poison_is_caught_by_the_caller() {
    let mut world = World::new();
    let boom = Operation::Transfer {
        to: crate::world::id(2),
        amount: watt_primitives::Amount(1),
        memo: BoundedBytes::new(b"boom".to_vec()).unwrap(),
    };
    let body = vec![world.sign(1, vec![boom])];
    let block = world.check(world.proposal(&body), body).unwrap();
    let before = world.state.clone();
    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| apply_block(&world.state, &block)));
    assert!(tried.is_err());
    assert_eq!(world.state, before);
    let outcome = apply_block(&world.state, &block.into_fallback()).unwrap();
    world.keep(outcome);
    world.act(1, transfer(2, 1)).unwrap();
}

/// A transaction that can do nothing right leaves no trace but its number: the others around it happen. Covers: A5.
#[test]
fn poison_inside_one_transaction_stays_inside() {
    let mut world = World::new();
    let before = world.sign(1, vec![transfer(2, 5)]);
    let poison = world.sign(3, vec![transfer(2, 5), transfer(4, u64::MAX)]);
    let after = world.sign(5, vec![transfer(2, 5)]);
    world.block(vec![before, poison, after]);
    let done: Vec<bool> = world
        .last
        .receipts
        .iter()
        .map(|receipt| result(receipt).is_ok())
        .collect();
    assert_eq!(done, [true, false, true]);
    assert_eq!(world.balance(2).0, crate::world::START.0 + 10);
}
