//! Proof-of-spacetime: windows answered honestly, lazily, late and for others.

use super::provider::{ALICE, BOB, Disk, NETWORK, Sector, data, pack, size};
use crate::challenge::{self, FAULT_RESPONSE, ProvingWindow};
use crate::openings::{WindowOpenings, element_bytes, to_bytes};
use crate::params::index;
use crate::post::{self, LeafRead, Responses};
use crate::verify::{self, InvalidProof, WindowStatement};
use crate::{FaultBitmap, PieceTable, ProofParams, SectorEntry, SectorSet, tree};
use alloc::vec;
use alloc::vec::Vec;
use std::sync::LazyLock;
use watt_primitives::{Hash, NetworkId, codec};

const PARAMS: ProofParams = ProofParams::DEVNET;

/// Four sectors of committed capacity and client data.
fn provider() -> (&'static [Sector], SectorSet) {
    static SECTORS: LazyLock<Vec<Sector>> = LazyLock::new(|| {
        let seal = |number: u8| {
            let (pieces, payload) = pack(size(1), &[data(number, 31 * 16 * 1024)]);
            Sector::seal(ALICE, u64::from(number), &pieces, &payload)
        };
        (1..=4).map(seal).collect()
    });
    let sectors = SECTORS.as_slice();
    let set = SectorSet::check(sectors.iter().map(Sector::entry).collect()).unwrap();
    (sectors, set)
}

fn beacon(number: usize) -> Hash {
    Hash::of_content(&number.to_be_bytes())
}

fn window<'a>(sectors: &'a SectorSet, state: &Hash, number: usize) -> ProvingWindow<'a> {
    ProvingWindow::new(&NETWORK, sectors, state, &beacon(number))
}

fn statement<'a>(
    window: ProvingWindow<'a>,
    responses: &'a Responses,
    sample_beacon: usize,
) -> WindowStatement<'a> {
    WindowStatement {
        window,
        responses_root: responses.root(),
        faults: &responses.faults,
        sample_beacon: beacon(sample_beacon),
    }
}

fn check(statement: &WindowStatement<'_>, openings: &[u8]) -> Result<(), InvalidProof> {
    verify::window(&PARAMS, statement, openings)
}

/// An honest provider passes window after window; each challenge follows from the last answers, and the same disk gives the
/// same bytes. Covers: D3.
#[test]
fn an_honest_provider_passes_every_window() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let mut state = challenge::post_initial_state(&NETWORK, &ALICE);
    assert_ne!(state, challenge::post_initial_state(&NETWORK, &BOB));
    let mut seen = vec![];
    for number in 0..10 {
        let window = window(&set, &state, number);
        let responses = post::respond(&window, &FaultBitmap::none(), &mut disk);
        assert_eq!(responses.faults, FaultBitmap::none());
        let openings = post::open(&PARAMS, &window, &responses, &beacon(number + 1), &mut disk).unwrap();
        assert_eq!(
            check(&statement(window, &responses, number + 1), &openings),
            Ok(())
        );
        assert_eq!(responses, post::respond(&window, &FaultBitmap::none(), &mut disk));
        let restored: Responses = codec::decode(&codec::encode(&responses), 10_000).unwrap();
        assert_eq!(restored, responses);
        assert!(!seen.contains(&window.challenge()));
        seen.push(window.challenge());
        state = window.next_state(&responses.root());
    }
    // Other answers lead to another challenge, though the beacon is the same.
    let first = window(&set, &challenge::post_initial_state(&NETWORK, &ALICE), 0);
    assert_ne!(
        window(&set, &first.next_state(&Hash::ZERO), 1).challenge(),
        seen[1]
    );
}

/// Answers for a dropped sector as one who does not say so would make them, and the openings he can make of it.
struct Lazy<'a> {
    window: ProvingWindow<'a>,
    responses: Responses,
}

impl<'a> Lazy<'a> {
    fn respond(window: ProvingWindow<'a>, disk: &mut Disk, made_up: Hash) -> Self {
        let mut responses = post::respond(&window, &FaultBitmap::none(), disk);
        for response in &mut responses.responses {
            if *response == FAULT_RESPONSE {
                *response = made_up;
            }
        }
        responses.faults = FaultBitmap::none();
        Self { window, responses }
    }

