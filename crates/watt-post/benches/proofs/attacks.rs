//! Attacks on one sector of the main network's size and parameters: how many of how many were refused, and what it costs to
//! answer without a replica. That each attack is refused for its own reason, the tests show on small sectors.

use crate::{NETWORK, PROVIDER, beacon, bytes, report, report_against, timed};
use std::ops::{ControlFlow, Range};
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, DealId, Hash, SectorNumber, SlotIndexInDeal};
use watt_proofs::challenge::{HeavyChallenges, porep_seed, seal_seed};
use watt_proofs::element::LEAF_BYTES;
use watt_proofs::post::Answers;
use watt_proofs::seal::{Progress, Sealed, seal, unseal};
use watt_proofs::verify::{self, PorepStatement};
use watt_proofs::window::{initial_state, samples};
use watt_proofs::{
    Element, PieceTable, PlacedLeaf, ProofParams, ReplicaTree, SectorSize, SetTree, Shape, porep,
};

const SECTOR: SectorNumber = SectorNumber(1);

/// Bytes of a group.
const GROUP: u64 = 16 * 1024;

/// Places at which openings are changed, spread over their length.
const CHANGES: usize = 32;

/// Beacons with which a window may go on after it was answered.
const BEACONS: u32 = 128;

fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A table of two slots that fill the sector, and their bytes.
fn two_slots(size: SectorSize) -> (PieceTable, Vec<u8>) {
    let payload = bytes("payload", size.payload_bytes() as usize);
    let len = size.payload_bytes() / 2;
    let slot = |index: u8| {
        let offset = u64::from(index) * len;
        Piece::Slot {
            deal: DealId([4; 32]),
            slot: SlotIndexInDeal(index),
            root: Hash::of_content(&payload[offset as usize..][..len as usize]),
            offset,
            len,
        }
    };
    let pieces = vec![slot(0), slot(1)];
    (PieceTable::check(size, pieces).unwrap(), payload)
}

/// All attacks.
pub(crate) fn run(case: &str) {
    let params = ProofParams::MAIN;
    let size = SectorSize::new(&params, 64).unwrap();
    let (pieces, payload) = two_slots(size);
    let mut statement = PorepStatement {
        network: &NETWORK,
        provider: &PROVIDER,
        sector: SECTOR,
        pieces: &pieces,
        comm_c: Hash::ZERO,
        comm_r: Element::default(),
        seal_seed: seal_seed(&NETWORK, &Hash([5; 32]), &PROVIDER, SECTOR),
        challenge_seed: Hash::ZERO,
        heavy: HeavyChallenges::of_batch(&params, 1),
    };
    let sealed = seal(&params, size, &statement.replica_id(), &payload, &mut go).unwrap();
    drop(payload);
    (statement.comm_c, statement.comm_r) = (sealed.comm_c, sealed.comm_r);
    statement.challenge_seed = porep_seed(
        &NETWORK,
        &Hash([6; 32]),
        &PROVIDER,
        SECTOR,
        &sealed.comm_c,
        &sealed.comm_r,
    );
    openings(case, &params, &statement, &sealed.replica);
    let answer_seconds = missing_group(case, &sealed);
    let replica_id = statement.replica_id();
    let (_, seconds) = timed(|| unseal(&params, size, &replica_id, &sealed.replica, &mut go).unwrap());
    let honest = answer_seconds * 1e3;
    report_against(case, "attack_remake_cpu_ms", seconds * 1e3, "ms", honest);
}

