//! Proof-of-replication: who can show what he sealed, and who can't.

use super::provider::{ALICE, BOB, GROUP, Sector, data, go, pack, size};
use crate::challenge::PorepChallenges;
use crate::graph::Graph;
use crate::label::column_digest;
use crate::layer::label_layers;
use crate::octal::{self, REPLICA_LEVELS};
use crate::openings::{PorepOpenings, element_bytes, to_bytes};
use crate::params::{LEAF_BYTES, index};
use crate::porep::{self, OpenError};
use crate::verify::{self, InvalidProof, Part, PorepStatement};
use crate::{Element, PieceTable, ProofParams, tree};
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use watt_primitives::codec::{self, InvalidEncoding};
use watt_primitives::terms::PIECES_MAX;
use watt_primitives::{Hash, NetworkId, merkle};

const PARAMS: ProofParams = ProofParams::DEVNET;

fn check(statement: &PorepStatement<'_>, openings: &[u8]) -> Result<(), InvalidProof> {
    verify::porep(&PARAMS, statement, openings)
}

/// An honest provider is accepted, with and without client data, for sizes that are no power of two, and answers the same
/// challenge with the same bytes. Covers: D1.
#[test]
fn honest_sectors_are_accepted() {
    let sector = Sector::of_alice();
    let statement = sector.statement(0);
    let openings = sector.open(&statement);
    assert_eq!(check(&statement, &openings), Ok(()));
    assert_eq!(openings, sector.open(&statement));
    let statement = sector.statement(1);
    assert_eq!(check(&statement, &sector.open(&statement)), Ok(()));
    let empty = PieceTable::filler_only(size(3));
    let mut payload = vec![0; usize::try_from(size(3).payload_bytes()).unwrap()];
    empty.fill(&mut payload);
    let sector = Sector::seal(ALICE, 2, &empty, &payload);
    let statement = sector.statement(0);
    assert_eq!(check(&statement, &sector.open(&statement)), Ok(()));
}

/// A sector with as many slots as it may have still opens in 400 KiB (the largest devnet sector is in the benchmark). Covers: D1.
#[test]
fn a_sector_of_many_slots_opens_in_400_kib() {
    let slots: Vec<Vec<u8>> = (0..35).map(|seed| data(seed, GROUP)).collect();
    let (pieces, payload) = pack(size(1), &slots);
    assert_eq!(pieces.pieces().len(), PIECES_MAX);
    let sector = Sector::seal(ALICE, 1, &pieces, &payload);
    let statement = sector.statement(0);
    let openings = sector.open(&statement);
    assert_eq!(check(&statement, &openings), Ok(()));
    assert!(openings.len() <= 400 * 1024, "{} bytes", openings.len());
}

/// The same data makes another replica for every provider and for every sector, and so for every device, which has its own
/// sectors; none of them serves for another. Covers: D1, D2.
#[test]
fn every_replica_is_distinct() {
    let sectors = [
        Sector::ordinary(ALICE, 1),
        Sector::ordinary(ALICE, 2),
        Sector::ordinary(BOB, 1),
    ];
    let replicas: BTreeSet<Element> = sectors.iter().map(|sector| sector.sealed.comm_r).collect();
    assert_eq!(replicas.len(), 3);
    for (sector, other) in sectors.iter().zip(sectors.iter().cycle().skip(1)) {
        // Bytes differ almost everywhere, not only the roots.
        let pairs = sector.sealed.replica.iter().zip(&other.sealed.replica);
        let same = pairs.filter(|(a, b)| a == b).count();
        assert!(same < sector.sealed.replica.len() / 128);
        // Claiming the other's replica: right roots, wrong owner.
        let mut claim = sector.statement(0);
        (claim.comm_c, claim.comm_r) = (other.sealed.comm_c, other.sealed.comm_r);
        let refused = porep::open(&PARAMS, &claim, &other.sealed.replica, &mut go);
        assert_eq!(refused, Err(OpenError::OtherColumns));
        let mut original = other.statement(0);
        original.challenge_seed = claim.challenge_seed;
        let openings = other.open(&original);
        assert_eq!(check(&original, &openings), Ok(()));
        let refused = check(&claim, &openings).unwrap_err();
        assert!(
            matches!(refused, InvalidProof::WrongLabel { layer: 1, .. }),
            "{refused}"
        );
    }
}

