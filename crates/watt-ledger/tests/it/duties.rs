//! Room for the duties of providers: a block has few places for witnesses, and nobody pays for them (`docs/spec/ledger.md` 5.7).

use crate::fees::choose;
use crate::windows::Stored;
use crate::world::{World, id, key, pledge, result};
use watt_ledger::fee::PROOFS_PER_BLOCK_MAX;
use watt_ledger::select::Chosen;
use watt_ledger::{Admission, Refused, admit, admit_heartbeat, query};
use watt_light::transaction::witness_hash;
use watt_light::{Operation, SignedTransaction};
use watt_primitives::terms::Piece;
use watt_primitives::{Amount, BoundedVec, DealId, Hash, SectorNumber, SlotIndexInDeal, Window};
use watt_proofs::{Element, SectorSize};

/// Operations of the largest transaction.
const OPERATIONS: usize = 16;

/// What nobody who is honest offers for a duty.
const FEE: Amount = Amount(100_000);

/// Person `n` offers these operations with a witness that proves nothing, and more than anybody.
fn junk(world: &World, n: u8, nonce: u64, operations: Vec<Operation>) -> SignedTransaction {
    let witness = operations
        .iter()
        .filter_map(Operation::witness)
        .map(|_| JUNK.to_vec());
    let witness = witness.collect();
    let mut draft = world.draft(n, operations);
    draft.nonce += nonce;
    draft.fee = FEE;
    draft.sign(&key(n), &world.network, witness).unwrap()
}

const JUNK: &[u8] = b"junk";

fn junk_hash(world: &World) -> Hash {
    witness_hash(&world.network, JUNK)
}

/// What a proposer chooses of what the pool lets in.
fn take(world: &World, offered: &[SignedTransaction]) -> Vec<SignedTransaction> {
    let pooled: Vec<(SignedTransaction, Admission)> = offered
        .iter()
        .filter_map(|signed| Some((signed.clone(), admit(&world.state, signed).ok()?)))
        .collect();
    let (signed, admissions): (Vec<_>, Vec<_>) = pooled.into_iter().unzip();
    let Chosen { block, .. } = choose(world, &signed, &admissions);
    block.into_iter().map(|at| signed[at].clone()).collect()
}

/// Ten providers have answered a window, which is to be opened now.
fn answered() -> (Stored, u64) {
    let mut stored = Stored::new();
    let window = stored.window();
    let world = &mut stored.world;
    let beats = stored
        .miners
        .iter_mut()
        .map(|miner| miner.heartbeat(world, window, &[]));
    let beats: Vec<_> = beats.collect();
    assert!(world.beats(&beats).iter().all(Result::is_ok));
    world.act(30, pledge(1 << 30)).unwrap();
    world.open_next_window();
    (stored, window)
}

/// Sectors of which person `n` makes the roots up: they take no disk and no fee.
pub fn pre_commit_made_up(world: &mut World, n: u8, numbers: std::ops::Range<u64>) {
    let size = SectorSize::new(&crate::miner::PARAMS, 1).unwrap();
    let (seal_window, _) = query::seal_window(&world.state).unwrap();
    let operations: Vec<Operation> = numbers
        .map(|number| Operation::PreCommit {
            sector: SectorNumber(number),
            units: 1,
            seal_window,
            pieces: BoundedVec::new(vec![Piece::Filler {
                offset: 0,
                len: size.payload_bytes(),
            }])
            .unwrap(),
            comm_c: Hash::ZERO,
            comm_r: made_up(n, number),
        })
        .collect();
    let signed = (0u64..)
        .zip(operations.chunks(OPERATIONS))
        .map(|(ahead, operations)| {
            let mut draft = world.draft(n, operations.to_vec());
            draft.nonce += ahead;
            draft.sign(&key(n), &world.network, Vec::new()).unwrap()
        });
    let signed = signed.collect();
    world.block(signed);
    assert!(world.last.receipts.iter().all(|receipt| result(receipt).is_ok()));
}

fn made_up(n: u8, number: u64) -> Hash {
    let name = [[n; 8], number.to_be_bytes()].concat();
    Hash(Element::of_hash(&Hash::of_content(&name)).to_bytes())
}

/// Four free transactions full of witnesses for which nobody waits do not shut a proof out, whatever they offer: the pool does not take
/// them. Covers: A8, D3.
#[test]
fn answers_to_nothing_shut_no_proof_out() {
    let (stored, window) = answered();
    let world = &stored.world;
    let proof = stored.miners[0].signed_proof(world, window);
    let (deal, shown) = (DealId([7; 32]), junk_hash(world));
    let answer = |n: usize| Operation::AnswerDispute {
        deal,
        slot: SlotIndexInDeal(u8::try_from(n).unwrap()),
        group: 0,
        shown,
    };
    let mut offered: Vec<_> = (0..4)
        .map(|nonce| junk(world, 30, nonce, (0..OPERATIONS).map(answer).collect()))
        .collect();
    for signed in &offered {
        assert_eq!(admit(&world.state, signed), Err(Refused::UnknownDeal { deal }));
    }
    offered.push(proof.clone());
    assert_eq!(take(world, &offered), [proof]);
}