/// Openings of the sector as a batch of one: true ones are accepted, changed and borrowed ones refused.
fn openings(case: &str, params: &ProofParams, statement: &PorepStatement<'_>, replica: &[u8]) {
    let (openings, seconds) = timed(|| porep::open(params, statement, replica, &mut go).unwrap());
    report(case, "porep_open_cpu_s", seconds, "s");
    report(case, "porep_bytes", openings.len() as f64, "B");
    let (verdict, seconds) = timed(|| verify::porep(params, statement, &openings));
    assert_eq!(verdict, Ok(()));
    report(case, "porep_verify_cpu_ms", seconds * 1e3, "ms");
    let is_refused = |at: usize| {
        let mut changed = openings.clone();
        changed[at * openings.len() / CHANGES] ^= 1 << (at % 8);
        verify::porep(params, statement, &changed).is_err()
    };
    let refused = (0..CHANGES).filter(|at| is_refused(*at)).count();
    report_refused(case, "attack_changed_openings_refused", refused, CHANGES);
    let others = [
        PorepStatement {
            provider: &AccountId([7; 20]),
            ..*statement
        },
        PorepStatement {
            sector: SectorNumber(2),
            ..*statement
        },
    ];
    let refused = others
        .iter()
        .filter(|other| verify::porep(params, other, &openings).is_err());
    report_refused(
        case,
        "attack_borrowed_sector_refused",
        refused.count(),
        others.len(),
    );
}

/// One group of the sector is gone, the one asked for at the first position, and made up in every answer and opening: refused
/// with each beacon that samples it, and with no other. Gives the seconds of an honest answer of the sector at one position.
fn missing_group(case: &str, sealed: &Sealed) -> f64 {
    let shape = Shape::SMALL;
    let state = initial_state(&NETWORK, &PROVIDER);
    let set = SetTree::build(shape, vec![sealed.comm_r]).unwrap();
    let leaves = sealed.replica.as_chunks::<LEAF_BYTES>().0;
    let n_leaves = leaves.len() as u32;
    let mut first = None;
    let (_, seconds) = timed(|| {
        Answers::compute(shape, state, &set, beacon(0), |_, place| {
            first.get_or_insert(place);
            sealed.replica_tree.leaf(place, block(sealed, place))
        })
    });
    let group = leaf_bytes(first.unwrap() % n_leaves).start / GROUP;
    let is_missing = |place: u32| {
        let bytes = leaf_bytes(place % n_leaves);
        (bytes.start / GROUP..=(bytes.end - 1) / GROUP).contains(&group)
    };
    let leaf = |place: u32| {
        if is_missing(place) {
            [0; LEAF_BYTES]
        } else {
            leaves[(place % n_leaves) as usize]
        }
    };
    let answers = Answers::compute(shape, state, &set, beacon(0), |_, place| Some(leaf(place)));
    let mut sampled = 0;
    let mut refused = 0;
    for next in 1..=BEACONS {
        let step = answers.step(beacon(next), &set, |_, place| {
            let path = sealed.replica_tree.open_place(place, block(sealed, place))?.path;
            let leaf = leaf(place);
            Some(PlacedLeaf { leaf, path })
        });
        let openings = step.to_openings(shape, state);
        let is_refused = verify::window(shape, state, &step.window, &openings).is_err();
        let is_sampled = samples(shape, state, &step.window)
            .iter()
            .any(|(_, place)| is_missing(*place));
        assert_eq!(is_refused, is_sampled, "beacon {next}");
        sampled += usize::from(is_sampled);
        refused += usize::from(is_refused);
    }
    assert!(sampled > 0);
    report_refused(case, "attack_missing_group_refused", refused, sampled);
    seconds / f64::from(shape.positions())
}

/// Where a leaf lies in its replica.
fn leaf_bytes(leaf: u32) -> Range<u64> {
    let start = u64::from(leaf) * LEAF_BYTES as u64;
    start..start + LEAF_BYTES as u64
}

/// The block around the leaf at a place.
fn block(sealed: &Sealed, place: u32) -> &[u8] {
    let n_leaves = (sealed.replica.len() / LEAF_BYTES) as u32;
    let range = ReplicaTree::block_range(place % n_leaves);
    &sealed.replica[range.start as usize..range.end as usize]
}

/// How many of how many attacks were refused: all, or the benchmark has failed.
fn report_refused(case: &str, metric: &str, refused: usize, tried: usize) {
    report_against(case, metric, refused as f64, "", tried as f64);
    assert_eq!(refused, tried, "{metric}");
}