/// Garbage sealed in the client's name, honestly and perfectly but for the data, is refused whatever the beacon: two
/// challenges fall into every slot. Covers: C5, D1.
#[test]
fn porep_garbage_slot_in_valid_batch() {
    let honest = [data(1, 40 * GROUP), data(2, GROUP)];
    let mut garbage = honest.clone();
    garbage[1] = vec![0; GROUP];
    let (claimed, _) = pack(size(1), &honest);
    let (real, payload) = pack(size(1), &garbage);
    let sector = Sector::seal(ALICE, 1, &claimed, &payload);
    let statement = sector.statement(0);
    let refused = porep::open(&PARAMS, &statement, &sector.sealed.replica, &mut go);
    assert_eq!(refused, Err(OpenError::SlotChanged { piece: 1 }));
    for beacon in 0..3 {
        let statement = sector.statement(beacon);
        let openings = open_lying(&sector, &statement, &real);
        let refused = check(&statement, &openings).unwrap_err();
        assert!(
            matches!(refused, InvalidProof::DataNotInSlot { piece: 1, .. }),
            "{refused}"
        );
    }
}

/// The client's true data shown over a replica that holds something else: the last check, replica = data under key,
/// refuses. Covers: D1.
#[test]
fn true_data_beside_another_replica_is_refused() {
    let honest = [data(1, 62 * GROUP)];
    let (pieces, payload) = pack(size(1), &honest);
    let sector = Sector::seal(ALICE, 1, &pieces, &payload);
    let zeros = vec![0; payload.len()];
    let lazy = Sector::seal(ALICE, 1, &pieces, &zeros);
    assert_eq!(lazy.sealed.comm_c, sector.sealed.comm_c);
    let mut statement = lazy.statement(0);
    let seed = statement.challenge_seed;
    // Everything from the honest sector but the leaves, which are the lazy one's.
    let mut of_honest = sector.statement(0);
    of_honest.challenge_seed = seed;
    let honest_openings = sector.open(&of_honest);
    let (table, _) = pack(size(1), &[zeros]);
    let lazy_openings = open_lying(&lazy, &statement, &table);
    let (from, to) = string_place(&honest_openings, "leaves");
    let (leaf_from, leaf_to) = string_place(&honest_openings, "leaf_siblings");
    let mut mixed = honest_openings.clone();
    mixed[from..to].copy_from_slice(&lazy_openings[from..to]);
    mixed[leaf_from..leaf_to].copy_from_slice(&lazy_openings[leaf_from..leaf_to]);
    let refused = check(&statement, &mixed).unwrap_err();
    assert!(matches!(refused, InvalidProof::WrongEncoding { .. }), "{refused}");
    statement.comm_r = sector.sealed.comm_r;
    assert_eq!(check(&statement, &mixed), Err(InvalidProof::LeavesNotInCommR));
}

/// What a prover without scruples sends: openings as for a table that tells the truth about its payload, of the same
/// shape, under the keys of the statement.
fn open_lying(sector: &Sector, statement: &PorepStatement<'_>, truth: &PieceTable) -> Vec<u8> {
    porep::open_as(
        &PARAMS,
        statement,
        &statement.replica_id(),
        truth,
        &sector.sealed.replica,
        &mut go,
    )
    .unwrap()
}

/// Where the content of the byte string `name` lies in CBOR `bytes`.
fn string_place(bytes: &[u8], name: &str) -> (usize, usize) {
    let mut key = vec![0x60 + u8::try_from(name.len()).unwrap()];
    key.extend(name.as_bytes());
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    let (head, len) = match bytes[at] {
        0x58 => (2, usize::from(bytes[at + 1])),
        0x59 => (3, usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]))),
        head => {
            assert_eq!(head, 0x5a);
            let len = bytes[at + 1..].first_chunk().unwrap();
            (5, usize::try_from(u32::from_be_bytes(*len)).unwrap())
        }
    };
    (at + head, at + head + len)
}