    /// Opens what is sampled, with any bytes and any siblings where it has none.
    fn open(&self, sample_beacon: &Hash, disk: &mut Disk) -> (bool, Vec<u8>) {
        let none = FaultBitmap::none();
        let sampled = self
            .window
            .sample(&PARAMS, &none, &self.responses.root(), sample_beacon);
        let (mut leaves, mut is_caught) = (Vec::new(), false);
        for position in &sampled {
            let sector = self.window.sectors().get(*position).unwrap();
            let leaf_index = self.window.leaf_index(*position, sector.size);
            if let Some(opening) = disk.leaf(*position, leaf_index) {
                leaves.extend(opening.leaf);
                leaves.extend(element_bytes(&opening.path));
            } else {
                leaves.resize(leaves.len() + 248 + 28 * 32, 0x15);
                is_caught = true;
            }
        }
        let positions: Vec<usize> = sampled.iter().map(|position| index(*position)).collect();
        let openings = codec::encode(&WindowOpenings {
            leaves,
            response_siblings: to_bytes(&tree::siblings(&self.responses.responses, &positions)),
        });
        (is_caught, openings)
    }
}

/// Who dropped one sector of four without saying so is caught whenever it is sampled, about two windows in three, and
/// never otherwise. Covers: D2, D3.
#[test]
fn a_lazy_provider_fails_the_sampled_window() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    disk.0[2] = None;
    let (mut caught, n_windows) = (0, 60);
    for number in 0..n_windows {
        let window = window(&set, &Hash::ZERO, number);
        let lazy = Lazy::respond(window, &mut disk, Hash([7; 32]));
        let (is_sampled, openings) = lazy.open(&beacon(1000 + number), &mut disk);
        let verdict = check(&statement(window, &lazy.responses, 1000 + number), &openings);
        let expected = if is_sampled {
            caught += 1;
            Err(InvalidProof::LeafNotInSector { position: 2 })
        } else {
            Ok(())
        };
        assert_eq!(verdict, expected);
        assert_eq!(
            post::open(
                &PARAMS,
                &window,
                &lazy.responses,
                &beacon(1000 + number),
                &mut disk
            )
            .is_err(),
            is_sampled
        );
    }
    // 1 - (3/4)^4 = 68 %.
    assert!((30..=52).contains(&caught), "{caught} of {n_windows}");
}

/// Answering first and fetching the leaf from another after the sample is known does not help: the answer was fixed.
/// Covers: D2, D3.
#[test]
fn a_leaf_fetched_after_the_sample_is_too_late() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let mut partner = Disk::of(sectors);
    disk.0[0] = None;
    let window = window(&set, &Hash::ZERO, 0);
    let lazy = Lazy::respond(window, &mut disk, Hash([7; 32]));
    let sample = (1..)
        .find(|number| lazy.open(&beacon(*number), &mut disk).0)
        .unwrap();
    let openings = post::open(&PARAMS, &window, &lazy.responses, &beacon(sample), &mut partner).unwrap();
    assert_eq!(
        check(&statement(window, &lazy.responses, sample), &openings),
        Err(InvalidProof::ResponsesNotInRoot)
    );
}