/// For which witnesses a pool has no room: what is not asked of their sender now, or twice in one transaction. Covers: A8, D3.
#[test]
fn a_pool_takes_only_what_the_ledger_waits_for() {
    let (mut stored, window) = answered();
    let world = &mut stored.world;
    let openings = junk_hash(world);
    let (deal, sector) = (stored.deal, SectorNumber(1));
    let prove = |window| Operation::ProveWindow { window, openings };
    let (at, current) = (Window(window), Window(window + 1));
    let slot = SlotIndexInDeal(0);
    let refused = [
        (30, prove(at), Refused::NoHeartbeat { window: at }),
        (
            10,
            prove(current),
            Refused::WrongWindow {
                window: current,
                current,
            },
        ),
        (
            10,
            Operation::CommitSectors {
                batch: sector,
                openings,
            },
            Refused::NotPreCommitted { batch: sector },
        ),
        (
            10,
            Operation::AnswerDispute {
                deal,
                slot,
                group: 0,
                shown: openings,
            },
            Refused::NotDisputed { slot, group: 0 },
        ),
        (
            10,
            Operation::AnswerAudit {
                sector,
                shown_to: watt_light::ShownTo::Committee,
                openings,
            },
            Refused::NotAudited { sector },
        ),
    ];
    for (person, operation, why) in refused {
        let signed = junk(world, person, 0, vec![operation]);
        assert_eq!(admit(&world.state, &signed), Err(why));
    }
    assert!(admit(&world.state, &junk(world, 10, 0, vec![prove(at)])).is_ok());
    let twice = junk(world, 10, 0, vec![prove(at), prove(at)]);
    assert_eq!(admit(&world.state, &twice), Err(Refused::Malformed));

    // Of several about one window a block takes one, and once it is proven the others are stale.
    let proof = stored.miners[0].signed_proof(world, window);
    let offered = [proof.clone(), junk(world, 10, 1, vec![prove(at)])];
    let admissions = offered
        .each_ref()
        .map(|signed| admit(&world.state, signed).unwrap());
    let Chosen { block, stale } = choose(world, &offered, &admissions);
    assert_eq!((block, stale), (vec![0], vec![]));
    world.block(vec![proof]);
    assert!(result(&world.last.receipts[0]).is_ok());
    let Chosen { block, stale } = choose(world, &offered[1..], &admissions[1..]);
    assert_eq!((block, stale), (vec![], vec![0]));
}

/// Who has pre-committed more than a block can look at, for nothing, keeps nobody from proving what is sealed, nor others from
/// committing: first comes what rests on proven sectors, then everybody's first witness before anybody's second. Covers: A8, D3.
#[test]
fn batches_that_cost_nothing_wait_for_what_does() {
    let (mut stored, _) = answered();
    let world = &mut stored.world;
    world.act(31, pledge(1 << 30)).unwrap();
    world.go_to_window_end();
    let n = u64::try_from(PROOFS_PER_BLOCK_MAX).unwrap();
    pre_commit_made_up(world, 30, 0..n);
    pre_commit_made_up(world, 31, 0..1);
    world.open_window();
    let window = stored.window();
    let world = &mut stored.world;
    let beat = stored.miners[0].heartbeat(world, window, &[]);
    world.beat(beat).unwrap();
    world.open_next_window();
    let openings = junk_hash(world);
    let commit = |number| Operation::CommitSectors {
        batch: SectorNumber(number),
        openings,
    };
    let numbers: Vec<u64> = (0..n).collect();
    let mut offered: Vec<_> = (0..)
        .zip(numbers.chunks(OPERATIONS))
        .map(|(nonce, numbers)| junk(world, 30, nonce, numbers.iter().copied().map(commit).collect()))
        .collect();
    assert_eq!(
        take(world, &offered).len(),
        offered.len(),
        "alone they have all the room"
    );
    let commits = junk(world, 31, 0, vec![commit(0)]);
    let proof = stored.miners[0].signed_proof(world, window);
    offered.extend([commits.clone(), proof.clone()]);
    let taken = take(world, &offered);
    assert_eq!(taken[..2], [proof, commits]);
    assert_eq!(taken[2].transaction.account, id(30));
    let used: usize = taken.iter().map(|signed| signed.witness.len()).sum();
    assert!(used <= PROOFS_PER_BLOCK_MAX);
}

/// A pool has room for heartbeats of those who have something proven, with no more faults than that, in their order; also in the window
/// in which the last of it ended. Covers: A8, D3.
#[test]
fn heartbeats_that_cost_nothing_are_not_pooled() {
    let (mut stored, _) = answered();
    let world = &mut stored.world;
    pre_commit_made_up(world, 30, 0..40);
    let window = Window(world.height() / 10);
    let admitted = |world: &World, n, faults: &[u64]| {
        let beat = world.sign_beat(n, window, Hash::ZERO, faults);
        admit_heartbeat(&world.state, window, &beat).map(drop)
    };
    let all: Vec<u64> = (0..40).collect();
    for faults in [&all[..], &[]] {
        assert_eq!(admitted(world, 30, faults), Err(Refused::NoSectors { window }));
    }
    assert_eq!(admitted(world, 10, &[1]), Ok(()));
    for wrong in [&all[..], &[2, 1], &[1, 1]] {
        assert_eq!(admitted(world, 10, wrong), Err(Refused::Faults));
    }
    let deal = stored.deal;
    world.act(1, Operation::Terminate { deal }).unwrap();
    assert_eq!(admitted(world, 10, &[]), Ok(()));
    let last = stored.miners[0].heartbeat(world, window.0, &[]);
    assert_eq!(world.beat(last), Ok(()));
}