/// A slot that is in the statement but not in the sealed table, or in another place, or of another length, changes
/// `comm_d` and with it the replica. Covers: C5, D1.
#[test]
fn commit_slot_not_in_comm_d() {
    let slots = [data(1, 20 * GROUP), data(2, GROUP)];
    let (pieces, payload) = pack(size(1), &slots);
    let sector = Sector::seal(ALICE, 1, &pieces, &payload);
    let (swapped, _) = pack(size(1), &[slots[1].clone(), slots[0].clone()]);
    let (added, _) = pack(size(1), &[slots[0].clone(), slots[1].clone(), data(3, GROUP)]);
    let (removed, _) = pack(size(1), &slots[..1]);
    for other in [swapped, added, removed] {
        let mut statement = sector.statement(0);
        statement.pieces = &other;
        let openings = open_lying_about_replica(&sector, &statement, &pieces);
        let refused = check(&statement, &openings).unwrap_err();
        assert!(
            matches!(
                refused,
                InvalidProof::WrongLabel { .. }
                    | InvalidProof::WrongLength { .. }
                    | InvalidProof::Encoding(_)
            ),
            "{refused}"
        );
    }
}

/// Openings of the sector as it was really sealed, asked by another statement.
fn open_lying_about_replica(sector: &Sector, asked: &PorepStatement<'_>, truth: &PieceTable) -> Vec<u8> {
    let mut original = sector.statement(0);
    original.pieces = truth;
    original.challenge_seed = asked.challenge_seed;
    sector.open(&original)
}

/// Nothing of a statement can be exchanged after the openings were made. Covers: D1, D2.
#[test]
fn openings_hold_for_one_statement_only() {
    let sector = Sector::of_alice();
    let statement = sector.statement(0);
    let openings = sector.open(&statement);
    let refused = |change: &dyn Fn(&mut PorepStatement<'_>)| {
        let mut other = statement;
        change(&mut other);
        check(&other, &openings).unwrap_err()
    };
    let other_network = NetworkId::new([6; 32]);
    let mut other = statement;
    other.network = &other_network;
    assert!(check(&other, &openings).is_err());
    assert_eq!(
        refused(&|s| s.comm_c = Hash([1; 32])),
        InvalidProof::ColumnsNotInCommC
    );
    assert_eq!(
        refused(&|s| s.comm_r = Element::default()),
        InvalidProof::LeavesNotInCommR
    );
    let stale_beacon = refused(&|s| s.challenge_seed = Hash([1; 32]));
    assert!(
        matches!(
            stale_beacon,
            InvalidProof::ColumnsNotInCommC | InvalidProof::WrongLength { .. } | InvalidProof::Encoding(_)
        ),
        "{stale_beacon}"
    );
    let other_number = refused(&|s| s.sector.0 += 1);
    assert!(matches!(other_number, InvalidProof::WrongLabel { .. }));
    let other_owner = refused(&|s| s.provider = &BOB);
    assert!(matches!(other_owner, InvalidProof::WrongLabel { .. }));
    let other_seed = refused(&|s| s.seal_seed = Hash([1; 32]));
    assert!(matches!(other_seed, InvalidProof::WrongLabel { .. }));
}

/// Every byte counts: any one changed, missing or added is refused. Positions are sampled over all five strings and their
/// heads. Covers: C5, D1.
#[test]
fn every_byte_of_an_opening_counts() {
    let sector = Sector::of_alice();
    let statement = sector.statement(0);
    let openings = sector.open(&statement);
    let near_heads = ["columns", "column_siblings", "leaves", "leaf_siblings", "chunks"].map(|name| {
        let (from, to) = string_place(&openings, name);
        [from - 8, from - 3, from - 2, from - 1, from, to - 1]
    });
    let spread = (0..openings.len()).step_by(openings.len() / 150);
    for at in near_heads.into_iter().flatten().chain(spread) {
        for bit in [0x01, 0x80] {
            let mut tampered = openings.clone();
            tampered[at] ^= bit;
            assert!(
                check(&statement, &tampered).is_err(),
                "byte {at} of {}",
                openings.len()
            );
        }
    }
    for len in [0, 1, openings.len() / 2, openings.len() - 1] {
        assert!(check(&statement, &openings[..len]).is_err());
    }
    let longer = [openings.as_slice(), &[0]].concat();
    assert!(check(&statement, &longer).is_err());
    let huge = vec![0; 10 << 20];
    assert!(matches!(
        check(&statement, &huge),
        Err(InvalidProof::Encoding(InvalidEncoding::TooLong { .. }))
    ));
}