/// A sector that can't be read is declared by the prover itself; declared sectors are not sampled, the rest is, and when
/// all are declared there is nothing to open. Covers: C5, D3.
#[test]
fn faults_are_declared_by_themselves() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    disk.0[1].as_mut().unwrap().1.fill(0);
    let window = window(&set, &Hash::ZERO, 0);
    let responses = post::respond(&window, &FaultBitmap::from_positions([3]), &mut disk);
    assert_eq!(responses.faults, FaultBitmap::from_positions([1, 3]));
    assert_eq!(responses.responses[1], FAULT_RESPONSE);
    for sample in 1..20 {
        let sampled = window.sample(&PARAMS, &responses.faults, &responses.root(), &beacon(sample));
        assert!(sampled.iter().all(|position| [0, 2].contains(position)));
        let openings = post::open(&PARAMS, &window, &responses, &beacon(sample), &mut disk).unwrap();
        assert_eq!(check(&statement(window, &responses, sample), &openings), Ok(()));
    }
    let all = post::respond(&window, &FaultBitmap::from_positions(0..4), &mut disk);
    let openings = post::open(&PARAMS, &window, &all, &beacon(1), &mut disk).unwrap();
    assert_eq!(check(&statement(window, &all, 1), &openings), Ok(()));
    let beyond = FaultBitmap::from_positions([4]);
    let mut beyond_set = statement(window, &all, 1);
    beyond_set.faults = &beyond;
    assert_eq!(
        check(&beyond_set, &openings),
        Err(InvalidProof::FaultBeyondSet {
            position: 4,
            n_sectors: 4
        })
    );
}

/// Declaring or withdrawing a fault after the sample is known changes the statement, not the answers: refused, because
/// other sectors are sampled or other answers were given. Covers: C5, D3.
#[test]
fn openings_hold_for_one_window_only() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let state = challenge::post_initial_state(&NETWORK, &ALICE);
    let window_0 = window(&set, &state, 0);
    let responses = post::respond(&window_0, &FaultBitmap::none(), &mut disk);
    let openings = post::open(&PARAMS, &window_0, &responses, &beacon(1), &mut disk).unwrap();
    let original = statement(window_0, &responses, 1);
    assert_eq!(check(&original, &openings), Ok(()));

    let stale_beacon = WindowStatement {
        window: window(&set, &state, 1),
        ..original
    };
    assert!(check(&stale_beacon, &openings).is_err());
    let other_state = WindowStatement {
        window: window(&set, &Hash::ZERO, 0),
        ..original
    };
    assert!(check(&other_state, &openings).is_err());
    let other_network = NetworkId::new([6; 32]);
    let replayed = WindowStatement {
        window: ProvingWindow::new(&other_network, &set, &state, &beacon(0)),
        ..original
    };
    assert!(check(&replayed, &openings).is_err());
    let other_root = WindowStatement {
        responses_root: Hash([1; 32]),
        ..original
    };
    assert!(check(&other_root, &openings).is_err());
    // Another sample beacon that happens to select other sectors.
    let sampled = |number| window_0.sample(&PARAMS, &responses.faults, &responses.root(), &beacon(number));
    let other = (2..).find(|number| sampled(*number) != sampled(1)).unwrap();
    assert!(check(&statement(window_0, &responses, other), &openings).is_err());
    let mut entries: Vec<SectorEntry> = set.iter().map(|(_, sector)| *sector).collect();
    let (a, b) = (entries[0].comm_r, entries[1].comm_r);
    (entries[0].comm_r, entries[1].comm_r) = (b, a);
    let swapped_set = SectorSet::check(entries).unwrap();
    let swapped = WindowStatement {
        window: window(&swapped_set, &state, 0),
        ..original
    };
    assert!(check(&swapped, &openings).is_err());
}