/// Whoever opens less than was asked, in well-formed bytes, is told so. Covers: D1.
#[test]
fn opening_less_than_asked_is_refused() {
    let sector = Sector::of_alice();
    let statement = sector.statement(0);
    let openings = sector.open(&statement);
    let mut fewer = statement;
    fewer.heavy.random = 7;
    let short = porep::open(&PARAMS, &fewer, &sector.sealed.replica, &mut go).unwrap();
    let refused = check(&statement, &short).unwrap_err();
    assert!(
        matches!(
            refused,
            InvalidProof::WrongLength {
                part: Part::Columns,
                ..
            }
        ),
        "{refused}"
    );
    let mut no_light = PARAMS;
    no_light.light_challenges_per_slot = 0;
    let mut none_in_slots = statement;
    none_in_slots.heavy.per_slot = 0;
    let short = porep::open(&no_light, &none_in_slots, &sector.sealed.replica, &mut go).unwrap();
    assert!(short.len() < openings.len());
    assert!(check(&statement, &short).is_err());
}

/// Keys committed so that the replica of one small slot is all zeros, with data shown that is true: whoever dropped the
/// slot afterwards would answer every window. One node in every slot is checked down to the labels, so it fails every time,
/// though the slot is a sixtieth of the sector. Covers: C5, D2.
#[test]
fn keys_made_to_fit_a_trivial_replica_are_refused() {
    let (pieces, payload) = pack(size(1), &[data(1, 61 * GROUP), data(2, GROUP)]);
    let mut sector = Sector::seal(ALICE, 1, &pieces, &payload);
    let replica_id = sector.statement(0).replica_id();
    let layers = label_layers(&PARAMS, size(1), &replica_id, &mut go, &mut |_, _, _| {}).unwrap();
    let (below, mut top) = (layers.below.labels().to_vec(), layers.top.labels().to_vec());
    let slot = 61 * GROUP..62 * GROUP;
    let keys = top[index(size(1).dropped_nodes())..].as_flattened_mut();
    keys[slot.clone()].copy_from_slice(&payload[slot.clone()]);
    let replica: Vec<u8> = keys.iter().zip(&payload).map(|(key, byte)| key ^ byte).collect();
    let columns: Vec<Hash> = below
        .iter()
        .zip(&top)
        .map(|(a, b)| column_digest([a, b]))
        .collect();
    assert!(replica[slot].iter().all(|byte| *byte == 0));
    let leaves = octal::leaf_digests(&replica);
    let replica_tree = octal::Tree::build(crate::poseidon::Tag::Node, REPLICA_LEVELS, leaves);
    (sector.sealed.comm_c, sector.sealed.comm_r) = (merkle::root(&columns), replica_tree.root());
    for beacon in 0..8 {
        let statement = sector.statement(beacon);
        let challenges = PorepChallenges::draw(&PARAMS, &statement, &pieces, &Graph::new(size(1)));
        let column = |node: &usize| [below[*node], top[*node]].concat();
        let leaf = |at: &usize| replica[at * LEAF_BYTES..][..LEAF_BYTES].to_vec();
        let openings = codec::encode(&PorepOpenings {
            columns: challenges.columns.iter().flat_map(column).collect(),
            column_siblings: to_bytes(&tree::siblings(&columns, &challenges.columns)),
            leaves: challenges.leaves.iter().flat_map(leaf).collect(),
            leaf_siblings: element_bytes(&replica_tree.siblings(&challenges.leaves).unwrap()),
            chunks: porep::open_chunks(&pieces, &challenges.chunks, &payload).unwrap(),
        });
        let refused = check(&statement, &openings).unwrap_err();
        assert!(
            matches!(refused, InvalidProof::WrongLabel { layer: 2, .. }),
            "{refused}"
        );
    }
}