/// Answering a sector's challenge from another sector that one does store: the leaf is under the other's root only.
/// Covers: D2, D3.
#[test]
fn one_sector_cannot_answer_for_another() {
    struct Swapped(Disk);
    impl LeafRead for Swapped {
        fn leaf(&mut self, position: u32, leaf_index: u32) -> Option<post::LeafOpening> {
            self.0.leaf(position ^ 1, leaf_index)
        }
    }
    let (sectors, set) = provider();
    let window = window(&set, &Hash::ZERO, 0);
    let mut swapped = Swapped(Disk::of(sectors));
    let responses = post::respond(&window, &FaultBitmap::none(), &mut swapped);
    assert_eq!(responses.faults.n_declared(), 4);
    // Without scruples: answers computed over the wrong leaves, then opened with them.
    let mut lie = responses;
    lie.faults = FaultBitmap::none();
    let mut disk = Disk::of(sectors);
    for (position, sector) in set.iter() {
        let leaf = disk
            .leaf(position ^ 1, window.leaf_index(position, sector.size))
            .unwrap();
        lie.responses[index(position)] = window.response(position, &verify::leaf_digest(&leaf.leaf));
    }
    let sampled = window.sample(&PARAMS, &lie.faults, &lie.root(), &beacon(1));
    let mut leaves = Vec::new();
    for position in &sampled {
        let leaf_index = window.leaf_index(*position, size(1));
        let opening = swapped.leaf(*position, leaf_index).unwrap();
        leaves.extend(opening.leaf);
        leaves.extend(element_bytes(&opening.path));
    }
    let positions: Vec<usize> = sampled.iter().map(|position| index(*position)).collect();
    let openings = codec::encode(&WindowOpenings {
        leaves,
        response_siblings: to_bytes(&tree::siblings(&lie.responses, &positions)),
    });
    assert_eq!(
        check(&statement(window, &lie, 1), &openings),
        Err(InvalidProof::LeafNotInSector { position: sampled[0] })
    );
}

/// Every byte counts, and a window's openings are small. Covers: C5, D3.
#[test]
fn every_byte_of_an_opening_counts() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let window = window(&set, &Hash::ZERO, 3);
    let responses = post::respond(&window, &FaultBitmap::none(), &mut disk);
    let openings = post::open(&PARAMS, &window, &responses, &beacon(4), &mut disk).unwrap();
    let statement = statement(window, &responses, 4);
    assert!(openings.len() < 5 * 1024, "{}", openings.len());
    for at in 0..openings.len() {
        let mut tampered = openings.clone();
        tampered[at] ^= 1;
        assert!(
            check(&statement, &tampered).is_err(),
            "byte {at} of {}",
            openings.len()
        );
    }
    for len in [0, 1, openings.len() - 1] {
        assert!(check(&statement, &openings[..len]).is_err());
    }
    assert!(check(&statement, &[openings.as_slice(), &[0]].concat()).is_err());
}

/// A node at or above the modulus is refused by its name. Covers: C5, D3.
#[test]
fn nodes_beyond_the_modulus_are_refused() {
    let (sectors, set) = provider();
    let mut disk = Disk::of(sectors);
    let window = window(&set, &Hash::ZERO, 3);
    let responses = post::respond(&window, &FaultBitmap::none(), &mut disk);
    let openings = post::open(&PARAMS, &window, &responses, &beacon(4), &mut disk).unwrap();
    let statement = statement(window, &responses, 4);
    // The first sampled leaf's lowest sibling, after the heads of map and string.
    let at = openings.windows(6).position(|bytes| bytes == b"leaves").unwrap() + 6 + 3 + 248;
    for bytes in super::porep::beyond_the_modulus(&openings[at..at + 32]) {
        let mut tampered = openings.clone();
        tampered[at..at + 32].copy_from_slice(&bytes);
        let part = verify::Part::Leaves;
        assert_eq!(
            check(&statement, &tampered),
            Err(InvalidProof::NotAnElement { part })
        );
    }
}

/// A provider with a single sector proves it in every window; nothing is padded with empty places. Covers: D2, D3.
#[test]
fn a_single_sector_is_sampled_every_time() {
    let table = PieceTable::filler_only(size(1));
    let mut payload = vec![0; usize::try_from(size(1).payload_bytes()).unwrap()];
    table.fill(&mut payload);
    let sector = Sector::seal(ALICE, 7, &table, &payload);
    let set = SectorSet::check(vec![sector.entry()]).unwrap();
    let mut disk = Disk::of(&[sector]);
    for number in 0..10 {
        let window = window(&set, &Hash::ZERO, number);
        let responses = post::respond(&window, &FaultBitmap::none(), &mut disk);
        let sampled = window.sample(&PARAMS, &responses.faults, &responses.root(), &beacon(99));
        assert_eq!(sampled, [0]);
        let openings = post::open(&PARAMS, &window, &responses, &beacon(99), &mut disk).unwrap();
        assert_eq!(check(&statement(window, &responses, 99), &openings), Ok(()));
    }
}