/// Labels that are not the hash of their parents are found: here every label of the replica was committed under another
/// key than the provider's. A wrong label in a small part is found with the probability of drawing it. Covers: D1.
#[test]
fn wrong_labels_are_refused() {
    let slots = [data(1, 62 * GROUP)];
    let (pieces, payload) = pack(size(1), &slots);
    let sector = Sector::seal(ALICE, 1, &pieces, &payload);
    let foreign = Sector::seal(BOB, 1, &pieces, &payload);
    let mut claim = sector.statement(0);
    (claim.comm_c, claim.comm_r) = (foreign.sealed.comm_c, foreign.sealed.comm_r);
    let mut original = foreign.statement(0);
    original.challenge_seed = claim.challenge_seed;
    let openings = foreign.open(&original);
    assert!(matches!(
        check(&claim, &openings),
        Err(InvalidProof::WrongLabel { layer: 1, .. })
    ));
}

/// A replica that changed on disk after it was committed can't be opened; the provider learns it before it sends.
/// Covers: C5, D1.
#[test]
fn rot_is_found_by_the_prover_itself() {
    let sector = Sector::of_alice();
    let mut rotten = sector.sealed.replica.clone();
    rotten[100_000] ^= 1;
    let statement = sector.statement(0);
    assert_eq!(
        porep::open(&PARAMS, &statement, &rotten, &mut go),
        Err(OpenError::ReplicaChanged)
    );
}

/// A node at or above the modulus is refused by its name, whatever it is equal to modulo the modulus. Covers: C5, D1.
#[test]
fn nodes_beyond_the_modulus_are_refused() {
    let sector = Sector::of_alice();
    let statement = sector.statement(0);
    let openings = sector.open(&statement);
    let (from, to) = string_place(&openings, "leaf_siblings");
    let part = Part::LeafSiblings;
    for at in [from, to - Element::LEN] {
        for bytes in beyond_the_modulus(&openings[at..at + Element::LEN]) {
            let mut tampered = openings.clone();
            tampered[at..at + Element::LEN].copy_from_slice(&bytes);
            assert_eq!(
                check(&statement, &tampered),
                Err(InvalidProof::NotAnElement { part })
            );
        }
    }
    // The largest element is one, and only not the right one.
    let mut tampered = openings;
    let largest = Element(-Element::from_chunk(&one()).0).to_bytes();
    tampered[from..from + Element::LEN].copy_from_slice(&largest);
    assert_eq!(check(&statement, &tampered), Err(InvalidProof::LeavesNotInCommR));
}

fn one() -> [u8; 31] {
    let mut one = [0; 31];
    one[0] = 1;
    one
}

/// The modulus, the largest number of 32 bytes, and the number that is equal to an element modulo the modulus.
pub(super) fn beyond_the_modulus(element: &[u8]) -> [[u8; 32]; 3] {
    let mut modulus = Element(-Element::from_chunk(&one()).0).to_bytes();
    modulus[0] += 1;
    let (mut sum, mut carry) = ([0; 32], 0u16);
    for (to, (a, b)) in sum.iter_mut().zip(element.iter().zip(&modulus)) {
        carry += u16::from(*a) + u16::from(*b);
        *to = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    [modulus, [0xff; 32], sum]
}

/// Where smaller sectors repeat, places beyond the leaves hold the same: a tree that has something else there, in which a
/// proof over all places would find nothing to store, opens nothing. Covers: C5, D1, D2.
#[test]
fn a_tree_that_does_not_repeat_is_refused() {
    let mut sector = Sector::of_alice().clone();
    let honest = crate::octal::leaf_digests(&sector.sealed.replica);
    let unit = octal::Tree::build(crate::poseidon::Tag::Node, 4, honest).root();
    // The one unit at its place, and 63 of nothing.
    let mut units = vec![Element::default(); 64];
    units[0] = unit;
    sector.sealed.comm_r = octal::Tree::build(crate::poseidon::Tag::Node, REPLICA_LEVELS - 4, units).root();
    let statement = sector.statement(0);
    let mut honest = statement;
    honest.comm_r = Sector::of_alice().sealed.comm_r;
    let openings = sector.open(&honest);
    assert_eq!(check(&honest, &openings), Ok(()));
    assert_eq!(check(&statement, &openings), Err(InvalidProof::LeavesNotInCommR));
}
